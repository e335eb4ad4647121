"""A bank and a payment network train a joint credit model, here as two threads of one process.

    python examples/vertical_credit.py [ROWS]

Each side is one function that gets its own table and a link to the other. `bluetusk party` does the same in two
processes over TLS; `docs/tutorials/two-csv-files.md` shows how.
"""

from __future__ import annotations

import sys
import threading
import warnings

import numpy as np

from bluetusk.demo.data import FEATURES, load
from bluetusk.vertical import GradientBoosting, Link, LogisticRegression, WoEBinning, intersect, local_links
from bluetusk.vertical.evaluation import auc, auc_interval

BITS = 2048  # short, for an example; use 3072, the default, for real data


def bank(ids: np.ndarray, columns: np.ndarray, default: np.ndarray, link: Link) -> None:
    """Run the guest, which knows who repaid."""
    rows = intersect(ids, role="guest", link=link)  # positions of the common customers, in the same order at both
    x, y = columns[rows], default[rows]
    train = np.arange(len(rows)) < 0.7 * len(rows)  # the order is random: a keyed hash
    print(f"{len(rows)} of {len(ids)} customers in common")

    binning = WoEBinning("guest", min_rows=30, key_size=BITS).fit(x[train], y[train], link=link)
    woe = binning.transform(x)  # of its own columns; what the network's bins are worth only this side knows
    logistic = LogisticRegression("guest", key_size=BITS).fit(woe[train], y[train], link=link, binning=binning)
    show("logistic regression", y[~train], logistic.predict_proba(woe[~train], link=link)[:, 1])

    trees = GradientBoosting("guest", n_estimators=2, key_size=BITS).fit(x[train], y[train], link=link)
    show("two boosted trees", y[~train], trees.predict_proba(x[~train], link=link)[:, 1])


def show(model: str, labels: np.ndarray, scores: np.ndarray) -> None:
    """Print how well a model ranks customers that it has not seen."""
    low, high = auc_interval(labels, scores)
    print(f"{model + ',':20} AUC {auc(labels, scores):.3f} ({low:.3f} to {high:.3f} at 95 %)")


def network(ids: np.ndarray, columns: np.ndarray, link: Link) -> None:
    """Run the host: the same steps without labels; it learns no score."""
    order = intersect(ids, role="host", link=link)
    x, train = columns[order], np.arange(len(order)) < 0.7 * len(order)

    binning = WoEBinning("host", min_rows=30, key_size=BITS).fit(x[train], link=link)
    known, new = ids[order[train]].tolist(), ids[order[~train]].tolist()  # the model scores each customer once
    logistic = LogisticRegression("host", key_size=BITS).fit(x[train], link=link, binning=binning, ids=known)
    logistic.predict_proba(x[~train], link=link, ids=new)

    trees = GradientBoosting("host", n_estimators=2, key_size=BITS).fit(x[train], link=link)
    trees.predict_proba(x[~train], link=link, ids=new)


def main(rows: int) -> None:
    """Split the columns between the two sides; each side lacks some of the customers."""
    warnings.filterwarnings("ignore", message="a 2048-bit key")
    customers = load(rows=rows)
    ids = np.array([f"M{k:06d}" for k in range(rows)])
    x, here, there = customers.x.astype(float), slice(0, rows * 9 // 10), slice(rows // 20, rows)
    own = len(FEATURES[:5])
    guest, host = local_links()
    other = threading.Thread(target=network, args=(ids[there], x[there, own:], host), daemon=True)
    other.start()
    bank(ids[here], x[here, :own], customers.y[here], guest)
    other.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
