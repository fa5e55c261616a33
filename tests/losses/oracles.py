"""Losses as loops over cells in float64, written from the formulas alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def log_p(z: float) -> float:
    """log sigmoid(z)."""
    return -math.log1p(math.exp(-z)) if z > 0 else z - math.log1p(math.exp(z))


def p_of(z: float) -> float:
    return math.exp(log_p(z))


def cells(z: np.ndarray, y: np.ndarray, cell: Callable[[int, int], tuple[float, float]], reduction: str) -> float:
    """The sum of y L+ + (1 - y) L-, mean over encounters, and mean or sum over labels."""
    total = 0.0
    for i in range(z.shape[0]):
        for c in range(z.shape[1]):
            plus, minus = cell(i, c)
            total += y[i, c] * plus + (1 - y[i, c]) * minus
    return total / z.shape[0] / (z.shape[1] if reduction == "mean" else 1)


def kept(known: Any, c: int) -> float:
    return min(max(float(known.counts[c]), 0.5), known.encounters - 0.5)


def log_odds(known: Any, c: int) -> float:
    return math.log(kept(known, c) / (known.encounters - kept(known, c)))


def bce(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o = known.config
    smooth = y * (1 - o.smoothing) + o.smoothing / 2

    def cell(i: int, c: int) -> tuple[float, float]:
        weight = o.positive_weight * math.exp(-log_odds(known, c)) ** o.balance
        return -weight * log_p(z[i, c]), -log_p(-z[i, c])

    return cells(z, smooth, cell, o.reduction)


def focal_cell(z: float, alpha: float, gamma: float) -> tuple[float, float]:
    p = p_of(z)
    return -alpha * p_of(-z) ** gamma * log_p(z), -(1 - alpha) * p**gamma * log_p(-z)


def focal(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o = known.config
    return cells(z, y, lambda i, c: focal_cell(z[i, c], o.alpha, o.gamma), o.reduction)


def effective(n: float, beta: float) -> float:
    return (1 - beta) / (1 - beta**n)


def class_balanced(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o = known.config
    counts = np.maximum(known.counts, 1)

    def weight(i: int, c: int) -> float:
        own = [int(n) for n, carried in zip(counts, y[i], strict=True) if carried]
        match o.weighting:
            case "by_class":
                return effective(counts[c], o.beta)
            case "average_n":
                return effective(np.mean(own) if own else max(counts), o.beta)
            case "average_w":
                return float(np.mean([effective(n, o.beta) for n in own or [max(counts)]]))
            case _:
                return effective(min(own or [max(counts)]), o.beta)

    def cell(i: int, c: int) -> tuple[float, float]:
        plus, minus = focal_cell(z[i, c], o.alpha, o.gamma)
        return o.scale * weight(i, c) * plus, o.scale * weight(i, c) * minus

    return cells(z, y, cell, o.reduction)


def distribution_balanced(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o = known.config
    scale = o.scale or {"db": 1, "r_fl": 1, "ntr_fl": 0.5, "db_0fl": 0.5, "cb_ntr": 10}[o.variant]
    tolerant, rebalanced = o.variant != "r_fl", o.variant in ("db", "r_fl", "db_0fl")
    inverse = 1 / np.maximum(known.counts, 1)

    def weight(i: int, c: int) -> float:
        if o.variant == "cb_ntr":
            return effective(max(1, known.counts[c]), o.beta)
        if not rebalanced:
            return 1.0
        total = float((y[i] * inverse).sum())
        rate = inverse[c] / total if total else math.inf
        return o.map_alpha + (p_of(o.map_beta * (rate - o.map_mu)) if total else 1.0)

    def cell(i: int, c: int) -> tuple[float, float]:
        shift, lam = (o.kappa * log_odds(known, c), o.negative_scale) if tolerant else (0.0, 1.0)
        up, down = z[i, c] + shift, lam * (z[i, c] + shift)
        plus, minus = -log_p(up), -log_p(-down) / lam
        if o.variant != "db_0fl":
            plus *= o.alpha * p_of(-up) ** o.gamma
            minus *= (1 - o.alpha) * p_of(down) ** o.gamma
        return scale * weight(i, c) * plus, scale * weight(i, c) * minus

    return cells(z, y, cell, o.reduction)


def asymmetric_cell(z: float, at: float, o: Any) -> tuple[float, float]:
    """``at``: the logit of the focus."""
    p, p_at = p_of(z), p_of(at)
    above, above_at = max(p - o.margin, 0.0), max(p_at - o.margin, 0.0)
    minus = -math.log1p(-above) if o.margin else -log_p(-z)
    return -log_p(z) * p_of(-at) ** o.gamma_positive, minus * above_at**o.gamma_negative


def focus_at(z: np.ndarray, known: Any) -> np.ndarray:
    return known.focus_at if known.focus_at is not None and getattr(known.config, "detach_focus", False) else z


def asymmetric(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o, at = known.config, focus_at(z, known)
    return cells(z, y, lambda i, c: asymmetric_cell(z[i, c], at[i, c], o), o.reduction)


def hill(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o = known.config

    def cell(i: int, c: int) -> tuple[float, float]:
        up, p = z[i, c] - o.margin, p_of(z[i, c])
        return -(p_of(-up) ** o.gamma) * log_p(up), (o.lam - p) * p**2

    return cells(z, y, cell, o.reduction)


def splc(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o = known.config

    def cell(i: int, c: int) -> tuple[float, float]:
        up, plain = z[i, c] - o.margin, z[i, c]
        wrong = known.epoch >= o.first_epoch and p_of(plain) > o.tau
        low = plain if wrong else -plain
        return -(p_of(-up) ** o.gamma) * log_p(up), -(p_of(-low) ** o.gamma) * log_p(low)

    return cells(z, y, cell, o.reduction)


def ral(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o, at = known.config, focus_at(z, known)

    def cell(i: int, c: int) -> tuple[float, float]:
        p, p_at = p_of(z[i, c]), p_of(at[i, c])
        q, q_at = min(1 - p + o.margin, 1.0), min(1 - p_at + o.margin, 1.0)
        plus = -(math.log(p) + o.epsilon_positive * (1 - p) + o.epsilon_positive_squared / 2 * (1 - p) ** 2)
        minus = -(math.log(q) + o.epsilon_negative * q) * (o.lam - p) * p**2 * (o.lam - q)
        return plus * (1 - p_at) ** o.gamma_positive, minus * (1 - q_at) ** o.gamma_negative

    return cells(z, y, cell, o.reduction)


def mfm(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o, at = known.config, focus_at(z, known)
    counts = np.maximum(known.counts, 1)

    def cell(i: int, c: int) -> tuple[float, float]:
        v = (1 - math.log(counts[c] / max(counts))) ** o.power
        p, above_at = p_of(z[i, c]), max(p_of(at[i, c]) - o.margin, 0.0)
        plus = -log_p(z[i, c]) * p_of(-at[i, c]) ** o.gamma_positive
        minus = -math.log1p(-max(p - o.margin, 0.0)) * above_at ** (o.gamma_negative + v)
        return v * plus, v * minus

    return cells(z, y, cell, o.reduction)


def ghm(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o = known.config
    at = known.focus_at if known.focus_at is not None else z
    bins = np.array(
        [
            [min(int(abs(p_of(at[i, c]) - y[i, c]) * o.bins), o.bins - 1) for c in range(z.shape[1])]
            for i in range(len(z))
        ]
    )
    counts = {b: (bins == b).sum() * (1 - o.momentum if o.momentum else 1) for b in np.unique(bins)}

    def cell(i: int, c: int) -> tuple[float, float]:
        weight = z.size / counts[bins[i, c]] / len(counts)
        return -weight * log_p(z[i, c]), -weight * log_p(-z[i, c])

    return cells(z, y, cell, o.reduction)


def ldam(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o = known.config
    least = min(n for n in known.counts if n)

    def cell(i: int, c: int) -> tuple[float, float]:
        margin = o.most * (max(known.counts[c], least) / least) ** -0.25
        return -log_p(o.scale * (z[i, c] - margin)), -log_p(-o.scale * z[i, c])

    return cells(z, y, cell, o.reduction)


def logit_adjustment(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o = known.config

    def cell(i: int, c: int) -> tuple[float, float]:
        moved = z[i, c] + o.tau * log_odds(known, c)
        return -log_p(moved), -log_p(-moved)

    return cells(z, y, cell, o.reduction)


def zlpr(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    each = [
        math.log(1 + sum(math.exp(v) for v, t in zip(row, gold, strict=True) if not t))
        + math.log(1 + sum(math.exp(-v) for v, t in zip(row, gold, strict=True) if t))
        for row, gold in zip(z, y, strict=True)
    ]
    return float(np.mean(each))


def segmented(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o, counts, segment_of = known.config, known.counts, known.segment_of
    at = z
    if known.focus_at is not None and getattr(o.base, "detach_focus", False):
        at = known.focus_at
    total, present = 0.0, sorted(set(segment_of.tolist()))
    for s in present:
        members = [c for c in range(len(counts)) if segment_of[c] == s]
        seen = counts[members[0]] > 0
        mean = len(members) / sum(1 / counts[c] for c in members) if seen else 0.0
        for i in range(len(z)):
            rate = sum(1 / max(1, counts[c]) for c in members if y[i, c])
            for c in members:
                weight = (mean / counts[c]) ** o.alpha if seen else 1.0
                if o.reading == "instance" and rate:
                    weight = o.map_alpha + p_of(o.map_beta * (1 / max(1, counts[c]) / rate - o.map_mu))
                plus, minus = _term(z[i, c], at[i, c], o.base)
                minus *= o.negative_weight * (1.0 if o.positives_only else weight)
                total += (y[i, c] * weight * plus + (1 - y[i, c]) * minus) / len(members) / len(present) / len(z)
    return total * (z.shape[1] if o.reduction == "sum" else 1)


def _term(z: float, at: float, base: Any) -> tuple[float, float]:
    if base.kind == "bce":
        return -log_p(z), -log_p(-z)
    if base.kind == "focal":
        plus, minus = focal_cell(z, 0.5, base.gamma)
        return 2 * plus, 2 * minus
    return asymmetric_cell(z, at, base)


BASES: dict[str, Callable[[np.ndarray, np.ndarray, Any], float]] = {
    "bce": bce,
    "focal": focal,
    "asymmetric": asymmetric,
}


def of_base(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    """A loss that is its base when it sees logits alone."""
    from dataclasses import replace

    return BASES[known.config.base.kind](z, y, replace(known, config=known.config.base))


def hierarchical(z: np.ndarray, y: np.ndarray, known: Any) -> float:
    o = known.config
    above = [path[: o.levels] for path in known.paths]
    codes = sorted({code for path in above for code in path})
    total = 0.0
    for i in range(len(z)):
        for code in codes:
            members = [c for c, path in enumerate(above) if code in path]
            carried = [z[i, c] for c in members if y[i, c]]
            total += -log_p(max(carried)) if carried else -log_p(-max(z[i, c] for c in members))
    total /= len(z) * (len(codes) if o.base.reduction == "mean" else 1)
    return of_base(z, y, known) + o.weight * total
