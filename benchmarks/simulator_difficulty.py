"""How hard the simulated corpus is: a dictionary, TF-IDF + logistic regression, and a dictionary learnt from evidence.

    python benchmarks/simulator_difficulty.py --admissions 5000 --codes 2000 --seed 0
    python benchmarks/simulator_difficulty.py --admissions 2000 --coder

Trains on train, sets one threshold on dev (the default coder sets its own inside train), scores test. Prints micro-F1
over all codes and by how many training notes a code has, and the shares of hidden wordings, unmentioned labels and
distractors, measured by matching.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ahocorasick_rs import AhoCorasick, MatchKind
from scipy import sparse

from nosology.codes import FrequencyBands
from nosology.corpora.simulated import SimulatedConfig, simulate_with_truth
from nosology.corpora.simulation.expressions import normalized
from nosology.corpora.simulation.truth import SimulationTruth
from nosology.types import Corpus, Encounter

BANDS = FrequencyBands((0, 1, 11, 101))
"""Training notes of a code: none, 1-10 (the tail), 11-100, more than 100 (the head)."""
_WORD = re.compile(r"[a-z0-9]+")
_ABSOLUTE_FLOOR = 0.02
_LEAST_NOTES = 4  # with fewer, logistic regression never reaches the threshold; leaving them out halves the time

Scored = Mapping[str, float]


class Dictionary:
    """Finds expressions in a text as whole words, the longest where several begin at one place.

    Args:
        expressions: per code, its expressions, normalised.
    """

    def __init__(self, expressions: Mapping[str, Iterable[str]]) -> None:
        self.codes: dict[str, list[str]] = defaultdict(list)
        for code, wordings in expressions.items():
            for wording in wordings:
                self.codes[wording].append(code)
        self._wordings = list(self.codes)
        self._automaton = AhoCorasick([f" {w} " for w in self._wordings], matchkind=MatchKind.Standard)

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, expression) in characters of the text, matches inside longer ones left out."""
        starts, ends, squeezed = _squeezed(text)
        found = [
            (s, e - 1, self._wordings[i])
            for i, s, e in self._automaton.find_matches_as_indexes(squeezed, overlapping=True)
        ]
        kept: list[tuple[int, int, str]] = []
        covered = -1
        for start, end, wording in sorted(found, key=lambda match: (match[0], -match[1])):
            if end > covered:
                kept.append((starts[start + 1], ends[end - 1], wording))
                covered = end
        return kept


def _squeezed(text: str) -> tuple[list[int], list[int], str]:
    """Words parted and surrounded by single spaces, and for each of its characters where it stands in the text."""
    parts, starts, ends = [" "], [0], [0]
    for match in _WORD.finditer(text.lower()):
        parts.append(match.group() + " ")
        starts.extend([*range(match.start(), match.end()), match.end()])
        ends.extend([*range(match.start() + 1, match.end() + 1), match.end()])
    return starts, ends, "".join(parts)


@dataclass(frozen=True, slots=True)
class MatchShares:
    """What known expressions hit in a corpus: evidence of labels, distractors, and anything else."""

    labels: int
    distractors: int
    other: int
    hidden_found: int
    hidden: int

    @property
    def distractor_share(self) -> float:
        return self.distractors / max(1, self.labels + self.distractors + self.other)


def match_shares(corpus: Corpus, truth: SimulationTruth) -> MatchShares:
    """Match all known expressions of the label space; sort each match by the mention it overlaps."""
    dictionary = Dictionary(truth.known_expressions)
    counts: Counter[str] = Counter()
    for encounter in corpus:
        for note in encounter.notes:
            mentions = [m for m in truth.encounters[encounter.encounter_id].mentions if m.note_id == note.note_id]
            for start, end, wording in dictionary.find(note.text):
                hit = next((m for m in mentions if m.span.start < end and start < m.span.end), None)
                counts["other" if hit is None else "distractors" if hit.role.is_distractor else "labels"] += 1
                counts["hidden_found"] += hit is not None and not hit.is_known and hit.code in dictionary.codes[wording]
    mentions = (mention for encounter in corpus for mention in truth.encounters[encounter.encounter_id].mentions)
    hidden = sum(not mention.is_known for mention in mentions)
    return MatchShares(counts["labels"], counts["distractors"], counts["other"], counts["hidden_found"], hidden)


def text_of(encounter: Encounter) -> str:
    return "\n".join(note.text for note in encounter.notes)


def score_by_dictionary(corpus: Corpus, truth: SimulationTruth) -> list[Scored]:
    """Every code whose known expression stands in the text, with probability 1."""
    dictionary = Dictionary(truth.known_expressions)
    return [
        {code: 1.0 for _, _, wording in dictionary.find(text_of(encounter)) for code in dictionary.codes[wording]}
        for encounter in corpus
    ]


class EvidenceDictionary:
    """Known expressions and the evidence strings of train, each with the share of its matches that were right.

    Close to what a coder with a knowledge base reaches without context: it also sees the section a match stands in.
    """

    def __init__(self, train: Corpus, truth: SimulationTruth) -> None:
        expressions = {code: set(known) for code, known in truth.known_expressions.items()}
        for encounter in train:
            for gold in encounter.codes or ():
                for evidence in gold.evidence:
                    text = encounter.note(evidence.note_id).text[evidence.start : evidence.end]
                    expressions[gold.code].add(normalized(text))
        self._dictionary = Dictionary(expressions)
        self._right: Counter[tuple[str, str, str]] = Counter()
        self._all: Counter[tuple[str, str, str]] = Counter()
        for encounter in train:
            for key in self._keys(encounter):
                self._all[key] += 1
                self._right[key] += key[1] in encounter.code_set
        self._context: Counter[str] = Counter()
        self._context_right: Counter[str] = Counter()
        for key, count in self._all.items():
            self._context[key[2]] += count
            self._context_right[key[2]] += self._right[key]

    def _keys(self, encounter: Encounter) -> set[tuple[str, str, str]]:
        """(expression, code, context) of every match."""
        found: set[tuple[str, str, str]] = set()
        for note in encounter.notes:
            for start, _, wording in self._dictionary.find(note.text):
                context = _context(note.text, start)
                found.update((wording, code, context) for code in self._dictionary.codes[wording])
        return found

    def score(self, corpus: Corpus) -> list[Scored]:
        """Per encounter, codes with the probability that at least one of their matches is right."""
        scored: list[Scored] = []
        for encounter in corpus:
            missed: dict[str, float] = {}
            for key in self._keys(encounter):
                prior = self._context_right[key[2]] / max(1, self._context[key[2]])
                right = (self._right[key] + 4.0 * prior) / (self._all[key] + 4.0)
                missed[key[1]] = missed.get(key[1], 1.0) * (1.0 - right)
            scored.append({code: 1.0 - value for code, value in missed.items()})
        return scored


_CUES = re.compile(
    r"\b(no|not|denies|without|negative|ruled out|unlikely|mother|father|brother|sister|aunt|relatives|"
    r"grandfather|history|h/o|remote|previous|years ago|if you|return|risk|"
    r"cause|concern|versus|exclude|allerg\w*|prior d/c|last discharge)\b",
    re.IGNORECASE,
)


def _context(text: str, start: int) -> str:
    """The heading a match stands under, and the nearest cue before it in its line."""
    heading = text.rfind(":\n", 0, start)
    line = text.rfind("\n", 0, max(0, heading)) + 1
    sentence = max(text.rfind("\n", 0, start), text.rfind(". ", 0, start)) + 1
    cues = _CUES.findall(text[sentence:start])
    return f"{text[line:heading].lower() if heading > 0 else ''}|{cues[-1].lower() if cues else ''}"


def score_by_tfidf(train: Corpus, others: Sequence[Corpus]) -> list[list[Scored]]:
    """TF-IDF of words, one logistic regression per code with at least ``_LEAST_NOTES`` training notes."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(min_df=3, max_features=20_000, sublinear_tf=True)
    features = vectorizer.fit_transform([text_of(encounter) for encounter in train])
    unseen = [vectorizer.transform([text_of(encounter) for encounter in corpus]) for corpus in others]
    counts = Counter(code for encounter in train for code in encounter.code_set)
    scored: list[list[dict[str, float]]] = [[{} for _ in corpus] for corpus in others]
    for code in sorted(code for code, count in counts.items() if count >= _LEAST_NOTES):
        target = np.array([code in encounter.code_set for encounter in train])
        model = LogisticRegression(C=20.0, solver="liblinear", tol=0.1).fit(features, target)
        for rows, results in zip(unseen, scored, strict=True):
            _keep_likely(code, rows @ sparse.csc_matrix(model.coef_.T), float(model.intercept_[0]), results)
    return [list(results) for results in scored]


def score_by_coder(train: Corpus, test: Corpus) -> list[Scored]:
    """The default coder: 1 for the codes that it assigns."""
    from nosology.coder import Coder
    from nosology.config import Recipe
    from nosology.config import SimulatedConfig as Section

    coder = Coder.fit(train, Recipe(corpus=Section()))
    return [{found.code: 1.0 for found in coder.code(encounter).assigned} for encounter in test]


def _keep_likely(code: str, products: sparse.spmatrix, intercept: float, results: list[dict[str, float]]) -> None:
    probabilities = 1.0 / (1.0 + np.exp(-(products.toarray()[:, 0] + intercept)))
    for row in np.flatnonzero(probabilities >= _ABSOLUTE_FLOOR):
        results[row][code] = float(probabilities[row])


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Micro-F1 over all codes and by band of training notes, with precision and recall over all."""

    precision: float
    recall: float
    f1: float
    by_band: tuple[float, ...]


def tuned_difficulty(
    train: Corpus, dev: Corpus, test: Corpus, on_dev: Sequence[Scored], on_test: Sequence[Scored]
) -> Difficulty:
    """Set the threshold that is best on dev, score test."""
    thresholds = np.linspace(0.02, 0.98, 49)
    best = max(thresholds, key=lambda threshold: _f1(*_outcomes(dev, on_dev, threshold, None)))
    return difficulty(train, test, on_test, float(best))


def difficulty(train: Corpus, test: Corpus, scored: Sequence[Scored], threshold: float) -> Difficulty:
    """Score assigned codes against gold."""
    counts = Counter(code for encounter in train for code in encounter.code_set)
    everything = {code for encounter in test for code in encounter.code_set} | {code for row in scored for code in row}
    bands = {code: int(BANDS.bands_of([counts[code]])[0]) for code in everything}
    tp, fp, fn = _outcomes(test, scored, threshold, None)
    by_band = tuple(
        _f1(*_outcomes(test, scored, threshold, {code for code in everything if bands[code] == band}))
        for band in range(len(BANDS.names))
    )
    return Difficulty(tp / max(1, tp + fp), tp / max(1, tp + fn), _f1(tp, fp, fn), by_band)


def _outcomes(
    corpus: Corpus, scored: Sequence[Scored], threshold: float, only: set[str] | None
) -> tuple[int, int, int]:
    tp = fp = fn = 0
    for encounter, row in zip(corpus, scored, strict=True):
        gold = encounter.code_set if only is None else encounter.code_set & only
        assigned = {code for code, value in row.items() if value >= threshold and (only is None or code in only)}
        tp += len(gold & assigned)
        fp += len(assigned - gold)
        fn += len(gold - assigned)
    return tp, fp, fn


def _f1(tp: int, fp: int, fn: int) -> float:
    return 2 * tp / max(1, 2 * tp + fp + fn)


def main() -> None:
    """Simulate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--admissions", type=int, default=5000)
    parser.add_argument("--codes", type=int, default=2000)
    parser.add_argument("--words", type=int, default=350)
    parser.add_argument("--system", default="icd10cm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-tfidf", action="store_true", help="leave out the slow baseline")
    parser.add_argument("--coder", action="store_true", help="also fit the default coder: minutes")
    options = parser.parse_args()
    config = SimulatedConfig(
        n_admissions=options.admissions,
        n_codes=options.codes,
        words_per_note=options.words,
        system=options.system,
        seed=options.seed,
    )
    begin = time.perf_counter()
    corpus, truth = simulate_with_truth(config)
    seconds = time.perf_counter() - begin
    words = np.mean([len(text_of(encounter).split()) for encounter in corpus])
    labels = sum(len(encounter.codes or ()) for encounter in corpus)
    print(f"{len(corpus)} encounters in {seconds:.1f} s, {words:.0f} words and {labels / len(corpus):.1f} labels each")
    shares, matches = truth.shares(), match_shares(corpus.split("test"), truth)
    print(
        f"hidden {shares['hidden']:.3f}  absent {shares['absent']:.3f}  distractors among matches "
        f"{matches.distractor_share:.3f}  "
        f"hidden wordings matched by their own code {matches.hidden_found}/{matches.hidden}"
    )
    train, dev, test = corpus.split("train"), corpus.split("dev"), corpus.split("test")
    print(f"{'':24} {'P':>6} {'R':>6} {'F1':>6}   F1 by training notes: {'  '.join(BANDS.names)}")
    _show("dictionary", difficulty(train, test, score_by_dictionary(test, truth), 0.5))
    learnt = EvidenceDictionary(train, truth)
    _show("dictionary + evidence", tuned_difficulty(train, dev, test, learnt.score(dev), learnt.score(test)))
    if not options.without_tfidf:
        begin = time.perf_counter()
        on_dev, on_test = score_by_tfidf(train, [dev, test])
        _show("TF-IDF + logistic reg.", tuned_difficulty(train, dev, test, on_dev, on_test))
        print(f"(TF-IDF baseline: {time.perf_counter() - begin:.0f} s)")
    if options.coder:
        begin = time.perf_counter()
        _show("default coder", difficulty(train, test, score_by_coder(train, test), 0.5))
        print(f"(default coder: {time.perf_counter() - begin:.0f} s)")


def _show(name: str, result: Difficulty) -> None:
    bands = "  ".join(f"{value:.3f}" for value in result.by_band)
    print(f"{name:24} {result.precision:6.3f} {result.recall:6.3f} {result.f1:6.3f}   {bands}")


if __name__ == "__main__":
    main()
