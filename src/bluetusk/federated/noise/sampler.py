"""Exact samples from a law: a table for the compiled kernel, and as many more bits as a sample takes.

A sample is what :meth:`Sampler.settle` says of an endless string of uniform bits: it compares uniform real numbers,
known to ever more bits, with probabilities, known to ever more bits. The kernel gives the same answers as far as the
first bits decide; the method does the rest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from itertools import accumulate
from math import isqrt

import numpy as np
import numpy.typing as npt

from ..._kernels import noise as _kernel
from ..._random import Stream
from .laws import Law

__all__ = ["Sampler"]

_U_BITS = 63
_TOP = (1 << _U_BITS) - 1
_BATCH = 1 << 13  # samples whose words are drawn at once: 64 KB, or 192
_FINE = 9  # sigma / m < 2^9


class Bits:
    """A uniform real number in [0, 1), of which the first bits are known and the others are drawn when needed."""

    def __init__(self, value: int, bits: int, stream: Stream) -> None:
        self._value, self._bits, self._stream = value, bits, stream

    def prefix(self, n: int) -> int:
        """Return the first n bits as an integer."""
        while self._bits < n:
            self._value = self._value << 64 | int(self._stream.uint64(1)[0])
            self._bits += 64
        return self._value >> self._bits - n

    def below(self, enclosure: Callable[[int], tuple[int, int]], prec: int) -> bool:
        """Tell whether it is below a number that is given as integers enclosing ``2**prec`` times it, for any prec."""
        while True:
            low, high = enclosure(prec)
            known = self.prefix(prec)
            if known < low:  # known + 1 <= low: the bits that are not known cannot reach it
                return True
            if known >= high:
                return False
            prec += 64


class Sampler:
    """Samples of a law, whose variance is at most 2^80.

    Parameters
    ----------
    law : Law
        Gaussian or Skellam.
    """

    def __init__(self, law: Law) -> None:
        self._law = law
        self.shift = max(0, isqrt(int(law.variance)).bit_length() - _FINE)
        thresholds = self._thresholds()
        starts = np.arange(1 << _kernel.GUIDE_BITS, dtype=np.uint64) << np.uint64(_U_BITS - _kernel.GUIDE_BITS)
        guide = np.searchsorted(thresholds, starts).astype(np.uint16)
        # 1 - mass(jm + y) / mass(jm) <= y (2jm + y + 1) / (2 variance) for both laws, and y + 1 <= m
        slope = -(-(Fraction(1 << 64 + 2 * self.shift) / (2 * law.variance)) // 1) if self.shift else 0
        self.thresholds: list[int] = thresholds.tolist()
        self.table = _kernel.Table(thresholds, guide, self.shift, slope)

    def _cumulative(self, prec: int) -> tuple[list[int], int, int]:
        """Return S, low, high: blocks 0 .. j weigh S[j] to S[j] + 4 (j + 1), all of them low to high."""
        weights = self._law.weights(self.shift, prec)
        if self.shift == 0:  # 0 has one sign, the others two
            weights = [weights[0], *(2 * w for w in weights[1:])]
        sums = list(accumulate(weights))
        return sums, sums[-1], sums[-1] + 4 * len(sums) + 2

    def _thresholds(self) -> npt.NDArray[np.uint64]:
        prec = 128
        while True:
            sums, total, most = self._cumulative(prec)
            low = [min((s << _U_BITS) // most, _TOP) for s in sums]
            high = [min((s + 4 * (j + 1) << _U_BITS) // total, _TOP) for j, s in enumerate(sums)]
            if low == high and low[-1] == _TOP:  # so these are the thresholds; about always with the first prec
                return np.array(low[: low.index(_TOP) + 1], dtype=np.uint64)
            prec += 64

    def block_bounds(self, j: int, prec: int) -> tuple[int, int]:
        """Return integers that enclose ``2**prec`` times the probability of the blocks 0 .. j."""
        sums, total, most = _cumulative(self, prec + 64)
        last = min(j, len(sums) - 1)
        high = 1 << prec if j > last else min(-(-(sums[j] + 4 * (j + 1) << prec) // total), 1 << prec)
        return (sums[last] << prec) // most, high

    def settle(self, words: Sequence[int], stream: Stream) -> int | None:
        """Return the sample that the words begin, drawing more words as needed; None if it is refused."""
        sign, known = words[0] & 1, words[0] >> 1
        j = bisect_left(self.thresholds, known)
        if self.thresholds[j] == known:
            u = Bits(known, _U_BITS, stream)
            while not u.below(partial(self.block_bounds, j), 128):
                j += 1
        x = j
        if self.shift:
            y = words[1] >> 64 - self.shift
            x = (j << self.shift) + y
            if Bits(words[2], 64, stream).below(partial(self._law.drop, j << self.shift, y), 64):
                return None
            if sign and not x:
                return None
        return -x if sign else x

    def fill(self, out: npt.NDArray[np.int64], stream: Stream) -> None:
        """Overwrite a one-dimensional array with samples; the words come from the stream, in order."""
        per = self.table.words
        words = np.empty(min(_BATCH, out.size) * per, np.uint64)
        open_ = np.empty(min(_BATCH, out.size), np.uint32)
        for lo in range(0, out.size, _BATCH):
            part = out[lo : lo + _BATCH]
            used = words[: part.size * per]
            stream.fill(used)
            undecided = open_[: _kernel.draw(self.table, used, part, open_)]
            for i, first in zip(undecided.tolist(), used.reshape(-1, per)[undecided].tolist(), strict=True):
                sample = self.settle(first, stream)
                while sample is None:
                    sample = self.settle(stream.uint64(per).tolist(), stream)
                # a sample beyond 2^63, if there ever is one, keeps its residue, which is what a ring wants
                part[i] = (sample + (1 << 63)) % (1 << 64) - (1 << 63)


@lru_cache(maxsize=1)
def _cumulative(sampler: Sampler, prec: int) -> tuple[list[int], int, int]:
    return sampler._cumulative(prec)
