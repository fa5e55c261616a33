"""``nosology corpus``: what is done to a corpus before anything learns from it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nosology.cli.data import ALL_SPLITS, OnError

if TYPE_CHECKING:
    from nosology.cleaning.applying import Cleaned
    from nosology.cleaning.noise import Noise
    from nosology.config import CleaningConfig, Recipe
    from nosology.corpora.preparation.manifest import Manifest
    from nosology.types import Corpus

app = typer.Typer(
    help="Work on a corpus before anything learns from it.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def corpus() -> None:
    """Work on a corpus before anything learns from it."""


@app.command()
def clean(
    corpus: Annotated[
        str, typer.Argument(metavar="CORPUS", help="A prepared folder, a recipe file, or the name of a shipped recipe.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to make; a prepared one is replaced.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Where a recipe's corpus lies; the recipe's own path otherwise."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="The splits that are looked through, joined by +, or all; others stay as they are.")
    ] = "train",
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="minilm, lexical (no network), a folder, or a name on the model hub; repeat it.  [default: minilm]",
        ),
    ] = None,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Cut copies and boilerplate out of the notes.")
    ] = False,
    drop_implausible: Annotated[
        bool, typer.Option("--drop-implausible", help="Take away codes that are likely wrong.")
    ] = False,
    add_missing: Annotated[bool, typer.Option("--add-missing", help="Add codes that are likely missing.")] = False,
    weigh: Annotated[
        bool, typer.Option("--weigh", help="Give codes a certainty, which a network takes as its target.")
    ] = False,
    share: Annotated[float, typer.Option(help="Share of codes thought to be mistakes, in (0, 0.9].")] = 0.1,
    implausible: Annotated[float, typer.Option(help="Least probability of a wrong code, in (0, 1).")] = 0.12,
    missing: Annotated[float, typer.Option(help="Least probability of a missing code, in (0, 1).")] = 0.5,
    least_weight: Annotated[float, typer.Option(help="Certainty of a code that is surely wrong, in [0, 1].")] = 0.3,
    similarity: Annotated[float, typer.Option(help="Least cosine of a copy, in (0, 1].")] = 0.95,
    boilerplate_share: Annotated[
        float, typer.Option(help="Least share of patients that boilerplate stands with, in (0, 1].")
    ] = 0.02,
    max_words: Annotated[int, typer.Option(help="Words of a chunk, at most.")] = 60,
    synonyms: Annotated[int, typer.Option(help="Wordings of a code, its title included.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where vectors of sentences are kept.  [default: NOSOLOGY_CACHE]")
    ] = None,
    show_text: Annotated[
        bool, typer.Option("--show-text", help="Also write the words that findings point at: note text.")
    ] = False,
    on_error: Annotated[
        OnError, typer.Option(help="At a broken record of a recipe's corpus: stop, or skip and count it.")
    ] = OnError.RAISE,
) -> None:
    """Find copied text, codes that are likely wrong and codes that are likely missing; report them, and act if asked.

    The folder holds the corpus as a prepared one, to train on, report.md and report.csv, and what is left of notes that
    were cut (kept.jsonl). By default nothing is changed. Codes of dev and test are not touched unless --split says so:
    scores on changed codes compare with nobody's. A recipe's [cleaning] does the same before each training.

    Examples:

    \b
      nosology corpus clean simulated --out cleaned --encoder lexical
      nosology corpus clean mimic3-50 --out mimic3-50-clean --drop-duplicates --drop-implausible
      nosology corpus clean my_recipe.toml --data notes.csv --out cleaned --share 0.3 --show-text
    """
    from nosology.codes.cache import cache_dir
    from nosology.config import CleaningConfig, DuplicateRule, Measures, NoiseThresholds
    from nosology.corpora.preparation.folder import check_folder_target
    from nosology.corpora.preparation.layout import import_arrow
    from nosology.corpora.preparation.manifest import is_prepared

    options = CleaningConfig(
        encoders=tuple(encoder or ("minilm",)),
        synonyms=synonyms,
        max_words=max_words,
        seed=seed,
        thresholds=NoiseThresholds(share, implausible, missing, least_weight),
        duplicates=DuplicateRule(similarity, boilerplate_share=boilerplate_share),
        measures=Measures(drop_duplicates, drop_implausible, add_missing, weigh),
    )
    import_arrow()
    check_folder_target(out, is_prepared)
    recipe = _recipe(corpus, data)
    _clean(recipe, options, cache or cache_dir(), split, out, show_text, on_error)


def _recipe(name: str, data: Path | None) -> Recipe:
    from nosology.cli.data import recipe_with_data
    from nosology.config import PreparedConfig, Recipe, load_recipe
    from nosology.errors import ConfigError
    from nosology.shipped_recipes import find_recipe

    if Path(name).is_dir():
        if data is not None:
            raise ConfigError("--data belongs to a recipe; a prepared folder holds its data")
        return Recipe(PreparedConfig(path=str(Path(name).absolute())))
    return recipe_with_data(load_recipe(find_recipe(name)), data)


def _clean(
    recipe: Recipe,
    options: CleaningConfig,
    cache: Path,
    split: str,
    out: Path,
    show_text: bool,
    on_error: OnError,
) -> None:
    from nosology.cleaning.applying import apply_measures
    from nosology.cleaning.noise import find_noise
    from nosology.cleaning.report import write_report
    from nosology.cli.data import choose_splits, read_corpus
    from nosology.cli.progress import progress_bar
    from nosology.codes.titles import TitleTable
    from nosology.corpora.prepared import write_prepared
    from nosology.knowledge.building import build_knowledge, open_systems
    from nosology.knowledge.wordings import Wordings

    corpus = read_corpus(recipe, on_error)
    has_splits = any(one.split for one in corpus)
    looked_at = choose_splits(corpus, split if has_splits else ALL_SPLITS)
    systems = open_systems(corpus.systems, recipe)
    titles = TitleTable.of(systems)
    with progress_bar("reading code tables") as tell:
        noise = find_noise(looked_at, Wordings(titles, lambda: build_knowledge(systems, recipe)), options, tell, cache)
        cleaned = apply_measures(corpus, noise, options.measures)
    named = {code: titles.title(code) for code in noise.codes}
    manifest = _manifest(corpus, options, split, noise, cleaned)

    def report(folder: Path) -> None:
        write_report(folder, corpus, noise, cleaned, named, show_text=show_text)

    write_prepared(out, cleaned.corpus, manifest, beside=report)
    _tell(noise, cleaned, out)


def _manifest(corpus: Corpus, options: CleaningConfig, split: str, noise: Noise, cleaned: Cleaned) -> Manifest:
    from nosology.corpora.preparation.manifest import Manifest

    plain = asdict(options) | {"encoders": list(options.encoders)}
    counts = {
        "encounters": len(corpus),
        "looked through": len(noise.encounter_ids),
        "codes dropped": cleaned.dropped_codes,
        "codes added": cleaned.added_codes,
        "codes doubted": cleaned.doubted_codes,
        "chunks cut out": cleaned.dropped_chunks,
        "evidence lost": cleaned.lost_evidence,
    }
    decisions = tuple(f"cleaned: {name.replace('_', ' ')}" for name in options.measures.taken)
    told = {"cleaning": plain, "split": split}
    return Manifest(corpus.name, told, {}, counts, decisions, ())


def _tell(noise: Noise, cleaned: Cleaned, out: Path) -> None:
    from collections import Counter

    from nosology.cli.data import tell

    kinds = Counter([*(one.kind for one in noise.findings), *(one.kind for one in noise.duplicates)])
    done = {
        "implausible": cleaned.dropped_codes,
        "missing": cleaned.added_codes,
        "copy": None,
        "boilerplate": None,
    }
    names = {"implausible": "codes likely wrong", "missing": "codes likely missing", "copy": "copied chunks"}
    for kind, acted in done.items():
        acted_on = "" if acted is None else f"  {acted:,} {'dropped' if kind == 'implausible' else 'added'}"
        print(f"{names.get(kind, 'boilerplate chunks'):<22}{kinds[kind]:>9,}{acted_on}")
    if cleaned.dropped_chunks:
        print(f"{'chunks cut out':<22}{cleaned.dropped_chunks:>9,}  {cleaned.lost_evidence:,} pieces of evidence")
    if cleaned.doubted_codes:
        print(f"{'codes doubted':<22}{cleaned.doubted_codes:>9,}  less certain than 0.9")
    tell(f"wrote the corpus, report.md and report.csv: {out}")
