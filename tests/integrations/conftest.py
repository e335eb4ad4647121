"""A grid without a network: each message goes to a ClientApp at once, with the context that its node last had."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

collect_ignore = ["flower_app"]  # an app for Flower to load, with modules that only it can import

# What a message asks for, by the frame in it.
FRAMES = {"SECAGG_ROSTER": "shares", "SECAGG_DELIVERY": "masked", "SECAGG_REQUEST": "unmask"}


def stage_of(message: Any) -> str:
    """train, start, shares, masked, unmask; or the message's type if it is not one of secure aggregation."""
    from bluetusk.integrations._flower_records import KEY
    from bluetusk.wire.frame import decode

    record = message.content.config_records.get(KEY)
    if record is None:
        return message.metadata.message_type
    return FRAMES[decode(record["frame"]).kind.name] if record["step"] == "frame" else record["step"]


class Grid:
    """Nodes 1 .. n with one app; `lose(node, stage)` says which messages vanish, `seen` holds what clients answered."""

    def __init__(self, app: Any, n: int, lose: Callable[[int, str], bool] = lambda node, stage: False) -> None:
        from flwr.app import Context, RecordDict

        self.app, self.lose = app, lose
        self.contexts = {
            node: Context(run_id=7, node_id=node, node_config={}, state=RecordDict(), run_config={})
            for node in range(1, n + 1)
        }
        self.seen: list[tuple[int, str, Any]] = []
        self.asked: list[tuple[int, str, Any]] = []
        self.timeouts: list[float | None] = []

    @property
    def run(self) -> Any:
        return SimpleNamespace(run_id=7)

    def get_node_ids(self) -> list[int]:
        return list(self.contexts)

    def get_nodes(self) -> list[Any]:
        from flwr.proto.node_pb2 import NodeInfo

        return [NodeInfo(node_id=node) for node in self.contexts]

    def push_messages(self, messages: Any) -> list[str]:
        return [f"pushed {message.metadata.dst_node_id}" for message in messages]

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Any]:
        self.timeouts.append(timeout)
        replies = (self.deliver(message) for message in list(messages))
        return [reply for reply in replies if reply is not None]

    def deliver(self, message: Any) -> Any:
        from flwr.app import Error, Message

        node, stage = message.metadata.dst_node_id, stage_of(message)
        if self.lose(node, stage):
            return None
        message = copy.deepcopy(message)  # as over a wire
        self.asked.append((node, stage, copy.deepcopy(message)))
        try:
            reply = self.app(message, self.contexts[node])
        except Exception as err:  # as flwr-clientapp does
            reply = Message(Error(2, str(err)), reply_to=message)
        self.seen.append((node, stage, copy.deepcopy(reply)))
        return reply


@pytest.fixture
def make_grid() -> type[Grid]:
    return Grid


@pytest.fixture(autouse=True)
def _flower_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Journals under the test's folder, and the identity that Flower gives to a ServerApp's process."""
    from flwr.supercore.task_identity import TaskIdentity

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name, value in {"_task_id": 1, "_run_id": 7, "_node_id": 1000}.items():
        monkeypatch.setattr(TaskIdentity, name, value)
