"""A guest who knows what each bin of the host is worth reads from scores in which bins a customer is.

An honest guest looks for the bins that fit a score best; exact scores of few columns have one answer. A guest that
does not follow the protocol sends another table, in which each column has its own digits of the score.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom

import bluetusk as bt
from bluetusk.paillier.masked import fresh
from bluetusk.vertical import LogisticRegression, WoEBinning, local_links
from bluetusk.vertical.logistic import products, ring
from bluetusk.vertical.logistic.columns import FACTOR_BITS

from ..vertical.conftest import Both, new_ids
from .cheating import opened

COLUMNS, BINS, ROWS = 5, 4, 150
NEVER = 1e-6  # how often a test of chance may fail


class Given(WoEBinning):
    """One party's half of a binning whose bins are given; the host's table holds codes."""

    def __init__(self, counts, values=None):
        super().__init__("host" if values is None else "guest")
        self.label_digest_ = b""
        self.columns_ = [f"h{j}" for j in range(len(counts))]
        self.bins_ = [
            SimpleNamespace(name=n, rows=c, n_bins=len(c)) for n, c in zip(self.columns_, counts, strict=True)
        ]
        self.hosts_, self.counts, self.values = [None], counts, values

    def codes(self, X, columns=None):
        return np.asarray(X, np.int64)

    def peer_counts(self):
        return self.counts

    def peer_values(self):
        return self.values


@pytest.fixture(scope="module")
def case():
    """Both halves of a model, trained with points, and new customers in the host's bins."""
    return made([()])


def made(reveals=((), ("scores",))):
    rng = np.random.default_rng(0)
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    codes = rng.choice(BINS, (ROWS + 200, COLUMNS), p=weights)
    values = [np.sort(rng.normal(size=BINS)) for _ in range(COLUMNS)]
    x = rng.normal(size=(len(codes), 1))
    risk = sum(v[c] for v, c in zip(values, codes.T, strict=True)) + x[:, 0]
    y = (risk + rng.normal(size=len(codes)) > np.median(risk)).astype(int)
    counts = [np.bincount(c[ROWS:], minlength=BINS) for c in codes.T]
    found = {}
    for reveal in reveals:
        more = {"key_size": 2048, "reveal": reveal}
        guest = LogisticRegression("guest", epochs=3, calibrate=False, tol=0.0, random_state=bytes(32), **more)
        host, links = LogisticRegression("host", **more), local_links(seconds=60)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bt.DataWarning)
            Both()(
                functools.partial(guest.fit, x[ROWS:], y[ROWS:], link=links[0], binning=Given(counts, values)),
                functools.partial(host.fit, codes[ROWS:], link=links[1], binning=Given(counts)),
            )
        found[reveal] = guest, host
    return SimpleNamespace(x=x[:ROWS], codes=codes[:ROWS], shares=[c / c.sum() for c in counts], models=found)


def asked(case, reveal=(), rows=slice(None), ids=None):
    """The guest's scores of rows: in points, or exact."""
    guest, host = case.models[reveal]
    links = local_links(seconds=60)

    def theirs():
        codes = case.codes[rows]
        try:
            return host.decision_function(codes, link=links[1], ids=new_ids(len(codes)) if ids is None else ids)
        except bt.PolicyRefused:
            return None

    return Both()(lambda: guest.decision_function(case.x[rows], link=links[0]), theirs)[0]


def candidates(case, reveal):
    """All bins that a customer may be in: its prior, and what the host's columns then add to the score.

    The attacker is given even the weights, which stay shared.
    """
    guest, host = (model.half_ for model in case.models[reveal])
    words = [
        ring.centred(ring.words((a + b).tolist())) for a, b in ((guest.own, host.theirs), (host.own, guest.theirs))
    ]
    own = guest.rows(case.x).astype(float) @ np.array(words[0], float) / 2.0**32
    worth = guest.worth.reshape(COLUMNS, BINS + 1)[:, :BINS] * np.array(words[1], float)[:, None] / 2.0**32
    bins = np.array(list(itertools.product(range(BINS), repeat=COLUMNS)))
    prior = np.prod([share[b] for share, b in zip(case.shares, bins.T, strict=True)], axis=0)
    return own, bins, prior, sum(w[b] for w, b in zip(worth, bins.T, strict=True))


def told(case, scores, reveal, likelihood):
    """Return the share of bins that the attacker names right: of each column the likeliest, given the score."""
    own, bins, prior, added = candidates(case, reveal)
    right = 0
    for score, mine, codes in zip(scores, own, case.codes, strict=True):
        p = prior * likelihood(score - mine - added) + 1e-12 * prior
        best = [np.argmax(np.bincount(b, p, BINS)) for b in bins.T]
        right += (np.array(best) == codes).sum()
    return right / case.codes.size


def by_points(unit):
    return lambda away: np.maximum(0.0, 1.0 - np.abs(away) * unit)


def guessed(case):
    return np.mean([(codes == share.argmax()).mean() for codes, share in zip(case.codes.T, case.shares, strict=True)])


def bound(case):
    return (np.log(1 / NEVER) / (2 * len(case.codes))) ** 0.5  # Hoeffding; the bins of a row are read from one score


def in_the_clear(case):
    """What a guest tells from points that are rounded in the clear."""
    own, bins, _, added = candidates(case, ())
    unit = case.models[()][0].points_per_unit_
    at = (case.codes * BINS ** np.arange(COLUMNS)[::-1]).sum(axis=1)
    assert (bins[at] == case.codes).all()
    rounded = np.rint((own + added[at]) * unit) / unit
    return told(case, rounded, (), lambda away: np.abs(away) * unit <= 0.5)


@pytest.mark.nightly
def test_exact_scores_tell_every_bin():
    """The attack wins where both policies grant exact scores."""
    case = made([("scores",)])
    near = 2.0**-16
    right = told(case, asked(case, ("scores",)), ("scores",), lambda away: np.exp(-((away / near) ** 2)))
    assert right > 0.97  # some two of the 1024 ways give the same score


def test_points_tell_no_more_than_points_in_the_clear(case):
    unit = case.models[()][0].points_per_unit_
    right = told(case, asked(case), (), by_points(unit))
    assert right <= in_the_clear(case) + bound(case)
    assert right < 0.8  # with the weights in hand; what points say of five columns is in the documents


# --- a table of the guest's choice ---

WIDE, EIGHT = 18, 8


def cheated(keypair, keypair2, exact):
    """Return, of each column, how often the guest reads the bin right from what is opened.

    Its table has three bits of the score for each column.
    """
    rng = np.random.default_rng(3)
    codes = rng.integers(0, EIGHT, (60, WIDE))
    low = 12 if exact else 38  # the digits that are cut off before a score is opened

    def weights(priv):
        digits = [b % EIGHT << (low + 3 * c) for c in range(WIDE) for b in range(EIGHT + 1)]
        nothing = fresh(priv, [0] * len(digits), products.ENTRY_BITS + FACTOR_BITS)
        return [products.encrypted(priv, ring.words(digits)), nothing]

    seen = opened((keypair[1], keypair2[1]), codes, EIGHT, weights, rng=rng, exact=exact)
    return [((seen >> 3 * c) % EIGHT == codes[:, c]).mean() for c in range(WIDE)]


def test_a_table_of_digits_shows_all_bins_in_exact_scores(keypair, keypair2):
    """The attack wins on the planted weakness: one word of 64 bits holds all 18 bins."""
    assert cheated(keypair, keypair2, True) == [1.0] * WIDE


def test_a_table_of_digits_shows_ten_bits_of_points(keypair, keypair2):
    right = cheated(keypair, keypair2, False)
    assert right[:3] == [1.0] * 3  # nine bits: what points bound, whatever is sent
    assert right[3] <= binom.isf(NEVER, 60, 1 / 4) / 60  # the tenth bit halves the fourth column twice at most
    others = WIDE - 4
    assert max(right[4:]) <= binom.isf(NEVER / others, 60, 1 / 8) / 60
    assert abs(np.mean(right[4:]) - 1 / 8) < 5 * (7 / 64 / 60 / others) ** 0.5


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness.

    The bound is not one of chance: points tell what they tell in the clear, and no more.
    """
    case = made()
    near = 2.0**-16
    exact = told(case, asked(case, ("scores",)), ("scores",), lambda away: np.exp(-((away / near) ** 2)))
    points = told(case, asked(case), (), by_points(case.models[()][0].points_per_unit_))
    name = f"bins from points, {COLUMNS} columns, weights known; at most: from points in the clear"
    chance = guessed(case)
    return [(name, "guest", points, chance, in_the_clear(case) + bound(case) - chance, exact)]
