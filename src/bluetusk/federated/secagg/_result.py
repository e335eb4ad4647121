"""The result of a round of secure aggregation, and the server's answer to each message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...encoding import FixedPoint

__all__ = ["Accepted", "Rejected", "Result"]


@dataclass(frozen=True)
class Accepted:
    """A message that counts; true in a boolean context.

    Attributes
    ----------
    sender : str
        The client.
    round : int
        The round.
    phase : str
        The server's phase.
    clients : int
        How many clients' messages of this phase count now.

    Examples
    --------
    >>> bool(Accepted("a", 0, "advertise", 1))
    True
    """

    sender: str
    round: int
    phase: str
    clients: int


@dataclass(frozen=True)
class Rejected:
    """A message that was left out; false in a boolean context.

    Attributes
    ----------
    sender : str or None
        The client that the message names; not authenticated where the reason is a signature, a tag or damage.
    round : int
        The server's round.
    phase : str
        The server's phase.
    reason : str
        Why, in one sentence.

    Examples
    --------
    >>> bool(Rejected("a", 0, "advertise", "the signature is not the sender's"))
    False
    """

    sender: str | None
    round: int
    phase: str
    reason: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True, eq=False)
class Result:
    """The exact sum over the clients that it names.

    Attributes
    ----------
    round : int
        The round.
    integers : ndarray of int64, shape (length,)
        The exact sum of ``weight * quantised value``; read-only.
    weight : int
        The sum of the weights.
    clients : tuple of str
        Whose vectors the sum holds, sorted.
    dropped : tuple of str
        Clients that shared their keys and then sent no vector that counts.
    rejected : mapping of str to str
        For each client of which a message was left out, the last reason.
    encoding : FixedPoint
        The session's.

    Examples
    --------
    >>> import numpy as np, bluetusk as bt
    >>> result = Result(0, np.array([7, -8]), 2, ("a", "b"), (), {}, bt.FixedPoint.integers(10))
    >>> result.sum, result.mean
    (array([ 7., -8.]), array([ 3.5, -4. ]))
    """

    round: int
    integers: NDArray[np.int64]
    weight: int
    clients: tuple[str, ...]
    dropped: tuple[str, ...]
    rejected: Mapping[str, str]
    encoding: FixedPoint

    @cached_property
    def sum(self) -> NDArray[np.float64]:
        """The integers at the encoding's scale, rounded half-even once.

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> Result(0, np.array([50]), 2, ("a", "b"), (), {}, bt.FixedPoint.money()).sum
        array([0.5])
        """
        return self.encoding.to_float(self.integers, self.encoding.frac)

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """The integers divided by the weight at the encoding's scale, rounded half-even once.

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> Result(0, np.array([50]), 2, ("a", "b"), (), {}, bt.FixedPoint.money()).mean
        array([0.25])
        """
        return self.encoding.to_float(self.integers, self.encoding.frac, self.weight)
