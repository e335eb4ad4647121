"""Notes on disk, beforehand, what a client must never do twice in a round: start it, mask, consent, answer."""

from __future__ import annotations

from ..._fork import process
from ..._once import Uncopied
from ...errors import ProtocolAbort
from ..paillier_sum.journal import Journal

__all__ = ["Memory", "Notes"]

_WHAT = {
    "start": "this client already started the round: two sets of keys for one round could unmask its values",
    "mask": "this client already sent its masked vector",
    "consent": "this client already consented to a set of clients",
    "answer": "this client already answered a request for shares: two answers could unmask one client's values",
}


class Notes(Journal):
    """A client's journal; the file is as :class:`~bluetusk.federated.paillier_sum.journal.Journal` describes it."""

    _owner, _verb, _noted, _done = "client", "answer", "the answer", "sent"

    def _again(self, tensor: str) -> str:
        return f"{_WHAT.get(tensor, tensor)}: start a new round"


class Memory(Uncopied):
    """The same promise for a client without a file: it holds as long as the process."""

    def __init__(self) -> None:
        self._spent: dict[tuple[int, str], object] = {}
        self._process = process()

    def spend(self, round: int, what: str) -> None:
        """Note something, or refuse it."""
        if self._process is not process():
            raise ProtocolAbort("the client belongs to the parent process: a fork may not answer", round=round)
        token = object()
        if self._spent.setdefault((round, what), token) is not token:  # one atomic step: of two threads, one goes on
            raise ProtocolAbort(f"{_WHAT[what]}: start a new round", round=round)

    def close(self) -> None:
        """Nothing to release."""
