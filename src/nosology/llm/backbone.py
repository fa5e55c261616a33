"""A language model as coders use it: states of a prompt, logits of an answer, and answers token by token.

Encoder-decoders (T5 and its kin) and decoders alone (LLaMA and its kin) are told apart by
``config.is_encoder_decoder`` and by nothing else.

    encoder-decoder    prompt -> encoder -> states      start answer -> decoder (over the states) -> logits
    decoder alone      [prompt answer] -> decoder -> states of the prompt, logits of the answer
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nosology.llm.prompts import Prompts


class Read(NamedTuple):
    """What one pass gives.

    Args:
        states: of the prompt's tokens.
        logits: of the answer's tokens; each from what stands before it.
    """

    states: Float[Tensor, "batch place hidden"]
    logits: Float[Tensor, "batch token vocabulary"]


class Writing(ABC):
    """Answers that are being written, one token a step; rows may multiply, change places and go.

    Attributes:
        states: of the prompts' tokens.
        logits: of the next token of every row.
    """

    states: Float[Tensor, "batch place hidden"]
    logits: Float[Tensor, "row vocabulary"]

    @abstractmethod
    def extend(self, parents: Int[Tensor, " row"], tokens: Int[Tensor, " row"]) -> None:
        """Take some rows (one may be taken several times) and write one token behind each."""


class Backbone(nn.Module, ABC):
    """Base of both kinds.

    Args:
        model: of the transformers library, with a head over its vocabulary.
        filler: token id that stands at padding.
        end: token id that ends an answer.
    """

    pads_left: bool

    def __init__(self, model: nn.Module, filler: int, end: int) -> None:
        super().__init__()
        self.model: Any = model
        self.filler, self.end = filler, end

    @property
    def hidden_size(self) -> int:
        """Width of a state."""
        return int(self.model.config.hidden_size)

    @property
    def is_encoder_decoder(self) -> bool:
        return not self.pads_left

    @property
    def prompt_end(self) -> int | None:
        """The mark that a prompt ends with, if any."""
        return self.end if self.is_encoder_decoder else None

    @abstractmethod
    def read(self, prompts: Prompts) -> Float[Tensor, "batch place hidden"]:
        """The states of prompts."""

    @abstractmethod
    def read_with_answers(self, prompts: Prompts, answers: Int[Tensor, "batch token"]) -> Read:
        """The states of prompts and the logits of given answers, from one pass; answers are padded to the right."""

    @abstractmethod
    def write(self, prompts: Prompts, *, cache: bool = True) -> Writing:
        """Begin to answer prompts; keeps no gradient."""


class EncoderDecoder(Backbone):
    """T5 and its kin."""

    pads_left = False

    @property
    def start(self) -> int:
        """The token that stands before every answer."""
        told = (self.model.config, getattr(self.model, "generation_config", None))
        found = (getattr(settings, "decoder_start_token_id", None) for settings in told)
        return int(next((token for token in found if token is not None), self.filler))

    def read(self, prompts: Prompts) -> Float[Tensor, "batch place hidden"]:
        """See ``Backbone``."""
        return self.model.get_encoder()(input_ids=prompts.ids, attention_mask=prompts.mask.long()).last_hidden_state

    def read_with_answers(self, prompts: Prompts, answers: Int[Tensor, "batch token"]) -> Read:
        """See ``Backbone``."""
        states = self.read(prompts)
        before = torch.cat([torch.full_like(answers[:, :1], self.start), answers[:, :-1]], 1)
        return Read(states, self.decode(states, prompts.mask, before).logits)

    def decode(self, states: Tensor, mask: Tensor, tokens: Tensor, **options: Any) -> Any:
        """What transformers gives for an answer's tokens over states that were read before."""
        return self.model(encoder_outputs=(states,), attention_mask=mask.long(), decoder_input_ids=tokens, **options)

    @torch.no_grad()
    def write(self, prompts: Prompts, *, cache: bool = True) -> Writing:
        """See ``Backbone``."""
        return _EncoderDecoderWriting(self, prompts, cache)


class _EncoderDecoderWriting(Writing):
    def __init__(self, backbone: EncoderDecoder, prompts: Prompts, cache: bool) -> None:
        self._backbone, self._mask = backbone, prompts.mask
        self.states = backbone.read(prompts)
        self._notes = torch.arange(len(prompts.ids), device=prompts.ids.device)
        self._tokens = torch.full_like(self._notes, backbone.start)[:, None]
        self._use_cache, self._cache = cache, None
        self._step()

    @torch.no_grad()
    def extend(self, parents: Int[Tensor, " row"], tokens: Int[Tensor, " row"]) -> None:
        self._notes = self._notes[parents]
        self._tokens = torch.cat([self._tokens[parents], tokens[:, None]], 1)
        if self._cache is not None:
            self._cache.reorder_cache(parents)
        self._step()

    def _step(self) -> None:
        new = self._tokens if self._cache is None else self._tokens[:, -1:]
        states, mask = self.states[self._notes], self._mask[self._notes]
        found = self._backbone.decode(states, mask, new, past_key_values=self._cache, use_cache=self._use_cache)
        self._cache = found.past_key_values if self._use_cache else None
        self.logits = found.logits[:, -1]


class DecoderOnly(Backbone):
    """LLaMA and its kin. Prompts are padded to the left, so that every answer begins at the same place."""

    pads_left = True

    def read(self, prompts: Prompts) -> Float[Tensor, "batch place hidden"]:
        """See ``Backbone``."""
        return self.run(prompts.ids, prompts.mask, 1).hidden_states[-1]

    def read_with_answers(self, prompts: Prompts, answers: Int[Tensor, "batch token"]) -> Read:
        """See ``Backbone``."""
        length = answers.shape[1]
        mask = torch.cat([prompts.mask, torch.ones_like(answers, dtype=torch.bool)], 1)
        found = self.run(torch.cat([prompts.ids, answers], 1), mask, length + 1)
        return Read(found.hidden_states[-1][:, :-length], found.logits[:, :-1])

    def run(self, ids: Tensor, mask: Tensor, logits: int, **options: Any) -> Any:
        """What transformers gives, with the logits of the last tokens alone; places count real tokens."""
        places = (mask.long().cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.model(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=places,
            logits_to_keep=logits,
            output_hidden_states=True,
            **{"use_cache": False, **options},
        )

    @torch.no_grad()
    def write(self, prompts: Prompts, *, cache: bool = True) -> Writing:
        """See ``Backbone``."""
        return _DecoderWriting(self, prompts, cache)


class _DecoderWriting(Writing):
    def __init__(self, backbone: DecoderOnly, prompts: Prompts, cache: bool) -> None:
        self._backbone, self._use_cache = backbone, cache
        self._ids, self._mask = prompts.ids, prompts.mask
        found = backbone.run(self._ids, self._mask, 1, use_cache=cache)
        self.states, self.logits = found.hidden_states[-1], found.logits[:, -1]
        self._cache = found.past_key_values if cache else None

    @torch.no_grad()
    def extend(self, parents: Int[Tensor, " row"], tokens: Int[Tensor, " row"]) -> None:
        self._ids = torch.cat([self._ids[parents], tokens[:, None]], 1)
        self._mask = torch.cat([self._mask[parents], torch.ones_like(tokens[:, None], dtype=torch.bool)], 1)
        if self._cache is None:
            self.logits = self._backbone.run(self._ids, self._mask, 1).logits[:, -1]
            return
        self._cache.reorder_cache(parents)
        found = self._backbone.run(self._ids[:, -1:], self._mask, 1, past_key_values=self._cache, use_cache=True)
        self._cache, self.logits = found.past_key_values, found.logits[:, -1]


def wrap(model: Any, filler: int, end: int) -> Backbone:
    """The backbone of a model, by its kind."""
    kind = EncoderDecoder if model.config.is_encoder_decoder else DecoderOnly
    return kind(model, filler, end)
