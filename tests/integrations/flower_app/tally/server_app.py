"""The server: one round, and what came of it into files."""

import json
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

from bluetusk.integrations.flower import SecAgg

app = ServerApp()


class Noted(FedAvg):
    """FedAvg that notes which nodes gave it what."""

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        self.told = [reply.content for reply in replies if reply.has_content()]
        return super().aggregate_train(server_round, replies)


@app.main()
def main(grid, context):
    config = context.run_config
    run(grid, config["nodes"], config["folder"], config["timeout"])


def run(grid, nodes, folder, timeout):
    inner = Noted(min_train_nodes=nodes, min_available_nodes=nodes, fraction_evaluate=0.0)
    strategy = SecAgg(inner, timeout=timeout)
    strategy.start(grid, ArrayRecord([np.zeros(1000)]), num_rounds=1)
    (told,) = strategy.rounds
    found = {
        "numbers": sorted(content["metrics"]["number"] for content in inner.told),
        "means": [content["arrays"].to_numpy_ndarrays()[0].tolist() for content in inner.told],
        "weight": told.weight,
        "selected": len(told.selected),
        "problems": list(told.problems.values()),
        "error": told.error and str(told.error),
    }
    part = Path(folder, "told.part")
    part.write_text(json.dumps(found))
    part.rename(Path(folder, "told.json"))  # there as soon as it is whole
