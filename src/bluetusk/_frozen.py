"""Objects that never change: attributes are set when they are made, any other setting is an error."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["Frozen"]


class Frozen:
    """Base of classes whose attributes are set by :meth:`_put` once and by nobody else.

    ``_unchanging`` is the error's text; its braces are filled with the attempted change.

    Examples
    --------
    >>> class Point(Frozen):
    ...     _unchanging = "a point cannot be changed ({}): make a new one"
    >>> Point().x = 1
    Traceback (most recent call last):
        ...
    AttributeError: a point cannot be changed (setting 'x'): make a new one
    """

    __slots__ = ()

    _unchanging: str

    def _put(self, **attributes: object) -> None:
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(self._unchanging.format(f"setting {name!r}"))

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(self._unchanging.format(f"deleting {name!r}"))
