"""Two-party models: seconds and bytes by party and phase, both parties in this process, one thread each.

    python bench/vertical.py logistic [--rows 21000] [--batch 1024] [--key-size 2048] [--sigmoid linear|cubic]
                                      [--balanced] [--binned] [--wide] [--json FILE]
    python bench/vertical.py accuracy [--first 0] [--seeds 5] [--epochs N] [--key-size 2048] [--json FILE]
    python bench/vertical.py boosting [--rows 21000] [--trees 2] [--key-size 2048] [--json FILE]
    python bench/vertical.py boosting-sizes [--full] [--key-size 2048] [--json FILE]
    python bench/vertical.py boosting-accuracy [--first 0] [--seeds 5] [--trees 10] [--key-size 2048] [--json FILE]
    python bench/vertical.py boosting-rates [--first 0] [--seeds 5] [--encrypted] [--record FILE] [--json FILE]

* ``logistic``: an epoch on the customers of the demo, the bank's 5 columns and the payment network's 18; the processor
  time of each party by phase, and bytes. ``--binned`` keeps the network's weights of evidence at the bank, which the
  network trains on without knowing them. ``--wide`` instead measures single batches of 30 + 70, 30 + 150 and 30 + 300
  columns and multiplies by the number of batches for an epoch of 100 000 rows. It also runs all encryptions of such an
  epoch: shares of the weights for each batch, and of all residuals, at both parties.
* ``accuracy``: the AUC of the shared training on WoE columns beside scikit-learn's on the pooled plaintext of the same
  rows, by seed of the split.
* ``boosting``: a tree of depth 3 and 32 buckets on the same customers, by party and phase, and bytes.
* ``boosting-sizes``: a tree at three sizes, extrapolated to 100 000 rows x (30 + 300) columns; ``--full`` runs it.
* ``boosting-accuracy``: the AUC of the joint trees beside scikit-learn's and the bank's own, by seed of the split.
* ``boosting-rates``: the AUC of the joint trees beside XGBoost's at 0.5, 1, 3 and 20 % events, with standard errors,
  with minima lifted as for XGBoost, and with the default ones;
  ``--record`` runs XGBoost (``pip install xgboost-cpu``) and keeps its figures, ``--encrypted`` repeats a seed of each
  rate under a key.
"""

from __future__ import annotations

import argparse
import json
import platform
import threading
import time
import warnings
from collections import defaultdict
from typing import Any

import _vertical_boosting
import _vertical_rates
import numpy as np

import bluetusk as bt
from bluetusk._random import Stream
from bluetusk.demo.data import load
from bluetusk.vertical.logistic import config as _logistic_config
from bluetusk.vertical.logistic import products as _products
from bluetusk.vertical.logistic import ring as _ring

GUEST = slice(0, 5)
HOST = slice(5, 23)
PHASES = {
    "encrypted": "encrypt weights",
    "encrypted_packed": "encrypt residuals",
    "receive_encrypted": "parse and check",
    "receive_packed": "parse and check",
    "rows_times": "rows times weights, mask",
    "columns_times": "columns times residuals, mask",
    "values_times": "products value by value, mask",
    "open_places": "open scores",
    "open_columns": "open gradients",
}


def woe(train: np.ndarray, test: np.ndarray, y: np.ndarray, bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Weight of evidence by quantile bins of the training rows."""
    out: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for j in range(train.shape[1]):
        edges = np.unique(np.quantile(train[:, j], np.linspace(0, 1, bins + 1)[1:-1]))
        codes = np.searchsorted(edges, train[:, j])
        bad = np.bincount(codes, y, len(edges) + 1) + 0.5
        good = np.bincount(codes, 1 - y, len(edges) + 1) + 0.5
        values = np.log(bad / y.sum() / (good / (1 - y).sum()))
        out[0].append(values[codes])
        out[1].append(values[np.searchsorted(edges, test[:, j])])
    return np.column_stack(out[0]), np.column_stack(out[1])


class Clock:
    """Processor seconds of each party's thread, by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {"guest": defaultdict(float), "host": defaultdict(float)}
        for name, phase in PHASES.items():
            setattr(_products, name, self._timed(getattr(_products, name), phase))

    def _timed(self, call: Any, phase: str) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[threading.current_thread().name][phase] += time.thread_time() - begin

        return timed


def both(guest: Any, host: Any, clock: Clock | None = None) -> dict[str, Any]:
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


def train(
    x: np.ndarray, y: np.ndarray, cut: int, key_size: int, binnings: Any = (None, None), **options: Any
) -> dict[str, Any]:
    """Train on rows whose first `cut` columns are the guest's; both halves and figures."""
    links = bt.vertical.local_links()
    guest = bt.vertical.LogisticRegression("guest", key_size=key_size, **options)
    host = bt.vertical.LogisticRegression("host", key_size=key_size, reveal=options.get("reveal", ()))
    done = both(
        lambda: guest.fit(x[:, :cut], y, link=links[0], binning=binnings[0]),
        lambda: host.fit(x[:, cut:], link=links[1], binning=binnings[1], ids=range(len(x))),
    )
    return done | {"bytes": [link.bytes_sent for link in links]}


def binned(x: np.ndarray, y: np.ndarray, cut: int, key_size: int) -> Any:
    """Return both halves of a binning of the columns, ten bins each."""
    links = bt.vertical.local_links()
    guest, host = (bt.vertical.WoEBinning(role, max_bins=10, key_size=key_size) for role in ("guest", "host"))
    done = both(lambda: guest.fit(x[:, :cut], y, link=links[0]), lambda: host.fit(x[:, cut:], link=links[1]))
    return done["guest"], done["host"]


def customers(rows: int) -> tuple[np.ndarray, np.ndarray]:
    table = load(rows=rows)
    return woe(table.x.astype(float), table.x.astype(float), table.y)[0], table.y


def encryption(rows: int, columns: int, batch: int, key_size: int) -> float:
    """Encrypt all that the parties encrypt in an epoch; return the processor seconds."""
    keys = [bt.paillier.generate_keypair(key_size)[1] for _ in range(2)]
    layout = _products.columns_layout(key_size, batch)
    stream = Stream()

    def share(n: int) -> Any:
        return _ring.from_bytes(stream.bytes(_ring.WORD_BYTES * n))

    begin = time.process_time()
    for first in range(0, rows, batch):
        n = min(batch, rows - first)
        for key, d in zip(keys, (columns - 30, 31), strict=True):  # each the shares of the other's weights
            _products.encrypted(key, share(d))
            _products.encrypted_packed(key, share(n), layout)
    return time.process_time() - begin


def logistic(options: argparse.Namespace) -> dict[str, Any]:
    clock = Clock() if not options.wide else None
    more = {"epochs": options.epochs or 1, "sigmoid": options.sigmoid, "calibrate": False}
    if options.balanced:
        more["class_weight"] = "balanced"
    told: dict[str, Any] = {}
    if options.wide:
        rng = np.random.default_rng(0)
        for columns in (100, 180, 330):
            x = np.clip(rng.normal(size=(2 * options.batch, columns)) / 2, -4, 4)
            y = (rng.random(len(x)) < 0.3).astype(int)
            runs = [
                train(
                    x[: n * options.batch],
                    y[: n * options.batch],
                    30,
                    options.key_size,
                    batch_size=options.batch,
                    **more,
                )
                for n in (1, 2)
            ]
            one = {role: runs[1][role] - runs[0][role] for role in ("guest s", "host s")}
            batches = -(-100_000 // options.batch)
            sent = sum(runs[1]["bytes"]) - sum(runs[0]["bytes"])
            told[f"30 + {columns - 30}"] = one | {
                "epoch of 100 000, core seconds": batches * sum(one.values()),
                "epoch of 100 000, MB": batches * sent / 1e6,
            }
            print(
                f"30 + {columns - 30} columns, one batch of {options.batch}: guest {one['guest s']:.2f} s, host "
                f"{one['host s']:.2f} s; {batches} batches of an epoch of 100 000 rows: "
                f"{batches * sum(one.values()):.0f} core seconds, {batches * sent / 1e6:.0f} MB",
                flush=True,
            )
        told["encryption"] = encryption(100_000, 330, options.batch, options.key_size)
        print(f"encryption of such an epoch, run whole: {told['encryption']:.1f} core seconds")
        return told
    x, y = customers(options.rows)
    if options.binned:
        raw = load(rows=options.rows).x.astype(float)
        more["binnings"] = binned(raw, y, 5, options.key_size)
        x = np.hstack([x[:, GUEST], raw[:, HOST]])
        assert clock is not None
        clock.seconds = {role: defaultdict(float) for role in clock.seconds}
    done = train(x, y, 5, options.key_size, batch_size=options.batch, **more)
    total = done["guest s"] + done["host s"]
    print(
        f"{options.rows} rows x 5 + 18 columns, batches of {options.batch}, key of {options.key_size}: guest "
        f"{done['guest s']:.2f} s, host {done['host s']:.2f} s of processor time (together {total:.2f}); wall clock "
        f"{done['wall s']:.1f} s; sent {done['bytes'][0] / 1e6:.2f} + {done['bytes'][1] / 1e6:.2f} MB"
    )
    assert clock is not None
    for role, phases in clock.seconds.items():
        for phase, seconds in sorted(phases.items(), key=lambda pair: -pair[1]):
            print(f"  {role:5} {phase:32} {seconds:7.3f} s")
    return {
        "guest s": done["guest s"],
        "host s": done["host s"],
        "wall s": done["wall s"],
        "bytes": done["bytes"],
        "phases": clock.seconds,
    }


def accuracy(options: argparse.Namespace) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import train_test_split

    table = load()
    rows: list[dict[str, float]] = []
    for seed in range(options.first, options.first + options.seeds):
        split = train_test_split(table.x.astype(float), table.y, test_size=0.3, stratify=table.y, random_state=seed)
        x, held = woe(split[0], split[1], split[2])
        done = train(
            x,
            split[2],
            5,
            options.key_size,
            epochs=options.epochs,
            batch_size=options.batch,
            sigmoid=options.sigmoid,
            reveal=("coefficients",),
        )
        guest, host = done["guest"], done["host"]
        score = held[:, GUEST] @ guest.coef_ + held[:, HOST] @ host.coef_
        pooled = LogisticRegression(max_iter=1000).fit(x, split[2]).decision_function(held)
        alone = LogisticRegression(max_iter=1000).fit(x[:, GUEST], split[2]).decision_function(held[:, GUEST])
        told = {
            name: float(roc_auc_score(split[3], z))
            for name, z in (("shared", score), ("pooled", pooled), ("guest alone", alone))
        }
        rows.append(told)
        print(
            f"seed {seed}: shared {told['shared']:.4f}, pooled {told['pooled']:.4f} "
            f"({told['shared'] - told['pooled']:+.4f}), guest alone {told['guest alone']:.4f}; "
            f"{guest.n_iter_} epochs, {done['guest s'] + done['host s']:.1f} s of processor time",
            flush=True,
        )
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    worst = max(abs(row["shared"] - row["pooled"]) for row in rows)
    print(
        f"mean: shared {mean['shared']:.4f}, pooled {mean['pooled']:.4f} "
        f"({mean['shared'] - mean['pooled']:+.4f}, largest difference {worst:.4f})"
    )
    return {"rows": rows, "mean": mean}


SECTIONS: dict[str, Any] = {
    "logistic": logistic,
    "accuracy": accuracy,
    "boosting": _vertical_boosting.tree,
    "boosting-sizes": _vertical_boosting.sizes,
    "boosting-accuracy": _vertical_boosting.accuracy,
    "boosting-rates": _vertical_rates.rates,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=tuple(SECTIONS))
    parser.add_argument("--rows", type=int, default=21_000)
    parser.add_argument("--batch", type=int, help="rows of a step (default: what suits their number)")
    parser.add_argument("--key-size", type=int, default=2048)
    parser.add_argument("--sigmoid", default="linear", choices=_logistic_config.SIGMOIDS)
    parser.add_argument("--balanced", action="store_true")
    parser.add_argument("--binned", action="store_true")
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--trees", type=int)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--encrypted", action="store_true")
    parser.add_argument("--record")
    parser.add_argument("--json")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    if options.batch is None and options.what == "logistic":
        options.batch = 1024
    bt.set_num_threads(1)
    info = bt.build_info()
    print(f"{platform.processor() or platform.machine()}, backend {info['backend']}")
    told = SECTIONS[options.what](options)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(told, file, indent=1)


if __name__ == "__main__":
    main()
