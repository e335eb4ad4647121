"""``bluetusk blacklist ask | serve | demo``."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import _toml
from .._parallel import get_num_threads
from ..storage import files
from ..tasks import BLACKLIST
from ..vertical.align.common import MAX_PEER_IDS
from ..vertical.align.ids import as_ids
from ..vertical.blacklist.query import BlacklistAnswer, blacklist_query, blacklist_serve
from ..vertical.party.config import Evidence, check_bounds, evidence_of, made_from
from ..vertical.party.waiting import QUOTA
from ..vertical.protocol.job import Keeper, Progress
from ..vertical.protocol.link import Link, local_links
from ..vertical.tables.files import File, check_delimiter
from ..vertical.tables.sniffing import check_encoding
from ._watching import Watch, add_options
from .party import _listening, _progress

__all__ = ["Settings", "add_parser", "run"]

_CONFIGURATION = """a configuration file (TOML; paths are relative to it):
  job = "applicants-2026-11-26"
  certificate = "{me}.cert.pem"
  key = "{me}.key.pem"
  peer_certificate = "{peer}.cert.pem"
  {way}
  state = "state-2026-11-26"
  file = "{table}.csv"
  id = "national_id"
  {more}
  [evidence]
  identity = "{me}.identity"
  peer_key = "{peer}.identity.pub"
  policy = "policy.signed"
  log = "evidence.log"

Choose a new job name for every request, the same at both parties, and a new state directory (encrypted). A killed side
resumes when started again with the same file. `bluetusk certs` makes the certificates. The table is CSV or Parquet
(with pyarrow); id names its column of ids; encoding (default "utf-8") and delimiter (default ",") say how a CSV file is
written. limit caps the ids per request. max_peer_ids (default 16777216) caps those
of a list that the asker accepts, spool_quota (default 4294967296) the bytes on disk for frames of a peer that runs
ahead. `bluetusk evidence keygen` makes identities; a policy grants the purpose "blacklist" with max_ids_per_request
and max_ids_total. Without [evidence] a file must say evidence = "none", above the sections: every request is then
answered, and none is logged."""


@dataclass(frozen=True)
class Settings:
    """The settings of a configuration file; its relative paths start from the file's folder.

    Attributes
    ----------
    job : str
        Name of the request: a new one each time, the same at both parties.
    certificate, key, peer_certificate : str
        PEM files, made by ``bluetusk certs``.
    file, id : str
        The table with the ids to look up, or with the list; the name of its column of ids.
    encoding, delimiter : str
        Of a CSV file.
    listen, connect : str or None
        The address to listen at, or that of the peer; exactly one is set.
    state : str
        Directory for the encrypted state, a new one for every job.
    patience : float
        Seconds to wait for a silent peer.
    spool_quota : int
        Largest number of bytes of frames from the peer, which runs ahead, that wait on disk.
    max_peer_ids : int
        At the asker: the largest number of ids on the list.
    limit : int or None
        At the list's owner: the largest number of ids that one request may contain.
    output : str or None
        At the asker: the CSV file to write the answers to.
    evidence : Evidence or None
        Policy, log and identity; None only where the file says ``evidence = "none"``.
    role : str
        "guest" for the asker, "host" for the list's owner: the parties' names in messages and logs.
    """

    job: str
    certificate: str
    key: str
    peer_certificate: str
    file: str
    id: str = "id"
    encoding: str = "utf-8"
    delimiter: str = ","
    listen: str | None = None
    connect: str | None = None
    state: str = "state"
    patience: float = 600.0
    spool_quota: int = QUOTA
    max_peer_ids: int = MAX_PEER_IDS
    limit: int | None = None
    output: str | None = None
    role: str = "guest"
    evidence: Evidence | None = None

    @classmethod
    def load(cls, path: str | Path, role: str) -> Settings:
        """Read and check a TOML file; a ValueError names the file and the setting."""
        given = _toml.load(path)
        given.pop("role", None)
        section = given.pop("evidence", None)
        limit = given.pop("limit") if role == "host" and type(given.get("limit")) is int else None
        try:
            known = {"evidence": evidence_of(section), "limit": limit, "role": role}
            made = made_from(cls, given, "", known)
            if (made.listen is None) == (made.connect is None):
                raise ValueError("give exactly one of listen and connect: one party listens, the other connects")
            check_bounds(made.spool_quota, made.max_peer_ids)
            check_encoding(made.encoding)
            check_delimiter(made.delimiter)
            if role == "host" and (limit is None or limit < 1):
                raise ValueError("limit must be a whole number of at least 1: the most ids that a request may contain")
            if made.evidence is not None and made.evidence.audit is not None:
                raise ValueError("evidence.audit is a setting of bluetusk party: a blacklist has no labels; remove it")
            if role == "host" and made.output is not None:
                raise ValueError("output is a setting of the asker only: the list's owner gets no answers; remove it")
        except ValueError as err:
            raise ValueError(f"{path}: {err}") from None
        return made._at(Path(path).parent)

    def _at(self, folder: Path) -> Settings:
        def at(name: str | None) -> Any:
            return None if name is None else str(folder / name)

        given = self.evidence
        if given is not None:
            given = Evidence(at(given.log), at(given.identity), at(given.peer_key), at(given.policy))
        paths = {name: at(getattr(self, name)) for name in ("certificate", "key", "peer_certificate", "file", "state")}
        return replace(self, **paths, output=at(self.output), evidence=given)


def run(
    link: Link,
    settings: Settings,
    ids: list[str],
    *,
    keeper: Keeper | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run one side over a link.

    Parameters
    ----------
    link : Link
        To the other party.
    settings : Settings
        Role, limit and output file.
    ids : list of str
        The ids to look up, or the list.
    keeper, progress
        As for :func:`blacklist_query`.

    Returns
    -------
    dict
        At the asker the keys asked, listed, list_size; at the owner asked, list_size.
    """
    if settings.role == "host":
        asked = blacklist_serve(ids, link=link, limit=settings.limit or 0, keeper=keeper, progress=progress)
        return {"asked": asked, "list_size": len(ids)}
    answer = blacklist_query(ids, link=link, max_peer_ids=settings.max_peer_ids, keeper=keeper, progress=progress)
    if settings.output is not None:
        _write(settings.output, ids, answer)
    return {"asked": len(ids), "listed": int(answer.listed.sum()), "list_size": answer.list_size}


def _write(path: str, ids: list[str], answer: BlacklistAnswer) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["id", "listed"])
    writer.writerows(zip(ids, answer.listed.astype(int).tolist(), strict=True))
    files.write(path, out.getvalue().encode(), overwrite=True)


def _ids_of(settings: Settings) -> list[str]:
    file = File(
        settings.file,
        [settings.id],
        encoding=settings.encoding,
        delimiter=settings.delimiter,
        named={settings.id: "id"},
    )
    column = file.ids(settings.id, once=True).tolist()
    try:
        return as_ids(column, settings.id)
    except ValueError as err:
        raise ValueError(f"{settings.file}: {err}") from None


def _side(role: str) -> Callable[[argparse.Namespace], int]:
    def command(args: argparse.Namespace) -> int:
        settings = Settings.load(args.config, role)
        watch = Watch(settings.job, role, _progress(args.progress))
        with watch.running(args):
            result = _over_grpc(settings, _ids_of(settings), args.progress, watch)
        if args.json:
            print(json.dumps(result))
        elif role == "guest":
            print(f"{result['listed']} of {result['asked']} ids are on the list, which has {result['list_size']}")
            if settings.output is not None:
                print(f"answers: {settings.output}")
        else:
            print(f"{result['asked']} ids were asked about the list of {result['list_size']}")
        return 0

    return command


def _over_grpc(settings: Settings, ids: list[str], progress: str, watch: Watch | None = None) -> dict[str, Any]:
    from ..vertical.party.checks import check_room
    from ..vertical.party.opening import identity_of, opened
    from ..vertical.party.pipeline import Metered, exchange_heads

    get_num_threads()  # a wrong BLUETUSK_NUM_THREADS is found before the first message
    told = _progress(progress) if watch is None else watch.progress
    needs = {settings.state: (1 << 20) + 33 * len(ids)}
    if settings.output is not None:
        if Path(settings.output).is_dir():
            raise ValueError(f"output: {settings.output} is a folder: name a file for the answers")
        needs[str(Path(settings.output).parent)] = sum(len(text.encode()) + 4 for text in ids) + 4096
    check_room(needs)
    with opened(settings, identity_of(settings), _listening(progress)) as held:
        if watch is not None:
            watch.opened(held)
        party, recorder, notary = held.party, held.recorder, held.notary

        def program(link: Link, keeper: Keeper) -> dict[str, Any]:
            kept: Any = keeper if recorder is None else Metered(keeper, recorder.meter)
            result = run(link, settings, ids, keeper=kept, progress=told)
            if recorder is not None and notary is not None:
                recorder.finish(BLACKLIST.stage, details={name: result[name] for name in ("asked", "list_size")})
                exchange_heads(BLACKLIST, notary, link, kept)
            return result

        result = party.run(program)
        result["bytes"] = {"sent": party.link.bytes_sent, "received": party.link.bytes_received}
        if recorder is not None:
            result["evidence"] = {"records": len(recorder.log)}
    return result


def _demo(args: argparse.Namespace) -> int:
    """Both sides in one process, on made-up ids."""
    rows = np.arange(args.rows)
    applicants = [f"applicant {k:06d}" for k in rows]
    listed = [f"applicant {k:06d}" for k in range(0, 2 * args.rows, 37)]
    here, there = local_links("guest", "host")
    errors: list[BaseException] = []

    def owner() -> None:
        try:
            blacklist_serve(listed, link=there, limit=args.rows)
        except BaseException as error:
            errors.append(error)

    start = time.perf_counter()
    thread = threading.Thread(target=owner, daemon=True)
    thread.start()
    answer = blacklist_query(applicants, link=here, progress=_progress(args.progress))
    thread.join()
    if errors:
        raise errors[0]
    result = {
        "asked": len(applicants),
        "listed": int(answer.listed.sum()),
        "list_size": answer.list_size,
        "correct": [a for a, hit in zip(applicants, answer.listed, strict=True) if hit]
        == sorted(set(applicants) & set(listed)),
        "bytes": {"sent": here.bytes_sent, "received": here.bytes_received},
        "seconds": round(time.perf_counter() - start, 3),
    }
    if args.json:
        print(json.dumps(result))
        return 0 if result["correct"] else 1
    print(f"An institution with {result['asked']} applicants asks a partner with a list of {result['list_size']} ids.")
    print(f"  the institution learns   {result['listed']} applicants are listed, and which; the size of the list")
    print(f"  the partner learns       {result['asked']} ids were asked; not which, not how many are listed")
    print("  neither learns           an id of the other side that did not match")
    print(f"Compared with the two sets in the open: {'the same' if result['correct'] else 'WRONG'}.")
    print(f"{here.bytes_sent + here.bytes_received:,} bytes, {result['seconds']:.1f} seconds")
    return 0 if result["correct"] else 1


def add_parser(commands: Any) -> None:
    """Add the command.

    Parameters
    ----------
    commands : argparse subparsers
        Of the main parser.
    """
    blacklist = commands.add_parser(
        "blacklist",
        help="look up ids in a partner's blacklist, or answer such a request",
        description="""Ask a partner which of your applicants are on its blacklist, without showing them, or answer such
a request, without showing the list (private set intersection). The asker learns which of its ids are listed and the
size of the list; the owner learns how many ids were asked. An asker with enough requests can enumerate guessable
ids; the owner's limit and policy cap that.""",
        epilog="""examples:
  bluetusk blacklist demo                            both sides on this machine, made-up ids
  bluetusk blacklist serve --config network.toml     the list's owner
  bluetusk blacklist ask --config bank.toml          the asker""",
    )
    kinds = blacklist.add_subparsers(metavar="SIDE", required=True)
    asker = {"me": "bank", "peer": "network", "way": 'connect = "net.example.org:7443"', "table": "applicants"}
    owner = {"me": "network", "peer": "bank", "way": 'listen = "0.0.0.0:7443"', "table": "blacklist"}
    for side, role, about, values, more in (
        ("ask", "guest", "look up the ids of a file", asker, 'output = "answers.csv"'),
        ("serve", "host", "answer one request about a list", owner, "limit = 5000"),
    ):
        command = kinds.add_parser(
            side,
            help=about,
            description=about.capitalize() + ".",
            epilog=_CONFIGURATION.format(**values, more=more),
        )
        command.add_argument("--config", required=True, metavar="FILE", help="TOML file, see below")
        _common(command)
        add_options(command)
        command.set_defaults(run=_side(role), parser=command, resumable=True)
    demo = kinds.add_parser("demo", help="both sides on this machine", description="Run both sides in this process.")
    demo.add_argument("--rows", type=_rows, default=2000, metavar="N", help="number of applicants (default: 2000)")
    _common(demo)
    demo.set_defaults(run=_demo, parser=demo)


def _rows(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return int(text)


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument(
        "--progress",
        choices=("bar", "json", "none"),
        default="bar" if sys.stderr.isatty() else "none",
        help="progress on standard error (default: bar on a terminal)",
    )
