"""What holds for every loss, by one table; and what single ones promise."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from loss_table import LABELS, TABLE, Known, batch, facts, label_rows, make, paths_of

from nosology.config.loss_terms import SegmentationConfig
from nosology.config.losses import (
    AsymmetricConfig,
    BceConfig,
    GhmConfig,
    HierarchicalConfig,
    LossConfig,
    SegmentedHarmonicConfig,
    SplcConfig,
)
from nosology.errors import ConfigError, ModelError
from nosology.losses import (
    asymmetric,
    balanced,
    base,
    cross_entropy,
    harmonised,
    hierarchical,
    missing,
    ranking,
    segmented,
    wrapped,
)
from nosology.losses.build import build_loss, segments_of
from nosology.losses.facts import LabelFacts, LabelRows
from nosology.losses.segmentation import segment_labels

EVERY = pytest.mark.parametrize("name", TABLE)
MODULES = (asymmetric, balanced, cross_entropy, harmonised, hierarchical, missing, ranking, segmented, wrapped)
BASES = {base.Loss, base.CellLoss, cross_entropy.CrossEntropy, wrapped.WrappedLoss}


def known_of(name: str, rows: LabelRows, **more: Any) -> Known:
    config = TABLE[name][0]
    segments = segments_of(make(config, rows))
    segment_of = None if segments is None else segments.segment_of
    return Known(config, rows.counts, len(rows), segment_of, paths_of(rows.labels), **more)


def value_and_gradient(loss: base.Loss, logits: Any, targets: Any, labels: Any = None) -> tuple[Any, Any]:
    own = torch.as_tensor(logits).detach().clone().requires_grad_()
    value = loss(own, torch.as_tensor(targets).to(own.dtype), labels)
    value.backward()
    return value.detach(), own.grad


# --- the table ------------------------------------------------------------------------------------------------------


def test_every_loss_and_every_section_joins_the_table() -> None:
    made = {type(make(config)) for config, _ in TABLE.values()}
    classes = {
        item
        for module in MODULES
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, base.Loss) and item not in BASES
    }
    assert classes == made
    assert {type(config) for config, _ in TABLE.values()} == set(get_args(LossConfig))
    for module in MODULES:
        assert module.__name__.startswith("nosology.losses.")
    import pkgutil

    import nosology.losses

    named = {f"nosology.losses.{item.name}" for item in pkgutil.iter_modules(nosology.losses.__path__)}
    helpers = ("base", "best_constants", "build", "facts", "curves", "label_table", "segmentation", "plots")
    without = {f"nosology.losses.{name}" for name in helpers}
    assert named - without == {module.__name__ for module in MODULES}


@EVERY
def test_equals_its_oracle(name: str) -> None:
    rows = label_rows()
    for seed in range(3):
        logits, targets = batch(seed)
        expected = TABLE[name][1](logits, targets, known_of(name, rows))
        found = make(TABLE[name][0], rows)(torch.from_numpy(logits), torch.from_numpy(targets))
        assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert found.shape == ()


@EVERY
def test_its_gradient_is_that_of_the_oracle(name: str) -> None:
    rows = label_rows()
    logits, targets = batch(4)
    known = known_of(name, rows, focus_at=logits)
    oracle, step = TABLE[name][1], 1e-5
    _, gradient = value_and_gradient(make(TABLE[name][0], rows), logits, targets)
    for row in range(logits.shape[0]):
        for column in range(logits.shape[1]):
            moved = [logits.copy(), logits.copy()]
            moved[0][row, column] += step
            moved[1][row, column] -= step
            high, low = (oracle(one, targets, known) for one in moved)
            assert float(gradient[row, column]) == pytest.approx((high - low) / (2 * step), rel=2e-5, abs=2e-8)


@EVERY
def test_the_order_of_labels_changes_nothing(name: str) -> None:
    rows = label_rows()
    logits, targets = batch(5)
    order = np.random.default_rng(0).permutation(len(LABELS))
    back = {label: place for place, label in enumerate(order.tolist())}
    moved_rows = LabelRows.of(
        [LABELS[label] for label in order],
        [[back[int(c)] for c in rows.columns[a:b]] for a, b in zip(rows.bounds, rows.bounds[1:], strict=False)],
    )
    one = value_and_gradient(make(TABLE[name][0], rows), logits, targets)
    other = value_and_gradient(make(TABLE[name][0], moved_rows), logits[:, order], targets[:, order])
    torch.testing.assert_close(one[0], other[0])
    torch.testing.assert_close(one[1][:, order], other[1])


@EVERY
def test_candidates_in_any_order_are_all_labels(name: str) -> None:
    logits, targets = batch(6)
    order = torch.from_numpy(np.random.default_rng(1).permutation(len(LABELS)))
    one = value_and_gradient(make(TABLE[name][0]), logits, targets)
    other = value_and_gradient(make(TABLE[name][0]), logits[:, order], targets[:, order], order)
    torch.testing.assert_close(one[0], other[0])
    torch.testing.assert_close(one[1][:, order], other[1])


@EVERY
def test_few_candidates_score_by_their_own_statistics(name: str) -> None:
    logits, targets = batch(7)
    chosen = torch.tensor([9, 2, 15])
    value, gradient = value_and_gradient(make(TABLE[name][0]), logits[:, chosen], targets[:, chosen], chosen)
    assert torch.isfinite(value)
    assert gradient.abs().sum() > 0
    again = value_and_gradient(
        make(TABLE[name][0]), logits[:, chosen[[1, 0, 2]]], targets[:, chosen[[1, 0, 2]]], chosen[[1, 0, 2]]
    )
    torch.testing.assert_close(value, again[0])


@EVERY
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_finite_at_the_ends(name: str, precision: torch.dtype) -> None:
    for scale in (80.0, -80.0):
        for targets in (torch.zeros(2, len(LABELS)), torch.ones(2, len(LABELS)), torch.eye(len(LABELS))[:2]):
            logits = torch.full((2, len(LABELS)), scale, dtype=precision)
            value, gradient = value_and_gradient(make(TABLE[name][0]), logits, targets)
            assert torch.isfinite(value)
            assert torch.isfinite(gradient).all()
            assert gradient.dtype == precision
            assert value.dtype == torch.float32


@EVERY
def test_a_logit_that_is_no_number_makes_a_loss_that_is_none(name: str) -> None:
    """Training tells of such a loss, with the step and the notes; an exception would tell of nothing."""
    logits, targets = batch(3)
    logits[1, 2] = np.nan
    loss, gradient = value_and_gradient(make(TABLE[name][0]), logits, targets)
    assert torch.isnan(loss)
    assert torch.isnan(gradient).any()


@EVERY
def test_half_precision_computes_in_full(name: str) -> None:
    logits, targets = batch(8)
    half = torch.from_numpy(logits).to(torch.bfloat16)
    low = value_and_gradient(make(TABLE[name][0]), half, targets)
    full = value_and_gradient(make(TABLE[name][0]), half.float(), targets)
    torch.testing.assert_close(low[0], full[0])
    torch.testing.assert_close(low[1].float(), full[1], rtol=1e-2, atol=1e-6)


@EVERY
def test_in_blocks_as_in_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets = batch(9)
    one = value_and_gradient(make(TABLE[name][0]), logits, targets)
    monkeypatch.setattr(base, "_CPU_CELLS", 3 * len(logits))
    other = value_and_gradient(make(TABLE[name][0]), logits, targets)
    torch.testing.assert_close(one, other)


@EVERY
def test_targets_between_0_and_1_are_a_mixture(name: str) -> None:
    """Linear in each target for sums of cells whose weights don't look at the targets; finite for all."""
    logits, targets = batch(2)
    soft = targets * 0.7
    value, gradient = value_and_gradient(make(TABLE[name][0]), logits, soft)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@EVERY
def test_bad_targets_and_shapes_are_told(name: str) -> None:
    loss = make(TABLE[name][0])
    logits, targets = (torch.from_numpy(part) for part in batch())
    for bad in (float("nan"), -1.0, 2.0, float("inf")):
        broken = targets.clone()
        broken[2, 3] = bad
        with pytest.raises(
            ConfigError, match=r"1 targets are NaN or outside 0\.\.1; write 0 where a label is not known"
        ):
            loss(logits, broken)
    with pytest.raises(ConfigError, match="do not fit targets"):
        loss(logits, targets[:, 1:])
    with pytest.raises(ConfigError, match="2 candidates do not fit logits of 16 columns"):
        loss(logits, targets, torch.tensor([1, 2]))
    if loss.label_count:
        with pytest.raises(ConfigError, match="the loss was made for 16 labels, the logits have 15 columns"):
            loss(logits[:, 1:], targets[:, 1:])


@EVERY
def test_nothing_to_learn_from_is_no_loss(name: str) -> None:
    empty = torch.zeros(0, len(LABELS), requires_grad=True)
    value = make(TABLE[name][0])(empty, torch.zeros(0, len(LABELS)))
    value.backward()
    assert float(value.detach()) == 0.0


@EVERY
def test_without_a_gradient_the_value_is_the_same(name: str) -> None:
    logits, targets = (torch.from_numpy(part) for part in batch(3))
    with torch.no_grad():
        plain = make(TABLE[name][0])(logits, targets)
    torch.testing.assert_close(plain, value_and_gradient(make(TABLE[name][0]), logits, targets)[0])


@EVERY
def test_odd_label_counts(name: str) -> None:
    """None, all, the same for every label; one label alone."""
    labels = ("A01.0", "A01.1", "B02.0")
    for rows in ([[]] * 4, [[0, 1, 2]] * 4, [[0], [1], [2]], [[0]]):
        loss = make(TABLE[name][0], LabelRows.of(labels, rows))
        value, gradient = value_and_gradient(loss, np.array([[0.3, -1.0, 2.0]] * 2), np.array([[1.0, 0, 0], [0, 0, 0]]))
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()
    loss = make(TABLE[name][0], LabelRows.of(("A01.0",), [[0], [], []]))
    value, gradient = value_and_gradient(loss, np.array([[0.3], [-1.0]]), np.array([[1.0], [0.0]]))
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    assert (gradient[0] <= 0).all()
    assert (gradient[1] >= 0).all()


@EVERY
def test_equal_losses_have_one_identity_and_others_another(name: str) -> None:
    config = TABLE[name][0]
    assert make(config).identity() == make(config).identity()
    others = {make(other).identity() for key, (other, _) in TABLE.items() if key != name}
    assert make(config).identity() not in others


def test_statistics_are_part_of_the_identity() -> None:
    config = TABLE["shl"][0]
    assert make(config).identity() != make(config, label_rows(seed=3)).identity()


# --- the segmented harmonic loss ------------------------------------------------------------------------------------


def test_one_segment_is_inverse_frequency_and_a_segment_each_is_the_plain_loss() -> None:
    rows = LabelRows.of(LABELS, [[int(c) for c in range(len(LABELS)) if i % (c + 1) == 0] for i in range(64)])
    logits, targets = (torch.from_numpy(part) for part in batch(11))
    whole = SegmentedHarmonicConfig(segmentation=SegmentationConfig(method="cooccurrence", groups=1))
    counts = torch.from_numpy(rows.counts).double()
    assert (counts > 0).all()
    weights = len(LABELS) / (1 / counts).sum() / counts
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(make(whole, rows)(logits, targets), (each * weights).mean())
    alone = SegmentedHarmonicConfig(segmentation=SegmentationConfig(method="cooccurrence", groups=len(LABELS)))
    loss = make(alone, rows)
    segments = segments_of(loss)
    assert segments is not None
    assert len(segments) == len(LABELS)
    torch.testing.assert_close(loss(logits, targets), each.mean())


def test_segments_for_another_label_space_are_refused() -> None:
    rows = label_rows()
    segments = segment_labels(rows, SegmentationConfig())
    other = LabelRows.of([f"X{n}" for n in range(16)], [[0]])
    with pytest.raises(ModelError, match="these segments are of another label space: they were made for 16 codes"):
        build_loss(SegmentedHarmonicConfig(), LabelFacts(other), segments)
    kept = build_loss(SegmentedHarmonicConfig(), facts(rows), segments)
    assert segments_of(kept) is segments


def test_the_plain_loss_is_torchs() -> None:
    logits, targets = (torch.from_numpy(part) for part in batch(12))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    torch.testing.assert_close(make(BceConfig())(logits, targets), expected)


# --- what remembers -------------------------------------------------------------------------------------------------


def test_splc_changes_with_the_epoch() -> None:
    loss = make(SplcConfig())
    logits, targets = batch(13, spread=4.0)
    pair = torch.from_numpy(logits), torch.from_numpy(targets)
    loss.begin_epoch(0)
    before = loss(*pair)
    loss.begin_epoch(1)
    after = float(loss(*pair))
    assert after < float(before)
    rows = label_rows()
    known = replace(known_of("splc", rows), epoch=1)
    assert after == pytest.approx(TABLE["splc"][1](logits, targets, known))


def test_ghm_goes_on_from_its_state() -> None:
    batches = [tuple(torch.from_numpy(part) for part in batch(seed)) for seed in range(4)]
    whole = make(GhmConfig())
    values = [float(whole(*pair)) for pair in batches]
    stopped = make(GhmConfig())
    for pair in batches[:2]:
        stopped(*pair)
    again = make(GhmConfig())
    again.load_state(stopped.state())
    assert [float(again(*pair)) for pair in batches[2:]] == values[2:]
    assert make(GhmConfig(momentum=0.0)).state() == {}


# --- what is told, and one that is published ------------------------------------------------------------------------


def test_a_missing_hierarchy_is_told() -> None:
    with pytest.raises(ConfigError, match='"hierarchical" needs the codes above each label'):
        build_loss(HierarchicalConfig(), LabelFacts(label_rows()))
    with pytest.raises(ConfigError, match="balance needs the counts of labels"):
        cross_entropy.BinaryCrossEntropy(balance=0.5)


def test_asl_is_its_authors_code() -> None:
    """The published class, cut to what it computes."""
    logits, targets = (torch.from_numpy(part) for part in batch(17))
    own = logits.clone().requires_grad_()
    p = torch.sigmoid(own)
    q = (1 - p + 0.05).clamp(max=1)
    with torch.no_grad():
        focus = (1 - p * targets - q * (1 - targets)) ** (1 * targets + 4 * (1 - targets))
    expected = -((targets * p.clamp(min=1e-8).log() + (1 - targets) * q.clamp(min=1e-8).log()) * focus).sum()
    (gradient,) = torch.autograd.grad(expected, own)
    found = value_and_gradient(make(AsymmetricConfig()), logits, targets)
    torch.testing.assert_close(found[0] * len(logits), expected.detach())
    torch.testing.assert_close(found[1] * len(logits), gradient)
