"""What is kept of a note where the head asks for the mean of its states alone."""

from __future__ import annotations

import pytest
import torch

from nosology.builders import Labels, build_head
from nosology.config.architectures import DirectConfig
from nosology.encoders.base import Batch, Encoder, EncoderOutput
from nosology.neural.remembered import RememberedMeans


class _Counting(Encoder):
    def __init__(self, scale: float) -> None:
        super().__init__(2)
        self.scale = torch.nn.Parameter(torch.tensor([scale]), requires_grad=False)
        self.read = 0

    def forward(self, batch: Batch) -> EncoderOutput:
        self.read += int(batch.mask.sum())
        ids = batch.token_ids.float() * self.scale
        return EncoderOutput(torch.stack([ids, -ids], dim=-1) * batch.mask[..., None], batch.mask)


IDS = torch.tensor([[3, 4, 5, 0], [6, 0, 0, 0], [9, 9, 9, 9]])
MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()


def test_networks_of_one_encoder_share_what_was_read() -> None:
    first, second = _Counting(0.5), _Counting(0.5)
    means = RememberedMeans(first, "shared")(Batch(IDS, MASK))
    assert first.read == 4
    assert means.hidden.tolist() == [[[2.0, -2.0]], [[3.0, -3.0]], [[0.0, 0.0]]]
    assert means.mask.tolist() == [[True], [True], [False]]
    again = RememberedMeans(second, "shared")(Batch(IDS[[1, 0]], MASK[[1, 0]]))
    assert second.read == 0
    assert torch.equal(again.hidden, means.hidden[[1, 0]])


@pytest.mark.parametrize(("scale", "settings"), [(2.0, "other"), (0.25, "one")])
def test_another_encoder_shares_nothing(scale: float, settings: str) -> None:
    RememberedMeans(_Counting(2.0), "one")(Batch(IDS, MASK))
    other = _Counting(scale)
    found = RememberedMeans(other, settings)(Batch(IDS, MASK))
    assert other.read == 4
    assert found.hidden[1, 0].tolist() == [6 * scale, -6 * scale]


def test_the_head_says_what_it_says_of_all_states() -> None:
    torch.manual_seed(0)
    head = build_head(DirectConfig(dropout=0.0), 2, Labels(3)).eval()
    encoder = _Counting(1.0)
    kept, whole = RememberedMeans(encoder, "head")(Batch(IDS, MASK)), encoder(Batch(IDS, MASK))
    assert torch.allclose(head(kept.hidden, kept.mask).logits, head(whole.hidden, whole.mask).logits, atol=1e-5)
