"""Tokens point at the characters they stand for, whatever the note holds; files of tokenizers and word vectors."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.errors import ConfigError, CorpusError, DataError, ModelError
from nosology.preprocessing.subword_tokenizer import SubwordTokenizer, minilm_folder
from nosology.preprocessing.tokenization import (
    Tokenizer,
    TruncationCounts,
    fingerprint,
    load_tokenizer,
    save_tokenizer,
)
from nosology.preprocessing.word_tokenizer import WordTokenizer
from nosology.preprocessing.word_vectors import read_word_vectors
from nosology.types import Encounter, Evidence, Note, Span

TEXTS = (
    "Insuficiencia renal crónica, 250.00; HTA. İstanbul ﬁbrosis straße",
    "Patient with heart failure\r\n\tand type 2 diabetes. No fever!",
    "The patient was seen; heart-failure unlikely. Σίσυφος 😀 [**Hospital1 18**]",
)


def encounter(*texts: str, name: str = "e") -> Encounter:
    return Encounter(name, tuple(Note(f"{name}-{number}", text) for number, text in enumerate(texts)))


CORPUS = [encounter(text, name=f"c{number}") for number, text in enumerate(TEXTS)]
TOKENIZERS: dict[str, Tokenizer] = {
    "words": WordTokenizer.fit(CORPUS, least_notes=1),
    "words as written": WordTokenizer.fit(CORPUS, least_notes=1, lower=False, drop_numbers=False),
    "wordpiece": SubwordTokenizer.fit(CORPUS, vocabulary_size=220),
    "byte BPE": SubwordTokenizer.fit(CORPUS, algorithm="byte_bpe", vocabulary_size=320, lower=False),
    "byte BPE, lower": SubwordTokenizer.fit(CORPUS, algorithm="byte_bpe", vocabulary_size=320),
    "MiniLM": SubwordTokenizer.from_pretrained(),
}
EVERY = pytest.mark.parametrize("name", TOKENIZERS)
ANY_TEXT = st.text(
    st.one_of(st.characters(), st.sampled_from("aàßﬁİΣ 1.\n\t\r\u00ad\u0301\u200b\ud800😀")), max_size=40
)


@EVERY
@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_tokens_lie_in_their_notes_in_order(name: str, texts: list[str]) -> None:
    found = TOKENIZERS[name].encode(encounter(*texts))
    assert (np.diff(found.notes) >= 0).all()
    assert ((found.token_ids >= 0) & (found.token_ids < TOKENIZERS[name].vocabulary_size)).all()
    for number, text in enumerate(texts):
        starts, ends = (array[found.notes == number] for array in (found.starts, found.ends))
        assert (np.diff(starts) >= 0).all()
        assert ((starts >= 0) & (starts <= ends) & (ends <= len(text))).all()
        assert not any(text[a:b] != text[a:b].strip() for a, b in zip(starts, ends, strict=True))


@EVERY
def test_every_letter_is_in_a_token(name: str) -> None:
    text = "Crónica HEART failure and diabetes"
    found = TOKENIZERS[name].encode(encounter(text))
    covered = {place for a, b in zip(found.starts, found.ends, strict=True) for place in range(a, b)}
    assert covered == {place for place, character in enumerate(text) if character != " "}


def test_words_are_those_of_a_plain_reading() -> None:
    text = "Pt. seen 2x; 250.00 mg of X_y — ΣΑΣ İ 12"
    found = TOKENIZERS["words"].encode(encounter(text))
    assert [text[a:b] for a, b in zip(found.starts, found.ends, strict=True)] == [
        "Pt", "seen", "2x", "mg", "of", "X_y", "ΣΑΣ", "İ",
    ]  # fmt: skip


def test_the_vocabulary_counts_encounters_and_sorts_by_count() -> None:
    notes = [encounter("b b b a", "c", name="1"), encounter("a B", name="2"), encounter("a 7", name="3")]
    assert WordTokenizer.fit(notes, least_notes=2).words == ("<pad>", "<unk>", "a", "b")
    assert WordTokenizer.fit(notes, least_notes=1, most_words=1).words == ("<pad>", "<unk>", "a")
    assert "7" in WordTokenizer.fit(notes, least_notes=1, drop_numbers=False).words
    assert WordTokenizer.fit(notes, least_notes=2).encode(notes[0]).token_ids.tolist() == [3, 3, 3, 2, 1]
    with pytest.raises(CorpusError, match="no word stands in 4 or more"):
        WordTokenizer.fit(notes, least_notes=4)


@pytest.mark.parametrize("name", ["wordpiece", "MiniLM"])
def test_subwords_agree_with_the_library_and_bert(name: str) -> None:
    import tokenizers

    own = TOKENIZERS[name]
    assert isinstance(own, SubwordTokenizer)
    theirs = tokenizers.Tokenizer.from_str(own.source)
    theirs.no_truncation()
    theirs.no_padding()
    text = TEXTS[1]
    assert own.encode(encounter(text)).token_ids.tolist() == theirs.encode(text, add_special_tokens=False).ids


def test_trained_subwords_are_the_same_every_time_and_hold_no_more_marks() -> None:
    again = SubwordTokenizer.fit(CORPUS, vocabulary_size=220)
    assert again.source == TOKENIZERS["wordpiece"].source  # type: ignore[attr-defined]
    assert [token["content"] for token in json.loads(again.source)["added_tokens"]] == [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
    ]  # fmt: skip
    assert (again.pad_id, again.begin_id, again.end_id, again.mask_id) == (0, 2, 3, 4)
    assert again.vocabulary_size <= 220


def test_minilm_reads_beyond_the_128_tokens_of_its_file() -> None:
    found = TOKENIZERS["MiniLM"].encode(encounter("heart failure " * 100))
    assert len(found) == 200
    assert found.dropped == 0


@EVERY
def test_notes_are_joined_and_cut_at_the_end(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    whole = tokenizer.encode(encounter("heart failure", "", "type diabetes heart"))
    cut = tokenizer.encode(encounter("heart failure", "", "type diabetes heart"), len(whole) - 2)
    assert set(whole.notes.tolist()) == {0, 2}
    assert cut.token_ids.tolist() == whole.token_ids[:-2].tolist()
    assert (whole.dropped, cut.dropped) == (0, 2)
    assert whole.evidence(len(whole) - 1).note_id == "e-2"
    counts = TruncationCounts()
    for found in (whole, cut, tokenizer.encode(encounter(""))):
        counts.add(found)
    assert (counts.encounters, counts.truncated, counts.empty, counts.dropped) == (3, 1, 1, 2)
    assert "1 encounters cut" in counts.describe()


@EVERY
def test_evidence_finds_its_tokens_and_tokens_their_evidence(name: str) -> None:
    text = "no fever but heart failure today"
    found = TOKENIZERS[name].encode(encounter("first", text))
    marked = Evidence("e-1", (Span(14, 18), Span(27, 32)))  # part of "heart", "today"
    touched = found.tokens_of(marked).tolist()
    texts = {text[found.starts[t] : found.ends[t]] for t in touched}
    assert touched == [
        t for t in range(len(found)) if found.notes[t] == 1
        and any(found.starts[t] < p.end and found.ends[t] > p.start for p in marked.parts)
    ]  # fmt: skip
    assert texts
    assert all(part in "heart today" for part in texts)
    assert found.tokens_of(Evidence("another", (Span(0, 5),))).tolist() == []


@EVERY
def test_a_note_of_200_000_tokens_is_read(name: str) -> None:
    found = TOKENIZERS[name].encode(encounter("heart failure " * 100_000), 4000)
    assert len(found) == 4000
    assert found.dropped >= 196_000


@EVERY
def test_a_saved_tokenizer_reads_alike(name: str, tmp_path: Path) -> None:
    save_tokenizer(TOKENIZERS[name], tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert fingerprint(loaded) == fingerprint(TOKENIZERS[name])
    for one in CORPUS:
        ours, theirs = TOKENIZERS[name].encode(one), loaded.encode(one)
        assert ours.token_ids.tolist() == theirs.token_ids.tolist()
        assert ours.ends.tolist() == theirs.ends.tolist()
    assert len({fingerprint(tokenizer) for tokenizer in TOKENIZERS.values()}) == len(TOKENIZERS)


def test_a_changed_or_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    save_tokenizer(TOKENIZERS["words"], path)
    content = path.read_text()
    path.write_text(content.replace("heart", "hearts"))
    with pytest.raises(ModelError, match="does not match its fingerprint"):
        load_tokenizer(path)
    path.write_text(content[:100])
    with pytest.raises(ModelError, match="damaged: not a tokenizer"):
        load_tokenizer(path)
    with pytest.raises(ModelError, match="cannot read the tokenizer: No such file"):
        load_tokenizer(tmp_path / "none.json")


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no tokenizer\.json"):
        SubwordTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="no such folder; name a model's folder, or a model on the hub as owner/name"):
        SubwordTokenizer.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a tokenizer of the tokenizers library"):
        SubwordTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="vocabulary_size 20 is too small"):
        SubwordTokenizer.fit(CORPUS, vocabulary_size=20)
    with pytest.raises(ConfigError, match="vocabulary_size 100 is too small"):
        SubwordTokenizer.fit(CORPUS, algorithm="byte_bpe", vocabulary_size=100)
    with pytest.raises(CorpusError, match="no text to train"):
        SubwordTokenizer.fit([encounter(" ")])
    with pytest.raises(ConfigError, match="begins with <pad>"):
        WordTokenizer(("a", "b"))
    assert (minilm_folder() / "model.safetensors").is_file()


# --- word vectors ---------------------------------------------------------------------------------------------------

WORDS = ("<pad>", "<unk>", "heart", "crónica", "missing")
ROWS = {"the": [9.0, 9.0, 9.0], "Heart": [7.0, 7.0, 7.0], "heart": [1.0, -2.5, 0.125], "crónica": [0.5, 0.0, 3.0]}
EXPECTED = np.array([[0, 0, 0], [0, 0, 0], ROWS["heart"], ROWS["crónica"], [0, 0, 0]], dtype=np.float32)


def as_text(header: bool, end: str = "\n") -> bytes:
    first = f"{len(ROWS)} 3{end}" if header else ""
    return (first + "".join(f"{w} {' '.join(map(str, v))}{end}" for w, v in ROWS.items())).encode()


def as_binary(newlines: bool) -> bytes:
    rows = [w.encode() + b" " + struct.pack("<3f", *v) + (b"\n" if newlines else b"") for w, v in ROWS.items()]
    return f"{len(ROWS)} 3\n".encode() + b"".join(rows)


@pytest.mark.parametrize(
    "content",
    [as_text(True), as_text(False), as_text(True, " \n"), as_text(False, "\r\n"), as_binary(True), as_binary(False)],
    ids=["word2vec text", "GloVe", "fastText .vec", "GloVe of Windows", "word2vec binary", "without newlines"],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_vectors_of_every_format_are_alike(tmp_path: Path, content: bytes, compressed: bool) -> None:
    path = tmp_path / ("vectors.gz" if compressed else "vectors")
    path.write_bytes(gzip.compress(content) if compressed else content)
    found = read_word_vectors(path, WORDS)
    assert np.array_equal(found.matrix, EXPECTED)
    assert found.found.tolist() == [False, False, True, True, False]
    assert found.coverage == 0.4
    initial = found.initial(seed=1)
    assert (initial[0] == 0).all()
    assert np.array_equal(initial[2:4], EXPECTED[2:4])
    assert (initial[1] != 0).all()
    assert np.array_equal(initial, found.initial(seed=1))


def fasttext_model(rows: np.ndarray, words: tuple[str, ...], buckets: int, shortest: int, longest: int) -> bytes:
    """The binary layout of fastText 0.9."""
    head = struct.pack("<ii", 793712314, 12)
    head += struct.pack("<12id", rows.shape[1], 5, 1, 1, 5, 1, 2, 1, buckets, shortest, longest, 100, 1e-4)
    head += struct.pack("<3i2q", len(words), len(words), 0, 10, -1)
    head += b"".join(word.encode() + b"\0" + struct.pack("<qb", 3, 0) for word in words)
    return head + struct.pack("<?2q", False, *rows.shape) + rows.astype("<f4").tobytes()


def test_a_fasttext_model_gives_the_mean_of_word_and_ngrams(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(3 + 50, 4)).astype(np.float32)
    path = tmp_path / "model.bin"
    path.write_bytes(fasttext_model(rows, ("</s>", "heart", "ñ"), 50, 3, 4))

    def bucket(gram: str) -> int:
        value = np.uint32(2166136261)
        with np.errstate(over="ignore"):
            for byte in gram.encode():
                value = np.uint32(value ^ np.uint32(np.int8(np.uint8(byte).astype(np.int8)).astype(np.uint32)))
                value = np.uint32(value * np.uint32(16777619))
        return 3 + int(value) % 50

    grams = ["<he", "<hea", "hea", "hear", "ear", "eart", "art", "art>", "rt>"]
    found = read_word_vectors(path, ("</s>", "heart", "ñ"))
    assert np.allclose(found.matrix[0], rows[0])
    assert np.allclose(found.matrix[1], rows[[1, *map(bucket, grams)]].mean(axis=0), atol=1e-6)
    assert np.allclose(found.matrix[2], rows[[2, bucket("<ñ>")]].mean(axis=0), atol=1e-6)
    assert bucket("<ñ>") == 3 + 3154181247 % 50  # as fastText 0.9 numbers it


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a file of word vectors"),
        (b"just one line of prose\n", "not a word and 4 numbers"),
        (as_binary(False)[:-5], "cut off after 3 of 4 words"),
        (b"2 3\nheart 1.0 2.0 3.0\nmissing 1.0 x 3.0\n", "not a word and 3 numbers"),
        (as_text(True).replace(b"heart", b"h").replace("crónica".encode(), b"c").replace(b"Heart", b"H"), "no vector"),
        (struct.pack("<ii", 793712314, 12) + b"abc", "damaged or cut-off fastText model"),
    ],
)
def test_files_that_are_no_vectors_are_told(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_word_vectors(path, ("<pad>", "<unk>", "heart", "crónica", "missing", "just"))
    with pytest.raises(DataError, match="No such file"):
        read_word_vectors(tmp_path / "none", WORDS)
