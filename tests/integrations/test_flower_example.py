"""examples/flower: the app trains the model that the same banks get without secure aggregation."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("flwr needs CPython 3.11", allow_module_level=True)

import tomllib

FOLDER = Path(__file__).parents[2] / "examples" / "flower"


def test_ten_banks(make_grid, tmp_path, monkeypatch, capsys):
    from flwr.app import Context, RecordDict

    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.chdir(tmp_path)
    from credit import client_app, server_app, task

    monkeypatch.setattr(task, "load", functools.cache(task.load))  # sixty times the same file
    config = tomllib.loads((FOLDER / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    config["num-server-rounds"] = 2
    grid = make_grid(client_app.app, 10)
    for node, context in grid.contexts.items():
        context.node_config["partition-id"] = node - 1
        context.run_config.update(config)
    server_app.app(grid, Context(run_id=7, node_id=1000, node_config={}, state=RecordDict(), run_config=config))

    banks = [task.bank_rows(i, 10) for i in range(10)]
    rows = [len(bank[1]) for bank in banks]
    model = task.initial_model()
    for _ in range(2):
        trained = [task.fit(model, x, y) for x, y, _, _ in banks]
        model = [np.average(part, axis=0, weights=rows) for part in zip(*trained, strict=True)]
    made = np.load("model.npz")
    np.testing.assert_allclose(made["weights"], model[0], rtol=0, atol=2.0**-19)
    np.testing.assert_allclose(made["intercept"], model[1], rtol=0, atol=2.0**-19)
    assert capsys.readouterr().out.splitlines() == [
        f"round {i}: 10 banks in the sum, {sum(rows)} rows, exact" for i in (1, 2)
    ]
    tests = task.auc(model, np.concatenate([b[2] for b in banks]), np.concatenate([b[3] for b in banks]))
    assert 0.73 < tests < 0.76
