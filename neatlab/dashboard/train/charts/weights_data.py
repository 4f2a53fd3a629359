"""The weights of one layer as the page gets them: pooled on the server, in so many bytes and no more."""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from neatlab.analysis.pooling import CELLS, pooled
from neatlab.analysis.weight_frames import Kind

MAX_BYTES = 40_000  # of an update
SIDES = (CELLS, 80, 64, 48, 32, 24, 16, 8)  # cells along a side: as many as fit
MAX_UNITS = 24  # hidden units, or columns of B, that are shown one by one
DIRECTIONS = 8  # leading singular ones
FINE, COARSE = np.int16, np.int8  # factors, of which the page makes products, and pictures

Matrices = Mapping[str, NDArray]
Encoded = dict[str, Any]


@dataclass(frozen=True)
class ArmWeights:
    """One arm's layer at one step.

    Args:
        name: The arm for people.
        colour: Its colour.
        kind: How ΔW is stored; None where the run has nothing of this layer.
        step: The step that it is from.
        parts: What is stored, as `StoredWeights.frame` reads it.
        note: Why there is nothing, or what else there is to say.
        labels: Names of the left and the right factor.
    """

    name: str
    colour: str
    kind: Kind | None
    step: int = 0
    parts: Matrices = field(default_factory=dict)
    note: str = ""
    labels: tuple[str, str] = ("", "")

    @property
    def factors(self) -> tuple[NDArray, NDArray] | None:
        """d_out × r and r × d_in; None where ΔW is stored otherwise."""
        return (self.parts["left"], self.parts["right"]) if "left" in self.parts else None

    @property
    def norm(self) -> float:
        """‖ΔW‖_F."""
        return float(np.sqrt(np.square(self.parts["sigma"], dtype=float).sum())) if self.parts else math.nan

    @cached_property
    def directions(self) -> tuple[NDArray, NDArray]:
        """Leading left (d_out × k) and right (k × d_in) singular vectors of ΔW, from its factors alone."""
        if self.factors is None:
            return np.zeros((0, 0)), np.zeros((0, 0))
        left, right = (factor.astype(np.float64) for factor in self.factors)
        (q_left, r_left), (q_right, r_right) = np.linalg.qr(left), np.linalg.qr(right.T)
        u, s, vh = np.linalg.svd(r_left @ r_right.T)
        count = min(DIRECTIONS, int((s > 1e-6 * s[0]).sum()))  # those beyond have no direction
        return q_left @ u[:, :count], vh[:count] @ q_right.T


@dataclass(frozen=True)
class LayerWeights:
    """A layer of all arms.

    Args:
        layer: Its name.
        shape: (d_out, d_in).
        base: W₀, and the true ΔW where the task knows it, pooled.
        arms: The arms.
        compared: The two arms whose difference is shown, the second less the first; empty without two.
    """

    layer: str
    shape: tuple[int, int]
    base: Matrices
    arms: list[ArmWeights]
    compared: tuple[int, ...] = ()

    def encoded(self, text: str) -> Encoded:
        """What the page draws, with as many cells as fit into MAX_BYTES.

        Args:
            text: The same in words.
        """
        for cells in SIDES:
            made = self._encoded(cells, text)
            if len(orjson.dumps(made)) <= MAX_BYTES:
                break
        return made

    def _encoded(self, cells: int, text: str) -> Encoded:
        d_out, d_in = self.shape
        base = {
            name: _encode(pooled(self.base[name], cells, cells), COARSE)
            for name in ("weight", "true")
            if name in self.base
        }
        return {
            "layer": self.layer,
            "shape": self.shape,
            "cells": [min(d_out, cells), min(d_in, cells)],
            **base,
            "arms": [_arm(arm, cells) for arm in self.arms],
            "compared": self.compared,
            "text": text,
        }


def cosine(a: ArmWeights, b: ArmWeights) -> float:
    """⟨ΔWₐ, ΔW_b⟩ / (‖ΔWₐ‖ ‖ΔW_b‖), from the factors alone; NaN where one is 0 or not stored as factors."""
    if a.factors is None or b.factors is None or not a.norm * b.norm > 0:
        return math.nan
    (a_left, a_right), (b_left, b_right) = a.factors, b.factors
    product = (a_left.T.astype(float) @ b_left) * (a_right.astype(float) @ b_right.T)
    return float(product.sum()) / (a.norm * b.norm)


def _arm(arm: ArmWeights, cells: int) -> Encoded:
    if arm.kind is None:
        return {"name": arm.name, "colour": arm.colour, "kind": None, "note": arm.note}
    parts = dict(arm.parts)
    sigma = parts.pop("sigma")[:DIRECTIONS]
    maps = {"delta": _encode(pooled(parts.pop("delta"), cells, cells), COARSE)} if "delta" in parts else {}
    left, right = arm.factors or (np.zeros((0, 0)), np.zeros((0, 0)))
    rank = left.shape[1]
    if rank > MAX_UNITS:
        maps["delta"] = _encode(pooled(left, cells, rank) @ pooled(right, rank, cells), COARSE)
    maps |= {part: _encode(_pooled(part, matrix, cells), FINE) for part, matrix in parts.items()}
    u, v = arm.directions
    return {
        "name": arm.name,
        "colour": arm.colour,
        "kind": arm.kind,
        "labels": arm.labels,
        "rank": rank,
        "depth": 2 + sum(part.startswith("inner") for part in parts),
        "step": arm.step,
        "note": arm.note,
        "maps": maps,
        "sigma": [_short(value) for value in sigma.tolist()],
        "u": _encode(pooled(u, cells, DIRECTIONS), FINE),
        "v": _encode(pooled(v, DIRECTIONS, cells), FINE),
    }


def _pooled(part: str, matrix: NDArray, cells: int) -> NDArray:
    """A part with at most `cells` along the layer's sides and MAX_UNITS along the hidden one."""
    if part.startswith("inner"):  # of which a deep network has many
        return pooled(matrix, min(MAX_UNITS, cells // 4), min(MAX_UNITS, cells // 4))
    return pooled(matrix, cells, MAX_UNITS) if part == "left" else pooled(matrix, MAX_UNITS, cells)


def _encode(matrix: NDArray, kind: type[np.int8] | type[np.int16]) -> Encoded:
    """A matrix as whole numbers, shares of its largest entry."""
    values = np.nan_to_num(matrix, posinf=0.0, neginf=0.0)
    largest, steps = float(np.abs(values).max(initial=0.0)), np.iinfo(kind).max
    numbers = np.rint(values * (steps / largest) if largest else values).astype(kind)
    return {
        "cells": list(matrix.shape),
        "largest": largest,
        "bits": numbers.itemsize * 8,
        "data": base64.b64encode(numbers.tobytes()).decode(),
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")
