"""Additive and replicated sharing over rings, truncation, zero-sharings, words on the wire."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk._kernels import ring as kernel
from bluetusk._random import Stream
from bluetusk.sharing import ring


def as_ints(x):
    return [int(v) for v in np.asarray(x).reshape(-1).tolist()]


@settings(max_examples=60)
@given(st.data())
def test_all_shares_give_the_numbers_back(data):
    bits = data.draw(st.sampled_from([32, 64]))
    parties = data.draw(st.integers(1, 6))
    shape = data.draw(st.lists(st.integers(0, 5), max_size=3).map(tuple))
    n = int(np.prod(shape, dtype=int))
    values = data.draw(st.lists(st.integers(-(2 ** (bits - 1)), 2**bits - 1), min_size=n, max_size=n))
    x = np.empty(n, object)
    x[:] = values
    shares = ring.share(x.reshape(shape), parties, bits)
    assert shares.shape == (parties, *shape)
    assert shares.dtype == (np.uint32 if bits == 32 else np.uint64)
    assert as_ints(ring.reconstruct(shares)) == [v % 2**bits for v in values]
    signed = as_ints(ring.reconstruct(shares, signed=True))
    assert signed == [(v + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1) for v in values]
    again = ring.refresh(shares)
    assert as_ints(ring.reconstruct(again)) == [v % 2**bits for v in values]
    assert n < 4 or parties == 1 or (again != shares).any(axis=tuple(range(1, again.ndim))).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_long_arrays(threads):
    for n in (8191, 8192, 100_003):
        x = np.arange(n, dtype=np.uint64)
        shares = ring.share(x, 3, threads=threads)
        assert np.array_equal(ring.reconstruct(shares, threads=threads), x)
        assert all(len(np.unique(row)) == n for row in shares[:-1])  # no stream of words twice


def test_shares_by_themselves_are_uniform():
    """Every byte value equally often, whatever is shared: chi-square, 255 degrees of freedom, 8 standard deviations."""
    for value in (0, -1, 12345):
        for row in ring.share(np.full(20_000, value), 3):
            counts = np.bincount(row.view(np.uint8), minlength=256)
            chi2 = float(((counts - 625) ** 2 / 625).sum())
            assert chi2 < 255 + 8 * 510**0.5


def test_linear_operations_are_numpys():
    a, b = np.array([5, -7, 2**40]), np.array([3, 4, -(2**50)])
    x, y = ring.share(a, 3), ring.share(b, 3)
    assert as_ints(ring.reconstruct(x + y - x * np.uint64(3), signed=True)) == as_ints(b - 2 * a)
    m = np.arange(12).reshape(4, 3)
    product = np.stack([ring.matmul(m.astype(np.uint64), row) for row in x])
    assert as_ints(ring.reconstruct(product, signed=True)) == as_ints(m @ a)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize(
    "shapes", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((100, 70), (70, 90)), ((0, 2), (2, 3))]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_matmul_is_numpys(dtype, shapes, threads):
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True) for shape in shapes)
    got = ring.matmul(a, b, threads=threads)
    assert got.dtype == dtype
    assert np.array_equal(got, a @ b)
    assert np.array_equal(ring.matmul(a[..., ::-1], b[::-1]), a[..., ::-1] @ b[::-1])


# --- truncation


@given(st.integers(-(2**24), 2**24), st.integers(0, 63), st.integers(0, 2**64 - 1))
def test_local_truncation(x, k, first):
    shares = np.array([[first], [(x - first) % 2**64]], np.uint64)
    whole = ring.truncate(shares, k, bound=2**24)
    apart = [ring.truncate(shares[i], k, bound=2**24, party=i) for i in range(2)]
    assert np.array_equal(whole, np.stack(apart))
    if 2**24 <= first < 2**64 - 2**24:  # the others wrap: 2^-39 of all sharings
        assert as_ints(ring.reconstruct(whole, signed=True))[0] in (x >> k, (x >> k) + 1)


def test_local_truncation_is_refused_where_it_may_fail():
    shares = ring.share([2**25, -5], 2)
    with pytest.raises(ValueError, match=r"fails with probability up to 1.82e-12 each, more than 2\^-40: use a trunc"):
        ring.truncate(shares, 3, bound=2**25)
    assert ring.truncate(shares, 3, bound=2**25, accept_failure=True).shape == (2, 2)
    assert ring.truncate(shares, 3, bound=2**24).shape == (2, 2)
    with pytest.raises(ValueError, match=r"0\.00391 each"):
        ring.truncate(ring.share([1], 2, 32), 3, bound=2**24)
    with pytest.raises(ValueError, match="leading axis of 2 parties"):
        ring.truncate(ring.share([1], 3), 3, bound=1)
    with pytest.raises(ValueError, match="party must be 0 to 1"):
        ring.truncate(shares[0], 3, bound=1, party=2)


def test_the_stated_failure_is_the_real_one():
    """Numbers of half the ring fail half of the time: 10 000 of them, 8 standard deviations."""
    x = 2**62
    got = as_ints(ring.reconstruct(ring.truncate(ring.share(np.full(10_000, x), 2), 4, bound=x, accept_failure=True)))
    failed = sum(v not in (x >> 4, (x >> 4) + 1) for v in got)
    assert abs(failed - 2500) < 8 * (10_000 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("parties", [1, 2, 3, 5])
def test_truncation_by_a_pair_never_fails(bits, parties):
    edge = 2 ** (bits - 2)
    values = [0, 1, -1, edge - 1, -edge, 12345, -12345, edge // 2] * 50
    for k in (0, 1, 7, 16, bits - 2):
        pair = ring.truncation_pair(len(values), k, parties, bits)
        shares = ring.share(values, parties, bits)
        opened = ring.reconstruct([pair.party(i).mask(shares[i], leader=i == 0) for i in range(parties)])
        parts = [pair.party(i).finish(opened, leader=i == 0) for i in range(parties)]
        got = as_ints(ring.reconstruct(parts, signed=True))
        assert all(v - (x >> k) in (0, 1) for v, x in zip(got, values, strict=True))
        if k == 7:  # rounding up as often as the part that is cut off is large
            up = [v - (x >> k) for v, x in zip(got, values, strict=True) if x == 12345]
            assert 0 < sum(up) < 50


def test_truncation_by_a_pair_exhaustively_over_z_2_8():
    """The formula with every number and every mask, on words of eight bits."""
    wrong = 0
    for k in range(7):
        for x in range(-64, 64):
            r = np.arange(256, dtype=np.uint8)
            pair = bt.sharing.ring.TruncationPair(k, r, r >> np.uint8(k), r >> np.uint8(7))
            opened = pair.mask(np.full(256, x % 256, np.uint8), leader=True)
            got = pair.finish(opened, leader=True).view(np.int8).astype(int)
            wrong += int(((got != x >> k) & (got != (x >> k) + 1)).sum())
    assert wrong == 0


# --- zero-sharings, replicated sharing


@pytest.mark.parametrize("parties", [1, 2, 3, 5])
def test_zero_shares_cancel(parties):
    seeds = {pair: bytes([17 * pair[0] + pair[1]] * 32) for pair in itertools.combinations(range(parties), 2)}
    for bits in (32, 64):
        shares = [
            ring.zero_share(i, {j: seeds[min(i, j), max(i, j)] for j in range(parties) if j != i}, (4, 5), bits)
            for i in range(parties)
        ]
        assert not ring.reconstruct(shares).any()
        assert parties == 1 or all(share.any() for share in shares)


def test_zero_shares_by_hand():
    """The seed's own words for the lower party, their negative for the higher one."""
    from bluetusk._random import Stream

    seed = bytes(range(32))
    words = Stream(seed).uint64(7)
    assert np.array_equal(ring.zero_share(0, {1: seed}, 7), words)
    assert np.array_equal(ring.zero_share(1, {0: seed}, 7), np.zeros(7, np.uint64) - words)
    with pytest.raises(ValueError, match="names party 1 itself"):
        ring.zero_share(1, {1: seed}, 7)
    with pytest.raises(ValueError, match=r"seeds\[0\] must be 32 bytes"):
        ring.zero_share(1, {0: b"short"}, 7)


@pytest.mark.parametrize("bits", [32, 64])
def test_any_two_of_three_reconstruct(bits):
    x = np.array([[1, -2], [3, 2**31 - 1]])
    shares = ring.share_replicated(x, bits)
    assert shares.shape == (3, 2, 2, 2)
    for who in [(0, 1), (1, 2), (2, 0), (1, 0), (0, 1, 2), (2, 1, 0)]:
        assert np.array_equal(ring.reconstruct_replicated(shares[list(who)], who, signed=True), x)
    for party in range(3):  # what one party holds says nothing about x: both parts are fresh
        assert not np.array_equal(ring.share_replicated(x, bits)[party], shares[party])
    broken = shares.copy()
    broken[1, 0] ^= 1
    with pytest.raises(bt.ProtocolAbort, match="hold different copies of share 1"):
        ring.reconstruct_replicated(broken)
    for who in [(0,), (0, 0), (0, 1, 2)]:
        with pytest.raises(ValueError, match="must name two or three of 0, 1, 2"):
            ring.reconstruct_replicated(shares[:2] if len(who) > 1 else shares[:1], who)
    with pytest.raises(ValueError, match=r"parties\[1\] must be 0 to 2"):
        ring.reconstruct_replicated(shares[:2], (0, 3))


# --- the wire, refusals


@given(st.data())
def test_packed_words_read_back(data):
    bits = data.draw(st.integers(1, 64))
    dtype = np.uint32 if bits <= 32 else np.uint64
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=30))
    packed = ring.pack(np.array(values, dtype), bits)
    assert int.from_bytes(packed, "little") == sum(v << (bits * i) for i, v in enumerate(values))
    assert as_ints(ring.unpack(packed, bits, len(values))) == values


def test_packed_words_have_one_form():
    packed = ring.pack(np.array([1, 2, 3], np.uint32), 7)
    for data, count in [(packed + b"\0", 3), (packed[:-1], 3), (packed, 4)]:
        with pytest.raises(bt.FrameError, match=r"data has [0-9]+ bytes, but"):
            ring.unpack(data, 7, count)
    with pytest.raises(bt.FrameError, match="not in canonical form"):
        ring.unpack(packed[:-1] + bytes([packed[-1] | 0x20]), 7, 3)
    with pytest.raises(ValueError, match="more than 7 bits"):
        ring.pack(np.array([128], np.uint32), 7)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ring.share([1], 3, 16), ValueError, "bits must be 32 or 64, not 16"),
        (lambda: ring.share([1], 0), ValueError, "parties must be at least 1"),
        (lambda: ring.share([0.5], 2), TypeError, "encode reals by a FixedPoint plan"),
        (lambda: ring.share([1, 2**32], 2, 32), ValueError, r"x\[1\] does not fit 32 bits"),
        (lambda: ring.share([-(2**31) - 1], 2, 32), ValueError, r"x\[0\] does not fit 32 bits"),
        (lambda: ring.share([2**64], 2), ValueError, r"x\[0\] does not fit 64 bits"),
        (lambda: ring.reconstruct(np.zeros((2, 3))), TypeError, "array of uint32 or uint64, not float64"),
        (lambda: ring.reconstruct(np.zeros((2, 3), ">u8")), TypeError, "array of uint32 or uint64"),
        (lambda: ring.reconstruct(np.zeros((0, 3), np.uint64)), ValueError, "leading axis of parties"),
        (lambda: ring.matmul(np.zeros(3, np.uint64), np.zeros(3, np.uint32)), TypeError, "must have one dtype"),
        (lambda: ring.matmul(np.zeros(3, np.uint64), np.zeros(4, np.uint64)), ValueError, "do not fit"),
        (lambda: ring.matmul(*[np.zeros((1, 1, 1), np.uint64)] * 2), ValueError, "one or two axes"),
        (lambda: ring.truncation_pair(3, 63, 2), ValueError, "k must be 0 to 62"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_product_knows_the_cpu():
    assert kernel.BACKEND in ("avx2", "generic")


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.uint8, np.int32])
def test_the_ring_may_be_named_by_an_integer_of_numpy(kind, bits):
    numbers = [5, -7, 2**bits - 1, -(2 ** (bits - 1))]
    for x in (numbers, np.array(numbers, dtype=object)):
        shares = ring.share(x, 2, bits=kind(bits))
        assert [int(v) for v in ring.reconstruct(shares)] == [v % 2**bits for v in numbers]
    with pytest.raises(ValueError, match=rf"x\[0\] does not fit {bits} bits"):
        ring.share([2**bits], 2, bits=kind(bits))
    pair = ring.truncation_pair(1, kind(4), kind(2), bits=kind(bits))
    shares = ring.share([160], 2, bits=bits)
    whole = ring.reconstruct([pair.party(i).mask(shares[i], leader=i == 0) for i in range(2)])
    got = ring.reconstruct([pair.party(i).finish(whole, leader=i == 0) for i in range(2)])
    assert int(got[0]) in (10, 11)


@pytest.mark.parametrize("digits", [40, 400, 5000])
def test_a_bound_beyond_every_double_is_refused_as_any_other(digits):
    bound = 10**digits
    with pytest.raises(ValueError, match=rf"numbers of {bound.bit_length()} bits fails with probability up to 1 each"):
        ring.truncate(ring.share([8], 2), 1, bound)
    assert ring.truncate(ring.share([8], 2), 1, bound, accept_failure=True).shape == (2, 1)


def test_a_seed_is_measured_in_bytes():
    seed = bytes(range(32))
    expected = ring.zero_share(0, {1: seed}, 3)
    for view in (memoryview(seed), memoryview(np.frombuffer(seed, np.uint64)), memoryview(bytearray(seed * 2))[:32]):
        assert np.array_equal(ring.zero_share(0, {1: view}, 3), expected)
    with pytest.raises(ValueError, match=r"seeds\[1\] must be 32 bytes"):
        ring.zero_share(0, {1: memoryview(np.zeros(32, np.uint64))}, 3)
    with pytest.raises(ValueError, match="seed must be 32 bytes"):
        Stream(memoryview(np.zeros(32, np.uint64)))
