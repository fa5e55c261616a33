"""MDACE: codes with the words that justify them, marked by professional coders on notes of MIMIC-III.

The annotations are free, the notes are not: this reader joins the two by ``note_id``, which is MIMIC-III's ROW_ID. What
is coded is a chart: an encounter with all its annotated notes, or with every note of the admission.

* Inpatient (302 charts) and Profee (52), each coded in ICD-10 and mapped to ICD-9. Codes of other systems (CPT, and two
  ICD-9 codes among the ICD-10 ones) are left out and counted.
* Offsets fit the TEXT of NOTEEVENTS as it is. Evidence beyond the text (another release, or a text that was changed) is
  dropped and counted, its code stays: coders assigned it to the chart.
* Notes that the source does not have are counted; a chart without any is left out.

Reference: Cheng et al., 2023, "MDACE: MIMIC Documents Annotated with Code Evidence", ACL.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

from nosology.codes import format_code
from nosology.corpora.preparation.manifest import is_prepared
from nosology.corpora.preparation.raw_tables import RawTable, find_table
from nosology.corpora.prepared import open_prepared
from nosology.corpora.reading import OnError, Problems, decode, read_bytes, shown
from nosology.errors import CodeError, ConfigError, CorpusError
from nosology.types import Corpus, Encounter, Evidence, GoldCode, Note, Span

Setting = Literal["inpatient", "profee"]
ChartNotes = Literal["annotated", "all"]

_SYSTEMS = {"ICD-10-CM": "icd10cm", "ICD-10-PCS": "icd10pcs", "ICD-9-CM": "icd9cm", "ICD-9-PCS": "icd9proc"}
_VERSIONS = {9: ("icd9cm", "icd9proc"), 10: ("icd10cm", "icd10pcs")}
_SPLITS = {"train": "train", "val": "dev", "dev": "dev", "test": "test"}
_COLUMNS = ("row_id", "subject_id", "hadm_id", "category", "text")


@dataclass(frozen=True, slots=True)
class MdaceReport:
    """What did not fit together.

    Args:
        annotations: of the chosen setting and version.
        missing_notes: annotated notes that the source does not have.
        missing_charts: charts of which it has no note; left out.
        beyond_text: annotations whose offsets lie beyond their note's text; their code is kept without them.
        without_evidence: (chart, code) pairs that are left without any evidence by the two above.
        other_systems: annotations of systems that were not asked for, by name; left out.
    """

    annotations: int = 0
    missing_notes: int = 0
    missing_charts: int = 0
    beyond_text: int = 0
    without_evidence: int = 0
    other_systems: Mapping[str, int] = field(default_factory=dict[str, int])


def read_mdace(
    annotations: str | Path,
    notes: str | Path,
    *,
    setting: Setting = "inpatient",
    version: int = 10,
    chart: ChartNotes = "annotated",
    splits: str | Path | None = None,
    on_error: OnError = "raise",
) -> Corpus:
    """Join MDACE's annotations to the notes of MIMIC-III.

    Args:
        annotations: MDACE's folder of data, a folder of its JSON files, or one JSON file.
        notes: MIMIC-III's folder (it holds NOTEEVENTS.csv or .csv.gz), or a folder prepared from it.
        setting: "inpatient" or "profee"; not used where ``annotations`` holds JSON files itself.
        version: of the ICD, 9 or 10.
        chart: "annotated" keeps a chart's annotated notes, "all" every note of the admission.
        splits: a folder of MDACE's (``MDace-ev-train.csv``, ...); without it the encounters have no split.
        on_error: "raise" stops at the first broken chart, "skip" leaves it out and lists it in ``Corpus.skipped``.

    Returns:
        One encounter a chart, by admission; ``group_id`` is the patient.

    Raises:
        ConfigError: an unknown setting, version or kind of chart.
        CorpusError: missing files, notes of another corpus, or (with "raise") a broken chart.
        MissingExtraError: pyarrow is not installed.
    """
    return read_mdace_with_report(
        annotations, notes, setting=setting, version=version, chart=chart, splits=splits, on_error=on_error
    )[0]


def read_mdace_with_report(
    annotations: str | Path,
    notes: str | Path,
    *,
    setting: Setting = "inpatient",
    version: int = 10,
    chart: ChartNotes = "annotated",
    splits: str | Path | None = None,
    on_error: OnError = "raise",
) -> tuple[Corpus, MdaceReport]:
    """Like ``read_mdace``, with a report of what did not fit together."""
    _check_options(setting, version, chart)
    problems = Problems(on_error)
    charts = _read_charts(Path(annotations), setting, version, problems)
    sources = _open_notes(Path(notes), charts, every_note=chart == "all")
    if not sources:
        raise CorpusError(
            "has none of the annotated notes; name MIMIC-III v1.4, or what was prepared of it", path=notes
        )
    split_of = {} if splits is None else _read_splits(Path(splits))
    tally = _Tally()
    encounters: list[Encounter] = []
    for one in charts.values():
        with problems.guard():
            encounter = _join(one, sources.get(one.admission), split_of.get(one.admission, ""), version, tally)
            if encounter is not None:
                encounters.append(encounter)
    if not encounters:
        raise CorpusError(f"no chart could be read ({len(problems.skipped)} skipped); mend the files", path=annotations)
    return Corpus("mdace", _VERSIONS[version], tuple(encounters), "en", tuple(problems.skipped)), tally.report()


def _check_options(setting: str, version: int, chart: str) -> None:
    for name, value, allowed in (("setting", setting, get_args(Setting)), ("chart", chart, get_args(ChartNotes))):
        if value not in allowed:
            raise ConfigError(f"unknown {name} {value!r} of mdace; choose from {', '.join(allowed)}")
    if version not in _VERSIONS:
        raise ConfigError(f"unknown version {version} of the ICD; choose 9 or 10")


@dataclass(slots=True)
class _Tally:
    annotations: int = 0
    missing_notes: int = 0
    missing_charts: int = 0
    beyond_text: int = 0
    without_evidence: int = 0
    other_systems: Counter[str] = field(default_factory=Counter[str])

    def report(self) -> MdaceReport:
        return MdaceReport(
            self.annotations, self.missing_notes, self.missing_charts, self.beyond_text, self.without_evidence,
            dict(sorted(self.other_systems.items())),
        )  # fmt: skip


# --- the annotations ------------------------------------------------------------------------------------------------


class _Annotation(NamedTuple):
    note_id: str
    span: Span
    code: str
    system: str


@dataclass(frozen=True, slots=True)
class _Chart:
    admission: str
    path: Path
    note_ids: tuple[str, ...]
    annotations: tuple[_Annotation, ...]

    def error(self, problem: str) -> CorpusError:
        return CorpusError(problem, path=self.path, record_id=shown(self.admission))


def _read_charts(source: Path, setting: str, version: int, problems: Problems) -> dict[str, _Chart]:
    charts: dict[str, _Chart] = {}
    for path in _json_files(source, setting, version):
        for admission in _admissions(path):
            with problems.guard():
                one = _chart(admission, path)
                if one.admission in charts:
                    raise one.error("this admission stands in another file already; keep one of the two")
                charts[one.admission] = one
    if not charts:
        raise CorpusError(f"no chart could be read ({len(problems.skipped)} skipped); mend the files", path=source)
    return charts


def _json_files(source: Path, setting: str, version: int) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise CorpusError("no such file or folder; name MDACE's folder of data", path=source)
    here = sorted(source.glob("*.json"))
    wanted = (setting, f"icd-{version}")
    found = [path for path in sorted(source.rglob("*.json")) if _lies_below(path.relative_to(source), wanted)]
    if not here and not found:
        problem = f"holds no JSON file, and none below {setting.title()}/ICD-{version}; name MDACE's folder of data"
        raise CorpusError(problem, path=source)
    return found or here


def _lies_below(path: Path, folders: Sequence[str]) -> bool:
    return set(folders) <= {part.lower() for part in path.parts[:-1]}


def _admissions(path: Path) -> list[Any]:
    """The admissions of a file: MDACE has one a file, a list of them will do."""
    try:
        content: object = json.loads(decode(read_bytes(path), path, line=1))
    except (ValueError, RecursionError):
        raise CorpusError("is not JSON; get the file again", path=path) from None
    return cast("list[Any]", content) if isinstance(content, list) else [content]


def _chart(admission: Any, path: Path) -> _Chart:
    try:
        notes = [(str(int(note["note_id"])), list(note["annotations"])) for note in admission["notes"]]
        found = tuple(_annotation(note_id, one) for note_id, annotations in notes for one in annotations)
        return _Chart(str(int(admission["hadm_id"])), path, tuple(note_id for note_id, _ in notes), found)
    except (KeyError, TypeError, ValueError):
        problem = "an admission is not as MDACE writes it (hadm_id, notes, note_id, annotations, begin, end, code)"
        raise CorpusError(f"{problem}; get the file again", path=path) from None


def _annotation(note_id: str, one: Any) -> _Annotation:
    return _Annotation(note_id, Span(int(one["begin"]), int(one["end"])), str(one["code"]), str(one["code_system"]))


# --- the notes ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Admission:
    """The notes of an admission, by ROW_ID, and its patient."""

    patient: str
    notes: dict[str, Note] = field(default_factory=dict[str, Note])


def _open_notes(source: Path, charts: Mapping[str, _Chart], *, every_note: bool) -> dict[str, _Admission]:
    """Admission -> its notes; admissions of which the source has no wanted note are left out."""
    wanted = None if every_note else {note_id for one in charts.values() for note_id in one.note_ids}
    rows = _prepared_rows(source, charts) if is_prepared(source) else _raw_rows(source, charts)
    admissions: dict[str, _Admission] = {}
    for admission, patient, note in rows:
        if wanted is None or note.note_id in wanted:
            admissions.setdefault(admission, _Admission(patient)).notes[note.note_id] = note
    return admissions


def _prepared_rows(source: Path, charts: Mapping[str, _Chart]) -> Iterator[tuple[str, str, Note]]:
    for encounter in open_prepared(source).encounters():
        if encounter.encounter_id in charts:
            yield from ((encounter.encounter_id, encounter.group_id, note) for note in encounter.notes)


def _raw_rows(source: Path, charts: Mapping[str, _Chart]) -> Iterator[tuple[str, str, Note]]:
    import numpy as np

    path = find_table(source, "NOTEEVENTS")
    if path is None:
        raise CorpusError("holds no NOTEEVENTS.csv or .csv.gz; name MIMIC-III's folder", path=source)
    wanted = np.array([int(admission) for admission in charts])
    for records in RawTable(path, _COLUMNS).records():
        admissions = records.numbers("hadm_id")
        chosen = np.flatnonzero(np.isin(admissions, wanted))
        rows, patients = records.numbers("row_id")[chosen], records.numbers("subject_id")[chosen]
        texts, categories = records.columns["text"].take(chosen), records.columns["category"].take(chosen)
        columns = (
            admissions[chosen].tolist(),
            patients.tolist(),
            rows.tolist(),
            texts.to_pylist(),
            categories.to_pylist(),
        )
        for admission, patient, row, text, category in zip(*columns, strict=True):
            yield str(admission), str(patient), Note(str(row), text, category.strip())


# --- bringing them together -----------------------------------------------------------------------------------------


def _join(chart: _Chart, source: _Admission | None, split: str, version: int, tally: _Tally) -> Encounter | None:
    present = {} if source is None else source.notes
    tally.missing_notes += sum(note_id not in present for note_id in chart.note_ids)
    if source is None or not any(note_id in present for note_id in chart.note_ids):
        tally.missing_charts += 1
        return None
    codes: dict[tuple[str, str], dict[Evidence, None]] = {}
    for one in chart.annotations:
        system = _SYSTEMS.get(one.system, "")
        if system not in _VERSIONS[version]:
            tally.other_systems[one.system] += 1
            continue
        tally.annotations += 1
        evidence = codes.setdefault((_formatted(one, system, chart), system), {})
        if one.note_id in present and _fits(one, len(present[one.note_id].text), chart, tally):
            evidence[Evidence(one.note_id, (one.span,))] = None
    tally.without_evidence += sum(not evidence for evidence in codes.values())
    golds = tuple(GoldCode(code, system, tuple(sorted(found, key=_place))) for (code, system), found in codes.items())
    notes = tuple(present[note_id] for note_id in sorted(present, key=int))
    return Encounter(chart.admission, notes, golds, source.patient, split)


def _formatted(one: _Annotation, system: str, chart: _Chart) -> str:
    try:
        return format_code(one.code, system)
    except CodeError as error:
        raise chart.error(f"{error.problem}; mend the file") from None


def _fits(one: _Annotation, length: int, chart: _Chart, tally: _Tally) -> bool:
    start, end = one.span
    if start < 0 or end <= start:
        raise chart.error(f"an annotation from {start} to {end} is no span; get the file again")
    tally.beyond_text += end > length
    return end <= length


def _place(evidence: Evidence) -> tuple[int, Span]:
    return int(evidence.note_id), evidence.parts[0]


def _read_splits(folder: Path) -> dict[str, str]:
    """Admission -> split, from ``...-train.csv``, ``...-val.csv`` and ``...-test.csv``: one id a line."""
    if not folder.is_dir():
        raise CorpusError("no such folder; name MDACE's folder of splits (such as splits/Inpatient)", path=folder)
    files = [path for path in sorted(folder.glob("*-ev-*.csv")) if "code-ev" not in path.name]
    split_of: dict[str, str] = {}
    for path in files:
        split = _SPLITS.get(path.stem.rpartition("-")[2])
        lines = decode(read_bytes(path), path, line=1).splitlines()
        for number, line in enumerate(lines if split else (), start=1):
            admission = line.strip()
            if number == 1 and not admission.isdigit():
                continue  # a heading
            if admission and not admission.isdigit():
                raise CorpusError("this line is no admission; get the file again", path=path, line=number)
            if admission and split_of.setdefault(admission, split or "") != split:
                raise CorpusError("this admission is in two splits; keep one", path=path, line=number)
    if not split_of:
        raise CorpusError("holds no MDace-ev-train.csv and the like with ids in it", path=folder)
    return split_of
