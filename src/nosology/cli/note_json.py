"""A coded note as JSON: a line of the predictions file, and what a program wants to know besides.

    {"id": "note1", "abstained": false, "codes": [{"code": "I10", "system": "icd10cm", "description": "...",
     "probability": 0.93, "assigned": true, "evidence": [{"note_id": "note1", "start": 10, "end": 22}]}]}

A note that could not be coded also has ``"failed": "..."``, the reason. ``nosology.evaluation.read_predictions`` reads
it. It holds no note text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from nosology.errors import ConfigError
from nosology.types import CodedEncounter, Evidence, SuggestedCode
from nosology.whole_files import writing_file


def json_line(coded: CodedEncounter) -> str:
    """One coded note as one line of JSON, without the line's end."""
    codes = [_code(suggested) for suggested in coded.codes]
    failed = {"failed": coded.failed} if coded.failed else {}
    line = {"id": coded.encounter_id, "abstained": coded.abstained, **failed, "codes": codes}
    return json.dumps(line, ensure_ascii=False)


def _code(suggested: SuggestedCode) -> dict[str, object]:
    return {
        "code": suggested.code,
        "system": suggested.system,
        "description": suggested.description,
        "probability": round(suggested.probability, 6),
        "assigned": suggested.assigned,
        "evidence": [_evidence(evidence) for evidence in suggested.evidence],
    }


def _evidence(evidence: Evidence) -> dict[str, object]:
    outer: dict[str, object] = {"note_id": evidence.note_id, "start": evidence.start, "end": evidence.end}
    parts = [[part.start, part.end] for part in evidence.parts]
    return outer if len(parts) == 1 else {**outer, "parts": parts}


def write_one_file(coded: Iterable[CodedEncounter], out: Path) -> int:
    """Write a line a note to one file, which appears when all are written.

    Returns:
        The number of notes.
    """
    count = 0
    with writing_file(out) as path, path.open("w", encoding="utf-8") as stream:
        for one in coded:
            stream.write(json_line(one) + "\n")
            count += 1
    return count


def write_one_file_each(coded: Iterable[CodedEncounter], folder: Path) -> int:
    """Write ``ID.json`` a note into a folder, each file whole; those written before a stop stay.

    Returns:
        The number of notes.

    Raises:
        ConfigError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); choose another place") from error
    count = 0
    for one in coded:
        with writing_file(folder / f"{one.encounter_id}.json") as path:
            path.write_text(json_line(one) + "\n", encoding="utf-8")
        count += 1
    return count
