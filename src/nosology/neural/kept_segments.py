"""Segments of labels in model folders: kept beside the network or language model whose loss weighs by them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nosology.checkpoint import ModelFolder
from nosology.losses.segmentation import SEGMENTS, Segmentation
from nosology.predictor import load_part, save_part


def save_segments(folder: Path, segmentation: Segmentation | None) -> None:
    """Write them into a model folder that is being built, if there are any."""
    if segmentation is not None:
        save_part(folder, SEGMENTS, *segmentation.state())


def load_segments(folder: ModelFolder, labels: Sequence[str] | None = None) -> Segmentation | None:
    """The segments of a model's labels, where its loss had some. Needs no torch.

    Args:
        folder: of the model.
        labels: that they must be of; left out, whatever they are of.

    Raises:
        ModelError: they are damaged, or of other labels.
    """
    if f"{SEGMENTS}.npz" not in folder.files:
        return None
    found = Segmentation.from_state(*load_part(folder, SEGMENTS))
    found.check(found.labels if labels is None else labels)
    return found
