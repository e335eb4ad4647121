"""The package's exceptions: one base, few kinds, each with a remedy in its message."""

from __future__ import annotations

import logging

__all__ = [
    "BluetuskError",
    "DecryptionError",
    "EncodingOverflow",
    "FrameError",
    "InvalidCiphertext",
    "InvalidKey",
    "ProtocolAbort",
]

_log = logging.getLogger("bluetusk")
_log.addHandler(logging.NullHandler())


class BluetuskError(Exception):
    """Base of every error that this package raises for what data, keys or peers did.

    A wrong argument type or shape raises the built-in ``TypeError`` or ``ValueError`` instead.
    """


class InvalidKey(BluetuskError):
    """A key that fails a check, is closed, is wiped by a fork, or does not belong to the data."""


class InvalidCiphertext(BluetuskError):
    """A value that is no ciphertext under this key: out of range, or not invertible modulo n."""


class EncodingOverflow(BluetuskError):
    """A value, or the proven bound of a result, exceeds what the plan or the key can hold."""


class DecryptionError(BluetuskError):
    """Decryption failed; the message is the same whatever the cause.

    A message that told causes apart would be an oracle for whoever may submit ciphertexts. The cause goes to the local
    log only (logger ``bluetusk``, level WARNING).

    Parameters
    ----------
    detail : str, optional
        The cause, for the log.

    Examples
    --------
    >>> import bluetusk as bt
    >>> print(bt.DecryptionError("a check failed"))
    decryption failed; see the local log of logger 'bluetusk' for the cause
    """

    def __init__(self, detail: str = "") -> None:
        if detail:
            _log.warning("decryption failed: %s", detail)
        super().__init__("decryption failed; see the local log of logger 'bluetusk' for the cause")


class FrameError(BluetuskError):
    """Bytes that are not one well-formed frame of the expected kind and version."""


class ProtocolAbort(BluetuskError):
    """A protocol run that cannot go on.

    Attributes
    ----------
    round : int or None
        The round that was aborted.
    reason : str
        Why, in one sentence.
    party : str or None
        The party at fault, where known.
    """

    def __init__(self, reason: str, *, round: int | None = None, party: str | None = None) -> None:
        self.round = round
        self.reason = reason
        self.party = party
        where = f"round {round}: " if round is not None else ""
        who = f" (party at fault: {party})" if party is not None else ""
        super().__init__(f"{where}{reason}{who}")
