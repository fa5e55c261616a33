"""Recipes: TOML files read into frozen dataclasses, with every problem of a file reported at once.

TOML because YAML turns codes into numbers (``041`` -> 33, ``250.10`` -> 250.1, ``NO`` -> False). Nothing is coerced: a
code must be a quoted string, a switch a ``true`` or ``false``; only a whole number may stand where a real one is due.

To add an option, add one line to its section: a name, a type, a default and, where the type allows more than the
option does, a rule: ``folds: int = field(default=5, metadata=between(2, 20))``. The rule holds in Python, too.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from nosology.errors import ConfigError

Check = Callable[[Any], str | None]
SectionT = TypeVar("SectionT")

_CHECK = "check"
_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a string in quotes"}


# --- rules for a field's metadata -----------------------------------------------------------------------------------


def rule(check: Check) -> dict[str, Check]:
    """Metadata for a dataclass field: ``check`` returns what is wrong with a value, or ``None``."""
    return {_CHECK: check}


def between(low: float, high: float) -> dict[str, Check]:
    """The value lies in ``[low, high]``."""
    return rule(lambda value: None if low <= value <= high else f"{value!r} is not between {low} and {high}")


def at_least(low: float) -> dict[str, Check]:
    """The value is ``low`` or more."""
    return rule(lambda value: None if value >= low else f"{value!r} is below {low}")


def above(low: float) -> dict[str, Check]:
    """The value is more than ``low``."""
    return rule(lambda value: None if value > low else f"{value!r} is not above {low}")


def not_empty() -> dict[str, Check]:
    """The string or list holds something."""
    return rule(lambda value: None if len(value) > 0 else "is empty")


class Section:
    """Base of every section: a value that breaks its field's rule is refused however the section is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        problems = list[str]()
        for item in fields(cast(Any, self)):
            problem = _broken_rule(item, getattr(self, item.name))
            if problem is not None:
                problems.append(f"{item.name}: {problem}")
        if problems:
            raise ConfigError(_summary(type(self).__name__, problems))


# --- the sections of a recipe ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CodiespConfig(Section):
    """CodiEsp in its official release layout.

    Args:
        reader: chooses this section.
        task: which codes are the labels.
        language: which text is read; "en" is the release's machine translation, which has no evidence offsets.
        path: the release's folder; relative to the recipe. ``--data`` comes first, ``NOSOLOGY_DATA`` last.
    """

    reader: Literal["codiesp"] = "codiesp"
    task: Literal["diagnoses", "procedures", "both"] = "diagnoses"
    language: Literal["es", "en"] = "es"
    path: str | None = None


@dataclass(frozen=True, slots=True)
class TabularConfig(Section):
    """Rows of a JSONL, CSV or Parquet file, one note a row.

    Args:
        reader: chooses this section.
        system: the code system of every label ("icd10cm", "icd10pcs", "icd9cm", "icd9proc", or your own).
        language: ISO 639-1 of the notes.
        text: the column of the note's text.
        codes: the column of its codes; a list in JSONL and Parquet, ``separator``-joined in CSV.
        encounter_id: the column of ids; rows that share one are notes of one encounter. Empty: the row number.
        note_id: the column of note ids. Empty: made from the encounter's id.
        group_id: the column of patients, never parted by a split. Empty: every encounter is its own group.
        split: the column of "train", "dev", "test". Empty: no splits.
        evidence: the column of evidence spans. Empty: none.
        separator: what parts codes in one CSV cell.
        path: the file; relative to the recipe. ``--data`` comes first.
    """

    reader: Literal["tabular"] = "tabular"
    system: str = field(default="icd10cm", metadata=not_empty())
    language: str = field(default="en", metadata=not_empty())
    text: str = field(default="text", metadata=not_empty())
    codes: str = field(default="codes", metadata=not_empty())
    encounter_id: str = ""
    note_id: str = ""
    group_id: str = ""
    split: str = ""
    evidence: str = ""
    separator: str = field(default=";", metadata=not_empty())
    path: str | None = None


@dataclass(frozen=True, slots=True)
class SimulatedConfig(Section):
    """Seeded, made-up discharge summaries with known codes and evidence; needs no data.

    Args:
        reader: chooses this section.
        encounters: how many are made, all splits together.
        codes: how many distinct codes they draw from.
        seed: the corpus's own seed, apart from the training's.
    """

    reader: Literal["simulated"] = "simulated"
    encounters: int = field(default=2000, metadata=between(10, 1_000_000))
    codes: int = field(default=2000, metadata=between(10, 20_000))
    seed: int = field(default=0, metadata=at_least(0))


@dataclass(frozen=True, slots=True)
class PreparedConfig(Section):
    """A folder that `nosology prepare` made (MIMIC-III, MIMIC-IV and others).

    Args:
        reader: chooses this section.
        path: the folder; relative to the recipe. ``--data`` comes first.
    """

    reader: Literal["prepared"] = "prepared"
    path: str | None = None


CorpusConfig = CodiespConfig | TabularConfig | SimulatedConfig | PreparedConfig


@dataclass(frozen=True, slots=True)
class KnowledgeConfig(Section):
    """Where the knowledge base takes its expressions from.

    Args:
        code_tables: titles and inclusion terms of the code system's tables.
        term_lists: tab-separated files (system, code, term, source, concept), relative to the data folder.
        mined_evidence: the words that people marked as evidence in the training split.
        mined_association: words of the training split that go with a code.
        code_table: a table of your own code system (CSV or TSV: code, description, parent), relative to the data
            folder; for a corpus whose ``system`` is none of the known ones.
    """

    code_tables: bool = True
    term_lists: tuple[str, ...] = ()
    mined_evidence: bool = True
    mined_association: bool = True
    code_table: str | None = None


@dataclass(frozen=True, slots=True)
class CandidatesConfig(Section):
    """Which codes of an encounter are ranked at all.

    Args:
        association: candidates a note from associated words and similar notes, at most.
        unseen: candidates a note that no training note carries, from titles and terms, at most; 0 assigns only codes
            seen in training.
        seen: candidates a note that training notes carry, from titles and terms, at most.
    """

    association: int = field(default=60, metadata=between(0, 500))
    unseen: int = field(default=40, metadata=between(0, 500))
    seen: int = field(default=40, metadata=between(0, 500))


@dataclass(frozen=True, slots=True)
class RankerConfig(Section):
    """The trees of the ranker that all codes share.

    Args:
        boosting_trees: trees of the gradient boosting; 0 leaves it out.
        random_trees: trees of the randomised forest; 0 leaves it out.
    """

    boosting_trees: int = field(default=150, metadata=between(0, 5000))
    random_trees: int = field(default=60, metadata=between(0, 5000))

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.boosting_trees == 0 and self.random_trees == 0:
            raise ConfigError("boosting_trees and random_trees are both 0; a ranker needs trees of one kind")


@dataclass(frozen=True, slots=True)
class CalibrationConfig(Section):
    """From scores to decisions; all of it is chosen on out-of-fold scores inside the training split.

    Args:
        folds: parts of the out-of-fold scores.
        threshold: a probability at which codes are assigned; left out, the one of the highest micro-F1.
        unseen_precision: codes that no training encounter carries get a threshold of their own, the lowest at which
            this share of those assigned is right out of fold; never above ``threshold``. Such a choice is optimistic:
            on new notes expect less.
        abstain_below: where no candidate reaches this probability, the coder abstains from the encounter.
    """

    folds: int = field(default=5, metadata=between(2, 20))
    threshold: float | None = field(
        default=None, metadata=rule(lambda value: None if value is None or 0 <= value <= 1 else "is not in [0, 1]")
    )
    unseen_precision: float = field(default=0.5, metadata=between(0, 1))
    abstain_below: float = field(default=0.1, metadata=between(0, 1))


@dataclass(frozen=True, slots=True)
class TrainingConfig(Section):
    """How the ranker is trained.

    Args:
        folds: parts of the cross-fitting; a group (patient, article) is never in two.
        seed: of every random choice in training; ``--seed`` comes first.
    """

    folds: int = field(default=10, metadata=between(2, 20))
    seed: int = field(default=0, metadata=at_least(0))


@dataclass(frozen=True, slots=True)
class RankerModelConfig(Section):
    """Candidates of several sources, ranked by trees: the default coder. ``[candidates]``, ``[ranker]`` and
    ``[knowledge]`` say how.

    Args:
        kind: chooses this section.
    """

    kind: Literal["ranker"] = "ranker"


@dataclass(frozen=True, slots=True)
class PriorConfig(Section):
    """Baseline: every note gets the commonest codes, with the share of training encounters that carry each.

    Args:
        kind: chooses this section.
        candidates: codes listed a note, at most.
    """

    kind: Literal["prior"] = "prior"
    candidates: int = field(default=100, metadata=between(1, 10_000))


@dataclass(frozen=True, slots=True)
class TfidfConfig(Section):
    """Baseline: TF-IDF of word n-grams and one logistic regression a code.

    Args:
        kind: chooses this section.
        words: in the longest n-gram.
        least_notes: training encounters that an n-gram must occur in.
        strength: weight of the data against the penalty on the weights (``C`` in scikit-learn).
        weights: kept a code, the largest.
        candidates: codes listed a note, at most.
    """

    kind: Literal["tfidf"] = "tfidf"
    words: int = field(default=2, metadata=between(1, 5))
    least_notes: int = field(default=2, metadata=at_least(1))
    strength: float = field(default=100.0, metadata=above(0))
    weights: int = field(default=2000, metadata=at_least(1))
    candidates: int = field(default=100, metadata=between(1, 10_000))


@dataclass(frozen=True, slots=True)
class NeighboursConfig(Section):
    """Baseline: the codes of the most similar training encounters, weighted by cosine of TF-IDF.

    Args:
        kind: chooses this section.
        words: in the longest n-gram.
        least_notes: training encounters that an n-gram must occur in.
        neighbours: encounters that vote.
        candidates: codes listed a note, at most.
    """

    kind: Literal["neighbours"] = "neighbours"
    words: int = field(default=2, metadata=between(1, 5))
    least_notes: int = field(default=2, metadata=at_least(1))
    neighbours: int = field(default=20, metadata=between(1, 10_000))
    candidates: int = field(default=100, metadata=between(1, 10_000))


ModelConfig = RankerModelConfig | PriorConfig | TfidfConfig | NeighboursConfig


@dataclass(frozen=True, slots=True)
class Recipe(Section):
    """Everything that decides what ``train`` makes, apart from the data.

    Args:
        corpus: what is read, and how.
        description: one line for people, shown on the model card.
        knowledge: where expressions come from.
        candidates: which codes are ranked.
        ranker: the trees.
        calibration: probabilities, threshold, abstention.
        training: folds and seed.
        model: what scores codes; a baseline takes no section that is the ranker's alone.
    """

    corpus: CorpusConfig
    description: str = ""
    knowledge: KnowledgeConfig = field(default_factory=KnowledgeConfig)
    candidates: CandidatesConfig = field(default_factory=CandidatesConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    model: ModelConfig = field(default_factory=RankerModelConfig)

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if not isinstance(self.model, RankerModelConfig):
            unread = [name for name, differs in _set_for_the_ranker(self).items() if differs]
            if unread:
                raise ConfigError(
                    f"{', '.join(unread)}: read by the model 'ranker' only, not by {self.model.kind!r}; leave out"
                )

    def with_data(self, path: str | Path) -> Recipe:
        """This recipe with its corpus at ``path``; the simulated corpus has no path and stays as it is."""
        if isinstance(self.corpus, SimulatedConfig):
            return self
        return replace(self, corpus=replace(self.corpus, path=str(path)))


def _set_for_the_ranker(recipe: Recipe) -> dict[str, bool]:
    """What only the ranker reads, and whether the recipe sets it."""
    calibration, own_table = recipe.calibration, recipe.knowledge.code_table
    return {
        "[candidates]": recipe.candidates != CandidatesConfig(),
        "[ranker]": recipe.ranker != RankerConfig(),
        "[knowledge]": recipe.knowledge != KnowledgeConfig(code_table=own_table),
        "[calibration] folds": calibration.folds != CalibrationConfig().folds,
        "[calibration] unseen_precision": calibration.unseen_precision != CalibrationConfig().unseen_precision,
    }


# --- reading --------------------------------------------------------------------------------------------------------


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        path: a TOML file.

    Returns:
        The recipe; a relative ``path`` of its corpus is made absolute, seen from the recipe's folder.

    Raises:
        ConfigError: the file cannot be read or is not TOML, or, all in one line, everything wrong with its keys.
    """
    recipe = dataclass_from_mapping(Recipe, read_toml(path), str(path))
    corpus = recipe.corpus
    if isinstance(corpus, SimulatedConfig) or corpus.path is None:
        return recipe
    return recipe.with_data(Path(path).absolute().parent / corpus.path)


def read_toml(path: str | Path) -> dict[str, object]:
    """A TOML file's keys and values.

    Raises:
        ConfigError: missing, not a file, not UTF-8, or not TOML (with the line).
    """
    try:
        return tomllib.loads(Path(path).read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a TOML file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, NUL in the path
        reason = "not UTF-8 text; save it as UTF-8" if isinstance(error, UnicodeDecodeError) else f"not TOML: {error}"
        raise ConfigError(f"{path}: {reason}") from None


def dataclass_from_mapping(cls: type[SectionT], mapping: Mapping[str, object], where: str) -> SectionT:
    """Build a (nested) dataclass from plain values, or say everything that is wrong with them.

    Args:
        cls: a dataclass; its field types may be ``bool int float str``, ``Literal``, ``X | None``, ``tuple[X, ...]``,
            ``Mapping[str, X]``, another dataclass, or a union of dataclasses told apart by their first field, a
            ``Literal``.
        mapping: keys and values, as TOML or JSON give them.
        where: the file, for the message.

    Raises:
        ConfigError: unknown keys (with the nearest known one), missing keys, wrong types, values out of range.
    """
    problems = list[str]()
    built = _build(cls, mapping, "", problems)
    if problems:
        raise ConfigError(_summary(where, problems))
    return cast(SectionT, built)


class _Bad:
    """Stands for a value that has already been complained about."""


_BAD = _Bad()


def _build(cls: type[Any], mapping: Mapping[str, object], table: str, problems: list[str]) -> object:
    hints = _hints(cls)
    known = {item.name: item for item in fields(cls)}
    for key in mapping:
        if key not in known:
            problems.append(f"{_at(table, key)}: unknown key{_nearest(key, known)}")
    values = dict[str, object]()
    for name, item in known.items():
        if name in mapping:
            values[name] = _read_field(item, hints[name], mapping[name], table, problems)
        elif item.default is MISSING and item.default_factory is MISSING:
            problems.append(f"{_at(table, name)}: is missing")
            values[name] = _BAD
    return _BAD if _BAD in values.values() else _construct(cls, values, table, problems)


def _construct(cls: type[Any], values: Mapping[str, object], table: str, problems: list[str]) -> object:
    """Make the section; what its own ``__post_init__`` says of several fields together is one more problem."""
    try:
        return cls(**values)
    except ConfigError as error:
        problems.append(f"[{table}]: {error}" if table else str(error))
        return _BAD


def _read_field(item: Field[Any], hint: object, value: object, table: str, problems: list[str]) -> object:
    path = f"{table}.{item.name}" if table else item.name
    converted = _convert(value, hint, path, problems)
    if converted is _BAD:
        return _BAD
    problem = _broken_rule(item, converted)
    if problem is not None:
        problems.append(f"{_at(table, item.name)}: {problem}")
        return _BAD
    return converted


def _convert(value: object, hint: Any, path: str, problems: list[str]) -> object:
    """``value`` as the type ``hint`` wants it, or ``_BAD`` and a line in ``problems``."""
    origin = get_origin(hint)
    if origin is Literal:
        return _convert_literal(value, get_args(hint), path, problems)
    if origin in (Union, types.UnionType):
        return _convert_union(value, [arg for arg in get_args(hint) if arg is not type(None)], path, problems)
    if origin is tuple:
        return _convert_list(value, get_args(hint)[0], path, problems)
    if origin in (dict, Mapping):
        return _convert_table(value, get_args(hint)[1], path, problems)
    if is_dataclass(hint):
        if not _is_table(value, path, problems):
            return _BAD
        return _build(cast(type[Any], hint), cast(Mapping[str, object], value), path, problems)
    return _convert_scalar(value, hint, path, problems)


def _convert_scalar(value: object, hint: type, path: str, problems: list[str]) -> object:
    if type(value) is hint:
        return value
    if hint is float and type(value) is int:
        return float(value)
    hint_to_quote = "; write it in quotes" if hint is str and type(value) in (int, float) else ""
    problems.append(f"{_dotted(path)}: expected {_NAMES[hint]}, got {_kind(value)}{hint_to_quote}")
    return _BAD


def _convert_literal(value: object, choices: Sequence[object], path: str, problems: list[str]) -> object:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    listed = ", ".join(repr(choice) for choice in choices)
    nearest = _nearest(value, [c for c in choices if isinstance(c, str)]) if isinstance(value, str) else ""
    problems.append(f"{_dotted(path)}: expected one of {listed}, got {_kind(value)}{nearest}")
    return _BAD


def _convert_union(value: object, members: list[Any], path: str, problems: list[str]) -> object:
    if len(members) == 1:
        return _convert(value, members[0], path, problems)
    if not all(is_dataclass(member) for member in members):
        raise TypeError(f"{path}: a union must be of dataclasses, or of one type and None")
    if not _is_table(value, path, problems):
        return _BAD
    mapping = cast(Mapping[str, object], value)
    tag = fields(members[0])[0].name
    by_tag = {get_args(_hints(member)[tag])[0]: member for member in members}
    if tag not in mapping:
        problems.append(f"{_at(path, tag)}: is missing; one of {', '.join(map(repr, by_tag))}")
        return _BAD
    chosen = _convert_literal(mapping[tag], list(by_tag), f"{path}.{tag}", problems)
    return _BAD if chosen is _BAD else _build(by_tag[chosen], mapping, path, problems)


def _convert_list(value: object, hint: object, path: str, problems: list[str]) -> object:
    if not isinstance(value, list | tuple):
        problems.append(f"{_dotted(path)}: expected a list, got {_kind(value)}")
        return _BAD
    items = cast(Sequence[object], value)
    converted = [_convert(item, hint, f"{path}[{index}]", problems) for index, item in enumerate(items)]
    return _BAD if _BAD in converted else tuple(converted)


def _convert_table(value: object, hint: object, path: str, problems: list[str]) -> object:
    if not _is_table(value, path, problems):
        return _BAD
    mapping = cast(Mapping[str, object], value)
    converted = {key: _convert(item, hint, f"{path}.{key}", problems) for key, item in mapping.items()}
    return _BAD if _BAD in converted.values() else converted


def _is_table(value: object, path: str, problems: list[str]) -> bool:
    if isinstance(value, Mapping):
        return True
    problems.append(f"{_dotted(path)}: expected a table [{path}], got {_kind(value)}")
    return False


def _broken_rule(item: Field[Any], value: object) -> str | None:
    check = item.metadata.get(_CHECK)
    return None if check is None else check(value)


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls)


# --- messages -------------------------------------------------------------------------------------------------------


def _summary(where: str, problems: Sequence[str]) -> str:
    count = "" if len(problems) == 1 else f"{len(problems)} problems: "
    return f"{where}: {count}{'; '.join(problems)}"


def _at(table: str, key: str) -> str:
    return f"[{table}] {key}" if table else key


def _dotted(path: str) -> str:
    table, _, key = path.rpartition(".")
    return _at(table, key)


def _nearest(key: str, known: Mapping[str, object] | Sequence[str]) -> str:
    matches = difflib.get_close_matches(key, list(known), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else f"; known: {', '.join(known)}" if known else ""


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    shown = repr(value)
    return shown if len(shown) <= 60 else f"a {type(value).__name__}"


# --- writing --------------------------------------------------------------------------------------------------------


def to_toml(section: object) -> str:
    """A dataclass as TOML: ``dataclass_from_mapping`` reads it back equal. Fields that are ``None`` are left out."""
    return "\n".join(_table_lines("", _plain(section))).strip() + "\n"


def _plain(section: object) -> dict[str, object]:
    return {item.name: getattr(section, item.name) for item in fields(cast(Any, section))}


def _table_lines(path: str, values: Mapping[str, object]) -> list[str]:
    lines = [f"[{path}]"] if path else []
    tables = dict[str, Mapping[str, object]]()
    for key, value in values.items():
        if is_dataclass(value):
            tables[key] = _plain(value)
        elif isinstance(value, Mapping):
            tables[key] = cast(Mapping[str, object], value)
        elif value is not None:
            lines.append(f"{_toml_key(key)} = {_toml_value(value)}")
    for key, table in tables.items():
        lines += ["", *_table_lines(f"{path}.{_toml_key(key)}" if path else _toml_key(key), table)]
    return lines


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_string(key)


def _toml_string(text: str) -> str:
    # JSON's escapes are TOML's, but TOML also forbids a bare DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _toml_string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, cast(Sequence[object], value)))}]"
    raise TypeError(f"TOML has no place for a {type(value).__name__}")
