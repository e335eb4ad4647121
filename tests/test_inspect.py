"""``inspect`` shows headers, never secrets, never a terminal's control characters, and never breaks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bluetusk._inspect import describe
from bluetusk.errors import BluetuskError, FrameError
from bluetusk.wire.frame import Kind, encode


def test_keys(tmp_path: Path, keypair: tuple) -> None:
    pub, priv = keypair
    (tmp_path / "frame").write_bytes(pub.to_bytes())
    (tmp_path / "json").write_text(pub.to_json())
    priv.save(tmp_path / "private", "seven quiet otters")
    for name in ("frame", "json"):
        told = dict(describe(tmp_path / name))
        assert told["fingerprint"] == pub.fingerprint_words
        assert told["hex"] == pub.fingerprint.hex()
        assert told["bits"] == 2048
    told = dict(describe(tmp_path / "private"))
    assert told["kind"] == "PRIVATE_KEY"
    assert told["fingerprint"] == pub.fingerprint_words
    assert set(told) == {"kind", "holds", "version", "bits", "suite", "fingerprint", "kdf", "cipher", "payload", "size"}


def test_arrays(tmp_path: Path, keypair: tuple) -> None:
    path = tmp_path / "array"
    path.write_bytes(keypair[0].encrypt([[1, 2, 3], [4, 5, 6]]).to_bytes())
    told = dict(describe(path))
    assert told["kind"] == "CIPHER_ARRAY"
    assert told["shape"] == "[2, 3]"


def test_a_state_shows_its_task_only(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(encode(Kind.VERTICAL_STATE, {"task": "intersect", "fields": {"key": b"secret"}}))
    told = dict(describe(path))
    assert set(told) == {"kind", "holds", "version", "task", "payload", "size"}


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_meaning(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "frame"
    path.write_bytes(encode(kind, {"suite": "djn"}, b"1234"))
    if kind in (Kind.PUBLIC_KEY, Kind.POLICY):  # these are read and checked
        with pytest.raises(FrameError):
            describe(path)
    else:
        told = dict(describe(path))
        assert told["kind"] == kind.name
        assert told.get("payload") == "4 bytes" or told[f"{kind.name} frames"] == 1


def test_foreign_text_cannot_drive_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "frame"
    header = {"\x1b]0;x": "\x1b[2J\r\n\u202egnp", "list": ["\x07" * 1000], "map": {"a\nb": b"\0" * 500}}
    path.write_bytes(encode(Kind.MESSAGE, header))
    for name, value in describe(path):
        assert str(name).isprintable()
        assert str(value).isprintable()
        assert len(str(value)) < 120


def test_cut_and_continued_frames_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "frame"
    whole = encode(Kind.MESSAGE, {"topic": "x"}, b"payload")
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(FrameError):
            describe(path)
    path.write_bytes(whole + b"!")
    with pytest.raises(FrameError, match="followed by other bytes"):
        describe(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_answered(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any"
    for data in (content, b"{" + content, b"BTK1" + content):
        path.write_bytes(data)
        try:
            told = describe(path)
        except BluetuskError:
            continue
        assert all(str(name).isprintable() and str(value).isprintable() for name, value in told)
