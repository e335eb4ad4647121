"""Saved models: sealed or not, whole or refused."""

from __future__ import annotations

import os
import tracemalloc

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

import bluetusk as bt
from bluetusk.storage import sealed
from bluetusk.vertical.saving import load_frame, save_frame
from bluetusk.wire import frame

DATA = frame.encode(frame.Kind.WOE_BINNING, {"role": "host"}, b"edges and weights")
KIND = frame.Kind.WOE_BINNING
WORDS = "seven quiet otters"


@pytest.fixture
def quick(monkeypatch):
    """Replace scrypt by something fast that still depends on its inputs."""

    def derive(secret, header):
        given = b"|".join([secret, header["salt"], *(b"%d" % header[name] for name in ("log2_n", "r", "p"))])
        return Scrypt(salt=given, length=32, n=2, r=1, p=1).derive(given)

    monkeypatch.setattr(sealed, "_derive", derive)


def test_a_plain_file_is_the_frame_and_is_replaced(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"older")
    save_frame(path, DATA)
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o600
    assert bytes(load_frame(path, KIND).payload) == b"edges and weights"
    assert os.listdir(tmp_path) == ["model"]
    with pytest.raises(bt.FrameError):
        load_frame(path, frame.Kind.PLAN)
    with pytest.raises(bt.FrameError, match="not sealed"):
        load_frame(path, KIND, WORDS)


def test_a_sealed_file_opens_by_the_book(tmp_path):
    path = tmp_path / "model"
    save_frame(path, DATA, WORDS)
    outer = frame.decode(path.read_bytes(), frame.Kind.SEALED)
    header = outer.header
    key = Scrypt(salt=header["salt"], length=32, n=1 << 17, r=8, p=1).derive(WORDS.encode())
    head = path.read_bytes()[: -len(outer.payload)]
    assert AESGCM(key).decrypt(header["nonce"], bytes(outer.payload), head) == DATA
    assert b"edges" not in path.read_bytes()


def test_every_flipped_byte_of_a_sealed_file_is_refused(tmp_path, quick):
    path = tmp_path / "model"
    save_frame(path, DATA, WORDS)
    good = path.read_bytes()
    assert load_frame(path, KIND, WORDS).header == {"role": "host"}
    for i in range(len(good)):
        path.write_bytes(good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :])
        with pytest.raises(bt.FrameError):
            load_frame(path, KIND, WORDS)
    for cut in (0, 10, len(good) - 1):
        path.write_bytes(good[:cut])
        with pytest.raises(bt.FrameError):
            load_frame(path, KIND, WORDS)
    path.write_bytes(good)
    for words, message in ((WORDS + "x", "damaged or the passphrase is wrong"), (None, "is sealed")):
        with pytest.raises(bt.FrameError, match=message):
            load_frame(path, KIND, words)
    with pytest.raises(bt.FrameError, match="content"):
        load_frame(path, frame.Kind.PLAN, WORDS)
    with pytest.raises(ValueError, match="empty"):
        save_frame(path, DATA, "")


def test_a_small_file_takes_little_memory(tmp_path, quick):
    """A reader that asks for the largest file that there may be gets a buffer of that size: a gibibyte."""
    path = tmp_path / "model"
    for passphrase in (None, WORDS):
        save_frame(path, DATA, passphrase)
        tracemalloc.start()
        load_frame(path, KIND, passphrase)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 4 * path.stat().st_size + (1 << 20)


def test_too_little_memory_is_a_typed_error(tmp_path, monkeypatch, quick):
    path = tmp_path / "model"
    save_frame(path, DATA, WORDS)

    def derive(secret, header):
        raise MemoryError

    monkeypatch.setattr(sealed, "_derive", derive)
    with pytest.raises(bt.InvalidKey, match="needs 128 MiB of memory"):
        load_frame(path, KIND, WORDS)


def test_no_device_is_read():
    with pytest.raises(bt.FrameError, match="not a regular file"):
        load_frame("/dev/zero", KIND)
