"""The base class of estimators with scikit-learn's conventions; it does not need scikit-learn."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any, TypeVar

from .._numeric import as_int

__all__ = ["Estimator", "check_role", "seed_of"]

ROLES = ("guest", "host")

E = TypeVar("E", bound="Estimator")


def check_role(role: object) -> str:
    """Return the role; ValueError if it is neither "guest" (who has the labels) nor "host" (who has more columns)."""
    if role not in ROLES:
        raise ValueError(f'role must be "guest" (who has the labels) or "host", not {role!r}')
    return str(role)


def seed_of(random_state: object, what: str, name: str = "random_state") -> bytes | None:
    """Return a random state as 32 bytes: the bytes given, or a hash of a number from 0 to 2^63 - 1."""
    if random_state is None:
        return None
    if isinstance(random_state, bytes) and len(random_state) == 32:
        return random_state
    if isinstance(random_state, bytes | str):
        raise ValueError(f"{name} must be a whole number or 32 bytes, not {len(random_state)} bytes: hash them to 32")
    number = as_int(random_state, name, 0, (1 << 63) - 1)
    return hashlib.sha256(f"bluetusk {what} {number}".encode()).digest()


class Estimator:
    """Base of the estimators: parameters are the constructor's arguments, results end in an underscore."""

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

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
