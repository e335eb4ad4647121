"""Flower as it is deployed: a SuperLink and ten SuperNodes on loopback, one of them killed in the middle of a round."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("flwr needs CPython 3.11", allow_module_level=True)

pytestmark = pytest.mark.slow

APP = Path(__file__).with_name("flower_app")
NODES, VICTIM = 10, 3
PATIENCE = 150.0  # seconds for anything that must happen; nothing waits so long unless it is broken


def free_ports(n):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


class Processes:
    """Flower's programs, each the leader of a process group, with their output in files."""

    def __init__(self, folder):
        self.folder, self.started = folder, []
        self.bin = tempfile.mkdtemp(prefix="bluetusk-")  # a socket's path must be short
        shutil.copytree(APP, folder / "app")
        (folder / "flwr").mkdir()
        path = [self.bin, str(Path(sys.executable).parent), os.environ["PATH"]]
        self.env = {
            **os.environ,
            "FLWR_HOME": str(folder / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "XDG_STATE_HOME": str(folder / "state"),
            "PATH": os.pathsep.join(path),
        }
        self.start("forks.log", sys.executable, str(APP / "forks.py"), self.bin)
        self.until("the first import of Flower", lambda: "ready" in self.text("forks.log"))

    def start(self, name, *command):
        program = shutil.which(command[0], path=self.env["PATH"])
        with open(self.folder / name, "wb") as out:
            made = subprocess.Popen(
                [program, *command[1:]], env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, process_group=0,
            )  # fmt: skip
        self.started.append(made)
        return made

    def text(self, name):
        return (self.folder / name).read_text(errors="replace")

    def until(self, what, is_so):
        end = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > end:
                logs = [f"== {path.name}\n{self.text(path.name)[-3000:]}" for path in self.folder.glob("*.log")]
                pytest.fail(f"{what} did not happen in {PATIENCE} s\n" + "\n".join(logs))
            time.sleep(0.2)

    def stop(self):
        self.started[0].terminate()  # it kills all that it forked
        self.started[0].wait()
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.bin)


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path)
    yield made
    made.stop()


def test_ten_supernodes_one_killed_in_the_middle_of_a_round(processes, tmp_path):
    link, *ports = free_ports(NODES + 1)
    (tmp_path / "flwr" / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{link}"\ninsecure = true\n'
    )
    processes.start(
        "link.log", "flower-superlink", "--insecure", "--disable-runtime-dependency-installation",
        "--host", "127.0.0.1", "--port", str(link),
    )  # fmt: skip
    processes.until("the start of the SuperLink", lambda: "Uvicorn running" in processes.text("link.log"))
    nodes = [
        processes.start(
            f"node-{i}.log", "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{link}", "--port", str(port),
            "--node-config", f"partition-id={i} num-partitions={NODES}",
        )
        for i, port in enumerate(ports)
    ]  # fmt: skip
    processes.until("that all nodes are there", lambda: processes.text("link.log").count("Activated node_id") == NODES)

    config = f'nodes={NODES} victim={VICTIM} folder="{tmp_path}"'
    run = processes.start("run.log", "flwr", "run", "app", "here", "--run-config", config)
    processes.until("the middle of the round", (tmp_path / "lingering").exists)
    victim = nodes[VICTIM]
    victim.wait()  # what asked for the fork is gone, the SuperNode is in its group
    assert group_lives(victim.pid)
    os.killpg(victim.pid, signal.SIGKILL)
    processes.until("the end of the victim", lambda: not group_lives(victim.pid))
    processes.until("the end of the run", (tmp_path / "told.json").exists)

    assert run.wait(60) == 0
    told = json.loads((tmp_path / "told.json").read_text())
    rest = [i for i in range(NODES) if i != VICTIM]
    assert (told["error"], told["selected"], told["numbers"]) == (None, NODES, rest)
    assert told["weight"] == sum(10 + i for i in rest)
    assert told["problems"] == ["masked: did not answer"]
    updates = [np.random.default_rng(i).normal(size=1000).tolist() for i in rest]
    sums = [
        sum((10 + i) * round(Fraction(x) * 2**20) for i, x in zip(rest, column, strict=True))
        for column in zip(*updates, strict=True)
    ]
    exact = [float(Fraction(s, told["weight"] * 2**20)) for s in sums]
    assert told["means"] == [exact] * len(rest)
    journals = sorted(len(path.read_text().splitlines()) for path in (tmp_path / "state").rglob("*.journal"))
    assert journals == [1] + [3] * len(rest)  # the victim started; the others started, masked, answered
