"""Finds Pythons and makes one virtual environment per peer, because their wheels want different ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parent / ".peers"


@dataclass(frozen=True)
class Peer:
    """One library: what it is called here, its adapter, what to install and on which Pythons, the best first."""

    label: str
    adapter: str
    module: str
    pythons: tuple[str, ...]
    requirements: tuple[str, ...]
    without_dependencies: tuple[str, ...] = ()


MODERN = ("3.12", "3.11", "3.13", "3.10")

PEERS: tuple[Peer, ...] = (
    Peer("HEU", "heu", "heu.numpy", ("3.10",), ("sf-heu==0.6.0b0",)),  # 0.5 has more wheels but is slower
    Peer("pypaillier", "pypaillier", "paillier", MODERN, ("pypaillier==0.8.0",)),
    Peer(
        "IPCL",
        "ipcl",
        "ipcl_python",
        ("3.8",),
        ("gmpy2", "pycryptodomex", "cachetools", "ruamel.yaml"),
        ("ipcl-python==2.0.0",),  # it pins a gmpy2 that has no wheel; it needs nothing but gmpy2's mpz
    ),
    Peer("FATE 2", "fate", "fate_utils.paillier", ("3.11", "3.10", "3.9", "3.8"), ("fate-utils==0.1.0",)),
    Peer("FATE 1", "rust_paillier", "rust_paillier", ("3.8", "3.9", "3.10", "3.11"), ("rust-paillier==0.1.0",)),
    Peer("phe", "phe", "phe", MODERN, ("phe==1.5.0", "gmpy2")),
    Peer(
        "TNO",
        "tno",
        "tno.mpc.encryption_schemes.paillier",
        MODERN,
        ("tno.mpc.encryption_schemes.paillier[gmpy]==4.1.0", "typing_extensions"),
    ),
)


class Unavailable(Exception):
    """Why a peer is left out."""


def candidates(version: str) -> Iterator[Path]:
    """Where a Python of this version may be: here, pyenv, the PATH."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield Path(sys.executable)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(root.glob(f"{version}.*/bin/python"), reverse=True)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and (path := Path(folder) / f"python{version}").exists():
            yield path


def works(python: Path, code: str) -> bool:
    """Whether this interpreter runs the code."""
    try:
        return subprocess.run([str(python), "-c", code], capture_output=True, timeout=120).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_python(versions: tuple[str, ...]) -> Path:
    """Return an interpreter of the first version that is here and can make environments."""
    for version in versions:
        check = f"import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
        for path in candidates(version):
            if works(path, check):
                return path
    wanted = " or ".join(versions)
    raise Unavailable(f"needs CPython {wanted}, and none is in pyenv or on the PATH")


def python_of(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


def prepare(peer: Peer, root: Path, say: Callable[[str], None]) -> Path:
    """Return the interpreter of the peer's environment; make it if it is not there or does not work.

    Raises
    ------
    Unavailable
        With the reason, for people.
    """
    folder = root / peer.adapter
    if works(python_of(folder), f"import numpy, {peer.module}"):
        return python_of(folder)
    base = find_python(peer.pythons)
    say(f"installing {peer.label}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = root / f"{peer.adapter}.log"
    with log.open("w") as out:

        def step(*command: str) -> None:
            if subprocess.run(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, timeout=1200).returncode:
                out.flush()
                raise Unavailable(f"{last_error(log)} (whole story: {log})")

        install = [str(python_of(folder)), "-m", "pip", "install", "-q", "--only-binary", ":all:"]
        step(str(base), "-m", "venv", str(folder))
        step(*install, "numpy", *peer.requirements)
        if peer.without_dependencies:
            step(*install, "--no-deps", *peer.without_dependencies)
    if not works(python_of(folder), f"import numpy, {peer.module}"):
        raise Unavailable(f"installed, but `import {peer.module}` fails ({python_of(folder)})")
    return python_of(folder)


def last_error(log: Path) -> str:
    """The last line of a log that looks like the reason."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    wrong = [line for line in lines if line.startswith("ERROR")]
    return (wrong or lines or ["no reason given"])[-1][:200]
