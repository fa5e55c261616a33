"""From kept notes and rows of codes to the files of a prepared folder, every step counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.preparation.code_rows import CodeRows, Vocabulary
from nosology.corpora.preparation.layout import SPLITS, EncounterRow
from nosology.corpora.preparation.manifest import Journal
from nosology.corpora.preparation.notes_kept import NoteRows, first_subjects
from nosology.corpora.preparation.options import MimicOptions
from nosology.corpora.preparation.runs import positions
from nosology.corpora.preparation.selection import Labels, choose_codes, group_codes
from nosology.corpora.preparation.spill import TextSpill
from nosology.corpora.preparation.split_ids import count_by_split, read_split_ids
from nosology.corpora.preparation.writing import PreparedWriter
from nosology.corpora.stratification import stratified_split
from nosology.errors import CorpusError

Integers = NDArray[np.int64]

_LANGUAGE = "en"
_BATCH_BYTES, _BATCH_NOTES = 8 << 20, 2048
_MANY = 5


@dataclass(slots=True)
class Material:
    """What has been read of a release.

    Args:
        notes: kept, by patient and admission.
        texts: their texts.
        rows: codes that are not blank, of all tables, in the order in which an admission shall have them.
        vocabulary: the codes by number.
        systems: the code systems that were asked for, in order.
        known: (code, system) that the release's tables of titles list.
        metadata: further columns by admission.
        count_repeats: count a code twice where an admission has it twice, to rank codes as CAML does.
        of_other_version: admissions whose codes are not of the version that was asked for.
        keep_uncoded: keep admissions that have rows in the code tables but no code in them, as CAML does.
    """

    notes: NoteRows
    texts: TextSpill
    rows: CodeRows
    vocabulary: Vocabulary
    systems: tuple[str, ...]
    known: set[tuple[str, str]]
    metadata: Mapping[int, Mapping[str, str]] = field(default_factory=dict[int, Mapping[str, str]])
    count_repeats: bool = False
    keep_uncoded: Integers | None = None
    of_other_version: Integers | None = None


@dataclass(frozen=True, slots=True)
class _Admissions:
    """The admissions that are kept so far: id, patient, labels, split and where their notes begin and end."""

    hadm: Integers
    subject: Integers
    first_note: Integers
    last_note: Integers
    labels: Labels
    split: NDArray[np.object_]

    def at(self, chosen: Integers) -> _Admissions:
        return _Admissions(
            self.hadm[chosen],
            self.subject[chosen],
            self.first_note[chosen],
            self.last_note[chosen],
            self.labels.at(chosen),
            self.split[chosen],
        )


def assemble(
    writer: PreparedWriter, material: Material, options: MimicOptions, split_files: tuple[Path, ...], journal: Journal
) -> Iterator[float]:
    """Join notes and codes, choose codes and splits, and write everything but the manifest.

    Yields:
        The fraction done.
    """
    _warn_of_two_patients(material.notes, journal)
    admissions = _join(material, journal)
    admissions = _choose(admissions, material, options, journal)
    admissions = _split(admissions, options, split_files, journal)
    _count_what_is_left(admissions, journal)
    unknown = _unknown_codes(admissions.labels, material, journal)
    yield from _write_notes(writer, admissions, material)
    writer.write_encounters(_encounter_rows(admissions, material))
    writer.write_labels(material.systems, _LANGUAGE, unknown)


def _warn_of_two_patients(notes: NoteRows, journal: Journal) -> None:
    wrong = np.unique(notes.hadm[first_subjects(notes) != notes.subject])
    journal.warn("admissions under two patients, of which the first is taken", len(wrong), _ids(wrong))


def _join(material: Material, journal: Journal) -> _Admissions:
    notes, rows = material.notes, material.rows
    new = np.ones(len(notes), dtype=np.bool_)
    new[1:] = notes.hadm[1:] != notes.hadm[:-1]
    first = np.flatnonzero(new)
    hadm = notes.hadm[first]
    journal.count("admissions with a kept note", len(hadm))
    number = _numbers(rows.hadm, hadm)
    without_note = np.unique(rows.hadm[number < 0])
    journal.count("admissions with codes and no kept note, left out", len(without_note))
    journal.warn("admissions with codes and no kept note, left out", len(without_note), _ids(without_note))
    labels, repeats = group_codes(rows.where(number >= 0), number[number >= 0], len(hadm))
    journal.count("rows of codes that repeat a code of their admission, left out", repeats)
    last = np.append(first[1:], len(notes)).astype(np.int64)
    subject = first_subjects(notes)[first]
    admissions = _Admissions(hadm, subject, first, last, labels, np.full(len(hadm), "", dtype=object))
    return _without_uncoded(admissions, material, journal)


def _without_uncoded(admissions: _Admissions, material: Material, journal: Journal) -> _Admissions:
    keep = admissions.labels.sizes > 0
    if material.keep_uncoded is not None:
        keep |= np.isin(admissions.hadm, material.keep_uncoded)
    other = np.zeros_like(keep)
    if material.of_other_version is not None:
        other = ~keep & np.isin(admissions.hadm, material.of_other_version)
        journal.count("admissions with a note and codes of the other version, left out", int(other.sum()))
    uncoded = admissions.hadm[~keep & ~other]
    journal.count("admissions with a note and no codes, left out", len(uncoded))
    journal.warn("admissions with a note and no codes, left out", len(uncoded), _ids(uncoded))
    return admissions.at(np.flatnonzero(keep))


def _numbers(values: Integers, known: Integers) -> Integers:
    """For each value its place in ``known``, -1 where it has none."""
    order = np.argsort(known, kind="stable")
    places = np.minimum(np.searchsorted(known, values, sorter=order), max(len(known) - 1, 0))
    if not len(known):
        return np.full(len(values), -1, dtype=np.int64)
    found = order[places]
    return np.where(known[found] == values, found, -1).astype(np.int64)


def _choose(admissions: _Admissions, material: Material, options: MimicOptions, journal: Journal) -> _Admissions:
    size = len(material.vocabulary)
    labels = admissions.labels
    journal.count("codes before any is left out", len(np.unique(labels.codes)))
    if options.least_count <= 1 and not options.most_codes:
        return admissions
    counts = np.bincount(labels.codes, minlength=size)
    ties: Sequence[object] = material.vocabulary.codes
    if material.count_repeats:
        rows = material.rows
        inside = np.isin(rows.hadm, admissions.hadm)
        counts = np.bincount(rows.code[inside], minlength=size)
        ties = _first_places(labels.codes, size)
    wanted = choose_codes(counts, ties, least=options.least_count, most=options.most_codes)
    journal.count("codes kept", int(wanted.sum()))
    labels = labels.with_codes(wanted)
    keep = np.flatnonzero(labels.sizes > 0)
    journal.count("admissions without a kept code, left out", len(labels) - len(keep))
    return replace(admissions, labels=labels).at(keep)


def _first_places(codes: NDArray[np.int32], size: int) -> list[object]:
    places: list[object] = [len(codes)] * size
    values, first = np.unique(codes, return_index=True)
    for value, place in zip(values.tolist(), first.tolist(), strict=True):
        places[value] = place
    return places


def _split(admissions: _Admissions, options: MimicOptions, files: tuple[Path, ...], journal: Journal) -> _Admissions:
    if files:
        return _published_split(admissions, files, journal)
    if options.own_split is None:
        journal.decide("No splits were made.")
        return admissions
    groups = [str(subject) for subject in admissions.subject.tolist()]
    labels = admissions.labels
    parts = stratified_split(groups, labels.starts, labels.codes, options.own_split, options.seed)
    names = np.array(list(options.own_split), dtype=object)
    shares = ", ".join(f"{name} {share:g}" for name, share in options.own_split.items())
    journal.decide(
        f"Splits of our own ({shares}; seed {options.seed}): iterative stratification of the codes, no patient in two "
        "splits. Scores on them are not comparable with those on published splits."
    )
    return replace(admissions, split=names[parts])


def _published_split(admissions: _Admissions, files: tuple[Path, ...], journal: Journal) -> _Admissions:
    chosen = read_split_ids(files)
    listed = count_by_split(chosen)
    splits = np.array([chosen.get(hadm, "") for hadm in admissions.hadm.tolist()], dtype=object)
    matched = {name: int((splits == name).sum()) for name in SPLITS}
    told = ", ".join(f"{name} {matched[name]:,} of {listed[name]:,}" for name in SPLITS)
    empty = [name for name in SPLITS if listed[name] and not matched[name]]
    if empty:
        problem = f"the ids match no admission of {' and '.join(empty)} (matched: {told}); are they of this release?"
        raise CorpusError(problem, path=files[0] if len(files) == 1 else files[0].parent)
    missing = sorted(set(chosen) - set(admissions.hadm.tolist()))
    journal.warn("ids of the published splits that match no kept admission", len(missing), _ids(missing))
    unlisted = admissions.hadm[splits == ""]
    journal.count("admissions in no published split, left out", len(unlisted))
    journal.warn("admissions in no published split, left out", len(unlisted), _ids(unlisted))
    journal.decide(f"Published splits from {', '.join(file.name for file in files)}; matched: {told}.")
    return replace(admissions, split=splits).at(np.flatnonzero(splits != ""))


def _count_what_is_left(admissions: _Admissions, journal: Journal) -> None:
    if not len(admissions.hadm):
        raise CorpusError("no admission has a note, a kept code and a split; check the files, or keep more codes")
    journal.count("encounters", len(admissions.hadm))
    journal.count("patients", len(np.unique(admissions.subject)))
    journal.count("notes", int((admissions.last_note - admissions.first_note).sum()))
    journal.count("codes", len(np.unique(admissions.labels.codes)))
    journal.count("labels", len(admissions.labels.codes))
    for name in SPLITS:
        journal.count(f"encounters in {name}", int((admissions.split == name).sum()))


def _unknown_codes(labels: Labels, material: Material, journal: Journal) -> set[str]:
    names, systems = material.vocabulary.codes, material.vocabulary.systems
    counts = Counter(
        names[code]
        for code, count in enumerate(np.bincount(labels.codes, minlength=len(names)).tolist())
        if count and (names[code], systems[code]) not in material.known
        for _ in range(count)
    )
    first = [code for code, _ in counts.most_common(_MANY)]
    journal.warn("codes in none of the release's tables of titles (D_ICD), kept", len(counts), first)
    journal.count("labels whose code is in no table of titles, kept", counts.total())
    return set(counts)


def _write_notes(writer: PreparedWriter, admissions: _Admissions, material: Material) -> Iterator[float]:
    notes = material.notes
    kept = positions(admissions.first_note, admissions.last_note - admissions.first_note)
    ends = np.cumsum(notes.length[kept])
    start = 0
    while start < len(kept):
        limit = (ends[start - 1] if start else 0) + _BATCH_BYTES
        stop = max(min(int(np.searchsorted(ends, limit, side="right")), start + _BATCH_NOTES), start + 1)
        batch = notes.at(kept[start:stop])
        categories = ["Discharge summary addendum" if rank else "Discharge summary" for rank in batch.rank.tolist()]
        writer.write_notes(
            [str(hadm) for hadm in batch.hadm.tolist()],
            batch.note_id.tolist(),
            categories,
            [_LANGUAGE] * len(batch),
            material.texts.take(batch.start.tolist(), batch.length.tolist()),
        )
        start = stop
        yield start / len(kept)


def _encounter_rows(admissions: _Admissions, material: Material) -> list[EncounterRow]:
    names, systems = material.vocabulary.codes, material.vocabulary.systems
    rows = list[EncounterRow]()
    for index, (hadm, subject) in enumerate(zip(admissions.hadm.tolist(), admissions.subject.tolist(), strict=True)):
        codes = admissions.labels.of(index)
        rows.append(
            EncounterRow(
                str(hadm),
                str(subject),
                str(admissions.split[index]),
                tuple(map(names.__getitem__, codes)),
                tuple(map(systems.__getitem__, codes)),
                material.metadata.get(hadm, {}),
            )
        )
    return rows


def _ids(values: Sequence[int] | Integers) -> list[str]:
    return [str(value) for value in list(values)[:_MANY]]
