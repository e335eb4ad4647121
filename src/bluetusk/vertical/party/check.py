"""Checks all that a run will need before anybody connects, and finds every fault at once; nothing on disk changes.

The same functions check here that check at the start of a run. What a run would open for writing is read only: no
folder or lock is made, no use is counted, nothing that a killed process has left is removed.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from numpy.typing import NDArray

from ... import _toml
from ..._spelling import closest, did_you_mean
from ...errors import BluetuskError, FrameError
from ...evidence import Identity as Signer
from ...evidence import Policy, fingerprint, fingerprint_groups, read_public_key, verify
from ...evidence.policy import Grant, seconds_text
from ...evidence.rehearsal import lost, noted, rehearse
from ...storage import files
from ...tasks import CONFIRM, INTERSECT
from ..findings import separating, separating_bins
from ..tables.advice import setting_lines
from ..tables.files import File
from ..tables.profile import ColumnProfile
from ..tables.sniffing import line_text
from .certs import Identity, only_certificate
from .checks import count_faults, machine_faults, room_faults, room_needed, row_faults
from .config import Config
from .manifest import Manifest
from .needs import Table, most_cuts, purposes_of, uses_of
from .opening import AUDIT_PASSPHRASE, PASSPHRASE
from .results import check_places
from .rows import Rows
from .splits import Splits
from .vault import Vault

__all__ = ["Checkup", "Fault", "check_party"]

_SOON = 14 * 86400
"""Seconds before an end at which it is worth a warning."""
_MOST = 100  # faults of columns that are told one by one


@dataclass(frozen=True)
class Fault:
    """Something that would end a run.

    Attributes
    ----------
    where : str
        The setting, section or part: "data.label", "certificate", "policy", "state", ...
    text : str
        What is wrong, and the remedy.
    """

    where: str
    text: str


@dataclass
class Checkup:
    """What was found.

    Attributes
    ----------
    faults : list of Fault
        All that would end a run.
    warnings : list of str
        What may end it, or is worth a look.
    facts : dict
        What was checked, for people: names, sizes, uses.
    profile : list of ColumnProfile
        This party's columns.
    proposed : list of str
        Lines for [data] that may make its table readable: what the faults propose first, together.
    """

    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    profile: list[ColumnProfile] = field(default_factory=list)
    proposed: list[str] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {
            "ok": not self.faults,
            "faults": [{"where": each.where, "text": each.text} for each in self.faults],
            "warnings": self.warnings,
            "facts": self.facts,
            "profile": [each.to_plain() for each in self.profile],
            "proposed": self.proposed,
        }


def check_party(path: str | os.PathLike[str], *, role: str | None = None) -> Checkup:
    """Check a party's files before it connects.

    Parameters
    ----------
    path : path-like
        The configuration file.
    role : str, optional
        Overrides the file's role.

    Returns
    -------
    Checkup
        With every fault that was found, not only the first.

    Notes
    -----
    Nothing on disk changes, nothing is sent, and no use is counted. The name of a peer's host is looked up.
    """
    found = Checkup()
    try:
        config, faults = Config.examine(path, role=role)
    except OSError as err:
        found.faults.append(Fault("config", files.explained(err)))
        return found
    except ValueError as err:
        found.faults.append(Fault("config", str(err)))
        return found
    found.faults += [Fault(name, f"{os.fspath(path)}: {text}") for name, text in faults.items()]
    _Check(found, config, frozenset(faults)).run()
    return found


class _Check:
    """The checks, in the order of a run; each goes as far as what was found before allows."""

    def __init__(self, found: Checkup, config: Config, bad: frozenset[str]) -> None:
        self.found, self.config, self.bad = found, config, bad
        self.role = "role" not in bad
        secret = os.environ.get(PASSPHRASE) or None
        self.secret: str | None = secret
        self.identity: Identity | None = None

    def run(self) -> None:
        self.passphrases()
        rows = self.table()
        self.certificates()
        for fault in machine_faults(self.config.role):
            self.say("packages", str(fault))
        self.folders(0 if rows is None else len(rows.ids))
        begun = self.state()
        self.evidence(rows, begun)
        self.address()

    def say(self, where: str, text: str) -> None:
        self.found.faults.append(Fault(where, " ".join(text.split())))

    def warn(self, text: str) -> None:
        line = " ".join(text.split())
        if line not in self.found.warnings:  # columns may be read twice
            self.found.warnings.append(line)

    @contextlib.contextmanager
    def caught(self, where: str, path: str = "") -> Iterator[None]:
        """Note an error as a fault of a setting, whose file has this path, and go on behind the block."""
        try:
            yield
        except FileNotFoundError as err:
            remedy = _ABSENT.get(where)
            self.say(where, f"{where} = {path} does not exist: {remedy}" if path and remedy else files.explained(err))
        except OSError as err:
            self.say(where, _at(where, path, files.explained(err)))
        except (BluetuskError, ValueError, TypeError, ImportError) as err:
            self.say(where, _at(where, path, str(err)))

    # --- what the environment holds -----------------------------------------------------------------------------------

    def passphrases(self) -> None:
        config = self.config
        if self.secret is not None:
            try:
                self.secret.encode()
            except UnicodeEncodeError:
                self.say("passphrase", f"{PASSPHRASE} must be UTF-8 text: models could not be saved under other bytes")
                self.secret = None
                return
        if self.secret is None and (config.halves == "sealed" or config.evidence is not None):
            self.say(
                "passphrase",
                f"set the environment variable {PASSPHRASE}: the halves of the models are saved under it, and the "
                "identity and the key are encrypted under it. What they hold is not checked without it",
            )
        audit = None if config.evidence is None else config.evidence.audit
        if audit is not None and not os.environ.get(AUDIT_PASSPHRASE):
            self.say(
                "passphrase",
                f"evidence.audit seals {audit}: set the environment variable {AUDIT_PASSPHRASE} to a passphrase for "
                f"it, another than {PASSPHRASE}, because an auditor gets it",
            )

    # --- the table ----------------------------------------------------------------------------------------------------

    def table(self) -> Rows | None:
        config = self.config
        if {"data", "data.", "data.file"} & self.bad or not config.data.file:
            return None
        rows = self._rows()
        if rows is None:
            return None
        self.found.profile = rows.profile
        for fault in row_faults(config, rows):
            self.say("data", str(fault))
        if rows.labels is not None and 0 < rows.labels.sum() < len(rows.labels):
            for text in _close_to_label(rows):
                self.warn(text)
        events = "" if rows.labels is None else f", {int(rows.labels.sum()):,} events"
        self.found.facts["table"] = f"{config.data.file}: {len(rows.ids):,} rows, {len(rows.names)} columns{events}"
        return rows

    def _rows(self) -> Rows | None:
        """Read the table; if that fails, find each column that makes it fail."""
        config = self.config
        try:
            return Rows.read(config, tell=self.warn)
        except OSError as err:
            self.say("data.file", files.explained(err))
            return None
        except (ValueError, TypeError) as err:
            first = str(err)
        try:
            file = File(config.data.file, **config.data.opening())
        except (ValueError, OSError, TypeError):  # no table at all
            self._proposed([first])
            self.say("data", first)
            return None
        names = list(file.raw)
        told: list[str] = []
        data = config.data
        own = {data.id, data.label}
        for what, name in (("id", data.id), ("label", data.label)):
            if name is not None and name not in names:
                close = did_you_mean(name, names)
                own.add(closest(name, names))  # what was meant is no column of the model
                told.append(f"{data.file} has no column {name!r}, which data.{what} names: {_listed(names)}{close}")
        listed = names if data.columns is None else data.columns
        for kind in ("columns", "categorical", "text", "numeric", "dates"):
            absent = [
                name for name in getattr(data, kind) or () if name not in (names if kind == "columns" else listed)
            ]
            if absent:
                close = did_you_mean(absent[0], names) if len(absent) == 1 else ""
                told.append(f"data.{kind} names {', '.join(map(repr, absent))}, not among {_listed(names)}{close}")
        chosen = [name for name in listed if name in names and name not in own]
        declared: dict[str, Any] = {
            kind: [name for name in getattr(data, kind) if name in chosen]
            for kind in ("categorical", "text", "numeric", "dates")
        }
        trials: list[Callable[[], object]] = []
        labels: list[NDArray[Any]] = []
        if data.label in names:
            label = data.label
            trials.append(lambda: labels.append(file.labels(str(label), words=data.label_words, ids=data.id)))
        if data.id in names:
            trials.append(lambda: file.ids(data.id, once=True))
        how: dict[str, Any] = {**declared, **data.reading(), "tell": self.warn}
        trials += [functools.partial(file.columns, chosen, only=name, **how) for name in chosen]
        for trial in trials:
            try:
                trial()
            except (ValueError, TypeError) as err:  # noqa: PERF203
                if str(err) not in told and len(told) < _MOST:
                    told.append(str(err))
        told = told or [first]
        if len(file) and (data.label is None or labels):
            told += map(str, count_faults(config, len(file), labels[0] if labels else None))
        self._proposed(told)
        for text in told:
            self.say("data", text)
        return None

    def _proposed(self, told: list[str]) -> None:
        """Note the lines that errors propose first, as lines for one section."""
        merged: dict[str, Any] = {}
        for line in (line for text in told for line in setting_lines(text)):
            name, _, value = line.partition(" = ")
            if not value.startswith("["):
                merged.setdefault(name, value)
                continue
            texts = merged.setdefault(name, list(getattr(self.config.data, name)))
            texts += [each for each in _toml.loaded(line)[name] if each not in texts]
        for name, value in merged.items():
            lines = value if isinstance(value, str) else f"[{', '.join(map(line_text, value))}]"
            self.found.proposed.append(f"{name} = {lines}")

    # --- who is who ---------------------------------------------------------------------------------------------------

    def certificates(self) -> None:
        config, pems = self.config, {}
        for name in ("certificate", "peer_certificate"):
            if name not in self.bad:
                path = getattr(config, name)
                with self.caught(name, path):
                    pems[name] = only_certificate(Path(path).read_bytes())
        for name, certificate in pems.items():
            self._valid(name, certificate)
        if len(pems) == 2 and fingerprint(pems["certificate"]) == fingerprint(pems["peer_certificate"]):
            self.say(
                "peer_certificate",
                f"{config.peer_certificate} is this party's own certificate, or has its key: give the file that the "
                "peer has sent",
            )
        if "peer_certificate" in pems:
            self.found.facts["peer's certificate"] = fingerprint_groups(pems["peer_certificate"])
        if "certificate" in pems:
            self.found.facts["own certificate"] = fingerprint_groups(pems["certificate"])
        if "key" in self.bad:
            return
        if len(pems) < 2:
            with self.caught("key", config.key), open(config.key, "rb"):
                pass
            return
        # dates were told above; here the key counts
        try:
            self.identity = Identity.load(
                config.certificate, config.key, config.peer_certificate, passphrase=self.secret
            )
        except FileNotFoundError:
            self.say("key", f"key = {config.key} does not exist: {_ABSENT['key']}")
        except OSError as err:
            self.say("key", f"key = {files.explained(err)}")
        except (BluetuskError, ValueError) as err:
            text = str(err)
            if "certificate is valid from" in text:
                return
            if self.secret is not None or "is encrypted" not in text:  # without a passphrase, that was told
                self.say("key", text)

    def _valid(self, name: str, certificate: x509.Certificate) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        path = getattr(self.config, name)
        who = "ask the peer for a new one" if name == "peer_certificate" else "make a new one with `bluetusk certs`"
        if not begin <= now <= end:
            self.say(name, f"{path} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, not now: {who}")
        elif (end - now).total_seconds() < _SOON:
            self.warn(f"{path} ends {end:%Y-%m-%d %H:%M} UTC: {who}")

    # --- where it writes ----------------------------------------------------------------------------------------------

    def folders(self, count: int) -> None:
        config = self.config
        for text in room_faults(room_needed(config, count)):
            self.say("disk", text)
        with self.caught("output"):
            try:
                check_places(Path(config.output))
            except IsADirectoryError as err:
                self.say("output", f"cannot write the results to {config.output}: {err.strerror}")
        if files.in_use(Path(config.output) / ".lock"):
            self.say("output", f"another run writes its results to output = {config.output}: give each job its own")
        if self.identity is None:
            return
        if (Path(config.splits)).is_dir():
            if files.in_use(Path(config.splits) / "lock"):
                self.warn(f"{config.splits} is in use by another job at this moment")
            with self.caught("splits"):
                splits = Splits(key=self.identity.state_key(), pair=self.identity.pair(config.role))
                name = f"{splits.between.hex()[:32]}"
                had = Vault.looking(config.splits, self.identity.state_key()).read(name) is not None
                self.found.facts["splits"] = "kept from an earlier job with this peer" if had else "new with this peer"

    def state(self) -> bool:
        """Check the state directory; return whether it holds steps of this job."""
        config = self.config
        folder = Path(config.state)
        if not folder.is_dir() or all(path.name == "lock" for path in _entries(folder)):
            self.found.facts["state"] = "new"
            return False
        if files.in_use(folder / "lock"):
            self.say("state", f"{folder} is in use by another process: each party needs its own, and each job")
            return True
        if self.identity is None or "job" in self.bad:
            return True
        try:
            manifest = Manifest(Vault.looking(folder, self.identity.state_key()), config.job)
        except (BluetuskError, OSError, ValueError) as err:
            text = files.explained(err) if isinstance(err, OSError) else str(err)
            if isinstance(err, FrameError) and str(folder) not in text:
                text = f"{folder}: {text}: restore it, or choose a new job name and a new state directory"
            self.say("state", text)
            return True
        more = manifest.more or {}
        tasks = more.get("tasks", {})
        if isinstance(tasks, dict) and CONFIRM.name in tasks and more.get("now", 0) > tasks[CONFIRM.name]:
            self.say(
                "job",
                f"the job {config.job!r} has finished, by {folder}: choose a new job name, at both parties, and a new "
                "state directory",
            )
        steps = more.get("now", 0)
        self.found.facts["state"] = f"{steps} steps of this job are kept: a run goes on from there"
        return True

    # --- what the peer may do -----------------------------------------------------------------------------------------

    def evidence(self, rows: Rows | None, begun: bool) -> None:
        given, config = self.config.evidence, self.config
        if given is None:
            if "evidence" not in self.bad:
                self.warn('evidence = "none": the peer may do everything with this data, and nothing is logged')
            return
        peer = None
        with contextlib.suppress(BluetuskError, OSError, ValueError):  # that was told before
            peer = fingerprint(only_certificate(Path(config.peer_certificate).read_bytes()))
        theirs = None
        with self.caught("evidence.peer_key", given.peer_key):
            theirs = read_public_key(given.peer_key)
        signer = None
        if self.secret is not None:
            with self.caught("evidence.identity", given.identity):
                signer = Signer.load(given.identity, self.secret)
        elif not os.path.exists(given.identity):
            self.say(
                "evidence.identity",
                f"evidence.identity = {given.identity} does not exist: {_ABSENT['evidence.identity']}",
            )
        if signer is not None and theirs == signer.public_key:
            self.say(
                "evidence.peer_key", f"{given.peer_key} is this party's own key: give the .pub file that the peer sent"
            )
        policy = None
        with self.caught("evidence.policy", given.policy):
            policy = Policy.load(given.policy)
        if policy is not None and signer is not None and not policy.signed_by(signer.public_key):
            self.say(
                "evidence.policy",
                f"{given.policy} is not signed by {given.identity}: `bluetusk evidence policy sign FILE --key "
                f"{given.identity}`",
            )
        elif policy is not None and not policy.signature:
            self.say("evidence.policy", f"{given.policy} is not signed: `bluetusk evidence policy sign`")
        owner = signer.public_key if signer is not None else policy.key if policy is not None else b""
        known = self._log(owner, begun) if owner else None
        if policy is None or known is None:
            return
        if policy.serial < known.serial or (
            policy.serial == known.serial and policy.signature and policy.digest != known.policy
        ):
            self.say(
                "evidence.policy",
                f"{given.policy} has serial {policy.serial}, but serial {known.serial} was in force before: raise its "
                "serial and sign it again",
            )
        if peer is not None:
            self._grants(policy, known, peer, rows)

    def _log(self, owner: bytes, begun: bool) -> Any:
        """Check the log and the uses; return what is noted, None if that cannot be read."""
        given, config = self.config.evidence, self.config
        assert given is not None
        uses, known = f"{given.log}.uses", None
        with self.caught("evidence.log", given.log):
            known = noted(uses, owner)
        if not os.path.lexists(given.log):
            if os.path.exists(uses):
                self.say(
                    "evidence.log",
                    f"{uses} is there, but the log of evidence {given.log} is not: restore it; if it is lost, begin a "
                    "new log under another name, with a policy that grants only what may be shown once more",
                )
            for text in room_faults({os.path.dirname(given.log) or ".": 1 << 16}):
                self.say("evidence.log", text)
            self.found.facts["log"] = "new"
            return known
        if files.in_use(given.log):
            self.say("evidence.log", f"{given.log} is in use by another process: wait for it, or end it")
        with self.caught("evidence.log"):
            report = verify(given.log, key=owner)
            if not report.ok:
                self.say("evidence.log", f"{given.log}: {report.reason}: restore it from its backup")
                return known
            records = report.records
            self.found.facts["log"] = f"{len(records):,} records"
            if not begun and any(record.job == config.job != record.task for record in records):
                self.say(
                    "job",
                    f"the job {config.job!r} is in {given.log} already, but {config.state} has no steps of it to go "
                    "on from: choose a new job name at both parties (a use is counted once a job), or restore that "
                    "directory",
                )
            if known is not None and (reason := lost(uses, known, records)):
                self.say("evidence.log", reason)
        return known

    def _grants(self, policy: Policy, known: Any, peer: str, rows: Rows | None) -> None:
        """Check what the policy grants to this peer against what the run will ask of it."""
        given, config, model = self.config.evidence, self.config, self.config.model
        assert given is not None
        mine = [grant for grant in policy.grants if grant.peer == peer]
        if not mine:
            others = ", ".join(f"{grant.id!r} to {grant.name or '?'}" for grant in policy.grants) or "nothing"
            self.say(
                "evidence.policy",
                f"{given.policy} grants nothing to the peer in {config.peer_certificate}, whose fingerprint is "
                f"{'-'.join(peer[k : k + 4] for k in range(0, 64, 4))} (it grants {others}): put that fingerprint into "
                "a grant, raise the serial and sign again",
            )
            return
        had = Counter(
            purpose
            for whose, purpose, task, again in known.by_task
            if whose == peer and not again and task.startswith(f"{config.job}/")
        )
        needed = list((Counter(purposes_of(model)) - had).elements())
        self._uses_left(mine, known, needed)
        now = time.time()
        for grant in mine:
            if now < grant.until < now + _SOON:
                self.warn(f"grant {grant.id!r} of {given.policy} ends {seconds_text(grant.until)}")
        if rows is None or not self.role or {"model", "data"} & self.bad:
            return
        events = 0 if rows.labels is None else int(rows.labels.sum())
        count = len(rows.ids)
        refusals = {}
        for common in (min(model.min_intersection, count), count):
            table = Table(
                rows.names,
                count,
                common,
                events if common == count else round(events * common / max(1, count)),
                most_cuts(rows.profile, model) if common == count else 0,
            )
            uses, skip = [], had.copy()
            for use in uses_of(model, config.role, table):
                if skip[use["purpose"]] > 0:  # an earlier process of this job has had that use
                    skip[use["purpose"]] -= 1
                else:
                    uses.append(use)
            refusals[common] = rehearse(policy, known, peer, uses)
        least, most = refusals[min(model.min_intersection, count)], refusals[count]
        sure = {(each.purpose, each.clause) for each in least} & {(each.purpose, each.clause) for each in most}
        told = set()
        for each in most:
            certain = (each.purpose, each.clause) in sure
            text = f"{given.policy} would refuse {each.purpose} (clause {each.clause}): {each.reason}"
            if certain and (each.clause, each.reason) not in told:
                told.add((each.clause, each.reason))
                self.say("evidence.policy", f"{text}; {_remedy(each.purpose, each.clause, config.role)}")
            elif not certain:
                self.warn(f"with all {count:,} rows in common {text}")

    def _uses_left(self, mine: list[Grant], known: Any, needed: list[str]) -> None:
        given = self.config.evidence
        assert given is not None
        left = {grant.id: max(0, grant.uses - known.count[grant.id]) for grant in mine}
        self.found.facts["uses"] = f"{sum(left.values()):,} left, {len(needed)} needed by this run"
        # a use takes the first grant that allows it; grants for the same purposes add up
        fitting = [grant for grant in mine if set(grant.purposes) & set(needed)]
        if not fitting or sum(left[grant.id] for grant in fitting) >= len(needed):
            return
        first = fitting[0]
        self.say(
            "evidence.policy",
            f"grant {first.id!r} of {given.policy} has {left[first.id]} of its {first.uses} uses left, and this run "
            f"needs {len(needed)}: sign a policy with a higher serial and uses = "
            f"{known.count[first.id] + len(needed)} or more",
        )

    # --- the network --------------------------------------------------------------------------------------------------

    def address(self) -> None:
        config = self.config
        if {"listen", "connect"} & self.bad:
            return
        address = config.listen if config.listen is not None else str(config.connect)
        host, _, port = address.rpartition(":")
        where = "listen" if config.listen is not None else "connect"
        if not 0 <= int(port) < 1 << 16:
            self.say(where, f"{where} = {address}: a port is a number from 1 to 65535")
            return
        host = host.strip("[]")
        try:
            found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            self.say(where, f"{where} = {address}: no host of the name {host!r} is known here: check the name")
            return
        if config.listen is None:
            return
        family, kind, number, _, place = found[0]
        with socket.socket(family, kind, number) as there:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                there.bind(place)
                there.listen(1)
            except OSError as err:
                self.say(where, f"cannot listen at {address}: {files.explained(err)}")


_ABSENT = {
    "certificate": "make it with `bluetusk certs NAME`, or check the path",
    "key": "`bluetusk certs NAME` makes it, beside the certificate; or check the path",
    "peer_certificate": "have the peer send it, or check the path",
    "evidence.peer_key": "have the peer send its .pub file, or check the path",
    "evidence.identity": "make it with `bluetusk evidence keygen`, or check the path",
    "evidence.policy": "make it with `bluetusk evidence policy sign`, or check the path",
}
"""What to do about a file that is not there."""


def _at(where: str, path: str, text: str) -> str:
    """Put the setting and its file before an error, each once."""
    if not path:
        return text
    return f"{where} = {text}" if text.startswith(path) else f"{where} = {path}: {text}"


def _remedy(purpose: str, clause: str, role: str) -> str:
    """Return what to do about a clause that refuses a use of every run with these settings."""
    if clause in ("min_intersection", "min_total_events") and purpose != INTERSECT.purpose:
        return f"no more are left when rows are held back: give more rows, or sign a policy with a smaller {clause}"
    if clause.startswith("min_"):
        names = ("min_rows", "min_bucket_rows") if clause == "min_rows" and role == "host" else (clause,)
        raised = " and ".join(f"model.{name}" for name in names)
        return f"raise {raised} at both, or sign a policy with a smaller {clause}"
    if clause == "reveal":
        return "name it in the grant, or leave it out of model.reveal at both"
    return "sign a policy with a higher serial that allows it"


def _close_to_label(rows: Rows) -> list[str]:
    """Return findings of the guest's own columns that alone separate the labels."""
    assert rows.labels is not None
    pairs = [*zip(rows.names, rows.values, strict=True)]
    numbers = [(name, values) for name, values in pairs if values.dtype.kind == "f"]
    found = separating([name for name, _ in numbers], [values for _, values in numbers], rows.labels)
    counted = []
    for name, values in pairs:
        if values.dtype.kind == "f":
            continue
        codes = np.unique(["" if text is None else text for text in values.tolist()], return_inverse=True)[1]
        sizes, events = np.bincount(codes), np.bincount(codes, rows.labels).astype(np.int64)
        if len(sizes) <= len(values) / 5:  # single rows separate anything
            counted.append((f"column {name!r}", sizes, events))
    return found + separating_bins(counted)


def _listed(names: list[str]) -> str:
    return f"the columns are {', '.join(names)}"[:600]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
