"""The results page: the CodiEsp figures as short Markdown tables, published ones beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nosology.experiments.codiesp_published import BESIDE, PROTOTYPE_NOTE, SINCE_NOTES, Beside
from nosology.experiments.codiesp_results import CodiespResults, TrackResult
from nosology.experiments.figures import Figure

_TRACKS = {"D": "Diagnoses (D)", "P": "Procedures (P)", "X": "Codes with evidence (X)"}
_LANGUAGES = {"es": "Spanish", "en": "English"}
_SCORES = {
    "map": "MAP",
    "map_assigned": "MAP, assigned codes alone",
    "micro_f1": "micro-F1",
    "candidate_recall": "recall among candidates",
    "micro_recall": "recall of assigned codes",
    "micro_precision": "precision of assigned codes",
}
_RUNGS = {
    "exact": "training evidence of the code in the same words",
    "inflected": "the same concepts, inflected or in another order",
    "other words": "a known code in other words",
    "sibling": "an unseen code of a known category (its first three characters)",
    "elsewhere": "an unseen code of an unseen category",
}
_NOTHING = "–"
_ALWAYS_SAID = """## Read this first
* **dev is no test set.** Features and settings of the coder were chosen while looking at dev scores, so these figures
  flatter it. Threshold and calibration come from cross-fitting inside train; nothing is fitted to dev.
* **Published figures are of the official test split, ours of dev**, for test labels were not at hand. They stand
  beside each other for scale and are no contest. MAP ranks every candidate; a system that submitted its assigned codes
  alone compares with "MAP, assigned codes alone"."""
_OF_ENGLISH = """* **English** is the release's machine translation. It has no evidence, so the coder learns
  from the codes of whole documents. The Spanish rows read Spanish text only."""


def write_page(results: CodiespResults, command: str, json_name: str) -> str:
    """The page.

    Args:
        results: what was measured.
        command: the command line that does it again.
        json_name: the file that has every figure unrounded.
    """
    published = f"## Beside published figures\n{_headline(results)}{_sources(results)}"
    parts = [
        _opening(results, command, json_name),
        _caveats(results),
        published,
        _shared_articles(results),
        _frequency(results),
        _ladder(results),
        _explained(results),
        _calibration(results),
        _cost(results),
        _definitions(results),
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _opening(results: CodiespResults, command: str, json_name: str) -> str:
    named = ", ".join(map(str, results.seeds))
    seeds = f"seeds {named}" if len(results.seeds) > 1 else f"one seed, {named}"
    return f"""# Results on CodiEsp

Written by one command, which goes on where it was interrupted; not edited by hand. Every figure unrounded:
[{json_name}]({json_name}). Made by nosology {results.version}, code `{results.code}`.

```
{command}
```

Trained on the {results.train_encounters} cases of train, scored on the {results.scored_encounters} of dev. A figure is
the mean over {seeds}, (lowest to highest seed), [{100 * results.plan.level:g} % interval]. The interval is a
bootstrap over articles, {results.plan.replicates:,} draws, with the trained coders as they are: it tells how much the
choice of dev cases matters, not how much the choice of training cases does."""


def _caveats(results: CodiespResults) -> str:
    lines = [_ALWAYS_SAID]
    if any(track.language == "en" for track in results.tracks):
        lines.append(_OF_ENGLISH)
    if results.shared_articles:
        count = results.shared_articles
        told = f"{count} articles have" if count > 1 else "One article has"
        lines.append(f"* {told} cases in both official splits. The second table leaves them out.")
    return "\n".join(lines)


# --- tables ---------------------------------------------------------------------------------------------------------


def _headline(results: CodiespResults) -> str:
    header = ["", "score", "ours, dev", "to reach, dev", "CLEF 2020 winner, test", "best since, test", "prototype, dev"]
    rows = list[list[str]]()
    for track in results.tracks:
        name = f"{_TRACKS[track.track]}, {_LANGUAGES[track.language]}"
        for score in ("map", "micro_f1"):
            rows.append(_row(name, score, track.figures[score], BESIDE.get((track.track, track.language, score))))
        rows.append(_row(name, "map_assigned", track.map_assigned, None))
    for way in results.explained:
        rows.append(
            _row(
                f"{_TRACKS['X']}, Spanish: {way.way}",
                "micro_f1",
                way.figures["micro_f1"],
                BESIDE["X", "es", "micro_f1"],
            )
        )
    for track in results.tracks:
        if track.track == "D" and track.language == "es":
            for score in ("candidate_recall", "micro_recall", "micro_precision"):
                name = "Diagnoses that train lacks, Spanish"
                rows.append(_row(name, score, track.unseen[score], BESIDE["unseen", "es", score]))
    return _table(header, rows)


def _sources(results: CodiespResults) -> str:
    """Whose the figures beside ours are, where the number alone does not say it."""
    there = {(track.track, track.language) for track in results.tracks}
    notes = [note for place, note in SINCE_NOTES.items() if place in there]
    return f"\n\n{' '.join(notes)} {PROTOTYPE_NOTE}" if there else ""


def _row(name: str, score: str, figure: Figure, beside: Beside | None) -> list[str]:
    beside = beside or Beside()
    others = (beside.winner, beside.since, beside.prototype)
    return [name, _SCORES[score], _full(figure), _target(figure, beside), *(other or _NOTHING for other in others)]


def _target(figure: Figure, beside: Beside) -> str:
    if beside.target is None:
        return _NOTHING
    return f"≥ {beside.target:.2f}: {'reached' if figure.mean >= beside.target else '**missed**'}"


def _shared_articles(results: CodiespResults) -> str:
    if not results.shared_articles:
        return ""
    header = ["", "score", "all of dev", "without articles that train has"]
    rows = [
        [f"{_TRACKS[track.track]}, {_LANGUAGES[track.language]}", _SCORES[score], *_both(track, score)]
        for track in results.tracks
        for score in ("map", "micro_f1")
    ]
    rows += [
        [
            f"{_TRACKS['X']}: {way.way}",
            _SCORES["micro_f1"],
            _short(way.figures["micro_f1"]),
            _fresh(way.on_new_articles),
        ]
        for way in results.explained
    ]
    left = {track.new_articles for track in results.tracks}
    count = f"{left.pop()} of {results.scored_encounters} dev cases are left.\n\n" if len(left) == 1 else ""
    return f"## Without the articles that both splits share\n{count}{_table(header, rows)}"


def _both(track: TrackResult, score: str) -> tuple[str, str]:
    return _short(track.figures[score]), _fresh(track.on_new_articles, score)


def _fresh(figures: Mapping[str, Figure], score: str = "micro_f1") -> str:
    return _short(figures[score]) if figures else "no case is left"


def _frequency(results: CodiespResults) -> str:
    tables = [_frequency_table(tracks) for tracks in _by_track(results.tracks)]
    if not tables:
        return ""
    return (
        "## By how often train has the code\n"
        '"Found" is the share of gold codes among the candidates, which bounds recall. The first row is the codes that '
        "train lacks.\n\n" + "\n\n".join(tables)
    )


def _frequency_table(tracks: Sequence[TrackResult]) -> str:
    first = tracks[0]
    header = ["train cases", "codes", "gold"]
    for track in tracks:
        header += [f"{_LANGUAGES[track.language]}: found", "P", "R", "F1"]
    rows = list[list[str]]()
    for band, values in first.bands.items():
        row = [band, f"{values['labels']:.0f}", f"{values['gold']:.0f}"]
        for track in tracks:
            row += _band_cells(track.bands[band])
        rows.append(row)
    return f"{_TRACKS[first.track]}:\n\n{_table(header, rows)}"


def _band_cells(values: Mapping[str, float]) -> list[str]:
    gold, assigned = values["gold"], values["assigned"]
    return [
        _share(values["candidate_recall"], gold),
        _share(values["precision"], assigned),
        _share(values["recall"], gold),
        _share(values["f1"], gold + assigned),
    ]


def _ladder(results: CodiespResults) -> str:
    tables = [_ladder_table(track, track.ladder) for track in results.tracks if track.ladder]
    if not tables:
        return ""
    return (
        "## The ladder: how far dev's evidence lies from train's\n"
        "Each gold code of dev stands on the first rung that holds for any of its evidence, compared without case, "
        "accents and punctuation.\n\n" + "\n\n".join(tables)
    )


def _ladder_table(track: TrackResult, ladder: Mapping[str, Mapping[str, float]]) -> str:
    total = max(1.0, sum(row["gold"] for row in ladder.values()))
    rows = [
        [
            _RUNGS[rung],
            f"{row['gold']:.0f}",
            f"{100 * row['gold'] / total:.1f} %",
            _share(row["candidate_recall"], row["gold"]),
            _share(row["recall"], row["gold"]),
        ]
        for rung, row in ladder.items()
    ]
    header = ["rung", "gold", "share", "found", "assigned"]
    return f"{_TRACKS[track.track]}, {_LANGUAGES[track.language]}:\n\n{_table(header, rows)}"


def _explained(results: CodiespResults) -> str:
    if not results.explained:
        return ""
    scores = ("micro_precision", "micro_recall", "micro_f1")
    header = ["Spanish", "precision", "recall", "micro-F1"]
    rows = [[way.way, *(_short(way.figures[score]) for score in scores)] for way in results.explained]
    difference = results.pooled_minus_one
    told = f"\n\nPooled minus one model, micro-F1 on the same draws: {_signed(difference)}." if difference else ""
    return f"## Codes with evidence (CodiEsp-X), two ways\n{_table(header, rows)}{told}"


def _calibration(results: CodiespResults) -> str:
    if not results.tracks:
        return ""
    header = ["", "error, all candidates", "error, probability ≥ 0.1", "Brier", "threshold"]
    rows = [
        [
            f"{_TRACKS[track.track]}, {_LANGUAGES[track.language]}",
            f"{track.calibration['expected_calibration_error']:.4f}",
            f"{track.calibration['error_above_0.1']:.3f}",
            f"{track.calibration['brier']:.4f}",
            ", ".join(f"{run.threshold:.3f}" for run in track.runs),
        ]
        for track in results.tracks
    ]
    return (
        "## Calibration\n"
        "Expected calibration error in ten bins: over all candidates, most of which are hopeless and rightly near "
        f"zero, and over those of probability 0.1 or more. One threshold a seed.\n\n{_table(header, rows)}"
    )


def _cost(results: CodiespResults) -> str:
    by_recipe = [(track.recipe, track.runs) for track in results.tracks]
    by_recipe += [(way.runs[0].recipe, way.runs) for way in results.explained if way.runs]
    rows = [
        [f"`{name}`", _range(run.train_seconds for run in runs), _range(run.notes_per_second for run in runs)]
        for name, runs in by_recipe
    ]
    machines = dict.fromkeys(run.machine for _, runs in by_recipe for run in runs)
    told = "; ".join(
        f"{one.cores} cores ({one.architecture}), Python {one.python}, numpy {one.numpy}, "
        f"scikit-learn {one.scikit_learn}"
        for one in machines
    )
    return (
        f"## Cost\nOn {told}, no GPU. Wall time, lowest to highest seed, on a machine that may have been busy; "
        "`make bench` measures speed and memory by themselves.\n\n"
        f"{_table(['recipe', 'training, s', 'coding, notes/s'], rows)}"
    )


def _definitions(results: CodiespResults) -> str:
    scripted = [
        f"{_TRACKS[track.track]}, {_LANGUAGES[track.language]}: {track.map_as_scripted:.3f}" for track in results.tracks
    ]
    told = f": {'; '.join(scripted)}" if scripted else ""
    return f"""## Definitions
All scores are defined in [evaluation.md](evaluation.md). MAP and micro-F1 follow CodiEsp's official scripts, with two
differences. The scripts first drop predictions outside the CIE-10-ES 2018 list, which is not part of this package;
without it our figures can only be lower. And they divide the sum of average precisions by the number of cases with
predictions; here it is the number of cases with gold codes, so that silence costs. MAP as scripted{told}."""


# --- cells ----------------------------------------------------------------------------------------------------------


def _full(figure: Figure) -> str:
    return f"**{figure.mean:.3f}** ({figure.lowest:.3f} to {figure.highest:.3f}) [{figure.low:.3f}, {figure.high:.3f}]"


def _short(figure: Figure) -> str:
    return f"{figure.mean:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _signed(figure: Figure) -> str:
    return f"{figure.mean:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"


def _share(value: float, total: float) -> str:
    """A share; nothing where there is nothing to take a share of."""
    return f"{value:.3f}" if total else _NOTHING


def _range(values: Iterable[float]) -> str:
    known = list(values)
    low, high = f"{min(known):.0f}", f"{max(known):.0f}"
    return low if low == high else f"{low} to {high}"


def _by_track(tracks: Iterable[TrackResult]) -> list[list[TrackResult]]:
    """Spanish and English of one track together."""
    together: dict[str, list[TrackResult]] = {}
    for track in tracks:
        together.setdefault(track.track, []).append(track)
    return list(together.values())


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
