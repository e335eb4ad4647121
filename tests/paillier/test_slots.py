"""Many numbers in one ciphertext: layouts hold what they promise, bounds only fall, every block has its own mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk.paillier import slots
from bluetusk.paillier.slots import Slots, mask, opened, tightened, width_of

PLAN = bt.FixedPoint.integers(100)


@given(st.data(), st.integers(1, 1 << 40), st.integers(1, 7))
def test_packed_values_come_back_with_their_signs(data, bound, count):
    layout = Slots(width_of(bound), count)
    values = data.draw(st.lists(st.integers(-bound, bound) | st.sampled_from([-bound, bound]), max_size=20))
    blocks = layout.packed(values)
    assert len(blocks) == layout.blocks(len(values))
    assert all(abs(block) < layout.bound for block in blocks)
    assert layout.signed(blocks, len(values)) == values


@given(st.lists(st.integers(0, 999), max_size=20), st.integers(1, 7))
def test_slots_without_signs_are_read_by_their_floors(values, count):
    layout = Slots(width_of(999, signed=False), count)
    floors = layout.floors(layout.packed(values), len(values))
    assert [v & ((1 << layout.width) - 1) for v in floors] == values


@pytest.mark.parametrize("key_bits", [2048, 3072, 4096])
@pytest.mark.parametrize("width", [1, 7, 97, 213, 1941])
def test_what_leaves_fits_the_key_masked_or_not(key_bits, width):
    for masked in (False, True):
        for crossed in (False, True):
            layout = Slots.fitting(key_bits, width, masked=masked, crossed=crossed)
            assert layout.bits <= key_bits - 2 - 63 * masked
            assert layout.bits + (1 + crossed) * width > key_bits - 2 - 63 * masked  # not one more
    assert Slots.fitting(2048, 2047).count == 0


def test_a_block_that_goes_on_is_refused():
    layout = Slots(8, 3)
    with pytest.raises(bt.DecryptionError):
        layout.signed([1 + (1 << 16)], 2)
    assert layout.signed([1 + (1 << 16)], 3) == [1, 0, 1]


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_encrypted_values_are_shifted_as_plain_ones_are_packed(pub, priv, n):
    layout, values = Slots(width_of(100), 3), [100, -100, 0, -1, 7, 99, -42][:n]
    c = layout.shifted(pub.encrypt(values, PLAN))
    assert c.bound < layout.bound
    assert priv.decrypt_integers(c).tolist() == layout.packed(values)
    rho = list(range(1000, 1000 + len(c)))
    masked = mask(c, rho, layout.bound + 2000)
    assert opened(priv, masked) == [v + r for v, r in zip(layout.packed(values), rho, strict=True)]


def test_masks_that_exceed_the_bound_or_are_too_few_are_refused(pub):
    c = pub.encrypt([1, 2], PLAN)
    assert mask(c, [5, 1 << 30], 100 + (1 << 30)).bound == 100 + (1 << 30)
    with pytest.raises(bt.EncodingOverflow, match="masked values have 31 bits"):
        mask(c, [5, 1 << 30], 99 + (1 << 30))
    with pytest.raises(bt.EncodingOverflow, match="bound has 7"):
        mask(c, None, 99)
    for masks in ([7], [7, 8, 9], []):  # one number would serve twice
        with pytest.raises(ValueError, match="2 ciphertexts"):
            mask(c, masks, 1 << 40)


def test_a_bound_only_falls_and_a_false_one_is_found_out(pub, priv):
    c = pub.encrypt([3, -4], PLAN)
    assert tightened(c, 4).bound == 4
    assert tightened(c, 101).bound == c.bound == 100
    assert tightened(tightened(c, 4), 100).bound == 4
    assert priv.decrypt_integers(tightened(c, 4)).tolist() == [3, -4]
    with pytest.raises(bt.DecryptionError):
        priv.decrypt_integers(tightened(c, 3))
    for wrong, error in ((-1, ValueError), (2.5, TypeError), (None, TypeError)):
        with pytest.raises(error, match="bound"):
            tightened(c, wrong)


def test_masks_are_uniform_below_their_power_of_two():
    drawn = slots.draw(108, 4000)
    assert max(drawn) < 1 << 108
    counts = np.bincount([v >> 104 for v in drawn], minlength=16)
    assert ((counts - 250) ** 2 / 250).sum() < 45  # 15 degrees of freedom: more has probability 1e-4
    assert len(set(drawn)) == 4000
