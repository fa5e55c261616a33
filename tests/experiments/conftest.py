"""A CodiEsp release of a dozen made-up cases, and recipes that train on it in a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

Row = tuple[str, str, str]
"""(kind, code, words of evidence)."""

D, P = "DIAGNOSTICO", "PROCEDIMIENTO"
TEXTS = {
    "fiebre": ((D, "r50.9", "fiebre"),),
    "asma": ((D, "j45.909", "asma"), (D, "i10", "hipertensión arterial")),
    "torax": ((D, "r05", "tos"), (P, "bw03zzz", "radiografía de tórax")),
}
SENTENCES = {
    "fiebre": "Paciente de {n} años que acude por fiebre.",
    "asma": "Mujer de {n} años con asma e hipertensión arterial.",
    "torax": "Varón de {n} años con tos, se realiza radiografía de tórax.",
}
TRAIN = [(f"S{number}-1", kind) for number, kind in enumerate(["fiebre", "asma", "torax"] * 3)]


def write_case(split: Path, document: str, text: str, rows: tuple[Row, ...]) -> None:
    """Add a case to a split."""
    for folder in ("text_files", "text_files_en"):
        (split / folder).mkdir(parents=True, exist_ok=True)
        (split / folder / f"{document}.txt").write_text(text, encoding="utf-8")
    files = {D: f"{split.name}D.tsv", P: f"{split.name}P.tsv"}
    for name in (*files.values(), f"{split.name}X.tsv"):
        (split / name).touch()
    for kind, code, words in rows:
        start = text.index(words)
        with (split / files[kind]).open("a") as stream:
            stream.write(f"{document}\t{code}\n")
        with (split / f"{split.name}X.tsv").open("a", encoding="utf-8") as stream:
            stream.write(f"{document}\t{kind}\t{code}\t{words}\t{start} {start + len(words)}\n")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Nine cases of train; three of dev, the first of an article that train has too."""
    root = tmp_path / "release"
    for number, (document, kind) in enumerate(TRAIN):
        write_case(root / "train", document, SENTENCES[kind].format(n=40 + number), TEXTS[kind])
    write_case(root / "dev", "S0-2", SENTENCES["fiebre"].format(n=31), TEXTS["fiebre"])
    write_case(root / "dev", "S90-1", SENTENCES["asma"].format(n=32), TEXTS["asma"])
    write_case(
        root / "dev",
        "S91-1",
        SENTENCES["torax"].format(n=33) + " Antecedente de psoriasis.",
        (*TEXTS["torax"], (D, "l40.9", "psoriasis")),
    )
    return root


SMALL = """
[corpus]
reader = "codiesp"
task = "{task}"
language = "{language}"
[knowledge]
code_tables = false
[ranker]
boosting_trees = 5
random_trees = 5
[calibration]
folds = 2
[training]
folds = 3
"""


@pytest.fixture
def recipes(tmp_path: Path) -> dict[str, Path]:
    """Recipe files by track and language."""
    places = {
        "d_es": ("diagnoses", "es"),
        "d_en": ("diagnoses", "en"),
        "p_es": ("procedures", "es"),
        "x": ("both", "es"),
    }
    for name, (task, language) in places.items():
        (tmp_path / f"{name}.toml").write_text(SMALL.format(task=task, language=language), encoding="utf-8")
    return {name: tmp_path / f"{name}.toml" for name in places}
