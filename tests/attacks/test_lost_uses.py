"""An operator who lets a peer begin anew, by losing the file that counts what the peer has had.

The file of uses is deleted, replaced by an empty one, written anew with as many uses that showed nothing, or restored
from an older copy, between two processes: by somebody who wants the caps lifted, or by a backup that nobody thought of.
The log of evidence still has every use. The attacker wins if the peer gets more in all than the policy allows.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.evidence import Grant, Guard, Identity, Log, Meter, Policy, Recorder, _recorder
from bluetusk.evidence._uses import Uses

OWNER, PEER = Identity.generate(), "5a" * 32
LIMIT, LIVES = 6, 4
GRANT = Grant("g", PEER, ("gradient_boosting",), ("*",), uses=1 << 20, until=1 << 39, max_sums=LIMIT * 18)
POLICY = Policy("owner", 1, (GRANT,)).sign(OWNER)
STATED = {"trees": 1, "depth": 2, "cuts": 3, "min_rows": 50, "min_events": 5, "min_others": 5}  # 18 sums


def deleted(folder):
    (folder / "uses").unlink()


def emptied(folder):
    (folder / "uses").write_bytes(b"")


def restored(folder):
    shutil.copy(folder / "copy", folder / "uses")


def forged(folder, **less):
    """As many uses of the same tasks, in a chain that fits: there is no key to it."""
    less = less or {"sums": 0, "bits": 0}
    kept = Uses(folder / "uses", OWNER.public_key)
    kept.close()
    (folder / "uses").unlink()
    anew = Uses(folder / "uses", OWNER.public_key)
    anew.note_policy(kept.known.serial, kept.known.policy)
    for use in kept.known.by_task.values():
        anew.note(replace(use, **less))
    anew.close()


LOSSES = (deleted, emptied, restored)


def answers(folder, life, *, resumed):
    """One process of the owner: answer until the policy refuses; return how often, and the clause."""
    log = folder / "log"
    with (
        Guard(POLICY, folder / "uses", owner=OWNER.public_key) as guard,
        Log.open(log, OWNER) if log.exists() else Log.create(log, OWNER, owner="host") as kept,
    ):
        count = 0
        try:
            recorder = Recorder(
                log=kept,
                meter=Meter(),
                job=f"j{life}",
                me="host",
                peers={"guest": PEER},
                guard=guard,
                resumed=resumed,
            )
            while True:
                recorder.authorise(
                    **{"peer": "guest", "purpose": "gradient_boosting", "columns": ["A"], "rows": 900},
                    task=f"task {count}" if resumed else None,
                    **STATED,
                )
                count += 1
                if count == 2 and not (folder / "copy").exists():
                    shutil.copy(folder / "uses", folder / "copy")
        except bt.PolicyRefused as refusal:
            return count, refusal.clause


def got(folder, lose, *, planted, resumed=True):
    """Return how many answers the peer got in some lives of the owner, and the clauses that ended them."""
    folder.mkdir(parents=True, exist_ok=True)
    clauses, count = [], 0
    with pytest.MonkeyPatch.context() as patch:
        if planted:
            patch.setattr(Guard, "check_noted", lambda self, *told: None)
        for life in range(LIVES):
            more, clause = answers(folder, life, resumed=resumed)
            count += more
            clauses.append(clause)
            lose(folder)
    return count, clauses


@pytest.mark.parametrize("resumed", [True, False], ids=["party", "program"])
@pytest.mark.parametrize("lose", LOSSES)
def test_a_file_of_uses_that_the_log_contradicts_is_refused(tmp_path, lose, resumed):
    assert got(tmp_path, lose, planted=False, resumed=resumed) == (LIMIT, ["max_sums"] + ["store"] * (LIVES - 1))


@pytest.mark.parametrize("lose", LOSSES)
def test_a_count_that_nobody_compares_begins_anew(tmp_path, lose):
    """The attack wins where the file of uses is believed alone."""
    kept = 2 if lose is restored else 0
    assert got(tmp_path, lose, planted=True) == (LIMIT + (LIVES - 1) * (LIMIT - kept), ["max_sums"] * LIVES)


def test_a_file_of_uses_that_was_written_anew(tmp_path):
    assert got(tmp_path, forged, planted=False) == (LIMIT, ["max_sums"] + ["store"] * (LIVES - 1))


def test_a_file_of_uses_whose_entries_are_counted_alone(tmp_path, monkeypatch):
    """The attack wins where only the number of uses is compared."""
    monkeypatch.setattr(_recorder, "_noted", lambda records: {})
    assert got(tmp_path, forged, planted=False) == (LIVES * LIMIT, ["max_sums"] * LIVES)


@pytest.mark.parametrize("less", [{"ids": 7}, {"columns": b""}, {"bits": 0}, {"time": 1}])
def test_whatever_was_changed_in_it(tmp_path, less):
    answers(tmp_path, 0, resumed=False)
    forged(tmp_path, **less)
    with (
        Log.open(tmp_path / "log", OWNER) as log,
        Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key) as guard,
        pytest.raises(bt.PolicyRefused, match=r"something else, of a use that the log of evidence has of task 'j0/gra"),
    ):
        Recorder(log=log, meter=Meter(), job="j9", me="host", peers={"guest": PEER}, guard=guard)


def test_a_step_that_was_taken_again_is_in_the_log(tmp_path):
    answers(tmp_path, 0, resumed=True)
    roomy = Policy("owner", 2, (replace(GRANT, max_sums=1 << 20),)).sign(OWNER)
    about = {"meter": Meter(), "job": "j0", "me": "host", "peers": {"guest": PEER}, "resumed": True}
    with Log.open(tmp_path / "log", OWNER) as log:
        with Guard(roomy, tmp_path / "uses", owner=OWNER.public_key) as guard:
            recorder = Recorder(log=log, guard=guard, **about)
            recorder.retaken(peer="guest", purpose="gradient_boosting", task="task 0", step=1, times=1, sums=18)
            Recorder(log=log, guard=guard, **about)
        assert log.records[-1].what == "counted_again"
        uses = Uses(tmp_path / "uses", OWNER.public_key)
        uses.close()
        (again,) = (use for use in uses.known.by_task.values() if use.again)
        assert again.digest == log.records[-1].hashes["noted"]


def test_a_retake_that_an_earlier_version_logged_is_not_logged_again(tmp_path, monkeypatch):
    """Its record lacks the guard's hash: a second one would claim a use that the guard never noted."""
    about = {"meter": Meter(), "job": "j", "me": "host", "peers": {"guest": PEER}, "resumed": True}
    use = {"peer": "guest", "purpose": "gradient_boosting", "task": "t"}
    append = Log.append

    def earlier(self, what, **more):
        more["hashes"] = {name: value for name, value in (more.get("hashes") or {}).items() if name != "noted"}
        return append(self, what, **more)

    for life in range(3):
        with (
            Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key) as guard,
            Log.open(tmp_path / "log", OWNER) if life else Log.create(tmp_path / "log", OWNER, owner="host") as log,
            monkeypatch.context() as patch,
        ):
            patch.setattr(Log, "append", append if life else earlier)
            recorder = Recorder(log=log, guard=guard, **about)
            recorder.authorise(**use, columns=["A"], rows=500, **STATED)
            recorder.retaken(**use, step=2, times=1, sums=1)
            assert [record.what for record in log.records] == ["opened", "authorised", "counted_again"]


def test_a_crash_between_the_note_of_a_retaken_step_and_its_record(tmp_path, monkeypatch):
    """The next process notes nothing twice, and its record makes up for the one that the crash prevented."""
    about = {"meter": Meter(), "job": "j", "me": "host", "peers": {"guest": PEER}, "resumed": True}
    use = {"peer": "guest", "purpose": "gradient_boosting", "task": "t"}
    again = {**use, "step": 1, "times": 1, "sums": 18}
    with Log.create(tmp_path / "log", OWNER, owner="host") as log:
        with Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key) as guard:
            recorder = Recorder(log=log, guard=guard, **about)
            recorder.authorise(**use, columns=["A"], rows=900, **STATED)
            shutil.copy(tmp_path / "uses", tmp_path / "copy")
            with monkeypatch.context() as patch:
                patch.delattr(Log, "append")
                with pytest.raises(AttributeError):
                    recorder.retaken(**again)
            for _ in range(2):
                Recorder(log=log, guard=guard, **about).retaken(**again)
            assert guard.learned()[PEER]["sums"] == 36
        assert [record.what for record in log.records] == ["opened", "authorised", "counted_again"]
        restored(tmp_path)
        with (
            Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key) as guard,
            pytest.raises(bt.PolicyRefused, match="restored from an older copy"),
        ):
            Recorder(log=log, guard=guard, **about)


def test_logs_of_earlier_versions(tmp_path, monkeypatch):
    """They have no hashes of uses: the number of uses is compared, as before."""
    real = Log.append

    def append(self, what, *, hashes=None, **more):
        return real(self, what, hashes={name: each for name, each in (hashes or {}).items() if name != "noted"}, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Log, "append", append)
        answers(tmp_path, 0, resumed=True)
    assert answers(tmp_path, 1, resumed=True) == (0, "max_sums")
    forged(tmp_path)
    assert answers(tmp_path, 2, resumed=True) == (LIMIT, "max_sums")
    deleted(tmp_path)
    assert answers(tmp_path, 3, resumed=True) == (0, "store")


def test_the_refusal_says_what_happened(tmp_path):
    answers(tmp_path, 0, resumed=True)
    deleted(tmp_path)
    log = Log.open(tmp_path / "log", OWNER)
    with (
        log,
        Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key) as guard,
        pytest.raises(bt.PolicyRefused, match=rf"notes 0 uses of grant 'g'.* {LIMIT} were granted.*Restore it"),
    ):
        Recorder(log=log, meter=Meter(), job="j9", me="host", peers={"guest": PEER}, guard=guard)


def test_a_policy_that_raises_the_uses(tmp_path):
    """Two uses of a program, each the last one under its policy, are two, though the rest of their records is alike."""
    log = Log.create(tmp_path / "log", OWNER, owner="host")

    def use(serial):
        grant = Grant("g", PEER, ("gradient_boosting",), ("*",), uses=serial, until=1 << 39)
        policy = Policy("owner", serial, (grant,)).sign(OWNER)
        with Guard(policy, tmp_path / "uses", owner=OWNER.public_key) as guard:
            recorder = Recorder(log=log, meter=Meter(), job="j", me="host", peers={"guest": PEER}, guard=guard)
            recorder.authorise(peer="guest", purpose="gradient_boosting", columns=["A"], rows=900, task="t", **STATED)

    with log:
        use(1)
        shutil.copy(tmp_path / "uses", tmp_path / "copy")
        use(2)
        restored(tmp_path)
        with pytest.raises(bt.PolicyRefused, match="notes 1 uses of grant 'g', but the log of evidence says that 2"):
            use(2)


def test_two_recorders_of_a_job_are_no_loss(tmp_path):
    """A use that both have logged is one use, whatever came between: other uses, or a newer policy."""
    with (
        Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key) as guard,
        Log.create(tmp_path / "log", OWNER, owner="host") as log,
    ):

        def recorder():
            return Recorder(
                log=log, meter=Meter(), job="j", me="host", peers={"guest": PEER}, guard=guard, resumed=True
            )

        def use(each, task):
            each.authorise(peer="guest", purpose="gradient_boosting", columns=["A"], rows=900, task=task, **STATED)

        first, second, third = recorder(), recorder(), recorder()
        use(first, "t")
        use(first, "u")
        use(second, "t")
        guard.replace(Policy("owner", 2, (GRANT,)).sign(OWNER))
        use(third, "t")
        assert [record.what for record in log.records] == ["opened"] + 4 * ["authorised"]
        assert [record.details["uses_left"] for record in log.records if record.task == "j/t"] != 3 * [GRANT.uses - 1]
        recorder()


def test_texts_and_numbers_of_other_types_are_no_loss(tmp_path):
    """The file gives back what was noted as plain types: the hash must be the same, on every version of Python."""
    about = {"meter": Meter(), "job": np.str_("j"), "me": "host", "peers": {"guest": np.str_(PEER)}, "resumed": True}
    use = {"peer": "guest", "purpose": np.str_("gradient_boosting"), "task": np.str_("\u6570")}
    with Log.create(tmp_path / "log", OWNER, owner="host") as log:
        for _ in range(2):
            with Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key) as guard:
                recorder = Recorder(log=log, guard=guard, **about)
                recorder.authorise(**use, columns=["A"], rows=np.int64(900), **STATED)
                recorder.retaken(**use, step=True, times=True, sums=np.int64(18))
        assert [record.what for record in log.records] == ["opened", "authorised", "counted_again"]
        (kept,) = (each for each in guard._uses.known.by_task.values() if not each.again)
        plain = ["g", "0", PEER, "gradient_boosting", kept.request, "j/\u6570", str(kept.time)]
        plain += [str(kept.bits), kept.columns, b"", "0", "18", "0"]
        assert kept.digest == hashlib.sha256(ascii(plain).encode()).digest()


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness.

    Here the answers, in parts of those that the policy allows.
    """
    rows = []
    for lose in LOSSES:
        parts = [got(folder / f"{lose.__name__}-{planted}", lose, planted=planted)[0] / LIMIT for planted in (0, 1)]
        name = f"answers in parts of max_sums, uses {lose.__name__} between {LIVES} processes; chance: allowed"
        rows.append((name, "operator", parts[0], 1.0, 0.0, parts[1]))
    parts = [got(folder / "forged", forged, planted=False)[0] / LIMIT]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_recorder, "_noted", lambda records: {})
        parts.append(got(folder / "forged-planted", forged, planted=False)[0] / LIMIT)
    name = f"answers in parts of max_sums, uses written anew between {LIVES} processes; chance: allowed"
    return [*rows, (name, "operator", parts[0], 1.0, 0.0, parts[1])]
