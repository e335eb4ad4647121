"""One process of the demo, started by :mod:`~bluetusk.demo.runner`.

Its job is a JSON object: the fields of :class:`~bluetusk.demo.roles.Job`, and the inherited sockets' descriptors
``report`` and ``links``. The exit status is 0 for a role that ended as it should, 1 for one that failed and reported
why, 4 for one whose peer left first.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import warnings
from typing import Any

from ..errors import BluetuskError, ProtocolAbort
from . import masked
from .channel import Account, Channel, note
from .roles import Job, aggregator, bank, bank_name, key_holder

__all__ = ["main"]

PEER_GONE = 4


def _die_with_parent(report: socket.socket) -> None:
    """End this process when its parent is gone: the socket carries no data, so its end is that sign."""
    report.recv(1)
    os._exit(PEER_GONE)


def main(argument: str) -> int:
    """Run one role.

    Parameters
    ----------
    argument : str
        The job as JSON.

    Returns
    -------
    int
        Exit status.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its children
    warnings.simplefilter("ignore")  # the parent prints the warning about a key of 2048 bits
    told: dict[str, Any] = json.loads(argument)
    report = socket.socket(fileno=told.pop("report"))
    links = [socket.socket(fileno=number) for number in told.pop("links")]
    job = Job(**told)
    threading.Thread(target=_die_with_parent, args=(report,), daemon=True).start()
    account = Account()
    channels = [Channel(link, account) for link in links]
    parent = Channel(report)
    who = bank_name(job.index) if job.role == "bank" else job.role
    try:
        if job.role == "bank":
            (bank if job.method == "paillier" else masked.bank)(job, channels[0], account)
        elif job.method != "paillier":
            masked.aggregator(job, channels, parent.send, account)
        elif job.role == "aggregator":
            aggregator(job, channels[0], channels[1:], parent.send, account)
        else:
            key_holder(job, channels[0], parent.send, account)
        account.close()
        phases = {name: [round(1e6 * used.seconds), used.sent, used.received] for name, used in account.phases.items()}
        parent.send(note("done", phases=phases))
    except ProtocolAbort as err:
        known: dict[str, Any] = {"round": err.round, "party": err.party}
        fields = {name: value for name, value in known.items() if value is not None}
        parent.send(note("abort", reason=err.reason, **fields))
        return 1
    except EOFError:
        return PEER_GONE
    except (BluetuskError, ArithmeticError, ValueError, OSError, MemoryError) as err:
        parent.send(note("abort", reason=f"{who}: {err}"))
        return 1
    return 0
