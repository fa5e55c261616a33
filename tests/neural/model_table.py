"""Every encoder and every head, small: a new one joins by one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nosology.encoders.base import Batch, Encoder
from nosology.encoders.convolution import Convolution, MultiResidual
from nosology.encoders.embedding import WordEmbedding
from nosology.encoders.recurrent import BiLstm
from nosology.encoders.transformer import Transformer
from nosology.heads.base import Head
from nosology.heads.direct import DirectClassification
from nosology.heads.label_attention import CrossAttention, JointLabelAttention, LabelAttention, SynonymAttention
from nosology.heads.multirescnn import MultiResCnn
from nosology.model import CodingModel

VOCABULARY, LABELS = 60, 23


def words() -> WordEmbedding:
    return WordEmbedding(VOCABULARY, 12, dropout=0.1)


def bert(**options: Any) -> nn.Module:
    from transformers import BertConfig, BertModel

    sizes = {"vocab_size": VOCABULARY, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return BertModel(BertConfig(**sizes, intermediate_size=32, max_position_embeddings=40, **options))


def roberta() -> nn.Module:
    from transformers import RobertaConfig, RobertaModel

    sizes = {"vocab_size": VOCABULARY, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return RobertaModel(RobertaConfig(**sizes, intermediate_size=32, max_position_embeddings=42, pad_token_id=1))


def longformer() -> nn.Module:
    from transformers import LongformerConfig, LongformerModel

    sizes = {"vocab_size": VOCABULARY, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    window = {"attention_window": [4, 4], "max_position_embeddings": 66, "pad_token_id": 1}
    return LongformerModel(LongformerConfig(**sizes, intermediate_size=32, **window))


def t5() -> nn.Module:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=VOCABULARY, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2))


def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaModel

    sizes = {"vocab_size": VOCABULARY, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaModel(LlamaConfig(**sizes, intermediate_size=32, max_position_embeddings=128))


PRETRAINED: dict[str, Callable[[], nn.Module]] = {
    "bert": bert,
    "roberta": roberta,
    "longformer": longformer,
    "t5": t5,
    "llama": llama,
}

ENCODERS: dict[str, Callable[[], Encoder]] = {
    "convolution": lambda: Convolution(words(), 12, filters=10, kernel=4),
    "odd convolution": lambda: Convolution(words(), 12, filters=10, kernel=5),
    "multi residual": lambda: MultiResidual(words(), 12, widths=(8,), kernels=(3, 5, 9)),
    "deep multi residual": lambda: MultiResidual(words(), 12, widths=(8, 6), kernels=(3, 5)),
    "bilstm": lambda: BiLstm(words(), 12, size=9),
    "two bilstms in segments": lambda: BiLstm(words(), 12, size=9, layers=2, segment_tokens=7),
    "bert in framed chunks": lambda: Transformer(bert(), chunk_tokens=11, overlap_tokens=3, frame=(2, 3)),
    "bert in bare chunks": lambda: Transformer(bert(), chunk_tokens=8, chunks_at_once=3),
    "frozen bert": lambda: Transformer(bert(), chunk_tokens=16, overlap_tokens=4, frozen=True),
    "roberta": lambda: Transformer(roberta(), chunk_tokens=13, overlap_tokens=5, frame=(0, 2)),
    "longformer": lambda: Transformer(longformer(), chunk_tokens=40, overlap_tokens=8),
    "framed longformer": lambda: Transformer(longformer(), chunk_tokens=20, overlap_tokens=8, frame=(0, 2)),
    "t5": lambda: Transformer(t5(), chunk_tokens=16, overlap_tokens=4),
    "llama": lambda: Transformer(llama(), chunk_tokens=64),
}


def ancestors() -> Tensor:
    return torch.stack([torch.arange(LABELS) // 4, torch.where(torch.arange(LABELS) % 3 == 0, -1, 6)], 1)


HEADS: dict[str, Callable[[int], Head]] = {
    "caml": lambda width: LabelAttention(width, LABELS),
    "laat": lambda width: LabelAttention(width, LABELS, attention_size=14, std=0.5),
    "tied laat": lambda width: LabelAttention(width, LABELS, attention_size=14, std=0.5, ancestors=ancestors()),
    "described laat": lambda width: LabelAttention(width, LABELS, attention_size=14, start=torch.randn(LABELS, 31)),
    "cross attention": lambda width: CrossAttention(width, LABELS, std=0.5),
    "joint laat": lambda width: JointLabelAttention(
        width, LABELS, categories=torch.arange(LABELS) // 4, attention_size=14, projection_size=5, std=0.5
    ),
    "synonyms": lambda width: SynonymAttention(width, LABELS, synonyms=3, attention_size=12, std=0.5),
    "multirescnn": lambda width: MultiResCnn(width, LABELS, width=9, widths=(5,), kernels=(3, 5)),
    "mean": lambda width: DirectClassification(width, LABELS, pooling="mean"),
    "last": lambda width: DirectClassification(width, LABELS, pooling="last"),
    "attention pooling": lambda width: DirectClassification(width, LABELS, pooling="attention"),
}

ATTENTIVE = [name for name in HEADS if name not in ("mean", "last", "attention pooling")]


def model(encoder: str, head: str, seed: int = 0) -> CodingModel:
    """A model of the table in evaluation mode, with normalisation statistics that are not the fresh ones."""
    torch.manual_seed(seed)
    built = ENCODERS[encoder]()
    made = CodingModel(built, HEADS[head](built.hidden_size)).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm1d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return made


def batch(*lengths: int, seed: int = 0, tokens: int | None = None) -> Batch:
    """Notes of random words, padded with random words to ``tokens``."""
    size = max(lengths, default=0) if tokens is None else tokens
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, VOCABULARY, (len(lengths), 64), generator=generator)[:, :size]
    return Batch(ids, torch.arange(size) < torch.tensor(lengths, dtype=torch.long)[:, None])


def note_alone(batch: Batch, row: int) -> Batch:
    """One note of a batch without its padding."""
    count = int(batch.mask[row].sum())
    return Batch(batch.token_ids[row : row + 1, :count], batch.mask[row : row + 1, :count])


def close(ours: Tensor, theirs: Tensor) -> None:
    """Equal but for rounding."""
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
