"""A frozen encoder reads all notes before the training, where its states are kept on disk: told, sized, resumable."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from nosology.config.architectures import EncoderConfig, TransformerConfig
from nosology.config.trainer import TrainerConfig
from nosology.encoders.base import Encoder
from nosology.encoders.transformer import Transformer
from nosology.errors import ConfigError
from nosology.neural.remembered import RememberedEncoder, note_key
from nosology.neural.states import StatesFolder, open_states, states_bytes
from nosology.predictor import Progress
from nosology.preprocessing.batching import BatchSize, plan_reading
from nosology.preprocessing.tokenization import TokenizedEncounter, Tokenizer
from nosology.training.processes import open_accelerator
from nosology.training.scoring import pad_tokens
from nosology.types import Encounter

_AT_ONCE = BatchSize(8192, 8)


def read_ahead(
    encoder: Encoder, tokenizer: Tokenizer, encounters: Sequence[Encounter], config: TrainerConfig, tell: Progress
) -> None:
    """Put the states of encounters into an encoder's folder, if it has one; those that are there are left alone.

    Several processes share the work. A run that was stopped goes on with the notes that are missing.

    Args:
        encoder: of the network.
        tokenizer: the encoder's.
        encounters: that training and validation will read.
        config: how long notes are, and the device.
        tell: told how many bytes will be written, and where, before they are.

    Raises:
        ConfigError: they do not fit on the disk, or cannot be written.
    """
    if not isinstance(encoder, RememberedEncoder) or not isinstance(encoder.states, StatesFolder):
        return
    folder = encoder.states
    tell("looking for states", 0.0)
    notes, held = _missing(folder, tokenizer.encode_many(encounters, config.max_tokens))
    if not notes:
        tell(f"states: all {held:,} encounters are in {folder.folder}", 1.0)
        return
    lengths = np.array([len(tokens) for tokens in notes])
    bytes_ = states_bytes(int(lengths.sum()), len(notes), folder.width)
    _check_room(folder, bytes_)
    stage = f"states: {_size(bytes_)} of {len(notes):,} encounters into {folder.folder}; {held:,} are there"
    tell(stage, 0.0)
    accelerator = open_accelerator(config)
    encoder.to(accelerator.device).eval()
    batches = plan_reading(lengths, _AT_ONCE)
    done = 0
    for rows in batches[accelerator.process_index :: accelerator.num_processes]:
        with torch.no_grad():
            encoder(pad_tokens([notes[row] for row in rows.tolist()], tokenizer.pad_id, accelerator.device))
        done += int(lengths[rows].sum()) * accelerator.num_processes
        tell(stage, min(1.0, done / int(lengths.sum())))
    accelerator.wait_for_everyone()


def told_cache(
    encoder: Encoder,
    config: EncoderConfig,
    tokenizer: Tokenizer,
    encounters: Sequence[Encounter],
    trainer: TrainerConfig,
) -> tuple[str, ...]:
    """What ``read_ahead`` would write, in a line; none without a cache. Nothing is made or written.

    Args:
        encoder: as the recipe makes it, or one that remembers what that reads.
        config: its section.
        tokenizer: the encoder's.
        encounters: that training and validation would read.
        trainer: how long notes are.

    Raises:
        ConfigError: the cache's place is something else, or damaged.
    """
    own = encoder.encoder if isinstance(encoder, RememberedEncoder) else encoder
    if not isinstance(config, TransformerConfig) or config.cache is None or not isinstance(own, Transformer):
        return ()
    folder = open_states(config.cache, own, create=False)
    notes, held = _missing(folder, tokenizer.encode_many(encounters, trainer.max_tokens))
    bytes_ = states_bytes(sum(len(tokens) for tokens in notes), len(notes), own.hidden_size)
    nearest = next(place for place in (Path(config.cache), *Path(config.cache).absolute().parents) if place.is_dir())
    free = shutil.disk_usage(nearest).free
    return (
        f"cache       {_size(bytes_)} of {len(notes):,} encounters into {config.cache!r} ({_size(free)} are free "
        f"there); {held:,} are there",
    )


def _missing(
    folder: StatesFolder | None, encounters: Iterable[TokenizedEncounter]
) -> tuple[list[TokenizedEncounter], int]:
    """Each token sequence that the folder lacks, once; and how many encounters need no reading."""
    lacking, held = dict[bytes, TokenizedEncounter](), 0
    for tokens in encounters:
        key = note_key(torch.from_numpy(tokens.token_ids))
        if not len(tokens) or key in lacking or (folder is not None and folder.holds(key)):
            held += 1
        else:
            lacking[key] = tokens
    return list(lacking.values()), held


def _check_room(folder: StatesFolder, needed: int) -> None:
    free = shutil.disk_usage(folder.folder).free
    if needed > free:
        raise ConfigError(
            f"cache {str(folder.folder)!r}: the states need {_size(needed)}, and {_size(free)} are free there; name a "
            "folder on a larger disk, lower max_tokens, or leave cache out"
        )


def _size(count: int) -> str:
    unit, scale = next((u, s) for u, s in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if count >= s or u == "kB")
    return f"{count / scale:.1f} {unit}"
