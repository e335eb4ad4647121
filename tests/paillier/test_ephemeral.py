"""A key for one job: made without a warning, saved, restored and checked."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import pytest

import bluetusk as bt
from bluetusk.paillier import primes
from bluetusk.paillier.ephemeral import ephemeral_key, restored_key, saved_key

SOURCE = Path(bt.__file__).parent


def test_a_short_key_is_made_without_a_warning(priv, monkeypatch):
    pair = tuple(int.from_bytes(prime, "little") for prime in saved_key(priv))
    monkeypatch.setattr(primes, "generate_primes", lambda bits, threads: pair)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ephemeral_key(2048).public_key == priv.public_key
    with pytest.raises(bt.InvalidKey, match="1024"):
        ephemeral_key(1024)


@pytest.mark.parametrize("room", ["paillier", "sharing", "vertical"])
def test_nobody_switches_off_warnings_that_all_threads_share(room):
    """``warnings.catch_warnings`` changes the whole process: another thread loses its own, or keeps ours."""
    switches = {"catch_warnings", "filterwarnings", "simplefilter"}
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in (SOURCE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node).split(".")[-1] in switches
    ]
    assert not found


def test_a_saved_key_comes_back(priv):
    p, q = saved_key(priv)
    again = restored_key(p, q)
    assert again is not priv
    assert again.public_key == priv.public_key
    assert again.decrypt_integers(priv.encrypt([5, -6])).tolist() == [5, -6]
    assert restored_key(p, q, again) is again
    again.close()
    fresh = restored_key(p, q, again)
    assert not fresh.closed
    assert saved_key(fresh) == (p, q)


def test_another_key_takes_the_place_of_the_current_one(priv, keypair2):
    other = keypair2[1]
    assert restored_key(*saved_key(other), priv).public_key == other.public_key


def test_damaged_primes_are_refused(priv):
    p, q = saved_key(priv)
    for damaged in (bytes([p[0] ^ 4]) + p[1:], p[:-1], q, bytes(len(p))):
        with pytest.raises(bt.InvalidKey):
            restored_key(damaged, q)
