"""The joint model equals, split by split and leaf by leaf, the same algorithm in plain numpy on all columns at once.

The reference knows nothing of the package: it works on the values themselves, with a mask of rows for every cut.
"""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from bluetusk._random import Stream
from bluetusk.demo.data import load

F = 24  # fractional bits
NO_PENALTY = {"reg_lambda": 0.0, "min_child_weight": 1e-3}  # as scikit-learn's by default


def edges_of(column, most):
    values = np.sort(column[~np.isnan(column)])
    distinct = sorted(set(values.tolist()))
    if len(distinct) <= most:
        return [a / 2 + b / 2 for a, b in itertools.pairwise(distinct)]
    found = set()
    for i in range(1, most):
        at = (len(values) - 1) * i / most
        found.add((values[math.floor(at)] + values[math.ceil(at)]) / 2)
    return sorted(e for e in found if e < distinct[-1])


def runs_of(pair, column, allowed, root, apart):
    """Return the edges that must be cuts, between blocks of the root in different nodes; None if one cannot be."""
    blocks = np.searchsorted(root[0], column, side="left")
    blocks[np.isnan(column)] = len(root[0]) + 1 if root[1] else len(root[0])
    there = {b: tuple(bool((rows & (blocks == b)).any()) for rows in pair.values()) for b in range(len(root[0]) + 2)}
    filled = [b for b in there if any(there[b])]
    cuts = []
    for one, two in itertools.pairwise(filled):
        if there[one] == there[two] or (two > len(root[0]) and apart):
            continue
        between = [edge for edge in root[0][one:two] if edge in allowed]
        if two > len(root[0]) or not between:
            return None
        cuts.append(between[0])
    return cuts


def splits_of(pair, columns, edges, allowed, least, leaf, root=None):
    """Yield (node, feature, edge, missing left, left rows, of the sample) in the order of preference."""
    kept = {}
    for f, column in enumerate(columns.T):
        nan = np.isnan(column)
        missing = {n: int((rows & nan).sum()) for n, rows in pair.items()}
        present = [int((rows & ~nan).sum()) for rows in pair.values()]
        apart = allowed[f][1] and all(m == 0 or m >= least for m in [*missing.values(), *present])
        runs = [] if root is None else runs_of(pair, column, allowed[f][0], root[f], apart)
        last, cuts = -math.inf, []
        for end in [] if runs is None else [*runs, math.inf]:
            more = {n: 0 if apart or end < math.inf else missing[n] for n in pair}
            for edge in (edge for edge in allowed[f][0] if last < edge < end):
                groups = [int((rows & (column > last) & (column <= edge)).sum()) for rows in pair.values()]
                beyond = [int((rows & (column > edge) & (column <= end)).sum()) + more[n] for n, rows in pair.items()]
                if any(groups) and any(beyond) and all(k == 0 or k >= least for k in groups + beyond):
                    cuts.append(edge)
                    last = edge
            rest = [int((rows & (column > last) & (column <= end)).sum()) + more[n] for n, rows in pair.items()]
            if runs and any(0 < k < least for k in rest):
                runs = None
                break
            if end < math.inf:
                cuts.append(end)
                last = end
        kept[f] = ([], False) if runs is None else (cuts, apart)
    for n, rows in pair.items():
        for f, column in enumerate(columns.T):
            nan, (cuts, apart) = np.isnan(column), kept[f]
            seen = 0
            for edge in cuts:
                left = rows & (column <= edge)
                some = rows & nan
                if left.sum() == seen or not (rows & (column > edge)).any():
                    continue
                seen = left.sum()
                if not some.any():
                    if min(left.sum(), rows.sum() - left.sum()) >= leaf:
                        yield n, f, edge, bool(2 * left.sum() >= rows.sum()), left
                    continue
                if min(left.sum(), rows.sum() - left.sum()) >= leaf:
                    yield n, f, edge, False, left
                if apart and min((left | some).sum(), (rows & ~(left | some)).sum()) >= leaf:
                    yield n, f, edge, True, left | some
            if apart and (rows & nan).any() and min((rows & nan).sum(), (rows & ~nan).sum()) >= leaf:
                yield n, f, math.inf, False, rows & ~nan
    yield None, kept, None, None, None


def grow(tables, leasts, y, scores, sampled, p):
    """Grow one tree; return its splits by place, its leaves by place, and the place of every row."""
    edges = [[edges_of(c, p["max_bins"]) for c in t.T] for t in tables]
    prob = 1 / (1 + np.exp(-scores))
    g, h = (np.rint(v * 2.0**F).astype(np.int64) for v in (prob - y, prob * (1 - prob)))
    where = np.zeros(len(y), dtype=int)
    root = None  # what is offered there
    allowed = {0: [{f: (e, True) for f, e in enumerate(es)} for es in edges]}
    splits = {}

    def add(values, mask):
        return int(values[mask].sum())

    for depth in range(p["max_depth"]):
        parents = [-1] if depth == 0 else [n for n in splits if 2**depth - 1 <= 2 * n + 1 < 2 ** (depth + 1)]
        for parent in parents:
            places = [0] if depth == 0 else [2 * parent + 1, 2 * parent + 2]
            pair = {n: sampled & (where == n) for n in places}
            best = dict.fromkeys(places, (p["min_gain"], None))
            rules = []
            for party, (table, least) in enumerate(zip(tables, leasts, strict=True)):
                for n, f, edge, missing, left in splits_of(
                    pair,
                    table,
                    edges[party],
                    allowed[max(parent, 0)][party],
                    least,
                    p["min_samples_leaf"],
                    root[party] if depth and party else None,
                ):
                    if n is None:
                        rules.append(f)
                        continue
                    if pair[n].sum() < 2 * p["min_samples_leaf"]:
                        continue
                    gl, hl, gt, ht = (add(v, m) / 2.0**F for m in (left, pair[n]) for v in (g, h))
                    gr, hr, lam = gt - gl, ht - hl, p["reg_lambda"]
                    if min(hl, hr) < p["min_child_weight"]:
                        continue
                    gain = gl * gl / (hl + lam) + gr * gr / (hr + lam) - gt * gt / (ht + lam)
                    if gain > best[n][0]:
                        best[n] = (gain, (party, f, edge, missing))
            for n, (gain, split) in best.items():
                if split is None:
                    continue
                party, f, edge, missing = split
                splits[n] = (*split, gain)
                allowed[n] = rules
                root = rules if depth == 0 else root
                column = tables[party][:, f]
                left = np.where(np.isnan(column), missing, column <= edge)
                where = np.where(where == n, np.where(left, 2 * n + 1, 2 * n + 2), where)
    leaves = {}
    for n in set(where.tolist()):
        here = sampled & (where == n)
        leaves[n] = -p["learning_rate"] * (add(g, here) / 2.0**F) / (add(h, here) / 2.0**F + p["reg_lambda"])
    return splits, leaves, where


def sample_of(n, tree, p):
    """The rows of a tree's sample, by their rank in a stream of the seed."""
    if p["subsample"] == 1:
        return np.ones(n, dtype=bool)
    seed = hashlib.sha256(f"bluetusk boosting {p['random_state']}".encode()).digest()
    words = Stream(hashlib.sha256(seed + tree.to_bytes(8, "little")).digest()).uint64(n)
    return np.argsort(np.argsort(words, kind="stable")) < int(p["subsample"] * n)


def reference(tables, leasts, y, p):
    scores = np.full(len(y), np.log(y.mean() / (1 - y.mean())))
    trees = []
    for t in range(p["n_estimators"]):
        local = p["first_tree_local"] and t == 0
        splits, leaves, where = grow(
            tables[:1] if local else tables, leasts[:1] if local else leasts, y, scores, sample_of(len(y), t, p), p
        )
        scores = scores + np.array([leaves[n] for n in where])
        trees.append((splits, leaves))
    return trees, scores


CASES = {
    "plain": {},
    "deeper, thinner, three trees": {"max_depth": 4, "min_samples_leaf": 3, "min_bucket_rows": 2, "n_estimators": 3},
    "missing values": {"missing": 0.15, "min_samples_leaf": 5},
    "few missing values": {"missing": 0.03, "min_bucket_rows": 9},
    "subsample": {"subsample": 0.6, "random_state": 7, "n_estimators": 3},
    "first tree local": {"first_tree_local": True},
    "two hosts, few values, many ties": {"hosts": 2, "values": 3, "min_bucket_rows": 3},
    "penalty and weights": {"reg_lambda": 2.5, "min_child_weight": 4.0, "learning_rate": 1.0},
    "buckets of 40 rows": {"min_bucket_rows": 40, "max_bins": 8, "share_gain": True},
    "nothing to gain": {"min_gain": 1e9},
}


@pytest.mark.parametrize("case", CASES)
def test_equals_the_reference(case, parties, toy):
    given = dict(CASES[case])
    hosts, missing, values = given.pop("hosts", 1), given.pop("missing", 0.0), given.pop("values", 0)
    p = {
        **{"n_estimators": 2, "max_depth": 3, "learning_rate": 0.4, "max_bins": 16, "reg_lambda": 0.0},
        **{"min_child_weight": 1e-3, "min_samples_leaf": 8, "min_bucket_rows": 5, "min_gain": 1e-6},
        **{"subsample": 1.0, "first_tree_local": False, "random_state": 0, "share_gain": False, **given},
    }
    tables, y = toy(220, [2, 3, 2][: hosts + 1], missing=missing, values=values, seed=len(case))
    made = parties(hosts, **p).fit(tables, y)
    leasts = [1] + [p["min_bucket_rows"]] * hosts
    trees, scores = reference(tables, leasts, y, p)
    guest = made.guest._half
    used = set()
    for t, (splits, leaves) in enumerate(trees):
        assert set(np.flatnonzero(guest.party[t] >= 0).tolist()) == set(splits)
        for n, (party, f, edge, missing_left, gain) in splits.items():
            half = made.all[party]._half
            used.add(party)
            assert guest.party[t, n] == party
            assert half.feature[t, n] == f
            assert half.missing_left[t, n] == missing_left
            assert half.threshold[t, n] == (edge if edge < math.inf else np.finfo(float).max)
            assert guest.gain[t, n] == pytest.approx(gain, rel=1e-9)
            assert half.gain[t, n] == (guest.gain[t, n] if p["share_gain"] or party == 0 else 0.0)
            for other in made.hosts:
                assert (other._half.feature[t, n] >= 0) == (other._half is half)
        for n, value in leaves.items():
            assert guest.value[t, n] == pytest.approx(value, rel=1e-12, abs=1e-300)
    if case not in ("nothing to gain", "first tree local"):
        assert used == set(range(hosts + 1))
    assert np.allclose(made.decision_function(tables), scores, rtol=1e-12, atol=1e-12)


def test_as_good_as_scikit_learn_on_the_pooled_columns(parties):
    customers = load(rows=2000)
    x, y = customers.x.astype(float), customers.y
    train = np.arange(len(y)) < 1000
    p = {"n_estimators": 3, "max_depth": 3, "learning_rate": 0.4, "min_bucket_rows": 1, **NO_PENALTY}
    made = parties(1, **p).fit([x[train, :5], x[train, 5:]], y[train])
    mine = made.decision_function([x[~train, :5], x[~train, 5:]])
    plain = HistGradientBoostingClassifier(
        max_iter=3, max_depth=3, learning_rate=0.4, max_bins=32, early_stopping=False
    ).fit(x[train], y[train])
    theirs = plain.decision_function(x[~train])
    assert abs(roc_auc_score(y[~train], mine) - roc_auc_score(y[~train], theirs)) <= 0.003
    assert np.corrcoef(mine, theirs)[0, 1] > 0.99
