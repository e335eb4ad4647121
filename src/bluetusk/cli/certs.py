"""``bluetusk certs``: make a party's key and certificate."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ._common import PASSPHRASE, passphrase

__all__ = ["add_parser"]


def _certs(args: argparse.Namespace) -> int:
    from ..evidence import fingerprint_groups
    from ..vertical.party.certs import make_certificate

    addresses = ("localhost", "127.0.0.1", *args.address)
    key, certificate = make_certificate(
        args.name,
        args.out,
        addresses=tuple(dict.fromkeys(addresses)),
        days=args.days,
        passphrase=None if args.no_passphrase else passphrase(args),
        renew=args.renew,
    )
    if args.renew:
        print(f"certificate:  {certificate}   (renewed: give it to the peer, who replaces the old file)")
        print(f"fingerprint:  {fingerprint_groups(certificate.read_bytes())}   (the same as before)")
        return 0
    under = "not encrypted" if args.no_passphrase else "encrypted; keep it and the passphrase apart"
    print(f"key:          {key}   (never leaves this machine; {under})")
    print(f"certificate:  {certificate}   (give it to the peer)")
    print(f"fingerprint:  {fingerprint_groups(certificate.read_bytes())}   (compare it by telephone)")
    return 0


def add_parser(commands: Any) -> None:
    """Add the command."""
    certs = commands.add_parser(
        "certs",
        help="make a party's certificate",
        description="""Make the key and the self-signed certificate by which a party and its peer know each other. Each
side makes its own, gives the certificate to the other and compares fingerprints; there is no authority.""",
        epilog=f"""The key is encrypted under a passphrase: that of --passphrase-file, that of {PASSPHRASE}, or one
that is typed. `bluetusk party` takes it from {PASSPHRASE}.

examples:
  bluetusk certs bank --out keys                           keys/bank.key.pem, keys/bank.cert.pem
  bluetusk certs network --out keys --address net.example.org --days 90
  bluetusk certs bank --out keys --renew                   another year for the same key""",
    )
    certs.add_argument("name", metavar="NAME", help="the party's name: letters, digits, hyphens")
    certs.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the files go (default: here)")
    certs.add_argument(
        "--address", action="append", default=[], metavar="HOST", help="a name or address to listen at; repeatable"
    )
    certs.add_argument("--days", type=int, default=365, metavar="N", help="days of validity (default: 365)")
    certs.add_argument(
        "--renew", action="store_true", help="make a new certificate for the key that is there: the fingerprint stays"
    )
    secret = certs.add_mutually_exclusive_group()
    secret.add_argument("--passphrase-file", metavar="FILE", help="file with the passphrase")
    secret.add_argument(
        "--no-passphrase", action="store_true", help="leave the key unencrypted: whoever reads the file is this party"
    )
    certs.set_defaults(run=_certs, parser=certs)
