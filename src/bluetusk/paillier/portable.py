"""The name under which pickles of earlier versions look for the function that loads an encrypted array."""

from ._wire import _unpickled

__all__ = ["_unpickled"]
