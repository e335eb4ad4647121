"""A host that looks for bins without an event, or without anything else, by exact weights of evidence.

At a rate of events of 0.6 %, bins of fifty rows and more often hold no event at all. Whoever is shown the weights of
bins and knows which rows are in them computes the events of each bin, and so knows the label of each row of a bin
without an event: by a few columns, of nearly all rows. It wins where a policy asks for rows alone. A policy that asks
for events and others as well refuses the task, or the bins are joined until each holds enough of both.
"""

from __future__ import annotations

import contextlib
import inspect
import threading

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.evidence import Grant, Guard, Identity, Log, Meter, Policy, Recorder
from bluetusk.evidence.policy import UNLIMITED
from bluetusk.vertical import WoEBinning, local_links

ROWS, RATE, COLUMNS, BINS, LEAST, SMOOTHING = 6000, 0.006, 6, 64, 50, 0.5
NEVER = 1e-6  # how often a test of chance may fail
OWNER, HOST = Identity.generate(), "5a" * 32
ENOUGH = {"min_events": 5, "min_others": 5}
NONE = {"min_events": 0, "min_others": 0}


def tables(seed=1):
    """The labels, which the columns do not tell, and the host's columns."""
    rng = np.random.default_rng(seed)
    return (rng.random(ROWS) < RATE).astype(np.int64), rng.normal(size=(ROWS, COLUMNS))


def events_of(rows, woe, total):
    """Return the events of each bin from exact weights, the inverse of their formula."""
    smoothed = SMOOTHING * len(rows)
    odds = np.exp(woe) * (total + smoothed) / (rows.sum() - total + smoothed)
    return (odds * (rows + SMOOTHING) - SMOOTHING) / (1 + odds)


def named(x, weights, labels):
    """Return how many rows the host names, and how many of them rightly, given how many events there are in all."""
    sure, total = np.full(len(labels), -1), int(labels.sum())
    for k, (rows, woe) in enumerate(weights):
        assert rows.sum() == len(labels)
        place = np.argsort(x[:, k], kind="stable")  # its own bins are no secret to it
        joined = np.flatnonzero(np.append(True, np.diff(woe) != 0))  # where neighbours of equal weight were joined
        for first in (np.arange(len(rows)), joined):
            counts = np.add.reduceat(rows, first)
            events = events_of(counts, woe[first], total)
            if abs(events.sum() - total) > 1e-6:
                continue  # they were not joined like that
            for at, count, marked in zip(np.cumsum(counts) - counts, counts, events, strict=True):
                if min(abs(marked), abs(count - marked)) < 1e-6:
                    sure[place[at : at + count]] = int(marked > 0.5)
    return int((sure >= 0).sum()), int((sure[sure >= 0] == labels[sure >= 0]).sum())


def shown(folder, labels, x, least, **more):
    """Let both bin together under the policy of the owner of labels; return rows and weights of the host's bins."""
    lifted = dict.fromkeys(("max_bins", "max_sums"), UNLIMITED)
    grant = Grant("g", HOST, ("binning",), ("*",), uses=1, until=1 << 39, min_total_events=0, **lifted, **least)
    with (
        Guard(Policy("bank", 1, (grant,)).sign(OWNER), folder / "uses", owner=OWNER.public_key) as guard,
        Log.create(folder / "log", OWNER, owner="bank") as log,
    ):
        recorder = Recorder(log=log, meter=Meter(), job="j", me="guest", peers={"host": HOST}, guard=guard)
        here, there = local_links(observers=(recorder, None), seconds=60)
        given = {"max_bins": BINS, "min_rows": LEAST, "smoothing": SMOOTHING, "key_size": 2048, **more}

        def host():
            with contextlib.suppress(bt.ProtocolAbort):  # the guest is not allowed to
                WoEBinning("host", **given).fit(x, link=there)

        thread = threading.Thread(target=host, daemon=True)
        thread.start()
        try:
            own = np.arange(len(labels))[:, None] % 7
            binning = WoEBinning("guest", **given).fit(own, labels, link=here)
        finally:
            thread.join(60)
    weights: dict[str, list[tuple[int, float]]] = {}
    for row in binning.table():
        if row["party"] == "host":
            weights.setdefault(row["column"], []).append((row["rows"], row["woe"]))
    return [
        (np.array(rows), np.array(woe)) for rows, woe in (zip(*weights[f"x{k}"], strict=True) for k in range(COLUMNS))
    ]


def test_bins_of_many_rows_alone_name_labels(tmp_path):
    """The attack wins on the planted weakness: a policy that asks for rows, not for events and others."""
    labels, x = tables()
    count, right = named(x, shown(tmp_path, labels, x, NONE), labels)
    assert right == count >= 0.8 * ROWS
    assert (1 - labels.mean()) ** count < NEVER  # that nobody guesses so many


@pytest.mark.parametrize("lacks", [{}, {"min_events"}, {"min_others"}])
def test_a_policy_of_a_bank_refuses_them(tmp_path, lacks):
    """Each of the two minima alone refuses bins that hold none of their kind."""
    labels, x = tables()
    least = {**ENOUGH, **dict.fromkeys(lacks, 0)}
    with pytest.raises(bt.PolicyRefused) as refused:
        shown(tmp_path, labels, x, least)
    assert refused.value.clause == ("min_events" if least["min_events"] else "min_others")


def test_joined_bins_name_nobody(tmp_path):
    """Bins that are joined until each holds enough of both pass the policy, and no row is in one without events."""
    if "min_events" not in inspect.signature(WoEBinning).parameters:
        pytest.skip("this binning cannot be asked for events")
    labels, x = tables()
    assert named(x, shown(tmp_path, labels, x, ENOUGH, **ENOUGH), labels) == (0, 0)


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    labels, x = tables()
    places = [folder / name for name in ("package", "planted")]
    for place in places:
        place.mkdir()
    found, _ = named(x, shown(places[0], labels, x, ENOUGH, **ENOUGH), labels)
    planted, _ = named(x, shown(places[1], labels, x, NONE), labels)
    name = "labels certain, by weights shown of bins without an event at a rate of 0.6 %"
    return [(name, "host", found / ROWS, 0.0, 0.0, planted / ROWS)]
