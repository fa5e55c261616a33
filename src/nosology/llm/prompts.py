"""What a language model reads and what it is to write: the four input-output formats of the paper's table 1.

    1  input: X                               output: C
    2  input: X                               output: C with descriptions
    3  input: X + C_total                     output: C
    4  input: X + C_total with descriptions   output: C

The paper shows its prompt in a picture that we don't have, and does not say in which order codes are written or what
parts them: the wording, the order (``LlmConfig.order``) and the semicolon are our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from nosology.codes.titles import TitleTable
from nosology.config.llm import Order
from nosology.encoders.base import Batch
from nosology.errors import ConfigError

Format = Literal[1, 2, 3, 4]

_TASK = "Assign the ICD codes to the clinical note."
_CHOICES = "Choose from these codes:"
_BEFORE_NOTE = "\n\nClinical note:\n"
_AFTER_NOTE = "\n\nICD codes:"
_SEPARATOR = ";"

CUT_RULE = "the end of the note is cut off, never the instruction or the answer"


class TextTokenizer(Protocol):
    """What prompts need of a tokenizer beside notes."""

    @property
    def begin_id(self) -> int | None:
        """The mark before a text."""
        ...

    def ids_of(self, text: str) -> list[int]:
        """Token ids of a text, without marks."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """Prompts of a batch side by side.

    Args:
        ids: token ids.
        mask: true where a real token stands.
        note: true where a token of the note stands; in each row as many as in the note.
    """

    ids: Int[Tensor, "batch place"]
    mask: Bool[Tensor, "batch place"]
    note: Bool[Tensor, "batch place"]


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """The instruction around a note, as tokens.

    Args:
        before, after: tokens before and after the note's.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]

    @staticmethod
    def of(
        tokenizer: TextTokenizer, number: Format, labels: Sequence[str], titles: TitleTable, end: int | None
    ) -> Prompt:
        """The prompt of a format.

        Args:
            tokenizer: the model's.
            number: of the format.
            labels: all codes, sorted; listed by formats 3 and 4.
            titles: descriptions of the codes, for format 4.
            end: the mark that an encoder expects at the end; ``None`` for a decoder alone, which goes on writing.
        """
        begin = [] if tokenizer.begin_id is None or end is not None else [tokenizer.begin_id]
        before = tokenizer.ids_of(instruction(number, labels, titles) + _BEFORE_NOTE)
        after = tokenizer.ids_of(_AFTER_NOTE)
        return Prompt((*begin, *before), (*after, *([] if end is None else [end])))

    def __len__(self) -> int:
        """Tokens without the note's."""
        return len(self.before) + len(self.after)

    def around(self, batch: Batch, filler: int, *, left: bool) -> Prompts:
        """The prompts of a batch of notes.

        Args:
            batch: the notes' tokens.
            filler: what stands at padding.
            left: padding stands before the prompts instead of after them.
        """
        notes = [ids[mask].tolist() for ids, mask in zip(batch.token_ids, batch.mask, strict=True)]
        rows = [[*self.before, *note, *self.after] for note in notes]
        width = max((len(row) for row in rows), default=0)
        ids = torch.full((len(rows), width), filler, dtype=torch.long)
        mask, inside = (torch.zeros(len(rows), width, dtype=torch.bool) for _ in range(2))
        for number, row in enumerate(rows):
            first = width - len(row) if left else 0
            ids[number, first : first + len(row)] = torch.tensor(row, dtype=torch.long)
            mask[number, first : first + len(row)] = True
            start = first + len(self.before)
            inside[number, start : start + len(notes[number])] = True
        device = batch.token_ids.device
        return Prompts(ids.to(device), mask.to(device), inside.to(device))


def instruction(number: Format, labels: Sequence[str], titles: TitleTable) -> str:
    """What stands before the note, in words."""
    match number:
        case 1 | 2:
            return _TASK
        case 3:
            return f"{_TASK} {_CHOICES} {'; '.join(labels)}."
        case 4:
            return f"{_TASK} {_CHOICES} {'; '.join(described(code, titles) for code in labels)}."


def described(code: str, titles: TitleTable) -> str:
    """A code with its description; a semicolon in it, which would part codes, is a comma."""
    title = " ".join(titles.title(code).replace(_SEPARATOR, ",").split())
    return f"{code} {title}".strip()


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model writes, as tokens.

    Args:
        items: tokens of each code, by its place in the order.
        places: of each label number, its place in the order.
        separator: tokens between two codes.
        end: the token that ends an answer.
    """

    items: tuple[tuple[int, ...], ...]
    places: tuple[int, ...]
    separator: tuple[int, ...]
    end: int

    @staticmethod
    def of(
        tokenizer: TextTokenizer, number: Format, counts: Mapping[str, int], titles: TitleTable, order: Order, end: int
    ) -> Answers:
        """The answers over a label list.

        Args:
            tokenizer: the model's.
            number: of the format; 2 writes descriptions.
            counts: training encounters with each label, in the order of their numbers.
            titles: descriptions of the labels.
            order: of codes in an answer.
            end: the token that ends an answer.
        """
        labels = list(counts)
        ordered = ordered_labels(counts, order)
        texts = [described(labels[label], titles) if number == 2 else labels[label] for label in ordered]
        items = tuple(tuple(tokenizer.ids_of(f" {text}")) for text in texts)
        place_of = {label: place for place, label in enumerate(ordered)}
        places = tuple(place_of[label] for label in range(len(labels)))
        return Answers(items, places, tuple(tokenizer.ids_of(_SEPARATOR)), end)

    @property
    def labels(self) -> tuple[int, ...]:
        """Label numbers by their places."""
        return tuple(sorted(range(len(self.places)), key=self.places.__getitem__))

    def target(self, labels: Sequence[int]) -> list[int]:
        """The tokens of an answer that names these labels, with its end."""
        tokens = list[int]()
        for place in sorted(self.places[label] for label in labels):
            tokens += [*(self.separator if tokens else ()), *self.items[place]]
        return [*tokens, self.end]

    def batch(self, targets: Tensor, filler: int) -> tuple[Int[Tensor, "batch token"], Bool[Tensor, "batch token"]]:
        """The answers to a batch, padded to the right, and where their tokens stand.

        Args:
            targets: 1 where a note has the label.
            filler: what stands at padding.
        """
        rows = [self.target(row.nonzero()[:, 0].tolist()) for row in targets.cpu()]
        width = max(len(row) for row in rows)
        ids = torch.tensor([row + [filler] * (width - len(row)) for row in rows])
        mask = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows])
        return ids.to(targets.device), mask.to(targets.device)


def ordered_labels(counts: Mapping[str, int], order: Order) -> list[int]:
    """Label numbers in the order in which answers name them; equally frequent ones by their codes."""
    labels = list(counts)
    match order:
        case "frequency":
            return sorted(range(len(labels)), key=lambda label: (-counts[labels[label]], labels[label]))
        case "rarity":
            return sorted(range(len(labels)), key=lambda label: (counts[labels[label]], labels[label]))
        case "code":
            return sorted(range(len(labels)), key=labels.__getitem__)


def answer_room(longest: int, asked: int | None) -> int:
    """The most tokens of an answer.

    Args:
        longest: of the training answers.
        asked: ``LlmConfig.answer_tokens``.

    Raises:
        ConfigError: a training answer would have to be cut.
    """
    if asked is None:
        return longest + longest // 2 + 1
    if asked < longest:
        raise ConfigError(f"answer_tokens = {asked} is too few: the longest training answer has {longest} tokens")
    return asked


def note_room(window: int, prompt: Prompt, answer: int) -> int:
    """The most tokens of a note in the model's window.

    Args:
        window: tokens that the model reads.
        prompt: the instruction.
        answer: tokens kept free for the answer; 0 where it stands apart (encoder-decoders).

    Raises:
        ConfigError: nothing is left for the note.
    """
    room = window - len(prompt) - answer
    if room < 1:
        parts = f"the instruction takes {len(prompt)} tokens" + (f", the answer {answer}" if answer else "")
        raise ConfigError(
            f"window = {window} leaves no room for a note: {parts}; raise window, or take format 1, whose instruction "
            "lists no codes"
        )
    return room
