"""``bluetusk party init``: writes a party's two TOML files from a few answers, and prints what to do next."""

from __future__ import annotations

import argparse
import datetime
import math
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .. import _toml
from ..errors import DataWarning
from ..tasks import MODELS
from ._common import PASSPHRASE, Failure

__all__ = ["PLACEHOLDER", "add_parser"]

PLACEHOLDER = "PASTE-THE-FINGERPRINT-HERE"
"""What stands in policy.toml for a peer whose certificate has not come yet; no policy can be signed with it."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LABELS = ("label", "default", "target", "y", "bad", "event", "fraud", "churn", "违约", "标签", "逾期", "是否")
_IDS = ("id", "merchant", "customer", "cust", "uid", "user", "account", "编号", "客户", "商户", "证件", "账号", "号码")
_FEW = 12  # different whole numbers of a column that may be codes
_HOW = ("encoding", "delimiter", "decimal", "thousands")  # settings of [data] by which a file is read, where there are


@dataclass
class _Answers:
    """What the files are made of."""

    role: str
    name: str
    peer: str
    data: Path
    id: str
    label: str | None
    listen: str | None
    connect: str | None
    job: str
    folder: Path
    peer_certificate: Path
    peer_key: Path
    peer_ids: int | None
    columns: dict[str, list[Any]]
    how: dict[str, str] = field(default_factory=dict)


def _init(args: argparse.Namespace) -> int:
    asked = _asked(args)
    places = {name: asked.folder / name for name in ("party.toml", "policy.toml")}
    there = [str(path) for path in places.values() if os.path.lexists(path)]
    if there and not args.force:
        raise Failure(f"{' and '.join(there)} exist and are not overwritten: give --folder DIR, or --force")
    party, policy = _texts(asked)
    from ..storage import files
    from ..vertical.party.config import Config

    asked.folder.mkdir(parents=True, exist_ok=True)
    try:
        for path, content in zip(places.values(), (party, policy), strict=True):
            files.write(path, content.encode(), overwrite=args.force, mode=0o644)
        Config.load(places["party.toml"])  # what is written is what a run reads
    except BaseException:  # both or none
        for path in places.values():
            if str(path) not in there:
                path.unlink(missing_ok=True)
        raise
    print(f"written: {places['party.toml']}, {places['policy.toml']}. Read both: the comments say what to decide.\n")
    print("\n".join(_next(asked)))
    return 0


# --- the questions ----------------------------------------------------------------------------------------------------


def _asked(args: argparse.Namespace) -> _Answers:
    missing: list[str] = []

    def ask(flag: str, question: str, guess: str | None, check: Callable[[str], str | None] = lambda text: None) -> str:
        """Return a flag's value, or the answer at the terminal, or the guess; each must pass the check."""
        given = getattr(args, flag)
        if given is not None:
            if (fault := check(given)) is not None:
                raise Failure(f"--{flag.replace('_', '-')} {given}: {fault}")
            return str(given)
        if args.yes or not sys.stdin.isatty():
            if guess is None or (fault := check(guess)) is not None:
                missing.append(f"--{flag.replace('_', '-')}")
                return ""
            return guess
        while True:
            try:
                told = input(f"{question}{f' [{guess}]' if guess else ''}: ").strip() or (guess or "")
            except EOFError:
                raise Failure(f"no answer: give --{flag.replace('_', '-')}") from None
            if told and (fault := check(told)) is None:
                return told
            print(f"  {fault if told else 'an answer is needed'}", file=sys.stderr)

    def name_fault(text: str) -> str | None:
        if _NAME.fullmatch(text):
            return None
        return "a name has at most 63 letters A-Z, digits and hyphens: the certificate contains it"

    def role_fault(text: str) -> str | None:
        return None if text in ("guest", "host") else "the side with the labels is the guest, the other the host"

    role = ask("role", "Which side is this? guest has the labels, host does not", None, role_fault)
    name = ask("name", "This side's name, as in its certificate", None, name_fault)
    peer = ask("peer", "The peer's name", None, lambda t: name_fault(t) or ("that is this side" if t == name else None))
    data = ask("data", "The data file (CSV or Parquet)", None, lambda t: None if Path(t).is_file() else "no such file")
    how = {key: value for key in _HOW if (value := getattr(args, key, None)) is not None}
    columns = _columns(data, how) if data else {}
    if columns and sys.stdin.isatty() and not args.yes:
        print(f"  columns: {', '.join(map(repr, columns))}"[:2000])

    def column_fault(text: str) -> str | None:
        from .._spelling import did_you_mean

        if not columns or text in columns:
            return None
        return f"{data} has no column {text!r}{did_you_mean(text, columns)}"

    id = ask("id", "The column of ids, by which both sides know a row", _id_guess(columns), column_fault)
    label = None
    if role == "guest":
        label = ask("label", "The column of labels, 1 for the event", _label_guess(columns, id), column_fault)
    elif args.label is not None:
        raise Failure("--label is for the guest, which has the labels: leave it out at a host")
    listen, connect = args.listen, args.connect
    if listen is not None and connect is not None:
        raise Failure("give one of --listen and --connect: one party listens, the other connects")
    if listen is None and connect is None and role:
        if role == "host":
            listen = ask("listen", "The address to listen at (HOST:PORT)", "0.0.0.0:7443", _address_fault)
        else:
            connect = ask("connect", "The peer's address (HOST:PORT)", None, _address_fault)
    for flag, value in (("listen", listen), ("connect", connect)):
        if value and (fault := _address_fault(value)) is not None:
            raise Failure(f"--{flag} {value}: {fault}")
    today = datetime.datetime.now(datetime.timezone.utc)
    job = ask("job", "The name of the job, the same at both sides", f"credit-{today:%Y-%m-%d}", _job_fault)
    if missing:
        raise Failure(f"give {', '.join(missing)}: there is no terminal to ask at, or --yes was given")
    folder = Path(args.folder)
    return _Answers(
        role,
        name,
        peer,
        Path(data),
        id,
        label,
        listen,
        connect,
        job,
        folder,
        Path(args.peer_certificate) if args.peer_certificate else folder / f"{peer}.cert.pem",
        Path(args.peer_key) if args.peer_key else folder / f"{peer}.pub",
        args.peer_ids,
        columns,
        how,
    )


def _address_fault(text: str) -> str | None:
    host, _, port = text.rpartition(":")
    if host and port.isdecimal() and int(port) < 1 << 16:
        return None
    return "an address has a port, HOST:PORT, such as net.example.org:7443"


def _job_fault(text: str) -> str | None:
    return None if 1 <= len(text) <= 100 else "a job's name has 1 to 100 characters"


def _columns(data: str, how: dict[str, str]) -> dict[str, list[Any]]:
    from ..vertical.tables.advice import setting_lines
    from ..vertical.tables.files import File

    more: dict[str, Any] = {key: value for key, value in how.items() if key in ("encoding", "delimiter")}
    try:
        return File(data, **more).raw
    except ValueError as err:  # there is no [data] yet in which to write what it proposes
        flags = " ".join(
            f"--{name} {shlex.quote(_toml.loaded(line)[name])}"
            for line in setting_lines(str(err))
            if (name := line.split(" = ")[0]) in _HOW
        )
        raise Failure(f"{err}{f'. Here: {flags}' if flags else ''}") from None


def _id_guess(columns: dict[str, list[Any]]) -> str | None:
    """Return the first column of different values, of those whose names sound like ids if there are any."""
    distinct = [name for name, cells in columns.items() if len(set(cells)) == len(cells)]
    sounding = [name for name in distinct if any(word in name.lower() for word in _IDS)]
    return next(iter([*sounding, *distinct]), None)


def _label_guess(columns: dict[str, list[Any]], id: str) -> str | None:
    """Return the column of two values that sounds like a label, else the last column of two values."""
    two = [name for name, cells in columns.items() if name != id and {str(c).strip() for c in cells} == {"0", "1"}]
    sounding = [name for name in two if any(word in name.lower() for word in _LABELS)]
    return next(iter([*sounding, *two[::-1]]), None)


# --- the files --------------------------------------------------------------------------------------------------------


def _texts(asked: _Answers) -> tuple[str, str]:
    """Return party.toml and policy.toml."""
    from ..vertical.party.config import Config, Data, Model
    from ..vertical.party.needs import Table, most_cuts
    from ..vertical.party.rows import Rows

    model = Model()
    data = Data(str(asked.data), asked.id, asked.label, **asked.how)  # type: ignore[arg-type]
    config = Config(asked.role, asked.job, "", "", "", data)
    names = [name for name in asked.columns if name not in (asked.id, asked.label)]
    codes: list[str] = []
    cuts, events = len(names) * (2 * model.tree_bins - 1), 0
    count = len(asked.columns[asked.id])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # --check tells them
            rows = Rows.read(config)
    except (ValueError, TypeError) as err:
        print(
            f"note: {err}\nWrite it into party.toml before you go on; `bluetusk party --check` finds the rest.\n",
            file=sys.stderr,
        )  # to be declared in [data]; --check tells the rest
    else:
        cuts = most_cuts(rows.profile, model)
        events = 0 if rows.labels is None else int(rows.labels.sum())
        codes = [each.name for each in rows.profile if each.kind == "numeric" and each.whole]
        codes = [each.name for each in rows.profile if each.name in codes and 2 <= each.distinct <= _FEW]
    table = Table(names, count, count, events, cuts)
    return _party_text(asked, model, codes), _policy_text(asked, model, table)


def _from(folder: Path, path: Path) -> str:
    """Write a path as the file in a folder has it; what is inside the folder moves with it."""
    inside = path.absolute().is_relative_to(folder.absolute())
    return str(path) if path.is_absolute() and not inside else os.path.relpath(path, folder)


def _party_text(asked: _Answers, model: Any, codes: Sequence[str]) -> str:
    text, folder = _toml.text, asked.folder
    way = f"listen = {text(asked.listen)}" if asked.listen else f"connect = {text(str(asked.connect))}"
    lines = [
        "# One side of a joint model, written by `bluetusk party init`. The peer has such a file too.",
        f"role = {text(asked.role)}                # guest: has the labels; host: has more columns",
        f"job = {text(asked.job)}    # the same at both sides, and new for every run",
        f"certificate = {text(f'{asked.name}.cert.pem')}",
        f"key = {text(f'{asked.name}.key.pem')}",
        f"peer_certificate = {text(_from(folder, asked.peer_certificate))}    # from the peer: compare fingerprints",
        f"{way}    # one side listens, the other connects",
        'state = "state"      # encrypted; of one job: to resume a killed run, start again with the same folder',
        'splits = "splits"    # encrypted; of all jobs: keeps the same rows held back. Back it up, never remove it',
        'output = "output"    # the models and the report',
        "",
        "[data]",
        f"file = {text(_from(folder, asked.data))}",
        f"id = {text(asked.id)}",
    ]
    lines += [f"label = {text(asked.label)}    # 1: the event, such as a default; 0: none"] if asked.label else []
    lines += [f"{key} = {text(value)}" for key, value in asked.how.items()]
    if codes:
        lines += ["# These columns have few different whole numbers. If they are codes, not amounts, take away the #:"]
        commented = f"categorical = {_toml.texts(codes)}"
        lines += [f"# {line}" for line in commented.split("\n")]
    lines += [
        '# missing = ["?", "unknown"]    # texts that mean "missing", besides empty, NA, NULL and the like',
        '# numeric = ["amount"]          # columns of numbers in which other texts count as missing',
        "",
        "[model]    # the same at both sides, who compare it before any data is used; all settings have defaults",
        f"key_size = {model.key_size}           # bits of the Paillier keys",
        f"min_intersection = {model.min_intersection}    # fewest rows in common; not below either policy's",
        f"min_rows = {model.min_rows}             # fewest rows of a bin; not below either policy's",
        f"min_bucket_rows = {model.min_bucket_rows}      # fewest rows of a bucket of the host's columns in trees",
        f"trees = {model.trees}                # boosted trees; 0: none. epochs = 0 leaves the regression out",
        "",
        "[evidence]    # who may do what, and the log of what was done",
        'identity = "identity"          # of `bluetusk evidence keygen identity`',
        f"peer_key = {text(_from(folder, asked.peer_key))}    # the peer's identity.pub",
        'policy = "policy.signed"       # policy.toml, signed',
        'log = "evidence.log"           # keep it: with it goes the proof of what was done',
    ]
    return "\n".join(lines) + "\n"


def _policy_text(asked: _Answers, model: Any, table: Any) -> str:
    from ..evidence import fingerprint_groups
    from ..vertical.party.certs import only_certificate
    from ..vertical.party.needs import purposes_of

    text = _toml.text
    who = PLACEHOLDER
    if asked.peer_certificate.exists():
        who = fingerprint_groups(only_certificate(asked.peer_certificate.read_bytes()))
    uses = purposes_of(model)
    scoring = 1 + sum(
        training.purpose in uses for training, _ in MODELS
    )  # the rows in common; the scores by each model
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=365)
    columns = ["id", *(["label"] if asked.role == "guest" else []), *table.names]
    ids = _round_up(asked.peer_ids or max(10_000, 2 * table.rows)) if asked.role == "host" else _round_up(table.rows)
    placeholder = (
        "    # `bluetusk evidence fingerprint FILE` of the peer's certificate prints it"
        if who == PLACEHOLDER
        else f"    # of {asked.peer}'s certificate: compare it by telephone"
    )
    lines = [
        "# What the peer may do with this side's columns, written by `bluetusk party init`. Read it, then sign it:",
        "#   bluetusk evidence policy sign policy.toml --key identity",
        "# This side's own process refuses everything else. To change it later, raise the serial and sign it again.",
        f"owner = {text(asked.name)}",
        "serial = 1",
        "revoked = []    # ids of grants that no longer hold",
        "",
        "[[grants]]",
        f"id = {text(f'{asked.peer}-credit')}    # uses are counted under this id",
        f"peer = {text(who)}{placeholder}",
        f"name = {text(asked.peer)}",
        f"purposes = {_toml.texts(dict.fromkeys(uses))}",
        '# "id" stands for the column of ids, "label" for that of labels. Take away the columns that must not be used:',
        f"columns = {_toml.texts(columns)}",
        f"uses = {len(uses) + scoring}    # a run takes {len(uses)}; scoring later takes {scoring}",
        f"until = {until:%Y-%m-%d}T00:00:00Z",
        f"min_rows = {model.min_rows}             # fewest rows of a bin, bucket or node whose sums are shown",
        f"min_intersection = {model.min_intersection}    # fewest rows of a joint task",
        f"max_ids_per_request = {ids}    # ids can be guessed and tried: not more than the peer has customers",
        f"max_ids_total = {2 * ids}          # in all requests together",
    ]
    more = _caps(asked.role, model, table)
    if more:
        lines += ["# The defaults are less than what a run with these columns shows, if all rows are in common:"]
        lines += [f"{clause} = {most}    # default {before}" for clause, (most, before) in more.items()]
    lines += ["# All clauses, with the reasons for their defaults: bluetusk evidence policy example"]
    return "\n".join(lines) + "\n"


def _caps(role: str, model: Any, table: Any) -> dict[str, tuple[int, int]]:
    """Return the clauses that a run would need above their defaults, with twice its need, and the defaults."""
    from ..evidence.rehearsal import most_shown
    from ..vertical.party.needs import uses_of

    return most_shown(uses_of(model, role, table))


def _round_up(number: int) -> int:
    """Return a number of two digits and zeros that is not smaller."""
    unit = 10 ** max(0, int(math.log10(max(1, number))) - 1)
    return int(-(-number // unit) * unit)


# --- what comes next --------------------------------------------------------------------------------------------------


def _next(asked: _Answers) -> list[str]:
    """Return the commands that follow, in order."""
    folder, quote = asked.folder, shlex.quote
    certificate = asked.peer_certificate
    where = "" if folder == Path() else f" (in {folder})"
    lines = [f"Next{where}:"]
    number = 0

    def step(words: str, *commands: str) -> None:
        nonlocal number
        number += 1
        lines.append(f"{number}. {words}")
        lines.extend(f"     {command}" for command in commands)

    if folder != Path():
        step("Go to the folder:", f"cd {quote(str(folder))}")
    if not os.environ.get(PASSPHRASE):
        step("Set a passphrase for this side's keys, in every terminal:", f"export {PASSPHRASE}='...'")
    made = []
    if not (folder / f"{asked.name}.cert.pem").exists():
        host = (asked.listen or "").rpartition(":")[0].strip("[]")
        named = f" --address {quote(host)}" if host not in ("", "0.0.0.0", "::", "127.0.0.1", "localhost") else ""  # noqa: S104
        reached = "    # --address HOST if the peer reaches this side by a name" if asked.listen and not named else ""
        made.append(f"bluetusk certs {asked.name}{named}{reached}")
    if not (folder / "identity").exists():
        made.append("bluetusk evidence keygen identity")
    if made:
        step("Make this side's certificate and identity; each prints a fingerprint:", *made)
    step(
        f"Send {asked.name}.cert.pem and identity.pub to {asked.peer}, which stores the second as {asked.name}.pub. "
        "Never send a .key.pem, nor identity."
    )
    theirs = [_from(folder, path) for path in (certificate, asked.peer_key)]
    step(
        f"When {theirs[0]} and {theirs[1]} have come, print their fingerprints and compare them, by telephone, with "
        f"what {asked.peer}'s screen shows:",
        f"bluetusk evidence fingerprint {' '.join(map(quote, theirs))}",
    )
    if not certificate.exists():
        step(
            "Put the peer's fingerprint into policy.toml:",
            f"peer=$(bluetusk evidence fingerprint {quote(theirs[0])} | cut -d' ' -f1)",
            f'sed -i "s/{PLACEHOLDER}/$peer/" policy.toml',
        )
    step("Read policy.toml, then sign it:", "bluetusk evidence policy sign policy.toml --key identity")
    step("Check everything, without connecting:", "bluetusk party --check --config party.toml")
    step(
        f"Agree with {asked.peer} on job and [model], which must be the same, and start both sides in either order:",
        "bluetusk party --config party.toml",
    )
    return lines


def add_parser(commands: Any) -> None:
    """Add the command."""
    from ..vertical.party.config import Data

    init = commands.add_parser(
        "init",
        help="write party.toml and policy.toml from a few questions",
        description="""Write a party's configuration and its policy for a file of one's own, and print the commands that
follow: what to make, what to send to the peer, what to compare by telephone. What no option answers is asked at the
terminal. Nothing is overwritten without --force.""",
        epilog="""examples:
  bluetusk party init                                      asks
  bluetusk party init --role guest --name bank --peer network --data customers.csv --id merchant --label DEFAULT \\
      --connect net.example.org:7443 --yes
  bluetusk party init --role host --name network --peer bank --data payments.csv --id merchant \\
      --listen 0.0.0.0:7443 --yes""",
    )
    init.add_argument("--role", metavar="ROLE", help="guest (has the labels) or host")
    init.add_argument("--name", metavar="NAME", help="this side's name: letters, digits, hyphens")
    init.add_argument("--peer", metavar="NAME", help="the peer's name")
    init.add_argument("--data", metavar="FILE", help="the data file, CSV or Parquet")
    init.add_argument("--id", metavar="COLUMN", help="its column of ids")
    init.add_argument("--label", metavar="COLUMN", help="its column of labels, at the guest")
    init.add_argument("--listen", metavar="HOST:PORT", help="the address to listen at")
    init.add_argument("--connect", metavar="HOST:PORT", help="the peer's address")
    init.add_argument("--job", metavar="NAME", help="the job's name, the same at both (default: credit- and the date)")
    init.add_argument("--folder", metavar="DIR", default="", help="where the files go (default: here)")
    init.add_argument("--peer-certificate", metavar="FILE", help="the peer's certificate (default: PEER.cert.pem)")
    init.add_argument("--peer-key", metavar="FILE", help="the peer's identity.pub (default: PEER.pub)")
    init.add_argument("--peer-ids", metavar="N", type=int, help="at a host: the most ids that the peer may ask about")
    known = {each.name for each in fields(Data)}
    for name in (name for name in _HOW if name in known):
        init.add_argument(f"--{name}", metavar="TEXT", help=f"data.{name}: how the file is written")
    init.add_argument("--yes", action="store_true", help="ask nothing: take the guesses for what is not given")
    init.add_argument("--force", action="store_true", help="overwrite party.toml and policy.toml")
    init.set_defaults(run=_init, parser=init)
