from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nosology.checkpoint import (
    load_arrays,
    open_model_folder,
    save_arrays,
    writing_model_folder,
)
from nosology.errors import ConfigError, ModelError
from nosology.whole_files import writing_file


def write_model(path: Path, content: str = "hello", *, overwrite: bool = False) -> None:
    with writing_model_folder(path, overwrite=overwrite, hints={"corpus": "/somewhere"}) as folder:
        (folder / "recipe.toml").write_text(content)
        (folder / "parts").mkdir()
        (folder / "parts" / "words.txt").write_text("one\ntwo\n")
        save_arrays(folder / "weights.npz", {"w": np.arange(6.0).reshape(2, 3), "codes": np.array(["I10", "041"])})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


def edit_config(model: Path, **changes: object) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **changes}))


def error_of(model: Path) -> str:
    with pytest.raises(ModelError) as caught:
        open_model_folder(model)
    message = str(caught.value)
    assert "\n" not in message
    assert str(model) in message
    return message


def test_a_written_model_opens(model: Path) -> None:
    opened = open_model_folder(model)
    assert sorted(opened.files) == ["parts/words.txt", "recipe.toml", "weights.npz"]
    assert opened.hints == {"corpus": "/somewhere"}
    assert opened.file("recipe.toml").read_text() == "hello"
    with pytest.raises(ModelError, match=r"has no other\.json"):
        opened.file("other.json")
    assert list(model.parent.iterdir()) == [model]


def test_arrays_come_back_equal_and_never_by_pickle(model: Path, tmp_path: Path) -> None:
    arrays = load_arrays(model / "weights.npz")
    np.testing.assert_array_equal(arrays["w"], np.arange(6.0).reshape(2, 3))
    assert arrays["codes"].tolist() == ["I10", "041"]
    with pytest.raises(ValueError, match="Python objects"):
        save_arrays(tmp_path / "x.npz", {"x": np.array([{}], dtype=object)})
    np.savez(tmp_path / "evil.npz", x=np.array([{}], dtype=object))
    with pytest.raises(ModelError, match="damaged"):
        load_arrays(tmp_path / "evil.npz")
    (tmp_path / "cut.npz").write_bytes((model / "weights.npz").read_bytes()[:100])
    with pytest.raises(ModelError, match="damaged"):
        load_arrays(tmp_path / "cut.npz")


def test_truncated(model: Path) -> None:
    with (model / "weights.npz").open("rb+") as stream:
        stream.truncate(10)
    assert "weights.npz: truncated: 10 bytes instead of" in error_of(model)


def test_changed_with_the_same_size(model: Path) -> None:
    (model / "recipe.toml").write_text("jello")
    assert "recipe.toml: its SHA-256 is" in error_of(model)


def test_grown(model: Path) -> None:
    (model / "recipe.toml").write_text("hello you")
    assert "changed since it was written: 9 bytes instead of 5" in error_of(model)


def test_missing_file(model: Path) -> None:
    (model / "parts" / "words.txt").unlink()
    assert "words.txt: is missing from the model; copy the model again" in error_of(model)


@pytest.mark.parametrize(
    ("version", "message"),
    [(2, "is newer than this nosology"), (0, "is older than this nosology"), ("x", "is older than this nosology")],
)
def test_other_version(model: Path, version: object, message: str) -> None:
    edit_config(model, format_version=version, nosology_version="9.9")
    error = error_of(model)
    assert message in error
    assert "written by nosology 9.9" in error


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": ', "\x00"])
def test_damaged_config(model: Path, content: str) -> None:
    (model / "config.json").write_text(content)
    assert "damaged" in error_of(model)


def test_config_with_a_wrong_key(model: Path) -> None:
    edit_config(model, files={"recipe.toml": {"size_bytes": 5}})
    assert "a key is missing or wrong" in error_of(model)


def test_config_that_leads_out_of_the_folder(model: Path) -> None:
    edit_config(model, files={"../secret": {"size_bytes": 5, "sha256": "0"}})
    assert "a key is missing or wrong" in error_of(model)


def test_not_a_model(tmp_path: Path) -> None:
    assert "no such model folder" in error_of(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    assert "is a file, not a model folder" in error_of(tmp_path / "file")
    assert "it has no config.json" in error_of(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert "not a nosology model" in error_of(tmp_path)


def test_a_model_is_replaced_only_when_asked(model: Path) -> None:
    with pytest.raises(ModelError, match="--overwrite"):
        write_model(model, "new")
    write_model(model, "new", overwrite=True)
    assert open_model_folder(model).file("recipe.toml").read_text() == "new"
    assert list(model.parent.iterdir()) == [model]


def test_a_truncated_model_can_be_replaced(model: Path) -> None:
    (model / "weights.npz").unlink()
    write_model(model, "new", overwrite=True)
    open_model_folder(model)


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ModelError, match="not a nosology model"):
        write_model(tmp_path, overwrite=True)
    with pytest.raises(ModelError, match="is a file"):
        write_model(tmp_path / "thesis.tex", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_model(tmp_path / "model")
    open_model_folder(tmp_path / "model")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_a_failure_leaves_nothing_or_the_old_model(tmp_path: Path, stop: type[BaseException]) -> None:
    def fail() -> None:
        with writing_model_folder(tmp_path / "model", overwrite=True) as folder:
            (folder / "half").write_text("x")
            raise stop

    with pytest.raises(stop):
        fail()
    assert list(tmp_path.iterdir()) == []
    write_model(tmp_path / "model")
    with pytest.raises(stop):
        fail()
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]
    open_model_folder(tmp_path / "model")


def test_a_killed_writer_leaves_no_model_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "model"
    script = (
        "import sys, time\nfrom nosology.checkpoint import writing_model_folder\n"
        "with writing_model_folder(sys.argv[1]) as folder:\n"
        "    (folder / 'half').write_text('x')\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    process.stdout.close()
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    write_model(target)
    assert list(tmp_path.iterdir()) == [target]


def test_a_running_writer_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "model"
    running = tmp_path / f".model.building-{os.getpid()}-0123abcd"
    running.mkdir()
    write_model(target)
    assert running.exists()
    os.utime(running, (time.time() - 7 * 3600,) * 2)
    write_model(target, overwrite=True)
    assert not running.exists()


def test_a_model_moved_aside_by_a_killed_run_comes_back(model: Path) -> None:
    model.rename(model.parent / ".model.replaced-1-0123abcd")
    with pytest.raises(RuntimeError), writing_model_folder(model, overwrite=True):
        raise RuntimeError
    assert open_model_folder(model).file("recipe.toml").read_text() == "hello"


def test_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="cannot be written"):
        write_model(tmp_path / "file" / "model")


def test_one_file_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "out.json"

    def stop_halfway() -> None:
        with writing_file(target) as path:
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    assert list(tmp_path.iterdir()) == []
    with writing_file(target) as path:
        path.write_text("whole")
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_is_refused_before_the_work(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        with writing_file(path):
            raise AssertionError

    with pytest.raises(ConfigError, match="its folder does not exist"):
        write(tmp_path / "none" / "out.json")
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        write(tmp_path)
