"""A host whose columns mark one row each reads the labels from what a training leaves with it.

After one epoch the coefficient of a column that is 1 in one row only has the sign of that row's label. The host gets it
if coefficients are opened. Otherwise it looks at everything else that it has: its shares, what it decrypts, and every
frame that it received, and takes the predictor that fits best on half of the rows, whose labels it may know.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier import masked
from bluetusk.vertical import LogisticRegression, Observer, local_links
from bluetusk.vertical.logistic import products
from bluetusk.wire.frame import Kind, decode

from ..vertical.conftest import Both

ROWS = 200


class Frames(Observer):
    """Keeps what the host receives."""

    def __init__(self):
        self.parts = []

    def authorise(self, *, peer, purpose, columns, rows, **details):
        pass

    def passed(self, *, peer, task, sent, frame):
        if not sent:
            self.parts.append(bytes(decode(frame, Kind.VERTICAL).payload))


def trained(y, reveal=()):
    """One epoch; return the host's half, the frames that it received, and what it decrypted."""
    seen, opened, inner = Frames(), [], masked.unmask
    links = local_links(observers=(None, seen), seconds=60)
    options = {"key_size": 2048, "reveal": reveal}
    guest = LogisticRegression("guest", epochs=1, tol=0.0, calibrate=False, **options)
    host = LogisticRegression("host", **options)

    def unmask(priv, message, count, **more):
        values = inner(priv, message, count, **more)
        opened.append((priv.public_key.to_bytes(), [v / int(priv.public_key.n) for v in values]))
        return values

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", bt.DataWarning)
        patch.setattr(products, "unmask", unmask)
        Both()(
            lambda: guest.fit(np.random.default_rng(0).normal(size=(ROWS, 1)), y, link=links[0]),
            lambda: host.fit(np.eye(ROWS), link=links[1]),
        )
    theirs = b"".join(seen.parts)
    return host, seen.parts, [values for key, values in opened if key not in theirs]


def labels():
    return np.random.default_rng(1).integers(0, 2, ROWS)


def predictors(host, parts, opened):
    """Yield numbers, one a row, from everything that the host has."""
    for share in (host.half_.own, host.half_.theirs):
        if len(share) == ROWS:
            yield [v / 2.0**96 for v in share.tolist()]
            yield [(v & 0xFFFF) / 2.0**16 for v in share.tolist()]
    for values in opened:
        yield from (values[k : k + ROWS] for k in range(0, max(len(values) - ROWS + 1, 0)))
    for part in parts:
        body = np.frombuffer(part, np.uint8)
        step = len(body) // ROWS
        if step:
            for at in {0, min(1, step - 1), step // 2, max(step - 2, 0), step - 1}:  # of each ciphertext of one a row
                yield body[-step * ROWS :].reshape(ROWS, step)[:, at].astype(float)
        yield body[np.arange(ROWS) % len(body)].astype(float) if len(body) else np.zeros(ROWS)


def guesses(found, y):
    """Return labels by the predictor that fits best on the first half of the rows, for the second half."""
    half, best = ROWS // 2, (0.0, np.zeros(ROWS // 2))
    for values in found:
        values = np.asarray(values, float)
        side = values > np.median(values)
        for turned in (side, ~side):
            right = (turned[:half] == y[:half]).mean()
            if right > best[0]:
                best = right, turned[half:]
    return best[1]


def attack(reveal):
    """Return the share of labels told right, and of how many."""
    y = labels()
    host, parts, opened = trained(y, reveal)
    if "coefficients" in reveal:
        return ((host.coef_ > 0) == y).mean(), ROWS
    assert not hasattr(host, "coef_")
    return (guesses(predictors(host, parts, opened), y) == y[ROWS // 2 :]).mean(), ROWS // 2


BOUND = 5 * (0.25 / (ROWS // 2)) ** 0.5  # exceeded by chance once in 10^6


def test_open_coefficients_tell_every_label():
    """The attack wins where both policies grant coefficients."""
    assert attack(("coefficients",))[0] == 1.0


def test_nothing_else_that_the_host_has_tells_a_label():
    right, _ = attack(())
    assert abs(right - 0.5) < BOUND


def test_a_leak_among_the_frames_is_found():
    """The planted fault: a frame whose bytes lean towards the labels of their rows."""
    y = labels()
    noise = np.random.default_rng(2)
    leak = np.where(noise.random(ROWS) < 0.95, y, 1 - y) * 100 + noise.integers(0, 100, ROWS)
    half = type("Half", (), {"own": np.zeros(0), "theirs": np.zeros(0)})
    host = type("Host", (), {"half_": half})
    found = guesses(predictors(host, [noise.bytes(ROWS * 512), leak.astype(np.uint8).tobytes()], []), y)
    assert (found == y[ROWS // 2 :]).mean() > 0.5 + BOUND / 2


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    return [("one-hot columns, one epoch", "host", attack(())[0], 0.5, BOUND, attack(("coefficients",))[0])]
