"""The default coder end to end: training, coding speed stage by stage, cold start, size; a plain baseline beside it.

python benchmarks/coder.py [--model MODEL]

Trains recipes/codiesp_d_es.toml on the CodiEsp of NOSOLOGY_DATA and codes its dev notes; without it, trains and codes
the simulated corpus, where the targets are only for orientation. ``--model`` measures a model folder that is there and
skips its training. Speed is that of one thread, in processor time, which a busy machine does not stretch; training
takes all cores, and its wall time is what the target is about.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nosology.coder import Coder
from nosology.config import Recipe, load_recipe
from nosology.corpora import open_corpus
from nosology.evaluation import evaluate
from nosology.knowledge.stream import TokenStream
from nosology.predictor import Prediction
from nosology.ranked import RankedCandidates
from nosology.ranking.fitting import SOURCES
from nosology.types import CodedEncounter, Corpus, Encounter, SuggestedCode

RECIPES = Path(__file__).parents[1] / "recipes"
TRAIN_SECONDS, TRAIN_MEGABYTES, NOTES_PER_SECOND, COLD_SECONDS = 90.0, 1500.0, 100.0, 1.5
COLD_STARTS = 7
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
T = TypeVar("T")
LEAST_NOTES = 4  # a code with fewer never reaches the baseline's threshold


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process took: wall and processor seconds, peak resident memory in megabytes, and what it printed."""

    seconds: float
    processor_seconds: float
    megabytes: float
    output: str


def run(arguments: Sequence[str], environment: dict[str, str] | None = None) -> Spent:
    """Run Python with these arguments in a process of its own."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)  # this child's own usage, where getrusage has the largest of all
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    processor = usage.ru_utime + usage.ru_stime
    return Spent(time.perf_counter() - started, processor, usage.ru_maxrss * unit / 1e6, output)


def find_recipe() -> tuple[str, Recipe, list[str]]:
    """The recipe's name, the recipe with its data, and what ``nosology train`` needs to be told of these."""
    data = os.environ.get("NOSOLOGY_DATA", "")
    folder = Path(data, "codiesp")
    if data and folder.is_dir():
        path = RECIPES / "codiesp_d_es.toml"
        return path.stem, load_recipe(path).with_data(folder.absolute()), [str(path), "--data", str(folder)]
    path = RECIPES / "simulated.toml"
    return path.stem, load_recipe(path), [str(path)]


# --- one thread: this part runs in a process of its own -----------------------------------------------------------


def measure_speed(model: Path) -> dict[str, object]:
    """Code the scored notes one by one, whole and stage by stage, and score them."""
    coder = Coder.from_pretrained(model)
    corpus = open_corpus(coder.recipe.corpus)
    scored = corpus.split("dev")
    _, first = timed(lambda: list(coder.code_many(scored)))
    coded, again = timed(lambda: list(coder.code_many(scored)))  # the first round has filled the caches of words
    report = evaluate(scored, coded, intervals=False)
    return {
        "notes": len(scored),
        "words": statistics.mean(len(note.text.split()) for e in scored for note in e.notes),
        "first_seconds": first,
        "seconds": again,
        "f1": report.assignment.micro.f1,
        "map": report.ranking.map,
        "stages": measure_stages(coder, scored),
    }


class Clocked:
    """Stands in for a part of the coder and adds up the processor seconds of one of its methods."""

    def __init__(self, part: object, method: str, spent: Counter[str], name: str) -> None:
        self._part, self._method, self._spent, self._name = part, method, spent, name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._part, attribute)
        return self._clocked(value) if attribute == self._method else value

    def _clocked(self, method: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            result, seconds = timed(lambda: method(*arguments))
            self._spent[self._name] += seconds
            return result

        return call


class WordsFirst:
    """A predictor that reads a note's words before its sources do: they are read where first asked for."""

    def __init__(self, predictor: RankedCandidates, spent: Counter[str]) -> None:
        self._predictor, self._spent = predictor, spent

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._predictor, attribute)

    def predict(self, stream: TokenStream) -> Prediction:
        _, seconds = timed(lambda: (stream.positions, stream.sentences, stream.bound_lists))
        self._spent["words"] += seconds
        return self._predictor.predict(stream)


def measure_stages(coder: Coder, scored: Corpus) -> dict[str, float]:
    """Seconds over all notes, stage by stage; merging, evidence and the rest are what the others leave of the whole."""
    spent, names = Counter[str](), {kind: name for name, kind in SOURCES.items()}
    assert isinstance(coder.predictor, RankedCandidates)
    own = coder.predictor.generator
    clocked = (Clocked(one, "candidates", spent, names[type(one)]) for one in own.sources)
    generator: Any = Clocked(replace(own, sources=tuple(clocked)), "propose", spent, "candidates")
    ranker: Any = Clocked(coder.predictor.ranker, "score", spent, "trees")
    predictor: Any = WordsFirst(RankedCandidates(generator, ranker), spent)
    copy = replace(coder, predictor=predictor)
    _, whole = timed(lambda: list(copy.code_many(scored)))
    words, candidates, trees = spent.pop("words"), spent.pop("candidates"), spent.pop("trees")
    return {
        "words": words,
        **{f"candidates by {name}": seconds for name, seconds in spent.items()},
        "merging, features across sources": candidates - sum(spent.values()),
        "trees": trees,
        "evidence, calibration, titles": whole - words - candidates - trees,
    }


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What ``work`` returns, and the processor seconds it took."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


# --- the baseline -------------------------------------------------------------------------------------------------


def text_of(encounter: Encounter) -> str:
    return "\n".join(note.text for note in encounter.notes)


def measure_baseline(recipe: Recipe) -> dict[str, float]:
    """TF-IDF of words and word pairs and one logistic regression a code: train on train, code dev, one thread."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    corpus = open_corpus(recipe.corpus)
    train, scored = corpus.split("train"), corpus.split("dev")
    counts = Counter(code for encounter in train for code in encounter.code_set)
    codes = sorted(code for code, count in counts.items() if count >= LEAST_NOTES)
    started = time.process_time()
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, max_features=50_000, sublinear_tf=True)
    features = vectorizer.fit_transform(map(text_of, train))
    weights, intercepts = np.zeros((features.shape[1], len(codes))), np.zeros(len(codes))
    for column, code in enumerate(codes):
        target = np.array([code in encounter.code_set for encounter in train])
        model = LogisticRegression(C=30.0, solver="liblinear", tol=0.1).fit(features, target)
        weights[:, column], intercepts[column] = model.coef_[0], model.intercept_[0]
    trained = time.process_time()
    rows = [vectorizer.transform([text_of(encounter)]) @ weights + intercepts for encounter in scored]
    probabilities = 1.0 / (1.0 + np.exp(-np.concatenate(rows)))
    coded = time.process_time()
    f1, ranking = best_scores(scored, codes, probabilities)
    return {"train_seconds": trained - started, "speed": len(scored) / (coded - trained), "f1": f1, "map": ranking}


def best_scores(scored: Corpus, codes: Sequence[str], probabilities: np.ndarray) -> tuple[float, float]:
    """Micro-F1 at the threshold that is best on these very notes, which favours the baseline; and MAP."""
    reports = [
        evaluate(scored, as_coded(scored, codes, probabilities, threshold), intervals=False)
        for threshold in (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
    ]
    return max(report.assignment.micro.f1 for report in reports), reports[0].ranking.map


def as_coded(
    scored: Corpus, codes: Sequence[str], probabilities: np.ndarray, threshold: float
) -> Iterable[CodedEncounter]:
    for encounter, row in zip(scored, probabilities, strict=True):
        order = np.argsort(-row, kind="stable")[:200]
        listed = [SuggestedCode(codes[i], "", float(row[i]), bool(row[i] >= threshold)) for i in order]
        yield CodedEncounter(encounter.encounter_id, tuple(listed))


# --- the tables ---------------------------------------------------------------------------------------------------


def main() -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="measure this model folder; do not train")
    parser.add_argument("--speed-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--baseline", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.speed_of:
        print(json.dumps(measure_speed(options.speed_of)))
    elif options.baseline:
        print(json.dumps(measure_baseline(find_recipe()[1])))
    else:
        with tempfile.TemporaryDirectory() as folder:
            report(options.model, Path(folder))


def report(model: Path | None, folder: Path) -> None:
    name, recipe, told = find_recipe()
    if name == "simulated":
        print("NOSOLOGY_DATA is not set or has no CodiEsp: the simulated corpus instead")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    print(f"{name}, {cores} cores, load {load:.1f}{': busy, wall times are too long' if load > cores / 2 else ''}")
    trained = None
    if model is None:
        model = folder / "model"
        trained = run(["-m", "nosology", "train", *told, "--out", str(model)])
        line("training, whole command", trained.seconds, "s", TRAIN_SECONDS)
        line("training, processor time of all cores", trained.processor_seconds, "s")
        line("training, peak memory of the process", trained.megabytes, "MB", TRAIN_MEGABYTES)
    speed = json.loads(run([__file__, "--speed-of", str(model)], ONE_THREAD).output)
    rate = speed["notes"] / speed["seconds"]
    line(f"coding {speed['notes']} notes of {speed['words']:.0f} words", rate, "/s", NOTES_PER_SECOND, at_least=True)
    line("the first time, without cached words", speed["notes"] / speed["first_seconds"], "/s")
    for stage, seconds in speed["stages"].items():
        line(f"    {stage}", 1000 * seconds / speed["notes"], "ms")
    note = folder / "note.txt"
    note.write_text(text_of(middle_note(recipe)), encoding="utf-8")
    starts = [run(["-m", "nosology", "code", str(model), str(note)]) for _ in range(COLD_STARTS + 1)][1:]
    line("nosology code MODEL note.txt, median wall", statistics.median(s.seconds for s in starts), "s", COLD_SECONDS)
    line("its peak memory", max(one.megabytes for one in starts), "MB")
    show_sizes(model)
    show_baseline(trained, rate, speed)


def show_baseline(trained: Spent | None, rate: float, speed: dict[str, float]) -> None:
    plain = json.loads(run([__file__, "--baseline"], ONE_THREAD).output)
    print(f"\n{'':42} {'coder':>8} {'TF-IDF+LR':>10} {'ratio':>7}")
    if trained is not None:
        compare("training, processor s", trained.processor_seconds, plain["train_seconds"])
    compare("coding, notes/s", rate, plain["speed"])
    compare("micro-F1 (the baseline's best threshold)", speed["f1"], plain["f1"])
    compare("MAP", speed["map"], plain["map"])


def middle_note(recipe: Recipe) -> Encounter:
    """The scored encounter of median length."""
    ordered = sorted(open_corpus(recipe.corpus).split("dev"), key=lambda encounter: len(text_of(encounter)))
    return ordered[len(ordered) // 2]


def show_sizes(model: Path) -> None:
    sizes = {path.name: path.stat().st_size / 1e6 for path in model.rglob("*") if path.is_file()}
    line("model folder", sum(sizes.values()), "MB")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:6]:
        line(f"    {name}", size, "MB")


def line(name: str, value: float, unit: str, target: float | None = None, *, at_least: bool = False) -> None:
    verdict = ""
    if target is not None:
        reached = value >= target if at_least else value <= target
        verdict = f"target {'>=' if at_least else '<='} {target:g} {unit}: {'reached' if reached else 'MISSED'}"
    print(f"{name:42} {value:10.2f} {unit:3} {verdict}".rstrip(), flush=True)


def compare(name: str, ours: float, plain: float) -> None:
    print(f"{name:42} {ours:8.3g} {plain:10.3g} {ours / plain:7.2f}")


if __name__ == "__main__":
    main()
