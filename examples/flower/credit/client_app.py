"""One bank."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from bluetusk.integrations.flower import secagg_mod
from credit.task import auc, bank_rows, fit

app = ClientApp(mods=[secagg_mod])


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Train on the bank's rows, starting from the joint model."""
    x, y, _, _ = bank_rows(int(context.node_config["partition-id"]), int(context.run_config["banks"]))
    model = fit(msg.content["arrays"].to_numpy_ndarrays(), x, y)
    content = {"arrays": ArrayRecord(model), "metrics": MetricRecord({"num-examples": len(y)})}
    return Message(RecordDict(content), reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Test the joint model on the bank's own test rows."""
    _, _, x, y = bank_rows(int(context.node_config["partition-id"]), int(context.run_config["banks"]))
    model = msg.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"num-examples": len(y), "auc": auc(model, x, y)})
    return Message(RecordDict({"metrics": metrics}), reply_to=msg)
