"""Crashes at any message, messages of an enemy, and what each party can open."""

from __future__ import annotations

import itertools
import re
import threading

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier.array import encrypt_integers
from bluetusk.vertical.boosting import guest as _boosting_guest
from bluetusk.vertical.boosting import host as _boosting_host
from bluetusk.vertical.boosting import sums
from bluetusk.vertical.boosting.guest import GuestJob
from bluetusk.vertical.boosting.sums import Layout, gains
from bluetusk.vertical.protocol.link import Link, Observer, Rewind
from bluetusk.wire.frame import Kind, decode, encode

pytestmark = pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")  # toys of 40 rows have few events

P = {
    **{"n_estimators": 2, "max_depth": 2, "min_samples_leaf": 5, "min_bucket_rows": 4, "random_state": 3},
    **{"reg_lambda": 0.0, "min_child_weight": 1e-3},  # so that toys of 30 rows split at every level
    **{"first_tree_local": False, "min_events": 0, "min_others": 0},
}


def bits(model):
    return b"".join(a.tobytes() for a in model._half.arrays().values())


class Killed(BaseException):
    """The process is gone."""


class Disk:
    """What both parties have kept, and where they meet again after a crash of either."""

    def __init__(self):
        self.states = {"guest": {0: None}, "host": {0: None}}
        self.meet = threading.Barrier(2)
        self.queues = {"guest": [], "host": []}
        self.news = threading.Condition()
        self.sends = dict.fromkeys(self.states, 0)
        self.kill = set()
        self.killed = []


class Party:
    """A channel and a keeper for one party; kills it before a message that is due to be killed at."""

    def __init__(self, me, disk):
        self.me, self.peer, self.disk = me, {"guest": "host", "host": "guest"}[me], disk

    def send(self, data):
        disk = self.disk
        disk.sends[self.me] += 1
        if (self.me, disk.sends[self.me]) in disk.kill:
            disk.killed.append((self.me, disk.sends[self.me]))
            with disk.news:
                disk.queues[self.peer].append(None)
                disk.news.notify_all()
            raise Killed
        with disk.news:
            disk.queues[self.peer].append(data)
            disk.news.notify_all()

    def recv(self):
        with self.disk.news:
            assert self.disk.news.wait_for(lambda: self.disk.queues[self.me], 30)
            if None in self.disk.queues[self.me]:
                raise Rewind
            return self.disk.queues[self.me].pop(0)

    def resume(self, task):
        self.disk.meet.wait(30)
        index = min(max(states) for states in self.disk.states.values())
        self.disk.queues[self.me].clear()
        self.disk.meet.wait(30)
        return index, self.disk.states[self.me][index]

    def commit(self, task, index, state):
        self.disk.states[self.me][index] = state


def trained(disk, tables, y, together, **params):
    """Train; a party that is killed starts anew, as another process would: with nothing but its data and its disk."""
    models = {}

    def run(me):
        while True:
            party = Party(me, disk)
            link = Link(party, me=me, peer=party.peer)
            models[me] = bt.vertical.GradientBoosting(role=me, key_size=2048, threads=1, **{**P, **params})
            data = (tables[0], y) if me == "guest" else (tables[1],)
            try:
                models[me].fit(*data, link=link, keeper=party)
            except Killed:
                continue
            return

    together([lambda: run("guest"), lambda: run("host")])
    return models


def test_a_crash_before_any_message_changes_nothing(one_key, toy, together):
    tables, y = toy(60, [2, 2], missing=0.1)
    whole = Disk()
    expected = trained(whole, tables, y, together, subsample=0.8)
    disk = Disk()
    # every message that is sent, counted with those that are sent again
    disk.kill = {(me, k) for me in ("guest", "host") for k in range(3, 40, 6)}
    found = trained(disk, tables, y, together, subsample=0.8)
    assert len(disk.killed) >= 5
    assert {me for me, _ in disk.killed} == {"guest", "host"}
    assert bits(found["guest"]) == bits(expected["guest"])
    assert bits(found["host"]) == bits(expected["host"])
    assert disk.states["guest"][3] == whole.states["guest"][3]
    assert sorted(disk.states["guest"]) == sorted(disk.states["host"]) == [0, 1, 2, 3]


@pytest.mark.parametrize("me", ["guest", "host"])
def test_a_crash_at_each_message(one_key, toy, together, me):
    """At every single message of the run, one run each."""
    tables, y = toy(40, [1, 2])
    whole = Disk()
    expected = trained(whole, tables, y, together, n_estimators=1)
    for k in range(1, whole.sends[me] + 1):
        disk = Disk()
        disk.kill = {(me, k)}
        found = trained(disk, tables, y, together, n_estimators=1)
        assert disk.killed == [(me, k)]
        assert all(bits(found[who]) == bits(expected[who]) for who in found)


def test_states_belong_to_their_data(one_key, toy, together):
    tables, y = toy(40, [1, 1])
    disk = Disk()
    trained(disk, tables, y, together)
    for role, state in ((r, disk.states[r][2]) for r in ("guest", "host")):
        link, _ = bt.vertical.local_links()

        class Keep:
            def resume(self, task, state=state):
                return 2, state

        other = bt.vertical.GradientBoosting(role=role, key_size=2048, **P)
        data = (tables[0] + 1, y) if role == "guest" else (tables[1] * 2,)
        with pytest.raises(bt.FrameError, match="other rows"):
            other.fit(*data, link=link, keeper=Keep())


def test_kept_scores_belong_to_their_rows(one_key, toy, together):
    tables, y = toy(40, [1, 1])
    models, disk = trained(Disk(), tables, y, together), Disk()

    def scores(rows):
        def one(me, table):
            party = Party(me, disk)
            ids = {"ids": range(rows)} if me == "host" else {}
            link = Link(party, me=me, peer=party.peer)
            return models[me].decision_function(table[:rows], link=link, keeper=party, **ids)

        return together([lambda: one("guest", tables[0]), lambda: one("host", tables[1])])

    first, nothing = scores(40)
    assert nothing is None
    again, _ = scores(40)  # from what was kept
    assert np.array_equal(first, again)
    with pytest.raises(bt.FrameError, match="other rows"):
        scores(39)


# --- an enemy -----------------------------------------------------------------------------------------------


class Tampering:
    """Changes the message number `at` that passes this end."""

    def __init__(self, inner, at, change):
        self.inner, self.at, self.change, self.seen = inner, at, change, 0

    def send(self, data):
        self.inner.send(data)

    def recv(self):
        data = self.inner.recv()
        self.seen += 1
        return self.change(data) if self.seen == self.at else data


def edited(**fields):
    def change(data):
        frame = decode(data)
        header = dict(frame.header)
        header["fields"] = {**header["fields"], **fields}
        return encode(Kind.VERTICAL, header, bytes(frame.payload))

    return change


def repacked(parts):
    def change(data):
        frame = decode(data)
        return encode(Kind.VERTICAL, {**frame.header, "parts": [len(p) for p in parts]}, b"".join(parts))

    return change


def flipped(rng):
    def change(data):
        frame = decode(data)
        payload = bytearray(frame.payload)
        if payload:
            payload[rng.integers(len(payload))] ^= 1 << rng.integers(8)
        return encode(Kind.VERTICAL, frame.header, bytes(payload))

    return change


def attacked(parties, tables, y, who, at, change, **params):
    """Return the errors of a run in which one message to `who` is changed: ours only, or none."""
    made = parties(1, **{**P, "n_estimators": 1, **params})
    link = (made.ours if who == "guest" else made.theirs)[0]
    link.channel = Tampering(link.channel, at, change)
    try:
        made.fit(tables, y)
    except bt.BluetuskError as error:
        return error
    return None


def for_the_host(toy):
    """The guest's column says nothing, so every split is the host's and every message is sent."""
    tables, y = toy(30, [1, 2])
    return [np.zeros((30, 1)), tables[1]], y


BAD = [-1, 1 << 40, "x", True, [], [0, 0], [10**9], ["x"]]
# messages to the host: 1 offer, 2 gradients, 3 level, 4 choice, 5 level, 6 choice; to the guest: 1 ready, 2 candidates
FIELDS = [
    *(("host", at, name) for at, names in ((1, ("rows", "host", "settings")), (2, ("rows",))) for name in names),
    *(("host", at, name) for at in (3, 5) for name in ("active", "split")),
    *(("host", 4, name) for name in ("places", "handles")),
    *(("guest", at, name) for at, name in ((1, "rows"), (1, "columns"), (1, "max_bins"), (2, "counts"))),
]


@pytest.mark.parametrize(("who", "at", "name"), FIELDS)
def test_fields_of_an_enemy(parties, toy, who, at, name):
    tables, y = for_the_host(toy)
    for value in BAD:
        if value == [] and name in ("active", "places"):
            continue  # "nothing more is to be done": allowed, and the guest would wait
        error = attacked(parties, tables, y, who, at, edited(**{name: value}))
        assert error is not None or (name, at, value) == ("split", 3, []), value


@pytest.mark.parametrize(("who", "at"), [("host", k) for k in range(1, 7)] + [("guest", k) for k in (2, 3, 4)])
def test_payloads_of_an_enemy(parties, toy, who, at):
    tables, y = for_the_host(toy)
    rng = np.random.default_rng(at)
    for change in [flipped(rng)] * 3 + [repacked([]), repacked([b""]), repacked([b"1"]), repacked([b"", b"", b""])]:
        attacked(parties, tables, y, who, at, change)  # ends with an error of ours, or with a model


@pytest.mark.parametrize("payload", [b"\xff\xff\xff\xfc", bytes(4)])
def test_a_level_that_empties_a_node_is_refused(parties, toy, payload):
    """All rows go to one side: the other has none, whatever the guest says."""
    tables, y = for_the_host(toy)
    error = attacked(parties, tables, y, "host", 5, repacked([payload]))
    assert "fewer rows than min_samples_leaf" in str(error)
    assert error.party == "guest"


def test_a_flood_of_sums_is_refused_by_what_the_host_has_stated(parties, toy):
    """The root's 30 rows in 2 columns have at most 118 splits: a few ciphertexts."""
    tables, y = for_the_host(toy)
    error = attacked(parties, tables, y, "guest", 2, repacked([bytes(1 << 16)]))
    assert re.search("'candidates' has .* bytes where at most", str(error))
    assert error.party == "host-1"
    most = int(re.search(r"at most (\d+)", str(error)).group(1))
    assert most < 1 << 13
    error = attacked(parties, tables, y, "guest", 2, edited(counts=[119]))
    assert "2 columns of at most 32 buckets have fewer splits" in str(error)


def test_a_state_of_an_earlier_version_is_refused(parties, toy):
    tables, y = toy(40, [1, 1])
    job = _boosting_guest.GuestJob(parties(1, **P).guest._settings(), tables[0], y.astype(bool), ["x"], 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(_boosting_guest._STATE, "shapes")
        whole = job.state()
        old = decode(whole)
        header = {**old.header, "arrays": [entry for entry in old.header["arrays"] if entry[0] != "shapes"]}
    with pytest.raises(bt.FrameError, match=r"earlier version.*new job name"):
        job.restore(encode(Kind.VERTICAL_STATE, header, bytes(old.payload)))
    job.restore(whole)


def test_sums_that_cannot_be_end_nothing(parties, toy, monkeypatch):
    """An error would tell the host something about labels."""
    tables, y = toy(60, [1, 2])
    real = _boosting_host.left_sums
    for factor in (2, -3, 1 << 40):
        monkeypatch.setattr(_boosting_host, "left_sums", lambda c, cuts, *more, k=factor: real(c * k, cuts, *more))
        parties(1, **P).fit(tables, y)


def test_sums_larger_than_their_node_are_no_candidates(pub, priv):
    """What is opened is a number, and no split can have it: whether an error comes would depend on it."""
    settings = bt.vertical.GradientBoosting(frac_bits=10, min_child_weight=0.0, reg_lambda=1.0)._settings()
    layout = Layout(100, 10)
    assert pub.bits == 2048
    sums = [(5, 3), (101 << 10, 3), (-(101 << 10), 3), (5, 700)]
    width, top = layout.slot_bits, layout.slot_bits * len(sums)
    packed = sum(((g << layout.h_bits) + h) << (width * j) for j, (g, h) in enumerate(sums))
    plan = bt.FixedPoint.integers(1)
    for above in (0, 1):  # the last sum goes on beyond its place
        value = np.array([packed + (above << top)], object)
        got = decode(encrypt_integers(priv, value, plan, frac=0, bound=1 << 2040).to_bytes(1 << 2040))
        data = encode(got.kind, {**got.header, "bound": b"\x05"}, got.payload)  # and beyond the bound that it declares
        g, h = layout.unpacked(priv, data, len(sums), "host")
        assert g.tolist() == [5, 0, 0, 5]
        assert h.tolist() == [3, -1, -1, 700]
        assert (gains(g, h, (20, 600), settings) > -np.inf).tolist() == [True, False, False, False]


def test_of_a_partition_that_does_not_have_the_sums_the_guest_alone_is_told(parties, toy, monkeypatch):
    tables, y = toy(60, [1, 2])
    real = _boosting_host.HostJob._note

    def lying(self, *args):
        left = real(self, *args)
        return left[::-1].copy()

    monkeypatch.setattr(_boosting_host.HostJob, "_note", lying)
    with pytest.warns(bt.DataWarning, match="'host-1' sent rows for its splits that do not have the sums"):
        made = parties(1, **P).fit(tables, y)
    assert "'host-1'" in made.guest.findings_[-1]
    assert made.hosts[0].findings_ == []
    job = GuestJob(made.guest._settings(), tables[0], y.astype(bool), ["x0"], 1)
    before = job.state()
    job.false.add(1)
    kept = job.state()
    job.restore(before)
    assert job.false == {1}  # a step that is taken again does not make it unseen
    job.false.clear()
    job.restore(kept)
    assert job.false == {1}


def test_mirror_images_are_equally_good(parties, toy):
    """A column and its negative: each split is the other's mirror image, with other sums and the same gain."""
    (x, _), y = toy(60, [1, 1], values=9)
    nothing, p = np.zeros((60, 1)), {**P, "n_estimators": 4, "min_bucket_rows": 1}
    both = parties(1, **p).fit([nothing, np.hstack([x, -x])], y)
    one = parties(1, **p).fit([nothing, x], y)
    assert both.hosts[0].split_counts_.tolist() == [*one.hosts[0].split_counts_.tolist(), 0]
    assert one.hosts[0].split_counts_.sum() >= 8
    for name in ("threshold", "gain", "value"):
        assert np.array_equal(getattr(both.guest._half, name), getattr(one.guest._half, name))
        assert np.array_equal(getattr(both.hosts[0]._half, name), getattr(one.hosts[0]._half, name))


def test_the_peer_is_told_of_a_failure_but_not_why(parties, toy, together):
    tables, y = toy(40, [1, 1])

    class Forbids(Observer):
        def authorise(self, **about):
            assert about["columns"] == ["x0"]
            assert about["rows"] == 40
            assert about["min_rows"] == P["min_bucket_rows"]
            assert about["purpose"] == "gradient_boosting"
            raise bt.ProtocolAbort("the policy of the owner of INCOME forbids it")

    made = parties(1, **P)
    made.theirs[0].observer = Forbids()
    errors = []

    def guest():
        try:
            made.guest.fit(tables[0], y, link=made.ours[0])
        except bt.ProtocolAbort as error:
            errors.append(error)

    with pytest.raises(bt.ProtocolAbort, match="INCOME"):
        together([guest, lambda: made.hosts[0].fit(tables[1], link=made.theirs[0])])
    assert errors[0].party == "host-1"
    assert "INCOME" not in str(errors[0])


# --- what can be opened -------------------------------------------------------------------------------------


class Recorder(Observer):
    def __init__(self):
        self.frames, self.counts = [], {}

    def passed(self, *, peer, task, sent, frame):
        self.frames.append((sent, decode(frame)))

    def count(self, *, peer, task, what, number):
        self.counts[what] = self.counts.get(what, 0) + number


def pieces(frame):
    ends = np.cumsum([0, *frame.header["parts"]]).tolist()
    return [bytes(frame.payload[a:b]) for a, b in itertools.pairwise(ends)]


def test_the_guest_can_open_the_documented_sums_and_nothing_else(parties, toy, priv):
    """One node, every ciphertext that a host sends opened with the key: the sums of its cuts, each once."""
    tables, y = toy(60, [1, 2])
    made = parties(1, **{**P, "n_estimators": 1, "max_depth": 1})
    told = made.theirs[0].observer = Recorder()
    made.fit(tables, y)
    sent = [f for out, f in told.frames if out]
    assert [f.header["topic"] for f in sent][:2] == ["ready", "candidates"]
    assert {f.header["topic"] for f in sent} <= {"ready", "candidates", "partition"}
    (count,) = sent[1].header["fields"]["counts"]
    layout = Layout(60, 24)
    c = bt.CipherArray.from_bytes(pieces(sent[1])[0], priv.public_key)
    blocks = [int(v) % priv.public_key.n for v in priv.decrypt_integers(c)]
    prob = y.mean()
    g, h = (np.rint(v * 2.0**24).astype(np.int64) for v in (prob - y, np.full(60, prob * (1 - prob))))
    expected = []
    for column in tables[1].T:
        last = 0
        distinct = np.unique(column)
        edges = (
            np.unique(np.quantile(column, np.arange(1, 32) / 32, method="midpoint"))
            if len(distinct) > 32
            else (distinct[:-1] / 2 + distinct[1:] / 2)
        )
        for edge in edges:
            left = column <= edge
            if left.sum() - last >= 4 and (~left).sum() >= 4:
                last = left.sum()
                if min(left.sum(), (~left).sum()) >= 5:
                    expected.append((int(g[left].sum()) << layout.h_bits) + int(h[left].sum()))
    assert count == len(expected) == told.counts["values_revealed"]
    opened = []
    assert len(blocks) == -(-count // layout.slots(priv.public_key).count)
    for block in blocks:  # centred digits, and a random number above them
        for _ in range(min(count - len(opened), layout.slots(priv.public_key).count)):
            low = block % (1 << layout.slot_bits)
            low -= (1 << layout.slot_bits) * (low >> (layout.slot_bits - 1))
            opened.append(low)
            block = (block - low) >> layout.slot_bits
    assert sorted(opened) == sorted(expected)
    assert opened != expected  # 15 sums or so: in their own order once in 10^12


def test_the_order_of_the_sums_is_uniform_and_the_ciphertexts_are_fresh(parties, toy, monkeypatch, priv):
    tables, y = toy(24, [1, 1], values=5, seed=1)
    made = parties(1, **{**P, "n_estimators": 40, "max_depth": 1, "min_samples_leaf": 1, "min_bucket_rows": 1})
    orders, real = [], _boosting_host.left_sums

    def noted(c, cuts, order):
        orders.append(order)
        return real(c, cuts, order)

    monkeypatch.setattr(_boosting_host, "left_sums", noted)
    told = made.theirs[0].observer = Recorder()
    made.fit(tables, y)
    frames = [f for out, f in told.frames if out and f.header["topic"] == "candidates"]
    assert len({pieces(f)[0] for f in frames}) == len(frames) == 40
    size = len(orders[0])
    assert size == 4
    table = np.zeros((size, size))
    for order in orders:
        table[np.arange(size), order] += 1
    expected = 40 / size
    chi2 = ((table - expected) ** 2 / expected).sum()
    assert chi2 < 40  # 9 degrees of freedom: more has probability 1e-5


def test_hosts_see_no_leaf(parties, toy):
    """After the last level nothing is sent: which leaf a row is in stays with the guest and who split last."""
    tables, y = toy(60, [2, 1, 1])
    made = parties(2, **{**P, "n_estimators": 1})
    told = made.theirs[0].observer = Recorder()
    made.fit(tables, y)
    levels = [f.header["fields"] for out, f in told.frames if not out and f.header["topic"] == "level"]
    assert len(levels) == 2
    assert {place for level in levels for place in level["split"]} <= {0}


def test_a_host_with_more_sums_than_a_message_holds_names_the_remedy(parties, toy, monkeypatch):
    """At the first node, before it works on it."""
    monkeypatch.setattr(_boosting_host, "MOST_BYTES", 1500)
    monkeypatch.setattr(_boosting_host, "histograms", lambda *args: pytest.fail("it computes what it cannot send"))
    tables, y = toy(60, [2, 2])
    with pytest.raises(bt.ProtocolAbort) as caught:
        parties(1, **P).fit(tables, y)
    for part in ("lower max_bins=32 at this host", "max_depth=2 at all parties", "raise min_bucket_rows=4", "1500"):
        assert part in str(caught.value)


@pytest.mark.parametrize("count", [1, 55, 56, 57, 140])
def test_sums_open_the_same_in_blocks(keypair, monkeypatch, count):
    """Also those that are out of range."""
    pub, priv = keypair
    layout = Layout(100, 24)
    rng = np.random.default_rng(count)
    g, h = rng.integers(-(100 << 24), 100 << 24, count), rng.integers(0, 25 << 24, count)
    g[0] = 101 << 24
    slots = layout.slots(pub)
    packed = [block + slots.bound for block in slots.packed(layout.packed(g, h).tolist())]  # what the host puts above
    c = encrypt_integers(pub, np.array(packed, object), sums._PLAN, frac=0, bound=1 << (pub.bits - 3))
    monkeypatch.setattr(sums, "_OPENED", 2)
    found = layout.unpacked(priv, c.to_bytes(bound=c.bound), count, "host")
    assert [v.dtype for v in found] == [np.int64, np.int64]
    assert (found[0][0], found[1][0]) == (0, -1)
    assert (found[0][1:] == g[1:]).all()
    assert (found[1][1:] == h[1:]).all()
