"""A frozen encoder that reads each note once, however often a training asks for its states."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from nosology.encoders.base import Batch, Encoder, EncoderOutput


class RememberedEncoder(Encoder):
    """Keeps the states of the notes last read, in half precision and in main memory.

    Rounding to half precision happens on the first reading, too, so that what is remembered changes nothing.

    Args:
        encoder: frozen; its states of a note depend on the note alone.
        megabytes: of states that are kept, at most.
    """

    def __init__(self, encoder: Encoder, megabytes: int = 2000) -> None:
        super().__init__(encoder.hidden_size)
        self.encoder = encoder
        self._room = megabytes * 1_000_000
        self._known = OrderedDict[bytes, Tensor]()

    def train(self, mode: bool = True) -> RememberedEncoder:
        """As ``nn.Module.train``, but a frozen encoder stays without dropout."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, batch: Batch) -> EncoderOutput:
        """See ``Encoder``."""
        keys = [ids[mask].cpu().numpy().tobytes() for ids, mask in zip(batch.token_ids, batch.mask, strict=True)]
        missing = [row for row, key in enumerate(keys) if key not in self._known]
        fresh = dict[bytes, Tensor]()
        if missing:
            mask = batch.mask[missing]
            longest = int(mask.any(0).nonzero().max()) + 1 if bool(mask.any()) else 1
            part = Batch(batch.token_ids[missing, :longest], mask[:, :longest])
            with torch.no_grad():
                encoded = self.encoder(part).hidden
            for row, states, own in zip(missing, encoded, part.mask, strict=True):
                fresh[keys[row]] = states[own].half().cpu()
        hidden = torch.zeros(*batch.mask.shape, self.hidden_size, device=batch.mask.device)
        for row, key in enumerate(keys):
            states = fresh[key] if key in fresh else self._known[key]
            hidden[row, batch.mask[row]] = states.to(hidden.device, hidden.dtype)
        self._keep(keys, fresh)
        return EncoderOutput(hidden, batch.mask)

    def _keep(self, keys: list[bytes], fresh: dict[bytes, Tensor]) -> None:
        for key in keys:
            self._known[key] = fresh[key] if key in fresh else self._known[key]
            self._known.move_to_end(key)
        held = sum(states.nbytes for states in self._known.values())
        while held > self._room and len(self._known) > 1:
            held -= self._known.popitem(last=False)[1].nbytes
