"""The files that [evidence] names: released however a run ends, and refused where one of them is gone."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

import bluetusk as bt
from bluetusk.evidence import Grant, Guard, Identity, Log, Policy, fingerprint
from bluetusk.storage import sealed
from bluetusk.vertical.party import Identity as Certified
from bluetusk.vertical.party import make_certificate, opening
from bluetusk.vertical.party import run as _run
from bluetusk.vertical.party.config import Config, Data, Evidence
from bluetusk.vertical.party.rows import Rows

OWNER = Identity.generate()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    (key, mine), (_, theirs) = (make_certificate(name, folder) for name in ("host", "guest"))
    return [str(path) for path in (mine, key, theirs)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Instead of scrypt, a hash of all it depends on."""

    def derive(secret, header):
        return hashlib.sha256(repr((secret, header["salt"], header["log2_n"], header["p"])).encode()).digest()

    monkeypatch.setattr(sealed, "_derive", derive)


@pytest.fixture
def config(certificates, tmp_path, monkeypatch):
    monkeypatch.setenv("BLUETUSK_PASSPHRASE", "correct horse")
    OWNER.save(tmp_path / "identity", "correct horse")
    OWNER.write_public(tmp_path / "peer.pub")
    peer = fingerprint(Certified.load(*certificates).peer_certificate)
    grant = Grant("g", peer, ("binning",), ("*",), uses=3, until=1 << 39)
    (tmp_path / "policy").write_bytes(Policy("owner", 1, (grant,)).sign(OWNER).to_bytes())
    names = {
        name: str(tmp_path / name) for name in ("identity", "log", "peer.pub", "policy", "state", "output", "splits")
    }
    evidence = Evidence(names["log"], names["identity"], names["peer.pub"], names["policy"])
    more = {name: names[name] for name in ("state", "output", "splits")}
    return Config("host", "j", *certificates, Data("-"), listen="127.0.0.1:0", evidence=evidence, **more)


def released(config):
    """Open what a run has held."""
    Log.open(config.evidence.log, OWNER).close()
    Guard(config.evidence.policy, f"{config.evidence.log}.uses", owner=OWNER.public_key).close()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), bt.ProtocolAbort("x"), MemoryError()])
def test_a_run_that_fails_releases_log_and_uses(config, tmp_path, monkeypatch, error):
    class Party:
        def __init__(self, *given, **more):
            raise error

    (tmp_path / "output").mkdir()
    monkeypatch.setattr(opening, "Party", Party)
    monkeypatch.setattr(_run, "check_rows", lambda *given: None)
    monkeypatch.setattr(_run, "check_folders", lambda *given: None)
    monkeypatch.setattr(Rows, "read", lambda config: None)
    with pytest.raises(type(error)) as caught:  # it keeps all frames, and what they name, alive
        _run.run_party(config)
    assert caught.value is error
    released(config)


def test_what_was_opened_before_a_fault_is_released(config, tmp_path):
    (tmp_path / "peer.pub").write_text("no key")
    with pytest.raises((bt.InvalidKey, ValueError)) as caught:
        opening.recorder_of(config, Certified.load(config.certificate, config.key, config.peer_certificate))
    released(config)
    assert caught.value


def test_uses_without_their_log_are_refused(config, tmp_path):
    identity = Certified.load(config.certificate, config.key, config.peer_certificate)
    opening.closed(opening.recorder_of(config, identity)[0])
    opening.closed(opening.recorder_of(config, identity)[0])
    (tmp_path / "log").unlink()
    with pytest.raises(bt.PolicyRefused, match=r"log of evidence .* is not.* Restore it") as caught:
        opening.recorder_of(config, identity)
    assert caught.value.clause == "store"
    assert not (tmp_path / "log").exists()


def test_a_job_whose_name_begins_as_one_in_the_log(config):
    """After `2026/1` there may be `2026`; what is in the log already is refused."""
    identity = Certified.load(config.certificate, config.key, config.peer_certificate)
    for job in ("2026/1", "2026"):
        given = replace(config, job=job)
        recorder, _ = opening.recorder_of(given, identity)
        recorder.log.append("state", by="host", task=job, hashes={"directory": bytes(32)}, details={"generation": 0})
        opening.closed(recorder)
        recorder, _ = opening.recorder_of(given, identity)  # it had ended before a step was kept
        recorder.finish("binning")
        opening.closed(recorder)
        with pytest.raises(ValueError, match=f"the job '{job}' is in .* already"):
            opening.recorder_of(given, identity)
