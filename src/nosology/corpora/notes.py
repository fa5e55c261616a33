"""Plain text notes: one .txt file, or a folder of them, as encounters that nobody has coded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nosology.corpora.reading import OnError, Problems, is_encodable, is_folder, read_note_text, shown
from nosology.errors import CorpusError
from nosology.types import Corpus, Encounter, Note


def read_note_files(path: str | Path, *, language: str = "en", on_error: OnError = "raise") -> Corpus:
    """Read notes to be coded.

    Args:
        path: a text file of any name, or a folder whose ``.txt`` files (not those of its subfolders) are notes.
        language: the notes' language, ISO 639-1.
        on_error: "raise" stops at the first broken note, "skip" leaves it out and lists it in ``Corpus.skipped``.

    Returns:
        One encounter a file, sorted by name; its id is the file's name without ``.txt``. Line ends stay as they are.

    Raises:
        CorpusError: missing path, a folder without notes, or (with "raise") an empty note, a NUL byte, bytes that are
            not UTF-8, two files with one id.
    """
    problems = Problems(on_error)
    encounters = tuple(iterate_notes(path, problems, language=language))
    return Corpus("notes", (), encounters, language, tuple(problems.skipped))


def iterate_notes(path: str | Path, problems: Problems, *, language: str = "en") -> Iterator[Encounter]:
    """Like ``read_note_files``, one encounter at a time; ``problems`` takes the broken notes."""
    seen: set[str] = set()
    for file in note_paths(path):
        encounter = None
        with problems.guard():
            encounter = _encounter(file, seen, language)
        if encounter is not None:
            yield encounter


def note_paths(path: str | Path) -> list[Path]:
    """The files that ``read_note_files`` reads, sorted.

    Raises:
        CorpusError: missing path, or a folder without notes.
    """
    path = Path(path)
    if not is_folder(path):
        return [path]
    paths = sorted(file for file in path.iterdir() if file.suffix.lower() == ".txt" and file.is_file())
    if not paths:
        raise CorpusError("the folder holds no .txt file; put one note in each", path=path)
    return paths


def _encounter(file: Path, seen: set[str], language: str) -> Encounter:
    note_id = file.stem if file.suffix.lower() == ".txt" else file.name
    if not is_encodable(note_id):  # Python shows bytes of a name that are not UTF-8 as halves of surrogate pairs
        raise CorpusError("a file's name in this folder is not UTF-8; rename it", path=file.parent)
    if note_id in seen:
        raise CorpusError("another file has this id; rename one of them", path=file, record_id=shown(note_id))
    text = read_note_text(file, record_id=shown(note_id))
    seen.add(note_id)
    return Encounter(note_id, (Note(note_id, text, language=language),))
