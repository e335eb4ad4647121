"""docs/how-to/flower.md: the app on the page runs, and says what the page shows where something goes wrong."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

if sys.version_info < (3, 11):
    pytest.skip("flwr needs CPython 3.11", allow_module_level=True)

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "flower.md").read_text()


@pytest.fixture
def run(make_grid, tmp_path, monkeypatch, capsys):
    """Write the page's two files, changed as told, and run the app with ten clients; return what it prints."""
    from flwr.app import Context, RecordDict

    def run(lose=lambda node, stage: False, **changed):
        for name, body in re.findall(r'^```python title="([^"]+)"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL):
            for old, new in changed.get(name.partition("_")[0], {}).items():
                assert old in body
                body = body.replace(old, new)
            (tmp_path / name).write_text(body)
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in ("client_app", "server_app"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        client, server = (importlib.import_module(name).app for name in ("client_app", "server_app"))
        grid = make_grid(client, 10, lose)
        server(grid, Context(run_id=7, node_id=1000, node_config={}, state=RecordDict(), run_config={}))
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    return run


def test_app(run):
    text = "round 1: 10 clients, weight 1000, exact\nround 2: 10 clients, weight 1000, exact\n"
    assert text in PAGE
    assert run() == text


def test_clip(run):
    printed = run(client={"w + 0.5": "w + 100.0 * (context.node_id == 3)"})
    (text,) = re.findall(r"^round 1: 9 clients, weight 900, exact\n.*\n", PAGE, re.MULTILINE)
    assert printed.startswith(text)


def test_no_mod(run):
    (text,) = re.findall(r"^  node 3: the reply is not from.*\n", PAGE, re.MULTILINE)
    assert text in run(client={"mods=[secagg_mod]": ""})


def test_no_secagg(run, caplog):
    (text,) = re.findall(r"^ValueError: this client trains.*$", PAGE, re.MULTILINE)
    run(server={"SecAgg(FedAvg(fraction_evaluate=0.0))": "FedAvg(fraction_evaluate=0.0)", "strategy.rounds": "()"})
    assert any(text in record.getMessage() for record in caplog.records)


def test_too_few(run):
    (text,) = re.findall(r"^round 1: 0 clients.*\n", PAGE, re.MULTILINE)
    assert run(lose=lambda node, stage: node > 6 and stage == "masked").startswith(text)
