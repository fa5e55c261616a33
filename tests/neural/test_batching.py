"""Plans of epochs: every encounter once, within the budget, the same for the same seed; batches pad and mark."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_pieces import LABELS, make_encounters, make_tokenizer

from nosology.errors import ConfigError, CorpusError
from nosology.preprocessing.batching import (
    BatchSize,
    Ragged,
    collate,
    encode_encounters,
    plan_epoch,
    plan_reading,
    without_empty,
)
from nosology.types import Encounter, GoldCode, Note

LENGTHS = st.lists(st.integers(0, 60), max_size=80).map(lambda values: np.array(values, dtype=np.int64))
SIZES = st.builds(BatchSize, st.integers(1, 200), st.integers(1, 9))


@given(lengths=LENGTHS, size=SIZES, together=st.integers(1, 4), seed=st.integers(0, 5), epoch=st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_an_epoch_reads_every_encounter_once_within_the_budget(
    lengths: np.ndarray, size: BatchSize, together: int, seed: int, epoch: int
) -> None:
    plan = plan_epoch(lengths, size, batches_per_step=together, seed=seed, epoch=epoch)
    batches = [rows for step in plan.steps for rows in step]
    read = sorted(row for rows in batches for row in rows.tolist())
    assert read == np.flatnonzero(lengths > 0).tolist()
    assert all(len(step) == together for step in plan.steps[:-1])
    for rows in [*batches, *plan_reading(lengths, size)]:
        assert 1 <= len(rows) <= size.encounters
        assert len(rows) == 1 or len(rows) * lengths[rows].max() <= size.tokens
    assert sorted(row for rows in plan_reading(lengths, size) for row in rows.tolist()) == read


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    lengths, size = np.random.default_rng(0).integers(1, 500, 300), BatchSize(4000, 16)

    def order(seed: int, epoch: int) -> list[list[list[int]]]:
        plan = plan_epoch(lengths, size, batches_per_step=2, seed=seed, epoch=epoch)
        return [[rows.tolist() for rows in step] for step in plan.steps]

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_batches_of_like_length_waste_little_and_steps_wait_for_nobody() -> None:
    lengths = np.random.default_rng(0).integers(50, 3000, 4000)
    plan = plan_epoch(lengths, BatchSize(32_768, 16), batches_per_step=2, seed=0, epoch=0)
    padded = sum(len(rows) * lengths[rows].max() for step in plan.steps for rows in step)
    assert lengths.sum() / padded > 0.95
    longest = [[lengths[rows].max() for rows in step] for step in plan.steps]
    assert np.mean([min(step) / max(step) for step in longest]) > 0.9


def test_one_process_and_two_share_the_same_plan() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 41)
    one = plan_epoch(lengths, BatchSize(200, 4), batches_per_step=2, seed=0, epoch=0)
    ranks = [[step[rank] for step in one.steps if rank < len(step)] for rank in range(2)]
    assert sorted(np.concatenate([*ranks[0], *ranks[1]]).tolist()) == list(range(41))


def test_a_batch_holds_tokens_targets_and_marked_tokens() -> None:
    encounters = make_encounters(12)
    tokenizer = make_tokenizer(encounters)
    encoded = encode_encounters(encounters, tokenizer, LABELS, with_evidence=True)
    rows = np.array([7, 2, 5])
    batch = collate(encoded, rows)
    targets = np.zeros((3, len(LABELS)))
    targets[batch.label_rows, batch.label_columns] = 1
    for place, row in enumerate(rows.tolist()):
        tokens = tokenizer.encode(encounters[row])
        assert batch.token_ids[place][batch.mask[place]].tolist() == tokens.token_ids.tolist()
        assert (batch.token_ids[place][~batch.mask[place]] == tokenizer.pad_id).all()
        assert {LABELS[c] for c in np.flatnonzero(targets[place])} == encounters[row].code_set
        marked = {(LABELS[label], token) for at, label, token in batch.evidence.tolist() if at == place}
        assert marked == {
            (gold.code, token)
            for gold in encounters[row].codes or ()
            for evidence in gold.evidence
            for token in tokens.tokens_of(evidence).tolist()
        }
        assert len(marked) == len(encounters[row].code_set)
    assert batch.mask.shape[1] == max(len(tokenizer.encode(encounters[row])) for row in rows)
    assert batch.real_tokens == batch.mask.sum()


def test_codes_outside_the_list_and_cut_tokens_are_counted() -> None:
    encounters = make_encounters(12)
    tokenizer = make_tokenizer(encounters)
    encoded = encode_encounters(encounters, tokenizer, LABELS[:5], max_tokens=6)
    assert encoded.other_codes == sum(len(e.code_set - set(LABELS[:5])) for e in encounters)
    assert encoded.tokens.lengths.max() == 6
    whole = [len(tokenizer.encode(e)) for e in encounters]
    assert encoded.counts.dropped == sum(max(0, length - 6) for length in whole)
    assert encoded.counts.truncated == sum(length > 6 for length in whole)
    assert not len(encoded.evidence.values)


def test_fingerprints_tell_tokens_labels_and_names_apart() -> None:
    encounters = make_encounters(6)
    tokenizer = make_tokenizer(encounters)
    prints = {
        encode_encounters(encounters, tokenizer, LABELS).fingerprint(),
        encode_encounters(encounters[:5], tokenizer, LABELS).fingerprint(),
        encode_encounters(encounters, tokenizer, LABELS[::-1]).fingerprint(),
        encode_encounters(encounters, tokenizer, LABELS, max_tokens=4).fingerprint(),
        encode_encounters(encounters, tokenizer, LABELS, with_evidence=True).fingerprint(),
        encode_encounters(make_encounters(6, prefix="x"), tokenizer, LABELS).fingerprint(),
    }
    assert len(prints) == 6
    again = encode_encounters(make_encounters(6), tokenizer, LABELS)
    assert again.fingerprint() in prints


def test_empty_encounters_are_left_out_and_empty_batches_refused() -> None:
    encounters = [*make_encounters(3), Encounter("empty", (Note("n", " 12 "),), (GoldCode("C01", "icd10cm"),))]
    encoded = encode_encounters(encounters, make_tokenizer(encounters), LABELS)
    assert len(encoded) == 4
    assert without_empty(encoded).encounter_ids == ("e0", "e1", "e2")
    assert without_empty(without_empty(encoded)).labels[2].tolist() == encoded.labels[2].tolist()
    with pytest.raises(CorpusError, match=r"\[empty\]: an empty batch"):
        collate(encoded, np.array([3]))
    with pytest.raises(CorpusError, match="an empty batch"):
        collate(encoded, np.array([], dtype=np.int64))
    alone = encode_encounters(encounters[3:], make_tokenizer(encounters), LABELS)
    with pytest.raises(CorpusError, match="no encounter has a token"):
        without_empty(alone)
    with pytest.raises(CorpusError, match=r"\[e0\]: two encounters have this id"):
        encode_encounters([encounters[0]] * 2, make_tokenizer(encounters), LABELS)
    with pytest.raises(ConfigError, match="at least one token"):
        BatchSize(0, 1)


def test_ragged_rows_come_back() -> None:
    rows = [np.array(values, dtype=np.int32) for values in ([1, 2], [], [3])]
    ragged = Ragged.of(rows)
    assert [row.tolist() for row in (ragged[0], ragged[1], ragged[2])] == [[1, 2], [], [3]]
    assert len(ragged) == 3
    assert len(Ragged.of([])) == 0
