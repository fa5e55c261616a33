"""What preparing MIMIC-III and MIMIC-IV has in common: finding the files, reading them once, writing the folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from nosology.corpora.preparation.assembly import Material, assemble
from nosology.corpora.preparation.manifest import FileFacts, Journal, Manifest, file_facts, read_manifest
from nosology.corpora.preparation.options import MimicOptions
from nosology.corpora.preparation.raw_tables import find_table
from nosology.corpora.preparation.source import Source
from nosology.corpora.preparation.spill import TextSpill
from nosology.corpora.preparation.split_ids import find_split_files
from nosology.corpora.preparation.unchanged import check_place, is_unchanged
from nosology.corpora.preparation.writing import writing_prepared
from nosology.errors import CorpusError

Report = Callable[[str, float], None]

# Of the whole work; what remains is writing.
_READING_SHARE = 0.7
_CHECKSUMS = "SHA256SUMS.txt"


@dataclass(frozen=True, slots=True)
class Preparation:
    """What became of a preparation.

    Args:
        manifest: of the folder.
        unchanged: whether the folder held just this already and was left as it was.
    """

    manifest: Manifest
    unchanged: bool


class Release(Protocol):
    """A release that can be prepared."""

    @property
    def corpus(self) -> str:
        """The name that the manifest gives the corpus."""
        ...

    def tables(self) -> tuple[Sequence[str], Sequence[str]]:
        """The tables that must be there, and those read if they are."""
        ...

    def split_tables(self) -> tuple[str, ...]:
        """What the published table of ids of this variant may be called."""
        ...

    def read(self, source: Source, texts: TextSpill, journal: Journal) -> Material:
        """Read every table that is there, once."""
        ...


def run_preparation(
    release: Release, raw: Path, out: Path, options: MimicOptions, progress: Report | None = None
) -> Preparation:
    """Prepare a release, or find that the folder holds just that already.

    Args:
        release: which tables there are and how they are read.
        raw: the folder of the release.
        out: the prepared folder to make.
        options: what to keep.
        progress: called with the stage and the fraction done.

    Raises:
        CorpusError: a table is missing or broken, or the folder cannot be written.
    """
    report = progress or _silent
    tables = _find_tables(raw, *release.tables())
    check_place(raw, out)
    source = Source(raw, tables, _advance(report, sum(path.stat().st_size for path in tables.values())))
    split_files = _split_files(release, options)
    plain = _plain_options(options)
    inputs = source.files() | {f"split-ids/{path.name}": path for path in split_files}
    report("comparing hashes", -1.0)
    if is_unchanged(out, release.corpus, plain, inputs):
        return Preparation(read_manifest(out), unchanged=True)
    journal = Journal()
    with writing_prepared(out, Manifest(release.corpus, plain, {}, {}, (), ())) as writer:
        texts = TextSpill(writer.folder / "texts.tmp")
        try:
            material = release.read(source, texts, journal)
            _compare_with_checksums(raw, source.facts())
            for done in assemble(writer, material, options, split_files, journal):
                report("writing notes", _READING_SHARE + (1 - _READING_SHARE) * done)
        finally:
            texts.remove()
        facts = source.facts() | {f"split-ids/{path.name}": file_facts(path) for path in split_files}
        decisions, warnings = tuple(journal.decisions), tuple(journal.warnings)
        writer.manifest = Manifest(release.corpus, plain, facts, journal.counts, decisions, warnings)
    return Preparation(writer.manifest, unchanged=False)


def _silent(stage: str, fraction: float) -> None:
    """Report to nobody."""


def _find_tables(raw: Path, names: Sequence[str], optional: Sequence[str]) -> dict[str, Path]:
    found = {name: find_table(raw, name) for name in (*names, *optional)}
    missing = [name for name in names if found[name] is None]
    if missing:
        listed = ", ".join(f"{name}.csv(.gz)" for name in missing)
        raise CorpusError(f"the folder has no {listed}; get it from PhysioNet, or correct --raw", path=raw)
    return {name: path for name, path in found.items() if path is not None}


def _advance(report: Report, total: int) -> Callable[[str, int], None]:
    done = 0

    def advance(name: str, count: int) -> None:
        nonlocal done
        done += count
        report(f"reading {name}", _READING_SHARE * done / max(total, 1))

    return advance


def _split_files(release: Release, options: MimicOptions) -> tuple[Path, ...]:
    if options.split_ids is None:
        return ()
    caml = {"full": "full", "50": "50"}.get(options.variant, "none")
    return find_split_files(options.split_ids, caml, release.split_tables())


def _plain_options(options: MimicOptions) -> dict[str, object]:
    """The options as the manifest holds them; of a path its last part, for the hashes tell the rest."""
    plain = asdict(options)
    if options.split_ids is not None:
        plain |= {"split_ids": options.split_ids.name, "own_split": None, "seed": 0}
    return plain


def _compare_with_checksums(raw: Path, facts: Mapping[str, FileFacts]) -> None:
    """Compare with the list of hashes that PhysioNet ships with a release, where it was downloaded, too."""
    for listed in raw.rglob(_CHECKSUMS):
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
        pairs = [line.split(maxsplit=1) for line in lines if len(line.split(maxsplit=1)) == 2]
        expected = {(listed.parent / name.strip()).relative_to(raw).as_posix(): digest for digest, name in pairs}
        for name, fact in facts.items():
            if name in expected and expected[name].lower() != fact.sha256:
                problem = f"its SHA-256 is not the one in {_CHECKSUMS}: damaged or changed; download it again"
                raise CorpusError(problem, path=raw / name)
