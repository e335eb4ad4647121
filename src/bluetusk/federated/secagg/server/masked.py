"""The third phase: masked vectors are added as they come, and the clients receive the list of vectors in the sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...._kernels import ring as kernel
from ....errors import FrameError
from ....wire.frame import Frame, Kind
from .._ids import ClientId
from .._messages import bitmap, check_tagged
from .._peer import Words
from ._phase import Masking, Out
from .consent import Consent
from .unmask import Unmask

__all__ = ["Masked", "add_packed"]

_BLOCK = 1 << 15


@dataclass(kw_only=True, repr=False, eq=False)
class Masked(Masking["tuple[Consent | Unmask, Out]"]):
    """Adds masked vectors; its end asks for consent (malicious mode), else for shares."""

    name = "masked"
    kind = Kind.SECAGG_MASKED

    def take(self, sender: ClientId, frame: Frame) -> None:
        """Add a client's vector to the sum."""
        session = self.round.session
        words = session.length + 1
        size = kernel.packed_bytes(words, session.bits)
        if frame.payload.nbytes != size:
            raise FrameError(f"a masked vector takes {size} bytes, not {frame.payload.nbytes}")
        check_tagged(session, self.round.number, frame, ("sender",), self.round.pairs[sender])
        used = words * session.bits % 8
        if used and frame.payload[-1] >> used:
            raise FrameError("the bits after the last word are not 0")
        try:
            add_packed(self.dealt.total, frame.payload, session.bits)
        except BaseException:  # Ctrl-C in the middle: it is unknown what was added so far, and nothing may count twice
            self.broken = True
            raise

    def end(self) -> tuple[Consent | Unmask, Out]:
        """Ask the clients in the sum to go on."""
        round, plan, roster = self.round, self.round.session.plan, self.dealt.roster
        clients = self._need(max(round.session.min_clients, roster.plan.threshold), "sent their masked vectors")
        following = Consent if plan.malicious else Unmask
        survivors = roster.flags(clients)
        kind = Kind.SECAGG_VIEW if plan.malicious else Kind.SECAGG_REQUEST
        message = round.to_all(clients, kind, {}, bitmap(survivors))
        return following(round=round, expected=set(clients), dealt=self.dealt, survivors=survivors), message


def add_packed(total: Words, payload: memoryview, bits: int) -> None:
    """Add a packed vector, block by block, so that no second vector is ever held."""
    if bits == 8 * total.itemsize:
        np.add(total, np.frombuffer(payload, total.dtype.newbyteorder("<")), out=total)
        return
    data = np.frombuffer(payload, np.uint8)
    scratch = np.empty(min(_BLOCK, total.size), total.dtype)
    step = _BLOCK * bits // 8
    for number, at in enumerate(range(0, total.size, _BLOCK)):
        part = total[at : at + _BLOCK]
        words = scratch[: part.size]
        lo = number * step
        kernel.unpack(data[lo : lo + kernel.packed_bytes(part.size, bits)], bits, words)
        np.add(part, words, out=part)
