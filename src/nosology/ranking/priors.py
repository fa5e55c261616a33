"""What is known of a code before any note is read: how often it and its relatives occur, and what its title says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nosology.ranking.categories import CATEGORY
from nosology.ranking.source import Arrays, TrainingSet

FEATURES = (
    *("log_count", "log_category_count", "category_share", "category_codes", "length", "first_character"),
    *("second_character", "unspecified", "other", "laterality", "titled", "encounter_words"),
)

_UNSPECIFIED = ("unspecified", "not specified", "nos")
_SIDES = (("right", 1.0), ("left", 2.0), ("bilateral", 3.0))


@dataclass(frozen=True, eq=False)
class CodePriors:
    """Counts of codes and categories in the training encounters, and the words of their titles.

    Args:
        counts: training encounters with each code.
        titles: the title of a code in lower case, empty if no table has it.
    """

    counts: dict[str, int]
    titles: Callable[[str], str]
    _categories: Counter[str] = field(init=False, repr=False)
    _members: Counter[str] = field(init=False, repr=False)
    _of_code: dict[str, bytes] = field(init=False, repr=False, default_factory=dict[str, bytes])

    def __post_init__(self) -> None:
        categories, members = Counter[str](), Counter[str]()
        for code, count in self.counts.items():
            categories[code[:CATEGORY]] += count
            members[code[:CATEGORY]] += 1
        object.__setattr__(self, "_categories", categories)
        object.__setattr__(self, "_members", members)

    @staticmethod
    def fit(training: TrainingSet, titles: Callable[[str], str]) -> CodePriors:
        counts = Counter(code for example in training.examples for code in example.code_set)
        return CodePriors(dict(sorted(counts.items())), titles)

    def features(self, codes: Sequence[str], words: int) -> NDArray[np.float32]:
        """float32 ``[code, feature]``.

        Args:
            codes: any codes, seen in training or not.
            words: the encounter's length.
        """
        known = self._of_code
        for code in codes:
            if code not in known:
                known[code] = np.array(self._describe(code), dtype=np.float32).tobytes()
        rows = np.frombuffer(b"".join([known[code] for code in codes]), dtype=np.float32)
        features = np.empty((len(codes), len(FEATURES)), dtype=np.float32)
        features[:, :-1] = rows.reshape(len(codes), len(FEATURES) - 1)
        features[:, -1] = words
        return features

    def _describe(self, code: str) -> tuple[float, ...]:
        count, category = self.counts.get(code, 0), code[:CATEGORY]
        title = self.titles(code)
        return (
            math.log1p(count),
            math.log1p(self._categories[category]),
            count / (self._categories[category] + 1.0),
            self._members[category],
            len(code),
            ord(code[0]),
            ord(code[1]) if len(code) > 1 else 0,
            float(any(word in title for word in _UNSPECIFIED)),
            float("other" in title),
            next((value for word, value in _SIDES if word in title), 0.0),
            float(bool(title)),
        )

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        return {"counts": np.array(list(self.counts.values()), dtype=np.int64)}, {"codes": list(self.counts)}

    @staticmethod
    def from_state(arrays: Arrays, strings: dict[str, list[str]], titles: Callable[[str], str]) -> CodePriors:
        counts = dict(zip(strings["codes"], arrays["counts"].astype(np.int64).tolist(), strict=True))
        return CodePriors(counts, titles)
