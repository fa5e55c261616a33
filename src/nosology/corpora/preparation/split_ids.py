"""Published splits: CAML's text files of admission ids, Edin's feather files, or any table of ids and splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nosology.corpora.preparation.layout import SPLITS, import_arrow
from nosology.corpora.reading import decode, read_bytes
from nosology.errors import CorpusError

_SPLIT_NAMES = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test"}
_ID_COLUMNS = ("_id", "hadm_id", "encounter_id", "id")
_TABLES = (".feather", ".arrow", ".parquet", ".pq", ".csv")


def find_split_files(path: Path, caml_name: str, table_names: tuple[str, ...]) -> tuple[Path, ...]:
    """The files that hold the ids of a variant.

    Args:
        path: a folder of CAML's (``train_full_hadm_ids.csv``, ...) or Edin's files, or one table.
        caml_name: "full" or "50".
        table_names: how Edin's file may be called.

    Raises:
        CorpusError: the path is missing, or the folder has no such files.
    """
    if path.is_file():
        return (path,)
    if not path.is_dir():
        raise CorpusError("no such file or folder; name CAML's folder of ids, or a table of ids and splits", path=path)
    lists = [path / f"{split}_{caml_name}_hadm_ids.csv" for split in SPLITS]
    if all(file.is_file() for file in lists):
        return tuple(lists)
    tables = [path / name for name in table_names if (path / name).is_file()]
    if len(tables) == 1:
        return (tables[0],)
    wanted = ", ".join([lists[0].name, "...", *table_names])
    raise CorpusError(f"the folder has none of {wanted}; name the file of this variant's ids", path=path)


def read_split_ids(files: tuple[Path, ...]) -> dict[int, str]:
    """Admission id -> split.

    Raises:
        CorpusError: an id that is no whole number, an id in two splits, a split of another name, or no ids at all.
    """
    chosen: dict[int, str] = {}
    for path in files:
        for line, text, name in _rows(path):
            if not text.isascii() or not text.isdigit():
                raise CorpusError("the id is not a whole number; give one id a line", path=path, line=line)
            split = _SPLIT_NAMES.get(name.strip().lower())
            if split is None:
                raise CorpusError("the split is none of train, dev (or val), test", path=path, line=line)
            if chosen.setdefault(int(text), split) != split:
                raise CorpusError("the id stands in two splits; keep one", path=path, line=line, record_id=text)
    if not chosen:
        raise CorpusError("holds no ids", path=files[0])
    return chosen


def count_by_split(chosen: Mapping[int, str]) -> dict[str, int]:
    """How many ids each split has, in the order train, dev, test."""
    names = list(chosen.values())
    return {split: names.count(split) for split in SPLITS}


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    stem = path.name.split("_")[0].lower()
    if stem in _SPLIT_NAMES and path.name.lower().endswith("hadm_ids.csv"):
        lines = decode(read_bytes(path), path, line=1).splitlines()
        yield from ((number, text.strip(), stem) for number, text in enumerate(lines, 1) if text.strip())
        return
    if path.suffix.lower() not in _TABLES:
        raise CorpusError("unknown kind of file; use CAML's folder, .feather, .parquet or .csv", path=path)
    table = _read_table(path)
    names = {name.lower(): name for name in table.column_names}
    ids = next((names[name] for name in _ID_COLUMNS if name in names), None)
    if ids is None or "split" not in names:
        raise CorpusError(f"has no columns {_ID_COLUMNS[0]} and split; name a table of ids and splits", path=path)
    columns = (table.column(ids).to_pylist(), table.column(names["split"]).to_pylist())
    for number, (key, split) in enumerate(zip(*columns, strict=True), 1):
        yield number, str(key), str(split)


def _read_table(path: Path) -> Any:
    arrow, parquet = import_arrow()
    import pyarrow.csv as arrow_csv
    import pyarrow.feather as feather

    readers: dict[str, Any] = {".parquet": parquet.read_table, ".pq": parquet.read_table, ".csv": arrow_csv.read_csv}
    try:
        return readers.get(path.suffix.lower(), feather.read_table)(path)
    except (arrow.ArrowException, OSError):
        raise CorpusError("cannot be read as a table of ids; get it again", path=path) from None
