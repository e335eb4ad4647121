"""Helpers for two halves that run against each other in threads."""

from __future__ import annotations

import hashlib
import itertools
import threading

import pytest

from bluetusk.storage import sealed

_customers = itertools.count()


def new_ids(n):
    """Ids of customers that no model has scored, so that a test may score the same rows again."""
    return [f"new customer {k}" for k in itertools.islice(_customers, n)]


@pytest.fixture
def quick_scrypt(monkeypatch):
    """Instead of scrypt, a hash of all it depends on."""

    def derive(secret, header):
        return hashlib.sha256(repr((secret, header["salt"], header["log2_n"], header["p"])).encode()).digest()

    monkeypatch.setattr(sealed, "_derive", derive)


class Both:
    """Run callables at the same time; give back their results, or raise the first error that is no echo of another."""

    def __call__(self, *calls, seconds=120):
        results, errors = [None] * len(calls), [None] * len(calls)

        def run(k, call):
            try:
                results[k] = call()
            except BaseException as error:
                errors[k] = error

        threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a party hangs"
        self.errors = errors
        for error in errors:
            if error is not None:
                raise error
        return results


@pytest.fixture
def both():
    return Both()


class Steps:
    """A keeper that remembers every state; `start` says where a resumed job begins."""

    def __init__(self, states=None, start=0):
        self.states = {} if states is None else states
        self.start = start

    def resume(self, task):
        return self.start, self.states.get(self.start)

    def commit(self, task, index, state):
        self.states[index] = state


@pytest.fixture
def steps():
    return Steps
