"""Random programs on encrypted arrays beside the same programs on arrays of plain Python ints.

The model keeps, for each array, its exact integers, its scale and the bound that the table of bounds gives; it knows
nothing of ciphertexts. After every step shape, scale and bound must agree, and at the end every value.
"""

from __future__ import annotations

import io
import math
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow
from bluetusk.paillier import PrivateKey
from bluetusk.paillier.array import CipherArray, concatenate, encrypt

decrypt, ints_of = PrivateKey.decrypt, PrivateKey.decrypt_integers

PLANS = [
    FixedPoint(clip=8.0, frac_bits=6),
    FixedPoint(clip=8.0, frac_bits=10, max_weight=3),
    FixedPoint.integers(limit=50),
]
FACTORS = st.one_of(st.integers(-5, 5), st.integers(-(2**70), 2**70), st.sampled_from([2**63, -(2**63), 2**31 - 1]))


@dataclass(frozen=True)
class Model:
    """Exact integers at a scale, with the bound and the plan that the array must have."""

    ints: np.ndarray
    frac: int
    bound: int
    plan: FixedPoint


@dataclass(frozen=True)
class Pair:
    c: CipherArray
    model: Model

    def check(self) -> None:
        assert self.c.shape == self.model.ints.shape
        assert (self.c.frac, self.c.bound, self.c.plan) == (self.model.frac, self.model.bound, self.model.plan)


def as_ints(x: Any) -> np.ndarray:
    """Return an object array of Python ints."""
    a = np.asarray(x, dtype=object)
    out = np.empty(a.shape, dtype=object)
    for at in np.ndindex(a.shape):
        out[at] = int(a[at])
    return out


def largest(ints: np.ndarray) -> int:
    return max((abs(int(v)) for v in ints.flat), default=0)


def encoded(x: np.ndarray, frac: int) -> np.ndarray:
    """Return reals as integers at a binary scale, rounded half-even by Python's own exact arithmetic."""
    out = np.empty(x.shape, dtype=object)
    for at in np.ndindex(x.shape):
        top, bottom = float(x[at]).as_integer_ratio()
        top <<= frac
        low, rest = divmod(top, bottom)
        out[at] = low + (2 * rest > bottom or (2 * rest == bottom and low % 2 == 1))
    return out


def plan_of(a: Model, b: Model) -> FixedPoint:
    return max(a.plan, b.plan, key=lambda plan: (plan.frac, plan.bound, plan.hash))


def operands(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    integers = hnp.arrays(st.sampled_from([np.int8, np.int64, np.uint16, ">i4"]), shape)
    return st.one_of(integers, hnp.arrays(object, shape, elements=FACTORS), reals(shape))


def reals(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float64, shape, elements=st.floats(-1e6, 1e6, width=64))


class Programs(RuleBasedStateMachine):
    pub: Any
    priv: Any
    arrays = Bundle("arrays")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Pair] = []
        self.steps = 0

    def keep(self, c: CipherArray, model: Model) -> Any:
        pair = Pair(c, model)
        pair.check()
        if model.bound.bit_length() > 1500 or model.ints.size > 24:
            return multiple()
        self.seen.append(pair)
        return pair

    @initialize(target=arrays, data=st.data())
    def first(self, data: st.DataObject) -> Any:
        return self.new(data, PLANS[0], (2, 3))

    @rule(
        target=arrays,
        data=st.data(),
        plan=st.sampled_from(PLANS),
        shape=st.sampled_from([(2, 3), (3,), (), (1, 3), (2, 1), (0, 3)]),
    )
    def encrypts(self, data: st.DataObject, plan: FixedPoint, shape: tuple[int, ...]) -> Any:
        return self.new(data, plan, shape)

    def new(self, data: st.DataObject, plan: FixedPoint, shape: tuple[int, ...]) -> Any:
        limit = plan.limit >> plan.frac
        x = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(-limit, limit)))
        return self.keep(
            encrypt(self.pub, x, plan), Model(as_ints(as_ints(x) * 2**plan.frac), plan.frac, plan.limit, plan)
        )

    @rule(target=arrays, a=arrays, b=arrays, minus=st.booleans())
    def adds(self, a: Pair, b: Pair, minus: bool) -> Any:
        try:
            np.broadcast_shapes(a.c.shape, b.c.shape)
        except ValueError:
            with pytest.raises(ValueError, match=r"broadcast|mismatch"):
                a.c + b.c
            return multiple()
        frac = max(a.model.frac, b.model.frac)
        x, y = (as_ints(p.model.ints * 2 ** (frac - p.model.frac)) for p in (a, b))
        bound = sum(p.model.bound << (frac - p.model.frac) for p in (a, b))
        model = Model(as_ints(x - y if minus else x + y), frac, bound, plan_of(a.model, b.model))
        return self.keep(a.c - b.c if minus else a.c + b.c, model)

    @rule(target=arrays, a=arrays, data=st.data(), kind=st.sampled_from("+-r*"))
    def with_plain(self, a: Pair, data: st.DataObject, kind: str) -> Any:
        m = a.model
        shape = data.draw(st.sampled_from([a.c.shape, (), (3,), a.c.shape[-1:]]))
        k = data.draw(operands(shape))
        try:
            np.broadcast_shapes(a.c.shape, shape)
        except ValueError:
            with pytest.raises(ValueError, match=r"broadcast|mismatch"):
                a.c * k
            return multiple()
        real = k.dtype.kind == "f"
        frac = (m.plan.frac if real else 0) if kind == "*" else m.frac
        if real and frac == 0 and k.size and (k != np.rint(k)).any():
            with pytest.raises(ValueError, match="no fractional digits"):
                a.c * k
            return multiple()
        q = encoded(k, frac) if real else as_ints(as_ints(k) * (1 if kind == "*" else 2**frac))
        if kind == "*":
            model = Model(as_ints(m.ints * q), m.frac + frac, m.bound * largest(q), m.plan)
            return self.keep(a.c * k if data.draw(st.booleans()) else k * a.c, model)
        v = {"+": m.ints + q, "-": m.ints - q, "r": q - m.ints}[kind]
        c = {"+": lambda: a.c + k, "-": lambda: a.c - k, "r": lambda: k - a.c}[kind]()
        return self.keep(c, Model(as_ints(v), m.frac, m.bound + largest(q), m.plan))

    @rule(target=arrays, a=arrays)
    def negates(self, a: Pair) -> Any:
        return self.keep(-a.c, Model(as_ints(-a.model.ints), a.model.frac, a.model.bound, a.model.plan))

    @rule(target=arrays, a=arrays, data=st.data(), left=st.booleans(), real=st.booleans())
    def multiplies_matrices(self, a: Pair, data: st.DataObject, left: bool, real: bool) -> Any:
        m = a.model
        if not a.c.ndim:
            with pytest.raises(ValueError, match="single number"):
                a.c @ np.ones(1)
            return multiple()
        inner = a.c.shape[-2 if left and a.c.ndim > 1 else -1]
        shape = data.draw(st.sampled_from([(inner,), (2, inner), (1, inner)]))
        real = real and m.plan.frac > 0
        k = data.draw(reals(shape) if real else hnp.arrays(object, shape, elements=FACTORS))
        frac = m.plan.frac if real else 0
        q = encoded(k, frac) if real else as_ints(k)
        rows = q.reshape(math.prod(shape[:-1]), inner)
        bound = m.bound * max((sum(abs(v) for v in row) for row in rows), default=0)
        v = q @ m.ints if left else m.ints @ q.T
        model = Model(as_ints(v), m.frac + frac, bound, m.plan)
        return self.keep(k @ a.c if left else a.c @ k.T, model)

    @rule(target=arrays, a=arrays, data=st.data(), keepdims=st.booleans())
    def sums(self, a: Pair, data: st.DataObject, keepdims: bool) -> Any:
        axis = data.draw(st.sampled_from([None, *range(a.c.ndim)]))
        v = np.sum(a.model.ints, axis=axis, keepdims=keepdims, initial=0)
        count = a.c.size if axis is None else a.c.shape[axis]
        model = Model(as_ints(v), a.model.frac, a.model.bound * count, a.model.plan)
        return self.keep(a.c.sum(axis, keepdims=keepdims), model)

    @rule(target=arrays, a=arrays, data=st.data())
    def counts(self, a: Pair, data: st.DataObject) -> Any:
        if not a.c.ndim:
            return multiple()
        codes = data.draw(hnp.arrays(np.int64, (len(a.c),), elements=st.integers(0, 2)))
        v = as_ints(np.zeros((3, *a.c.shape[1:]), dtype=int))
        for row, code in zip(a.model.ints, codes, strict=True):
            v[code] = v[code] + row
        model = Model(as_ints(v), a.model.frac, a.model.bound * len(a.c), a.model.plan)
        return self.keep(a.c.bincount(codes, 3), model)

    @rule(target=arrays, a=arrays, data=st.data())
    def indexes(self, a: Pair, data: st.DataObject) -> Any:
        key = data.draw(hnp.basic_indices(a.c.shape, allow_newaxis=True, max_dims=4))
        return self.keep(a.c[key], Model(as_ints(a.model.ints[key]), a.model.frac, a.model.bound, a.model.plan))

    @rule(target=arrays, a=arrays, data=st.data())
    def indexes_fancily(self, a: Pair, data: st.DataObject) -> Any:
        if not a.c.ndim or 0 in a.c.shape:
            return multiple()
        key = data.draw(hnp.integer_array_indices(a.c.shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)))
        return self.keep(a.c[key], Model(as_ints(a.model.ints[key]), a.model.frac, a.model.bound, a.model.plan))

    @rule(target=arrays, a=arrays)
    def transposes(self, a: Pair) -> Any:
        return self.keep(a.c.T, Model(a.model.ints.T, a.model.frac, a.model.bound, a.model.plan))

    @rule(target=arrays, a=arrays, b=arrays)
    def concatenates(self, a: Pair, b: Pair) -> Any:
        frac = max(a.model.frac, b.model.frac)
        x, y = (as_ints(p.model.ints * 2 ** (frac - p.model.frac)).reshape(-1) for p in (a, b))
        bound = max(p.model.bound << (frac - p.model.frac) for p in (a, b))
        same = a.c._store is b.c._store
        joint = concatenate([a.c.reshape(-1), b.c.reshape(-1)])
        assert joint.fresh == (a.c.fresh and b.c.fresh) or frac > min(a.model.frac, b.model.frac) or same
        return self.keep(joint, Model(as_ints(np.concatenate([x, y])), frac, bound, plan_of(a.model, b.model)))

    @rule(target=arrays, a=arrays, way=st.sampled_from(["bytes", "stream", "pickle", "copy"]))
    def travels(self, a: Pair, way: str) -> Any:
        m = a.model
        if way == "pickle":
            return self.keep(pickle.loads(pickle.dumps(a.c)), m)
        if way == "copy":
            return self.keep(a.c.copy(), m)
        data = a.c.to_bytes(m.bound + 5)
        assert data == a.c.to_bytes(m.bound + 5)
        back = (
            CipherArray.from_bytes(data, self.pub)
            if way == "bytes"
            else CipherArray.read_from(io.BytesIO(data), self.pub)
        )
        assert back.fresh == a.c.fresh
        return self.keep(back, Model(m.ints, m.frac, m.bound + 5, m.plan))

    @rule(a=arrays)
    def overflows(self, a: Pair) -> None:
        if a.c.size and a.model.bound:
            capacity = (int(self.pub.n) - 1) // 2
            with pytest.raises(EncodingOverflow):
                a.c * (capacity // a.model.bound + 1)

    def teardown(self) -> None:
        for pair in self.seen[-6:]:
            got = ints_of(self.priv, pair.c)
            assert (got.dtype == np.int64) == (pair.model.bound < 2**63)
            assert [int(v) for v in got.flat] == [int(v) for v in pair.model.ints.flat]
            if pair.c.frac < 900:
                floats = decrypt(self.priv, pair.c)
                scale = 1 << pair.c.frac
                assert floats.reshape(-1).tolist() == [int(v) / scale for v in pair.model.ints.flat]


def test_random_programs_agree_with_plain_ints(pub, priv):
    machine = type("KeyedPrograms", (Programs,), {"pub": pub, "priv": priv})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=14,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
