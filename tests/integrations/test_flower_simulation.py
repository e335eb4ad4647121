"""A simulation of Flower's, ten clients on Ray: strategies get the weighted mean, to the encoding's bound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("flwr needs CPython 3.11", allow_module_level=True)

pytestmark = pytest.mark.slow

APP = Path(__file__).with_name("flower_app")
NODES, VICTIM = 10, 3


def update(number):
    return np.random.default_rng(number).normal(size=1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("simulation")
    env = {
        **os.environ,
        "FLWR_HOME": str(made / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "PYTHONPATH": str(APP),
        "RAY_USAGE_STATS_ENABLED": "0",
        "XDG_STATE_HOME": str(made / "state"),
    }
    done = subprocess.run(
        [sys.executable, str(APP / "simulate.py")], cwd=made, env=env, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return made


def test_message_api(folder):
    told = json.loads((folder / "told.json").read_text())
    assert (told["error"], told["problems"], told["numbers"]) == (None, [], list(range(NODES)))
    weights = [10 + i for i in range(NODES)]
    assert told["weight"] == sum(weights)
    columns = zip(*(update(i).tolist() for i in range(NODES)), strict=True)
    sums = [sum(w * round(Fraction(x) * 2**20) for w, x in zip(weights, column, strict=True)) for column in columns]
    exact = [float(Fraction(s, sum(weights) * 2**20)) for s in sums]
    assert told["means"] == [exact] * NODES
    plain = np.average([update(i) for i in range(NODES)], axis=0, weights=weights)
    np.testing.assert_allclose(exact, plain, rtol=0, atol=2.0**-21 + 1e-15)


def test_older_api(folder):
    told = json.loads((folder / "older.json").read_text())
    rest = [i for i in range(NODES) if i != VICTIM]
    assert (told["error"], told["clients"], told["dtype"]) == (None, len(rest), "float32")
    assert told["weight"] == sum(10 + i for i in rest)
    (problem,) = told["problems"]
    assert "ClientAppException" in problem  # Ray's account of it
    plain = np.average([update(i).astype(np.float32) for i in rest], axis=0, weights=[10 + i for i in rest])
    # the encoding's bound, and float32 in the strategy's own mean
    np.testing.assert_allclose(told["mean"], plain, rtol=2.0**-21, atol=2.0**-21)
