"""Buckets, and the rule for which sums may be opened, against counts of the rows themselves."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bluetusk.vertical.boosting.arrays import described, joined, parted
from bluetusk.vertical.boosting.buckets import Allowed, Buckets, counted, most_splits, offered


@given(
    st.integers(2, 12),
    arrays(
        np.float64, (30, 2), elements=st.one_of(st.floats(-5, 5), st.sampled_from([0.0, 1.0, np.nan, 1e308, -1e308]))
    ),
)
@settings(max_examples=60)
def test_codes_follow_the_thresholds(most, table):
    buckets = Buckets.of(table, most)
    codes = buckets.codes(table)
    assert buckets.count <= most
    for f in range(2):
        column = table[:, f]
        assert ((codes[:, f] == buckets.count) == np.isnan(column)).all()
        assert (np.diff(buckets.edges[f]) > 0).all()
        for cut in range(buckets.count):
            here = ~np.isnan(column)
            assert ((column[here] <= buckets.threshold(f, cut)) == (codes[here, f] <= cut)).all()
        distinct = np.unique(column[~np.isnan(column)])
        if 1 < len(distinct) <= most:
            assert len(np.unique(codes[~np.isnan(column), f])) == len(distinct)


counts = arrays(np.int64, (2, 2, 7), elements=st.sampled_from([0, 0, 1, 2, 3, 5, 9, 30]))


@given(counts, st.integers(1, 9), st.integers(1, 12), st.data())
@settings(max_examples=150)
def test_no_sum_that_follows_covers_fewer_rows(table, least, leaf, data):
    """Whatever is subtracted, between a node, its sibling and their parent, no feature shows a thin bucket."""
    above, _ = offered(table.sum(axis=0, keepdims=True), Allowed.everything(2, 6), least=least, leaf=1)
    rule, found = offered(table, above, least=least, leaf=leaf)
    assert not (rule.cuts & ~above.cuts).any()
    assert not (rule.apart & ~above.apart).any()
    for f in range(2):
        for cuts, member in zip(found, table[:, f], strict=True):
            mine = [k for k in range(len(cuts)) if cuts.feature[k] == f]
            assert len(mine) <= most_splits(1, 6, int(member.sum()))
            lefts = [
                frozenset(np.flatnonzero(member[:6])[np.flatnonzero(member[:6]) <= cuts.cut[k]].tolist())
                | ({6} if cuts.missing_left[k] and member[6] else set())
                for k in mine
            ]
            assert len(set(lefts)) == len(lefts)  # nothing is offered twice
            for left in lefts:
                size = int(member[list(left)].sum())
                assert leaf <= size <= member.sum() - leaf
        # the cells that all cuts of the pair and of the parent leave together, in either sibling
        opened = {(int(c.cut[k]), bool(c.missing_left[k])) for c in found for k in range(len(c)) if c.feature[k] == f}
        ends = sorted({cut for cut, _ in opened})
        apart = bool(rule.apart[f])
        assert all(rule.cuts[f, cut] or cut == 5 for cut in ends)
        for member in table[:, f]:
            cells = [
                int(member[a:b].sum())
                for a, b in zip([0, *[e + 1 for e in ends]], [*[e + 1 for e in ends], 6], strict=True)
            ]
            if apart:
                cells.append(int(member[6]))
            else:
                cells[-1] += int(member[6])
            if ends:
                assert all(cell == 0 or cell >= least for cell in cells)


@given(st.lists(arrays(np.int32, st.tuples(st.integers(0, 3), st.integers(0, 3))), max_size=3))
@settings(max_examples=30)
def test_arrays_come_back(given_arrays):
    named = {f"a{k}": a for k, a in enumerate(given_arrays)}
    back = parted(described(named), joined(named), dict.fromkeys(named, "<i4"))
    assert all(np.array_equal(back[k], a) and back[k].shape == a.shape for k, a in named.items())


@given(
    arrays(np.float64, (24, 2), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.nan])),
    arrays(np.bool_, 24),
    st.integers(1, 6),
    st.integers(1, 3),
)
@settings(max_examples=150)
def test_no_node_is_offered_more_splits_than_are_charged(table, side, least, leaf):
    """Whatever rows a sample and a node leave of the table."""
    buckets = Buckets.of(table, 4)
    codes, width = buckets.codes(table), buckets.count + 1
    nodes = [counted(codes[rows], width) for rows in (np.ones(24, bool), side, ~side)]
    rule, found = offered(nodes[0][None], Allowed.everything(2, buckets.count), least=least, leaf=leaf)
    found += offered(np.stack(nodes[1:]), rule, least=least, leaf=leaf)[1]
    found += offered(nodes[1][None], Allowed.everything(2, buckets.count), least=least, leaf=leaf)[1]  # of a sample
    assert max(map(len, found)) <= buckets.splits(table, least)


def test_as_many_splits_as_are_charged_can_be_offered():
    table = np.repeat([[0.0, 0.0], [1.0, 1.0], [2.0, np.nan], [3.0, np.nan]], 5, axis=0)
    buckets = Buckets.of(table, 4)
    counts = counted(buckets.codes(table), buckets.count + 1)
    _, (cuts,) = offered(counts[None], Allowed.everything(2, buckets.count), least=5, leaf=1)
    assert len(cuts) == buckets.splits(table, 5) == 6
