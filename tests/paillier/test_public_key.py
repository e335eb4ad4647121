from __future__ import annotations

import copy
import hashlib
import json
import pickle
import subprocess
import sys
import threading

import gmpy2
import numpy as np
import pytest

from bluetusk.errors import FrameError, InvalidKey
from bluetusk.paillier.fingerprint import fingerprint
from bluetusk.paillier.public_key import PublicKey
from bluetusk.wire import frame


def foreign(pub) -> PublicKey:
    """The same n with an hs that its maker chose, as PPCA allows."""
    x = 123456789
    return PublicKey(pub.n, pow(-x * x % pub.n, pub.n, pub.nsquare))


@pytest.fixture
def kinds(pub):
    return [pub, foreign(pub), PublicKey(pub.n, suite="standard")]


def test_attributes(pub):
    assert type(pub.n) is type(pub.hs) is type(pub.nsquare) is int
    assert pub.bits == pub.n.bit_length() == 2048
    assert pub.suite == "djn"
    assert pub.given_hs is False
    assert pub.fingerprint == fingerprint("djn", pub.n, pub.hs)
    assert PublicKey(pub.n, suite="standard").hs is None


def test_equality_is_by_n_hs_and_suite(kinds, keypair2):
    keys = [*kinds, keypair2[0]]
    again = [PublicKey(key.n, key.hs, suite=key.suite) for key in keys]
    for i, a in enumerate(keys):
        for j, b in enumerate(again):
            assert (a == b) is (i == j)
            assert (a != b) is (i != j)
            assert i != j or hash(a) == hash(b)
    assert len({*keys, *again}) == 4
    assert kinds[0] != 7
    assert kinds[0].__eq__(7) is NotImplemented
    assert len({key.fingerprint_words for key in keys}) == 4


def test_keys_cannot_be_changed(pub):
    before = pub.n
    for name in ("n", "hs", "_n", "_hs", "suite", "other"):
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(pub, name, 7)
    with pytest.raises(AttributeError, match="cannot be changed"):
        del pub._n
    with pytest.raises(TypeError, match="cannot be changed"):
        pub.__init__(pub.n, suite="standard")
    assert pub.n == before
    assert pub.suite == "djn"


def test_repr_shows_size_suite_and_fingerprint(kinds):
    plain, given, standard = map(repr, kinds)
    assert plain == f"<PublicKey 2048 bits, djn, fingerprint {kinds[0].fingerprint[:8].hex()}>"
    assert "djn, hs given by its maker, " in given
    assert "standard" in standard


def test_copies_are_the_key_itself(pub):
    assert copy.copy(pub) is pub
    assert copy.deepcopy([pub])[0] is pub


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_for_a_users_own_processes(kinds, protocol):
    for key in kinds:
        loaded = pickle.loads(pickle.dumps(key, protocol))
        assert loaded == key
        assert loaded.given_hs is key.given_hs


def test_bytes_round_trip_and_are_canonical(kinds):
    for key in kinds:
        data = key.to_bytes()
        for same in (data, bytearray(data), memoryview(data)):
            loaded = PublicKey.from_bytes(same)
            assert loaded == key
            assert loaded.given_hs is key.given_hs
            assert loaded.to_bytes() == data
    assert len(kinds[0].to_bytes()) < 360  # hs is derived again and is not in the frame
    assert len(kinds[1].to_bytes()) > 256 * 3


def test_every_flipped_bit_is_refused(kinds):
    for key in kinds[1:]:
        data = key.to_bytes()
        head = len(data) - len(frame.decode(data).payload)
        for position in [*range(head), *range(head, len(data), 7)]:
            wrong = bytearray(data)
            wrong[position] ^= 1 << position % 8
            with pytest.raises((FrameError, InvalidKey)):
                PublicKey.from_bytes(wrong)


def test_truncation_and_other_frames_are_refused(pub):
    data = pub.to_bytes()
    for length in range(0, len(data), 3):
        with pytest.raises(FrameError):
            PublicKey.from_bytes(data[:length])
    with pytest.raises(FrameError, match="kind PLAN, expected PUBLIC_KEY"):
        PublicKey.from_bytes(frame.encode(frame.Kind.PLAN, {}))
    for wrong in ("text", None, 7):
        with pytest.raises(TypeError):
            PublicKey.from_bytes(wrong)


def altered(key, payload=None, **changes):
    decoded = frame.decode(key.to_bytes())
    header = {name: value for name, value in {**decoded.header, **changes}.items() if value is not None}
    return frame.encode(decoded.kind, header, bytes(decoded.payload) if payload is None else payload)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        *(({name: None}, FrameError) for name in ("bits", "suite", "fingerprint", "given_hs")),
        ({"bits": 1024}, InvalidKey),
        ({"bits": 0}, InvalidKey),
        ({"bits": 1 << 60}, InvalidKey),
        ({"bits": "2048"}, FrameError),
        ({"bits": 3072}, FrameError),
        ({"suite": "ou"}, FrameError),
        ({"suite": "standard"}, InvalidKey),
        ({"fingerprint": bytes(32)}, InvalidKey),
        ({"fingerprint": bytes(31)}, FrameError),
        ({"given_hs": True}, FrameError),
        ({"given_hs": 0}, FrameError),
        ({"extra": 1}, FrameError),
        ({"payload": b""}, FrameError),
        ({"payload": bytes(256)}, InvalidKey),
        ({"payload": bytes(257)}, FrameError),
        ({"payload": bytes(1 << 20)}, FrameError),
    ],
    ids=repr,
)
def test_altered_headers_are_refused(pub, change, error):
    with pytest.raises(error):
        PublicKey.from_bytes(altered(pub, **change))


def test_a_derived_hs_cannot_be_passed_off_as_given(pub):
    payload = pub.n.to_bytes(256, "little") + pub.hs.to_bytes(512, "little")
    with pytest.raises(InvalidKey, match="fingerprint"):
        PublicKey.from_bytes(altered(pub, payload, given_hs=True))
    with pytest.raises(FrameError, match="given_hs"):
        PublicKey.from_bytes(altered(PublicKey(pub.n, suite="standard"), payload, given_hs=True))


def test_json_round_trip(kinds):
    for key in kinds:
        loaded = PublicKey.from_json(key.to_json())
        assert loaded == key
        assert loaded.given_hs is key.given_hs
        assert PublicKey.from_json(key.to_json().encode()) == key


def test_json_without_hs_derives_it_and_without_suite_is_standard(pub):
    members = json.loads(pub.to_json())
    del members["hs"]
    assert PublicKey.from_json(json.dumps(members)) == pub
    del members["suite"], members["kid"]
    assert PublicKey.from_json(json.dumps(members)) == PublicKey(pub.n, suite="standard")


def test_json_with_another_keys_fingerprint_or_numbers_is_refused(pub, keypair2):
    members, other = json.loads(pub.to_json()), json.loads(keypair2[0].to_json())
    for name in ("kid", "n"):
        with pytest.raises(InvalidKey):
            PublicKey.from_json(json.dumps({**members, name: other[name]}))
    with pytest.raises(InvalidKey, match="hs was given"):
        PublicKey.from_json(json.dumps({**members, "suite": "standard"}))
    with pytest.raises(InvalidKey, match="length of n in bits is 8"):
        PublicKey.from_json(json.dumps({**members, "n": "_w"}))


def test_golden_key_stays_readable():
    """A key of the first release: product of two fixed primes, its bytes and JSON pinned by their hashes."""
    p = gmpy2.next_prime((1 << 1024) - (1 << 1000))
    q = gmpy2.next_prime((1 << 1024) - (1 << 1010))
    while p % 4 != 3:
        p = gmpy2.next_prime(p)
    while q % 4 != 3:
        q = gmpy2.next_prime(q)
    key = PublicKey(int(p * q))
    assert key.fingerprint.hex() == "5cfcdbc9ef6152a675e7b7f3bca3df474f628dbbe0cbdfe1e3c21a8173d8592c"
    assert (
        hashlib.sha256(key.to_bytes()).hexdigest() == "ea3289e550cd3badea6ef0406b0a651bfb056af66b538a994ba8dadd6be37da7"
    )
    assert (
        hashlib.sha256(key.to_json().encode()).hexdigest()
        == "fae01d1d12cf473818df1b73f9b52451c6d452dae5312d18ddd7aa1f68215386"
    )


def test_precompute_fills_the_pool(keypair2):
    pub, _ = keypair2
    done = []
    before = pub._blinder.pooled
    pub.precompute(0)
    pub.precompute(5, threads=1, progress=lambda done_, total: done.append((done_, total)))
    assert pub._blinder.pooled == before + 5
    assert done[-1] == (5, 5)
    pub._blinder.clear()


@pytest.mark.parametrize(("k", "error"), [(-1, ValueError), (1.5, TypeError), ("3", TypeError), (True, TypeError)])
def test_precompute_refuses(pub, k, error):
    with pytest.raises(error, match="k must"):
        pub.precompute(k)


def test_obfuscators_are_those_of_the_suite(keypair):
    pub, priv = keypair
    mont = pub._kernel.mont
    p, q = (int.from_bytes(prime, "little") for prime in priv._kernel.export_primes())
    for key in (pub, PublicKey(pub.n, suite="standard")):
        layout = mont.empty(4)
        key._blind(layout, 0, 4)
        rows = np.zeros((4, mont.limbs), dtype=np.uint64)
        mont.store(rows, layout, None, 0, 4)
        values = [int.from_bytes(row.tobytes(), "little") for row in rows]
        assert len(set(values)) == 4
        for value in values:
            for prime in (p, q):
                assert pow(value, prime - 1, prime * prime) == 1  # an n-th residue


def test_encrypt_and_keys_serve_many_threads(pub, priv):
    results = {}

    def work(i):
        results[i] = priv.decrypt_integers(pub.encrypt([i, -i], threads=1), threads=1).tolist()

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == {i: [i, -i] for i in range(6)}


ENDING = """
import os
from bluetusk import _selftest
from bluetusk.paillier import PrivateKey

class Late:  # in a cycle that is collected when the interpreter has begun to end, after its modules
    def __init__(self):
        self.me, self.key = self, PrivateKey(_selftest._P, _selftest._Q)

    def __del__(self, write=os.write):
        pub, values = self.key.public_key, list(range(40))
        c = pub.encrypt(values) + self.key.encrypt(values) + values
        write(1, b"%d" % (sum(self.key.decrypt_integers(c).tolist()) + int(sum(self.key.decrypt(c).tolist()))))

late = Late()
"""


def test_a_finaliser_encrypts_at_the_end_of_the_interpreter():
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (str(2 * 3 * sum(range(40))), "", 0)
