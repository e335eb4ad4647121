"""Shared logistic regression: the arithmetic of its fixed point, faults, and what the parties may not see."""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
import warnings

import numpy as np
import pytest

import bluetusk as bt
from bluetusk._random import Stream
from bluetusk.paillier import PrivateKey, masked, slots
from bluetusk.vertical import LogisticRegression, Observer, local_links
from bluetusk.vertical.book import marks_of
from bluetusk.vertical.logistic import job as job_module
from bluetusk.vertical.logistic import score as score_module
from bluetusk.vertical.logistic.config import class_weights
from bluetusk.vertical.logistic.findings import scattered
from bluetusk.vertical.logistic.job import LogisticJob
from bluetusk.vertical.protocol.link import Rewind
from bluetusk.wire.frame import Kind, decode

from .conftest import new_ids

pytestmark = pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")  # of few rows; they have tests of their own

SEED = bytes(range(32))


def same_time(*calls):
    """Run calls at the same time; return their results, or raise the first error that does not only tell of another."""
    results, errors = [None] * len(calls), []

    def run(k, call):
        try:
            results[k] = call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:  # the first, but rather the cause than what the other heard of it, which may be raised before it
        raise min(errors, key=lambda error: "the other party gave up" in str(error))
    return results


def both(guest, host, links=None):
    """Call ``guest(link)`` and ``host(link)`` at the same time; who fails tells the other, as a party does."""
    links = local_links(seconds=60.0) if links is None else links

    def party(call, link):
        try:
            return call(link)
        except BaseException:
            link.abort("failed")
            raise

    return same_time(lambda: party(guest, links[0]), lambda: party(host, links[1]))


@pytest.fixture(autouse=True)
def _cheap_keys(monkeypatch, keypair, keypair2):
    """Give the parties the session's primes in turn, in keys of their own, which a training closes."""
    primes = itertools.cycle([pair[1]._kernel.export_primes() for pair in (keypair, keypair2)])
    lock = threading.Lock()

    def new_key(bits):
        assert bits == 2048
        with lock:
            p, q = next(primes)
        return PrivateKey._generated(int.from_bytes(p, "little"), int.from_bytes(q, "little"), "djn")

    monkeypatch.setattr(job_module, "ephemeral_key", new_key)
    monkeypatch.setattr(score_module, "ephemeral_key", new_key)


def data(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = np.clip(rng.normal(size=(n, 5)), -4, 4)
    y = (x @ [1.0, -0.5, 0.8, 0.2, -0.7] + rng.normal(size=n) > 0.3).astype(int)
    return x[:, :2], x[:, 2:], y


def pair(**options):
    options = {
        "epochs": 2,
        "batch_size": 20,
        "learning_rate": 1.5,
        "l2": 0.01,
        "calibrate": False,
        "tol": 0.0,
        "random_state": SEED,
        "key_size": 2048,
        "reveal": ("coefficients", "scores"),
    } | options
    return LogisticRegression("guest", **options), LogisticRegression("host", key_size=2048, reveal=options["reveal"])


def trained(xg, xh, y, links=None, **options):
    guest, host = pair(**options)
    both(lambda link: guest.fit(xg, y, link=link), lambda link: host.fit(xh, link=link, ids=new_ids(len(xh))), links)
    return guest, host


def decorrelated(x, largest):
    """Return centred columns times the inverse root of their covariance, 1 % of a unit added, by an SVD."""
    x = x - x.mean(axis=0)
    x = x / x.std(axis=0)
    _, s, rows = np.linalg.svd(x / math.sqrt(len(x)), full_matrices=False)
    u = x @ rows.T @ np.diag(1 / np.sqrt(s**2 + 0.01)) @ rows
    return u * np.minimum(1, largest / np.abs(u).max(axis=0))


def back(x, u, w):
    """Return coefficients and constant of x for weights w of its linear image u."""
    found = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), u @ w, rcond=None)[0]
    return found[:-1], found[-1]


def simulated(
    xg, xh, y, *, epochs=2, batch=20, rate=1.5, l2=0.01, sigmoid="linear", weights=(1.0, 1.0), weighted=False, tol=0.0
):
    """The same training on plain integers, written out: (coefficients of guest, host, all constants; epochs)."""
    n, batches = len(xg), -(-len(xg) // batch)
    plans = []
    for epoch in range(epochs):
        seed = hashlib.sha256(b"bluetusk logistic order" + SEED + epoch.to_bytes(8, "little")).digest()
        order = np.argsort(Stream(seed).uint64(n), kind="stable").tolist()
        plans.append([order[n * b // batches : n * (b + 1) // batches] for b in range(batches)])
    parts = [decorrelated(xh, 63.9), np.column_stack([decorrelated(xg, 63.9), np.ones(n)])]
    units = []
    for part in parts:  # no batch is curved by more than 1.75 times a whole of I
        most = max(np.linalg.eigvalsh(part[b].T @ part[b] / len(b))[-1] for plan in plans for b in plan)
        units.append(min(1.0, math.sqrt(1.75 / most)) if batches > 1 else 1.0)
    x = np.rint(np.column_stack([part * unit for part, unit in zip(parts, units, strict=True)]) * 4096)
    x = [[int(v) for v in row] for row in x]
    d = len(x[0])
    w, last, means, losses = [0] * d, [0] * d, [], []
    factors = [round(v / max(weights) * 2**16) for v in weights]
    for epoch, plan in enumerate(plans):
        total, sums = 0, [0] * d
        for rows in plan:
            gradient = [0] * d
            for i in rows:
                z = sum(a * c for a, c in zip(x[i], w, strict=True))
                if sigmoid == "linear":
                    r = z + (1 - 2 * int(y[i])) * 2**34 >> 15
                else:
                    z >>= 20
                    r = 12911 * 2**24 * z - 262 * z**3 + (1 - 2 * int(y[i])) * 2**51 >> 32
                u = r * factors[y[i]] >> 16 if weighted else r
                total += u * r
                gradient = [g + a * u for g, a in zip(gradient, x[i], strict=True)]
            shift = 16 - math.frexp(rate / len(rows))[1]
            step, decay = round(rate / len(rows) * 2**shift), round(rate * l2 * 2**shift)
            decays = [decay] * (d - 1) + [0]
            w = [c - ((g >> 12) * step + c * k >> shift) for c, g, k in zip(w, gradient, decays, strict=True)]
            sums = [a + c for a, c in zip(sums, w, strict=True)]
            if batches == 1:
                ahead = round((epoch + 1) / (epoch + 4) * 2**16)
                w, last = [c + ((c - a) * ahead >> 16) for a, c in zip(last, w, strict=True)], w
        means.append([a / batches for a in sums])
        losses.append(total)
        if tol and epoch and losses[-2] - total < tol * total:
            means.pop()
            break
    result = np.array(means[-1]) / 2**20
    host, guest = back(xh, parts[0], result[:3] * units[0]), back(xg, parts[1][:, :2], result[3:5] * units[1])
    constant = guest[1] + host[1] + result[5] * units[1]
    return np.concatenate([guest[0], host[0], [constant]]), len(losses)


def coefficients(guest, host):
    return np.concatenate([guest.coef_, host.coef_, [guest.intercept_ + host.intercept_]])


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({}, {}),
        ({"tol": 0.3, "epochs": 9}, {"tol": 0.3, "epochs": 9}),
        ({"batch_size": 40, "epochs": 3}, {"batch": 40, "epochs": 3}),
        ({"sigmoid": "cubic", "epochs": 1}, {"sigmoid": "cubic", "epochs": 1}),
        (
            {"class_weight": {0: 0.5, 1: 2.25}, "tol": 2.0**-16},
            {"weights": (0.5, 2.25), "weighted": True, "tol": 2.0**-16},
        ),
    ],
    ids=["linear", "loss", "all rows", "cubic", "weighted"],
)
def test_it_is_the_training_on_plain_integers(options, same):
    xg, xh, y = data()
    guest, host = trained(xg, xh, y, **options)
    expected, taken = simulated(xg, xh, y, **same)
    # each step truncates three times, each off by one unit of 2^-20 (the cubic's scores: 2^-12, times their slope); an
    # entry of the rows that lies between two units may be rounded the other way
    unit = 2**-12 / 4 if "sigmoid" in options else 2**-20
    assert np.abs(coefficients(guest, host) - expected).max() < 8 * 4 * unit + 2**-15
    assert guest.n_iter_ == host.n_iter_ == taken
    assert host.sigmoid_ == guest.sigmoid
    if "tol" in same and same["tol"] > 0.01:
        assert 2 < taken < 9


def test_without_intercept_and_with_one_row_to_a_batch():
    xg, xh, y = data(3)
    guest, host = trained(xg, xh, y, fit_intercept=False, epochs=1, batch_size=1, learning_rate=0.5)
    assert (guest.intercept_, host.intercept_) == (0.0, 0.0)
    assert (len(guest.coef_), len(host.coef_)) == (2, 3)
    parts = []
    for x in (xg, xh):
        scaled = x / np.sqrt((x**2).mean(axis=0))
        values, vectors = np.linalg.eigh(scaled.T @ scaled / 3)
        parts.append(scaled @ vectors @ np.diag((values.clip(0) + 0.01) ** -0.5) @ vectors.T)
    units = [min(1.0, math.sqrt(1.75 / (part**2).sum(axis=1).max())) for part in parts]  # a batch is a row
    u, w, path = np.column_stack([part * unit for part, unit in zip(parts, units, strict=True)]), np.zeros(5), []
    order = np.argsort(Stream(hashlib.sha256(b"bluetusk logistic order" + SEED + bytes(8)).digest()).uint64(3))
    for i in order:
        w = w - 0.5 * ((0.5 + u[i] @ w / 8 - y[i]) * u[i] + 0.01 * w)
        path.append(w)
    w = np.mean(path, axis=0)
    z = xg @ guest.coef_ + xh @ host.coef_
    assert np.allclose(z, u @ w, atol=0.005)


# --- what follows from the data ---


def test_steps_follow_from_the_number_of_rows():
    config = [
        LogisticRegression("guest")._config(rows, None, False, ()) for rows in (8, 200, 1000, 5000, 20_000, 10**6)
    ]
    assert [c.held_back for c in config] == [2, 20, 100, 500, 2000, 2000]
    assert [c.batch_size for c in config] == [6, 180, 900, 1024, 1024, 8192]
    assert [c.epochs for c in config] == [60, 60, 60, 12, 5, 5]
    assert [c.tol for c in config] == [0.0625, 0.0025, 0.0005, 2**-13, 2**-13, 2**-13]


HARD = {
    "a strong column": lambda rng, y, x: (
        x,
        np.where(y == 1, rng.normal(3.5, 1, len(y)), rng.normal(size=len(y)))[:, None],
    ),
    "the label itself": lambda rng, y, x: (x[:, :3], np.column_stack([x[:, 3:], 7.0 * y])),
    "copies": lambda rng, y, x: tuple(
        np.hstack([x + 0.3 * rng.normal(size=x.shape) for _ in range(8)]) for _ in range(2)
    ),
    "scales": lambda rng, y, x: (x[:, :3] * [1e9, 1e-9, 1], x[:, 3:] * [1, 1e6, 1e-30]),
    "heavy tails": lambda rng, y, x: (x[:, :3], np.exp(4 * x[:, 3:])),
    "constants": lambda rng, y, x: (np.column_stack([x[:, :3], np.full(len(y), 1e6)]), x[:, 3:]),
    "the same columns": lambda rng, y, x: (x, x),
    "nearly the same": lambda rng, y, x: (
        np.column_stack([x[:, :3], 10 * x[:, 5]]),
        np.column_stack([x[:, 3:5], 10 * x[:, 5] + x[:, 0]]),
    ),
    "tails of whole rows": lambda rng, y, x: tuple(
        np.hstack([x, rng.normal(size=x.shape)])[:, part] * rng.standard_t(1.5, size=(len(x), 1))
        for part in (slice(0, 6), slice(6, 12))
    ),
    "a single one": lambda rng, y, x: (x[:, :3], np.column_stack([x[:, 3:], np.arange(len(y)) == 7])),
}
SMALL = ("a strong column", "the label itself", "scales")
QUICK = SMALL[1:]


@pytest.mark.parametrize("case", [c if c in QUICK else pytest.param(c, marks=pytest.mark.nightly) for c in HARD])
def test_no_column_makes_it_diverge_or_turn(case):
    """Ranks rows as scikit-learn on all columns together does, where steps of a fixed size grew or turned the order."""
    from sklearn.linear_model import LogisticRegression as Pooled
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 6))
    y = (x @ [1.0, 0.5, 0.3, -0.4, 0.2, 0.6] + 1.5 * rng.normal(size=2000) > 1).astype(int)
    xg, xh = HARD[case](rng, y, x)
    n = 150 if case in SMALL else 600
    opened = {"key_size": 2048, "reveal": "coefficients"}
    guest = LogisticRegression("guest", epochs=6 if case in SMALL else None, random_state=SEED, **opened)
    host = LogisticRegression("host", **opened)
    both(lambda link: guest.fit(xg[:n], y[:n], link=link), lambda link: host.fit(xh[:n], link=link, ids=range(n)))
    z = xg[n:] @ guest.coef_ + xh[n:] @ host.coef_ + guest.intercept_ + host.intercept_
    scaled = StandardScaler().fit(np.hstack([xg, xh])[:n]).transform(np.hstack([xg, xh]))
    pooled = Pooled(max_iter=10_000).fit(scaled[:n], y[:n]).decision_function(scaled[n:])
    assert roc_auc_score(y[n:], z) > roc_auc_score(y[n:], pooled) - 0.02
    p = guest.calibration_.probability(z)
    assert (np.diff(p[np.argsort(z)]) >= 0).all()
    assert 0.0 <= p.min() < p.max() <= 1.0


def test_points_that_a_diverged_training_scatters_are_named():
    """By chance with a probability of exp(-0.09 n); scores that do not wrap are never so far apart."""
    rng = np.random.default_rng(4)
    assert sum(len(scattered(rng.integers(1024, size=70))) for _ in range(50)) >= 48
    assert all(not scattered(rng.normal(256, 150, 70).astype(int) % 1024) for _ in range(50))
    assert scattered(np.arange(10) * 100) == []  # too few to tell


@pytest.mark.nightly
def test_a_training_that_diverges_is_told_to_the_guest_alone():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2))
    y = (x.sum(axis=1) + rng.normal(size=300) > 1).astype(int)
    findings = {}
    for rate in (None, 64.0):
        given = {"epochs": 6, "learning_rate": rate, "tol": 0.0, "random_state": SEED}
        guest = LogisticRegression("guest", key_size=2048, **given)
        host = LogisticRegression("host", key_size=2048)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bt.DataWarning)
            both(
                lambda link, g=guest: g.fit(x[:, :1], y, link=link),
                lambda link, h=host: h.fit(x[:, 1:], link=link, ids=range(300)),
            )
        findings[rate] = [said for said in guest.findings_ if "spread over 0 to 1023 as by chance" in said]
        assert host.findings_ == []
    assert findings[None] == []
    assert len(findings[64.0]) == 1


@pytest.mark.parametrize("freedom", [1.5, 4.0, 1e9])
def test_no_batch_is_curved_beyond_what_a_step_allows(freedom):
    """Rows of heavy tails, as amounts that grow with a company: some batches are curved six times as much as all."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(600, 12)) * rng.standard_t(freedom, size=(600, 1))
    y = np.arange(600) % 2
    config = LogisticRegression("guest", batch_size=64, epochs=3, calibrate=False)._config(600, None, False, ())
    job = LogisticJob("guest", x, [str(k) for k in range(12)], 2048, config=config, labels=y, seed=SEED)
    most = 0.0
    for number in range(3 * job.batches):
        u = job.matrix[job._rows_of(number)] / 4096
        most = max(most, np.linalg.norm(u, 2) ** 2 / len(u))
    assert 1.0 < most < 1.76
    step = 1 / (2 * 0.125 + config.l2)
    assert step * (0.125 * 2 * most + config.l2) < 2  # two such parties


def test_rows_held_back_may_be_chosen_and_must_be_the_same():
    xg, xh, y = data(60)
    mask = np.arange(60) % 6 == 0
    guest, host = pair(epochs=1, batch_size=60, calibrate=True)
    both(
        lambda link: guest.fit(xg, y, link=link, held_back=mask),
        lambda link: host.fit(xh, link=link, held_back=mask, ids=range(60)),
    )
    used = [~mask] * 3
    alone, other = pair(epochs=1, batch_size=60)
    both(
        lambda link: alone.fit(xg[used[0]], y[used[1]], link=link),
        lambda link: other.fit(xh[used[2]], link=link),
    )
    assert np.abs(coefficients(guest, host) - coefficients(alone, other)).max() < 1e-4  # as if they were not there
    with pytest.raises(bt.ProtocolAbort, match=r"holds back 10 rows, this host 9|gave up"):
        both(
            lambda link: guest.fit(xg, y, link=link, held_back=mask),
            lambda link: host.fit(xh, link=link, held_back=mask & (np.arange(60) > 0)),
        )
    for wrong in (mask[1:], mask.astype(int), np.ones(60, bool)):
        with pytest.raises(ValueError, match="held_back"):
            guest.fit(xg, y, link=None, held_back=wrong)


# --- prediction and files ---


@pytest.mark.usefixtures("quick_scrypt")
def test_halves_save_load_and_predict_together(tmp_path):
    xg, xh, y = data(60)
    guest, host = trained(xg, xh, y, epochs=1)
    guest.save(tmp_path / "guest", "a passphrase")
    with pytest.raises(ValueError, match="sealed=False"):
        host.save(tmp_path / "host")
    host.save(tmp_path / "host", sealed=False)
    halves = LogisticRegression.load(tmp_path / "guest", "a passphrase"), LogisticRegression.load(tmp_path / "host")
    assert [half.role for half in halves] == ["guest", "host"]
    assert halves[1].columns_ == ["x0", "x1", "x2"]
    for mine, whole in zip(halves, (guest, host), strict=True):
        assert mine.half_.to_parts() == whole.half_.to_parts()
        assert not hasattr(mine, "coef_")
    results = []
    for name in ("decision_function", "predict_proba", "predict"):
        calls = [
            lambda link, half=half, x=x, name=name, ids=ids: getattr(half, name)(x, link=link, ids=ids)
            for half, x, ids in zip(halves, (xg, xh), (None, new_ids(len(xh))), strict=True)
        ]
        ours, theirs = both(*calls)
        assert theirs is None
        results.append(ours)
    z = xg @ guest.coef_ + xh @ host.coef_ + guest.intercept_ + host.intercept_
    assert np.abs(results[0] - z).max() < 2**-10  # of the rows' 12 binary digits
    assert np.allclose(results[1][:, 1], np.clip(0.5 + results[0] / 8, 0, 1))
    assert np.allclose(results[1].sum(axis=1), 1)
    sure = np.abs(results[0]) > 2**-15  # the last digit of a score is rounded at random
    assert np.array_equal(results[2][sure], results[0][sure] > 0)
    with pytest.raises(bt.FrameError):
        LogisticRegression.load(tmp_path / "guest")
    whole = (tmp_path / "host").read_bytes()
    at = whole.index(b"columns")
    for damaged in (whole[:-8], whole[:-8] + bytes(9), whole[:at] + bytes(4) + whole[at + 4 :]):
        (tmp_path / "host").write_bytes(damaged)
        with pytest.raises(bt.FrameError):
            LogisticRegression.load(tmp_path / "host")


def test_the_cubic_keeps_its_value_beyond_its_turn():
    from bluetusk.vertical.logistic.score import probabilities

    p = probabilities(np.linspace(-50, 50, 1001), "cubic")[:, 1]
    assert (np.diff(p) >= 0).all()
    assert (p[0], p[-1]) == (0.0, 1.0)
    assert abs(probabilities(np.array([1.0]), "cubic")[0, 1] - 0.693) < 1e-12


def test_predicting_other_rows_is_refused():
    xg, xh, y = data()
    guest, host = trained(xg, xh, y, epochs=1)
    with pytest.raises(bt.ProtocolAbort, match="align"):
        both(
            lambda link: guest.predict(xg[:5], link=link),
            lambda link: host.predict(xh[:4], link=link, ids=range(4)),
        )
    guest.model_ = bytes(32)
    with pytest.raises(bt.ProtocolAbort, match="different models"):
        both(lambda link: guest.predict(xg, link=link), lambda link: host.predict(xh, link=link, ids=range(len(xh))))
    with pytest.raises(ValueError, match="3 columns, the model 2"):
        guest.predict(xh, link=None)


def test_kept_scores_are_of_their_rows_and_model(steps):
    xg, xh, y = data()
    guest, host = trained(xg, xh, y, epochs=1)
    keepers = steps(), steps()

    def scores(ways):
        return both(
            lambda link: guest.decision_function(xg, link=link, keeper=ways[0]),
            lambda link: host.decision_function(xh, link=link, keeper=ways[1], ids=range(len(xh))),
        )[0]

    first = scores(keepers)
    done = [steps(keeper.states, 3) for keeper in keepers]
    assert np.array_equal(guest.decision_function(xg, link=local_links()[0], keeper=done[0]), first)
    for other in (xg[:-1], xg[::-1]):
        with pytest.raises(bt.FrameError, match="other rows"):
            guest.decision_function(other, link=local_links()[0], keeper=done[0])
    with pytest.raises(bt.FrameError, match="other rows"):
        host.decision_function(xh + 1, link=local_links()[0], keeper=done[1], ids=range(len(xh)))
    guest.model_ = bytes(32)
    with pytest.raises(bt.FrameError, match="other rows"):
        guest.decision_function(xg, link=local_links()[0], keeper=done[0])


# --- refusals ---


def test_balanced_weights_have_a_largest_ratio():
    """An error would tell the host that events are rarer than one in 4097."""

    def weights(labels):
        return class_weights("balanced", labels)

    assert weights(np.arange(10_000) < 1) == (1 << 4, 1 << 16)
    assert weights(np.arange(4096) < 1024) == (round((1 << 16) / 3), 1 << 16)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ([[1.0], [np.inf]], [0, 1], {}, r"row 1 of X\['x0'\] is infinite"),
        ([[1.0], [None]], [0, 1], {}, "NaN or infinite"),
        ([1.0, 2.0], [0, 1], {}, "two axes"),
        ([[], []], [0, 1], {}, "0 columns"),
        ([[1.0], [2.0]], [0, 2], {}, "0 and 1 only"),
        ([[1.0], [2.0]], [0], {}, "shape"),
        ([[1.0], [2.0]], None, {}, "labels"),
        ([[1.0], [2.0]], [0, 1], {"sigmoid": "exact"}, "sigmoid"),
        ([[1.0], [2.0]], [0, 1], {"learning_rate": 0.0}, "learning_rate"),
        ([[1.0], [2.0]], [0, 1], {"l2": -1.0}, "l2"),
        ([[1.0], [2.0]], [0, 1], {"batch_size": 70000}, "batch_size"),
        ([[1.0], [2.0]], [0, 1], {"tol": float("nan")}, "tol"),
        ([[1.0], [2.0]], [0, 1], {"class_weight": "even"}, "class_weight"),
        ([[1.0], [2.0]], [0, 1], {"class_weight": {0: -1.0}}, "class_weight"),
        ([[1.0], [2.0]], [0, 1], {"class_weight": {0: float("nan")}}, "class_weight"),
        ([[1.0], [2.0]], [0, 1], {"class_weight": {0: 0.0, 1: 0.0}}, "class_weight"),
        ([[1.0], [2.0]], [0, 1], {"random_state": b"short"}, "32 bytes"),
        ([[1.0], [2.0]], [0, 1], {"role": "server"}, "role"),
        ([[1.0], [2.0]], [0, 1], {"role": "host"}, "only the guest has labels"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_sent(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegression(**options).fit(x, y, link=None)


def test_text_is_refused():
    with pytest.raises(TypeError, match="numbers"):
        LogisticRegression().fit([["a"]], [0], link=None)


def test_parameters_and_names():
    class Column:
        def __init__(self, values):
            self.to_numpy = lambda: values

    class Frame(Column):
        columns = ("age", "limit")

        def __getitem__(self, name):
            return Column(self.to_numpy()[:, self.columns.index(name)])

    guest, host = pair(epochs=1)
    assert guest.get_params()["batch_size"] == 20
    assert guest.set_params(batch_size=40).batch_size == 40
    both(
        lambda link: guest.fit(Frame(data()[0]), data()[2], link=link),
        lambda link: host.fit(data()[1], link=link, ids=range(len(data()[1])), columns=["a", "b", "c"]),
    )
    assert (guest.columns_, host.columns_) == (["age", "limit"], ["a", "b", "c"])
    with pytest.raises(ValueError, match="distinct names"):
        host.fit(data()[1], link=None, columns=["a", "a", "c"])


def test_parties_with_other_rows_stop():
    xg, xh, y = data()
    with pytest.raises(bt.ProtocolAbort, match="align"):
        trained(xg, xh[:-1], y)


def test_a_training_that_leaves_the_fixed_point_ends_in_an_error():
    n = 24
    x = np.full((n, 5), 60.0)
    x += np.random.default_rng(0).normal(size=x.shape)
    with pytest.raises(bt.EncodingOverflow, match="learning_rate"):
        trained(x[:, :2], x[:, 2:], np.arange(n) > 11, learning_rate=60.0, epochs=9, batch_size=n)


class Watching(Observer):
    """Notes what is asked for and counted; forbids what it is told to."""

    def __init__(self, forbidden=None):
        self.asked, self.counted, self.forbidden, self.frames = [], {}, forbidden, []

    def authorise(self, *, peer, purpose, columns, rows, **details):
        self.asked.append((peer, purpose, tuple(columns), rows, details))
        if purpose == self.forbidden:
            raise bt.BluetuskError("the policy forbids it")

    def count(self, *, peer, task, what, number):
        self.counted[what] = self.counted.get(what, 0) + number

    def passed(self, *, peer, task, sent, frame):
        self.frames.append(frame)


def test_owners_are_asked_before_anything_is_computed_and_values_counted():
    xg, xh, y = data(80)
    watch = Watching(), Watching()
    links = local_links(observers=watch, seconds=60.0)
    guest, host = trained(xg, xh, y, links, calibrate=True, batch_size=36, tol=2.0**-16)
    asked = (
        (
            "logistic_regression",
            {"task": "logistic_regression", "epochs": 2, "bits": 0, "reveal": ("coefficients", "scores")},
        ),
        ("predict", {"task": "logistic_regression", "reveal": ("scores",), "bits": 64 * 20}),
    )
    models = [each.asked[1][4].pop("model") for each in watch]
    assert len({*models}) == 2  # each counts under a name that it has made
    # of one comparison the host learns a bit, and the guest 64 if it cheats
    for mine, peer, names, bits in zip(
        watch, ("host", "guest"), (("x0", "x1"), ("x0", "x1", "x2")), (1, 64), strict=True
    ):
        assert mine.asked == [
            (peer, asked[0][0], names, 80, asked[0][1] | {"bits": bits}),
            (peer, asked[1][0], names, 8 + 12, asked[1][1]),
        ]
    # two epochs of two batches of 30: residuals, and the shares of the other's weights (the guest has an intercept);
    # the guest's bits for one comparison
    counted = {"rows": 80 + 20, "values_encrypted": 120 + 4 * 3 + 64}
    # its bits of the 20 rows held back, exact here; the coefficients of the other, which it opens to it
    assert watch[0].counted == counted | {"bits_learned": 20 * 64 + 64, "values_revealed": 3, "sums_learned": 3}
    counted = {"rows": 80 + 20, "values_encrypted": 120 + 4 * 3}
    assert watch[1].counted == counted | {"values_revealed": 20 + 3, "bits_learned": 1, "sums_learned": 3}
    both(lambda link: guest.predict(xg, link=link), lambda link: host.predict(xh, link=link, ids=range(len(xh))), links)
    assert watch[1].asked[-1][1] == "predict"
    assert watch[1].counted["values_revealed"] == 20 + 3 + 80


@pytest.mark.parametrize("purpose", ["logistic_regression", "predict"])
def test_an_owner_who_forbids_ends_it_before_the_first_batch(purpose):
    watch = Watching(purpose)
    links = local_links(observers=(None, watch), seconds=60.0)
    with pytest.raises(bt.BluetuskError, match=r"policy|gave up"):
        trained(*data(), links, calibrate=True)
    assert {decode(frame, Kind.VERTICAL).header["topic"] for frame in watch.frames} <= {"setup", "abort"}


# --- recovery ---


class Killed(Exception):
    pass


class Shelf:
    """Keeps states for two parties; kills both after one step, the host sometimes before its state is kept."""

    def __init__(self):
        self.kept, self.lives = {0: {}, 1: {}}, 0

    def keeper(self, me):
        shelf = self

        class Keeper:
            def resume(self, task):
                index = min(max(states, default=0) for states in shelf.kept.values())
                return index, shelf.kept[me].get(index)

            def commit(self, task, index, state):
                if me == 1 and shelf.lives % 3 == 2:
                    raise Killed
                shelf.kept[me][index] = state
                raise Killed

        return Keeper()


def test_a_kill_after_every_step_changes_nothing():
    xg, xh, y = data()
    whole = trained(xg, xh, y, tol=0.0)
    shelf = Shelf()
    while True:
        guest, host = pair(tol=0.0)
        shelf.lives += 1
        try:
            both(
                lambda link, m=guest: m.fit(xg, y, link=link, keeper=shelf.keeper(0)),
                lambda link, m=host: m.fit(xh, link=link, keeper=shelf.keeper(1), ids=range(len(xh))),
            )
            break
        except Killed:
            continue
    assert shelf.lives > 7  # the set-up, four batches, the coefficients, and what was taken twice
    assert np.abs(coefficients(guest, host) - coefficients(*whole)).max() < 1e-4


def test_a_broken_step_is_taken_again_with_fresh_masks(monkeypatch):
    """Both parties go back in the middle of a batch: the messages of the second try differ, the result does not."""
    xg, xh, y = data()
    whole = trained(xg, xh, y)
    links, barrier = local_links(seconds=60.0), threading.Barrier(2)
    states, broken = ({}, {}), [False, False]

    def keeper(me):
        class Keeper:
            def resume(self, task):
                barrier.wait(60)  # both have sent all they will
                while not links[me].channel._in.empty():
                    links[me].channel._in.get()
                barrier.wait(60)
                index = min(max(kept, default=0) for kept in states)
                return index, states[me].get(index)

            def commit(self, task, index, state):
                states[me][index] = state

        return Keeper()

    masks = []
    for me in (0, 1):
        inner = links[me].receive

        def receive(topic, *args, me=me, inner=inner, **kwargs):
            if links[me]._step == 2 and topic == "scores" and not broken[me]:
                broken[me] = True
                raise Rewind
            got = inner(topic, *args, **kwargs)
            if links[me]._step == 2 and topic == "weights":
                masks.append(bytes(got.parts[0]))
            return got

        monkeypatch.setattr(links[me], "receive", receive)
    guest, host = pair()
    both(
        lambda link: guest.fit(xg, y, link=link, keeper=keeper(0)),
        lambda link: host.fit(xh, link=link, keeper=keeper(1), ids=range(len(xh))),
        links,
    )
    assert broken == [True, True]
    assert len(set(masks)) == 4
    assert np.abs(coefficients(guest, host) - coefficients(*whole)).max() < 1e-4


def test_states_are_canonical_and_checked(steps):
    xg, xh, y = data(80)
    keepers = steps(), steps()
    guest, host = pair(calibrate=True, tol=2.0**-16, batch_size=30)
    both(
        lambda link: guest.fit(xg, y, link=link, keeper=keepers[0]),
        lambda link: host.fit(xh, link=link, keeper=keepers[1], ids=range(len(xh))),
    )
    assert sorted(keepers[1].states) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    for state in (keepers[1].states[k][32:] for k in (1, 3, 9)):
        job = LogisticJob("host", xh, ["a", "b", "c"], 2048)
        job.restore(state)
        assert job.state() == state
        with pytest.raises(bt.FrameError, match="columns"):
            LogisticJob("host", xg, ["a", "b"], 2048).restore(state)
        for bad in (b"", state[:-1], state.replace(b"host", b"hosp")):
            with pytest.raises(bt.FrameError):
                job.restore(bad)


# --- hostile messages ---


def tampered(monkeypatch, sender, topic, change):
    """Train, with the parts of one message of one party changed."""
    xg, xh, y = data(8)
    links = local_links(seconds=60.0)
    inner = links[sender].send

    def send(name, fields=None, parts=()):
        if name == topic:
            fields, parts = change(dict(fields or {}), [bytes(part) for part in parts])
        inner(name, fields, parts)

    monkeypatch.setattr(links[sender], "send", send)
    trained(xg, xh, y, links, epochs=1, batch_size=8)


TOPICS = ("weights", "scores", "residuals", "gradients", "coefficients")
SPOILT = [(topic, how) for topic in TOPICS for how in ("empty", "cut", "flipped", "more")]
# a flipped bit of a ciphertext that only takes part in a sum is a wrong sum, one of a share a wrong coefficient: from
# there the other party's honesty protects (and TLS, on the way)
SPOILT = [pair for pair in SPOILT if pair not in (("residuals", "flipped"), ("coefficients", "flipped"))]


@pytest.mark.parametrize(("sender", "topic", "how"), [(k % 2, *pair) for k, pair in enumerate(SPOILT)])
def test_spoilt_messages_end_in_a_typed_error(monkeypatch, sender, topic, how):
    def change(fields, parts):
        part, *rest = parts
        if how == "more":
            return fields, [part, part, *rest]
        flipped = part[:-20] + bytes([part[-20] ^ 1]) + part[-19:]
        return fields, [{"empty": b"", "cut": part[:-12], "flipped": flipped}[how], *rest]

    with pytest.raises(bt.BluetuskError):
        tampered(monkeypatch, sender, topic, change)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f | {"rows": 9},
        lambda f: f | {"columns": 0},
        lambda f: f | {"config": f["config"] | {"epochs": 0}},
        lambda f: f | {"config": f["config"] | {"learning_rate": "nan"}},
        lambda f: f | {"config": f["config"] | {"learning_rate": "0x1p0"}},
        lambda f: f | {"config": f["config"] | {"sigmoid": "exact"}},
        lambda f: f | {"seed": b""},
        lambda f: {"rows": 8},
    ],
)
def test_spoilt_set_ups_are_refused(monkeypatch, change):
    with pytest.raises(bt.BluetuskError):
        tampered(monkeypatch, 0, "setup", lambda fields, parts: (change(fields), parts))


# --- what the parties see ---


def seen(monkeypatch, xg, xh, y, **options):
    """All that each party decrypts in a training, each number with n: (guest's, host's)."""
    views = {}
    inner = masked.unmask

    def unmask(priv, message, count, **kwargs):
        values = inner(priv, message, count, **kwargs)
        views.setdefault(priv.public_key.fingerprint, []).extend((v, int(priv.public_key.n)) for v in values)
        return values

    with monkeypatch.context() as patch:
        patch.setattr("bluetusk.vertical.logistic.products.unmask", unmask)
        trained(xg, xh, y, **options)
    return list(views.values())


def distance(values):
    """Kolmogorov's distance of numbers in [0, 1) from uniform, times the root of their number: above 2 once in 1500."""
    v = np.sort(np.array(values))
    n = len(v)
    return math.sqrt(n) * max(np.max(np.arange(1, n + 1) / n - v), np.max(v - np.arange(n) / n))


def features_of(view):
    """Numbers that are uniform if the masks are: the top of what was opened, and each 64 bits below it."""
    top = [v / n for v, n in view]
    low = [(v >> s & (2**64 - 1)) / 2.0**64 for v, n in view for s in range(0, n.bit_length() - 128, 64)]
    return top, low


EXTREMES = [0.0, 63.0]


@pytest.mark.parametrize("extreme", EXTREMES)
def test_what_is_decrypted_is_uniform_whatever_the_rows(monkeypatch, extreme):
    xg, xh, y = np.full((24, 2), extreme), np.full((24, 3), -extreme), np.arange(24) % 2
    options = {"batch_size": 4, "epochs": 1, "learning_rate": 2.0**-10}
    views = seen(monkeypatch, xg, xh, y, **options)
    assert len(views) == 2
    for view in views:
        assert len(view) >= 6 * 3
        for values in features_of(view):
            assert distance(values) < 2.2


def test_masks_that_are_too_short_are_noticed(monkeypatch):
    """A planted leak: the statistic above must see it."""
    inner = slots.uniform
    monkeypatch.setattr(slots, "uniform", lambda n, count, *source: inner(n // 4, count, *source))
    x = np.full((24, 5), 63.0)
    views = seen(monkeypatch, x[:, :2], x[:, 2:], np.arange(24) % 2, batch_size=4, epochs=1, learning_rate=2.0**-10)
    assert all(distance(features_of(view)[0]) > 3 for view in views)


def test_no_row_label_or_weight_crosses_in_the_clear():
    """Every frame of a training, searched for the rows, labels and final weights in the forms that code could send."""
    xg, xh, y = data(40)
    watch = Watching(), Watching()
    guest, host = trained(xg, xh, y, local_links(observers=watch, seconds=60.0), tol=0.001)
    topics = [decode(frame, Kind.VERTICAL).header["topic"] for frame in watch[0].frames]
    assert set(topics) == {
        *("setup", "weights", "scores", "residuals", "gradients", "coefficients", "bits", "places", "sign")
    }
    assert topics.count("coefficients") == 2  # each way: nothing else of the documented table is revealed
    signs = [decode(frame, Kind.VERTICAL).payload for frame in watch[0].frames if b"sign" in frame[:80]]
    assert all(bytes(sign) in (b"\0", b"\1") for sign in signs)
    everything = b"".join(watch[0].frames)
    assert len(everything) > 10_000
    secrets = []
    for table, model in ((xg, guest), (xh, host)):
        fixed = np.rint(table * 4096).astype(np.int64)
        secrets += [row.astype(kind).tobytes() for row in fixed for kind in ("<i8", "<i4", ">i8")]
        secrets += [row.astype(kind).tobytes() for row in table for kind in ("<f8", "<f4", ">f8")]
        secrets += [np.rint(model.coef_ * 2**20).astype("<i8").tobytes(), model.coef_.astype("<f8").tobytes()]
        secrets += [int(v).to_bytes(12, "little", signed=True) for v in np.rint(model.coef_ * 2**20)]
    secrets += [y.astype(kind).tobytes() for kind in ("<i8", "<i4", "u1")] + [np.packbits(y).tobytes()]
    assert not [s for s in secrets if s in everything]


def test_the_helper_reports_the_first_error():
    with pytest.raises(ZeroDivisionError):
        same_time(lambda: 1 // 0, lambda: 1)


def test_a_host_with_a_seed_goes_on_with_no_other():
    xg, xh, y = data()
    guest, host = pair(epochs=1, batch_size=40)
    host.set_params(random_state=SEED)
    both(lambda link: guest.fit(xg, y, link=link), lambda link: host.fit(xh, link=link))
    guest.set_params(random_state=bytes(32))
    with pytest.raises(bt.ProtocolAbort, match="random_state differs"):
        both(lambda link: guest.fit(xg, y, link=link), lambda link: host.fit(xh, link=link))


def test_other_numbers_of_rows_are_named_before_what_depends_on_them():
    xg, xh, y = data(80)
    guest, host = pair(calibrate=True)
    with pytest.raises(bt.ProtocolAbort, match="this party has 70 rows, the other 80: align them first"):
        both(lambda link: guest.fit(xg, y, link=link), lambda link: host.fit(xh[:70], link=link, ids=range(70)))


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 40), ("l2", 0.9), ("batch_size", 8), ("sigmoid", "cubic"), ("learning_rate", 1.0)]
)
def test_a_guest_that_trains_otherwise_than_agreed_is_refused(name, value):
    xg, xh, y = data()
    guest, host = pair()
    host.set_params(**guest.get_params() | {"role": "host", "random_state": None})
    guest.set_params(**{name: value})
    with pytest.raises(bt.ProtocolAbort, match=f"the guest trains with {name} = {value!r}, .*was agreed") as caught:
        both(
            lambda link: guest.fit(xg, y, link=link),
            lambda link: host.fit(xh, link=link, ids=range(len(xh)), agreed=True),
        )
    assert caught.value.party == "guest"


def test_a_guest_with_a_shorter_key_than_agreed_is_refused(monkeypatch):
    xg, xh, y = data()
    guest, host = pair()
    host.set_params(**guest.get_params() | {"role": "host", "random_state": None, "key_size": 3072})
    monkeypatch.setattr(job_module, "ephemeral_key", lambda bits, new=job_module.ephemeral_key: new(2048))
    with pytest.raises(bt.ProtocolAbort, match="the guest trains with key_size = 2048, and 3072 was agreed"):
        both(
            lambda link: guest.fit(xg, y, link=link),
            lambda link: host.fit(xh, link=link, ids=range(len(xh)), agreed=True),
        )


def test_other_rows_held_back_at_one_party_are_refused():
    xg, xh, y = data(60)
    guest, host = pair(calibrate=True)
    mask = np.arange(60) % 6 == 0
    ways = ({"held_back": mask}, {}), ({"held_back": mask}, {"held_back": np.roll(mask, 1)}), ({}, {"held_back": mask})
    for mine, theirs in ways:
        with pytest.raises(bt.ProtocolAbort, match=r"hold back other rows|holds back|gave up"):
            both(
                lambda link, mine=mine: guest.fit(xg, y, link=link, **mine),
                lambda link, theirs=theirs: host.fit(xh, link=link, ids=range(60), **theirs),
            )


def scored_before(host, id):
    try:
        host.book_.refuse(marks_of(host.model_, [id]))
    except bt.PolicyRefused:
        return True
    return False


def test_rows_that_were_held_back_and_ids_in_another_spelling_are_not_scored_again():
    xg, xh, y = data(60)
    guest, host = pair(calibrate=True, reveal=())
    ids = list(range(60))
    both(lambda link: guest.fit(xg, y, link=link), lambda link: host.fit(xh, link=link, ids=ids))
    held = [k for k in ids if scored_before(host, k)]
    free = [k for k in ids if k not in held]
    assert len(held) == 15
    for again in (held[:3], [str(k) for k in held[:3]], np.array(held[:3])):
        with pytest.raises(bt.BluetuskError, match=r"scored by this model|gave up"):
            both(
                lambda link: guest.decision_function(xg[held[:3]], link=link),
                lambda link, again=again: host.decision_function(xh[held[:3]], link=link, ids=again),
            )
    with pytest.raises(bt.ProtocolAbort, match=r"another order|gave up"):
        both(
            lambda link: guest.decision_function(xg[free], link=link, ids=free),
            lambda link: host.decision_function(xh[free], link=link, ids=free[::-1]),
        )
    found = both(
        lambda link: guest.decision_function(xg[free], link=link, ids=free),
        lambda link: host.decision_function(xh[free], link=link, ids=[str(k) for k in free]),
    )
    assert len(found[0]) == len(free)


def test_a_learning_rate_that_steps_can_grow_with_is_said():
    xg, xh, y = data(60)
    with pytest.warns(bt.DataWarning, match="learning_rate is 60"):
        trained(xg, xh, y, reveal=(), learning_rate=60.0, epochs=1)
