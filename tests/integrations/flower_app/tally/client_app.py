"""A node: its update is known from its number. The victim says where it stands in the middle of a round, and waits."""

import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from bluetusk.integrations.flower import secagg_mod
from bluetusk.wire.frame import Kind, decode


def update(number):
    return np.random.default_rng(number).normal(size=1000)


def weight(number):
    return 10 + number


def linger(msg, context, call_next):
    """Stop the victim when it is asked for its masked vector: others hold shares of its keys by then."""
    record = msg.content.config_records.get("bluetusk.secagg", {})
    asked = record.get("step") == "frame" and decode(record["frame"]).kind == Kind.SECAGG_DELIVERY
    if asked and context.node_config["partition-id"] == context.run_config.get("victim"):
        Path(context.run_config["folder"], "lingering").touch()
        time.sleep(600)
    return call_next(msg, context)


app = ClientApp(mods=[linger, secagg_mod])


@app.train()
def train(msg, context):
    number = context.node_config["partition-id"]
    metrics = MetricRecord({"num-examples": weight(number), "number": number})
    return Message(RecordDict({"arrays": ArrayRecord([update(number)]), "metrics": metrics}), reply_to=msg)
