"""What a prepared folder says of itself: inputs and outputs with their hashes, counts at every step, decisions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from nosology import __version__
from nosology.errors import CorpusError

FORMAT = "nosology-prepared"
FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
_MAX_EXAMPLES = 5
_AGAIN = "run `nosology prepare` again"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file: its length and its SHA-256 in lower-case hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something found in the raw files that a person should know.

    Args:
        message: what, in the plural and without note text.
        count: how many records.
        examples: the ids of the first few.
    """

    message: str
    count: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = (
            f" ({', '.join(self.examples)}{', ...' if self.count > len(self.examples) else ''})"
            if self.examples
            else ""
        )
        return f"{self.message}: {self.count:,}{shown}"


@dataclass(slots=True)
class Journal:
    """Collects, while a corpus is prepared, what the manifest will say.

    Args:
        counts: records at every step, in order.
        decisions: what was decided, as sentences.
        warnings: what a person should know.
    """

    counts: dict[str, int] = field(default_factory=dict[str, int])
    decisions: list[str] = field(default_factory=list[str])
    warnings: list[Warned] = field(default_factory=list[Warned])

    def count(self, step: str, number: int) -> None:
        """Note how many records a step had."""
        self.counts[step] = int(number)

    def decide(self, sentence: str) -> None:
        """Note a decision."""
        self.decisions.append(sentence)

    def warn(self, message: str, count: int, examples: tuple[str, ...] | list[str] = ()) -> None:
        """Note a warning if it concerns any record."""
        if count:
            self.warnings.append(Warned(message, int(count), tuple(examples[:_MAX_EXAMPLES])))


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``manifest.json``.

    Args:
        corpus: what was prepared ("mimic3", "codiesp", ...).
        options: every option, as it was understood.
        inputs: the raw files that were read, by their path inside the raw folder.
        counts: records at every step, in order.
        decisions: what was decided, as sentences.
        warnings: what a person should know.
        outputs: the other files of the folder.
        nosology_version: of the package that wrote it.
    """

    corpus: str
    options: Mapping[str, object]
    inputs: Mapping[str, FileFacts]
    counts: Mapping[str, int]
    decisions: tuple[str, ...]
    warnings: tuple[Warned, ...]
    outputs: Mapping[str, FileFacts] = field(default_factory=dict[str, FileFacts])
    nosology_version: str = __version__

    def to_json(self) -> str:
        """As ``manifest.json`` holds it."""
        content = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "nosology_version": self.nosology_version,
            "corpus": self.corpus,
            "options": dict(self.options),
            "inputs": {name: _plain(facts) for name, facts in self.inputs.items()},
            "counts": dict(self.counts),
            "decisions": list(self.decisions),
            "warnings": [{"message": w.message, "count": w.count, "examples": list(w.examples)} for w in self.warnings],
            "outputs": {name: _plain(facts) for name, facts in self.outputs.items()},
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_manifest(folder: str | Path) -> Manifest:
    """Read a prepared folder's manifest.

    Raises:
        CorpusError: there is none, it is damaged, or of another version.
    """
    path = Path(folder) / MANIFEST_NAME
    content = _json_object(path)
    if content.get("format") != FORMAT:
        raise CorpusError("not the manifest of a prepared corpus; `nosology prepare` makes one", path=path)
    if content.get("format_version") != FORMAT_VERSION:
        version = content.get("format_version")
        raise CorpusError(f"format version {version}, and this nosology reads {FORMAT_VERSION}; {_AGAIN}", path=path)
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CorpusError(f"damaged: a key is missing or wrong; {_AGAIN}", path=path) from None


def is_prepared(folder: Path) -> bool:
    """Whether the folder's manifest says that this package wrote it, in whatever version."""
    try:
        return _json_object(folder / MANIFEST_NAME).get("format") == FORMAT
    except CorpusError:
        return False


def file_facts(path: Path) -> FileFacts:
    """Length and SHA-256 of a file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileFacts(path.stat().st_size, digest)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content: object = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CorpusError("no such file: not a prepared corpus; `nosology prepare` makes one", path=path) from None
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror})", path=path) from None
    except (ValueError, RecursionError):
        raise CorpusError(f"truncated or damaged: not JSON; {_AGAIN}", path=path) from None
    if not isinstance(content, dict):
        raise CorpusError(f"damaged: not a JSON object; {_AGAIN}", path=path)
    return cast("dict[str, Any]", content)


def _parse(content: dict[str, Any]) -> Manifest:
    return Manifest(
        corpus=str(content["corpus"]),
        options=dict(content["options"]),
        inputs={str(name): _facts(item) for name, item in content["inputs"].items()},
        counts={str(name): int(number) for name, number in content["counts"].items()},
        decisions=tuple(str(sentence) for sentence in content["decisions"]),
        warnings=tuple(
            Warned(str(item["message"]), int(item["count"]), tuple(item["examples"])) for item in content["warnings"]
        ),
        outputs={str(name): _facts(item) for name, item in content["outputs"].items()},
        nosology_version=str(content["nosology_version"]),
    )


def _plain(facts: FileFacts) -> dict[str, object]:
    return {"bytes": facts.bytes, "sha256": facts.sha256}


def _facts(item: Mapping[str, Any]) -> FileFacts:
    return FileFacts(int(item["bytes"]), str(item["sha256"]))
