"""Encrypted arrays as bytes: round trips, what a reader refuses, re-randomisation when leaving, streams, pickles."""

from __future__ import annotations

import io
import pickle
import threading

import numpy as np
import pytest

from bluetusk.encoding import FixedPoint
from bluetusk.errors import BluetuskError, DecryptionError, EncodingOverflow, FrameError, InvalidCiphertext, InvalidKey
from bluetusk.paillier import PrivateKey
from bluetusk.paillier import _store as stores
from bluetusk.paillier.array import CipherArray, concatenate, encrypt, encrypt_integers
from bluetusk.wire import frame

decrypt, ints_of = PrivateKey.decrypt, PrivateKey.decrypt_integers

SMALL = FixedPoint.integers(limit=1000)
WIDTH = 512


def payload_of(data: bytes) -> list[bytes]:
    payload = bytes(frame.decode(data).payload)
    return [payload[i : i + WIDTH] for i in range(0, len(payload), WIDTH)]


# --- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0,), (2, 0, 3), (1, 1, 1, 2)])
@pytest.mark.parametrize("plan", [SMALL, FixedPoint(), FixedPoint.money()], ids=["integers", "binary", "decimal"])
def test_round_trip(pub, priv, shape, plan):
    x = np.random.default_rng(1).integers(-4, 4, shape)
    c = encrypt(pub, x, plan)
    back = CipherArray.from_bytes(c.to_bytes(), pub)
    assert back.shape == shape
    assert (back.frac, back.plan, back.bound, back.fresh, back.packed) == (c.frac, plan, c.bound, True, False)
    assert back.to_bytes() == c.to_bytes()
    assert np.array_equal(decrypt(priv, back), x)


@pytest.mark.parametrize("shape", [(5,), (2, 64), (3, 0), (0, 70), (2, 2, 126)])
def test_packed_round_trip(pub, priv, shape):
    x = np.random.default_rng(1).integers(-4, 4, shape)
    c = encrypt(pub, x, FixedPoint(), packed=True)
    for back in (
        CipherArray.from_bytes(c.to_bytes(), pub),
        CipherArray.read_from(io.BytesIO(c.to_bytes()), pub),
        pickle.loads(pickle.dumps(c)),
    ):
        assert back.shape == shape
        assert back._packing == c._packing
        assert np.array_equal(decrypt(priv, back + 0), x)


def test_views_travel_in_their_own_order(pub, priv):
    x = np.arange(12).reshape(3, 4)
    c = encrypt(priv, x, SMALL)
    for view, expected in (
        (c.T, x.T),
        (c[::-1, [2, 0]], x[::-1, [2, 0]]),
        (c[0].broadcast_to((2, 4)), np.stack([x[0]] * 2)),
    ):
        assert np.array_equal(ints_of(priv, CipherArray.from_bytes(view.to_bytes(), pub)), expected)


def test_frame_has_what_the_reader_needs_and_no_more(pub):
    c = encrypt(pub, [[1, 2]], SMALL) * 3
    header = frame.decode(c.to_bytes(), frame.Kind.CIPHER_ARRAY).header
    assert sorted(header) == ["bound", "frac", "fresh", "key", "packed", "plan", "shape", "slot_bits", "suite"]
    assert header["key"] == pub.fingerprint
    assert header["suite"] == "djn"
    assert header["shape"] == [1, 2]
    assert FixedPoint.from_dict(header["plan"]) == SMALL
    assert header["fresh"] is False


# --- the declared bound -----------------------------------------------------------------------------------------------


def declared(data: bytes) -> int:
    return int.from_bytes(frame.decode(data).header["bound"], "little")


def test_data_derived_bounds_never_travel(pub):
    c = encrypt(pub, [1, 2], SMALL)
    assert declared(c.to_bytes()) == 1000
    for k in (1, 3, 57, 100):
        d = c * k
        assert d.bound == 1000 * k
        assert declared(d.to_bytes()) == 100_000
    assert declared((c * 0).to_bytes()) == 100_000
    assert declared((np.array([[1, -2], [5, 5]]) @ c).to_bytes()) == 100_000
    real = encrypt(pub, [0.5], FixedPoint(clip=1.0, frac_bits=8, max_weight=10)) * 3.0
    assert declared(real.to_bytes()) == 2560 << 8
    packed = encrypt(pub, [1.0], FixedPoint(), packed=True)
    assert declared(packed.to_bytes()) == 4 << 20
    assert declared((-packed).to_bytes()) == 400 << 20


def test_wider_bounds_must_be_stated(pub, priv):
    d = encrypt(pub, [1000, -7], SMALL) * 101
    for leave in (d.to_bytes, lambda **k: d.write_to(io.BytesIO(), **k)):
        with pytest.raises(EncodingOverflow, match=r"to_bytes\(bound=\.\.\.\)"):
            leave()
        with pytest.raises(EncodingOverflow, match="below the array's own"):
            leave(bound=100_999)
        with pytest.raises(EncodingOverflow, match="beyond the capacity"):
            leave(bound=int(pub.n))
        with pytest.raises(TypeError, match="bound must be an int"):
            leave(bound=1e9)
        with pytest.raises(ValueError, match="bound must be at least 0, not -1"):
            leave(bound=-1)
    assert (d._store.shown.state == stores.PENDING).all()  # refused before anything was done
    back = CipherArray.from_bytes(d.to_bytes(bound=200_000), pub)
    assert back.bound == 200_000
    assert ints_of(priv, back).tolist() == [101_000, -707]
    with pytest.raises(EncodingOverflow, match="beyond the capacity"):
        encrypt(pub, [1.0], packed=True).to_bytes(bound=1 << 40)


def test_encrypted_integers_with_a_weight_declare_it(pub, priv):
    c = encrypt_integers(pub, np.array([3000, -3000]), SMALL, frac=0, bound=3000, packed=False)
    assert c.fresh
    assert declared(c.to_bytes()) == 100_000
    assert declared(c.to_bytes(bound=3000)) == 3000
    back = CipherArray.from_bytes(c.to_bytes(bound=3000), pub, SMALL)
    assert (back.bound, back.fresh) == (3000, True)


def test_the_largest_scale_travels_and_one_more_does_not(pub, priv):
    for plan, most in ((SMALL, 2048), (FixedPoint.money(), 614)):
        c = encrypt_integers(pub, np.array([1, -1]), plan, frac=most, bound=1)
        assert CipherArray.from_bytes(c.to_bytes(1), pub).frac == most
        c = encrypt_integers(pub, np.array([1, -1]), plan, frac=most + 1, bound=1)
        with pytest.raises(EncodingOverflow, match="frames carry at most"):
            c.to_bytes(1)


def test_receiver_takes_the_smaller_bound_and_checks_it(pub, priv):
    d = encrypt(pub, [1000, -7], SMALL) * 101
    data = d.to_bytes(bound=10**9)
    assert CipherArray.from_bytes(data, pub).bound == 10**9
    mine = CipherArray.from_bytes(data, pub, SMALL)
    assert mine.bound == 100_000
    with pytest.raises(DecryptionError):
        decrypt(priv, mine)
    assert CipherArray.from_bytes(encrypt(pub, [1], SMALL).to_bytes(), pub, SMALL).bound == 1000
    with pytest.raises(ValueError, match="agree on one plan"):
        CipherArray.from_bytes(data, pub, FixedPoint())


# --- what a reader refuses --------------------------------------------------------------------------------------------


def rebuilt(data: bytes, payload: bytes | None = None, **changes: object) -> bytes:
    got = frame.decode(data)
    header = {**got.header, **changes}
    return frame.encode(
        frame.Kind.CIPHER_ARRAY, {k: v for k, v in header.items() if v is not None}, payload or bytes(got.payload)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [3]},
        {"shape": [1]},
        {"shape": [2, 2]},
        {"shape": [-2]},
        {"shape": [-1, -2]},
        {"shape": [2**63, 2**63]},
        {"shape": [0, 2**60]},
        {"shape": [2, True]},
        {"shape": [1] * 40 + [2]},
        {"shape": "2"},
        {"shape": None},
        {"frac": -1},
        {"frac": 2049},
        {"frac": 2**40},
        {"frac": "0"},
        {"bound": b"\x00"},
        {"bound": b"\x01\x00"},
        {"bound": b"\xff" * 256},
        {"bound": b"\xff" * 100_000},
        {"bound": 7},
        {"packed": True},
        {"packed": True, "slot_bits": 1},
        {"packed": True, "slot_bits": 7},
        {"packed": False, "slot_bits": 1},
        {"packed": False, "slot_bits": 7},
        {"packed": True, "slot_bits": 65},
        {"slot_bits": 32},
        {"packed": 1},
        {"plan": {}},
        {"plan": {"base": 3}},
        {"plan": 7},
        {"fresh": 0},
        {"extra": 1},
        {"suite": None},
        {"key": b"short"},
    ],
    ids=repr,
)
def test_bad_headers_are_frame_errors(pub, changes):
    data = rebuilt(encrypt(pub, [1, 2], SMALL).to_bytes(), **changes)
    with pytest.raises(FrameError):
        CipherArray.from_bytes(data, pub)
    with pytest.raises(FrameError):
        CipherArray.read_from(io.BytesIO(data), pub)


def test_other_key_or_suite_is_named(pub):
    data = encrypt(pub, [1, 2], SMALL).to_bytes()
    for changes in ({"key": bytes(32)}, {"suite": "standard"}):
        with pytest.raises(InvalidKey, match="give the key"):
            CipherArray.from_bytes(rebuilt(data, **changes), pub)


def test_bad_ciphertexts_are_refused_and_named(pub, priv):
    """0, n^2, multiples of n, p and q, and what exceeds n^2: at the first and the last place, and behind a chunk."""
    p, q = (int.from_bytes(prime, "little") for prime in priv._kernel.export_primes())
    n, n2 = int(pub.n), int(pub.nsquare)
    c = encrypt(pub, np.arange(3), SMALL)
    good = payload_of(c.to_bytes())
    long = encrypt(priv, np.arange(40), SMALL)[np.arange(2100) % 40]
    long_data, long_good = long.to_bytes(), payload_of(long.to_bytes())
    for bad in (0, n2, n2 + 1, (1 << 4096) - 1, n, n2 - n, p, q, 5 * p, p * p % n2, n2 - q):
        raw = bad.to_bytes(WIDTH, "little")
        for at in (0, 2):
            rows = list(good)
            rows[at] = raw
            data = rebuilt(c.to_bytes(), payload=b"".join(rows))
            for read in (CipherArray.from_bytes, lambda d, k: CipherArray.read_from(io.BytesIO(d), k)):
                with pytest.raises(InvalidCiphertext, match=rf"ciphertext {at} "):
                    read(data, pub)
    for bad, at in ((n, 2099), (0, 2060), (p, 2050), (q, 100)):
        rows = list(long_good)
        rows[at] = bad.to_bytes(WIDTH, "little")
        with pytest.raises(InvalidCiphertext, match=rf"ciphertext {at} "):
            CipherArray.from_bytes(rebuilt(long_data, payload=b"".join(rows)), pub)
    assert CipherArray.from_bytes(rebuilt(c.to_bytes(), payload=b"".join(good)), pub).shape == (3,)


def test_the_least_and_the_largest_ciphertext_pass(pub, priv):
    n2 = int(pub.nsquare)
    rows = [(1).to_bytes(WIDTH, "little"), (n2 - 1).to_bytes(WIDTH, "little")]
    data = rebuilt(encrypt(pub, [0, 0], SMALL).to_bytes(), payload=b"".join(rows))
    assert ints_of(priv, CipherArray.from_bytes(data, pub)).tolist() == [0, 0]


def test_mutated_frames_never_crash(pub):
    data = encrypt(pub, [[1, 2]], SMALL).to_bytes()
    head = len(data) - 2 * WIDTH
    rng = np.random.default_rng(3)
    places = [*range(head), *rng.integers(head, len(data), 60).tolist()]
    accepted = 0
    for place in places:
        for bit in rng.permutation(8)[:3]:
            bad = bytearray(data)
            bad[place] ^= 1 << int(bit)
            for read in (CipherArray.from_bytes, lambda d, k: CipherArray.read_from(io.BytesIO(d), k)):
                try:
                    c = read(bytes(bad), pub)
                except BluetuskError:
                    continue
                accepted += 1
                assert c.size == 2
    assert accepted > 0  # a changed ciphertext is still one: authenticity is the protocol's business
    for length in (*range(0, head + 2), head + WIDTH, len(data) - 1):
        with pytest.raises(FrameError):
            CipherArray.from_bytes(data[:length], pub)
        with pytest.raises(FrameError):
            CipherArray.read_from(io.BytesIO(data[:length]), pub)
    with pytest.raises(FrameError):
        CipherArray.from_bytes(data + b"x", pub)


def test_a_huge_claim_costs_no_memory(pub):
    header = dict(frame.decode(encrypt(pub, [1], SMALL).to_bytes()).header)
    count = 1 << 34
    header["shape"] = [count]
    fp = io.BytesIO()
    frame.write_header(fp, frame.Kind.CIPHER_ARRAY, header, count * WIDTH)
    fp.seek(0)
    with pytest.raises(FrameError):
        CipherArray.read_from(fp, pub)
    for shape in ([1 << 40], [1 << 24, 1 << 24]):
        header["shape"] = shape
        fp = io.BytesIO()
        frame.write_header(fp, frame.Kind.CIPHER_ARRAY, header, (1 << 40) * WIDTH)
        fp.seek(0)
        with pytest.raises(FrameError):
            CipherArray.read_from(fp, pub)


@pytest.mark.parametrize("data", [None, "abc", 7, np.zeros(40)[::2], memoryview(bytes(40))[::2], [1, 2]], ids=repr)
def test_what_is_no_bytes_is_named(pub, data):
    with pytest.raises(TypeError, match=r"^data must be bytes, a bytearray or a contiguous view"):
        CipherArray.from_bytes(data, pub)


def test_any_contiguous_view_is_read(pub, priv):
    data = encrypt(pub, [1, 2], SMALL).to_bytes()
    for view in (bytearray(data), memoryview(data), np.frombuffer(data, dtype=np.uint8), memoryview(b"x" + data)[1:]):
        assert ints_of(priv, CipherArray.from_bytes(view, pub)).tolist() == [1, 2]


@pytest.mark.parametrize("shape", [[0, 10**7], [10**7, 0], [1 << 6, 0, 1 << 5], [0, (1 << 10) + 1], [1 << 48, 0]])
@pytest.mark.parametrize("packed", [False, True])
def test_arrays_without_values_stay_small(pub, shape, packed):
    """A million sums of nothing cost 640 MB, and the frame that orders them is of 200 bytes."""
    empty = encrypt(pub, np.zeros((0, 2), dtype=int), FixedPoint(), packed=packed)
    data = rebuilt(empty.to_bytes(), shape=shape)
    assert CipherArray.from_bytes(rebuilt(empty.to_bytes(), shape=[0, 1 << 10]), pub).shape == (0, 1 << 10)
    with pytest.raises(FrameError, match=r"'shape' is out of range.*2\^10"):
        CipherArray.from_bytes(data, pub)
    with pytest.raises(FrameError, match=r"'shape' is out of range"):
        CipherArray.read_from(io.BytesIO(data), pub)
    with pytest.raises(ValueError, match=r"does not fit a frame.*2\^10"):
        encrypt(pub, np.zeros(shape, dtype=int), FixedPoint(), packed=packed).to_bytes()


# --- leaving: fresh, derived, re-randomised once ---------------------------------------------------------------------


def test_fresh_and_derived(pub):
    c = encrypt(pub, [1, 2, 3], SMALL)
    for fresh in (c, c[1:], c.T, c.copy(), +c, c.reshape(3, 1), c.broadcast_to((2, 3)), concatenate([c, c[:1]])):
        assert fresh.fresh
        assert CipherArray.from_bytes(fresh.to_bytes(), pub).fresh
    for derived in (-c, c + 0, c * 1, c + c, c.sum(), c.bincount([0, 0, 0], 1), np.eye(3, dtype=int) @ c, 0 - c):
        assert not derived.fresh
        assert not derived.copy().fresh
        assert not CipherArray.from_bytes(derived.to_bytes(), pub).fresh
    joint = concatenate([c, c + 0])
    assert not joint.fresh
    assert joint[:3].fresh
    assert not joint[3:].fresh


def test_fresh_arrays_leave_unchanged(pub):
    c = encrypt(pub, [1, 2, 3], SMALL)
    before = c._store.words.copy()
    c.to_bytes()
    assert np.array_equal(before, c._store.words)


def test_derived_arrays_are_rerandomised_once(pub, priv):
    c, d = encrypt(pub, [1, 2, 3], SMALL), encrypt(pub, [10, 20, 30], SMALL)
    one, two = c + d, c + d
    assert np.array_equal(one._store.words, two._store.words)
    first = one.to_bytes()
    assert first == one.to_bytes()
    assert not set(payload_of(first)) & set(payload_of(two.to_bytes()))
    assert ints_of(priv, one).tolist() == ints_of(priv, CipherArray.from_bytes(first, pub)).tolist() == [11, 22, 33]
    assert not one.fresh
    # a parsed array is passed on as it came
    assert CipherArray.from_bytes(first, pub).to_bytes() == first
    # what is computed from it is derived again
    assert not set(payload_of((CipherArray.from_bytes(first, pub) + 0).to_bytes())) & set(payload_of(first))


def test_views_leave_with_their_parents_bytes(pub):
    c = encrypt(pub, np.arange(6).reshape(2, 3), SMALL) * 2
    part = c[1, ::-1]
    first = payload_of(part.to_bytes())
    assert (stores.current(c._store, c._flat())[2] == stores.DERIVED).sum() == 3
    whole = payload_of(c.to_bytes())
    assert whole[3:] == first[::-1]
    assert payload_of(part.to_bytes()) == first
    assert payload_of(c.T.to_bytes())[1::2] == whole[3:]
    assert payload_of(pickle.loads(pickle.dumps(c)).to_bytes()) == whole


def test_trivial_results_do_not_leave_as_they_are(pub):
    one = (1).to_bytes(WIDTH, "little")
    c = encrypt(pub, [5], SMALL)
    for trivial in (c * 0, c[:0].sum(), c.bincount([1], 2)[0], c - c, np.zeros((1, 1), dtype=int) @ c):
        rows = payload_of(trivial.to_bytes())
        assert one not in rows


def test_ten_thousand_equal_results_leave_different(pub):
    c = encrypt(pub, [1], SMALL)[np.zeros(10_000, dtype=int)] + 0
    canon = np.zeros((10_000, WIDTH // 8), np.uint64)
    pub._kernel.mont.store(canon, c._store.words, None, 0, 10_000)
    assert len({row.tobytes() for row in canon}) == 1
    assert len(set(payload_of(c.to_bytes()))) == 10_000


def test_threads_that_send_and_compute_at_once(pub, priv):
    c = encrypt(pub, np.arange(64), SMALL) + 1
    sent: list[bytes] = []
    sums: list[CipherArray] = []

    def send() -> None:
        sent.append(c[::2].to_bytes())

    def add() -> None:
        sums.extend(c + c[::-1] for _ in range(30))

    workers = [threading.Thread(target=job) for job in (send, add, send, add)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sent[0] == sent[1]
    joint = np.stack(sums)
    assert np.array_equal(ints_of(priv, joint.sum(0)), np.full(64, 65 * 60))
    assert np.array_equal(ints_of(priv, c), np.arange(64) + 1)


def test_an_interrupted_departure_loses_nothing(pub, priv, monkeypatch):
    c = encrypt(pub, np.arange(8), SMALL) + 1

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(pub), "_blind", interrupted)
        with pytest.raises(KeyboardInterrupt):
            c.to_bytes()
    assert (stores.current(c._store, c._flat())[2] == stores.PENDING).all()
    assert np.array_equal(ints_of(priv, CipherArray.from_bytes(c.to_bytes(), pub)), np.arange(8) + 1)
