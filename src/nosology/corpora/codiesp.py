"""CodiEsp (CLEF eHealth 2020): Spanish clinical cases with ICD-10-CM, ICD-10-PCS and evidence offsets.

The release holds, per split, ``{split}D.tsv`` (diagnoses), ``{split}P.tsv`` (procedures), ``{split}X.tsv`` (evidence),
``text_files/`` and ``text_files_en/`` (machine-translated). What this reader does with its oddities:

* Offsets refer to the Spanish text, so English notes carry no evidence.
* A few evidence rows (7 of 13,658 in train and dev) quote a text that differs from the one at their offsets: the
  offsets are kept, ``CodiespReport.text_mismatches`` counts them. Offsets beyond the text are an error.
* Four rows hold a part of no length ("1320 1320"): that part is dropped. Parts that overlap are merged.
* A code without an evidence row is kept without evidence. A code that only the evidence file has is kept too, because
  the X track is scored on that file alone; ``CodiespReport.evidence_only_codes`` counts them (none in train and dev).
* A case that ``text_files`` has and ``{split}P.tsv`` has not was coded with no procedure: its codes are ``()``.
* A test split whose files of codes are absent is unlabelled: its codes are ``None``.

Reference: Miranda-Escalada et al., 2020, CLEF eHealth; Zenodo 3837305, CC-BY 4.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from nosology.codes.formats import format_code
from nosology.corpora.reading import OnError, Problems, merged_spans, read_note_text, read_rows, shown
from nosology.errors import CodeError, ConfigError, CorpusError
from nosology.types import Corpus, Encounter, Evidence, GoldCode, Note, Span

Task = Literal["diagnoses", "procedures", "both"]
Language = Literal["es", "en"]

LABELLED_SPLITS = ("train", "dev", "test")
SPLITS = (*LABELLED_SPLITS, "background")
_UNLABELLED_ALLOWED = ("test", "background")
_TEXT_FOLDERS: dict[Language, str] = {"es": "text_files", "en": "text_files_en"}
_TRACKS: dict[Task, tuple[str, ...]] = {"diagnoses": ("D",), "procedures": ("P",), "both": ("D", "P")}
_SYSTEMS = {"D": "icd10cm", "P": "icd10pcs"}
_EVIDENCE_TRACKS = {"DIAGNOSTICO": "D", "PROCEDIMIENTO": "P"}


@dataclass(frozen=True, slots=True)
class CodiespReport:
    """What was odd but usable in the evidence rows of the chosen task.

    Args:
        evidence_rows: rows read.
        text_mismatches: file:line of the rows whose quoted text is not the text at their offsets.
        empty_parts: file:line of the rows that lost a part of no length.
        evidence_only_codes: (document, code) pairs that only the evidence file has.
        duplicate_rows: rows of D, P and X that repeat an earlier one.
    """

    evidence_rows: int = 0
    text_mismatches: tuple[str, ...] = ()
    empty_parts: tuple[str, ...] = ()
    evidence_only_codes: tuple[tuple[str, str], ...] = ()
    duplicate_rows: int = 0


@dataclass(slots=True)
class _Tally:
    evidence_rows: int = 0
    text_mismatches: list[str] = field(default_factory=list[str])
    empty_parts: list[str] = field(default_factory=list[str])
    evidence_only_codes: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    duplicate_rows: int = 0

    def report(self) -> CodiespReport:
        return CodiespReport(
            self.evidence_rows,
            tuple(self.text_mismatches),
            tuple(self.empty_parts),
            tuple(self.evidence_only_codes),
            self.duplicate_rows,
        )


class _Place(NamedTuple):
    """A row of a file, for messages."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"

    def error(self, problem: str, document: str = "") -> CorpusError:
        return CorpusError(problem, path=self.path, line=self.line, record_id=shown(document))


# document -> (system, code) -> the evidence of that code, in file order
_Labels = dict[str, dict[tuple[str, str], list[Evidence]]]


def read_codiesp(
    folder: str | Path,
    *,
    task: Task = "diagnoses",
    language: Language = "es",
    on_error: OnError = "raise",
    splits: Sequence[str] | None = None,
) -> Corpus:
    """Read the CodiEsp release.

    Args:
        folder: the folder that holds ``train/``, ``dev/``, ...; or one that holds it, up to two levels up.
        task: which codes are labels.
        language: which text is read; English has no evidence.
        on_error: "raise" stops at the first broken record, "skip" leaves it out and lists it in ``Corpus.skipped``.
        splits: which splits; ``None`` reads those of train, dev and test that are there. "background" has no codes.

    Returns:
        One encounter of one note a case, sorted by id inside each split; ``group_id`` is the article.

    Raises:
        CorpusError: missing folder, wrong layout, or (with "raise") a broken record.
        ConfigError: an unknown task, language or split.
    """
    return read_codiesp_with_report(folder, task=task, language=language, on_error=on_error, splits=splits)[0]


def read_codiesp_with_report(
    folder: str | Path,
    *,
    task: Task = "diagnoses",
    language: Language = "es",
    on_error: OnError = "raise",
    splits: Sequence[str] | None = None,
) -> tuple[Corpus, CodiespReport]:
    """Like ``read_codiesp``, with a report of what was odd in the evidence rows."""
    _check_options(task, language, splits)
    root = find_release(Path(folder))
    reader = _Reader(root, task, language, Problems(on_error))
    encounters = [encounter for split in _present_splits(root, splits) for encounter in reader.read_split(split)]
    systems = tuple(_SYSTEMS[track] for track in _TRACKS[task])
    corpus = Corpus("codiesp", systems, tuple(encounters), language, tuple(reader.problems.skipped))
    return corpus, reader.tally.report()


def article_of(document_id: str) -> str:
    """The article a case comes from: its id without the last ``-N``.

    >>> article_of("S0004-06142005000700014-2")
    'S0004-06142005000700014'
    """
    return document_id.rpartition("-")[0] or document_id


def find_release(folder: Path) -> Path:
    """The folder that holds the splits: ``folder`` itself or a folder up to two levels below it.

    Raises:
        CorpusError: no such folder, none with the layout, or several.
    """
    if not folder.is_dir():
        problem = "is not a folder; point at the unpacked release" if folder.exists() else "no such folder"
        raise CorpusError(f"{problem}; CodiEsp is published as Zenodo record 3837305", path=folder)
    for level in ([folder], folder.glob("*"), folder.glob("*/*")):
        found = sorted(path for path in level if _holds_splits(path))
        if len(found) > 1:
            names = ", ".join(str(path.relative_to(folder)) for path in found)
            raise CorpusError(f"holds several CodiEsp releases ({names}); point at one of them", path=folder)
        if found:
            return found[0]
    if (folder / "text_files").is_dir() or (folder / "text_files_en").is_dir():
        raise CorpusError("is one split of CodiEsp; point at the folder above it", path=folder)
    raise CorpusError(
        "is not a CodiEsp release: no train/text_files, dev/text_files or test/text_files in it; "
        "point at the folder that holds train and dev",
        path=folder,
    )


def _holds_splits(path: Path) -> bool:
    return any((path / split / name).is_dir() for split in SPLITS for name in _TEXT_FOLDERS.values())


def _check_options(task: str, language: str, splits: Sequence[str] | None) -> None:
    for name, value, allowed in (("task", task, _TRACKS), ("language", language, _TEXT_FOLDERS)):
        if value not in allowed:
            raise ConfigError(f"unknown {name} {value!r} for codiesp; choose from {', '.join(allowed)}")
    for split in splits or ():
        if split not in SPLITS:
            raise ConfigError(f"unknown split {split!r} for codiesp; choose from {', '.join(SPLITS)}")
    if splits is not None and (not splits or len(set(splits)) != len(splits)):
        raise ConfigError("splits of codiesp must name each split once, and at least one")


def _present_splits(root: Path, splits: Sequence[str] | None) -> Sequence[str]:
    if splits is None:
        present = [split for split in LABELLED_SPLITS if (root / split).is_dir()]
        if not present:
            raise CorpusError("holds only background; name splits=('background',) to read it", path=root)
        return present
    for split in splits:
        if not (root / split).is_dir():
            there = ", ".join(name for name in SPLITS if (root / name).is_dir())
            raise CorpusError(f"has no split {split!r}; it has: {there}", path=root)
    return splits


class _Reader:
    """Reads one split after another; ids seen, problems and oddities add up."""

    def __init__(self, root: Path, task: Task, language: Language, problems: Problems) -> None:
        self.root = root
        self.tracks = _TRACKS[task]
        self.language: Language = language
        self.problems = problems
        self.tally = _Tally()
        self._split_of: dict[str, str] = {}
        self._codes: dict[tuple[str, str], str] = {}
        self._broken: set[str] = set()

    def read_split(self, split: str) -> list[Encounter]:
        notes = self._read_notes(split)
        labels = self._read_labels(split, notes) if self._is_labelled(split) else None
        return [self._encounter(note, split, labels) for note in notes.values()]

    def _read_notes(self, split: str) -> dict[str, Note]:
        folder = self.root / split / _TEXT_FOLDERS[self.language]
        paths = sorted(folder.glob("*.txt"))
        if not paths:
            state = "holds no .txt file" if folder.is_dir() else "no such folder"
            raise CorpusError(f"{state}; get the {split} split again from the release", path=folder)
        self._broken.clear()
        return {note.note_id: note for note in (self._read_note(path, split) for path in paths) if note is not None}

    def _read_note(self, path: Path, split: str) -> Note | None:
        document = path.stem
        try:
            if document in self._split_of:
                problem = f"this id is in {self._split_of[document]} as well; remove one of the two files"
                raise CorpusError(problem, path=path, record_id=shown(document))
            note = Note(document, read_note_text(path, record_id=shown(document)), language=self.language)
        except CorpusError as error:
            self.problems.report(error)
            self._broken.add(document)
            return None
        self._split_of[document] = split
        return note

    def _is_labelled(self, split: str) -> bool:
        """Whether the split has its files of codes; train and dev must have them."""
        missing = [path for path in self._label_files(split) if not path.is_file()]
        if split == "background" or (split in _UNLABELLED_ALLOWED and len(missing) == len(self.tracks)):
            return False
        if missing:
            raise CorpusError("no such file; get it from the release", path=missing[0])
        return True

    def _label_files(self, split: str) -> list[Path]:
        return [self.root / split / f"{split}{track}.tsv" for track in self.tracks]

    def _read_labels(self, split: str, notes: dict[str, Note]) -> _Labels:
        labels: _Labels = {document: {} for document in notes}
        for track, path in zip(self.tracks, self._label_files(split), strict=True):
            for line, row in read_rows(path):
                with self.problems.guard():
                    self._add_code(labels, _SYSTEMS[track], _Place(path, line), row)
        evidence = self.root / split / f"{split}X.tsv"
        if self.language == "es" and (evidence.is_file() or split not in _UNLABELLED_ALLOWED):
            for line, row in read_rows(evidence):
                with self.problems.guard():
                    self._add_evidence(labels, notes, _Place(evidence, line), row)
        return labels

    def _add_code(self, labels: _Labels, system: str, place: _Place, row: list[str]) -> None:
        if len(row) != 2:
            raise place.error(f"the number of columns is {len(row)}, not 2 (document, code); mend the row")
        document, code = row
        if not self._has_note(document, labels, place):
            return
        key = (system, self._formatted(code, system, place, document))
        if key in labels[document]:
            self.tally.duplicate_rows += 1
        labels[document].setdefault(key, [])

    def _add_evidence(self, labels: _Labels, notes: dict[str, Note], place: _Place, row: list[str]) -> None:
        if len(row) != 5:
            columns = "document, kind, code, text, offsets"
            raise place.error(f"the number of columns is {len(row)}, not 5 ({columns}); mend the row")
        document, kind, code, quoted, offsets = row
        if kind not in _EVIDENCE_TRACKS:
            raise place.error(f"the second column is neither {' nor '.join(_EVIDENCE_TRACKS)}; mend the row")
        track = _EVIDENCE_TRACKS[kind]
        if track not in self.tracks or not self._has_note(document, labels, place):
            return
        text = notes[document].text
        key = (_SYSTEMS[track], self._formatted(code, _SYSTEMS[track], place, document))
        raw = _parse_offsets(offsets, len(text), place, document)
        self._count_oddities(raw, text, quoted, place)
        if key not in labels[document]:
            self.tally.evidence_only_codes.append((document, key[1]))
        spans = labels[document].setdefault(key, [])
        evidence = Evidence(document, merged_spans(raw))
        if evidence in spans:
            self.tally.duplicate_rows += 1
        else:
            spans.append(evidence)

    def _count_oddities(self, raw: Sequence[Span], text: str, quoted: str, place: _Place) -> None:
        self.tally.evidence_rows += 1
        if any(span.start == span.end for span in raw):
            self.tally.empty_parts.append(str(place))
        if " ".join(text[span.start : span.end] for span in raw) != quoted:
            self.tally.text_mismatches.append(str(place))

    def _has_note(self, document: str, labels: _Labels, place: _Place) -> bool:
        """Whether the document was read; one that has no file is a problem, told once."""
        if document in labels:
            return True
        if document not in self._broken:
            self._broken.add(document)
            folder = _TEXT_FOLDERS[self.language]
            raise place.error(f"no file in {folder} has this document's text; add it or remove its rows", document)
        return False

    def _formatted(self, code: str, system: str, place: _Place, document: str) -> str:
        known = self._codes.get((system, code))
        if known is None:
            try:
                known = format_code(code, system)
            except CodeError as error:
                raise place.error(f"{error.problem}; mend the row", document) from None
            self._codes[system, code] = known
        return known

    def _encounter(self, note: Note, split: str, labels: _Labels | None) -> Encounter:
        codes = None if labels is None else _gold_codes(labels[note.note_id])
        return Encounter(note.note_id, (note,), codes, article_of(note.note_id), split)


def _gold_codes(labels: dict[tuple[str, str], list[Evidence]]) -> tuple[GoldCode, ...]:
    return tuple(
        GoldCode(code, system, tuple(sorted(evidence, key=lambda item: item.parts)))
        for (system, code), evidence in labels.items()
    )


def _parse_offsets(offsets: str, text_length: int, place: _Place, document: str) -> list[Span]:
    """The spans of "a b;c d", as written; parts of no length are still in it."""
    spans: list[Span] = []
    for part in offsets.split(";"):
        numbers = part.split()
        if len(numbers) != 2 or not all(number.isascii() and number.isdigit() for number in numbers):
            raise place.error('the offsets are not written "start end;start end"; mend the row', document)
        spans.append(Span(int(numbers[0]), int(numbers[1])))
    for start, end in spans:
        if end < start or all(span.start == span.end for span in spans):
            raise place.error(f"the evidence ends at {end}, not after its start {start}; mend the row", document)
        if end > text_length:
            problem = f"the evidence ends at {end} but the text has {text_length} characters; mend the row"
            raise place.error(problem, document)
    return spans
