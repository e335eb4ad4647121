"""Somebody who can write to a party's disk puts other state in place: of another job, or older, or a whole old copy.

Under another state a step is taken again on numbers that the peer has answered before, or on those of another job: the
difference of two answers shows what one alone hides. Files of one party are all encrypted under one key, so each of
them decrypts wherever it is put.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil

import pytest

import bluetusk as bt
from bluetusk.errors import FrameError, ProtocolAbort
from bluetusk.evidence.notary import Notary
from bluetusk.storage import append, files
from bluetusk.vertical.party import connection
from bluetusk.vertical.party.manifest import Manifest, Stand
from bluetusk.vertical.party.session import Session
from bluetusk.vertical.party.vault import Vault
from bluetusk.vertical.protocol.link import Rewind
from bluetusk.wire.frame import Kind, decode, encode

KEY = bytes(range(32))
TASK = "task"
REFUSALS = (FrameError, ProtocolAbort)


class Killed(BaseException):
    pass


def opened(path, me, *, job="j", witness=None):
    """A party's process: its session on a directory, and the task begun."""
    vault = Vault(path, KEY)
    try:
        session = Session(vault, job=job, peer="host" if me == "guest" else "guest", patience=5, witness=witness)
        session.resume(TASK)
    except BaseException:
        vault.close()
        raise
    return session


def killed(session):
    session.abort_said = True  # who is killed says nothing
    session.fail(Killed())
    session._vault.close()


def exchange(sessions, seen=None):
    """Connect two parties and carry what they have to say; `seen` gets the answers that leave the first."""
    connections = [s.connect() for s in sessions]
    streams = [c.messages() for c in connections]
    quiet = 0
    while quiet < 4:
        for k in (0, 1):
            message = next(streams[k], None)
            if message is None:
                return
            header = decode(message, Kind.PARTY).header
            quiet = quiet + 1 if header["say"] == "beat" else 0
            if seen is not None and k == 0 and header["say"] == "data":
                seen.append((header["step"], header["attempt"]))
            connections[1 - k].take(message)


def step(sessions, index, state, seen=None):
    """Both take a step: a frame each way, under fresh randomness, and each keeps its state."""
    for s in sessions:
        s.send(os.urandom(8))
    exchange(sessions, seen)
    for s in sessions:
        s.recv()
        s.commit(TASK, index + 1, state)


def hurry(patch):
    """No test here loses its power."""
    patch.setattr(connection, "BEAT", 0.002)
    patch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    hurry(monkeypatch)


def plant(monkeypatch, *faults):
    """Build the earlier version again."""
    if "files" in faults:  # nothing but the name was bound, nothing listed which file of that name it was
        monkeypatch.setattr(Manifest, "_bound", lambda self, generation: b"")
        monkeypatch.setattr(Manifest, "read", lambda self, name: self._vault.read(name))
        monkeypatch.setattr(Manifest, "append", lambda self, name, attempt, data: self._vault.append(name, data))
        monkeypatch.setattr(Manifest, "records", lambda self, name, attempt: self._vault.records(name))
    if "directories" in faults:  # nobody remembered how far a directory had come
        monkeypatch.setattr(Stand, "follows", lambda self, before: True)


# ------------------------------------------------------------------------------------------------------ single files
def other_job(folder):
    """The state after the first step of another job of the same party, in the place of this job's."""
    for job, state in (("j", b"mine"), ("other", b"of the other job")):
        sessions = [opened(folder / job / me, me, job=job) for me in ("guest", "host")]
        step(sessions, 0, state)
        for s in sessions:
            killed(s)
    shutil.copy(folder / "other" / "guest" / "state-00000001", folder / "j" / "guest")
    return folder / "j" / "guest", b"of the other job"


def older_file(folder):
    """The state after the first step as it was, after both parties have gone back and taken the step again."""
    sessions = [opened(folder / me, me) for me in ("guest", "host")]
    for s in sessions:
        s.send(b"first")
    exchange(sessions)
    for s in sessions:
        s.recv()
    sessions[0].commit(TASK, 1, b"of the void attempt")
    shutil.copy(folder / "guest" / "state-00000001", folder / "old")
    killed(sessions[1])  # before it has kept the step
    sessions[1] = opened(folder / "host", "host")
    exchange(sessions)
    with pytest.raises(Rewind):
        sessions[0].recv()
    for s in sessions:
        s.resume(TASK)
    step(sessions, 0, b"of the attempt that counts")
    for s in sessions:
        killed(s)
    shutil.copy(folder / "old", folder / "guest" / "state-00000001")
    return folder / "guest", b"of the void attempt"


@pytest.mark.parametrize("attack", [other_job, older_file])
@pytest.mark.parametrize("planted", [True, False])
def test_a_file_in_the_place_of_another(tmp_path, monkeypatch, attack, planted):
    if planted:
        plant(monkeypatch, "files")
    path, wanted = attack(tmp_path)
    if planted:
        session = opened(path, "guest")
        assert session.resume(TASK) == (1, wanted)
        killed(session)
    else:
        with pytest.raises(FrameError, match=r"is of another job, an older copy, or was changed: .* restore the whole"):
            opened(path, "guest")


# -------------------------------------------------------------------------------------------------- whole directories
def old_copy(folder, who):
    """Two parties take two steps; `who` comes back with its directory as it was before the second."""
    seen = []
    sessions = [opened(folder / me, me) for me in ("guest", "host")]
    step(sessions, 0, b"1", seen)
    exchange(sessions, seen)
    shutil.copytree(folder / who, folder / "old", ignore=shutil.ignore_patterns("lock"))
    step(sessions, 1, b"2", seen)
    exchange(sessions, seen)  # each has heard how far the other has come
    for s in sessions:
        killed(s)
    shutil.rmtree(folder / who)
    shutil.copytree(folder / "old", folder / who)
    return seen


@pytest.mark.parametrize("who", ["guest", "host"])
@pytest.mark.parametrize("planted", [True, False])
def test_a_whole_directory_that_is_older(tmp_path, monkeypatch, who, planted):
    """The one that comes back hears from the other that it is old; the other names it. Nothing is answered."""
    if planted:
        plant(monkeypatch, "directories")
    seen = old_copy(tmp_path, who)
    sessions = [opened(tmp_path / me, me) for me in ("guest", "host")]
    before = len(seen)
    if planted:
        exchange(sessions)
        for s in sessions:
            with contextlib.suppress(Rewind):
                s.recv()
            s.resume(TASK)
            s.send(b"a second answer to step 1")
        exchange(sessions, seen)
        assert {n for n, _ in seen[before:]} == {1}
        return
    names = {"guest": "host", "host": "guest"}
    for k, me in enumerate(names):
        fresh = [opened_again(tmp_path, sessions, each) for each in names]
        own = f"is older than before by the word of '{names[me]}'"
        complaint = own if me == who else f"the state directory of '{who}' is older than before"
        ours, theirs = fresh[k].connect(), fresh[1 - k].connect()
        with pytest.raises(ProtocolAbort, match=complaint) as caught:
            ours.take(next(theirs.messages()))
        assert caught.value.party == (None if me == who else who)
        sessions = fresh
    assert len(seen) == before


def opened_again(folder, sessions, me):
    killed(sessions[0 if me == "guest" else 1])
    return opened(folder / me, me)


@pytest.fixture
def logs(tmp_path):
    """A log of each party, and its notary for the job."""
    signers = {me: bt.evidence.Identity.generate() for me in ("guest", "host")}
    made = {me: bt.evidence.Log.create(tmp_path / f"{me}.log", signer, owner=me) for me, signer in signers.items()}

    def notary(me):
        peer = "host" if me == "guest" else "guest"
        return Notary(made[me], signers[me], job="j", me=me, peer=peer, key=signers[peer].public_key)

    yield notary
    for log in made.values():
        log.close()


@pytest.mark.parametrize("planted", [True, False])
def test_the_log_remembers_where_the_peer_keeps_silent(tmp_path, monkeypatch, logs, planted):
    """The peer is in the plot and says nothing of what it knows; the log of evidence does."""
    session = opened(tmp_path / "guest", "guest", witness=logs("guest"))
    killed(session)
    shutil.copytree(tmp_path / "guest", tmp_path / "old")
    killed(opened(tmp_path / "guest", "guest", witness=logs("guest")))
    shutil.rmtree(tmp_path / "guest")
    shutil.copytree(tmp_path / "old", tmp_path / "guest")
    if planted:
        killed(opened(tmp_path / "guest", "guest"))
        return
    with pytest.raises(ProtocolAbort, match="is older than the log of evidence says"):
        opened(tmp_path / "guest", "guest", witness=logs("guest"))
    with pytest.raises(ProtocolAbort, match="was begun in another state directory"):
        opened(tmp_path / "new", "guest", witness=logs("guest"))
    last = logs("guest")._log.records[-2:]
    assert [record.what for record in last] == ["session_refused"] * 2
    assert "is older than the log of evidence says" in last[0].details["reason"]


def test_a_peer_that_invents_what_it_remembers_is_named_as_the_source(tmp_path, logs):
    """The victim's log must not say on its own account that its directory is old, nor must anybody remove one."""
    victim = opened(tmp_path / "host", "host", witness=logs("host"))
    about = {"say": "hello", "version": 2, "job": "j", "now": 0, "stand": [bytes(16), 0, bytes(16)], "log": True}
    about |= {"known": [b"x" * 16, 7, b"y" * 16], "held": b"", "heard": {}, "rounds": []}
    with pytest.raises(ProtocolAbort, match="older than before by the word of 'guest'"):
        victim.connect().take(encode(Kind.PARTY, about))
    killed(victim)
    reason = logs("host")._log.records[-1].details["reason"]
    for said in ("by the word of 'guest'", f"stand 7 of directory {(b'x' * 16).hex()}", "keep these"):
        assert said in reason
    assert "remove" not in reason


def test_a_log_that_was_rolled_back(tmp_path, logs):
    """Either side notices it when they connect, before anything is sent; the other side keeps the proof."""
    sessions = [opened(tmp_path / me, me, witness=logs(me)) for me in ("guest", "host")]
    log = sessions[1]._witness._log
    path = tmp_path / "host.log"
    old = path.read_bytes()
    log.append("answered something", by="host")
    exchange(sessions)
    for k in (0, 1):
        mine, theirs = sessions[k]._witness, sessions[1 - k]._witness
        mine.accept(theirs.offer(mine.held()))
    for s in sessions:
        killed(s)
    log.close()
    path.write_bytes(old)
    signer = sessions[1]._witness._identity
    with bt.evidence.Log.open(path, signer) as rolled:
        again = Notary(rolled, signer, job="j", me="host", peer="guest", key=sessions[1]._witness.key)
        sessions = [
            opened(tmp_path / "guest", "guest", witness=logs("guest")),
            opened(tmp_path / "host", "host", witness=again),
        ]
        connections = [s.connect() for s in sessions]
        hellos = [next(c.messages()) for c in connections]
        with pytest.raises(ProtocolAbort, match="not those that the peer holds a head of: history was rewritten"):
            connections[1].take(hellos[0])
        # a host that lies about it: its head does not extend the one that the guest holds
        forged = rolled.offer()
        assert connections[0].take(hellos[1])
        with pytest.raises(ProtocolAbort, match=r"cut or rolled back|two different histories|was rewritten") as caught:
            sessions[0]._witness.check(forged, sessions[0]._held)
        assert caught.value.party.startswith("host ")
    refused = [r for r in sessions[0]._witness._log.records if r.what == "peer_refused"]
    assert refused
    for s in sessions:
        killed(s)


def test_a_directory_of_an_earlier_version(tmp_path):
    vault = Vault(tmp_path, KEY)
    vault.write("steps", b"of format 1")
    vault.close()
    with pytest.raises(
        ProtocolAbort, match="finish the job with that version, or remove the state directories of both"
    ):
        opened(tmp_path, "guest")
    (tmp_path / "steps").rename(tmp_path / "state-00000001")
    with pytest.raises(FrameError, match="the manifest is missing"):
        opened(tmp_path, "guest")


# ------------------------------------------------------------------------------------------- kills at each write point
class Seen(list):
    """The answers that left the victim, by step and attempt; `extra` counts those that it had no right to give.

    When an answer of a new attempt leaves, the directory must hold every earlier attempt at that step as a retake.
    """

    def __init__(self):
        super().__init__()
        self.victim, self.extra = None, 0

    def append(self, answer):
        step, attempt = answer
        if answer not in self:
            void = self.victim._void.get(step, [])
            self.extra += any(other not in void for n, other in self if n == step)
            super().append((step, attempt))


class Disk:
    """Kills the victim's process at a write, before or after it, and keeps copies of its directory."""

    def __init__(self, folder, rng, monkeypatch):
        self.path, self.rng, self.left, self.before, self.copies = folder, rng, None, False, []
        self.whole = {"write": files.write, "append": append.AppendFile.append}
        monkeypatch.setattr(files, "write", self.around("write"))
        monkeypatch.setattr(append.AppendFile, "append", self.around("append"))

    def around(self, name):
        whole = self.whole[name]

        def call(target, *args, **more):
            path = target.path if name == "append" else target
            if not str(path).startswith(str(self.path)):
                return whole(target, *args, **more)
            last = self.left == 0
            if self.left is not None:
                self.left -= 1
            if last and self.before:
                raise Killed
            result = whole(target, *args, **more)
            self.keep()
            if last:
                raise Killed
            return result

        return call

    def keep(self):
        if self.rng.random() < 0.3:
            self.copies.append({path.name: path.read_bytes() for path in self.path.iterdir() if path.name != "lock"})

    def kill(self, after):
        """Let the process end after so many writes: just before the next one, or right behind it."""
        self.left, self.before = after, self.rng.random() < 0.5

    def restore(self):
        """Put an old copy in place: all of it, or one file."""
        if not self.copies or self.rng.random() < 0.3:
            return
        copy = self.rng.choice(self.copies)
        if self.rng.random() < 0.3:
            name = self.rng.choice(sorted(copy))
            (self.path / name).write_bytes(copy[name])
            return
        for path in self.path.iterdir():
            if path.name != "lock":
                path.unlink()
        for name, data in copy.items():
            (self.path / name).write_bytes(data)


def converse(pair, seen, steps=3):
    """Let both programs take their steps, in this thread, until both are done."""
    for _ in range(40):
        for s in pair:
            if s.rewound:
                s.resume(TASK)
            if s.position < steps and not s._rounds[s.position].sent:
                s.send(os.urandom(8))
        exchange(pair, seen)
        for s in pair:
            now = s._rounds[s.position]
            if not s.rewound and s.position < steps and now.inbox and s._rounds.peer_now >= s.position:
                s.recv()
                s.commit(TASK, s.position + 1, b"state")
        if all(s.position == steps for s in pair):
            return
    raise ProtocolAbort("the two parties do not come to an end")


def one_job(folder, seed, monkeypatch, kills, planted):
    """Run one job under kills and restores; return the number of answers that were not counted, and the kills done."""
    rng = random.Random(seed)
    disk = Disk(folder / "guest", rng, monkeypatch)
    peer = opened(folder / "host", "host")
    seen, done, complaint = Seen(), 0, ""
    while done < kills and peer.position < 3:
        victim = None
        try:
            disk.kill(rng.randrange(1, 30))
            victim = seen.victim = opened(folder / "guest", "guest")
            converse([victim, peer], seen)
        except Killed:
            pass
        except REFUSALS as error:
            complaint = str(error)
        finally:
            disk.left = None
            if victim is not None:
                killed(victim)
            done += 1
        if complaint:
            break
        disk.restore()
    killed(peer)
    assert planted or not complaint or "restore" in complaint or "has come back" in complaint
    return seen.extra, done


def run(folder, kills, *, planted=False):
    """Return the number of extra answers over so many kills, each followed by a start on old or present state."""
    done = seed = extras = 0
    while done < kills:
        with pytest.MonkeyPatch.context() as patch:
            found, more = one_job(folder / str(seed), seed, patch, 8, planted)
        extras, done, seed = extras + found, done + more, seed + 1
    return extras


@pytest.mark.parametrize("kills", [60, pytest.param(1000, marks=pytest.mark.nightly)])
def test_kills_and_restores_give_no_extra_answer(tmp_path, kills):
    assert run(tmp_path, kills) == 0


def forgetful(patch):
    """Build the earlier version again: the counter in memory, and directories that nobody remembers."""

    def load(self, whole=Session._load):
        if self._manifest.more is not None:
            self._manifest.more |= {"again": {}, "met": False}
        whole(self)

    patch.setattr(Session, "_load", load)
    patch.setattr(Session, "_count_heard", lambda self, theirs, header: None)
    plant(patch, "directories")


@pytest.mark.nightly
def test_kills_and_restores_where_nothing_is_remembered(tmp_path, monkeypatch):
    """The control: there are extra answers."""
    forgetful(monkeypatch)
    assert run(tmp_path, 60, planted=True) > 0


def exchanged(folder, attack):
    """Tell whether the victim goes on from a file that is not its latest."""
    path, wanted = attack(folder)
    try:
        session = opened(path, "guest")
    except FrameError:
        return False
    state = session.resume(TASK)
    killed(session)
    return state == (1, wanted)


def answered_again(folder, who):
    """Tell whether a step is answered a second time after `who` has come back with an older directory."""
    seen = old_copy(folder, who)
    before = len(seen)
    sessions = [opened(folder / me, me) for me in ("guest", "host")]
    with contextlib.suppress(ProtocolAbort):
        exchange(sessions)
        for s in sessions:
            with contextlib.suppress(Rewind):
                s.recv()
            s.resume(TASK)
            s.send(b"a second answer to step 1")
        exchange(sessions, seen)
    for s in sessions:
        killed(s)
    return len(seen) > before


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    attacks = {
        "a state file of another job, taken": (lambda at: exchanged(at, other_job), lambda p: plant(p, "files")),
        "an older state file, taken": (lambda at: exchanged(at, older_file), lambda p: plant(p, "files")),
        "a second answer, by an older directory": (
            lambda at: any(answered_again(at / who, who) for who in ("guest", "host")),
            lambda p: plant(p, "directories"),
        ),
        "answers that no counter has, over 60 kills and restores": (lambda at: run(at, 60, planted=True), forgetful),
    }
    rows = []
    for number, (name, (won, planting)) in enumerate(attacks.items()):
        found = []
        for place in ("package", "planted"):
            with pytest.MonkeyPatch.context() as patch:
                hurry(patch)
                if place == "planted":
                    planting(patch)
                found.append(int(won(folder / f"{number}-{place}")))
        rows.append((name, "who writes to the disk", found[0], 0, 0, found[1]))
    return rows
