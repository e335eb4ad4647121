"""The base class of estimators with scikit-learn's conventions; it does not need scikit-learn."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

from .._numeric import as_int
from .._parallel import num_threads, resolve_threads
from ..paillier import validate
from .protocol.job import Job, Keeper, Progress, drive
from .protocol.link import Link

__all__ = ["Estimator", "check_key_size", "check_role", "names_of", "peers_of", "seed_of"]

ROLES = ("guest", "host")

E = TypeVar("E", bound="Estimator")


def check_role(role: object) -> str:
    """Return the role; ValueError if it is neither "guest" (who has the labels) nor "host" (who has more columns)."""
    if role not in ROLES:
        raise ValueError(f'role must be "guest" (who has the labels) or "host", not {role!r}')
    return str(role)


def names_of(names: object, argument: str, known: Collection[str]) -> set[str]:
    """Return the names in a collection, such as `reveal`; each must be known.

    Examples
    --------
    >>> names_of(["woe", "labels"], "reveal", ["woe"])
    Traceback (most recent call last):
        ...
    ValueError: reveal names 'labels': it may hold 'woe'
    """
    if isinstance(names, str | bytes | Mapping) or not isinstance(names, Collection):
        usual = next(iter(known))
        raise TypeError(f"{argument} must be a collection of names, such as ({usual!r},), not {names!r:.64}")
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"{argument} names {name!r:.64}: it may hold {' and '.join(map(repr, known))}")
    return {str(name) for name in names}


def seed_of(random_state: object, what: str, name: str = "random_state") -> bytes | None:
    """Return a random state as 32 bytes: the bytes given, or a hash of a number from 0 to 2^63 - 1."""
    if random_state is None:
        return None
    if isinstance(random_state, bytes | bytearray | memoryview):
        seed = bytes(random_state)
        if len(seed) != 32:
            raise ValueError(f"{name} must be a whole number or 32 bytes, not {len(seed)} bytes: hash them to 32")
        return seed
    if isinstance(random_state, str):
        raise TypeError(f"{name} must be a whole number or 32 bytes, not str")
    number = as_int(random_state, name, 0, (1 << 63) - 1)
    return hashlib.sha256(f"bluetusk {what} {number}".encode()).digest()


def peers_of(role: str, link: Link | None, links: Sequence[Link] | None = None) -> list[Link]:
    """Return the links to the peers, or say how to give them."""
    peers = [link] if link is not None else list(links or ())
    if link is not None and links is not None:
        raise ValueError("give either link or links, not both: links is for a guest with several hosts")
    if not peers:
        raise ValueError("link is missing: give a Link, as local_links() and Party make them")
    if role == "host" and len(peers) != 1:
        raise ValueError(f"links has {len(peers)}: a host has one link, to the guest")
    for each in peers:
        if not (hasattr(each, "send") and hasattr(each, "receive")):  # a program may wrap one
            raise TypeError(f"a link must be a Link, as local_links() and Party make them, not {type(each).__name__}")
    return peers


def check_certificate(trained: str, links: Sequence[Link]) -> None:
    """Refuse a peer with whom a half was not trained, as far as both certificates are known."""
    for link in links:
        now = getattr(link, "certificate", "")
        if trained and now and trained != now:
            raise ValueError(
                f"this half was trained with the peer of certificate {trained}, but {link.peer!r} has the certificate "
                f"{now}: score with the peer of the training, or load the half that was trained with this one"
            )


def check_pieces(table: Any, columns: Sequence[str], ids: Sequence[Any] | None, role: str) -> None:
    """Refuse rows to score of another width than the model's, and a host's without ids."""
    if not len(table):
        raise ValueError("table must have at least one row")
    shape = getattr(table[0:1], "shape", ())
    if shape != (1, len(columns)):
        raise ValueError(f"the first row of table has the shape {shape}, but the model has {len(columns)} columns")
    if ids is None and role == "host":
        raise ValueError("ids is missing: give the rows' ids, so that this host scores each row once")


def check_key_size(bits: object) -> int:
    """Return the size of a key in bits; TypeError or InvalidKey if it is not one that is offered."""
    size = as_int(bits, "key_size")
    validate.check_bits(size, "key_size")
    return size


def _random_state(state: object) -> object:
    seed_of(state, "")
    return state


SHARED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "role": check_role,
    "min_rows": lambda rows: as_int(rows, "min_rows", 1),
    "key_size": check_key_size,
    "random_state": _random_state,
    "threads": lambda threads: None if threads is None else resolve_threads(threads),
}
"""Arguments that estimators share, in the order in which each takes those that it has, and how they are checked."""


class Estimator:
    """Base of the estimators: parameters are the constructor's arguments, results end in an underscore."""

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def _shared(self) -> dict[str, Any]:
        """Return the arguments that estimators share, as far as this one has them, checked, as Python's own numbers."""
        return {name: check(getattr(self, name)) for name, check in SHARED.items() if hasattr(self, name)}

    def _drive(self, job: Job, links: Sequence[Link], keeper: Keeper | None, progress: Progress | None = None) -> None:
        """Take all steps of a job in the number of threads of this estimator, operators too, which do not take one."""
        with num_threads(getattr(self, "threads", None)):
            drive(job, links, keeper=keeper, progress=progress)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters.

        Parameters
        ----------
        deep : bool
            Ignored; scikit-learn passes it.

        Returns
        -------
        dict of str to value

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.vertical.WoEBinning("host").get_params()["max_bins"]
        10
        """
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self: E, **params: Any) -> E:
        """Set parameters.

        Parameters
        ----------
        **params
            New values by name.

        Returns
        -------
        Estimator
            This one.

        Raises
        ------
        ValueError
            If the estimator has no parameter of a given name.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.vertical.WoEBinning("host").set_params(max_bins=5).max_bins
        5
        """
        for name, value in params.items():
            if name not in self._names():
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}: it has {', '.join(self._names())}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return the tags that scikit-learn 1.6 and later requires, so that its tools accept these estimators."""
        from sklearn.utils import Tags, TargetTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=False))

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether the estimator is fitted: whether it has attributes that end in an underscore."""
        return any(name.endswith("_") and not name.startswith("_") for name in vars(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"
