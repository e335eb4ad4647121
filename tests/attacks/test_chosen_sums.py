"""Whoever chooses rows and is shown exact sums of their labels computes all labels from few sums of many rows each.

Two ways that are known: groups after Lindström ("On a combinatory detection problem", 1965), of which 2^k - 1 sums fix
k 2^(k - 1) labels whatever they are, 255 of them 1 024; and where events are rare, groups drawn by chance and linear
programming, which finds all events from 5 % as many sums as rows. Each group passes the least sizes of a policy. That
is why a host is shown no sum by default, and why what is shown is counted and capped. With the noise that
``reveal=("woe",)`` adds the first attack reads fewer labels, but more than guessing: noise does not replace the cap.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

from bluetusk.evidence.policy import EXAMPLE
from bluetusk.vertical.binning.noised import noised

LEVELS = 8
SUMS, LABELS = (1 << LEVELS) - 1, LEVELS << (LEVELS - 1)
LEAST_ROWS, LEAST = 50, 5  # of a group: the policy's defaults, rows and then events and others
RATE, SHARE = 0.006, 0.05  # of events among rows, of sums by rows
SIGMA = 10
NEVER = 1e-6  # how often a test of chance may fail
PAGES = ("explanation/reveals.md", "how-to/evidence.md")


def noisy(groups, sums):
    """Return the sums with the noise of weights that are revealed, each sum that of a bin of a column."""
    rows = groups.sum(axis=1)
    columns = [(np.array([k]), np.array([s])) for k, s in zip(rows, sums, strict=True)]
    return np.concatenate(noised(columns, SIGMA, bytes(32)))


def passed(groups, labels):
    """Whether a policy's least sizes allow the sums of these groups."""
    rows, events = groups.sum(axis=1), groups @ labels
    return min(rows) >= LEAST_ROWS and min(events) >= LEAST and min(rows - events) >= LEAST


# --- 255 sums, 1 024 labels ---


def odd(number):
    return number.bit_count() % 2 == 1


def parts(whole):
    """All parts of a set that is given as the bits of a number, without the empty one."""
    part = whole
    while part:
        yield part
        part = part - 1 & whole


@functools.cache
def lindstrom():
    """The groups, one a set of levels, and the pairs (set, digit) that their columns stand for.

    For a pair (A, i), 2^i of the parts of A with an odd number of levels are chosen; its label is in group B if the
    levels common to A and B are one of these. Taken over the parts B of a set C with alternating signs, the label
    counts 2^i in all if A is C, and 0 if C has a level that A has not.
    """
    pairs = [(a, i) for a in range(1, SUMS + 1) for i in range(a.bit_count())]
    groups = np.zeros((SUMS, len(pairs)), np.int64)
    for column, (a, i) in enumerate(pairs):
        chosen = [part for part in parts(a) if odd(part)][: 1 << i]
        groups[:, column] = np.isin(np.arange(1, SUMS + 1) & a, chosen)
    return groups, pairs


def read(sums):
    """Compute the labels from the sums, from the largest set to the smallest; digits of a number are labels."""
    groups, pairs = lindstrom()
    left, found = np.array(sums), np.zeros(len(pairs), np.int64)
    for whole in sorted(range(1, SUMS + 1), key=int.bit_count, reverse=True):
        number = sum(int(left[part - 1]) * (1 if odd(part) else -1) for part in parts(whole))
        for column in (k for k, (a, _) in enumerate(pairs) if a == whole):
            found[column] = number >> pairs[column][1] & 1
        left = sums - groups @ found
    return found


def estimated(sums):
    """Round the best linear estimate of labels, half of which are 1, from sums with noise."""
    groups, _ = lindstrom()
    away = sums - groups.sum(axis=1) / 2
    spread = groups @ groups.T / 4 + SIGMA**2 * np.eye(SUMS)
    return (groups.T @ np.linalg.solve(spread, away) > 0).astype(np.int64)


def drawn(seed):
    return np.random.default_rng(seed).integers(0, 2, LABELS)


def test_255_sums_fix_1024_labels():
    """The attack wins on exact sums of chosen groups, whatever the labels are and though each group is large."""
    groups, _ = lindstrom()
    assert groups.shape == (SUMS, LABELS) == (255, 1024)
    for seed in range(3):
        labels = drawn(seed)
        assert passed(groups, labels)
        assert (read(groups @ labels) == labels).all()


def test_noise_leaves_some_of_them():
    """What noise hides, and what not: so `max_sums` binds these sums too."""
    groups, _ = lindstrom()
    right = np.mean([(estimated(noisy(groups, groups @ y)) == y).mean() for y in map(drawn, range(5))])
    chance = (np.log(1 / NEVER) / (2 * 5 * LABELS)) ** 0.5
    assert 0.5 + chance < right < 0.75


# --- rare events ---


def rare(rows, seed):
    """The labels and as many groups as allowed: of all rows, and each of half of them, drawn by chance."""
    rng = np.random.default_rng(seed)
    labels = (rng.permutation(rows) < round(RATE * rows)).astype(np.int64)
    groups = [np.ones(rows, np.int64)]
    while len(groups) < round(SHARE * rows):
        group = rng.integers(0, 2, rows)
        if group @ labels >= LEAST:
            groups.append(group)
    return labels, np.array(groups)


def named(groups, sums, noise=False):
    """The rows that linear programming names: as many as there are events, the likeliest first."""
    rows, each = groups.shape[1], np.eye(len(sums))
    away = np.hstack([each, -each]) if noise else each[:, :0]  # how far a sum may be from the labels' own
    cost = np.concatenate([np.zeros(rows), np.ones(away.shape[1])])
    bounds = [(0, 1)] * rows + [(0, None)] * away.shape[1]
    solved = linprog(cost, A_eq=np.hstack([groups, away]), b_eq=sums, bounds=bounds)
    return np.argsort(-solved.x[:rows], kind="stable")[: int(sums[0])]


def hits(rows, seed, noise=False):
    """Return which share of the rows that the attacker names are events, and whether it names all of them."""
    labels, groups = rare(rows, seed)
    assert passed(groups, labels)
    sums = groups @ labels
    if noise:
        sums[1:] = noisy(groups[1:], sums[1:])  # the number of all events may be known
    found = labels[named(groups, sums, noise)]
    return found.mean(), found.sum() == labels.sum()


@pytest.mark.parametrize("rows", [2000, pytest.param(6000, marks=pytest.mark.nightly)])
def test_5_percent_of_sums_find_all_rare_events(rows):
    """The attack wins on exact sums, each over 5 events and more."""
    for seed in range(3):
        assert hits(rows, seed) == (1.0, True)


def test_noise_hides_rare_events():
    found = np.mean([hits(2000, seed, noise=True)[0] for seed in range(3)])
    assert found < 0.2  # of 36 that it names in all; guessing gives 0.006


# --- what the documents say ---


def test_documents_say_these_figures():
    folder = Path(__file__).resolve().parents[2] / "docs"
    pages = [(folder / page).read_text("utf-8") for page in PAGES] + [EXAMPLE.replace("#", " ")]
    for text in (" ".join(page.split()) for page in pages):
        assert f"{SUMS} chosen exact sums fix {LABELS:,} labels".replace(",", " ") in text
        assert f"{100 * RATE:.1g} %" in text
        assert f"from {100 * SHARE:.0f} % as many sums as rows" in text


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness.

    The accuracy is that where ``reveal=("woe",)`` shows sums with noise; a host is shown none without it.
    """
    groups, _ = lindstrom()
    labels = drawn(0)
    sums = groups @ labels
    noised_, exact = (estimated(noisy(groups, sums)) == labels).mean(), (read(sums) == labels).mean()
    few, found = (hits(2000, 0, noise=noise)[0] for noise in (True, False))
    many = f"{LABELS:,} labels from {SUMS} chosen sums with the noise of reveal; planted: exact"
    rest = f"events at a rate of {100 * RATE:.1g} % from {100 * SHARE:.0f} % as many sums as rows, likewise"
    return [(many, "host", noised_, 0.5, None, exact), (rest, "host", few, RATE, None, found)]
