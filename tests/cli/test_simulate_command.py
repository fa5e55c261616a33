"""``nosology simulate``: what it writes, what it refuses, and that a stop leaves nothing."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from nosology.cli.main import run

SMALL = ["--admissions", "20", "--codes", "60", "--words", "200", "--workers", "1"]


def test_writes_a_release_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "new" / "sim", tmp_path / "plot.png"
    assert run(["simulate", "mimic3", *SMALL, "--out", str(out), "--plot", str(plot)]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("wrote 20 admissions with notes and 2 with codes alone, ")
    assert (out / "NOTEEVENTS.csv").is_file()
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "plot.png"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sim"]


def test_gzip_and_mimic4(tmp_path: Path) -> None:
    out = tmp_path / "sim"
    out.mkdir()  # an empty folder is fine
    assert run(["simulate", "mimic4", *SMALL, "--icd10-share", "1", "--gzip", "--out", str(out)]) == 0
    assert (out / "note" / "discharge.csv.gz").is_file()
    assert not list(out.rglob("*.csv"))


def test_a_folder_in_use_is_refused_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("x", encoding="utf-8")
    assert run(["simulate", "mimic3", *SMALL, "--out", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err == f"nosology: error: {tmp_path}: holds files already; name a new or an empty folder\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--codes", "9"], "simulated release: codes must be at least 50, got 9\n"),
        (["--admissions", "600000"], "simulated release: admissions must be 1 to 500000, got 600000\n"),
        (["--icd10-share", "0.5"], "--icd10-share is for mimic4; MIMIC-III is coded in ICD-9 throughout\n"),
        (["--codes", "90000"], "simulated corpus: n_codes is 69840, but icd9cm has "),
    ],
)
def test_wrong_options_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run(["simulate", "mimic3", *options, "--out", str(tmp_path / "sim")]) == 2
    assert capsys.readouterr().err.startswith(f"nosology: error: {message}")
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_and_a_plot_without_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sim").write_text("x", encoding="utf-8")
    assert run(["simulate", "mimic3", *SMALL, "--out", str(tmp_path / "sim")]) == 2
    assert "is a file, not a folder; choose another place" in capsys.readouterr().err
    plot = tmp_path / "nowhere" / "plot.png"
    assert run(["simulate", "mimic3", *SMALL, "--out", str(tmp_path / "new"), "--plot", str(plot)]) == 2
    assert "its folder does not exist; make it first" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_plot_that_cannot_be_drawn_is_told_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "sim")
    assert run(["simulate", "mimic3", *SMALL, "--out", out, "--plot", str(tmp_path / "plot.gif")]) == 2
    assert "plot.gif: a plot is written as .png, .pdf, .svg; name it so" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run(["simulate", "mimic3", *SMALL, "--out", out, "--plot", str(tmp_path / "plot.png")]) == 2
    assert "A plot needs an optional part: pip install 'nosology[plots]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_too_small_is_told_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**7, 10**7))
    assert run(["simulate", "mimic3", "--admissions", "1000", "--out", str(tmp_path / "sim")]) == 2
    assert "needs about 38 MB and its disk has 10 MB free; make room or ask for fewer admissions" in (
        capsys.readouterr().err
    )


def _command(out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "nosology", "simulate", "mimic3", "--codes", "60", "--out", str(out), *options]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files makes the system refuse a write in the middle, as a full disk does."""
    done = subprocess.run(
        _command(tmp_path / "sim", "--admissions", "600", "--words", "1500"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.endswith("sim: cannot be written (File too large); make room or choose another place\n")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="sends signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        _command(tmp_path / "sim", "--admissions", "60000", "--words", "200", "--labels", "2"),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".sim.building-*/NOTEEVENTS.csv")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    assert b"Traceback" not in told
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="sends signals")
def test_what_a_killed_run_leaves_is_removed_by_the_next(tmp_path: Path) -> None:
    process = subprocess.Popen(
        _command(tmp_path / "sim", "--admissions", "60000", "--words", "200", "--labels", "2"),
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".sim.building-*/NOTEEVENTS.csv")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)  # the pipe closes only when the workers have ended, too
    assert not (tmp_path / "sim").exists()
    assert run(["simulate", "mimic3", *SMALL, "--out", str(tmp_path / "sim")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["sim"]
