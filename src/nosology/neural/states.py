"""States of notes that a frozen encoder has read: in main memory, or in a folder that outlives the process.

A folder holds one file a note: a header of 64 bytes, then the states, half precision, row by row. Files are renamed
into place when they are whole, so that a run that was killed at any moment goes on with what it has. They are mapped
into memory, not read. A file that is cut off or damaged counts as none, and its note is read anew.

    FOLDER/ENCODER/encoder.json     what the states are of; ENCODER is a hash of settings, chunks and every weight
    FOLDER/ENCODER/NOTE.states      NOTE is a hash of the note's token ids
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from nosology.encoders.transformer import Transformer, describe_transformer
from nosology.errors import ConfigError
from nosology.whole_files import drop_unfinished, writing_file

_ABOUT = "encoder.json"
_FORMAT = 1
_MAGIC = b"nosstate"
_HEADER = struct.Struct("<8sIQQI")
_START = 64
_NUMBER_BYTES = 2
_PASSING = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache")
"""Settings that change no state beyond rounding; weights are hashed with their types."""


class States(Protocol):
    """States by the bytes of a note's token ids, each ``[token, hidden]``, on the CPU."""

    precision: torch.dtype

    def get(self, note: bytes) -> Tensor | None:
        """The states of a note; ``None`` if they are not there."""
        ...

    def put(self, states: Mapping[bytes, Tensor]) -> None:
        """Keep the states of some notes."""
        ...


class RememberedStates:
    """Those last asked for, in main memory.

    Args:
        megabytes: kept at most; the last note is kept anyway.
        precision: that they are kept in.
    """

    def __init__(self, *, megabytes: int, precision: torch.dtype) -> None:
        self.precision, self._room = precision, megabytes * 1_000_000
        self._known = OrderedDict[bytes, Tensor]()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, note: bytes) -> Tensor | None:
        """See ``States``."""
        if note in self._known:
            self._known.move_to_end(note)
        return self._known.get(note)

    def put(self, states: Mapping[bytes, Tensor]) -> None:
        """See ``States``."""
        self._known.update(states)
        held = sum(value.nbytes for value in self._known.values())
        while held > self._room and len(self._known) > 1:
            held -= self._known.popitem(last=False)[1].nbytes

    def empty(self) -> RememberedStates:
        """One like it that remembers nothing."""
        return RememberedStates(megabytes=self._room // 1_000_000, precision=self.precision)


class StatesFolder:
    """Those of every note that was ever read, on disk. Processes may share it.

    Args:
        folder: of one encoder; see ``open_states``.
        width: of a state.
    """

    precision = torch.float16

    def __init__(self, folder: Path, width: int) -> None:
        self.folder, self.width = folder, width
        self._sound = set[bytes]()

    def file(self, note: bytes) -> Path:
        """Where a note's states lie."""
        return self.folder / f"{hashlib.sha256(note).hexdigest()[:40]}.states"

    def holds(self, note: bytes) -> bool:
        """Whether a note's file is there and has the length that it names; its content is checked by ``get``."""
        return self._tokens(self.file(note)) is not None

    def get(self, note: bytes) -> Tensor | None:
        """See ``States``: mapped into memory, checked once a process."""
        file = self.file(note)
        found = self._tokens(file)
        if found is None:
            return None
        tokens, checksum = found
        if tokens == 0:
            return torch.zeros(0, self.width, dtype=self.precision)
        mapped = np.memmap(file, np.float16, "c", _START, (tokens, self.width))
        if note not in self._sound and zlib.crc32(mapped.view(np.uint8).reshape(-1).data) != checksum:
            return None
        self._sound.add(note)
        return torch.from_numpy(mapped)

    def put(self, states: Mapping[bytes, Tensor]) -> None:
        """See ``States``. A folder that was removed meanwhile stays so.

        Raises:
            ConfigError: the folder cannot be written.
        """
        if self.folder.is_dir():
            for note, value in states.items():
                self._write(self.file(note), value)

    def _write(self, file: Path, states: Tensor) -> None:
        content = states.contiguous().numpy().tobytes()
        header = _HEADER.pack(_MAGIC, _FORMAT, len(states), self.width, zlib.crc32(content))
        with writing_file(file) as building:
            building.write_bytes(header.ljust(_START, b"\0") + content)

    def _tokens(self, file: Path) -> tuple[int, int] | None:
        """How many tokens a file holds, and its checksum; ``None`` if it is none of ours, or cut off."""
        try:
            with file.open("rb") as stream:
                magic, version, tokens, width, checksum = _HEADER.unpack(stream.read(_HEADER.size))
            whole = file.stat().st_size == _START + tokens * width * _NUMBER_BYTES
        except (OSError, struct.error):
            return None
        return (tokens, checksum) if (magic, version, width) == (_MAGIC, _FORMAT, self.width) and whole else None


def states_bytes(tokens: int, notes: int, width: int) -> int:
    """What the states of some notes take on disk."""
    return notes * _START + tokens * width * _NUMBER_BYTES


def open_states(place: str | Path, encoder: Transformer, *, create: bool) -> StatesFolder | None:
    """The states of an encoder in a folder that several encoders may share.

    Args:
        place: the folder.
        encoder: does not learn.
        create: make what is not there; otherwise ``None`` stands for it.

    Raises:
        ConfigError: the place is something else, or cannot be written.
    """
    place = Path(place)
    if place.exists() and not place.is_dir():
        raise ConfigError(f"cache {str(place)!r}: is a file; name a folder")
    if not create and not place.is_dir():
        return None
    about = _about(encoder)
    folder = place / str(about["encoder"])[:32]
    if not create and not folder.is_dir():
        return None
    _claim(folder, about)
    return StatesFolder(folder, encoder.hidden_size)


def _claim(folder: Path, about: Mapping[str, Any]) -> None:
    """Make the folder, or make sure that it is what its name says."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cache {str(folder)!r}: cannot be made ({error.strerror}); name another folder") from error
    file = folder / _ABOUT
    if not file.exists() and not any(folder.glob("*.states")):
        with writing_file(file) as building:
            building.write_text(json.dumps(about, indent=2), encoding="utf-8")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found != about:
        raise ConfigError(f"cache {str(folder)!r}: its {_ABOUT} is damaged or another encoder's; remove that folder")
    drop_unfinished(folder)


def _about(encoder: Transformer) -> dict[str, Any]:
    return {"format": _FORMAT, "encoder": encoder_hash(encoder), "hidden_size": encoder.hidden_size}


def encoder_hash(encoder: Transformer) -> str:
    """A hash of all that decides an encoder's states: settings, frame, chunks, and every weight."""
    described = describe_transformer(encoder)
    config = {name: value for name, value in described["config"].items() if name not in _PASSING}
    settings = [config, encoder.frame, encoder.chunk_tokens, encoder.overlap_tokens]
    settings += ["bf16"] * encoder.in_bf16
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, value in sorted(encoder.model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(memoryview(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()
