"""Opens what a party's settings name: its identity, its evidence, its state and the link to its peer.

`bluetusk party` and `bluetusk blacklist` open the same things in the same order, and release them however a run ends.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...errors import PolicyRefused
from ...evidence import AuditBook, Guard, Log, Meter, Recorder, fingerprint, read_public_key
from ...evidence import Identity as Signer
from ...evidence.notary import Notary
from .certs import Identity
from .config import Evidence
from .process import Party

__all__ = ["PASSPHRASE", "Opened", "begun", "closed", "identity_of", "opened", "recorder_of"]

PASSPHRASE = "BLUETUSK_PASSPHRASE"  # the name of an environment variable  # noqa: S105
AUDIT_PASSPHRASE = "BLUETUSK_AUDIT_PASSPHRASE"  # another one: an auditor gets it  # noqa: S105


class _Settings(Protocol):
    """What a configuration says of a party's process, as :class:`~bluetusk.vertical.party.config.Config` has it."""

    @property
    def role(self) -> str: ...
    @property
    def job(self) -> str: ...
    @property
    def certificate(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def peer_certificate(self) -> str: ...
    @property
    def listen(self) -> str | None: ...
    @property
    def connect(self) -> str | None: ...
    @property
    def state(self) -> str: ...
    @property
    def patience(self) -> float: ...
    @property
    def spool_quota(self) -> int: ...
    @property
    def evidence(self) -> Evidence | None: ...


@dataclass(frozen=True)
class Opened:
    """What is open, until :func:`opened` releases it; without [evidence] there is the party only."""

    party: Party
    recorder: Recorder | None
    notary: Notary | None
    book: AuditBook | None


def identity_of(settings: _Settings) -> Identity:
    """Return the certificates and the key that the settings name; the key's passphrase is in the environment."""
    secret = os.environ.get(PASSPHRASE) or None
    return Identity.load(settings.certificate, settings.key, settings.peer_certificate, passphrase=secret)


@contextlib.contextmanager
def opened(settings: _Settings, identity: Identity, listening: Callable[[str], None] | None = None) -> Iterator[Opened]:
    """Open a party's evidence and its link, and release both at the end.

    Parameters
    ----------
    settings : Config or other settings that have these names
        The party's.
    identity : Identity
        Of :func:`identity_of`.
    listening : callable, optional
        Called with the address, once this party listens there.

    Yields
    ------
    Opened
        The party, with the recorder, the notary and the audit book that [evidence] names.

    Raises
    ------
    BluetuskError, ValueError, OSError
        If one of them cannot be opened; what was opened before it is released.
    """
    recorder = notary = None
    way = {"listen": settings.listen} if settings.listen is not None else {"connect": settings.connect}
    with contextlib.ExitStack() as closing:
        if settings.evidence is not None:
            recorder, notary = recorder_of(settings, identity)
            closing.callback(closed, recorder)
        book = _book_of(settings)
        if book is not None:
            closing.callback(book.close)
        party = closing.enter_context(
            Party(
                settings.role,
                job=settings.job,
                identity=identity,
                state=settings.state,
                patience=settings.patience,
                spool_quota=settings.spool_quota,
                observer=recorder,
                notary=notary,
                **way,
            )
        )
        if listening is not None and settings.listen is not None:
            listening(party.address)
        yield Opened(party, recorder, notary, book)


def recorder_of(settings: _Settings, identity: Identity) -> tuple[Recorder, Notary]:
    """Open what [evidence] names; :func:`closed` closes it."""
    given = settings.evidence
    assert given is not None  # the caller has checked
    passphrase = os.environ.get(PASSPHRASE) or None
    if passphrase is None:
        raise ValueError(f"{given.identity} is encrypted: set the environment variable {PASSPHRASE} to its passphrase")
    signer = Signer.load(given.identity, passphrase)
    uses = f"{given.log}.uses"
    there = Path(given.log).exists()
    if not there and Path(uses).exists():
        raise PolicyRefused(
            f"{uses} is there, but the log of evidence {given.log} is not: it was deleted or moved, and with it the "
            "proof of these uses. Restore it; if it is lost, begin a new log under another name, with a policy that "
            "grants only what may be shown once more",
            clause="store",
        )
    peer = "host" if settings.role == "guest" else "guest"
    with contextlib.ExitStack() as opening:
        log = Log.open(given.log, signer) if there else Log.create(given.log, signer, owner=settings.role)
        opening.callback(log.close)
        if not begun(settings.state) and any(record.job == settings.job != record.task for record in log.records):
            raise ValueError(
                f"the job {settings.job!r} is in {given.log} already, but {settings.state} has no steps of it to go on "
                "from: choose a new job name (a use is counted once a job), or restore that directory"
            )
        guard = opening.enter_context(Guard(given.policy, uses, owner=signer.public_key))
        recorder = Recorder(
            log=log,
            meter=Meter(),
            job=settings.job,
            me=settings.role,
            peers={peer: fingerprint(identity.peer_certificate)},
            guard=guard,
            resumed=True,
        )
        notary = Notary(log, signer, job=settings.job, me=settings.role, peer=peer, key=read_public_key(given.peer_key))
        opening.pop_all()  # the caller closes them
    return recorder, notary


def closed(recorder: Recorder) -> None:
    """Close the log and the guard."""
    try:
        recorder.log.close()
    finally:
        if recorder.guard is not None:
            recorder.guard.close()


def begun(state: str) -> bool:
    """Return whether a directory of state holds anything."""
    folder = Path(state)
    return folder.is_dir() and any(path.name != "lock" for path in folder.iterdir())


def _book_of(settings: _Settings) -> AuditBook | None:
    """Open the guest's audit book, if the configuration names one."""
    if settings.evidence is None or settings.evidence.audit is None:
        return None
    passphrase = os.environ.get(AUDIT_PASSPHRASE) or None
    if passphrase is None:
        raise ValueError(
            f"evidence.audit seals {settings.evidence.audit}: set the environment variable {AUDIT_PASSPHRASE} to a "
            f"passphrase for it, another than {PASSPHRASE}, because an auditor gets it"
        )
    return AuditBook(settings.evidence.audit, passphrase, job=settings.job)
