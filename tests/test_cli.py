"""The command line as a user meets it: output, one-line errors with a remedy, exit status."""

from __future__ import annotations

import builtins
import dataclasses
import getpass
import importlib.util
import io
import json
import logging
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bluetusk import cli
from bluetusk.demo import report
from bluetusk.errors import ProtocolAbort
from bluetusk.paillier.keys import PrivateKey, PublicKey
from bluetusk.vertical.party import make_certificate

QUICK = ["demo", "banks", "--banks", "3", "--rows", "2000", "--key-size", "2048"]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command here; return status, output and errors."""
    try:
        status = cli.main(list(arguments))
    except SystemExit as end:
        status = int(end.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


# ------------------------------------------------------------------------------------------------------------- calls


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["demo"],
        ["keygen"],
        ["keygen", "a", "--bits", "1024"],
        ["keygen", "a", "--public", "a"],
        ["inspect"],
        ["bench", "--threads", "0"],
        ["demo", "banks", "--banks", "2"],
        ["demo", "banks", "--banks", "many"],
        ["demo", "banks", "--drop", "11"],
        ["demo", "banks", "--drop", "8"],
        ["demo", "banks", "--banks", "3", "--drop", "1"],
        ["demo", "banks", "--key-size", "1024"],
        ["demo", "banks", "--method", "magic"],
        ["demo", "banks", "--epsilon", "0"],
        ["demo", "banks", "--epsilon", "little"],
        ["demo", "banks", "--plot", "roc.txt"],
        ["demo", "banks", "--plot", "no/such/folder/roc.png"],
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    status, out, err = call(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert "--help`" in err


@pytest.mark.parametrize(
    "command", [[], ["demo"], ["demo", "banks"], ["keygen"], ["inspect"], ["selftest"], ["info"], ["bench"]]
)
def test_help_teaches(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    status, out, _ = call(capsys, *command, "--help")
    assert status == 0
    assert "bluetusk" in out
    if command not in (["demo"], ["selftest"], ["info"]):
        assert "examples:" in out


def test_failures_are_one_line_and_status_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    for arguments, remedy in (
        (["inspect", str(tmp_path / "absent")], "No such file"),
        (["inspect", str(table)], "neither a frame of bluetusk nor a public key as JSON"),
        (["demo", "banks", "--data", str(table)], "--data"),
        (["demo", "banks", "--data", str(tmp_path / "absent")], "--data"),
        (["demo", "banks", "--rows", "150", "--banks", "30"], "--rows"),
        (["demo", "banks", "--rows", "40000"], "--rows"),
    ):
        status, out, err = call(capsys, *arguments)
        assert (status, out) == (1, "")
        assert err.startswith("bluetusk: ")
        assert remedy in err
        assert err.count("\n") == 1


# -------------------------------------------------------------------------------------------------------------- keys


def test_keygen_writes_a_pair_and_never_over_another(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"seven quiet otters\r\n")
    key = str(tmp_path / "bank.key")
    status, out, err = call(capsys, "keygen", key, "--bits", "2048", "--passphrase-file", str(secret))
    assert status == 0
    assert "2048" in err  # the note on its strength
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    public = PublicKey.from_bytes(Path(key + ".pub").read_bytes())
    assert public.fingerprint_words in out
    with PrivateKey.load(key, "seven quiet otters") as private:
        assert private.public_key == public

    before = Path(key).read_bytes()
    for arguments in (
        ["keygen", key, "--passphrase-file", str(secret)],
        ["keygen", str(tmp_path / "other"), "--public", key, "--passphrase-file", str(secret)],
    ):
        status, _, err = call(capsys, *arguments)
        assert status == 1
        assert "not overwritten" in err
    assert Path(key).read_bytes() == before
    assert not (tmp_path / "other").exists()

    monkeypatch.setenv("BLUETUSK_PASSPHRASE", "from the environment")
    json_key = tmp_path / "public.json"
    other = str(tmp_path / "json.key")
    arguments = ["keygen", other, "--bits", "2048", "--format", "json", "--public", str(json_key)]
    assert call(capsys, *arguments)[0] == 0
    with PrivateKey.load(other, "from the environment") as private:
        assert PublicKey.from_json(json_key.read_text()) == private.public_key


def test_keygen_without_a_passphrase_or_folder_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BLUETUSK_PASSPHRASE", raising=False)
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115
    key = str(tmp_path / "bank.key")
    empty = tmp_path / "empty"
    empty.write_bytes(b"\n")
    for arguments, remedy in (
        (["keygen", key], "--passphrase-file"),
        (["keygen", key, "--passphrase-file", str(empty)], "is empty"),
        (["keygen", key, "--passphrase-file", str(tmp_path / "absent")], "cannot read the passphrase"),
        (["keygen", str(tmp_path / "no" / "bank.key")], "make it first"),
    ):
        status, out, err = call(capsys, *arguments)
        assert (status, out) == (1, "")
        assert remedy in err
        assert err.count("\n") == 1
    sys.stdin.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


def test_keygen_asks_twice(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLUETUSK_PASSPHRASE", raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    key = str(tmp_path / "bank.key")
    for answers, message in ((["one", "two"], "differ"), ([""], "empty passphrase")):
        left = iter(answers)
        monkeypatch.setattr(getpass, "getpass", lambda prompt, left=left: next(left))
        status, _, err = call(capsys, "keygen", key)
        assert status == 1
        assert message in err
    assert not os.path.exists(key)


def test_inspect_prints_and_prints_json(capsys: pytest.CaptureFixture[str], tmp_path: Path, keypair: tuple) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(keypair[0].to_bytes())
    status, out, _ = call(capsys, "inspect", str(path))
    assert status == 0
    assert keypair[0].fingerprint_words in out
    status, out, _ = call(capsys, "inspect", str(path), "--json")
    assert json.loads(out)["fingerprint"] == keypair[0].fingerprint_words


# ----------------------------------------------------------------------------------------------------------- machine


def test_info_and_selftest(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "info", "--json")
    assert status == 0
    assert json.loads(out)["audited"] is False
    status, out, _ = call(capsys, "info")
    assert "backend" in out
    status, out, _ = call(capsys, "selftest")
    assert status == 0
    assert out.endswith("all tests passed\n")


def test_bench_names_every_operation(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from bluetusk import _bench

    monkeypatch.setattr(_bench, "_AT_LEAST", 0.0)
    monkeypatch.setattr(_bench, "_BATCH", 4)
    monkeypatch.setattr(_bench, "_LONG", 32)
    monkeypatch.setattr(_bench, "_MATRIX", (2, 5))
    monkeypatch.setattr(_bench, "_POWERS", 2)
    status, out, _ = call(capsys, "bench", "--key-size", "2048", "--json")
    assert status == 0
    told = json.loads(out)
    names = " ".join(figure["operation"] for figure in told["figures"])
    for word in ("encrypt", "owner", "packed", "decrypt", "c + c", "sum", "bincount", "c * k", "2 x 5 matrix @"):
        assert word in names
    for word in ("key pair", "load", "to_bytes", "read", "powers modulo 4096", "gmpy2"):
        assert word in names
    assert {figure["unit"] for figure in told["figures"]} == {"key", "ciphertext", "value", "multiply-add", "power"}
    assert all(figure["seconds"] > 0 for figure in told["figures"])
    status, out, _ = call(capsys, "bench", "--key-size", "2048")
    assert "2048 bits" in out


def test_bench_compares_threads_only_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    from bluetusk import _bench

    monkeypatch.setattr(_bench, "_AT_LEAST", 0.0)
    for name, small in {"_BATCH": 4, "_LONG": 8, "_MATRIX": (1, 2), "_POWERS": 1}.items():
        monkeypatch.setattr(_bench, name, small)
    alone, together = ({figure.operation for figure in _bench.measure(2048, threads)} for threads in (1, 2))
    assert together - alone == {"encrypt, one thread", "decrypt, one thread"}
    assert alone < together


# -------------------------------------------------------------------------------------------------------------- demo


def stronger_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demo take a third of the rounds."""
    from bluetusk.demo import runner

    quick = dataclasses.make_dataclass("Plan", [("penalty", float, 0.01)], bases=(runner.Plan,), frozen=True)
    monkeypatch.setattr(runner, "Plan", quick)


def test_demo_prints_one_object_and_draws(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stronger_penalty(monkeypatch)
    picture = tmp_path / "gain.png"
    status, out, err = call(capsys, *QUICK, "--json", "--plot", str(picture))
    assert status == 0
    told = json.loads(out)
    assert told["method"] == "paillier"
    assert told["privacy"] is None
    assert [each["method"] for each in told["comparison"]] == ["paillier", "secagg", "secagg+dp"]
    encrypted, masked, noisy = told["comparison"]
    assert (
        encrypted["auc"] == masked["auc"] == told["auc"]["federated"]
    )  # the same sums, so the same model, bit for bit
    assert encrypted["sums"] == masked["sums"] == told["rounds"] > noisy["sums"]
    assert encrypted["epsilon"] is masked["epsilon"] is None
    assert 0.99 < noisy["epsilon"] <= 1.0
    for each in told["comparison"]:
        assert 0 < each["bank_bytes"] < each["bytes"]
        assert each["cpu_seconds"] > 0
        assert each["wall_seconds"] > 0
    auc = told["auc"]
    assert len(auc["alone"]) == len(auc["alone_own"]) == 3
    between = auc["intervals"]
    for kind in ("alone", "alone_own", "federated_own"):
        assert all(low < value < high for value, (low, high) in zip(auc[kind], between[kind], strict=True))
    assert between["federated"][0] < auc["federated"] < between["federated"][1]
    assert encrypted["auc_interval"] == between["federated"]
    assert abs(auc["federated"] - auc["pooled"]) <= 0.0005
    assert auc["federated"] > 0.7
    assert told["coefficient_difference"] <= 1e-3
    assert told["bins_equal"] is True
    assert told["restarts"] == []
    assert {role for role, _ in told["usage"].items()} == {"key holder", "aggregator", "banks together"}
    assert told["usage"]["banks together"]["training"]["bytes_sent"] > 0
    assert "training" in err
    assert "for comparison, secagg: training" in err
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_demo_with_dropped_banks_gives_the_model_of_the_rest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stronger_penalty(monkeypatch)
    arguments = ["demo", "banks", "--banks", "5", "--rows", "2000", "--key-size", "2048", "--drop", "2", "--quiet"]
    status, out, err = call(capsys, *arguments, "--threads", "1", "--seed", "3", "--no-compare")
    assert status == 0
    assert "exact model of the remaining 3 banks" in " ".join(out.split())
    assert out.count("(lost)") == 2
    text = " ".join(out.split())
    in_the_model = re.search(r"banks and rows in the model │ 3 and (\d+)", text)
    in_the_table = re.search(r"│ federated │ (\d+) \+", text)
    assert in_the_model is not None
    assert in_the_table is not None
    assert in_the_table[1] == in_the_model[1]  # of those who stayed, not of all
    assert "did not see" in out
    assert "training\n" not in err
    difference = next(line for line in out.splitlines() if "largest difference" in line)
    assert float(difference.split("│")[2]) <= 1e-3
    assert "beside each other" not in out


def test_demo_with_noise_says_what_it_protects_and_what_it_costs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "gain.svg"
    arguments = ["demo", "banks", "--banks", "4", "--rows", "2000", "--drop", "1", "--quiet", "--plot", str(picture)]
    status, out, _ = call(capsys, *arguments, "--method", "secagg+dp", "--epsilon", "8", "--no-compare")
    assert status == 0
    text = " ".join(out.split())
    assert re.search(r"│ epsilon, delta │ 8, 1e-06 │ │ for │ one customer's row, there or not │", text)
    assert "sums unmasked │ 1 of counts, 10 of gradients" in text
    assert "is (8, 1e-06)-differentially private for every single row" in text
    assert "The training went on with the rest" in text
    assert "key holder" not in out
    assert picture.read_bytes().startswith(b"<?xml")
    assert "3 and a number that no role knows" in text


def test_demo_that_would_leave_too_few_banks_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(capsys, *QUICK, "--drop", "1", "--quiet")
    assert (status, out) == (2, "")
    assert "at most 0 of 3 may vanish: give a smaller --drop or more --banks" in err
    assert err.count("\n") == 1


def test_a_demo_that_fails_midway_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bluetusk.demo import runner

    def run(plan: Any, show: Any) -> None:
        raise ProtocolAbort("the sum holds 2 clients,\nat least 3 are needed", round=4)

    monkeypatch.setattr(runner, "run", run)
    status, out, err = call(capsys, *QUICK, "--quiet")
    assert (status, out) == (1, "")
    assert err.splitlines()[1:] == ["bluetusk: round 4: the sum holds 2 clients, at least 3 are needed"]


def test_demo_without_its_extra_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name))
    status, out, err = call(capsys, *QUICK)
    assert (status, out) == (1, "")
    assert err == 'bluetusk: the demo needs sklearn: pip install "bluetusk[demo]"\n'


def test_tables_need_no_rich(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_rich(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("rich"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    report.show(
        [
            report.Table("Title", ["bank", "AUC"], [["bank-01", "0.7"], ["b", "0.75"]], note="a note"),
            report.Table("Said", ["role", "saw"], [["aggregator", "nothing"]], text=True),
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == ["Title", "=====", "bank      AUC", "bank-01   0.7", "b        0.75", "a note"]
    assert lines[-2:] == ["aggregator", "  saw: nothing"]


def test_ctrl_c_ends_the_demo_and_all_its_processes() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bluetusk", *QUICK, "--key-size", "3072"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    while "training" not in process.stderr.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    start = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - start < 5
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "bluetusk: interrupted"
    with pytest.raises(ProcessLookupError):  # nobody of the session is left
        os.killpg(process.pid, 0)


def test_python_m_bluetusk_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "bluetusk", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("bluetusk ")


@pytest.mark.parametrize("words", [["info"], ["info", "--json"], ["selftest"], ["--help"], ["no-such-command"]])
def test_a_closed_standard_output_is_told(words: list[str]) -> None:
    command = [sys.executable, "-m", "bluetusk", *words]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: os.close(1))
    told = "bluetusk: standard output is closed: redirect it to a file or to /dev/null\n"
    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.parametrize("closed", [0, 2])
def test_other_streams_may_be_closed(closed: int, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bluetusk", *words]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE if closed == 0 else None}
        return subprocess.run(command, text=True, preexec_fn=lambda: os.close(closed), **streams)

    done = run("info", "--json")
    assert (done.returncode, done.stderr or "") == (0, "")
    assert json.loads(done.stdout)["audited"] is False
    done = run("keygen", str(tmp_path / "key"))  # asks the standard input for a passphrase
    assert done.returncode == 1
    assert (done.stderr or "").count("\n") == (closed == 0)
    done = run("inspect", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (1, "")  # where nobody reads errors, they do not go among the results


SCRIPT = "import sys; from bluetusk.cli import main; sys.exit(main())"  # what an installer makes of the entry point


@pytest.mark.parametrize("start", ["-m", "script"])
@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("BLUETUSK_BACKEND", "avx9", "unset it, or set it to 'mpn'"),
        ("BLUETUSK_NUM_THREADS", "abc", "must be 1 to 1024"),
        ("BLUETUSK_NUM_THREADS", "1" * 5000, "must be 1 to 1024"),
    ],
)
def test_a_wrong_environment_is_one_line_and_status_1(
    tmp_path: Path, start: str, variable: str, value: str, remedy: str
) -> None:
    script = tmp_path / "bluetusk"
    script.write_text(SCRIPT)
    command = [sys.executable, *(["-m", "bluetusk"] if start == "-m" else [str(script)]), "info"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), variable: value}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("bluetusk: ")
    assert variable in done.stderr
    assert remedy in done.stderr
    assert done.stderr.count("\n") == 1


def test_elsewhere_a_failed_import_stays_an_import_error() -> None:
    code = "try:\n    import bluetusk\nexcept ImportError as error:\n    print('caught', error)"
    env = {**os.environ, "BLUETUSK_BACKEND": "avx9"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.startswith("caught the environment variable BLUETUSK_BACKEND is 'avx9'")


# ----------------------------------------------------------------------------------------- misspelt, absent, unreadable


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("pary --config x", "did you mean party?"),
        ("Inspect x", "did you mean inspect?"),
        ("party --confg x", "there is no option --confg, did you mean --config?"),
        ("party --chek --config x", "there is no option --chek, did you mean --check?"),
        ("party inti", "did you mean init?"),
        ("evidence polcy", "did you mean policy?"),
        ("evidence policy sgin x", "did you mean sign?"),
        ("evidence policy sign x --kay y", "there is no option --kay, did you mean --key?"),
        ("inspect x --jsn", "there is no option --jsn, did you mean --json?"),
    ],
)
def test_a_misspelt_word_is_answered_with_what_it_resembles(
    capsys: pytest.CaptureFixture[str], words: str, meant: str
) -> None:
    status, _, err = call(capsys, *words.split())
    assert status == 2
    assert meant in err
    assert err.count("\n") == 1
    status, _, err = call(capsys, "zzz" if "inspect x" not in words else "inspect", "--zzz")
    assert "did you mean" not in err


def test_a_misspelt_clause_or_setting_is_answered_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    policy, party = tmp_path / "policy.toml", tmp_path / "party.toml"
    for text, meant in (
        ("owner = 'a'\nseral = 1\ngrants = []", "'seral'; did you mean serial?"),
        ("owner = 'a'\nserial = 1\n[[grants]]\nid = 'g'\npurpose = []", "'purpose'; did you mean purposes?"),
    ):
        policy.write_text(text)
        status, _, err = call(capsys, "evidence", "policy", "show", str(policy))
        assert status == 1
        assert meant in err
    for text, meant in (
        ("[modle]\ntrees = 1\n[data]\nfile = 'x'\n[evidence]\n", "modle is not known here; did you mean model?"),
        ("evidence = 'none'\n[data]\nfiel = 'x'", "data.fiel is not known here; did you mean file?"),
        ("evidence = 'none'\n[data]\nfile = 'x'\n[model]\nmin_row = 50", "did you mean min_rows?"),
    ):
        party.write_text(text)
        _, out, err = call(capsys, "party", "--check", "--config", str(party))
        assert meant in out
        if "[modle]" not in text:
            _, _, err = call(capsys, "party", "--config", str(party))
            assert meant in err


READS = [  # {} stands for the file that cannot be read
    ["inspect", "{}"],
    ["party", "--config", "{}"],
    ["party", "--check", "--config", "{}"],
    ["party", "init", "--role", "host", "--name", "a", "--peer", "b", "--data", "{}", "--id", "id", "--yes"],
    ["blacklist", "ask", "--config", "{}"],
    ["blacklist", "serve", "--config", "{}"],
    ["keygen", "HERE/key", "--passphrase-file", "{}"],
    ["certs", "a", "--out", "HERE", "--passphrase-file", "{}"],
    ["demo", "banks", "--data", "{}"],
    ["evidence", "keygen", "HERE/key", "--passphrase-file", "{}"],
    ["evidence", "fingerprint", "{}"],
    ["evidence", "policy", "show", "{}"],
    ["evidence", "policy", "sign", "{}", "--key", "HERE/secret"],
    ["evidence", "policy", "sign", "HERE/policy.toml", "--key", "{}", "--passphrase-file", "HERE/secret"],
    ["evidence", "verify", "{}"],
    ["evidence", "verify", "{}", "--key", "{}"],
    ["evidence", "show", "{}"],
    ["evidence", "head", "{}"],
    ["evidence", "replay", "{}", "--passphrase-file", "HERE/secret"],
    ["evidence", "audit", "{}", "--passphrase-file", "HERE/secret"],
    ["evidence", "audit", "HERE/secret", "--passphrase-file", "{}"],
    ["evidence", "audit", "HERE/secret", "--passphrase-file", "HERE/secret", "--labels", "{}"],
]


@pytest.mark.parametrize("what", ["absent", "folder", "forbidden"])
def test_a_file_that_cannot_be_read_is_named_without_error_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.delenv("BLUETUSK_PASSPHRASE", raising=False)
    (tmp_path / "secret").write_text("seven quiet otters\n")
    (tmp_path / "policy.toml").write_text("owner = 'a'\nserial = 1\ngrants = []\n")
    path = tmp_path / what
    if what == "folder":
        path.mkdir()
    if what == "forbidden":
        path.write_text("{}")

        def closed(real: Any) -> Any:
            def opened(file: Any, *args: Any, **kwargs: Any) -> Any:
                if isinstance(file, str | os.PathLike) and os.fspath(file) == str(path):
                    raise PermissionError(13, os.strerror(13), str(path))
                return real(file, *args, **kwargs)

            return opened

        for module, name in ((builtins, "open"), (io, "open"), (os, "open")):
            monkeypatch.setattr(module, name, closed(getattr(module, name)))
        if accessor := getattr(pathlib, "_NormalAccessor", None):  # where CPython 3.10 keeps io.open
            monkeypatch.setattr(accessor, "open", staticmethod(closed(accessor.open)))
    for words in READS:
        words = [word.replace("{}", str(path)).replace("HERE", str(tmp_path)) for word in words]
        status, out, err = call(capsys, *words)
        told = out + err
        assert status != 0, words
        assert "[Errno" not in told, (words, told)
        assert "Traceback" not in told, (words, told)
        assert err.count("\n") <= 1, (words, told)
        assert what in told, (words, told)


@pytest.mark.parametrize(("number", "said"), [(28, "the disk|No space left"), (30, "Read-only file system")])
def test_a_disk_that_refuses_is_told_without_error_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    (tmp_path / "secret").write_text("seven quiet otters\n")
    (tmp_path / "data.csv").write_text("id,a\n1,2\n")
    (tmp_path / "rules.toml").write_text("owner = 'a'\nserial = 1\ngrants = []\n")
    secret = ["--passphrase-file", str(tmp_path / "secret")]
    assert call(capsys, "evidence", "keygen", str(tmp_path / "owner"), *secret)[0] == 0

    def refused(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refused)
    init = [
        "party",
        "init",
        "--role",
        "host",
        "--name",
        "a",
        "--peer",
        "b",
        "--id",
        "id",
        "--listen",
        "127.0.0.1:1",
        "--yes",
    ]
    for words in (
        ["keygen", str(tmp_path / "key"), *secret],
        ["certs", "a", "--out", str(tmp_path), *secret],
        ["evidence", "keygen", str(tmp_path / "id"), *secret],
        ["evidence", "policy", "sign", str(tmp_path / "rules.toml"), "--key", str(tmp_path / "owner"), *secret],
        [*init, "--data", str(tmp_path / "data.csv"), "--folder", str(tmp_path)],
    ):
        before = sorted(path.name for path in tmp_path.iterdir())
        status, out, err = call(capsys, *words)
        assert status != 0, words
        assert "[Errno" not in out + err, (words, err)
        assert re.search(said, err), (words, err)
        assert str(tmp_path) in err, (words, err)
        assert sorted(path.name for path in tmp_path.iterdir()) == before, words


def test_a_taken_port_is_told_without_error_numbers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    for name in ("a", "b"):
        make_certificate(name, tmp_path)
    rows = "".join(f"{k},{k % 97}\n" for k in range(600))
    (tmp_path / "data.csv").write_text("id,x\n" + rows)
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        there.listen()
        address = f"127.0.0.1:{there.getsockname()[1]}"
        (tmp_path / "party.toml").write_text(
            f"""role = "host"\njob = "j"\ncertificate = "a.cert.pem"\nkey = "a.key.pem"
peer_certificate = "b.cert.pem"\nlisten = "{address}"\nhalves = "open"\nevidence = "none"\n[data]\nfile = "data.csv"
"""
        )
        config = ["--config", str(tmp_path / "party.toml")]
        status, out, err = call(capsys, "party", "--check", *config)
        assert (status, address in out, "[Errno" in out + err) == (1, True, False)
        status, out, err = call(capsys, "party", *config, "--progress", "none")
        assert status != 0
        assert address in err
        assert "[Errno" not in err


def test_exit_statuses_are_those_of_the_page_and_of_the_unit():
    from bluetusk.cli._exits import KINDS, PERMANENT

    root = Path(__file__).parents[1]
    page = (root / "docs/how-to/operate.md").read_text(encoding="utf-8")
    assert {kind: int(n) for n, kind in re.findall(r"^\| (\d+) \| (\w+) \|", page, re.M)} == KINDS
    unit = (root / "packaging/bluetusk-party@.service").read_text(encoding="utf-8")
    prevented = re.search(r"^RestartPreventExitStatus=(.*)$", unit, re.M)
    assert prevented is not None
    assert prevented[1].split() == [str(KINDS[kind]) for kind in PERMANENT]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, None), (signal.SIGTERM, 143)])
def test_a_signal_whose_exception_python_drops_ends_the_run_at_its_next_step(
    monkeypatch: pytest.MonkeyPatch, number: int, status: int | None
) -> None:
    """Python prints an exception of a finalizer, also that of a signal's handler, and goes on."""
    from bluetusk.cli._exits import quick_second_signal
    from bluetusk.cli._watching import Watch

    class Finalized:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)
            for _ in range(10):  # where the handler runs
                pass

    dropped: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: dropped.append(args.exc_type))
    watch = Watch("j", "guest", None)
    with quick_second_signal():
        Finalized()
        assert dropped, "the exception came through: nothing is tried here"
        with pytest.raises((KeyboardInterrupt, SystemExit)) as raised:
            watch.progress("binning", 1, 3)
    assert getattr(raised.value, "code", None) == status
    watch.progress("binning", 2, 3)  # the next command in this process is not stopped


def test_a_log_whose_folder_goes_ends_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines meanwhile are lost; it is written on when the folder is back."""
    from bluetusk.cli._watching import _file

    folder = tmp_path / "logs"
    folder.mkdir()
    log = logging.getLogger("test of the log")
    log.setLevel(logging.INFO)
    log.propagate = False
    handler = _file(str(folder / "x.log"))
    log.addHandler(handler)
    try:
        log.info("before")
        folder.rename(tmp_path / "away")
        log.info("lost")
        log.info("lost")
        folder.mkdir()
        log.info("after")
        log.info("after")
    finally:
        log.removeHandler(handler)
        handler.close()
    assert (tmp_path / "away" / "x.log").read_text() == "before\n"
    assert (folder / "x.log").read_text() == "after\nafter\n"
    assert (folder / "x.log").stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().err == ""
