"""Fixtures for the tests and for the examples in docstrings: one key pair per session, made when first asked for."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Before pytest imports a file of a package: its importlib mode would run the __init__ of a package that the parent has
# imported a second time, and that second module lacks the submodules as attributes.
import bluetusk.vertical  # noqa: F401

# No deadline: a busy machine is no failure. The nightly run looks further where a test does not fix its own number.
settings.register_profile("push", deadline=None)
settings.register_profile("nightly", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "push"))

# A shell that starts us in the background has SIGINT ignored; the tests of Ctrl-C would then wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The examples there run Flower, which the extra `test` brings where it can be installed.
collect_ignore = ["src/bluetusk/integrations/flower.py"] if sys.version_info < (3, 11) else []

_KEY_NAMES = re.compile(r"\b(pub|priv)\b")


def _generate() -> tuple[Any, Any]:
    from bluetusk.paillier.keys import generate_keypair

    with pytest.warns(UserWarning, match="112-bit"):
        return generate_keypair(2048)


@pytest.fixture(scope="session")
def keypair() -> tuple[Any, Any]:
    """Return (public, private), 2048 bits, suite djn; never close this private key."""
    return _generate()


@pytest.fixture(scope="session")
def keypair2() -> tuple[Any, Any]:
    """Return another pair, for tests that mix keys."""
    return _generate()


@pytest.fixture(scope="session")
def pub(keypair: tuple[Any, Any]) -> Any:
    """Return the public key of `keypair`."""
    return keypair[0]


@pytest.fixture(scope="session")
def priv(keypair: tuple[Any, Any]) -> Any:
    """Return the private key of `keypair`."""
    return keypair[1]


@pytest.fixture
def unproven(pub: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return `pub` as a process sees it that has not the private key and no proof."""
    monkeypatch.setattr(pub._blinder, "proven", False)
    return pub


@pytest.fixture(autouse=True)
def _names_of_examples(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> Iterator[None]:
    """Give examples that speak of `pub` or `priv` the session's keys."""
    item = request.node
    if isinstance(item, pytest.DoctestItem) and any(_KEY_NAMES.search(e.source) for e in item.dtest.examples):
        doctest_namespace["pub"], doctest_namespace["priv"] = request.getfixturevalue("keypair")
    if isinstance(item, pytest.DoctestItem) and "secagg" in item.name:
        doctest_namespace.update(_secagg())
    if isinstance(item, pytest.DoctestItem) and "evidence" in item.name:
        names = _evidence(request.getfixturevalue("tmp_path"))
        doctest_namespace.update(names)
        with names["log"], names["guard"]:
            yield
        return
    yield


def _secagg() -> dict[str, Any]:
    """Return a session of five clients a .. e with three values, their identity keys and the server's."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from bluetusk import FixedPoint
    from bluetusk.federated import secagg

    signing = {name: Ed25519PrivateKey.generate() for name in "abcde"}
    server_key = Ed25519PrivateKey.generate()
    clients = {name: (key.public_key().public_bytes_raw(), 10) for name, key in signing.items()}
    session = secagg.Session(
        secagg.plan(5, dropout=0.2), FixedPoint(), 3, clients, server_key.public_key().public_bytes_raw()
    )
    return {"session": session, "signing": signing, "server_key": server_key}


def _evidence(folder: Path) -> dict[str, Any]:
    """Return a bank's log of one record, and an owner whose policy grants nothing."""
    from bluetusk import evidence

    owner = evidence.Identity.generate()
    policy = evidence.Policy("network", 1, ()).sign(owner)
    guard = evidence.Guard(policy, folder / "example.uses", owner=owner.public_key)
    log = evidence.Log.create(folder / "example.log", owner, owner="bank")
    return {"log": log, "guard": guard, "policy": policy, "owner": owner}
