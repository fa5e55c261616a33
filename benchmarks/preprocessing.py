"""How fast notes become documents: MB/s for each stage, and notes a second for all of it with 60 mentions judged.

Reads CodiEsp's training notes from NOSOLOGY_DATA, or repeats a made-up note where that is not set.

Usage: python benchmarks/preprocessing.py
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nosology.preprocessing import AssertionEngine, build_document, normalise
from nosology.preprocessing.languages import language_data
from nosology.preprocessing.normalisation import blank_punctuation
from nosology.preprocessing.segmentation import lay_out
from nosology.preprocessing.stemming import stem
from nosology.types import Note

MENTIONS = 60
MADE_UP = (
    "Paciente de 44 años con antecedentes de hipertensión que acude por fiebre de 38,5 °C y tos. Niega disnea, dolor "
    "torácico o síncope. En la exploración física se aprecia soplo sistólico, sin edemas ni adenopatías. "
) * 12


def read_notes() -> list[Note]:
    root = os.environ.get("NOSOLOGY_DATA")
    files = sorted(Path(root, "codiesp", "train", "text_files").glob("*.txt")) if root else []
    if not files:
        print("NOSOLOGY_DATA is not set or has no CodiEsp: a made-up note, 500 times")
        return [Note(f"n{i}", MADE_UP, language="es") for i in range(500)]
    return [Note(path.stem, path.read_text(encoding="utf-8"), language="es") for path in files]


def best_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    def once() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return min(once() for _ in range(repeats))


def judge(note: Note, engine: AssertionEngine) -> None:
    document = build_document(note)
    starts = np.linspace(0, max(len(document.words) - 1, 0), MENTIONS).astype(np.int64)
    engine.classify_words(document, starts, starts + 1)
    _ = document.sections


def stem_all(words: list[list[str]]) -> None:
    for note in words:
        for word in note:
            stem(word, "es")


def main() -> None:
    notes = read_notes()
    texts = [note.text for note in notes]
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    folded = [normalise(text).text for text in texts]
    words = [blank_punctuation(text).split() for text in folded]
    language, engine = language_data("es"), AssertionEngine.for_language("es")
    stages: dict[str, Callable[[], object]] = {
        "normalise, offsets the identity": lambda: [normalise(text) for text in texts],
        "normalise, with a map (NFD)": lambda: [normalise(text) for text in decomposed],
        "blank punctuation": lambda: [blank_punctuation(text) for text in folded],
        "sentences, paragraphs, sections": lambda: [lay_out(text, language) for text in texts],
        "stem every word (cached)": lambda: stem_all(words),
        f"document and {MENTIONS} mentions judged": lambda: [judge(note, engine) for note in notes],
    }
    size = sum(len(text.encode()) for text in texts)
    print(f"{len(notes)} notes, {size / 1e6:.2f} MB, one core")
    for name, work in stages.items():
        seconds = best_seconds(work)
        per_note = seconds / len(notes)
        print(f"{name:38} {size / seconds / 1e6:8.1f} MB/s {1 / per_note:9.0f} notes/s {per_note * 1e3:7.3f} ms/note")
    large = "\n".join(texts)
    large = large * (5_000_000 // len(large) + 1)
    seconds = best_seconds(lambda: judge_large(large, engine), 1)
    print(f"{len(large) / 1e6:.1f} million characters in one note: {seconds:.2f} s")


def judge_large(text: str, engine: AssertionEngine) -> None:
    judge(Note("large", text, language="es"), engine)


if __name__ == "__main__":
    main()
