"""A hand-made corpus, a recipe and a subprocess for tests of everything that learns; small enough to fit in seconds.

Each code has a few wordings; a note strings sentences together, some of them denials or about nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from nosology.config import (
    CalibrationConfig,
    CandidatesConfig,
    KnowledgeConfig,
    RankerConfig,
    Recipe,
    SimulatedConfig,
    TrainingConfig,
)
from nosology.knowledge.stream import build_stream
from nosology.ranking.source import TrainingExample, TrainingSet
from nosology.types import Corpus, Encounter, Evidence, GoldCode, Note, Span

WORDINGS = {
    "I10": ("hypertension", "high blood pressure", "arterial hypertension"),
    "E11.9": ("type 2 diabetes", "diabetes mellitus", "diabetic patient"),
    "J18.9": ("pneumonia", "pneumonic consolidation", "infection of the lung"),
    "N18.9": ("chronic kidney disease", "renal failure", "chronic renal insufficiency"),
    "I50.9": ("heart failure", "congestive cardiac failure"),
    "K35.80": ("acute appendicitis", "inflamed appendix"),
    "D64.9": ("anemia", "low haemoglobin"),
    "M81.0": ("osteoporosis", "brittle bones"),
}
_FRAMES = ("Patient with {}.", "History shows {} since last year.", "Treated for {} at home.", "Known {}.")
_DENIALS = ("No {}.", "Denies {}.")
_IDLE = ("Discharged home in good condition.", "Blood was drawn twice.", "Diet as tolerated, walks daily.")


def make_encounter(number: int, seed: int = 0) -> Encounter:
    """One note of two to four codes, each with its evidence, one denied code and idle sentences."""
    random = Random(seed * 1000 + number)
    chosen = random.sample(sorted(WORDINGS), random.randint(3, 5))
    text, golds, absent = "", list[GoldCode](), random.randrange(len(chosen))
    for place, code in enumerate(chosen):
        wording = random.choice(WORDINGS[code])
        denied = place == absent
        before, after = random.choice(_DENIALS if denied else _FRAMES).split("{}")
        start = len(text) + len(before)
        text += f"{before}{wording}{after} {random.choice(_IDLE)} "
        if not denied:
            evidence = Evidence(f"note-{number}", (Span(start, start + len(wording)),))
            golds.append(GoldCode(code, "icd10cm", (evidence,)))
    return Encounter(f"case-{number}", (Note(f"note-{number}", text),), tuple(golds), f"patient-{number // 2}", "train")


def make_corpus(size: int = 24, seed: int = 0) -> Corpus:
    return Corpus("tiny", ("icd10cm",), tuple(make_encounter(number, seed) for number in range(size)))


TABLE = {
    "corpus.reader": "tabular",
    "corpus.system": "own",
    "corpus.encounter_id": "id",
    "corpus.split": "split",
    "corpus.path": "notes.csv",
}
"""Keys of a recipe that reads ``write_table``'s file; no code table has the system, so that none is read."""


def write_table(folder: Path, *, train: int, dev: int, test: int = 0) -> None:
    """Write the first encounters into ``notes.csv``, split by their number."""
    splits = ["train"] * train + ["dev"] * dev + ["test"] * test
    lines = ["id,split,text,codes"]
    for number, split in enumerate(splits):
        encounter = make_encounter(number)
        codes = ";".join(sorted(encounter.code_set))
        lines.append(f'{encounter.encounter_id},{split},"{encounter.notes[0].text}",{codes}')
    (folder / "notes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def training_set(encounters: Sequence[Encounter]) -> TrainingSet:
    return TrainingSet(tuple(TrainingExample(build_stream(e), e.codes or (), e.group_id) for e in encounters))


def make_recipe(*, code_tables: bool = False, threshold: float | None = None, abstain_below: float = 0.1) -> Recipe:
    """A recipe of few trees and folds; without code tables, so that a fit takes about a second."""
    return Recipe(
        SimulatedConfig(),
        "tiny",
        KnowledgeConfig(code_tables=code_tables),
        CandidatesConfig(),
        RankerConfig(boosting_trees=10, random_trees=10),
        CalibrationConfig(folds=2, threshold=threshold, abstain_below=abstain_below),
        TrainingConfig(folds=3),
    )


def without_evidence(encounter: Encounter) -> Encounter:
    return replace(encounter, codes=tuple(replace(gold, evidence=()) for gold in encounter.codes or ()))


def run_python(script: str, *arguments: str, hash_seed: int = 0, threads: str = "1") -> str:
    """What a script prints in a process of its own that hashes strings by ``hash_seed``; this module is importable."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": threads}
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout
