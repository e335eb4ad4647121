"""The phase of malicious mode before unmasking: clients sign the set of clients in the sum and see each other sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....errors import FrameError
from ....wire.frame import Frame, Kind, check_fields
from ....wire.frame import field as field_of
from ...parties import signed_by
from .._ids import ClientId, Place
from .._messages import bitmap, view_digest
from ._phase import Closed, Out, Round, table
from .unmask import Unmask

__all__ = ["Consent"]


@dataclass(kw_only=True, repr=False, eq=False)
class Consent(Closed["tuple[Unmask, Out]"]):
    """Collects signatures on the set of clients in the sum; its end shows them to all and asks for shares."""

    name = "consent"
    kind = Kind.SECAGG_CONSENT
    consents: dict[Place, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        round, dealt = self.round, self.dealt
        shared, survivors = bitmap(dealt.shared), bitmap(self.survivors)
        self._view = view_digest(round.session, round.number, dealt.roster.digest, shared, survivors)

    def take(self, sender: ClientId, frame: Frame) -> None:
        """Take a client's signature."""
        check_fields(frame.header, {"session", "round", "sender", "signature"})
        signature: bytes = field_of(frame.header, "signature", bytes, length=64)
        session = self.round.session
        if not signed_by(session.clients[session.names[sender]][0], signature, self._view):
            raise FrameError("the signature is not the sender's, or is on another set of clients")
        self.consents[self.dealt.roster.places[sender]] = signature

    def end(self) -> tuple[Unmask, Out]:
        """Ask for shares, with as many signatures as clients want to see."""
        round, quorum = self.round, self.round.session.plan.quorum
        clients = self._need(quorum, "consented to the set of clients in the sum")
        signatures = [place.to_bytes(4, "little") + self.consents[place] for place in sorted(self.consents)]
        payload = bitmap(self.survivors) + b"".join(signatures[:quorum])
        message = round.to_all(clients, Kind.SECAGG_REQUEST, {}, payload)
        return Unmask(round=round, expected=set(clients), dealt=self.dealt, survivors=self.survivors), message

    def pack(self) -> dict[str, bytes]:
        """Return the sum, who is in it, and the signatures."""
        return super().pack() | {f"consent {place}": signature for place, signature in self.consents.items()}

    @classmethod
    def unpack(cls, round: Round, parts: Mapping[str, bytes]) -> dict[str, Any]:
        """Read what :meth:`pack` gave."""
        consents = {Place(place): part for place, part in table(parts, "consent").items()}
        return super().unpack(round, parts) | {"consents": consents}
