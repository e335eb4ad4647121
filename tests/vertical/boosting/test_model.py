"""The estimator: what it takes and refuses, its attributes, its files, prediction with halves that were loaded."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical.boosting.model import Half, Settings
from bluetusk.wire.frame import Kind, decode, encode

pytestmark = pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")  # toys of 40 rows have few events

P = {"n_estimators": 2, "max_depth": 2, "min_samples_leaf": 5, "min_bucket_rows": 4}


@pytest.fixture
def fitted(parties, toy):
    tables, y = toy(80, [2, 2], missing=0.1)
    return parties(1, **P).fit(tables, y), tables, y


def bits(model):
    return b"".join(a.tobytes() for a in model._half.arrays().values())


def test_scikit_learns_conventions(fitted):
    made, tables, y = fitted
    guest, host = made.guest, made.hosts[0]
    assert guest.get_params()["n_estimators"] == 2
    assert bt.vertical.GradientBoosting().set_params(**guest.get_params()).get_params() == guest.get_params()
    p = made.predict_proba(tables)
    assert p.shape == (80, 2)
    assert np.allclose(p.sum(axis=1), 1)
    assert ((p[:, 1] > 0.5) == y).mean() > 0.7
    splits = guest.split_counts_.sum() + host.split_counts_.sum()
    assert splits == (guest._half.party >= 0).sum() > 0
    assert sum(guest.party_importances_.values()) == pytest.approx(1)
    assert guest.feature_importances_.sum() == pytest.approx(guest.party_importances_["guest"])
    assert host.feature_importances_.sum() == pytest.approx(1)


def test_labels_keep_their_names_and_columns_theirs(parties, toy, together):
    tables, y = toy(60, [1, 1])
    made = parties(1, **{**P, "n_estimators": 1})
    named = np.where(y == 1, "default", "good")

    class Frame:
        columns = ("INCOME",)

        def to_numpy(self):
            return tables[1].astype(object)

    together(
        [
            lambda: made.guest.fit(tables[0], named, link=made.ours[0], columns=["AGE"]),
            lambda: made.hosts[0].fit(Frame(), link=made.theirs[0]),
        ]
    )
    assert made.guest.classes_.tolist() == ["default", "good"]
    assert (made.guest.columns_, made.hosts[0].columns_) == (["AGE"], ["INCOME"])
    labels, nothing = together(
        [
            lambda: made.guest.predict(tables[0], link=made.ours[0]),
            lambda: made.hosts[0].predict(Frame(), link=made.theirs[0], ids=range(len(tables[1]))),
        ]
    )
    assert nothing is None
    assert set(labels.tolist()) <= {"default", "good"}


@pytest.mark.usefixtures("quick_scrypt")
@pytest.mark.parametrize("passphrase", [None, "seven quiet otters"])
def test_halves_are_saved_and_predict_together_later(fitted, tmp_path, passphrase):
    made, tables, _ = fitted
    before = made.predict_proba(tables)
    old = [bits(m) for m in made.all]
    for k, model in enumerate(made.all):
        model.save(tmp_path / f"{k}", passphrase)
    if passphrase:
        with pytest.raises(bt.FrameError):
            bt.vertical.GradientBoosting.load(tmp_path / "0")
    made.guest, *made.hosts = [bt.vertical.GradientBoosting.load(tmp_path / f"{k}", passphrase) for k in range(2)]
    assert [bits(m) for m in (made.guest, *made.hosts)] == old
    assert np.array_equal(made.predict_proba(tables), before)
    assert made.guest.get_params()["min_samples_leaf"] == 5
    assert made.guest.party_importances_.keys() == {"guest", "host-1"}


def test_damaged_files_are_refused(fitted, tmp_path):
    made, *_ = fitted
    made.guest.save(tmp_path / "m")
    good = decode((tmp_path / "m").read_bytes())
    half, settings = made.guest._half, made.guest._fitted

    def load(header, payload):
        (tmp_path / "bad").write_bytes(encode(Kind.GRADIENT_BOOSTING, header, payload))
        return bt.vertical.GradientBoosting.load(tmp_path / "bad")

    payload = bytes(good.payload)
    load(good.header, payload)
    rng = np.random.default_rng(0)
    for name, value in {
        "role": "owner",
        "columns": [],
        "parties": ["a", "b"],
        "classes": [1, "x"],
        "arrays": good.header["arrays"][1:],
        "settings": {**good.header["settings"], "max_depth": 3},
    }.items():
        with pytest.raises(bt.FrameError):
            load({**good.header, name: value}, payload)
    with pytest.raises(bt.FrameError):
        load({**good.header, "settings": {**good.header["settings"], "subsample": "nan"}}, payload)
    with pytest.raises(bt.FrameError):
        load(good.header, payload[:-1])
    for name, bad in (("party", 7), ("feature", 2), ("missing_left", 2), ("threshold", np.nan), ("value", np.inf)):
        damaged = Half(**{k: v.copy() for k, v in half.arrays().items()})
        getattr(damaged, name)[0, 0] = bad
        with pytest.raises(bt.FrameError):
            damaged.check(settings, 2)
    for _ in range(200):  # whatever is in a file: a model, or a FrameError
        data = bytearray(encode(Kind.GRADIENT_BOOSTING, good.header, payload))
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        (tmp_path / "bad").write_bytes(data)
        with contextlib.suppress(bt.FrameError):
            bt.vertical.GradientBoosting.load(tmp_path / "bad")


def test_halves_of_different_models_do_not_predict(fitted, parties, toy):
    made, tables, y = fitted
    other = parties(1, **P).fit(tables, 1 - y[::-1])
    made.hosts[0]._half = other.hosts[0]._half
    with pytest.raises(bt.ProtocolAbort, match="different models"):
        made.predict_proba(tables)


def test_a_question_about_more_splits_than_a_host_has_is_refused(fitted):
    """At the roots this host has at most 1 split; each is asked about by a number and 10 bytes for 80 rows."""
    made, tables, _ = fitted
    host, (here, there) = made.hosts[0], bt.vertical.local_links("guest", "host-1", seconds=5)
    host._half.feature[0, 0] = -1  # the first tree's root is the guest's
    roots = int((host._half.feature[:, 0] >= 0).sum())
    here.scope("gradient_boosting.predict", 0)
    here.send("offer", {"rows": 80, "model": host._half.digests[0].tobytes(), "ids": b""})
    here.scope("gradient_boosting.predict", 2)
    here.send("ask", {}, [bytes(4 * (roots + 1)), bytes(10 * (roots + 1))])
    most = 14 * roots
    with pytest.raises(bt.ProtocolAbort, match=f"'ask' has {most + 14} bytes where at most {most} are due") as caught:
        host.decision_function(tables[1], link=there, ids=range(80))
    assert caught.value.party == "guest"


@pytest.mark.parametrize("name", ["n_estimators", "max_depth", "min_samples_leaf", "subsample", "share_gain"])
def test_parties_must_have_agreed(parties, toy, name):
    tables, y = toy(40, [1, 1])
    made = parties(1, **P)
    made.hosts[0].set_params(**{name: {"subsample": 0.5, "share_gain": True}.get(name, 3)})
    with pytest.raises(bt.ProtocolAbort):
        made.fit(tables, y)


def test_rows_must_be_as_many(parties, toy):
    tables, y = toy(40, [1, 1])
    made = parties(1, **P)
    with pytest.raises(bt.ProtocolAbort):
        made.fit([tables[0], tables[1][:-1]], y)
    made = parties(1, **P).fit(tables, y)
    with pytest.raises(bt.ProtocolAbort):
        made.predict_proba([tables[0], tables[1][:-1]])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"n_estimators": 0}, "n_estimators"),
        ({"max_depth": 2.0}, "max_depth"),
        ({"subsample": 0}, "subsample"),
        ({"base_score": 1.0}, "base_score"),
        ({"first_tree_local": 1}, "first_tree_local"),
        ({"key_size": 1024}, "key_size"),
        ({"role": "bank"}, "role"),
        ({"reg_lambda": float("nan")}, "reg_lambda"),
    ],
)
def test_wrong_parameters_are_named(change, error):
    link, _ = bt.vertical.local_links()
    with pytest.raises((ValueError, TypeError, bt.InvalidKey), match=error):
        bt.vertical.GradientBoosting(**change).fit([[1.0], [2.0]], [0, 1], link=link)


@pytest.mark.parametrize(
    ("x", "y", "error"),
    [
        ([1.0, 2.0], [0, 1], "shape"),
        ([[1.0], [np.inf]], [0, 1], "infinite"),
        ([["a"], [2]], [0, 1], "mixes numbers and texts"),
        ([[1.0], [2.0]], [0, 0], "two classes"),
        ([[1.0], [2.0]], [0.5, 1], "whole"),
        ([[1.0], [2.0]], [0, np.nan], "missing"),
        ([[1.0], [2.0]], None, "give y"),
        ([[1.0], [2.0]], [0], "shape"),
        ([[1.0], [2.0]], [1, "1"], "y mixes int and str"),
        ([[1.0], [2.0]], ["a", None], "missing"),
        (np.ma.array([[1.0], [2.0]], mask=[[0], [1]]), [0, 1], "X is masked"),
        ([[1.0], [2.0]], np.ma.array([0, 1], mask=[0, 1]), "y is masked"),
        ([[1.0], [2.0]], [0, np.ma.masked], r"y\[1\] is masked"),
    ],
)
def test_wrong_data_is_named(x, y, error):
    link, _ = bt.vertical.local_links(seconds=5.0)  # what is taken waits for a peer
    with pytest.raises((ValueError, TypeError), match=error):
        bt.vertical.GradientBoosting().fit(x, y, link=link)


def test_other_calls_are_refused(fitted):
    made, tables, y = fitted
    with pytest.raises(ValueError, match="link is missing"):
        made.guest.fit(tables[0], y)
    with pytest.raises(ValueError, match="one link"):
        made.hosts[0].fit(tables[1], links=made.theirs * 2)
    with pytest.raises(ValueError, match="links to all"):
        made.guest.predict(tables[0], links=made.ours * 2)
    with pytest.raises(ValueError, match="2 names, but X has 1 columns"):
        made.guest.predict(tables[0][:, :1], links=made.ours)
    with pytest.raises(ValueError, match="at least one column"):
        made.hosts[0].fit(np.zeros((3, 0)), link=made.theirs[0])
    with pytest.raises(ValueError, match="different names"):
        made.guest.fit(tables[0], y, links=made.ours, columns=["a", "a"])


def test_a_real_key_of_its_own(toy, together):
    """Without the shared key: a guest makes one, of the size that was asked for."""
    tables, y = toy(40, [1, 1])
    p = {"n_estimators": 1, "max_depth": 1, "key_size": 2048, "min_samples_leaf": 5, "first_tree_local": False}
    guest, host = (bt.vertical.GradientBoosting(role=role, **p) for role in ("guest", "host"))
    a, b = bt.vertical.local_links()
    together([lambda: guest.fit(tables[0], y, link=a), lambda: host.fit(tables[1], link=b)])
    assert a.bytes_sent > 40 * 512


def test_log_odds_beyond_a_double(parties, toy):
    """Log-odds below -709, of which exp(-score) is infinite: the probability is 0, without a warning."""
    tables, y = toy(60, [1, 1])
    p = {
        **P,
        "base_score": 1e-300,
        "reg_lambda": 1.0,
        "learning_rate": 90.0,
        "n_estimators": 2,
        "min_child_weight": 0.0,
    }
    made = parties(1, **p).fit(tables, y)
    scores, found = made.decision_function(tables), made.predict_proba(tables)[:, 1]
    assert scores.min() < -709
    assert np.array_equal(found, [0.0 if s < -709 else 1 / (1 + np.exp(-s)) for s in scores.tolist()])


def test_settings_travel_exactly():
    _link, _ = bt.vertical.local_links()
    settings = bt.vertical.GradientBoosting(learning_rate=0.1, base_score=0.3, random_state=5)._settings()
    assert Settings.from_fields(settings.to_fields()) == settings
