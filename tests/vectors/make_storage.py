"""Write storage_v1.json: a file of each kind that Bluetusk keeps on a disk, from fixed keys and fixed "randomness".

Run once, when a version of a format is released: `python tests/vectors/make_storage.py`. Meanwhile `os.urandom(n)`
gives the bytes 0, 1, ..., n - 1 and the clock stands still, so each run of the same format writes the same bytes. What
a release has written is never rewritten.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bluetusk.evidence import Audit, Identity, Log
from bluetusk.federated.paillier_sum.journal import Journal
from bluetusk.paillier import keyfile
from bluetusk.vertical.party import certs
from bluetusk.vertical.party.splits import Splits
from bluetusk.vertical.party.vault import Vault
from bluetusk.vertical.saving import save_frame
from bluetusk.wire import frame

HERE = Path(__file__).parent
PASSPHRASE = "seven quiet otters"
STATE_KEY = bytes(range(32))
SESSION = bytes(range(32, 64))
PAIR = b"bank and network"
MATERIAL = keyfile.Material(2048, "djn", bytes(range(32)), (1 << 1023) + 12345, (1 << 1024) - 6789)
GIVEN = keyfile.Material(2048, "djn", bytes(range(32)), 3, 7, (1 << 4095) + 1)
MODEL = frame.encode(frame.Kind.WOE_BINNING, {"role": "host"}, b"edges and weights")


def state_key() -> bytes:
    """Return the key under which a party with a fixed TLS key keeps its state."""
    pem = ec.derive_private_key(5, ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.TemporaryDirectory() as folder:
        certificate = certs.make_certificate("network", folder)[1].read_bytes()
    return certs.Identity(certificate, pem, certificate, "network").state_key()


def contribute(path: Path) -> None:
    """Let a party draw its part of a split, and keep the peer's commitment."""
    splits = Splits(path, STATE_KEY, pair=PAIR)
    splits.contribution()
    splits.pin(bytes(32))


def write_all(folder: Path) -> dict[str, bytes]:
    """Write a file of each kind into an empty folder, and return their bytes by path."""

    def counted(size: int) -> bytes:
        return bytes(k % 256 for k in range(size))

    identity = Identity(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    with mock.patch.object(os, "urandom", counted):
        (folder / "djn.key").write_bytes(keyfile.seal(MATERIAL, PASSPHRASE))
        (folder / "given.key").write_bytes(keyfile.seal(GIVEN, PASSPHRASE))
        save_frame(folder / "plain.model", MODEL)
        save_frame(folder / "sealed.model", MODEL, PASSPHRASE)
        identity.save(folder / "identity", PASSPHRASE)
        with Log.create(folder / "evidence.log", identity, owner="bank", clock=lambda: 1_780_000_000.25) as log:
            log.append("started", by="bank", task="job-7", hashes={"input": bytes(range(32))})
        Audit(folder / "audit", PASSPHRASE).close()
        journal = Journal(folder / "sums", SESSION)
        journal.spend(1, "weights")
        journal.spend(2, "gr\u00f6\u00dfe")
        journal.close()
        vault = Vault(folder / "vault", STATE_KEY)
        vault.write("state", b"a party's state")
        vault.append("records", b"one")
        vault.append("records", b"two")
        vault.close()
        contribute(folder / "splits")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def main() -> None:
    """Write the files down as hexadecimal digits."""
    with tempfile.TemporaryDirectory() as name:
        files = {path: data.hex() for path, data in write_all(Path(name)).items()}
    content = {
        "header": ["Files of bluetusk, hexadecimal; the keys are for these tests only."],
        "generator": "tests/vectors/make_storage.py",
        "state_key": state_key().hex(),
        "files": files,
    }
    (HERE / "storage_v1.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
