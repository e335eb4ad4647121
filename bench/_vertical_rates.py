"""Joint boosting at low rates of events beside XGBoost's histogram method on the pooled columns.

The part of bench/vertical.py called ``boosting-rates``. For each data set and rate it prints the mean AUC over seeds of
the bank's own columns, of the joint trees without a penalty (``reg_lambda=0``, ``min_child_weight=0.001``), of the
joint trees with default settings but without their minima (:data:`LIFTED`, as XGBoost has none), of the joint trees
with the default minima and a first tree of the guest's own, and of XGBoost with the same rows, trees, depth, rate of
learning, buckets and lambda, once with its default ``min_child_weight`` of 1 and once with ours of 3; and the mean
difference to each, with its standard error over the seeds. It fails if one to XGBoost is below minus two standard
errors.

* ``credit``: the demo's 30 000 customers, the bank's 5 columns and the payment network's 18. A hash of the seed orders
  them; the first 9 000 are the test rows, with all of their events, since the AUC does not depend on the rate and 2 000
  events measure it better than 50. The others are the training rows: all without an event, and the first events in that
  order, as many as make the rate.
* ``synthetic``: 20 000 rows to train on and 20 000 to test, 5 + 18 columns of heavy tails; the log-odds of an event
  depend on two of the bank's columns and five of the network's, with products and a kink.

The joint model runs the whole protocol over ``local_links()``, with plain integers in place of ciphertexts
(:func:`plainly`), which grows bit for bit the same trees; ``--encrypted`` runs the first seed of each rate of
``credit`` under a real key, too, and fails if one bit of either half differs. XGBoost runs if ``--record FILE`` says
where to keep its figures; else those that are kept in tests/vertical/boosting/xgboost.json are taken.
"""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import bluetusk as bt
from bluetusk.demo.data import load, uniforms
from bluetusk.vertical.boosting import guest as _boosting_guest
from bluetusk.vertical.boosting import host as _boosting_host
from bluetusk.vertical.boosting.sums import Layout
from bluetusk.vertical.evaluation.metrics import auc

RATES = (0.005, 0.01, 0.03, 0.2)
CUT = 5  # the bank's columns come first
COMMON = {"n_estimators": 10, "max_depth": 3, "learning_rate": 0.3, "max_bins": 32}
MINIMA = ("first_tree_local", "min_samples_leaf", "min_bucket_rows", "min_events", "min_others")
DEFAULTS = {name: value for name, value in bt.vertical.GradientBoosting().get_params().items() if name in MINIMA}
LIFTED = {
    "first_tree_local": False,
    **{"min_samples_leaf": 20, "min_bucket_rows": 10, "min_events": 0, "min_others": 0},
}
BEFORE = {"reg_lambda": 0.0, "min_child_weight": 1e-3}
XGBOOST = {
    "n_estimators": 10,
    "max_depth": 3,
    "learning_rate": 0.3,
    "max_bin": 32,
    "reg_lambda": 1.0,
    "min_child_weight": 1.0,
    "tree_method": "hist",
    "n_jobs": 1,
}
PARAMS: dict[str, dict[str, float]] = {"auc": {}, "auc at min_child_weight 3": {"min_child_weight": 3.0}}
RECORDED = Path(__file__).resolve().parents[1] / "tests" / "vertical" / "boosting" / "xgboost.json"

Floats = np.ndarray[Any, np.dtype[np.float64]]
Split = tuple[Floats, Any, Floats, Any]


# --- data -------------------------------------------------------------------------------------------------------------


def credit(rate: float, seed: int) -> Split:
    """Return training rows with their labels at the rate, and test rows with theirs at the natural one."""
    customers = load()
    order = np.argsort(uniforms(seed, "boosting rates", len(customers.y)), kind="stable")
    test, train = order[:9000], order[9000:]
    events, others = (train[customers.y[train] == label] for label in (1, 0))
    train = np.sort(np.concatenate([others, events[: round(rate * len(others) / (1 - rate))]]))
    x = customers.x.astype(np.float64)
    return x[train], customers.y[train], x[test], customers.y[test]


def synthetic(rate: float, seed: int, rows: int = 20_000) -> Split:
    """Return rows to train on and rows to test, whose log-odds depend on columns of both parties."""
    u = uniforms(seed, "boosting rates: columns", 2 * rows * 23).reshape(2 * rows, 23)
    x = np.round(np.log((u + 1e-9) / (1 - u)) / 1.8, 3)
    part = 0.5 * x[:, 0] + x[:, 5] + 0.7 * x[:, 6] * (x[:, 7] > 0) + 0.5 * np.abs(x[:, 8]) + 0.4 * x[:, 9] * x[:, 1]
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(1 / (1 + np.exp(-1.5 * part - middle))) < rate else (low, middle)
    y = (uniforms(seed, "boosting rates: labels", 2 * rows) < 1 / (1 + np.exp(-1.5 * part - low))).astype(np.int64)
    return x[:rows], y[:rows], x[rows:], y[rows:]


SETS: dict[str, Callable[[float, int], Split]] = {"credit": credit, "synthetic": synthetic}


# --- the protocol with plain integers ---------------------------------------------------------------------------------


class Plain:
    """Stands for either half of a key: nothing is encrypted."""

    bits, closed = 2048, False

    def __init__(self, data: bytes = b"") -> None:
        pass

    n = 1 << 2047

    @property
    def public_key(self) -> Plain:
        return self

    def to_bytes(self) -> bytes:
        return b"no key"

    from_bytes = classmethod(lambda cls, data: cls(data))


def _histograms(rows: Any, codes: Any, width: int) -> Any:
    features = codes.shape[1]
    flat = (codes.astype(np.int64) + width * np.arange(features)).reshape(-1)
    sums = [
        np.bincount(flat, np.repeat(part.astype(np.float64), features), features * width) for part in rows.T
    ]  # below 2^53, so exact
    return np.stack(sums, axis=-1).astype(np.int64).reshape(features, width, 2)


def _left_sums(histogram: Any, cuts: Any, order: Any) -> Any:
    feature, cut, with_missing = cuts.feature[order], cuts.cut[order], cuts.missing_left[order]
    return histogram.cumsum(axis=1)[feature, cut] + with_missing[:, None] * histogram[feature, -1]


def _encrypted(layout: Layout, key: Any, g: Any, h: Any, seed: Any = None) -> bytes:
    return np.stack([g, h], axis=1).astype("<i8").tobytes()


def _received(layout: Layout, part: Any, key: Any, rows: int, party: str) -> Any:
    return np.frombuffer(part, "<i8").reshape(rows, 2)


def _closed(layout: Layout, sums: list[Any]) -> bytes:
    return np.concatenate(sums).astype("<i8").tobytes()


def _unpacked(layout: Layout, key: Any, part: Any, count: int, party: str) -> Any:
    return tuple(np.frombuffer(part, "<i8").reshape(count, 2).T)


@contextmanager
def plainly() -> Iterator[None]:
    """Let the protocol run as it is, with plain pairs (g, h) in place of ciphertexts: the same trees, to the bit."""
    with (
        mock.patch.object(_boosting_guest, "ephemeral_key", return_value=Plain()),
        mock.patch.object(_boosting_guest, "key_parts", return_value=[b"no key", b"no proof"]),
        mock.patch.object(_boosting_host, "peer_key", return_value=Plain()),
        mock.patch.multiple(_boosting_host, PublicKey=Plain, histograms=_histograms, left_sums=_left_sums),
        mock.patch.multiple(Layout, encrypted=_encrypted, received=_received, closed=_closed, unpacked=_unpacked),
    ):
        yield


# --- models -----------------------------------------------------------------------------------------------------------


def together(guest: Callable[[], Any], host: Callable[[], Any]) -> Any:
    """Run both parties; return what the guest returned."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            host()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        result = guest()
    finally:
        thread.join()
    if errors:
        raise errors[0]
    return result


def trained(x: Floats, y: Any, test: Floats, **params: Any) -> tuple[Floats, list[bytes]]:
    """Train jointly; return the scores of the test rows, and both halves of the model."""
    params = {**COMMON, **LIFTED, **params}
    guest, host = (bt.vertical.GradientBoosting(role, key_size=2048, threads=1, **params) for role in ("guest", "host"))
    a, b = bt.vertical.local_links(seconds=120)
    together(lambda: guest.fit(x[:, :CUT], y, link=a), lambda: host.fit(x[:, CUT:], link=b))
    a, b = bt.vertical.local_links(seconds=120)
    scores = together(
        lambda: guest.decision_function(test[:, :CUT], link=a),
        lambda: host.decision_function(test[:, CUT:], link=b, ids=range(len(test))),
    )
    return scores, [b"".join(a.tobytes() for a in half._half.arrays().values()) for half in (guest, host)]


def joint(split: Split, **params: Any) -> float:
    """Return the AUC of the joint trees on the test rows."""
    x, y, test, truth = split
    with plainly():
        return float(auc(truth, trained(x, y, test, **params)[0]))


def alone(split: Split) -> float:
    """Return the AUC of the same trees on the bank's columns: those of its peer say nothing."""
    x, y, test, truth = split
    return joint((x[:, : CUT + 1] * ([1.0] * CUT + [0.0]), y, test[:, : CUT + 1] * ([1.0] * CUT + [0.0]), truth))


def pooled(split: Split, **params: Any) -> float:
    """Return the AUC of XGBoost's histogram method on all columns together."""
    from xgboost import XGBClassifier

    x, y, test, truth = split
    return float(
        auc(
            truth, XGBClassifier(**{**XGBOOST, **params}).fit(x, y).predict(test, output_margin=True).astype(np.float64)
        )
    )


def behind(mine: list[float], theirs: list[float]) -> tuple[float, float]:
    """Return the mean difference of AUCs seed by seed, and its standard error."""
    difference = np.array(mine) - np.array(theirs)
    return float(difference.mean()), float(difference.std(ddof=1) / len(difference) ** 0.5)


# --- the command ------------------------------------------------------------------------------------------------------


def rates(options: argparse.Namespace) -> dict[str, Any]:
    recorded = {} if options.record else json.loads(RECORDED.read_text())
    seeds = range(options.first, options.first + options.seeds)
    told: dict[str, Any] = {}
    fresh: dict[str, Any] = {key: {name: {} for name in SETS} for key in PARAMS}
    failed = []
    for name, rate in ((name, rate) for name in SETS for rate in RATES):
        found: dict[str, list[float]] = {
            name: [] for name in ("bank alone", "joint, no penalty", "joint", "joint, default minima")
        }
        for key in PARAMS:
            found["XGBoost" if key == "auc" else "XGBoost, our minima"] = fresh[key][name][str(rate)] = []
        for seed in seeds:
            split = SETS[name](rate, seed)
            found["bank alone"].append(alone(split))
            found["joint, no penalty"].append(joint(split, **BEFORE))
            found["joint"].append(joint(split))
            found["joint, default minima"].append(joint(split, **DEFAULTS))
            for key, params in PARAMS.items():
                value = round(pooled(split, **params), 6) if options.record else recorded[key][name][str(rate)][seed]
                fresh[key][name][str(rate)].append(value)
        differences = {key: behind(found["joint"], found[key]) for key in found if key != "joint"}
        told[f"{name} {rate}"] = {"auc": found, "joint less": differences}
        print(
            f"{name:9} {100 * rate:4.1f} %, {int(split[1].sum())} events in {len(split[1])} rows: "
            + ", ".join(f"{model} {np.mean(values):.4f}" for model, values in found.items())
            + "; joint less "
            + ", ".join(f"{model} {mean:+.4f} +- {error:.4f}" for model, (mean, error) in differences.items()),
            flush=True,
        )
        for key, (mean, error) in differences.items():
            if key.startswith("XGBoost") and mean < -2 * error:
                failed.append(f"{name} at {rate}, {key}: {mean:+.4f} +- {error:.4f}")
        if options.encrypted and name == "credit":
            x, y, test, _ = SETS[name](rate, options.first)
            with plainly():
                plain = trained(x, y, test)
            encrypted = trained(x, y, test)
            if plain[1] != encrypted[1] or not np.array_equal(plain[0], encrypted[0]):
                failed.append(f"{name} at {rate}: the trees under a key are others")
            else:
                print(f"{name:9} {100 * rate:4.1f} %: the trees under a key of 2048 bits are the same to the bit")
    if options.record:
        import xgboost

        kept = {
            "made by": "python bench/vertical.py boosting-rates --record FILE",
            "xgboost": xgboost.__version__,
            "parameters": XGBOOST,
            **fresh,
        }
        Path(options.record).write_text(json.dumps(kept, indent=1) + "\n")
    if failed:
        raise SystemExit("below XGBoost by more than two standard errors, or not the same: " + "; ".join(failed))
    return told
