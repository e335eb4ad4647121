"""Audit mode: what was encrypted can be replayed, and no altered record passes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bluetusk import FixedPoint
from bluetusk.errors import InvalidKey, ProtocolAbort
from bluetusk.evidence import Audit
from bluetusk.paillier.encrypting import AUDITOR
from bluetusk.storage import sealed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of scrypt, a third of a second, a hash of all it depends on; the example uses the real one."""
    import hashlib

    def derive(secret: bytes, header: dict[str, object]) -> bytes:
        return hashlib.sha256(repr((secret, header["salt"], header["log2_n"], header["p"])).encode()).digest()

    monkeypatch.setattr(sealed, "_derive", derive)


def test_every_encryption_replays(tmp_path: Path, pub: Any, priv: Any, keypair2: Any) -> None:
    path = tmp_path / "audit"
    values = np.linspace(-3, 3, 7)
    with Audit(path, "p", task="one") as audit:
        arrays = [pub.encrypt(values), priv.encrypt(values.reshape(7, 1)), pub.encrypt(values, packed=True)]
        audit.task = "two"
        arrays.append(keypair2[0].encrypt([1, 2, 3]))
        arrays.append(pub.encrypt(np.zeros((0, 2))))
    unseen = pub.encrypt(values)
    audit.close()
    assert AUDITOR.get() is None
    for c in (*arrays[:3], unseen):
        assert np.allclose(priv.decrypt(c).ravel(), values, atol=1e-6)
    assert keypair2[1].decrypt(arrays[3]).tolist() == [1, 2, 3]
    report = Audit.replay(path, "p")
    packed = arrays[2].nbytes // pub._kernel.mont.nbytes
    assert (report.ok, report.reason, report.torn) == (True, "", 0)
    assert report.tasks == {"one": 14 + packed, "two": 3}
    assert report.keys == (pub.fingerprint, keypair2[0].fingerprint)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    data = path.read_bytes()
    for c in arrays[:3]:  # nothing of it in the clear
        assert c.to_bytes()[-256:] not in data


def test_audited_arrays_are_like_any_other(tmp_path: Path, pub: Any, priv: Any) -> None:
    plan = FixedPoint(clip=2.0, max_weight=10)
    with Audit(tmp_path / "audit", "p") as audit:
        a, b = pub.encrypt([1.0, -1.5], plan), pub.encrypt([0.25, 0.5], plan)
    audit.close()
    assert a.fresh
    assert np.allclose(priv.decrypt(a * 3 + b), [3.25, -4.0])
    assert a.to_bytes() == a.to_bytes()
    assert len({bytes(x.to_bytes()) for x in (a, b, pub.encrypt([1.0, -1.5], plan))}) == 3


def test_suite_standard(tmp_path: Path, pub: Any) -> None:
    from bluetusk.paillier import PublicKey

    standard = PublicKey(int(pub.n), suite="standard")
    with Audit(tmp_path / "audit", "p") as audit:
        standard.encrypt([1, 2])
    audit.close()
    assert Audit.replay(tmp_path / "audit", "p").ciphertexts == 2


def test_continued_and_torn(tmp_path: Path, pub: Any) -> None:
    path = tmp_path / "audit"
    ends = []
    for turn in range(3):
        with Audit(path, "p", task=f"t{turn}") as audit:
            pub.encrypt([turn])
            digest = audit.digest()
        audit.close()
        ends.append(path.stat().st_size)
        assert len(digest) == 32
    assert Audit.replay(path, "p").tasks == {"t0": 1, "t1": 1, "t2": 1}
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    report = Audit.replay(path, "p")
    assert (report.ok, report.ciphertexts) == (True, 2)
    assert 0 < report.torn < ends[2] - ends[1]
    with Audit(path, "p", task="t3") as audit:
        pub.encrypt([3])
    audit.close()
    assert Audit.replay(path, "p").tasks == {"t0": 1, "t1": 1, "t3": 1}


def test_a_wrong_ciphertext_is_named(tmp_path: Path, pub: Any) -> None:
    """An encryptor who lies in its records: what does not follow from plaintext and randomness is found."""
    path = tmp_path / "audit"
    audit = Audit(path, "p")
    limbs = pub._kernel.n_limbs
    plain = np.arange(3 * limbs, dtype=np.uint64).reshape(3, limbs)
    plain[:, -1] = 0
    random = pub._blinder.draw(3)
    good = _audited(pub, plain, random)
    audit._record(pub, plain, random, good)
    bad = good.copy()
    bad[1, 0] ^= np.uint64(1)
    audit._record(pub, plain, random, bad)
    audit.close()
    report = Audit.replay(path, "p")
    assert (report.ok, report.ciphertexts) == (False, 3)
    assert report.reason == "ciphertext 4 (batch 2) is not what its plaintext and randomness give"


def _audited(pub: Any, plain: Any, random: Any) -> Any:
    """Ciphertexts by Python's own integers."""
    n, square = int(pub.n), int(pub.n) ** 2
    rows = []
    for m_row, a_row in zip(plain, random, strict=True):
        m, a = (int.from_bytes(row.astype("<u8").tobytes(), "little") for row in (m_row, a_row))
        c = (1 + m * n) * pow(int(pub.hs), a, square) % square
        rows.append(np.frombuffer(c.to_bytes(16 * pub._kernel.n_limbs, "little"), dtype="<u8"))
    return np.array(rows, dtype=np.uint64)


def test_altered_files(tmp_path: Path, pub: Any) -> None:
    path = tmp_path / "audit"
    with Audit(path, "p") as audit:
        pub.encrypt([1])
        pub.encrypt([2])
    audit.close()
    data = path.read_bytes()
    with pytest.raises(InvalidKey, match="passphrase is wrong"):
        Audit.replay(path, "other")
    with pytest.raises(InvalidKey, match="passphrase is wrong"):
        Audit(path, "other")
    for at in range(3, len(data), 67):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        try:
            report = Audit.replay(path, "p")
        except InvalidKey:
            continue
        assert not report.ok or report.torn, at  # a length of the last frame that claims too much reads as torn
        assert report.ciphertexts < 2, at
    for wrong in (b"", b"BTK1", os.urandom(200)):
        path.write_bytes(wrong)
        with pytest.raises(InvalidKey):
            Audit(path, "p")
    with pytest.raises(ProtocolAbort):
        Audit.replay(tmp_path, "p")
