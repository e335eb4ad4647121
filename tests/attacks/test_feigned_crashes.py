"""A peer that pretends to have crashed, to have a step of a training taken again with other numbers.

A step that a crash has interrupted is taken again with fresh randomness, so nobody can tell an honest repetition from
another request by its bytes. A guest of a boosting that has opened the sums of one step dies, comes back, and sends
other gradients: it opens other sums of the same rows. The policy has counted the task once. The attacker wins if it has
opened more sums in all than the policy allows, whatever it restarts and whatever the victim restarts.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.evidence import Grant, Guard, Identity, Log, Meter, Policy, Recorder, verify
from bluetusk.evidence._uses import Use, Uses
from bluetusk.vertical import align, binning, blacklist, boosting, logistic
from bluetusk.vertical.boosting import guest as boosting_guest
from bluetusk.vertical.party.pipeline import Metered
from bluetusk.vertical.party.session import Session
from bluetusk.vertical.party.transport import Memory
from bluetusk.vertical.party.vault import Vault
from bluetusk.vertical.protocol.job import Showing, drive
from bluetusk.vertical.protocol.link import Link, Rewind

OWNER, PEER, KEY = Identity.generate(), "5a" * 32, bytes(range(32))
ROWS, ALLOWED, LIVES = 40, 2, 6  # the policy allows what the task shows, and one step taken again
LIFTED = {"min_samples_leaf": 2, "min_bucket_rows": 1, "min_events": 0, "min_others": 0, "first_tree_local": False}
SETTINGS = bt.vertical.GradientBoosting("host", n_estimators=1, max_depth=1, key_size=2048, **LIFTED)._settings()
CLAUSES = {"min_rows": 1, "min_events": 0, "min_others": 0, "min_intersection": 1, "min_total_events": 0}


class Killed(BaseException):
    """The attacker's process ends here."""


class Greedy(boosting_guest.GuestJob):
    """Encrypts other numbers in each attempt, and dies once it has opened their sums."""

    opened: list  # of all attempts

    def _start(self, number):
        tree = super()._start(number)
        tree.g[:] = np.random.default_rng().integers(-1000, 1000, len(tree.g))
        return tree

    def _candidates(self, link, shape, sizes):
        got = super()._candidates(link, shape, sizes)
        self.opened.append(np.concatenate([part for pair in got for part in pair]))
        raise Killed


def table_of(seed):
    return np.random.default_rng(seed).normal(size=(ROWS, 2))


class Case:
    """The directories of both, and what the attacker has opened."""

    def __init__(self, folder, priv, clause):
        self.folder, self.priv, self.opened = folder, priv, []
        victim = boosting.host.HostJob(SETTINGS, table_of(1), ["a", "b"])
        sums, self.bits = victim.shows(1)
        self.limit = ALLOWED * {"max_sums": sums, "max_bits": self.bits}[clause]
        limits = {"max_sums": 1 << 30, "max_bits": 1 << 30, clause: self.limit}
        grant = Grant("g", PEER, ("gradient_boosting",), ("*",), uses=9, until=1 << 39, **CLAUSES, **limits)
        self.policy = Policy("owner", 1, (grant,)).sign(OWNER)
        Log.create(folder / "log", OWNER, owner="host").close()

    def session(self, name, peer):
        return Session(Vault(self.folder / name, KEY), job="j", peer=peer, patience=20)

    def victim(self, session):
        """One life of the host's process; return the clause that ended it."""
        with (
            Guard(self.policy, self.folder / "uses", owner=OWNER.public_key) as guard,
            Log.open(self.folder / "log", OWNER) as log,
        ):
            recorder = Recorder(
                log=log, meter=Meter(), job="j", me="host", peers={"guest": PEER}, guard=guard, resumed=True
            )
            link = Link(session, me="host", peer="guest", observer=recorder)
            try:
                while True:
                    job = boosting.host.HostJob(SETTINGS, table_of(1), ["a", "b"])
                    with contextlib.suppress(Rewind):
                        drive(job, [link], keeper=Metered(session, recorder.meter))
                        return None
            except bt.PolicyRefused as refusal:
                return refusal.clause
            except bt.ProtocolAbort:
                return "the process ended"

    def attacker(self, session):
        job = Greedy(SETTINGS, table_of(2), np.arange(ROWS) % 3 == 0, ["c"], 1)
        job.opened = self.opened
        link = Link(session, me="guest", peer="host")
        with contextlib.suppress(Rewind, bt.ProtocolAbort):
            drive(job, [link], keeper=session)

    def attack(self, lives):
        """Play some lives of the attacker against one of the victim; return what ended the victim."""
        host, ended = self.session("host", "guest"), []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(boosting_guest, "ephemeral_key", lambda bits: self.priv)
            side = threading.Thread(target=lambda: ended.append(self.victim(host)), daemon=True)
            side.start()
            for _ in range(lives):
                guest = self.session("guest", "host")
                way = Memory(guest, host)
                with contextlib.suppress(Killed):
                    self.attacker(guest)
                guest.abort_said = True  # who is killed says nothing
                way.close()
                guest._vault.close()
                if host.failure is not None or not side.is_alive():
                    break
            host.fail(bt.ProtocolAbort("its operator ends it"))
            side.join(20)
        host._vault.close()
        return ended[0]


def got(folder, priv, clause, *, planted):
    """Return what the attacker has got in parts of the limit, and why it got no more: two lives of the victim."""
    folder.mkdir(parents=True, exist_ok=True)
    case = Case(folder, priv, clause)
    with pytest.MonkeyPatch.context() as patch:
        if planted:
            patch.setattr(Recorder, "retaken", lambda self, **use: None)
        ends = [case.attack(LIVES // 2) for _ in range(2)]
    each = case.bits if clause == "max_bits" else 0  # the level that follows says where each row went
    return sum(each or len(sums) for sums in case.opened) / case.limit, ends, case


@pytest.mark.parametrize("clause", ["max_sums", pytest.param("max_bits", marks=pytest.mark.slow)])
def test_a_step_that_is_taken_again_counts_again(tmp_path, priv, clause):
    part, ends, case = got(tmp_path, priv, clause, planted=False)
    assert part == 1
    assert ends == [clause, clause]
    assert len(case.opened) == ALLOWED
    with Guard(case.policy, tmp_path / "uses", owner=OWNER.public_key) as guard:
        assert guard.usage()["g"] == {"uses": 1, "ids": 0}  # the same task
        assert guard.learned()[PEER][clause.removeprefix("max_")] == case.limit
    records = [(r.what, r.details.get("clause")) for r in verify(tmp_path / "log").records]
    assert records.count(("counted_again", None)) == ALLOWED - 1
    assert records.count(("refused", clause)) == 2


def test_a_count_of_tasks_alone_is_passed(tmp_path, priv):
    """The attack wins where a task that is resumed costs nothing, whatever is sent in it."""
    part, ends, case = got(tmp_path, priv, "max_sums", planted=True)
    assert part == LIVES / ALLOWED
    assert len({sums.tobytes() for sums in case.opened}) == LIVES
    assert ends == ["the process ended"] * 2


def test_a_first_step_that_was_refused_may_be_taken_again(tmp_path):
    """It has shown nothing: the owner may sign a policy that allows it, and the job goes on."""
    use = {"peer": PEER, "purpose": "predict", "task": "j/gradient_boosting.predict"}
    for serial, most in ((1, 10), (2, 80)):
        grant = Grant("g", PEER, ("predict",), ("*",), uses=9, until=1 << 39, **CLAUSES, max_bits=most)
        policy = Policy("owner", serial, (grant,)).sign(OWNER)
        with Guard(policy, tmp_path / "uses", owner=OWNER.public_key) as guard:
            asked = {**use, "columns": ["A"], "rows": 5, "bits": 40, "model": bytes([1] * 32)}
            if serial == 1:
                with pytest.raises(bt.PolicyRefused, match="max_bits"):
                    guard.authorise(**asked)
                continue
            assert guard.retaken(**use, step=0, times=1, bits=40) is None
            assert not guard.authorise(**asked).again
            assert not guard.retaken(**use, step=0, times=2, bits=40).again
            assert guard.retaken(**use, step=0, times=2, bits=40).again
            assert guard.learned()[PEER]["bits"] == 80
            with pytest.raises(bt.PolicyRefused, match="max_bits"):
                guard.retaken(**use, step=0, times=3, bits=40)
            with pytest.raises(bt.PolicyRefused, match="never granted"):
                guard.retaken(**{**use, "task": "j/another"}, step=1, times=1, bits=40)


@pytest.mark.parametrize(("clause", "change"), [("revoked", {"revoked": ("g",)}), ("until", {})])
def test_no_step_is_taken_again_under_a_grant_that_has_ended(tmp_path, clause, change):
    now, use = [1000.0], {"peer": PEER, "purpose": "sale", "task": "j"}
    grant = Grant("g", PEER, ("sale",), ("*",), uses=9, until=2000)
    about = {"owner": OWNER.public_key, "clock": lambda: now[0]}
    with Guard(Policy("owner", 1, (grant,)).sign(OWNER), tmp_path / "uses", **about) as guard:
        guard.authorise(**use, columns=["A"], rows=500, bits=7)
        guard.retaken(**use, step=1, times=1, bits=7)
        guard.replace(Policy("owner", 2, (grant,), **change).sign(OWNER))
        now[0] = 2000.0 if clause == "until" else 1001.0
        with pytest.raises(bt.PolicyRefused) as caught:
            guard.retaken(**use, step=1, times=2, bits=7)
        assert caught.value.clause == clause
        assert guard.learned()[PEER]["bits"] == 14


@pytest.mark.parametrize("task", ["j", "j" * 128, "j" * 250, "j" * 256])
def test_a_task_named_as_a_step_that_is_taken_again(tmp_path, task):
    """A program names its tasks: no name makes a step that is taken again free, nor is one too long for it."""
    grant = Grant("g", PEER, ("sale",), ("*",), uses=9, until=1 << 39, max_bits=90)
    policy = Policy("owner", 1, (grant,)).sign(OWNER)
    use = {"peer": PEER, "purpose": "sale"}
    for times in (1, 2):  # the file is read once more
        with Guard(policy, tmp_path / "uses", owner=OWNER.public_key) as guard:
            if times == 1:
                for name in (task, f"{task}/0/1"[:256], hashlib.sha256(f"{task}/0/1".encode()).hexdigest()):
                    guard.authorise(**use, columns=["A"], rows=500, bits=7, task=name)
            before = guard.learned()[PEER]["bits"]
            assert not guard.retaken(**use, task=task, step=0, times=times, bits=20).again
            assert guard.retaken(**use, task=task, step=0, times=times, bits=20).again
            assert guard.learned()[PEER]["bits"] == before + 20
            with pytest.raises(bt.PolicyRefused, match="max_bits"):
                guard.retaken(**use, task=task, step=1, times=1, bits=80)
            with pytest.raises(ValueError, match="times from 1"):
                guard.retaken(**use, task=task, step=0, times=0, bits=1)


def test_a_file_of_an_earlier_version(tmp_path):
    """A step that it has is not counted again, under the name that it has there."""
    grant = Grant("g", PEER, ("sale",), ("*",), uses=9, until=1 << 39)
    policy = Policy("owner", 1, (grant,)).sign(OWNER)
    kept = Uses(tmp_path / "uses", OWNER.public_key)
    for name, again in (("j", 0), ("j/3/1", 1)):
        kept.note(Use("g", PEER, "sale", name, bytes(32), 0, 1, again=again))
    kept.close()
    with Guard(policy, tmp_path / "uses", owner=OWNER.public_key) as guard:
        assert guard.retaken(peer=PEER, purpose="sale", task="j", step=3, times=1, bits=5).again
        assert not guard.retaken(peer=PEER, purpose="sale", task="j", step=3, times=2, bits=5).again


SHOWING = {boosting.host.HostJob, boosting.guest.GuestJob, boosting.score.GuestWalk, boosting.score.HostWalk}
SHOWING |= {binning.host.HostJob, binning.guest.GuestJob, logistic.job.LogisticJob}
SAME = {
    # what is answered was kept eight steps before, and both go back by one step at most
    align.guest.Guest,
    align.host.Host,
    blacklist.query._Query,
    blacklist.query._Serve,
    # the shares were kept a step before they open, and open by the same bytes
    logistic.score.ScoreJob,
}


def test_each_task_says_what_a_step_that_is_taken_again_shows():
    """Every job of a task that uses rows is in one of the two lists."""
    from bluetusk.vertical.protocol import job as protocol

    found = set()
    for module in (align, binning, blacklist, boosting, logistic):
        for part in vars(module).values():
            for kind in vars(part).values() if hasattr(part, "__file__") else ():
                if isinstance(kind, type) and kind.__module__.startswith(module.__name__):
                    if kind.__module__.endswith(".replay"):  # of an audit: it shows nobody anything
                        continue
                    found |= {kind} if hasattr(kind, "step") and hasattr(kind, "restore") else set()
    # an auditor replays jobs without a peer, by classes that are found once another test has imported them
    found = {kind for kind in found if kind.__name__ != "_Walk" and not kind.__module__.endswith(".replay")}
    assert found == SHOWING | SAME
    for kind in SHOWING:
        assert isinstance(kind.__new__(kind), Showing), kind
        assert kind.purpose
    assert not any(isinstance(kind.__new__(kind), protocol.Showing) for kind in SAME)


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness.

    Here the sums that were opened, in parts of those that the policy allows.
    """
    from bluetusk.paillier import generate_keypair

    _, priv = generate_keypair(2048)
    parts = [got(folder / str(planted), priv, "max_sums", planted=planted)[0] for planted in (False, True)]
    name = f"sums of a boosting, in parts of max_sums, by {LIVES} feigned crashes; chance: allowed"
    return [(name, "guest", parts[0], 1.0, 0.0, parts[1])]
