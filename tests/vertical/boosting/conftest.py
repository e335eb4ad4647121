"""All parties of a boosted model in one process, under a key that the whole session shares."""

from __future__ import annotations

import threading
import types

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical.boosting import guest as _boosting_guest
from bluetusk.vertical.boosting import host as _boosting_host

from ..conftest import new_ids


def together(acts):
    """Run each party in a thread of its own; return their results, or raise what the first to fail raised.

    An error that is none of ours comes before all others: it is a crash.
    """
    results, errors = [None] * len(acts), []

    def run(k):
        try:
            results[k] = acts[k]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise min(errors, key=lambda error: isinstance(error, bt.BluetuskError))
    return results


LIFTED = {"first_tree_local": False, "min_samples_leaf": 20, "min_bucket_rows": 10, "min_events": 0, "min_others": 0}
"""Toys are too small for the defaults, which tests/attacks/test_boosting_views.py and test_minima.py try."""


@pytest.fixture(autouse=True)
def in_order(request, monkeypatch):
    """Hosts send sums in their own order: in toys, splits of different rows are often equally good, by chance."""
    if not any(name in request.node.name for name in ("order_of_the_sums", "documented_sums")):  # which try the order
        monkeypatch.setattr(_boosting_host, "Stream", lambda: types.SimpleNamespace(uint64=np.arange))


class Parties:
    """A guest and its hosts, and the links between them."""

    def __init__(self, hosts=1, **params):
        params = {"key_size": 2048, "threads": 1, **LIFTED, **params}
        self.all = [
            bt.vertical.GradientBoosting(role="guest" if k == 0 else "host", **params) for k in range(hosts + 1)
        ]
        self.guest, *self.hosts = self.all
        pairs = [bt.vertical.local_links("guest", f"host-{k}", seconds=30.0) for k in range(1, hosts + 1)]
        self.ours, self.theirs = [p[0] for p in pairs], [p[1] for p in pairs]

    def _all(self, name, tables, *first, **more):
        acts = [lambda: getattr(self.guest, name)(tables[0], *first, links=self.ours, **more)]
        acts += [
            lambda h=h, t=t, link=link: getattr(h, name)(t, link=link, **more, **self._new(name, t))
            for h, t, link in zip(self.hosts, tables[1:], self.theirs, strict=True)
        ]
        return together(acts)[0]

    def fit(self, tables, y, **more):
        self._all("fit", tables, y, **more)
        return self

    def decision_function(self, tables):
        return self._all("decision_function", tables)

    def predict_proba(self, tables):
        return self._all("predict_proba", tables)

    @staticmethod
    def _new(name, table):
        return {} if name == "fit" else {"ids": new_ids(len(table))}


def toy(rows, features, *, missing=0.0, values=0, seed=0):
    """Tables of the parties and labels that depend on all of them; on demand with missing or few different values."""
    rng = np.random.default_rng(seed)
    tables = [rng.normal(size=(rows, f)).round(3) for f in features]
    score = sum(t[:, 0] + 0.5 * t[:, -1] ** 2 * (-1) ** k for k, t in enumerate(tables))
    y = (score + rng.normal(scale=0.5, size=rows) > 0.3).astype(int)
    for t in tables:
        if values:
            t[:] = np.digitize(t, np.linspace(-1, 1, values - 1))
        t[rng.random(t.shape) < missing] = np.nan
    return tables, y


@pytest.fixture
def one_key(keypair, monkeypatch):
    """Let every guest take the session's key pair."""
    monkeypatch.setattr(_boosting_guest, "ephemeral_key", lambda bits: keypair[1])


@pytest.fixture
def parties(one_key):
    return Parties


@pytest.fixture(name="toy")
def _toy():
    return toy


@pytest.fixture(name="together")
def _together():
    return together
