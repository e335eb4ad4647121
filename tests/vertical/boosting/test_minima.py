"""What hosts see of the rows holds the minima of the two classes, and both sides count what they learn."""

from __future__ import annotations

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical.boosting.guest import GuestJob
from bluetusk.vertical.boosting.model import Settings
from bluetusk.vertical.boosting.sums import least_of_class
from bluetusk.vertical.protocol.link import Observer
from bluetusk.wire.frame import decode

pytestmark = pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")


class Seen(Observer):
    """Everything that one party sends, receives, counts and asks for."""

    def __init__(self):
        self.frames, self.counts, self.asked = [], {}, []

    def passed(self, *, peer, task, sent, frame):
        self.frames.append((sent, decode(frame)))

    def count(self, *, peer, task, what, number):
        self.counts[what] = self.counts.get(what, 0) + number

    def authorise(self, **about):
        self.asked.append(about)

    def of(self, topic):
        return [frame for _, frame in self.frames if frame.header["topic"] == topic]


def case(rows=600, seed=0, rate=0.3):
    """Columns of both parties that nearly separate the classes: pure nodes are there to be found."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    score = x[:, 0] + 1.5 * x[:, 2] + 0.3 * rng.normal(size=rows)
    return [x[:, :2], x[:, 2:]], (score > np.quantile(score, 1 - rate)).astype(int)


def shown(frames, rows, depth):
    """Yield the rows of every node that a host sees, from what it received, as it would follow them."""
    where, own = None, {}
    for sent, frame in frames:
        topic, fields = frame.header["topic"], frame.header.get("fields", {})
        bits = np.unpackbits(np.frombuffer(bytes(frame.payload), np.uint8)).astype(bool)
        if topic == "gradients":
            where, own, last = np.zeros(rows, int), {}, []
        elif topic == "level":
            above = np.flatnonzero(np.isin(where, fields["split"]))
            where[above] = 2 * where[above] + np.where(bits[: len(above)], 1, 2)
            last = fields["active"]
            for place in fields["split"]:
                for child in (2 * place + 1, 2 * place + 2):
                    yield child, where == child
        elif topic == "choice":
            own = fields["places"]
        elif topic == "partition":  # of its own splits it knows the sides, also below the last level
            assert sent
            assert set(own) <= set(last)
            at = 0
            for place in own:
                here = np.flatnonzero(where == place)
                for side in (bits[at : at + len(here)], ~bits[at : at + len(here)]):
                    yield place, np.isin(np.arange(rows), here[side])
                at += len(here)


def fewest(parties, params, tables, y):
    made = parties(1, **params)
    seen = made.theirs[0].observer = Seen()
    made.fit(tables, y)
    counts = [(int((rows & (y == 1)).sum()), int((rows & (y == 0)).sum())) for _, rows in shown(seen.frames, len(y), 3)]
    assert len(counts) > 4
    return np.array(counts).min(axis=0), np.array(counts).sum(axis=1).min()


MINIMA = {"min_events": 9, "min_others": 12, "min_samples_leaf": 30, "min_bucket_rows": 25}
WILD = {"n_estimators": 3, "max_depth": 3, "reg_lambda": 0.0, "min_child_weight": 0.0, "learning_rate": 1.0}


@pytest.mark.parametrize("more", [{}, {"first_tree_local": True}, {"subsample": 0.8, "random_state": 3}])
def test_every_node_that_a_host_sees_holds_the_minima(parties, more):
    tables, y = case()
    (events, others), rows = fewest(parties, {**WILD, **MINIMA, **more}, tables, y)
    assert events >= MINIMA["min_events"]
    assert others >= MINIMA["min_others"]
    assert rows >= MINIMA["min_bucket_rows"]


def test_without_minima_hosts_see_nodes_of_one_class(parties):
    tables, y = case()
    (events, others), _ = fewest(parties, {**WILD, **MINIMA, "min_events": 0, "min_others": 0}, tables, y)
    assert min(events, others) == 0


def test_the_check_is_what_holds_them(parties, monkeypatch):
    monkeypatch.setattr(GuestJob, "_enough", lambda self, *args: np.ones(len(args[-1]), bool))
    tables, y = case()
    (events, others), _ = fewest(parties, {**WILD, **MINIMA}, tables, y)
    assert events < MINIMA["min_events"] or others < MINIMA["min_others"]


def test_a_node_below_the_minima_does_not_split(parties):
    tables, y = case(rows=200, rate=0.1)
    made = parties(1, **{**WILD, "min_events": 15}).fit(tables, y)  # 20 events: no two sides have 15
    assert made.hosts[0].split_counts_.sum() == 0
    # the guest's own splits of the last level no host sees
    assert made.guest.split_counts_.sum() == 0
    made = parties(1, **{**WILD, "min_events": 15, "max_depth": 1}).fit(tables, y)
    assert made.hosts[0].split_counts_.sum() == 0
    assert made.guest.split_counts_.sum() == 3


@pytest.mark.parametrize("seed", range(8))
def test_the_bound_is_one_and_is_tight(seed):
    """Of random groups of rows and the most one-sided: never above the truth, and in the mean at least half of it."""
    rng = np.random.default_rng(seed)
    n = 400
    p = rng.beta(1 + seed % 3, 1 + seed, n).clip(1e-9, 1 - 1e-9)
    member = rng.random(n) < p
    d, h = member - p, p * (1 - p)
    groups = [rng.random(n) < share for share in rng.random(200)]
    order = np.argsort(member + rng.normal(scale=0.3, size=n))
    groups += [np.isin(np.arange(n), order[k:]) for k in range(0, n, 10)]
    groups += [np.isin(np.arange(n), order[:k]) for k in range(0, n, 10)]
    sums = np.array([(d[s].sum(), h[s].sum()) for s in groups])
    truth = np.array([(member & s).sum() for s in groups])
    found = least_of_class(member, d, h, *sums.T)
    assert (found <= truth + 0.01).all()
    many = truth >= 30
    assert np.mean(found[many] / truth[many]) > 0.5


@pytest.mark.parametrize("kind", ["none", "all", "certain"])
def test_the_bound_at_its_ends(kind):
    member = np.arange(10) < {"none": 0, "all": 10, "certain": 5}[kind]
    p = member.astype(float) if kind == "certain" else np.full(10, 0.25)
    found = least_of_class(member, member - p, p * (1 - p), np.array([(member - p)[:7].sum()]), np.array([0.0]))
    assert np.isfinite(found).all()
    assert (found <= member[:7].sum() + 0.01).all()


def test_both_sides_ask_and_count(parties):
    tables, y = case(rows=300)
    tables[1][:9, 0] = tables[1][9:50, 1] = np.nan
    p = {"n_estimators": 2, "max_depth": 2, "min_samples_leaf": 30, "min_bucket_rows": 25, "max_bins": 8}
    made = parties(1, **{**p, "min_events": 5, "min_others": 6, "min_child_weight": 1.0})
    guest, host = Seen(), Seen()
    made.ours[0].observer, made.theirs[0].observer = guest, host
    made.fit(tables, y)
    (asked,), (other,) = guest.asked, host.asked
    both = {"min_events": 5, "min_others": 6, "trees": 2, "depth": 2}
    assert both.items() <= asked.items()
    assert both.items() <= other.items()
    assert (asked["min_rows"], other["min_rows"]) == (30, 25)
    assert other["cuts"] == 7 + 2 * 7 + 1  # nine missing values always go right
    sums = sum(sum(f.header["fields"]["counts"]) for f in host.of("candidates"))
    sides = host.of("partition")
    assert sides
    assert guest.counts["sums_learned"] == 2 * sums == 2 * host.counts["values_revealed"] > 0
    assert 8 * sum(len(f.payload) for f in sides) - 7 * len(sides) <= guest.counts["bits_learned"]
    assert guest.counts["bits_learned"] <= 8 * sum(len(f.payload) for f in sides)
    assert "sums_learned" not in host.counts
    # a host learns no more than it is sent, and the lists of choices
    sent = 8 * sum(len(f.payload) for f in host.of("level")) + 64 * len(host.of("choice"))
    assert 0 < host.counts["bits_learned"] <= sent
    before = guest.counts["bits_learned"], host.counts["bits_learned"]
    made.decision_function(tables)
    assert guest.asked[1]["model"] == host.asked[1]["model"] == made.guest._half.digests[0].tobytes()
    assert guest.counts["bits_learned"] > before[0]
    assert host.counts["bits_learned"] >= before[1]


def test_minima_are_agreed(parties):
    tables, y = case(rows=200)
    for name in ("min_events", "min_others"):
        made = parties(1)
        made.hosts[0].set_params(**{name: 7})
        with pytest.raises(bt.ProtocolAbort, match=name):
            made.fit(tables, y)


def test_the_defaults_are_a_banks():
    given = bt.vertical.GradientBoosting().get_params()
    assert [given[k] for k in ("min_samples_leaf", "min_bucket_rows", "min_events", "min_others")] == [50, 50, 5, 5]
    assert given["first_tree_local"] is True


def test_earlier_models_have_no_minima():
    fields = bt.vertical.GradientBoosting()._settings().to_fields()
    earlier = {name: value for name, value in fields.items() if name not in ("min_events", "min_others")}
    found = Settings.from_fields(earlier)
    assert (found.min_events, found.min_others) == (0, 0)
    with pytest.raises(bt.FrameError):
        Settings.from_fields({k: v for k, v in fields.items() if k != "min_samples_leaf"})


def test_the_first_tree_is_the_guests_alone(parties):
    tables, y = case()
    made = parties(1, n_estimators=1, first_tree_local=True)
    seen = made.theirs[0].observer = Seen()
    made.fit(tables, y)
    assert {frame.header["topic"] for _, frame in seen.frames} == {"offer", "ready"}
    assert made.guest.split_counts_.sum() > 0


def test_a_guest_without_columns_is_told_what_to_do(parties):
    tables, y = case(rows=200)
    made = parties(1, first_tree_local=True)
    with pytest.raises(ValueError, match="set first_tree_local=False at all parties"):
        made.guest.fit(np.zeros((200, 0)), y, link=made.ours[0])
    made = parties(1, n_estimators=1, first_tree_local=False)
    made.fit([np.zeros((200, 0)), tables[1]], y)
    assert made.hosts[0].split_counts_.sum() > 0
