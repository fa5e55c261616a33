"""What in a corpus hurts a study on it, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator

from nosology.corpora.reading import shown
from nosology.corpora.statistics.report import CorpusStatistics


def corpus_warnings(statistics: CorpusStatistics) -> tuple[str, ...]:
    """The sentences, the worst first; none for a corpus without a fault that can be counted."""
    return (*_splits(statistics), *_duplicates(statistics), *_codes(statistics))


def _splits(statistics: CorpusStatistics) -> Iterator[str]:
    leak = statistics.leakage
    if leak.groups:
        examples = ", ".join(filter(None, map(shown, leak.examples)))
        yield (
            f"{_many(leak.groups, 'group is', 'groups are')} (a patient, an article) in more than one split, with "
            f"{_many(leak.documents, 'document', 'documents')} (such as {examples}): scores will be too high; "
            "never part a group"
        )
    if statistics.splits and not leak.known:
        yield "no document says which patient it is of: nobody can tell whether a patient is in two splits"
    for split in statistics.splits:
        if split.absent_codes:
            yield (
                f"{_many(split.absent_codes, 'code', 'codes')} of {split.name} never "
                f"{'occurs' if split.absent_codes == 1 else 'occur'} in training "
                f"({100 * split.absent_share:.1f} % of its occurrences, {split.absent_documents:,} documents): "
                "a coder that learns labels only cannot find them"
            )
    if not statistics.splits:
        yield "the corpus has no splits: all figures are of all documents; make some before you train"


def _duplicates(statistics: CorpusStatistics) -> Iterator[str]:
    found = statistics.duplicates
    if found is None:
        return
    if found.across_splits:
        yield (
            f"{_many(found.across_splits, 'pair', 'pairs')} of near-duplicate notes across two splits: "
            "what is learnt from one is tested on the other"
        )
    if found.pairs:
        yield (
            f"{found.notes_involved:,} of {found.notes:,} notes have a near duplicate "
            f"(Jaccard {found.threshold:g} or more), as copy-forward makes them"
        )


def _codes(statistics: CorpusStatistics) -> Iterator[str]:
    validity = statistics.validity
    if validity.invalid:
        examples = ", ".join(code for code, _ in validity.examples)
        yield (
            f"{_many(validity.invalid_codes, 'code was', 'codes were')} not in force on the document's date, "
            f"{validity.invalid:,} of {validity.checked:,} occurrences (such as {examples})"
        )
    if statistics.unknown_codes:
        yield f"{_many(statistics.unknown_codes, 'code is', 'codes are')} in no table of codes; kept as labels"
    if statistics.uncoded:
        yield f"{_many(statistics.uncoded, 'document has', 'documents have')} not been coded by anyone"
    if statistics.documents > statistics.uncoded and not statistics.occurrences:
        yield "no document has a code"


def _many(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
