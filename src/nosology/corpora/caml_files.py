"""The files that CAML's notebook writes, and many projects after it: ``train_full.csv``, ``dev_50.csv``, ...

Columns SUBJECT_ID, HADM_ID, TEXT, LABELS, length; labels with dots, joined by ``;``. What they are known to get wrong:

* pandas read procedure codes as numbers, so leading zeros are gone and the dot stands in the wrong place:
  ``04.07`` became ``407`` and then ``40.7``, ``00.40`` became ``40`` and then ``40.``. A label that cannot be billed,
  but can with zeros before it in exactly one way, has lost them: the code table proves it, and the reader writes the
  code in full. Where the label is a code of its own as well (``33.1``, and ``03.31``), nothing can be proved: it is
  kept and reported.
* Texts are lower-cased, without punctuation and without numbers: offsets into them fit no MIMIC note.

Which system a label belongs to follows from its shape: CAML puts a dot into every procedure code, behind two digits.

Reference: Mullenbach et al., 2018, "Explainable Prediction of Medical Codes from Clinical Text", and its
repository's ``dataproc_mimic_III.ipynb``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from nosology.codes import CodeSystem, format_code, has_code_shape, open_code_system, printable
from nosology.corpora.reading import OnError, Problems, is_folder, shown
from nosology.corpora.rows import iterate_rows
from nosology.errors import ConfigError, CorpusError
from nosology.types import Corpus, Encounter, GoldCode, Note

Variant = Literal["full", "50"]

SYSTEMS = ("icd9cm", "icd9proc")
_SPLITS = ("train", "dev", "test")
_COLUMNS = ("SUBJECT_ID", "HADM_ID", "TEXT", "LABELS")
_DIGITS_AND_DOT = re.compile(r"[0-9]{1,4}\.[0-9]{0,2}|[0-9]{1,5}")
_MAX_DIGITS = {"icd9cm": 5, "icd9proc": 4}


@dataclass(frozen=True, slots=True)
class CamlReport:
    """What was done to the labels.

    Args:
        proved: labels whose lost zeros the code table proves, as written -> in full (and so read, unless
            ``restore_zeros=False``).
        ambiguous: labels that are codes, but may also be other codes that lost zeros: as written -> those codes.
        unknown: labels that are no code of the tables, with or without zeros; kept as they are.
        occurrences: of every label in the three above, as written -> how many admissions carry it.
    """

    proved: Mapping[str, str] = field(default_factory=dict[str, str])
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    unknown: tuple[str, ...] = ()
    occurrences: Mapping[str, int] = field(default_factory=dict[str, int])


def read_caml_files(
    folder: str | Path, *, variant: Variant = "full", restore_zeros: bool = True, on_error: OnError = "raise"
) -> Corpus:
    """Read ``{train,dev,test}_{variant}.csv``; those that are there, at least one.

    Args:
        folder: the folder that holds the files.
        variant: "full" or "50".
        restore_zeros: write codes in full where the code table proves that zeros were lost; ``False`` keeps every
            label as CAML wrote it, which a comparison with its published figures needs.
        on_error: "raise" stops at the first broken row, "skip" leaves it out and lists it in ``Corpus.skipped``.

    Returns:
        One encounter of one note an admission; ``group_id`` is the patient.

    Raises:
        ConfigError: an unknown variant.
        CorpusError: no such folder or files, or (with "raise") a broken row.
    """
    return read_caml_files_with_report(folder, variant=variant, restore_zeros=restore_zeros, on_error=on_error)[0]


def read_caml_files_with_report(
    folder: str | Path, *, variant: Variant = "full", restore_zeros: bool = True, on_error: OnError = "raise"
) -> tuple[Corpus, CamlReport]:
    """Like ``read_caml_files``, with a report of the labels that were mended or could not be."""
    if variant not in get_args(Variant):
        raise ConfigError(f"unknown variant {variant!r} of CAML's files; choose from {', '.join(get_args(Variant))}")
    problems, labels = Problems(on_error), _Labels(restore_zeros)
    rows = _Rows(problems, labels)
    for split, path in _files(Path(folder), variant):
        rows.read(split, path)
    if not rows.encounters:
        raise CorpusError(f"no row could be read ({len(problems.skipped)} skipped); mend the files", path=folder)
    corpus = Corpus("caml", SYSTEMS, tuple(rows.encounters.values()), "en", tuple(problems.skipped))
    return corpus, labels.report()


def icd9_system_of(label: str) -> str:
    """The system of an ICD-9 code as CAML and its followers write it: one or two digits and a dot are a procedure.

    >>> icd9_system_of("38.93"), icd9_system_of("038.9"), icd9_system_of("V58.61"), icd9_system_of("486")
    ('icd9proc', 'icd9cm', 'icd9cm', 'icd9cm')
    """
    stem, dot, _ = label.partition(".")
    return "icd9proc" if dot and stem.isdigit() and len(stem) <= 2 else "icd9cm"


def _files(folder: Path, variant: str) -> list[tuple[str, Path]]:
    if not is_folder(folder):
        raise CorpusError("is a file; name the folder that holds train_full.csv and the like", path=folder)
    paths = [(split, folder / f"{split}_{variant}.csv") for split in _SPLITS]
    there = [(split, path) for split, path in paths if path.is_file()]
    if not there:
        names = ", ".join(path.name for _, path in paths)
        raise CorpusError(f"holds none of {names}; point at the folder that CAML's notebook wrote", path=folder)
    return there


class _Place(NamedTuple):
    """A row of a file, for messages."""

    path: Path
    line: int
    admission: str = ""

    def error(self, problem: str) -> CorpusError:
        return CorpusError(problem, path=self.path, line=self.line, record_id=shown(self.admission))


class _Rows:
    """Turns rows into encounters; ids seen add up over the files."""

    def __init__(self, problems: Problems, labels: _Labels) -> None:
        self.encounters: dict[str, Encounter] = {}
        self._problems = problems
        self._labels = labels

    def read(self, split: str, path: Path) -> None:
        for line, row in iterate_rows(path, _COLUMNS, self._problems):
            with self._problems.guard():
                self._add(split, _Place(path, line), {name: str(row[name]) for name in _COLUMNS})

    def _add(self, split: str, place: _Place, row: Mapping[str, str]) -> None:
        admission = whole_number(row["HADM_ID"])
        place = place._replace(admission=admission)
        if not admission:
            raise place.error("HADM_ID is empty; give every row its admission")
        if admission in self.encounters:
            first = self.encounters[admission].split
            raise place.error(f"this admission is in {first} already; remove one of the rows")
        if not row["TEXT"].strip():
            raise place.error("the text is empty; fill it or remove the row")
        codes = self._labels.codes(row["LABELS"], place)
        note = Note(admission, row["TEXT"], "Discharge summary")
        self.encounters[admission] = Encounter(admission, (note,), codes, whole_number(row["SUBJECT_ID"]), split)


def whole_number(written: str) -> str:
    """An id as its digits: pandas writes ``163353.0`` where a column has a blank somewhere."""
    text = written.strip()
    return text[:-2] if text.endswith(".0") and text[:-2].isdigit() else text


_Kind = Literal["plain", "proved", "ambiguous", "unknown"]


class _Verdict(NamedTuple):
    """What a label stands for: the code it is read as, and the codes it is once their zeros are gone."""

    code: GoldCode
    kind: _Kind
    longer: tuple[str, ...] = ()


class _Labels:
    """Labels to codes; each label is judged once."""

    def __init__(self, restore_zeros: bool) -> None:
        self._restore = restore_zeros
        self._tables = {name: open_code_system(name) for name in SYSTEMS}
        self._verdicts: dict[str, _Verdict] = {}
        self._counts: Counter[str] = Counter()

    def codes(self, joined: str, place: _Place) -> tuple[GoldCode, ...]:
        """The codes of one cell of labels.

        Raises:
            CorpusError: something in it is no ICD-9 label.
        """
        written = {label.strip(): None for label in joined.split(";") if label.strip()}
        codes = tuple(dict.fromkeys(self._verdict(label, place).code for label in written))
        self._counts.update(written.keys())
        return codes

    def report(self) -> CamlReport:
        odd = {label: one for label, one in sorted(self._verdicts.items()) if one.kind != "plain"}
        return CamlReport(
            {label: one.longer[0] for label, one in odd.items() if one.kind == "proved"},
            {label: one.longer for label, one in odd.items() if one.kind == "ambiguous"},
            tuple(label for label, one in odd.items() if one.kind == "unknown"),
            {label: self._counts[label] for label in odd},
        )

    def _verdict(self, label: str, place: _Place) -> _Verdict:
        known = self._verdicts.get(label)
        if known is None:
            system = icd9_system_of(label)
            if not has_code_shape(label, system) and not _DIGITS_AND_DOT.fullmatch(label):
                raise place.error(f"LABELS holds {printable(label)}, which is no ICD-9 label; mend the row")
            known = self._verdicts[label] = self._judge(label, system)
        return known

    def _judge(self, label: str, system: str) -> _Verdict:
        table = self._tables[system]
        longer = _with_zeros(label, table)
        billable = _is_billable(label, table)
        if len(longer) == 1 and not billable:
            return _Verdict(GoldCode(longer[0] if self._restore else label, system), "proved", longer)
        known = billable or label in table
        kind: _Kind = "ambiguous" if longer else "plain" if known else "unknown"
        return _Verdict(GoldCode(self._written(label, system), system), kind, longer)

    def _written(self, label: str, system: str) -> str:
        return format_code(label, system) if self._restore and has_code_shape(label, system) else label


def _with_zeros(label: str, table: CodeSystem) -> tuple[str, ...]:
    """The billable codes that this label is once their leading zeros are gone."""
    digits = label.replace(".", "")
    if not digits.isdigit():
        return ()
    longer = (digits.zfill(length) for length in range(len(digits) + 1, _MAX_DIGITS[table.name] + 1))
    return tuple(format_code(code, table.name) for code in longer if _is_billable(code, table))


def _is_billable(code: str, table: CodeSystem) -> bool:
    entry = table.get(code) if has_code_shape(code, table.name) else None
    return entry is not None and entry.billable
