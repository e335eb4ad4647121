"""A party that fails, whatever fails it, tells its peer at once, over any channel: nobody waits for a timeout."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bluetusk.errors import PolicyRefused, ProtocolAbort
from bluetusk.vertical import (
    GradientBoosting,
    LogisticRegression,
    WoEBinning,
    blacklist_query,
    blacklist_serve,
    intersect,
)
from bluetusk.vertical.protocol.link import Link, Observer, local_links

X = np.arange(240.0).reshape(120, 2) % 17
Y = (np.arange(120) % 3 == 0).astype(int)


class Refusing(Observer):
    """A policy that allows nothing."""

    def authorise(self, *, peer: str, purpose: str, columns: Sequence[str], rows: int, **details: Any) -> None:
        raise PolicyRefused("nothing is granted", clause="purposes", peer=peer, purpose=purpose)


class Failing(Observer):
    """A program that breaks at its first message."""

    def passed(self, *, peer: str, task: str, sent: bool, frame: bytes) -> None:
        if sent:
            self.passed = lambda **_: None  # type: ignore[method-assign]
            raise RuntimeError("label 1 of row 77 was the matter")


TASKS: dict[str, tuple[Callable[[Link], Any], Callable[[Link], Any]]] = {
    "intersect": (
        lambda link: intersect(["a", "b"], role="guest", link=link),
        lambda link: intersect(["b", "c"], role="host", link=link),
    ),
    "binning": (
        lambda link: WoEBinning("guest", min_rows=5, key_size=2048).fit(X, Y, link=link),
        lambda link: WoEBinning("host", min_rows=5, key_size=2048).fit(X, link=link),
    ),
    "logistic": (
        lambda link: LogisticRegression("guest", epochs=1, key_size=2048).fit(X, Y, link=link),
        lambda link: LogisticRegression("host", epochs=1, key_size=2048).fit(X, link=link),
    ),
    "boosting": (
        lambda link: GradientBoosting("guest", n_estimators=1, key_size=2048).fit(X, Y, link=link),
        lambda link: GradientBoosting("host", n_estimators=1, key_size=2048).fit(X, link=link),
    ),
    "blacklist": (
        lambda link: blacklist_query(["a"], link=link),
        lambda link: blacklist_serve(["a"], link=link, limit=5),
    ),
}


def both(task: str, who: str, observer: Observer) -> tuple[BaseException | None, BaseException | None]:
    """Run a task whose one side has the observer: the errors of the guest and of the host."""
    ends = dict(zip(("guest", "host"), local_links("guest", "host"), strict=True))
    ends[who].observer = observer
    errors: dict[str, BaseException] = {}

    def one(role: str, half: Callable[[Link], Any]) -> None:
        try:
            half(ends[role])
        except Exception as error:
            errors[role] = error

    threads = [threading.Thread(target=one, args=pair) for pair in zip(ends, TASKS[task], strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), f"{task}: a party still waits: {errors}"
    return errors.get("guest"), errors.get("host")


@pytest.mark.parametrize("who", ["guest", "host"])
@pytest.mark.parametrize("task", TASKS)
def test_a_refusal_reaches_the_peer(task: str, who: str) -> None:
    guest, host = both(task, who, Refusing())
    refused, told = (guest, host) if who == "guest" else (host, guest)
    assert isinstance(refused, PolicyRefused)
    assert isinstance(told, ProtocolAbort)
    assert "the policy does not allow this" in str(told)
    assert "granted" not in str(told)  # the policy's clauses are its owner's


@pytest.mark.parametrize("who", ["guest", "host"])
@pytest.mark.parametrize("task", TASKS)
def test_any_failure_reaches_the_peer_without_its_text(task: str, who: str) -> None:
    guest, host = both(task, who, Failing())
    failed, told = (guest, host) if who == "guest" else (host, guest)
    assert isinstance(failed, RuntimeError)
    assert isinstance(told, ProtocolAbort)
    assert "an error on its side" in str(told)
    assert "77" not in str(told)


def test_only_the_first_reason_is_sent() -> None:
    here, there = local_links()
    here.abort("first")
    here.abort("second")
    with pytest.raises(ProtocolAbort, match="first"):
        there.receive("hello")
    assert there.channel._in.empty()  # type: ignore[attr-defined]
