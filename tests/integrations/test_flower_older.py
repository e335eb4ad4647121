"""bt.integrations.flower under Flower's older API: NumPyClient, DefaultWorkflow, strategies with aggregate_fit."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("flwr needs CPython 3.11", allow_module_level=True)

from flwr.app import Context, RecordDict
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg as OldFedAvg
from flwr.server.strategy import FedMedian
from flwr.server.workflow import DefaultWorkflow

import bluetusk as bt
from bluetusk.integrations.flower import SecAggMod, SecAggWorkflow, secagg_mod

N = 5


def update(node):
    rng = np.random.default_rng(node)
    return [rng.normal(size=(3, 2)), rng.normal(size=1)]


def mean_of(nodes):
    """The mean of the quantised updates with weights 10 * node, in Python's integers, rounded once."""
    columns = zip(*(np.concatenate([part.ravel() for part in update(node)]).tolist() for node in nodes), strict=True)
    sums = [sum(10 * node * round(Fraction(x) * 2**20) for node, x in zip(nodes, xs, strict=True)) for xs in columns]
    return [float(Fraction(s, 10 * sum(nodes) * 2**20)) for s in sums]


class OldClient(NumPyClient):
    def __init__(self, node):
        self.node = node

    def get_parameters(self, config):
        return [np.zeros((3, 2)), np.zeros(1)]

    def fit(self, parameters, config):
        return update(self.node), 10 * self.node, {"loss": float(self.node)}

    def evaluate(self, parameters, config):
        return float(sum(part.sum() for part in parameters)), 1, {}


def old_app(mod=secagg_mod):
    return ClientApp(client_fn=lambda context: OldClient(context.node_id).to_client(), mods=[mod])


class Results(OldFedAvg):
    """FedAvg that keeps what it was given."""

    def aggregate_fit(self, server_round, results, failures):
        self.results, self.failures = list(results), failures
        return super().aggregate_fit(server_round, results, failures)


def old_run(make_grid, app, workflow, *, n=N, rounds=1, lose=lambda node, stage: False):
    metrics = []
    old = Results(
        min_available_clients=n, min_fit_clients=n, min_evaluate_clients=n,
        fit_metrics_aggregation_fn=lambda told: metrics.append(told) or {},
    )  # fmt: skip
    grid = make_grid(app, n, lose)
    context = Context(run_id=7, node_id=1000, node_config={}, state=RecordDict(), run_config={})
    legacy = LegacyContext(context, config=ServerConfig(num_rounds=rounds), strategy=old)
    DefaultWorkflow(fit_workflow=workflow)(grid, legacy)
    return grid, old, legacy, metrics


def test_older_api(make_grid):
    workflow = SecAggWorkflow()
    _, old, legacy, metrics = old_run(make_grid, old_app(), workflow, rounds=2)
    exact = mean_of(range(1, N + 1))
    for _, result in old.results:
        assert np.concatenate([part.ravel() for part in parameters_to_ndarrays(result.parameters)]).tolist() == exact
    assert sorted(result.num_examples for _, result in old.results) == [10 * node for node in range(1, N + 1)]
    assert sorted(told for told in metrics[1]) == [(10 * node, {"loss": float(node)}) for node in range(1, N + 1)]
    final = legacy.state.array_records["parameters"].to_numpy_ndarrays()
    np.testing.assert_allclose(np.concatenate([part.ravel() for part in final]), exact, rtol=1e-14)
    assert [told.clients for told in workflow.rounds] == [(1, 2, 3, 4, 5)] * 2
    assert legacy.history.losses_distributed[1][1] == pytest.approx(sum(exact))


def test_older_api_hidden_metrics_drop_outs_and_aborts(make_grid):
    trained = []

    def lose(node, stage):
        trained.extend([node] if stage == "train" else [])
        return stage == "masked" and (node == 3 or (len(trained) > 7 and node > 2))

    workflow = SecAggWorkflow(timeout=9.0)
    grid, old, legacy, metrics = old_run(
        make_grid, old_app(SecAggMod(metrics=False)), workflow, n=7, rounds=2, lose=lose
    )
    nodes = (1, 2, 4, 5, 6, 7)
    assert metrics == [[(250 // 6, {})] * 6]  # of the first round
    final = legacy.state.array_records["parameters"].to_numpy_ndarrays()
    np.testing.assert_allclose(np.concatenate([part.ravel() for part in final]), mean_of(nodes), rtol=1e-14)
    assert [told.clients for told in workflow.rounds] == [nodes, ()]
    assert isinstance(workflow.rounds[1].error, bt.ProtocolAbort)
    assert old.results == []
    assert 9.0 in grid.timeouts


def test_older_api_refuses_a_median(make_grid):
    legacy = LegacyContext(
        Context(run_id=7, node_id=1000, node_config={}, state=RecordDict(), run_config={}), strategy=FedMedian()
    )
    with pytest.raises(TypeError, match="FedMedian looks at single updates"):
        SecAggWorkflow()(make_grid(old_app(), 3), legacy)


def test_a_fit_that_did_not_end_well_is_left_out(make_grid):
    class Broken(Client):
        def fit(self, ins):
            nothing = ndarrays_to_parameters([np.zeros((3, 2)), np.zeros(1)])
            return FitRes(Status(Code.FIT_NOT_IMPLEMENTED, "no"), nothing, 0, {})

    app = ClientApp(
        client_fn=lambda context: Broken() if context.node_id == 2 else OldClient(context.node_id).to_client(),
        mods=[secagg_mod],
    )
    workflow = SecAggWorkflow()
    old_run(make_grid, app, workflow)
    assert workflow.rounds[0].clients == (1, 3, 4, 5)
    assert "did not end with the status OK" in workflow.rounds[0].problems[2]
