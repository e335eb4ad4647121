"""A key holder that encrypts numbers beyond the bound which it declares, to read its peer's factors through the mask.

The peer multiplies the ciphertexts by its secret numbers and masks the products for shares. A mask that is only so much
longer than the declared bound leaves the top of a larger product in sight. A mask that is uniform modulo n does not.
"""

from __future__ import annotations

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier import slots
from bluetusk.paillier.array import encrypt_integers
from bluetusk.wire import frame

SECRETS = 80
BOUND = 1 << 40  # of the key holder's numbers, as declared
SCALE = 1 << 1900  # of those that it encrypts
PRODUCT = 1 << 60


def forged(priv, pub):
    """The key holder's message: a number of 1901 bits in a frame that declares 40."""
    value = np.empty(1, dtype=object)
    value[:] = [SCALE]
    data = encrypt_integers(priv, value, bt.FixedPoint.integers(1), frac=0, bound=SCALE).to_bytes(SCALE)
    got = frame.decode(data)
    header = dict(got.header)
    declared = encrypt_integers(priv, value * 0, bt.FixedPoint.integers(1), frac=0, bound=BOUND).to_bytes(BOUND)
    header["bound"] = frame.decode(declared).header["bound"]
    return bt.CipherArray.from_bytes(frame.encode(got.kind, header, got.payload), pub)


def earlier_mask(c):
    """The message of shares as it was: a mask 104 bits longer than the declared bound."""
    layout = slots.Slots.fitting(2048, PRODUCT.bit_length() + 104 + 2)
    masks = slots.draw(PRODUCT.bit_length() + 104, c.size)
    return slots.mask(layout.shifted(c), layout.packed(masks), layout.bound).to_bytes(layout.bound)


def uniform_mask(c):
    return bytes(frame.decode(c.to_shares(bound=PRODUCT)[1], frame.Kind.SHARE_REQUEST).payload)


def hits(pub, priv, masked):
    """How many of the peer's secret bits the key holder tells right."""
    c, secret = forged(priv, pub), np.random.default_rng(4).integers(0, 2, SECRETS)
    right = 0
    for bit in secret.tolist():
        seen = bt.CipherArray.from_bytes(masked(c * bit + c * 0), pub)
        opened = int(priv.decrypt_integers(seen)[0]) % int(pub.n)
        right += (SCALE // 2 < opened < 2 * SCALE) == bit
    return right


@pytest.mark.parametrize(
    ("masked", "wins"), [pytest.param(earlier_mask, True, marks=pytest.mark.nightly), (uniform_mask, False)]
)
def test_a_number_beyond_its_bound_shows_no_factor(pub, priv, masked, wins):
    right = hits(pub, priv, masked)
    if wins:
        assert right == SECRETS  # the attack itself
    else:
        assert abs(right - SECRETS / 2) < 5 * (SECRETS / 4) ** 0.5  # guessing; by chance beyond once in 10^6


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    pub, priv = bt.paillier.generate_keypair(2048)
    found, planted = (hits(pub, priv, masked) / SECRETS for masked in (uniform_mask, earlier_mask))
    name = "bits of a peer under a number beyond its bound"
    return [(name, "key holder", found, 0.5, 5 * 0.5 / SECRETS**0.5, planted)]
