"""Keeps one peer to its word: signed requests and answers of both sides, and the heads of both logs, in this log.

A use of data is asked for by a signed request and allowed by a signed answer, and each side keeps the other's. A log's
owner can therefore prove that the peer asked, and the peer that it was answered. Everything is on the disk of its
author before it is sent, and on the disk of its reader before it counts.

* The request for a purpose of a task is made once: a task that is resumed, or a step that is taken again, sends the
  same bytes. Others are refused, and so is a counter that is not above the last one of this peer.
* What nobody asked for is refused: a statement that comes twice in a step, more requests in a step than any step has,
  and one for a purpose that the step does not have. So a peer cannot fill this log: two records, and the job ends.
* The head of the peer's log must extend the last one that was kept here, and this party's log the last one that the
  peer holds: a log that was rolled back is noticed by either side.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ..errors import FrameError, ProtocolAbort
from ._head import Head
from ._log import Log, read_offer
from ._statement import KEPT, MOST_BYTES, Statement, terms_of
from .identity import Identity, fingerprint

__all__ = ["Notary", "peer_name"]

_SALT = 16
_AT_ONCE = 2  # requests of one step: a training, and the scores of the rows that it holds back
_Use = tuple[str, str]  # a task and a purpose


def peer_name(role: str, key: bytes) -> str:
    """Return the name under which a log keeps a peer's heads: one log serves partners of the same role."""
    return f"{role} {fingerprint(key)[:16]}"


class Notary:
    """One party's signed word to one peer, and the peer's to this party, for one job.

    Parameters
    ----------
    log : Log
        This party's.
    identity : Identity
        That of the log.
    job : str
        The job, the same at both parties.
    me, peer : str
        The parties' names. The guest asks, all others answer.
    key : bytes
        The Ed25519 key that signs the peer's log and statements, 32 bytes.

    Attributes
    ----------
    party : str
        The name under which the log keeps what is the peer's.
    key : bytes
        As given.

    Examples
    --------
    >>> import os, tempfile
    >>> from bluetusk.evidence import Identity, Log
    >>> bank, network = Identity.generate(), Identity.generate()
    >>> folder = tempfile.TemporaryDirectory()
    >>> logs = [Log.create(os.path.join(folder.name, k), me, owner=k) for k, me in (("g", bank), ("h", network))]
    >>> guest = Notary(logs[0], bank, job="job-7", me="guest", peer="host", key=network.public_key)
    >>> host = Notary(logs[1], network, job="job-7", me="host", peer="guest", key=bank.public_key)
    >>> host.take("woe-binning", guest.state("woe-binning", "binning", ["label"], 900, {}))
    >>> guest.take("woe-binning", host.state("woe-binning", "binning", ["AGE"], 900, {"min_rows": 50}))
    >>> [record.what for record in logs[1].records]
    ['opened', 'peer_asked', 'answered']
    >>> for log in logs:
    ...     log.close()
    >>> folder.cleanup()
    """

    def __init__(self, log: Log, identity: Identity, *, job: str, me: str, peer: str, key: bytes) -> None:
        self._log, self._identity, self._job, self.me, self.peer, self.key = log, identity, job, me, peer, key
        self.party = peer_name(peer, key)
        self._mine: dict[_Use, tuple[Statement, bytes]] = {}  # of this job: the statement and its salt
        self._theirs: dict[_Use, bytes] = {}
        self._counter = self._heard = 0  # the last of this party's, and of the peer's
        self._open: set[_Use] = set()  # at who asks: not answered yet; at who answers: asked, not answered yet
        self._taken: set[_Use] = set()  # the peer's, of this step
        self._since = 0  # the size of the head of this log that the peer holds
        self._directory: tuple[bytes, int] | None = None
        self._retakes: dict[int, int] = {}
        for record in log.records:
            if record.details.get("party") == self.party and record.what in KEPT:
                self._recall(record.what, record.details)
            elif record.task == job and record.what == "state":
                self._directory = record.hashes["directory"][:16], record.details["generation"]
            elif record.task == job and record.what == "retaken":
                self._retakes[record.details["step"]] = record.details["times"]

    # ------------------------------------------------------------------------------------------ requests and answers

    @property
    def _asks(self) -> bool:
        return self.me == "guest"

    def require(self, task: str, purpose: str) -> None:
        """Refuse to go on, at the party that answers, without the peer's signed request for this purpose of a task.

        Raises
        ------
        ProtocolAbort
            Naming the peer.
        """
        if not self._asks and (task, purpose) not in self._open:
            self._refuse(f"sent no signed request for {purpose!r} in task {task!r}")

    def state(self, task: str, purpose: str, columns: Sequence[str], rows: int, details: Mapping[str, Any]) -> bytes:
        """Return this party's signed request, or its answer to the peer's; it is in the log when this returns.

        Parameters
        ----------
        task, purpose, columns, rows, details
            The use, as the policy was asked about it.

        Returns
        -------
        bytes
            For :meth:`take` of the peer; the same bytes whenever the same use of the same job is stated again.

        Raises
        ------
        ProtocolAbort
            If the log cannot be written, the peer has not asked (naming it), or this party stated something else for
            this purpose of the task before.
        """
        self.require(task, purpose)
        use, ids = (task, purpose), details.get("intersection") or b""
        asked = None if self._asks else Statement.from_bytes(self._theirs[use])
        of = b"" if asked is None else asked.digest()
        if asked is not None and ids and asked.ids != ids:
            self._refuse(f"asked for {purpose!r} in task {task!r} of other rows than this party has", asked.to_bytes())
        kept = self._mine.get(use)
        if kept is not None:
            made, salt = kept
            if (made.columns, made.rows, made.terms, made.of) != (
                len(columns),
                int(rows),
                terms_of(salt, columns, details),
                of,
            ):
                raise ProtocolAbort(
                    f"this party stated another use for {purpose!r} of task {task!r} before, with other columns, rows "
                    f"or terms: choose a new job name at both parties"
                )
        else:
            salt = os.urandom(_SALT)
            made = Statement(
                "request" if self._asks else "answer",
                self._identity.public_key,
                self.key,
                self._log.id,
                self._counter + 1,
                self._job,
                task,
                purpose,
                len(columns),
                int(rows),
                terms_of(salt, columns, details),
                ids,
                of,
            ).signed(self._identity)
            about = {"party": self.party, "statement": made.to_bytes(), "salt": salt}
            self._log.append("asked" if self._asks else "answered", by=self.me, task=self._name(task), details=about)
            self._counter, self._mine[use] = made.counter, (made, salt)
        if self._asks:
            self._open.add(use)
        else:
            self._open.discard(use)
        return made.to_bytes()

    def take(self, task: str, data: bytes | memoryview) -> None:
        """Check the peer's statement, and keep it in the log.

        Parameters
        ----------
        task : str
            The task in which it came.
        data : bytes-like
            What the peer's :meth:`state` returned.

        Raises
        ------
        ProtocolAbort
            Naming the peer, if the statement is not signed with its key, was made for another reader, job or task, is
            older than its last one, differs from its first one for the same purpose and task, comes twice in a step,
            comes beside more requests than any step has, or answers something that this party did not ask. The log has
            the refusal.
        """
        data = bytes(data)
        due = "answer" if self._asks else "request"
        try:
            made = Statement.from_bytes(data)
        except FrameError as error:
            self._refuse(f"sent a statement that cannot be read ({error})", data)
        use, said = (made.task, made.purpose), "an answer" if made.kind == "answer" else "a request"
        known = self._theirs.get(use)
        if made.key != self.key or not made.valid():
            self._refuse(f"sent {said} that is not signed with its key", data)
        if made.to != self._identity.public_key:
            self._refuse(f"sent {said} that it made for somebody else", data)
        if made.kind != due:
            self._refuse(f"sent {said} where the signed {due} was due", data)
        if (made.job, made.task) != (self._job, task):
            self._refuse(f"sent {said} of another job or task in task {task!r}", data)
        if known is not None and known != data:
            self._refuse(f"sent another {made.kind} for {made.purpose!r} of task {task!r} than the first time", data)
        if known is None and made.counter <= self._heard:
            self._refuse(
                f"sent {said} with counter {made.counter}, not above {self._heard}: it was sent before, or the "
                f"peer's log was rolled back",
                data,
            )
        if use in self._taken:
            self._refuse(f"sent the {made.kind} for {made.purpose!r} of task {task!r} twice in a step", data)
        if not self._asks and len(self._open) >= _AT_ONCE:
            self._refuse(f"sent more than {_AT_ONCE} requests in a step of task {task!r}", data)
        if self._asks:
            mine = self._mine.get(use)
            if mine is None or use not in self._open or made.of != mine[0].digest():
                self._refuse(f"answered a request for {made.purpose!r} that this party did not make", data)
            if mine[0].ids and made.ids != mine[0].ids:
                self._refuse(f"answered the request for {made.purpose!r} for other rows", data)
        if known is None:
            about = {"party": self.party, "statement": data}
            what = "peer_answered" if self._asks else "peer_asked"
            self._log.append(what, by=self.me, task=self._name(task), details=about)
            self._heard, self._theirs[use] = made.counter, data
        self._taken.add(use)
        if self._asks:
            self._open.discard(use)
        else:
            self._open.add(use)

    def answered(self, task: str) -> None:
        """Refuse another message of the peer, at the party that asks, while its signed answer in this task is due.

        Raises
        ------
        ProtocolAbort
            Naming the peer.
        """
        if self._asks:
            for name, purpose in self._open:
                if name == task:
                    self._refuse(f"sent no signed answer to the request for {purpose!r} in task {task!r}")

    def begun(self) -> None:
        """Note that a step begins, perhaps once more: the peer states again what it stated in an attempt before."""
        self._taken.clear()
        if not self._asks:
            self._open.clear()

    def settled(self) -> None:
        """Refuse to end a step, at the party that answers, with a request that the step did not answer.

        Raises
        ------
        ProtocolAbort
            Naming the peer.
        """
        if not self._asks:
            for task, purpose in self._open:
                self._refuse(f"sent a request for {purpose!r} in task {task!r}, which does not have that purpose here")

    # ---------------------------------------------------------------------------------------------------------- heads

    def held(self) -> bytes:
        """Return the last head of the peer's log that is kept here, for the peer; empty if there is none."""
        head = self._log.peer_head(self.party)
        return b"" if head is None else head.to_bytes()

    def offer(self, held: bytes | None = None) -> bytes:
        """Return the head of this log for the peer.

        Parameters
        ----------
        held : bytes, optional
            The head of this log that the peer holds, as it stated it, empty for none; by default the last one that was
            offered.

        Returns
        -------
        bytes
            For :meth:`check` and :meth:`keep` of the peer.

        Raises
        ------
        ProtocolAbort
            If this log does not extend that head: it was rolled back, or begun anew.
        FrameError
            If `held` is not a head.
        """
        if held is not None:
            self._since = 0
            if held:
                head = Head.from_bytes(held)
                self._log.confirm(head)
                self._since = head.size
        offer = self._log.offer(self._since)
        self._since = read_offer(offer)[0].size
        return offer

    def check(self, offer: bytes, held: bytes) -> None:
        """Refuse an offer of the peer that does not extend the head that was held; nothing is kept but a refusal.

        Raises
        ------
        ProtocolAbort
            Naming the peer.
        FrameError
            If one of the two cannot be read.
        """
        self._log.examine(offer, party=self.party, key=self.key, held=Head.from_bytes(held) if held else None)

    def accept(self, offer: bytes) -> Head:
        """Keep the head in an offer, which must extend the last one kept here; raises as :meth:`check`."""
        return self._log.accept(offer, party=self.party, key=self.key)

    def keep(self, offer: bytes) -> None:
        """Keep the head in an offer that came as a last message: if it proves its place behind the head kept here."""
        head, since, _ = read_offer(offer)
        last = self._log.peer_head(self.party)
        if last is None or since == last.size or head.size <= last.size:
            self.accept(offer)

    # -------------------------------------------------------------------------------------------------------- retakes

    def check_directory(self, directory: bytes, generation: int) -> None:
        """Refuse a state directory that is older than this log says, or another one than the job was begun in.

        Parameters
        ----------
        directory : bytes
            Its id, 16 bytes.
        generation : int
            That of its manifest.

        Raises
        ------
        ProtocolAbort
            If it is.
        """
        if self._directory is None:
            return
        known, least = self._directory
        if directory != known:
            raise ProtocolAbort(
                f"the job {self._job!r} was begun in another state directory: give that one, or choose a new job name"
            )
        if generation < least:
            raise ProtocolAbort(
                f"the state directory of the job {self._job!r} is older than the log of evidence says (generation "
                f"{generation}, not {least}): restore it as it was last, or choose a new job name"
            )

    def opened(self, directory: bytes, generation: int) -> None:
        """Note that a process has opened a state directory, and written this generation of it."""
        hashes = {"directory": directory.ljust(32, b"\0")}
        self._log.append("state", by=self.me, task=self._job, hashes=hashes, details={"generation": generation})
        self._directory = directory, generation

    def retaken(self, step: int, times: int) -> None:
        """Note that a step of which frames may have been sent is taken again, and how often that was."""
        details = {"party": self.party, "step": step, "times": times}
        self._log.append("retaken", by=self.me, task=self._job, details=details)
        self._retakes[step] = times

    def retakes(self, step: int) -> int:
        """Return how often a step of this job was taken again, by the log."""
        return self._retakes.get(step, 0)

    def refused(self, reason: str) -> None:
        """Note why this party does not go on with its state directory, or with the peer's."""
        details = {"party": self.party, "reason": reason[:512]}
        self._log.append("session_refused", by=self.me, task=self._job, details=details)

    # ------------------------------------------------------------------------------------------------------ internals

    def _recall(self, what: str, details: Mapping[str, Any]) -> None:
        """Take a statement from a record of this log."""
        data = details["statement"]
        made = Statement.from_bytes(data)
        use = made.task, made.purpose
        mine = not what.startswith("peer_")
        if mine:
            self._counter = max(self._counter, made.counter)
        else:
            self._heard = max(self._heard, made.counter)
        if made.job == self._job and mine:
            self._mine[use] = made, details["salt"]
        elif made.job == self._job:
            self._theirs[use] = data

    def _refuse(self, what: str, data: bytes = b"") -> NoReturn:
        details = {"party": self.party, "reason": what[:512], "statement": data[:MOST_BYTES]}
        self._log.append("statement_refused", by=self.me, task=self._job, details=details)
        raise ProtocolAbort(f"{self.peer!r} {what}", party=self.peer)

    def _name(self, task: str) -> str:
        return f"{self._job}/{task}"
