"""Shared by the commands: the parser, argument readers, passphrase input, and the printing of results."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from .._spelling import did_you_mean
from ..storage import files

__all__ = [
    "KEY_SIZES",
    "PASSPHRASE",
    "Failure",
    "Parser",
    "add_key_size",
    "add_lang",
    "chosen",
    "message_of",
    "number",
    "passphrase",
    "positive",
    "print_json",
    "print_pairs",
]

KEY_SIZES = (2048, 3072, 4096)
PASSPHRASE = "BLUETUSK_PASSPHRASE"  # the name of an environment variable  # noqa: S105

T = TypeVar("T")


class Failure(Exception):
    """An error that ends the command with status 1; its text is shown to the user."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **kwargs}
        super().__init__(**kwargs)
        self._words: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; an option that this command does not know is its own error, not that of the commands above it."""
        self._words = list(sys.argv[1:] if args is None else args)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}{self._meant(message)}; see `{self.prog} --help`\n")

    def _meant(self, message: str) -> str:
        """Return what a misspelt command or option may have been meant to be, for one line of an error."""
        choice = re.search(r"invalid choice: '?([\w-]+)'? \(choose from (.*)\)", message)
        if choice and (close := did_you_mean(choice[1], re.findall(r"[\w-]+", choice[2]))):
            return close
        known = re.findall(r"--[\w-]+", self.format_usage())
        for word in (word.partition("=")[0] for word in self._words if word.startswith("--")):
            if word not in known and (close := did_you_mean(word, known)):
                return f"; there is no option {word}{close.replace(';', ',')}"
        return ""


def message_of(error: BaseException, args: argparse.Namespace) -> str:
    """Return an error as one line: of the system's, the argument, the file, what is wrong, the remedy."""
    text = files.explained(error) if isinstance(error, OSError) else str(error)
    text = re.sub(r"\[Errno -?\d+\] ", "", text)  # of an error that another quotes
    name = getattr(error, "filename", None)
    if name is not None and isinstance(parser := getattr(args, "parser", None), argparse.ArgumentParser):
        usage = parser.format_usage()
        for given, value in vars(args).items():
            if str(value) == str(name):
                option = f"--{given.replace('_', '-')}"
                text = f"{option if option in usage else given.upper()}: {text}"
                break
    return " ".join(text.split()) or type(error).__name__


def number(low: int, high: int) -> Callable[[str], int]:
    """Return an argparse type that accepts whole numbers from low to high."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return read


def positive(low: float, high: float) -> Callable[[str], float]:
    """Return an argparse type that accepts numbers from low to high."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return value

    return read


def passphrase(args: argparse.Namespace) -> str | bytes:
    """Return the passphrase: from --passphrase-file, else the environment, else typed twice at the terminal."""
    if args.passphrase_file is not None:
        try:
            secret = Path(args.passphrase_file).read_bytes().rstrip(b"\r\n")
        except OSError as err:
            raise Failure(f"cannot read the passphrase: --passphrase-file: {files.explained(err)}") from None
        if not secret:
            raise Failure(f"{args.passphrase_file} is empty: put a passphrase on its first line")
        return secret
    if os.environ.get(PASSPHRASE):
        return os.environ[PASSPHRASE]
    if not sys.stdin.isatty():
        raise Failure(f"no passphrase: give --passphrase-file FILE, or set {PASSPHRASE}, or run on a terminal")
    typed = getpass.getpass("passphrase for the private key: ")
    if not typed:
        raise Failure("an empty passphrase protects nothing: type one, or give --passphrase-file FILE")
    if getpass.getpass("repeat the passphrase: ") != typed:
        raise Failure("the two passphrases differ: try again")
    return typed


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def print_pairs(pairs: Sequence[tuple[str, Any]]) -> None:
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        print(f"{name:<{width}}  {value}")


def add_key_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key-size", type=int, choices=KEY_SIZES, default=3072, help="bits of the Paillier modulus (default: 3072)"
    )


def add_lang(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lang", choices=("en", "zh"), help="language of the report (default: that of the locale)")


def chosen(plan: type[T], args: argparse.Namespace) -> T:
    """Return a dataclass made of the options that have the names of its fields."""
    return plan(**{f.name: getattr(args, f.name) for f in fields(plan) if f.name in args})  # type: ignore[arg-type]
