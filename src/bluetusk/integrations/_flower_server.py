"""The server's part, between a strategy and Flower's grid: the strategy gets sums instead of updates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .._numeric import as_int
from ..encoding import FixedPoint
from ..errors import BluetuskError, FrameError, ProtocolAbort
from ..federated.parties import printable
from ..federated.secagg import Rejected, Result, Server, Session, plan
from ._flower_records import KEY, LEGACY, LOG, Layout, encoding_text, field_of, flower_app, is_train

__all__ = ["Round", "SecureGrid", "Settings", "refuse_strategy"]

_REASON = 120
_SINGLE = {
    "Bulyan",
    "DifferentialPrivacyServerSideAdaptiveClipping",
    "DifferentialPrivacyServerSideFixedClipping",
    "DPFedAvgAdaptive",
    "DPFedAvgFixed",
    "FedMedian",
    "FedTrimmedAvg",
    "FedXgbBagging",
    "FedXgbCyclic",
    "FedXgbNnAvg",
    "Krum",
    "MultiKrum",
    "QFedAvg",
}
"""Flower's strategies that look at single updates."""


@dataclass(frozen=True)
class Round:
    """The result of a round of training.

    Attributes
    ----------
    number : int
        Counted from 1.
    selected : tuple of int
        The nodes that the strategy chose.
    clients : tuple of int
        The nodes whose updates are in the sum; empty if there is none.
    weight : int
        The sum of their weights.
    problems : mapping of int to str
        For a node that is not in the sum, or of which something was left out, why.
    error : BluetuskError or None
        Why there is no sum; the model is then unchanged.

    Examples
    --------
    >>> Round(1, (5, 6, 7), (5, 6, 7), 30).error is None
    True
    """

    number: int
    selected: tuple[int, ...]
    clients: tuple[int, ...] = ()
    weight: int = 0
    problems: Mapping[int, str] = field(default_factory=dict)
    error: BluetuskError | None = None


@dataclass(frozen=True)
class Settings:
    """The settings of SecAgg and SecAggWorkflow, checked."""

    clip: float
    frac_bits: int
    on_clip: Literal["raise", "clip", "l2"]
    max_weight: int
    corrupt: float
    dropout: float
    min_clients: int
    timeout: float | None

    def __post_init__(self) -> None:
        for name, least in (("max_weight", 1), ("min_clients", 2)):
            object.__setattr__(self, name, as_int(getattr(self, name), name, least))
        self.encoding(2)
        plan(max(2, self.min_clients), self.corrupt, self.dropout)

    def encoding(self, n: int) -> FixedPoint:
        """Return the encoding for n clients."""
        return FixedPoint(
            clip=self.clip, frac_bits=self.frac_bits, max_weight=n * self.max_weight, on_clip=self.on_clip
        )


def refuse_strategy(strategy: object) -> None:
    """Refuse a strategy that needs what secure aggregation hides."""
    names = {cls.__name__ for cls in type(strategy).__mro__} & _SINGLE
    if names:
        raise TypeError(
            f"strategy: {names.pop()} looks at single updates, which secure aggregation hides: use one that needs "
            "only their weighted mean, such as FedAvg, FedProx, FedAvgM, FedAdam, FedYogi"
        )


class SecureGrid:
    """A grid whose training messages are answered by secure aggregation; everything else is the grid's.

    Every client in the sum seems to have answered with the weighted mean, so that whatever the strategy's mean of the
    answers is, it is that.
    """

    def __init__(self, grid: Any, settings: Settings, weighted_by: str, rounds: list[Round]) -> None:
        self._grid, self._settings, self._weighted_by, self._rounds = grid, settings, weighted_by, rounds
        self._key = Ed25519PrivateKey.generate()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def push_messages(self, messages: Iterable[Any]) -> Any:
        """Push messages, but none for training."""
        sent = list(messages)
        if any(is_train(message.metadata.message_type) for message in sent):
            raise TypeError("secure aggregation needs all of a round's training messages in one send_and_receive()")
        return self._grid.push_messages(sent)

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        """Carry messages, those for training by secure aggregation."""
        sent = list(messages)
        training = [is_train(message.metadata.message_type) for message in sent]
        if not any(training):
            return list(self._grid.send_and_receive(sent, timeout=timeout))
        if not all(training):
            raise TypeError("messages for training cannot be sent together with others under secure aggregation")
        carrier = _Carrier(self, sent, timeout)
        replies, told = carrier.run(len(self._rounds) + 1)
        self._rounds.append(told)
        return replies


class _Carrier:
    """One round."""

    def __init__(self, secure: SecureGrid, sent: list[Any], timeout: float | None) -> None:
        self.grid, self.settings, self.weighted_by = secure._grid, secure._settings, secure._weighted_by
        self.key = secure._key
        self.sent = {message.metadata.dst_node_id: message for message in sent}
        if len(self.sent) != len(sent):
            raise ValueError("a node was sent two training messages in one round: its updates would be summed twice")
        self.timeout = timeout
        self.step_timeout = timeout if self.settings.timeout is None else self.settings.timeout
        self.problems: dict[int, str] = {}
        self.failed: list[Any] = []  # replies that were errors when they came
        self.trained: dict[int, Any] = {}

    def run(self, number: int) -> tuple[list[Any], Round]:
        app = flower_app()
        selected = tuple(sorted(self.sent))
        try:
            result, layout = self._aggregate()
        except BluetuskError as err:
            LOG.error("Secure aggregation of round %d failed; the model is unchanged: %s", number, err)
            told = Round(number, selected, problems=self.problems, error=err)
            reason = f"secure aggregation of the round failed: {err}"
            return self.failed + [self._error(node, self.problems.get(node, reason)) for node in self.trained], told
        clients = tuple(sorted(int(name) for name in result.clients))
        LOG.info(
            "Secure aggregation of round %d: %d of %d clients in the sum, weight %d",
            number,
            len(clients),
            len(selected),
            result.weight,
        )
        mean = {name: app.Array(array) for name, array in layout.cut(result.mean).items()}
        replies = []
        for node, reply in self.trained.items():
            if node in clients:
                self._fill(reply, layout, mean, result.weight, len(clients))
                replies.append(reply)
            else:
                self._problem(node, "left the round before its update was in the sum")
                replies.append(self._error(node, self.problems[node]))
        return replies + self.failed, Round(number, selected, clients, result.weight, self.problems)

    # -------------------------------------------------------------------------------------------------- phases

    def _aggregate(self) -> tuple[Result, Layout]:
        encoding = self.settings.encoding(max(2, len(self.sent)))
        keys, layout = self._train(encoding)
        n, limit = len(keys), self.settings.max_weight
        if n < max(2, self.settings.min_clients):
            raise ProtocolAbort(f"{n} clients trained, but at least {max(2, self.settings.min_clients)} are needed")
        session = self._session(encoding, layout, {str(node): (key, limit) for node, key in keys.items()})
        server = Server(session, 0, self.key)
        opening = session.to_bytes()
        out = {node: {"step": "start", "session": opening} for node in keys}
        self._exchange(server, out)
        while not server.last:
            frames = server.advance()
            self._exchange(server, {int(name): {"step": "frame", "frame": frame} for name, frame in frames.items()})
        return server.finish(), layout

    def _train(self, encoding: FixedPoint) -> tuple[dict[int, bytes], Layout]:
        """Let all train; return the identity keys of those that did, and what their updates look like."""
        app = flower_app()
        ask = {
            "step": "train",
            "encoding": encoding_text(encoding),
            "max_weight": self.settings.max_weight,
            "weighted_by": self.weighted_by,
        }
        messages = []
        for node, message in self.sent.items():
            content = app.RecordDict({**message.content, KEY: app.ConfigRecord(ask)})
            messages.append(self._message(node, content))
        told: dict[int, tuple[bytes, Layout]] = {}
        for reply in self.grid.send_and_receive(messages, timeout=self.timeout):
            node = self._sender(reply, self.sent)
            if reply.has_error():
                self._problem(node, f"{reply.error.reason}")
                self.failed.append(reply)
                continue
            if node is None:
                continue
            self.trained[node] = reply
            try:
                told[node] = self._read_trained(reply)
            except (FrameError, KeyError) as err:
                self._problem(node, f"the reply is not from secagg_mod: add it to the client's mods ({err})")
        for node in self.sent.keys() - self.trained.keys() - self.problems.keys():
            self._problem(node, "did not answer")
        if not told:
            raise ProtocolAbort("no client trained")
        # The layout of most; of equally common ones the first.
        layout = Counter(layout for _, layout in told.values()).most_common(1)[0][0]
        for node, (_, other) in told.items():
            if other != layout:
                self._problem(node, "its arrays have other names, types or shapes than those of the other clients")
        return {node: key for node, (key, other) in sorted(told.items()) if other == layout}, layout

    @staticmethod
    def _read_trained(reply: Any) -> tuple[bytes, Layout]:
        record = reply.content.config_records[KEY]
        layout = Layout.from_text(field_of(record, "layout", str))
        if layout.record not in reply.content.array_records:
            raise FrameError("the reply lacks the ArrayRecord that it names")
        return field_of(record, "public", bytes), layout

    def _session(self, encoding: FixedPoint, layout: Layout, clients: dict[str, tuple[bytes, int]]) -> Session:
        """Agree with those that trained; of the corrupt ones that were planned for all may be among them."""
        n, settings = len(clients), self.settings
        bad = int(plan(max(2, len(self.sent)), settings.corrupt, 0, complete=True).bad)
        if bad >= n:
            raise ProtocolAbort(f"{n} clients trained, but {bad} of those selected may be corrupt")
        try:
            agreed = plan(n, Fraction(bad, n), settings.dropout)
            least = min(max(settings.min_clients, agreed.threshold if agreed.complete else agreed.stay, 2), n)
            public = self.key.public_key().public_bytes_raw()
            return Session(agreed, encoding, layout.length, clients, public, min_clients=least)
        except ValueError as err:
            raise ProtocolAbort(f"the {n} clients that trained cannot form a session: {err}") from None

    def _exchange(self, server: Server, steps: Mapping[int, Mapping[str, Any]]) -> None:
        """Send each client its step, and give the server their answers."""
        app = flower_app()
        phase = server.phase
        messages = [
            self._message(node, app.RecordDict({KEY: app.ConfigRecord(dict(step))})) for node, step in steps.items()
        ]
        heard: set[int | None] = set()
        for reply in self.grid.send_and_receive(messages, timeout=self.step_timeout):
            node = self._sender(reply, steps)
            heard.add(node)
            if reply.has_error() or node is None:
                self._problem(node, f"{phase}: {reply.error.reason if reply.has_error() else 'was not asked'}")
                continue
            try:
                frame = field_of(reply.content.config_records[KEY], "frame", bytes)
            except (FrameError, KeyError) as err:
                self._problem(node, f"{phase}: {err}")
                continue
            verdict = server.step(frame)
            if isinstance(verdict, Rejected):
                self._problem(node, f"{phase}: {verdict.reason}")
        for node in steps.keys() - heard:
            self._problem(node, f"{phase}: did not answer")

    # -------------------------------------------------------------------------------------------------- messages

    def _message(self, node: int, content: Any) -> Any:
        asked = self.sent[node].metadata
        return flower_app().Message(
            content, dst_node_id=node, message_type=asked.message_type, ttl=asked.ttl, group_id=asked.group_id
        )

    def _fill(self, reply: Any, layout: Layout, mean: Mapping[str, Any], weight: int, clients: int) -> None:
        app = flower_app()
        content = reply.content
        hidden = bool(content.config_records[KEY].get("hidden"))
        del content[KEY]
        content[layout.record] = app.ArrayRecord(dict(mean))  # each its own: readers may take arrays out
        if hidden:
            legacy = layout.record.startswith(LEGACY)
            record, name = (f"{LEGACY}num_examples", "num_examples") if legacy else ("metrics", self.weighted_by)
            content[record] = app.MetricRecord({name: max(1, weight // clients)})

    @staticmethod
    def _sender(reply: Any, asked: Container[int]) -> int | None:
        """Return the node that replies; None if it is none of those asked, as the SuperLink where it speaks for one."""
        node: int = reply.metadata.src_node_id
        return node if node in asked else None

    def _problem(self, node: int | None, reason: str) -> None:
        if node is None:
            LOG.warning("Secure aggregation: %s", reason)
            return
        said = printable(reason, _REASON)
        if self.problems.setdefault(node, said) == said:
            LOG.warning("Secure aggregation: node %d: %s", node, said)

    def _error(self, node: int, reason: str) -> Any:
        app = flower_app()
        return app.Message(app.Error(6, reason), reply_to=self.sent[node])  # 6: a mod's precondition failed
