"""From a recipe's section to a corpus, readers of plugins, and codes that no table has."""

from __future__ import annotations

from pathlib import Path

import pytest

from nosology.config import CodiespConfig, SimulatedConfig, TabularConfig
from nosology.corpora import open_corpus, open_plugin_corpus, plugin_readers, with_unknown_codes
from nosology.errors import ConfigError, CorpusError
from nosology.types import Corpus, Encounter, GoldCode, Note

PLUGIN = """
from nosology.types import Corpus, Encounter, Note

def read(path, options):
    return Corpus("mine", ("icd10cm",), (Encounter("1", (Note("1", path.read_text()),), metadata=options),))

def wrong(path, options):
    return [path]
"""
ENTRY_POINTS = "[nosology.corpora]\nmine = my_reader:read\nwrong = my_reader:wrong\nlost = my_reader:gone\n"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    metadata = site / "my_reader-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "my_reader.py").write_text(PLUGIN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-reader\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    return tmp_path


def test_codiesp_section(tmp_path: Path) -> None:
    for language, text in (("", "tos"), ("_en", "cough")):
        folder = tmp_path / f"dev/text_files{language}"
        folder.mkdir(parents=True)
        (folder / "S1-1.txt").write_text(text)
    (tmp_path / "dev/devD.tsv").write_text("S1-1\tr05\n")
    (tmp_path / "dev/devP.tsv").write_text("S1-1\tbw03\n")
    config = CodiespConfig(task="procedures", language="en", path=str(tmp_path))
    corpus = open_corpus(config)
    assert [(e.notes[0].text, e.code_set) for e in corpus] == [("cough", {"BW03"})]
    with pytest.raises(CorpusError, match=r"devX\.tsv: no such file"):
        open_corpus(CodiespConfig(), tmp_path)


def test_every_option_of_the_tabular_section_counts(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text(
        '{"stay": "e", "doc": "n", "pat": "p", "part": "val", "body": "cough", "icd": "4019/25000",'
        ' "why": [{"code": "401.9", "start": 0, "end": 5}]}\n{"stay": ""}\n'
    )
    config = TabularConfig(
        system="icd9cm", language="es", text="body", codes="icd", encounter_id="stay", note_id="doc", group_id="pat",
        split="part", evidence="why", separator="/",
    )  # fmt: skip
    corpus = open_corpus(config, path, on_error="skip")
    encounter = corpus.encounters[0]
    assert len(corpus) == len(corpus.skipped) == 1
    assert (encounter.encounter_id, encounter.group_id, encounter.split) == ("e", "p", "dev")
    assert (encounter.notes[0].note_id, encounter.notes[0].language) == ("n", "es")
    assert [(gold.code, gold.system, len(gold.evidence)) for gold in encounter.codes or ()] == [
        ("401.9", "icd9cm", 1),
        ("250.00", "icd9cm", 0),
    ]


def test_a_path_is_needed() -> None:
    with pytest.raises(ConfigError) as caught:
        open_corpus(TabularConfig())
    assert str(caught.value) == "the corpus reader 'tabular' needs its data: give --data, or path in the recipe"


def test_plugin(plugin: Path) -> None:
    note = plugin / "note.txt"
    note.write_text("cough")
    assert {"mine", "wrong", "lost"} <= set(plugin_readers())
    corpus = open_plugin_corpus("mine", note, {"ward": "7"})
    assert (corpus.encounters[0].notes[0].text, corpus.encounters[0].metadata) == ("cough", {"ward": "7"})


def test_plugin_errors(plugin: Path) -> None:
    with pytest.raises(CorpusError, match="the corpus reader 'wrong' returned a list, not a Corpus"):
        open_plugin_corpus("wrong", plugin)
    with pytest.raises(ConfigError, match="the corpus reader 'lost' cannot be loaded: AttributeError"):
        open_plugin_corpus("lost", plugin)
    with pytest.raises(ConfigError, match="no plugin offers the corpus reader 'other'; installed: lost, mine, wrong"):
        open_plugin_corpus("other", plugin)


def test_unknown_codes_are_kept_and_counted() -> None:
    def coded(number: int, *codes: tuple[str, str]) -> Encounter:
        return Encounter(str(number), (Note(str(number), "x"),), tuple(GoldCode(c, s) for c, s in codes))

    encounters = (
        coded(1, ("I10", "icd10cm"), ("Z99.999", "icd10cm"), ("a", "mine"), ("z", "theirs")),
        coded(2, ("Z99.999", "icd10cm"), ("R10", "icd10cm"), ("b", "mine")),
        Encounter("3", (Note("3", "x"),)),
    )
    corpus = Corpus("tabular", ("icd10cm", "mine", "theirs"), encounters)
    reported = with_unknown_codes(corpus, {"mine": {"a"}})
    assert reported.encounters == encounters
    assert list(reported.unknown_codes.items()) == [("Z99.999", 2), ("b", 1)]


def test_simulated_section_needs_no_path() -> None:
    pytest.importorskip("nosology.corpora.simulated", reason="the simulator is not there yet")
    corpus = open_corpus(SimulatedConfig(encounters=12, codes=60, seed=3))
    assert (corpus.name, len(corpus)) == ("simulated", 12)
    assert open_corpus(SimulatedConfig(encounters=12, codes=60, seed=3)) == corpus
    assert open_corpus(SimulatedConfig(encounters=12, codes=60, seed=4)) != corpus
