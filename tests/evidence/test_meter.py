"""Meter and recorder: every use counted once, by party and task, also when messages and steps come again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bluetusk.errors import FrameError, PolicyRefused
from bluetusk.evidence import Grant, Guard, Identity, Log, Meter, Policy, Record, Recorder, verify
from bluetusk.evidence.book import commitments
from bluetusk.evidence.summary import learned, logged
from bluetusk.wire import frame

OWNER = Identity.generate()
PEER = "5a" * 32


def test_counts_once_a_message() -> None:
    meter = Meter()
    for _ in range(3):
        meter.count(party="a", task="t", what="rows", number=5, message="m1")
        meter.count(party="a", task="t", what="bytes_sent", number=7, message=b"m1")
        meter.count(party="b", task="t", what="rows", number=1, message="m1")
        meter.count(party="a", task="u", what="rows", number=2)
    assert meter.totals() == {
        ("a", "t"): {"bytes_sent": 7, "rows": 5},
        ("a", "u"): {"rows": 6},
        ("b", "t"): {"rows": 1},
    }
    assert meter.snapshot() == {"a": {"bytes_sent": 7, "rows": 11}, "b": {"rows": 1}}
    assert meter.snapshot("u") == {"a": {"rows": 6}}


def test_a_checkpoint_brings_counts_and_messages_back() -> None:
    meter = Meter()
    meter.count(party="a", task="t", what="rows", number=2**62, message="m1")
    kept = meter.to_bytes()
    meter.count(party="a", task="t", what="rows", number=9, message="m2")
    other = Meter.from_bytes(kept)
    assert other.to_bytes() == kept
    assert not other.count(party="a", task="t", what="rows", number=9, message="m1")
    meter.restore(kept)
    assert meter.count(party="a", task="t", what="rows", number=9, message="m2")
    assert meter.totals() == {("a", "t"): {"rows": 2**62 + 9}}
    for bad in (
        b"",
        kept[:-1],
        frame.encode(frame.Kind.METER, {"counts": []}, b"x"),
        frame.encode(frame.Kind.METER, {"counts": [["a", "t", "rows"]]}),
        frame.encode(frame.Kind.METER, {"counts": [["a", "t", "rows", -1]]}),
        frame.encode(frame.Kind.METER, {"counts": [["a", "t", "rows", "1"]]}),
        frame.encode(frame.Kind.METER, {"counts": [["a", 3, "rows", 1]]}),
        frame.encode(frame.Kind.METER, {"counts": [], "more": 1}),
    ):
        with pytest.raises(FrameError):
            meter.restore(bad)
    assert meter.totals() == {("a", "t"): {"rows": 2**62 + 9}}


def test_arguments() -> None:
    for change in ({"party": ""}, {"task": "x" * 257}, {"what": "x" * 65}, {"number": -1}, {"number": 1.5}):
        with pytest.raises(ValueError, match="must"):
            Meter().count(**{"party": "a", "task": "t", "what": "rows", "number": 1, **change})
    with pytest.raises(TypeError):
        Meter().count(party=3, task="t", what="rows", number=1)  # type: ignore[arg-type]


STATED: dict[str, Any] = {"min_rows": 3, "min_events": 5, "min_others": 5, "bins": 2}


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[tuple[Log, Guard]]:
    grants = (Grant("g", PEER, ("binning",), ("PAY_0",), uses=2, until=2**39, min_intersection=1, min_rows=3),)
    policy = Policy("network", 1, grants).sign(OWNER)
    with (
        Log.create(tmp_path / "log", OWNER, owner="host") as log,
        Guard(policy, tmp_path / "uses", owner=OWNER.public_key) as guard,
    ):
        yield log, guard


def recorder_of(
    log: Log, guard: Guard | None, job: str = "j", meter: Meter | None = None, resumed: bool = True
) -> Recorder:
    names = {"job": job, "me": "host", "peers": {"guest": PEER}}
    return Recorder(log=log, meter=meter or Meter(), guard=guard, resumed=resumed, **names)  # type: ignore[arg-type]


def test_grants_and_refusals_are_logged(parts: tuple[Log, Guard]) -> None:
    log, guard = parts
    recorder = recorder_of(log, guard)
    recorder.authorise(peer="guest", purpose="binning", columns=["PAY_0"], rows=10, **STATED)
    with pytest.raises(PolicyRefused) as refused:
        recorder.authorise(
            peer="guest", purpose="binning", columns=["AGE"], rows=10, task="more", min_rows=5, total_events=7
        )
    assert refused.value.clause == "columns"
    with pytest.raises(PolicyRefused) as refused:
        recorder.authorise(peer="stranger", purpose="binning", columns=["PAY_0"], rows=10)
    assert refused.value.clause == "peer"
    told = [(r.what, r.task, r.details.get("clause"), r.details.get("uses_left")) for r in log.records[1:]]
    assert told == [
        ("authorised", "j/binning", None, 1),
        ("refused", "j/more", "columns", None),
        ("refused", "j/binning", "peer", None),
    ]
    assert log.records[1].details["policy"] == guard.policy.digest
    assert log.records[1].details["bins"] == 2
    assert log.records[2].details["min_rows"] == 5
    assert "total_events" not in log.records[2].details  # the log may be shown to the peer
    assert b"PAY_0" not in log.records[1].hashes["use"]


def test_names_of_any_length_and_number_fit_a_record(parts: tuple[Log, Guard]) -> None:
    log, _ = parts
    recorder = recorder_of(log, None)
    for columns in (["\u4e2d" * 300] * 300, [f"column {i}" for i in range(10_000)]):
        recorder.authorise(peer="guest", purpose="binning", columns=columns, rows=10)
        shown = log.records[-1].details["columns"]
        assert shown[-1] == f"and {len(columns) - len(shown) + 1} more"
    with pytest.raises(PolicyRefused):
        recorder_of(*parts).authorise(peer="guest", purpose="p" * 200, columns=["\u4e2d" * 300] * 300, rows=10)
    assert log.records[-1].what == "refused"


def test_a_resumed_job_says_and_spends_nothing_twice(parts: tuple[Log, Guard]) -> None:
    log, guard = parts
    for _ in range(3):  # each a new process, as it were
        recorder = recorder_of(log, guard)
        for _ in range(2):
            recorder.authorise(peer="guest", purpose="binning", columns=["PAY_0"], rows=10, **STATED)
        recorder.finish("binning", hashes={"woe": bytes(32)}, details={"bins": 8})
    assert [record.what for record in log.records] == ["opened", "authorised", "finished"]
    assert guard.usage()["g"]["uses"] == 1
    recorder_of(log, guard).authorise(peer="guest", purpose="binning", columns=["PAY_0"], rows=11, **STATED)
    assert guard.usage()["g"]["uses"] == 2  # another use of the same job
    with pytest.raises(PolicyRefused, match="all 2 uses"):
        recorder_of(log, guard, "k").authorise(peer="guest", purpose="binning", columns=["PAY_0"], rows=10, **STATED)
    assert verify(log._file.path).ok


def test_a_use_that_is_not_resumed_is_spent_each_time(parts: tuple[Log, Guard]) -> None:
    """One recorder in a loop: a peer that is answered twice has had two uses."""
    log, guard = parts
    recorder = recorder_of(log, guard, resumed=False)
    for _ in range(2):
        recorder.authorise(peer="guest", purpose="binning", columns=["PAY_0"], rows=10, task="binning", **STATED)
    assert [record.what for record in log.records] == ["opened", "authorised", "authorised"]
    assert guard.usage()["g"]["uses"] == 2
    with pytest.raises(PolicyRefused, match="all 2 uses"):
        recorder.authorise(peer="guest", purpose="binning", columns=["PAY_0"], rows=10, task="binning", **STATED)


def test_frames_count_once_whatever_their_randomness(parts: tuple[Log, Guard]) -> None:
    """A step that is taken again sends other bytes in the same place."""
    log, _ = parts
    recorder = recorder_of(log, None)

    def message(step: int, seq: int, payload: bytes) -> bytes:
        fields = {"topic": "t", "task": "binning", "step": step, "seq": seq, "from": "host", "fields": {}, "parts": [9]}
        return frame.encode(frame.Kind.VERTICAL, fields, payload)

    first = message(0, 0, b"random 1.")
    for data in (first, first, message(0, 0, b"random 2.")):
        recorder.passed(peer="guest", task="binning", sent=True, frame=data)
    assert recorder.meter.totals() == {("guest", "binning"): {"bytes_sent": len(first)}}
    for data in (message(0, 1, b"random 3."), message(1, 0, b"random 4."), b"no frame", b"no frame", b"another"):
        recorder.passed(peer="guest", task="binning", sent=True, frame=data)
    recorder.passed(peer="guest", task="binning", sent=False, frame=first)
    assert recorder.meter.totals()["guest", "binning"] == {
        "bytes_received": len(first),
        "bytes_sent": 3 * len(first) + 15,
    }
    recorder.count(peer="guest", task="binning", what="values_revealed", number=5, message="0/1")
    recorder.count(peer="guest", task="binning", what="values_revealed", number=5, message="0/1")
    recorder.finish("binning")
    assert log.records[-1].details["meter"]["guest/binning"]["values_revealed"] == 5
    recorder.count(peer="guest", task="binning.predict", what="rows", number=2)
    recorder.count(peer="guest", task="binning", what="rows", number=1)
    recorder = recorder_of(log, None, meter=recorder.meter)  # resumed
    recorder.finish("scores")
    assert log.records[-1].details["meter"] == {"guest/binning": {"rows": 1}, "guest/binning.predict": {"rows": 2}}
    recorder.finish("nothing")
    assert log.records[-1].details["meter"] == {}
    for i in range(100):
        recorder.count(peer="guest", task=f"many {i}", what="rows", number=1)
    recorder.finish("much")
    assert log.records[-1].details["meter"]["guest/*"]["rows"] == 103


def test_what_was_learned_is_added_up_over_a_log(parts: tuple[Log, Guard]) -> None:
    """A record that has no room for its tasks tells all counts of its job so far."""
    log, _ = parts
    for job in ("j", "k"):
        recorder = recorder_of(log, None, job)
        for i in range(2):
            recorder.count(peer="guest", task=f"task {i}", what="sums_learned", number=7)
            recorder.finish(f"task {i}")
        for i in range(100):
            recorder.count(peer="guest", task=f"many {i}", what="bits_learned", number=1)
        recorder.finish("much")
        assert "guest/*" in log.records[-1].details["meter"]
        assert learned(recorder.meter.snapshot().values()) == {"sums": 14, "bits": 100}
    assert logged(log.records) == {"sums": 28, "bits": 200}


def test_it_is_an_observer(parts: tuple[Log, Guard]) -> None:
    """A link of bt.vertical takes it."""
    from bluetusk.vertical import local_links

    log, guard = parts
    recorder = recorder_of(log, guard)
    host, guest = local_links("host", "guest", observers=(recorder, None))  # type: ignore[arg-type]
    host.scope("binning", 0)
    guest.scope("binning", 0)
    host.authorise("binning", ["PAY_0"], 10, **STATED)
    host.send("hello", {"rows": 3}, [b"abc"])
    guest.receive("hello", ["rows"], parts=1)
    host.count("values_revealed", 3)
    assert recorder.meter.totals() == {("guest", "binning"): {"bytes_sent": host.bytes_sent, "values_revealed": 3}}
    with pytest.raises(PolicyRefused):
        host.authorise("logistic_regression", ["PAY_0"], 10)


def test_a_job_whose_name_begins_as_another(parts: tuple[Log, Guard], pub: Any) -> None:
    """Names with a "/": what the log has of `2026/1` is not of `2026`, neither ends of tasks, counts nor digests."""
    log, _ = parts
    data = pub.encrypt([1, 2]).to_bytes()
    header = {"topic": "encrypted", "task": "woe-binning", "step": 1, "seq": 0, "from": "guest", "fields": {}}
    whole = frame.encode(frame.Kind.VERTICAL, header | {"parts": [len(data)]}, data)
    for job in ("2026/1", "2026", "2026/1/2"):
        recorder = recorder_of(log, None, job)
        recorder.count(peer="guest", task="binning", what="rows", number=900)
        recorder.passed(peer="guest", task="-", sent=False, frame=whole)
        recorder.finish("binning")
        record = log.records[-1]
        assert (record.job, record.details["meter"]["guest/binning"]) == (job, {"rows": 900})
        assert len(commitments(log.records, job)) == 1
        with pytest.raises(ValueError, match="must not have a '/'"):
            recorder.finish("1/binning")
    log.append("state", by="host", task="2026/1")  # as a notary notes of a whole job
    assert log.records[-1].job == "2026/1"


def test_sums_of_jobs_whose_names_begin_alike() -> None:
    def record(job: str, sums: int) -> Record:
        details = {"meter": {"guest/*": {"sums_learned": sums}}}
        return Record(1, 0, "finished", "host", f"{job}/binning", {}, details)

    assert logged([record("2026/1", 5), record("2026/2", 7)]) == {"sums": 12, "bits": 0}
