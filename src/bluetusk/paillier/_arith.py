"""Computes on encrypted arrays, with the scale and the bound of every result.

The rules, for integers v of scale s with the proven bound B (a value is v / 2^s, or v / 10^s under a decimal plan):

====================  ===================================================  ==========================================
operation             scale                                                bound
====================  ===================================================  ==========================================
``a + b``, ``a - b``  the larger of both; the other is raised exactly      Ba and Bb, each raised likewise, added
``c + array``         s; the array is encoded at s, not clipped            B + largest encoded
``c * integers``      s                                                    B times the largest
``c * reals``         s + f; the reals are rounded half-even to f digits   B times the largest encoded
``M @ c``, ``c @ M``  s (+ f for reals)                                    B times the largest sum of sizes in a row
sums, histograms      s                                                    B times the number of summands
cumulative sums       s                                                    B times the length of the axis
====================  ===================================================  ==========================================

f is the plan's number of fractional bits (digits). The dtype of an operand, never its values, decides whether it counts
as real. A bound beyond the capacity, (n - 1) / 2 or 2^(l-1) - 1 in a slot of l bits, is refused before computing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._numeric import as_array, as_int, as_numbers, axis_index, axis_tuple, index_text, refuse_masks, refuse_missing
from .._powers import product_us
from . import _bounds, _sparse, _words
from ._base import CipherBase, refuse_given
from ._store import Index, Words, build
from .encrypting import residue_rows

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["NO_PRODUCT", "Arith"]

_MAX_BINS = 1 << 48

NO_PRODUCT = (
    "two encrypted arrays cannot be multiplied: Paillier adds ciphertexts and multiplies by plain numbers only; turn "
    "both into shares (c.to_shares, bt.sharing), where products are possible, or have one of them decrypted"
)


class Arith(CipherBase):
    """The part of an encrypted array that computes."""

    __slots__ = ()

    # --- sums of two encrypted arrays ---------------------------------------------------------------------------------

    def _combine(self, other: CipherBase, sign: int, what: str, *, disjoint: bool = False) -> Self:
        """Return ``self + sign * other``; `disjoint`: at every place one of the two is 0."""
        self._check_join(other, what)
        frac = max(self._frac, other._frac)
        lift_a, lift_b = (self._plan.base ** (frac - c._frac) for c in (self, other))
        sizes = self._bound * lift_a, other._bound * lift_b
        bound = self._check(max(sizes) if disjoint else sum(sizes), what)
        index_a, index_b = np.broadcast_arrays(self._index, other._index)
        a, ia = _words.lifted(self._mont, self._store.words, index_a, lift_a)
        b, ib = _words.lifted(self._mont, other._store.words, index_b, lift_b * sign)
        words = _words.products(self._mont, a, ia, b, ib)
        index = np.arange(len(ia), dtype=np.int64).reshape(index_a.shape)
        return self._derive(words, index, bound=bound, frac=frac, plan=self._common_plan(self._plan, other._plan))

    def _chosen(self, other: Arith, mask: NDArray[np.bool_]) -> Self:
        """Return this array's elements where a plain mask is true and those of `other` elsewhere, by arithmetic.

        Every element of the result is re-randomised before it leaves, so its receiver does not see the mask.
        """
        ones = mask.astype(np.int64)
        mine, theirs = self._times(ones, "where"), other._times(1 - ones, "where")
        # factors that are all 0 would make the bound 0, and the bound of the result, which travels, tell of the mask
        mine._bound, theirs._bound = self._bound, other._bound
        return mine._combine(theirs, 1, "where", disjoint=True)

    # --- plain numbers on one side ------------------------------------------------------------------------------------

    def _add_plain(self, a: NDArray[Any], sign: int, what: str) -> Self:
        """Return ``self + a`` for sign 1, ``a - self`` for sign -1."""
        shape = np.broadcast_shapes(self.shape, a.shape)
        target = self._packed_to(shape, what)
        ints = _bounds.encode(a, self._plan, self._frac, what)
        bound = self._check(self._bound + _bounds.largest(ints), what)
        rows = residue_rows(self._pub, np.broadcast_to(ints, shape), self._packing)
        kernel = self._pub._kernel
        src, idx = _words.lifted(self._mont, self._store.words, np.broadcast_to(self._index, target), sign)

        def work(dst: Words, lo: int, hi: int) -> None:
            kernel.mul_plain(dst, src, idx[lo:hi], rows(lo, hi), 0, hi - lo, False)

        words = build(self._mont, len(idx), work, cost_us=2 * product_us(self._mont))
        return self._derive(words, np.arange(len(idx), dtype=np.int64).reshape(target), bound=bound)

    def multiply(self, k: Any, *, secret: bool = False, threads: int | None = None) -> Self:
        """Return ``self * k``, optionally in a time that does not depend on `k`.

        Parameters
        ----------
        k : array_like of int or float
            As for ``*``; broadcast against the array.
        secret : bool
            Whether to hide `k` from whoever measures time or watches caches on this machine: every factor then takes
            the operations of 64 bits (``c * k`` follows the length and the digits of k). It hides nothing from the key
            holder, who sees the result; nor does it cover the conversion of reals or of Python's integers.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        CipherArray
            The same values as ``self * k``.

        Raises
        ------
        TypeError, ValueError, EncodingOverflow
            As for ``*``; ValueError if `secret` is set and a factor, at its scale, exceeds int64.

        Examples
        --------
        >>> priv.decrypt(pub.encrypt([1.5, -2.0]).multiply([-3, 4], secret=True))
        array([-4.5, -8. ])
        """
        a = _bounds.as_operand(k, "k")
        if a is None:
            raise TypeError(f"k must be a plain number or array, not {type(k).__name__}")
        return self._times(a, "multiply", secret=secret, threads=threads)

    def _times(self, a: NDArray[Any], what: str, *, secret: bool = False, threads: int | None = None) -> Self:
        shape = np.broadcast_shapes(self.shape, a.shape)
        factors, frac = _bounds.factors(a, self._plan, what)
        if self._packing is not None and a.ndim and a.shape[-1] != 1:
            raise ValueError(
                f"{what}: a packed array takes one factor for each ciphertext: give a number, or an array whose "
                f"last axis has length 1, not shape {a.shape}; or encrypt with packed=False"
            )
        target = self._packed_to(shape, what)
        bound = self._check(self._bound * _bounds.largest(factors), what)
        index = np.ascontiguousarray(np.broadcast_to(self._index, target)).ravel()
        flat = np.ascontiguousarray(np.broadcast_to(factors, target)).ravel()
        if secret and flat.dtype == object:
            raise ValueError(f"{what}: secret=True takes factors of at most 63 bits (reals: once scaled by the plan)")
        if secret:
            words = _words.secret_powers(self._mont, self._store.words, index, flat, threads=threads)
            at = np.arange(len(flat), dtype=np.int64)
        else:
            words, at = _words.powers(self._mont, self._store.words, index, flat, threads=threads)
        return self._derive(words, at.reshape(target), bound=bound, frac=self._frac + frac)

    def _matmul(self, a: NDArray[Any], left: bool, what: str) -> Self:
        """Return ``a @ self`` if `left`, else ``self @ a``, by the rules of numpy.matmul."""
        # both sides as matrices: c as (..., columns of the product, contracted), a as (..., rows, contracted)
        c, m = self._contracted(a.shape, left, what), _as_rows(a, left)
        batch = np.broadcast_shapes(c.shape[:-2], m.shape[:-2])
        plain, frac = _bounds.factors(a, self._plan, what)
        factors = _as_rows(plain, left)
        bound = self._check(self._bound * _bounds.largest_row_sum(factors), what)
        count, rows, contracted = math.prod(m.shape[:-2]), m.shape[-2], m.shape[-1]
        number = np.arange(count, dtype=np.int64).reshape(*m.shape[:-2], 1)
        which = np.broadcast_to(number, (*batch, c.shape[-2])).reshape(-1)
        columns = np.broadcast_to(c, (*batch, *c.shape[-2:])).reshape(len(which), contracted)
        words, at = _words.multiexp(
            self._mont, self._store.words, columns, which, factors.reshape(count, rows, contracted)
        )
        index = self._product_shape(at.reshape(*batch, c.shape[-2], rows), a.ndim, left)
        return self._derive(words, index, bound=bound, frac=self._frac + frac)

    def _matmul_sparse(self, a: Any, left: bool, what: str) -> Self:
        """Return the same for a sparse matrix, at a cost that follows its entries."""
        c = self._contracted(a.shape, left, what)
        entries, frac = _sparse.entries_of(a, left, self._plan, what)
        bound = self._check(self._bound * entries.largest_row_sum(), what)
        columns = np.ascontiguousarray(c.reshape(math.prod(c.shape[:-1]), c.shape[-1]))
        words, at = _sparse.multiexp(self._mont, self._store.words, columns, entries)
        index = self._product_shape(at.reshape(*c.shape[:-1], entries.rows), a.ndim, left)
        return self._derive(words, index, bound=bound, frac=self._frac + frac)

    def _contracted(self, shape: tuple[int, ...], left: bool, what: str) -> Index:
        """Return the index as (..., columns of the product, contracted) for a product with a plain array of a shape."""
        if not self.ndim or not shape:
            raise ValueError(f"{what}: matmul needs arrays with axes: use * for a single number")
        if self._packing is not None and (not left or self.ndim == 1):
            self._refuse_packed(f"{what}: contracting the last axis", "contract a leading axis")
        c = np.expand_dims(self._index, 0 if not left else -1) if self.ndim == 1 else self._index
        c = np.swapaxes(c, -1, -2) if left else c
        length = shape[-1 if left or len(shape) == 1 else -2]
        if c.shape[-1] != length:
            raise ValueError(
                f"{what}: shapes {shape if left else self.shape} and {self.shape if left else shape} do not fit: "
                f"the contracted axes have lengths {length} and {c.shape[-1]}"
            )
        return c

    def _product_shape(self, index: Index, plain_axes: int, left: bool) -> Index:
        """Return the index of a product, one row for each column of c, in the shape that numpy.matmul gives it."""
        index = np.swapaxes(index, -1, -2) if left else index
        if self.ndim == 1:
            index = np.squeeze(index, -1 if left else -2)
        if plain_axes == 1:
            index = np.squeeze(index, (-2 if self.ndim > 1 else -1) if left else -1)
        return index

    # --- reductions ---------------------------------------------------------------------------------------------------

    def sum(
        self,
        axis: int | tuple[int, ...] | None = None,
        dtype: None = None,
        out: None = None,
        keepdims: bool = False,
        initial: None = None,
        where: None = None,
        *,
        threads: int | None = None,
    ) -> Self:
        """Return the encrypted sum over axes.

        Parameters
        ----------
        axis : int or tuple of int, optional
            The axes to sum over; all by default. Of a packed array, leading axes only.
        dtype, out, initial, where
            In NumPy's places; refused unless None.
        keepdims : bool
            Whether summed axes stay with length 1.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        CipherArray
            An empty sum is an encrypted 0.

        Raises
        ------
        EncodingOverflow
            If the bound times the number of summands exceeds the capacity.
        TypeError
            If an argument that is not taken is given.
        ValueError
            If a packed array would be summed over its last axis.

        Examples
        --------
        >>> c = pub.encrypt([[1.0, 2.0], [0.5, 0.25]])
        >>> priv.decrypt(c.sum(axis=0))
        array([1.5 , 2.25])
        """
        refuse_given("the sum", dtype=dtype, out=out, initial=initial, where=where)
        refuse_masks(axis, "axis")
        axes = tuple(range(self.ndim)) if axis is None else axis_tuple(axis, self.ndim)
        if self._packing is not None and self.ndim - 1 in axes:
            self._refuse_packed("sum over the last axis", "sum over leading axes, such as axis=0")
        count = math.prod(self._index.shape[i] for i in axes)
        bound = self._check(self._bound * count, "sum")
        kept = tuple(i for i in range(self.ndim) if i not in axes)
        shape = tuple(self._index.shape[i] for i in kept)
        rows = self._index.transpose(kept + axes).reshape(math.prod(shape), count)
        words, at = _words.row_products(self._mont, self._store.words, rows, threads=threads)
        index = at.reshape(shape)
        if keepdims:
            index = np.expand_dims(index, axes)
        return self._derive(words, index, bound=bound)

    def cumsum(
        self, axis: int | None = None, dtype: None = None, out: None = None, *, threads: int | None = None
    ) -> Self:
        """Return the encrypted sums of the first 1, 2, ... elements along an axis.

        Parameters
        ----------
        axis : int, optional
            The axis; the ravelled array by default. Of a packed array, a leading axis.
        dtype, out
            In NumPy's places; refused unless None.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        CipherArray
            Of the same shape, or of one axis without `axis`.

        Raises
        ------
        EncodingOverflow
            If the bound times the length of the axis exceeds the capacity.
        TypeError
            If an argument that is not taken is given.
        ValueError
            If the axis does not exist, or a packed array would be summed along its last one.

        Examples
        --------
        >>> c = pub.encrypt([[1.0, 2.0], [0.5, 0.25]])
        >>> priv.decrypt(c.cumsum(axis=0))
        array([[1.  , 2.  ],
               [1.5 , 2.25]])
        >>> priv.decrypt(c.cumsum())
        array([1.  , 3.  , 3.5 , 3.75])
        """
        refuse_given("the cumulative sum", dtype=dtype, out=out)
        if axis is None and self.ndim != 1:
            self._refuse_packed("ravel", "reshape the leading axes")
        whole = self._index.ravel() if axis is None else self._index
        at = axis_index(0 if axis is None else as_int(axis, "axis"), whole.ndim)
        if self._packing is not None and at == whole.ndim - 1:
            self._refuse_packed("cumsum along the last axis", "sum along a leading axis, such as axis=0")
        index = np.moveaxis(whole, at, -1)
        bound = self._check(self._bound * index.shape[-1], "cumsum")
        rows = index.reshape(math.prod(index.shape[:-1]), index.shape[-1])
        words, where = _words.running_products(self._mont, self._store.words, rows, threads=threads)
        return self._derive(words, np.moveaxis(where.reshape(index.shape), -1, at), bound=bound)

    def bincount(self, codes: Any, n_bins: int, *, threads: int | None = None) -> Self:
        """Return an encrypted histogram, or one for each feature: the sums of the rows of each bin.

        Parameters
        ----------
        codes : array_like of int or bool, shape (len(self),) or (len(self), features)
            The bin of each row, ``0 <= code < n_bins``; with two axes, one column for each feature. Small integer types
            save memory. Codes stay plain, and the time depends on them. Give missing values a separate bin.
        n_bins : int
            Number of bins, 0 to 2^48; 0 only where there are no codes.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        CipherArray, shape (n_bins,) + self.shape[1:] or (features, n_bins) + self.shape[1:]
            Element ``b`` is the sum of ``self[codes == b]``, element ``[f, b]`` that of ``self[codes[:, f] == b]``; an
            empty bin is an encrypted 0. Many features at once cost one pass over the ciphertexts.

        Raises
        ------
        TypeError
            If the codes or `n_bins` are not integers.
        ValueError
            If `codes` has another shape, `n_bins` is out of range, or a code is not below it (naming the first such
            code).
        EncodingOverflow
            If the bound times the number of rows exceeds the capacity.
        MemoryError
            If the bins do not fit in memory.

        Examples
        --------
        >>> c = pub.encrypt([1.0, 2.0, 3.0, 4.0])
        >>> priv.decrypt(c.bincount([0, 2, 0, 2], 3))
        array([4., 0., 6.])

        Gradients and Hessians by the bins of two features, as gradient boosting needs them:

        >>> gh = pub.encrypt([[0.5, 0.25], [-0.5, 0.25], [0.25, 0.125]])
        >>> histograms = gh.bincount([[0, 1], [1, 1], [0, 0]], 2)
        >>> histograms.shape
        (2, 2, 2)
        >>> priv.decrypt(histograms[0])  # feature 0: a row for each bin
        array([[ 0.75 ,  0.375],
               [-0.5  ,  0.25 ]])
        """
        if not self.ndim:
            raise ValueError("bincount needs an array with at least one axis")
        if self._packing is not None and self.ndim == 1:
            self._refuse_packed("bincount over the last axis", "encrypt the rows along a leading axis")
        bins = as_int(n_bins, "n_bins", 0, _MAX_BINS)
        checked = _check_codes(codes, self.shape[0], bins)
        bound = self._check(self._bound * self.shape[0], "bincount")
        rest = self._index.shape[1:]
        index = self._flat().reshape(self.shape[0], math.prod(rest))
        columns = checked[:, None] if checked.ndim == 1 else checked
        words, at = _words.histogram(self._mont, self._store.words, index, columns, bins, threads=threads)
        return self._derive(words, at.reshape(*checked.shape[1:], bins, *rest), bound=bound)

    # --- operators ----------------------------------------------------------------------------------------------------

    def _apply(self, name: str, other: object, *, left: bool = False) -> Any:
        """Return the result of an operator; `left`: whether `other` is the left operand."""
        what = f"array {name} c" if left else f"c {name} array"
        if isinstance(other, CipherBase):
            if name in "*@":
                raise TypeError(NO_PRODUCT)
            return self._combine(other, 1 if name == "+" else -1, f"c {name} d")
        if _sparse.is_sparse(other):
            if name == "@":
                return self._matmul_sparse(other, left, what)
            raise TypeError(f"{what}: a sparse matrix is an operand of @ only: use its toarray() for + - *")
        a = _bounds.as_operand(other, f"the operand of {what}")
        if a is None:
            return NotImplemented
        if name == "*":
            return self._times(a, what)
        if name == "@":
            return self._matmul(a, left, what)
        if name == "+":
            return self._add_plain(a, 1, what)
        if left:
            return self._add_plain(a, -1, what)
        opposite = np.asarray(-a) if _bounds.is_real(a) else _bounds.negated(_bounds.narrow(a))
        return self._add_plain(opposite, 1, what)

    def __add__(self, other: object) -> Self:
        return self._apply("+", other)  # type: ignore[no-any-return]

    def __radd__(self, other: object) -> Self:
        return self._apply("+", other, left=True)  # type: ignore[no-any-return]

    def __sub__(self, other: object) -> Self:
        return self._apply("-", other)  # type: ignore[no-any-return]

    def __rsub__(self, other: object) -> Self:
        return self._apply("-", other, left=True)  # type: ignore[no-any-return]

    def __mul__(self, other: object) -> Self:
        _refuse_matrix(other)
        return self._apply("*", other)  # type: ignore[no-any-return]

    def __rmul__(self, other: object) -> Self:
        _refuse_matrix(other)
        return self._apply("*", other, left=True)  # type: ignore[no-any-return]

    def __matmul__(self, other: object) -> Self:
        return self._apply("@", other)  # type: ignore[no-any-return]

    def __rmatmul__(self, other: object) -> Self:
        return self._apply("@", other, left=True)  # type: ignore[no-any-return]

    def __pos__(self) -> Self:
        return self._view(self._index)

    def __neg__(self) -> Self:
        words, at = _words.inverses(self._mont, self._store.words, self._flat())
        return self._derive(words, at.reshape(self._index.shape), bound=self._bound)


def _refuse_matrix(x: object) -> None:
    if isinstance(x, np.matrix):
        raise TypeError(
            "* with a numpy.matrix is the product of matrices, with an array that of elements: use @ for the first, "
            "numpy.asarray(matrix) for the second"
        )


def _as_rows(a: NDArray[Any], left: bool) -> NDArray[Any]:
    """Return the plain side of a product as matrices (..., rows, contracted)."""
    m = np.expand_dims(a, 0 if left else -1) if a.ndim == 1 else a
    return m if left else np.swapaxes(m, -1, -2)


def _check_codes(codes: Any, rows: int, bins: int) -> NDArray[Any]:
    if isinstance(codes, CipherBase):
        raise TypeError("codes must be plain integers, not an encrypted array")
    if isinstance(codes, bytearray):
        raise TypeError("codes must be integers, not bytes: use numpy.frombuffer if its bytes are codes")
    refuse_missing(codes, "codes")
    a = as_array(codes, "codes")  # not as_numbers(): small integer types stay small
    if a.dtype.kind == "b":
        a = a.view(np.uint8)
    elif a.dtype.kind == "O":  # Python's or pandas' integers
        exact = as_numbers(codes, "codes")
        a = a if _bounds.is_real(exact) else _bounds.narrow(exact)
    if a.dtype.kind not in "iu":
        if a.size:
            raise TypeError(f"codes must be integers, not {a.dtype}: round or cut the data into bins first")
        a = a.astype(np.int64)
    if a.ndim not in (1, 2) or len(a) != rows:
        raise ValueError(f"codes must have shape ({rows},) or ({rows}, features), one row for each row, not {a.shape}")
    if not bins and a.size:
        raise ValueError(f"n_bins is 0, but there are {a.size} codes: raise n_bins to the largest code + 1")
    if a.size and (a.min() < 0 or a.max() >= bins):
        first = int(np.argmax(((a < 0) | (a >= bins)).reshape(-1)))
        where = index_text("codes", a.shape, first)
        raise ValueError(f"{where} is {a.flat[first]}, outside 0 .. {bins - 1}: raise n_bins or correct the codes")
    return a
