"""Beam search against plain enumeration and against transformers; probabilities of codes."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from llm_pieces import FAMILIES, LABELS, answers, backbone, notes, prompt, reader, tokenizer

from nosology.config.llm import DecodingConfig
from nosology.llm.backbone import Backbone
from nosology.llm.decoding import Answer, code_probabilities, write_answers
from nosology.llm.model import Writer
from nosology.llm.prompts import Answers, Prompts
from nosology.llm.trie import CodeTrie, allowed_tokens_function

_MANY = 4096


def prompts_of(built: Backbone, count: int = 3) -> Prompts:
    return prompt(built).around(notes(count), built.filler, left=built.pads_left)


def enumerated(
    built: Backbone, prompts: Prompts, own: Answers, *, in_order: bool
) -> list[dict[tuple[int, ...], float]]:
    """Log-probability of every valid answer, each in a pass of its own."""
    places = range(len(own.items))
    choose = combinations if in_order else permutations
    found: list[dict[tuple[int, ...], float]] = [{} for _ in prompts.ids]
    for chosen in (chosen for size in range(len(places) + 1) for chosen in choose(places, size)):
        tokens = list[int]()
        for place in chosen:
            tokens += [*(own.separator if tokens else ()), *own.items[place]]
        target = torch.tensor([[*tokens, own.end]] * len(prompts.ids))
        with torch.no_grad():
            logs = built.read_with_answers(prompts, target).logits.float().log_softmax(-1)
        for row, value in enumerate(logs.gather(2, target[..., None]).sum((1, 2)).tolist()):
            found[row][chosen] = value
    return found


def decode(built: Backbone, prompts: Prompts, own: Answers, *, beams: int, in_order: bool = True, cache: bool = True):
    trie = CodeTrie(own.items, own.separator, own.end, in_order=in_order)
    writing = built.write(prompts, cache=cache)
    return write_answers(writing, len(prompts.ids), trie, end=own.end, beams=beams, most_tokens=60)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_wide_beams_are_enumeration(family: str, in_order: bool) -> None:
    built = backbone(family, spread=2.0)
    own, prompts = answers(built, labels=3), prompts_of(built)
    for group, every in zip(
        decode(built, prompts, own, beams=_MANY, in_order=in_order),
        enumerated(built, prompts, own, in_order=in_order),
        strict=True,
    ):
        assert {answer.codes for answer in group} == set(every)
        assert len(group) == len(every)
        for answer in group:
            assert answer.log_probability == pytest.approx(every[answer.codes], abs=1e-3)
            assert answer.whole
        assert [one.log_probability for one in group] == sorted((one.log_probability for one in group), reverse=True)
        weights = {codes: np.exp(value) for codes, value in every.items()}
        total = sum(weights.values())
        marginal = [sum(weight for codes, weight in weights.items() if place in codes) / total for place in range(3)]
        found = code_probabilities(group, own.labels, 3, "beams")
        assert found[list(own.labels)] == pytest.approx(marginal, abs=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_with_and_without_cache_agree(family: str, beams: int) -> None:
    built = backbone(family, spread=2.0)
    own, prompts = answers(built), prompts_of(built)
    cached, fresh = (decode(built, prompts, own, beams=beams, cache=cache) for cache in (True, False))
    for one, other in zip(cached, fresh, strict=True):
        assert [answer.tokens for answer in one] == [answer.tokens for answer in other]
        for a, b in zip(one, other, strict=True):
            assert a.log_probability == pytest.approx(b.log_probability, abs=1e-3)
            assert a.code_log_probabilities == pytest.approx(b.code_log_probabilities, abs=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_is_that_of_transformers(family: str) -> None:
    built = backbone(family, spread=2.0)
    own, prompts = answers(built), prompts_of(built)
    trie = CodeTrie(own.items, own.separator, own.end, in_order=True)
    before = prompts.ids.shape[1] if built.pads_left else 1
    theirs = built.model.generate(
        input_ids=prompts.ids,
        attention_mask=prompts.mask.long(),
        do_sample=False,
        num_beams=1,
        max_new_tokens=60,
        prefix_allowed_tokens_fn=allowed_tokens_function(trie, before),
    )
    for row, group in zip(theirs[:, before:].tolist(), decode(built, prompts, own, beams=1), strict=True):
        assert row[: row.index(own.end)] == list(group[0].tokens)


@pytest.mark.parametrize("family", FAMILIES)
def test_neighbours_in_a_batch_change_nothing(family: str) -> None:
    built = backbone(family, spread=2.0)
    own, batch = answers(built), notes(4)
    together = decode(built, prompt(built).around(batch, built.filler, left=built.pads_left), own, beams=2)
    for row in range(4):
        length = int(batch.mask[row].sum())
        alone = type(batch)(batch.token_ids[row : row + 1, :length], batch.mask[row : row + 1, :length])
        (single,) = decode(built, prompt(built).around(alone, built.filler, left=built.pads_left), own, beams=2)
        assert [one.tokens for one in single] == [one.tokens for one in together[row]]
        assert single[0].log_probability == pytest.approx(together[row][0].log_probability, abs=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_invalid_and_no_repeated_code(family: str) -> None:
    for seed in range(3):
        built = backbone(family, seed=seed, spread=3.0)
        own = answers(built)
        for group in decode(built, prompts_of(built), own, beams=4, in_order=False):
            for answer in group:
                assert len(set(answer.codes)) == len(answer.codes)
                text = tokenizer().text_of(answer.tokens)
                named = [own.labels[place] for place in answer.codes]
                if answer.whole:
                    assert [part.strip() for part in text.split(";") if part.strip()] == [LABELS[n] for n in named]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_without_room_keeps_its_finished_codes(family: str) -> None:
    built = backbone(family, spread=2.0)
    own, prompts = answers(built), prompts_of(built)
    trie = CodeTrie(own.items, own.separator, own.end, in_order=True)
    for most in (1, 5, 9):
        for group in write_answers(built.write(prompts), 3, trie, end=own.end, beams=2, most_tokens=most):
            for answer in group:
                assert len(answer.tokens) <= most
                assert answer.whole == (answer.tokens == own_tokens(own, answer.codes))


def own_tokens(own: Answers, codes: tuple[int, ...]) -> tuple[int, ...]:
    tokens = list[int]()
    for place in codes:
        tokens += [*(own.separator if tokens else ()), *own.items[place]]
    return tuple(tokens)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_freely_is_read_as_text(family: str) -> None:
    built = backbone(family, spread=2.0)
    own, prompts = answers(built), prompts_of(built)
    decoding = DecodingConfig(beams=3, constrained=False, in_order=False, scores="beams")
    writer = Writer(own, decoding, 12, tokenizer().text_of, reader())
    assert writer.grammar() is None
    written = write_answers(built.write(prompts), 3, None, end=own.end, beams=3, most_tokens=12)
    for group in written:
        assert len(group) == 3
        for answer in group:  # random weights write rubbish: no code, and no error
            assert len(answer.tokens) <= 12
            found = writer.read(answer)
            assert found.log_probability == answer.log_probability
    text = tuple(tokenizer().ids_of(" E119, I10 or so; x"))
    read = writer.read(Answer(text, (), -1.0))
    assert [LABELS[own.labels[place]] for place in read.codes] == ["E11.9", "I10"]
    assert code_probabilities([read], own.labels, len(LABELS), "positions").sum() == 2.0


def test_probabilities_of_codes_by_hand() -> None:
    first = Answer((), (0, 2), np.log(0.6), (np.log(0.9), np.log(0.5)))
    second = Answer((), (2,), np.log(0.2), (np.log(0.8),))
    assert code_probabilities([first, second], (0, 1, 2), 3, "beams") == pytest.approx([0.75, 0.0, 1.0])
    graded = code_probabilities([first, second], (0, 1, 2), 3, "positions")
    assert graded == pytest.approx([0.75 * 0.9, 0.0, 0.75 * 0.5 + 0.25 * 0.8])
    assert code_probabilities([first], (2, 0, 1), 3, "beams").tolist() == [0.0, 1.0, 1.0]
    assert code_probabilities([], (0,), 1, "beams").tolist() == [0.0]


@pytest.mark.parametrize("family", FAMILIES)
def test_positions_are_shares_of_what_is_allowed(family: str) -> None:
    """Over all codes that may come first, and the empty answer, the shares of the first place sum to 1."""
    built = backbone(family, spread=2.0)
    own, prompts = answers(built, labels=3), prompts_of(built, 1)
    (group,) = decode(built, prompts, own, beams=_MANY)
    first = {
        (answer.codes[0], len(answer.codes) > 1): answer.code_log_probabilities[0] for answer in group if answer.codes
    }
    trie = CodeTrie(own.items, own.separator, own.end, in_order=True)
    logs = built.write(prompts).logits[0].float().log_softmax(-1)
    allowed = trie.allowed(trie.start)
    empty = (logs[own.end] - logs[allowed].logsumexp(0)).exp().item()
    assert sum(np.exp(list(first.values()))) + empty == pytest.approx(1.0, abs=1e-4)
