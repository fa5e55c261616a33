"""How long documents are, and how much of them a limit on tokens cuts off.

A document is an encounter: its notes one after another. Words are runs of letters, digits and underscores, counted in
every document; a sub-word tokenizer counts a seeded sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nosology.corpora.statistics.distribution import Distribution
from nosology.corpora.statistics.table import CorpusTable, Ints, collected, import_polars
from nosology.errors import ConfigError, MissingExtraError

LIMITS = (512, 1024, 2048, 4096)
WORDS = "words"
_WORD = r"\w+"

TokenCounter = Callable[[Sequence[str]], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Truncation:
    """What a limit costs.

    Args:
        limit: tokens that are kept, from the start.
        documents_cut: share of the documents that are longer.
        mean_lost: share of its tokens that a document loses, averaged over all documents.
        worst_lost: the same for the document that loses most.
        tokens_lost: share of all tokens.
    """

    limit: int
    documents_cut: float
    mean_lost: float
    worst_lost: float
    tokens_lost: float


@dataclass(frozen=True, slots=True)
class LengthStatistics:
    """Lengths in the tokens of one tokenizer.

    Args:
        tokenizer: its name; "words" for runs of letters, digits and underscores.
        documents: counted; all of them for words.
        sampled: whether they are a sample.
        tokens: in all counted documents.
        lengths: tokens a document.
        truncations: one a limit.
    """

    tokenizer: str
    documents: int
    sampled: bool
    tokens: int
    lengths: Distribution
    truncations: tuple[Truncation, ...]


@dataclass(frozen=True, slots=True, eq=False)
class WordCounts:
    """Words and notes of every document, in the order of the table's encounters."""

    words: Ints
    notes: Ints
    characters: Ints


def count_words(table: CorpusTable) -> WordCounts:
    """Words, notes and characters of each document, read as a stream."""
    polars = import_polars()
    text = polars.col("text")
    counted = [text.str.count_matches(_WORD).alias("words"), text.str.len_chars().alias("characters")]
    frame = table.notes().select("encounter_id", *counted)
    summed = frame.group_by("encounter_id").agg(
        polars.col("words").sum(), polars.col("characters").sum(), polars.len().alias("notes")
    )
    rows = collected(summed)
    place = {encounter: position for position, encounter in enumerate(table.encounter_ids)}
    positions = np.array([place[one] for one in rows["encounter_id"]], dtype=np.int64)

    def column(name: str) -> Ints:
        values = np.zeros(len(table), dtype=np.int64)
        values[positions] = rows[name].to_numpy()
        return values

    return WordCounts(column("words"), column("notes"), column("characters"))


def length_statistics(tokenizer: str, lengths: Ints, *, sampled: bool) -> LengthStatistics:
    """Describe the lengths of documents.

    Args:
        tokenizer: what counted them.
        lengths: tokens of each document.
        sampled: whether the documents are a sample.
    """
    cuts = tuple(_truncation(lengths, limit) for limit in LIMITS)
    return LengthStatistics(tokenizer, len(lengths), sampled, int(lengths.sum()), Distribution.of(lengths), cuts)


def sampled_lengths(table: CorpusTable, count: TokenCounter, size: int, seed: int) -> Ints:
    """Tokens of a seeded sample of documents.

    Args:
        table: the corpus.
        count: tokens of each text.
        size: documents in the sample; all where there are fewer.
        seed: of the sample.
    """
    polars = import_polars()
    chosen = np.sort(np.random.default_rng(seed).choice(len(table), min(size, len(table)), replace=False))
    ids = [table.encounter_ids[position] for position in chosen]
    rows = collected(table.notes().filter(polars.col("encounter_id").is_in(ids)))
    place = {encounter: position for position, encounter in enumerate(ids)}
    lengths = np.zeros(len(ids), dtype=np.int64)
    np.add.at(lengths, [place[one] for one in rows["encounter_id"]], np.array(count(rows["text"].to_list())))
    return lengths


def open_tokenizer(path: Path) -> TokenCounter:
    """A Hugging Face ``tokenizer.json`` as a function that counts tokens, without the special ones.

    Args:
        path: the file, or a folder that holds it.

    Raises:
        ConfigError: no such file, or not a tokenizer.
        MissingExtraError: the package ``tokenizers`` is not installed.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"{file}: no such tokenizer file; give a Hugging Face tokenizer.json, or 'words'")
    try:
        from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtraError("Counting sub-words", "neural") from None
    try:
        tokenizer: Any = Tokenizer.from_file(str(file))
    except Exception:  # the package raises plain Exception
        raise ConfigError(f"{file}: not a Hugging Face tokenizer.json; save the tokenizer again") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(one.ids) for one in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    return count


def _truncation(lengths: Ints, limit: int) -> Truncation:
    lost = np.maximum(lengths - limit, 0)
    shares = lost / np.maximum(lengths, 1)
    if not len(lengths):
        return Truncation(limit, 0.0, 0.0, 0.0, 0.0)
    return Truncation(
        limit,
        float(np.mean(lost > 0)),
        float(shares.mean()),
        float(shares.max()),
        float(lost.sum() / max(int(lengths.sum()), 1)),
    )
