"""M13: whatever a network does to messages, the sum is exact over the clients that it names, or the round aborts typed.

Each schedule is drawn from its number: clients vanish, messages are lost, doubled, held back beyond the end of their
phase, replayed from the round before, put out of order, flipped, cut or misdirected, and phases end early.
BLUETUSK_SCHEDULES=10000 makes the nightly number of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict

import numpy as np

from bluetusk.encoding import FixedPoint
from bluetusk.errors import FrameError, ProtocolAbort
from bluetusk.federated import secagg
from bluetusk.wire.frame import Kind, decode

COUNT = int(os.environ.get("BLUETUSK_SCHEDULES", "300"))
ONCE = (Kind.SECAGG_MASKED, Kind.SECAGG_CONSENT, Kind.SECAGG_REVEAL)


class Network:
    """Messages on their way, one queue for each receiver (None: the server), and what chance does to them."""

    def __init__(self, rng: random.Random, trouble: float) -> None:
        self.rng, self.trouble = rng, trouble
        self.queues: dict[str | None, list[bytes]] = defaultdict(list)
        self.old: list[tuple[str | None, bytes]] = []
        self.sent: dict[str, set[tuple[Kind, bytes]]] = defaultdict(set)
        self.events: Counter[str] = Counter()

    def send(self, sender: str | None, to: str | None, message: bytes) -> None:
        if sender is not None:
            self.sent[sender].add((decode(message).kind, message))
        self.old.append((to, message))
        queue = self.queues[to]
        queue.append(message)
        if self.rng.random() > self.trouble:
            return
        what = self.rng.choice(["lose", "double", "delay", "replay", "reorder", "flip", "cut", "misdirect"])
        self.events[what] += 1
        if what in ("lose", "delay"):
            queue.pop()
        if what == "delay":  # it arrives after everything that is under way
            queue.insert(0, message)
        if what == "double":
            queue.append(message)
        if what == "replay":
            self.queues[(pair := self.rng.choice(self.old))[0]].append(pair[1])
        if what == "reorder":
            self.rng.shuffle(queue)
        if what == "misdirect":
            self.queues[self.rng.choice([*self.queues])].append(message)
        if what == "flip":
            at = self.rng.randrange(8 * len(message))
            changed = bytearray(message)
            changed[at // 8] ^= 1 << at % 8
            queue[-1] = bytes(changed)
            if self.rng.random() < 0.5:
                queue.append(message)  # sent again
        if what == "cut":
            queue[-1] = message[: self.rng.randrange(len(message))]

    def take(self, who: str | None) -> list[bytes]:
        """What arrives now: all but what is still held back."""
        queue, self.queues[who] = self.queues[who], []
        if queue and self.rng.random() < self.trouble / 4:
            self.queues[who].append(queue.pop(0))
        return queue


def plan_of(rng: random.Random, n: int) -> secagg.Plan:
    malicious = rng.random() < 0.4
    if n >= 8 and rng.random() < 0.4:
        try:
            return secagg.plan(n, 0.05, 0.15, malicious, complete=False, security=2, correctness=1)
        except ValueError:
            pass
    return secagg.plan(n, 0.01, rng.choice([0.2, 0.34]) if n > 4 else 0.34, malicious)


def run(world, rng: random.Random, network: Network, clients, round: int):
    server = world.server(round)
    values, weights = world.inputs(rng.randrange(10**6))
    alive = set(world.names)

    def vanish() -> None:
        if rng.random() < network.trouble / 3 and alive:
            alive.discard(rng.choice(sorted(alive)))

    for name, client in clients.items():
        for message in client.start(round, np.array(values[name]), weights[name]):
            network.send(name, None, message)
    while True:
        for _ in range(3):  # the caller's patience
            for message in network.take(None):
                assert isinstance(server.step(message), secagg.Accepted | secagg.Rejected)
            if not server.waiting:
                break
            for name in sorted(alive):
                for message in network.take(name):
                    try:
                        answers = clients[name].step(message)
                    except (FrameError, ProtocolAbort):
                        answers = []
                    for answer in answers:
                        network.send(name, None, answer)
            vanish()
        if server.last:
            break
        for name, message in server.advance().items():
            network.send(None, name, message)
    result = server.finish()
    sums, weight = world.expected(values, weights, result.clients)
    assert result.integers.tolist() == sums
    assert result.weight == weight
    assert len(result.clients) >= world.session.min_clients
    assert not {*result.clients} & {*result.dropped}
    return result


def outcome(world, rng: random.Random, network: Network, clients, round: int) -> str:
    """Anything but a sum or a ProtocolAbort fails: a wrong sum that only its size gave away (EncodingOverflow) too."""
    try:
        result = run(world, rng, network, clients, round)
    except ProtocolAbort:
        return "abort"
    return "all" if len(result.clients) == len(world.names) else "some"


def test_schedules(make):
    outcomes: Counter[str] = Counter()
    events: Counter[str] = Counter()
    for number in range(COUNT):
        rng = random.Random(number)
        n = rng.randrange(3, 11)
        encoding = FixedPoint.integers(limit=rng.choice([1, 7, 1000, 2**30]), max_weight=10 * n, guard_bits=4)
        world = make(plan_of(rng, n), encoding, length=3)
        network = Network(rng, rng.choice([0.0, 0.02, 0.05, 0.1, 0.3]))
        clients = world.clients()
        for round in range(2):
            outcomes[outcome(world, rng, network, clients, round)] += 1
        for name in world.names:  # whatever arrived, each client said these things once a round
            said = Counter((kind, decode(m).header["round"]) for kind, m in network.sent[name] if kind in ONCE)
            assert max(said.values(), default=0) <= 1, f"schedule {number}: {name} answered twice"
        events += network.events
    # the schedules are not all of one kind
    assert min(outcomes["all"], outcomes["some"], outcomes["abort"]) >= COUNT // 20, outcomes
    assert len(events) == 8, events
