"""``nosology prepare``: a raw release in, a prepared corpus out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nosology.cli.data import OnError

if TYPE_CHECKING:
    from nosology.corpora.preparation.manifest import Manifest
    from nosology.corpora.preparation.options import MimicOptions


class Variant(StrEnum):
    """Which codes are kept: every one, the 50 most frequent, or those of at least ten admissions."""

    FULL = "full"
    TOP_50 = "50"
    CLEAN = "clean"


class Codes(StrEnum):
    """Which tables of codes are read."""

    DIAGNOSES = "diagnoses"
    PROCEDURES = "procedures"
    BOTH = "both"


class Version(StrEnum):
    """Which codes of MIMIC-IV are read."""

    ICD9 = "icd9"
    ICD10 = "icd10"


def prepare(
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS", help="mimic3, mimic4, mdace-icd9, mdace-icd10, codiesp, cmc2007, caml, edin, or a recipe."
        ),
    ],
    raw: Annotated[Path, typer.Option("--raw", metavar="DIR", help="Where the raw files lie; never written to.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to make; a prepared one is replaced.")],
    variant: Annotated[
        Variant | None, typer.Option(help="mimic: full (every code), 50 (most frequent), clean (10 or more).")
    ] = None,
    codes: Annotated[Codes | None, typer.Option(help="mimic: which tables of codes.  [default: both]")] = None,
    version: Annotated[Version | None, typer.Option(help="mimic4: which codes.  [default: icd10]")] = None,
    min_count: Annotated[
        int | None, typer.Option(metavar="N", help="mimic: keep codes of at least N admissions.")
    ] = None,
    top: Annotated[int | None, typer.Option(metavar="N", help="mimic: keep the N most frequent codes.")] = None,
    split_ids: Annotated[
        Path | None, typer.Option(metavar="PATH", help="mimic: published ids: CAML's or Edin's folder, or a table.")
    ] = None,
    own_split: Annotated[
        str | None,
        typer.Option(metavar="SHARES", help="mimic: without ids.  [default: train=0.75,dev=0.1,test=0.15]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="mimic: of our own splits.  [default: 0]")] = None,
    addenda: Annotated[
        bool | None, typer.Option("--addenda/--no-addenda", help="mimic3: addenda of summaries.  [default: addenda]")
    ] = None,
    caml_compatible: Annotated[
        bool, typer.Option("--caml-compatible", help="mimic3: CAML's published label space, lost zeros included.")
    ] = False,
    on_error: Annotated[
        OnError | None, typer.Option(help="other corpora: at a broken record.  [default: raise]")
    ] = None,
) -> None:
    """Turn the files of a release into a prepared corpus: Parquet, label space, splits and a manifest.

    The folder appears whole at the end, or not at all; where nothing has changed, nothing is done. The manifest holds
    the SHA-256 of every input, counts at every step, and every decision. 'train', 'evaluate' and 'stats' read it.

    Examples:

    \b
      nosology prepare mimic3 --raw physionet.org/files/mimiciii/1.4 --out mimic3
      nosology prepare mimic3 --variant 50 --split-ids splits_caml --raw mimiciii --out mimic3-50
      nosology prepare mimic4 --version icd10 --variant clean --split-ids splits_edin --raw mimiciv --out mimic4-icd10
      nosology prepare mimic3 --caml-compatible --split-ids splits_caml --raw mimiciii --out mimic3-caml
      nosology prepare my_recipe.toml --raw notes.csv --out prepared
    """
    chosen: dict[str, Any] = {
        "variant": variant and variant.value,
        "codes": codes and codes.value,
        "version": version and version.value,
        "min_count": min_count,
        "top": top,
        "split_ids": split_ids,
        "own_split": own_split,
        "seed": seed,
        "addenda": addenda,
        "caml_compatible": caml_compatible or None,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    started = time.monotonic()
    manifest, unchanged = (
        _prepare_mimic(corpus, raw, out, given, on_error)
        if corpus in ("mimic3", "mimic4")
        else _prepare_other(corpus, raw, out, given, on_error)
    )
    _show(manifest, out, unchanged, time.monotonic() - started)


def _prepare_mimic(
    corpus: str, raw: Path, out: Path, given: Mapping[str, Any], on_error: OnError | None
) -> tuple[Manifest, bool]:
    from nosology.cli.progress import progress_bar
    from nosology.corpora.mimic3 import prepare_mimic3
    from nosology.corpora.mimic4 import prepare_mimic4
    from nosology.errors import ConfigError

    if on_error is not None:
        raise ConfigError("--on-error is not for MIMIC, whose files are read strictly; leave it out")
    options = _options(given)
    prepare_it = prepare_mimic3 if corpus == "mimic3" else prepare_mimic4
    with progress_bar("looking for the tables") as report:
        done = prepare_it(raw, out, options, progress=report)
    return done.manifest, done.unchanged


def _options(given: Mapping[str, Any]) -> MimicOptions:
    from nosology.corpora.preparation.options import MimicOptions, parse_fractions
    from nosology.errors import ConfigError

    if "split_ids" in given and ("own_split" in given or "seed" in given):
        raise ConfigError("--split-ids gives the splits; leave out --own-split and --seed")
    options = dict(given)
    if "own_split" in options:
        options["own_split"] = parse_fractions(options["own_split"])
    return MimicOptions(**options)


def _prepare_other(
    corpus: str, raw: Path, out: Path, given: Mapping[str, Any], on_error: OnError | None
) -> tuple[Manifest, bool]:
    from nosology.cli.progress import progress_bar
    from nosology.corpora.preparation.readers import READERS, prepare_corpus
    from nosology.errors import ConfigError

    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ConfigError(f"{names}: for mimic3 and mimic4 only; a recipe says how another corpus is read")
    at_error = OnError.RAISE if on_error is None else on_error
    options: dict[str, object] = {"on_error": at_error.value}
    with progress_bar("reading the corpus"):
        if corpus in READERS:
            reader = READERS[corpus]
            return prepare_corpus(corpus, raw, out, lambda: reader(raw, at_error.value), options)
        return _prepare_by_recipe(corpus, raw, out, options, at_error)


def _prepare_by_recipe(
    name: str, raw: Path, out: Path, options: dict[str, object], on_error: OnError
) -> tuple[Manifest, bool]:
    from dataclasses import asdict

    from nosology.config import AnySimulatedConfig, PreparedConfig, load_recipe
    from nosology.corpora import open_corpus
    from nosology.corpora.preparation.readers import READERS, ReadCorpus, prepare_corpus
    from nosology.errors import ConfigError
    from nosology.shipped_recipes import find_recipe

    try:
        path = find_recipe(name)
    except ConfigError:
        known = ", ".join(["mimic3", "mimic4", *READERS])
        raise ConfigError(f"{name!r} is no corpus and no recipe; known: {known}, or a recipe") from None
    section = load_recipe(path).corpus
    if isinstance(section, AnySimulatedConfig | PreparedConfig):
        raise ConfigError(f"{name}: its corpus reads no raw files; choose a recipe that does")
    options |= {key: value for key, value in asdict(section).items() if key != "path"}

    def read() -> ReadCorpus:
        return ReadCorpus(open_corpus(section, raw, on_error=on_error.value))

    return prepare_corpus(section.reader, raw, out, read, options)


def _show(manifest: Manifest, out: Path, unchanged: bool, seconds: float) -> None:
    from nosology.cli.data import tell

    if unchanged:
        tell(f"nothing has changed: inputs, options and files are those of {out}")
        return
    width = max(len(step) for step in manifest.counts)
    for step, count in manifest.counts.items():
        print(f"{step:<{width}}  {count:>11,}")
    for decision in manifest.decisions:
        tell(f"decided: {decision}")
    for warning in manifest.warnings:
        tell(f"warning: {warning}")
    megabytes = sum(facts.bytes for facts in manifest.inputs.values()) / 1e6
    tell(f"prepared {manifest.counts['encounters']:,} encounters from {megabytes:,.0f} MB in {seconds:.0f} s: {out}")
