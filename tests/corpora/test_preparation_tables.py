"""Raw tables as streams: against the csv module, whatever the size of a block."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.corpora.preparation import blocks
from nosology.corpora.preparation.caml_labels import pandas_guess
from nosology.corpora.preparation.raw_tables import RawTable, find_table
from nosology.corpora.preparation.runs import positions
from nosology.corpora.preparation.selection import Labels
from nosology.errors import CorpusError

cells = st.text(st.sampled_from('ab ",\n\té'), max_size=12)


def rows_of(path: Path) -> list[tuple[str, ...]]:
    table = RawTable(path, ("a", "b"), ("c", "d"))
    found = [row for r in table.records() for row in zip(*(r.columns[n].to_pylist() for n in "abc"), strict=True)]
    assert table.rows == len(found)
    return found


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), max_size=12),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    end=st.sampled_from(["\n", "\r\n"]),
    block=st.integers(1, 40),
    compress=st.booleans(),
)
def test_records_are_those_of_the_csv_module(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    quoting: int,
    end: str,
    block: int,
    compress: bool,
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerow(["A", "b", "C"])
    writer.writerows(rows)
    data = text.getvalue().encode()
    path = tmp_path_factory.mktemp("table") / ("t.csv.gz" if compress else "t.csv")
    path.write_bytes(gzip.compress(data) if compress else data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block)
        patch.setattr(blocks, "_GZIP_READ_BYTES", max(block // 2, 1))
        assert rows_of(path) == rows


@pytest.mark.parametrize("block", [3, 17, 1 << 20])
def test_lines_are_right_in_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    good = 'x,"two\nlines",z\n' * 20
    path = tmp_path / "t.csv"
    path.write_text(f"a,b,c\n{good}x,y\n{good}")
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    with pytest.raises(CorpusError) as caught:
        rows_of(path)
    assert str(caught.value) == f"{path}:42: 2 cells where the header has 3; mend the row"
    path.write_text(f'a,b,c\n{good}x,"y,z\n{good}')
    with pytest.raises(CorpusError, match=r"t.csv:42: in the record that starts here a quote is not closed"):
        rows_of(path)


def test_several_gzip_streams_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b,c\n1,2,3\n") + gzip.compress(b"4,5,6\n") + bytes(64))
    assert rows_of(path) == [("1", "2", "3"), ("4", "5", "6")]


def test_byte_order_mark_and_quoted_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbf"A","B","C"\n1,2,3\n')
    assert rows_of(path) == [("1", "2", "3")]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(CorpusError, match="the file is empty; download it again"):
        rows_of(tmp_path / "t.csv")


def test_facts_are_those_of_the_file(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b,c\n" + b"1,2,3\n" * 1000))
    seen: list[int] = []
    table = RawTable(path, ("a",), progress=seen.append)
    assert sum(len(records) for records in table.records()) == 1000
    assert table.facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert table.facts.bytes == sum(seen) == path.stat().st_size


def test_the_uncompressed_file_is_taken_of_two(tmp_path: Path) -> None:
    for name in ("NoteEvents.csv", "NOTEEVENTS.csv.gz", "OTHER.csv"):
        (tmp_path / name).write_text("x")
    assert find_table(tmp_path, "NOTEEVENTS") == tmp_path / "NoteEvents.csv"
    assert find_table(tmp_path, "hosp/other") is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=6), st.data())
def test_choosing_admissions_and_codes(lists: list[list[int]], data: st.DataObject) -> None:
    import numpy as np

    starts = np.concatenate([[0], np.cumsum([len(codes) for codes in lists])]).astype(np.int64)
    labels = Labels(starts, np.array([code for codes in lists for code in codes], dtype=np.int32))
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1)))
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=6, max_size=6)))
    picked = labels.at(np.array(chosen, dtype=np.int64))
    assert [picked.of(i) for i in range(len(picked))] == [lists[i] for i in chosen]
    kept = labels.with_codes(wanted)
    assert [kept.of(i) for i in range(len(kept))] == [[c for c in codes if wanted[c]] for codes in lists]
    assert positions(starts[:-1], np.diff(starts)).tolist() == list(range(int(starts[-1])))


def test_pandas_guess_by_blocks() -> None:
    assert pandas_guess([]) == []
    assert pandas_guess(["0407", "", "11"]) == ["407.0", "", "11.0"]
    assert pandas_guess(["V58", "0407"]) == ["V58", "0407"]
    many = ["V58"] + ["39.50"] * 131_071 + ["39.50", "04.07"]
    assert pandas_guess(many)[-3:] == ["39.50", "39.5", "4.07"]
