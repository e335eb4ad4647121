"""The second phase: clients deal shares of their keys and seeds, and the server delivers them to their holders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import FrameError
from ....wire.frame import Frame, Kind
from .._ids import ClientId, Place, Places, records
from .._messages import bitmap, check_tagged
from .._peer import box_bytes
from .._roster import Roster
from ..masks import ring_dtype
from ._phase import Dealt, Out, Phase, Round, pack_ints, placed, table
from .masked import Masked

__all__ = ["Shares"]


@dataclass(kw_only=True, repr=False, eq=False)
class Shares(Phase["tuple[Masked, Out]"]):
    """Collects encrypted shares; its end sends each client those that it holds."""

    name = "shares"
    kind = Kind.SECAGG_SHARES
    roster: Roster
    holders: dict[Place, Places] = field(default_factory=dict)  # client -> who holds its shares
    boxes: dict[Place, NDArray[np.uint8]] = field(default_factory=dict)

    def take(self, sender: ClientId, frame: Frame) -> None:
        """Take the shares that a client deals."""
        session, roster = self.round.session, self.roster
        check_tagged(session, self.round.number, frame, ("sender",), self.round.pairs[sender])
        size = 4 + box_bytes(roster.plan)
        if frame.payload.nbytes % size:
            raise FrameError("the shares are not a whole number of records")
        to, boxes = records(frame.payload, size)
        me, m = roster.places[sender], len(roster)
        if roster.holders is not None:
            chosen = roster.holders[me]
            if not np.array_equal(to, chosen[chosen != me]):
                raise FrameError("the shares are not for the holders that the graph gives this client")
        elif len(to) != roster.plan.neighbours or np.any(np.diff(to) <= 0) or me in to or np.any(to >= m):
            raise FrameError(f"the shares are not for {roster.plan.neighbours} different other clients")
        self.holders[me] = np.arange(m) if session.plan.complete else to
        self.boxes[me] = boxes.copy()

    def end(self) -> tuple[Masked, Out]:
        """Deliver the shares."""
        round, session, roster = self.round, self.round.session, self.roster
        clients = self._need(max(session.min_clients, roster.plan.threshold), "shared their keys")
        shared = roster.flags(clients)
        head = bitmap(shared)
        senders = sorted(self.boxes)
        counts = [len(self.boxes[place]) for place in senders]
        dealt = np.repeat(np.array(senders, np.int64), counts)
        to = np.concatenate([self.holders[place][self.holders[place] != place] for place in senders])
        boxes = np.concatenate([self.boxes.pop(place) for place in senders])
        order = np.argsort(to, kind="stable")  # within a recipient the senders stay in order
        bounds = np.searchsorted(to[order], np.arange(len(roster) + 1))
        held, out = {}, {}
        for client in clients:
            me = roster.places[client]
            rows = order[bounds[me] : bounds[me + 1]]
            delivered = np.empty((len(rows), 4 + boxes.shape[1]), np.uint8)
            delivered[:, :4] = dealt[rows].astype("<u4").view(np.uint8).reshape(-1, 4)
            delivered[:, 4:] = boxes[rows]
            own = [me] if session.plan.complete else []
            held[me] = np.concatenate([dealt[rows], np.array(own, np.int64)])
            payload = head + delivered.tobytes()
            out[session.names[client]] = round.sign(Kind.SECAGG_DELIVERY, {"to": client}, payload)
        total = np.zeros(session.length + 1, ring_dtype(session.bits))
        return Masked(round=round, expected=set(clients), dealt=Dealt(roster, self.holders, held, shared, total)), out

    def pack(self) -> dict[str, bytes]:
        """Return the roster and the shares on their way."""
        parts = {"roster": self.roster.payload}
        parts |= {f"holders {place}": pack_ints(places) for place, places in self.holders.items()}
        return parts | {f"boxes {place}": rows.tobytes() for place, rows in self.boxes.items()}

    @classmethod
    def unpack(cls, round: Round, parts: Mapping[str, bytes]) -> dict[str, Any]:
        """Read what :meth:`pack` gave."""
        roster = Roster(round.session, round.number, parts["roster"])
        size = box_bytes(roster.plan)
        boxes = {
            Place(place): np.frombuffer(part, np.uint8).reshape(-1, size)
            for place, part in table(parts, "boxes").items()
        }
        return {"roster": roster, "holders": placed(parts, "holders"), "boxes": boxes}
