"""Whether a prepared folder is what a preparation would make, so that nothing is done twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nosology import __version__
from nosology.corpora.preparation.manifest import FileFacts, file_facts, is_prepared, read_manifest
from nosology.errors import CorpusError


def check_place(raw: Path, out: Path) -> None:
    """Refuse to write into the raw folder.

    Raises:
        CorpusError: ``out`` lies in it.
    """
    if out.absolute().is_relative_to(raw.absolute()):
        raise CorpusError("lies inside the raw folder, which is never written to; choose another --out", path=out)


def is_unchanged(out: Path, corpus: str, options: Mapping[str, object], inputs: Mapping[str, Path]) -> bool:
    """Whether ``out`` holds just what these inputs and options would give: every hash is taken again."""
    if not is_prepared(out):
        return False
    try:
        manifest = read_manifest(out)
    except CorpusError:
        return False
    if (manifest.corpus, dict(manifest.options)) != (corpus, dict(options)):
        return False
    if manifest.nosology_version != __version__:
        return False
    outputs = {name: out / name for name in manifest.outputs}
    return _match(manifest.outputs, outputs) and _match(manifest.inputs, inputs)


def _match(facts: Mapping[str, FileFacts], files: Mapping[str, Path]) -> bool:
    if set(facts) != set(files):
        return False
    try:
        sizes = all(files[name].stat().st_size == fact.bytes for name, fact in facts.items())
        return sizes and all(file_facts(files[name]) == fact for name, fact in facts.items())
    except OSError:
        return False
