"""The bulk generator: a known answer, uniform words, no stream twice."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bluetusk._random import Stream


def test_known_answer_of_sp_800_38a():
    """F.5.5, CTR-AES256.Encrypt, holds for `cryptography`; ours is its key stream from counter 0."""
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    counter = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    block = bytes.fromhex("601ec313775789a5b7a7f504bbf3d228")
    text = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    pad = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor().update(bytes(16))
    assert bytes(a ^ b for a, b in zip(pad, text, strict=True)) == block
    whole = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(200_000))
    stream = Stream(key)
    assert stream.bytes(100_000) + stream.uint32(5).tobytes() + stream.uint64((2, 3)).tobytes() == whole[:100_068]


def test_a_seed_gives_the_same_words_in_any_byte_order():
    big, little = np.empty(9, ">u8"), np.empty(9, "<u8")
    Stream(bytes(32)).fill(big)
    Stream(bytes(32)).fill(little)
    assert big.tolist() == little.tolist()


@pytest.mark.parametrize("bits", [1, 8, 31, 32, 33, 64])
def test_words_have_their_width_and_reach_the_top(bits):
    words = Stream().words(20_000, bits)
    assert words.dtype == (np.uint32 if bits <= 32 else np.uint64)
    assert int(words.max()) < 2**bits
    for bit in range(bits):  # each bit is set in half of the words: 7 standard deviations
        assert abs(int((words >> words.dtype.type(bit) & words.dtype.type(1)).sum()) - 10_000) < 7 * 71


@pytest.mark.parametrize("bound", [1, 2, 3, 1000, 2**63 + 1, 2**64])
def test_below_is_uniform(bound):
    got = Stream().below(bound, (100, 300))
    assert got.shape == (100, 300)
    assert all(int(v) < bound for v in (got.min(), got.max()))
    if bound <= 1000:  # chi-square with bound - 1 degrees of freedom, 8 standard deviations
        counts = np.bincount(got.ravel().astype(np.int64), minlength=bound)
        expected = got.size / bound
        chi2 = float(((counts - expected) ** 2 / expected).sum())
        assert chi2 <= bound - 1 + 8 * (2 * bound) ** 0.5
    else:
        assert int(got.max()) > bound * 0.999


def test_forked_children_draw_other_words():
    fresh, seeded = Stream(), Stream(bytes(range(32)))
    fresh.bytes(1)
    told = []
    for _ in range(4):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writer, fresh.bytes(32) + seeded.bytes(32))
            os._exit(0)
        os.waitpid(pid, 0)
        told.append(os.read(reader, 64))
        os.close(reader)
        os.close(writer)
    told.append(fresh.bytes(32) + seeded.bytes(32))
    assert len({words[:32] for words in told}) == 5
    assert len({words[32:] for words in told}) == 1


def test_refusals():
    for seed in (b"short", bytes(33), 7, "x" * 32):
        with pytest.raises(ValueError, match="seed must be 32 bytes"):
            Stream(seed)
    with pytest.raises(TypeError, match="unsigned integers"):
        Stream().fill(np.empty(3))
    with pytest.raises(TypeError, match="C-contiguous"):
        Stream().fill(np.empty(9, np.uint8)[::2])
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Stream())
    for bits in (0, 65):
        with pytest.raises(ValueError, match="bits must be 1 to 64"):
            Stream().words(1, bits)
    for bound in (0, 2**64 + 1):
        with pytest.raises(ValueError, match="bound must be"):
            Stream().below(bound, 1)
    assert "0" not in repr(Stream(bytes(32)))
    assert Stream().bytes(0) == b""
