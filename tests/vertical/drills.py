"""Real processes of the command line for the operator's drills: started quickly, with small keys and few columns.

A process is forked from one that has imported the package, which saves most of its start; it has its own signals, its
own standard streams and its own exit status, and runs the command line as a shell's would.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import multiprocessing
import os
import re
import runpy
import shutil
import signal
import socket
import time

import pytest

from bluetusk.evidence import Identity, Policy, fingerprint_groups
from bluetusk.storage import sealed

ROLES = {"guest": "bank", "host": "network"}
PEERS = {"guest": "host", "host": "guest"}
DONE = {"host": (0, ""), "guest": (0, "")}
COST = 8  # log2 of scrypt's N, in place of a third of a second for each passphrase
IDS = {"guest": "SecretBankId", "host": "SecretNetworkId"}  # of one row each that the other does not have
TEXTS = {"guest": "SecretBankText", "host": "SecretNetworkText"}  # in a column of texts
COLUMNS = {"guest": "SecretBankColumn", "host": "SecretNetworkColumn"}

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["bluetusk.cli", "bluetusk.vertical.party.run", "bluetusk.vertical.party.scoring"])
_CODE = """
import os, sys
for number, path in ((1, {out!r}), (2, {err!r})):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
os.environ.update(BLUETUSK_PASSPHRASE={passphrase!r}, BLUETUSK_NUM_THREADS="1")
from bluetusk.storage import sealed
from bluetusk.vertical.party import run as _run
sealed._LOG2_N, sealed._READ_LOG2_N = {cost}, ({cost}, 20)
_run._report = lambda *given: None
{tap}
from bluetusk.cli import main
sys.exit(main({arguments!r}))
"""


class Life:
    """One process of the command line: what it says, and how it ends."""

    def __init__(self, folder, *arguments, passphrase="", tap=""):
        folder.mkdir()
        self._out, self._err, code = (folder / name for name in ("out", "err", "code.py"))
        words = [str(each) for each in arguments]
        streams = {"out": str(self._out), "err": str(self._err)}
        code.write_text(_CODE.format(**streams, passphrase=passphrase, tap=tap, arguments=words, cost=COST))
        self.process = _FORKS.Process(target=runpy.run_path, args=(str(code),), kwargs={"run_name": "__main__"})
        self.process.start()

    @property
    def said(self):
        return self._err.read_text().splitlines() if self._err.exists() else []

    @property
    def out(self):
        return self._out.read_text()

    @property
    def notices(self):
        return [json.loads(line)["notice"] for line in self.said if line.startswith('{"notice"')]

    def lives(self):
        return self.process.exitcode is None

    def wait_for(self, text, seconds=60):
        """Wait for a line of standard error that has a text, and return it."""
        until = time.monotonic() + seconds
        while not (found := [line for line in self.said if text in line]):
            assert time.monotonic() < until, self.said
            assert self.lives(), (self.process.exitcode, self.said)
            time.sleep(0.02)
        return found[0]

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def end(self, seconds=90):
        """Return the status, and the line that says why."""
        self.process.join(seconds)
        assert not self.lives(), self.said
        return self.process.exitcode, "\n".join(line for line in self.said if line.startswith("bluetusk: "))

    def kill(self):
        if self.lives():
            self.process.kill()
        self.process.join(20)


class Lives:
    """The processes of a test."""

    def __init__(self, folder):
        self._folder, self._every = folder, []

    def start(self, *arguments, **more):
        self._every.append(Life(self._folder / f"life-{len(self._every)}", *arguments, **more))
        return self._every[-1]

    def close(self):
        for life in self._every:
            life.kill()
            life.process.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def prepare(folder):
    """Write both parties' files: 300 customers, one column of texts each, a regression of one epoch, no tree."""
    from bluetusk.demo import credit

    case = credit.prepare(credit.CreditPlan(rows=300, epochs=1, trees=1, key_size=2048), folder)
    kept = {"guest": ["id", "LIMIT_BAL", "SEX", "DEFAULT"], "host": ["id", "PAY_0", "BILL_AMT1"]}
    for role, name in ROLES.items():
        config, table = folder / name / "party.toml", folder / name / "customers.csv"
        edit(config, "\n[data]", "\npatience = 30\n[data]")
        edit(config, "epochs = 1", "max_bins = 3\nepochs = 1\nbatch_size = 128")
        edit(config, "trees = 1", "trees = 0")
        text = f'categorical = ["{COLUMNS[role]}"]'
        if role == "guest":
            edit(config, 'categorical = ["SEX", "EDUCATION", "MARRIAGE"]', text)
        else:
            edit(config, 'id = "id"', f'id = "id"\n{text}')
        with open(table, newline="") as file:
            rows = [{each: row[each] for each in kept[role]} for row in csv.DictReader(file)]
        for number, row in enumerate(rows):
            row[COLUMNS[role]] = TEXTS[role] if number % 2 else "other"
        rows.append({**rows[0], "id": IDS[role]})
        with open(table, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    columns = ("id", "PAY_0", "BILL_AMT1", COLUMNS["host"])
    for role in ROLES:
        more = {"columns": columns} if role == "host" else {}
        signed(case, role, uses=30, max_ids_total=3000, **more)
    return case


def copied(prepared, folder):
    """Return a fresh copy of both parties' files, at a free port."""
    shutil.copytree(prepared.folder, folder, dirs_exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    edit(folder / "network" / "party.toml", "127.0.0.1:0", address)
    edit(folder / "bank" / "party.toml", "ADDRESS", address)
    return dataclasses.replace(prepared, folder=folder)


def config(case, role):
    return case.folder / ROLES[role] / "party.toml"


def setting(case, role, name):
    """Return a setting of a party's file."""
    (line,) = [line for line in config(case, role).read_text().splitlines() if line.startswith(f"{name} = ")]
    return json.loads(line.partition("= ")[2])


def impatient(case, *roles, patience=4):
    for role in roles:
        edit(config(case, role), "patience = 30", f"patience = {patience}")


def start(case, lives, role, *more, tap="", command="party"):
    arguments = (*command.split(), "--config", config(case, role), "--json", "--progress", "json", *more)
    return lives.start(*arguments, passphrase=case.passphrases[role], tap=tap)


def both(case, lives, **taps):
    """Run both to their ends; return each one's status and line."""
    two = {role: start(case, lives, role, tap=taps.get(role, "")) for role in ("host", "guest")}
    return {role: life.end() for role, life in two.items()}


def signed(case, role, **changes):
    """Replace a party's policy by one with a higher serial and other grants; return the first grant before."""
    path = case.folder / ROLES[role] / "policy.signed"
    old = Policy.load(path)
    grants = tuple(dataclasses.replace(grant, **changes) for grant in old.grants)
    signer = Identity.load(path.with_name("identity"), case.passphrases[role])
    new = dataclasses.replace(old, serial=old.serial + 1, grants=grants, signature=b"", key=b"")
    path.write_bytes(new.sign(signer).to_bytes())
    return old.grants[0]


def fingerprint(case, name):
    return fingerprint_groups((case.folder / name / f"{name}.cert.pem").read_bytes())


def small_disk(size):
    """Return code for a process in which no file may grow beyond a size: short writes, as a full disk gives."""
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


@contextlib.contextmanager
def cheap():
    """Let this process write and read files whose passphrase costs little to try, as a :class:`Life` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "_LOG2_N", COST)
        patch.setattr(sealed, "_READ_LOG2_N", (COST, 20))
        yield


def exact(said, text):
    """Compare a whole line of a command that fails; # stands for a number."""
    wanted = re.escape(f"bluetusk: {text}").replace(re.escape("#"), r"\d+")
    assert re.fullmatch(wanted, said), f"{said!r}\nis not\n{text!r}"


ANEW = "check that it runs and can be reached, then start both again with the same state directories"


def absent(peer, where, why):
    return f"no sign of life from {peer!r} for # seconds: waiting for {where}: {why}; {ANEW} (party at fault: {peer})"


def nobody(case):
    return (
        f"nobody has with the certificate of fingerprint {fingerprint(case, 'bank')} (the peer must set connect, not "
        "listen, and present it)"
    )


def somebody(case, theirs="bank"):
    return (
        "somebody has, but not with a certificate that fits: the peer presents another one than that of fingerprint "
        f"{fingerprint(case, theirs)}, or does not accept this party's, of fingerprint {fingerprint(case, 'network')}; "
        "or it was a stranger (a health check, a port scan)"
    )


SLOW_STEPS = """
import time
from bluetusk.cli._watching import Watch
whole = Watch.progress
def progress(self, *given):
    whole(self, *given)
    time.sleep(0.2)
Watch.progress = progress
"""  # of a process that is to be stopped before it is done, on a busy machine too


def stop_once_begun(life, number=signal.SIGINT):
    """Send a signal once a step is done."""
    life.wait_for('"done"')
    life.send_signal(number)
