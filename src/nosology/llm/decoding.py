"""Answers by beam search (1 beam: greedy), free or held to a trie of codes, and what they say of each code.

An answer's probability is the product of its tokens' probabilities in the whole vocabulary, P(a). With beams B,

    p(c) = sum_{a in B} w_a q_a(c),    w_a = P(a) / sum_{b in B} P(b),

where q_a(c) is 1 if a names code c, else 0 (``beams``). If B holds every valid answer, p(c) is the marginal of the
model's distribution over valid answers. With ``positions``, q_a(c) of a code that a names is the probability of its
tokens where it stands, each among the tokens that may stand there: also greedy answers then grade their codes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from nosology.llm.backbone import Writing
from nosology.llm.trie import State


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written for one note.

    Args:
        tokens: without the end.
        codes: places (``Answers.places``) of the codes it names; empty for free answers, which are read as text.
        log_probability: of all its tokens.
        code_log_probabilities: of each code's tokens among those allowed, its separator or end included.
        whole: it came to its end before the room did.
    """

    tokens: tuple[int, ...] = field(repr=False)
    codes: tuple[int, ...]
    log_probability: float
    code_log_probabilities: tuple[float, ...] = ()
    whole: bool = True


class Grammar(Protocol):
    """What may come next; see ``CodeTrie``."""

    @property
    def start(self) -> State: ...
    def allowed(self, state: State) -> Sequence[int]: ...
    def advance(self, state: State, token: int) -> State: ...


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    """An answer that is being written.

    Args:
        row: of the logits of its next token.
        state: in the grammar.
        answer: so far.
        local: log-probability of the tokens of the code that is being written, each among those allowed.
    """

    row: int
    state: State
    answer: Answer
    local: float = 0.0

    def then(self, token: int, score: float, share: float, grammar: Grammar | None) -> _Hypothesis:
        """With one token more."""
        state = self.state if grammar is None else grammar.advance(self.state, token)
        local, answer = self.local + share, self.answer
        told = answer.code_log_probabilities
        if len(state.codes) > len(self.state.codes):
            told, local = (*told, local), 0.0
        longer = replace(
            answer,
            tokens=(*answer.tokens, token),
            codes=state.codes,
            log_probability=score,
            code_log_probabilities=told,
        )
        return _Hypothesis(self.row, state, longer, local)


def write_answers(
    writing: Writing, notes: int, grammar: Grammar | None, *, end: int, beams: int, most_tokens: int
) -> list[list[Answer]]:
    """The most probable answers that beam search finds for each note, best first.

    Args:
        writing: has read the prompts; one row a note.
        notes: how many.
        grammar: of valid answers; ``None``: anything may be written.
        end: the token that ends an answer.
        beams: answers kept at once.
        most_tokens: of an answer, its end included; one that has not ended by then keeps the codes that it has
            finished.
    """
    finished: list[list[Answer]] = [[] for _ in range(notes)]
    active = [[_Hypothesis(note, State(), Answer((), (), 0.0))] for note in range(notes)]
    for number in range(most_tokens):
        scores = torch.log_softmax(writing.logits.float(), -1).cpu().numpy()
        for note in range(notes):
            steps = [step for last in active[note] for step in _steps(last, scores[last.row], grammar, beams)]
            finished[note], active[note] = _best(steps, finished[note], grammar, end, beams)
        going_on = [hypothesis for group in active for hypothesis in group]
        if not going_on or number + 1 == most_tokens:
            break
        _extend(writing, going_on)
        rows = iter(range(len(going_on)))
        active = [[replace(hypothesis, row=next(rows)) for hypothesis in group] for group in active]
    for note, left in enumerate(active):
        finished[note] += [replace(hypothesis.answer, whole=False) for hypothesis in left]
    return [sorted(answers, key=lambda one: -one.log_probability)[:beams] for answers in finished]


def _steps(
    last: _Hypothesis, scores: NDArray[np.float32], grammar: Grammar | None, beams: int
) -> list[tuple[float, float, int, _Hypothesis]]:
    """Score, share among what is allowed, and token of each step that a hypothesis may take."""
    if grammar is None:
        tokens = np.argsort(-scores, kind="stable")[:beams]
    else:
        tokens = np.array(grammar.allowed(last.state), dtype=np.int64)
    values = scores[tokens].astype(np.float64)
    shares = values - _log_sum(values)
    before = last.answer.log_probability
    return [
        (before + value, share, token, last)
        for value, share, token in zip(values.tolist(), shares.tolist(), tokens.tolist(), strict=True)
    ]


def _best(
    steps: Sequence[tuple[float, float, int, _Hypothesis]],
    finished: Sequence[Answer],
    grammar: Grammar | None,
    end: int,
    beams: int,
) -> tuple[list[Answer], list[_Hypothesis]]:
    """Finished answers and next steps compete for the beams: what has ended, and what goes on.

    Probabilities only fall as answers grow, so a finished answer that has left the beams cannot come back.
    """
    pool = [(answer.log_probability, answer, None) for answer in finished]
    pool += [(step[0], None, step) for step in steps]
    pool.sort(key=lambda entry: -entry[0])
    ended, going_on = list[Answer](), list[_Hypothesis]()
    for _, answer, step in pool[:beams]:
        if answer is not None:
            ended.append(answer)
        elif step is not None:
            score, share, token, last = step
            longer = last.then(token, score, share, grammar)
            if token == end:
                ended.append(replace(longer.answer, tokens=longer.answer.tokens[:-1]))
            else:
                going_on.append(longer)
    return ended, going_on


def _extend(writing: Writing, hypotheses: Sequence[_Hypothesis]) -> None:
    device = writing.logits.device
    parents = [hypothesis.row for hypothesis in hypotheses]
    tokens = [hypothesis.answer.tokens[-1] for hypothesis in hypotheses]
    writing.extend(torch.tensor(parents, device=device), torch.tensor(tokens, device=device))


def _log_sum(values: NDArray[np.float64]) -> float:
    top = values.max()
    return float(top + math.log(np.exp(values - top).sum()))


def code_probabilities(
    answers: Sequence[Answer], label_of: Sequence[int], count: int, scores: Literal["beams", "positions"]
) -> NDArray[np.float64]:
    """p(c) of every label; see above.

    Args:
        answers: to one note.
        label_of: label numbers by places.
        count: labels.
        scores: what an answer says of a code that it names.
    """
    found = np.zeros(count)
    if not answers:
        return found
    logs = np.array([answer.log_probability for answer in answers])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    for weight, answer in zip(weights.tolist(), answers, strict=True):
        graded = scores == "positions" and len(answer.code_log_probabilities) == len(answer.codes)
        told = np.exp(answer.code_log_probabilities) if graded else np.ones(len(answer.codes))
        found[[label_of[place] for place in answer.codes]] += weight * told
    return np.minimum(found, 1.0)
