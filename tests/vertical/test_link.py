"""Messages between the parties of a vertical model: exact, in order; steps that survive a restart."""

from __future__ import annotations

import ast
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical.protocol.job import drive
from bluetusk.vertical.protocol.link import Rewind, array_bytes, array_from, local_links

ROOT = Path(__file__).parents[2]


def pair(task="t", step=0):
    links = local_links(seconds=5.0)
    for link in links:
        link.scope(task, step)
    return links


def test_message_arrives_whole():
    here, there = pair()
    values = np.arange(7, dtype=np.uint64)
    here.send("a", {"rows": 7, "names": ["x", "y"]}, [array_bytes(values, "<u8"), b""])
    got = there.receive("a", ["rows", "names"], parts=2)
    assert got.fields == {"rows": 7, "names": ["x", "y"]}
    assert np.array_equal(array_from(got.parts[0], "<u8", (7,)), values)
    assert bytes(got.parts[1]) == b""
    assert here.bytes_sent == there.bytes_received > 56


@pytest.mark.parametrize("change", ["topic", "task", "step", "repeated", "skipped", "fields", "parts"])
def test_what_is_not_due_is_refused(change):
    here, there = pair()
    if change == "task":
        here.scope("u", 0)
    if change == "step":
        here.scope("t", 1)
    if change == "skipped":
        here.send("first")
        there.channel.recv()
    here.send("b" if change == "topic" else "a", {"k": 1} if change == "fields" else {}, [b"x"])
    if change == "repeated":
        there.channel._in.put(data := there.channel.recv())
        there.channel._in.put(data)
        there.receive("a")
    with pytest.raises(bt.FrameError):
        there.receive("a", parts=2 if change == "parts" else 1)


def test_abort_reaches_the_peer():
    here, there = pair()
    here.abort("the policy expired")
    with pytest.raises(bt.ProtocolAbort, match="the policy expired") as caught:
        there.receive("a")
    assert caught.value.party == "guest"


def test_silence_ends():
    _, there = local_links(seconds=0.01)
    with pytest.raises(bt.ProtocolAbort, match="no message came"):
        there.receive("a")


def test_arrays_are_checked():
    with pytest.raises(ValueError, match="do not fit"):
        array_bytes([300], "<u1")
    with pytest.raises(ValueError, match="do not fit"):
        array_bytes([0.5], "<i8")
    with pytest.raises(bt.FrameError):
        array_from(b"123", "<u2", (1,))


class Counting:
    """A job whose step adds what the peer sent."""

    name, inputs = "counting", b"numbers from 10"

    def __init__(self, number):
        self.number, self.total, self.steps = number, 0, 6

    def step(self, links, index):
        (link,) = links
        link.send("number", {"n": self.number + index})
        self.total += link.receive("number", ["n"]).fields["n"]

    def state(self):
        return struct.pack("<q", self.total)

    def restore(self, state):
        (self.total,) = struct.unpack("<q", state)


class Memory:
    """A keeper for one process: the parties agree through a shared table."""

    def __init__(self, me, table, barrier):
        self.me, self.table, self.barrier = me, table, barrier
        table.setdefault(me, {0: None})

    def resume(self, task):
        self.barrier.wait(5)
        common = min(max(states) for states in self.table.values())
        self.barrier.wait(5)
        return common, self.table[self.me][common]

    def commit(self, task, index, state):
        self.table[self.me][index] = state


def test_steps_are_taken_again_after_a_restart():
    table, barrier = {}, threading.Barrier(2)
    links = local_links(seconds=5.0)
    jobs = [Counting(10), Counting(1000)]
    broken = {3: True}

    def party(k):
        real = jobs[k].step

        def step(ls, index):
            if broken.get(index) and k == 1:
                broken[index] = False
                ls[0].channel._out.put(b"restart")
                raise Rewind
            if k == 0:
                inner = ls[0].channel.recv

                def recv():
                    data = inner()
                    if data == b"restart":
                        raise Rewind
                    return data

                ls[0].channel.recv = recv
            try:
                real(ls, index)
            except Rewind:
                while not links[1].channel._in.empty():
                    links[1].channel._in.get()
                raise

        jobs[k].step = step
        drive(jobs[k], [links[k]], keeper=Memory(k, table, barrier))

    threads = [threading.Thread(target=party, args=(k,)) for k in (0, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
    assert broken == {3: False}
    assert jobs[0].total == sum(1000 + i for i in range(6))
    assert jobs[1].total == sum(10 + i for i in range(6))


def test_without_a_keeper_a_restart_ends_the_job():
    class Broken(Counting):
        def step(self, links, index):
            raise Rewind

    with pytest.raises(Rewind):
        drive(Broken(1), [])


def test_kept_steps_go_on_with_nothing_else(steps):
    kept = Counting(1).inputs + Counting(1).state()
    done = Counting(1)
    drive(done, [], keeper=steps({6: done.inputs + struct.pack("<q", 7)}, 6))
    assert done.total == 7
    for bad in (b"numbers from 11" + Counting(1).state(), kept[:-9], b""):
        with pytest.raises(bt.FrameError, match="'counting' were taken with other rows or settings"):
            drive(Counting(1), [], keeper=steps({6: bad}, 6))


def receives() -> Iterator[tuple[str, set[str], bool]]:
    """Yield each call of a link's `receive` in the package: its place, its keywords, whether it takes no arrays."""
    for path in sorted((ROOT / "src" / "bluetusk" / "vertical").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "receive":
                given = {word.arg: word.value for word in node.keywords if word.arg is not None}
                none = isinstance(parts := given.get("parts"), ast.Constant) and parts.value == 0
                yield f"{path.name}:{node.lineno}", set(given), none


def test_every_receive_states_its_arrays_and_their_size() -> None:
    """Without a size a peer may send 4 GiB."""
    found = list(receives())
    assert len(found) > 40
    assert [place for place, given, none in found if "parts" not in given or not (none or "most" in given)] == []


def test_two_parties_of_one_role_are_told_so():
    here, there = local_links()
    there.me = "guest"
    there.send("hello")
    with pytest.raises(bt.ProtocolAbort, match="both parties run as 'guest': one must be the guest") as caught:
        here.receive("hello")
    assert caught.value.kind == "settings"
