"""Corpora and model folders that are wrong: one exact line each, and never a word of a note."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nosology import __version__
from nosology.coder import Coder
from nosology.errors import ConfigError, CorpusError, ModelError, NosologyError
from nosology.knowledge.stream import build_stream
from nosology.ranked import RankedCandidates
from nosology.types import Corpus, Encounter, Evidence, GoldCode, Note, Span
from tiny_corpus import make_corpus, make_recipe

CANARY = "zxcanaryqv"


def _corpus(*encounters: Encounter) -> Corpus:
    return Corpus("tiny", ("icd10cm",), encounters)


def _one(number: int, *codes: str, group: str = "", text: str = "Known pneumonia.") -> Encounter:
    golds = tuple(GoldCode(code, "icd10cm") for code in codes)
    return Encounter(f"e{number}", (Note(f"n{number}", text),), golds, group)


# --- corpora --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        (
            _corpus(),
            "0 patients or articles with codes are too few to learn from; cross-fitting needs at least two",
        ),
        (
            _corpus(_one(0, "I10", group="p"), _one(1, "I10", group="p")),
            "1 patients or articles with codes are too few to learn from; cross-fitting needs at least two",
        ),
        (
            _corpus(replace(_one(0), codes=None), replace(_one(1), codes=None), _one(2, "I10")),
            "1 patients or articles with codes are too few to learn from; cross-fitting needs at least two",
        ),
        (
            _corpus(_one(0), _one(1), _one(2)),
            "no encounter of the training splits has a code; check the column or files of codes",
        ),
    ],
    ids=["empty", "one group", "one coded", "no codes"],
)
def test_corpora_that_cannot_be_learnt_from(corpus: Corpus, message: str) -> None:
    with pytest.raises(CorpusError) as caught:
        Coder.fit(corpus, make_recipe())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "corpus",
    [
        pytest.param(_corpus(_one(0, "I10"), _one(1, "I10")), id="two encounters"),
        pytest.param(_corpus(_one(0, "I10"), _one(1)), id="one of two has a code"),
        pytest.param(_corpus(_one(0, "I10", text=""), _one(1, "J18.9", text="")), id="no text"),
        pytest.param(_corpus(_one(0, "I10", text="alpha"), _one(1, "J18.9", text="bravo")), id="nothing in common"),
        pytest.param(_corpus(*(_one(n, "I10") for n in range(6))), id="always the same code"),
        pytest.param(_corpus(*(_one(n, "no such code !", "I10") for n in range(6))), id="a code that is none"),
        pytest.param(_corpus(*(_one(n, "1", "A") for n in range(6))), id="codes of one character"),
        pytest.param(
            _corpus(
                *(
                    replace(
                        _one(n),
                        codes=(GoldCode("I10", "icd10cm", (Evidence("elsewhere", (Span(0, 4),)),)),),
                    )
                    for n in range(4)
                )
            ),
            id="evidence in notes that are not there",
        ),
        pytest.param(
            _corpus(
                *(
                    replace(
                        _one(n, text="pneumonia"),
                        codes=(GoldCode("J18.9", "icd10cm", (Evidence(f"n{n}", (Span(0, 9),)),)),),
                    )
                    for n in range(4)
                )
            ),
            id="nothing but evidence",
        ),
        pytest.param(
            _corpus(
                *(
                    replace(
                        _one(n, "I10", "J18.9"),
                        codes=(GoldCode("J18.9", "icd10cm", (Evidence("n0", (Span(6, 15),)),) if n == 0 else ()),),
                    )
                    for n in range(6)
                )
            ),
            id="evidence in one fold only",
        ),
    ],
)
def test_poor_corpora_give_a_model_that_works(corpus: Corpus, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        coder = Coder.fit(corpus, make_recipe())
        coder.save(tmp_path / "model")
        loaded = Coder.from_pretrained(tmp_path / "model")
        for text in ("Known pneumonia.", "", "alpha"):
            assert loaded.code(text) == coder.code(text)
    assert 0.0 <= coder.threshold <= 1.0


def test_a_corpus_in_two_languages_is_learnt() -> None:
    """Stop words of one language are words of the other: each note's evidence is read in its own."""
    encounters = [
        Encounter(
            f"e{n}",
            (Note(f"n{n}", "loss de the la vision", language=language),),
            (GoldCode("H54.7", "icd10cm", (Evidence(f"n{n}", (Span(0, 21),)),)),),
        )
        for n, language in enumerate(["en", "es"] * 4)
    ]
    coder = Coder.fit(_corpus(*encounters), make_recipe())
    assert {code.code for code in coder.code("loss of the vision").codes} == {"H54.7"}


# --- model folders --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "saved"
    Coder.fit(make_corpus(8), make_recipe()).save(path)
    return path


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


def _config(model: Path, change: Callable[[dict], None]) -> None:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    change(config)
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _rewrite(model: Path, name: str, content: bytes) -> None:
    """Change a file and its record: what a careful but wrong hand would do."""
    (model / name).write_bytes(content)
    record = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    _config(model, lambda config: config["files"].__setitem__(name, record))


def _load(model: Path) -> str:
    with pytest.raises(ModelError) as caught:
        Coder.from_pretrained(model)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_no_folder(tmp_path: Path) -> None:
    assert _load(tmp_path / "no") == f"{tmp_path / 'no'}: no such model folder; `nosology train` makes one"


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    assert _load(tmp_path) == f"{tmp_path}: not a model folder: it has no config.json; `nosology train` makes one"


@pytest.mark.parametrize("name", ["ranker.npz", "coder.json", "titles.json", "recipe.toml", "knowledge.npz"])
def test_a_file_is_missing(model: Path, name: str) -> None:
    (model / name).unlink()
    assert _load(model) == f"{model / name}: is missing from the model; copy the model again or train it again"


@pytest.mark.parametrize("name", ["association.npz", "mentions.json", "calibration.npz"])
def test_a_file_is_truncated(model: Path, name: str) -> None:
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[:-3])
    assert _load(model) == (
        f"{model / name}: truncated: {len(content) - 3} bytes instead of {len(content)}; "
        "copy the model again or train it again"
    )


def test_a_file_was_edited(model: Path) -> None:
    content = (model / "coder.json").read_bytes()
    edited = content.replace(b'"language": "en"', b'"language": "es"')
    (model / "coder.json").write_bytes(edited)
    found, expected = (hashlib.sha256(part).hexdigest()[:12] for part in (edited, content))
    assert _load(model) == (
        f"{model / 'coder.json'}: its SHA-256 is {found}… instead of {expected}…, so it was changed or damaged; "
        "copy the model again or train it again"
    )


def test_a_model_of_a_later_version(model: Path) -> None:
    _config(model, lambda config: config.update(format_version=99, nosology_version="9.9"))
    assert _load(model) == (
        f"{model / 'config.json'}: format version 99 is newer than this nosology {__version__} reads (1), "
        "written by nosology 9.9; upgrade nosology"
    )


def test_files_that_the_config_does_not_name_are_never_read(model: Path) -> None:
    (model / "notes.txt").write_text("mine", encoding="utf-8")
    (model / "evil.pkl").write_bytes(b"\x80\x04.")
    assert Coder.from_pretrained(model).code("Known pneumonia.").codes


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("coder.json", b"{}", "KeyError"),
        ("coder.json", b"[]", "TypeError"),
        ("coder.json", b"{", "JSONDecodeError"),
        ("titles.json", b'["on"]', "ValueError"),
        ("titles.json", b"3", "TypeError"),
        ("priors.json", b'{"codes": []}', "ValueError"),
        ("priors.json", b"\xff", "UnicodeDecodeError"),
        ("mentions.json", b"{}", "KeyError"),
        ("mentions.json", b"[]", "AttributeError"),
        ("association.json", b"null", "TypeError"),
    ],
)
def test_files_with_right_hashes_that_do_not_fit_together(model: Path, name: str, content: bytes, kind: str) -> None:
    _rewrite(model, name, content)
    assert _load(model) == f"{model}: its files do not fit together ({kind}); train it again"


def test_arrays_that_are_none(model: Path) -> None:
    _rewrite(model, "ranker.npz", b"not a zip")
    assert _load(model) == (
        f"{model / 'ranker.npz'}: damaged: not an array file; copy the model again or train it again"
    )


def test_pickled_arrays_are_refused(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", scores=np.array([{"a": 1}], dtype=object), probabilities=np.array([1.0]))
    _rewrite(model, "calibration.npz", (tmp_path / "p.npz").read_bytes())
    assert _load(model) == (
        f"{model / 'calibration.npz'}: damaged: not an array file; copy the model again or train it again"
    )


def test_a_recipe_that_this_version_does_not_understand(model: Path) -> None:
    _rewrite(model, "recipe.toml", (model / "recipe.toml").read_bytes() + b"\n[no_such]\nkey = 1\n")
    with pytest.raises(NosologyError) as caught:
        Coder.from_pretrained(model)
    assert isinstance(caught.value, (ModelError, ConfigError))
    assert "no_such" in str(caught.value)
    assert "recipe.toml" in str(caught.value)


def test_a_place_that_is_taken_is_not_written_over(model: Path, tmp_path: Path) -> None:
    coder = Coder.from_pretrained(model)
    before = (model / "config.json").read_bytes()
    with pytest.raises(ModelError) as caught:
        coder.save(model)
    assert str(caught.value) == f"{model}: holds a model already; choose another place, or pass --overwrite"
    assert (model / "config.json").read_bytes() == before
    coder.save(model, overwrite=True)
    assert Coder.from_pretrained(model).facts == coder.facts


# --- privacy --------------------------------------------------------------------------------------------------------


def _with_canary() -> Corpus:
    """Every note has the canary, inside evidence and beside it."""
    encounters = list[Encounter]()
    for encounter in make_corpus(12):
        note = encounter.notes[0]
        text = f"{note.text} Known {CANARY} disease of {CANARY}2."
        start = text.index(CANARY)
        evidence = Evidence(note.note_id, (Span(start, start + len(CANARY)),))
        codes = (*(encounter.codes or ()), GoldCode("R69", "icd10cm", (evidence,)))
        encounters.append(replace(encounter, notes=(replace(note, text=text),), codes=codes))
    return Corpus("tiny", ("icd10cm",), tuple(encounters))


def test_note_text_is_in_no_log_no_warning_and_no_repr(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    corpus, told = _with_canary(), list[str]()
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        coder = Coder.fit(corpus, make_recipe(), progress=lambda stage, share: told.append(stage))
        coded = coder.code(corpus.encounters[0])
        coder.save(tmp_path / "model")
    stream = build_stream(corpus.encounters[0])
    predictor = coder.predictor
    assert isinstance(predictor, RankedCandidates)
    proposal = predictor.generator.propose(stream)
    assert any(CANARY in " ".join(code.expressions) for code in coded.codes)
    shown = [coder, predictor, predictor.generator, coded, stream, stream.documents, proposal, corpus, coder.knowledge]
    shown += [coder.facts, *predictor.generator.sources]
    printed = capfd.readouterr()
    everywhere = [caplog.text, printed.out, printed.err, *told, *(str(w.message) for w in warned), *map(repr, shown)]
    assert [text[:80] for text in everywhere if CANARY in text] == []


def test_note_text_is_not_in_the_card_or_config(tmp_path: Path) -> None:
    coder = Coder.fit(_with_canary(), make_recipe())
    coder.save(tmp_path / "model")
    for name in ("README.md", "config.json", "recipe.toml", "coder.json", "titles.json", "priors.json"):
        assert CANARY not in (tmp_path / "model" / name).read_text(encoding="utf-8")


def _one_group(corpus: Corpus, folder: Path) -> None:
    Coder.fit(corpus.with_encounters([replace(encounter, group_id="p") for encounter in corpus]), make_recipe())


def _no_codes(corpus: Corpus, folder: Path) -> None:
    Coder.fit(corpus.with_encounters([replace(encounter, codes=()) for encounter in corpus]), make_recipe())


def _place_taken(corpus: Corpus, folder: Path) -> None:
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    Coder.fit(corpus, make_recipe()).save(folder)


def _wrong_files(corpus: Corpus, folder: Path) -> None:
    Coder.fit(corpus, make_recipe()).save(folder)
    _rewrite(folder, "association.json", (folder / "mentions.json").read_bytes())
    Coder.from_pretrained(folder)


@pytest.mark.parametrize("fail", [_one_group, _no_codes, _place_taken, _wrong_files])
def test_note_text_is_in_no_error(fail: Callable[[Corpus, Path], None], tmp_path: Path) -> None:
    with pytest.raises(NosologyError) as caught:
        fail(_with_canary(), tmp_path)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not any(CANARY in str(error) or CANARY in repr(error) for error in chain)
