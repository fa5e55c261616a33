"""An encoder that does not learn any more and reads each note once, however often its states are asked for."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from nosology.encoders.base import Batch, Encoder, EncoderOutput


class RememberedEncoder(Encoder):
    """Keeps the states of the notes last read, in main memory. Threads may share it.

    Rounding happens on the first reading, too, so that what is remembered changes nothing.

    Args:
        encoder: does not learn; its states of a note depend on the note alone.
        megabytes: of states that are kept, at most; the note last read is kept anyway.
        precision: that they are kept in.
    """

    def __init__(self, encoder: Encoder, *, megabytes: int = 2000, precision: torch.dtype = torch.float16) -> None:
        super().__init__(encoder.hidden_size)
        self.encoder = encoder
        self._room, self._precision = megabytes * 1_000_000, precision
        self._known = OrderedDict[bytes, Tensor]()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """A copy remembers nothing."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_known", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._known, self._lock = OrderedDict[bytes, Tensor](), Lock()

    def train(self, mode: bool = True) -> RememberedEncoder:
        """As ``nn.Module.train``, but a frozen encoder stays without dropout."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, batch: Batch) -> EncoderOutput:
        """See ``Encoder``."""
        keys = [ids[mask].cpu().numpy().tobytes() for ids, mask in zip(batch.token_ids, batch.mask, strict=True)]
        with self._lock:
            states = {key: self._known[key] for key in keys if key in self._known}
        states |= self._read(batch, {key: row for row, key in enumerate(keys) if key not in states})
        hidden = torch.zeros(*batch.mask.shape, self.hidden_size, device=batch.mask.device)
        for row, key in enumerate(keys):
            hidden[row, batch.mask[row]] = states[key].to(hidden.device, hidden.dtype)
        self._keep(states)
        return EncoderOutput(hidden, batch.mask)

    def _read(self, batch: Batch, row_of: dict[bytes, int]) -> dict[bytes, Tensor]:
        """The states of some rows' real tokens, each ``[token, hidden]``."""
        if not row_of:
            return {}
        rows = list(row_of.values())
        mask = batch.mask[rows]
        longest = int(mask.any(0).nonzero().max()) + 1 if bool(mask.any()) else 1
        part = Batch(batch.token_ids[rows, :longest], mask[:, :longest])
        with torch.no_grad():
            encoded = self.encoder(part).hidden
        kept = (states[own].to("cpu", self._precision) for states, own in zip(encoded, part.mask, strict=True))
        return dict(zip(row_of, kept, strict=True))

    def _keep(self, states: dict[bytes, Tensor]) -> None:
        with self._lock:
            for key, value in states.items():
                self._known[key] = value
                self._known.move_to_end(key)
            held = sum(value.nbytes for value in self._known.values())
            while held > self._room and len(self._known) > 1:
                held -= self._known.popitem(last=False)[1].nbytes
