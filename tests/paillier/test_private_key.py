from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import signal
import threading
import time

import pytest

from bluetusk.errors import InvalidKey
from bluetusk.paillier import keyfile, primes
from bluetusk.paillier.private_key import PrivateKey
from bluetusk.paillier.public_key import PublicKey
from bluetusk.storage import files, sealed

PASSPHRASE = "seven quiet otters"


def primes_of(priv) -> tuple[int, int]:
    p, q = priv._kernel.export_primes()
    return int.from_bytes(p, "little"), int.from_bytes(q, "little")


@pytest.fixture
def quick(monkeypatch):
    """A key file's cost without scrypt's: its real parameters are tested in test_keyfile.py."""
    monkeypatch.setattr(sealed, "_derive", lambda secret, header: (secret * 32)[:32])


@pytest.fixture
def another(keypair2):
    """A private key that a test may close."""
    return PrivateKey(*primes_of(keypair2[1]))


def test_a_foreign_key_is_the_same_key(keypair):
    pub, priv = keypair
    p, q = primes_of(priv)
    with PrivateKey(p, q) as key:
        assert key.public_key == pub
        assert key.decrypt_integers(pub.encrypt([5, -6])).tolist() == [5, -6]
        assert priv.decrypt_integers(key.encrypt([5, -6])).tolist() == [5, -6]
    with PrivateKey(p, q, suite="standard") as key:
        assert key.public_key == PublicKey(pub.n, suite="standard")
        assert key.decrypt_integers(key.public_key.encrypt([5, -6])).tolist() == [5, -6]


def test_an_hs_of_the_makers_choice(keypair):
    pub, priv = keypair
    p, q = primes_of(priv)
    hs = pow(-(7**2) % pub.n, pub.n, pub.nsquare)
    with PrivateKey(p, q, hs=hs) as key:
        assert key.public_key.given_hs
        assert key.public_key.hs == hs
        assert key.decrypt_integers(key.encrypt([9]) + key.public_key.encrypt([1])).tolist() == [10]


def test_foreign_primes_get_64_rounds_each(keypair, monkeypatch):
    tested = []
    real = primes.strong_test
    monkeypatch.setattr(primes, "strong_test", lambda n, rounds: tested.append((int(n), rounds)) or real(n, rounds))
    p, q = primes_of(keypair[1])
    PrivateKey(p, q).close()
    assert tested == [(p, 64), (q, 64)]


@pytest.mark.parametrize("which", [0, 1])
def test_each_prime_must_pass_the_random_bases(keypair, monkeypatch, which):
    pair = primes_of(keypair[1])
    monkeypatch.setattr(primes, "strong_test", lambda n, rounds: n != pair[which])
    with pytest.raises(InvalidKey, match=f"{'pq'[which]} is not prime"):
        PrivateKey(*pair)


def test_repr_and_errors_show_no_secret(keypair):
    priv = keypair[1]
    p, q = primes_of(priv)
    shown = repr(priv) + str(priv) + f"{priv}"
    for secret in (p, q):
        assert str(secret)[:12] not in shown
        assert f"{secret:x}"[:12] not in shown
    assert repr(priv) == f"<PrivateKey 2048 bits, djn, fingerprint {keypair[0].fingerprint[:8].hex()}>"
    assert not hasattr(priv, "__dict__")
    assert not any(isinstance(getattr(priv, name), int) for name in PrivateKey.__slots__ if name != "__weakref__")


def test_it_refuses_to_be_copied_pickled_or_changed(keypair):
    priv = keypair[1]
    for copier in (copy.copy, copy.deepcopy, lambda key: copy.deepcopy({"key": [key]})):
        with pytest.raises(TypeError, match="cannot be copied"):
            copier(priv)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for thing in (priv, [priv], priv._kernel):
            with pytest.raises(TypeError, match="cannot be pickled"):
                pickle.dumps(thing, protocol)
    for call in (priv.__reduce__, priv.__getstate__, lambda: priv.__reduce_ex__(4)):
        with pytest.raises(TypeError, match="cannot be pickled"):
            call()
    for name in ("_public", "_kernel", "public_key", "other"):
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(priv, name, 7)
    with pytest.raises(AttributeError, match="close"):
        del priv._kernel
    kernel = priv._kernel
    with pytest.raises(TypeError, match="cannot be changed"):
        priv.__init__(7, 11)
    assert priv._kernel is kernel


def test_every_use_of_a_closed_key_is_refused(another, tmp_path):
    pub = another.public_key
    c = pub.encrypt([1, 2])
    assert not another.closed
    another.close()
    another.close()
    assert another.closed
    assert repr(another).endswith(", closed>")
    for use in (
        lambda: another.decrypt(c),
        lambda: another.decrypt_integers(c),
        lambda: another.encrypt([1]),
        lambda: another.save(tmp_path / "a.key", PASSPHRASE),
    ):
        with pytest.raises(InvalidKey, match="closed"):
            use()
    assert os.listdir(tmp_path) == []
    assert another.public_key.encrypt([1]).size == 1


def test_with_closes(another):
    with another as entered:
        assert entered is another
    assert another.closed


def test_with_closes_also_after_an_error(another):
    with pytest.raises(ZeroDivisionError), another:
        raise ZeroDivisionError
    assert another.closed


def test_closing_waits_for_work_in_flight(another):
    c = another.public_key.encrypt(list(range(40)))
    outcomes = []

    def work():
        try:
            outcomes.append(another.decrypt_integers(c, threads=1).tolist())
        except InvalidKey:
            outcomes.append("closed")

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    time.sleep(0.02)
    another.close()
    for worker in workers:
        worker.join()
    assert len(outcomes) == 3
    assert all(outcome == "closed" or outcome == list(range(40)) for outcome in outcomes)


def _outcome(use) -> str:
    try:
        use()
    except InvalidKey as error:
        return str(error)
    return "used"


def _use_in_child(priv, c, pipe):
    uses = (lambda: priv.decrypt_integers(c), lambda: priv.encrypt([1]), priv._kernel.export_primes)
    pipe.send([*map(_outcome, uses), priv.closed])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_cannot_use_it_and_the_parent_still_can(keypair):
    pub, priv = keypair
    c = pub.encrypt([1, 2])
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_use_in_child, args=(priv, c, theirs))
    child.start()
    assert ours.poll(20)
    *outcomes, closed = ours.recv()
    child.join()
    assert len(outcomes) == 3
    assert all("load it again" in outcome for outcome in outcomes)
    assert closed is True
    assert priv.decrypt_integers(c).tolist() == [1, 2]


# -------------------------------------------------------------------------------------------------------- key files


def test_save_and_load_with_the_real_scrypt(keypair, tmp_path):
    pub, priv = keypair
    path = tmp_path / "bank.key"
    priv.save(path, PASSPHRASE)
    assert os.stat(path).st_mode & 0o777 == 0o600
    data = path.read_bytes()
    for number in (*primes_of(priv), pub.n):
        for order in ("little", "big"):
            assert number.to_bytes(256, order).strip(b"\0")[8:24] not in data
    with PrivateKey.load(path, PASSPHRASE) as key:
        assert key.public_key == pub
        assert key.decrypt_integers(pub.encrypt([7])).tolist() == [7]
    with pytest.raises(InvalidKey, match="passphrase is wrong"):
        PrivateKey.load(path, PASSPHRASE.upper())


def test_files_keep_suite_and_hs(quick, keypair, tmp_path):
    pub, priv = keypair
    p, q = primes_of(priv)
    hs = pow(-(7**2) % pub.n, pub.n, pub.nsquare)
    for name, key in {
        "standard": PrivateKey(p, q, suite="standard"),
        "given": PrivateKey(p, q, hs=hs),
        "plain": priv,
    }.items():
        key.save(tmp_path / name, PASSPHRASE)
        loaded = PrivateKey.load(tmp_path / name, PASSPHRASE)
        assert loaded.public_key == key.public_key
        assert loaded.public_key.given_hs is key.public_key.given_hs
        assert primes_of(loaded) == (p, q)
        loaded.close()


def test_save_does_not_overwrite_unless_asked(quick, keypair, tmp_path):
    priv = keypair[1]
    path = tmp_path / "a.key"
    priv.save(path, PASSPHRASE)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        priv.save(path, PASSPHRASE)
    assert path.read_bytes() == before
    priv.save(str(path), PASSPHRASE.encode(), overwrite=True)
    assert path.read_bytes() != before
    PrivateKey.load(path, PASSPHRASE).close()


def test_loading_validates_everything_again(quick, keypair, tmp_path):
    pub, priv = keypair
    p, q = primes_of(priv)
    good = keyfile.Material(2048, "djn", pub.fingerprint, p, q)
    composite = next(p - step for step in range(4, 4096, 4) if (p - step) % 3 == 0)  # p is odd: so is this
    bad = {
        "p is not prime": keyfile.Material(2048, "djn", pub.fingerprint, composite, q),
        "p equals q": keyfile.Material(2048, "djn", pub.fingerprint, p, p),
        "p is even": keyfile.Material(2048, "djn", pub.fingerprint, p + 1, q),
        "p is not positive": keyfile.Material(2048, "djn", pub.fingerprint, 0, q),
        "fingerprint": keyfile.Material(2048, "djn", bytes(32), p, q),
        "hs is 1 or": keyfile.Material(2048, "djn", pub.fingerprint, p, q, 1),
        "n-th residue": keyfile.Material(2048, "djn", pub.fingerprint, p, q, pub.hs * (1 + pub.n) % pub.nsquare),
    }
    path = tmp_path / "a.key"
    for words, material in bad.items():
        files.write(path, keyfile.seal(material, PASSPHRASE), overwrite=True)
        with pytest.raises(InvalidKey, match=words):
            PrivateKey.load(path, PASSPHRASE)
    files.write(path, keyfile.seal(good, PASSPHRASE), overwrite=True)
    PrivateKey.load(path, PASSPHRASE).close()


def test_foreign_files_are_refused(quick, keypair, tmp_path):
    pub, _ = keypair
    for name, content in {
        "empty": b"",
        "public": pub.to_bytes(),
        "json": pub.to_json().encode(),
        "pem": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n-----END ENCRYPTED PRIVATE KEY-----\n",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidKey, match="not a bluetusk private-key file"):
            PrivateKey.load(tmp_path / name, PASSPHRASE)


def _seal_for_ever():
    while True:
        keyfile.seal(keyfile.Material(2048, "djn", bytes(32), 3, 7), PASSPHRASE)


def test_ctrl_c_does_not_wait_for_scrypt():
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.08, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        _seal_for_ever()
    assert time.monotonic() - sent[0] < 0.25
    timer.join()
