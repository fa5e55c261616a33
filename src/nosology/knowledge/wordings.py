"""What a code is called: its title, and its other wordings where somebody asks for several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from nosology.codes.titles import TitleTable
from nosology.knowledge.base import KnowledgeBase
from nosology.preprocessing.languages import words_of


@dataclass(frozen=True)
class Wordings:
    """Titles, and synonyms from a knowledge base that is only built once it is needed.

    Args:
        titles: of codes.
        build: makes the knowledge base.
    """

    titles: TitleTable
    build: Callable[[], KnowledgeBase] = KnowledgeBase

    def title(self, code: str) -> str:
        """Its title, or the code where it has none."""
        return self.titles.title(code) or code

    def synonyms(self, code: str, most: int) -> list[str]:
        """The title and other wordings of a code in its sources' order, none twice by its normalised words."""
        texts = [self.title(code), *(expression.text for expression in self._knowledge.of_code(code))]
        found = dict[str, str]()
        for text in texts:
            found.setdefault(" ".join(words_of(text)), text)
        return list(found.values())[:most]

    @cached_property
    def _knowledge(self) -> KnowledgeBase:
        return self.build()
