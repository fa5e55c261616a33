"""Patients, their admissions, and which codes each admission gets.

How many encounters carry a code is planned beforehand, so that the frequencies have MIMIC's shape at every size;
who gets it depends on the diseases a patient has, on sex and on age, and chronic codes come back at the next admission.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from nosology.corpora.simulation.settings import SimulatedConfig
from nosology.corpora.simulation.tables import GROUP_NAMES, read_concepts, read_groups
from nosology.corpora.simulation.world import TOPICS_PER_GROUP, World, WorldCode

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# MIMIC-III: how many of its 52,726 discharge summaries carry a code, by the code's rank (as a share of 8,929 codes).
# The published quantiles, the codes seen once and below ten times; between them, what makes the published number of
# labels and the shares of the 50 most frequent codes and of the most frequent tenth come out right.
_RANKS = (
    np.array([1, 2, 3, 5, 8, 16, 50, 89.29, 267.9, 491.1, 892.9, 2232, 3679, 4464, 5357, 6697, 7009, 8036, 8929]) / 8929
)
_COUNTS = np.array([20046, 14500, 12850, 11900, 8850, 5650, 2870, 1550, 640, 318, 137, 28, 9.6, 6, 3.9, 2, 1.5, 1, 1])
# In a smaller label space the same number of labels would pile up on its first codes: none may exceed these shares.
_TOP_SHARE = 0.38  # the most frequent code stands in 38 % of the encounters ...
_TOP_DECAY = 0.45  # ... the r-th in at most r ** -0.45 times that
_FLOOR_SHARE = 0.15  # every code occurs at least once where that takes no more than this share of all labels

_ADMISSIONS_CHANCE = 0.78  # geometric: 1.28 admissions a patient
_MOST_ADMISSIONS = 12
_NEWBORN, _OBSTETRICS, _GERIATRIC, _CONGENITAL = (
    GROUP_NAMES.index(name) for name in ("newborn", "obstetrics", "geriatric", "congenital")
)
_ADULT_GROUPS = tuple(i for i in range(len(GROUP_NAMES)) if i not in (_NEWBORN, _OBSTETRICS))
_DENSE_SHARE = 0.02
_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Patients:
    """One row a patient (arrays over patients) and one an admission (arrays over encounters, patients in order)."""

    first_encounter: Ints
    admissions: Ints
    sex: npt.NDArray[np.bool_]
    age: Ints
    patient_of: Ints
    group_of: Ints
    profile: Floats
    size: Floats


@dataclass(frozen=True, slots=True)
class Labels:
    """The codes of every encounter: ``codes[starts[i]:starts[i + 1]]`` are positions in the world, main one first."""

    starts: Ints
    codes: Ints

    def of(self, encounter: int) -> list[int]:
        """The world positions of one encounter's codes."""
        return self.codes[self.starts[encounter] : self.starts[encounter + 1]].tolist()


def planned_counts(n_codes: int, n_encounters: int, labels_per_note: float, curve_codes: int = 0) -> Ints:
    """How many encounters carry each code, most frequent first: MIMIC-III's curve, fitted to the number of labels.

    Args:
        n_codes: size of the label space.
        n_encounters: how many encounters there are.
        labels_per_note: mean number of codes of an encounter.
        curve_codes: the curve is that of so many codes, of which these are the most frequent; 0: of ``n_codes``.
    """
    ranks = np.arange(1, n_codes + 1, dtype=np.float64)
    curve = mimic_curve(ranks / max(n_codes, curve_codes))
    cap = np.maximum(_TOP_SHARE * n_encounters * ranks**-_TOP_DECAY, 1.0)
    total = labels_per_note * n_encounters
    floor = 1.0 if n_codes <= _FLOOR_SHARE * total else 0.0
    low, high = 0.0, float(n_encounters)
    for _ in range(60):
        scale = 0.5 * (low + high)
        low, high = (scale, high) if _capped(curve, scale, floor, cap).sum() < total else (low, scale)
    return _rounded(_capped(curve, low, floor, cap))


def mimic_curve(rank_shares: Floats) -> Floats:
    """How many of MIMIC-III's 52,726 encounters carry the code at this share of the ranks (log-log interpolation)."""
    return np.exp(np.interp(np.log(rank_shares), np.log(_RANKS), np.log(_COUNTS)))


def _capped(curve: Floats, scale: float, floor: float, cap: Floats) -> Floats:
    return np.minimum(np.maximum(curve * scale, floor), cap)


def _rounded(expected: Floats) -> Ints:
    """Whole counts whose running sum follows the expected one."""
    return np.diff(np.rint(np.cumsum(expected)), prepend=0.0).astype(np.int64)


def draw_patients(config: SimulatedConfig, rng: np.random.Generator) -> Patients:
    """Patients and their admissions, with the diseases that mix in each."""
    admissions = _draw_admissions(config.n_admissions, rng)
    first = np.cumsum(admissions) - admissions
    n_patients = len(admissions)
    weights = np.array([group.weight for group in read_groups()])
    main = rng.choice(len(weights), size=n_patients, p=weights / weights.sum())
    sex = (rng.random(n_patients) < 0.5) | (main == _OBSTETRICS)
    age = _draw_ages(main, rng)
    patient_of = np.repeat(np.arange(n_patients), admissions)
    group_of, profile = _draw_profiles(main, age, patient_of, rng)
    size = np.exp(rng.normal(0.0, 0.4, config.n_admissions))
    return Patients(first, admissions, sex, age, patient_of, group_of, profile, size)


def _draw_admissions(n_encounters: int, rng: np.random.Generator) -> Ints:
    drawn = np.minimum(rng.geometric(_ADMISSIONS_CHANCE, n_encounters), _MOST_ADMISSIONS)
    n_patients = int(np.searchsorted(np.cumsum(drawn), n_encounters)) + 1
    admissions = drawn[:n_patients].astype(np.int64)
    admissions[-1] -= admissions.sum() - n_encounters
    return admissions


def _draw_ages(main: Ints, rng: np.random.Generator) -> Ints:
    ages = np.clip(rng.normal(63.0, 16.0, len(main)), 18, 97)
    ages = np.where(main == _GERIATRIC, np.clip(rng.normal(82.0, 7.0, len(main)), 65, 99), ages)
    ages = np.where(main == _OBSTETRICS, np.clip(rng.normal(30.0, 6.0, len(main)), 17, 46), ages)
    return np.where(main == _NEWBORN, 0, ages).astype(np.int64)


@cache
def _relatedness() -> Floats:
    """How often two groups share a frequent condition: what comes with what."""
    together = np.full((len(GROUP_NAMES), len(GROUP_NAMES)), 0.05)
    for concept in read_concepts():
        members = [GROUP_NAMES.index(name) for name in concept.groups]
        together[np.ix_(np.array(members), np.array(members))] += 1.0
    np.fill_diagonal(together, 0.0)
    together[:, [_NEWBORN, _OBSTETRICS]] = 0.0
    return together / together.sum(axis=1, keepdims=True)


def _draw_profiles(main: Ints, age: Ints, patient_of: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """The main group and the weights of all topics for every encounter."""
    n_patients, n_groups = len(main), len(GROUP_NAMES)
    groups = np.full((n_patients, n_groups), 0.002)
    groups[np.arange(n_patients), main] += 0.55
    cumulative = np.cumsum(_relatedness(), axis=1)
    for weight in (0.22, 0.12, 0.08):
        other = (rng.random((n_patients, 1)) > cumulative[main]).sum(axis=1)
        groups[np.arange(n_patients), np.minimum(other, n_groups - 1)] += weight
    groups[:, [_NEWBORN, _OBSTETRICS]] *= np.isin(main, [_NEWBORN, _OBSTETRICS])[:, None]
    groups[age < 18] = 0.0
    groups[np.ix_(age < 18, np.array([_NEWBORN, _CONGENITAL]))] = (0.85, 0.15)
    within = rng.dirichlet(np.full(TOPICS_PER_GROUP, 0.5), size=(n_patients, n_groups))
    topics = (groups[:, :, None] * within).reshape(n_patients, -1)[patient_of]
    group_of = _admission_groups(main, age, patient_of, rng)
    reason = (np.arange(topics.shape[1]) // TOPICS_PER_GROUP)[None, :] == group_of[:, None]
    return group_of, topics * np.where(reason, 1.6, 1.0)


def _admission_groups(main: Ints, age: Ints, patient_of: Ints, rng: np.random.Generator) -> Ints:
    """What an admission is for: mostly the patient's main disease, at times another one."""
    fixed = (np.isin(main, [_NEWBORN, _OBSTETRICS]) | (age < 18))[patient_of]
    other = rng.choice(np.array(_ADULT_GROUPS), size=len(patient_of))
    changes = (rng.random(len(patient_of)) < 0.15) & ~fixed
    return np.where(changes, other, main[patient_of])


def draw_labels(config: SimulatedConfig, world: World, patients: Patients, rng: np.random.Generator) -> Labels:
    """Give every code to as many encounters as planned, to those whose diseases fit it best."""
    n_encounters = config.n_admissions
    counts = planned_counts(len(world.codes), n_encounters, config.labels_per_note, config.curve_codes)
    dealer = _Dealer(patients, rng)
    chosen = [dealer.deal(code, int(count)) for code, count in zip(world.codes, counts, strict=True)]
    encounters = np.concatenate(chosen)
    codes = np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen])
    encounters, codes = _without_empty(encounters, codes, world, patients)
    acute = np.array([code.kind == "acute" for code in world.codes])
    group = np.array([code.group for code in world.codes])
    rank = rng.random(len(codes)) - 0.6 * acute[codes] - 0.8 * (group[codes] == patients.group_of[encounters])
    order = np.lexsort((rank, encounters))
    starts = np.searchsorted(encounters[order], np.arange(n_encounters + 1))
    return Labels(starts.astype(np.int64), codes[order])


def _without_empty(encounters: Ints, codes: Ints, world: World, patients: Patients) -> tuple[Ints, Ints]:
    """An encounter that no code was dealt to gets the most frequent code of its main group."""
    empty = np.setdiff1d(np.arange(len(patients.patient_of)), encounters)
    if not len(empty):
        return encounters, codes
    leading: dict[int, int] = {}
    for position, code in enumerate(world.codes):
        if not code.sex:
            leading.setdefault(code.group, position)
    extra = [leading.get(int(patients.group_of[encounter]), 0) for encounter in empty]
    return np.concatenate([encounters, empty]), np.concatenate([codes, np.array(extra, dtype=np.int64)])


class _Dealer:
    """Deals one code after the other to encounters."""

    def __init__(self, patients: Patients, rng: np.random.Generator) -> None:
        self._patients = patients
        self._rng = rng
        self._weights = (patients.profile * patients.size[:, None]).T.copy()
        self._cumulative = np.cumsum(self._weights, axis=1)
        self._female = patients.sex[patients.patient_of]
        self._adult = patients.age[patients.patient_of] >= 18

    def deal(self, code: WorldCode, count: int) -> Ints:
        """Distinct encounters for a code, up to ``count`` (fewer where too few are eligible)."""
        if count == 0:
            return np.zeros(0, dtype=np.int64)
        if count > _DENSE_SHARE * len(self._female):
            return self._deal_frequent(code, count)
        return self._deal_rare(code, count)

    def _eligible(self, code: WorldCode) -> npt.NDArray[np.bool_]:
        allowed = np.ones(len(self._female), dtype=np.bool_)
        if code.sex:
            allowed &= self._female == (code.sex == "F")
        if code.group not in (_NEWBORN, _CONGENITAL):
            allowed &= self._adult
        return allowed

    def _deal_frequent(self, code: WorldCode, count: int) -> Ints:
        """Weighted sampling without replacement over all encounters (Gumbel keys)."""
        weights = sum((share * self._weights[topic] for topic, share in code.topics), np.zeros(len(self._female)))
        weights = weights * self._eligible(code) * self._patient_luck(code)
        possible = np.flatnonzero(weights)
        keys = np.log(weights[possible]) + self._rng.gumbel(size=len(possible))
        return possible[np.argsort(-keys, kind="stable")[:count]]

    def _patient_luck(self, code: WorldCode) -> Floats:
        """Chronic codes favour the same patients at all their admissions."""
        if code.kind not in ("chronic", "status"):
            return np.ones(len(self._female))
        return np.exp(self._rng.normal(0.0, 1.0, len(self._patients.admissions)))[self._patients.patient_of]

    def _deal_rare(self, code: WorldCode, count: int) -> Ints:
        """Draw encounters topic by topic until there are enough distinct eligible ones."""
        eligible = self._eligible(code)
        topics = np.array([topic for topic, _ in code.topics])
        mass = np.array([share for _, share in code.topics]) * self._cumulative[topics, -1]
        found = np.zeros(0, dtype=np.int64)
        if not mass.sum():  # a small population can lack newborns, say
            return found
        for _ in range(_ROUNDS):
            drawn = self._draw(topics, mass / mass.sum(), 2 * count + 2)
            drawn = self._with_other_admissions(drawn) if code.kind in ("chronic", "status") else drawn
            found = _distinct(np.concatenate([found, drawn[eligible[drawn]]]))
            if len(found) >= count:
                break
        return found[:count]

    def _draw(self, topics: Ints, shares: Floats, number: int) -> Ints:
        which = self._rng.choice(topics, size=number, p=shares)
        at = self._rng.random(number) * self._cumulative[which, -1]
        drawn = np.empty(number, dtype=np.int64)
        for topic in np.unique(which):
            rows = which == topic
            drawn[rows] = np.searchsorted(self._cumulative[topic], at[rows], side="right")
        return np.minimum(drawn, len(self._female) - 1)

    def _with_other_admissions(self, encounters: Ints) -> Ints:
        """Each encounter followed by the same patient's later ones."""
        patients = self._patients
        owner = patients.patient_of[encounters]
        later = patients.first_encounter[owner] + patients.admissions[owner] - encounters
        steps = np.arange(int(later.sum())) - np.repeat(np.cumsum(later) - later, later)
        return np.repeat(encounters, later) + steps


def _distinct(values: Ints) -> Ints:
    """Distinct values in the order of their first occurrence."""
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)]


def draw_splits(config: SimulatedConfig, patients: Patients, rng: np.random.Generator) -> list[str]:
    """The split of every encounter; all admissions of a patient share it."""
    order = rng.permutation(len(patients.admissions))
    reached = np.cumsum(patients.admissions[order]) - 0.5 * patients.admissions[order]
    bounds = np.cumsum(config.splits)[:2] * config.n_admissions
    split_of = np.empty(len(order), dtype=np.int64)
    split_of[order] = np.searchsorted(bounds, reached, side="right")
    names = ("train", "dev", "test")
    return [names[split] for split in split_of[patients.patient_of].tolist()]
