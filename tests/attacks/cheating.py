"""A guest that sends a table of its choice in place of the points of the host's bins."""

from __future__ import annotations

import numpy as np

from bluetusk.vertical import local_links
from bluetusk.vertical.logistic import ring
from bluetusk.vertical.logistic.columns import Bins, PlainColumns
from bluetusk.vertical.logistic.half import Half, Points
from bluetusk.vertical.logistic.score import scored, shared

from ..vertical.conftest import Both


class Cheat:
    """A guest's half that adds nothing itself; `weights` makes its messages, given its key."""

    guest = True

    def __init__(self, half, weights):
        self.half, self.weights, self.own, self.theirs = half, weights, half.own, half.theirs

    def columns(self, table, pub):
        return PlainColumns(np.zeros((len(table), len(self.own)), np.int64), pub, guest=True)

    def peer(self, priv):
        inner = self.half.peer(priv)
        inner.weights = lambda share, factor: self.weights(priv)
        return inner


def opened(keys, codes, n_bins, weights, *, rng, exact=False):
    """Return what opens at the cheat, of a row each, where an honest host has these codes.

    `keys` are both parties' private keys, the guest's first.
    """
    rows, columns = codes.shape
    bins, one = Bins((n_bins,) * columns), ring.words([5])
    shares = ring.words(rng.integers(0, 1 << 60, columns).tolist())
    guest = Half("guest", one, shares, None, 1.0, True, bins, rng.integers(-1000, 1000, bins.entries))
    host = Half("host", shares, one, None, 1.0, False, bins)
    links = local_links(seconds=60)

    def half(k, mine, table, points):
        share = scored(links[k], keys[k], keys[1 - k].public_key, mine, table, points, exact=exact)
        return shared(links[k], share, k == 0, exact=exact)

    return Both()(
        lambda: half(0, Cheat(guest, weights), np.zeros((rows, 1)), Points(1, 0.0)),
        lambda: half(1, host, codes, None),
    )[0]
