"""NumPy's linear functions on an encrypted array and plain ones: products, differences, triangles, Einstein sums.

Each is composed of the array's own operators, which know scales and bounds, and of its views. Two encrypted arrays are
added, subtracted and chosen from; their product is refused.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from .._numeric import as_array, as_int, as_numbers, axis_index, axis_tuple, is_real
from . import _bounds, _sparse
from ._arith import NO_PRODUCT
from ._base import CipherBase
from ._join import encrypted, joined, zeros

if TYPE_CHECKING:
    from . import CipherArray

__all__ = [
    "broadcast_arrays",
    "compress",
    "contracted",
    "cumulative_sum",
    "diff",
    "dot",
    "einsum",
    "extract",
    "full_like",
    "inner",
    "kron",
    "matrix_transpose",
    "matvec",
    "ones_like",
    "outer",
    "tensordot",
    "trace",
    "tril",
    "triu",
    "unstack",
    "vdot",
    "vecdot",
    "vecmat",
    "where",
    "zeros_like",
]


def _one(c: Any, name: str) -> CipherArray:
    """Return the encrypted array that a function is about, which must not be another of its arguments."""
    if not isinstance(c, CipherBase):
        raise TypeError(f"numpy.{name}: the array must be the encrypted one, and the other arguments plain")
    return cast("CipherArray", c)


def _operand(x: Any, name: str) -> Any:
    """Return plain numbers as an array of exact numbers, and an encrypted array as it is."""
    if isinstance(x, CipherBase):
        return x
    if _sparse.is_sparse(x):
        raise TypeError(f"{name} is a sparse matrix, which is an operand of @ and dot only: give its toarray()")
    plain = _bounds.as_operand(x, name)
    if plain is None:
        raise TypeError(f"{name} must be an encrypted array or plain numbers, not {type(x).__name__}")
    return plain


def _factors(a: Any, b: Any, names: tuple[str, str] = ("a", "b")) -> tuple[Any, Any]:
    """Return the operands of a product, of which one is encrypted."""
    if isinstance(a, CipherBase) and isinstance(b, CipherBase):
        raise TypeError(NO_PRODUCT)
    return _operand(a, names[0]), _operand(b, names[1])


# --- one array --------------------------------------------------------------------------------------------------------


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> CipherArray:
    """As numpy.diff."""
    like = next((x for x in (a, prepend, append) if isinstance(x, CipherBase)), None)
    c = encrypted(a, cast("CipherArray", like), "diff: a")
    times = as_int(n, "n", 0)
    if times == 0:
        return c
    if not c.ndim:
        raise ValueError("diff needs an array with at least one axis")
    at = axis_index(axis, c.ndim)
    if at == c.ndim - 1:
        c._refuse_packed("diff along the last axis", "subtract along a leading axis, such as axis=0")
    ends = []
    for x, name in ((prepend, "prepend"), (append, "append")):
        if x is not None:
            edge = (*c.shape[:at], 1, *c.shape[at + 1 :])
            x = encrypted(x, c, f"diff: {name}", None if np.ndim(x) else edge)
            ends.append(x if x.ndim else x.broadcast_to(edge))
    if prepend is not None:
        c = joined([ends[0], c], at, "diff")
    if append is not None:
        c = joined([c, ends[-1]], at, "diff")
    if times >= c.shape[at]:
        return c[(slice(None),) * at + (slice(0),)]
    after, before = (slice(None),) * at + (slice(1, None),), (slice(None),) * at + (slice(None, -1),)
    for _ in range(times):
        c = c[after] - c[before]
    return c


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> CipherArray:
    """As numpy.trace."""
    found = _one(a, "trace").diagonal(offset, axis1, axis2)
    return found.sum(-1)


def tril(m: Any, k: int = 0) -> CipherArray:
    """As numpy.tril."""
    return _one(m, "tril") * _triangle(m, "tril", as_int(k, "k"))


def triu(m: Any, k: int = 0) -> CipherArray:
    """As numpy.triu."""
    return _one(m, "triu") * (1 - _triangle(m, "triu", as_int(k, "k") - 1))


def _triangle(c: CipherBase, name: str, k: int) -> NDArray[np.int64]:
    if not c.ndim:
        raise TypeError(f"{name} needs an array with at least one axis, not a single number")
    rows, columns = (c.shape * 2)[-2:] if c.ndim == 1 else c.shape[-2:]
    return np.tri(rows, columns, max(-rows, min(k, columns)), dtype=np.int64)


def unstack(x: Any, *, axis: int = 0) -> tuple[CipherArray, ...]:
    """As numpy.unstack."""
    c = _one(x, "unstack")
    if not c.ndim:
        raise ValueError("unstack needs an array with at least one axis")
    at = axis_index(axis, c.ndim)
    return tuple(c[(slice(None),) * at + (i,)] for i in range(c.shape[at]))


def matrix_transpose(x: Any) -> CipherArray:
    """As numpy.matrix_transpose."""
    c = _one(x, "matrix_transpose")
    if c.ndim < 2:
        raise ValueError(f"matrix_transpose needs an array with at least two axes, not one of shape {c.shape}")
    return c.swapaxes(-1, -2)


def cumulative_sum(x: Any, *, axis: int | None = None, include_initial: bool = False) -> CipherArray:
    """As numpy.cumulative_sum."""
    c = _one(x, "cumulative_sum")
    c = c if c.ndim else c.reshape(1)
    if axis is None and c.ndim > 1:
        raise ValueError("cumulative_sum needs an axis for an array of more than one: give axis=")
    at = axis_index(0 if axis is None else axis, c.ndim)
    sums = c.cumsum(at)
    if not include_initial:
        return sums
    return joined([zeros(sums, (*c.shape[:at], 1, *c.shape[at + 1 :])), sums], at, "cumulative_sum")


def compress(condition: Any, a: Any, axis: int | None = None) -> CipherArray:
    """As numpy.compress."""
    c, mask = _one(a, "compress"), _mask(condition, "condition")
    if mask.ndim != 1:
        raise ValueError(f"condition must have one axis, not shape {mask.shape}")
    chosen = np.flatnonzero(mask)
    c = c if c.ndim else c.reshape(1)
    return c.ravel()[chosen] if axis is None else c[(slice(None),) * axis_index(axis, c.ndim) + (chosen,)]


def extract(condition: Any, arr: Any) -> CipherArray:
    """As numpy.extract."""
    return _one(arr, "extract").ravel()[np.flatnonzero(_mask(condition, "condition"))]


def zeros_like(a: Any, shape: Any = None) -> CipherArray:
    """As numpy.zeros_like: encrypted zeros under the key, plan and scale of `a`."""
    c = _one(a, "zeros_like")
    return zeros(c, c.shape if shape is None else _shape(shape))


def ones_like(a: Any, shape: Any = None) -> CipherArray:
    """As numpy.ones_like."""
    return zeros_like(a, shape) + 1


def full_like(a: Any, fill_value: Any, shape: Any = None) -> CipherArray:
    """As numpy.full_like."""
    if isinstance(fill_value, CipherBase):
        raise TypeError("fill_value must be plain: use c.broadcast_to(shape) for copies of an encrypted number")
    c = _one(a, "full_like")
    return encrypted(fill_value, c, "fill_value", c.shape if shape is None else _shape(shape))


def _shape(shape: Any) -> tuple[int, ...]:
    lengths = shape if isinstance(shape, Sequence) else as_array(shape, "shape").tolist()
    return tuple(as_int(d, "shape", 0) for d in (lengths if isinstance(lengths, Sequence) else (lengths,)))


# --- several arrays ---------------------------------------------------------------------------------------------------


def _mask(condition: Any, name: str) -> NDArray[np.bool_]:
    if isinstance(condition, CipherBase):
        raise TypeError(f"{name} must be plain: the values of an encrypted array are hidden, and choose nothing")
    mask = as_array(condition, name)
    if mask.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold True and False, not {mask.dtype}: compare it first, as in x > 0")
    return np.asarray(mask != 0)


def where(condition: Any, x: Any = None, y: Any = None) -> CipherArray:
    """As numpy.where with a plain condition: ``x * mask + y * (1 - mask)``, so that nobody sees what was chosen."""
    mask = _mask(condition, "condition")
    if x is None or y is None:
        raise ValueError("numpy.where of encrypted arrays takes both x and y")
    like: Any = next(c for c in (x, y) if isinstance(c, CipherBase))
    shape = np.broadcast_shapes(mask.shape, np.shape(x), np.shape(y))
    a, b = encrypted(x, like, "x", shape), encrypted(y, like, "y", shape)
    a._check_join(b, "where")
    return a._chosen(b, mask)


def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """As numpy.broadcast_arrays; plain arrays beside encrypted ones stay plain."""
    items = [_operand(x, f"args[{i}]") for i, x in enumerate(args)]
    shape = np.broadcast_shapes(*(x.shape for x in items))
    kind = type(np.broadcast_arrays(0))  # a list before NumPy 2
    return kind(_stretched(x, shape) for x in items)


def _stretched(x: Any, shape: tuple[int, ...]) -> Any:
    return cast("CipherArray", x).broadcast_to(shape) if isinstance(x, CipherBase) else np.broadcast_to(x, shape)


def outer(a: Any, b: Any) -> CipherArray:
    """As numpy.outer."""
    a, b = _factors(a, b)
    return cast("CipherArray", a.reshape(-1, 1) * b.reshape(1, -1))


def kron(a: Any, b: Any) -> CipherArray:
    """As numpy.kron."""
    a, b = _factors(a, b)
    axes = max(a.ndim, b.ndim)
    left, right = ((1,) * (axes - x.ndim) + x.shape for x in (a, b))
    spread = a.reshape(tuple(itertools.chain.from_iterable((d, 1) for d in left)))
    inside = b.reshape(tuple(itertools.chain.from_iterable((1, d) for d in right)))
    return cast("CipherArray", (spread * inside).reshape(tuple(d * e for d, e in zip(left, right, strict=True))))


def inner(a: Any, b: Any) -> CipherArray:
    """As numpy.inner."""
    a, b = _factors(a, b)
    if not a.ndim or not b.ndim:
        return cast("CipherArray", a * b)
    return contracted(a, b, (a.ndim - 1,), (b.ndim - 1,), "inner")


def dot(a: Any, b: Any) -> CipherArray:
    """As numpy.dot; sparse matrices of scipy are taken, too, as by ``@``."""
    if _sparse.is_sparse(a) or _sparse.is_sparse(b):
        return cast("CipherArray", a @ b)
    a, b = _factors(a, b)
    if not a.ndim or not b.ndim:
        return cast("CipherArray", a * b)
    if b.ndim <= 2:
        return cast("CipherArray", a @ b)
    return contracted(a, b, (a.ndim - 1,), (b.ndim - 2,), "dot")


def vdot(a: Any, b: Any) -> CipherArray:
    """As numpy.vdot, of reals."""
    a, b = _factors(a, b)
    return cast("CipherArray", a.reshape(-1) @ b.reshape(-1))


def tensordot(a: Any, b: Any, axes: Any = 2) -> CipherArray:
    """As numpy.tensordot."""
    a, b = _factors(a, b)
    if isinstance(axes, list | tuple | np.ndarray):
        if len(axes) != 2:
            raise ValueError(f"axes must be an int or a pair (axes of a, axes of b), not {len(axes)} items")
        of_a, of_b = (list(x) if isinstance(x, list | tuple | np.ndarray) else [x] for x in axes)
    else:
        count = as_int(axes, "axes", 0)
        of_a, of_b = list(range(a.ndim - count, a.ndim)), list(range(count))
        if count > min(a.ndim, b.ndim):
            raise np.exceptions.AxisError(count - 1, min(a.ndim, b.ndim))
    if len(of_a) != len(of_b):
        raise ValueError(f"axes names {len(of_a)} axes of a, but {len(of_b)} of b")
    return contracted(a, b, axis_tuple(of_a, a.ndim), axis_tuple(of_b, b.ndim), "tensordot")


def contracted(a: Any, b: Any, of_a: tuple[int, ...], of_b: tuple[int, ...], name: str) -> CipherArray:
    """Return the sums of the products of `a` and `b` over pairs of axes; what is left of `a` comes first."""
    for i, j in zip(of_a, of_b, strict=True):
        if a.shape[i] != b.shape[j]:
            raise ValueError(
                f"{name}: shapes {a.shape} and {b.shape} do not fit: axis {i} of a has length {a.shape[i]}, axis {j} "
                f"of b has {b.shape[j]}"
            )
    rest_a = [i for i in range(a.ndim) if i not in of_a]
    rest_b = [j for j in range(b.ndim) if j not in of_b]
    count = math.prod(a.shape[i] for i in of_a)
    rows, columns = [a.shape[i] for i in rest_a], [b.shape[j] for j in rest_b]
    left = a.transpose((*rest_a, *of_a)).reshape((math.prod(rows), count))
    right = b.transpose((*of_b, *rest_b)).reshape((count, math.prod(columns)))
    return cast("CipherArray", (left @ right).reshape((*rows, *columns)))


def vecdot(x1: Any, x2: Any, *, axis: int = -1, keepdims: bool = False) -> CipherArray:
    """As numpy.vecdot, of reals."""
    x1, x2 = _factors(x1, x2, ("x1", "x2"))
    if not x1.ndim or not x2.ndim:
        raise ValueError("vecdot needs arrays with axes: use * for a single number")
    x1, x2 = (np.moveaxis(x, axis_index(axis, x.ndim), -1) for x in (x1, x2))
    found: CipherArray = (x1[..., None, :] @ x2[..., None])[..., 0, 0]
    # the axis counts from the end among those of the operands, so it does among those of the result
    return np.expand_dims(found, axis) if keepdims else found  # type: ignore[return-value]


def matvec(x1: Any, x2: Any) -> CipherArray:
    """As numpy.matvec."""
    x1, x2 = _factors(x1, x2, ("x1", "x2"))
    if x1.ndim < 2 or not x2.ndim:
        raise ValueError(f"matvec needs a matrix and a vector, not shapes {x1.shape} and {x2.shape}")
    return cast("CipherArray", (x1 @ x2[..., None])[..., 0])


def vecmat(x1: Any, x2: Any) -> CipherArray:
    """As numpy.vecmat, of reals."""
    x1, x2 = _factors(x1, x2, ("x1", "x2"))
    if not x1.ndim or x2.ndim < 2:
        raise ValueError(f"vecmat needs a vector and a matrix, not shapes {x1.shape} and {x2.shape}")
    return cast("CipherArray", (x1[..., None, :] @ x2)[..., 0, :])


# --- Einstein sums ----------------------------------------------------------------------------------------------------

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(*operands: Any, optimize: Any = False, order: str = "K") -> CipherArray:
    """As numpy.einsum of one encrypted array, alone or with one plain array; `optimize` and `order` change nothing."""
    if not operands or not isinstance(operands[0], str):
        raise TypeError("numpy.einsum of an encrypted array takes the subscripts as a text, such as 'ij,j->i', first")
    arrays = [_operand(x, f"operands[{i}]") for i, x in enumerate(operands[1:])]
    if sum(isinstance(x, CipherBase) for x in arrays) > 1:
        raise TypeError(NO_PRODUCT)
    if len(arrays) > 2:
        raise TypeError(
            "numpy.einsum of an encrypted array takes one plain array beside it: combine the plain ones first, with "
            "numpy.einsum, too"
        )
    inputs, output = _subscripts(operands[0], [x.ndim for x in arrays])
    sizes: dict[str, int] = {}
    for labels, x in zip(inputs, arrays, strict=True):
        for label, size in zip(labels, x.shape, strict=True):
            known = sizes.get(label, 1)
            if 1 not in (known, size) and known != size:
                raise ValueError(f"einsum: index {label!r} has length {known} in one place and {size} in another")
            sizes[label] = size if known == 1 else known
    which = next(i for i, x in enumerate(arrays) if isinstance(x, CipherBase))
    arrays[which]._refuse_packed("numpy.einsum", "use @ and sums along leading axes")
    c, of_c = _collapsed(inputs[which], arrays[which], sizes)
    if len(arrays) == 1:
        return _ordered(_summed(c, of_c, output), [x for x in of_c if x in output], output)
    p, of_p = _collapsed(inputs[1 - which], arrays[1 - which], sizes)
    c, of_c = _summed(c, of_c, output + of_p), [x for x in of_c if x in output + of_p]
    p, of_p = _summed(p, of_p, output + of_c), [x for x in of_p if x in output + of_c]
    both = [x for x in of_c if x in of_p]
    batch, over = [x for x in both if x in output], [x for x in both if x not in output]
    mine, theirs = [x for x in of_c if x not in both], [x for x in of_p if x not in both]
    # one axis for each label, of length 1 where the other array alone has it
    b, f, k, g = (math.prod(sizes[x] for x in group) for group in (batch, mine, over, theirs))
    left = c.transpose([of_c.index(x) for x in (*batch, *mine, *over)])
    right = p.transpose([of_p.index(x) for x in (*batch, *over, *theirs)])
    if not over:
        product = left.reshape(b, f, 1) * right.reshape(b, 1, g)
    else:
        product = left.reshape(b, f, k) @ right.reshape(b, k, g)
    labels = [*batch, *mine, *theirs]
    return _ordered(product.reshape([sizes[x] for x in labels]), labels, output)


def _subscripts(text: str, ndims: list[int]) -> tuple[list[list[str]], list[str]]:
    """Return the labels of every operand and of the output, one for each axis; those of an ellipsis are digits."""
    given, arrow, out = text.replace(" ", "").partition("->")
    terms = given.split(",")
    for term in (*terms, out):
        if not re.fullmatch(r"[a-zA-Z]*(\.\.\.)?[a-zA-Z]*", term):
            raise ValueError(f"einsum: the subscripts {term!r} must be letters and at most one '...'")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: the subscripts name {len(terms)} arrays, but {len(ndims)} are given")
    inputs, widest = [], 0
    for term, ndim in zip(terms, ndims, strict=True):
        letters = len(term.replace("...", ""))
        if letters > ndim or (letters < ndim and "..." not in term):
            raise ValueError(f"einsum: the subscripts {term!r} do not fit an array of {ndim} axes")
        dots = [str(i) for i in range(ndim - letters)][::-1]  # counted from the end: broadcasting aligns the last ones
        widest = max(widest, len(dots))
        inputs.append(_expanded(term, dots))
    every = [x for labels in inputs for x in labels]
    if not arrow:
        once = sorted(x for x in set(every) if x.isalpha() and every.count(x) == 1)
        return inputs, [*(str(i) for i in range(widest)[::-1]), *once]
    if widest and "..." not in out:
        raise ValueError("einsum: the output must have '...' where an array has it")
    output = _expanded(out, [str(i) for i in range(widest)][::-1])
    if len(set(output)) != len(output) or not set(output) <= set(every):
        raise ValueError(f"einsum: the output {out!r} must name indices of the arrays, each once")
    return inputs, output


def _expanded(term: str, dots: list[str]) -> list[str]:
    before, has, after = term.partition("...")
    return [*before, *(dots if has else []), *after]


def _collapsed(labels: list[str], x: Any, sizes: dict[str, int]) -> tuple[Any, list[str]]:
    """Return an array with one axis for each of its labels: the diagonal of those named twice, the length agreed."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ValueError(f"einsum: index {label!r} stands for axes of lengths {x.shape[i]} and {x.shape[j]}")
            x = np.diagonal(x, 0, i, j)
            labels = [*(y for at, y in enumerate(labels) if at not in (i, j)), label]
    return _stretched(x, tuple(sizes[label] for label in labels)), labels


def _summed(x: Any, labels: list[str], kept: list[str]) -> Any:
    """Return the sums over the labels that nothing else has, exact also where they exceed int64."""
    axes = tuple(i for i, label in enumerate(labels) if label not in kept)
    if not axes:
        return x
    if isinstance(x, CipherBase):
        return cast("CipherArray", x).sum(axes)
    exact = x if is_real(x) and x.dtype != object else x.astype(object)
    return as_numbers(np.asarray(exact.sum(axis=axes)), "the sums of the plain array")


def _ordered(c: CipherArray, labels: list[str], output: list[str]) -> CipherArray:
    return c.transpose([labels.index(x) for x in output])
