"""Gradient boosting: seconds and bytes of a tree by party and phase, both parties in this process, one thread each.

The part of bench/vertical.py about boosting:

* ``boosting``: a tree of depth 3 and 32 buckets on the customers of the demo, the bank's 5 columns and the payment
  network's 18.
* ``boosting-sizes``: a tree at three sizes of random columns, each phase extrapolated to 100 000 x (30 + 300) by its
  growth (rows; rows times columns; sums), beside the figure that FATE 2.0 publishes for that size: 1 min 54 s on 16
  cores for each party, 1 Gbit/s, a 1024-bit key. ``--full`` also runs that size, to check the extrapolation.
* ``boosting-accuracy``: the AUC of the joint model, of scikit-learn's on the pooled columns and of the bank's own
  columns, by split.

Times are processor seconds, to which other processes add little.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import defaultdict
from typing import Any

import _vertical_rates
import numpy as np

import bluetusk as bt
from bluetusk.demo.data import load
from bluetusk.vertical.boosting import guest as _boosting_guest
from bluetusk.vertical.boosting import host as _boosting_host
from bluetusk.vertical.boosting.sums import Layout

# phase: where it is, and what it grows with
PHASES: dict[str, tuple[Any, str, str]] = {
    "encrypt": (Layout, "encrypted", "rows"),
    "parse and check": (Layout, "received", "rows"),
    "histograms": (_boosting_host, "histograms", "rows x columns"),
    "cumulative sums": (_boosting_host, "left_sums", "sums"),
    "shift together, r^n": (Layout, "closed", "sums"),
    "open": (Layout, "unpacked", "sums"),
    "own sums": (_boosting_guest, "plain_sums", "rows"),
}
REST = "all else"
FATE = 114.0  # seconds a tree, 16 cores for each party


class Clock:
    """Processor seconds of each party's thread by phase; sums that were opened."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {"guest": defaultdict(float), "host": defaultdict(float)}
        self.sums = 0
        for phase, (owner, name, _) in PHASES.items():
            setattr(owner, name, self._timed(getattr(owner, name), phase))

    def _timed(self, call: Any, phase: str) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[threading.current_thread().name][phase] += time.thread_time() - begin

        return timed


class Count(bt.vertical.Observer):
    """How many sums a host let out."""

    def __init__(self) -> None:
        self.sums = 0

    def count(self, *, peer: str, task: str, what: str, number: int) -> None:
        self.sums += number if what == "values_revealed" else 0


def both(guest: Any, host: Any) -> dict[str, Any]:
    """Run both parties; return seconds of the wall clock, processor seconds of each, and what they returned."""
    results: dict[str, Any] = {}

    def run(role: str, call: Any) -> None:
        begin = time.thread_time()
        results[role] = call()
        results[role + " s"] = time.thread_time() - begin

    threads = [threading.Thread(target=run, args=pair, name=pair[0]) for pair in (("guest", guest), ("host", host))]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results | {"wall s": time.perf_counter() - begin}


def train(x: np.ndarray, y: np.ndarray, cut: int, **params: Any) -> dict[str, Any]:
    """Train on rows whose first `cut` columns are the guest's; both halves and figures."""
    count = Count()
    links = bt.vertical.local_links(observers=(None, count), seconds=3600)
    guest, host = (bt.vertical.GradientBoosting(role, **params) for role in ("guest", "host"))
    done = both(lambda: guest.fit(x[:, :cut], y, link=links[0]), lambda: host.fit(x[:, cut:], link=links[1]))
    return done | {"bytes": [link.bytes_sent for link in links], "sums": count.sums}


def one_tree(clock: Clock, x: np.ndarray, y: np.ndarray, cut: int, trees: int, key_size: int) -> dict[str, Any]:
    """Return the figures of a tree: the mean of some, without the offer and the key."""
    for phases in clock.seconds.values():
        phases.clear()
    done = train(x, y, cut, n_estimators=trees, key_size=key_size, first_tree_local=False)
    parts = {role: {phase: s / trees for phase, s in phases.items()} for role, phases in clock.seconds.items()}
    for role, phases in parts.items():
        phases[REST] = done[role + " s"] / trees - sum(phases.values())
    return {
        "rows": len(x),
        "columns": [cut, x.shape[1] - cut],
        "guest s": done["guest s"] / trees,
        "host s": done["host s"] / trees,
        "wall s": done["wall s"] / trees,
        "MB": [b / trees / 1e6 for b in done["bytes"]],
        "sums": done["sums"] / trees,
        "phases": parts,
    }


def show(told: dict[str, Any]) -> None:
    total = told["guest s"] + told["host s"]
    columns = " + ".join(map(str, told["columns"]))
    print(
        f"{told['rows']} rows x {columns} columns: guest {told['guest s']:.2f} s, host {told['host s']:.2f} s of "
        f"processor time (together {total:.2f}); wall clock {told['wall s']:.1f} s; sent {told['MB'][0]:.2f} + "
        f"{told['MB'][1]:.2f} MB; {told['sums']:.0f} sums",
        flush=True,
    )
    for role, phases in told["phases"].items():
        for phase, seconds in sorted(phases.items(), key=lambda pair: -pair[1]):
            print(f"  {role:5} {phase:24} {seconds:7.3f} s")


def tree(options: argparse.Namespace) -> dict[str, Any]:
    table = load(rows=options.rows)
    told = one_tree(Clock(), table.x.astype(float), table.y, 5, options.trees or 2, options.key_size)
    show(told)
    return told


def random_table(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns))
    score = x[:, : columns // 10].sum(axis=1) + x[:, -columns // 10 :].sum(axis=1)
    return x, (score + rng.normal(size=rows) * score.std() > score.std()).astype(int)


def sizes(options: argparse.Namespace) -> dict[str, Any]:
    clock = Clock()
    told = []
    for rows, columns in ((5_000, 30), (10_000, 100), (20_000, 200)):
        x, y = random_table(rows, 30 + columns)
        told.append(one_tree(clock, x, y, 30, 1, options.key_size))
        show(told[-1])
    last = told[-1]
    # at 100 000 rows every cut of every node is wide enough: 31 of each column, in 1 + 2 + 4 nodes
    sums = 7 * 31 * 300
    grown = {
        "rows": 100_000 / last["rows"],
        "rows x columns": 100_000 * 300 / (last["rows"] * last["columns"][1]),
        "sums": sums / last["sums"],
    }
    law = {phase: grown[what] for phase, (_, _, what) in PHASES.items()} | {REST: grown["rows x columns"]}
    expected = {
        role: sum(seconds * law[phase] for phase, seconds in phases.items()) for role, phases in last["phases"].items()
    }
    total = sum(expected.values())
    print(
        f"a tree of 100 000 rows x 30 + 300 columns, extrapolated: guest {expected['guest']:.0f} s, host "
        f"{expected['host']:.0f} s of one core's time, {sums} sums; the parties work in turn and every long phase uses "
        f"all threads, so about {total / 2:.0f} s on two cores for both. FATE 2.0 publishes {FATE:.0f} s on 16 cores "
        f"for each party, with a key of 1024 bits",
        flush=True,
    )
    result: dict[str, Any] = {"measured": told, "extrapolated": expected, "sums": sums, "fate": FATE}
    if options.full:
        x, y = random_table(100_000, 330)
        result["full"] = one_tree(clock, x, y, 30, 1, options.key_size)
        show(result["full"])
    return result


def accuracy(options: argparse.Namespace) -> dict[str, Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import train_test_split

    table, trees = load(), options.trees or 10
    plain = {
        "max_iter": trees,
        "max_depth": 3,
        "learning_rate": 0.4,
        "max_bins": 32,
        "l2_regularization": 1.0,
        "early_stopping": False,
    }
    rows: list[dict[str, float]] = []
    for seed in range(options.first, options.first + options.seeds):
        x, held, y, truth = train_test_split(
            table.x.astype(float), table.y, test_size=0.3, stratify=table.y, random_state=seed
        )
        done = train(x, y, 5, n_estimators=trees, learning_rate=0.4, key_size=options.key_size)
        a, b = bt.vertical.local_links()
        guest, host = done["guest"], done["host"]
        with _vertical_rates.plainly():
            lifted = {**_vertical_rates.LIFTED, "n_estimators": trees, "learning_rate": 0.4}
            without, _ = _vertical_rates.trained(x, y, held, **lifted)
        scores = {
            "minima lifted": without,
            "joint": both(
                lambda guest=guest, held=held, a=a: guest.decision_function(held[:, :5], link=a),
                lambda host=host, held=held, b=b: host.decision_function(held[:, 5:], link=b, ids=range(len(held))),
            )["guest"],
            "pooled": HistGradientBoostingClassifier(**plain).fit(x, y).decision_function(held),
            "guest alone": HistGradientBoostingClassifier(**plain).fit(x[:, :5], y).decision_function(held[:, :5]),
        }
        told = {name: float(roc_auc_score(truth, score)) for name, score in scores.items()}
        rows.append(told)
        print(
            f"seed {seed}: joint {told['joint']:.4f}, pooled {told['pooled']:.4f} "
            f"({told['joint'] - told['pooled']:+.4f}), guest alone {told['guest alone']:.4f}, "
            f"joint with minima lifted {told['minima lifted']:.4f}; "
            f"{done['guest s'] + done['host s']:.1f} s of processor time, {done['wall s']:.0f} s",
            flush=True,
        )
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    worst = max(abs(row["joint"] - row["pooled"]) for row in rows)
    print(
        f"mean: joint {mean['joint']:.4f}, pooled {mean['pooled']:.4f} "
        f"({mean['joint'] - mean['pooled']:+.4f}, largest difference {worst:.4f}), joint with minima lifted "
        f"{mean['minima lifted']:.4f}"
    )
    return {"rows": rows, "mean": mean}
