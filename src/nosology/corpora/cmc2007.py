"""The Computational Medicine Center's challenge of 2007: radiology reports of children with ICD-9-CM diagnoses.

One XML file a part: ``docs/doc[@id]`` with ``codes/code[@origin]`` and ``texts/text[@type]``. Three companies coded
each report; ``CMC_MAJORITY`` is what at least two of them assigned, and the gold standard. A report is a note of its
own, its sections (CLINICAL_HISTORY, then IMPRESSION) headed as in a report: ``CLINICAL HISTORY: ...``.

The training file has 978 reports. The test file came without codes first and with them later: a report without any
code of the chosen origin has ``codes=None`` if its file has none of that origin at all.

Reference: Pestian et al., 2007, "A shared task involving multi-label classification of clinical free text", BioNLP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from nosology.codes import format_code
from nosology.corpora.reading import OnError, Problems, is_folder, read_bytes, shown
from nosology.errors import CodeError, CorpusError
from nosology.types import Corpus, Encounter, GoldCode, Note

GOLD_ORIGIN = "CMC_MAJORITY"
SECTIONS = ("CLINICAL_HISTORY", "IMPRESSION")
_SYSTEM = "icd9cm"
_CATEGORY = "Radiology"


@dataclass(frozen=True, slots=True)
class _Part:
    """One file and the split it is read as."""

    split: str
    path: Path


class _Place(NamedTuple):
    """A report in a file, for messages: parsed XML has no lines, but every report has an id."""

    path: Path
    document: str

    def error(self, problem: str) -> CorpusError:
        return CorpusError(problem, path=self.path, record_id=shown(self.document))


def read_cmc2007(path: str | Path, *, origin: str = GOLD_ORIGIN, on_error: OnError = "raise") -> Corpus:
    """Read the challenge's XML.

    Args:
        path: one XML file (its reports have no split), or a folder with files whose names hold "train" or "test".
        origin: whose codes are the labels: ``CMC_MAJORITY``, ``COMPANY1``, ``COMPANY2`` or ``COMPANY3``.
        on_error: "raise" stops at the first broken report, "skip" leaves it out and lists it in ``Corpus.skipped``.

    Returns:
        One encounter of one note a report, in file order.

    Raises:
        CorpusError: missing file, not the challenge's XML, a document type (which could hide entity bombs), an origin
            that no code has, or (with "raise") a broken report.
    """
    problems = Problems(on_error)
    parts = _parts(Path(path))
    encounters: dict[str, Encounter] = {}
    origins: set[str] = set()
    for part in parts:
        _read_part(part, origin, problems, encounters, origins)
    if not encounters:
        raise CorpusError(f"no report could be read ({len(problems.skipped)} skipped); mend the file", path=path)
    if origins and origin not in origins:
        names = ", ".join(sorted(filter(None, map(shown, origins))))
        raise CorpusError(f"no code is of origin {origin!r}; its codes come from: {names}", path=path)
    return Corpus("cmc2007", (_SYSTEM,), tuple(encounters.values()), "en", tuple(problems.skipped))


def _parts(path: Path) -> list[_Part]:
    if not is_folder(path):
        return [_Part("", path)]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".xml")
    parts = [_Part(split, file) for split in ("train", "test") for file in files if split in file.name.lower()]
    if not parts:
        raise CorpusError("holds no .xml file with train or test in its name; point at the challenge's data", path=path)
    return parts


def _read_part(
    part: _Part, origin: str, problems: Problems, encounters: dict[str, Encounter], origins: set[str]
) -> None:
    documents = _parse(part.path)
    here = {code.get("origin", "").strip() for document in documents for code in document.iterfind("codes/code")}
    origins |= here
    for number, document in enumerate(documents, start=1):
        with problems.guard():
            one = _encounter(document, number, part, origin)
            if one.encounter_id in encounters:
                problem = "this report stands twice; remove one of the two"
                raise _Place(part.path, one.encounter_id).error(problem)
            encounters[one.encounter_id] = one if origin in here else replace(one, codes=None)


def _parse(path: Path) -> Sequence[Element]:
    """The ``doc`` elements of a file."""
    parser = XMLParser(target=_Builder(path))
    try:
        parser.feed(read_bytes(path))
        root: Element = parser.close()
    except (ParseError, ValueError, LookupError) as error:  # the last two: an encoding it does not know
        line = error.position[0] if isinstance(error, ParseError) else 1
        raise CorpusError("is not well-formed XML here; get the file again", path=path, line=line) from None
    documents = root.findall("doc")
    if not documents:
        raise CorpusError("holds no report (docs/doc); give the challenge's XML", path=path)
    return documents


class _Builder(TreeBuilder):
    """Builds the tree, and refuses a document type: its entities could grow without end."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Called at ``<!DOCTYPE``, before any entity is read."""
        raise CorpusError("declares a document type, which the challenge's files do not; remove it", path=self._path)


def _encounter(document: Element, number: int, part: _Part, origin: str) -> Encounter:
    written = (document.get("id") or "").strip()
    if not written:
        raise CorpusError(f"report {number} has no id; give it one", path=part.path)
    place = _Place(part.path, written)
    note = Note(written, _text(document, place), _CATEGORY)
    codes = dict.fromkeys(_codes(document, origin, place))
    return Encounter(written, (note,), tuple(codes), split=part.split)


def _text(document: Element, place: _Place) -> str:
    """The sections in the order of a report, each behind its heading; empty ones are left out."""
    written = [
        (text.get("type", "").strip().upper(), "".join(text.itertext())) for text in document.iterfind("texts/text")
    ]
    for kind, _ in written:
        if kind not in SECTIONS:
            raise place.error(f"a text is neither {' nor '.join(SECTIONS)}; mend its type")
    ordered = sorted(((kind, text.strip()) for kind, text in written if text.strip()), key=_section_order)
    if not ordered:
        raise place.error("the report has no text; remove it")
    return "\n\n".join(f"{kind.replace('_', ' ')}: {text}" for kind, text in ordered)


def _section_order(section: tuple[str, str]) -> int:
    return SECTIONS.index(section[0])


def _codes(document: Element, origin: str, place: _Place) -> Iterator[GoldCode]:
    for code in document.iterfind("codes/code"):
        if code.get("origin", "").strip() == origin:
            try:
                yield GoldCode(format_code(code.text or "", _SYSTEM), _SYSTEM)
            except CodeError as error:
                raise place.error(f"{error.problem}; mend the code") from None
