"""A party that fails, whatever fails it, tells its peer at once, over any channel: nobody waits for a timeout."""

from __future__ import annotations

import copy
import functools
import inspect
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import bluetusk as bt
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

from .conftest import Both, new_ids

WHO = ("guest", "host")
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


Half = Callable[..., Any]  # called with a link, and with what a case changes

PLAIN: dict[str, tuple[Half, Half]] = {
    "intersect": (
        lambda link, ids=("a", "b"), **more: intersect(ids, **{"role": "guest", "link": link} | more),
        lambda link, ids=("b", "c"), **more: intersect(ids, **{"role": "host", "link": link} | more),
    ),
    "blacklist": (
        lambda link, ids=("a",), **more: blacklist_query(ids, link=link, **more),
        lambda link, ids=("a",), limit=5, **more: blacklist_serve(ids, link=link, limit=limit, **more),
    ),
}
KINDS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "WoEBinning": (WoEBinning, {"min_rows": 5, "key_size": 2048}),
    "LogisticRegression": (LogisticRegression, {"epochs": 1, "calibrate": False, "tol": 0.0, "key_size": 2048}),
    "GradientBoosting": (GradientBoosting, {"n_estimators": 1, "max_depth": 2, "key_size": 2048}),
}
SCORING = ("decision_function", "predict_proba", "predict", "score_pieces")
OF_POINTS = {"LogisticRegression": ("predict_points",), "GradientBoosting": ("apply",)}
FITTED: dict[str, tuple[Any, ...]] = {}  # each model's two halves, trained once


def fitting(kind: str, role: str) -> Half:
    cls, usual = KINDS[kind]

    def fit(link: Link, x: Any = X, y: Any = Y if role == "guest" else None, links: Any = None, **changed: Any) -> Any:
        made = cls(**{"role": role} | usual | changed)
        return made.fit(x, y, link=link) if links is None else made.fit(x, y, links=[link] * links)

    return fit


def scoring(kind: str, method: str, at: int) -> Half:
    def score(link: Link, x: Any = X, **changed: Any) -> Any:
        model = copy.copy(FITTED[kind][at]).set_params(**changed)
        ids = {"ids": new_ids(len(x))} if at == 1 else {}
        return getattr(model, method)(x, link=link, **ids)

    return score


TASKS: dict[str, tuple[Half, Half]] = {
    **PLAIN,
    **{f"{kind}.fit": (fitting(kind, "guest"), fitting(kind, "host")) for kind in KINDS},
    **{
        f"{kind}.{method}": (scoring(kind, method, 0), scoring(kind, method, 1))
        for kind in ("LogisticRegression", "GradientBoosting")
        for method in SCORING + OF_POINTS.get(kind, ())
    },
}

THREE = np.zeros((2, 2, 2))
BROKEN = X.copy()
BROKEN[77, 1] = np.nan

BEFORE: list[tuple[str, str, dict[str, Any], type[Exception]]] = [
    ("intersect", "guest", {"ids": ["a", "a"]}, ValueError),
    ("intersect", "guest", {"ids": [1.5]}, TypeError),
    ("intersect", "guest", {"min_intersection": -1}, ValueError),
    ("intersect", "host", {"ids": "abc"}, TypeError),
    ("intersect", "host", {"role": "hosts"}, ValueError),
    ("intersect", "host", {"threads": 0}, ValueError),
    ("blacklist", "guest", {"ids": ["a", None]}, TypeError),
    ("blacklist", "guest", {"threads": 1.5}, TypeError),
    ("blacklist", "host", {"limit": -1}, ValueError),
    ("blacklist", "host", {"ids": ["NA"]}, ValueError),
    *((f"{kind}.fit", who, {"x": THREE}, ValueError) for kind in KINDS for who in ("guest", "host")),
    *((f"{kind}.fit", who, {"x": X.astype(complex)}, TypeError) for kind in KINDS for who in ("guest", "host")),
    *((f"{kind}.fit", "guest", {"y": None}, ValueError) for kind in KINDS),
    *((f"{kind}.fit", "guest", {"y": Y[:5]}, ValueError) for kind in KINDS),
    *((f"{kind}.fit", "host", {"y": Y}, ValueError) for kind in KINDS),
    *((f"{kind}.fit", "host", {"role": "neither"}, ValueError) for kind in KINDS),
    ("LogisticRegression.fit", "guest", {"x": BROKEN}, ValueError),
    ("LogisticRegression.fit", "host", {"x": BROKEN}, ValueError),
    ("LogisticRegression.fit", "guest", {"random_state": -1}, ValueError),
    ("LogisticRegression.fit", "guest", {"calibrate": "no"}, TypeError),
    ("LogisticRegression.fit", "guest", {"class_weight": [1, 5]}, TypeError),
    ("LogisticRegression.fit", "guest", {"class_weight": {"1": 5.0}}, ValueError),
    ("LogisticRegression.fit", "guest", {"tol": 2.0**-20}, ValueError),
    ("LogisticRegression.fit", "host", {"l2": "a"}, TypeError),
    ("WoEBinning.fit", "host", {"monotonic": "no"}, TypeError),
    ("WoEBinning.fit", "host", {"min_rows": 1 << 70}, ValueError),
    ("GradientBoosting.fit", "guest", {"learning_rate": "0.3"}, TypeError),
    ("GradientBoosting.fit", "host", {"max_depth": 0}, ValueError),
    ("GradientBoosting.fit", "host", {"links": 2}, ValueError),
    ("WoEBinning.fit", "guest", {"min_rows": 0}, ValueError),
    ("WoEBinning.fit", "guest", {"min_rows": 1000}, ValueError),
    ("WoEBinning.fit", "host", {"max_bins": 0}, ValueError),
    *((name, who, {"x": X[:, :1]}, ValueError) for name in TASKS if "." in name and ".fit" not in name for who in WHO),
    ("LogisticRegression.predict", "guest", {"x": BROKEN}, ValueError),
    ("GradientBoosting.predict", "host", {"role": "neither"}, ValueError),
]
"""Calls that fail before the first message: the entry, who makes it, what is wrong, and the error."""


def both(
    task: str, who: str, observer: Observer | None = None, **changed: Any
) -> tuple[BaseException | None, BaseException | None]:
    """Run a task whose one side has the observer, or what is changed: the errors of the guest and of the host.

    The other side must end within five seconds of the first.
    """
    ends = dict(zip(WHO, local_links("guest", "host"), strict=True))
    if observer is not None:
        ends[who].observer = observer
    errors: dict[str, BaseException] = {}

    def one(role: str, half: Half) -> None:
        try:
            half(ends[role], **(changed if role == who else {}))
        except Exception as error:
            errors[role] = error

    halves = dict(zip(WHO, TASKS[task], strict=True))
    threads = {role: threading.Thread(target=one, args=(role, halves[role]), daemon=True) for role in WHO}
    for thread in threads.values():
        thread.start()
    threads[who].join(60)
    end = time.monotonic() + 5
    for thread in threads.values():
        thread.join(end - time.monotonic())
    assert not any(thread.is_alive() for thread in threads.values()), f"{task}: a party still waits: {errors}"
    return errors.get("guest"), errors.get("host")


@pytest.fixture(scope="module", autouse=True)
def models() -> Iterator[None]:
    """Train each model once, for the tasks that score."""
    both = Both()
    for kind in ("LogisticRegression", "GradientBoosting"):
        halves, ends = [fitting(kind, role) for role in WHO], local_links("guest", "host")
        FITTED[kind] = tuple(both(*(functools.partial(half, end) for half, end in zip(halves, ends, strict=True))))
    yield
    FITTED.clear()


def entries() -> set[str]:
    """Each public function and method of the two-party models that takes a link, found by its signature."""
    found = set()
    for module in (bt.vertical, bt.vertical.evaluation, bt.vertical.party):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                named = {name: thing}
            elif inspect.isclass(thing):
                named = {f"{name}.{k}": m for k, m in inspect.getmembers(thing, callable) if not k.startswith("_")}
            else:
                continue
            found |= {k for k, f in named.items() if {"link", "links"} & set(inspect.signature(f).parameters)}
    return found


def test_every_entry_that_takes_a_link_is_tried() -> None:
    assert entries() == {*TASKS} - {"blacklist"} | {"blacklist_query", "blacklist_serve"}
    assert {(task, who) for task, who, *_ in BEFORE} >= {(task, who) for task in TASKS for who in WHO}


@pytest.mark.parametrize(("task", "who", "wrong", "error"), BEFORE, ids=lambda v: v if isinstance(v, str) else None)
def test_what_fails_before_the_job_reaches_the_peer(
    task: str, who: str, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guest, host = both(task, who, **wrong)
    failed, told = (guest, host) if who == "guest" else (host, guest)
    assert isinstance(failed, error), repr(failed)
    assert isinstance(told, ProtocolAbort), repr(told)
    assert told.party == who
    assert str(told).startswith("the other party gave up: 'an error on its side' (")  # and nothing of rows or labels


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("task", TASKS)
def test_a_refusal_reaches_the_peer(task: str, who: str) -> None:
    guest, host = both(task, who, Refusing())
    refused, told = (guest, host) if who == "guest" else (host, guest)
    assert isinstance(refused, PolicyRefused)
    assert isinstance(told, ProtocolAbort)
    assert "the policy does not allow this" in str(told)
    assert "granted" not in str(told)  # the policy's clauses are its owner's


@pytest.mark.parametrize("who", WHO)
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


def test_after_a_refusal_both_ends_refuse_at_once() -> None:
    here, there = local_links()
    with pytest.raises(ValueError, match="same id"):
        intersect(["a", "a"], role="guest", link=here)
    with pytest.raises(ProtocolAbort, match="an error on its side"):
        intersect(["b"], role="host", link=there)
    for role, link in (("guest", here), ("host", there)):
        with pytest.raises(ProtocolAbort, match="gave up on this link before: make a new one"):
            intersect(["b"], role=role, link=link)


@pytest.mark.parametrize("kind", KINDS)
def test_few_events_made_an_error_do_not_reach_the_host(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", bt.DataWarning)
        guest, host = both(f"{kind}.fit", "guest", y=np.eye(120, dtype=int)[7])
    assert isinstance(guest, bt.DataWarning)
    assert host is None


def test_what_fails_after_the_job_is_not_told() -> None:
    """A finding about the scores is an error by the caller's filter: the host is through, and must not learn of it."""
    here, there = local_links("guest", "host")
    host = threading.Thread(target=fitting("WoEBinning", "host"), args=(there,), kwargs={"x": np.c_[Y, Y]})
    host.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(bt.DataWarning, match="host's column"):
            fitting("WoEBinning", "guest")(here)
    host.join(60)
    assert there.channel._in.empty()  # type: ignore[attr-defined]


def test_a_peer_learns_of_an_end_only_a_text_of_a_fixed_list() -> None:
    """No path, no file's name, no text of the system or of a row, whatever ends a party."""
    from bluetusk.vertical.protocol.refusal import Terminated, kind_of

    listed = {"an error on its side", "stopped by its operator", *map(kind_of, (bt.FrameError(""), ProtocolAbort("")))}
    listed |= {"PolicyRefused", "InvalidCiphertext"}
    secret = "/home/bank/M000017.csv"
    refused = PolicyRefused(secret, clause=secret)
    system = (OSError(28, secret, secret), FileNotFoundError(2, secret, secret), KeyboardInterrupt(secret))
    own = (bt.FrameError(secret), bt.InvalidCiphertext(secret), bt.InvalidKey(secret), ProtocolAbort(secret), refused)
    for error in (*system, *own, ValueError(secret), SystemExit(secret), Terminated(secret), MemoryError(secret)):
        assert kind_of(error) in listed
