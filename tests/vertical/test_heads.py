"""Signed requests and heads of logs between two parties over gRPC: at the start, after a task, and on an abort."""

from __future__ import annotations

import shutil
import threading

import pytest

import bluetusk as bt
from bluetusk.errors import PolicyRefused, ProtocolAbort
from bluetusk.evidence import verify
from bluetusk.evidence.notary import Notary
from bluetusk.tasks import BLACKLIST
from bluetusk.vertical import blacklist_query, blacklist_serve
from bluetusk.vertical.party import Identity, Party, make_certificate
from bluetusk.vertical.party.pipeline import exchange_heads

pytest.importorskip("grpc", reason="parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

ROLES = {"guest": "bank", "host": "network"}
PEERS = {"guest": "host", "host": "guest"}
IDS = {"guest": ["007", "08", "9"], "host": ["08", "7", "12"]}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    for name in ROLES.values():
        make_certificate(name, folder)
    return folder


class Pair:
    """Both parties' identities and logs, and one process of each at a time."""

    def __init__(self, certificates, folder, clause=None):
        self.certificates, self.folder, self.clause = certificates, folder, clause
        self.signers = {role: bt.evidence.Identity.generate() for role in ROLES}
        for role, signer in self.signers.items():
            bt.evidence.Log.create(folder / f"{role}.log", signer, owner=role).close()

    def party(self, role, log, job, **way):
        name, peer = ROLES[role], ROLES[PEERS[role]]
        pems = [self.certificates / f"{each}.pem" for each in (f"{name}.cert", f"{name}.key", f"{peer}.cert")]
        key = self.signers[PEERS[role]].public_key
        notary = Notary(log, self.signers[role], job=job, me=role, peer=PEERS[role], key=key)
        guard = None
        if self.clause is not None and role == "host":
            until = 4_000_000_000
            grant = bt.evidence.Grant("g", "5a" * 32, ("blacklist",), ("*",), uses=3, until=until, **self.clause)
            policy = bt.evidence.Policy("network", 1, (grant,)).sign(self.signers[role])
            guard = bt.evidence.Guard(policy, self.folder / "uses", owner=self.signers[role].public_key)
        recorder = bt.evidence.Recorder(
            log=log, meter=bt.evidence.Meter(), job=job, me=role, peers={PEERS[role]: "5a" * 32}, guard=guard
        )
        state = self.folder / f"{role}-{job}"
        made = Party(role, job=job, identity=Identity.load(*pems), state=state, observer=recorder, notary=notary, **way)
        return made, notary, guard

    def run(self, job="j", end=True):
        """Run a blacklist request; return each side's error, and the two logs' records and kept heads."""
        logs = {role: bt.evidence.Log.open(self.folder / f"{role}.log", self.signers[role]) for role in ROLES}
        host, his, guard = self.party("host", logs["host"], job, listen="127.0.0.1:0", patience=20)
        guest, hers, _ = self.party("guest", logs["guest"], job, connect=host.address, patience=20)
        errors = {}

        def side(role, party, notary):
            def program(link, keeper):
                if role == "guest":
                    blacklist_query(IDS[role], link=link, keeper=keeper)
                else:
                    blacklist_serve(IDS[role], link=link, keeper=keeper, limit=3)
                if end:
                    exchange_heads(BLACKLIST, notary, link, keeper)

            try:
                party.run(program, goodbye=10)
            except bt.BluetuskError as error:
                errors[role] = error

        try:
            other = threading.Thread(target=side, args=("host", host, his))
            other.start()
            side("guest", guest, hers)
            other.join(30)
        finally:
            for each in (guest, host, *logs.values(), *([guard] if guard is not None else [])):
                each.close()
        return errors

    def report(self, role):
        """Verify a log against the heads that the peer's log keeps."""
        key = self.signers[role].public_key
        heads = bt.evidence.read_heads(self.folder / f"{PEERS[role]}.log", key)
        return verify(self.folder / f"{role}.log", heads=heads, key=key)


def test_a_blacklist_request_leaves_signed_requests_and_heads(certificates, tmp_path):
    pair = Pair(certificates, tmp_path)
    assert pair.run() == {}
    for role, asked, answered in (("guest", "asked", "peer_answered"), ("host", "peer_asked", "answered")):
        report = pair.report(role)
        assert report.ok, report.reason
        at = {record.what: record.seq for record in report.records}
        assert report.counts[asked] == report.counts[answered] == 1
        assert report.covered > at["authorised"] >= 1  # the peer vouches for all of it
        assert report.covered > at[answered]


def test_an_abort_leaves_heads(certificates, tmp_path):
    """The owner's policy refuses: both know why at their own sides, and the asker holds a head with the refusal."""
    pair = Pair(certificates, tmp_path, {"max_ids_per_request": 2})
    errors = pair.run()
    assert isinstance(errors["host"], PolicyRefused)
    assert isinstance(errors["guest"], ProtocolAbort)
    report = pair.report("host")
    assert report.ok, report.reason
    (refused,) = [record.seq for record in report.records if record.what == "refused"]
    assert report.covered > refused
    assert "answered" not in report.counts
    assert pair.report("guest").covered >= 2  # its request is among them


@pytest.mark.parametrize("who", ["guest", "host"])
@pytest.mark.nightly
def test_a_log_that_was_rolled_back_between_two_jobs(certificates, tmp_path, who):
    pair = Pair(certificates, tmp_path)
    shutil.copy(tmp_path / f"{who}.log", tmp_path / "old")
    assert pair.run("one") == {}
    shutil.copy(tmp_path / "old", tmp_path / f"{who}.log")
    errors = pair.run("two")
    assert "cut or rolled back" in str(errors[who]) or "history was rewritten" in str(errors[who])
    assert set(errors) == set(ROLES)
    with bt.evidence.Log.open(tmp_path / f"{PEERS[who]}.log", pair.signers[PEERS[who]]) as log:
        what = {record.what for record in log.records if record.task.startswith("two/")}
    assert not what & {"peer_asked", "answered", "peer_answered"}


def test_evidence_at_one_side_only(certificates, tmp_path):
    pair = Pair(certificates, tmp_path)
    whole = Party.__init__

    def without(self, role, **more):
        if role == "guest":
            more["notary"] = None
        whole(self, role, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Party, "__init__", without)
        errors = pair.run()
    assert any("set [evidence] at both, or at neither" in str(error) for error in errors.values())
