"""What is known of a code before any note is read: how often it and its relatives occur, and what its title says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.ranking.source import Arrays, TrainingSet

FEATURES = (
    *("log_count", "log_category_count", "category_share", "category_codes", "length", "first_character"),
    *("second_character", "unspecified", "other", "laterality", "titled", "encounter_words"),
)
_CATEGORY = 3
"""The first three characters of a code: its category in ICD-10-CM, ICD-9-CM and (section, system, operation) in PCS."""

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

    def __post_init__(self) -> None:
        categories, members = Counter[str](), Counter[str]()
        for code, count in self.counts.items():
            categories[code[:_CATEGORY]] += count
            members[code[:_CATEGORY]] += 1
        object.__setattr__(self, "_categories", categories)
        object.__setattr__(self, "_members", members)
        object.__setattr__(self, "_of_title", dict[str, tuple[float, ...]]())

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
        categories: Counter[str] = self._categories  # type: ignore[attr-defined]
        members: Counter[str] = self._members  # type: ignore[attr-defined]
        rows = np.zeros((len(codes), len(FEATURES)), dtype=np.float32)
        for row, code in enumerate(codes):
            count, category = self.counts.get(code, 0), code[:_CATEGORY]
            rows[row] = (
                np.log1p(count),
                np.log1p(categories[category]),
                count / (categories[category] + 1.0),
                members[category],
                len(code),
                ord(code[0]),
                ord(code[1]) if len(code) > 1 else 0,
                *self._title_features(code),
                words,
            )
        return rows

    def _title_features(self, code: str) -> tuple[float, ...]:
        known: dict[str, tuple[float, ...]] = self._of_title  # type: ignore[attr-defined]
        if code not in known:
            title = self.titles(code)
            side = next((value for word, value in _SIDES if word in title), 0.0)
            unspecified = any(word in title for word in _UNSPECIFIED)
            known[code] = (float(unspecified), float("other" in title), side, float(bool(title)))
        return known[code]

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        return {"counts": np.array(list(self.counts.values()), dtype=np.int64)}, {"codes": list(self.counts)}

    @staticmethod
    def from_state(arrays: Arrays, strings: dict[str, list[str]], titles: Callable[[str], str]) -> CodePriors:
        counts = dict(zip(strings["codes"], arrays["counts"].astype(np.int64).tolist(), strict=True))
        return CodePriors(counts, titles)
