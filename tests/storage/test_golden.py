"""The files that a release has written: read as before, and written again byte for byte."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bluetusk.errors import ProtocolAbort
from bluetusk.evidence import Audit, Identity, Log, verify
from bluetusk.federated.paillier_sum.journal import Journal
from bluetusk.paillier import keyfile
from bluetusk.vertical.party.splits import Splits
from bluetusk.vertical.party.vault import Vault
from bluetusk.vertical.saving import load_frame
from bluetusk.wire import frame

VECTORS = Path(__file__).parents[1] / "vectors"
SAID = json.loads((VECTORS / "storage_v1.json").read_text())
GOLDEN = {path: bytes.fromhex(data) for path, data in SAID["files"].items()}
MAKER: Any = SimpleNamespace(**runpy.run_path(str(VECTORS / "make_storage.py")))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, data in GOLDEN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_every_file_is_written_as_before(tmp_path: Path) -> None:
    made = MAKER.write_all(tmp_path)
    assert made == GOLDEN
    assert {os.stat(tmp_path / name).st_mode & 0o777 for name in made if not name.endswith(".key")} == {0o600}


def test_key_files(files: Path) -> None:
    assert keyfile.unseal(GOLDEN["djn.key"], MAKER.PASSPHRASE) == MAKER.MATERIAL
    assert keyfile.unseal(GOLDEN["given.key"], MAKER.PASSPHRASE.encode()) == MAKER.GIVEN


def test_models(files: Path) -> None:
    kind = frame.Kind.WOE_BINNING
    for loaded in (load_frame(files / "plain.model", kind), load_frame(files / "sealed.model", kind, MAKER.PASSPHRASE)):
        assert (loaded.header, bytes(loaded.payload)) == ({"role": "host"}, b"edges and weights")


def test_evidence(files: Path) -> None:
    identity = Identity.load(files / "identity", MAKER.PASSPHRASE)
    with Log.open(files / "evidence.log", identity) as log:
        log.append("more", by="bank")
    report = verify(files / "evidence.log", key=identity.public_key)
    assert (report.ok, [record.what for record in report.records]) == (True, ["opened", "started", "more"])
    Audit(files / "audit", MAKER.PASSPHRASE).close()
    assert Audit.replay(files / "audit", MAKER.PASSPHRASE).ok


def test_journal(files: Path) -> None:
    journal = Journal(files / "sums", MAKER.SESSION)
    for round, tensor in ((1, "weights"), (2, "gr\u00f6\u00dfe")):
        with pytest.raises(ProtocolAbort, match="already decrypted"):
            journal.check(round, tensor)
    journal.spend(3, "weights")
    journal.close()


def test_party_state(files: Path) -> None:
    assert MAKER.state_key().hex() == SAID["state_key"]
    vault = Vault(files / "vault", MAKER.STATE_KEY)
    assert (vault.read("state"), vault.records("records")) == (b"a party's state", [b"one", b"two"])
    vault.append("records", b"three")
    assert vault.records("records") == [b"one", b"two", b"three"]
    vault.close()
    splits = Splits(files / "splits", MAKER.STATE_KEY, pair=MAKER.PAIR)
    assert splits.contribution() == (bytes(range(32)), bytes(32))
