"""Chooses the number of neighbours and the threshold of secure aggregation from exact tails.

Each of n clients shares its key and its seed among *k* others, its holders; any *t* of them reconstruct. At most
``floor(corrupt * n)`` clients work together with the server, and at most ``floor(dropout * (n - 1))`` of the others
vanish. On the complete graph, the default up to 64 clients, everybody holds everybody's shares and the conditions are
certain. Above, the holders are a random subset, and these events are bounded, each by a union over all n clients:

privacy
    t of a client's holders are corrupt: ``n P[Hyp(n - 1, floor(corrupt n), k) >= t] <= 2^-security``.
correctness
    fewer than t of a client's holders stay: ``n P[Hyp(n - 1, floor(dropout (n - 1)), k) >= k - t + 1] <=
    2^-correctness``.
one view
    ``2 t > k``: a server that follows the protocol cannot have both secrets of one client reconstructed. Against one
    that shows two views ``2 t > k + c``, c the number of corrupt holders that is exceeded with at most 2^-security.
connection
    semi-honest: the honest clients that stay are connected, since no floor(k / 2) places in a row of the ring are all
    corrupt or gone, up to 2^-security. Malicious: where the server chooses who is gone, every client in the sum has at
    least t of its own choices in it, and up to 2^-security no fewer than :attr:`Plan.group` honest clients can be so
    connected among themselves.

References
----------
J. Bell, K. Bonawitz, A. Gascon, T. Lepoint, M. Raykova, "Secure single-server aggregation with (poly)logarithmic
overhead", CCS 2020; K. Bonawitz et al., "Practical secure aggregation for privacy-preserving machine learning", CCS
2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ..._numeric import as_int
from ...errors import FrameError
from ...wire.frame import check_fields, field
from ._tails import group_bound, least_unlikely, log2_ratio, run_is_unlikely, tail

__all__ = ["COMPLETE_UP_TO", "MAX_CLIENTS", "MAX_NEIGHBOURS", "Plan", "plan"]

COMPLETE_UP_TO = 64
MAX_CLIENTS = 1 << 24
MAX_NEIGHBOURS = 1000
_NOT_INT = ("corrupt", "dropout", "malicious", "complete")


@dataclass(frozen=True)
class Plan:
    """Checked parameters; made by :func:`plan`.

    Attributes
    ----------
    clients : int
        n.
    corrupt, dropout : Fraction
        The largest fractions of corrupt clients, and of clients that vanish.
    malicious : bool
        Whether the server may deviate from the protocol.
    complete : bool
        Whether every client holds shares of all, its own included.
    neighbours : int
        k, the number of holders of a client's shares.
    threshold : int
        t, how many of them reconstruct.
    security, correctness : int
        The bounds on failing, as negative powers of two.

    Raises
    ------
    TypeError, ValueError
        If the parameters do not meet the conditions of this module's description.

    Examples
    --------
    >>> import bluetusk as bt
    >>> plan = bt.federated.secagg.plan(1000, corrupt=0.1, dropout=0.1)
    >>> plan.neighbours, plan.threshold
    (50, 27)
    >>> bt.federated.secagg.Plan(10, plan.corrupt, plan.dropout, False, True, neighbours=10, threshold=5)
    Traceback (most recent call last):
        ...
    ValueError: threshold is 5: it must be 6 to 10 for these parameters; if it was computed, lower corrupt or dropout
    """

    clients: int
    corrupt: Fraction
    dropout: Fraction
    malicious: bool
    complete: bool
    neighbours: int
    threshold: int
    security: int = 40
    correctness: int = 30

    def __post_init__(self) -> None:
        for name, least, largest in (("clients", 2, MAX_CLIENTS), ("security", 1, 128), ("correctness", 1, 128)):
            object.__setattr__(self, name, as_int(getattr(self, name), name, least, largest))
        for name in ("corrupt", "dropout"):
            if not isinstance(getattr(self, name), Fraction) or not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be a fraction, at least 0 and below 1")
        most = self.clients - 1 + self.complete
        neighbours = as_int(self.neighbours, "neighbours", most if self.complete else 1, most)
        object.__setattr__(self, "neighbours", neighbours)
        low = _least_threshold(self, self.neighbours)
        object.__setattr__(self, "threshold", as_int(self.threshold, "threshold"))
        if not low <= self.threshold <= self.neighbours:
            raise ValueError(
                f"threshold is {self.threshold}: it must be {low} to {self.neighbours} for these parameters; "
                "if it was computed, lower corrupt or dropout"
            )
        if self.malicious and self.quorum > self.stay:
            raise ValueError(
                f"dropout leaves {self.stay} clients, but with a malicious server {self.quorum} must agree: "
                "lower dropout or corrupt"
            )

    @property
    def bad(self) -> int:
        """The largest number of corrupt clients, ``floor(corrupt * n)``.

        Examples
        --------
        >>> plan(1000, corrupt=0.33, dropout=0.05).bad
        330
        """
        return int(self.corrupt * self.clients)

    @property
    def gone(self) -> int:
        """The largest number of clients that vanish among the others of a client, ``floor(dropout * (n - 1))``.

        Examples
        --------
        >>> plan(1000, corrupt=0.33, dropout=0.05).gone
        49
        """
        return int(self.dropout * (self.clients - 1))

    @property
    def stay(self) -> int:
        """The least number of clients that stay, ``n - floor(dropout * n)``.

        Examples
        --------
        >>> plan(1000, corrupt=0.33, dropout=0.05).stay
        950
        """
        return self.clients - int(self.dropout * self.clients)

    @property
    def quorum(self) -> int:
        """How many clients must have signed the same view: two such quorums share an honest client.

        Examples
        --------
        >>> plan(1000, malicious=True).quorum
        551
        """
        return (self.clients + self.bad) // 2 + 1

    @property
    def group(self) -> int:
        """The least number of honest clients whose sum a malicious server can see apart from the others'.

        With a server that follows the protocol, and on the complete graph, all honest clients in the sum are connected:
        the number of those that stay.

        Examples
        --------
        >>> plan(40, corrupt=0.1, dropout=0.1, malicious=True).group, plan(200, malicious=True).group > 20
        (32, True)
        """
        if self.complete or not self.malicious:
            return self.stay - self.bad
        inside = self.threshold - _corrupt_holders(self, self.neighbours)
        return group_bound(self.clients, self.clients - self.bad, self.neighbours, inside, self.security)

    def at(self, advertised: int) -> Plan:
        """Return the plan for a round in which fewer clients advertised keys.

        All corrupt clients are assumed to be among those that advertised, and the others count as vanished: a sparse
        graph is planned anew for these numbers; on the complete graph the threshold stays.

        Parameters
        ----------
        advertised : int
            :attr:`stay` to `clients`.

        Returns
        -------
        Plan
            For `advertised` clients, with as many corrupt ones in number.

        Raises
        ------
        ValueError
            If `advertised` is below :attr:`stay` or above `clients`.

        Examples
        --------
        >>> fewer = plan(1000, corrupt=0.2, dropout=0.2).at(900)
        >>> fewer.neighbours, fewer.threshold, fewer.bad
        (81, 50, 200)
        """
        m = as_int(advertised, "advertised", self.stay, self.clients)
        if self.complete or m == self.clients:
            return self
        return _sparse_at(self, m)

    def bits(self) -> tuple[float, float]:
        """Return log2 of the bounds on the failure of privacy and of correctness.

        Returns
        -------
        privacy, correctness : float
            Minus infinity on the complete graph, where they are certain.

        Examples
        --------
        >>> [round(x, 1) for x in plan(1000, corrupt=0.1, dropout=0.1).bits()]
        [-40.7, -30.2]
        """
        if self.complete:
            return float("-inf"), float("-inf")
        n, k = self.clients, self.neighbours
        tails = ((self.bad, self.threshold), (self.gone, k - self.threshold + 1))
        privacy, correctness = (
            log2_ratio(n * top, bottom) for top, bottom in (tail(n - 1, marked, k, least) for marked, least in tails)
        )
        return privacy, correctness

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, for a frame's header.

        Returns
        -------
        dict

        Examples
        --------
        >>> plan(10).to_dict()["corrupt"]
        '1/10'
        """
        values = {name: getattr(self, name) for name in _FIELDS}
        return {name: str(value) if isinstance(value, Fraction) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Plan:
        """Build a plan from what :meth:`to_dict` gave, with every check.

        Parameters
        ----------
        d : mapping
            Exactly its fields.

        Returns
        -------
        Plan

        Raises
        ------
        FrameError
            If a field is missing, unknown, of another type or not allowed.

        Examples
        --------
        >>> Plan.from_dict(plan(100).to_dict()) == plan(100)
        True
        """
        check_fields(d, _FIELDS)
        numbers = {name: field(d, name, int, low=1, high=MAX_CLIENTS) for name in _FIELDS if name not in _NOT_INT}
        try:
            return cls(
                corrupt=_read_fraction(d, "corrupt"),
                dropout=_read_fraction(d, "dropout"),
                malicious=field(d, "malicious", bool),
                complete=field(d, "complete", bool),
                **numbers,
            )
        except ValueError as err:
            raise FrameError(f"frame holds an impossible plan: {err}") from None


_FIELDS = tuple(f.name for f in fields(Plan))


def _read_fraction(d: Mapping[str, Any], name: str) -> Fraction:
    text = field(d, name, str, low=1, high=40)
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise FrameError(f"frame field {name!r} is not a fraction") from None
    if str(value) != text:
        raise FrameError(f"frame field {name!r} is not in canonical form")
    return value


def _corrupt_holders(plan: Plan, k: int) -> int:
    """Return the number of corrupt holders that no client exceeds, up to the plan's security."""
    if plan.complete:
        return plan.bad
    return least_unlikely(plan.clients - 1, plan.bad, k, plan.clients, plan.security) - 1


def _least_threshold(plan: Plan, k: int) -> int:
    """Return the least t that keeps privacy and one view with k holders."""
    c = _corrupt_holders(plan, k)
    return max(c + 1, (k + (c if plan.malicious else 0)) // 2 + 1)


@lru_cache(maxsize=64)
def _sparse_at(whole: Plan, m: int) -> Plan:
    later = max(0, whole.gone - (whole.clients - m))
    return plan(
        m,
        Fraction(whole.bad, m),
        Fraction(later, m - 1),
        whole.malicious,
        complete=False,
        security=whole.security,
        correctness=whole.correctness,
    )


def _fraction(value: object, name: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        raise TypeError(f"{name} must be a float or a Fraction, not {type(value).__name__}")
    exact = Fraction(repr(float(value))) if isinstance(value, float) else Fraction(value)  # 0.1 is a tenth
    if not 0 <= exact < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, not {value}")
    return exact


def plan(
    n: int,
    corrupt: float | Fraction = 0.1,
    dropout: float | Fraction = 0.1,
    malicious: bool = False,
    *,
    complete: bool | None = None,
    threshold: int | None = None,
    security: int = 40,
    correctness: int = 30,
) -> Plan:
    """Choose the number of neighbours and the threshold of a secure aggregation.

    Parameters
    ----------
    n : int
        The number of clients, 2 to 2^24.
    corrupt : float or Fraction, default 0.1
        The largest fraction of clients that work together with the server; a float stands for its shortest decimal
        form.
    dropout : float or Fraction, default 0.1
        The largest fraction of clients that vanish during a round.
    malicious : bool, default False
        Whether the server may deviate from the protocol: larger k and t, and one more round.
    complete : bool, optional
        Whether every client is every other's neighbour; by default up to 64 clients.
    threshold : int, optional
        For the complete graph: by default the largest that `dropout` allows.
    security, correctness : int
        The failure of privacy is bounded by ``2**-security``, that of correctness by ``2**-correctness``.

    Returns
    -------
    Plan
        On a sparse graph with the fewest neighbours, and for these the least threshold.

    Raises
    ------
    TypeError, ValueError
        If an argument is of a wrong type or out of range, or no parameters meet the conditions.

    References
    ----------
    Bell et al., CCS 2020, section 3; the module's description states the events.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.federated.secagg.plan(10, dropout=0.3).threshold
    7
    >>> plan = bt.federated.secagg.plan(10_000, corrupt=0.2, dropout=0.2)
    >>> plan.neighbours, plan.threshold
    (134, 70)
    >>> plan = bt.federated.secagg.plan(1000, malicious=True)
    >>> plan.neighbours, plan.threshold, plan.quorum
    (110, 75, 551)
    """
    n = as_int(n, "n", 2, MAX_CLIENTS)
    bad, gone = _fraction(corrupt, "corrupt"), _fraction(dropout, "dropout")
    whole = n <= COMPLETE_UP_TO if complete is None else complete
    limits = (as_int(security, "security", 1, 128), as_int(correctness, "correctness", 1, 128))
    if whole:
        return Plan(n, bad, gone, malicious, True, n, n - int(gone * n) if threshold is None else threshold, *limits)
    if threshold is not None:
        raise ValueError("threshold follows from the tails on a sparse graph: leave it out, or give complete=True")
    marked, missing = int(bad * n), int(gone * (n - 1))
    for k in range(1, min(n - 1, MAX_NEIGHBOURS) + 1):
        if not run_is_unlikely(n, min(marked + int(gone * n), n), max(1, k // 2), limits[0]):
            continue
        c = least_unlikely(n - 1, marked, k, n, limits[0]) - 1
        t = max(c + 1, (k + (c if malicious else 0)) // 2 + 1)
        if t <= k and t <= k + 1 - least_unlikely(n - 1, missing, k, n, limits[1]):
            return Plan(n, bad, gone, malicious, False, k, t, *limits)
    raise ValueError(
        f"no graph of {n} clients with at most {min(n - 1, MAX_NEIGHBOURS)} neighbours keeps these bounds: lower "
        "corrupt or dropout, or give complete=True"
    )
