"""Numbers of single labels that a loss weighs by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class LabelTable:
    """Numbers of each label, on whatever device they are asked for.

    Args:
        columns: by name, one number a label.
    """

    def __init__(self, columns: Mapping[str, NDArray[Any]] | None = None) -> None:
        self._host = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in (columns or {}).items()}
        self._placed = dict[tuple[torch.device, torch.dtype], dict[str, Tensor]]()
        self._kept = dict[int, Tensor]()

    def kept(self, columns: Mapping[str, Tensor], make: Callable[[], Tensor]) -> Tensor:
        """What follows from the columns of all labels is made once; for candidates, each time."""
        if not any(columns is placed for placed in self._placed.values()):
            return make()
        if id(columns) not in self._kept:
            self._kept[id(columns)] = make()
        return self._kept[id(columns)]

    def take(self, labels: Tensor | None, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        """The columns of all labels, or of candidates; whole numbers stay whole."""
        key = device, dtype
        if key not in self._placed:
            self._placed[key] = {
                name: column.to(device, dtype if column.is_floating_point() else None)
                for name, column in self._host.items()
            }
        columns = self._placed[key]
        if labels is None or not columns:
            return columns
        return {name: column[labels] for name, column in columns.items()}

    def digest(self) -> str:
        """A hash of all numbers."""
        digest = sha256()
        for name, column in self._host.items():
            digest.update(name.encode())
            digest.update(column.numpy().tobytes())
        return digest.hexdigest()[:12]
