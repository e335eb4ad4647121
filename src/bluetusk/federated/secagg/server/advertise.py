"""The first phase: every client advertises its keys of the round, and the server publishes them all as the roster."""

from __future__ import annotations

from dataclasses import dataclass

from ....errors import FrameError
from ....wire.frame import Frame, Kind
from .._ids import ClientId
from .._messages import ADVERT, check_signed
from .._roster import Roster, encode_roster
from ..masks import is_low_order
from ._phase import Out, Phase
from .shares import Shares

__all__ = ["Advertise"]


@dataclass(kw_only=True, repr=False, eq=False)
class Advertise(Phase["tuple[Shares, Out]"]):
    """Collects adverts; its end sends the roster."""

    name = "advertise"
    kind = Kind.SECAGG_ADVERTISE

    def __post_init__(self) -> None:
        adverts = self.round.adverts.values()
        self._known = {key for advert, _ in adverts for key in (advert[:32], advert[32:64])}

    def take(self, sender: ClientId, frame: Frame) -> None:
        """Take a client's keys."""
        session = self.round.session
        check_signed(frame, ("sender",), session.clients[session.names[sender]][0])
        if frame.payload.nbytes != ADVERT:
            raise FrameError(f"a client advertises {ADVERT} bytes, not {frame.payload.nbytes}")
        advert = bytes(frame.payload)
        share_key, mask_key = advert[:32], advert[32:64]
        if share_key == mask_key or self._known & {share_key, mask_key}:
            raise FrameError("a key was advertised twice")
        if is_low_order(mask_key):
            raise FrameError("a key of low order was advertised")
        self.round.admit(sender, advert, frame.header["signature"])
        self._known |= {share_key, mask_key}

    def end(self) -> tuple[Shares, Out]:
        """Publish the keys."""
        round, session = self.round, self.round.session
        clients = self._need(session.min_advertised, "advertised keys")
        payload = encode_roster([(i, *round.adverts[i]) for i in clients], session.plan.malicious)
        roster = Roster(session, round.number, payload)
        message = round.to_all(clients, Kind.SECAGG_ROSTER, {"key": round.public}, payload)
        return Shares(round=round, expected=set(clients), roster=roster), message
