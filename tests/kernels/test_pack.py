"""csrc/bt_pack through its binding, against Python integers."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk._kernels import pack
from bluetusk.errors import EncodingOverflow

RNG = random.Random(20260711)
MODULI = [(RNG.getrandbits(bits) | 1 << (bits - 1) | 1, bits) for bits in (66, 127, 128, 129, 512, 1000, 2048, 3072)]
INT64 = st.integers(-(2**63), 2**63 - 1)


def to_limbs(number: int, limbs: int) -> np.ndarray:
    return np.array([number >> (64 * i) & (2**64 - 1) for i in range(limbs)], dtype=np.uint64)


def from_limbs(row: np.ndarray) -> int:
    return sum(int(limb) << (64 * i) for i, limb in enumerate(row))


def limbs_of(n: int) -> int:
    return -(-n.bit_length() // 64)


def pack_rows(v: np.ndarray, slot_bits: int, slots: int, n: int) -> np.ndarray:
    out = np.full((v.shape[0] * -(-v.shape[1] // slots), limbs_of(n)), 0xEE, dtype=np.uint64)
    pack.pack_slots(v, slot_bits, slots, to_limbs(n, limbs_of(n)), out)
    return out


def unpack_rows(res: np.ndarray, shape: tuple[int, int], slot_bits: int, slots: int, n: int) -> tuple[np.ndarray, int]:
    out = np.full(shape, 77, dtype=np.int64)
    return out, pack.unpack_slots(res, slot_bits, slots, to_limbs(n, limbs_of(n)), out)


def centred(number: int, modulus: int) -> int:
    number %= modulus
    return number - modulus if 2 * number > modulus else number


def unpack_reference(p: int, slot_bits: int, count: int) -> tuple[list[int], bool]:
    """Centred remainders with carry, as the specification says it."""
    values = []
    for _ in range(count):
        r = (p + (1 << (slot_bits - 1))) % (1 << slot_bits) - (1 << (slot_bits - 1))
        values.append(r)
        p = (p - r) >> slot_bits
    return values, p == 0


@pytest.mark.parametrize(("n", "bits"), MODULI)
def test_residues_and_back(n, bits):
    values = [0, 1, -1, 2**63 - 1, -(2**63), -(2**63) + 1] + [RNG.randrange(-(2**63), 2**63) for _ in range(50)]
    v = np.array(values, dtype=np.int64)
    out = np.empty((len(v), limbs_of(n)), dtype=np.uint64)
    pack.residues_from_int64(v, to_limbs(n, limbs_of(n)), out)
    assert [from_limbs(row) for row in out] == [x % n for x in values]
    assert np.array_equal(out, pack.residues_from_ints(values, n, limbs_of(n)))
    back = np.empty_like(v)
    assert pack.int64_from_residues(out, to_limbs(n, limbs_of(n)), back) == -1
    assert back.tolist() == values
    assert pack.ints_from_residues(out, n) == values


@pytest.mark.parametrize(("n", "bits"), MODULI)
def test_residues_of_big_ints(n, bits):
    half = (n - 1) // 2
    values = [half, -half, 0, 5] + [RNG.randrange(-half, half + 1) for _ in range(20)]
    res = pack.residues_from_ints(values, n, limbs_of(n))
    assert pack.ints_from_residues(res, n) == values
    for past in (half + 1, -half - 1):
        with pytest.raises(EncodingOverflow, match=r"values\[1\] exceeds .* larger modulus"):
            pack.residues_from_ints([0, past], n, limbs_of(n))
    with pytest.raises(ValueError, match=r"res\[0\] is not below the modulus"):
        pack.ints_from_residues(to_limbs(n, limbs_of(n)).reshape(1, -1), n)


def test_the_first_residue_beyond_int64_is_named():
    n, limbs = MODULI[4][0], limbs_of(MODULI[4][0])
    good = [2**63 - 1, -(2**63), 0]
    for bad in (2**63, -(2**63) - 1, 2**64, (n - 1) // 2, -(n - 1) // 2):
        res = pack.residues_from_ints([*good, bad, bad], n, limbs)
        assert pack.int64_from_residues(res, to_limbs(n, limbs), np.empty(5, dtype=np.int64)) == 3
    res = np.vstack([pack.residues_from_ints(good, n, limbs), to_limbs(n, limbs)])
    assert pack.int64_from_residues(res, to_limbs(n, limbs), np.empty(4, dtype=np.int64)) == 3


@pytest.mark.parametrize("slot_bits", range(2, 65))
def test_slots_against_python_ints(slot_bits):
    most = 2 ** (slot_bits - 1) - 1
    for n, bits in MODULI:
        slots = (bits - 2) // slot_bits
        if not slots:
            continue
        for m in {1, slots, slots + 1, 2 * slots + slots // 2}:
            rows = [[RNG.choice((most, -most, 0, RNG.randint(-most, most))) for _ in range(m)] for _ in range(2)]
            v = np.array(rows, dtype=np.int64)
            out = pack_rows(v, slot_bits, slots, n)
            want = [
                sum(x << (slot_bits * j) for j, x in enumerate(row[at : at + slots])) % n
                for row in rows
                for at in range(0, m, slots)
            ]
            assert [from_limbs(row) for row in out] == want
            back, bad = unpack_rows(out, v.shape, slot_bits, slots, n)
            assert bad == -1
            assert np.array_equal(back, v)


@pytest.mark.parametrize("slot_bits", range(8, 65))
def test_no_silent_wrap(slot_bits):
    """Promise M10: 1 800 sums per width, around 10^5 in all, at the limit and past it."""
    n, bits = MODULI[-2]
    slots = (bits - 2) // slot_bits
    most = 2 ** (slot_bits - 1) - 1
    edges = [most, -most, most - 1, 1 - most, most + 1, -most - 1, most + 2]
    wrapped = refused = 0
    for value in (e for e in edges if -(2**63) <= e < 2**63):
        for at in (0, slots - 1):
            v = np.zeros((1, slots), dtype=np.int64)
            v[0, at] = value
            if abs(value) <= most:
                back, bad = unpack_rows(pack_rows(v, slot_bits, slots, n), v.shape, slot_bits, slots, n)
                assert bad == -1
                assert np.array_equal(back, v)
            else:
                with pytest.raises(EncodingOverflow, match=f"slot of {slot_bits} bits: use wider slots"):
                    pack_rows(v, slot_bits, slots, n)
                refused += 1
    assert refused == (2 if slot_bits == 64 else 6)
    # a sum that leaves its slot carries into the next one and, in the last slot, is seen; it never stays unnoticed when
    # every slot is compared with the bound that the sum was allowed
    for _ in range(1800 // slots + 1):
        a = np.array([[RNG.choice((most, -most, RNG.randint(-most, most))) for _ in range(slots)]], dtype=np.int64)
        b = np.array([[RNG.choice((most, -most, RNG.randint(-most, most))) for _ in range(slots)]], dtype=np.int64)
        total = (
            from_limbs(pack_rows(a, slot_bits, slots, n)[0]) + from_limbs(pack_rows(b, slot_bits, slots, n)[0])
        ) % n
        back, bad = unpack_rows(to_limbs(total, limbs_of(n)).reshape(1, -1), a.shape, slot_bits, slots, n)
        exact = [int(x) + int(y) for x, y in zip(a[0], b[0], strict=True)]
        want, clean = unpack_reference(centred(total, n), slot_bits, slots)
        assert (bad == -1) == clean
        if clean:
            assert back[0].tolist() == want
        if max(map(abs, exact)) <= most:
            assert bad == -1
            assert back[0].tolist() == exact
        else:
            wrapped += 1
    assert wrapped


@given(data=st.data(), slot_bits=st.integers(2, 64), modulus=st.sampled_from(MODULI))
@settings(max_examples=300, deadline=None)
def test_unpacking_any_residue_agrees_with_the_definition(data, slot_bits, modulus):
    n, bits = modulus
    slots = (bits - 2) // slot_bits
    if not slots:
        return
    count = data.draw(st.integers(1, slots))
    wide = data.draw(st.booleans())
    p = (
        data.draw(st.integers(0, n - 1))
        if wide
        else data.draw(st.integers(-(2 ** (slot_bits * count)), 2 ** (slot_bits * count)))
    )
    res = to_limbs(p % n, limbs_of(n)).reshape(1, -1)
    back, bad = unpack_rows(res, (1, count), slot_bits, slots, n)
    want, clean = unpack_reference(centred(p, n), slot_bits, count)
    assert (bad == -1) == clean
    if clean:
        assert back[0].tolist() == want


@given(st.lists(INT64, min_size=1, max_size=9), st.integers(2, 64))
@settings(max_examples=300, deadline=None)
def test_packing_raises_exactly_when_a_value_exceeds_its_slot(values, slot_bits):
    n, bits = MODULI[-2]
    v = np.array([values], dtype=np.int64)
    if max(map(abs, values)) > 2 ** (slot_bits - 1) - 1:
        with pytest.raises(EncodingOverflow):
            pack_rows(v, slot_bits, (bits - 2) // slot_bits, n)
    else:
        slots = (bits - 2) // slot_bits
        assert np.array_equal(unpack_rows(pack_rows(v, slot_bits, slots, n), v.shape, slot_bits, slots, n)[0], v)


def test_the_first_bad_block_is_named():
    n = MODULI[4][0]
    v = np.arange(12, dtype=np.int64).reshape(3, 4)
    res = pack_rows(v, 20, 2, n)
    res[3] = to_limbs(1 << 40, limbs_of(n))  # beyond two slots of 20 bits
    res[5] = to_limbs(n, limbs_of(n))
    assert unpack_rows(res, v.shape, 20, 2, n)[1] == 3
    res[1] = 2**64 - 1
    assert unpack_rows(res, v.shape, 20, 2, n)[1] == 1


def test_empty_batches():
    n, limbs = MODULI[3][0], limbs_of(MODULI[3][0])
    modulus, ints, rows = to_limbs(n, limbs), np.empty(0, dtype=np.int64), np.empty((0, limbs), dtype=np.uint64)
    pack.residues_from_int64(ints, modulus, rows)
    assert pack.int64_from_residues(rows, modulus, ints) == -1
    assert pack.residues_from_ints([], n, limbs).shape == (0, limbs)
    assert pack.ints_from_residues(rows, n) == []
    for shape in ((0, 5), (5, 0), (0, 0)):
        empty = np.empty(shape, dtype=np.int64)
        pack.pack_slots(empty, 8, 3, modulus, rows)
        assert pack.unpack_slots(rows, 8, 3, modulus, empty) == -1
    assert pack.quantise(np.empty(0), ints, 2, 3, 9) == (0, 0)
    assert pack.sum_squares(ints) == 0


def test_sizes_and_types_are_checked():
    n, limbs = MODULI[3][0], limbs_of(MODULI[3][0])
    modulus, v = to_limbs(n, limbs), np.zeros(4, dtype=np.int64)
    rows, block = np.zeros((4, limbs), dtype=np.uint64), np.zeros((4, 1), dtype=np.int64)
    read_only = rows.copy()
    read_only.flags.writeable = False
    wrong = [
        lambda: pack.residues_from_int64(v, modulus, rows[:3]),
        lambda: pack.residues_from_int64(v, modulus[:-1], rows),
        lambda: pack.residues_from_int64(v, modulus, read_only),
        lambda: pack.residues_from_int64(v.astype(np.int32), modulus, rows),
        lambda: pack.residues_from_int64(v.astype(">i8"), modulus, rows),
        lambda: pack.residues_from_int64(np.zeros(8, dtype=np.int64)[::2], modulus, rows),
        lambda: pack.residues_from_int64(v, np.zeros(0, dtype=np.uint64), rows),
        lambda: pack.residues_from_int64(v, np.zeros(limbs, dtype=np.uint64), rows),
        lambda: pack.residues_from_int64(v, np.ones(257, dtype=np.uint64), np.zeros((4, 257), dtype=np.uint64)),
        lambda: pack.int64_from_residues(rows, modulus, v[:3]),
        lambda: pack.int64_from_residues(rows, modulus[:-1], v),
        lambda: pack.int64_from_residues(np.zeros((4, 1), np.uint64), np.ones(1, np.uint64), v),
        lambda: pack.pack_slots(block, 8, 3, modulus, rows[:3]),
        lambda: pack.pack_slots(block, 8, 0, modulus, rows),
        lambda: pack.pack_slots(block, 8, -1, modulus, rows),
        lambda: pack.pack_slots(block, 1, 3, modulus, rows),
        lambda: pack.pack_slots(block, 65, 1, modulus, rows),
        lambda: pack.pack_slots(block, 64, 2, modulus, rows),
        lambda: pack.unpack_slots(rows[:3], 8, 3, modulus, block),
        lambda: pack.unpack_slots(rows, 8, 99, modulus, block),
        lambda: pack.unpack_slots(rows[:, :-1].copy(), 8, 3, modulus, block),
        lambda: pack.quantise(np.zeros(4), v[:3], 2, 3, 9),
        lambda: pack.quantise(np.zeros(4), v, 3, 3, 9),
        lambda: pack.quantise(np.zeros(4), v, 2, 901, 9),
        lambda: pack.quantise(np.zeros(4), v, 10, 19, 9),
        lambda: pack.quantise(np.zeros(4), v, 2, 3, 0),
        lambda: pack.quantise(np.zeros(4), v, 2, 3, 2**63),
        lambda: pack.quantise(np.zeros(4), v, 2, 3, 9, -1.0),
        lambda: pack.quantise(np.zeros(4), v, 2, 3, 9, 0.0, np.zeros(3, dtype=np.uint64)),
        lambda: pack.quantise_int64(v, v[:3].copy(), 2, 3, 9),
        lambda: pack.quantise_uint64(v.astype(np.uint64), v[:3], 2, 3, 9),
        lambda: pack.to_double(v, np.zeros(3), 1, 0),
        lambda: pack.to_double(v, np.zeros(4), 0, 0),
        lambda: pack.to_double(v, np.zeros(4), 1, 901),
        lambda: pack.shrink(v, 1, 63),
        lambda: pack.residues_from_ints([1], 2, 1),
        lambda: pack.residues_from_ints([1], 2**64 + 1, 1),
        lambda: pack.ints_from_residues(rows, 1),
    ]
    for call in wrong:
        with pytest.raises(ValueError):  # noqa: PT011 (NumPy words some of the messages)
            call()
    for call in (
        lambda: pack.residues_from_int64(None, modulus, rows),
        lambda: pack.pack_slots(v, None, 3, modulus, rows),
        lambda: pack.residues_from_ints([1.5], n, limbs),
        lambda: pack.quantise("text", v, 2, 3, 9),
    ):
        with pytest.raises((TypeError, ValueError, AttributeError)):
            call()


def test_refusing_a_batch_leaves_the_output_as_it_was():
    n, limbs = MODULI[3][0], limbs_of(MODULI[3][0])
    out = np.full((2, limbs), 5, dtype=np.uint64)
    with pytest.raises(EncodingOverflow):
        pack.pack_slots(np.array([[1], [128]], dtype=np.int64), 8, 3, to_limbs(n, limbs), out)
    assert (out == 5).all()
    small = np.array([35], dtype=np.uint64)
    row = np.full((2, 1), 5, dtype=np.uint64)
    with pytest.raises(EncodingOverflow, match="larger modulus"):
        pack.residues_from_int64(np.array([17, 18]), small, row)
    assert (row == 5).all()


def test_slices_in_threads_give_the_same_bytes():
    n = MODULI[-1][0]
    limbs = limbs_of(n)
    v = np.array([[RNG.randrange(-(2**31), 2**31) for _ in range(300)] for _ in range(40)], dtype=np.int64)
    whole = pack_rows(v, 33, 90, n)
    parts = np.zeros_like(whole)

    def work(lo: int) -> None:
        pack.pack_slots(v[lo : lo + 5], 33, 90, to_limbs(n, limbs), parts[4 * lo : 4 * (lo + 5)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(0, 40, 5)))
    assert np.array_equal(whole, parts)
