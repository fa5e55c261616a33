"""What a corpus is like: figures, tables, plots and warnings, counted from a prepared folder or from memory."""

from __future__ import annotations

from nosology.corpora.statistics.lengths import TokenCounter, open_tokenizer
from nosology.corpora.statistics.report import CorpusStatistics, Wishes, describe_corpus
from nosology.corpora.statistics.table import CorpusTable, table_of_corpus, table_of_folder
from nosology.corpora.statistics.tables import StatisticsTable, statistics_tables, to_csv, to_latex, to_markdown
from nosology.corpora.statistics.warnings import corpus_warnings

__all__ = [
    "CorpusStatistics",
    "CorpusTable",
    "StatisticsTable",
    "TokenCounter",
    "Wishes",
    "corpus_warnings",
    "describe_corpus",
    "open_tokenizer",
    "statistics_tables",
    "table_of_corpus",
    "table_of_folder",
    "to_csv",
    "to_latex",
    "to_markdown",
]
