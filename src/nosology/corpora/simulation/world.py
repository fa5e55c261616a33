"""The simulated world: which codes there are, how often, in which diseases, and every way to write them.

A code's wordings depend on the code alone (and on the term lists that the coder may read), never on the corpus's
seed or size: training notes can teach them, and a bigger corpus speaks the same language.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from nosology.corpora.simulation.catalogue import Catalogue, CatalogueCode, read_catalogue
from nosology.corpora.simulation.expressions import contains, core, known_expressions, normalized, readable_wordings
from nosology.corpora.simulation.paraphrase import (
    Wording,
    implied_wordings,
    is_cut_short,
    misspell,
    paraphrase,
    parse_implied,
)
from nosology.corpora.simulation.tables import (
    GROUP_NAMES,
    PROCEDURE_SYSTEMS,
    Concept,
    read_concepts,
    read_groups,
    read_procedures,
)
from nosology.errors import ConfigError, CorpusError

WORLD_SEED = 2026
HIDDEN_WORDINGS, RARE_WORDINGS = 5, 12
"""How many hidden paraphrases a frequent condition and any other code have at most: few agree on what is rare."""
TOPICS_PER_GROUP = 3
_LEAST_WORDINGS = 2
_TRIES = 48
_LEADING = 60
_TITLE_WORDS = 6.0


@dataclass(frozen=True, slots=True)
class WorldCode:
    """A code of the world.

    Args:
        code: formatted.
        system: the code system it belongs to.
        title: its title in the tables.
        topics: (topic, weight) of the disease topics it belongs to; weights add up to 1.
        kind: ``chronic``, ``acute``, ``symptom``, ``status``, ``mechanism`` (an external cause) or ``procedure``.
        sex: the sex it is bound to, empty for any.
        readable: wordings that the coder's sources contain, short ones first.
        known: all wordings in its sources, normalised.
        hidden: wordings that no source contains.
        implied: drugs, results and findings that imply it; no source contains them either.
    """

    code: str
    system: str
    title: str
    topics: tuple[tuple[int, float], ...]
    kind: str
    sex: str
    readable: tuple[str, ...]
    known: frozenset[str]
    hidden: tuple[Wording, ...]
    implied: tuple[Wording, ...]

    @property
    def group(self) -> int:
        """Its main disease group."""
        return self.topics[0][0] // TOPICS_PER_GROUP


@dataclass(frozen=True, slots=True)
class World:
    """All codes, the most frequent first."""

    system: str
    codes: tuple[WorldCode, ...]


@lru_cache(maxsize=4)
def build_world(system: str, n_codes: int, term_lists: tuple[str, ...] = (), procedure_share: float = 0.0) -> World:
    """Choose the codes of a world and write their wordings.

    Args:
        system: of the diagnoses.
        n_codes: how many codes, procedures included.
        term_lists: what else a coder may read.
        procedure_share: share of the codes that are procedures, spread evenly over the ranks.

    Raises:
        ConfigError: a system has fewer codes.
        CorpusError: a term list cannot be read.
    """
    n_procedures = int(n_codes * procedure_share)
    diagnoses = _build_codes(system, n_codes - n_procedures, term_lists)
    if not n_procedures:
        return World(system, diagnoses)
    of_procedures = next(name for name, beside in PROCEDURE_SYSTEMS.items() if beside == system)
    procedures = iter(_build_codes(of_procedures, n_procedures, term_lists))
    others = iter(diagnoses)
    turns = (int((rank + 1) * procedure_share) > int(rank * procedure_share) for rank in range(n_codes))
    return World(system, tuple(next(procedures) if turn else next(others) for turn in turns))


def _build_codes(system: str, n_codes: int, term_lists: tuple[str, ...]) -> tuple[WorldCode, ...]:
    """The first codes of a system, the most frequent first."""
    catalogue = read_catalogue(system)
    if n_codes > len(catalogue.codes):
        raise ConfigError(
            f"simulated corpus: n_codes is {n_codes}, but {system} has {len(catalogue.codes)} billable codes"
        )
    writer = _Writer(system, catalogue.readable | frozenset(_listed_terms(term_lists)))
    concepts = _head(catalogue)
    head = [writer.code(catalogue.codes[code], concept) for code, concept in list(concepts.items())[:n_codes]]
    tail = _tail(catalogue, set(concepts))[: n_codes - len(head)]
    return (*head, *(writer.code(entry, None) for entry in tail))


def unit(*parts: str) -> float:
    """A number in (0, 1) that depends on these strings alone."""
    digest = hashlib.blake2b("\x1f".join((str(WORLD_SEED), *parts)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 1) / (2**64 + 2)


def _head(catalogue: Catalogue) -> dict[str, Concept]:
    """The frequent conditions: the leading ones in file order, the others shuffled."""
    rows: dict[str, Concept] = {}
    for concept in read_procedures() if catalogue.system in PROCEDURE_SYSTEMS else read_concepts():
        listed = concept.icd10 if catalogue.system.startswith("icd10") else concept.icd9
        code = catalogue.resolve(listed) if listed else None
        if code is not None:
            rows.setdefault(code, concept)
    codes = list(rows)
    order = codes[:_LEADING] + sorted(codes[_LEADING:], key=lambda code: unit("head", code))
    return {code: rows[code] for code in order}


def _tail(catalogue: Catalogue, taken: set[str]) -> list[CatalogueCode]:
    """The other codes in a fixed random order; frequent groups, short titles and first encounters come earlier."""
    rest = [entry for entry in catalogue.codes.values() if entry.code not in taken]
    sizes = [0] * len(GROUP_NAMES)
    for entry in rest:
        sizes[entry.group] += 1
    return sorted(rest, key=lambda entry: -math.log(unit("tail", entry.code)) / _tail_weight(entry, sizes[entry.group]))


def _tail_weight(entry: CatalogueCode, group_size: int) -> float:
    words = len(entry.title.split())
    late = len(entry.code) >= 8 and entry.code[-1] not in "AB"
    crowding = 1.0 / math.sqrt(group_size + 50.0)
    return (
        read_groups()[entry.group].weight
        * crowding
        * math.exp(-max(0.0, words - _TITLE_WORDS) / 3.0)
        * (0.15 if late else 1.0)
    )


class _Writer:
    """Writes the wordings of codes; ``readable`` is everything that the coder may read, normalised."""

    def __init__(self, system: str, readable: frozenset[str]) -> None:
        self._system = system
        self._readable = readable

    def code(self, entry: CatalogueCode, concept: Concept | None) -> WorldCode:
        known = known_expressions(entry.title, entry.terms)
        implied = [parse_implied(text) for text in concept.implied] if concept else implied_wordings(entry.title)
        hidden = tuple(self._hidden(entry, concept, known))
        readable = readable_wordings(entry.title, entry.terms)[:4]
        return WorldCode(
            code=entry.code,
            system=entry.system,
            title=entry.title,
            topics=_topics(entry, concept),
            kind=_kind(entry, concept, self._system),
            sex=entry.sex,
            readable=readable if readable or hidden else (core(entry.title),),
            known=known,
            hidden=hidden,
            implied=tuple(wording for wording in implied if self._is_hidden(wording.text, known)),
        )

    def _hidden(self, entry: CatalogueCode, concept: Concept | None, known: frozenset[str]) -> list[Wording]:
        found: dict[str, Wording] = {}
        slips: dict[str, Wording] = {}
        for wording in self._candidates(entry, concept):
            key = normalized(wording.text)
            if (
                key not in found
                and len(key) > 1
                and not is_cut_short(wording.text)
                and self._is_hidden(wording.text, known)
            ):
                (slips if wording.kind == "misspelling" else found)[key] = wording
            if len(found) == (HIDDEN_WORDINGS if concept else RARE_WORDINGS):
                return list(found.values())
        return [*found.values(), *slips.values()][: max(len(found) + 1, _LEAST_WORDINGS)]

    def _candidates(self, entry: CatalogueCode, concept: Concept | None) -> Iterator[Wording]:
        random = Random(f"{WORLD_SEED}/{entry.code}")
        if concept:
            yield from (Wording(text, "clinical wording") for text in concept.wordings)
        sources = (entry.title, entry.title, *entry.terms[:3])
        for turn in range(_TRIES):
            yield paraphrase(sources[turn % len(sources)], random)
        for wording in readable_wordings(entry.title, entry.terms)[:3]:
            yield Wording(misspell(wording, random), "misspelling")

    def _is_hidden(self, text: str, known: frozenset[str]) -> bool:
        wording = normalized(text)
        return wording not in self._readable and not any(contains(wording, expression) for expression in known)


def _topics(entry: CatalogueCode, concept: Concept | None) -> tuple[tuple[int, float], ...]:
    groups = [GROUP_NAMES.index(name) for name in concept.groups] if concept else [entry.group]
    category = entry.code.split(".")[0]
    topics = [
        group * TOPICS_PER_GROUP + int(unit("topic", str(group), category) * TOPICS_PER_GROUP) for group in groups
    ]
    weights = [1.0 / (rank + 1) for rank in range(len(topics))]
    return tuple((topic, weight / sum(weights)) for topic, weight in zip(topics, weights, strict=True))


_KINDS = {"c": "chronic", "a": "acute", "s": "symptom", "z": "status", "p": "procedure"}
_CHRONIC_WORDS = (
    "chronic",
    "history of",
    "status",
    "congenital",
    "osteo",
    "neuropathy",
    "disease",
    "disorder",
    "syndrome",
)


def _kind(entry: CatalogueCode, concept: Concept | None, system: str) -> str:
    if system in PROCEDURE_SYSTEMS:
        return "procedure"
    if entry.code[0] in ("VWXY" if system == "icd10cm" else "E"):
        return "mechanism"
    if concept:
        return _KINDS[concept.kind]
    if entry.code[0] == ("Z" if system == "icd10cm" else "V"):
        return "status"
    if entry.code.startswith(("R",) if system == "icd10cm" else ("78", "79")):
        return "symptom"
    lower = entry.title.lower()
    chronic = entry.code[0] in "CDEFGHMQ" or any(word in lower for word in _CHRONIC_WORDS)
    return "chronic" if chronic and "acute" not in lower else "acute"


def _listed_terms(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        try:
            with Path(path).open(encoding="utf-8", newline="") as lines:
                rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
                if "term" not in (rows.fieldnames or ()):
                    raise CorpusError("a term list needs a header with a column 'term'", path=path)
                yield from (normalized(row["term"] or "") for row in rows)
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"cannot read this term list ({type(error).__name__})", path=path) from error
