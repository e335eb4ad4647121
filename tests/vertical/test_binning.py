"""Joint binning gives what plain NumPy gives on the pooled table, shows no more than it says, and survives restarts."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier import array as arrays
from bluetusk.paillier.slots import Slots, mask
from bluetusk.vertical import Observer, WoEBinning, local_links
from bluetusk.vertical.binning import estimator as binning_estimator
from bluetusk.vertical.binning import guest as guest_half
from bluetusk.vertical.binning.common import Layout, Terms, label_plan
from bluetusk.vertical.binning.noised import noised
from bluetusk.wire import frame

N = 240
NAMES = ["flat", "strong", "coarse", "holes", "code"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    y = (rng.random(N) < 0.3).astype(int)
    x = rng.normal(size=(N, 5))
    x[:, 1] += 2 * y
    x[:, 2] = np.round(x[:, 2])
    x[rng.random(N) < 0.2, 3] = np.nan
    x[:, 4] = rng.choice([1, 2, 3, 9], size=N, p=[0.5, 0.3, 0.19, 0.01])
    return x, y


def make(role, **given):
    codes = ["code"] if role == "host" else ()
    return WoEBinning(
        role,
        **{"max_bins": 5, "min_rows": 12, "key_size": 2048, "categorical": codes} | given,
    )


def fitted(both, data, links=None, guest=None, host=None, **given):
    x, y = data
    g, h = links or local_links(seconds=30)
    guest, host = guest or make("guest"), host or make("host")
    both(
        lambda: guest.fit(x[:, :2], y, link=g, **given),
        lambda: host.fit(x, columns=NAMES, link=h, **given),
    )
    return guest, host


@pytest.fixture(scope="module")
def pair(data):
    from .conftest import Both

    return fitted(Both(), data)


def plain_woe(codes, y):
    """The definition, bin by bin."""
    k, out, iv = codes.max() + 1, [], 0.0
    for b in range(k):
        event = (np.sum((codes == b) & (y == 1)) + 0.5) / (y.sum() + 0.5 * k)
        other = (np.sum((codes == b) & (y == 0)) + 0.5) / ((y == 0).sum() + 0.5 * k)
        out.append(np.log(event / other))
        iv += (event - other) * out[-1]
    return np.array(out), iv


def test_weights_are_those_of_plain_numpy_on_the_pooled_table(data, pair):
    x, y = data
    guest, host = pair
    own = [(bins, bins.woe, bins.iv) for bins in guest.bins_]
    theirs = zip(host.bins_, guest.peer_values(), (c.iv for c in guest.hosts_[0]), strict=True)
    for (bins, values, iv), column in [*zip(theirs, x.T, strict=True), *zip(own, x.T, strict=False)]:
        if bins.kind == "numeric":
            codes = np.digitize(column, bins.edges)
            codes[np.isnan(column)] = bins.missing
        else:
            assert bins.labels() == ["1", "2", "3, others"] or bins.labels()[-1] == "others"
            codes = np.array([int(v) - 1 if [str(int(v))] in bins.groups else bins.other for v in column.tolist()])
        due, total = plain_woe(codes, y)
        assert np.allclose(values, due, rtol=0, atol=1e-12)
        assert iv == pytest.approx(total, abs=1e-12)
        assert np.array_equal(bins.rows, np.bincount(codes))
    for j, codes in enumerate(host.codes(x).T):
        assert np.array_equal(guest.peer_counts()[j], np.bincount(codes))
    assert host.sizes() == [len(values) for values in guest.peer_values()]


def test_guest_knows_counts_and_the_host_nothing(data, pair):
    _, y = data
    guest, host = pair
    for theirs, own in zip(guest.hosts_[0], host.bins_, strict=True):
        assert theirs.name == own.name
        assert np.array_equal(theirs.rows, own.rows)
        assert np.isnan(own.woe).all()
        assert (own.events, own.known) == (None, False)
        assert not hasattr(theirs, "edges")
        assert theirs.events.sum() == y.sum()
    assert (host.hosts_, host.iv_, host.epsilon_) == ([], {}, None)
    assert {(row["events"], row["woe"], row["iv"]) for row in host.table()} == {(None, None, None)}
    assert guest.bins_[0].events.sum() == y.sum()
    rows = guest.table()
    assert len(rows) == sum(b.n_bins for b in guest.bins_ + host.bins_)
    assert rows[0]["iv"] == max(row["iv"] for row in rows)
    assert {row["party"] for row in rows} == {"guest", "host"}
    assert len(guest.label_digest_) == 32
    assert guest.label_digest_ == host.label_digest_


def test_transform_and_select(data, pair):
    x, y = data
    guest, host = pair
    assert host.select(0.3) == NAMES
    with pytest.raises(ValueError, match=r"stay at the guest: train with LogisticRegression.fit"):
        host.transform(x)
    codes = host.codes(x)
    assert codes.shape == (N, 5)
    assert np.array_equal(host.codes(x, ["holes", "strong"]), codes[:, [3, 1]])
    assert np.array_equal(host.codes(x.tolist()), codes)
    woe = guest.transform(x[:, :2])
    for j, bins in enumerate(guest.bins_):
        assert set(woe[:, j]) == set(bins.woe)
    with pytest.raises(ValueError, match="not fitted"):
        host.codes(x, ["none"])
    with pytest.raises(ValueError, match="columns"):
        host.codes(x[:, :2])
    with pytest.raises(ValueError, match="not fitted yet"):
        make("host").select()
    limit = np.median([each.iv for each in guest.hosts_[0]])
    again = WoEBinning("guest", max_bins=5, min_rows=12).fit(x[:, :2], y)
    again.hosts_ = guest.hosts_
    assert again.select(0.3) == ["x1"]
    again.select(limit)
    for values, column in zip(again.peer_values(), guest.hosts_[0], strict=True):
        assert np.array_equal(values, column.woe * (column.iv >= limit))


def test_monotone_bins_of_the_host_are_joined_in_silence(both, data):
    guest, host = fitted(both, data, host=make("host", monotonic=True, max_bins=8, categorical=()))
    joined = 0
    for bins, values in zip(host.bins_, guest.peer_values(), strict=True):
        assert bins.n_bins == len(values)
        steps = np.diff(values[: bins.ordered])
        assert (steps >= 0).all() or (steps <= 0).all()
        joined += (steps == 0).sum()
    assert joined
    guest, _ = fitted(both, data, guest=make("guest", monotonic=True))
    for bins in guest.bins_:
        steps = np.diff(bins.woe[: bins.ordered])
        assert (steps > 0).all() or (steps < 0).all()


@pytest.mark.parametrize(("guest_min", "host_min"), [((14, 20), (0, 0)), ((0, 0), (14, 20)), ((14, 3), (2, 20))])
def test_small_bins_are_joined_in_silence(both, data, guest_min, host_min):
    least = [dict(zip(("min_events", "min_others"), pair, strict=True)) for pair in (guest_min, host_min)]
    guest, _ = fitted(both, data, guest=make("guest", **least[0]), host=make("host", **least[1]))
    joined = 0
    for column, values in zip(guest.hosts_[0], guest.peer_values(), strict=True):
        for value in set(values.tolist()) - {0.0}:
            members = values == value
            events = column.events[members].sum()
            assert events >= 14
            assert column.rows[members].sum() - events >= 20
            joined += members.sum() > 1
    assert joined


@pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")
def test_labels_of_one_kind_in_all_bins_end_nothing(both, data):
    x, _ = data
    y = np.zeros(N, int)
    y[:3] = 1
    guest, _ = fitted(both, (x, y), guest=make("guest", min_events=5))
    assert not np.concatenate(guest.peer_values()).any()
    assert not np.concatenate([bins.woe for bins in guest.bins_]).any()


def test_revealed_weights_come_from_noised_counts(both, data):
    x, y = data
    seen = Recorder(), Recorder()
    reveal = {"reveal": ["woe"], "noise_sigma": 3}
    guest, host = fitted(
        both, data, local_links(observers=seen, seconds=30), make("guest", **reveal), make("host", **reveal)
    )
    assert [each.asked[0]["reveal"] for each in seen] == [("woe",)] * 2
    bins = sum(host.sizes())
    assert (seen[1].counted["sums_learned"], seen[0].counted["values_revealed"]) == (2 * bins, bins)
    exact, _ = fitted(both, data)
    for own, theirs, true in zip(host.bins_, guest.hosts_[0], exact.hosts_[0], strict=True):
        assert np.array_equal(own.woe, theirs.woe)
        assert own.iv == theirs.iv
        assert np.array_equal(theirs.events, true.events)
        assert not np.array_equal(theirs.woe, true.woe)
        assert own.events is None
    assert set(host.transform(x)[:, 1]) == set(host.bins_[1].woe)
    assert host.select(0.3)[0] == "strong"
    assert guest.epsilon_ == host.epsilon_ == pytest.approx(5 / 18 + 2 * np.sqrt(5 / 18 * np.log(1e6)))
    assert y.sum() == guest.hosts_[0][0].events.sum()


def test_noise_has_its_law_and_stays_between_the_counts():
    rows, events = np.full(4000, 1000), np.full(4000, 500)

    def noise(events, seed=bytes(32)):
        return np.concatenate(noised([(rows[:100], events[:100]), (rows[100:], events[100:])], 10, seed)) - events

    assert abs(noise(events).std() - 10) < 1
    assert abs(noise(events).mean()) < 1
    assert np.array_equal(noise(events), noise(events))
    assert (noise(events * 0) >= 0).all()
    assert (noise(rows) <= 0).all()
    changed = events.copy()
    changed[7] += 1
    for other in (noise(events, bytes(31) + b"1"), noise(changed)):
        assert abs(np.corrcoef(noise(events), other)[0, 1]) < 0.1


def test_a_last_step_taken_again_reveals_the_same(both, data, steps):
    keepers = steps(), steps()
    x, y = data

    def go(start):
        g, h = local_links(seconds=30)
        for keeper in keepers:
            keeper.start = start
        guest, host = make("guest", reveal=["woe"]), make("host", reveal=["woe"])
        both(
            lambda: guest.fit(x[:, :2], y, link=g, keeper=keepers[0]),
            lambda: host.fit(x, columns=NAMES, link=h, keeper=keepers[1]),
        )
        return [bins.woe.tolist() for bins in host.bins_]

    whole = go(0)
    assert go(9) == go(10) == whole
    assert go(0) != whole


@pytest.mark.parametrize(
    ("guest", "host"),
    [
        ({"reveal": ["woe"]}, {}),
        ({}, {"reveal": ("woe",)}),
        ({"reveal": ["woe"]}, {"reveal": ["woe"], "noise_sigma": 9}),
    ],
)
def test_parties_that_disagree_on_what_is_revealed_end(both, data, guest, host):
    with pytest.raises(bt.ProtocolAbort, match="the parties differ in reveal or noise_sigma"):
        fitted(both, data, None, make("guest", **guest), make("host", **host))
    assert "agree on one (party at fault: guest)" in str(both.errors[1])


def test_two_hosts(both, data):
    x, y = data
    pairs = [local_links("guest", name, seconds=30) for name in ("host-a", "host-b")]
    guest, a, b = make("guest"), make("host", categorical=()), make("host", categorical=(), show_names=False)
    both(
        lambda: guest.fit(x[:, :1], y, links=[g for g, _ in pairs]),
        lambda: a.fit(x[:, :2], link=pairs[0][1]),
        lambda: b.fit(x[:, 2:], columns=NAMES[2:], link=pairs[1][1]),
    )
    assert [[(c.party, c.name) for c in host] for host in guest.hosts_] == [
        [("host-a", "x0"), ("host-a", "x1")],
        [("host-b", "x0"), ("host-b", "x1"), ("host-b", "x2")],
    ]
    assert b.columns_ == NAMES[2:]
    assert [len(values) for values in guest.peer_values(1)] == b.sizes()
    assert [len(rows) for rows in guest.peer_counts(0)] == a.sizes()


def test_the_larger_minimum_counts_on_both_sides(both, data):
    for guest_min, host_min in ((30, 5), (5, 30)):
        guest, host = fitted(both, data, None, make("guest", min_rows=guest_min), make("host", min_rows=host_min))
        assert min(b.rows.min() for b in host.bins_) >= 30
        assert min(c.rows.min() for c in guest.hosts_[0]) >= 30


class Recorder(Observer):
    def __init__(self, refuse=False):
        self.frames, self.asked, self.counted, self.refuse = [], [], {}, refuse

    def authorise(self, **what):
        self.asked.append(what)
        if self.refuse:
            raise bt.PolicyRefused("the policy has expired", clause="until")

    def count(self, *, peer, task, what, number):
        self.counted[what] = self.counted.get(what, 0) + number

    def passed(self, *, peer, task, sent, frame):
        self.frames.append(frame)


def test_policy_meter_and_frames(both, data):
    seen = Recorder(), Recorder()
    x, _ = data
    _, host = fitted(both, data, local_links(observers=seen, seconds=30))
    bins = sum(b.n_bins for b in host.bins_)
    asked = {"purpose": "binning", "rows": N, "task": "woe-binning", "min_rows": 12, "min_events": 0, "min_others": 0}
    about = {"total_events": int(data[1].sum()), "sums": 0}  # the guest's, whose label has no bins
    assert seen[0].asked == [{"peer": "host", "columns": ["label"], **asked, **about}]
    assert seen[1].asked == [{"peer": "guest", "columns": NAMES, **asked, "bins": max(host.sizes())}]
    assert [s.counted for s in seen] == [
        {"rows": N, "values_encrypted": N, "sums_learned": 2 * bins},
        {"rows": N, "values_revealed": bins, "sums_learned": 0, "bits_learned": 1},
    ]
    everything = b"".join(seen[0].frames)
    private = {value for column in (*x[:, [0, 1, 3]].T, *(b.edges for b in host.bins_)) for value in column.tolist()}
    for value in private:
        if value not in (0.0, 1.0, -1.0, 2.0):  # such bytes stand everywhere
            assert np.float64(value).tobytes() not in everything
    # ten bins and more share a ciphertext: eight parts of labels, and a single one comes back; a key with its proof
    assert len(everything) < N * 512 + 12000


@pytest.mark.parametrize("who", [0, 1])
def test_a_refusal_ends_both_sides(both, data, who):
    seen = [Recorder(), Recorder()]
    seen[who].refuse = True
    with pytest.raises(bt.BluetuskError, match="policy"):
        fitted(both, data, local_links(observers=tuple(seen), seconds=30))
    assert all("policy" in str(error) for error in both.errors)


def altering(link, topic, change):
    """Change a message that a link sends; its sender ends there, and waits for no answer."""
    send = link.send

    def altered(said, fields=None, parts=()):
        if said == topic:
            fields, parts = change(dict(fields or {}), list(parts))
            link.channel.recv = lambda: b"the end"
        send(said, fields, parts)

    link.send = altered


def other_plan(part):
    """The same ciphertexts under a plan of another kind."""
    got = frame.decode(part)
    header = {**got.header, "plan": bt.FixedPoint.money(2, 10).to_dict()}
    return frame.encode(got.kind, header, got.payload)


def u4(*values):
    return np.array(values, "<u4").tobytes()


@pytest.mark.parametrize(
    ("who", "topic", "change", "error"),
    [
        (0, "labels", lambda f, p: ({**f, "rows": 7}, p), bt.ProtocolAbort),
        (0, "labels", lambda f, p: ({**f, "min_rows": 0}, p), bt.FrameError),
        (0, "labels", lambda f, p: ({**f, "min_rows": N + 1}, p), bt.ProtocolAbort),
        (0, "labels", lambda f, p: (f, [p[0][:-1]]), bt.FrameError),
        (0, "encrypted", lambda f, p: (f, [p[0][:-1]]), bt.FrameError),
        (0, "encrypted", lambda f, p: (f, [other_plan(p[0])]), bt.FrameError),
        (0, "labels", lambda f, p: ({**f, "min_events": -1}, p), bt.FrameError),
        (0, "labels", lambda f, p: ({**f, "reveal": ["woe"]}, p), bt.ProtocolAbort),
        (0, "done", lambda f, p: (f, [b"11"]), bt.ProtocolAbort),
        (1, "columns", lambda f, p: ({**f, "columns": 0}, p), bt.FrameError),
        (1, "columns", lambda f, p: ({**f, "columns": 8193}, [u4(*[1] * 8193)] * 2 + [b"\0" * 8192]), bt.FrameError),
        (1, "columns", lambda f, p: (f, [u4(0) + p[0][4:], *p[1:]]), bt.FrameError),
        (1, "columns", lambda f, p: (f, [p[0], p[0], b"one"]), bt.FrameError),
        (1, "columns", lambda f, p: (f, [p[0], p[1], b"x" * 300 + b"\0" * 4]), bt.FrameError),
        (1, "columns", lambda f, p: (f, [u4(60) + p[0][4:], *p[1:]]), bt.ProtocolAbort),
        (1, "columns", lambda f, p: ({**f, "min_others": 1 << 40}, p), bt.FrameError),
        (1, "bins", lambda f, p: (f, [p[0][:-1]]), bt.FrameError),
    ],
)
def test_what_a_peer_sends_is_checked(both, data, who, topic, change, error):
    links = local_links(seconds=30)
    altering(links[who], topic, change)
    with pytest.raises(bt.BluetuskError):
        fitted(both, data, links)
    assert isinstance(both.errors[1 - who], error)


def test_more_bins_than_a_guest_takes_are_refused(both, data, monkeypatch):
    """By the guest before it encrypts a label, by an honest host before it states them."""
    monkeypatch.setattr(guest_half, "MAX_BINS", 5)
    with pytest.raises(
        bt.ProtocolAbort, match=r"'host' has \d+ bins in \d columns, more than 5: raise min_rows"
    ) as caught:
        fitted(both, data, local_links(seconds=30))
    assert caught.value.party == "host"
    monkeypatch.setattr(binning_estimator, "MAX_BINS", 5)
    with pytest.raises(bt.BluetuskError):
        fitted(both, data, local_links(seconds=30))
    assert isinstance(both.errors[1], ValueError)


@pytest.mark.parametrize(
    ("change", "error"),
    [(lambda p: [p[0][8:], p[1]], bt.FrameError), (lambda p: [b"\xff" * len(p[0]), p[1]], bt.ProtocolAbort)],
)
def test_revealed_weights_are_checked(both, data, change, error):
    links = local_links(seconds=30)
    altering(links[0], "weights", lambda fields, parts: (fields, change(parts)))
    with pytest.raises(bt.BluetuskError):
        fitted(both, data, links, make("guest", reveal=["woe"]), make("host", reveal=["woe"]))
    assert isinstance(both.errors[1], error)


def opened(bins, pub, priv):
    """What a guest with 72 events among its rows makes of sums that a host sent."""
    y = np.zeros(N, np.int64)
    y[:72] = 1
    job = guest_half.GuestJob(y, Terms(12, 0, 0, (), 10), smoothing=0.5, key_size=2048)
    job._priv = priv
    w, slots = Layout(N).w, Layout(N).slots(2048)
    word = sum((rows + (events << w)) << (slots.width * j) for j, (rows, events) in enumerate(bins))
    limit = slots.bound
    c = arrays.encrypt_integers(pub, np.array([word], dtype=object), label_plan(), frac=0, bound=limit)
    here, there = local_links(seconds=5)
    there.send("bins", {}, [c.to_bytes(limit)])
    shape = {"names": ["a"], "bins": [2], "ordered": [2], "monotonic": False, "min_events": 0, "min_others": 0}
    job._shapes = [shape]
    job._answer([here])
    return job.peers[0][0], there.receive("done", parts=0)


@pytest.mark.parametrize(
    "bins",
    [
        [(N - 20, 50), (20, 22)],
        [(N - 20, 50), (20, 21)],
        [(N - 1, 71), (1, 1)],  # a bin of one row
        [(N - 30, 60), (29, 12)],  # a row is missing
    ],
)
def test_sums_that_cannot_be_right_have_no_weight_and_the_host_learns_nothing(pub, priv, bins):
    """An end of the task at this point would tell a host, which made up the sums, something about labels."""
    column, _ = opened(bins, pub, priv)
    assert (column.sound, column.woe.tolist(), column.iv) == (False, [0.0, 0.0], 0.0)
    column, _ = opened([(N - 40, 50), (40, 22)], pub, priv)
    assert column.sound
    assert column.woe.all()


def test_the_guest_hears_of_events_that_cannot_be_right(both, data, monkeypatch):
    counts = guest_half.GuestJob._counts

    def wrong(self, link, shape):
        columns = counts(self, link, shape)
        columns[0][1][0] += 1
        return columns

    monkeypatch.setattr(guest_half.GuestJob, "_counts", wrong)
    with pytest.warns(bt.DataWarning, match=r"sums of events in host's column 'flat' cannot be right"):
        guest, _ = fitted(both, data)
    assert not guest.peer_values()[0].any()
    assert guest.peer_values()[1].all()


def test_what_the_guest_decrypts_does_not_show_which_rows_were_added(data, pub, priv):
    """The ciphertext that comes back is blinded by a unit of its own: same sums, other bytes, other randomness."""
    layout, slot = Layout(8), 35
    assert layout.slots(2048).width == slot
    c = arrays.encrypt_integers(pub, np.full(8, 1), label_plan(), frac=0, bound=layout.bound)
    sums = [c.bincount(np.array(codes), 2) for codes in ([0, 0, 1, 1] * 2, [1, 1, 0, 0] * 2)]
    seen = set()
    for each in [*sums, *sums]:
        two = Slots(slot, 2)
        blinded = mask(two.shifted(each), None, two.bound, threads=1)
        assert priv.decrypt_integers(blinded).tolist() == [4 + (4 << slot)]
        seen.add(blinded.to_bytes(1 << (2 * slot))[-512:])
    assert len(seen) == 4


@pytest.mark.filterwarnings("ignore:y holds:bluetusk.DataWarning")
def test_an_interrupted_fit_goes_on_from_any_step(both, data, steps):
    keepers = steps(), steps()
    x, y = data

    def go(keepers):
        g, h = local_links(seconds=30)
        guest, host = make("guest"), make("host", monotonic=True)
        both(
            lambda: guest.fit(x[:, :2], y, link=g, keeper=keepers[0]),
            lambda: host.fit(x, columns=NAMES, link=h, keeper=keepers[1]),
        )
        kept = [[[b.to_plain() for b in each.bins_] for each in (guest, host)], [c.to_plain() for c in guest.hosts_[0]]]
        assert guest.label_digest_ == host.label_digest_
        return json.dumps(kept), guest.label_digest_

    whole = go(keepers)
    assert sorted(keepers[0].states) == list(range(1, 11))
    assert max(len(state) for state in keepers[0].states.values()) < 4000
    for start in (0, 1, 5, 9, 10):
        kept, digest = go([steps(dict(k.states), start) for k in keepers])
        assert kept == whole[0]
        assert (digest == whole[1]) == (start >= 9)  # labels that are encrypted again have another digest
    for role, k in (("guest", 0), ("host", 1)):
        keepers[k].start = 4
        with pytest.raises(bt.FrameError, match="other"):
            make(role, categorical=()).fit(x[:50], y[:50] if k == 0 else None, link=local_links()[k], keeper=keepers[k])


def test_saved_halves_are_whole(pair, data, tmp_path):
    x, _ = data
    for half, given in zip(pair, (x[:, :2], x), strict=True):
        half.save(tmp_path / "half")
        again = WoEBinning.load(tmp_path / "half")
        assert again.get_params() == {**half.get_params(), "categorical": list(half.categorical)}
        assert np.array_equal(again.codes(given), half.codes(given))
        assert again.table() == half.table()
        assert again.label_digest_ == half.label_digest_
        again.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / "half").read_bytes()
    good = (tmp_path / "half").read_bytes()
    for old, new in (
        (b'"kind": "numeric"', b'"kind": "mineric"'),
        (b'"woe": null', b'"woe": true'),
        (b'"bins": [', b'"bims": ['),
        (b'{"bins"', b'["bins"'),
    ):
        (tmp_path / "bad").write_bytes(good.replace(old, new))
        with pytest.raises(bt.FrameError, match="does not hold a fitted binning"):
            WoEBinning.load(tmp_path / "bad")


def test_wrong_calls(data):
    x, y = data
    link = local_links()[0]
    for role, arguments, given, error in (
        ("guest", {}, {"y": None}, "give y"),
        ("host", {}, {"y": y}, "only the guest has labels"),
        ("host", {}, {}, "link is missing"),
        ("host", {}, {"links": [link, link]}, "one link"),
        ("guest", {}, {"y": y, "link": link, "links": [link]}, "not both"),
        ("guest", {"min_rows": N + 1}, {"y": y}, "fewer than min_rows"),
        ("guest", {"smoothing": 0}, {"y": y}, "smoothing"),
        ("guest", {"max_bins": 0}, {"y": y}, "max_bins"),
        ("boss", {}, {}, "role"),
        ("guest", {"min_events": -1}, {"y": y}, "min_events"),
        ("host", {"noise_sigma": 0}, {"link": link}, "noise_sigma"),
        ("host", {"reveal": ["scores"]}, {"link": link}, "reveal names 'scores'"),
        ("host", {}, {"link": link, "columns": []}, "0 names"),
    ):
        with pytest.raises(ValueError, match=error):
            make(role, **{"categorical": (), **arguments}).fit(x, **given)
    with pytest.raises(ValueError, match="at least one column"):
        make("host", categorical=()).fit(np.empty((N, 0)), link=link)
    with pytest.raises(bt.InvalidKey):
        make("guest", key_size=1024).fit(x, y)


def test_sizes_of_numpy_serve_as_those_of_python(both, data, pair, tmp_path):
    """A grid search gives numpy.int64; messages and files take Python's ints."""
    given = {"max_bins": np.int64(5), "min_rows": np.int64(12), "key_size": np.int64(2048), "threads": np.int64(1)}
    flags = {"show_names": np.True_, "monotonic": np.False_}
    guest, host = fitted(both, data, guest=make("guest", **given), host=make("host", **given, **flags))
    for half, plain in zip((guest, host), pair, strict=True):
        assert half.iv_ == plain.iv_
        assert half.table() == plain.table()
        half.save(tmp_path / "half")
        loaded = WoEBinning.load(tmp_path / "half")
        assert loaded.get_params() == {**plain.get_params(), "threads": 1, "categorical": list(plain.categorical)}
    with pytest.raises(TypeError, match="key_size must be an int, not float"):
        make("guest", key_size=2048.0).fit(data[0][:, :2], data[1])
