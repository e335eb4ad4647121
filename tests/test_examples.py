"""The scripts in examples/ run and say what their comments say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_every_script_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"encrypted_gradients.py", "federated_sum.py"}


def test_encrypted_gradients(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "encrypted_gradients.py"), run_name="__main__")
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:2] == ["largest", "error:"]
    assert float(last[2]) <= float(last[-1])


def test_federated_sum(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "federated_sum.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert out.count("Accepted(") == 3
    assert "duplicate" in out
    assert "clients ('east', 'north', 'south') weight 600 mean [0.23333333" in out
