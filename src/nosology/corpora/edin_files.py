"""The files that Edin et al.'s two repositories write: feather with a file of splits, or one Parquet file a split.

* ``medical-coding-reproducibility``: ``mimiciv_icd10.feather`` (``_id``, ``subject_id``, ``text``, ``target`` and the
  lists ``icd10_diag``, ``icd10_proc`` or ``icd9_diag``, ``icd9_proc``) with ``mimiciv_icd10_split.feather`` (``_id``,
  ``split``) beside it. Texts are lower-cased, without punctuation and numbers. Every ICD-10-CM code of three
  characters ends in a dot (``I10.``): the reader writes ``I10`` and counts.
* ``explainable-medical-coding``: ``train.parquet``, ``val.parquet``, ``test.parquet`` with raw text and the lists
  ``diagnosis_codes``, ``procedure_codes`` beside their types.

Reference: Edin et al., 2023, "Automated Medical Coding on MIMIC-III and MIMIC-IV: A Critical Review and Replicability
Study", arXiv:2304.10909; Edin et al., 2024, "An Unsupervised Approach to Achieve Supervised-Level Explainability in
Healthcare Records", arXiv:2406.08958.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from nosology.codes import format_code
from nosology.corpora.caml_files import icd9_system_of, whole_number
from nosology.corpora.preparation.split_ids import read_split_ids
from nosology.corpora.reading import OnError, Problems, is_folder, shown
from nosology.errors import CodeError, ConfigError, CorpusError, MissingExtraError
from nosology.types import Corpus, Encounter, GoldCode, Note

_FEATHER, _PARQUET = (".feather", ".arrow"), (".parquet", ".pq")
_SPLIT_FILES = {"train": "train", "val": "dev", "dev": "dev", "test": "test"}
_ID_COLUMNS = ("_id", "hadm_id")
_LISTS = {"icd9_diag": "icd9cm", "icd9_proc": "icd9proc", "icd10_diag": "icd10cm", "icd10_proc": "icd10pcs"}
_TYPED_LISTS = {"diagnosis_codes": "diagnosis_code_type", "procedure_codes": "procedure_code_type"}
_TYPES = {"icd9cm": "icd9cm", "icd9pcs": "icd9proc", "icd10cm": "icd10cm", "icd10pcs": "icd10pcs"}
_BATCH_ROWS = 512
_PCS_LENGTH = 7

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class EdinReport:
    """What was mended.

    Args:
        trailing_dots: occurrences of codes that ended in a dot (``I10.``).
        without_split: rows that the file of splits does not name; their split is empty.
        unmatched_split_ids: ids of the file of splits that no row has.
    """

    trailing_dots: int = 0
    without_split: int = 0
    unmatched_split_ids: int = 0


def read_edin_files(
    path: str | Path, *, splits: str | Path | None = None, version: int | None = None, on_error: OnError = "raise"
) -> Corpus:
    """Read one of their prepared files, or the folder that holds it.

    Args:
        path: a ``.feather`` or ``.parquet`` file; or a folder with ``train``, ``val`` and ``test.parquet``, or with one
            file of notes and at most one whose name holds "split".
        splits: the file of splits; ``None`` takes the one in the folder, if ``path`` is a folder.
        version: 9 or 10, needed only where the file has ``target`` and no list that tells diagnoses from procedures.
        on_error: "raise" stops at the first broken row, "skip" leaves it out and lists it in ``Corpus.skipped``.

    Returns:
        One encounter an admission; ``val`` is read as "dev", ``group_id`` is the patient.

    Raises:
        ConfigError: a version other than 9 or 10.
        CorpusError: missing files or columns, splits that match nothing, or (with "raise") a broken row.
        MissingExtraError: pyarrow is not installed.
    """
    return read_edin_files_with_report(path, splits=splits, version=version, on_error=on_error)[0]


def read_edin_files_with_report(
    path: str | Path, *, splits: str | Path | None = None, version: int | None = None, on_error: OnError = "raise"
) -> tuple[Corpus, EdinReport]:
    """Like ``read_edin_files``, with a report of what was mended."""
    if version not in (None, 9, 10):
        raise ConfigError(f"unknown version {version} of the ICD; choose 9 or 10")
    sources = _sources(Path(path), None if splits is None else Path(splits))
    problems = Problems(on_error)
    rows = _Rows(problems, version)
    split_of = {} if sources.splits is None else _split_of(sources.splits)
    for split, file in sources.notes:
        rows.read(file, split, split_of)
    if not rows.drafts:
        raise CorpusError(f"no row could be read ({len(problems.skipped)} skipped); mend the file", path=path)
    unmatched = len(split_of.keys() - rows.drafts.keys())
    if split_of and unmatched == len(split_of):
        raise CorpusError("none of its ids is an admission of the notes; name the right one", path=sources.splits)
    encounters = tuple(draft.encounter() for draft in rows.drafts.values())
    found = {gold.system for one in encounters for gold in one.codes or ()}
    systems = tuple(system for system in _TYPES.values() if system in found)
    without = sum(not one.split for one in encounters) if split_of else 0
    report = EdinReport(rows.trailing_dots, without, unmatched)
    return Corpus("edin", systems, encounters, "en", tuple(problems.skipped)), report


class _Sources(NamedTuple):
    notes: list[tuple[str, Path]]
    splits: Path | None


def _sources(path: Path, splits: Path | None) -> _Sources:
    if not is_folder(path):
        return _Sources([("", path)], splits)
    by_split = {_SPLIT_FILES[file.stem]: file for file in _tables(path) if file.stem in _SPLIT_FILES}
    if by_split:
        return _Sources([(split, by_split[split]) for split in ("train", "dev", "test") if split in by_split], splits)
    notes = [file for file in _tables(path) if "split" not in file.stem]
    beside = [file for file in _tables(path) if "split" in file.stem]
    if len(notes) != 1 or (splits is None and len(beside) > 1):
        found = ", ".join(file.name for file in _tables(path)) or "no table"
        problem = f"holds {found}; name the one file of notes, and its splits if it has any"
        raise CorpusError(problem, path=path)
    return _Sources([("", notes[0])], splits or (beside[0] if beside else None))


def _tables(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _FEATHER + _PARQUET)


def _split_of(path: Path) -> dict[str, str]:
    return {str(admission): split for admission, split in read_split_ids((path,)).items()}


@dataclass(slots=True)
class _Draft:
    encounter_id: str
    group_id: str
    split: str
    codes: dict[GoldCode, None]
    notes: list[Note]

    def encounter(self) -> Encounter:
        return Encounter(self.encounter_id, tuple(self.notes), tuple(self.codes), self.group_id, self.split)


class _Rows:
    """Turns rows into drafts of encounters: an admission may have several notes."""

    def __init__(self, problems: Problems, version: int | None) -> None:
        self.drafts: dict[str, _Draft] = {}
        self.trailing_dots = 0
        self._problems = problems
        self._version = version
        self._formatted: dict[tuple[str, str], str] = {}
        self._note_ids: set[str] = set()

    def read(self, path: Path, split: str, split_of: Mapping[str, str]) -> None:
        for number, row in _rows_of(path, lambda columns: _wanted(columns, self._version, path)):
            with self._problems.guard():
                self._add(_Place(path, number), row, split, split_of)

    def _add(self, place: _Place, row: Row, split: str, split_of: Mapping[str, str]) -> None:
        admission = _id(row.get("_id", row.get("hadm_id")))
        place = place._replace(admission=admission)
        if not admission:
            raise place.error("the id of the admission is missing; mend the row")
        text = row["text"]
        if not isinstance(text, str) or not text.strip():
            raise place.error("the text is missing or empty; fill it or remove the row")
        codes = dict.fromkeys(self._codes(row, place))
        draft = _Draft(admission, _id(row.get("subject_id")), split or split_of.get(admission, ""), codes, [])
        first = self.drafts.get(admission, draft)
        if (first.group_id, first.split, first.codes) != (draft.group_id, draft.split, draft.codes):
            raise place.error("the rows of this admission disagree in patient, split or codes; make them agree")
        note_id = _id(row.get("note_id")) or (f"{admission}-{len(first.notes)}" if first.notes else admission)
        if note_id in self._note_ids:
            raise place.error("this note stands in another row already; remove one of the rows")
        self._note_ids.add(note_id)
        first.notes.append(Note(note_id, text, "Discharge summary"))
        self.drafts[admission] = first

    def _codes(self, row: Row, place: _Place) -> Iterator[GoldCode]:
        for column in row:
            if column not in _LISTS and column not in _TYPED_LISTS and column != "target":
                continue
            for code in _listed(row[column], column, place):
                yield self._code(code, self._system(code, column, row, place), place)

    def _system(self, code: str, column: str, row: Row, place: _Place) -> str:
        if column in _LISTS:
            return _LISTS[column]
        if column in _TYPED_LISTS:
            kind = str(row[_TYPED_LISTS[column]])
            if kind not in _TYPES:
                raise place.error(f"{_TYPED_LISTS[column]} is none of {', '.join(_TYPES)}; mend the row")
            return _TYPES[kind]
        if self._version == 9:
            return icd9_system_of(code)
        return "icd10pcs" if len(code) == _PCS_LENGTH and "." not in code else "icd10cm"

    def _code(self, code: str, system: str, place: _Place) -> GoldCode:
        self.trailing_dots += code.endswith(".")
        known = self._formatted.get((code, system))
        if known is None:
            try:
                known = format_code(code, system)
            except CodeError as error:
                raise place.error(f"{error.problem}; mend the row") from None
            self._formatted[code, system] = known
        return GoldCode(known, system)


class _Place(NamedTuple):
    """A row of a file, for messages."""

    path: Path
    row: int
    admission: str = ""

    def error(self, problem: str) -> CorpusError:
        return CorpusError(problem, path=self.path, line=self.row, record_id=shown(self.admission))


def _wanted(columns: Sequence[str], version: int | None, path: Path) -> list[str]:
    """The columns to read: ids, text, and the lists of codes."""
    lists = [name for name in (*_LISTS, *_TYPED_LISTS) if name in columns]
    if not lists and "target" in columns and version is not None:
        lists = ["target"]
    if not lists:
        hint = "; say whether target holds ICD-9 or ICD-10 (version)" if "target" in columns else ""
        raise CorpusError(f"has no list of codes ({', '.join((*_LISTS, *_TYPED_LISTS))}){hint}", path=path)
    kinds = [_column(_TYPED_LISTS[name], columns, path) for name in lists if name in _TYPED_LISTS]
    optional = [name for name in ("subject_id", "note_id") if name in columns]
    return [_id_column(columns, path), _column("text", columns, path), *optional, *lists, *kinds]


def _id_column(columns: Sequence[str], path: Path) -> str:
    for name in _ID_COLUMNS:
        if name in columns:
            return name
    raise CorpusError("has no column '_id' or 'hadm_id'; use the file as their scripts wrote it", path=path)


def _column(name: str, columns: Sequence[str], path: Path) -> str:
    if name not in columns:
        raise CorpusError(f"has no column {name!r}; use the file as their scripts wrote it", path=path)
    return name


def _id(value: object) -> str:
    return "" if value is None or value != value else whole_number(str(value))  # NaN is not equal to itself


def _listed(value: object, column: str, place: _Place) -> Sequence[str]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(code, str) for code in cast("list[object]", value)):
        raise place.error(f"column {column!r} is no list of strings; numbers have lost their zeros")
    return cast("list[str]", value)


def _rows_of(path: Path, columns: Callable[[Sequence[str]], list[str]]) -> Iterator[tuple[int, Row]]:
    """The rows of a feather or Parquet file, numbered from 1; ``columns`` chooses among the names that are there."""
    if is_folder(path):
        raise CorpusError("is a folder; name the file", path=path)
    if path.suffix.lower() not in _FEATHER + _PARQUET:
        raise CorpusError("unknown kind of table; use .feather or .parquet", path=path)
    try:
        import pyarrow as arrow
    except ImportError:
        raise MissingExtraError("Reading feather and Parquet", "data") from None
    number = 0
    try:
        for batch in _batches(path, columns):
            batch.validate(full=True)  # offsets of a damaged file could point anywhere in memory
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (arrow.ArrowException, OSError, UnicodeDecodeError):
        raise CorpusError("is not a readable table; write it again", path=path) from None


def _batches(path: Path, columns: Callable[[Sequence[str]], list[str]]) -> Iterator[Any]:
    import pyarrow.dataset as dataset

    kind = "parquet" if path.suffix.lower() in _PARQUET else "feather"
    table: Any = dataset.dataset(path, format=kind)
    yield from table.to_batches(columns=columns(table.schema.names), batch_size=_BATCH_ROWS, use_threads=False)
