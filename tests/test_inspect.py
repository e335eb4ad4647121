"""``inspect`` shows headers, never secrets, never a terminal's control characters, and never breaks."""

from __future__ import annotations

import argparse
import re
import tracemalloc
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk._inspect import describe
from bluetusk.cli import blacklist, main
from bluetusk.cli._watching import Watch
from bluetusk.errors import BluetuskError, FrameError
from bluetusk.evidence._pages import begin
from bluetusk.federated.paillier_sum.journal import Journal
from bluetusk.vertical.evaluation.report import write_report
from bluetusk.vertical.party import make_certificate, scoring
from bluetusk.vertical.party.pipeline import write_scores
from bluetusk.vertical.party.vault import Vault
from bluetusk.vertical.protocol.notes import SealedNotes
from bluetusk.vertical.saving import save_frame
from bluetusk.wire.frame import Kind, encode

SOURCES = Path(bt.__file__).parent
SECRET = "seven quiet otters"


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


# ----------------------------------------------------------------------------------- every file that the package writes


def _init(folder: Path) -> None:
    (folder / "data.csv").write_text("id,age\n1,2\n")
    words = ["--role", "host", "--name", "b", "--peer", "a", "--id", "id", "--listen", "127.0.0.1:1", "--yes"]
    assert main(["party", "init", *words, "--data", str(folder / "data.csv"), "--folder", str(folder)]) == 0


def _policy() -> bt.evidence.Policy:
    grant = bt.evidence.Grant("g1", "5a" * 32, ("intersect",), ("*",), uses=3, until=4_000_000_000)
    return bt.evidence.Policy("network", 7, (grant,))


def _log(folder: Path) -> None:
    me = bt.evidence.Identity.generate()
    with bt.evidence.Log.create(folder / "evidence.log", me, owner="guest") as log:
        log.append("finished", by="guest", task="job-7/binning")
        (folder / "head.json").write_text(log.head().to_json())
        (folder / "head").write_bytes(log.head().to_bytes())
    policy = _policy().sign(me)
    more = {"peer": "5a" * 32, "purpose": "intersect", "columns": ["id"], "rows": 0, "min_intersection": 500}
    with bt.evidence.Guard(policy, folder / "evidence.log.uses", owner=me.public_key) as guard:
        guard.authorise(**more, task="job-7/intersect")


def _run_log(folder: Path) -> None:
    args = argparse.Namespace(progress="none", log=str(folder / "run.log"), log_level="info", metrics=None)
    watch = Watch("job-7", "guest", None)
    with watch.running(args):
        watch.progress("binning", 1, 2)


def _identity(folder: Path) -> None:
    me = bt.evidence.Identity.generate()
    me.save(folder / "identity", SECRET)
    me.write_public(folder / "identity.pub")


def _signed(folder: Path) -> None:
    (folder / "policy.signed").write_bytes(_policy().sign(bt.evidence.Identity.generate()).to_bytes())


def _journal(folder: Path) -> None:
    journal = Journal(folder / "sums", bytes(32))
    journal.spend(1, "weights")
    journal.close()


def _notes(folder: Path) -> None:
    with SealedNotes(folder / "book", bytes(32), "label book") as notes:
        for n in range(3):
            notes.append(encode(Kind.VERTICAL_STATE, {"n": n}))


def _vault(folder: Path) -> None:
    vault = Vault(folder / "state", bytes(32))
    vault.write("manifest", b"secret")
    for _ in range(3):
        vault.append("out-00000001", b"frame")
    vault.close()


def _scores(folder: Path) -> None:
    outcome: Any = types.SimpleNamespace(
        labels=np.array([1, 0]), test=np.array([True, False]), ids=["a", "b"], scores={"gradient_boosting": [0.5]}
    )
    write_scores(folder / "scores.csv", outcome)


def _scored(folder: Path) -> None:
    part: Any = types.SimpleNamespace(
        training=types.SimpleNamespace(name="gradient_boosting"),
        logistic=False,
        half=types.SimpleNamespace(probability=lambda found: found),
    )
    table = scoring._table([part], ["a", "b"], np.array([1]), {"gradient_boosting": np.array([0.5])})
    scoring._write(str(folder / "scored.csv"), table, None)  # type: ignore[arg-type]


def _answers(folder: Path) -> None:
    answer: Any = types.SimpleNamespace(listed=np.array([True, False]))
    blacklist._write(str(folder / "answers.csv"), ["a", "b"], answer)


def _result(folder: Path) -> None:
    (folder / "result.json").write_text('{"role": "guest", "job": "j", "intersection": 5, "train": 3, "test": 2}\n')


def _flower(folder: Path) -> None:
    (folder / "run-1-node-2.state").write_bytes(b"U" + bytes(80))


def _picture(folder: Path) -> None:
    (folder / "roc.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(80))


def _key(folder: Path) -> None:
    with pytest.warns(UserWarning, match="2048"):
        _, priv = bt.paillier.generate_keypair(bits=2048)
    priv.save(folder / "private", SECRET)


def _report(folder: Path) -> None:
    write_report(folder / "report.html", [0, 1, 1, 0], {"joint": [0.1, 0.8, 0.6, 0.3]}, title="A report")


WRITERS: dict[str, tuple[Callable[[Path], Any] | None, dict[str, str]]] = {
    # the module that writes; a function that has it write; the files, and what `inspect` calls them
    "cli/evidence.py": (_signed, {"policy.signed": "POLICY"}),
    "cli/party_init.py": (_init, {"party.toml": "CONFIGURATION", "policy.toml": "POLICY as TOML, not signed"}),
    "cli/blacklist.py": (_answers, {"answers.csv": "TABLE"}),
    "cli/demo_credit.py": (_report, {"report.html": "REPORT"}),
    "paillier/private_key.py": (_key, {"private": "PRIVATE_KEY"}),
    "federated/paillier_sum/journal.py": (_journal, {"sums": "JOURNAL"}),
    "integrations/_flower_client.py": (_flower, {"run-1-node-2.state": "FLOWER_STATE"}),
    "vertical/evaluation/report.py": (_report, {"report.html": "REPORT"}),
    "vertical/evaluation/charts.py": (None, {}),  # into a page
    "vertical/saving.py": (
        lambda f: save_frame(f / "half.bt", encode(Kind.WOE_BINNING, {}), SECRET),
        {"half.bt": "SEALED"},
    ),
    "vertical/protocol/notes.py": (_notes, {"book": "VERTICAL_STATE"}),
    "vertical/party/certs.py": (
        lambda f: make_certificate("bank", f, passphrase=SECRET),
        {"bank.cert.pem": "CERTIFICATE as PEM", "bank.key.pem": "PRIVATE KEY as PEM"},
    ),
    "vertical/party/run.py": (_result, {"result.json": "RESULT"}),
    "vertical/party/pipeline.py": (_scores, {"scores.csv": "TABLE"}),
    "vertical/party/scoring.py": (_scored, {"scored.csv": "TABLE"}),
    "vertical/party/vault.py": (
        _vault,
        {"state/manifest": "CHECKPOINT", "state/out-00000001": "CHECKPOINT", "state/lock": "LOCK"},
    ),
    "cli/_watching.py": (_run_log, {"run.log": "RUN_LOG as JSON lines"}),
    "demo/credit.py": (None, {}),  # a table of its own to try, a passphrase, and the files of `party`
    "demo/plot.py": (_picture, {"roc.png": "PICTURE"}),
    "demo/credit_plot.py": (_picture, {"roc.png": "PICTURE"}),
    "evidence/_pages.py": (lambda f: begin(f / "audit", Kind.AUDIT, SECRET), {"audit": "AUDIT"}),
    "evidence/book.py": (lambda f: begin(f / "book", Kind.AUDIT_BOOK, SECRET), {"book": "AUDIT_BOOK"}),
    "evidence/_audit.py": (lambda f: begin(f / "audit", Kind.AUDIT, SECRET), {"audit": "AUDIT"}),
    "evidence/_log.py": (
        _log,
        {"evidence.log": "EVIDENCE_RECORD", "head": "EVIDENCE_HEAD", "head.json": "EVIDENCE_HEAD as JSON"},
    ),
    "evidence/_uses.py": (_log, {"evidence.log.uses": "POLICY_USE"}),
    "evidence/identity.py": (
        _identity,
        {"identity": "EVIDENCE_IDENTITY", "identity.pub": "EVIDENCE_PUBLIC_KEY as JSON"},
    ),
}
TEXTS = ("TABLE", "CONFIGURATION", "FLOWER_STATE", "PICTURE", "POLICY as TOML, not signed")
WRITES = re.compile(r"\b(files\.write|AppendFile)\(|\.(write_text|write_bytes|savefig)\(|open\([^)]*\"([aw]b?)\"")


def test_every_module_that_writes_files_has_a_row() -> None:
    found = set()
    for path in SOURCES.rglob("*.py"):
        lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith((">>>", "..."))]
        if any(WRITES.search(line) and "os.devnull" not in line and "class " not in line for line in lines):
            found.add(path.relative_to(SOURCES).as_posix())
    assert found == set(WRITERS)


@pytest.mark.parametrize("module", [module for module, (make, _) in WRITERS.items() if make is not None])
def test_every_file_that_is_written_is_described(tmp_path: Path, module: str) -> None:
    make, files = WRITERS[module]
    assert make is not None
    make(tmp_path)
    for name, kind in files.items():
        path = tmp_path / name
        told = dict(describe(path))
        assert told["kind"] == kind
        assert told["holds"]
        if kind != "LOCK":
            assert told["size"] == f"{path.stat().st_size} bytes"
        assert SECRET not in str(told)
        assert all(str(text).isprintable() for pair in told.items() for text in pair)
        data = path.read_bytes()
        for cut in {2 * len(data) // 5, len(data) - 5} if data else ():
            path.write_bytes(data[:cut])
            try:
                shown = dict(describe(path))
            except BluetuskError:
                continue
            assert "incomplete" in shown or kind in TEXTS, cut  # nothing tells that a text is cut


def test_what_is_shown_of_a_log_and_its_uses(tmp_path: Path) -> None:
    _log(tmp_path)
    told = dict(describe(tmp_path / "evidence.log"))
    assert told["EVIDENCE_RECORD frames"] == told["EVIDENCE_HEAD frames"]
    assert told["of job job-7"] == 1
    assert dict(describe(tmp_path / "evidence.log.uses"))["of grant g1"] == 1
    assert dict(describe(tmp_path / "head.json"))["signature"] == "good"
    _signed(tmp_path)
    assert dict(describe(tmp_path / "policy.signed"))["serial"] == 7


def test_a_log_of_a_run_is_counted_not_shown(tmp_path: Path) -> None:
    _run_log(tmp_path)
    path = tmp_path / "run.log"
    told = dict(describe(path))
    assert told["of level info"] == 2
    assert told["of job job-7"] == 2
    path.write_text(path.read_text() + "stray\n" + '{"time": "2026-12-01", "lev')
    told = dict(describe(path))
    assert told["other lines"] == 2
    assert "incomplete" in told


def test_json_of_others_is_not_taken_for_a_key(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"notice": "a line"}\n{"notice": "another"}\n')
    with pytest.raises(FrameError, match="another file that bluetusk writes"):
        describe(tmp_path / "x.json")


def test_a_folder_an_empty_file_and_a_pipe_are_told(tmp_path: Path) -> None:
    import os

    with pytest.raises(FrameError, match="is a folder"):
        describe(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(FrameError, match="is empty"):
        describe(tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FrameError, match="not a regular file"):
        describe(tmp_path / "pipe")


def test_settings_that_are_nested_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "party.toml"
    path.write_text("a=" + "[" * 100_000)
    with pytest.raises(FrameError, match="nested too deep"):
        describe(path)


def test_sparse_files_are_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "party.toml"
    with path.open("wb") as file:
        file.truncate(1 << 36)
    with pytest.raises(FrameError, match="too long for settings"):
        describe(path)


def test_a_table_of_scores_that_is_cut_says_so(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("id,score\na,0.5\nb,0.25\n")
    assert dict(describe(path))["rows"] == 2
    assert "incomplete" not in dict(describe(path))
    path.write_text("id,score\na,0.5\nb,0.2")
    assert dict(describe(path))["rows"] == 2
    assert "last line is cut" in dict(describe(path))["incomplete"]
    with path.open("r+b") as file:
        file.truncate(1 << 28)  # one line of 256 MiB
    tracemalloc.start()
    try:
        assert "incomplete" in dict(describe(path))
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
