"""Objects that may be used once: all views of one are spent together, and none can be copied.

A mask that hides one value hides no second one: the difference of two masked values is the difference of the values.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ._fork import process
from .errors import ProtocolAbort

__all__ = ["Uncopied", "Uses"]


class Uncopied:
    """Base of classes that cannot be copied; ``_no_copy`` is the reason, for the error."""

    __slots__ = ()

    _no_copy = "two copies could be used twice"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied: {self._no_copy}")

    def __reduce__(self) -> NoReturn:
        self.__reduce_ex__(0)

    def __getstate__(self) -> NoReturn:
        self.__reduce_ex__(0)

    def __copy__(self) -> NoReturn:
        self.__reduce_ex__(0)

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        self.__copy__()


class Uses(Uncopied):
    """Which parts of an object were used: shared by all its views, in the process that made it.

    Parameters
    ----------
    name : str
        The object's name, for messages.
    hides : str
        What a second use would reveal.

    Examples
    --------
    >>> uses = Uses("pair", "a difference")
    >>> uses.spend(0), uses.spend(1)
    (None, None)
    >>> uses.spend(None)
    Traceback (most recent call last):
        ...
    bluetusk.errors.ProtocolAbort: this pair was already used; a second use would reveal a difference: take a new one
    """

    __slots__ = ("_hides", "_name", "_process", "_spent")

    def __init__(self, name: str, hides: str) -> None:
        self._name, self._hides, self._process = name, hides, process()
        self._spent: dict[int | None, object] = {}

    def spent(self, part: int | None) -> bool:
        """Whether this part, or the whole (None) or a part of it, was used."""
        return bool(self._spent) if part is None else part in self._spent or None in self._spent

    def spend(self, part: int | None) -> None:
        """Note the use of a part, or the whole (None), before anything that it masks is computed.

        Raises
        ------
        ProtocolAbort
            If it, the whole or a part of it was used, or this process is a fork of the one that made it.
        """
        if self._process is not process():
            raise ProtocolAbort(
                f"this {self._name} was made by the parent process, and each side of a fork could use it: make it in "
                "the process that uses it"
            )
        # setdefault is one atomic step: of two threads one gets its token in, and no interrupt leaves a lock behind
        token = object()
        first = self._spent.setdefault(part, token) is token
        if not first or (len(self._spent) > 1 if part is None else None in self._spent):
            if first and part is None:
                del self._spent[None]  # it did not serve: the parts that have not are still good
            raise ProtocolAbort(
                f"this {self._name} was already used; a second use would reveal {self._hides}: take a new one"
            )
