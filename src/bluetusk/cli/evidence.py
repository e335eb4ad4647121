"""``bluetusk evidence``: keys, policies, logs, audit records, audit books."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ..errors import InvalidKey
from ..evidence import Audit, Grant, Identity, Policy, fingerprint_groups, read_heads, read_public_key, verify
from ..evidence.identity import grouped
from ..evidence.policy import EXAMPLE, UNLIMITED, is_fingerprint, seconds_text
from ..evidence.summary import kept_heads, logged, owner_key, printable, record_json, record_line, refusals, summary
from ..paillier.fingerprint import spoken
from ..storage import files
from ..vertical.auditing import audit
from ..vertical.tables.files import File
from ._common import PASSPHRASE, passphrase

__all__ = ["add_parser"]

AUDIT_PASSPHRASE = "BLUETUSK_AUDIT_PASSPHRASE"  # the name of an environment variable  # noqa: S105


def _passphrase(args: argparse.Namespace, *, new: bool = False) -> str | bytes:
    """Return the passphrase from the file or the terminal; a new one is typed twice."""
    given = args.passphrase_file is not None or os.environ.get(PASSPHRASE) or not sys.stdin.isatty()
    return passphrase(args) if new or given else getpass.getpass("passphrase: ")


def _keygen(args: argparse.Namespace) -> int:
    private = Path(args.file)
    public = Path(args.public) if args.public else private.with_name(private.name + ".pub")
    for path in (private, public):
        if os.path.lexists(path):
            raise ValueError(f"{path} exists and is not overwritten: give another name, or move it away")
    secret = _passphrase(args, new=True)
    identity = Identity.generate()
    identity.write_public(public)
    try:
        identity.save(private, secret)
    except BaseException:
        public.unlink()
        raise
    print(f"private key  {private} (Ed25519; keep it and the passphrase apart)")
    print(f"public key   {public}")
    print(f"fingerprint  {fingerprint_groups(identity)}")
    return 0


def _fingerprint(args: argparse.Namespace) -> int:
    for path in args.files:
        print(f"{_fingerprint_of(path)}  {path}")
    return 0


def _fingerprint_of(path: str) -> str:
    try:
        return fingerprint_groups(read_public_key(path))
    except InvalidKey as error:
        try:
            return fingerprint_groups(Path(path).read_bytes())  # a certificate of another algorithm has one as well
        except InvalidKey:
            raise error from None


def _policy_example(args: argparse.Namespace) -> int:
    print(EXAMPLE, end="")
    return 0


def _policy_sign(args: argparse.Namespace) -> int:
    source = Path(args.file)
    target = Path(args.output) if args.output else source.with_suffix(".signed")
    policy = Policy.load(source)
    try:
        owner = Identity.load(args.key, _passphrase(args))
    except InvalidKey as error:
        raise InvalidKey(f"--key: {args.key}: {error}") from None
    signed = policy.sign(owner)
    if target.exists():
        old = Policy.load(target)
        if old.serial >= signed.serial:
            raise ValueError(
                f"{target} holds a policy with serial {old.serial}: give this one a higher serial, or another name"
            )
    files.write(target, signed.to_bytes(), overwrite=True, mode=0o644)
    print(f"signed  {target}: serial {signed.serial}, {len(signed.grants)} grants, sha256 {signed.digest.hex()}")
    return 0


def _policy_show(args: argparse.Namespace) -> int:
    policy = Policy.load(args.file)
    if args.key is not None and not policy.signed_by(read_public_key(args.key)):
        raise ValueError(f"{args.file} is not signed by the key in {args.key}")
    print(f"owner    {printable(policy.owner)}")
    by = fingerprint_groups(policy.key) if policy.signature else ""
    signed = f"{seconds_text(policy.issued)} by {by}" if policy.signature else "not yet"
    print(f"signed   {signed}")
    print(f"serial   {policy.serial}")
    if policy.revoked:
        print(f"revoked  {', '.join(grouped(t) if is_fingerprint(t) else printable(t) for t in policy.revoked)}")
    for grant in policy.grants:
        print(f"grant {printable(grant.id)} to {printable(grant.name) or '?'} {grouped(grant.peer)}")
        print(f"  for      {', '.join(grant.purposes)}")
        print(f"  columns  {', '.join(map(printable, grant.columns))}")
        begins = f"{seconds_text(grant.not_before)} to " if grant.not_before else ""
        print(f"  uses     {grant.uses}, {begins}before {seconds_text(grant.until)}")
        groups = f"{grant.min_rows} rows, {grant.min_events} events and {grant.min_others} others a group"
        print(f"  least    {groups}, {grant.min_intersection} rows and {grant.min_total_events} events a task")
        print(f"  ids      {grant.max_ids_per_request} at once, {grant.max_ids_total} in all")
        print(f"  most     {_most(grant, ('bins', 'trees', 'depth', 'cuts'))}")
        print(f"  in all   {_most(grant, ('columns', 'models', 'rows_scored', 'sums', 'bits'))}")
        print(f"  exact    {', '.join(grant.reveal) or 'nothing'}")
        print(f"  labels   {'may change' if grant.second_labels else 'of a row stay the same'}")
    return 0


def _most(grant: Grant, names: tuple[str, ...]) -> str:
    """Return what a grant's limits of these numbers are."""
    limits = {name: getattr(grant, f"max_{name}") for name in names}
    return ", ".join(
        f"{'unlimited' if most == UNLIMITED else most} {name.replace('_', ' ')}" for name, most in limits.items()
    )


def _verify(args: argparse.Namespace) -> int:
    key = None if args.key is None else read_public_key(args.key)
    owner = owner_key(args.file) or key  # whose heads to look for in a peer's log
    heads = [head for path in args.head for head in read_heads(path, owner)]
    report = verify(args.file, heads=heads, key=key)
    if args.json:
        told = {
            "ok": report.ok,
            "first_bad": report.first_bad,
            "reason": report.reason,
            "records": len(report.records),
            "counts": report.counts,
            "refused": dict(refusals(report)),
            "heads": len(heads),
            "covered": report.covered,
            "learned": logged(report.records),
            "torn": report.torn,
            "notes": list(report.notes),
            "head": None if report.head is None else json.loads(report.head.to_json()),
        }
        print(json.dumps(told, indent=2))
        return 0 if report.ok else 1
    print("\n".join(summary(report)))
    for note in report.notes:
        print(f"note    {note}")
    if args.head and not heads:
        print("note    none of the heads given is of this log")
    if report.ok:
        beyond = len(report.records) - report.covered
        missing = f"; no head given covers the last {beyond}: a cut there would go unnoticed" if beyond else ""
        print(f"GOOD    {len(report.records)} records are as their owner signed them{missing}")
        return 0
    where = "" if report.first_bad is None else f"first bad record: {report.first_bad}; "
    print(f"BAD     {where}{report.reason}")
    return 1


def _show(args: argparse.Namespace) -> int:
    report = verify(args.file)
    for record in report.records:
        if (args.task is None or record.task == args.task) and (args.what is None or record.what == args.what):
            print(json.dumps(record_json(record)) if args.json else record_line(record))
    if not report.ok:
        print(f"bluetusk: {report.reason}", file=sys.stderr)
        return 1
    return 0


def _head(args: argparse.Namespace) -> int:
    report = verify(args.file)
    if not report.ok:
        raise ValueError(report.reason)
    if args.of is None:
        if report.head is not None:
            print(report.head.to_json())
        return 0
    kept = kept_heads(report.records, args.of)
    if not kept:
        raise ValueError(f"{args.file} keeps no head of {args.of!r}")
    for head in kept if args.all else kept[-1:]:
        print(head.to_json())
    return 0


def _replay(args: argparse.Namespace) -> int:
    report = Audit.replay(args.file, _passphrase(args))
    for key in report.keys:
        print(f"key     {spoken(key)}")
    for task, number in report.tasks.items():
        print(f"task    {printable(task) or '-'}: {number} ciphertexts")
    if report.torn:
        print(f"note    the last {report.torn} bytes were being written when the process died")
    verdict = f"GOOD    {report.ciphertexts} ciphertexts are what their plaintexts and randomness give"
    print(verdict if report.ok else f"BAD     {report.reason}; {report.ciphertexts} before it are good")
    return 0 if report.ok else 1


def _words(given: str | None) -> dict[str, int] | None:
    """Return what --label-words says, as label_words of a party's [data] would."""
    if given is None:
        return None
    pairs = [part.rpartition("=") for part in given.split(",")]
    words = {word.strip(): int(number) for word, _, number in pairs if word.strip() and number.strip() in ("0", "1")}
    if len(words) != len(pairs) or set(words.values()) != {0, 1}:
        raise ValueError(f"--label-words must be WORD=0,WORD=1, such as good=0,bad=1, not {given!r:.80}")
    return words


def _audit(args: argparse.Namespace) -> int:
    labels: Any = None
    if args.labels is not None:
        names = [args.label_column] if args.in_order else [args.id_column, args.label_column]
        file = File(args.labels, names, encoding=args.encoding, delimiter=args.delimiter)
        ids_of = None if args.in_order else args.id_column
        labels = file.labels(args.label_column, words=_words(args.label_words), ids=ids_of)
        if not args.in_order:
            ids = file.ids(args.id_column).tolist()
            if twice := next((each for each, count in Counter(ids).items() if count > 1), None):
                raise ValueError(
                    f"{args.labels}: the id {twice!r} comes twice: which of its labels is the true one? Leave one out"
                )
            labels = dict(zip(ids, labels.tolist(), strict=True))
    secret = None if args.passphrase_file is not None else os.environ.get(AUDIT_PASSPHRASE)
    result = audit(args.file, secret or _passphrase(args), logs=args.log, labels=labels, jobs=args.job)
    if args.json:
        told = vars(result) | {"findings": [vars(each) for each in result.findings]}
        print(json.dumps(told, indent=2))
        return 0 if result.ok else 1
    for note in result.notes:
        print(f"note    {note}")
    for each in result.findings[1:]:
        print(f"also    {printable(str(each))}")
    if result.ok:
        against = f" and in {result.logs} logs" if result.logs else ""
        print(f"GOOD    {result.numbers} numbers in {result.arrays} arrays are what labels and model say{against}")
        return 0
    print(f"BAD     {printable(str(result.findings[0]))}")
    return 1


def add_parser(commands: Any) -> None:
    """Add the command."""
    evidence = commands.add_parser(
        "evidence",
        help="policies, usage logs and proofs of both",
        description="Sign policies, read and verify logs of what was done with data, replay recorded encryptions.",
        epilog="""examples:
  bluetusk evidence keygen bank.key                    an identity: bank.key (encrypted) and bank.key.pub
  bluetusk evidence policy example > policy.toml       a policy to fill in; then: policy sign
  bluetusk evidence verify evidence.log --key bank.key.pub --head host.log
                                                       what happened, and the first record that fails verification

Give `verify` a head of the log that somebody else kept: without one, records cut from the end go unnoticed.""",
    )
    kinds = evidence.add_subparsers(metavar="WHAT", required=True)

    def command(group: Any, name: str, run: Any, help: str, description: str, epilog: str | None = None) -> Any:
        parser = group.add_parser(name, help=help, description=description, epilog=epilog)
        parser.set_defaults(run=run, parser=parser)
        return parser

    secret = {"metavar": "FILE", "help": "file with the passphrase (default: BLUETUSK_PASSPHRASE, else a prompt)"}

    keygen = command(
        kinds, "keygen", _keygen, "make a signing key", "Make an Ed25519 key that signs policies and logs."
    )
    keygen.add_argument("file", metavar="FILE", help="file to write the private key to, encrypted")
    keygen.add_argument("--public", metavar="FILE", help="file to write the public key to (default: FILE.pub)")
    keygen.add_argument("--passphrase-file", **secret)

    words = """Print the fingerprint of a key or certificate, as `bluetusk certs` and `evidence keygen` do and as
policies name a party: SHA-256 of the public key (SubjectPublicKeyInfo), in groups to read aloud."""
    print_it = command(kinds, "fingerprint", _fingerprint, "print fingerprints of keys and certificates", words)
    print_it.add_argument("files", metavar="FILE", nargs="+", help="a key or certificate: .pub, PEM or hexadecimal")

    policy = kinds.add_parser("policy", help="write, sign and show policies", description="Write, sign, show a policy.")
    doings = policy.add_subparsers(metavar="DO", required=True)
    command(doings, "example", _policy_example, "print a policy to fill in", "Print a policy in TOML, to fill in.")
    sign = command(
        doings,
        "sign",
        _policy_sign,
        "sign a policy",
        "Sign a policy in TOML or JSON with the data owner's key. A policy is revoked by one with a higher serial.",
        """example:
  bluetusk evidence policy sign policy.toml --key owner.key      makes policy.signed""",
    )
    sign.add_argument("file", metavar="FILE", help="the policy, .toml or .json")
    sign.add_argument("--key", metavar="FILE", required=True, help="the owner's private key, of `evidence keygen`")
    sign.add_argument("--output", "-o", metavar="FILE", help="where to write the policy (default: FILE as .signed)")
    sign.add_argument("--passphrase-file", **secret)
    show_policy = command(doings, "show", _policy_show, "show a policy", "Show a policy, signed or not.")
    show_policy.add_argument("file", metavar="FILE")
    show_policy.add_argument("--key", metavar="FILE", help="fail unless this public key signed it")

    check = command(
        kinds,
        "verify",
        _verify,
        "verify a log and summarise it",
        """Print what a log records, and find the first record that was altered, is missing, repeated or moved.
Status 1 if there is one.""",
        """examples:
  bluetusk evidence verify evidence.log --key bank.key.pub
  bluetusk evidence verify evidence.log --head host.log        the heads that the peer's log has kept
  bluetusk evidence verify evidence.log --head head.json       a head that was exported or anchored elsewhere""",
    )
    check.add_argument("file", metavar="FILE", help="the log")
    check.add_argument(
        "--head",
        metavar="PEER_HEAD",
        action="append",
        default=[],
        help="heads of this log that others kept: JSON, a frame, or the peer's log; repeatable",
    )
    check.add_argument("--key", metavar="KEY", help="the owner's public key (default: the key in the log, unverified)")
    check.add_argument("--json", action="store_true", help="print one JSON object")

    show = command(kinds, "show", _show, "list the records of a log", "List the records of a log, one per line.")
    show.add_argument("file", metavar="FILE", help="the log")
    show.add_argument("--task", metavar="TASK", help="only records of this task")
    show.add_argument("--what", metavar="WORD", help="only records of this kind: authorised, refused, finished ...")
    show.add_argument("--json", action="store_true", help="print a JSON object for each record")

    head = command(
        kinds,
        "head",
        _head,
        "print a log's head, to anchor it",
        "Print the signed head of a log as JSON: publish it, or have a peer or a ledger keep it.",
        """examples:
  bluetusk evidence head evidence.log                      the head of this log
  bluetusk evidence head evidence.log --of host --all      all heads of the host's log that this log has kept""",
    )
    head.add_argument("file", metavar="FILE", help="the log")
    head.add_argument("--of", metavar="PARTY", help="print the last head of this peer's log that was kept here")
    head.add_argument("--all", action="store_true", help="with --of: all of them, one per line")

    replay = command(
        kinds,
        "replay",
        _replay,
        "replay recorded encryptions",
        "Encrypt every recorded plaintext again with its recorded randomness and compare. Status 1 if one differs.",
    )
    replay.add_argument("file", metavar="FILE", help="audit records")
    replay.add_argument("--passphrase-file", **secret)

    replay_book = command(
        kinds,
        "audit",
        _audit,
        "audit a guest's labels, gradients, scores and regression",
        """Replay a guest's audit book: encrypt every label and gradient again with its seed, under the public key, and
compare with the digests that the logs of both parties keep; compare labels with the label file, gradients with
sigmoid(score) - label, and scores with the trees before. Of a regression run the guest's half again: each message that
it sent must follow from its labels, its rows, the weights of evidence of the host's bins and the host's messages. Names
the first number that is not what labels and model say, and the first of every further array (of a regression only the
first of all: what comes after it follows from it). Status 1 if there is one, or if a log has a job that the book does
not.

The guest makes the book by `audit = "FILE"` in [evidence] of its configuration; its passphrase is in
BLUETUSK_AUDIT_PASSPHRASE. Who opens the book knows all labels and scores, the guest's columns as the regression has
them, and the private keys that served the regression alone; not that of the labels.""",
        """examples:
  bluetusk evidence audit book --log host.log --log guest.log --labels customers.csv --label-column default
  bluetusk evidence audit book --log host.log --json
  bluetusk evidence audit book --log host.log --job job-7           # the log has jobs of other books, too

Verify the logs first (`bluetusk evidence verify`), the host's above all: without a log nothing shows that the book's
numbers are those that were sent. Not shown: whether the label file and the guest's own columns are true; nor
scoring by a regression that was trained in another job.""",
    )
    replay_book.add_argument("file", metavar="BOOK", help="the audit book")
    replay_book.add_argument(
        "--log", metavar="LOG", action="append", default=[], help="a party's log of the same jobs; repeatable"
    )
    replay_book.add_argument(
        "--job", metavar="NAME", action="append", help="audit this job only; repeatable (default: all jobs of the logs)"
    )
    replay_book.add_argument("--labels", metavar="FILE", help="the guest's file of labels: CSV or Parquet")
    replay_book.add_argument("--id-column", metavar="NAME", default="id", help="its column of ids (default: id)")
    replay_book.add_argument(
        "--label-column", metavar="NAME", default="label", help="its column of labels (default: label)"
    )
    replay_book.add_argument("--label-words", metavar="WORD=0,WORD=1", help="the words in it, as label_words of [data]")
    replay_book.add_argument("--encoding", metavar="NAME", default="utf-8", help="of a CSV file (default: utf-8)")
    replay_book.add_argument("--delimiter", metavar="MARK", default=",", help="of a CSV file (default: ,)")
    replay_book.add_argument(
        "--in-order", action="store_true", help="the file has no ids: its rows are those of each task, in order"
    )
    replay_book.add_argument("--json", action="store_true", help="print one JSON object")
    replay_book.add_argument(
        "--passphrase-file",
        metavar="FILE",
        help=f"file with the book's passphrase (default: {AUDIT_PASSPHRASE}, else {PASSPHRASE}, else a prompt)",
    )
