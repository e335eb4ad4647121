"""The tutorial of two parties, followed to the letter: its files, its commands, a kill -9 in the middle, a revocation.

Only sizes are smaller, and the port is a free one.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bluetusk.evidence import Policy
from bluetusk.vertical.party.config import Config

pytest.importorskip("grpc", reason="the two parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="there is no wheel of openmined-psi for this Python")

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorials" / "two-csv-files.md"
SMALLER = {
    "rows=7000": "rows=2000",
    "range(6000), range(6000, 7000)": "range(1200), range(1200, 2000)",
    "key_size = 3072": "key_size = 2048",
    "trees = 10": "trees = 1",
}
BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
GROUPS = re.compile(r"\b[0-9a-f]{4}(?:-[0-9a-f]{4}){15}\b")
TOGETHER = ("bluetusk party --config", "bluetusk score")  # commands of two sides that wait for each other


@dataclass
class Side:
    """One party's terminal."""

    folder: Path
    exports: list[str] = field(default_factory=list)

    def start(self, commands: str) -> subprocess.Popen[str]:
        self.exports += [line for line in commands.splitlines() if line.startswith("export ")]
        script = "\n".join(["set -e", *self.exports, commands])
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "PYTHONWARNINGS": "ignore"}
        with open(self.folder / "said", "w") as out:
            return subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.folder,
                env=env,
                stdout=out,
                stderr=out,
                text=True,
                start_new_session=True,
            )

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def run(self, commands: str) -> str:
        assert self.start(commands).wait(60) == 0, self.said()
        return self.said()


def together(sides: dict[str, Side], commands: dict[str, str], *, refused: bool = False, kill: bool = False) -> None:
    """Run a command of each side at the same time; one of them may die in the middle and is started again."""
    running = {name: sides[name].start(commands[name]) for name in commands}
    try:
        if kill:
            end = time.monotonic() + 120
            while "woe-binning" not in sides["network"].said():
                assert time.monotonic() < end, sides["network"].said()
                assert running["network"].poll() is None, sides["network"].said()
                time.sleep(0.02)
            os.killpg(running["network"].pid, signal.SIGKILL)
            running["network"].wait()
            running["network"] = sides["network"].start(commands["network"])
        for name, process in running.items():
            assert (process.wait(240) != 0) == refused, sides[name].said()
    finally:
        for process in running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.mark.slow
def test_followed_to_the_letter(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        changes = {**SMALLER, "7443": str(free.getsockname()[1])}
    text = TUTORIAL.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    sides = {name: Side(tmp_path / name) for name in ("bank", "network")}
    waiting: dict[str, str] = {}
    shown: dict[str, list[str]] = {}
    rounds = 0
    for language, title, body in BLOCK.findall(text):
        side, _, refused = title.partition(", ")
        if language != "sh":
            (tmp_path / title).write_text(body)
            if title == "deal.py":
                subprocess.run([sys.executable, "deal.py"], cwd=tmp_path, check=True)
        elif not any(word in body for word in TOGETHER):
            said = sides[side].run(body)
            if "--check" in body:
                assert said.splitlines()[-1].startswith("GOOD"), said
                check_init(text, sides[side], side)
            for name in re.findall(r"^bluetusk certs (\w+)", body, re.MULTILINE):
                shown[name] = GROUPS.findall(said)
            for name in re.findall(r"^bluetusk evidence fingerprint (\w+).cert.pem", body, re.MULTILINE):
                assert GROUPS.findall(said) == shown.pop(name)  # what two people compare by telephone
        else:
            waiting[side] = body
            if len(waiting) == 2:
                together(sides, waiting, refused=bool(refused), kill=rounds == 0)
                rounds += 1
                waiting = {}
                if rounds == 1:
                    check_run(tmp_path)
                elif rounds == 2:
                    check_scores(tmp_path, sides["bank"].said())
                else:
                    assert "refused" in sides["bank"].said() or "policy" in sides["bank"].said()
                    assert "revoked" in sides["network"].said()
    assert rounds == 3
    assert shown == {}  # both were compared
    assert "revoked" in sides["network"].said()
    assert json.loads((tmp_path / "bank" / "head.json").read_text())["size"] > 5


def check_init(text: str, side: Side, name: str) -> None:
    """The short way of step 5 writes files that are as good as those of the page."""
    (command,) = re.findall(rf"^(bluetusk party init .*--name {name} (?:.*\\\n)*.*)$", text, re.MULTILINE)
    files = "*.csv *.pem *.pub identity"
    side.run(f"mkdir short && cp {files} short/ && cd short && {command}")
    change = "s/trees = 10/trees = 1/; s/key_size = 3072/key_size = 2048/"
    side.run(f"cd short && sed -i '{change}' party.toml && bluetusk evidence policy sign policy.toml --key identity")
    said = side.run("cd short && bluetusk party --check --config party.toml")
    assert said.splitlines()[-1].startswith("GOOD"), said
    config, written = (Config.load(side.folder / file) for file in ("party.toml", "short/party.toml"))
    assert (written.role, written.connect, written.listen) == (config.role, config.connect, config.listen)
    assert (written.data.id, written.data.label) == (config.data.id, config.data.label)
    grant, short = (Policy.load(side.folder / file).grants[0] for file in ("policy.signed", "short/policy.signed"))
    assert (short.peer, set(short.purposes)) == (grant.peer, set(grant.purposes))


def check_run(folder: Path) -> None:
    bank, network = (json.loads((folder / name / "output" / "result.json").read_text()) for name in ("bank", "network"))
    assert bank["intersection"] == network["intersection"] > 900
    assert {"logistic_regression", "gradient_boosting"} <= set(bank)
    assert not {"logistic_regression", "gradient_boosting"} & set(network)
    assert "Bank alone" in (folder / "bank" / "output" / "report.html").read_text()
    assert not (folder / "network" / "output" / "scores.csv").exists()


def check_scores(folder: Path, said: str) -> None:
    """The saved halves score new merchants as those of the run scored the ones held back: none of them again."""
    with open(folder / "bank" / "output" / "scores.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    with open(folder / "bank" / "new_scores.csv", newline="") as file:
        new = list(csv.DictReader(file))
    with open(folder / "bank" / "new_customers.csv", newline="") as file:
        assert [line["id"] for line in new] == [line["merchant"] for line in csv.DictReader(file)]
    scored = [line for line in new if not line["reason"]]
    assert f"{len(scored)} of {len(new)} rows scored by logistic_regression and gradient_boosting" in said
    assert f"{len(new) - len(scored)} rows without a score: not at the other party" in said
    assert len(scored) > 500
    for model in ("logistic_regression", "gradient_boosting"):
        held = {line["id"]: float(line[model]) for line in lines if line["part"] == "test"}
        assert all(line[model] == "" for line in lines if line["part"] == "train")
        scores = {line["id"]: float(line[model]) for line in scored}
        assert not held.keys() & scores.keys()
        mean = [sum(found.values()) / len(found) for found in (held, scores)]
        assert abs(mean[0] - mean[1]) < 0.1
        assert len(set(scores.values())) > 3
    assert len({line["logistic_regression_points"] for line in scored}) > 20
