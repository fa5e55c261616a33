"""What a language model knows of a code system: descriptions of codes, and codes of descriptions.

Yoo and Kim 2025 open with it: asked for the description of ICD-9 code 36.15 ("Single internal mammary-coronary artery
bypass"), two models gave others. Here the same question is put for a sample of codes, in both directions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from nosology.codes import CodeSystem
from nosology.codes.frequency import FrequencyBands
from nosology.endpoint.client import ChatClient, Message
from nosology.endpoint.failures import EndpointError, RequestFailedError
from nosology.errors import CodeError
from nosology.preprocessing.languages import words_of

_NAMES = {
    "icd9cm": "ICD-9-CM diagnosis",
    "icd9proc": "ICD-9-CM procedure",
    "icd10cm": "ICD-10-CM diagnosis",
    "icd10pcs": "ICD-10-PCS procedure",
}
_ALL = "all"
_QUESTIONS = 2
_GIVE_UP_AFTER = 3
"""Codes in a row; without it, a server that is not there would be tried again and again for every question."""


class ProbeItem(NamedTuple):
    """A code that is asked for.

    Args:
        code, title: as its table has them.
        group: band or chapter.
    """

    code: str
    title: str
    group: str


class Speaker(Protocol):
    """What answers."""

    def describe(self, item: ProbeItem) -> str:
        """The description of ``item.code``."""
        ...

    def encode(self, item: ProbeItem) -> str:
        """The code of ``item.title``."""
        ...


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """One code, asked both ways.

    Args:
        code, title, group: of the table.
        described: the model's description; empty where it failed.
        encoded: the model's code; empty where it failed.
        failed: of both requests, those without a usable answer.
    """

    code: str
    title: str
    group: str
    described: str
    encoded: str
    failed: int


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A group's figures.

    Args:
        group: band or chapter, or "all".
        codes: asked for.
        code_exact: share of descriptions answered with their very code.
        description_exact: share of codes answered with their title, as normalised words.
        description_f1: mean token-F1 of the descriptions.
        failed: requests without a usable answer; they count as wrong.
    """

    group: str
    codes: int
    code_exact: float
    description_exact: float
    description_f1: float
    failed: int


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What came of a probe.

    Args:
        rows: one a group, then all of the sample together; groups weigh by their codes in the sample.
        answers: one a code.
    """

    rows: tuple[ProbeRow, ...]
    answers: tuple[ProbeAnswer, ...]

    def to_mapping(self) -> dict[str, Any]:
        return asdict(self)


def system_name(system: str) -> str:
    """What a question calls a code system."""
    return _NAMES.get(system, system)


def draw_items(
    system: CodeSystem, size: int, seed: int, counts: Mapping[str, int] | None = None, bands: str = "published"
) -> list[ProbeItem]:
    """A seeded sample of the codes that can be billed, spread evenly over groups.

    Args:
        system: the code table.
        size: of the sample, all groups together; a group with fewer codes gives all of its own.
        seed: of the draw.
        counts: training encounters with each code: groups are bands of these; ``None``: groups are chapters.
        bands: name of the bands.
    """
    groups = defaultdict[str, list[ProbeItem]](list)
    for code, title, billable in system.entries():
        if billable and title:
            group = _group(system, code, counts, bands)
            groups[group].append(ProbeItem(code, title, group))
    rng = np.random.default_rng(seed)
    shuffled = [[items[n] for n in rng.permutation(len(items))] for _, items in sorted(groups.items())]
    drawn = list[ProbeItem]()
    for turn in range(max(map(len, shuffled), default=0)):
        drawn += [items[turn] for items in shuffled if turn < len(items)]
        if len(drawn) >= size:
            break
    return drawn[:size]


def named_items(
    system: CodeSystem, codes: Sequence[str], counts: Mapping[str, int] | None = None, bands: str = "published"
) -> list[ProbeItem]:
    """Chosen codes instead of a sample.

    Args:
        system: the code table.
        codes: of it.
        counts, bands: groups, as in ``draw_items``.

    Raises:
        CodeError: the table has no such code.
    """
    entries = [system.require(code) for code in codes]
    for entry in entries:
        if not entry.description:
            raise CodeError("has no title in its table, so nothing can be asked", record_id=entry.code)
    return [ProbeItem(entry.code, entry.description, _group(system, entry.code, counts, bands)) for entry in entries]


def probe(
    speaker: Speaker,
    system: CodeSystem,
    items: Sequence[ProbeItem],
    tell: Callable[[float], None] = lambda share: None,
) -> ProbeReport:
    """Ask for every code both ways.

    Args:
        speaker: answers.
        system: of the codes.
        items: what is asked for.
        tell: told the share that is done.

    Raises:
        EndpointError: every request failed, or those of several codes in a row.
    """
    answers, in_a_row = list[ProbeAnswer](), 0
    for number, item in enumerate(items):
        tell(number / len(items))
        answer, reason = _asked(speaker, item)
        answers.append(answer)
        in_a_row = in_a_row + 1 if answer.failed == _QUESTIONS else 0
        if in_a_row == min(_GIVE_UP_AFTER, len(items)):
            raise EndpointError(
                f"the endpoint failed on both questions about {in_a_row} codes in a row, the last time with {reason}; "
                "check url, model and server, and run again: what was answered is kept"
            )
    parts = [_row(group, members, system) for group, members in _grouped(answers)]
    return ProbeReport((*parts, _row(_ALL, answers, system)), tuple(answers))


def token_f1(said: str, title: str) -> float:
    """2 * shared / (said + true), over normalised words with their counts.

    >>> token_f1("coronary artery bypass", "Bypass, coronary")
    0.8
    """
    one, other = Counter(words_of(said)), Counter(words_of(title))
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0


class EndpointSpeaker:
    """Answers of a server.

    Args:
        client: of the server.
        system: the code system's name.
    """

    def __init__(self, client: ChatClient, system: str) -> None:
        self._client, self._name = client, system_name(system)

    def describe(self, item: ProbeItem) -> str:
        return self._ask("description", f"What is the description of the {self._name} code {item.code}?")

    def encode(self, item: ProbeItem) -> str:
        return self._ask("code", f"Which {self._name} code has the description {item.title!r}?")

    def _ask(self, field: str, question: str) -> str:
        schema = {
            "type": "object",
            "properties": {field: {"type": "string"}},
            "required": [field],
            "additionalProperties": False,
        }
        told = Message("system", f'Answer in JSON only, {{"{field}": "..."}}, with nothing but the {field}.')
        return self._client.ask((told, Message("user", question)), field, schema, lambda answer: str(answer[field]))


class LocalSpeaker:
    """Greedy answers of a language model on this machine, which completes a line after lines of the same form.

    Args:
        name: "smollm2", a folder, or owner/name on the hub.
        system: the code system's name.
        shown: codes that show the form; none of them is asked for.
        longest: tokens of an answer, at most.

    Raises:
        ConfigError: there is no such model.
        MissingExtraError: the extra "llm" is not installed.
    """

    def __init__(self, name: str, system: str, shown: Sequence[ProbeItem], longest: int = 48) -> None:
        from nosology.llm import require_llm

        require_llm()
        from nosology.llm.loading import load_backbone, tokenizer_of

        self._tokenizer = tokenizer_of(name)
        self._backbone = load_backbone(name).eval()
        self._name, self._shown, self._longest = system_name(system), tuple(shown), longest

    def describe(self, item: ProbeItem) -> str:
        lines = [f"The description of {self._name} code {one.code} is: {one.title}" for one in self._shown]
        return self._complete("\n".join([*lines, f"The description of {self._name} code {item.code} is:"]))

    def encode(self, item: ProbeItem) -> str:
        lines = [f"The {self._name} code of {one.title!r} is: {one.code}" for one in self._shown]
        return self._complete("\n".join([*lines, f"The {self._name} code of {item.title!r} is:"]))

    def _complete(self, text: str) -> str:
        """What stands up to the end of the line."""
        import torch

        from nosology.llm.prompts import Prompts

        begin, end = self._tokenizer.begin_id, self._backbone.prompt_end
        before = [] if begin is None or end is not None else [begin]
        ids = torch.tensor([[*before, *self._tokenizer.ids_of(text), *([] if end is None else [end])]])
        mask = torch.ones_like(ids, dtype=torch.bool)
        with torch.inference_mode():
            writing = self._backbone.write(Prompts(ids, mask, mask))
            written = list[int]()
            while len(written) < self._longest:
                token = writing.logits.argmax(-1)
                written.append(int(token[0]))
                if written[-1] == self._backbone.end or "\n" in self._tokenizer.text_of(written).strip():
                    break
                writing.extend(torch.zeros(1, dtype=torch.long), token)
        kept = written[:-1] if written[-1] == self._backbone.end else written
        return (self._tokenizer.text_of(kept).strip().splitlines() or [""])[0].strip()


def _asked(speaker: Speaker, item: ProbeItem) -> tuple[ProbeAnswer, str]:
    """What is said of a code; why a question failed, the later one if both did."""
    said, failed, reason = list[str](), 0, ""
    for ask in (speaker.describe, speaker.encode):
        try:
            said.append(ask(item))
        except RequestFailedError as error:
            said.append("")
            failed, reason = failed + 1, error.reason
    described, encoded = said
    return ProbeAnswer(item.code, item.title, item.group, described, encoded, failed), reason


def _row(group: str, answers: Sequence[ProbeAnswer], system: CodeSystem) -> ProbeRow:
    count = max(1, len(answers))
    codes = sum(system.canonical(one.encoded.strip().rstrip(".")) == one.code for one in answers)
    exact = sum(words_of(one.described) == words_of(one.title) for one in answers)
    f1 = sum(token_f1(one.described, one.title) for one in answers)
    failed = sum(one.failed for one in answers)
    return ProbeRow(group, len(answers), codes / count, exact / count, f1 / count, failed)


def _grouped(answers: Sequence[ProbeAnswer]) -> Iterator[tuple[str, list[ProbeAnswer]]]:
    groups = defaultdict[str, list[ProbeAnswer]](list)
    for answer in answers:
        groups[answer.group].append(answer)
    yield from sorted(groups.items(), key=lambda pair: _band_order(pair[0]))


def _band_order(group: str) -> tuple[int, str]:
    """Bands by their counts, chapters by their codes."""
    first = group.partition("-")[0].rstrip("+")
    return (int(first), group) if first.isdigit() else (1_000_000, group)


def _group(system: CodeSystem, code: str, counts: Mapping[str, int] | None, name: str) -> str:
    """The code's band where counts are known, else its chapter."""
    if counts is None:
        ancestors = system.ancestors(code)
        return ancestors[-1] if ancestors else code
    bands = FrequencyBands.named(name)
    return bands.names[bands.band_of(counts.get(code, 0))]
