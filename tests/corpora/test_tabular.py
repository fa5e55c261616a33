"""Tables of notes in every format: what is read, and the text of every error."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.corpora import TabularColumns, read_tabular
from nosology.errors import ConfigError, CorpusError, MissingExtraError
from nosology.types import Corpus, Evidence, GoldCode, Span

CANARY = "zebrafinch"
TEXT = f"Fever, cough.\n{CANARY}"
ALL = TabularColumns(
    encounter_id="id", note_id="note", group_id="patient", split="split", category="kind", language="lang",
    evidence="evidence", metadata=("service",),
)  # fmt: skip
IDS = TabularColumns(encounter_id="id", evidence="evidence")
ROW = {
    "id": "e1",
    "note": "n1",
    "text": TEXT,
    "codes": ["R50.9", "r05"],
    "patient": "p1",
    "split": "validation",
    "kind": "Discharge summary",
    "lang": "es",
    "evidence": [{"code": "R50.9", "start": 0, "end": 5}, {"code": "R05", "parts": [[7, 12], [0, 5]]}],
    "service": "MED",
}
Rows = Sequence[dict[str, object]]


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write_csv(path: Path, rows: Rows, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    flat = [{**row, "codes": ";".join(row["codes"]), "evidence": json.dumps(row["evidence"])} for row in rows]  # type: ignore[arg-type]
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(flat)
    return path


def write_parquet(path: Path, rows: Rows) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


WRITERS: dict[str, Callable[[Path, Rows], Path]] = {
    "jsonl": write_jsonl,
    "ndjson": write_jsonl,
    "csv": write_csv,
    "tsv": lambda path, rows: write_csv(path, rows, "\t"),
    "parquet": write_parquet,
}


def message(path: Path, columns: TabularColumns | None = IDS, **options: object) -> str:
    with pytest.raises(CorpusError) as caught:
        read_tabular(path, columns=columns, **options)  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def lines(path: Path, *content: str) -> Path:
    path.write_text("\n".join(content) + "\n", "utf-8", newline="")
    return path


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_reads_alike(tmp_path: Path, suffix: str) -> None:
    second = {**ROW, "id": "e2", "note": "n2", "codes": [], "evidence": []}
    corpus = read_tabular(WRITERS[suffix](tmp_path / f"notes.{suffix}", [ROW, second]), columns=ALL)
    encounter = corpus.encounters[0]
    note = encounter.notes[0]
    assert (corpus.name, corpus.systems, corpus.skipped) == ("tabular", ("icd10cm",), ())
    assert (encounter.encounter_id, encounter.group_id, encounter.split) == ("e1", "p1", "dev")
    assert encounter.metadata == {"service": "MED"}
    assert (note.note_id, note.text, note.category, note.language) == ("n1", TEXT, "Discharge summary", "es")
    assert encounter.codes == (
        GoldCode("R50.9", "icd10cm", (Evidence("n1", (Span(0, 5),)),)),
        GoldCode("R05", "icd10cm", (Evidence("n1", (Span(0, 5), Span(7, 12))),)),
    )
    assert corpus.encounters[1].codes == ()


def test_csv_keeps_zeros_quoted_newlines_and_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_bytes(b'\xef\xbb\xbfid,text,codes\r\n007,"two\r\nlines, ""quoted""",041|250.00\r\n\r\n8,plain,\r\n')
    corpus = read_tabular(path, columns=TabularColumns(encounter_id="id"), system="icd9cm")
    assert [e.encounter_id for e in corpus] == ["007", "8"]
    assert corpus.encounters[0].notes[0].text == 'two\r\nlines, "quoted"'
    assert [gold.code for gold in corpus.encounters[0].codes or ()] == ["041", "250.00"]
    assert corpus.encounters[1].codes == ()


@pytest.mark.parametrize("codes", ["I10;R05", "I10|R05", "i10, r05 ;", "I10;;R05;I10"])
def test_separators_of_codes(tmp_path: Path, codes: str) -> None:
    path = write_jsonl(tmp_path / "notes.jsonl", [{"text": "x", "codes": codes}])
    assert [gold.code for gold in read_tabular(path).encounters[0].codes or ()] == ["I10", "R05"]


def test_one_chosen_separator_and_a_system_of_your_own(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "notes.jsonl", [{"text": "x", "codes": "a,1/ b;2"}])
    corpus = read_tabular(path, system="mine", separator="/")
    assert [(gold.code, gold.system) for gold in corpus.encounters[0].codes or ()] == [("a,1", "mine"), ("b;2", "mine")]
    with pytest.raises(ConfigError, match="the separator of codes is empty"):
        read_tabular(path, separator="")


def test_null_codes_mean_not_coded(tmp_path: Path) -> None:
    rows: Rows = [{"text": "x", "codes": None}, {"text": "y"}, {"text": "z", "codes": []}, {"text": "z", "codes": ""}]
    corpus = read_tabular(write_jsonl(tmp_path / "notes.jsonl", rows))
    assert [e.codes for e in corpus] == [None, None, (), ()]
    assert [e.encounter_id for e in corpus] == ["1", "2", "3", "4"]


def test_no_codes_column_at_all(tmp_path: Path) -> None:
    corpus = read_tabular(lines(tmp_path / "notes.csv", "text", "one"), columns=TabularColumns(codes=None))
    assert corpus.encounters[0].codes is None


def test_five_megabyte_note(tmp_path: Path) -> None:
    text = "cough, fever\n" * 400_000
    for suffix in ("csv", "jsonl"):
        path = WRITERS[suffix](tmp_path / f"notes.{suffix}", [{**ROW, "text": text}])
        assert read_tabular(path, columns=IDS).encounters[0].notes[0].text == text
    assert csv.field_size_limit() == 131072  # left as it was


def test_rows_of_one_encounter_become_its_notes(tmp_path: Path) -> None:
    rows = [
        ROW,
        {**ROW, "id": "e2", "note": "n2"},
        {**ROW, "note": "n3", "codes": ["R05", "R50.9"], "evidence": [{"code": "R05", "start": 1, "end": 2}]},
    ]
    corpus = read_tabular(write_jsonl(tmp_path / "notes.jsonl", rows), columns=ALL)
    assert [(e.encounter_id, [n.note_id for n in e.notes]) for e in corpus] == [("e1", ["n1", "n3"]), ("e2", ["n2"])]
    evidence = {gold.code: [item.note_id for item in gold.evidence] for gold in corpus.encounters[0].codes or ()}
    assert evidence == {"R50.9": ["n1"], "R05": ["n1", "n3"]}


DISAGREE = "this encounter's rows disagree in their codes, group, split or metadata; make them agree"
TWICE = "this id occurs twice; make ids unique, or name the column of note ids"


@pytest.mark.parametrize(
    ("change", "record", "problem"),
    [
        ({"note": "n1"}, "n1", TWICE),
        ({"id": "e2", "note": "n1"}, "n1", TWICE),
        ({"note": "n2", "codes": ["R05"], "evidence": []}, "e1", DISAGREE),
        ({"note": "n2", "codes": None, "evidence": []}, "e1", DISAGREE),
        ({"note": "n2", "patient": "p2"}, "e1", DISAGREE),
        ({"note": "n2", "split": "test"}, "e1", DISAGREE),
        ({"note": "n2", "service": "SURG"}, "e1", DISAGREE),
    ],
)
def test_rows_that_are_no_second_note(tmp_path: Path, change: dict[str, object], record: str, problem: str) -> None:
    path = write_jsonl(tmp_path / "notes.jsonl", [ROW, {**ROW, **change}])
    assert message(path, ALL) == f"{path}:2 [{record}]: {problem}"
    corpus = read_tabular(path, columns=ALL, on_error="skip")
    assert (len(corpus), len(corpus.encounters[0].notes), len(corpus.skipped)) == (1, 1, 1)


def test_same_encounter_id_without_note_ids_is_a_duplicate(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "notes.jsonl", [ROW, ROW])
    assert message(path) == f"{path}:2 [e1]: {TWICE}"


BROKEN_VALUES: list[tuple[dict[str, object], str]] = [
    ({"text": None}, " [e1]: the text (column 'text') is missing; mend the row"),
    ({"text": 5}, " [e1]: the text (column 'text') is of type int, not a string; mend the row"),
    ({"text": " \n"}, " [e1]: the note is empty; fill it or remove the row"),
    (
        {"text": f"{CANARY}\0"},
        " [e1]: character 10 of the note is NUL; remove it and shift any evidence after it",
    ),
    ({"text": "\ud83d"}, " [e1]: the note holds half of a surrogate pair; write it as valid Unicode"),
    ({"id": ""}, ": column 'id' is empty; give every row an id"),
    ({"id": 1.0}, ": column 'id' holds a float; write a string"),
    ({"codes": {"a": 1}}, " [e1]: the codes are a dict; write a list or a string"),
    (
        {"codes": [250.10]},
        " [e1]: a code is a float; write codes as strings, or zeros are lost (250.10, 041)",
    ),
    (
        {"codes": f"a {CANARY} sang"},
        " [e1]: a text of 17 characters does not have the shape of a code of icd10cm (such as I10, S72.001A); "
        "mend the row",
    ),
    ({"evidence": f"[{CANARY}"}, " [e1]: the evidence is not JSON; write a list of objects"),
    ({"evidence": ["x"]}, " [e1]: the evidence is not a list of objects; write {code, start, end}"),
    (
        {"evidence": [{"code": "I10", "start": 0, "end": 5}]},
        " [e1]: evidence for a code that this row does not have; add the code",
    ),
    (
        {"evidence": [{"code": "R05", "start": 0, "end": 99}]},
        f" [e1]: the evidence ends at 99 but the text has {len(TEXT)} characters; mend the row",
    ),
    ({"evidence": [{"code": "R05", "start": 5, "end": 5}]}, " [e1]: evidence from 5 to 5 is no span; mend the row"),
    ({"evidence": [{"code": "R05", "start": -1, "end": 5}]}, " [e1]: evidence from -1 to 5 is no span; mend the row"),
    (
        {"evidence": [{"code": "R05", "start": True, "end": 5}]},
        " [e1]: evidence offsets are whole numbers, a start and an end; mend the row",
    ),
    (
        {"evidence": [{"code": "R05", "parts": [[1, 2, 3]]}]},
        " [e1]: evidence offsets are whole numbers, a start and an end; mend the row",
    ),
    ({"evidence": [{"code": "R05", "parts": []}]}, " [e1]: the evidence has no offsets; write start and end, or parts"),
]


@pytest.mark.parametrize(("change", "problem"), BROKEN_VALUES, ids=range(len(BROKEN_VALUES)))
def test_broken_value(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    path = write_jsonl(tmp_path / "notes.jsonl", [{**ROW, "id": "e0"}, {**ROW, **change}, {**ROW, "id": "e2"}])
    expected = f"{path}:2{problem}"
    assert message(path) == expected
    corpus = read_tabular(path, columns=IDS, on_error="skip")
    assert [e.encounter_id for e in corpus] == ["e0", "e2"]
    assert [item.message for item in corpus.skipped] == [expected]


def test_metadata_may_be_numbers_but_not_lists(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "notes.jsonl", [{**ROW, "service": 2.5}])
    assert read_tabular(path, columns=ALL).encounters[0].metadata == {"service": "2.5"}
    path = write_jsonl(tmp_path / "notes.jsonl", [{**ROW, "service": [CANARY]}])
    assert message(path, ALL) == f"{path}:1: column 'service' holds a list; write a string"


BROKEN_JSON = [
    (f'{{"text": "{CANARY}"', "not JSON (Expecting ',' delimiter, column 22); put one JSON object on each line"),
    (f'["{CANARY}"]', "not a JSON object; put one object with named columns on each line"),
    (
        '{"text": ' + "9" * 5000 + "}",
        "JSON with a number too long or nested too deep; put one plain JSON object on each line",
    ),
    (
        '{"text": ' + "[" * 100_000,
        "JSON with a number too long or nested too deep; put one plain JSON object on each line",
    ),
]


@pytest.mark.parametrize(("line", "problem"), BROKEN_JSON, ids=["open", "list", "number", "deep"])
def test_broken_json(tmp_path: Path, line: str, problem: str) -> None:
    good = json.dumps({"text": "x", "codes": []})
    path = lines(tmp_path / "notes.jsonl", good, "", line, good)
    assert message(path, None) == f"{path}:3: {problem}"
    corpus = read_tabular(path, on_error="skip")
    assert (len(corpus), len(corpus.skipped)) == (2, 1)


def test_broken_csv_rows_name_the_line_they_start_on(tmp_path: Path) -> None:
    path = lines(tmp_path / "notes.csv", "text,codes", '"a\nb",I10', "one,I10,more", 'x,"I10"y', "last,I10")
    first = f"{path}:4: the number of cells is 3, not 2; quote fields that hold the separator"
    second = f"{path}:5: broken quoting (',' expected after '\"'); double the quotes inside a quoted field"
    assert message(path, None) == first
    corpus = read_tabular(path, on_error="skip")
    assert [item.message for item in corpus.skipped] == [first, second]
    assert [e.encounter_id for e in corpus] == ["2", "6"]


def test_unclosed_quote(tmp_path: Path) -> None:
    path = lines(tmp_path / "notes.csv", "text,codes", "one,I10", f'"{CANARY},I10', "two,I10")
    expected = "broken quoting (unexpected end of data); double the quotes inside a quoted field"
    assert message(path, None) == f"{path}:3: {expected}"
    assert len(read_tabular(path, on_error="skip")) == 1


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_undecodable_bytes(tmp_path: Path, suffix: str) -> None:
    rows = {
        "csv": [b"text,codes\n", b'"two\nlines",I10\n', CANARY.encode() + b"\xe9,I10\n", b"last,I10\n"],
        "jsonl": [b'{"text": "a", "codes": ""}\n', b"\n", b"\n", b'{"text": "\xe9"}\n', b'{"text": "b"}\n'],
    }[suffix]
    path = tmp_path / f"notes.{suffix}"
    path.write_bytes(b"".join(rows))
    expected = f"{path}:4: byte {path.read_bytes().index(0xE9)} is not UTF-8; convert the file to UTF-8"
    assert message(path, None) == expected
    corpus = read_tabular(path, on_error="skip")
    assert (len(corpus), [item.message for item in corpus.skipped]) == (2, [expected])


def test_wrong_files(tmp_path: Path) -> None:
    empty, blank = tmp_path / "empty.jsonl", lines(tmp_path / "blank.jsonl", "", "")
    empty.touch()
    unknown = lines(tmp_path / "notes.xlsx", "x")
    assert message(empty) == f"{empty}: the file is empty; give a table with at least one row"
    assert message(blank) == f"{blank}: the file is empty; give a table with at least one row"
    assert message(unknown) == f"{unknown}: unknown kind of table; use .jsonl, .csv, .tsv or .parquet"
    assert message(tmp_path) == f"{tmp_path}: is a folder; name one .jsonl, .csv, .tsv or .parquet file"
    assert message(tmp_path / "no.csv") == f"{tmp_path}/no.csv: no such file or folder; check the path"
    assert message(Path(f"{CANARY} " * 100)) == "no such file or folder; check the path"


def test_wrong_headers(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    assert message(lines(path, "a,b", "1,2"), None) == (
        f"{path}: has no columns 'text', 'codes'; name the columns that the file has"
    )
    assert message(lines(path, "text,codes,text", "1,2,3"), None) == (
        f"{path}:1: two columns have the same name; rename one"
    )
    assert message(lines(path, "text,codes"), None) == (
        f"{path}: the file has a header and no rows; give at least one row"
    )
    assert message(lines(path, "", "a"), None) == f"{path}:1: the first line is empty; write the column names there"
    path = write_jsonl(tmp_path / "notes.jsonl", [{"text": "x"}])
    assert message(path, None) == f"{path}: no row has column 'codes'; name the columns that the file has"


def test_nothing_left_after_skipping_is_an_error(tmp_path: Path) -> None:
    path = lines(tmp_path / "notes.csv", "text,codes", ",I10", ",I10")
    assert message(path, None, on_error="skip") == f"{path}: no row could be read (2 skipped); mend the table"


def test_wrong_options(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "notes.jsonl", [ROW])
    with pytest.raises(ConfigError, match=r"^unknown on_error 'ignore'; choose from raise, skip$"):
        read_tabular(path, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^an evidence column needs a codes column; name both or neither$"):
        read_tabular(path, columns=TabularColumns(codes=None, evidence="evidence"))


def test_broken_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = write_parquet(tmp_path / "notes.parquet", [ROW])
    assert message(path, TabularColumns(codes="icd")) == (
        f"{path}: has no column 'icd'; name the columns that the file has"
    )
    path.write_bytes(path.read_bytes()[:-20])
    assert message(path) == f"{path}: is not a readable Parquet file; write it again"
    write_parquet(path, [{"text": "x", "codes": 250.1}])
    assert message(path, None).startswith(f"{path}:1 [1]: the codes are a float; ")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    path = lines(tmp_path / "notes.parquet", "x")
    with pytest.raises(MissingExtraError) as caught:
        read_tabular(path)
    assert str(caught.value) == "Reading Parquet needs an optional part: pip install 'nosology[parquet]'"


# Whatever stands in a note survives the way through a file, except what a note may not hold.
notes = st.lists(
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))).filter(str.strip), min_size=1
)


@settings(max_examples=40, deadline=None)
@given(texts=notes, suffix=st.sampled_from(["jsonl", "csv", "tsv"]))
def test_round_trip(texts: list[str], suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    rows: Rows = [{**ROW, "id": str(i), "text": text, "evidence": []} for i, text in enumerate(texts)]
    path = WRITERS[suffix](tmp_path_factory.mktemp("table") / f"notes.{suffix}", rows)
    corpus: Corpus = read_tabular(path, columns=IDS)
    assert [e.notes[0].text for e in corpus] == texts
