"""A client's part of a round: train, then the steps of secure aggregation, each in a message of its own.

Flower makes a new ClientApp for every message; what must outlive it is in the node's context, one config record under
our key: after training the update, its weight and a fresh identity; from then on the sealed state of
:class:`bluetusk.federated.secagg.Client`, its key and the session. What may never happen twice is in a journal on disk,
because Flower hands the context back after the reply: a context from before can then only drop out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ..encoding import FixedPoint
from ..errors import EncodingOverflow, FrameError, ProtocolAbort
from ..federated.secagg import Client, Session
from ._flower_records import KEY, LEGACY, LOG, Layout, encoding_from, field_of, flatten, flower_app

__all__ = ["JOURNALS", "answer", "journal_of", "printable"]

JOURNALS = "bluetusk-journals"
"""The entry of a node's configuration that names the folder of its journals."""


def answer(record: Any, msg: Any, ctxt: Any, call_next: Callable[[Any, Any], Any], policy: Any) -> Any:
    """Do the step that the server asks for, and return the reply."""
    step = field_of(record, "step", str)
    if step == "train":
        return _train(record, msg, ctxt, call_next, policy)
    if step == "start":
        frame = _start(record, ctxt, policy)
    elif step == "frame":
        frame = _frame(record, ctxt, policy)
    else:
        raise FrameError(f"the server asks for an unknown step {step[:40]!r}: both sides need one version of bluetusk")
    app = flower_app()
    return app.Message(app.RecordDict({KEY: app.ConfigRecord({"frame": frame})}), reply_to=msg)


def journal_of(ctxt: Any, folder: str | os.PathLike[str] | None) -> Path:
    """Return the node's journal for this run; its folder is made if absent."""
    if folder is None:
        folder = ctxt.node_config.get(JOURNALS)
    if folder is None:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        folder = Path(state, "bluetusk", "flower")
    made = Path(str(folder)).expanduser()
    made.mkdir(mode=0o700, parents=True, exist_ok=True)
    return made / f"run-{ctxt.run_id}-node-{ctxt.node_id}.journal"


# ------------------------------------------------------------------------------------------------------- training


def _train(record: Any, msg: Any, ctxt: Any, call_next: Callable[[Any, Any], Any], policy: Any) -> Any:
    app = flower_app()
    encoding = encoding_from(field_of(record, "encoding", str))
    most, weighted_by = field_of(record, "max_weight", int), field_of(record, "weighted_by", str)
    _keep(ctxt, {})  # whatever is left of an earlier round ends here
    out = call_next(msg, ctxt)
    if out.has_error():
        return out
    content = out.content
    if len(content.array_records) != 1:
        raise ValueError(f"the reply must hold one ArrayRecord, not {len(content.array_records)}")
    ((name, held),) = content.array_records.items()
    legacy = name.startswith(LEGACY)
    if legacy and content.config_records[f"{LEGACY}status"]["code"] != 0:
        raise ValueError("the client's fit() did not end with the status OK")
    weight = _weight(content, legacy, weighted_by, most)
    arrays = {key: np.asarray(array.numpy()) for key, array in held.items() if array.data}
    vector = flatten(arrays)
    _check_range(encoding, vector, arrays)

    seed = os.urandom(32)
    _keep(ctxt, {"vector": vector.tobytes(), "dtype": vector.dtype.str, "weight": weight, "seed": seed})
    held.clear()
    if not policy.metrics:
        _hide(content, legacy, weighted_by)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    content[KEY] = app.ConfigRecord(
        {"public": public, "layout": Layout.of(name, arrays).to_text(), "hidden": not policy.metrics}
    )
    return out


def _weight(content: Any, legacy: bool, weighted_by: str, most: int) -> int:
    if legacy:
        value = content.metric_records[f"{LEGACY}num_examples"]["num_examples"]
        weighted_by = "num_examples"
    else:
        found = [record[weighted_by] for record in content.metric_records.values() if weighted_by in record]
        if len(found) != 1:
            raise ValueError(f"the reply must hold {weighted_by!r}, the weight of its arrays, in one MetricRecord")
        value = found[0]
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:  # NaN % 1 and inf % 1 are NaN
        raise ValueError(f"{weighted_by!r} must be a whole number")
    if not 1 <= value <= most:
        raise ValueError(f"{weighted_by!r} must be 1 to {most}: the server's max_weight is the largest that it takes")
    return int(value)


def _check_range(encoding: FixedPoint, vector: Any, arrays: dict[str, Any]) -> None:
    """Refuse at once what could not be encoded later, naming the array and not the value: the server reads this."""
    peak = max(float(vector.max()), -float(vector.min()))
    if peak <= encoding.clip or (encoding.on_clip != "raise" and peak < np.inf):  # false for NaN
        return
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"array {name!r} holds NaN or an infinity")
        if not _fits(encoding, array):
            raise EncodingOverflow(
                f"array {name!r} holds a value beyond the clip of {encoding.clip}: raise the server's clip, or let it "
                'say on_clip="clip"'
            )


def _fits(encoding: FixedPoint, array: Any) -> bool:
    try:
        encoding.quantise(array)
    except EncodingOverflow:
        return False
    return True


def _hide(content: Any, legacy: bool, weighted_by: str) -> None:
    """Take out all that the app says of its data; the server puts in a weight that is the same for all."""
    app = flower_app()
    for name in list(content.config_records):
        if name != f"{LEGACY}status":
            content[name] = app.ConfigRecord({})
    for name in list(content.metric_records):
        del content[name]
    record, key = (f"{LEGACY}num_examples", "num_examples") if legacy else ("metrics", weighted_by)
    content[record] = app.MetricRecord({key: 0})


# ------------------------------------------------------------------------------------------------------- aggregation


def _start(record: Any, ctxt: Any, policy: Any) -> bytes:
    kept = _kept(ctxt, "vector")
    raw = field_of(record, "session", bytes)
    session = Session.from_bytes(raw)
    vector = np.frombuffer(kept["vector"], kept["dtype"])
    _keep(ctxt, {})  # one update goes into one session
    if session.min_clients < policy.min_clients:
        raise ProtocolAbort(
            f"the session would unmask a sum of {session.min_clients} clients, this client asks for "
            f"{policy.min_clients}: raise the server's min_clients, or lower this client's"
        )
    key = os.urandom(32)
    with Client(session, str(ctxt.node_id), kept["seed"], journal=journal_of(ctxt, policy.journals)) as client:
        (frame,) = client.start(0, vector, kept["weight"])
        if client.clipped:
            LOG.warning("%d of %d values of the update were clipped", client.clipped, vector.size)
        _keep(ctxt, {"session": raw, "seed": kept["seed"], "key": key, "state": client.to_bytes(key)})
    return frame


def _frame(record: Any, ctxt: Any, policy: Any) -> bytes:
    kept = _kept(ctxt, "state")
    session = Session.from_bytes(kept["session"])
    journal = journal_of(ctxt, policy.journals)
    with Client.from_bytes(kept["state"], session, kept["seed"], kept["key"], journal=journal) as client:
        try:
            answers = client.step(field_of(record, "frame", bytes))
        except ProtocolAbort:
            _keep(ctxt, {})
            raise
        if not answers:
            raise FrameError("this message was answered already")
        # After the last answer nothing is kept that could unmask anything.
        _keep(ctxt, {} if client.phase == "done" else {**kept, "state": client.to_bytes(kept["key"])})
    return answers[0]


def _keep(ctxt: Any, values: dict[str, Any]) -> None:
    ctxt.state.config_records[KEY] = flower_app().ConfigRecord(values)


def _kept(ctxt: Any, name: str) -> dict[str, Any]:
    kept = dict(ctxt.state.config_records.get(KEY, {}))
    if name not in kept:
        raise FrameError("the message does not follow on what this node did last: it was restarted, or left the round")
    return kept


def printable(err: BaseException) -> str:
    """Return an error's text for the server; of a disk's only what is wrong, no paths."""
    if isinstance(err, OSError):
        return f"{type(err).__name__}: the journal cannot be kept ({err.strerror})"
    return re.sub(r"[^ -~]", "?", f"{type(err).__name__}: {err}")[:300]
