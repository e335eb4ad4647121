"""Encrypted arrays between processes: streams of frames, pickles, and forks while threads work."""

from __future__ import annotations

import io
import os
import pickle
import signal
import threading
import tracemalloc

import numpy as np
import pytest

from bluetusk.encoding import FixedPoint
from bluetusk.errors import FrameError, InvalidCiphertext
from bluetusk.paillier import PrivateKey, encrypting
from bluetusk.paillier import _store as stores
from bluetusk.paillier.array import CipherArray, encrypt
from bluetusk.wire import frame

decrypt, ints_of = PrivateKey.decrypt, PrivateKey.decrypt_integers

SMALL = FixedPoint.integers(limit=1000)
WIDTH = 512


def payload_of(data: bytes) -> list[bytes]:
    payload = bytes(frame.decode(data).payload)
    return [payload[i : i + WIDTH] for i in range(0, len(payload), WIDTH)]


# --- streams ----------------------------------------------------------------------------------------------------------


class Trickle(io.RawIOBase):
    """A stream that gives and takes a few bytes at a time."""

    def __init__(self, data: bytes = b"") -> None:
        self.data, self.at = bytearray(data), 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        step = bytes(self.data[self.at : self.at + min(size, 300)])
        self.at += len(step)
        return step

    def write(self, data: object) -> int:
        step = bytes(data)[:1000]  # type: ignore[call-overload]
        self.data += step
        return len(step)


def test_streams_equal_bytes_and_follow_each_other(pub, priv):
    c, d = encrypt(priv, np.arange(30), SMALL), encrypt(pub, [1.0, 2.0])
    fp = io.BytesIO()
    assert c.write_to(fp) + d.write_to(fp) == len(fp.getvalue())
    assert fp.getvalue() == c.to_bytes() + d.to_bytes()
    fp.seek(0)
    assert np.array_equal(ints_of(priv, CipherArray.read_from(fp, pub)), np.arange(30))
    assert decrypt(priv, CipherArray.read_from(fp, pub)).tolist() == [1.0, 2.0]
    with pytest.raises(FrameError):
        CipherArray.read_from(fp, pub)
    slow = Trickle()
    c.write_to(slow)
    assert bytes(slow.data) == c.to_bytes()
    assert CipherArray.read_from(Trickle(c.to_bytes()), pub).to_bytes() == c.to_bytes()


def test_streaming_needs_little_beyond_the_array(pub, priv, tmp_path):
    """20 000 ciphertexts, 10 MB: writing and reading stay within a fraction of that beyond the array itself."""
    c = encrypt(priv, np.arange(50), SMALL)[np.arange(20_000) % 50].copy()
    size = c.nbytes
    path = tmp_path / "array"
    tracemalloc.start()
    with path.open("wb") as fp:
        c.write_to(fp, threads=1)
    _, peak = tracemalloc.get_traced_memory()
    assert peak < size // 3
    tracemalloc.reset_peak()
    with path.open("rb") as fp:
        back = CipherArray.read_from(fp, pub, threads=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size + size // 2
    assert np.array_equal(ints_of(priv, back[-3:]), np.arange(47, 50))


# --- pickles ----------------------------------------------------------------------------------------------------------


def test_pickle_protocol_5_hands_over_one_buffer(pub, priv):
    c = encrypt(priv, np.arange(100), SMALL)
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(c, protocol=5, buffer_callback=buffers.append)
    assert len(buffers) == 1
    assert buffers[0].raw().nbytes == c.nbytes
    assert len(body) < 4096
    back = pickle.loads(body, buffers=buffers)
    assert np.array_equal(ints_of(priv, back), np.arange(100))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_is_the_identity(pub, priv, protocol):
    arrays = [encrypt(pub, [[1, 2]], SMALL), encrypt(pub, [3], SMALL) * 1000, encrypt(pub, 5.5, FixedPoint(clip=9.0))]
    arrays.append(encrypt(pub, np.zeros((0, 2), dtype=int)))
    for c in arrays:
        back = pickle.loads(pickle.dumps(c, protocol=protocol))
        assert (back.shape, back.frac, back.bound, back.plan, back.fresh) == (c.shape, c.frac, c.bound, c.plan, c.fresh)
        assert back.public_key.fingerprint == pub.fingerprint
        assert np.array_equal(ints_of(priv, back), ints_of(priv, c))


def test_pickles_of_derived_arrays_are_rerandomised(pub):
    c = encrypt(pub, [1], SMALL)
    one, two = c + 1, c + 1
    a, b = (pickle.loads(pickle.dumps(d)).to_bytes() for d in (one, two))
    assert payload_of(a) != payload_of(b)
    assert payload_of(a) == payload_of(one.to_bytes())


def test_pickles_of_earlier_versions_load(pub, priv):
    """Their names of modules were others."""
    data = pickle.dumps(encrypt(pub, [1, 2], SMALL), protocol=0)  # names as lines of text
    for now, then in ((b"_wire\n", b"portable\n"), (b"array\n", b"cipherarray\n")):
        assert b"bluetusk.paillier." + now in data
        data = data.replace(b"bluetusk.paillier." + now, b"bluetusk.paillier." + then)
    back = pickle.loads(data)
    assert type(back) is CipherArray
    assert np.array_equal(ints_of(priv, back), [1, 2])


def test_damaged_pickle_buffers_are_refused(pub):
    c = encrypt(pub, [1, 2], SMALL)
    body = pickle.dumps(c, protocol=5, buffer_callback=lambda _: None)
    with pytest.raises(FrameError, match="wrong length"):
        pickle.loads(body, buffers=[bytes(WIDTH)])
    with pytest.raises(InvalidCiphertext, match="ciphertext 0"):
        pickle.loads(body, buffers=[bytes(2 * WIDTH)])


# --- forks ------------------------------------------------------------------------------------------------------------


def in_child(work) -> bytes:
    """Run `work` in a forked child for at most 20 s; return what it returns, or b"" if it failed or hung."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            signal.alarm(20)
            os.close(reader)
            with open(writer, "wb") as fp:
                fp.write(work())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as fp:
        got = fp.read()
    os.waitpid(pid, 0)
    return got


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks_while_a_thread_rerandomises(pub, priv, monkeypatch):
    """A child sees each element before or after its multiplication, never between."""
    monkeypatch.setattr(stores, "_CHUNK", 32)
    x = np.arange(600)
    c = encrypt(priv, x[:50], FixedPoint.integers(limit=5000))[x % 50] + (x - x % 50)
    sender = threading.Thread(target=c.to_bytes, kwargs={"threads": 1})
    sender.start()
    forks = 0
    try:
        while sender.is_alive() and forks < 3:
            done = int((stores.current(c._store, c._flat())[2] == stores.DERIVED).sum())
            picks = np.unique([0, max(done - 1, 0), min(done, 599), min(done + 31, 599), 599])
            got = in_child(lambda picks=picks: encrypting.canonical(c[picks]).tobytes())
            assert decrypt_rows(priv, c, got) == x[picks].tolist()
            forks += 1
    finally:
        sender.join()
    assert forks
    assert (c._store.shown.state == stores.DERIVED).all()


def decrypt_rows(priv, like: CipherArray, raw: bytes) -> list[int]:
    canon = np.frombuffer(raw, dtype=np.uint64).reshape(-1, WIDTH // 8)
    words = like._mont.empty(len(canon))
    stores.load_checked(like.public_key, words, canon, 0)
    return ints_of(priv, like[: len(canon)]._derive(words, np.arange(len(canon)), bound=5000)).tolist()
