"""Several systems in one table: values, marks and formats."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nosology.cli.score_table_view import render_tables
from nosology.errors import ConfigError, PredictionsError
from nosology.evaluation import BootstrapPlan, Judgements, judge_codes
from nosology.evaluation.comparison import compare_systems
from nosology.experiments.score_table import (
    Cell,
    ScoreTable,
    Setting,
    System,
    band_table,
    holm,
    overall_table,
)
from nosology.experiments.table_formats import to_csv, to_json, to_latex, to_markdown
from nosology.types import Corpus, Encounter, GoldCode

CODES = ["A", "B", "C", "D"]
COUNTS = {"A": 50, "B": 5, "C": 1}
PLAN = BootstrapPlan(replicates=300)


def make_gold(n: int = 60) -> list[frozenset[str]]:
    random = np.random.default_rng(0)
    shares = (0.7, 0.4, 0.2, 0.1)
    return [frozenset(c for c, share in zip(CODES, shares, strict=True) if random.random() < share) for _ in range(n)]


def judged(gold: list[frozenset[str]], accuracy: float, seed: int) -> Judgements:
    """A coder that is right about each code with this probability."""
    random = np.random.default_rng(seed)
    rows = list[list[tuple[str, float, bool]]]()
    for own in gold:
        said = [(c, (c in own) == (random.random() < accuracy)) for c in CODES]
        scored = [(c, (0.6 if yes else 0.1) + 0.1 * random.random(), yes) for c, yes in said]
        rows.append(sorted(scored, key=lambda one: -one[1]))
    return judge_codes([f"e{i}" for i in range(len(gold))], gold, rows)


@pytest.fixture
def setting() -> Setting:
    encounters = tuple(Encounter(f"e{i}", (), (), f"p{i // 2}", "dev") for i in range(60))
    return Setting.of(Corpus("tiny", ("icd10cm",), encounters), COUNTS, "codiesp", PLAN)


@pytest.fixture
def systems() -> list[System]:
    gold = make_gold()
    return [
        System("good", (judged(gold, 0.95, 1), judged(gold, 0.95, 2))),
        System("alike", (judged(gold, 0.95, 3), judged(gold, 0.95, 4))),
        System("bad_one", (judged(gold, 0.6, 5), judged(gold, 0.6, 6))),
    ]


def test_values_are_means_and_marks_follow_the_test(systems: list[System], setting: Setting) -> None:
    table = overall_table(systems, "good", setting, "all")
    rows = dict(table.rows)
    assert table.headings == ("micro-F1", "macro-F1", "MAP", "P@8", "found")
    for system in systems:
        cell = rows[system.name][0]
        counts = [
            (int((j.assigned & j.is_gold).sum()), int(j.assigned.sum()), len(j.gold_label)) for j in system.judged
        ]
        assert cell.value == pytest.approx(np.mean([2 * tp / (said + gold) for tp, said, gold in counts]))
        assert cell.low <= cell.value <= cell.high
        assert cell.sd == pytest.approx(np.std([2 * tp / (said + gold) for tp, said, gold in counts], ddof=1))
    assert rows["bad_one"][0].mark == "‡"
    assert rows["alike"][0].mark == rows["good"][0].mark == ""
    assert rows["good"][0].p_value is rows["good"][0].difference is None
    assert rows["bad_one"][0].difference == pytest.approx(rows["bad_one"][0].value - rows["good"][0].value)
    assert [sum(cells[i].best for _, cells in table.rows) >= 1 for i in range(5)] == [True] * 5


def test_p_values_are_those_of_the_paired_test_corrected(systems: list[System], setting: Setting) -> None:
    table = dict(overall_table(systems, "good", setting, "all").rows)
    raw = {
        name: compare_systems(
            other.judged, systems[0].judged, setting.groups, figures=["micro.f1"], label_space=list(COUNTS), plan=PLAN
        )["micro.f1"].p_randomisation
        for name, other in (("alike", systems[1]), ("bad_one", systems[2]))
    }
    corrected = holm(raw)
    assert {name: table[name][0].p_value for name in raw} == pytest.approx(corrected)


def test_bands_without_gold_codes_are_left_out(systems: list[System], setting: Setting) -> None:
    table = band_table(systems, "good", setting, "bands")
    assert table is not None
    assert table.headings == ("unseen", "1", "5-9", "10+")
    first = dict(table.rows)["good"][3]
    assert first.figure == "band.10+.micro.f1"
    only = [j.restrict(np.array([label == "A" for label in j.labels])) for j in systems[0].judged]
    values = [2 * (j.assigned & j.is_gold).sum() / (j.assigned.sum() + len(j.gold_label)) for j in only]
    assert first.value == pytest.approx(np.mean(values))


def test_without_training_counts_there_are_no_bands(systems: list[System], setting: Setting) -> None:
    assert band_table(systems, "good", Setting(setting.groups, "patients", {}, setting.bands, PLAN), "x") is None


def test_one_system_alone_is_compared_with_nothing(systems: list[System], setting: Setting) -> None:
    table = overall_table(systems[:1], "good", setting, "all")
    assert all(cell.p_value is None for cell in table.rows[0][1])
    assert not any("differs" in note for note in table.notes)


def test_systems_of_different_encounters_are_refused(systems: list[System], setting: Setting) -> None:
    other = System("other", (judged(make_gold(59), 0.9, 1), judged(make_gold(59), 0.9, 2)))
    with pytest.raises(PredictionsError, match="cover different encounters"):
        overall_table([systems[0], other], "good", setting, "all")
    with pytest.raises(ConfigError, match=r"no figure 'micro\.f2'"):
        overall_table(systems, "good", setting, "all", {"micro.f2": "F2"})


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=8))
def test_holm_never_lowers_and_keeps_the_order(values: list[float]) -> None:
    raw = {str(number): value for number, value in enumerate(values)}
    corrected = holm(raw)
    assert all(value <= corrected[name] <= 1.0 for name, value in raw.items())
    assert all(corrected[name] <= min(1.0, value * len(values)) + 1e-12 for name, value in raw.items())
    ordered = sorted(raw, key=raw.__getitem__)
    assert [corrected[name] for name in ordered] == sorted(corrected.values())


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


# --- formats --------------------------------------------------------------------------------------------------------


@pytest.fixture
def table() -> ScoreTable:
    cells = (Cell("micro.f1", 0.5, 0.4, 0.6, 0.01, best=True), Cell("map", 0.25, 0.2, 0.3, 0.0))
    others = (Cell("micro.f1", 0.4, 0.3, 0.5, 0.0, -0.1, 0.004, "‡"), Cell("map", 0.3, 0.2, 0.4, 0.0, 0.05, 0.2, ""))
    return ScoreTable("100% of_it", ("F1", "MAP"), (("a|b", cells), ("c & d", others)), ("p < 0.01: ‡.",))


def test_markdown(table: ScoreTable) -> None:
    assert to_markdown([table]) == (
        "## 100% of_it\n\n"
        "| system | F1 | MAP |\n| --- | ---: | ---: |\n"
        "| a\\|b | **0.500** [0.400, 0.600] | 0.250 [0.200, 0.300] |\n"
        "| c & d | 0.400‡ [0.300, 0.500] | 0.300 [0.200, 0.400] |\n\n"
        "p < 0.01: ‡.\n"
    )


def test_latex(table: ScoreTable) -> None:
    text = to_latex([table])
    assert r"\caption{100\% of\_it. p $<$ 0.01: $^{\ddagger}$.}" in text
    assert r"a|b & \textbf{0.500} {\scriptsize [0.400, 0.600]} & 0.250 {\scriptsize [0.200, 0.300]} \\" in text
    assert r"c \& d & 0.400$^{\ddagger}$ {\scriptsize [0.300, 0.500]}" in text
    assert text.count("{") == text.count("}")
    assert "‡" not in text


def test_csv_and_json_hold_every_number(table: ScoreTable) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv([table]))))
    assert len(rows) == 4
    assert rows[2]["system"] == "c & d"
    assert (rows[2]["value"], rows[2]["p_value"], rows[2]["mark"], rows[2]["best"]) == ("0.4", "0.004", "‡", "false")
    assert (rows[0]["difference"], rows[0]["best"]) == ("", "true")
    plain = json.loads(to_json([table]))
    assert plain[0]["rows"][1]["cells"][0]["p_value"] == 0.004


def test_the_view_fits_80_columns(systems: list[System], setting: Setting) -> None:
    tables = [overall_table(systems, "good", setting, "all codes"), band_table(systems, "good", setting, "by band")]
    console = Console(width=80, record=True, file=io.StringIO())
    render_tables([one for one in tables if one is not None], console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert text.count("In brackets 95 % intervals over 30 patients and 2 seeds.") == 1
    assert "…" not in text


def test_plots_show_every_system(systems: list[System], setting: Setting, tmp_path: Path) -> None:
    from nosology.experiments.plots import draw_bands, draw_scores

    by_band = band_table(systems, "good", setting, "by band: x")
    assert by_band is not None
    scores = draw_scores([overall_table(systems, "good", setting, "all"), overall_table(systems, "good", setting, "b")])
    labels = [text.get_text() for text in scores.axes[0].get_yticklabels()]
    assert labels == ["bad_one", "alike", "good"]
    assert len(scores.axes) == 10
    bands = draw_bands([by_band])
    assert [text.get_text() for text in bands.legends[0].get_texts()] == ["good", "alike", "bad_one"]
    for name, figure in (("scores", scores), ("bands", bands)):
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_a_long_legend_stays_inside_its_plot(systems: list[System], setting: Setting, tmp_path: Path) -> None:
    from nosology.experiments.plots import draw_bands

    by_band = band_table(systems, "good", setting, "by band: x")
    assert by_band is not None
    rows = tuple((f"a network alone, number {row}", cells) for row, (_, cells) in enumerate(by_band.rows))
    figure = draw_bands([replace(by_band, rows=rows)])
    figure.savefig(tmp_path / "bands.png")
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_gold_codes_that_no_system_lists_count_as_missed(setting: Setting) -> None:
    gold = [GoldCode("Z", "icd10cm")]
    assert gold[0].code == "Z"
    silent = judge_codes([f"e{i}" for i in range(60)], [frozenset({"Z"})] * 60, [[] for _ in range(60)])
    cells = dict(overall_table([System("silent", (silent,))], "silent", setting, "all").rows)["silent"]
    assert all(cell.value == 0.0 and not cell.best for cell in cells)
