"""Writes a release into a folder: slices of charts made side by side, written in order."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from nosology.corpora.simulation.release.charts import Charts
from nosology.corpora.simulation.release.layouts import Layout, evidence_line, evidence_of
from nosology.corpora.simulation.release.mimic3 import Mimic3
from nosology.corpora.simulation.release.mimic4 import Mimic4
from nosology.corpora.simulation.release.settings import Form, ReleaseConfig
from nosology.corpora.simulation.release.workers import in_order

EVIDENCE_FILE, EVIDENCE_FOLDER = "evidence.json", "mdace/Inpatient"
MDACE_CHARTS = 302
"""How many inpatient charts MDACE has."""
_SLICE = 200
_GZIP_LEVEL = 4

Report = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: admissions with a summary, those with codes alone, bytes by file."""

    admissions: int
    codes_alone: int
    sizes: dict[str, int]

    @property
    def size_bytes(self) -> int:
        return sum(self.sizes.values())


class _Slice(NamedTuple):
    """Neighbouring charts of one part."""

    part: int
    start: int
    stop: int


class _Chapter(NamedTuple):
    """What a slice adds: bytes by table, and evidence as (hadm_id, line of JSON)."""

    tables: dict[str, bytes]
    evidence: list[tuple[int, str]]


class Release:
    """A simulated release, drawn and ready to be written.

    Args:
        config: what to simulate.
    """

    def __init__(self, config: ReleaseConfig) -> None:
        self.config = config
        self.parts = [Charts(part) for part in config.parts()]
        self._layout: Layout = Mimic3(self.parts) if config.form is Form.MIMIC3 else Mimic4(self.parts)
        self._slices = _interleaved(self.parts)

    def code_counts(self) -> dict[str, npt.NDArray[np.int64]]:
        """For each diagnosis system, how many admissions with a summary carry each code, most frequent first."""
        return {part.system: part.code_counts() for part in self.parts}

    def write(self, folder: Path, *, compress: bool = False, workers: int = 0, report: Report | None = None) -> Written:
        """Write all files into an empty folder.

        The bytes are the same however many workers there are.

        Args:
            folder: exists and is empty.
            compress: write ``.csv.gz`` instead of ``.csv``.
            workers: processes that make notes; 0: one a core.
            report: is told what is being written and the fraction done.

        Raises:
            OSError: the disk is full, say.
        """
        suffix = ".csv.gz" if compress else ".csv"
        for table, lines in self._layout.dictionaries():
            _write_lines(folder / f"{table.path}{suffix}", table.header, lines)
        with ExitStack() as stack:
            sinks = {
                table.path: stack.enter_context(_sink(folder / f"{table.path}{'' if table.continues else suffix}"))
                for table in self._layout.tables
            }
            for table in self._layout.tables:
                sinks[table.path].write(table.header.encode())
            evidence = stack.enter_context(_Evidence(folder, [part.system for part in self.parts]))
            numbers = range(len(self._slices))
            chapters = stack.enter_context(closing(in_order(self._chapter, numbers, workers)))
            for number, (chapter, place) in enumerate(zip(chapters, self._slices, strict=True), start=1):
                for path, content in chapter.tables.items():
                    sinks[path].write(content)
                evidence.add(place.part, chapter.evidence)
                if report is not None:
                    report("writing notes", number / len(self._slices))
            for table in self._layout.tables:
                if table.continues:
                    sinks[table.path].flush()
                    _append(folder / table.path, sinks[table.continues])
        return self._summary(folder)

    def _chapter(self, number: int) -> _Chapter:
        part, start, stop = self._slices[number]
        tables: dict[str, list[str]] = {}
        evidence: list[tuple[int, str]] = []
        for index in range(start, stop):
            rows = self._layout.write(part, self.parts[part].chart(index))
            for path, lines in rows.lines.items():
                tables.setdefault(path, []).append(lines)
            chart = evidence_of(rows)
            if chart is not None:
                evidence.append((rows.hadm_id, evidence_line(chart)))
        return _Chapter({path: "".join(lines).encode() for path, lines in tables.items()}, evidence)

    def _summary(self, folder: Path) -> Written:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return Written(
            admissions=sum(part.documented for part in self.parts),
            codes_alone=sum(len(part) - part.documented for part in self.parts),
            sizes={path.relative_to(folder).as_posix(): path.stat().st_size for path in files},
        )


def _interleaved(parts: Sequence[Charts]) -> list[_Slice]:
    """Slices of all parts, those of several parts in turn."""
    slices = [
        _Slice(number, start, min(start + _SLICE, len(part)))
        for number, part in enumerate(parts)
        for start in range(0, len(part), _SLICE)
    ]
    return sorted(slices, key=lambda place: (place.start / len(parts[place.part]), place.part))


class _Evidence:
    """All charts in one JSON array, a line each; the first of them also as files laid out like MDACE's."""

    def __init__(self, folder: Path, systems: Sequence[str]) -> None:
        self._file = (folder / EVIDENCE_FILE).open("wb")
        self._file.write(b"[")
        self._between = b"\n"
        self._versions = ["ICD-10" if system == "icd10cm" else "ICD-9" for system in systems]
        self._folders = [folder / EVIDENCE_FOLDER / version / "1.0" for version in self._versions]
        self._single = [0] * len(systems)

    def __enter__(self) -> _Evidence:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.write(b"\n]\n")

    def add(self, part: int, charts: Sequence[tuple[int, str]]) -> None:
        """Write the charts of one part."""
        for hadm_id, line in charts:
            self._file.write(self._between + line.encode())
            self._between = b",\n"
            if self._single[part] < MDACE_CHARTS:
                self._single[part] += 1
                self._folders[part].mkdir(parents=True, exist_ok=True)
                path = self._folders[part] / f"{hadm_id}-{self._versions[part]}.json"
                path.write_text(line + "\n", encoding="utf-8")


def _sink(path: Path) -> BinaryIO:
    """A file to write bytes to, compressed if its name says so; equal bytes give equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".gz":
        return path.open("wb")
    return cast(BinaryIO, _Gzip(path))


class _Gzip(gzip.GzipFile):
    """A gzip file without name and time in it, which closes what it writes to."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        super().__init__(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=self._raw, mtime=0)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._raw.close()


def _write_lines(path: Path, header: str, lines: Iterator[str]) -> None:
    with _sink(path) as sink:
        sink.write(header.encode())
        for line in lines:
            sink.write(line.encode())


def _append(path: Path, sink: BinaryIO) -> None:
    with path.open("rb") as source:
        shutil.copyfileobj(source, sink, 1 << 20)
    path.unlink()
