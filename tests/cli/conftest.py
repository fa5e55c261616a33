"""A coder small enough to see through: it assigns each code whose evidence words of training stand in the note."""

from __future__ import annotations

import json
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from nosology.checkpoint import open_model_folder, writing_model_folder
from nosology.config import Recipe, load_recipe, to_toml
from nosology.types import CodedEncounter, Corpus, Encounter, Evidence, Note, Span, SuggestedCode


@dataclass
class WordCoder:
    recipe: Recipe
    words: dict[str, str]
    label_counts: dict[str, int]
    language: str
    seed: int = 0
    training_remarks: tuple[str, ...] = ()
    coding_remark: str | None = None

    @classmethod
    def fit(
        cls,
        corpus: Corpus,
        recipe: Recipe,
        *,
        seed: int = 0,
        progress: Callable[[str, float], None] | None = None,
        work: Path | None = None,
    ) -> Self:
        words = dict[str, str]()
        for encounter in corpus:
            for gold in encounter.codes or ():
                for one in gold.evidence:
                    words[encounter.note(one.note_id).text[one.start : one.end]] = gold.code
        if progress:
            progress("counting", 1.0)
        return cls(recipe, words, dict(Counter(c for e in corpus for c in e.code_set)), corpus.language, seed)

    def code(self, encounter: Encounter) -> CodedEncounter:
        note = encounter.notes[0]
        return CodedEncounter(encounter.encounter_id, tuple(self._found(note)))

    def _found(self, note: Note) -> Iterator[SuggestedCode]:
        found = [(code, word, note.text.find(word)) for word, code in self.words.items() if word in note.text]
        for rank, (code, word, start) in enumerate(found):
            evidence = (Evidence(note.note_id, (Span(start, start + len(word)),)),)
            yield SuggestedCode(code, "icd10cm", 0.9 / (rank + 1), rank < 2, evidence, (word,), f"Title of {code}")

    def code_many(self, encounters: Iterable[Encounter]) -> Iterator[CodedEncounter]:
        return map(self.code, encounters)

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        with writing_model_folder(path, overwrite=overwrite) as folder:
            (folder / "recipe.toml").write_text(to_toml(self.recipe), encoding="utf-8")
            state = [self.words, self.label_counts, self.language, self.seed]
            (folder / "words.json").write_text(json.dumps(state), encoding="utf-8")

    @classmethod
    def from_pretrained(cls, path: Path) -> Self:
        folder = open_model_folder(path)
        words, counts, language, seed = json.loads(folder.file("words.json").read_text(encoding="utf-8"))
        return cls(load_recipe(folder.file("recipe.toml")), words, counts, language, seed)


@pytest.fixture
def word_coder(monkeypatch: pytest.MonkeyPatch) -> type[WordCoder]:
    module = types.ModuleType("nosology.coder")
    module.Coder = WordCoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nosology.coder", module)
    monkeypatch.delenv("NOSOLOGY_DATA", raising=False)
    return WordCoder


ROWS = [
    ("a", "train", "Patient with gout and asthma.", [("M10.9", "gout"), ("J45.909", "asthma")]),
    ("b", "train", "Long standing asthma. Cough.", [("J45.909", "asthma"), ("R05.9", "Cough")]),
    ("c", "dev", "Known gout, no wheeze.", [("M10.9", "gout")]),
    ("d", "dev", "Severe asthma today.", [("J45.909", "asthma")]),
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Four short notes with codes and evidence, in two splits."""
    rows = [
        {
            "id": key,
            "split": split,
            "text": text,
            "codes": [code for code, _ in gold],
            "evidence": [
                {"code": code, "start": text.index(word), "end": text.index(word) + len(word)} for code, word in gold
            ],
        }
        for key, split, text, gold in ROWS
    ]
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


RECIPE = """description = "four notes"
[corpus]
reader = "tabular"
encounter_id = "id"
split = "split"
evidence = "evidence"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture
def model(tmp_path: Path, table: Path, recipe: Path, word_coder: type[WordCoder]) -> Path:
    from nosology.cli.main import run

    assert run(["train", str(recipe), "--data", str(table), "--out", str(tmp_path / "model")]) == 0
    return tmp_path / "model"
