"""Trains one credit model of a bank and a payment network, in two processes on this machine, and measures the gain.

The bank (guest) knows who repaid and five columns; the payment network (host) knows eighteen others. Each holds a part
of the customers; they find the ones they share, bin, train and score together by ``bluetusk party``, each from its own
file, under its own policy, with its own log of evidence. Only this script sees both tables: it deals them out, and
afterwards trains the same models on the pooled rows to compare.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataWarning, ProtocolAbort
from ..evidence import Grant, Identity, Log, Policy, fingerprint, verify
from ..storage import files
from ..tasks import BLACKLIST, BOOSTING, LOGISTIC, MODELS, PURPOSES
from ..vertical import WoEBinning
from ..vertical.evaluation.metrics import auc, auc_interval, ks, ks_interval
from ..vertical.party import make_certificate
from ..vertical.party.pipeline import peer_name
from .data import FEATURES, Customers, load, uniforms

__all__ = ["Case", "CreditPlan", "Result", "run"]

BANK = FEATURES[:5]
NETWORK = FEATURES[5:]
CATEGORIES = ("SEX", "EDUCATION", "MARRIAGE")
_SHARES = {"guest": 0.9, "host": 0.95}  # of all customers, drawn apart: 27 000 and 28 500 of 30 000
_PURPOSES = tuple(purpose for purpose in PURPOSES if purpose != BLACKLIST.purpose)
_NAMES = {"guest": "bank", "host": "network"}
_PEERS = {"guest": "host", "host": "guest"}

Progress = Callable[[str, str, int, int], None]
"""Called with the role, the task, the steps taken and the number of steps."""


@dataclass(frozen=True)
class CreditPlan:
    """The demo's parameters.

    Attributes
    ----------
    rows : int
        Customers.
    epochs, trees : int
        Epochs of the regression, trees of the boosting.
    key_size : int
        Bits of the Paillier keys.
    seed : int
        Deals the customers to the parties. The rows held back depend on a key that each new pair of parties makes.
    lang : {"en", "zh"} or None
        The language of the reports; by default that of the locale.
    keep : Path or None
        A folder in which the parties' files are kept; by default a temporary one is used and removed.
    """

    rows: int = 30_000
    epochs: int | None = None
    trees: int = 10
    key_size: int = 3072
    seed: int = 0
    lang: str | None = None
    keep: Path | None = None


@dataclass
class Case:
    """The parties' files.

    Attributes
    ----------
    folder : Path
        Contains one folder for each party.
    passphrases : dict of str to str
        Passphrases of the identities, by role.
    """

    folder: Path
    customers: Customers
    passphrases: dict[str, str] = field(repr=False)


@dataclass
class Result:
    """The demo's results.

    Attributes
    ----------
    parties : dict of str to dict
        Each party's ``result.json``.
    scores : dict of str to ndarray
        Scores of the rows held back, by model: those of the parties and of the comparisons.
    labels : ndarray
        Labels of these rows.
    summary : dict
        The object that ``--json`` prints.
    report : str or None
        The guest's report, HTML.
    """

    parties: dict[str, dict[str, Any]]
    scores: dict[str, dict[str, NDArray[np.float64]]]
    labels: NDArray[np.int64]
    summary: dict[str, Any]
    report: str | None = None


def prepare(plan: CreditPlan, folder: Path) -> Case:
    """Deal the customers out, and make each party's certificate, identity, policy and configuration.

    Parameters
    ----------
    plan : CreditPlan
        The demo's parameters.
    folder : Path
        The folder to write the files to.

    Returns
    -------
    Case
    """
    customers = load(rows=plan.rows, seed=plan.seed)
    n = len(customers.y)
    ids = [f"M{k + 1:06d}" for k in range(n)]
    passphrases = {role: secrets.token_hex(16) for role in _NAMES}
    signers, certificates = {}, {}
    for role, name in _NAMES.items():
        home = folder / name
        home.mkdir(parents=True)
        certificates[role] = make_certificate(name, home, passphrase=passphrases[role])
        signers[role] = Identity.generate()
        signers[role].save(home / "identity", passphrases[role])
        signers[role].write_public(home / "identity.pub")
        files.write(home / "passphrase", passphrases[role].encode() + b"\n")
        _deal(plan, role, customers, ids, home / "customers.csv")
    job = f"credit-{secrets.token_hex(4)}"
    for role, name in _NAMES.items():
        peer = _PEERS[role]
        grant = Grant(
            id="joint-credit",
            peer=fingerprint(certificates[peer][1].read_bytes()),
            name=_NAMES[peer],
            purposes=_PURPOSES,
            columns=("*",) if role == "guest" else ("id", *NETWORK),
            uses=len(_PURPOSES) + 2,  # predict: for the regression's calibration, and once for each model
            until=int(time.time()) + 86_400,
            min_rows=min(_least_rows(plan), _least_bucket(plan)),
            min_total_events=_least_events(plan),
            min_intersection=max(1, plan.rows // 10),
            max_trees=max(20, plan.trees),
            max_ids_per_request=plan.rows,
            max_ids_total=plan.rows,
        )
        policy = Policy(name, 1, (grant,)).sign(signers[role])
        (folder / name / "policy.signed").write_bytes(policy.to_bytes())
        (folder / name / "party.toml").write_text(_configuration(plan, role, job), encoding="utf-8")
    return Case(folder, customers, passphrases)


def _least_rows(plan: CreditPlan) -> int:
    return max(20, plan.rows // 300)


def _least_bucket(plan: CreditPlan) -> int:
    return max(10, min(50, plan.rows // 300))


def _least_events(plan: CreditPlan) -> int:
    return min(100, plan.rows // 50)


def _deal(plan: CreditPlan, role: str, customers: Customers, ids: list[str], path: Path) -> None:
    """Write a party's table, its rows in an order that is unrelated to the other party's."""
    n = len(ids)
    chosen = np.argsort(uniforms(plan.seed, f"credit {role}", n), kind="stable")[: round(_SHARES[role] * n)]
    names = BANK if role == "guest" else NETWORK
    places = [FEATURES.index(name) for name in names]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *names, *(["DEFAULT"] if role == "guest" else [])])
        for k in chosen.tolist():
            label = [int(customers.y[k])] if role == "guest" else []
            writer.writerow([ids[k], *customers.x[k, places].tolist(), *label])


def _configuration(plan: CreditPlan, role: str, job: str) -> str:
    name, peer = _NAMES[role], _NAMES[_PEERS[role]]
    lines = [
        f'role = "{role}"',
        f'job = "{job}"',
        f'certificate = "{name}.cert.pem"',
        f'key = "{name}.key.pem"',
        f'peer_certificate = "../{peer}/{peer}.cert.pem"',
        'listen = "127.0.0.1:0"' if role == "host" else 'connect = "ADDRESS"',
        'state = "state"',
        'output = "output"',
        *([] if plan.lang is None else [f'lang = "{plan.lang}"']),
        "[data]",
        'file = "customers.csv"',
        'id = "id"',
    ]
    if role == "guest":
        lines += ['label = "DEFAULT"', f"categorical = {json.dumps(list(CATEGORIES))}"]
    lines += [
        "[model]",
        f"key_size = {plan.key_size}",
        f"seed = {plan.seed}",
        *([] if plan.epochs is None else [f"epochs = {plan.epochs}"]),
        f"trees = {plan.trees}",
        f"min_rows = {_least_rows(plan)}",
        f"min_bucket_rows = {_least_bucket(plan)}",
        f"min_total_events = {_least_events(plan)}",
        f"min_intersection = {max(1, plan.rows // 10)}",
        "[evidence]",
        'identity = "identity"',
        f'peer_key = "../{peer}/identity.pub"',
        'policy = "policy.signed"',
        'log = "evidence.log"',
    ]
    return "\n".join(lines) + "\n"


class Runner:
    """A party's process and its output."""

    def __init__(self, case: Case, role: str, progress: Progress | None) -> None:
        self.role = role
        home = case.folder / _NAMES[role]
        command = [sys.executable, "-m", "bluetusk", "party", "--config", str(home / "party.toml")]
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [*command, "--json", "--progress", "json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "BLUETUSK_PASSPHRASE": case.passphrases[role]},
        )
        self.address: str | None = None
        self.last = ""
        self._listening = threading.Event()
        self._progress = progress
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                said = json.loads(line)
            except ValueError:
                self.last = line.strip() or self.last
                continue
            if not isinstance(said, dict):
                self.last = line.strip()
            elif "listening" in said:
                self.address = said["listening"]
                self._listening.set()
            elif self._progress is not None and "task" in said:
                self._progress(self.role, said["task"], said["done"], said["of"])
        self._listening.set()

    def wait_for_address(self) -> str:
        """Return the address at which the process listens."""
        self._listening.wait(60)
        if self.address is None:
            raise ProtocolAbort(f"the process of the {_NAMES[self.role]} did not start: {self.last}")
        return self.address

    def stop(self) -> None:
        """End the process if it still runs, and the thread that reads its output."""
        self.process.kill()
        self.process.wait()
        self._thread.join(10)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def result(self) -> dict[str, Any]:
        """Wait for the process and return what it printed."""
        assert self.process.stdout is not None
        text = self.process.stdout.read()
        status = self.process.wait()
        self.stop()
        if status != 0:
            raise ProtocolAbort(f"the {_NAMES[self.role]} failed: {self.last}", party=self.role)
        return dict(json.loads(text))


def run(plan: CreditPlan, progress: Progress | None = None, *, route: Callable[[str], str] | None = None) -> Result:
    """Run the whole demo.

    Parameters
    ----------
    plan : CreditPlan
        The demo's parameters.
    progress : callable, optional
        Called with the progress of each party.
    route : callable, optional
        Maps the network's address to the one that the bank connects to, for example a simulated slow line.

    Returns
    -------
    Result

    Raises
    ------
    ProtocolAbort
        If one of the processes failed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = plan.keep if plan.keep is not None else Path(temporary)
        case = prepare(plan, folder)
        start = time.perf_counter()
        runners = [Runner(case, "host", progress)]
        try:
            address = runners[0].wait_for_address()
            if route is not None:
                address = route(address)
            config = folder / "bank" / "party.toml"
            config.write_text(config.read_text(encoding="utf-8").replace("ADDRESS", address), encoding="utf-8")
            runners.append(Runner(case, "guest", progress))
            while all(runner.process.poll() is None for runner in runners):  # whoever fails first knows the reason
                time.sleep(0.05)
            runners.sort(key=lambda runner: (not runner.process.poll(), runner.role))
            parties = {runner.role: runner.result() for runner in runners}
        finally:
            for runner in runners:
                runner.stop()
        seconds = time.perf_counter() - start
        return _compared(plan, case, parties, seconds)


def _compared(plan: CreditPlan, case: Case, parties: dict[str, dict[str, Any]], seconds: float) -> Result:
    """Train the same models on the pooled rows and on the bank's alone, with the same split, and evaluate all alike."""
    with open(case.folder / "bank" / "output" / "scores.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    places = np.array([int(line["id"][1:]) - 1 for line in lines])
    test = np.array([line["part"] == "test" for line in lines])
    x, y = case.customers.x[places].astype(np.float64), case.customers.y[places]
    scores: dict[str, dict[str, NDArray[np.float64]]] = {}
    guest = parties["guest"]
    summary: dict[str, Any] = {"intersection": guest["intersection"]}
    for training, scoring in MODELS:
        name, pooled = training.name, {LOGISTIC: _logistic, BOOSTING: _boosted}[training]
        if name not in guest:
            continue
        joint = np.array([float(line[name]) for line in lines if line["part"] == "test"])
        scores[name] = {
            "guest_alone": pooled(x[:, : len(BANK)], y, test, list(BANK), plan),
            "joint": joint,
            "pooled": pooled(x, y, test, list(FEATURES), plan),
        }
        stages = [guest["stages"][task.stage] for task in (training, scoring)]
        summary[name] = {kind: auc(y[test], values) for kind, values in scores[name].items()}
        summary[name] |= {f"{kind}_interval": list(auc_interval(y[test], v)) for kind, v in scores[name].items()}
        summary[name] |= {"ks": ks(y[test], joint), "ks_interval": list(ks_interval(y[test], joint))}
        summary[name]["seconds"] = sum(stage["seconds"] for stage in stages)
        summary[name]["bytes"] = int(sum(stage["bytes"] for stage in stages))
    summary["evidence"] = _evidence(case)
    summary["learned"] = {role: parties[role]["learned"] for role in _NAMES}
    summary["stages"] = guest["stages"]
    summary["seconds"] = seconds
    summary["settings"] = {"rows": plan.rows, "key_size": plan.key_size, "seed": plan.seed}
    summary["settings"] |= {"epochs": plan.epochs, "trees": plan.trees}
    report = case.folder / "bank" / "output" / "report.html"
    html = report.read_text(encoding="utf-8") if report.exists() else None
    return Result(parties, scores, y[test], summary, html)


def _logistic(
    x: NDArray[np.float64], y: NDArray[np.int64], test: NDArray[np.bool_], names: list[str], plan: CreditPlan
) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression

    rows = max(20, plan.rows // 300)
    binning = WoEBinning("guest", min_rows=rows, categorical=[name for name in names if name in CATEGORIES])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # of the comparison; the joint binning has said the same
        woe = binning.fit(x[~test], y[~test], columns=names).transform(x, columns=names)
    fitted = LogisticRegression(max_iter=1000).fit(woe[~test], y[~test])
    return np.asarray(fitted.predict_proba(woe[test])[:, 1])


def _boosted(
    x: NDArray[np.float64], y: NDArray[np.int64], test: NDArray[np.bool_], names: list[str], plan: CreditPlan
) -> NDArray[np.float64]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    fitted = HistGradientBoostingClassifier(
        max_iter=plan.trees, max_depth=3, learning_rate=0.4, max_bins=32, early_stopping=False
    ).fit(x[~test], y[~test])
    return np.asarray(fitted.predict_proba(x[test])[:, 1])


def _evidence(case: Case) -> dict[str, Any]:
    """Verify both logs, each against the head that the other party holds."""
    records, verified, said = 0, True, {}
    logs = {role: case.folder / name / "evidence.log" for role, name in _NAMES.items()}
    signers = {r: Identity.load(case.folder / n / "identity", case.passphrases[r]) for r, n in _NAMES.items()}
    for role in _NAMES:
        peer = _PEERS[role]
        with Log.open(logs[peer], signers[peer]) as log:
            head = log.peer_head(peer_name(role, signers[role].public_key))
        report = verify(logs[role], heads=[head] if head is not None else [], key=signers[role].public_key)
        records += len(report.records)
        verified = verified and report.ok and head is not None
        said[role] = {"records": len(report.records), "ok": report.ok, "head": head.size if head is not None else 0}
    return {"records": records, "verified": verified, "logs": said}
