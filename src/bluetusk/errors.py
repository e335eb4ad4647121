"""The package's exceptions: one base, few kinds, each with a remedy in its message."""

from __future__ import annotations

import logging

__all__ = [
    "BluetuskError",
    "DataWarning",
    "DecryptionError",
    "EncodingOverflow",
    "FrameError",
    "InvalidCiphertext",
    "InvalidKey",
    "PolicyRefused",
    "ProtocolAbort",
]

_log = logging.getLogger("bluetusk")
_log.addHandler(logging.NullHandler())


class BluetuskError(Exception):
    """Base of every error that this package raises about data, keys or peers.

    A wrong argument type or shape raises the built-in ``TypeError`` or ``ValueError`` instead.

    Examples
    --------
    >>> import bluetusk as bt
    >>> try:
    ...     bt.paillier.PublicKey(15)
    ... except bt.BluetuskError as error:
    ...     print(type(error).__name__)
    InvalidKey
    """


class DataWarning(UserWarning):
    """A finding that limits a result: few events, a column that separates the classes, a model worse than chance.

    Findings about labels are shown only to the party that has the labels: to the other party they would reveal a
    statistic of them. Each party is warned of its own columns: values that training has not seen, cells left out.
    To make such a finding an error: ``warnings.simplefilter("error", bluetusk.DataWarning)``.

    Examples
    --------
    >>> import bluetusk as bt, warnings
    >>> warnings.simplefilter("default", bt.DataWarning)
    """


class InvalidKey(BluetuskError):
    """A key that fails a check, is closed, is wiped by a fork, or does not belong to the data.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.paillier.PublicKey(2**2047)
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: n is even: not a product of two large primes; ask the key's owner for the right key
    """


class InvalidCiphertext(BluetuskError):
    """A value that is not a ciphertext under this key: out of range, or not invertible modulo n.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.paillier.hazmat.decrypt_raw(priv, [2, 0])
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidCiphertext: c[1] is not a ciphertext: it must be in 1 .. n^2 - 1 and prime to n
    """


class EncodingOverflow(BluetuskError):
    """A value, or the proven bound of a result, exceeds what the plan or the key can hold.

    Examples
    --------
    >>> import bluetusk as bt
    >>> try:
    ...     pub.encrypt([0.5, 7.0], bt.FixedPoint(clip=4.0))
    ... except bt.EncodingOverflow as error:
    ...     print(error)
    array[1] is beyond clip=4.0: raise clip, or choose on_clip="clip" or "l2"
    """


class DecryptionError(BluetuskError):
    """Decryption failed; the message is the same whatever the cause.

    Different messages for different causes would be an oracle for whoever may submit ciphertexts. The cause goes to the
    local log only (logger ``bluetusk``, level WARNING).

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
    """Bytes that are not one well-formed frame of the expected kind and version.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.paillier.PublicKey.from_bytes(b"anything")
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: frame is truncated: 8 bytes are fewer than its fixed header of 20
    """


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
    kind : str or None
        What ended the run, where a program may act on it: "absent", "peer", "certificate", "settings", "disk", "busy".

    Examples
    --------
    >>> import bluetusk as bt
    >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
    >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
    >>> try:
    ...     session.aggregator().finish(3, "x")
    ... except bt.ProtocolAbort as error:
    ...     print(error.round, error.party, error.reason, sep="; ")
    3; None; the sum of tensor 'x' holds 0 clients, but at least 2 are needed: wait for more, or give the round up
    """

    def __init__(
        self, reason: str, *, round: int | None = None, party: str | None = None, kind: str | None = None
    ) -> None:
        self.round = round
        self.reason = reason
        self.party = party
        self.kind = kind
        where = f"round {round}: " if round is not None else ""
        who = f" (party at fault: {party})" if party is not None else ""
        super().__init__(f"{where}{reason}{who}")


class PolicyRefused(BluetuskError):
    """A use of data that its owner's policy does not allow, or that could not be noted on disk.

    Attributes
    ----------
    clause : str
        The clause that refuses: "peer", "until", "uses", "min_rows", "store" (the counters cannot be kept) ...
    reason : str
        Why, in one sentence.
    peer, purpose : str or None
        The peer that requested the use, and its purpose.

    Examples
    --------
    >>> import bluetusk as bt
    >>> refusal = bt.PolicyRefused("all 20 uses are spent", clause="uses", peer="bank", purpose="binning")
    >>> print(refusal)
    policy refuses binning to bank (clause uses): all 20 uses are spent
    """

    def __init__(self, reason: str, *, clause: str, peer: str | None = None, purpose: str | None = None) -> None:
        self.clause = clause
        self.reason = reason
        self.peer = peer
        self.purpose = purpose
        what = f" {purpose}" if purpose is not None else ""
        who = f" to {peer}" if peer is not None else ""
        super().__init__(f"policy refuses{what}{who} (clause {clause}): {reason}")
