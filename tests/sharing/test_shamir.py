"""Shamir's sharing against Python's integers: any t shares, wrong shares, other thresholds, packed rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk.sharing import shamir
from bluetusk.sharing._decode import wrong_positions
from bluetusk.sharing._field import gf256

VDAF128 = 2**66 * 4611686018427387897 + 1
PRIMES = [2**61 - 1, 2**31 - 1, 2**64 - 2**32 + 1, VDAF128, 2**31 + 11, 101, 2**255 - 19]


def as_ints(x):
    return [int(v) for v in np.asarray(x).reshape(-1).tolist()]


def by_hand(points, p):
    """The constant of the polynomial through (x, y), by Lagrange in Python's integers."""
    total = 0
    for x, y in points:
        term = y
        for other, _ in points:
            if other != x:
                term = term * -other * pow(x - other, -1, p) % p
        total += term
    return total % p


def elements(shares, p):
    """Shares as ints, whatever the field's layout."""
    field = shamir.field_of(p)
    return [field.to_ints(row.reshape(-1, *field.tail)) for row in shares]


@pytest.mark.parametrize("p", PRIMES)
@pytest.mark.parametrize(("threshold", "parties"), [(1, 1), (1, 4), (2, 3), (3, 3), (4, 7)])
def test_any_threshold_shares_reconstruct(p, threshold, parties):
    secrets = [0, 1, p - 1, p // 2, 12345 % p, 7]
    x = np.array(secrets, dtype=object).reshape(2, 3)
    shares = shamir.share(x, threshold, parties, p)
    assert shares.shape[:3] == (parties, 2, 3)
    rows = elements(shares, p)
    for chosen in itertools.combinations(range(parties), threshold):
        ids = [i + 1 for i in chosen]
        got = shamir.reconstruct(shares[list(chosen)], ids, threshold, p)
        assert got.shape == (2, 3)
        assert as_ints(got) == secrets
        assert [by_hand([(i, rows[i - 1][j]) for i in ids], p) for j in range(6)] == secrets
    assert as_ints(shamir.reconstruct(shares[::-1], range(parties, 0, -1), threshold, p)) == secrets


@settings(max_examples=50)
@given(st.data())
def test_sharing_of_any_array(data):
    p = data.draw(st.sampled_from(PRIMES))
    parties = data.draw(st.integers(1, 12))
    threshold = data.draw(st.integers(1, parties))
    shape = data.draw(st.lists(st.integers(0, 4), max_size=3).map(tuple))
    n = int(np.prod(shape, dtype=int))
    secrets = data.draw(st.lists(st.integers(0, p - 1), min_size=n, max_size=n))
    x = np.empty(n, object)
    x[:] = secrets
    shares = shamir.share(x.reshape(shape), threshold, parties, p)
    ids = data.draw(st.permutations(range(1, parties + 1)))[: data.draw(st.integers(threshold, parties))]
    got = shamir.reconstruct(shares[[i - 1 for i in ids]], ids, threshold, p)
    assert got.shape == shape
    assert as_ints(got) == secrets


def test_fewer_shares_than_the_threshold_are_uniform():
    """Modulo 5 every pair of two shares of a 3-of-4 sharing is equally frequent, whatever the secret."""
    for secret in (0, 3):
        shares = shamir.share(np.full(50_000, secret), 3, 4, 5).astype(np.int64)
        for i, j in itertools.combinations(range(4), 2):
            counts = np.bincount(5 * shares[i] + shares[j], minlength=25)
            chi2 = float(((counts - 2000) ** 2 / 2000).sum())
            assert chi2 < 24 + 8 * 48**0.5  # 24 degrees of freedom, 8 standard deviations


@pytest.mark.parametrize("threads", [1, 2])
def test_long_arrays_of_every_length_around_a_chunk(threads):
    chunk = shamir.field_of(2**61 - 1).chunk
    for n in (chunk - 1, chunk, 2 * chunk + 77):
        x = np.arange(n, dtype=np.uint64)
        shares = shamir.share(x, 3, 5, threads=threads)
        assert np.array_equal(shamir.reconstruct(shares[2:], [3, 4, 5], 3, threads=threads), x)
        assert np.array_equal(shamir.reconstruct(shares, range(1, 6), 3, threads=threads), x)
        assert len(np.unique(shares[0])) > n - 5  # the random rows are not repeated from chunk to chunk


@pytest.mark.parametrize("p", [2**61 - 1, 2**31 - 1, VDAF128, 101, 256])
@pytest.mark.parametrize(("threshold", "parties"), [(1, 3), (2, 6), (3, 8), (5, 9)])
def test_wrong_shares_are_found_and_named(p, threshold, parties):
    rng = np.random.default_rng([p % 1000, threshold])
    if p == 256:
        field, over = gf256(), ()
        share, reconstruct, correct = bt.sharing.share_bytes, bt.sharing.reconstruct_bytes, bt.sharing.correct_bytes
    else:
        field, over = shamir.field_of(p), (p,)
        share, reconstruct, correct = shamir.share, shamir.reconstruct, shamir.correct
    most = (parties - threshold) // 2
    x = rng.integers(0, min(p, 2**60), 40).astype(np.uint8 if p == 256 else np.uint64)
    good = share(x, threshold, parties, *over)
    ids = list(range(1, parties + 1))
    for wrong in range(most + 1):
        shares = good.copy()
        culprits = sorted(int(i) for i in rng.choice(parties, wrong, replace=False))
        for i in culprits:  # each is wrong at places of its own
            for at in rng.choice(40, 5, replace=False):
                old = field.to_ints(shares[i, at : at + 1])[0]
                new = (old + 1 + int(rng.integers(0, p - 2 if p < 300 else 2**30))) % p
                shares[i, at] = field.from_ints([new if new != old else (old + 1) % p])[0]
        values, named = correct(shares, ids, threshold, *over)
        assert named == [i + 1 for i in culprits]
        assert as_ints(values) == as_ints(x)
        if wrong:
            with pytest.raises(bt.ProtocolAbort, match="wrong: leave") as caught:
                reconstruct(shares, ids, threshold, *over)
            assert caught.value.party == ", ".join(str(i + 1) for i in culprits)
        ignored = reconstruct(shares, ids, threshold, *over, check=False)
        trusted = all(i >= threshold for i in culprits)
        assert (as_ints(ignored) == as_ints(x)) == trusted


def test_too_many_wrong_shares_are_an_abort():
    shares = shamir.share([5, 6], 2, 5)
    shares[:2] ^= np.uint64(1)
    for function in (shamir.reconstruct, shamir.correct):
        with pytest.raises(bt.ProtocolAbort, match="more than 1 of them are wrong: get more shares"):
            function(shares, range(1, 6), 2)
    shares = shamir.share([5, 6, 7], 2, 4)  # one wrong at each of two places, by two parties: more than one in all
    shares[0, 0] ^= np.uint64(1)
    shares[1, 1] ^= np.uint64(1)
    with pytest.raises(bt.ProtocolAbort, match="more than 1"):
        shamir.correct(shares, range(1, 5), 2)


@given(st.data())
def test_the_decoder_finds_errors_of_any_pattern(data):
    order = data.draw(st.sampled_from([101, 2**31 - 1, 256]))
    m = data.draw(st.integers(1, 12))
    threshold = data.draw(st.integers(1, m))
    field = gf256() if order == 256 else shamir.field_of(order)
    ids = data.draw(st.lists(st.integers(1, min(order - 1, 1000)), min_size=m, max_size=m, unique=True))
    secret = [data.draw(st.integers(0, order - 1)) for _ in range(threshold)]
    column = field.from_ints(secret).reshape(threshold, 1)
    values = field.to_ints(field.product(field.powers(tuple(ids), threshold), column))
    wrong = data.draw(st.lists(st.integers(0, m - 1), max_size=(m - threshold) // 2, unique=True))
    for i in wrong:
        values[i] = (values[i] + data.draw(st.integers(1, order - 1))) % order
    assert wrong_positions(order, ids, values, threshold) == sorted(wrong)


@pytest.mark.parametrize("p", [2**61 - 1, VDAF128, 2**31 - 1])
def test_refresh_and_reshare_keep_the_secret(p):
    x = np.array([[1, 2, 3], [p - 1, 0, 5]], dtype=object)
    shares = shamir.share(x, 3, 5, p)
    fresh = shamir.refresh(shares, range(1, 6), 3, p)
    assert fresh.shape == shares.shape
    assert (fresh != shares).any()
    assert as_ints(shamir.reconstruct(fresh[[1, 2, 4]], [2, 3, 5], 3, p)) == as_ints(x)
    mixed = np.concatenate([shares[:1], fresh[1:3]])  # of two sharings: not the secret
    assert as_ints(shamir.reconstruct(mixed, [1, 2, 3], 3, p)) != as_ints(x)
    for threshold, parties in [(1, 2), (2, 2), (5, 9)]:
        moved = shamir.reshare(shares[2:], [3, 4, 5], 3, threshold, parties, p)
        assert moved.shape[:3] == (parties, 2, 3)
        last = range(parties - threshold + 1, parties + 1)
        assert as_ints(shamir.reconstruct(moved[-threshold:], last, threshold, p)) == as_ints(x)
        assert as_ints(shamir.reconstruct(moved, range(1, parties + 1), threshold, p)) == as_ints(x)
    # the same with each party by itself, as the docstring says
    sent = [shamir.share(elements(shares, p)[i], 2, 4, p) for i in range(3)]
    got = [shamir.reconstruct(np.stack([part[j] for part in sent]), [1, 2, 3], 3, p) for j in range(4)]
    stacked = np.stack([shamir.field_of(p).encode(row, "row")[0] for row in got])
    assert as_ints(shamir.reconstruct(stacked[1:3], [2, 3], 2, p)) == as_ints(x)


@pytest.mark.parametrize("p", [2**61 - 1, 2**31 - 1, VDAF128])
def test_linear_operations(p):
    a, b = np.array([1, p - 1, 5], object), np.array([9, 9, p - 9], object)
    x, y = shamir.share(a, 2, 3, p), shamir.share(b, 3, 3, p)
    for got, want in [
        (shamir.add(x, y, p), a + b),
        (shamir.subtract(x, y, p), a - b),
        (shamir.scale(x, -7, p), a * -7),
        (shamir.scale(x, p + 3, p), a * 3),
        (shamir.add(x, shamir.zeros(3, 3, 3, p), p), a),
    ]:
        assert as_ints(shamir.reconstruct(got, [1, 2, 3], 3, p)) == [int(v) % p for v in want]


@pytest.mark.parametrize("p", [2**61 - 1, 2**31 - 1, VDAF128, 101])
@pytest.mark.parametrize(("threshold", "pack"), [(1, 1), (1, 4), (2, 3), (4, 2)])
def test_packed_rows(p, threshold, pack):
    needed = threshold + pack - 1
    parties = needed + 2
    x = np.arange(pack * 6).reshape(pack, 2, 3)
    shares = shamir.share_packed(x, threshold, parties, p)
    assert shares.shape[:3] == (parties, 2, 3)
    for chosen in itertools.combinations(range(parties), needed):
        got = shamir.reconstruct_packed(shares[list(chosen)], [i + 1 for i in chosen], threshold, pack, p)
        assert np.array_equal(got.astype(np.int64), x)
    shares[0] = 0
    with pytest.raises(bt.ProtocolAbort, match="the share of party 1 is wrong"):
        shamir.reconstruct_packed(shares, range(1, parties + 1), threshold, pack, p)
    field = shamir.field_of(p)
    rows = [field.to_ints(row.reshape(-1, *field.tail)) for row in shamir.share_packed(x, threshold, 3 * needed, p)]
    powers = np.stack([field.from_ints([v**3 % p for v in row]) for row in rows])
    cubes = shamir.reconstruct_packed(powers, range(1, 3 * needed + 1), threshold, pack, p, degree=3)
    assert as_ints(cubes) == [int(v) ** 3 % p for v in x.reshape(-1)]


def test_with_threshold_one_packing_is_a_code_without_secrets():
    a, b = (shamir.share_packed([[1], [2]], 1, 4) for _ in range(2))
    assert np.array_equal(a, b)
    c, d = (shamir.share_packed([[1], [2]], 2, 4) for _ in range(2))
    assert not np.array_equal(c, d)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: shamir.share([1, -1], 2, 3), ValueError, r"x\[1\] is outside the field: give integers from 0"),
        (lambda s: shamir.share([[2**61 - 1]], 2, 3), ValueError, r"x\[0, 0\] is outside"),
        (lambda s: shamir.share([2**70], 2, 3), ValueError, r"x\[0\] is outside"),
        (lambda s: shamir.share([0.5], 2, 3), TypeError, "encode reals by a FixedPoint plan"),
        (lambda s: shamir.share([1], 4, 3), ValueError, "threshold is 4, but 3 parties cannot reach it"),
        (lambda s: shamir.share([1], 0, 3), ValueError, "threshold must be at least 1, not 0"),
        (lambda s: shamir.share([1], 2, 0), ValueError, "parties must be at least 1"),
        (lambda s: shamir.share([1], 2, 7, 7), ValueError, "use a larger field"),
        (lambda s: shamir.share([1], 2, 3, 2**61), ValueError, "prime must be an odd prime"),
        (lambda s: shamir.share([1], 2, 3, 91), ValueError, "prime must be an odd prime"),
        (lambda s: shamir.reconstruct(s, [0, 1, 2], 2), ValueError, r"ids\[0\] is 0: parties are counted from 1"),
        (lambda s: shamir.reconstruct(s, [1, 2, 1], 2), ValueError, r"ids\[2\] is 1, and so is ids\[0\]"),
        (lambda s: shamir.reconstruct(s, [1, 2, 2**61], 2), ValueError, r"ids\[2\] is 2305843009213693952, outside"),
        (lambda s: shamir.reconstruct(s, [1, 2, -3], 2), ValueError, r"ids\[2\] is -3, outside"),
        (lambda s: shamir.reconstruct(s, [1, 2, 3.0], 2), TypeError, r"ids\[2\] must be an int"),
        (lambda s: shamir.reconstruct(s, [1, 2], 2), ValueError, "ids names 2 parties, but shares holds 3"),
        (lambda s: shamir.reconstruct(s[:1], [1], 2), ValueError, "shares holds 1 shares, but 2 are needed"),
        (
            lambda s: shamir.reconstruct(s | np.uint64(2**63), [1, 2, 3], 2),
            ValueError,
            r"shares\[0\] holds a value out",
        ),
        (lambda s: shamir.reconstruct(s.astype(float), [1, 2, 3], 2), TypeError, "shares must hold uint64"),
        (lambda s: shamir.reconstruct(np.uint64(3), [1], 1), ValueError, "leading axis of parties"),
        (lambda s: shamir.reconstruct(s[:, :1], [1, 2, 3], 2, VDAF128), ValueError, "trailing one of 2 limbs"),
        (lambda s: shamir.add(s, s[:2]), ValueError, "a and b must have one shape"),
        (lambda s: shamir.scale(s, 1.5), TypeError, "k must be an int"),
        (lambda s: shamir.share_packed(5, 1, 3), ValueError, "first axis of secrets to pack"),
        (lambda s: shamir.share_packed([[1], [2], [3]], 2, 3), ValueError, "threshold is 2 with 3 packed secrets"),
        (lambda s: shamir.reconstruct_packed(s, [1, 2, 3], 2, 3), ValueError, "but 4 are needed"),
        (lambda s: shamir.reconstruct_packed(s, [1, 2, 2**61 - 2], 1, 2), ValueError, "leaves no room beside the ids"),
    ],
)
def test_refusals_name_the_argument_and_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call(shamir.share([1, 2], 2, 3))


def test_signed_and_narrow_integers_go_in_as_they_are():
    for dtype in (np.int8, np.uint16, np.int32, np.int64, np.uint64, ">u4"):
        x = np.array([1, 2, 100], dtype)
        assert as_ints(shamir.reconstruct(shamir.share(x, 2, 3)[1:], [2, 3], 2)) == [1, 2, 100]
    signed = np.array([-5, 7])
    got = shamir.reconstruct(shamir.share(signed % (2**61 - 1), 2, 3), [1, 2, 3], 2).astype(np.int64)
    assert np.where(got > 2**60, got - (2**61 - 1), got).tolist() == [-5, 7]
