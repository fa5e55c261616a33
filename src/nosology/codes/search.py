"""Turn the words of a search into SQL, with the full-text index or, where SQLite lacks FTS5, by scanning."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# The row of a wording in the full-text index is its node's id times this, plus its position (0 = the title).
WORDINGS_PER_NODE = 1024
_WORD = re.compile(r"\w+")
# A code may match by several of its wordings: look at so many rows for each result wanted.
_ROWS_PER_HIT = 8


def search_words(text: str) -> tuple[str, ...]:
    """The distinct words of a query, lower case, without accents, in order."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return tuple(dict.fromkeys(_WORD.findall(plain)))


def full_text_query(words: Sequence[str], join: str, limit: int) -> tuple[str, tuple[object, ...]]:
    """Rank codes by the bm25 of their best wording, singular and plural alike.

    The words are quoted, so that none of them acts as an operator.

    Args:
        words: at least one.
        join: ``AND`` or ``OR``.
        limit: at most so many rows.
    """
    match = f" {join} ".join(_either(word) for word in words)
    query = f"""SELECT node.code, node.description, node.billable, -min(hit.rank) AS score FROM
        (SELECT rowid, rank FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?) AS hit
        JOIN node ON node.id = hit.rowid / {WORDINGS_PER_NODE}
        GROUP BY node.id ORDER BY score DESC, node.id LIMIT ?"""
    return query, (match, limit * _ROWS_PER_HIT, limit)


def _either(word: str) -> str:
    return "(" + " OR ".join(f'"{form}"' for form in _forms(word)) + ")"


def _forms(word: str) -> tuple[str, ...]:
    """A word and its likely singular and plural."""
    if len(word) < 4 or not word.isalpha():
        return (word,)
    if word.endswith("ies"):
        return word, word[:-3] + "y"
    if word.endswith("y"):
        return word, word[:-1] + "ies"
    if word.endswith("es"):
        return word, word[:-1], word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "is", "us")):
        return word, word[:-1]
    return word, word + "s", word + "es"


def scan_query(words: Sequence[str], limit: int) -> tuple[str, tuple[object, ...]]:
    """Rank by how many words occur in the title or a term, then by the shorter title."""
    held = """(lower(description) LIKE ? OR EXISTS
        (SELECT 1 FROM term WHERE term.node = node.id AND lower(term.text) LIKE ?))"""
    score = " + ".join(held for _ in words)
    query = f"""SELECT code, description, billable, score FROM (SELECT node.*, {score} AS score FROM node)
        WHERE score > 0 ORDER BY score DESC, length(description), id LIMIT ?"""
    patterns = tuple(f"%{word}%" for word in words for _ in range(2))
    return query, (*patterns, limit)
