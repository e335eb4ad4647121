"""``party --check`` finds each fault that is planted, and changes nothing; ``party init`` writes what a run takes."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk import _toml
from bluetusk.cli import main
from bluetusk.evidence import Guard, Identity, Log, Meter, Policy, Recorder, fingerprint
from bluetusk.evidence._request import Request
from bluetusk.vertical.party import certs, check, checks, needs
from bluetusk.vertical.party.check import Checkup, check_party
from bluetusk.vertical.party.config import Config, Model
from bluetusk.vertical.party.manifest import Manifest
from bluetusk.vertical.party.vault import Vault

SECRET = "the passphrase of the tests"
NAMES = ['额度"\\', "SEX", "Größe", "AGE"]
ROWS = 900


def rows_of(path: Path, names: list[str], label: str | None, count: int = ROWS) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["商户", *names, *([label] if label else [])])
        for k in range(count):
            cells = [(k * (7 + j) + j) % (3 if j == 1 else 97) for j in range(len(names))]
            writer.writerow([f"M{k:05d}", *cells, *([int(k % 3 == 0)] if label else [])])


def init(folder: Path, role: str, *more: str) -> None:
    me, peer = ("bank", "network") if role == "guest" else ("network", "bank")
    way = ["--connect", "localhost:7443"] if role == "guest" else ["--listen", "127.0.0.1:0"]
    data = folder / "data.csv"
    label = ["--label", "违约"] if role == "guest" else []
    words = ["--role", role, "--name", me, "--peer", peer, "--data", str(data), "--id", "商户", *label, *way, "--yes"]
    assert main(["party", "init", *words, "--folder", str(folder), *more]) == 0


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with both parties' files, as `party init` and the commands after it make them."""
    home = tmp_path_factory.mktemp("sides")
    for me, peer, names, label in (("bank", "network", NAMES, "违约"), ("network", "bank", ["PAY", "账单"], None)):
        folder = home / me
        folder.mkdir(exist_ok=True)
        rows_of(folder / "data.csv", names, label)
        certs.make_certificate(me, folder)
        identity = Identity.generate()
        identity.save(folder / "identity", SECRET)
        identity.write_public(folder / "identity.pub")
        (home / peer).mkdir(exist_ok=True)
    for me, peer in (("bank", "network"), ("network", "bank")):
        shutil.copy(home / me / f"{me}.cert.pem", home / peer)
        shutil.copy(home / me / "identity.pub", home / peer / f"{me}.pub")
    for me, role in (("bank", "guest"), ("network", "host")):
        init(home / me, role)
        sign(home / me)
    return home


def sign(folder: Path, edit: Callable[[str], str] = lambda text: text) -> None:
    path = folder / "policy.toml"
    path.write_text(edit(path.read_text()))
    signed = Policy.load(path).sign(signer(folder))
    (folder / "policy.signed").write_bytes(signed.to_bytes())


def unsealed(path: Path) -> Identity:
    data = path.read_bytes()
    if data not in OPENED:  # scrypt takes a quarter of a second
        OPENED[data] = LOAD(path, SECRET)
    return OPENED[data]


OPENED: dict[bytes, Identity] = {}
LOAD = Identity.load


def signer(folder: Path) -> Identity:
    return unsealed(folder / "identity")


@pytest.fixture
def bank(sides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BLUETUSK_PASSPHRASE", SECRET)

    def load(path: str, secret: str) -> Identity:
        return unsealed(Path(path)) if secret == SECRET else LOAD(path, secret)

    monkeypatch.setattr(check.Signer, "load", load)
    shutil.copytree(sides, tmp_path / "sides")
    return tmp_path / "sides" / "bank"


def tree(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        found[str(path)] = about.st_mtime_ns, about.st_mode, path.read_bytes() if path.is_file() else b""
    return found


def checked(folder: Path, **more: Any) -> Checkup:
    """Check, and see that nothing on disk has changed."""
    before = tree(folder.parent)
    found = check_party(folder / "party.toml", **more)
    assert tree(folder.parent) == before
    return found


def texts(found: Checkup) -> list[str]:
    return [each.text for each in found.faults]


def change(name: str, *pairs: tuple[str, str]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        for old, new in pairs:
            assert old in text, (old, text)
            text = text.replace(old, new)
        path.write_text(text)

    return do


def signing(*pairs: tuple[str, str]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        change("policy.toml", *pairs)(folder)
        sign(folder)

    return do


def party(*pairs: tuple[str, str]) -> Callable[[Path], None]:
    return change("party.toml", *pairs)


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def written(name: str, data: bytes) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)

    return do


def expired(folder: Path) -> None:
    """Give the peer's certificate, with the key that it has, dates of the past."""
    old = x509.load_pem_x509_certificate((folder / "network.cert.pem").read_bytes())
    key = serialization.load_pem_private_key((folder.parent / "network" / "network.key.pem").read_bytes(), None)
    dates = datetime(2020, 1, 1), datetime(2021, 1, 1)
    made = x509.CertificateBuilder(old.subject, old.subject, old.public_key(), 1, *dates)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "network.cert.pem").write_bytes(pem)


def one_label(folder: Path) -> None:
    with open(folder / "data.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    with open(folder / "data.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([lines[0], *([*line[:-1], "1"] for line in lines[1:])])


def cell(column: int, text: str, line: int = 5) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        with open(folder / "data.csv", newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        lines[line][column] = text
        with open(folder / "data.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)

    return do


def uses_spent(folder: Path) -> None:
    me = signer(folder)
    peer = fingerprint((folder / "network.cert.pem").read_bytes())
    with Guard(folder / "policy.signed", folder / "evidence.log.uses", owner=me.public_key) as guard:
        log = Log.create(folder / "evidence.log", me, owner="guest")
        recorder = Recorder(log=log, meter=Meter(), job="older", me="guest", peers={"host": peer}, guard=guard)
        for _ in range(5):
            recorder.authorise(peer="host", purpose="intersect", columns=["id"], rows=5, min_intersection=500)
        log.close()


def job_in_log(folder: Path) -> None:
    me = signer(folder)
    job = Config.load(folder / "party.toml").job
    log = Log.create(folder / "evidence.log", me, owner="guest")
    log.append("finished", by="guest", task=f"{job}/binning")
    log.close()


def state_key(folder: Path) -> bytes:
    names = ("bank.cert.pem", "bank.key.pem", "network.cert.pem")
    return certs.Identity.load(*(folder / name for name in names)).state_key()


def steps_of(job: str, more: dict[str, Any]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        name = job or Config.load(folder / "party.toml").job
        vault = Vault(folder / "state", state_key(folder))
        Manifest(vault, name).commit(more, [])
        vault.close()

    return do


def locked(name: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        held = open(path, "a")  # noqa: SIM115
        fcntl.flock(held, fcntl.LOCK_EX)
        HELD.append(held)

    return do


HELD: list[Any] = []


@pytest.fixture(autouse=True)
def _released() -> Any:
    yield
    while HELD:
        HELD.pop().close()


def taken_port(folder: Path) -> None:
    there = socket.socket()
    there.bind(("127.0.0.1", 0))
    there.listen()
    HELD.append(there)
    party(('connect = "localhost:7443"', f'listen = "127.0.0.1:{there.getsockname()[1]}"'))(folder)


def altered_log(folder: Path) -> None:
    job_in_log(folder)
    path = folder / "evidence.log"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def older_uses(folder: Path) -> None:
    uses_spent(folder)
    (folder / "evidence.log.uses").unlink()


def own_certificate(folder: Path) -> None:
    shutil.copy(folder / "bank.cert.pem", folder / "network.cert.pem")


def own_key(folder: Path) -> None:
    shutil.copy(folder / "identity.pub", folder / "network.pub")


def other_key(folder: Path) -> None:
    certs.make_certificate("other", folder)
    shutil.move(folder / "other.key.pem", folder / "bank.key.pem")


def signed_by_other(folder: Path) -> None:
    (folder / "policy.signed").write_bytes(Policy.load(folder / "policy.toml").sign(Identity.generate()).to_bytes())


def lower_serial(folder: Path) -> None:
    change("policy.toml", ("serial = 1", "serial = 2"))(folder)
    sign(folder)
    Guard(folder / "policy.signed", folder / "evidence.log.uses", owner=signer(folder).public_key).close()
    Log.create(folder / "evidence.log", signer(folder), owner="guest").close()
    signing(("serial = 2", "serial = 1"))(folder)


def ended(text: str) -> str:
    return re.sub("until = .*", "until = 2020-01-01T00:00:00Z", text)


PLANTED: list[tuple[str, Callable[[Path], None], str]] = [
    # the configuration
    ("unknown setting", party(("min_rows = 50", "min_row = 50")), "model.min_row is not known.*did you mean min_rows"),
    ("unknown section", party(("[model]", "[modle]")), "modle is not known here; did you mean model"),
    ("out of range", party(("trees = 10", "trees = 2000")), "model.trees must be between"),
    ("wrong type", party(("trees = 10", 'trees = "ten"')), "model.trees must be a whole number"),
    ("missing setting", party(("job = ", "# job = ")), "lacks the setting 'job'"),
    ("both ways", party(("connect =", 'listen = "0.0.0.0:1"\nconnect =')), "exactly one of listen and connect"),
    ("no port", party(("localhost:7443", "localhost")), "must be an address with a port"),
    ("host with a label", party(('role = "guest"', 'role = "host"')), "data.label must name .* absent at a host"),
    ("not TOML", party(("[model]", "[model")), "is not a TOML file"),
    # the table
    ("no file", removed("data.csv"), r"data.csv: No such file"),
    ("no id column", party(('id = "商户"', 'id = "merchant"')), "no column 'merchant', which data.id names"),
    ("no label column", party(('label = "违约"', 'label = "bad"')), "no column 'bad', which data.label names"),
    ("no such column", party(("[model]", 'columns = ["AGE", "INCOME"]\n[model]')), "data.columns names 'INCOME'"),
    ("not among them", party(("[model]", 'categorical = ["ZIP"]\n[model]')), "data.categorical names 'ZIP'"),
    ("mixed column", cell(4, "forty"), "'AGE'.*forty"),
    ("wrong label", cell(5, "2"), "违约"),
    ("repeated id", cell(0, "M00000"), "are the same id"),
    ("one label", one_label, "holds only one label"),
    ("few rows", lambda f: rows_of(f / "data.csv", NAMES, "违约", 90), "90 rows, fewer than model.min_intersection"),
    ("few events", party(("[model]", "[model]\nmin_total_events = 600")), "300 events, fewer than model.min_total"),
    # who is who
    ("no certificate", removed("bank.cert.pem"), "certificate = .*bank.cert.pem does not exist.*bluetusk certs"),
    ("no key", removed("bank.key.pem"), "key = .*bank.key.pem does not exist"),
    ("no peer's", removed("network.cert.pem"), "network.cert.pem does not exist: have the peer send it"),
    ("not a certificate", written("network.cert.pem", b"hello"), "network.cert.pem: not a PEM certificate"),
    ("expired", expired, "network.cert.pem is valid from .*not now: ask the peer"),
    ("own certificate", own_certificate, "is this party's own certificate"),
    ("another's key", other_key, "bank.key.pem is not the key of"),
    ("no identity", removed("identity"), "evidence.identity = .*does not exist: make it with"),
    ("no peer_key", removed("network.pub"), "network.pub does not exist: have the peer send"),
    ("own peer_key", own_key, "network.pub is this party's own key"),
    # the policy
    ("no policy", removed("policy.signed"), "evidence.policy = .* does not exist: make it with .*sign"),
    ("unsigned", lambda f: shutil.copy(f / "policy.toml", f / "policy.signed"), "is not signed by"),
    ("another's policy", signed_by_other, "is not signed by .*identity"),
    ("lower serial", lower_serial, "has serial 1, but serial 2 was in force"),
    (
        "another peer",
        lambda f: sign(f, lambda t: re.sub(r'peer = "[^"]*"', f'peer = "{"5a" * 32}"', t)),
        "grants nothing to the peer in .*network.cert.pem, whose fingerprint is",
    ),
    (
        "grant ended",
        lambda f: sign(f, lambda t: re.sub("until = .*", "until = 2020-01-01T00:00:00Z", t)),
        "clause until",
    ),
    ("revoked", signing(("revoked = []", 'revoked = ["network-credit"]')), "clause revoked"),
    ("no purpose", signing(('"binning", ', "")), "refuse binning .clause purpose"),
    ("no columns", signing(('"SEX", ', ""), ('"AGE"', '"AGES"')), "allows the columns 'SEX', 'AGE'"),
    ("few uses", signing(("uses = 10", "uses = 3")), "3 of its 3 uses left, and this run needs 7.*uses = 7 or more"),
    ("uses spent", uses_spent, "5 of its 10 uses left, and this run needs 7.*uses = 12 or more"),
    ("few ids", signing(("max_ids_per_request = 900", "max_ids_per_request = 800")), "clause max_ids_per_request"),
    ("min_rows", signing(("min_rows = 50", "min_rows = 80")), "clause min_rows.*raise model.min_rows"),
    ("min_events", signing(("uses = 10", "uses = 10\nmin_events = 9")), "clause min_events.*raise model.min_events"),
    ("meeting", signing(("min_intersection = 500", "min_intersection = 600")), "clause min_intersection"),
    ("reveal", party(("[model]", '[model]\nreveal = ["woe", "scores"]')), "clause reveal.*'woe'"),
    ("max_trees", signing(("uses = 10", "uses = 10\nmax_trees = 5")), "clause max_trees"),
    ("max_bits", signing(("uses = 10", "uses = 10\nmax_bits = 9")), "clause max_bits"),
    # what is kept
    ("altered log", altered_log, "evidence.log: .*"),
    ("uses without log", written("evidence.log.uses", b""), "the log of evidence .* is not: restore it"),
    ("log without uses", older_uses, "notes 0 uses of grant"),
    ("job in the log", job_in_log, "is in .*evidence.log already"),
    ("log in use", lambda f: (job_in_log(f), locked("evidence.log")(f))[1], "evidence.log is in use"),
    ("state of another job", steps_of("another", {}), "is of the job 'another'"),
    ("finished", steps_of("", {"now": 9, "tasks": {"kept": 8}}), "has finished"),
    ("state in use", lambda f: (steps_of("", {})(f), locked("state/lock")(f))[1], "state is in use"),
    ("foreign state", written("state/manifest", b"BTK1" + bytes(60)), "state"),
    ("results in use", locked("output/.lock"), "another run writes its results to output"),
    ("folder of a result", lambda f: (f / "output" / "report.html").mkdir(parents=True), "report.html is a folder"),
    ("state is a file", written("state", b""), "cannot make the folder .*state"),
    # the machine
    ("taken port", taken_port, "cannot listen at .*: Address already in use: stop the program"),
    ("unknown host", party(("localhost:7443", "nowhere.invalid:7443")), "no host of the name 'nowhere.invalid'"),
]


def test_a_clean_set_has_no_fault(bank: Path) -> None:
    found = checked(bank)
    assert texts(found) == []
    assert found.warnings == []
    assert [each.name for each in found.profile] == NAMES
    assert found.facts["uses"] == "10 left, 7 needed by this run"
    peer = (bank / "network.cert.pem").read_bytes()
    assert found.facts["peer's certificate"].replace("-", "") == fingerprint(peer)
    assert texts(checked(bank.parent / "network")) == []


@pytest.mark.parametrize(("plant", "complaint"), [(p, c) for _, p, c in PLANTED], ids=[name for name, *_ in PLANTED])
def test_a_planted_fault_is_found(bank: Path, plant: Callable[[Path], Any], complaint: str) -> None:
    plant(bank)
    found = texts(checked(bank))
    assert any(re.search(complaint, text) for text in found), found
    assert not any("[Errno" in text for text in found)
    assert len(found) <= 4, found  # the fault, and what follows from it: not everything


def test_all_faults_are_told_at_once(bank: Path) -> None:
    some = ["out of range", "no port", "mixed column", "no peer_key", "min_rows", "few uses", "results in use"]
    planted = {name: (plant, complaint) for name, plant, complaint in PLANTED if name in some}
    for plant, _ in planted.values():
        plant(bank)
    cell(2, "male", 9)(bank)
    found = texts(checked(bank))
    # the columns cannot be read, so what a policy says of them is not judged
    for name in set(some) - {"min_rows"}:
        assert any(re.search(planted[name][1], text) for text in found), (name, found)
    assert any("'SEX'" in text and "male" in text for text in found), found


def test_a_wrong_label_and_a_missing_id_hide_no_column(bank: Path) -> None:
    cell(5, "bad")(bank)
    cell(0, "", 7)(bank)
    cell(2, "male", 9)(bank)
    cell(4, "forty", 11)(bank)
    found = texts(checked(bank))
    assert len(found) == 4, found
    for complaint in ("违约.*line 6 .*'bad'", "1 rows have no '商户'", "'SEX'.*male", "'AGE'.*forty"):
        assert any(re.search(complaint, text) for text in found), (complaint, found)


def test_labels_of_one_kind_are_told_beside_a_column_that_cannot_be_read(bank: Path) -> None:
    lines = (bank / "data.csv").read_text().splitlines()
    (bank / "data.csv").write_text(
        "\n".join([lines[0], *(line.rpartition(",")[0] + ",0" for line in lines[1:])]) + "\n"
    )
    cell(2, "male", 9)(bank)
    found = texts(checked(bank))
    for complaint in ("'SEX'.*male", "'违约' holds only one label", "has 0 events"):
        assert any(re.search(complaint, text) for text in found), (complaint, found)


def test_a_misspelt_id_or_label_is_no_column_of_the_model(bank: Path) -> None:
    text = (bank / "party.toml").read_text()
    (bank / "party.toml").write_text(text.replace('id = "商户"', 'id = "商户号"').replace('"违约"', '"是否违约"'))
    found = texts(checked(bank))
    assert sum("which data." in text for text in found) == 2, found
    assert not any("column '商户' in" in text or "column '违约' in" in text for text in found), found


def test_what_the_environment_lacks(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLUETUSK_PASSPHRASE")

    def refused() -> int:
        raise ValueError("BLUETUSK_NUM_THREADS must be a whole number")

    monkeypatch.setattr(checks, "get_num_threads", refused)
    real = checks.importlib.util.find_spec
    absent = lambda name: None if name == "grpc" else real(name)  # noqa: E731
    monkeypatch.setattr(checks.importlib.util, "find_spec", absent)
    found = texts(checked(bank))
    for complaint in ("set the environment variable BLUETUSK_PASSPHRASE", "BLUETUSK_NUM_THREADS", "needs grpcio"):
        assert any(complaint in text for text in found), found


def test_a_full_disk_and_a_folder_that_may_not_be_written(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(bank)
    full = os.statvfs_result([*real[:3], 0, 0, *real[5:]])
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = texts(checked(bank))
    assert any("0.0 MB are free" in text for text in found), found
    assert sum("not writable" in text for text in found) >= 3, found


def test_the_command_counts_the_faults(bank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["party", "--check", "--config", str(bank / "party.toml")]
    assert main(words) == 0
    assert "GOOD" in capsys.readouterr().out
    removed("network.pub")(bank)
    signing(("uses = 10", "uses = 1"))(bank)
    assert main(words) == 1
    out = capsys.readouterr().out
    assert out.count("FAULT") == 2
    assert "2 faults" in out
    assert main([*words, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["faults_count"], len(told["faults"])) == (False, 2, 2)
    assert {each["where"] for each in told["faults"]} == {"evidence.peer_key", "evidence.policy"}
    assert [each["name"] for each in told["profile"]] == NAMES


def test_uses_that_a_killed_run_has_had_are_not_needed_again(bank: Path) -> None:
    job = Config.load(bank / "party.toml").job
    peer = fingerprint((bank / "network.cert.pem").read_bytes())
    me = signer(bank)
    with Guard(bank / "policy.signed", bank / "evidence.log.uses", owner=me.public_key) as guard:
        log = Log.create(bank / "evidence.log", me, owner="guest")
        more: dict[str, Any] = {"meter": Meter(), "me": "guest", "peers": {"host": peer}, "guard": guard}
        recorder = Recorder(log=log, job=job, resumed=True, **more)
        recorder.authorise(peer="host", purpose="intersect", columns=["id"], rows=ROWS, min_intersection=500)
        log.close()
    steps_of("", {"now": 1, "tasks": {"agree": 0}})(bank)
    found = checked(bank)
    assert texts(found) == []
    assert found.facts["uses"] == "9 left, 6 needed by this run"


# ---------------------------------------------------------------------------------------------------------------- init


def test_init_overwrites_nothing(bank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(bank)
    with pytest.raises(AssertionError):
        init(bank, "guest")
    assert "exist and are not overwritten" in capsys.readouterr().err
    assert tree(bank) == before
    init(bank, "guest", "--force", "--job", "another")
    assert Config.load(bank / "party.toml").job == "another"


def test_init_names_all_that_it_lacks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["party", "init", "--yes", "--role", "guest", "--folder", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    for flag in ("--name", "--peer", "--data", "--connect"):
        assert flag in told
    assert list(tmp_path.iterdir()) == []


def test_init_refuses_answers_that_do_not_fit(capsys: pytest.CaptureFixture[str], bank: Path, tmp_path: Path) -> None:
    words = ["--name", "bank", "--peer", "network", "--data", str(bank / "data.csv"), "--id", "商户", "--yes"]
    words += ["--folder", str(tmp_path / "new")]
    for more, complaint in (
        (["--role", "gest"], "guest"),
        (["--role", "guest", "--label", "AGEE", "--connect", "a:1"], "no column 'AGEE'; did you mean AGE"),
        (["--role", "host", "--label", "AGE", "--listen", "a:1"], "--label is for the guest"),
        (["--role", "guest", "--label", "违约", "--connect", "a"], "has a port"),
        (["--role", "guest", "--label", "违约", "--connect", "a:1", "--name", "银行"], "letters A-Z"),
    ):
        assert main(["party", "init", *words, *more]) == 1
        assert complaint in capsys.readouterr().err
        assert not (tmp_path / "new").exists()


def test_init_asks_at_a_terminal(
    bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(
        ["banker", "guest", "bank", "bank", "network", "nothing.csv", str(bank / "data.csv"), "", "", "b:1", ""]
    )
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    assert main(["party", "init", "--folder", str(tmp_path / "new")]) == 0
    config = Config.load(tmp_path / "new" / "party.toml")
    assert (config.role, config.data.id, config.data.label, config.connect) == ("guest", "商户", "违约", "b:1")
    assert "[商户]" in asked[7]  # the guesses
    assert "[违约]" in asked[8]
    said = capsys.readouterr().out
    steps = ["bluetusk certs bank", "evidence keygen identity", "Send bank.cert.pem", "evidence fingerprint", "sed -i"]
    steps += ["evidence policy sign", "party --check", "party --config"]
    places = [said.index(step) for step in steps]
    assert places == sorted(places)


def test_a_policy_with_the_placeholder_is_not_signed(
    bank: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    init(bank, "guest", "--force", "--peer-certificate", str(tmp_path / "absent.pem"))
    assert "PASTE-THE-FINGERPRINT-HERE" in (bank / "policy.toml").read_text()
    words = ["evidence", "policy", "sign", str(bank / "policy.toml"), "--key", str(bank / "identity")]
    assert main(words) == 1
    assert "bluetusk evidence fingerprint FILE" in capsys.readouterr().err


def test_caps_that_the_defaults_do_not_reach_are_written(bank: Path) -> None:
    names = [f"c{j}" for j in range(80)]
    rows_of(bank.parent / "network" / "data.csv", names, None, 3000)
    folder = bank.parent / "network"
    init(folder, "host", "--force")
    sign(folder)
    grant = Policy.load(folder / "policy.toml").grants[0]
    assert grant.columns == ("id", *names)
    assert grant.max_columns == 80
    assert grant.max_cuts >= 80 * 31
    assert texts(checked(folder)) == []
    assert checked(folder).warnings == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=30))
def test_any_name_is_written_as_toml(names: list[str]) -> None:
    tomllib = pytest.importorskip("tomllib") if sys.version_info >= (3, 11) else pytest.importorskip("tomli")
    written = f"a = {_toml.texts(names)}\n" + "".join(f"b{k} = {_toml.text(n)}\n" for k, n in enumerate(names))
    assert tomllib.loads(written) == {"a": names} | {f"b{k}": name for k, name in enumerate(names)}
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", written)


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="not Unicode text"):
        _toml.text("\ud800")


# ----------------------------------------------------------------------------------------------------------- real runs


def test_predicted_sums_and_bits_are_bounds() -> None:
    """Against counts worked out by hand from what the tasks state."""
    table = needs.Table(["a", "b"], rows=1000, common=1000, events=300, cuts=62)
    uses = needs.uses_of(Model(trees=4, depth=2), "host", table)
    told = [Request("0" * 64, u["purpose"], u["columns"], u["rows"], "t", _details(u)) for u in uses]
    assert [each.purpose for each in told] == needs.purposes_of(Model())
    assert [each.rows for each in told] == [1000, 630, 700, 70, 300, 700, 300]
    assert told[1].sums == 2 * 10 * 2
    assert told[5].sums == 2 * 4 * 3 * 62
    assert told[6].bits(0) == 4 * (2 * 300 + 3)
    guest = needs.uses_of(Model(reveal=("woe", "scores")), "guest", table)
    assert guest[1]["total_events"] == 189
    assert guest[3]["bits"] == 70 * 64


def _details(use: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in use.items() if name not in ("purpose", "columns", "rows")}


@pytest.mark.slow
def test_a_set_that_passes_runs_and_takes_the_uses_that_were_predicted(bank: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    smaller = (("key_size = 3072", "key_size = 2048"), ("trees = 10", "trees = 1"))
    party(("localhost:7443", f"localhost:{port}"), *smaller)(bank)
    change("party.toml", ("127.0.0.1:0", f"127.0.0.1:{port}"), *smaller)(bank.parent / "network")
    for name in ("bank", "network"):
        found = checked(bank.parent / name)
        assert texts(found) == []
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", "bluetusk", "party", "--config", "party.toml", "--json", "--progress", "none"],
            cwd=bank.parent / name,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("network", "bank")
    }
    ended = {name: process.communicate(timeout=200) for name, process in running.items()}
    for name, process in running.items():
        assert process.returncode == 0, (name, ended[name])
    for name, role in (("bank", "guest"), ("network", "host")):
        folder = bank.parent / name
        log = Log.open(folder / "evidence.log", signer(folder))
        had = [r.details for r in log.records if r.what == "authorised"]
        log.close()
        config = Config.load(folder / "party.toml")
        profile = check_party(folder / "party.toml").profile
        common = json.loads(ended[name][0])["intersection"]
        events = ROWS // 3 + 1 if role == "guest" else 0
        cuts = needs.most_cuts(profile, config.model)
        table = needs.Table([each.name for each in profile], ROWS, common, events, cuts)
        predicted = needs.uses_of(config.model, role, table)
        assert Counter(d["purpose"] for d in had) == Counter(u["purpose"] for u in predicted)
        wanted = [Request("0" * 64, u["purpose"], u["columns"], u["rows"], "t", _details(u)) for u in predicted]
        with Guard(folder / "policy.signed", folder / "evidence.log.uses", owner=signer(folder).public_key) as guard:
            (learned,) = guard.learned().values()
            assert guard.usage()[Policy.load(folder / "policy.toml").grants[0].id]["uses"] == len(predicted)
        # which rows are held back is drawn anew: a tenth more or less
        assert learned["sums"] <= sum(each.sums or 0 for each in wanted)
        assert learned["bits"] <= 1.3 * sum(each.bits(60) for each in wanted)
        after = checked(folder)
        assert any("has finished" in text for text in texts(after)), texts(after)
        party((config.job, "the next"))(folder)
        shutil.rmtree(folder / "state")
        assert any("3 of its 10 uses left, and this run needs 7" in text for text in texts(checked(folder)))
    assert replace(Model(), trees=1) == replace(config.model, key_size=3072)
