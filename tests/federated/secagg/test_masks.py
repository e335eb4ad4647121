"""M12: masks cancel exactly, are uniform on the whole ring, and are bound to what they are for."""

from __future__ import annotations

import hashlib
import hmac
import itertools

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from bluetusk.encoding import FixedPoint
from bluetusk.errors import ProtocolAbort
from bluetusk.federated import secagg
from bluetusk.federated.secagg._peer import Peer, pack, self_mask_key
from bluetusk.federated.secagg._roster import Roster, encode_roster
from bluetusk.federated.secagg.masks import _LOW_ORDER, agree, apply, derive, is_low_order
from bluetusk.federated.secagg.server.masked import add_packed
from bluetusk.federated.secagg.server.unmask import masks_of_dropped
from bluetusk.sharing import ring, share_keys


def peers_of(session, n):
    peers = [Peer(session, 0) for _ in range(n)]
    roster = Roster(session, 0, encode_roster([(i, peer.advert(), b"") for i, peer in enumerate(peers)], False))
    return peers, roster


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_exhaustive_cancellation_in_8_bits(make, n):
    """Every set of survivors, every residue at every client: the sum comes out exactly, on the ring of 256."""
    encoding = FixedPoint.integers(limit=1, max_weight=n)
    encoding = FixedPoint.integers(limit=1, max_weight=n, guard_bits=8 - encoding.slot_bits + 2)
    session = make(secagg.plan(n), encoding).session
    assert session.bits == 8
    residues = np.arange(256, dtype=np.uint32)
    for shared in (set(s) for size in range(2, n + 1) for s in itertools.combinations(range(n), size)):
        peers, roster = peers_of(session, n)
        sent = {}
        for me in shared:
            words = (residues * (2 * me + 1)) & 255  # odd multiples: every client goes through every residue
            peers[me].mask(words, roster, me, sorted(shared - {me}))
            sent[me] = bytes(pack(words, 8))
            assert len(sent[me]) == 256
        for survivors in (set(s) for size in range(1, len(shared) + 1) for s in itertools.combinations(shared, size)):
            total = np.zeros(256, np.uint32)
            for me in survivors:
                add_packed(total, memoryview(sent[me]), 8)
            for me in survivors:
                apply(total, [(self_mask_key(session, 0, peers[me].seed, peers[me].mask_public), False)])
            edges = {place: sorted(survivors) for place in shared - survivors}
            shares = {
                place: (np.arange(1, n + 1), share_keys([peers[place].mask_secret], session.plan.threshold, n)[:, 0])
                for place in edges
            }
            apply(total, masks_of_dropped(roster, shares, edges))
            expected = [sum(r * (2 * me + 1) for me in survivors) % 256 for r in range(256)]
            assert (total & 255).tolist() == expected


def hkdf(secret, salt, info):
    """RFC 5869, one block, from HMAC alone."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\x01", "sha256")


def test_a_mask_from_the_specification(make):
    """X25519, HKDF-SHA256 and AES-256-CTR put together here from their definitions give the masked vector."""
    session = make(2, length=40).session
    (a, b), roster = peers_of(session, 2)
    for me, other, sign in ((a, b, 1), (b, a, -1)):
        place = [a, b].index(me)
        words = np.zeros(41, np.uint32)
        me.mask(words, roster, place, [1 - place])
        shared = X25519PrivateKey.from_private_bytes(me.mask_secret).exchange(
            X25519PublicKey.from_public_bytes(other.mask_public)
        )
        round = bytes(8)
        pair = hkdf(shared, session.hash, b"bluetusk secagg mask\0" + round + a.mask_public + b.mask_public)
        own = hkdf(me.seed, session.hash, b"bluetusk secagg self mask\0" + round + me.mask_public)
        streams = [
            np.frombuffer(Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(164)), "<u4")
            for key in (pair, own)
        ]
        expected = [(sign * int(p) + int(s)) % 2**32 for p, s in zip(*streams, strict=True)]
        assert words.tolist() == expected


@given(st.integers(0, 255))
def test_every_bit_of_a_secret_counts(bit):
    """Flower folds a seed to 32 bits: here each of the 256 changes the key."""
    secret = hashlib.sha256(b"secret").digest()
    other = bytearray(secret)
    other[bit // 8] ^= 1 << bit % 8
    assert derive(secret, bytes(32), 0, b"mask") != derive(bytes(other), bytes(32), 0, b"mask")


def test_keys_are_bound_to_all_that_they_are_for(make):
    secret, one, two = (hashlib.sha256(bytes([i])).digest() for i in range(3))
    salt = make(3).session.hash
    keys = {
        derive(secret, salt, 0, b"mask", one, two),
        derive(secret, salt, 0, b"mask", two, one),
        derive(secret, salt, 1, b"mask", one, two),
        derive(secret, salt, 0, b"shares", one, two),
        derive(secret, make(3).session.hash, 0, b"mask", one, two),  # another session id
        derive(secret, make(3, session_id=bytes(16), length=6).session.hash, 0, b"mask", one, two),
        derive(secret, make(3, session_id=bytes(16), length=7).session.hash, 0, b"mask", one, two),
        derive(secret, make(3, FixedPoint(max_weight=30), 7, session_id=bytes(16)).session.hash, 0, b"mask", one, two),
    }
    assert len(keys) == 8


@pytest.mark.parametrize("bits", [8, 12, 32, 40, 64])
def test_masked_values_are_uniform_on_the_whole_ring(make, bits):
    """Chi-square over the top and the bottom byte of what is sent; the largest value occurs (Flower's never does)."""
    limit = ((1 << (bits - 1)) - 1) // 2
    encoding = FixedPoint.integers(limit=limit, max_weight=2, guard_bits=0)
    encoding = FixedPoint.integers(limit=limit, max_weight=2, guard_bits=bits - encoding.slot_bits)
    n = 1 << 17
    session = make(secagg.plan(2), encoding, n - 1).session
    assert session.bits == bits
    (a, _), roster = peers_of(session, 2)
    words = np.zeros(n, np.uint32 if bits <= 32 else np.uint64)
    a.mask(words, roster, 0, [1])
    sent = ring.unpack(pack(words, bits), bits, n)
    for shift in (0, bits - 8):
        counts = np.bincount((sent >> sent.dtype.type(shift)).astype(np.uint8), minlength=256)
        assert len(counts) == 256
        assert counts.min() > 0
        chi2 = float(((counts - n / 256) ** 2 / (n / 256)).sum())
        assert 255 - 6 * (2 * 255) ** 0.5 < chi2 < 255 + 6 * (2 * 255) ** 0.5 + 20  # false alarm below 1e-7
    if bits == 8:
        assert {0, 255} <= set(sent.tolist())


def test_keys_of_low_order_are_refused():
    key = X25519PrivateKey.generate()
    p = 2**255 - 19
    small = [*_LOW_ORDER, p, p + 1, 2**255, 2**255 + 1, 2**255 + p - 1]  # as sent: also unreduced
    for u in small:
        low = u.to_bytes(32, "little")
        assert is_low_order(low)
        with pytest.raises(ProtocolAbort, match=r"low order was sent \(party at fault: b\)"):
            agree(key, low, 4, "b")
    for u in (2, 9, p - 2, p + 2):
        assert not is_low_order(u.to_bytes(32, "little"))
        agree(key, u.to_bytes(32, "little"), 4, "b")


@given(st.integers(8, 64), st.integers(1, 200), st.data())
def test_packed_vectors_add_up(bits, n, data):
    """Sums of packed vectors against Python's integers, at every width and many lengths."""
    top = 2**bits - 1
    vectors = [
        data.draw(st.lists(st.sampled_from([0, 1, top, top - 1, top // 2]), min_size=n, max_size=n)) for _ in "ab"
    ]
    dtype = np.uint32 if bits <= 32 else np.uint64
    total = np.zeros(n, dtype)
    for vector in vectors:
        add_packed(total, memoryview(bytes(pack(np.array(vector, dtype), bits))), bits)
    assert [int(v) & top for v in total] == [(x + y) & top for x, y in zip(*vectors, strict=True)]
