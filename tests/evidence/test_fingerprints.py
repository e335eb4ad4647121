"""One party, one key, one fingerprint: whatever prints it prints the same, and it is SHA-256 of the key's DER."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import bluetusk as bt
from bluetusk import cli
from bluetusk.evidence import Grant, Log, Policy, fingerprint, fingerprint_groups, read_public_key
from bluetusk.evidence.policy import EXAMPLE
from bluetusk.wire import frame

GROUPS = re.compile(r"\b[0-9a-f]{4}(?:-[0-9a-f]{4}){15}\b")
BARE = re.compile(r"\b[0-9a-f]{64}\b")


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLUETUSK_PASSPHRASE", "correct horse")


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.main([str(each) for each in arguments]) == 0
    return capsys.readouterr().out


def by_hand(key: object) -> str:
    """What ``openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum`` prints, in groups of four."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return "-".join(re.findall("....", hashlib.sha256(der).hexdigest()))


def test_what_the_tutorial_compares_is_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands of the tutorial's sections 2 to 4: certificate, identity, policy, what `policy show` says."""
    made = said(capsys, "certs", "bank", "--out", tmp_path)
    certificate = tmp_path / "bank.cert.pem"
    arrived = said(capsys, "evidence", "fingerprint", certificate)
    expected = by_hand(x509.load_pem_x509_certificate(certificate.read_bytes()).public_key())
    assert GROUPS.findall(made) == [expected]
    assert arrived == f"{expected}  {certificate}\n"

    signer = said(capsys, "evidence", "keygen", tmp_path / "identity")
    public = tmp_path / "identity.pub"
    owner = by_hand(Ed25519PublicKey.from_public_bytes(read_public_key(public)))
    assert GROUPS.findall(signer) == [owner]
    assert said(capsys, "evidence", "fingerprint", public).split()[0] == owner
    assert json.loads(public.read_text())["fingerprint"] == owner

    policy = tmp_path / "policy.toml"
    pasted = arrived.split(" ")[0]  # as by `cut -d' ' -f1`
    text = EXAMPLE.replace("PASTE-THE-FINGERPRINT-HERE", pasted).replace("revoked = []", f'revoked = ["{pasted}"]')
    policy.write_text(text)
    said(capsys, "evidence", "policy", "sign", policy, "--key", tmp_path / "identity")
    shown = said(capsys, "evidence", "policy", "show", tmp_path / "policy.signed", "--key", public)
    assert GROUPS.findall(shown) == [owner, expected, expected]  # signed by, revoked, granted to
    assert owner in next(line for line in shown.splitlines() if line.startswith("signed"))

    identity = bt.evidence.Identity.load(tmp_path / "identity", "correct horse")
    Log.create(tmp_path / "log", identity, owner="network").close()
    assert GROUPS.findall(said(capsys, "evidence", "verify", tmp_path / "log")) == [owner]
    assert repr(identity) == f"<Identity {owner[:19]}>"
    for printed in (made, arrived, signer, shown):
        assert not BARE.search(printed.replace(Policy.load(tmp_path / "policy.signed").digest.hex(), ""))


def test_a_policy_takes_groups_and_digits_and_keeps_digits(tmp_path: Path) -> None:
    key = bt.evidence.Identity.generate()
    digits, groups = fingerprint(key), fingerprint_groups(key)
    assert groups == by_hand(Ed25519PublicKey.from_public_bytes(key.public_key))
    policies = []
    for form in (digits, groups):
        path = tmp_path / "policy.toml"
        path.write_text(
            EXAMPLE.replace("PASTE-THE-FINGERPRINT-HERE", form).replace("revoked = []", f'revoked = ["x", "{form}"]')
        )
        policies.append(Policy.load(path))
        assert Grant("g", form, ("binning",), ("AGE",), 1, 2_000_000_000).peer == digits
    assert policies[0] == policies[1]
    assert policies[0].revoked == ("x", digits)
    signed = policies[1].sign(key, issued=1)
    assert Policy.from_bytes(signed.to_bytes()) == signed
    for wrong in (groups.upper(), groups[:-1], groups.replace("-", " "), groups.replace("-", "", 1), f"-{groups}"):
        with pytest.raises(ValueError, match="peer of grant 'g' must be a fingerprint"):
            Grant("g", wrong, ("binning",), ("AGE",), 1, 2_000_000_000)


def test_a_frame_holds_digits_only(tmp_path: Path) -> None:
    """A second form of one policy in a frame would have a second digest."""
    key = bt.evidence.Identity.generate()
    grant = Grant("g", fingerprint(key), ("binning",), ("AGE",), 1, 2_000_000_000)
    header = dict(frame.decode(Policy("network", 1, (grant,)).sign(key).to_bytes()).header)
    header["grants"] = [{**header["grants"][0], "peer": fingerprint_groups(key)}]
    with pytest.raises(bt.FrameError, match="64 hexadecimal digits"):
        Policy.from_bytes(frame.encode(frame.Kind.POLICY, header))


def test_a_renewed_certificate_keeps_its_fingerprint_and_another_key_has_another(tmp_path: Path) -> None:
    seen = set()
    for name in ("a", "b"):
        _, certificate = bt.vertical.party.make_certificate("bank", tmp_path / name)
        seen.add(fingerprint_groups(certificate.read_bytes()))
    assert len(seen) == 2


def test_keys_of_paillier_are_told_by_words_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keypair: tuple
) -> None:
    """`keygen`, `inspect` of both files and `evidence replay` say the same twelve words."""
    pub, priv = keypair
    (tmp_path / "key.pub").write_bytes(pub.to_bytes())
    priv.save(tmp_path / "key", "correct horse")
    with bt.evidence.Audit(tmp_path / "audit", "correct horse", task="job") as audit:
        pub.encrypt([1])
    audit.close()
    words = pub.fingerprint_words
    for name in ("key.pub", "key"):
        told = json.loads(said(capsys, "inspect", tmp_path / name, "--json"))
        assert told["fingerprint"] == words
    assert f"key     {words}\n" in said(capsys, "evidence", "replay", tmp_path / "audit")
