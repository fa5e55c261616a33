"""Speed of exact matching, of loading the knowledge base and of correcting words; prints one table.

python benchmarks/matching.py

Every baseline runs in the same process on the same texts, on fewer patterns where it would take minutes.
"""

from __future__ import annotations

import random
import re
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from nosology.codes import open_code_system
from nosology.knowledge.base import KnowledgeBase
from nosology.knowledge.matching import ExactMatcher, select_longest
from nosology.knowledge.sources import expressions_from_code_table
from nosology.knowledge.stream import TokenStream, build_stream
from nosology.knowledge.tolerant import TypoIndex
from nosology.types import Encounter, Note

T = TypeVar("T")

_NOTES = 1500
_WORDS_A_NOTE = 1500
_NAIVE_PATTERNS = 1000
_NAIVE_NOTES = 30


def main() -> None:
    base = _measure_knowledge_base()
    phrases = list(base.phrases)
    streams = _streams(base)
    characters = _characters(streams)
    print(
        f"\n{len(phrases):,} patterns; {len(streams):,} notes, {characters / 1e6:.1f} MB of normalised words, one core"
    )
    _measure_matcher(phrases, streams)
    _measure_cold_start(phrases, streams[:20])
    _measure_baselines(phrases, streams[:_NAIVE_NOTES])
    _measure_typos(base, streams)


def _measure_knowledge_base() -> KnowledgeBase:
    system = open_code_system("icd10cm")
    expressions, read = _timed(lambda: list(expressions_from_code_table(system)))
    base, built = _timed(lambda: KnowledgeBase(expressions))
    _row("expressions of the ICD-10-CM tables", f"{len(base):,}", f"read {read:.2f} s, built {built:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        _, saved = _timed(lambda: base.save(folder))
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        loaded, load = _timed(lambda: KnowledgeBase.load(folder))
    _, first = _timed(lambda: loaded.of_code("I10"))
    _row(
        "saved, loaded", f"{size:.1f} MB", f"save {saved:.2f} s, load {load:.3f} s, first of_code {first * 1e3:.1f} ms"
    )
    return base


def _streams(base: KnowledgeBase) -> list[TokenStream]:
    """Notes whose sentences mix words of expressions, some in the expressions' order."""
    rng = random.Random(0)
    phrases = [phrase for phrase in rng.sample(list(base.phrases), 20_000) if phrase.count(" ") < 8]
    vocabulary = sorted({word for phrase in phrases for word in phrase.split()})
    return [
        build_stream(Encounter(str(number), (Note("n", _text(rng, phrases, vocabulary)),))) for number in range(_NOTES)
    ]


def _text(rng: random.Random, phrases: list[str], vocabulary: list[str]) -> str:
    sentences, count = list[str](), 0
    while count < _WORDS_A_NOTE:
        words = rng.choices(vocabulary, k=10) + rng.choice(phrases).split()
        count += len(words)
        sentences.append(" ".join(words).capitalize() + ".")
    return " ".join(sentences)


def _measure_matcher(phrases: Sequence[str], streams: Sequence[TokenStream]) -> None:
    memory = _peak_megabytes()
    matcher = ExactMatcher(phrases)
    _, seconds = _timed(matcher.build)
    _row("automaton built", f"{seconds:.2f} s", f"peak memory +{_peak_megabytes() - memory:.0f} MB")
    for name, call in (
        ("find: matches, words and sentences", matcher.find),
        ("find, then the longest", lambda stream: select_longest(matcher.find(stream))),
    ):
        found, seconds = _timed(lambda call=call: sum(len(call(stream)) for stream in streams))
        _row(name, f"{_characters(streams) / 1e6 / seconds:.1f} MB/s", f"{found:,} matches")


def _measure_cold_start(phrases: Sequence[str], streams: Sequence[TokenStream]) -> None:
    state = ExactMatcher(phrases).state()
    matcher, seconds = _timed(lambda: ExactMatcher.from_state(*state))
    _, first = _timed(lambda: matcher.find(streams[0]))
    _row("from_state, then a first note by hashes", f"{(seconds + first) * 1e3:.1f} ms", "nothing built")


def _measure_baselines(phrases: Sequence[str], streams: Sequence[TokenStream]) -> None:
    few = random.Random(1).sample(list(phrases), _NAIVE_PATTERNS)
    texts = [f" {' '.join(stream.words)} " for stream in streams]
    megabytes = sum(map(len, texts)) / 1e6
    matcher = ExactMatcher(few).build()
    pattern = re.compile(r"\b(?:" + "|".join(sorted(map(re.escape, few), key=len, reverse=True)) + r")\b")
    for name, call in (
        ("ExactMatcher", lambda: sum(len(matcher.find_words(stream.words)) for stream in streams)),
        ("str.count for each pattern", lambda: sum(text.count(f" {one} ") for text in texts for one in few)),
        ("one re of alternatives", lambda: sum(len(pattern.findall(text)) for text in texts)),
    ):
        found, seconds = _timed(call)
        _row(f"{len(few):,} patterns: {name}", f"{megabytes / seconds:.2f} MB/s", f"{found:,} matches")


def _measure_typos(base: KnowledgeBase, streams: Sequence[TokenStream]) -> None:
    counts = Counter(word for phrase in base.phrases for word in phrase.split())
    index = TypoIndex(counts)
    rng = random.Random(2)
    long_words = sorted(word for word in counts if len(word) >= 8 and word.isalpha())
    misspelt = {_swapped(word): word for word in rng.sample(long_words, 2000)}
    index.correct("nuemonia")  # builds the index
    right, seconds = _timed(lambda: sum(index.correct(wrong) == word for wrong, word in misspelt.items()))
    _row("a misspelt word, first met", f"{seconds / len(misspelt) * 1e6:.0f} µs", f"{right / len(misspelt):.1%} right")
    # One word in fifty is misspelt, over and over the same ones, as in a folder of notes.
    wrong = list(misspelt)
    words = [rng.choice(wrong) if rng.random() < 0.02 else word for s in streams[:200] for word in s.words]
    _, seconds = _timed(lambda: [index.correct(word) for word in words])
    _row("a word of a note, on average", f"{seconds / len(words) * 1e6:.2f} µs", f"{len(counts):,} words known")


def _swapped(word: str) -> str:
    """The word with two neighbours in its middle swapped, or doubled where they are equal."""
    middle = len(word) // 2
    one, other = word[middle], word[middle + 1]
    return word[:middle] + (other + one if one != other else one + one + one) + word[middle + 2 :]


def _characters(streams: Sequence[TokenStream]) -> int:
    return sum(len(word) + 1 for stream in streams for word in stream.words)


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _row(name: str, figure: str, remark: str) -> None:
    print(f"{name:<44} {figure:>14}   {remark}")


if __name__ == "__main__":
    main()
