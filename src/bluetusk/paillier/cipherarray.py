"""The name under which pickles of earlier versions look for :class:`CipherArray`."""

from .array import CipherArray

__all__ = ["CipherArray"]
