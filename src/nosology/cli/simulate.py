"""``nosology simulate``: made-up notes and codes in the files of MIMIC-III or MIMIC-IV."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nosology.corpora.simulation.release import Release, ReleaseConfig, Written

_BYTES_A_WORD = 8.5
_BYTES_BESIDE = 25_000_000
_GZIPPED = 0.35
_PICTURES = (".png", ".pdf", ".svg")


class Form(StrEnum):
    """Whose files are written."""

    MIMIC3 = "mimic3"
    MIMIC4 = "mimic4"


def simulate(
    form: Annotated[Form, typer.Argument(metavar="mimic3|mimic4", help="Whose files and columns.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to make; must not exist, or be empty.")],
    admissions: Annotated[int, typer.Option(min=1, help="Admissions with a discharge summary.")] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="Which patients and notes.")] = 0,
    codes: Annotated[
        int, typer.Option(min=0, help="Label space of each ICD version; 0: what MIMIC shows in so many admissions.")
    ] = 0,
    words: Annotated[int, typer.Option(min=200, max=4000, help="Mean words of a discharge summary.")] = 1500,
    labels: Annotated[float, typer.Option(min=1.0, max=40.0, help="Mean codes of an admission.")] = 15.88,
    icd10_share: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="mimic4: share of admissions in ICD-10; 0.37, as published, if not given."),
    ] = None,
    compress: Annotated[bool, typer.Option("--gzip", help="Write .csv.gz instead of .csv.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also draw code frequencies against MIMIC-III's.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that write notes; 0: one a core.")] = 0,
) -> None:
    """Write a simulated MIMIC: notes, codes and tables of codes, in the files of the real release.

    For everyone without the licence: the same commands run on it as on the real files. Nothing in it comes from a
    real note, and its ids lie beyond the real ones. The words that justify the codes stand in evidence.json, in
    MDACE's form. The same options give the same bytes, however many workers there are.

    Examples:

    \b
      nosology simulate mimic3 --admissions 5000 --out sim
      nosology simulate mimic4 --admissions 20000 --icd10-share 1 --gzip --out sim4
      nosology simulate mimic3 --admissions 52726 --out sim --plot frequencies.png
    """
    from nosology.cli.data import tell
    from nosology.cli.progress import progress_bar

    started = time.monotonic()
    config = _config(form, admissions, seed, codes, words, labels, icd10_share)
    _check_target(out, config, compress=compress)
    if plot is not None:
        _check_plot(plot)
    with progress_bar("drawing patients and codes") as report:
        from nosology.corpora.preparation.folder import building_corpus_folder
        from nosology.corpora.simulation.release import Release

        release = Release(config)
        with building_corpus_folder(out, lambda _: False) as building:
            written = release.write(building, compress=compress, workers=workers, report=report)
    if plot is not None:
        _plot(release, plot)
    tell(f"{_summary(written)} in {time.monotonic() - started:.0f} s: {out}")


def _config(
    form: Form, admissions: int, seed: int, codes: int, words: int, labels: float, icd10_share: float | None
) -> ReleaseConfig:
    from nosology.corpora.simulation.release import ReleaseConfig
    from nosology.corpora.simulation.release.settings import Form as ReleaseForm
    from nosology.errors import ConfigError

    options: dict[str, float] = {}
    if icd10_share is not None:
        if form is Form.MIMIC3:
            raise ConfigError("--icd10-share is for mimic4; MIMIC-III is coded in ICD-9 throughout")
        options["icd10_share"] = icd10_share
    return ReleaseConfig(ReleaseForm(form.value), admissions, seed, codes, words, labels, **options)


def _check_target(out: Path, config: ReleaseConfig, *, compress: bool) -> None:
    """Refuse a folder in use and a disk that is too small, before long work."""
    import shutil

    from nosology.errors import ConfigError

    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out}: holds files already; name a new or an empty folder")
    if (out.exists() or out.is_symlink()) and not out.is_dir():
        raise ConfigError(f"{out}: is a file, not a folder; choose another place")
    place = next((folder for folder in (out, *out.absolute().parents) if folder.is_dir()), None)
    needed = config.admissions * config.words_per_note * _BYTES_A_WORD * (_GZIPPED if compress else 1.0) + _BYTES_BESIDE
    if place is not None and shutil.disk_usage(place).free < needed:
        raise ConfigError(
            f"{out}: needs about {needed / 1e6:,.0f} MB and its disk has "
            f"{shutil.disk_usage(place).free / 1e6:,.0f} MB free; make room or ask for fewer admissions"
        )


def _check_plot(path: Path) -> None:
    """Refuse, before long work, a picture that could not be drawn at its end."""
    from importlib.util import find_spec

    from nosology.errors import ConfigError, MissingExtraError
    from nosology.whole_files import check_file_target

    if path.suffix.lower() not in _PICTURES:
        raise ConfigError(f"{path}: a plot is written as {', '.join(_PICTURES)}; name it so")
    check_file_target(path)
    if find_spec("matplotlib") is None:
        raise MissingExtraError("A plot", "plots")


def _plot(release: Release, path: Path) -> None:
    from nosology.corpora.simulation.release.frequencies import MIMIC3_DOCUMENTS, plot_frequencies
    from nosology.whole_files import writing_file

    documents = release.config.admissions
    with writing_file(path) as building:
        named = building.with_name(building.name + path.suffix)
        plot_frequencies(
            release.code_counts(),
            named,
            f"Code frequencies of {documents:,} simulated admissions",
            documents / MIMIC3_DOCUMENTS,
        )
        named.replace(building)


def _summary(written: Written) -> str:
    return (
        f"wrote {written.admissions:,} admissions with notes and {written.codes_alone:,} with codes alone, "
        f"{written.size_bytes / 1e6:,.0f} MB"
    )
