"""Binnings and trees that version 0.1.0 saved stay readable, and give what they gave; regressions are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical import GradientBoosting, LogisticRegression, WoEBinning, local_links
from bluetusk.vertical.binning.bins import from_version_1
from bluetusk.wire import frame

from .conftest import new_ids

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "vertical_models_v1.json").read_text())


def loaded(kind, name, tmp_path):
    (tmp_path / name).write_bytes(bytes.fromhex(GOLDEN[name]))
    return kind.load(tmp_path / name)


def guest_x():
    return np.array([[np.nan if v is None else v for v in row] for row in GOLDEN["x_guest"]])


def test_binnings_of_version_1(tmp_path):
    guest, host = (loaded(WoEBinning, f"binning_{role}", tmp_path) for role in ("guest", "host"))
    assert guest.transform(guest_x()).tolist() == GOLDEN["woe_guest"]
    x = [tuple(row) for row in GOLDEN["x_host"]]
    assert host.transform(x).tolist() == GOLDEN["woe_host"]
    as_text = [(job, str(int(code)), amount) for job, code, amount in x]  # what gave 0 everywhere in that version
    assert host.transform(as_text).tolist() == GOLDEN["woe_host"]
    assert [bins.labels() for bins in host.bins_] == GOLDEN["labels_host"]
    assert (host.categorical_, host.profile_) == (["job", "code"], [])
    with pytest.warns(bt.DataWarning, match="1 of 1 values in 1 categories"):
        assert host.transform([("astronaut", 1, 0.0)])[0, 0] == 0.0
    host.save(tmp_path / "again")
    again = WoEBinning.load(tmp_path / "again")
    assert again.transform(x).tolist() == GOLDEN["woe_host"]
    assert frame.decode((tmp_path / "again").read_bytes()).header["version"] == 3
    assert guest.peer_values()[0].tolist() == host.bins_[0].woe.tolist()


def test_binnings_of_version_2(tmp_path):
    """A host of that version knows its weights, of the bins that the guest had joined; both halves work as before."""
    golden = json.loads((Path(__file__).parents[1] / "vectors" / "binning_v2.json").read_text())
    halves = {}
    for role in ("guest", "host"):
        (tmp_path / role).write_bytes(bytes.fromhex(golden[role]))
        WoEBinning.load(tmp_path / role).save(tmp_path / "again")
        halves[role] = WoEBinning.load(tmp_path / "again")
    host = halves["host"]
    assert host.transform(golden["x"]).tolist() == golden["woe_host"]
    assert host.codes(golden["x"]).tolist() == golden["codes_host"]
    assert (host.iv_, [bins.labels() for bins in host.bins_]) == (golden["iv_host"], golden["labels_host"])
    assert host.sizes()[1] < 7  # joined
    assert host.select(0.5) == [name for name, iv in sorted(host.iv_.items(), key=lambda e: -e[1]) if iv >= 0.5]
    values = halves["guest"].peer_values()
    assert [value.tolist() for value in values] == [bins.woe.tolist() for bins in host.bins_]
    assert (halves["guest"].label_digest_, host.epsilon_) == (b"", None)


def test_bins_of_version_1_that_cannot_hold(tmp_path):
    assert from_version_1({"groups": [["sx"], ["n2.5", "n-0.0"]]})["groups"] == [["x"], ["2.5", "0"]]
    host = frame.decode(bytes.fromhex(GOLDEN["binning_host"]))
    payload = bytes(host.payload).replace(b'["n1.0"]', b'["s2"]')
    assert payload != bytes(host.payload)
    (tmp_path / "bad").write_bytes(frame.encode(host.kind, host.header, payload))
    with pytest.raises(bt.FrameError, match="'code' hold a number and the same text: fit the column again"):
        WoEBinning.load(tmp_path / "bad")


def test_trees_of_version_1(both, tmp_path):
    guest, host = (loaded(GradientBoosting, f"boosting_{role}", tmp_path) for role in ("guest", "host"))
    numbers = np.array([row[1:] for row in GOLDEN["x_host"]], dtype=float)
    for _ in range(2):
        here, there = local_links(seconds=30)
        scores, _ = both(
            lambda: guest.decision_function(guest_x(), link=here),  # noqa: B023
            lambda: host.decision_function(numbers, link=there, ids=new_ids(len(numbers))),  # noqa: B023
        )
        assert scores.tolist() == GOLDEN["scores"]
        guest.save(tmp_path / "guest")
        host.save(tmp_path / "host")
        guest, host = (GradientBoosting.load(tmp_path / role) for role in ("guest", "host"))
    assert (host.categories_, host.profile_) == ({}, [])
    with pytest.raises(ValueError, match="no categories of it"):
        host.decision_function(GOLDEN["x_host"][:1] and [["a", "b"]], link=there)


def test_damaged_categories_of_trees_are_refused(tmp_path):
    model = loaded(GradientBoosting, "boosting_host", tmp_path)
    model.categories_ = {"code": ["1", "2"]}
    model.save(tmp_path / "model")
    got = frame.decode((tmp_path / "model").read_bytes())
    payload = bytes(got.payload)

    def load(data, **fields):
        (tmp_path / "bad").write_bytes(frame.encode(got.kind, {**got.header, **fields}, data))
        return GradientBoosting.load(tmp_path / "bad")

    assert load(payload).categories_ == {"code": ["1", "2"]}
    for old, new in (
        (b'"code"', b'"coda"'),
        (b'["1", "2"]', b'["1", "1"]'),
        (b'"profile"', b'"profane"'),
        (b"{", b"["),
    ):
        assert payload.count(old)
        about = payload[-got.header["about"] :].replace(old, new)
        with pytest.raises(bt.FrameError, match=r"categories|columns"):
            load(payload[: -got.header["about"]] + about, about=len(about))
    for size in (0, len(payload) + 1, -1, True):
        with pytest.raises(bt.FrameError):
            load(payload, about=size)


def test_regressions_with_open_coefficients_are_refused(tmp_path):
    """The form that version 0.1.0 wrote, by hand: coefficients and intercept in units of 2^-20, losses of 2^-16."""
    header = {
        "role": "guest",
        "columns": ["a", "b"],
        "sigmoid": "linear",
        "model": bytes(32),
        "epochs": 3,
        "losses": [9],
    }
    values = np.array([1 << 20, -(1 << 19), 3 << 18], "<i8")
    (tmp_path / "old").write_bytes(frame.encode(frame.Kind.LOGISTIC_REGRESSION, header, values.tobytes()))
    with pytest.raises(bt.FrameError, match=r"open coefficients.*train again"):
        LogisticRegression.load(tmp_path / "old")
