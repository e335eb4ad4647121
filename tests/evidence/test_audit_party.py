"""`bluetusk party` with an audit book, from files to the auditor's verdict; rows are named by their ids."""

from __future__ import annotations

import csv
import hashlib
import socket
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bluetusk import cli
from bluetusk.evidence import AuditBook, Grant, Identity, Policy, fingerprint
from bluetusk.storage import sealed
from bluetusk.vertical.party import make_certificate
from bluetusk.vertical.party import run as runs
from bluetusk.vertical.party.config import Config

pytest.importorskip("grpc", reason="parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

ROWS = 400
PURPOSES = ("intersect", "binning", "logistic_regression", "gradient_boosting", "predict")
CLAUSES = {"min_rows": 20, "min_intersection": 100, "max_ids_per_request": ROWS, "max_ids_total": ROWS}
MODEL = """[model]
key_size = 2048
min_intersection = 100
min_rows = 20
max_bins = 3
epochs = 0
trees = 2
depth = 2
tree_bins = 6
"""


def write(path: Path, table: dict[str, Any]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of scrypt, a hash of all it depends on."""

    def derive(secret: bytes, header: dict[str, object]) -> bytes:
        return hashlib.sha256(repr((secret, header["salt"], header["log2_n"], header["p"])).encode()).digest()

    monkeypatch.setattr(sealed, "_derive", derive)


@pytest.fixture(params=[0, pytest.param(2, marks=pytest.mark.nightly)])
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Files of two parties; without a regression, or with one of two epochs."""
    monkeypatch.setenv("BLUETUSK_PASSPHRASE", "correct horse")
    monkeypatch.setenv("BLUETUSK_AUDIT_PASSPHRASE", "battery staple")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 4))
    y = (x[:, 0] + x[:, 2] + rng.normal(size=ROWS) > 0).astype(int)
    signers = {}
    for role in ("guest", "host"):
        make_certificate(role, tmp_path)
        signers[role] = signer = Identity.generate()
        signer.save(tmp_path / f"{role}.id", "correct horse")
        signer.write_public(tmp_path / f"{role}.id.pub")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    for role, peer, way in (("guest", "host", "connect"), ("host", "guest", "listen")):
        book = 'audit = "book"\n' if role == "guest" else ""
        label = 'label = "default"\n' if role == "guest" else ""
        who = fingerprint((tmp_path / f"{peer}.cert.pem").read_bytes())
        grant = Grant("g", who, PURPOSES, ("*",), uses=9, until=1 << 39, **CLAUSES)
        (tmp_path / f"{role}.signed").write_bytes(Policy(role, 1, (grant,)).sign(signers[role]).to_bytes())
        (tmp_path / f"{role}.toml").write_text(
            f'role = "{role}"\njob = "j"\ncertificate = "{role}.cert.pem"\nkey = "{role}.key.pem"\n'
            f'peer_certificate = "{peer}.cert.pem"\n{way} = "{address}"\npatience = 30\nstate = "{role}-state"\n'
            f'output = "{role}-output"\nsplits = "{role}-splits"\n'
            f'[data]\nfile = "{role}.csv"\n{label}{MODEL.replace("epochs = 0", f"epochs = {request.param}")}'
            f'[evidence]\nlog = "{role}.log"\nidentity = "{role}.id"\npeer_key = "{peer}.id.pub"\n'
            f'policy = "{role}.signed"\n{book}'
        )
    ids = [f"M{k:03d}" for k in range(ROWS)]
    write(tmp_path / "guest.csv", {"id": ids, "a": x[:, 0], "b": x[:, 1], "default": y})
    write(tmp_path / "host.csv", {"id": ids[::-1], "c": x[::-1, 2], "d": x[::-1, 3]})
    return tmp_path


def test_from_files_to_the_verdict(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed: list[BaseException] = []

    def side(role: str) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                runs.run_party(Config.load(case / f"{role}.toml"))
        except BaseException as error:
            failed.append(error)

    sides = [threading.Thread(target=side, args=(role,)) for role in ("host", "guest")]
    for each in sides:
        each.start()
    for each in sides:
        each.join()
    assert not failed
    command = ["evidence", "audit", str(case / "book"), "--label-column", "default"]
    command += [f"--log={case / name}.log" for name in ("guest", "host")]
    assert cli.main([*command, "--labels", str(case / "guest.csv")]) == 0
    assert capsys.readouterr().out.startswith("GOOD    ")
    entries, _ = AuditBook.read(case / "book", "battery staple")
    ids = next(e.facts["ids"] for e in entries if (e.task, e.name) == ("woe-binning", "rows"))
    assert ids != sorted(ids)
    with open(case / "guest.csv", newline="") as file:
        table = {row["id"]: int(row["default"]) for row in csv.DictReader(file)}
    false = dict(table)
    false[ids[5]] ^= 1
    del false[ids[-5]]  # labels go in eight parts, of each the first false one is told
    write(case / "other.csv", {"id": list(false), "default": list(false.values())})
    assert cli.main([*command, "--labels", str(case / "other.csv")]) == 1
    *also, bad = capsys.readouterr().out.splitlines()
    was = table[ids[5]]
    assert bad.endswith(
        f", row 5 (id '{ids[5]}'): found {was}, expected {1 - was}: the label differs from the label file"
    )
    assert bad.startswith("BAD     j/woe-binning, sent ")
    assert any(f"(id '{ids[-5]}')" in line and "id is not among the labels" in line for line in also)


def test_the_configuration(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = case / "host.toml"
    path.write_text(path.read_text() + 'audit = "book"\n')
    with pytest.raises(ValueError, match="audit is for the guest"):
        Config.load(path)
    monkeypatch.delenv("BLUETUSK_AUDIT_PASSPHRASE")
    with pytest.raises(ValueError, match="BLUETUSK_AUDIT_PASSPHRASE"):
        runs.run_party(Config.load(case / "guest.toml"))
