"""Both APIs in one of Flower's simulations: the Message API, then the older one, where a node's training fails."""

import json

import numpy as np
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
from tally import client_app, server_app

from bluetusk.integrations.flower import SecAggWorkflow, secagg_mod

NODES, VICTIM = 10, 3


class Client(NumPyClient):
    def __init__(self, number):
        self.number = number

    def get_parameters(self, config):
        return [np.zeros(1000, np.float32)]

    def fit(self, parameters, config):
        if self.number == VICTIM:
            raise RuntimeError("no power")
        update = client_app.update(self.number).astype(np.float32)
        return [update], client_app.weight(self.number), {}


older = ClientApp(client_fn=lambda context: Client(context.node_config["partition-id"]).to_client(), mods=[secagg_mod])


class Both(ClientApp):
    """The older API's messages say in which round they are, those of the Message API's strategies do not."""

    def __call__(self, message, context):
        return (older if message.metadata.group_id else client_app.app)(message, context)


server = ServerApp()


@server.main()
def main(grid, context):
    server_app.run(grid, NODES, ".", 120.0)
    workflow = SecAggWorkflow()
    strategy = FedAvg(min_fit_clients=NODES, min_available_clients=NODES, fraction_evaluate=0.0)
    legacy = LegacyContext(context, config=ServerConfig(num_rounds=1), strategy=strategy)
    DefaultWorkflow(fit_workflow=workflow)(grid, legacy)
    (told,) = workflow.rounds
    (array,) = legacy.state.array_records["parameters"].to_numpy_ndarrays()
    found = {
        "mean": array.tolist(),
        "dtype": array.dtype.name,
        "clients": len(told.clients),
        "weight": told.weight,
        "problems": list(told.problems.values()),
        "error": told.error and str(told.error),
    }
    with open("older.json", "w") as out:
        json.dump(found, out)


if __name__ == "__main__":
    backend = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": 2, "include_dashboard": False}}
    run_simulation(server, Both(), NODES, backend_config=backend)
