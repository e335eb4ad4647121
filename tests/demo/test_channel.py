"""Frames on sockets: cut, announced too long, gone, late."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from bluetusk.demo.channel import Account, Channel, note, read_note
from bluetusk.errors import FrameError


def test_frames_arrive_whole_and_in_order_and_are_counted() -> None:
    a, b = socket.socketpair()
    there = Account()
    sender, receiver = Channel(a), Channel(b, there)
    large = note("large", bytes(range(256)) * 8192)
    thread = threading.Thread(target=lambda: [sender.send(frame) for frame in (large, note("small"))])
    thread.start()
    assert receiver.receive(5.0) == large
    assert read_note(receiver.receive(5.0), "small").header == {"topic": "small"}
    thread.join()
    assert there.now.received == len(large) + len(note("small")) + 8
    sender.close()
    receiver.close()


def test_end_and_silence_and_lies_have_their_errors() -> None:
    a, b = socket.socketpair()
    receiver = Channel(b)
    with pytest.raises(TimeoutError):
        receiver.receive(0.05)
    a.sendall(struct.pack("<I", 1 << 31))
    with pytest.raises(FrameError, match="announced"):
        receiver.receive(1.0)
    a.sendall(struct.pack("<I", 100) + b"half")
    a.close()
    with pytest.raises(EOFError):
        receiver.receive(1.0)
    with pytest.raises(EOFError):
        receiver.send(note("x"))
    receiver.close()


def test_notes_about_something_else_are_refused() -> None:
    with pytest.raises(FrameError, match="topic"):
        read_note(note("bins"), "hello", "complete")
    with pytest.raises(FrameError):
        read_note(b"no frame")


def test_account_adds_up_phase_by_phase() -> None:
    account = Account()
    account.enter("keys")
    sum(i * i for i in range(200_000))
    account.enter("start")
    account.close()
    assert list(account.phases) == ["start", "keys"]
    assert account.phases["keys"].seconds > 0.001
