"""The joint regression in plain floats, written another way than the code under test: for many data sets in seconds."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from bluetusk._random import Stream
from bluetusk.vertical import WoEBinning


def drawn(text, seed, n):
    """Return an order of n rows that the seed gives."""
    return np.argsort(Stream(hashlib.sha256(text + seed).digest()).uint64(n), kind="stable")


def decorrelated(x, largest):
    """Return the map to centred, decorrelated columns (1 % of a unit added to each variance), by an SVD."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0] = np.inf
    _, s, rows = np.linalg.svd((x - mean) / scale / math.sqrt(len(x)), full_matrices=False)
    turn = rows.T @ np.diag(1 / np.sqrt(s**2 + 0.01)) @ rows
    turn *= np.minimum(1, largest / np.maximum(np.abs((x - mean) / scale @ turn).max(axis=0), largest))
    return lambda a: (a - mean) / scale @ turn


def trained(xg, xh, y, *, seed=bytes(32), batch=None, epochs=None):
    """Return a function from both parties' rows to scores, the rows held back, and the epochs taken."""
    n = len(y)
    held = min(max(n // 10, min(20, n // 4)), 2000)
    order = drawn(b"bluetusk logistic held back", seed, n)
    back, used = np.sort(order[:held]), np.sort(order[held:])
    rows = len(used)
    if batch is None:
        batch = rows if rows <= 2048 else min(max(-(-rows // 64), 1024), 8192)
    batches = -(-rows // batch)
    if epochs is None:
        epochs = min(max(-(-60 // batches), 5), 60)
    tol = 0.5 / n if batches == 1 else 2**-13
    plans = [
        [order[rows * b // batches : rows * (b + 1) // batches] for b in range(batches)]
        for order in (
            drawn(b"bluetusk logistic order", seed + epoch.to_bytes(8, "little"), rows) for epoch in range(epochs)
        )
    ]
    maps, parts = [decorrelated(x[used], 63.99) for x in (xg, xh)], []
    for k, x in enumerate((xg, xh)):
        part = maps[k](x[used])
        if k == 0:
            part = np.column_stack([part, np.ones(rows)])
        most = max(np.linalg.norm(part[b], 2) ** 2 / len(b) for plan in plans for b in plan) if batches > 1 else 1.0
        parts.append(part * min(1.0, math.sqrt(1.75 / max(most, 1.0))))
    u, cut = np.column_stack(parts), xg.shape[1] + 1
    target, d = y[used], u.shape[1]
    rate = 1 / (0.25 + 0.001)
    ridge = np.full(d, 0.001)
    ridge[cut - 1] = 0.0
    w, result, before = np.zeros(d), None, None
    last = w
    for taken, plan in enumerate(plans, 1):
        loss, total = 0.0, np.zeros(d)
        for part in plan:
            r = 0.5 + u[part] @ w / 8 - target[part]
            loss += float(r @ r)
            w = w - rate * (u[part].T @ r / len(part) + ridge * w)
            total += w
            if batches == 1:  # Nesterov's method
                w, last = w + taken / (taken + 3) * (w - last), w
        if before is not None and before - loss < tol * loss:
            break
        result, before = total / batches, loss
    units = parts[0][0, -1], np.linalg.norm(parts[1]) / np.linalg.norm(maps[1](xh[used]))
    own, constant, other = result[: cut - 1] * units[0], result[cut - 1] * units[0], result[cut:] * units[1]
    return (lambda a, b: maps[0](a) @ own + maps[1](b) @ other + constant), back, taken


def weights_of_evidence(x, y, train, *, min_rows, categorical=()):
    """Return the columns as weights of evidence, fitted to the rows of training; each party's are the same alone."""
    names = [f"x{j}" for j in range(x.shape[1])]
    bins = WoEBinning("guest", max_bins=10, min_rows=min_rows, categorical=categorical)
    bins.fit(x[train], y[train], columns=names)
    return bins.transform(x, columns=names)
