"""One party of a vertical model as a process, with its identity, its state on disk and its link to the peer."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from typing import TypeVar

from ...errors import BluetuskError, ProtocolAbort
from ...evidence import fingerprint
from ...evidence.notary import Notary
from ..base import check_role
from ..protocol.job import Keeper
from ..protocol.link import Link, Rewind, Watcher
from ..protocol.refusal import kind_of
from . import grpc as _grpc
from .certs import Identity
from .session import Session
from .transport import Transport
from .vault import Vault
from .waiting import QUOTA

__all__ = ["Party"]

R = TypeVar("R")


class Party:
    """A party that communicates with one peer over gRPC with mutual TLS, and survives a kill -9 of either.

    Parameters
    ----------
    role : {"guest", "host"}
        This party's name in messages; the peer has the other one.
    job : str
        Name of the run; the same at both parties. A state directory serves one job.
    identity : Identity
        Certificates and key.
    state : path-like
        Directory for the encrypted state, mode 0700. Start again with the same one to resume after a crash.
    listen, connect : str, optional
        The address to listen at ("0.0.0.0:7443"), or that of the peer; give exactly one.
    patience : float
        Seconds without a sign of life from the peer after which the run is aborted.
    observer : Observer, optional
        Policy, meter and evidence: a ``bt.evidence.Recorder``.
    spool_quota : int
        Largest number of bytes of received frames, from the peer running ahead, that wait in the state directory.
    notary : Notary, optional
        Signs this party's requests and answers and keeps the peer's, and the heads of both logs; the peer must have one
        too.

    Attributes
    ----------
    link : Link
        To the peer.
    keeper : Keeper
        For the estimators' ``keeper`` argument.
    address : str
        The address where this party listens, or to which it connects.

    Raises
    ------
    ImportError
        If grpcio is not installed.
    ProtocolAbort
        If the state is another job's or in use, the port is taken, the certificates do not fit, or the peer is silent.
    ValueError
        If `role` is neither "guest" nor "host", or not exactly one of `listen` and `connect` is given.

    Notes
    -----
    The state on disk is encrypted by AES-256-GCM with a key derived from the party's private key. Frames are on disk
    before they are sent; both repeat a step that a crash has interrupted, with fresh randomness, at most 32 times over
    all processes. Both keep the state of the last two steps. A file of another job, an older file or an older directory
    is refused, the last by the peer too.

    Examples
    --------
    >>> import tempfile, threading
    >>> from bluetusk.vertical.party import Identity, Party, make_certificate
    >>> d = tempfile.mkdtemp()
    >>> files = {name: make_certificate(name, d) for name in ("bank", "network")}
    >>> bank = Identity.load(files["bank"][1], files["bank"][0], files["network"][1])
    >>> network = Identity.load(files["network"][1], files["network"][0], files["bank"][1])
    >>> host = Party("host", job="example", identity=network, state=d + "/network", listen="127.0.0.1:0")
    >>> guest = Party("guest", job="example", identity=bank, state=d + "/bank", connect=host.address)
    >>> def ask(link, keeper):
    ...     link.send("question", {"n": 6})
    ...     return link.receive("answer", ["n"]).fields["n"]
    >>> def answer(link, keeper):
    ...     link.send("answer", {"n": 7 * link.receive("question", ["n"]).fields["n"]})
    >>> other = threading.Thread(target=host.run, args=(answer,))
    >>> other.start()
    >>> guest.run(ask)
    42
    >>> other.join()
    >>> guest.close(), host.close()
    (None, None)
    """

    def __init__(
        self,
        role: str,
        *,
        job: str,
        identity: Identity,
        state: str | os.PathLike[str],
        listen: str | None = None,
        connect: str | None = None,
        patience: float = 600.0,
        observer: Watcher | None = None,
        spool_quota: int = QUOTA,
        notary: Notary | None = None,
    ) -> None:
        check_role(role)
        if (listen is None) == (connect is None):
            raise ValueError("give exactly one of listen and connect: one party listens, the other connects")
        peer = "host" if role == "guest" else "guest"
        self._vault = Vault(state, identity.state_key())
        try:
            self._session = Session(
                self._vault, job=job, peer=peer, patience=patience, spool_quota=spool_quota, witness=notary
            )
            way = _grpc.Listener if listen is not None else _grpc.Dialler
            self._transport: Transport = way(self._session, identity, str(connect) if listen is None else listen)
        except BaseException:
            self._vault.close()
            raise
        self.address = self._transport.address
        self.link = Link(self._session, me=role, peer=peer, observer=observer, signer=notary)
        self.keeper: Keeper = self._session
        self.link.run, self.link.certificate = job, fingerprint(identity.peer_certificate)
        self.link.session = hashlib.sha256(identity.pair(role) + b"\0" + job.encode()).digest()  # the same at both

    def recovery(self) -> dict[str, int]:
        """Return counts of the faults that this process has survived.

        Returns
        -------
        dict of str to int
            `steps`: steps kept, over all tasks; `rewinds`: how often this process went back a step because the peer had
            restarted; `resent`: frames that it sent more than once, byte for byte.

        Examples
        --------
        >>> import tempfile
        >>> from bluetusk.vertical.party import Identity, Party, make_certificate
        >>> d = tempfile.mkdtemp()
        >>> (key, mine), (_, theirs) = make_certificate("network", d), make_certificate("bank", d)
        >>> identity = Identity.load(mine, key, theirs)
        >>> with Party("host", job="example", identity=identity, state=d + "/state", listen="127.0.0.1:0") as party:
        ...     party.recovery()
        {'steps': 0, 'rewinds': 0, 'resent': 0}
        """
        session = self._session
        return {"steps": session.position, "rewinds": session.rewinds, "resent": session.resent}

    def signs(self) -> tuple[bool, float]:
        """Return whether this party waits for its peer, and the seconds since the peer's last sign of life.

        Examples
        --------
        See :meth:`recovery` for a party; its peer has connected or not:

        >>> Party.signs.__name__
        'signs'
        """
        return self._session.waits, time.monotonic() - self._session.heard_at

    def run(self, program: Callable[[Link, Keeper], R], *, goodbye: float = 60.0) -> R:
        """Run this party's program; run it again from its kept steps whenever the peer restarts after a crash.

        Parameters
        ----------
        program : callable
            Called with the link and the keeper. It may be called more than once in one process: finished steps are
            restored, so it must not change anything outside before it returns.
        goodbye : float
            Seconds to wait at the end until the peer has received everything.

        Returns
        -------
        object
            The program's return value.

        Raises
        ------
        BluetuskError
            Any error that ended the program; the peer learns that it ended.

        Examples
        --------
        Two parties in one process: see :class:`Party`. An absent peer:

        >>> import tempfile
        >>> from bluetusk.vertical.party import Identity, Party, make_certificate
        >>> d = tempfile.mkdtemp()
        >>> (key, mine), (_, theirs) = make_certificate("network", d), make_certificate("bank", d)
        >>> way = {"listen": "127.0.0.1:0", "patience": 0.1}
        >>> with Party("host", job="j", identity=Identity.load(mine, key, theirs), state=d + "/state", **way) as party:
        ...     party.run(lambda link, keeper: link.receive("question"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        bluetusk.errors.ProtocolAbort: no sign of life from 'guest' for 0 seconds: ...
        """
        while True:
            with contextlib.suppress(Rewind):
                try:
                    result = program(self.link, self.keeper)
                except Rewind:
                    raise
                except (Exception, KeyboardInterrupt, SystemExit) as err:
                    self._tell(err)
                    raise
                if self._session.leave(goodbye):
                    return result
                if self._session.failure is not None:
                    raise self._session.failure
                if not self._session.rewound:
                    raise ProtocolAbort(
                        f"the peer has not fetched this party's last messages within {goodbye:g} seconds: start both "
                        f"again with the same state directories",
                        party=self.link.peer,
                        kind="absent",
                    )

    def _tell(self, err: BaseException) -> None:
        """Tell the peer that this party aborts, and :func:`kind_of` the reason, nothing else."""
        if self._session.failure is not None:
            self._session.wait_until_told(1.0)
            return
        if isinstance(err, ProtocolAbort) and err.kind == "absent":
            return  # nobody is there to be told
        with contextlib.suppress(BluetuskError, Rewind):
            if not (isinstance(err, ProtocolAbort) and err.party == self.link.peer):
                self.link.abort(f"{kind_of(err)}; its log has the reason")
            self._session.leave(5.0)  # earlier messages, perhaps with a reason, must still be sent

    def close(self) -> None:
        """End the session and release the state directory; ``with`` does this too.

        Examples
        --------
        See :class:`Party`.

        >>> Party.close.__name__
        'close'
        """
        self._transport.close()
        self._vault.close()

    def __enter__(self) -> Party:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
