"""A client's part of a round: train, then the steps of secure aggregation, each in a separate message.

Flower makes a new ClientApp for every message. What must outlive it: in the node's context, one config record under our
key with two secrets of the round, the client's identity and a key; in a file in the folder of the journals, encrypted
under that key, the update, later the session and the sealed state of :class:`bluetusk.federated.secagg.Client`. The
context does not suit these: Flower hands it back after the reply, when the program has five seconds left to end, and
one of some megabytes is lost. What may never happen twice is in the journal before the reply leaves: a node whose file
or context is from before can only drop out.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ..encoding import FixedPoint
from ..errors import EncodingOverflow, FrameError, ProtocolAbort
from ..federated.secagg import Client, Session
from ..federated.secagg.boxes import open_box, sealed_box
from ._flower_records import KEY, LEGACY, LOG, Layout, encoding_from, field_of, flatten, flower_app

__all__ = ["JOURNALS", "Store", "answer", "printable"]

JOURNALS = "bluetusk-journals"
"""The entry of a node's configuration that names the folder of its journals."""
_LOST = "the message does not follow this node's last step: the node was restarted, or left the round"
_UPDATE, _SESSION = b"U", b"S"
_HEAD = struct.Struct("<Q4s")  # of an update: its weight, its type


def answer(record: Any, msg: Any, ctxt: Any, call_next: Callable[[Any, Any], Any], policy: Any) -> Any:
    """Do the step that the server requests, and return the reply."""
    step = field_of(record, "step", str)
    if step == "train":
        return _train(record, msg, ctxt, call_next, policy)
    if step == "start":
        frame = _start(record, ctxt, policy)
    elif step == "frame":
        frame = _frame(record, ctxt, policy)
    else:
        raise FrameError(f"the server requests an unknown step {step[:40]!r}: both sides need one version")
    app = flower_app()
    return app.Message(app.RecordDict({KEY: app.ConfigRecord({"frame": frame})}), reply_to=msg)


class Store:
    """What a node keeps between messages, and where.

    Parameters
    ----------
    ctxt : flwr.app.Context
        The node's.
    folder : path-like or None
        Where; by default what the node's configuration or the system says. Made if absent.
    """

    def __init__(self, ctxt: Any, folder: str | os.PathLike[str] | None) -> None:
        if folder is None:
            folder = ctxt.node_config.get(JOURNALS)
        if folder is None:
            state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
            folder = Path(state, "bluetusk", "flower")
        made = Path(str(folder)).expanduser()
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._records = ctxt.state.config_records
        name = f"run-{ctxt.run_id}-node-{ctxt.node_id}"
        self.journal, self._file = made / f"{name}.journal", made / f"{name}.state"

    def clear(self) -> None:
        """Forget everything but the journal."""
        self._records[KEY] = flower_app().ConfigRecord({})
        self._file.unlink(missing_ok=True)

    def open(self) -> tuple[bytes, bytes]:
        """Start a round: return its fresh key and seed."""
        self.clear()
        key, seed = os.urandom(32), os.urandom(32)
        self._records[KEY] = flower_app().ConfigRecord({"key": key, "seed": seed})
        return key, seed

    def secrets(self) -> tuple[bytes, bytes]:
        """Return key and seed of the round under way."""
        kept = self._records.get(KEY, {})
        if "key" not in kept:
            raise FrameError(_LOST)
        return kept["key"], kept["seed"]

    def write(self, kind: bytes, *parts: bytes | memoryview) -> None:
        """Write the file; it gets nothing that is not encrypted or public."""
        fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb", buffering=0) as out:
            for part in (kind, *parts):
                rest = memoryview(part)
                while rest:
                    rest = rest[out.write(rest) :]

    def read(self, kind: bytes) -> memoryview:
        """Read it, if it is of this kind."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            data = b""
        if data[:1] != kind:
            raise FrameError(_LOST)
        return memoryview(data)[1:]


# ------------------------------------------------------------------------------------------------------- training


def _train(record: Any, msg: Any, ctxt: Any, call_next: Callable[[Any, Any], Any], policy: Any) -> Any:
    app = flower_app()
    encoding = encoding_from(field_of(record, "encoding", str))
    most, weighted_by = field_of(record, "max_weight", int), field_of(record, "weighted_by", str)
    store = Store(ctxt, policy.journals)
    store.clear()  # whatever is left of an earlier round ends here
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

    key, seed = store.open()
    head = _HEAD.pack(weight, vector.dtype.str.encode())
    store.write(_UPDATE, sealed_box(key, head + vector.tobytes(), _UPDATE))
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
        try:
            encoding.quantise(array)
        except EncodingOverflow:
            raise EncodingOverflow(
                f"array {name!r} holds a value beyond the clip of {encoding.clip}: raise the server's clip, or set its "
                'on_clip="clip"'
            ) from None


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
    store = Store(ctxt, policy.journals)
    key, seed = store.secrets()
    update = open_box(key, store.read(_UPDATE), _UPDATE)
    if update is None:
        raise FrameError(_LOST)
    weight, dtype = _HEAD.unpack(update[: _HEAD.size])
    vector = np.frombuffer(memoryview(update)[_HEAD.size :], dtype.rstrip(b"\0").decode())
    raw = field_of(record, "session", bytes)
    session = Session.from_bytes(raw)
    if session.min_clients < policy.min_clients:
        raise ProtocolAbort(
            f"the session would unmask a sum of {session.min_clients} clients, but this client requires "
            f"{policy.min_clients}: raise the server's min_clients, or lower this client's"
        )
    with Client(session, str(ctxt.node_id), seed, journal=store.journal) as client:
        (frame,) = client.start(0, vector, weight)
        if client.clipped:
            LOG.warning("%d of %d values of the update were clipped", client.clipped, vector.size)
        # In the place of the update: one update goes into one session.
        store.write(_SESSION, struct.pack("<I", len(raw)), raw, client.to_bytes(key))
    return frame


def _frame(record: Any, ctxt: Any, policy: Any) -> bytes:
    store = Store(ctxt, policy.journals)
    key, seed = store.secrets()
    data = store.read(_SESSION)
    size = 4 + int.from_bytes(data[:4], "little")
    session = Session.from_bytes(data[4:size])
    with Client.from_bytes(data[size:], session, seed, key, journal=store.journal) as client:
        try:
            answers = client.step(field_of(record, "frame", bytes))
        except ProtocolAbort:
            store.clear()
            raise
        if not answers:
            raise FrameError("this message was already answered")
        if client.phase == "done":
            store.clear()  # nothing is kept that could unmask anything
        else:
            store.write(_SESSION, data[:size], client.to_bytes(key))
    return answers[0]


def printable(err: BaseException) -> str:
    """Return an error's text for the server; of a disk's only what is wrong, no paths."""
    if isinstance(err, OSError):
        return f"{type(err).__name__}: the journal cannot be kept ({err.strerror})"
    return re.sub(r"[^ -~]", "?", f"{type(err).__name__}: {err}")[:300]
