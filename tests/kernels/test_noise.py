"""The kernel of the samplers: what it refuses; where it decides, it agrees with the rule in Python's integers."""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction

import numpy as np
import pytest

from bluetusk._kernels import noise as kernel

TOP = 2**63 - 1


def table(thresholds: list[int], shift: int = 0, slope: int = 0) -> kernel.Table:
    guide = [bisect_left(thresholds, g << 63 - kernel.GUIDE_BITS) for g in range(1 << kernel.GUIDE_BITS)]
    return kernel.Table(np.array(thresholds, np.uint64), np.array(guide, np.uint16), shift, slope)


def draw(t: kernel.Table, words: list[list[int]]) -> tuple[list[int], list[int]]:
    out = np.full(len(words), 77, np.int64)
    undecided = np.empty(len(words), np.uint32)
    k = kernel.draw(t, np.array(words, np.uint64).reshape(-1), out, undecided)
    return out.tolist(), undecided[:k].tolist()


def test_without_blocks() -> None:
    t = table([10, 10, 20, TOP])
    us = [0, 9, 10, 11, 19, 20, 21, 2**62, TOP - 1, TOP]
    out, undecided = draw(t, [[u << 1 | sign] for u in us for sign in (0, 1)])
    assert undecided == [4, 5, 10, 11, 18, 19]  # u = 10, 20 and 2^63 - 1: equal to a threshold
    assert out == [0, 0, 0, 0, 0, 0, 2, -2, 2, -2, 0, 0, 3, -3, 3, -3, 3, -3, 0, 0]


def test_blocks_keep_what_is_surely_kept() -> None:
    shift, slope = 3, 2**58
    t = table([1 << 40, TOP], shift, slope)
    cases = []
    for j in (0, 1):
        for y in range(8):
            for r in (0, 1, 2**50, 2**56, 2**57, 2**58, 3 * 2**58, 2**63):
                cases += [[((1 << 41) * j + 5) << 1 | sign, y << 61, r] for sign in (0, 1)]
    out, undecided = draw(t, cases)
    for i, (first, second, third) in enumerate(cases):
        j, y, sign = int(first >> 1 > 1 << 40), second >> 61, first & 1
        refused = Fraction(y, 8) * (2 * j + 1) * slope  # at most so many of 2^64
        x = 8 * j + y
        if i in undecided:
            assert out[i] == 0
            assert third < refused + 1 or (sign and x == 0)
        else:
            assert out[i] == (-x if sign else x)
            assert third >= refused
            assert not (sign and x == 0)


def test_refusals() -> None:
    guide = np.zeros(1 << kernel.GUIDE_BITS, np.uint16)
    one = np.array([TOP], np.uint64)
    kernel.Table(one, guide, kernel.MAX_SHIFT, 2**64 - 1)
    for thresholds in ([], [5], [TOP - 1], [2**63], [7, 6, TOP], [0] * kernel.MAX_COUNT + [TOP]):
        with pytest.raises(ValueError, match="threshold"):
            kernel.Table(np.array(thresholds, np.uint64), guide, 0, 0)
    with pytest.raises(ValueError, match="guide must have"):
        kernel.Table(one, guide[1:], 0, 0)
    guide[-1] = 1
    with pytest.raises(ValueError, match="indices"):
        kernel.Table(one, guide, 0, 0)
    guide[-1] = 0
    with pytest.raises(ValueError, match="shift"):
        kernel.Table(one, guide, kernel.MAX_SHIFT + 1, 0)
    with pytest.raises(ValueError, match="slope"):
        kernel.Table(np.array([1, TOP], np.uint64), guide, 1, (2**64 - 1) // 3 + 1)


def test_sizes_are_checked() -> None:
    t = table([5, TOP], 1, 1)
    out, undecided = np.empty(2, np.int64), np.empty(2, np.uint32)
    assert kernel.draw(t, np.empty(0, np.uint64), out[:0], undecided[:0]) == 0
    for words, room in ((5, 2), (7, 2), (6, 1)):
        with pytest.raises(ValueError, match="words must have 3"):
            kernel.draw(t, np.zeros(words, np.uint64), out, undecided[:room])


def test_a_table_keeps_what_was_checked() -> None:
    """Neither an object that no constructor made nor arrays that change afterwards reach the kernel."""
    with pytest.raises(TypeError):
        kernel.Table.__new__(kernel.Table)
    thresholds = np.array([10, 10, 20, TOP], np.uint64)
    guide = np.array(
        [bisect_left(thresholds, g << 63 - kernel.GUIDE_BITS) for g in range(1 << kernel.GUIDE_BITS)], "u2"
    )
    t = kernel.Table(thresholds, guide, 0, 0)
    words = [[9], [10], [11], [TOP - 1]]
    before = draw(t, words)
    thresholds[:] = 0
    guide[:] = 60_000
    assert draw(t, words) == before
