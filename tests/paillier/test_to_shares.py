"""From ciphertexts to shares and back: exact sums, masks of full width, nothing of the operands in the message."""

from __future__ import annotations

import gmpy2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk.paillier import RingArray, encrypt_share, open_shares, slots
from bluetusk.paillier.primes import generate_primes
from bluetusk.wire import frame

INTEGERS = bt.FixedPoint.integers(limit=2**40)


def ints(x):
    return [int(v) for v in np.asarray(x).reshape(-1).tolist()]


def opened(mine, theirs):
    return (mine + theirs).view(f"i{mine.itemsize}")


@pytest.mark.parametrize("shape", [(1,), (9,), (10,), (11,), (3, 7), (0,), (2, 0)])
@pytest.mark.parametrize("bits", [32, 64])
def test_shares_add_up(pub, priv, shape, bits):
    top = 2 ** (bits - 1) if bits == 32 else 2**40
    rng = np.random.default_rng(1)
    x = rng.integers(-top + 1, top, shape)
    mine, message = pub.encrypt(x, INTEGERS).to_shares(bits)
    theirs = open_shares(priv, message)
    assert mine.shape == theirs.shape == shape
    assert mine.dtype == theirs.dtype == (np.uint32 if bits == 32 else np.uint64)
    assert np.array_equal(opened(mine, theirs), x)


def test_a_single_number(pub, priv):
    mine, message = pub.encrypt(-5, INTEGERS).to_shares()
    assert mine.shape == ()
    assert (int(mine) + int(open_shares(priv, message))) % 2**64 == 2**64 - 5


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_was_computed_and_truncated(pub, priv, data):
    n = data.draw(st.integers(1, 5))
    values = st.lists(st.integers(-(2**30), 2**30), min_size=n, max_size=n)
    x, k = data.draw(values), data.draw(values)
    t = data.draw(st.integers(0, 60))
    c = pub.encrypt(np.array(x), INTEGERS) * np.array(k) + np.array(k)
    mine, message = c.to_shares(truncate=t, bound=2**75)
    exact = [(a * b + b) >> t for a, b in zip(x, k, strict=True)]
    got = ints(opened(mine, open_shares(priv, message)))
    assert all((g - v) % 2**64 in (0, 1) for g, v in zip(got, exact, strict=True))
    if t == 0:
        assert [g % 2**64 for g in got] == [v % 2**64 for v in exact]


def test_values_beyond_the_ring_are_reduced(pub, priv):
    wide = pub.encrypt(np.array([2**40, -(2**40)]), INTEGERS) * 2**40
    mine, message = wide.to_shares(bound=2**81)
    assert ints(mine + open_shares(priv, message)) == [2**80 % 2**64, -(2**80) % 2**64]
    mine, message = wide.to_shares(bound=2**81, truncate=40)
    assert all(
        abs(g - v) <= 1 for g, v in zip(ints(opened(mine, open_shares(priv, message))), [2**40, -(2**40)], strict=True)
    )


def test_both_suites_and_reals(priv):
    p, q = (int(prime) for prime in generate_primes(1024))
    with bt.paillier.PrivateKey(p, q, suite="standard") as other:
        mine, message = other.public_key.encrypt([0.5, -1.25]).to_shares()
        assert ints(opened(mine, open_shares(other, message))) == [2**19, -5 * 2**18]
    with pytest.raises(bt.InvalidKey):
        open_shares(priv, message)


def _opened(priv, message):
    """What the key holder opens: numbers on [0, n)."""
    got = frame.decode(message, frame.Kind.SHARE_REQUEST)
    c = bt.CipherArray.from_bytes(got.payload, priv.public_key)
    return [v % int(priv.public_key.n) for v in ints(priv.decrypt_integers(c))], got.header


def distance(values):
    """Kolmogorov's distance of numbers in [0, 1) from uniform, by the root of their number: above 2.2 once in 8000."""
    v = np.sort(np.array(values))
    n = len(v)
    return n**0.5 * max(np.max(np.arange(1, n + 1) / n - v), np.max(v - np.arange(n) / n))


@pytest.mark.parametrize("value", [0, 7, -1000])
def test_what_the_key_holder_opens_is_uniform_modulo_n(pub, priv, value):
    n, plan = int(pub.n), bt.FixedPoint.integers(limit=1000)
    c = pub.encrypt(np.full(26, value), plan)
    seen, widths = [], set()
    for _ in range(60):
        opened_numbers, header = _opened(priv, c.to_shares()[1])
        seen += opened_numbers
        widths.add((header["slot_bits"], len(opened_numbers)))
    assert widths == {(11 + 64, 1)}  # by the declared bound, never by the data
    assert distance([v / n for v in seen]) < 2.2
    assert abs(sum(v & 1 for v in seen) - 30) < 7 * 15**0.5


def test_slots_do_not_carry_into_each_other(pub, priv):
    """Exact in every slot of full ciphertexts, for values of either sign at the ends of the range."""
    top = 2**40
    x = np.tile([top, -top, -1, 0, 1], 40)
    for _ in range(10):
        mine, message = pub.encrypt(x, INTEGERS).to_shares()
        assert np.array_equal(opened(mine, open_shares(priv, message)), x)


def test_a_message_of_the_earlier_form_is_opened(pub, priv):
    """With a mask for each value, 104 bits longer than the bound."""
    x, width = [5, -6, 7], 10 + 104 + 2
    layout = slots.Slots.fitting(2048, width)
    masks = slots.draw(10 + 104, 3)
    c = layout.shifted(pub.encrypt(x, bt.FixedPoint.integers(1000)))
    payload = slots.mask(c, layout.packed(masks), layout.bound).to_bytes(layout.bound)
    header = {"bits": 64, "truncate": 0, "slot_bits": width, "mask_bits": 114, "shape": [3]}
    message = frame.encode(frame.Kind.SHARE_REQUEST, header, payload)
    mine = np.array([-rho % 2**64 for rho in masks], np.uint64)
    assert ints(opened(mine, open_shares(priv, message))) == x
    for change in ({"mask_bits": 113}, {"slot_bits": width + 1}):
        with pytest.raises(bt.FrameError, match="disagree"):
            open_shares(priv, frame.encode(frame.Kind.SHARE_REQUEST, header | change, payload))


def test_nothing_of_the_operands_is_left_in_the_message(pub, priv):
    """What blinds the message is r^n of any unit r, no power of hs: half of them have the symbol -1, hs has 1."""
    c, n = pub.encrypt(np.array([1, 2]), INTEGERS), int(pub.n)
    symbols = []
    for _ in range(30):
        payload = frame.decode(c.to_shares()[1], frame.Kind.SHARE_REQUEST).payload
        cipher = int.from_bytes(bytes(frame.decode(payload).payload), "little")
        plain = int(priv.decrypt_integers(bt.CipherArray.from_bytes(payload, pub))[0])
        symbols.append(gmpy2.jacobi(cipher * pow(1 + plain * n, -1, n * n), n))
    assert gmpy2.jacobi(pub.hs, n) == 1
    assert set(symbols) == {1, -1}


def test_the_evaluators_share_alone_is_uniform(pub):
    shares = np.concatenate([pub.encrypt(np.zeros(200, int), INTEGERS).to_shares(truncate=t)[0] for t in (0, 30)])
    for bit in range(64):
        assert abs(int((shares >> np.uint64(bit) & np.uint64(1)).sum()) - 200) < 7 * 10


# --- back


def test_and_back(pub, priv):
    x = np.array([[5, -7, 2**62], [-(2**63), 2**63 - 1, 0]])
    shares = bt.sharing.ring.share(x, 2)
    ring = RingArray.of(encrypt_share(priv, shares[0]), shares[1])
    assert np.array_equal(ring.decrypt(priv), x)
    back = RingArray.from_bytes(ring.to_bytes(2**65), pub)
    assert back.encrypted.shape == x.shape
    assert np.array_equal(back.decrypt(priv), x)
    small = ring * 3 - np.array([[1], [2]]) + ring
    assert ints(small.decrypt(priv)) == [
        ((4 * int(v) - 1 - (i > 2)) + 2**63) % 2**64 - 2**63 for i, v in enumerate(x.reshape(-1))
    ]
    narrow = bt.sharing.ring.share([-1, 2**31 - 1], 2, 32)
    assert ints(RingArray.of(encrypt_share(pub, narrow[1]), narrow[0]).decrypt(priv)) == [-1, 2**31 - 1]


def test_the_least_word_is_encrypted_as_well(pub, priv):
    words = np.array([2**63, 2**63 + 1, 2**63 - 1], np.uint64)
    assert np.array_equal(RingArray(encrypt_share(pub, words), 64).decrypt(priv).view(np.uint64), words)


def test_wraps_are_hidden_on_the_way_back(pub, priv):
    """The integers that the key holder sees are spread over multiples of 2^64."""
    shares = bt.sharing.ring.share([1] * 20, 2)
    ring = RingArray.of(encrypt_share(pub, shares[0]), shares[1])
    seen = RingArray.from_bytes(ring.to_bytes(2**65), pub)
    wide = ints(priv.decrypt_integers(seen.encrypted))
    assert all(v % 2**64 == 1 for v in wide)
    assert len({v >> 64 for v in wide}) == 20
    assert min(abs(v) for v in wide) > 2**140


# --- refusals


def test_what_is_no_message(pub, priv):
    c = pub.encrypt(np.arange(12), INTEGERS)
    message = c.to_shares()[1]
    got = frame.decode(message)
    with pytest.raises(TypeError, match="must be a PrivateKey"):
        open_shares(pub, message)
    with pytest.raises(bt.FrameError, match="truncated"):
        open_shares(priv, message[:-1])
    for change, error, words in [
        ({"bits": 48}, bt.FrameError, "disagree"),
        ({"shape": [13, 2]}, bt.FrameError, "do not fill ciphertexts"),
        ({"shape": [-1]}, bt.FrameError, "out of range"),
        ({"shape": [0]}, bt.FrameError, "there is a payload"),
        ({"slot_bits": 63}, bt.FrameError, "below the least allowed, 64"),
        ({"truncate": got.header["slot_bits"] - 63}, bt.FrameError, "above the largest allowed"),
    ]:
        with pytest.raises(error, match=words):
            open_shares(priv, frame.encode(frame.Kind.SHARE_REQUEST, got.header | change, got.payload))
    plain = pub.encrypt(np.array([2**20, 2**30]), INTEGERS).to_bytes()
    lie = got.header | {"shape": [2 * ((int(pub.n).bit_length() - 2) // got.header["slot_bits"])]}
    open_shares(priv, frame.encode(frame.Kind.SHARE_REQUEST, lie, plain))  # a liar spoils its own shares only


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: c.to_shares(16), ValueError, "bits must be 32 or 64"),
        (lambda c: c.to_shares(truncate=-1), ValueError, "truncate must be 0 to 81"),
        (lambda c: c.to_shares(truncate=82), ValueError, "truncate must be 0 to 81"),
        (lambda c: c.to_shares(bound=2**39), bt.EncodingOverflow, "below the array's own"),
        (lambda c: (c * 2**20).to_shares(), bt.EncodingOverflow, "declare a bound"),
        (lambda c: c.to_shares(bound=2**2000), bt.EncodingOverflow, "does not fit a key of 2048"),
        (lambda c: RingArray.of(c, np.zeros(3)), TypeError, "array of uint64 or uint32"),
        (lambda c: RingArray.of(c, np.zeros(4, np.uint64)), ValueError, "give two shares of one array"),
        (lambda c: RingArray(c.public_key.encrypt([0.5]), 64), TypeError, "CipherArray of integers"),
        (lambda c: RingArray(c, 48), ValueError, "bits must be 32 or 64"),
        (lambda c: RingArray(c, 64) * RingArray(c, 64), TypeError, "multiply shares with bt.sharing.beaver"),
        (lambda c: RingArray(c, 64) + RingArray(c, 32), ValueError, "the other modulo"),
        (lambda c: RingArray(c, 64) * 0.5, TypeError, "take integers"),
        (lambda c: RingArray(c, 64).to_bytes(5), bt.EncodingOverflow, "declare more"),
        (lambda c: RingArray(c, 64).to_bytes(2**1990), bt.EncodingOverflow, "does not fit the key"),
        (lambda c: encrypt_share(c.public_key, np.zeros(2)), TypeError, "array of uint64 or uint32"),
    ],
)
def test_refusals(pub, call, error, message):
    with pytest.raises(error, match=message):
        call(pub.encrypt(np.array([1, 2, 3]), INTEGERS))


def test_packed_arrays_are_refused(pub):
    with pytest.raises(ValueError, match="encrypt with packed=False"):
        pub.encrypt([1, 2], INTEGERS, packed=True).to_shares()


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.uint8, np.int32])
def test_the_ring_may_be_named_by_an_integer_of_numpy(pub, priv, kind, bits):
    """1 << numpy.int64(64) is 0: only Python's int may be computed with."""
    mine, message = pub.encrypt([3, -4], INTEGERS).to_shares(kind(bits))
    assert ints(opened(mine, open_shares(priv, message))) == [3, -4]
    words = np.array([5, 2**bits - 7], f"u{bits // 8}")
    ring = RingArray(encrypt_share(pub, words), kind(bits))
    assert type(ring.bits) is int
    assert ints(ring.decrypt(priv)) == [5, -7]
    back = RingArray.from_bytes(ring.to_bytes(2**65), pub)
    assert ints(back.decrypt(priv)) == [5, -7]
