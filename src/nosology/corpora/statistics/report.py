"""Everything that ``nosology stats`` tells of a corpus, counted once and kept as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from nosology.codes import FrequencyBands
from nosology.corpora.near_duplicates import NearDuplicates, Progress, find_near_duplicates, silent
from nosology.corpora.statistics.distribution import Distribution
from nosology.corpora.statistics.labels import (
    BandRow,
    ChapterRow,
    CodeTitles,
    Cooccurrence,
    FrequencyStatistics,
    band_rows,
    cardinality,
    chapter_rows,
    cooccurrence,
    frequency_statistics,
)
from nosology.corpora.statistics.lengths import (
    WORDS,
    LengthStatistics,
    TokenCounter,
    count_words,
    length_statistics,
    sampled_lengths,
)
from nosology.corpora.statistics.splits import Leakage, SplitStatistics, leakage, split_statistics
from nosology.corpora.statistics.table import CorpusTable, Ints, collected
from nosology.corpora.statistics.validity import Validity, check_validity

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class NoteDuplicates:
    """Near-duplicate notes and where they lie.

    Args:
        threshold: least Jaccard similarity of their shingles.
        shingle_words: words a shingle.
        notes: compared.
        pairs: near duplicates.
        notes_involved: notes with at least one.
        same_patient, other_patient: pairs of one patient and of two; unknown patients count as two.
        across_splits: pairs with notes in two splits.
        large_buckets: groups of alike notes too large to compare every pair in; more pairs may be in there.
        examples: (note id, note id, similarity) of the pairs most alike.
    """

    threshold: float
    shingle_words: int
    notes: int
    pairs: int
    notes_involved: int
    same_patient: int
    other_patient: int
    across_splits: int
    large_buckets: int
    examples: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What the plots are drawn from.

    Args:
        frequencies: per code system, documents a code, falling.
        cardinality: codes of each coded document.
        words: words of each document.
    """

    frequencies: Mapping[str, Ints]
    cardinality: Ints
    words: Ints


@dataclass(frozen=True, slots=True)
class CorpusStatistics:
    """What a corpus is like.

    Args:
        corpus: its name.
        documents: encounters.
        notes: of all of them.
        characters: of all notes.
        uncoded: documents that nobody has coded.
        groups: patients, where they are known.
        codes: distinct codes.
        occurrences: (document, code) pairs.
        unknown_codes: codes that no table has, of the corpus or of the package.
        cardinality: codes a coded document.
        frequencies: one a code system, and "all" where there are several.
        bands_of: what the bands count: "training documents" or "documents".
        bands: codes by training frequency.
        lengths: one a tokenizer, words first.
        splits: one a split; none where the corpus has none.
        leakage: patients in two splits.
        chapters: occurrences by chapter.
        cooccurrence: codes that go together.
        validity: codes checked against their documents' dates.
        duplicates: near-duplicate notes, ``None`` where nobody asked.
        series: for plots.
    """

    corpus: str
    documents: int
    notes: int
    characters: int
    uncoded: int
    groups: int
    codes: int
    occurrences: int
    unknown_codes: int
    cardinality: Distribution
    frequencies: tuple[FrequencyStatistics, ...]
    bands_of: str
    bands: tuple[BandRow, ...]
    lengths: tuple[LengthStatistics, ...]
    splits: tuple[SplitStatistics, ...]
    leakage: Leakage
    chapters: tuple[ChapterRow, ...]
    cooccurrence: Cooccurrence
    validity: Validity
    duplicates: NoteDuplicates | None
    series: Series = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Every figure as plain values for JSON; the series of the plots are left out."""
        figures = asdict(self)
        del figures["series"]
        return figures


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be counted.

    Args:
        bands: of code frequency.
        tokenizers: name -> counter; words are counted anyway.
        sample: documents that each tokenizer counts.
        seed: of the sample.
        duplicates: find near-duplicate notes, too.
        threshold: least Jaccard similarity of near duplicates.
        shingle_words: words a shingle.
    """

    bands: FrequencyBands
    tokenizers: Mapping[str, TokenCounter] = field(default_factory=dict[str, TokenCounter])
    sample: int = 1000
    seed: int = 0
    duplicates: bool = False
    threshold: float = 0.8
    shingle_words: int = 5


def describe_corpus(table: CorpusTable, wishes: Wishes, progress: Progress | None = None) -> CorpusStatistics:
    """Count everything.

    Args:
        table: the corpus.
        wishes: what is to be counted.
        progress: told what is being done, and how much of it all is done.

    Raises:
        CorpusError: the notes cannot be read.
    """
    tell = progress or silent
    tell("counting words", 0.05)
    words = count_words(table)
    lengths = [length_statistics(WORDS, words.words, sampled=False)]
    for name, counter in wishes.tokenizers.items():
        tell(f"counting tokens of {name}", 0.4)
        counts = sampled_lengths(table, counter, wishes.sample, wishes.seed)
        lengths.append(length_statistics(name, counts, sampled=len(counts) < len(table)))
    duplicates = _duplicates(table, wishes, tell) if wishes.duplicates else None
    tell("counting codes", 0.8)
    titles, counts = CodeTitles(), table.counts()
    systems = np.array(table.systems, dtype=object)
    return CorpusStatistics(
        corpus=table.name,
        documents=len(table),
        notes=int(words.notes.sum()),
        characters=int(words.characters.sum()),
        uncoded=int(np.sum(~table.coded)),
        groups=len(set(table.groups) - {""}),
        codes=len(table.codes),
        occurrences=int(counts.sum()),
        unknown_codes=len(table.unknown_codes),
        cardinality=Distribution.of(cardinality(table)),
        frequencies=frequency_statistics(table) if table.codes else (),
        bands_of="training documents" if "train" in table.split_names() else "documents",
        bands=band_rows(table, wishes.bands),
        lengths=tuple(lengths),
        splits=split_statistics(table),
        leakage=leakage(table),
        chapters=chapter_rows(table, titles),
        cooccurrence=cooccurrence(table, titles),
        validity=check_validity(table),
        duplicates=duplicates,
        series=Series(
            {name: np.sort(counts[systems == name])[::-1] for name in sorted(set(table.systems))},
            cardinality(table),
            words.words,
        ),
    )


def _duplicates(table: CorpusTable, wishes: Wishes, tell: Progress) -> NoteDuplicates:
    ids = collected(table.notes().select("encounter_id", "note_id"))
    found = find_near_duplicates(
        table.texts,
        threshold=wishes.threshold,
        shingle_words=wishes.shingle_words,
        progress=tell,
    )
    return _located(table, found, ids["encounter_id"].to_list(), ids["note_id"].to_list(), wishes)


def _located(
    table: CorpusTable, found: NearDuplicates, encounters: Sequence[str], notes: Sequence[str], wishes: Wishes
) -> NoteDuplicates:
    place = {encounter: position for position, encounter in enumerate(table.encounter_ids)}
    of = [place[encounter] for encounter in encounters]
    same = across = 0
    for pair in found.pairs:
        first, second = of[pair.first], of[pair.second]
        same += first == second or (table.groups[first] != "" and table.groups[first] == table.groups[second])
        splits = {table.splits[first], table.splits[second]}
        across += len(splits) == 2 and "" not in splits
    return NoteDuplicates(
        threshold=wishes.threshold,
        shingle_words=wishes.shingle_words,
        notes=found.notes,
        pairs=len(found.pairs),
        notes_involved=len({one for pair in found.pairs for one in (pair.first, pair.second)}),
        same_patient=same,
        other_patient=len(found.pairs) - same,
        across_splits=across,
        large_buckets=found.large_buckets,
        examples=tuple((notes[p.first], notes[p.second], round(p.jaccard, 4)) for p in found.pairs[:_EXAMPLES]),
    )
