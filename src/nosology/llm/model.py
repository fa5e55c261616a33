"""The model that is trained: a language model that writes codes, a head that reads its states, or both.

    H = F(X), the encoder's states (encoder-decoders) or the decoder's last ones (decoders alone)      (1)
    Z = tanh(H W)    V = softmax(U Z^T) H    Y_att = fcn(V)                                            (2-4)
    L_total = L_gen + L_att
    Y = lambda Y_gen + (1 - lambda) Y_att                                                              (5)

Reference: Yoo and Kim 2025, "How to leverage large language models for automatic ICD coding", section 3.1.
Differs from the paper: H holds the note's tokens and not the instruction's; L_gen is the mean over encounters of the
mean over an answer's tokens, so that a step weighs encounters; Y_gen has graded scores where the decoding gives any
(``decoding``), which the paper's binary lambda then still chooses by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from nosology.config.llm import DecodingConfig
from nosology.encoders.base import Batch, Encoder, EncoderOutput
from nosology.heads.base import GoldEvidence, Head, HeadOutput, LabelLoss, TopAttention
from nosology.llm.backbone import Backbone
from nosology.llm.decoding import Answer, code_probabilities, write_answers
from nosology.llm.parsing import CodeReader
from nosology.llm.prompts import Answers, Prompt, Prompts
from nosology.llm.trie import CodeTrie
from nosology.model import losses_over

_LEAST = 1e-6


class LanguageEncoder(Encoder):
    """The states of a note's tokens inside a prompt, as any encoder gives them.

    Args:
        backbone: the language model.
        prompt: what stands around a note; empty ends read the note alone.
    """

    def __init__(self, backbone: Backbone, prompt: Prompt) -> None:
        super().__init__(backbone.hidden_size)
        self.backbone, self.prompt = backbone, prompt

    def forward(self, batch: Batch) -> EncoderOutput:
        """See ``Encoder``."""
        prompts = self.prompts(batch)
        return self.of_notes(batch, prompts, self.backbone.read(prompts))

    def prompts(self, batch: Batch) -> Prompts:
        """The prompts of a batch."""
        return self.prompt.around(batch, self.backbone.filler, left=self.backbone.pads_left)

    @staticmethod
    def of_notes(batch: Batch, prompts: Prompts, states: Float[Tensor, "batch place hidden"]) -> EncoderOutput:
        """The states of the notes' own tokens, where the batch has them, in fp32: what heads learn in."""
        hidden = states.new_zeros(*batch.mask.shape, states.shape[-1], dtype=torch.float32)
        hidden[batch.mask] = states[prompts.note].float()
        return EncoderOutput(hidden, batch.mask)


class ModelReading(NamedTuple):
    """What a model says of a batch; what was not asked for is ``None``.

    Args:
        gen, att: scores in [0, 1], ``[batch, label]``: from answers written, from the head.
        encoded: the states that the head reads.
        answers: to each note, best first.
    """

    gen: Float[Tensor, "batch label"] | None
    att: Float[Tensor, "batch label"] | None
    encoded: EncoderOutput
    answers: list[list[Answer]]


@dataclass(frozen=True, slots=True, eq=False)
class Writer:
    """How codes are written and read again.

    Args:
        answers: the codes' tokens.
        decoding: how answers are found and scored.
        most_tokens: of an answer.
        text_of: tokens as text.
        reader: finds codes in what was written freely.
    """

    answers: Answers
    decoding: DecodingConfig
    most_tokens: int
    text_of: Any
    reader: CodeReader

    def grammar(self) -> CodeTrie | None:
        """What answers are held to."""
        if not self.decoding.constrained:
            return None
        answers = self.answers
        return CodeTrie(answers.items, answers.separator, answers.end, in_order=self.decoding.in_order)

    def read(self, answer: Answer) -> Answer:
        """An answer that was written freely, with the codes that it names."""
        if self.decoding.constrained:
            return answer
        labels = self.reader.find(self.text_of(answer.tokens))
        codes = tuple(self.answers.places[label] for label in labels)
        return Answer(answer.tokens, codes, answer.log_probability, (), answer.whole)


class LanguageCodingModel(nn.Module):
    """A language model and, where its states are read, a head.

    Args:
        backbone: the language model.
        head: reads states; ``None`` where codes are only written.
        prompt: what stands around a note.
        writer: how codes are written; also there where they are only read from states.
        label_count: how many labels are scored.
        generates: whether writing is trained.
        validates_by: which answer ``forward`` gives.
        keeps_frozen: whether ``state_dict`` holds what does not learn.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Head | None,
        prompt: Prompt,
        writer: Writer,
        label_count: int,
        *,
        generates: bool,
        validates_by: Literal["gen", "att", "both"],
        keeps_frozen: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = LanguageEncoder(backbone, prompt)
        self.head = head
        self.writer, self.label_count = writer, label_count
        self.generates, self.validates_by = generates, validates_by
        self._grammar = writer.grammar()
        if not keeps_frozen:
            self.register_state_dict_post_hook(_without_frozen)

    @property
    def backbone(self) -> Backbone:
        """The language model."""
        return self.encoder.backbone

    def forward(self, batch: Batch, labels: Int[Tensor, " label"] | None = None) -> HeadOutput:
        """Logits by which an epoch is chosen: of what ``validates_by`` says, or of the mean of both scores."""
        by = self.validates_by
        if by == "att":
            encoded = self.encoder(batch)
            return cast(Head, self.head)(encoded.hidden, encoded.mask, labels)
        found = self.reading(batch, gen=True, att=by == "both")
        scores = cast(Tensor, found.gen)
        if found.att is not None:
            scores = (scores + found.att) / 2
        logits = torch.logit(scores.clamp(_LEAST, 1.0 - _LEAST))
        return HeadOutput(logits if labels is None else logits[:, labels])

    @torch.no_grad()
    def reading(self, batch: Batch, *, gen: bool, att: bool) -> ModelReading:
        """What the model says of notes, from one pass over them.

        Args:
            batch: the notes; each has a token.
            gen: write codes.
            att: score the states.
        """
        prompts = self.encoder.prompts(batch)
        writing = self.backbone.write(prompts, cache=self.writer.decoding.cache) if gen else None
        states = self.backbone.read(prompts) if writing is None else writing.states
        encoded = LanguageEncoder.of_notes(batch, prompts, states)
        scores = None
        if att and self.head is not None:
            scores = self.head(encoded.hidden, encoded.mask).logits.float().sigmoid()
        if writing is None:
            return ModelReading(None, scores, encoded, [])
        decoding, answers = self.writer.decoding, self.writer.answers
        written = write_answers(
            writing,
            len(batch),
            self._grammar,
            end=answers.end,
            beams=decoding.beams,
            most_tokens=self.writer.most_tokens,
        )
        read = [[self.writer.read(answer) for answer in group] for group in written]
        told = [code_probabilities(group, answers.labels, self.label_count, decoding.scores) for group in read]
        return ModelReading(torch.from_numpy(np.stack(told)).float().to(states.device), scores, encoded, read)

    def losses(
        self,
        batch: Batch,
        targets: Float[Tensor, "batch label"],
        loss: LabelLoss,
        evidence: GoldEvidence | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """L_gen as ``generation`` if it writes, and what ``CodingModel.losses`` has if it has a head, from one pass."""
        prompts = self.encoder.prompts(batch)
        terms = dict[str, Tensor]()
        if self.generates:
            ids, mask = self.writer.answers.batch(targets, self.backbone.filler)
            states, logits = self.backbone.read_with_answers(prompts, ids)
            terms["generation"] = answer_loss(logits, ids, mask)
        else:
            states = self.backbone.read(prompts)
        if self.head is None:
            return terms
        encoded = LanguageEncoder.of_notes(batch, prompts, states)
        return {**terms, **losses_over(encoded, self.head, targets, loss, evidence)}

    def attend(self, batch: Batch, labels: Int[Tensor, " label"], top: int) -> TopAttention:
        """See ``Head.attend``."""
        encoded = self.encoder(batch)
        return cast(Head, self.head).attend(encoded.hidden, encoded.mask, labels, top)


def _without_frozen(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
    """Leave out what comes from elsewhere: everything of the language model that does not learn."""
    learning = {f"{prefix}{name}" for name, value in module.named_parameters() if value.requires_grad}
    for name in [name for name in state if name.startswith(f"{prefix}encoder.") and name not in learning]:
        del state[name]


def answer_loss(
    logits: Float[Tensor, "batch token vocabulary"],
    ids: Int[Tensor, "batch token"],
    mask: Tensor,
) -> Float[Tensor, ""]:
    """Cross-entropy of answers: the mean over encounters of the mean over an answer's tokens."""
    missed = functional.cross_entropy(logits.float().transpose(1, 2), ids, reduction="none") * mask
    return (missed.sum(1) / mask.sum(1)).mean()
