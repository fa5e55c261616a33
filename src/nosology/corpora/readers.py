"""From a recipe's corpus section to a corpus, and the readers that plugins add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import assert_never, cast

from nosology.config import (
    CodiespConfig,
    CorpusConfig,
    PreparedConfig,
    SimulatedConfig,
    SimulatedMimic3Config,
    TabularConfig,
)
from nosology.corpora.codiesp import read_codiesp
from nosology.corpora.prepared import read_prepared
from nosology.corpora.reading import OnError
from nosology.corpora.tabular import TabularColumns, read_tabular
from nosology.errors import ConfigError, CorpusError
from nosology.types import Corpus

ENTRY_POINT_GROUP = "nosology.corpora"
# ``object``: a plugin may return anything, so its answer is checked.
PluginReader = Callable[[Path, Mapping[str, str]], object]


def open_corpus(config: CorpusConfig, path: str | Path | None = None, *, on_error: OnError = "raise") -> Corpus:
    """Read the corpus that a recipe asks for.

    Args:
        config: the recipe's corpus section.
        path: the data; ``None`` takes the section's own path. The simulator needs none.
        on_error: "raise" stops at the first broken record, "skip" leaves it out and lists it in ``Corpus.skipped``.

    Raises:
        ConfigError: the reader needs a path and there is none.
        CorpusError: the data are missing or broken.
    """
    match config:
        case CodiespConfig():
            folder = _path(path or config.path, config.reader)
            return read_codiesp(folder, task=config.task, language=config.language, on_error=on_error)
        case TabularConfig():
            return _open_tabular(config, _path(path or config.path, config.reader), on_error)
        case SimulatedConfig():
            return _simulate(config)
        case SimulatedMimic3Config():
            return _simulate_mimic3(config)
        case PreparedConfig():
            return read_prepared(_path(path or config.path, config.reader))
        case _:
            assert_never(config)


def plugin_readers() -> dict[str, EntryPoint]:
    """The readers that installed packages offer in the entry-point group ``nosology.corpora``, by name."""
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}


def open_plugin_corpus(reader: str, path: str | Path, options: Mapping[str, str] | None = None) -> Corpus:
    """Read a corpus with a plugin: an entry point that names a callable ``(path, options) -> Corpus``.

    Raises:
        ConfigError: no installed package offers this reader, or it cannot be loaded.
        CorpusError: it returned something that is not a corpus.
    """
    known = plugin_readers()
    if reader not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ConfigError(f"no plugin offers the corpus reader {reader!r}; installed: {names}")
    try:
        read = cast("PluginReader", known[reader].load())
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the corpus reader {reader!r} cannot be loaded: {type(error).__name__}") from error
    corpus = read(Path(path), dict(options or {}))
    if not isinstance(corpus, Corpus):
        raise CorpusError(f"the corpus reader {reader!r} returned a {type(corpus).__name__}, not a Corpus", path=path)
    return corpus


def _path(path: str | Path | None, reader: str) -> Path:
    if path is None:
        raise ConfigError(f"the corpus reader {reader!r} needs its data: give --data, or path in the recipe")
    return Path(path)


def _simulate(config: SimulatedConfig) -> Corpus:
    from nosology.corpora.simulated import simulate_corpus
    from nosology.corpora.simulation.settings import SimulatedConfig as Settings

    corpus = simulate_corpus(Settings(n_admissions=config.encounters, n_codes=config.codes, seed=config.seed))
    if not config.noise:
        return corpus
    from nosology.corpora.simulation.noise import plant_noise

    noisy, _ = plant_noise(corpus.split("train"), config.noise, config.seed)
    changed = {one.encounter_id: one for one in noisy}
    return corpus.with_encounters([changed.get(one.encounter_id, one) for one in corpus])


def _simulate_mimic3(config: SimulatedMimic3Config) -> Corpus:
    from nosology.corpora.simulated_mimic import simulate_mimic3

    return simulate_mimic3(config.admissions, config.variant, words=config.words, seed=config.seed)


def _open_tabular(config: TabularConfig, path: Path, on_error: OnError) -> Corpus:
    columns = TabularColumns(
        text=config.text,
        codes=config.codes,
        encounter_id=config.encounter_id or None,
        note_id=config.note_id or None,
        group_id=config.group_id or None,
        split=config.split or None,
        evidence=config.evidence or None,
    )
    return read_tabular(
        path,
        columns=columns,
        system=config.system,
        language=config.language,
        separator=config.separator,
        on_error=on_error,
    )
