"""``bluetusk demo credit``: two real processes, one joint model, logs that verify; the command line around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bluetusk.cli import main
from bluetusk.errors import InvalidKey
from bluetusk.evidence import Guard, read_public_key

pytest.importorskip("grpc", reason="the two parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="there is no wheel of openmined-psi for this Python")


@pytest.mark.slow
def test_the_whole_story(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--rows", "2000", "--epochs", "1", "--trees", "2", "--key-size", "2048", "--json"]
    paths = [tmp_path / "roc.png", tmp_path / "report.html", tmp_path / "case"]
    options = ["--plot", str(paths[0]), "--report", str(paths[1]), "--keep", str(paths[2])]
    assert main(["demo", "credit", *arguments, *options]) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert 1650 < found["intersection"] < 1770  # of 2000 the bank has 90 %, the network 95 %
    for name in ("logistic_regression", "gradient_boosting"):
        model = found[name]
        # 500 rows of test, another split in every run: pooled less alone is 0.14 +- 0.03 over 40 splits
        assert model["joint"] > model["guest_alone"] + 0.02
        assert abs(model["joint"] - model["pooled"]) < 0.1  # one epoch, two trees
        assert 0 < model["ks"] < 1
        for kind in ("guest_alone", "joint", "pooled", "ks"):
            low, high = model[f"{kind}_interval"]
            assert 0 <= low < model[kind] < high <= 1
        assert model["seconds"] > 0
        assert model["bytes"] > 10_000
    assert found["evidence"]["verified"] is True
    assert found["evidence"]["records"] > 20
    assert "intersect: step" in err
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert "Joint gradient boosting" in paths[1].read_text()
    for name in ("bank", "network"):
        home = paths[2] / name
        assert {"binning.bt", "logistic_regression.bt", "gradient_boosting.bt"} <= {
            p.name for p in (home / "output").iterdir()
        }
        head = ["--key", str(home / "identity.pub")]
        assert main(["evidence", "verify", str(home / "evidence.log"), *head]) == 0
    for owner, peer, role in (("bank", "network", "host"), ("network", "bank", "guest")):
        # an owner's guard has counted at least what the peer's meter says that it learned
        home = paths[2] / owner
        with Guard(
            home / "policy.signed", home / "evidence.log.uses", owner=read_public_key(home / "identity.pub")
        ) as guard:
            (counted,) = guard.learned().values()
        told = json.loads((paths[2] / peer / "output" / "result.json").read_text())["learned"]
        assert told == found["learned"][role]
        assert counted["sums"] >= told["sums"]
        assert counted["bits"] >= told["bits"]
    host = json.loads((paths[2] / "network" / "output" / "result.json").read_text())
    assert "logistic_regression" not in host  # a host learns no score
    assert not (paths[2] / "network" / "output" / "scores.csv").exists()
    assert host["evidence"]["meter"]["guest/gradient_boosting"]["rows"] == host["train"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rows", "10"], "--rows"),
        (["--epochs", "0", "--trees", "0"], "nothing to train"),
        (["--plot", "roc.gif"], "--plot"),
        (["--report", "absent/report.html"], "--report"),
    ],
)
def test_wrong_calls(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "credit", *arguments])
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_party_that_cannot_start_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "party.toml"
    config.write_text('job = "x"\n')
    assert main(["party", "--role", "host", "--config", str(config)]) == 1
    assert "[data] is missing" in capsys.readouterr().err


def test_certs(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is under a passphrase unless told otherwise, and opens under it alone."""
    from bluetusk.vertical.party import Identity

    monkeypatch.delenv("BLUETUSK_PASSPHRASE", raising=False)
    assert main(["certs", "bank", "--out", str(tmp_path)]) == 1
    assert "no passphrase: give --passphrase-file FILE" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "secret").write_text("correct horse\n")
    where = ["--out", str(tmp_path), "--address", "net.example.org"]
    assert main(["certs", "bank", *where, "--passphrase-file", str(tmp_path / "secret")]) == 0
    out = capsys.readouterr().out
    assert "fingerprint" in out
    assert "ENCRYPTED" in (tmp_path / "bank.key.pem").read_text()
    assert main(["certs", "network", *where, "--no-passphrase"]) == 0
    assert "not encrypted" in capsys.readouterr().out
    bank, network = ([tmp_path / f"{name}.{end}.pem" for end in ("cert", "key")] for name in ("bank", "network"))
    held = Identity.load(*bank, network[0], passphrase="correct horse")
    assert b"ENCRYPTED" not in held.key
    assert len(held.state_key()) == 32
    Identity.load(*network, bank[0])
    Identity.load(*network, bank[0], passphrase="not needed")
    for wrong, said in ((None, "set the environment variable BLUETUSK_PASSPHRASE"), ("another", "does not open")):
        with pytest.raises(InvalidKey, match=said):
            Identity.load(*bank, network[0], passphrase=wrong)
    monkeypatch.setenv("BLUETUSK_PASSPHRASE", "correct horse")
    assert (tmp_path / "bank.key.pem").exists()
    assert main(["certs", "bank", "--out", str(tmp_path)]) == 1
    assert "never overwritten" in capsys.readouterr().err
