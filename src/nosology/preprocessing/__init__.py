"""Note -> Document: normalised text, sections, paragraphs, sentences, words and the assertion of each mention."""

from __future__ import annotations

from nosology.preprocessing.assertion import AssertionEngine
from nosology.preprocessing.documents import Document, build_document
from nosology.preprocessing.normalisation import NormalisedText, normalise
from nosology.preprocessing.segmentation import NO_SECTION, Section

__all__ = ["NO_SECTION", "AssertionEngine", "Document", "NormalisedText", "Section", "build_document", "normalise"]
