"""How well planted noise is found: precision and recall by kind, encoder and share.

    python benchmarks/noise.py --admissions 1500 --seed 7 --encoder lexical --encoder minilm
    python benchmarks/noise.py --corpus mimic3-50 --admissions 1500 --seed 7 --encoder lexical

``wrong``: codes that swaps put there. ``missing``: true codes that swaps and drops took away; their recall also apart.
A proposed code is ``right or uncoded`` where it was taken away or where the simulator knows that the note plainly says
it and nobody coded it. The best precision at a recall of at least 0.4 is read off the curve; thresholds are the
defaults, with the share that was planted and with the default share. The reader knows every mention, and
how often mentions of a code so frequent, so often in the note, were coded.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nosology.cleaning.findings import judge
from nosology.cleaning.noise import Noise, find_noise
from nosology.codes.cache import cache_dir
from nosology.codes.kinship import Kinship
from nosology.codes.titles import TitleTable
from nosology.config import CleaningConfig, NoiseThresholds, Recipe
from nosology.config import SimulatedConfig as SimulatedSection
from nosology.corpora.simulated import SimulatedConfig, simulate_with_truth
from nosology.corpora.simulated_mimic import simulate_mimic3
from nosology.corpora.simulation.noise import PlantedNoise, plant_noise
from nosology.corpora.simulation.truth import Role, SimulationTruth
from nosology.knowledge.building import build_knowledge, open_systems
from nosology.knowledge.wordings import Wordings
from nosology.types import Corpus

Pairs = frozenset[tuple[str, str]]
Bools = NDArray[np.bool_]

_RECALL = 0.4
_BANDS = (2, 4, 8, 16, 32, 64, 128)


def main() -> None:
    """Print one line a share and encoder."""
    chosen = _arguments()
    corpus, truth = _corpus(chosen)
    systems = open_systems(corpus.systems, recipe := Recipe(SimulatedSection()))
    wordings = Wordings(TitleTable.of(systems), lambda: build_knowledge(systems, recipe))
    for share in chosen.share:
        noisy, planted = plant_noise(corpus, share, chosen.noise_seed)
        near = sum(one.true_code[:3] == one.wrong_code[:3] for one in planted.swaps) / max(1, len(planted.swaps))
        print(f"share {share}: {len(planted.swaps)} swaps ({near:.0%} in one category), {len(planted.drops)} drops")
        if truth is not None:
            print(f"  reader of all mentions: {_reader(corpus, truth, planted)}")
        for names in chosen.encoder:
            options = CleaningConfig(tuple(names.split("+")), seed=chosen.noise_seed)
            _measure(noisy, planted, share, wordings, options, _uncoded(corpus, truth), chosen.cache)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", choices=("simulated", "mimic3-50"), default="simulated")
    parser.add_argument("--admissions", type=int, default=1500)
    parser.add_argument("--codes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--noise-seed", type=int, default=7)
    parser.add_argument("--share", type=float, action="append", help="default: 0.1 and 0.3")
    parser.add_argument("--encoder", action="append", help="several joined by +; default: lexical")
    parser.add_argument("--cache", type=Path, default=cache_dir())
    chosen = parser.parse_args()
    chosen.share = chosen.share or [0.1, 0.3]
    chosen.encoder = chosen.encoder or ["lexical"]
    return chosen


def _corpus(chosen: argparse.Namespace) -> tuple[Corpus, SimulationTruth | None]:
    if chosen.corpus == "mimic3-50":
        return simulate_mimic3(chosen.admissions, "50", seed=chosen.seed), None
    return simulate_with_truth(SimulatedConfig(chosen.admissions, chosen.codes, seed=chosen.seed))


def _uncoded(corpus: Corpus, truth: SimulationTruth | None) -> Pairs:
    """What notes plainly say and nobody coded."""
    if truth is None:
        return frozenset()
    coded = {(one.encounter_id, code) for one in corpus for code in one.code_set}
    said = {(name, m.code) for name, one in truth.encounters.items() for m in one.mentions if m.role is Role.UNCODED}
    return frozenset(said - coded)


def _measure(
    noisy: Corpus,
    planted: PlantedNoise,
    share: float,
    wordings: Wordings,
    options: CleaningConfig,
    uncoded: Pairs,
    cache: Path,
) -> None:
    started = time.process_time()
    noise = find_noise(noisy, wordings, options, lambda stage, done: None, cache)
    seconds = time.process_time() - started
    print(f"  {'+'.join(options.encoders)} ({seconds:.0f} s of processor time)")
    for assumed in dict.fromkeys((share, 0.1)):
        judged = _judged(noisy, noise, assumed)
        _show(judged, planted, uncoded, assumed)


def _judged(noisy: Corpus, noise: Noise, share: float) -> Noise:
    """The same plausibilities under another prior."""
    system_of = {gold.code: gold.system for one in noisy for gold in one.codes or ()}
    kinship, column = Kinship(system_of.items()), {code: number for number, code in enumerate(noise.codes)}
    near = [np.array([column[one] for one in kinship.nearest(code)], dtype=np.int64) for code in noise.codes]
    carries = _grid(noise, frozenset(noise.weights))
    return replace(noise, judgement=judge(carries, noise.plausible, near, share))


def _show(noise: Noise, planted: PlantedNoise, uncoded: Pairs, share: float) -> None:
    limits = NoiseThresholds(share=share)
    wrong, missing = _grid(noise, planted.wrong), _grid(noise, planted.missing)
    said = noise.judgement.wrong >= limits.implausible
    line = f"    share {share} assumed: wrong {said.sum()} {_figures(said, wrong, len(planted.wrong))}"
    print(f"{line}, best {_best(noise.judgement.wrong, wrong, len(planted.wrong)):.2f}")
    said = noise.judgement.missing >= limits.missing
    by_swap = _grid(noise, frozenset((one.encounter_id, one.true_code) for one in planted.swaps))
    by_drop = missing & ~by_swap
    print(
        f"      missing {said.sum()} {_figures(said, missing, len(planted.missing))}"
        f" (of swaps {(said & by_swap).sum() / max(1, len(planted.swaps)):.2f},"
        f" of drops {(said & by_drop).sum() / max(1, len(planted.drops)):.2f}),"
        f" best {_best(noise.judgement.missing, missing, len(planted.missing)):.2f}"
    )
    if uncoded:
        either = missing | _grid(noise, uncoded)
        right = (said & either).sum() / max(1, said.sum())
        best = _best(noise.judgement.missing, missing, len(planted.missing), either)
        print(f"      right or uncoded: precision {right:.2f}, best {best:.2f}")


def _figures(said: Bools, true: Bools, total: int) -> str:
    return f"precision {(said & true).sum() / max(1, said.sum()):.2f} recall {(said & true).sum() / total:.2f}"


def _best(scores: NDArray[np.float32], true: Bools, total: int, right: Bools | None = None) -> float:
    """The best precision at which at least so many of the planted ones are found; 0 where that is out of reach."""
    order = np.argsort(-scores.ravel(), kind="stable")[: int((scores > 0).sum())]
    found = np.cumsum(true.ravel()[order])
    precision = np.cumsum((true if right is None else right).ravel()[order]) / np.arange(1, len(order) + 1)
    return float(precision[found >= _RECALL * total].max(initial=0.0))


def _grid(noise: Noise, pairs: Pairs) -> Bools:
    row = {name: number for number, name in enumerate(noise.encounter_ids)}
    column = {code: number for number, code in enumerate(noise.codes)}
    grid = np.zeros((len(row), len(column)), dtype=np.bool_)
    for name, code in pairs:
        if code in column:
            grid[row[name], column[code]] = True
    return grid


def _reader(corpus: Corpus, truth: SimulationTruth, planted: PlantedNoise) -> str:
    """Precision on missing codes, at a recall of 0.4, of who knows mentions and how often such ones were coded."""
    counts = dict[str, int]()
    for code in (code for one in corpus for code in one.code_set):
        counts[code] = counts.get(code, 0) + 1
    times = dict[tuple[str, str], int]()
    for name, one in truth.encounters.items():
        for mention in one.mentions:
            if mention.role in (Role.LABEL, Role.UNCODED):
                times[name, mention.code] = times.get((name, mention.code), 0) + 1
    open_ = [pair for pair in planted.missing | _uncoded(corpus, truth) if times.get(pair)]
    kinds = np.array([min(times[p], 2) * 20 + np.searchsorted(_BANDS, counts.get(p[1], 0), "right") for p in open_])
    true = np.array([pair in planted.missing for pair in open_])
    rate = np.bincount(kinds, weights=true) / np.maximum(1, np.bincount(kinds))
    scores = (rate[kinds] + 1e-6).astype(np.float32)
    edges = [(scores >= edge) for edge in np.unique(scores)]
    reached = [true[edge].mean() for edge in edges if (edge & true).sum() >= _RECALL * len(planted.missing)]
    return f"precision {max(reached, default=0.0):.2f} at a recall of {_RECALL} on missing codes"


if __name__ == "__main__":
    main()
