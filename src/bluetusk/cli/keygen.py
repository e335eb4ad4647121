"""``bluetusk keygen``: make a key pair, the private key sealed under a passphrase."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from ._common import KEY_SIZES, PASSPHRASE, Failure, passphrase

__all__ = ["add_parser"]


def _run(args: argparse.Namespace) -> int:
    from ..paillier.keys import generate_keypair

    private = Path(args.file)
    public = Path(args.public) if args.public else private.with_name(private.name + ".pub")
    if private == public:
        args.parser.error("argument --public: it names the private key's file: give the public key another one")
    for path in (private, public):
        if os.path.lexists(path):
            raise Failure(f"{path} exists and is not overwritten: give another name, or move it away")
        if not path.parent.is_dir():
            raise Failure(f"the folder {path.parent} does not exist: make it first")
    secret = passphrase(args)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        pub, priv = generate_keypair(args.bits, suite=args.suite)
    for warning in said:
        print(f"note: {warning.message}", file=sys.stderr)
    content = pub.to_bytes() if args.format == "frame" else pub.to_json().encode() + b"\n"
    with priv:
        with open(public, "xb") as file:
            file.write(content)
        try:
            priv.save(private, secret)
        except BaseException:
            public.unlink()
            raise
    print(f"private key  {private} ({args.bits} bits, suite {args.suite}; keep it and the passphrase apart)")
    print(f"public key   {public} ({args.format})")
    print(f"fingerprint  {pub.fingerprint_words}")
    return 0


def add_parser(commands: Any) -> None:
    """Add the command."""
    keygen = commands.add_parser(
        "keygen",
        help="make a key pair",
        description="Make a Paillier key pair. The private key is encrypted under a passphrase (scrypt, AES-256-GCM).",
        epilog=f"""examples:
  bluetusk keygen bank.key                                   asks for a passphrase
  bluetusk keygen bank.key --passphrase-file secret.txt      for scripts; or set {PASSPHRASE}
  bluetusk keygen bank.key --format json --public bank.json  the public key as JSON (JWK-like)

No file is ever overwritten.""",
    )
    keygen.add_argument("file", metavar="FILE", help="file to write the private key to")
    keygen.add_argument("--public", metavar="FILE", help="file to write the public key to (default: FILE.pub)")
    keygen.add_argument("--bits", type=int, choices=KEY_SIZES, default=3072, help="bits of n (default: 3072)")
    keygen.add_argument(
        "--suite",
        choices=("djn", "standard"),
        default="djn",
        help="djn: short obfuscators, fast (default); standard: obfuscators r^n",
    )
    keygen.add_argument("--format", choices=("frame", "json"), default="frame", help="format of the public key")
    keygen.add_argument("--passphrase-file", metavar="FILE", help="file with the passphrase")
    keygen.set_defaults(run=_run, parser=keygen)
