"""What else an admission's chart holds: a radiology report or an addendum."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from nosology.corpora.simulation.page import Admission, Page
from nosology.corpora.simulation.phrasing import read_phrasing
from nosology.corpora.simulation.planning import Item, Plan
from nosology.corpora.simulation.truth import Role


def take_for_second_note(plan: Plan) -> list[Item]:
    """Take up to two findings out of the plan that another note can report."""
    candidates = [
        item
        for item in plan.sections.get("results", [])
        if item.wording != "lab" and item.role in (Role.LABEL, Role.UNCODED, Role.NEGATED)
    ]
    taken = candidates[:2]
    if taken:
        plan.sections["results"] = [item for item in plan.sections["results"] if item not in taken]
    return taken


def write_radiology(items: Sequence[Item], admission: Admission, random: Random) -> Page:
    """A radiology report on some of the encounter's findings."""
    phrasing = read_phrasing()
    page = Page(admission, random)
    clock = f"{1 + int(random.random() * 12)}:{10 + int(random.random() * 50)} PM"
    page.add(f"[**{admission.admitted}**] {clock}\n STUDY AND REPORT\n\n")
    page.open("indication", "INDICATION")
    page.add(f"{admission.age} year old {'woman' if admission.female else 'man'}, evaluate for change.\n\n")
    page.open("findings", "FINDINGS")
    page.add(
        "Comparison is made with the prior study. The visualized structures are otherwise unremarkable. "
        "Lines and tubes as described.\n\n"
    )
    page.open("impression", "REPORT")
    for item in items:
        frames = phrasing.frames(item.role, "results" if item.role.is_distractor else "radiology")
        page.sentence(frames[int(random.random() * len(frames))], item)
        page.add("\n")
    return page


def write_addendum(admission: Admission, random: Random) -> Page:
    """An addendum to the discharge summary without findings of its own."""
    phrasing = read_phrasing()
    page = Page(admission, random)
    page.open("addendum", "Addendum")
    lines = phrasing.filler["course_filler"]
    page.add(
        " ".join(lines[int(random.random() * len(lines))] for _ in range(2))
        + f"\n\nDictated on [**{admission.discharged}**]\n"
    )
    return page
