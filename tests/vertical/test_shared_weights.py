"""Training on bins whose worth only the guest knows: against plain numpy, and the points that leave a model."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical import LogisticRegression, WoEBinning, local_links
from bluetusk.vertical.book import marks_of
from bluetusk.vertical.findings import useless
from bluetusk.vertical.logistic import job as job_module
from bluetusk.vertical.logistic import ring
from bluetusk.vertical.logistic.curvature import curvature, standardised
from bluetusk.vertical.logistic.findings import at_the_ends
from bluetusk.vertical.logistic.job import LogisticJob
from bluetusk.wire.frame import Kind, decode

from .conftest import new_ids
from .plain_logistic import decorrelated, drawn
from .test_logistic import SEED, Watching, _cheap_keys, both  # noqa: F401  (the fixture is used by its name)

pytestmark = pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")


class Given(WoEBinning):
    """One party's half of a binning whose bins, counts and values are given; the host's table holds codes."""

    def __init__(self, counts, values=None):
        super().__init__("host" if values is None else "guest")
        self.label_digest_ = b""
        self.columns_ = [f"h{j}" for j in range(len(counts))]
        self.bins_ = [
            SimpleNamespace(name=name, rows=rows, n_bins=len(rows))
            for name, rows in zip(self.columns_, counts, strict=True)
        ]
        self.hosts_, self._counts, self._values = [None], counts, values

    def codes(self, X, columns=None):
        return np.asarray(X, np.int64)

    def peer_counts(self):
        return self._counts

    def peer_values(self):
        return self._values


class Case:
    """Rows of both parties; the host's columns have so many bins each."""

    def __init__(self, sizes=(3, 4, 2), n=48, own=2, seed=0, unseen=0.0):
        rng = np.random.default_rng(seed)
        self.xg = np.clip(rng.normal(size=(n, own)), -4, 4)
        lean = self.xg[:, 0]
        columns = [np.clip(((lean + rng.normal(size=n)) / 2 + 0.5) * k, 0, k - 1).astype(int) for k in sizes]
        self.codes = np.column_stack(columns)
        for j, k in enumerate(sizes):
            self.codes[:k, j] = np.arange(k)  # no bin is empty
        self.counts = [np.bincount(column, minlength=k) for column, k in zip(self.codes.T, sizes, strict=True)]
        self.values = [np.sort(rng.normal(size=k)) for k in sizes]
        self.codes = np.where(rng.random(self.codes.shape) < unseen, -1, self.codes)
        joint = lean + sum(np.append(v, 0)[c] for v, c in zip(self.values, self.codes.T, strict=True))
        self.y = (joint + rng.normal(size=n) > np.median(joint)).astype(int)

    @property
    def halves(self):
        return Given(self.counts, self.values), Given(self.counts)

    def fit(self, guest, host, links=None, **more):
        ours, theirs = self.halves
        both(
            lambda link: guest.fit(self.xg, self.y, link=link, binning=ours, **more),
            lambda link: host.fit(
                self.codes, link=link, ids=range(len(self.codes)), binning=theirs, columns=theirs.columns_, **more
            ),
            links,
        )
        return guest, host


def models(**options):
    options = {"calibrate": False, "tol": 0.0, "random_state": SEED, "key_size": 2048, "l2": 0.01} | options
    host = LogisticRegression("host", key_size=options["key_size"], reveal=options.get("reveal", ()))
    return LogisticRegression("guest", **options), host


def largest_curvature(codes, counts):
    """The largest singular value of normed indicators, turned by hand into the complement of each column's mean."""
    parts = []
    for column, rows in zip(codes.T, counts, strict=True):
        share = rows / rows.sum()
        indicators = (column[:, None] == np.arange(len(rows))) / np.sqrt(share)
        turn = np.linalg.qr(np.column_stack([np.sqrt(share), np.eye(len(rows))]))[0][:, 1:]
        parts.append(indicators @ turn)
    u = np.hstack(parts)
    return 0.0 if not u.size else np.linalg.norm(u, 2) ** 2 / len(codes)


def reference(case, *, epochs, batch, rate=None, l2=0.01, sigmoid="linear", weights=(1.0, 1.0)):
    """Return the scores of the case's rows, trained in floats."""
    n, y = len(case.y), case.y
    batches = -(-n // batch)
    plans = []
    for epoch in range(epochs):
        order = drawn(b"bluetusk logistic order", SEED + epoch.to_bytes(8, "little"), n)
        plans.append([order[n * b // batches : n * (b + 1) // batches] for b in range(batches)])
    guest = np.column_stack([decorrelated(case.xg, 63.99)(case.xg), np.ones(n)])
    bound = max(1.0, largest_curvature(case.codes, case.counts))
    if batches > 1:
        pieces = [part for plan in plans for part in plan]
        most = max(np.linalg.norm(guest[part], 2) ** 2 / len(part) for part in pieces)
        guest = guest * min(1.0, math.sqrt(1.75 / most))
        bound = max(bound, *(largest_curvature(case.codes[part], case.counts) / 1.75 for part in pieces))
    bound = 2.0 ** (math.ceil(8 * math.log2(bound) - 1e-6) / 8)
    part, one, several = getattr(job_module, "_BINNED", (1.0, 1.0, 1.0))  # how the two share the step
    guest, bound = guest * math.sqrt(part), bound / (one if batches == 1 else several)
    columns = []
    for values, rows, codes in zip(case.values, case.counts, case.codes.T, strict=True):
        mean = np.average(values, weights=rows)
        spread = math.sqrt(np.average((values - mean) ** 2, weights=rows))
        worth = np.where(codes < 0, mean, values[codes])  # an unseen value counts as the mean of its column
        columns.append((worth - mean) / (spread * math.sqrt(bound)) if spread > 1e-9 else np.zeros(n))
    u = np.column_stack([guest, *columns])
    free = len(guest[0]) - 1
    slope = {"linear": 0.125, "cubic": 0.197}[sigmoid]
    rate = 1 / (2 * slope + l2) if rate is None else rate
    ridge = np.where(np.arange(u.shape[1]) == free, 0.0, l2)
    factor = np.where(y == 1, weights[1], weights[0]) / max(weights)
    w = last = np.zeros(u.shape[1])
    for epoch, plan in enumerate(plans):
        total = np.zeros(u.shape[1])
        for part in plan:
            z = u[part] @ w
            r = 0.5 + slope * z - (0.004 * z**3 if sigmoid == "cubic" else 0) - y[part]
            w = w - rate * (u[part].T @ (r * factor[part]) / len(part) + ridge * w)
            total += w
            if batches == 1:
                w, last = w + (epoch + 1) / (epoch + 4) * (w - last), w
    return u @ (total / batches)


def exact(guest, host, xg, codes):
    """Return scores from both halves, in units of 2^-32: what no party has."""
    mine, theirs = guest.half_, host.half_
    entries = mine.bins.columns(codes) + mine.bins.first
    weights = [
        ring.centred(ring.words((a + b).tolist())) for a, b in ((mine.own, theirs.theirs), (theirs.own, mine.theirs))
    ]
    rows = mine.rows(xg).astype(object), mine.worth[entries].astype(object)
    return sum(r @ np.array(w, object) for r, w in zip(rows, weights, strict=True)).astype(float) / 2.0**32


CASES = {
    "batches": (Case(), {"batch_size": 16, "epochs": 2}),
    "all rows": (Case(seed=1), {"batch_size": 48, "epochs": 4}),
    "cubic": (Case(seed=2, n=32), {"batch_size": 32, "epochs": 2, "sigmoid": "cubic"}),
    "weighted": (Case(seed=3, n=32), {"batch_size": 16, "epochs": 1, "class_weight": {0: 0.5, 1: 2.0}}),
    "unseen values": (Case(seed=4, unseen=0.1), {"batch_size": 24, "epochs": 2}),
    "one column of one bin": (Case((1,), n=24, seed=5), {"batch_size": 24, "epochs": 2}),
    "one row a batch": (Case((3,), n=4, seed=6), {"batch_size": 1, "epochs": 1, "learning_rate": 0.5}),
}
DROPPED = Case(seed=7)
DROPPED.values[1] = np.zeros(4)  # below the limit of information value; the host does not notice
DROPPED.values[0][1] = DROPPED.values[0][0]  # joined by the guest
CASES["dropped and joined"] = (DROPPED, {"batch_size": 48, "epochs": 3})


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_training_in_plain_numpy(name):
    case, options = CASES[name]
    guest, host = case.fit(*models(**options))
    given = {"batch": options["batch_size"], "epochs": options["epochs"], "sigmoid": options.get("sigmoid", "linear")}
    if "class_weight" in options:
        given["weights"] = tuple(options["class_weight"].values())
    due = reference(case, rate=options.get("learning_rate"), **given)
    found = exact(guest, host, case.xg, case.codes)
    assert np.abs(found - due).max() < 2**-9  # 12 binary digits of the rows
    assert np.ptp(due) > 0.3
    assert not hasattr(guest, "coef_")
    assert not hasattr(host, "coef_")


@pytest.mark.slow
@pytest.mark.parametrize("bits", [3072])
def test_a_longer_key_changes_nothing(monkeypatch, bits):
    from bluetusk.paillier.ephemeral import ephemeral_key

    monkeypatch.setattr(job_module, "ephemeral_key", ephemeral_key)
    case = Case(n=20)
    guest, host = case.fit(*models(batch_size=20, epochs=2, key_size=bits))
    due = reference(case, epochs=2, batch=20)
    assert np.abs(exact(guest, host, case.xg, case.codes) - due).max() < 2**-9


def test_halves_say_nothing_alone():
    """Twice the same training: the shares differ everywhere, their sum hardly."""
    case = Case(n=24)
    one, other = (case.fit(*models(batch_size=24, epochs=1)) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        for name in ("own", "theirs"):
            assert not set(getattr(a.half_, name).tolist()) & set(getattr(b.half_, name).tolist())
    assert np.abs(exact(*one, case.xg, case.codes) - exact(*other, case.xg, case.codes)).max() < 2**-12


# --- points ---


def test_points_are_rounded_scores_modulo_1024(monkeypatch):
    case = Case()
    guest, host = case.fit(*models(batch_size=48, epochs=3))
    rng = np.random.default_rng(0)
    xg = np.vstack([case.xg, 90 * rng.normal(size=(40, 2))])  # far outside of the training's: points beyond 0 to 1023
    codes = np.vstack([case.codes, rng.integers(-1, 2, (40, 3))])
    points, none = both(
        lambda link: guest.predict_points(xg, link=link),
        lambda link: host.predict_points(codes, link=link, ids=new_ids(len(codes))),
    )
    assert none is None
    z = exact(guest, host, xg, codes)
    due = z * guest.points_per_unit_ + guest.scale_.offset
    assert ((due < 0) | (due > 1023)).sum() > 5  # the wrap is met
    away = np.abs((points - due + 512) % 1024 - 512)
    assert away.max() < 1 + 1e-6  # rounded up or down
    assert abs(np.mean((points - due + 512) % 1024 - 512)) < 4 * 0.5 / math.sqrt(len(due))  # right in the mean
    assert points.min() >= 0
    assert points.max() <= 1023
    scores, _ = both(
        lambda link: guest.decision_function(case.xg, link=link),
        lambda link: host.decision_function(case.codes, link=link, ids=new_ids(len(case.codes))),
    )
    assert np.abs(scores - z[:48]).max() < 1.01 / guest.points_per_unit_


@pytest.mark.parametrize(("slope", "rate"), [(s, r) for s in (0.125, 0.197) for r in (0.1, 0.22, 0.5, 0.9)])
def test_the_average_customer_has_256_points(slope, rate):
    from bluetusk.vertical.logistic.half import Points

    scale = Points.of(rate, slope, intercept=True)
    average = (rate - 0.5) / slope
    assert abs(scale.points(np.array([average]))[0] - 256) <= 1
    p = rate + 1e-4
    odds = math.log(p / (1 - p)) - math.log(rate / (1 - rate))
    moved = (p - rate) / slope * scale.unit
    assert math.isclose(moved, 20 * odds / math.log(2), rel_tol=0.06)


@pytest.mark.parametrize("rate", [0.001, 0.005, 0.02])
def test_points_of_rare_events_do_not_meet(rate):
    """A strong column gives probabilities from some 0.2 below the average, one that is the label up to 1."""
    from bluetusk.vertical.logistic.half import Points

    scale = Points.of(rate, 0.125, intercept=True)
    z = (np.linspace(rate - 0.3, 1.03, 500) - 0.5) / 0.125
    points = scale.points(z)
    assert (np.diff(points) >= 0).all()
    assert len(np.unique(points)) > 450


def test_points_at_the_ends_are_named():
    assert at_the_ends(np.array([16, 256, 1007])) == []
    (told,) = at_the_ends(np.array([3, 256, 1023]))
    assert told.startswith("2 of 3 rows held back have points near 0 or 1023")


@pytest.mark.parametrize("unit", [np.inf, -np.inf])
def test_units_that_are_not_finite_are_refused(monkeypatch, unit):
    worth = LogisticJob._worth

    def lying(job):
        whole, real, units = worth(job)
        return whole, real, units * unit

    monkeypatch.setattr(LogisticJob, "_worth", lying)
    guest, host = models(epochs=1, reveal=("coefficients",))
    with pytest.raises(bt.FrameError, match="message 'coefficients' from 'guest' holds a unit that is not finite"):
        Case().fit(guest, host)


def test_the_guest_counts_what_the_bound_of_the_curvature_tells():
    case, watch = Case(), (Watching(), Watching())
    guest, host = models(epochs=1, calibrate=False)
    case.fit(guest, host, local_links(observers=watch))
    assert watch[0].counted["bits_learned"] == 8
    assert "bits_learned" not in watch[1].counted


def test_exact_scores_have_20_binary_digits():
    case = Case(n=24)
    guest, host = case.fit(*models(batch_size=24, epochs=1, reveal=("scores", "coefficients")))
    scores, _ = both(
        lambda link: guest.decision_function(case.xg, link=link),
        lambda link: host.decision_function(case.codes, link=link, ids=new_ids(len(case.codes))),
    )
    assert np.abs(scores - exact(guest, host, case.xg, case.codes)).max() <= 2**-19
    woe = np.column_stack([v[c] for v, c in zip(case.values, case.codes.T, strict=True)])
    z = case.xg @ guest.coef_ + guest.intercept_ + woe @ host.coef_ + host.intercept_
    means = np.array([np.average(v, weights=rows) for v, rows in zip(case.values, case.counts, strict=True)])
    assert np.abs(z - means @ host.coef_ - scores).max() < 2**-9  # the guest knows the means and their part


# --- the bound of the curvature ---


@pytest.mark.parametrize("seed", range(20))
def test_curvature_bounds_every_choice_of_values(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, rng.integers(1, 9))
    n = int(rng.integers(10, 120))
    common = rng.normal(size=n)
    columns = [np.clip((common + rng.normal(size=n) * rng.random()) * 2 + k / 2, 0, k - 1).astype(int) for k in sizes]
    codes = np.column_stack(columns)
    fitted = rng.permutation(n)[: max(n // 2, 1)]  # the binning's rows need not be those of the training
    counts = [np.bincount(c[fitted], minlength=k) + 1 for c, k in zip(codes.T, sizes, strict=True)]
    codes = np.where(rng.random(codes.shape) < 0.05, -1, codes)
    batches = [rng.permutation(n)[:7] for _ in range(3)]
    bound = curvature(codes, counts, batches, 1.75)
    due = max(1.0, largest_curvature(codes, counts), *(largest_curvature(codes[b], counts) / 1.75 for b in batches))
    assert due * (1 - 1e-9) <= bound <= due * 2**0.125 * (1 + 1e-6)

    def curved(values, rows):
        worth = [np.append(standardised(v, c, 1.0, 1e9)[0], 0.0) for v, c in zip(values, counts, strict=True)]
        u = np.column_stack([w[c] for w, c in zip(worth, codes[rows].T, strict=True)])
        return np.linalg.norm(u, 2) ** 2 / len(u)

    for _ in range(10):
        values = [rng.normal(size=k) ** int(rng.integers(1, 6)) for k in sizes]
        assert curved(values, slice(None)) <= bound * (1 + 1e-9)
        assert all(curved(values, b) <= 1.75 * bound * (1 + 1e-9) for b in batches)


def test_the_worst_values_reach_the_bound():
    """The bound is that of an eigenvector: values read from it are curved by as much, so no smaller one holds."""
    case = Case((3, 4, 2), n=60, seed=3)
    shares = [rows / rows.sum() for rows in case.counts]
    z = np.hstack([(c[:, None] == np.arange(len(p))) / np.sqrt(p) for c, p in zip(case.codes.T, shares, strict=True)])
    roots = np.zeros((z.shape[1], 3))
    ends = np.cumsum([0, 3, 4, 2])
    for j, p in enumerate(shares):
        roots[ends[j] : ends[j + 1], j] = np.sqrt(p)
    away = np.eye(len(roots)) - roots @ roots.T
    vector = np.linalg.eigh(away @ z.T @ z @ away / 60)[1][:, -1]
    values = [vector[ends[j] : ends[j + 1]] / np.sqrt(p) for j, p in enumerate(shares)]
    u = np.column_stack(
        [standardised(v, rows, 1.0, 1e9)[0][c] for v, rows, c in zip(values, case.counts, case.codes.T, strict=True)]
    )
    found, bound = np.linalg.norm(u, 2) ** 2 / 60, curvature(case.codes, case.counts, [], 1.75)
    assert found > 1.2
    assert bound / 2**0.125 <= found * (1 + 1e-9) <= bound * (1 + 1e-9)


def test_many_bins_are_bounded_in_blocks(monkeypatch):
    monkeypatch.setattr("bluetusk.vertical.logistic.curvature._BLOCK", 6)
    monkeypatch.setattr("bluetusk.vertical.logistic.curvature._ROWS", 7)
    case = Case((3, 4, 2, 5), n=60, seed=3)
    assert curvature(case.codes, case.counts, [], 1.75) >= largest_curvature(case.codes, case.counts)


# --- what does not fit is refused ---


def refused(guest, host):
    """Run two calls that must end in an error at both; return the errors' texts, the guest's first."""
    links, told = local_links(seconds=60.0), {}

    def party(name, call, link):
        try:
            call(link)
        except bt.BluetuskError as error:
            told[name] = str(error)
            link.abort("failed")

    from .test_logistic import same_time

    same_time(lambda: party("guest", guest, links[0]), lambda: party("host", host, links[1]))
    assert set(told) == {"guest", "host"}
    return told["guest"], told["host"]


def test_halves_of_two_binnings_are_refused():
    case = Case(n=24)
    guest, host = models()
    ours, _ = case.halves
    moved = [case.counts[0] + np.array([1, -1, 0]), *case.counts[1:]]
    told = refused(
        lambda link: guest.fit(case.xg, case.y, link=link, binning=ours),
        lambda link: host.fit(case.codes, link=link, binning=Given(moved), columns=["h0", "h1", "h2"]),
    )
    assert "do not train on the same bins" in told[0]
    told = refused(
        lambda link: guest.fit(case.xg, case.y, link=link, binning=ours),
        lambda link: host.fit(case.codes.astype(float), link=link),
    )
    assert "one party trains on bins" in told[1]


@pytest.mark.parametrize(
    "ways", [(("scores",), ()), ((), ("coefficients",)), (("scores",), ("coefficients", "scores"))]
)
def test_what_is_opened_must_be_agreed(ways):
    case = Case(n=24)
    guest, host = models(reveal=ways[0])
    host.set_params(reveal=ways[1])
    ours, theirs = case.halves
    told = refused(
        lambda link: guest.fit(case.xg, case.y, link=link, binning=ours),
        lambda link: host.fit(case.codes, link=link, binning=theirs),
    )
    assert f"the guest sets reveal={ways[0]!r}, this host {ways[1]!r}" in told[1]


def test_exact_scores_must_be_agreed_at_each_prediction():
    case = Case(n=24)
    guest, host = case.fit(*models(batch_size=24, epochs=1))
    guest.set_params(reveal=("scores",))
    told = refused(
        lambda link: guest.decision_function(case.xg, link=link),
        lambda link: host.decision_function(case.codes, link=link, ids=new_ids(len(case.codes))),
    )
    assert "do not agree whether exact scores are opened" in told[1]
    with pytest.raises(ValueError, match="reveal names 'labels'"):
        LogisticRegression("guest", reveal=("labels",)).fit(case.xg, case.y, link=None)


# --- a row is scored once ---


@pytest.mark.usefixtures("quick_scrypt")
def test_a_row_is_scored_once_by_a_model_also_after_it_was_saved(tmp_path):
    case = Case(n=24)
    guest, host = case.fit(*models(batch_size=24, epochs=1))
    ids = [f"M{k}" for k in range(24)]

    def scores(first, last, model=None):
        part = slice(first, last)
        model = host if model is None else model
        return (
            lambda link: guest.decision_function(case.xg[part], link=link),
            lambda link: model.decision_function(case.codes[part], link=link, ids=ids[part]),
        )

    both(*scores(0, 10))
    both(*scores(10, 15))
    watch = Watching(), Watching()
    told = refused(*scores(14, 24))
    assert "1 of 10 ids have been scored by this model" in told[1]
    host.save(tmp_path / "half", "words")
    loaded = LogisticRegression.load(tmp_path / "half", "words", binning=case.halves[1])
    assert "3 of 3 ids" in refused(*scores(2, 5, loaded))[1]
    links = local_links(observers=watch, seconds=60.0)
    both(*scores(15, 24, loaded), links)
    assert watch[0].counted["bits_learned"] == 9 * 10
    assert watch[1].counted["values_revealed"] == 9
    with pytest.raises(ValueError, match="are the same id"):
        host.decision_function(case.codes[:2], link=local_links()[1], ids=["a", "a"])
    with pytest.raises(ValueError, match="1 ids for 2 rows"):
        host.decision_function(case.codes[:2], link=local_links()[1], ids=["a"])


def test_nothing_of_refused_rows_is_sent():
    case = Case(n=24)
    guest, host = case.fit(*models(batch_size=24, epochs=1))
    host.book_.take(marks_of(host.model_, range(24)), b"")
    watch = Watching()
    links = local_links(observers=(None, watch), seconds=60.0)
    with pytest.raises(bt.BluetuskError):
        both(
            lambda link: guest.decision_function(case.xg, link=link),
            lambda link: host.decision_function(case.codes, link=link, ids=list(range(24))),
            links,
        )
    assert {decode(frame, Kind.VERTICAL).header["topic"] for frame in watch.frames} == {"rows", "abort"}
    assert watch.asked == []


def test_a_retake_opens_the_same_points(steps):
    """The guest says that it has lost the opening: it gets the same bytes again, and no other rounding."""
    case = Case(n=24)
    guest, host = case.fit(*models(batch_size=24, epochs=1))
    sent, states, results = [], ({}, {}), []
    for start in (0, 1, 1):
        watch = Watching()
        links = local_links(observers=(None, watch), seconds=60.0)
        keepers = [steps(states[me], start) for me in (0, 1)]
        results.append(
            both(
                lambda link, keeper=keepers[0]: guest.predict_points(case.xg, link=link, keeper=keeper),
                lambda link, keeper=keepers[1]: host.predict_points(
                    case.codes, link=link, keeper=keeper, ids=list(range(24))
                ),
                links,
            )[0]
        )
        sent.append(
            [
                bytes(f.payload)
                for f in (decode(f, Kind.VERTICAL) for f in watch.frames)
                if f.header["topic"] == "points"
            ]
        )
    assert len(sent[0][0]) == 2 * 24
    assert sent[0] == sent[1] == sent[2]
    assert results[0].tolist() == results[1].tolist() == results[2].tolist()
    told = refused(
        lambda link: guest.predict_points(case.xg, link=link),
        lambda link: host.predict_points(case.codes, link=link, ids=list(range(24))),
    )
    assert "24 of 24 ids" in told[1]  # from the beginning it would be another rounding


# --- files ---


@pytest.mark.usefixtures("quick_scrypt")
def test_halves_of_bins_are_saved_and_score_as_before(tmp_path):
    case = Case()
    guest, host = case.fit(*models(batch_size=24, epochs=1), held_back=np.arange(48) % 4 == 0)
    for model in (guest, host):
        with pytest.raises(ValueError, match="sealed=False"):
            model.save(tmp_path / model.role)
        model.save(tmp_path / model.role, "words")
    with pytest.raises(ValueError, match="binning must be the one"):
        LogisticRegression.load(tmp_path / "host", "words")
    with pytest.raises(ValueError, match="binning must be the one"):
        LogisticRegression.load(tmp_path / "host", "words", binning=Given(case.counts[:2]))
    halves = [LogisticRegression.load(tmp_path / "guest", "words")]
    halves.append(LogisticRegression.load(tmp_path / "host", "words", binning=case.halves[1]))
    for loaded, whole in zip(halves, (guest, host), strict=True):
        assert loaded.half_.to_parts() == whole.half_.to_parts()
        assert loaded.calibration_ == whole.calibration_
    found = both(
        lambda link: halves[0].predict_proba(case.xg, link=link),
        lambda link: halves[1].predict_proba(case.codes, link=link, ids=new_ids(len(case.codes))),
    )[0]
    z = exact(guest, host, case.xg, case.codes)
    assert np.abs(found[:, 1] - guest.calibration_.probability(z)).max() < 0.05
    with pytest.raises(bt.FrameError):
        LogisticRegression.load(tmp_path / "host", "other words", binning=case.halves[1])


# --- never worse than the guest alone, in silence ---


def hard(name, rng, n):
    """Rows, codes of the host's columns with five bins each, and labels."""
    x = rng.normal(size=(n, 8))
    risk = x @ [1.0, 0.5, 0.3, 0.2, 0.8, -0.6, 0.4, 0.1]
    cut = np.quantile(risk, 0.98 if name == "rare events" else 0.7)
    y = (risk + 1.5 * rng.normal(size=n) > cut).astype(int)
    host = x[:, 4:].copy()
    if name == "collinear":
        host = np.column_stack([x[:, 4:], x[:, 4:] + 0.05 * rng.normal(size=(n, 4)), x[:, :4]])
    elif name == "leaking":
        host[:, 0] = y + 0.01 * rng.normal(size=n)
    elif name == "noise":
        host = rng.normal(size=(n, 12))
    elif name == "strong":
        host[:, 0] = 3 * y + rng.normal(size=n)
    edges = np.quantile(host, [0.2, 0.4, 0.6, 0.8], axis=0)
    return x[:, :4], (host[:, None, :] > edges).sum(axis=1), y


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["strong", "collinear", "leaking", "rare events", "tiny", "noise"])
def test_never_worse_than_the_guest_alone_in_silence(name, seed):
    """In plain floats, the same steps: the rows of the test count; what is said follows from the rows held back."""
    from sklearn.linear_model import LogisticRegression as Alone
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    n = 60 if name == "tiny" else 1200
    whole = hard(name, rng, n + 3000)
    case = Case.__new__(Case)
    case.xg, case.codes, case.y = (part[:n] for part in whole)
    case.counts, case.values = [], []
    for column in case.codes.T:
        rows, events = np.bincount(column, minlength=5), np.bincount(column, case.y, 5)
        rows = np.maximum(rows, 1)
        case.counts.append(rows)
        shares = (events + 0.5) / (case.y.sum() + 0.5), (rows - events + 0.5) / (n - case.y.sum() + 0.5)
        case.values.append(np.log(shares[0] / shares[1]))
    z = reference(case, epochs=60, batch=n, l2=0.001)
    woe = np.column_stack([v[c] for v, c in zip(case.values, whole[1].T, strict=True)])
    both_columns = np.hstack([whole[0], woe])
    fitted = np.linalg.lstsq(np.column_stack([both_columns[:n], np.ones(n)]), z, rcond=None)[0]
    alone = Alone(max_iter=1000).fit(case.xg, case.y)
    rest = slice(n, None)
    ours = roc_auc_score(whole[2][rest], both_columns[rest] @ fitted[:-1])
    theirs = roc_auc_score(whole[2][rest], alone.decision_function(whole[0][rest]))
    held = slice(n, n + max(n // 10, 20))
    said = useless(whole[2][held], both_columns[held] @ fitted[:-1], alone.decision_function(whole[0][held]))
    few = min(case.y.sum(), n - case.y.sum()) < 40
    assert ours > theirs - 0.02 or said or few, (ours, theirs)
