"""Bands of code frequency: one class for evaluation, losses, experts and reports.

A band groups codes by how many training encounters carry them; a code's band never depends on the test data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nosology.errors import ConfigError

if TYPE_CHECKING:  # numpy is imported where it is used: `nosology codes` starts without it
    import numpy as np
    import numpy.typing as npt

_NAMED: dict[str, tuple[int, ...]] = {
    "codiesp": (0, 1, 2, 5, 10),
    "published": (0, 1, 11, 51, 101, 501),
}


@dataclass(frozen=True, slots=True)
class FrequencyBands:
    """Contiguous bands of training counts.

    >>> bands = FrequencyBands.named("codiesp")
    >>> bands.names
    ('0', '1', '2-4', '5-9', '10+')
    >>> bands.names[bands.band_of(7)]
    '5-9'

    Args:
        edges: the lowest count of each band, ascending, the first 0; the last band is open.
    """

    edges: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(int(edge) for edge in self.edges))
        if not self.edges or self.edges[0] != 0:
            raise ConfigError(f"frequency bands must start at 0, got edges {list(self.edges)}")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ConfigError(f"frequency bands need strictly ascending edges, got {list(self.edges)}")

    @classmethod
    def named(cls, name: str) -> FrequencyBands:
        """The bands of a known table: ``codiesp`` (0, 1, 2-4, 5-9, 10+) or ``published`` (0, 1-10, ... 501+)."""
        try:
            return cls(_NAMED[name])
        except KeyError:
            raise ConfigError(f"unknown frequency bands {name!r}; known: {', '.join(sorted(_NAMED))}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """One readable name a band: ``0``, ``2-4``, ``10+``."""
        bounded = zip(self.edges, self.edges[1:], strict=False)
        return (*(_band_name(low, high - 1) for low, high in bounded), f"{self.edges[-1]}+")

    def __len__(self) -> int:
        return len(self.edges)

    def band_of(self, count: int) -> int:
        """The index of the band that holds this training count."""
        return int(self.bands_of([count])[0])

    def bands_of(self, counts: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """The band index of each training count, in the shape of ``counts``.

        Raises:
            ConfigError: a count is negative.
        """
        import numpy as np

        values = np.asarray(counts, dtype=np.int64)
        if values.size and int(values.min()) < 0:
            raise ConfigError(f"a training count cannot be negative, got {int(values.min())}")
        return np.searchsorted(np.asarray(self.edges), values, side="right").astype(np.int64) - 1


def _band_name(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"
