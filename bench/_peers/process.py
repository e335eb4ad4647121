"""The parent's end of a worker."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from pathlib import Path
from typing import Any

WORKER = Path(__file__).resolve().parent / "worker.py"
PATIENCE = 600.0  # seconds for one order

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLUETUSK_NUM_THREADS"), "1"
)


class WorkerError(Exception):
    """What went wrong in a worker, in one line."""


class Worker:
    """One library's process: one thread, by environment variables; each window reports the processor time it took."""

    def __init__(self, label: str, python: Path, adapter: str) -> None:
        self.label, self.adapter = label, adapter
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **ONE_THREAD},
        )
        self._buffer = b""

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Send an order and return its answer."""
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._line())
        except (OSError, EOFError) as err:
            raise WorkerError(f"the process of {self.label} ended: {self._last_words() or err}") from None
        if "error" in answer:
            raise WorkerError(" ".join(str(answer["error"]).split())[:300])
        return answer

    def _line(self) -> bytes:
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            if not select.select([descriptor], [], [], PATIENCE)[0]:
                self._process.kill()
                raise EOFError(f"no answer in {PATIENCE:.0f} s")
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise EOFError("no reason given")
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:300]

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()
