"""A peer that runs real tasks until a cap stops it, and counts what it has learned.

What the policy charges for a task must be at least what the peer gets out of its messages, else a cap of sums or bits
holds on paper only. Each task runs between two parties that both have a policy and a meter. Afterwards the policy of
each is set to what it has charged, to one less than twice that, and to twice that: the same task again must be refused,
refused, and granted, and then refused for good, in a new process too.
"""

from __future__ import annotations

import contextlib
import threading
import warnings

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.evidence import Grant, Guard, Identity, Log, Meter, Policy, Recorder
from bluetusk.evidence.policy import UNLIMITED
from bluetusk.evidence.summary import learned
from bluetusk.vertical import blacklist_query, blacklist_serve, intersect, local_links
from bluetusk.vertical.binning import guest as _binning
from bluetusk.vertical.boosting import guest as _boosting
from bluetusk.vertical.logistic import job as _logistic
from bluetusk.vertical.logistic import score as _scoring

ROLES, PEERS = ("guest", "host"), {"guest": "host", "host": "guest"}
PRINTS = {"guest": "5a" * 32, "host": "a5" * 32}
SIGNERS = {role: Identity.generate() for role in ROLES}
PURPOSES = ("blacklist", "intersect", "binning", "gradient_boosting", "logistic_regression", "predict")
LIFTED = dict.fromkeys(("max_bins", "max_trees", "max_depth", "max_cuts", "max_columns", "max_models"), UNLIMITED)
LIFTED |= dict.fromkeys(("max_rows_scored", "max_ids_per_request", "max_sums", "max_bits", "max_ids_total"), UNLIMITED)
LIFTED |= {"min_rows": 1, "min_events": 0, "min_others": 0, "min_intersection": 1, "min_total_events": 0}
ROWS = 80
RNG = np.random.default_rng(4)
TABLES = {"guest": RNG.normal(size=(ROWS, 1)).round(2), "host": RNG.normal(size=(ROWS, 2)).round(2)}
LABELS = (TABLES["host"][:, 0] + RNG.normal(scale=0.5, size=ROWS) > 0).astype(int)
TREES = {"n_estimators": 2, "max_depth": 2, "min_samples_leaf": 5, "min_bucket_rows": 4, "max_bins": 8}
TREES |= {"min_events": 0, "min_others": 0, "min_child_weight": 1e-3, "first_tree_local": False}


class Parties:
    """Both parties' policies, logs and meters; what a policy has counted outlives its process."""

    def __init__(self, folder):
        self.folder, self.serial, self.turn, self.models = folder, 0, 0, {}

    def run(self, sides, **clauses):
        """Run a task under policies with these clauses of each role; return what each side was refused by.

        Afterwards `charged` is what each side's policy has counted for the peer, `got` what each side's meter has.
        """
        self.serial, self.turn = self.serial + 1, self.turn + 1
        refused, faults = {}, []
        with contextlib.ExitStack() as opened, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            recorders, guards = {}, {}
            for role in ROLES:
                more = {**LIFTED, **clauses.get(role, {})}
                grant = Grant("g", PRINTS[PEERS[role]], PURPOSES, ("*",), uses=999, until=1 << 39, **more)
                policy = Policy(role, self.serial, (grant,)).sign(SIGNERS[role])
                store, log = self.folder / f"{role}.uses", self.folder / f"{role}.log"
                guards[role] = opened.enter_context(Guard(policy, store, owner=policy.key))
                signer = SIGNERS[role]
                kept = Log.open(log, signer) if log.exists() else Log.create(log, signer, owner=role)
                recorders[role] = Recorder(
                    log=opened.enter_context(kept),
                    meter=Meter(),
                    job=f"j{self.turn}",
                    me=role,
                    peers={PEERS[role]: PRINTS[PEERS[role]]},
                    guard=guards[role],
                )
            links = dict(zip(ROLES, local_links(observers=tuple(recorders.values()), seconds=30), strict=True))

            def side(role):
                try:
                    self.models[role] = sides[role](links[role], self.models.get(role))
                except bt.PolicyRefused as refusal:
                    refused[role] = refusal.clause
                except bt.ProtocolAbort as error:
                    if "policy" not in str(error):
                        faults.append(error)
                except BaseException as error:
                    faults.append(error)

            threads = [threading.Thread(target=side, args=(role,), daemon=True) for role in ROLES]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive()
            if faults:
                raise faults[0]
            none = {"sums": 0, "bits": 0}
            self.charged = {
                role: {**none, **guards[role].learned().get(PRINTS[PEERS[role]], {}), **guards[role].usage()["g"]}
                for role in ROLES
            }
            self.got = {role: learned(recorders[role].meter.snapshot().values()) for role in ROLES}
        return refused


def fitted(make, *, named=True):
    def side(role):
        def run(link, _):
            names = {"columns": [f"{role}{k}" for k in range(TABLES[role].shape[1])]} if named else {}
            y = LABELS if role == "guest" else None
            return make(role).fit(TABLES[role], y, link=link, **names)

        return run

    return {role: side(role) for role in ROLES}


def scored(role):
    def run(link, model):
        model.decision_function(TABLES[role][:20], link=link)
        return model

    return run


def regression(role):
    return bt.vertical.LogisticRegression(role, epochs=2, key_size=2048, tol=1e-9 if role == "guest" else 1e-4)


def boosting(role):
    return bt.vertical.GradientBoosting(role, key_size=2048, **TREES)


def binning(role):
    least = {"min_rows": 8, "min_events": 0, "min_others": 0}
    return bt.vertical.WoEBinning(role, max_bins=4, key_size=2048, **least)


IDS = {"guest": ["a", "b", "c"], "host": ["b", "c", "d", "e"]}
ASKED = {
    "blacklist": {
        "guest": lambda link, _: blacklist_query(IDS["guest"], link=link, threads=1),
        "host": lambda link, _: blacklist_serve(IDS["host"], link=link, limit=9, threads=1),
    },
    "intersect": {
        role: lambda link, _, role=role: intersect(IDS[role], role=role, link=link, min_intersection=1, threads=1)
        for role in ROLES
    },
}
WALKS = {role: scored(role) for role in ROLES}
TASKS = {
    "binning": (fitted(binning), None),
    "regression": (fitted(regression), None),
    "points": (fitted(regression), WALKS),
    "boosting": (fitted(boosting), None),
    "trees": (fitted(boosting), WALKS),
    "blacklist": (ASKED["blacklist"], None),
    "intersect": (ASKED["intersect"], None),
}


@pytest.fixture
def one_key(priv, monkeypatch):
    for module in (_binning, _boosting, _logistic, _scoring):
        monkeypatch.setattr(module, "ephemeral_key", lambda bits: priv)
    monkeypatch.setattr(type(priv), "close", lambda self: None)


COUNTED = {"sums": "max_sums", "bits": "max_bits", "ids": "max_ids_total"}
LARGE = ("regression", "points", "boosting")


@pytest.mark.parametrize("task", [pytest.param(k, marks=pytest.mark.slow) if k in LARGE else k for k in TASKS])
def test_the_cap_is_granted_and_nothing_past_it(tmp_path, one_key, task):
    if task in ASKED:
        pytest.importorskip("private_set_intersection", reason="ids need openmined-psi, which is not installed")
    first, then = TASKS[task]
    parties = Parties(tmp_path)
    before = dict.fromkeys(ROLES, dict.fromkeys(("sums", "bits", "ids"), 0))
    if then is not None:
        assert parties.run(first) == {}
        before = parties.charged
    sides = then or first
    assert parties.run(sides) == {}
    had = parties.charged
    limited = 0
    for role in ROLES:
        for what in COUNTED:
            once = had[role][what] - before[role][what]
            if what != "ids":
                assert parties.got[PEERS[role]][what] <= once  # what left is charged, all of it
            limited += once > 0
    assert limited
    for role in ROLES:
        for what, clause in COUNTED.items():
            once, spent = had[role][what] - before[role][what], parties.charged[role][what]
            for most in (spent, spent + once - 1) if once else ():
                assert parties.run(sides, **{role: {clause: most}}) == {role: clause}, (role, what)
                assert parties.charged[role][what] <= most
    caps = {
        role: {
            clause: parties.charged[role][what] + had[role][what] - before[role][what]
            for what, clause in COUNTED.items()
        }
        for role in ROLES
    }
    assert parties.run(sides, **caps) == {}
    for _ in range(2):
        assert parties.run(sides, **caps)
    for role in ROLES:
        assert parties.charged[role]["sums"] <= caps[role]["max_sums"]
        assert parties.charged[role]["bits"] <= caps[role]["max_bits"]
        assert parties.charged[role]["ids"] <= caps[role]["max_ids_total"]
