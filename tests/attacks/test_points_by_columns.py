"""A guest that knows the weights guesses a customer's bins from points: few of many columns, nearly all of few columns.

It follows the protocol and computes, from points that are rounded on shares, what each bin of the host adds to a score
and how frequent it is, which bins are the likeliest. That is what the documents say of points, on the table of
``bluetusk demo credit``: with the network's 18 columns and one model little beyond guessing; with its first five
columns and many models nearly everything, so models are counted and capped.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from bluetusk.demo.credit import BANK
from bluetusk.demo.data import load
from bluetusk.evidence.policy import EXAMPLE
from bluetusk.vertical import WoEBinning
from bluetusk.vertical.logistic import ring
from bluetusk.vertical.logistic.half import COEF_BITS, POINTS, ROW_BITS, Points, point_share

CUSTOMERS, FEW, MODELS = 2000, 5, 16  # whose bins are guessed; columns; models
SLOPE = 0.25  # of the linear probability by the score; any gives the same points
GRID = 8  # of the attacker's arithmetic, parts of a point
SIZE = GRID << POINTS
FOUND = {"guessing 18": 0.29, "18": 0.32, "18, together": 0.40, "guessing 5": 0.54, "5": 0.67, "5, models": 0.96}
NEAR = 0.011  # how far a figure may be from that in the documents
PAGES = ("explanation/reveals.md", "how-to/logistic.md")


@functools.cache
def credit():
    """The customers: the bank's columns, the network's bins and their weights of evidence, and labels."""
    customers = load()
    x, y, bank = customers.x.astype(float), customers.y, len(BANK)
    binning = WoEBinning("guest").fit(x[:, bank:], y)
    order = np.random.default_rng(0).permutation(len(y))
    return SimpleNamespace(
        own=np.column_stack([WoEBinning("guest").fit(x[:, :bank], y).transform(x[:, :bank]), np.ones(len(y))]),
        codes=binning.codes(x[:, bank:]),
        woe=[column.woe for column in binning.bins_],
        y=y,
        asked=order[:CUSTOMERS],
        others=order[CUSTOMERS:],
    )


def model(case, columns, rows):
    """Train on some customers; return what each bin adds to the score, and the guest's own part of all scores."""
    matrix = np.column_stack([*(case.woe[j][case.codes[:, j]] for j in columns), case.own])
    part = matrix[rows]
    weights = np.linalg.solve(part.T @ part, part.T @ ((case.y[rows] - 0.5) / SLOPE))
    return [w * case.woe[j] for w, j in zip(weights, columns, strict=False)], case.own @ weights[len(columns) :]


def opened(case, added, mine, scale, rng):
    """Return the points of the asked customers, as two parties' shares open them, less the guest's own part."""
    scores = mine[case.asked] + sum(a[case.codes[case.asked, j]] for j, a in added.items())
    words = (np.rint(scores * 2.0 ** (ROW_BITS + COEF_BITS)).astype(np.int64) * scale.factor).tolist()
    masks = [int.from_bytes(rng.bytes(ring.WORD_BYTES), "little") for _ in words]
    shares = ring.words(masks), ring.words(w - m for w, m in zip(words, masks, strict=True))
    points = sum(point_share(s, leader, scale.offset) for s, leader in zip(shares, (True, False), strict=True))
    return points % (1 << POINTS) - (mine[case.asked] * scale.unit + scale.offset)


def priors(case, columns):
    """How frequent each bin is, which the guest knows."""
    codes = case.codes[case.others]
    return [np.bincount(codes[:, j], minlength=len(case.woe[j])) / len(codes) for j in columns]


def kernel(away):
    """How likely points are that are so far from the score: they are rounded up or down at random."""
    return np.maximum(1 - np.abs(away), 0.0)


def right(case, columns, likely):
    """Return the share of bins that are guessed right; `likely` has an array of customers and bins for each column."""
    return np.mean(
        [(p.argmax(axis=1) == case.codes[case.asked, j]).mean() for j, p in zip(columns, likely, strict=True)]
    )


def guessed(case, columns):
    return right(case, columns, [np.tile(p, (CUSTOMERS, 1)) for p in priors(case, columns)])


def by_frequency(case, columns, added, points):
    """For each column the posterior of its bins, all others being drawn by their frequencies: by convolutions."""
    shifts = [np.rint(a * GRID).astype(int) for a in added]
    at, known = np.rint(points * GRID).astype(int), priors(case, columns)
    spectra = []
    for shift, p in zip(shifts, known, strict=True):
        each = np.zeros(SIZE)
        np.add.at(each, shift % SIZE, p)
        spectra.append(np.fft.rfft(each))
    rounding = np.fft.rfft(kernel(((np.arange(SIZE) + SIZE // 2) % SIZE - SIZE // 2) / GRID))
    for k, (shift, p) in enumerate(zip(shifts, known, strict=True)):
        rest = np.fft.irfft(np.prod(spectra[:k] + spectra[k + 1 :], axis=0) * rounding, SIZE)
        yield rest[(at[:, None] - shift) % SIZE].clip(1e-15) * p


def by_others(case, columns, added, points, sample=4000):
    """The same from a table of other customers, which tells which bins occur together."""
    codes = case.codes[case.others[:sample]]
    scores = sum(a[codes[:, j]] for a, j in zip(added, columns, strict=True))
    sizes = [len(case.woe[j]) for j in columns]
    marks = np.hstack([np.eye(size)[codes[:, j]] for j, size in zip(columns, sizes, strict=True)])
    found = (kernel(points[:, None] - scores) + 1e-9) @ marks
    return np.split(found, np.cumsum(sizes)[:-1], axis=1)


def by_trying(case, columns, models):
    """The posterior from points of several models: all combinations of the bins of few columns are tried."""
    known = priors(case, columns)
    bins = np.array(list(itertools.product(*(range(len(p)) for p in known))))
    weights = np.tile(np.prod([p[b] for p, b in zip(known, bins.T, strict=True)], axis=0) + 1e-15, (CUSTOMERS, 1))
    for added, points in models:
        scores = sum(a[b] for a, b in zip(added, bins.T, strict=True))
        weights *= kernel(points[:, None] - scores) + 1e-12
    return [weights @ np.eye(len(p))[b] for p, b in zip(known, bins.T, strict=True)]


@functools.cache
def figures():
    """Play all attacks; return what the attacker gets right."""
    case, rng = credit(), np.random.default_rng(1)
    scale = Points.of(case.y.mean(), SLOPE, intercept=True)

    def learned(columns, rows):
        added, mine = model(case, columns, rows)
        points = opened(case, dict(zip(columns, added, strict=True)), mine, scale, rng)
        return [a * scale.unit for a in added], points

    wide, few = tuple(range(len(case.woe))), tuple(range(FEW))
    one = learned(wide, case.others)
    many = [learned(few, rows) for rows in np.array_split(case.others, MODELS)]  # each trained on customers of its own
    return {
        "guessing 18": guessed(case, wide),
        "18": right(case, wide, list(by_frequency(case, wide, *one))),
        "18, together": right(case, wide, by_others(case, wide, *one)),
        "guessing 5": guessed(case, few),
        "5": right(case, few, by_trying(case, few, [learned(few, case.others)])),
        "5, models": right(case, few, by_trying(case, few, many)),
    }


def test_points_tell_what_the_documents_say():
    assert len(credit().woe) == 18
    found = figures()
    assert {name: abs(found[name] - said) < NEAR for name, said in FOUND.items()} == dict.fromkeys(FOUND, True), found


def test_documents_say_these_figures():
    folder = Path(__file__).resolve().parents[2] / "docs"
    pages = [(folder / page).read_text("utf-8") for page in PAGES] + [EXAMPLE.replace("#", " ")]
    for text in (" ".join(page.split()) for page in pages):
        for figure in FOUND.values():
            assert f"{100 * figure:.0f} %" in text


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy with other protections lifted."""
    found = figures()
    return [
        ("bins from points, 18 columns, weights known", "guest", found["18"], found["guessing 18"], None, None),
        (
            f"bins from points, {FEW} columns, weights known; planted: {MODELS} models",
            "guest",
            found["5"],
            found["guessing 5"],
            None,
            found["5, models"],
        ),
    ]
