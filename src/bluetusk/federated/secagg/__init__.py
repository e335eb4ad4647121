"""Secure aggregation: sums that no party can open alone, without a key holder.

Clients mask their vectors against each other with streams that cancel in the sum; a server that follows the protocol
learns the sum and nothing else, even if clients vanish in the middle. Bonawitz et al., CCS 2017, on the graphs of
Bell et al., CCS 2020. All parties are state machines that exchange bytes; the application carries the messages.

Examples
--------
>>> import numpy as np, bluetusk as bt
>>> from bluetusk.federated import secagg
>>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
>>> signing = {name: Ed25519PrivateKey.generate() for name in ["east", "north", "south", "west"]}
>>> server_key = Ed25519PrivateKey.generate()
>>> session = secagg.Session(
...     secagg.plan(4, corrupt=0.25, dropout=0.25),
...     bt.FixedPoint(clip=4.0, max_weight=40),
...     length=3,
...     clients={name: (key.public_key().public_bytes_raw(), 10) for name, key in signing.items()},
...     server=server_key.public_key().public_bytes_raw(),
... )
>>> clients = {name: secagg.Client(session, name, key) for name, key in signing.items()}
>>> server = secagg.Server(session, 0, server_key)
>>> for name, client in clients.items():
...     for message in client.start(0, [0.5, -1, 2], weight=2):
...         assert server.step(message)
>>> while not server.last:
...     for name, message in server.advance().items():
...         for answer in clients[name].step(message):
...             if (name, server.phase) != ("west", "masked"):  # west vanishes before it sends its vector
...                 assert server.step(answer)
>>> result = server.finish()
>>> result.clients, result.dropped, result.weight, result.mean
(('east', 'north', 'south'), ('west',), 6, array([ 0.5, -1. ,  2. ]))
"""

from __future__ import annotations

from ._result import Accepted, Rejected, Result
from .client import Client
from .plan import Plan, plan
from .server import Server
from .session import Session

__all__ = ["Accepted", "Client", "Plan", "Rejected", "Result", "Server", "Session", "plan"]
