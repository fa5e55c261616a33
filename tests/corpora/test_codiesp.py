"""The CodiEsp reader on tiny hand-made releases: layout, labels, evidence, and the text of every error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nosology.corpora import read_codiesp, read_codiesp_with_report
from nosology.corpora.codiesp import article_of
from nosology.errors import ConfigError, CorpusError
from nosology.types import Corpus, Evidence, Span

CANARY = "zebrafinch"
TEXT = f"Fiebre y tos. {CANARY} Radiografía de tórax."  # "Radiografía" starts at 25
ENGLISH = "Fever and cough. Chest radiograph."


def write_split(root: Path, split: str, *, documents: tuple[str, ...], labels: bool = True) -> None:
    folder = root / split
    for name, text in (("text_files", TEXT), ("text_files_en", ENGLISH)):
        (folder / name).mkdir(parents=True)
        for document in documents:
            (folder / name / f"{document}.txt").write_bytes(text.encode())
    if not labels:
        return
    first = documents[0]
    (folder / f"{split}D.tsv").write_text(f"{first}\tr50.9\n{first}\tr05\n")
    (folder / f"{split}P.tsv").write_text(f"{first}\tbw03zzz\n")
    rows = [
        f"{first}\tDIAGNOSTICO\tr50.9\tFiebre\t0 6",
        f"{first}\tDIAGNOSTICO\tr05\ttos Fiebre\t9 12;0 6",
        f"{first}\tPROCEDIMIENTO\tbw03zzz\tRadiografía\t25 36",
    ]
    (folder / f"{split}X.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    root = tmp_path / "release"
    write_split(root, "train", documents=("S1-1", "S1-2"))
    write_split(root, "dev", documents=("S2-1",))
    return root


def codes(corpus: Corpus, encounter_id: str) -> list[tuple[str, str]] | None:
    encounter = next(e for e in corpus if e.encounter_id == encounter_id)
    return None if encounter.codes is None else [(gold.system, gold.code) for gold in encounter.codes]


def message(folder: Path, **options: object) -> str:
    with pytest.raises(CorpusError) as caught:
        read_codiesp(folder, **options)  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_reads_ids_groups_splits_and_text(release: Path) -> None:
    corpus = read_codiesp(release)
    assert [e.encounter_id for e in corpus] == ["S1-1", "S1-2", "S2-1"]
    assert [e.group_id for e in corpus] == ["S1", "S1", "S2"]
    assert [e.split for e in corpus] == ["train", "train", "dev"]
    assert corpus.encounters[0].notes[0].text == TEXT
    assert (corpus.name, corpus.systems, corpus.language) == ("codiesp", ("icd10cm",), "es")


@pytest.mark.parametrize(
    ("task", "systems", "expected"),
    [
        ("diagnoses", ("icd10cm",), [("icd10cm", "R50.9"), ("icd10cm", "R05")]),
        ("procedures", ("icd10pcs",), [("icd10pcs", "BW03ZZZ")]),
        ("both", ("icd10cm", "icd10pcs"), [("icd10cm", "R50.9"), ("icd10cm", "R05"), ("icd10pcs", "BW03ZZZ")]),
    ],
)
def test_task_chooses_the_labels(release: Path, task: str, systems: tuple[str, ...], expected: list[object]) -> None:
    corpus = read_codiesp(release, task=task)  # type: ignore[arg-type]
    assert corpus.systems == systems
    assert codes(corpus, "S1-1") == expected
    assert codes(corpus, "S1-2") == []  # coded, with no code


def test_evidence_is_sorted_and_discontinuous(release: Path) -> None:
    gold = read_codiesp(release, task="both").encounters[0].codes
    assert gold is not None
    assert [item.evidence for item in gold] == [
        (Evidence("S1-1", (Span(0, 6),)),),
        (Evidence("S1-1", (Span(0, 6), Span(9, 12))),),
        (Evidence("S1-1", (Span(25, 36),)),),
    ]
    assert TEXT[25:36] == "Radiografía"


def test_english_has_its_text_and_no_evidence(release: Path) -> None:
    corpus = read_codiesp(release, language="en")
    assert corpus.encounters[0].notes[0].text == ENGLISH
    assert corpus.encounters[0].notes[0].language == corpus.language == "en"
    assert all(gold.evidence == () for e in corpus for gold in e.codes or ())
    assert codes(corpus, "S1-1") == [("icd10cm", "R50.9"), ("icd10cm", "R05")]


def test_line_ends_and_accents_of_the_text_stay(release: Path) -> None:
    (release / "dev/text_files/S2-1.txt").write_bytes("Fiebre\r\ny tos.\u2028ñ, con más texto detrás de todo".encode())
    assert read_codiesp(release).encounters[2].notes[0].text.startswith("Fiebre\r\ny tos.\u2028ñ")


@pytest.mark.parametrize("levels", ["final_dataset_v4_to_publish", "zenodo/final_dataset_v4_to_publish"])
def test_finds_the_release_below_the_folder(release: Path, tmp_path: Path, levels: str) -> None:
    parent = tmp_path / "download"
    (parent / levels).parent.mkdir(parents=True)
    shutil.move(release, parent / levels)
    assert len(read_codiesp(parent)) == 3


def test_test_split_with_labels(release: Path) -> None:
    write_split(release, "test", documents=("S3-1",))
    assert codes(read_codiesp(release), "S3-1") == [("icd10cm", "R50.9"), ("icd10cm", "R05")]


def test_test_split_without_labels_is_uncoded(release: Path) -> None:
    write_split(release, "test", documents=("S3-1",), labels=False)
    corpus = read_codiesp(release, task="both")
    assert codes(corpus, "S3-1") is None
    assert codes(corpus, "S1-2") == []


def test_test_split_with_only_some_files_of_codes_is_an_error(release: Path) -> None:
    write_split(release, "test", documents=("S3-1",))
    (release / "test/testP.tsv").unlink()
    assert codes(read_codiesp(release), "S3-1") is not None
    path = release / "test/testP.tsv"
    assert message(release, task="both") == f"{path}: no such file; get it from the release"


def test_background_only_on_request(release: Path) -> None:
    write_split(release, "background", documents=("S9-1",), labels=False)
    assert len(read_codiesp(release)) == 3
    assert codes(read_codiesp(release, splits=("train", "background")), "S9-1") is None


def test_only_background_is_there(tmp_path: Path) -> None:
    write_split(tmp_path, "background", documents=("S9-1",), labels=False)
    expected = f"{tmp_path}: holds only background; name splits=('background',) to read it"
    assert message(tmp_path) == expected


def test_duplicate_rows_collapse(release: Path) -> None:
    for name in ("D", "X"):
        path = release / f"train/train{name}.tsv"
        path.write_text(path.read_text("utf-8") * 2, "utf-8")
    corpus, report = read_codiesp_with_report(release)
    assert codes(corpus, "S1-1") == [("icd10cm", "R50.9"), ("icd10cm", "R05")]
    assert [len(gold.evidence) for gold in corpus.encounters[0].codes or ()] == [1, 1]
    assert report.duplicate_rows == 4


def test_oddities_are_kept_and_reported(release: Path) -> None:
    path = release / "dev/devX.tsv"
    rows = [
        "S2-1\tDIAGNOSTICO\tr50.9\tfiebre alta\t0 6",  # quotes another text
        "S2-1\tDIAGNOSTICO\tr05\tFiebre  tos\t0 6;7 7;9 12",  # a part of no length
        "S2-1\tDIAGNOSTICO\tr52\tFiebre\t0 6",  # a code that D lacks
        "S2-1\tDIAGNOSTICO\tr05\tFiebre ebre y\t0 6;2 8",  # parts that overlap
    ]
    path.write_text("\n".join(rows), "utf-8")
    corpus, report = read_codiesp_with_report(release, splits=("dev",))
    evidence = {gold.code: [item.parts for item in gold.evidence] for gold in corpus.encounters[0].codes or ()}
    assert evidence == {
        "R50.9": [((0, 6),)],
        "R05": [((0, 6), (9, 12)), ((0, 8),)],
        "R52": [((0, 6),)],
    }
    assert report.evidence_rows == 4
    assert report.text_mismatches == (f"{path}:1",)
    assert report.empty_parts == (f"{path}:2",)
    assert report.evidence_only_codes == (("S2-1", "R52"),)


def test_code_without_evidence_row_is_kept(release: Path) -> None:
    (release / "dev/devX.tsv").write_text("S2-1\tDIAGNOSTICO\tr05\ttos\t9 12\n")
    gold = read_codiesp(release).encounters[2].codes
    assert gold is not None
    assert [(item.code, len(item.evidence)) for item in gold] == [("R50.9", 0), ("R05", 1)]


BROKEN_ROWS = [
    ("D", "S2-1\tr05\tx", "3", "the number of columns is 3, not 2 (document, code); mend the row"),
    ("D", CANARY, "3", "the number of columns is 1, not 2 (document, code); mend the row"),
    ("D", "S7-1\tr05", "3 [S7-1]", "no file in text_files has this document's text; add it or remove its rows"),
    (
        "D",
        f"una frase con {CANARY} dentro\tr05",
        "3",
        "no file in text_files has this document's text; add it or remove its rows",
    ),
    (
        "D",
        f"S2-1\t{CANARY}",
        "3 [S2-1]",
        "a text of 10 characters does not have the shape of a code of icd10cm (such as I10, S72.001A); mend the row",
    ),
    (
        "X",
        f"S2-1\tDIAGNOSTICO\tr05\t{CANARY}",
        "4",
        "the number of columns is 4, not 5 (document, kind, code, text, offsets); mend the row",
    ),
    (
        "X",
        f"S2-1\t{CANARY}\tr05\ttos\t9 12",
        "4",
        "the second column is neither DIAGNOSTICO nor PROCEDIMIENTO; mend the row",
    ),
    (
        "X",
        f"S2-1\tDIAGNOSTICO\tr05\ttos\t{CANARY}",
        "4 [S2-1]",
        'the offsets are not written "start end;start end"; mend the row',
    ),
    (
        "X",
        "S2-1\tDIAGNOSTICO\tr05\ttos\t-9 12",
        "4 [S2-1]",
        'the offsets are not written "start end;start end"; mend the row',
    ),
    (
        "X",
        "S2-1\tDIAGNOSTICO\tr05\ttos\t12 9",
        "4 [S2-1]",
        "the evidence ends at 9, not after its start 12; mend the row",
    ),
    ("X", "S2-1\tDIAGNOSTICO\tr05\t\t9 9", "4 [S2-1]", "the evidence ends at 9, not after its start 9; mend the row"),
    (
        "X",
        f"S2-1\tDIAGNOSTICO\tr05\t{CANARY}\t9 99999",
        "4 [S2-1]",
        f"the evidence ends at 99999 but the text has {len(TEXT)} characters; mend the row",
    ),
]


@pytest.mark.parametrize(("file", "row", "where", "problem"), BROKEN_ROWS, ids=range(len(BROKEN_ROWS)))
def test_broken_row(release: Path, file: str, row: str, where: str, problem: str) -> None:
    path = release / f"dev/dev{file}.tsv"
    path.write_text(path.read_text("utf-8") + row + "\n", "utf-8")
    expected = f"{path}:{where}: {problem}"
    assert message(release) == expected
    corpus = read_codiesp(release, on_error="skip")
    assert [item.message for item in corpus.skipped] == [expected]
    assert codes(corpus, "S2-1") == [("icd10cm", "R50.9"), ("icd10cm", "R05")]


def test_a_row_behind_a_skipped_one_is_read(release: Path) -> None:
    (release / "dev/devD.tsv").write_text("broken\nS2-1\tr05\n")
    corpus = read_codiesp(release, on_error="skip", language="en")
    assert codes(corpus, "S2-1") == [("icd10cm", "R05")]
    assert len(corpus.skipped) == 1


BROKEN_NOTES = [
    (b"", "the note is empty; fill it or remove the file"),
    (b" \n\t", "the note is empty; fill it or remove the file"),
    (
        CANARY.encode() + b"\0",
        "byte 10 is NUL, so this is not a plain text file; export the note again as UTF-8 text",
    ),
]


@pytest.mark.parametrize(("data", "problem"), BROKEN_NOTES, ids=["empty", "blank", "nul"])
def test_broken_note(release: Path, data: bytes, problem: str) -> None:
    path = release / "train/text_files/S1-1.txt"
    path.write_bytes(data)
    expected = f"{path} [S1-1]: {problem}"
    assert message(release) == expected
    corpus = read_codiesp(release, on_error="skip")
    assert [e.encounter_id for e in corpus] == ["S1-2", "S2-1"]
    assert [item.message for item in corpus.skipped] == [expected]  # its rows of codes are no further problem


def test_undecodable_note(release: Path) -> None:
    path = release / "train/text_files/S1-1.txt"
    path.write_bytes(CANARY.encode() + "é".encode("latin-1"))
    assert message(release) == f"{path} [S1-1]: byte 10 is not UTF-8; convert the file to UTF-8"


def test_undecodable_table(release: Path) -> None:
    path = release / "dev/devX.tsv"
    data = path.read_bytes()
    path.write_bytes(data + b"S2-1\tDIAGNOSTICO\tr05\t\xff\t9 12\n")
    assert message(release) == f"{path}:4: byte {len(data) + 21} is not UTF-8; convert the file to UTF-8"


def test_id_in_two_splits(release: Path) -> None:
    path = release / "dev/text_files/S1-1.txt"
    path.write_text(TEXT, "utf-8")
    expected = f"{path} [S1-1]: this id is in train as well; remove one of the two files"
    assert message(release) == expected
    assert len(read_codiesp(release, on_error="skip")) == 3


@pytest.mark.parametrize("name", ["trainD.tsv", "trainX.tsv"])
def test_missing_and_empty_tables(release: Path, name: str) -> None:
    path = release / "train" / name
    path.write_bytes(b"\n")
    assert message(release) == f"{path}: the file is empty; get it again from the release"
    path.unlink()
    assert message(release).startswith(f"{path}: no such file; ")


def test_missing_text_folder(release: Path) -> None:
    folder = release / "train/text_files_en"
    shutil.rmtree(folder)
    expected = f"{folder}: no such folder; get the train split again from the release"
    assert message(release, language="en") == expected
    folder.mkdir()
    assert message(release, language="en").startswith(f"{folder}: holds no .txt file; ")


def test_wrong_places(release: Path, tmp_path: Path) -> None:
    nowhere, empty, file = tmp_path / "nowhere", tmp_path / "empty", tmp_path / "file"
    empty.mkdir()
    file.touch()
    assert message(nowhere) == f"{nowhere}: no such folder; CodiEsp is published as Zenodo record 3837305"
    assert message(file) == (
        f"{file}: is not a folder; point at the unpacked release; CodiEsp is published as Zenodo record 3837305"
    )
    assert message(empty) == (
        f"{empty}: is not a CodiEsp release: no train/text_files, dev/text_files or test/text_files in it; "
        "point at the folder that holds train and dev"
    )
    assert message(release / "train") == f"{release}/train: is one split of CodiEsp; point at the folder above it"
    assert message(release, splits=("test",)) == f"{release}: has no split 'test'; it has: train, dev"


def test_two_releases_in_one_folder(release: Path) -> None:
    shutil.copytree(release, release.parent / "other")
    expected = f"{release.parent}: holds several CodiEsp releases (other, release); point at one of them"
    assert message(release.parent) == expected


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"task": "D"}, "unknown task 'D' for codiesp; choose from diagnoses, procedures, both"),
        ({"language": "fr"}, "unknown language 'fr' for codiesp; choose from es, en"),
        ({"splits": ("val",)}, "unknown split 'val' for codiesp; choose from train, dev, test, background"),
        ({"splits": ()}, "splits of codiesp must name each split once, and at least one"),
        ({"splits": ("dev", "dev")}, "splits of codiesp must name each split once, and at least one"),
    ],
)
def test_unknown_options(release: Path, options: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_codiesp(release, **options)  # type: ignore[arg-type]
    assert str(caught.value) == problem


def test_article_of_an_id_without_a_number() -> None:
    assert article_of("case") == "case"
    assert article_of("S0-12-3") == "S0-12"
