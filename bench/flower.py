"""A round of Flower's older API in three ways: without protection, with Flower's SecAgg+, with ours.

    python bench/flower.py [--clients 10] [--values 1000000] [--repeat 3]

It runs everything but the network: Flower's own workflow, strategy, records and client apps in one process, and passes
each message to its app at once. It prints processor seconds of clients and server together, the best of the runs, and
the bytes that a client sends. The C library is set to keep freed memory (unless ``--give-back`` is given): otherwise
the time would depend on how often large blocks return to the system and their pages are zeroed again, in one process
for ten clients.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import logging
import os
import tempfile
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from flwr.app import Context, RecordDict
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.supercore.task_identity import TaskIdentity

from bluetusk.integrations.flower import SecAggWorkflow, secagg_mod


class Client(NumPyClient):
    def __init__(self, update):
        self.update = update

    def get_parameters(self, config):
        return [np.zeros_like(self.update)]

    def fit(self, parameters, config):
        return [self.update], 10, {}


class Grid:
    """Hands each message to the app of its node, and counts."""

    def __init__(self, app: ClientApp, n: int) -> None:
        self.app, self.run = app, SimpleNamespace(run_id=7)
        self.contexts = {
            i: Context(run_id=7, node_id=i, node_config={}, state=RecordDict(), run_config={}) for i in range(1, n + 1)
        }
        self.sent = 0
        self.messages = 0

    def get_node_ids(self):
        return list(self.contexts)

    def send_and_receive(self, messages, *, timeout=None):
        replies = []
        for message in list(messages):
            message = copy.deepcopy(message)  # its records, not the bytes of its arrays
            reply = self.app(message, self.contexts[message.metadata.dst_node_id])
            if message.metadata.message_type == "train":
                self.messages += 1
                self.sent += size(reply.content)
            replies.append(reply)
        return replies


def size(content: RecordDict) -> int:
    arrays = sum(len(array.data) for record in content.array_records.values() for array in record.values())
    rest = 0
    for record in content.config_records.values():
        for value in record.values():
            parts = value if isinstance(value, list) else [value]
            rest += sum(len(part) for part in parts if isinstance(part, bytes))
    return arrays + rest


def measure(mods: list[Any], workflow: Any, updates: np.ndarray) -> tuple[float, int, int, np.ndarray]:
    n = len(updates)
    app = ClientApp(client_fn=lambda context: Client(updates[context.node_id - 1]).to_client(), mods=mods)
    grid = Grid(app, n)
    context = Context(run_id=7, node_id=1000, node_config={}, state=RecordDict(), run_config={})
    strategy = FedAvg(min_fit_clients=n, min_available_clients=n, fraction_evaluate=0.0)
    legacy = LegacyContext(context, config=ServerConfig(num_rounds=1), strategy=strategy)
    start = time.process_time()
    DefaultWorkflow(fit_workflow=workflow)(grid, legacy)
    seconds = time.process_time() - start
    (mean,) = legacy.state.array_records["parameters"].to_numpy_ndarrays()
    return seconds, grid.sent // n, grid.messages // n, mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--values", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--give-back", action="store_true")
    args = parser.parse_args()
    if not args.give_back:
        for limit in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            ctypes.CDLL(None).mallopt(limit, 1 << 30)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    TaskIdentity.task_id = TaskIdentity.node_id = 1
    TaskIdentity.run_id = 7
    updates = np.random.default_rng(0).normal(size=(args.clients, args.values)).astype(np.float32)
    plain = updates.astype(np.float64).mean(axis=0)
    ways = {
        "without protection": lambda: ([], None),
        "Flower's SecAgg+": lambda: ([secaggplus_mod], SecAggPlusWorkflow(1.0, 0.7)),
        "Bluetusk": lambda: ([secagg_mod], SecAggWorkflow()),
    }
    best: dict[str, tuple[float, int, int, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        for _ in range(args.repeat):
            for name, make in ways.items():
                seconds, sent, messages, mean = measure(*make(), updates)
                error = float(np.abs(mean - plain).max())
                best[name] = min(best.get(name, (np.inf,)), (seconds, sent, messages, error))
    print(f"{args.clients} clients, {args.values} values of float32, best of {args.repeat}")
    for name, (seconds, sent, messages, error) in best.items():
        print(f"{name:20} {seconds:7.2f} s  {sent:>10,} bytes a client in {messages} messages  error {error:.1e}")


if __name__ == "__main__":
    main()
