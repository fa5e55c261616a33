"""An encoder that does not learn any more and reads each note once, however often its states are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from nosology.config.architectures import EncoderConfig, TransformerConfig
from nosology.encoders.base import Batch, Encoder, EncoderOutput
from nosology.encoders.transformer import Transformer
from nosology.neural.states import RememberedStates, States, StatesFolder, open_states


class RememberedEncoder(Encoder):
    """Keeps the states of notes: of those last read in main memory, or of all on disk. Threads may share it.

    Rounding happens on the first reading, too, so that what is kept changes nothing. Its weights are no part of a
    checkpoint: they are what they were.

    Args:
        encoder: does not learn; its states of a note depend on the note alone.
        megabytes: of states that are kept in memory, at most; the note last read is kept anyway.
        precision: that they are kept in.
        folder: keeps them in place of memory, in half precision.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        megabytes: int = 2000,
        precision: torch.dtype = torch.float16,
        folder: StatesFolder | None = None,
    ) -> None:
        super().__init__(encoder.hidden_size)
        self.encoder = encoder
        self.states: States = folder or RememberedStates(megabytes=megabytes, precision=precision)
        self._lock = Lock()
        self.register_state_dict_post_hook(_without_weights)

    def __getstate__(self) -> dict[str, Any]:
        """A copy remembers nothing; a folder it shares."""
        state = {name: value for name, value in self.__dict__.items() if name != "_lock"}
        if isinstance(self.states, RememberedStates):
            state["states"] = self.states.empty()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._lock = Lock()

    def train(self, mode: bool = True) -> RememberedEncoder:
        """As ``nn.Module.train``, but a frozen encoder stays without dropout."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, batch: Batch) -> EncoderOutput:
        """See ``Encoder``."""
        hidden = torch.zeros(*batch.mask.shape, self.hidden_size, device=batch.mask.device)
        for row, states in enumerate(self._recalled(batch)):
            hidden[row, batch.mask[row]] = states.to(hidden.device, hidden.dtype)
        return EncoderOutput(hidden, batch.mask)

    def _recalled(self, batch: Batch) -> list[Tensor]:
        """What is kept of each note, read where it was not there."""
        keys = [note_key(ids[mask]) for ids, mask in zip(batch.token_ids, batch.mask, strict=True)]
        with self._lock:
            states = {key: found for key in dict.fromkeys(keys) if (found := self.states.get(key)) is not None}
        read = self._read(batch, {key: row for row, key in enumerate(keys) if key not in states})
        with self._lock:
            self.states.put(read)
        states |= read
        return [states[key] for key in keys]

    def _read(self, batch: Batch, row_of: dict[bytes, int]) -> dict[bytes, Tensor]:
        """What is kept of some rows: the states of their real tokens, each ``[token, hidden]``."""
        if not row_of:
            return {}
        rows = list(row_of.values())
        mask = batch.mask[rows]
        longest = int(mask.any(0).nonzero().max()) + 1 if bool(mask.any()) else 1
        part = Batch(batch.token_ids[rows, :longest], mask[:, :longest])
        with torch.no_grad():
            encoded = self.encoder(part).hidden
        kept = (self._rounded(self._worth_keeping(states[own])) for states, own in zip(encoded, part.mask, strict=True))
        return dict(zip(row_of, kept, strict=True))

    def _worth_keeping(self, states: Tensor) -> Tensor:
        """Of the states of one note."""
        return states

    def _rounded(self, states: Tensor) -> Tensor:
        """What is out of range becomes the largest number that there is, not infinity."""
        most = torch.finfo(self.states.precision).max
        return states.clamp(-most, most).to("cpu", self.states.precision)


def note_key(ids: Tensor) -> bytes:
    """What a note is known by: its real tokens."""
    return ids.to("cpu", torch.int64).numpy().tobytes()


def remembering(encoder: Encoder, config: EncoderConfig, *, create: bool, **memory: Any) -> RememberedEncoder:
    """A frozen encoder that keeps what it reads where its recipe says.

    Args:
        encoder: that the recipe made.
        config: its section; ``cache`` names a folder, without it states are kept in memory.
        create: make that folder if it is not there; otherwise memory takes its place.
        memory: options of ``RememberedEncoder`` for states in memory.

    Raises:
        ConfigError: see ``open_states``.
    """
    place = config.cache if isinstance(config, TransformerConfig) else None
    if place is None or not isinstance(encoder, Transformer):
        return RememberedEncoder(encoder, **memory)
    return RememberedEncoder(encoder, folder=open_states(place, encoder, create=create), **memory)


def _without_weights(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
    names: Sequence[str] = [name for name in state if name.startswith(f"{prefix}encoder.")]
    for name in names:
        del state[name]


_MEANS = dict[bytes, tuple[States, Lock]]()
"""What this process has read, by encoder."""


class RememberedMeans(RememberedEncoder):
    """One state a note, the mean over its tokens, for heads that ask for no more.

    A note takes less than a kilobyte where all its states take hundreds, so that training a head costs nearly nothing
    but the head. All networks of a process that have the same encoder share what was read.

    Args:
        encoder: does not learn; its states of a note depend on the note alone.
        settings: of the encoder, as text; with its weights they say which encoders are the same.
        megabytes: of means that are kept, at most.
    """

    def __init__(self, encoder: Encoder, settings: str, *, megabytes: int = 256) -> None:
        super().__init__(encoder, megabytes=megabytes)
        self.states, self._lock = _MEANS.setdefault(_fingerprint(encoder, settings), (self.states, self._lock))

    def forward(self, batch: Batch) -> EncoderOutput:
        """See ``Encoder``, but for the token axis, which has one place; padding where the note has no token."""
        means = torch.stack(self._recalled(batch)) if len(batch) else torch.zeros(0, 1, self.hidden_size)
        return EncoderOutput(means.to(batch.mask.device, torch.float32), batch.mask.any(1, keepdim=True))

    def _worth_keeping(self, states: Tensor) -> Tensor:
        return states.sum(0, keepdim=True) / max(1, len(states))


def _fingerprint(encoder: Encoder, settings: str) -> bytes:
    digest = blake2b(settings.encode(), digest_size=16)
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(
            name.encode() + tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.digest()
