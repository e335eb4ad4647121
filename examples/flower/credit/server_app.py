"""The server: it sees sums, never a bank's model."""

from __future__ import annotations

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from bluetusk.integrations.flower import SecAgg
from credit.task import initial_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds and save the model."""
    config = context.run_config
    nodes = int(config["min-nodes"])
    strategy = SecAgg(
        FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes),
        clip=float(config["clip"]),
        timeout=float(config["timeout"]),
    )
    result = strategy.start(grid, ArrayRecord(initial_model()), num_rounds=int(config["num-server-rounds"]))
    for told in strategy.rounds:
        print(f"round {told.number}: {len(told.clients)} banks in the sum, {told.weight} rows, {told.error or 'exact'}")
    weights, intercept = result.arrays.to_numpy_ndarrays()
    np.savez(str(config["model"]), weights=weights, intercept=intercept)
