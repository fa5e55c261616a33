"""The challenge's XML: gold codes, sections, unlabelled parts, and files made to do harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from nosology.corpora.cmc2007 import read_cmc2007
from nosology.errors import CorpusError

BOMB = """<?xml version="1.0"?>
<!DOCTYPE docs [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>
<docs><doc id="1"><codes/><texts><text type="IMPRESSION">&c;</text></texts></doc></docs>"""


def doc(name: str, codes: list[tuple[str, str]], **texts: str) -> str:
    written = "".join(f'<code origin="{origin}" type="ICD-9-CM">{code}</code>' for origin, code in codes)
    sections = "".join(f'<text origin="CCHMC_RADIOLOGY" type="{kind}">{text}</text>' for kind, text in texts.items())
    return f'<doc id="{name}" type="RADIOLOGY_REPORT"><codes>{written}</codes><texts>{sections}</texts></doc>'


def write(path: Path, *documents: str) -> Path:
    path.write_text(f"<docs>{''.join(documents)}</docs>", encoding="utf-8")
    return path


FIRST = doc(
    "97634811",
    [("CMC_MAJORITY", "786.2"), ("COMPANY3", "786.2"), ("COMPANY1", "787.03")],
    IMPRESSION="Clear lungs &amp; no effusion.",
    CLINICAL_HISTORY="Cough.",
)
SECOND = doc("97634812", [("CMC_MAJORITY", "v13.02"), ("CMC_MAJORITY", "593.70")], CLINICAL_HISTORY="UTI.")


def test_gold_is_the_majority_and_sections_stand_in_order(tmp_path: Path) -> None:
    corpus = read_cmc2007(write(tmp_path / "x.xml", FIRST, SECOND))
    assert (corpus.name, corpus.systems, corpus.language) == ("cmc2007", ("icd9cm",), "en")
    assert [(e.encounter_id, e.split, sorted(e.code_set)) for e in corpus] == [
        ("97634811", "", ["786.2"]),
        ("97634812", "", ["593.70", "V13.02"]),
    ]
    note = corpus.encounters[0].notes[0]
    assert note.text == "CLINICAL HISTORY: Cough.\n\nIMPRESSION: Clear lungs & no effusion."
    assert (note.note_id, note.category) == ("97634811", "Radiology")


def test_another_coder_can_be_the_gold(tmp_path: Path) -> None:
    corpus = read_cmc2007(write(tmp_path / "x.xml", FIRST, SECOND), origin="COMPANY1")
    assert [sorted(e.code_set) for e in corpus] == [["787.03"], []]
    with pytest.raises(CorpusError, match="no code is of origin 'COMPANY9'; its codes come from: CMC_MAJORITY, COMP"):
        read_cmc2007(tmp_path / "x.xml", origin="COMPANY9")


def test_the_folder_gives_the_splits_and_a_part_without_codes_is_not_coded(tmp_path: Path) -> None:
    write(tmp_path / "2007ChallengeTrainData.xml", FIRST)
    write(tmp_path / "2007ChallengeTestDataNoCodes.xml", doc("5", [], IMPRESSION="Normal."))
    corpus = read_cmc2007(tmp_path)
    assert [(e.encounter_id, e.split) for e in corpus] == [("97634811", "train"), ("5", "test")]
    assert corpus.encounters[1].codes is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (doc("7", [("CMC_MAJORITY", "well child")], IMPRESSION="x"), "[7]: a text of 10 characters does not have the"),
        (doc("7", [], IMPRESSION="  "), "[7]: the report has no text; remove it"),
        (doc("7", [], ADDENDUM="x"), "[7]: a text is neither CLINICAL_HISTORY nor IMPRESSION; mend its type"),
        (doc("", [], IMPRESSION="x"), "report 2 has no id; give it one"),
        (FIRST, "[97634811]: this report stands twice; remove one of the two"),
    ],
)
def test_broken_reports_are_named_or_skipped(tmp_path: Path, document: str, message: str) -> None:
    path = write(tmp_path / "x.xml", FIRST, document)
    with pytest.raises(CorpusError) as caught:
        read_cmc2007(path)
    assert message in str(caught.value)
    skipped = read_cmc2007(path, on_error="skip")
    assert [e.encounter_id for e in skipped] == ["97634811"]
    assert [message in one.message for one in skipped.skipped] == [True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "declares a document type, which the challenge's files do not; remove it"),
        ("<docs><doc id='1'>", "is not well-formed XML here; get the file again"),
        ("", "is not well-formed XML here; get the file again"),
        ('<?xml version="1.0" encoding="klingon"?><docs/>', "is not well-formed XML here; get the file again"),
        ("<docs/>", "holds no report (docs/doc)"),
        ("<other><doc/></other>", "report 1 has no id"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.xml").write_text(content)
    with pytest.raises(CorpusError) as caught:
        read_cmc2007(tmp_path / "x.xml")
    assert message in str(caught.value)


def test_wrong_places(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds no \.xml file with train or test in its name"):
        read_cmc2007(tmp_path)
    with pytest.raises(CorpusError, match="no such file or folder"):
        read_cmc2007(tmp_path / "absent.xml")
