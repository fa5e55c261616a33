from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from nosology.checkpoint import open_model_folder
from nosology.cli.main import run
from nosology.evaluation import read_predictions

SECRET = "zanzibarine"


@pytest.fixture(autouse=True)
def _start(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


def one_line_error(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 2) -> str:
    """Run a command that must fail; its stderr must be one line without note text, its stdout empty."""
    capsys.readouterr()
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("nosology: error: ")
    assert SECRET not in lines[0]
    return lines[0]


def send_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


# --- train ----------------------------------------------------------------------------------------------------------


def test_train_writes_a_model_that_remembers_its_corpus(model: Path, table: Path) -> None:
    recipe = open_model_folder(model).file("recipe.toml").read_text()
    assert json.dumps(str(table)) in recipe


def test_train_on_chosen_splits(
    table: Path, recipe: Path, tmp_path: Path, word_coder: object, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(recipe), "--data", str(table), "--train-on"]
    assert run([*arguments, "train+dev", "--out", str(tmp_path / "m1")]) == 0
    assert run([*arguments, "all", "--out", str(tmp_path / "m2")]) == 0
    assert capsys.readouterr().err.count("trained on 4 encounters with 3 codes") == 2
    error = one_line_error(capsys, [*arguments, "tset", "--out", str(tmp_path / "m3")])
    assert "no encounter in split 'tset'; this corpus has: dev, train" in error
    assert not (tmp_path / "m3").exists()


def test_the_seed_reaches_the_coder(table: Path, recipe: Path, tmp_path: Path, word_coder: object) -> None:
    recipe.write_text(recipe.read_text() + "[training]\nseed = 5\n")
    for name, extra, seed in (("m1", [], 5), ("m2", ["--seed", "7"], 7), ("m3", ["--seed", "0"], 0)):
        assert run(["train", str(recipe), "--data", str(table), "--out", str(tmp_path / name), *extra]) == 0
        assert json.loads((tmp_path / name / "words.json").read_text())[-1] == seed


def test_train_refuses_before_it_reads(model: Path, recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", str(recipe), "--data", "nowhere.jsonl", "--out", str(model)]
    assert "holds a model already" in one_line_error(capsys, arguments)
    assert "nowhere.jsonl" in one_line_error(capsys, [*arguments, "--overwrite"])
    open_model_folder(model)


def test_train_overwrites_when_asked(model: Path, recipe: Path, table: Path) -> None:
    assert run(["train", str(recipe), "--data", str(table), "--out", str(model), "--overwrite", "--seed", "3"]) == 0
    assert json.loads((model / "words.json").read_text())[-1] == 3


def test_train_skips_broken_rows_only_when_asked(
    table: Path, recipe: Path, tmp_path: Path, word_coder: object, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_text(table.read_text() + '{"id": "e", "split": "train", "text": "' + SECRET + '", "codes": 7}\n')
    arguments = ["train", str(recipe), "--data", str(table), "--out", str(tmp_path / "m")]
    assert f"{table}:5" in one_line_error(capsys, arguments)
    assert run([*arguments, "--on-error", "skip"]) == 0
    error = capsys.readouterr().err
    assert "skipped 1 broken record:" in error
    assert "trained on 2 encounters" in error
    assert SECRET not in error


def test_data_for_the_simulated_corpus_is_refused(
    tmp_path: Path, word_coder: object, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('[corpus]\nreader = "simulated"\n')
    error = one_line_error(capsys, ["train", str(recipe), "--data", "x", "--out", str(tmp_path / "m")])
    assert "the simulated corpus reads no data" in error


def test_codiesp_is_found_by_the_environment(
    tmp_path: Path, word_coder: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('[corpus]\nreader = "codiesp"\n')
    arguments = ["train", str(recipe), "--out", str(tmp_path / "m")]
    assert "needs its data: give --data" in one_line_error(capsys, arguments)
    monkeypatch.setenv("NOSOLOGY_DATA", str(tmp_path / "data"))
    assert str(tmp_path / "data" / "codiesp") in one_line_error(capsys, arguments)


def test_unknown_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = one_line_error(capsys, ["train", "no_such_recipe", "--out", str(tmp_path / "m")])
    assert "no_such_recipe: no such recipe file, and no recipe of that name" in error


def test_recipe_problems_come_in_one_line(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.write_text(recipe.read_text() + "[training]\nfold = 3\nseed = -1\n")
    error = one_line_error(capsys, ["train", str(recipe), "--out", str(tmp_path / "m")])
    assert "2 problems: [training] fold: unknown key (did you mean 'folds'?); [training] seed: -1 is below 0" in error


def test_an_interrupted_train_leaves_nothing(
    table: Path,
    recipe: Path,
    tmp_path: Path,
    word_coder: type,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("nosology.checkpoint._write_config", stop)
    before = sorted(tmp_path.iterdir())
    assert run(["train", str(recipe), "--data", str(table), "--out", str(tmp_path / "m")]) == 130
    monkeypatch.setattr(word_coder, "fit", stop)
    assert run(["train", str(recipe), "--data", str(table), "--out", str(tmp_path / "m")]) == 130
    assert sorted(tmp_path.iterdir()) == before


# --- evaluate -------------------------------------------------------------------------------------------------------


def test_evaluate_finds_the_corpus_again(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, predictions = tmp_path / "report.json", tmp_path / "dev.jsonl"
    assert run(["evaluate", str(model), "--json", str(report), "--predictions", str(predictions)]) == 0
    assert "F1" in capsys.readouterr().out
    figures = json.loads(report.read_text())
    assert figures["counts"]["encounters"] == 2
    assert figures["assignment"]["micro"]["f1"] == 1.0
    assert [coded.encounter_id for coded in read_predictions(predictions)] == ["c", "d"]


def test_evaluate_says_where_the_corpus_should_be(
    model: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved.jsonl"
    table.rename(moved)
    assert str(table) in one_line_error(capsys, ["evaluate", str(model)])
    assert run(["evaluate", str(model), "--data", str(moved), "--split", "all"]) == 0


@pytest.mark.parametrize("option", ["--json", "--predictions"])
def test_evaluate_refuses_a_bad_place_before_it_works(
    model: Path, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = one_line_error(capsys, ["evaluate", str(model), option, str(tmp_path / "none" / "x")])
    assert "its folder does not exist" in error


def test_evaluate_a_broken_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (model / "words.json").open("a") as stream:
        stream.write(" ")
    assert "words.json: changed since it was written" in one_line_error(capsys, ["evaluate", str(model)])
    assert "no such model folder" in one_line_error(capsys, ["evaluate", str(model / "none")])


# --- code -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note1.txt"
    path.write_text(f"{SECRET} has asthma and gout; also a Cough.\n", encoding="utf-8")
    return path


def test_code_shows_the_note_and_its_codes(model: Path, note: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["code", str(model), str(note)]) == 0
    captured = capsys.readouterr()
    assert "has [asthma]² and [gout]¹; also a Cough." in captured.out
    assert "Title of M10.9" in captured.out
    assert "· considered, not assigned" in captured.out
    assert "\x1b" not in captured.out
    assert captured.err == ""


def test_code_json_has_offsets_and_no_text(model: Path, note: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["code", str(model), str(note), "--json", "--top", "1"]) == 0
    out = capsys.readouterr().out
    row = json.loads(out)
    assert row["id"] == "note1"
    assert [code["code"] for code in row["codes"]] == ["M10.9"]
    text = note.read_text()
    (evidence,) = row["codes"][0]["evidence"]
    assert text[evidence["start"] : evidence["end"]] == "gout"
    assert SECRET not in out


def test_code_from_standard_input(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    send_stdin(monkeypatch, "\ufeffasma y gout\r\n".encode())
    assert run(["code", str(model), "-", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["id"] == "stdin"
    assert row["codes"][0]["evidence"] == [{"note_id": "stdin", "start": 7, "end": 11}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "standard input: the note is empty"),
        (b" \n", "standard input: the note is empty"),
        (SECRET.encode() + b"\x00", "standard input: byte 11 is NUL"),
        (SECRET.encode() + b" \xff", "standard input: byte 12 is not UTF-8"),
    ],
)
def test_bad_standard_input(
    model: Path, data: bytes, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    send_stdin(monkeypatch, data)
    assert message in one_line_error(capsys, ["code", str(model), "-"])


@pytest.mark.parametrize(
    "data", [b"", SECRET.encode() + b"\x00", SECRET.encode() + b"\xff"], ids=["empty", "nul", "bytes"]
)
def test_bad_note_file(model: Path, tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_bytes(data)
    assert f"{bad}" in one_line_error(capsys, ["code", str(model), str(bad)])
    assert run(["code", str(model), str(bad), "--on-error", "skip"]) == 2
    assert "no note could be coded" in capsys.readouterr().err


def test_missing_note(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in one_line_error(capsys, ["code", str(model), str(tmp_path / "none.txt")])


def test_a_five_megabyte_note(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    big = tmp_path / "big.txt"
    big.write_text("lorem ipsum " * 430_000 + "gout " + "dolor " * 1000, encoding="utf-8")
    capsys.readouterr()
    assert run(["code", str(model), str(big)]) == 0
    out = capsys.readouterr().out
    assert "[gout]¹" in out
    assert "⋯ 5,159,8" in out
    assert len(out) < 3000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "n1.txt").write_text(f"{SECRET} gout", encoding="utf-8")
    (folder / "n2.txt").write_text("", encoding="utf-8")
    (folder / "n3.txt").write_text("asthma", encoding="utf-8")
    return folder


def test_code_a_folder_into_one_file(
    model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "codes.jsonl"
    arguments = ["code", str(model), str(folder), "--out", str(out)]
    assert f"{folder / 'n2.txt'}" in one_line_error(capsys, arguments)
    assert not out.exists()
    assert run([*arguments, "--on-error", "skip"]) == 0
    error = capsys.readouterr().err
    assert "skipped 1 broken record:" in error
    assert "coded 2 of 3 notes" in error
    assert [coded.encounter_id for coded in read_predictions(out)] == ["n1", "n3"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_code_a_folder_into_a_folder(model: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "coded"
    assert run(["code", str(model), str(folder), "--out", str(out), "--on-error", "skip"]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["n1.json", "n3.json"]
    assert json.loads((out / "n3.json").read_text())["codes"][0]["code"] == "J45.909"


def test_an_interrupted_folder_leaves_whole_files_only(
    model: Path, folder: Path, tmp_path: Path, word_coder: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = word_coder.code

    def stop_at_n3(self: object, encounter: object) -> object:
        if encounter.encounter_id == "n3":
            raise KeyboardInterrupt
        return code(self, encounter)

    monkeypatch.setattr(word_coder, "code", stop_at_n3)
    options = ["--on-error", "skip", "--out"]
    before = set(tmp_path.iterdir())
    assert run(["code", str(model), str(folder), *options, str(tmp_path / "all.jsonl")]) == 130
    assert set(tmp_path.iterdir()) == before
    assert run(["code", str(model), str(folder), *options, str(tmp_path / "each")]) == 130
    assert [p.name for p in (tmp_path / "each").iterdir()] == ["n1.json"]


def test_one_json_file_cannot_hold_many_notes(
    model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = one_line_error(capsys, ["code", str(model), str(folder), "--out", str(tmp_path / "x.json")])
    assert "one .json file cannot hold 3 notes" in error


# --- the command itself ---------------------------------------------------------------------------------------------


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("nosology 0.")
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("train", "evaluate", "code", "codes"):
        assert command in text
    for command in ("train", "evaluate", "code"):
        assert run([command, "--help"]) == 0
        assert f"  nosology {command} " in capsys.readouterr().out


@pytest.mark.parametrize("line", ["trian", "train", "code m n --tpo 1", "code m n --top 0", "evaluate"])
def test_wrong_options(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_of_our_own_tells_its_place_and_no_text(
    model: Path, note: Path, word_coder: type, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: object, encounter: object) -> object:
        raise KeyError(encounter.notes[0].text)

    monkeypatch.setattr(word_coder, "code", fail)
    capsys.readouterr()
    assert run(["code", str(model), str(note)]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "internal error (KeyError at test_commands.py:" in error
    assert "--debug" in error
    assert SECRET not in error
    assert run(["code", str(model), str(note)], debug=True) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes as on POSIX")
def test_a_reader_that_leaves_early_makes_no_noise() -> None:
    import subprocess

    script = "import sys; sys.argv = ['nosology', '--help']; from nosology.cli.main import main; main()"
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run([sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert process.stderr == b""
    assert process.returncode == 1
