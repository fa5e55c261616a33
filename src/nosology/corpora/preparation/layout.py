"""The files of a prepared folder, and the rows that stand in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from nosology.errors import MissingExtraError

SPLITS = ("train", "dev", "test")
NOTES, ENCOUNTERS, EVIDENCE = "notes.parquet", "encounters.parquet", "evidence.parquet"
LABELS, SPLITS_JSON, SPLITS_CSV = "labels.json", "splits.json", "splits.csv"
META, CERTAINTIES = "meta_", "certainties"
# Rows handled at once; notes are long, the others short.
NOTES_A_BATCH, ENCOUNTERS_A_BATCH, EVIDENCE_A_BATCH = 512, 4096, 65536

# encounter_id, code, note_id, starts, ends
EvidenceRow = tuple[str, str, str, list[int], list[int]]


@dataclass(frozen=True, slots=True)
class PreparedLabel:
    """A code of the label space and in how many encounters it stands.

    Args:
        code: formatted as its system writes it.
        system: its code system.
        train: encounters of the training split with this code; likewise ``dev`` and ``test``.
        all: encounters with this code, whatever their split.
        known: whether the corpus's own table of codes (or nosology's, where it has none) lists the code.
    """

    code: str
    system: str
    train: int
    dev: int
    test: int
    all: int
    known: bool


@dataclass(frozen=True, slots=True)
class EncounterRow:
    """An encounter without its notes.

    Args:
        encounter_id: unique in the corpus.
        group_id: the patient; empty if unknown.
        split: "train", "dev", "test", or empty.
        codes: no code twice; ``None`` where nobody has coded the encounter.
        systems: the code system of each code.
        metadata: further columns.
        certainties: of each code; empty where all are 1.
    """

    encounter_id: str
    group_id: str
    split: str
    codes: tuple[str, ...] | None
    systems: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    certainties: tuple[float, ...] = ()


def import_arrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet module, which have no type stubs."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError("A prepared corpus", "data") from None
    return cast("Any", pyarrow), cast("Any", parquet)


def import_compute() -> Any:
    """pyarrow's functions on arrays."""
    import_arrow()
    import pyarrow.compute

    return cast("Any", pyarrow.compute)
