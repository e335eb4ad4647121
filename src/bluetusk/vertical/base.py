"""Estimators with scikit-learn's conventions, without needing scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

__all__ = ["Estimator", "check_role"]

ROLES = ("guest", "host")

E = TypeVar("E", bound="Estimator")


def check_role(role: object) -> str:
    """Return the role, or say which there are: the guest has the labels, a host has more columns."""
    if role not in ROLES:
        raise ValueError(f'role must be "guest" (who has the labels) or "host", not {role!r}')
    return str(role)


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
            Without effect; scikit-learn passes it.

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
            If there is no such parameter.

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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"
