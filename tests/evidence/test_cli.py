"""``bluetusk evidence`` as a user meets it: a bank and a payment network, their keys, a policy, two logs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from bluetusk import cli
from bluetusk.evidence import (
    Audit,
    Guard,
    Identity,
    Log,
    Meter,
    Policy,
    Recorder,
    fingerprint,
    fingerprint_groups,
    read_public_key,
)
from bluetusk.storage import sealed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of scrypt, a third of a second, a hash of all it depends on."""

    def derive(secret: bytes, header: dict[str, object]) -> bytes:
        return hashlib.sha256(repr((secret, header["salt"], header["log2_n"], header["p"])).encode()).digest()

    monkeypatch.setattr(sealed, "_derive", derive)
    monkeypatch.setenv("BLUETUSK_PASSPHRASE", "correct horse")


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    try:
        status = cli.main(["evidence", *map(str, arguments)])
    except SystemExit as end:
        status = int(end.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Keys, a signed policy, and the logs of a job with a refusal."""
    for name in ("network", "bank"):
        assert call(capsys, "keygen", tmp_path / f"{name}.key")[0] == 0
    bank = fingerprint(read_public_key(tmp_path / "bank.key.pub"))
    example = call(capsys, "policy", "example")[1]
    (tmp_path / "policy.toml").write_text(example.replace("PASTE-THE-FINGERPRINT-HERE", bank))
    status, out, _ = call(capsys, "policy", "sign", tmp_path / "policy.toml", "--key", tmp_path / "network.key")
    assert (status, out[:7]) == (0, "signed ")
    me, peer = (Identity.load(tmp_path / f"{name}.key", "correct horse") for name in ("network", "bank"))
    policy = Policy.load(tmp_path / "policy.signed")
    clock = lambda: 1_780_000_000.0  # noqa: E731
    with (
        Log.create(tmp_path / "network.log", me, owner="network", clock=clock) as log,
        Log.create(tmp_path / "bank.log", peer, owner="bank", clock=clock) as theirs,
        Guard(policy, tmp_path / "uses", owner=me.public_key, clock=clock) as guard,
    ):
        recorder = Recorder(log=log, meter=Meter(), job="job-7", me="network", peers={"bank": bank}, guard=guard)
        use = {
            "peer": "bank",
            "purpose": "binning",
            "rows": 21000,
            "min_rows": 50,
            "min_events": 5,
            "min_others": 5,
            "bins": 16,
        }
        recorder.authorise(columns=["PAY_0", "BILL"], **use)
        with pytest.raises(Exception, match="does not allow column 'AGE'"):
            recorder.authorise(columns=["AGE"], task="more", **use)
        recorder.count(peer="bank", task="binning", what="values_revealed", number=180)
        recorder.count(peer="bank", task="binning", what="sums_learned", number=1200)
        recorder.count(peer="bank", task="binning", what="bits_learned", number=1)
        recorder.finish("binning", hashes={"woe": bytes(range(32))})
        theirs.accept(log.offer(), party="network", key=me.public_key)
        log.accept(theirs.offer(), party="bank", key=peer.public_key)
    return tmp_path


def test_verify_tells_the_story(story: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(
        capsys,
        *("verify", story / "network.log", "--key", story / "network.key.pub", "--head", story / "bank.log"),
    )
    assert (status, err) == (0, "")
    assert "holds   5 good records: 1 authorised, 1 finished, 1 opened, 1 peer_head, 1 refused" in out
    assert "heads   of others vouch for 4 of them" in out
    assert "task job-7/binning\n" in out
    assert "network authorised binning to bank: PAY_0, BILL; rows 21000" in out
    assert "with bank/binning: 1 bits_learned, 1200 sums_learned, 180 values_revealed" in out
    assert "learned 1,200 sums and 1 bits about rows of others" in out
    assert "clause columns: grant 'bank-2026' does not allow column 'AGE'" in out
    assert "sha256 of woe 0001020304050607" in out
    assert out.splitlines()[-1].startswith("GOOD    5 records are as their owner signed them; no head given covers the")
    status, out, _ = call(capsys, "verify", story / "network.log", "--json")
    told = json.loads(out)
    assert (status, told["ok"], told["records"], told["refused"]) == (0, True, 5, {"columns": 1})
    assert told["learned"] == {"sums": 1200, "bits": 1}
    assert "the owner's key was taken from the log itself" in told["notes"][0]


def test_verify_finds_what_was_done_to_it(story: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = story / "network.log"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"PAY_0", b"PAY_1"))
    status, out, _ = call(capsys, "verify", path)
    assert status == 1
    assert "BAD     first bad record: 1; record 1 was altered" in out
    assert call(capsys, "show", path)[0] == 1
    assert call(capsys, "head", path)[0] == 1
    status, out, _ = call(capsys, "verify", path, "--json")
    assert (status, json.loads(out)["first_bad"]) == (1, 1)
    at = data.rindex(b"finished") - 200  # cut before that record, at its frame
    path.write_bytes(data[: data.rindex(b"BTK1\x01\x00\x49\x00", 0, at + 200)])
    assert call(capsys, "verify", path)[0] == 0  # by itself it is a good log
    status, out, _ = call(capsys, "verify", path, "--head", story / "bank.log")
    assert (status, "records 3 to 3 are missing: a head of 4 records was given" in out) == (1, True)
    assert call(capsys, "verify", path, "--key", story / "bank.key.pub")[0] == 1
    path.write_bytes(data)
    with Log.create(story / "new.log", Identity.load(story / "network.key", "correct horse"), owner="network"):
        pass
    status, out, _ = call(capsys, "verify", story / "new.log", "--head", story / "bank.log")
    assert (status, "was begun anew" in out) == (1, True)


def test_show_and_head(story: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "show", story / "network.log")
    assert (status, len(out.splitlines())) == (0, 5)
    assert "2026-05-28T20:26:40.000Z network opened" in out
    out = call(capsys, "show", story / "network.log", "--what", "refused", "--json")[1]
    assert json.loads(out)["details"]["clause"] == "columns"
    out = call(capsys, "show", story / "network.log", "--task", "job-7/binning")[1]
    assert len(out.splitlines()) == 2
    out = call(capsys, "head", story / "network.log")[1]
    (story / "anchor.json").write_text(out)
    assert json.loads(out)["size"] == 5
    status, out, _ = call(capsys, "verify", story / "network.log", "--head", story / "anchor.json")
    assert (status, out.splitlines()[-1]) == (0, "GOOD    5 records are as their owner signed them")
    out = call(capsys, "head", story / "bank.log", "--of", "network", "--all")[1]
    assert [json.loads(line)["size"] for line in out.splitlines()] == [4]
    status, _, err = call(capsys, "head", story / "bank.log", "--of", "shop")
    assert (status, "keeps no head of 'shop'" in err) == (1, True)


def test_policies(story: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "policy", "show", story / "policy.signed", "--key", story / "network.key.pub")
    assert status == 0
    assert "uses     20, before 2027-01-01T00:00:00Z" in out
    assert "least    50 rows, 5 events and 5 others a group, 500 rows and 100 events a task" in out
    assert "in all   64 columns, 8 models, 100000 rows scored, 250000 sums, 5000000 bits" in out
    assert "exact    nothing" in out
    assert "not yet" in call(capsys, "policy", "show", story / "policy.toml")[1]
    status, _, err = call(capsys, "policy", "show", story / "policy.signed", "--key", story / "bank.key.pub")
    assert (status, "is not signed by the key" in err) == (1, True)
    status, _, err = call(capsys, "policy", "sign", story / "policy.toml", "--key", story / "network.key")
    assert (status, "give this one a higher serial" in err) == (1, True)
    text = (story / "policy.toml").read_text()
    (story / "policy.toml").write_text(
        text.replace("serial = 1", "serial = 2").replace("revoked = []", 'revoked = ["bank-2026"]')
    )
    assert call(capsys, "policy", "sign", story / "policy.toml", "--key", story / "network.key")[0] == 0
    assert "revoked  bank-2026" in call(capsys, "policy", "show", story / "policy.signed")[1]
    assert [path.name for path in story.iterdir() if path.name.startswith(".")] == []


def test_keys(story: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "keygen", story / "bank.key")
    assert (status, "exists and is not overwritten" in err) == (1, True)
    status, out, _ = call(capsys, "fingerprint", story / "bank.key.pub")
    assert out == f"{fingerprint_groups(read_public_key(story / 'bank.key.pub'))}  {story / 'bank.key.pub'}\n"
    status, _, err = call(capsys, "fingerprint", story / "policy.toml")
    assert (status, "does not hold a public key" in err) == (1, True)


def test_replay(story: Path, capsys: pytest.CaptureFixture[str], pub: Any) -> None:
    with Audit(story / "audit", "correct horse", task="job-7") as audit:
        pub.encrypt([1, 2])
    audit.close()
    status, out, _ = call(capsys, "replay", story / "audit")
    assert status == 0
    assert "task    job-7: 2 ciphertexts" in out
    data = bytearray((story / "audit").read_bytes())
    data[-30] ^= 1
    (story / "audit").write_bytes(data)
    status, out, _ = call(capsys, "replay", story / "audit")
    assert (status, out.splitlines()[-1]) == (1, "BAD     batch 1 was altered; 0 before it are good")


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["verify", "--help"], ["policy", "sign", "--help"], ["head", "--help"]):
        status, out, _ = call(capsys, *words)
        assert status == 0
        assert "example" in out
    assert call(capsys)[0] == 2
    assert call(capsys, "verify")[0] == 2
    status, _, err = call(capsys, "verify", "/nowhere")
    assert (status, err.count("\n")) == (1, 1)
