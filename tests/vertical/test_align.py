"""Alignment agrees with Python's sets, shows nothing else, and survives odd ids, odd peers and restarts."""

from __future__ import annotations

import builtins
import itertools

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical import Observer, intersect, local_links
from bluetusk.vertical.align.ids import as_ids

psi = pytest.importorskip("private_set_intersection.python", reason="openmined-psi has no wheel for this platform")

GUEST = [f"customer {i}" for i in range(60)]
HOST = [f"customer {i}" for i in range(110, 20, -1)]

# x with no y on P-256 (SEC 2, 2.4.2): x^3 - 3x + b is no square modulo p
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
B256 = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
OFF_CURVE = next(
    b"\x02" + x.to_bytes(32, "big") for x in range(99) if pow(x**3 - 3 * x + B256, (P256 - 1) // 2, P256) == P256 - 1
)


def run(both, a, b, **given):
    g, h = local_links(seconds=20)
    mine, theirs = both(
        lambda: intersect(a, role="guest", link=g, **given), lambda: intersect(b, role="host", link=h, **given)
    )
    return [a[i] for i in mine], [b[i] for i in theirs]


def test_both_get_the_common_ids_in_one_order(both):
    mine, theirs = run(both, GUEST, HOST)
    assert mine == theirs
    assert sorted(mine) == sorted(set(GUEST) & set(HOST))
    assert mine != sorted(mine, key=GUEST.index)  # 1 in 39! runs


def test_the_order_is_drawn_anew(both):
    assert run(both, GUEST, HOST) != run(both, GUEST, HOST)


def test_integers_are_their_digits_and_strings_are_exact(both):
    a = np.array([5, 7, -3, 2**62])
    b = np.array(["7", "07", "-3", " 5", "x" * 1000, "\u00e9"], dtype=object)
    mine, theirs = run(both, a, b)
    assert sorted(map(str, mine)) == sorted(theirs) == ["-3", "7"]
    assert run(both, ["e\u0301", "\u65e5\u672c"], ["\u00e9", "\u65e5\u672c"])[0] == ["\u65e5\u672c"]


@pytest.mark.parametrize("who", ["guest", "host"])
def test_a_peer_with_too_many_ids_is_refused_before_it_sends_them(who):
    here, there = local_links(seconds=5)
    mine = here if who == "host" else there
    link = there if who == "host" else here
    mine.scope("intersect", 0)
    mine.send("hello", {"rows": 1 << 32, "least": 0})
    with pytest.raises(
        bt.ProtocolAbort, match=r"4294967296 ids, more than max_peer_ids = 16777216: .* raise it"
    ) as caught:
        intersect(HOST, role=who, link=link)
    assert caught.value.party == mine.me
    with pytest.raises(ValueError, match="max_peer_ids must be"):
        intersect(HOST, role=who, link=link, max_peer_ids=0)


def test_as_many_ids_as_are_allowed_are_taken(both):
    assert len(run(both, HOST, GUEST, max_peer_ids=90)[0]) == 39
    with pytest.raises(bt.ProtocolAbort, match="gave up: 'more ids than max_peer_ids allows'"):
        run(both, HOST, GUEST, max_peer_ids=89)


@pytest.mark.parametrize(("a", "b"), [([], []), ([], ["x"]), (["x"], []), (["x"], ["y"])])
def test_empty_results_are_refused_unless_allowed(both, a, b):
    assert run(both, a, b, min_intersection=0) == ([], [])
    with pytest.raises(bt.ProtocolAbort, match="fewer than min_intersection = 1"):
        run(both, a, b)
    assert isinstance(both.errors[1], bt.ProtocolAbort)
    assert "gave up" in str(both.errors[1])


def test_the_strictest_minimum_counts(both):
    g, h = local_links(seconds=20)
    with pytest.raises(bt.ProtocolAbort, match="39 ids, fewer than min_intersection = 40"):
        both(
            lambda: intersect(GUEST, role="guest", link=g),
            lambda: intersect(HOST, role="host", link=h, min_intersection=40),
        )


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (["a", "b", "a"], ValueError, r"ids\[0\] and ids\[2\] are the same id \(1 too many in all\)"),
        ([1, "1"], ValueError, "same id"),
        ([1.0], TypeError, r"ids\[0\] is of type float"),
        ([True], TypeError, "bool"),
        ([b"a"], TypeError, "bytes"),
        ([None], TypeError, "NoneType"),
        ("abc", TypeError, "not one str"),
        ([["a"]], TypeError, "one axis"),
        (np.array([["a"]]), TypeError, "one axis"),
        (["\ud800"], ValueError, "surrogate"),
        (["a", " "], ValueError, r"ids\[1\] is ' ', a missing value"),
        (np.array(["nan", "b"], dtype=object), ValueError, r"ids\[0\] is 'nan', a missing value"),
        (np.ma.array([1, 2], mask=[0, 1]), TypeError, "masked"),
        ([1, np.ma.masked], TypeError, r"ids\[1\] is masked"),
    ],
)
def test_ids_that_could_mean_two_things_are_refused(ids, error, message):
    with pytest.raises(error, match=message):
        as_ids(ids)


@pytest.mark.parametrize(
    "given",
    [{}, {"link": 1, "links": [1]}, {"links": []}, {"role": "host", "links": [1, 2]}, {"role": "boss", "link": 1}],
)
def test_wrong_calls_are_refused_before_anything_is_sent(given):
    with pytest.raises(
        ValueError, match=r"give either link|link is missing|links must hold|a host has one link|role must be"
    ):
        intersect(["a"], **{"role": "guest", **given})


@pytest.mark.parametrize("role", ["guest", "host"])
def test_a_wrong_number_of_threads_is_found_before_the_first_message(role):
    """It used to be found when the first ids were blinded, after the sets' sizes had been shown."""
    with pytest.raises(ValueError, match="threads"):
        intersect(["a"], role=role, link=object(), threads=0)


def test_three_parties_hosts_learn_the_common_ids_only(both):
    sets = [GUEST, HOST, [f"customer {i}" for i in range(0, 200, 3)]]
    pairs = [local_links("guest", f"host-{k}", seconds=20) for k in (1, 2)]
    got = both(
        lambda: intersect(sets[0], role="guest", links=[g for g, _ in pairs]),
        *(lambda k=k: intersect(sets[k], role="host", link=pairs[k - 1][1]) for k in (1, 2)),
    )
    named = [[ids[i] for i in at] for ids, at in zip(sets, got, strict=True)]
    assert named[0] == named[1] == named[2]
    assert sorted(named[0]) == sorted(set(sets[0]) & set(sets[1]) & set(sets[2]))


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


def test_policy_and_meter_are_asked_and_no_id_travels(both):
    seen = Recorder(), Recorder()
    g, h = local_links(observers=seen, seconds=20)
    both(lambda: intersect(GUEST, role="guest", link=g), lambda: intersect(HOST, role="host", link=h))
    assert seen[0].asked == [
        {
            "peer": "host",
            "purpose": "intersect",
            "columns": ["id"],
            "rows": 60,
            "task": "intersect",
            "min_intersection": 1,
        }
    ]
    assert seen[1].asked[0]["asked"] == 60
    assert [s.counted for s in seen] == [{"rows": 60, "values_revealed": 39}, {"rows": 90, "values_revealed": 39}]
    everything = b"".join(seen[0].frames)
    assert len(everything) > 33 * (60 + 60 + 90)
    assert b"customer" not in everything


@pytest.mark.parametrize("who", [0, 1])
def test_a_refusal_ends_both_sides(both, who):
    seen = [Recorder(), Recorder()]
    seen[who].refuse = True
    g, h = local_links(observers=tuple(seen), seconds=20)
    with pytest.raises(bt.BluetuskError, match="policy"):
        both(lambda: intersect(GUEST, role="guest", link=g), lambda: intersect(HOST, role="host", link=h))
    assert "expired" in str(both.errors[who])
    assert "does not allow" in str(both.errors[1 - who])


def altering(link, number, change):
    """Change the `number`-th message that a link sends; its sender ends there, and waits for no answer."""
    send, count = link.send, itertools.count()

    def altered(topic, fields=None, parts=()):
        if next(count) == number:
            fields, parts = change(fields, list(parts))
            link.channel.recv = lambda: b"the end"
        send(topic, fields, parts)

    link.send = altered


@pytest.mark.parametrize(
    ("who", "number", "change", "error"),
    [
        (0, 1, lambda f, p: (f, [p[0][:-1]]), bt.FrameError),  # a request too short
        (0, 1, lambda f, p: (f, [b"\x05" + bytes(p[0][1:])]), bt.ProtocolAbort),  # no point
        (1, 1, lambda f, p: (f, [p[0][:33] + p[0][:33] + p[0][66:]]), bt.ProtocolAbort),  # a point twice
        (1, 9, lambda f, p: (f, [OFF_CURVE + bytes(p[0][33:])]), bt.ProtocolAbort),
        (0, 0, lambda f, p: ({**f, "rows": -1}, p), bt.FrameError),
        (0, 0, lambda f, p: ({**f, "rows": 1 << 40}, p), bt.FrameError),
        (1, 0, lambda f, p: ({**f, "nonce": b""}, p), bt.FrameError),  # an earlier version
        (0, 9, lambda f, p: (f, [p[0][:-4] + b"\x5a\0\0\0", p[1]]), bt.ProtocolAbort),  # a place beyond the list
        (0, 9, lambda f, p: (f, [p[0][:-4] + p[0][:4], p[1]]), bt.ProtocolAbort),  # a place twice
        (0, 9, lambda f, p: (f, [p[0], p[1][:-4] + b"\x3c\0\0\0"]), bt.ProtocolAbort),  # no request of the guest's
        (0, 9, lambda f, p: (f, p[:1]), bt.FrameError),
        (0, 11, lambda f, p: (f, [bytes(32) + p[0][32:]]), bt.ProtocolAbort),  # the key 0
        (0, 11, lambda f, p: (f, [p[0][32:] + p[0][:32]]), bt.ProtocolAbort),
        (1, 17, lambda f, p: (f, [b"short"]), bt.FrameError),  # the seed of the sample
        (1, 18, lambda f, p: (f, [b"short"]), bt.FrameError),  # the coins
        (0, 9, lambda f, p: ({"rows": 61}, p), bt.FrameError),
        (0, 9, lambda f, p: ({"rows": 0}, [b"", b""]), bt.FrameError),  # below the host's minimum
    ],
)
def test_what_a_peer_sends_is_checked(both, who, number, change, error):
    links = local_links(seconds=20)
    altering(links[who], number, change)
    with pytest.raises(bt.BluetuskError):
        both(
            lambda: intersect(GUEST, role="guest", link=links[0]),
            lambda: intersect(HOST, role="host", link=links[1]),
        )
    assert isinstance(both.errors[1 - who], error)


def test_an_interrupted_alignment_goes_on_from_any_step(both, steps):
    keepers = steps(), steps()

    def go(keepers):
        g, h = local_links(seconds=20)
        return both(
            lambda: intersect(GUEST, role="guest", link=g, keeper=keepers[0]),
            lambda: intersect(HOST, role="host", link=h, keeper=keepers[1]),
        )

    whole = [at.tolist() for at in go(keepers)]
    assert sorted(keepers[0].states) == list(range(1, 19))
    for start in (1, 4, 12, 17, 18):
        again = go([steps(dict(k.states), start) for k in keepers])
        assert [at.tolist() for at in again] == whole  # the seed of the order is kept
    keepers[0].start = 3
    with pytest.raises(bt.FrameError, match="other rows"):
        intersect(GUEST[:5], role="guest", link=local_links()[0], keeper=keepers[0])


def test_the_missing_library_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("private_set_intersection"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'bluetusk\[vertical\]'"):
        intersect(["a"], role="guest", link=local_links()[0])
