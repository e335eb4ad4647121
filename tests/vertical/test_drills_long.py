"""After the operator's drills, and those of the blacklist: what `test_drills.py` has no time for in a push.

That a run resumes after a kill is in that file, and after every other fault in `test_faults.py`; the blacklist goes
over the same transport as `bluetusk party`, with the same messages.
"""

from __future__ import annotations

import shutil
import signal

import pytest

from .drills import (
    DONE,
    PEERS,
    ROLES,
    SLOW_STEPS,
    Lives,
    absent,
    both,
    cheap,
    config,
    copied,
    edit,
    exact,
    fingerprint,
    free_port,
    nobody,
    prepare,
    setting,
    signed,
    small_disk,
    somebody,
    start,
    stop_once_begun,
)

pytest.importorskip("grpc", reason="parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module", autouse=True)
def cheap_scrypt():
    with cheap():
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("case"))


@pytest.fixture
def lives(tmp_path_factory):
    """The processes of a test, which ends with none of them."""
    every = Lives(tmp_path_factory.mktemp("lives"))
    yield every
    every.close()


@pytest.fixture
def case(prepared, tmp_path):
    return copied(prepared, tmp_path)


@pytest.mark.parametrize(("role", "number"), [("guest", signal.SIGINT), ("host", signal.SIGTERM)])
def test_a_run_resumes_after_an_operators_stop(case, lives, role, number):
    two = {each: start(case, lives, each, tap=SLOW_STEPS) for each in ("host", "guest")}
    stop_once_begun(two[role], number)
    for life in two.values():
        life.end()
    assert both(case, lives) == DONE


@pytest.mark.parametrize("role", ["guest", "host"])
@pytest.mark.parametrize("size", [3000, 8000, 15_000, 30_000])
def test_a_run_resumes_when_there_is_space_again(case, lives, role, size):
    ends = both(case, lives, **{role: small_disk(size)})
    assert ends[role][0] == 8
    assert ends[PEERS[role]][0] == 5
    assert both(case, lives) == DONE


def test_a_run_resumes_under_a_new_policy(case, lives):
    granted = signed(case, "host", until=1_700_000_000)
    assert {role: status for role, (status, _) in both(case, lives).items()} == {"host": 3, "guest": 5}
    signed(case, "host", until=granted.until)
    assert both(case, lives) == DONE


def test_what_may_be_deleted(case, lives):
    """After a job its state and the file of --log; what was scored is known without them, and is not scored again."""
    for role in ROLES:
        table = case.folder / ROLES[role] / "customers.csv"
        table.with_name("new.csv").write_text(table.read_text().replace("M0", "N0"))
    logs = {role: case.folder / f"{role}.log" for role in ROLES}
    two = {role: start(case, lives, role, "--log", logs[role]) for role in ("host", "guest")}
    assert {role: life.end() for role, life in two.items()} == DONE
    for role in ROLES:
        shutil.rmtree(case.folder / ROLES[role] / "state")
        logs[role].unlink()

    def score(job):
        more = {"host": (), "guest": ("--output", case.folder / "bank" / f"{job}.csv")}
        for role in ROLES:
            more[role] = (*more[role], "--job", job, "--data", case.folder / ROLES[role] / "new.csv")
        two = {role: start(case, lives, role, *more[role], command="score") for role in ("host", "guest")}
        return {role: life.end() for role, life in two.items()}

    assert score("first") == DONE
    assert len((case.folder / "bank" / "first.csv").read_text().splitlines()) > 200
    for role in ROLES:
        shutil.rmtree(case.folder / ROLES[role] / "state-first")
    again = score("second")
    assert {role: status for role, (status, _) in again.items()} == {"host": 3, "guest": 5}
    assert "have been scored by this model (in 'first')" in again["host"][1]


# -------------------------------------------------------------------------------------------------- blacklist


@pytest.fixture
def lists(case):
    """Two configurations of a blacklist request, with the case's certificates."""
    address = f"127.0.0.1:{free_port()}"
    for role, name in ROLES.items():
        home, peer = case.folder / name, ROLES[PEERS[role]]
        (home / "ids.csv").write_text("id\nA1\nA2\n")
        way = f'listen = "{address}"\nlimit = 9' if role == "host" else f'connect = "{address}"'
        (home / "party.toml").write_text(
            f'job = "asked"\nevidence = "none"\ncertificate = "{name}.cert.pem"\nkey = "{name}.key.pem"\n'
            f'peer_certificate = "../{peer}/{peer}.cert.pem"\n{way}\npatience = 4\nfile = "ids.csv"\n'
        )
    return case


COMMANDS = {"guest": "blacklist ask", "host": "blacklist serve"}


@pytest.mark.parametrize("role", ["guest", "host"])
def test_a_blacklist_without_its_peer(lists, lives, role):
    status, said = start(lists, lives, role, command=COMMANDS[role]).end()
    at = setting(lists, "host", "listen")
    assert status == 4
    if role == "guest":
        exact(said, absent("host", f"the host at {at}", "nobody answers (connection refused)"))
    else:
        exact(said, absent("guest", f"the guest to connect to {at}", nobody(lists)))


def test_a_blacklist_with_a_wrong_certificate(lists, lives):
    edit(config(lists, "host"), "patience = 4", "patience = 8")
    edit(config(lists, "guest"), "patience = 4", "patience = 30")
    edit(config(lists, "guest"), "../network/network.cert.pem", "bank.cert.pem")
    host, guest = (start(lists, lives, role, command=COMMANDS[role]) for role in ("host", "guest"))
    at = setting(lists, "host", "listen")
    status, said = guest.end()
    assert status == 6
    assert f"{at} presents one of fingerprint {fingerprint(lists, 'network')}" in said
    status, said = host.end()
    assert status == 4
    exact(said, absent("guest", f"the guest to connect to {at}", somebody(lists)))


def test_a_blacklist_with_a_wrong_job(lists, lives):
    for role in ROLES:
        edit(config(lists, role), "patience = 4", "patience = 30")
    edit(config(lists, "guest"), 'job = "asked"', 'job = "other"')
    two = {role: start(lists, lives, role, command=COMMANDS[role]) for role in ("host", "guest")}
    jobs = {"guest": "other", "host": "asked"}
    for role, life in two.items():
        status, said = life.end()
        assert status == 7
        exact(
            said,
            f"{PEERS[role]!r} runs another job, {jobs[PEERS[role]]!r}, not {jobs[role]!r}: give both the same "
            f"(party at fault: {PEERS[role]})",
        )
