"""`bluetusk party` from files to results: what is found before the first message; results of both, or of neither."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import socket
import warnings

import numpy as np
import pytest

import bluetusk as bt
from bluetusk import _parallel, cli
from bluetusk.vertical import local_links
from bluetusk.vertical.logistic import job as _job
from bluetusk.vertical.party import Identity, make_certificate, opening
from bluetusk.vertical.party import checks as _checks
from bluetusk.vertical.party import pipeline as _pipeline
from bluetusk.vertical.party import results as _results
from bluetusk.vertical.party import run as _run
from bluetusk.vertical.party.config import Config
from bluetusk.vertical.party.splits import Splits, agree_on_split

pytest.importorskip("grpc", reason="parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

ROWS = 150
IDS = [f"M{k:03d}" for k in range(ROWS)]
HOME = {"guest": "bank", "host": "network"}
SETTINGS = {
    "key_size": 2048,
    "min_intersection": 100,
    "min_total_events": 10,
    "min_rows": 20,
    "min_bucket_rows": 10,
    "max_bins": 3,
    "epochs": 1,
    "batch_size": 64,
    "trees": 1,
    "depth": 2,
    "tree_bins": 6,
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    for name in HOME.values():
        make_certificate(name, folder)
    return folder


@pytest.fixture
def case(certificates, tmp_path):
    """Both parties' folders, with tables in which column a and c tell on the label."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 4))
    y = (x[:, 0] + x[:, 2] + rng.normal(size=ROWS) > 0.8).astype(int)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    for role, name in HOME.items():
        home, peer = tmp_path / name, HOME["host" if role == "guest" else "guest"]
        home.mkdir()
        for end in (f"{name}.cert.pem", f"{name}.key.pem", f"{peer}.cert.pem"):
            shutil.copy(certificates / end, home)
        way = f'listen = "{address}"' if role == "host" else f'connect = "{address}"'
        label = 'label = "y"\n' if role == "guest" else ""
        (home / "party.toml").write_text(
            f'role = "{role}"\njob = "j"\nevidence = "none"\n'
            f'halves = "open"\ncertificate = "{name}.cert.pem"\nkey = "{name}.key.pem"\n'
            f'peer_certificate = "{peer}.cert.pem"\n{way}\npatience = 30\n'
            f'[data]\nfile = "table.csv"\n{label}[model]\n' + "".join(f"{k} = {v}\n" for k, v in SETTINGS.items())
        )
        names, own = ("ab", x[:, :2]) if role == "guest" else ("cd", x[:, 2:])
        table = {"id": IDS} | dict(zip(names, own.T, strict=True))
        write(home, table | ({"y": y.tolist()} if role == "guest" else {}))
    return tmp_path


def write(home, table):
    with open(home / "table.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


def read(home):
    with open(home / "table.csv", newline="") as file:
        rows = list(csv.reader(file))
    return dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True))


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_quota_of_the_file_is_that_of_the_session(case, monkeypatch):
    class Stopped(Exception):
        pass

    def party(role, **given):
        raise Stopped(given["spool_quota"])

    monkeypatch.setattr(opening, "Party", party)
    path = case / "bank" / "party.toml"
    edit(path, 'halves = "open"', 'halves = "open"\nspool_quota = 1_000_000')
    with pytest.raises(Stopped, match="1000000"):
        _run.run_party(Config.load(path))


def run(case, both):
    """Run both parties as the command does; return status and output of each."""
    said = {}

    def side(role):
        config = str(case / HOME[role] / "party.toml")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            result = _run.run_party(Config.load(config))
        said[role] = result
        return result

    both(lambda: side("host"), lambda: side("guest"), seconds=100)
    return said


def agreed_split(case, both):
    """Let the two agree on their split beforehand, as an earlier job would have; return which rows are held back."""
    identities = {
        role: Identity.load(
            *(case / name / f"{name}.{end}.pem" for end in ("cert", "key")),
            case / name / f"{HOME['host' if role == 'guest' else 'guest']}.cert.pem",
        )
        for role, name in HOME.items()
    }
    configs = {role: Config.load(case / name / "party.toml") for role, name in HOME.items()}
    sides = {
        role: Splits(
            configs[role].splits, identities[role].state_key(), pair=_run._pair(configs[role], identities[role])
        )
        for role in HOME
    }
    here, there = local_links()
    key, _ = both(lambda: agree_on_split(sides["guest"], here), lambda: agree_on_split(sides["host"], there))
    return key.held_back(IDS, 0.3)


def outputs(case, role):
    folder = case / HOME[role] / "output"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


HALVES = {"binning.bt", "logistic_regression.bt", "gradient_boosting.bt", "result.json"}
ALL = {"guest": HALVES | {"scores.csv", "report.html"}, "host": HALVES | {"report.html"}}


# --------------------------------------------------------------------------------------- labels of the rows held back
@pytest.mark.parametrize("events", [0, pytest.param(1, marks=pytest.mark.nightly)])
def test_no_event_among_the_rows_held_back(case, both, capsys, events):
    """The models are kept, nothing is evaluated, the guest alone is told; both end with status 0."""
    held = agreed_split(case, both)
    table = read(case / "bank")
    place = {text: k for k, text in enumerate(IDS)}
    labels = np.array(table["y"], int)
    rows = np.array([place[text] for text in table["id"]])
    labels[held[rows]] = 0
    labels[np.flatnonzero(held[rows])[:events]] = 1
    write(case / "bank", table | {"y": labels.tolist()})
    said = run(case, both)
    count = int(held.sum())
    reason = said["guest"]["unevaluated"]
    assert f"of {count} rows held back {events} are events and {count - events} are not" in reason
    assert "unevaluated" not in said["host"]
    assert not {"logistic_regression", "gradient_boosting"} & set(said["guest"])
    assert outputs(case, "guest") == HALVES | {"scores.csv"}
    assert outputs(case, "host") == ALL["host"]
    with open(case / "bank" / "output" / "scores.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["id"] for line in lines if line["part"] == "test"} == {IDS[k] for k in np.flatnonzero(held)}
    assert all(line["gradient_boosting"] for line in lines if line["part"] == "test")
    # the command: the guest's output names it, the host's says nothing of labels, both statuses are 0
    for role in ("host", "guest"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_run, "run_party", lambda *given, role=role, **more: said[role])
            assert cli.main(["party", "--config", str(case / HOME[role] / "party.toml"), "--progress", "none"]) == 0
        assert ("not evaluated" in capsys.readouterr().out) == (role == "guest")


def test_rows_for_training_of_one_label(case, both):
    """Nothing can be trained: both end in a typed error, and the host's does not say which label is missing."""
    held = agreed_split(case, both)
    table = read(case / "bank")
    labels = [int(held[IDS.index(text)]) for text in table["id"]]
    write(case / "bank", table | {"y": labels})
    with pytest.raises(bt.ProtocolAbort):
        run(case, both)
    assert "the guest cannot train on these rows" in str(both.errors[0])
    assert "only one label" in str(both.errors[1])
    assert not outputs(case, "guest") | outputs(case, "host")


# ------------------------------------------------------------------------------------------------------------ min_iv
@pytest.mark.nightly
def test_min_iv_that_leaves_no_column(case, both):
    """Both sides take part with zeros: the regression is its intercept, and the run ends well, with its report."""
    for name in HOME.values():
        edit(case / name / "party.toml", "trees = 1", "trees = 0")
        edit(case / name / "party.toml", "[model]\n", "[model]\nmin_iv = 100.0\n")
    said = run(case, both)
    assert said["guest"]["left_out"] == ["a", "b"]
    assert said["host"]["left_out"] == []  # it does not notice
    assert abs(said["guest"]["logistic_regression"]["auc"] - 0.5) < 0.2  # all the same but for the rounding of points
    assert outputs(case, "guest") == ALL["guest"] - {"gradient_boosting.bt"}
    guest = bt.vertical.LogisticRegression.load(case / "bank" / "output" / "logistic_regression.bt")
    assert not guest.half_.worth.any()
    with open(case / "bank" / "output" / "scores.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    scores = {float(line["logistic_regression"]) for line in lines if line["part"] == "test"}
    labels = [int(line["label"]) for line in lines if line["part"] == "train"]
    assert len(scores) <= 2
    assert all(abs(score - sum(labels) / len(labels)) < 0.01 for score in scores)  # calibrated: the rate of training


# --------------------------------------------------------------------------------------------- before the first message
def changed(role, column, change):
    def prepare(case, monkeypatch):
        home = case / HOME[role]
        table = read(home)
        table[column] = change(table[column])
        write(home, table)

    return role, prepare


def set_to(role, old, new):
    return role, lambda case, monkeypatch: edit(case / HOME[role] / "party.toml", old, new)


def without(role, module):
    def prepare(case, monkeypatch):
        found = _checks.importlib.util.find_spec
        monkeypatch.setattr(_checks.importlib.util, "find_spec", lambda name: None if name == module else found(name))

    return role, prepare


def with_environment(role, name, value):
    def prepare(case, monkeypatch):
        monkeypatch.setenv(name, value)
        monkeypatch.setattr(_parallel, "_num_threads", None)  # as in a fresh process

    return role, prepare


def blocked(role, folder):
    return role, lambda case, monkeypatch: (case / HOME[role] / folder).write_text("a file")


def little_room(role, free):
    def prepare(case, monkeypatch):
        class Small:
            f_bavail, f_frsize = free // 4096, 4096

        monkeypatch.setattr(_checks.os, "statvfs", lambda path: Small)

    return role, prepare


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (
            changed("host", "c", lambda v: [*v[:120], "inf", *v[121:]]),
            r"line 122 of column 'c' in .*table.csv is infinite",
        ),
        (changed("guest", "a", lambda v: ["-1e999", *v[1:]]), r"line 2 of column 'a' in .*table.csv is infinite"),
        (changed("guest", "y", lambda v: ["0"] * len(v)), "'y' holds only one label"),
        (changed("host", "id", lambda v: [v[1], *v[1:]]), "the same id"),
        (set_to("host", '"table.csv"', '"table.csv"\ncategorical = ["a"]'), r"data.categorical names 'a'"),
        (set_to("guest", '"table.csv"', '"table.csv"\ncolumns = []'), "has 0 columns"),
        (set_to("host", "min_intersection = 100", "min_intersection = 151"), "150 rows, fewer than model.min_inters"),
        (set_to("guest", "min_rows = 20", "min_rows = 200"), "150 rows, fewer than model.min_rows"),
        (with_environment("host", "BLUETUSK_NUM_THREADS", "two"), "BLUETUSK_NUM_THREADS must be"),
        (with_environment("guest", "BLUETUSK_PASSPHRASE", "\udcff"), "BLUETUSK_PASSPHRASE must be UTF-8 text"),
        (without("guest", "matplotlib"), "needs matplotlib"),
        (without("guest", "sklearn"), "needs scikit-learn"),
        (without("host", "private_set_intersection"), "needs openmined-psi"),
        (blocked("guest", "output"), "output"),
        (blocked("host", "state"), "state"),
        (blocked("host", "splits"), "splits"),
        (little_room("guest", 1 << 20), r"1.0 MB are free, at least \d+.\d MB are needed"),
        (little_room("host", 1 << 20), r"1.0 MB are free, at least \d+.\d MB are needed"),
    ],
)
def test_faults_are_found_before_the_first_message(case, monkeypatch, fault, complaint):
    """By file and column, and before there is a connection: the peer learns nothing and loses nothing."""
    role, prepare = fault
    prepare(case, monkeypatch)

    def connected(*given, **more):
        raise AssertionError("a connection was made before all checks had passed")

    monkeypatch.setattr(opening, "Party", connected)
    with pytest.raises((ValueError, OSError, bt.ProtocolAbort), match=complaint):
        _run.run_party(Config.load(case / HOME[role] / "party.toml"))


def test_a_faultless_party_reaches_the_connection(case, monkeypatch):
    """The control of the test above."""
    monkeypatch.setattr(opening, "Party", lambda *given, **more: 1 / 0)
    for name in HOME.values():
        with pytest.raises(ZeroDivisionError):
            _run.run_party(Config.load(case / name / "party.toml"))


@pytest.mark.nightly
def test_a_text_column_that_is_empty_in_training(case, both, monkeypatch):
    """Its kind is that of the whole column, not of the rows that the split has left for training."""
    monkeypatch.setattr(_run, "_report", lambda *given: None)
    held = agreed_split(case, both)
    table = read(case / "network")
    table["e"] = ["shop" if held[IDS.index(text)] else "" for text in table["id"]]
    write(case / "network", table)
    said = run(case, both)
    assert said["host"]["iv"] == {}
    assert "e" in bt.vertical.WoEBinning.load(case / "network" / "output" / "binning.bt").categorical_


def test_a_guest_cannot_train_otherwise_than_its_file_says(case, both, monkeypatch):
    """The files agree; then the guest trains longer and with another sigmoid."""

    class Other(bt.vertical.LogisticRegression):
        def __init__(self, role="guest", **options):
            super().__init__(role, **options | ({"epochs": 40, "sigmoid": "cubic"} if role == "guest" else {}))

    monkeypatch.setattr(_pipeline, "LogisticRegression", Other)
    with pytest.raises(bt.ProtocolAbort):
        run(case, both)
    host = next(error for error in map(str, both.errors) if "trains with" in error)
    assert "the guest trains with epochs = 40, and 1 was agreed" in host


# ------------------------------------------------------------------------------------------ kept by both or by neither
@pytest.mark.parametrize("role", ["guest", pytest.param("host", marks=pytest.mark.nightly)])
def test_results_are_kept_by_both_or_by_neither(case, both, monkeypatch, role):
    """One party's disk is full when it writes: no results and typed errors at both; mended, the run ends well.

    The rows held back open once, and then the host's book of them is in the directory of the splits.
    """
    books = []

    def opening(link, share, guest, *, inner=_job.shared, **more):
        if not guest:
            books.append([path.parent.name for path in (case / "network").rglob("*.scored")])
        return inner(link, share, guest, **more)

    monkeypatch.setattr(_job, "shared", opening)
    for name in HOME.values():
        (case / name / "output").mkdir()
        (case / name / "output" / "result.json").write_text("of an earlier run")
    whole = _run._write
    monkeypatch.setattr(_run, "_report", lambda *given: given[-1].joinpath("report.html").touch())

    def fails(config, outcome, folder):
        whole(config, outcome, folder)
        if config.role == role:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_run, "_write", fails)
    with pytest.raises(bt.ProtocolAbort):
        run(case, both)
    errors = dict(zip(("host", "guest"), map(str, both.errors), strict=True))
    other = "host" if role == "guest" else "guest"
    assert "cannot write the results to" in errors[role]
    assert "the disk is full" in errors[role]
    assert "its results could not be written: the disk is full" in errors[other]
    for each, name in HOME.items():
        assert outputs(case, each) == {"result.json"}
        assert (case / name / "output" / "result.json").read_text() == "of an earlier run"
    monkeypatch.setattr(_run, "_write", whole)
    said = run(case, both)
    assert books == [["splits"]]
    for each in HOME:
        assert outputs(case, each) == ALL[each]
        assert json.loads((case / HOME[each] / "output" / "result.json").read_text()) == said[each]


@pytest.mark.nightly
def test_rows_keep_their_split_in_another_job(case, both, monkeypatch):
    """Another job, fresh state directories, the same splits directories: the same rows are held back."""
    monkeypatch.setattr(_run, "_report", lambda *given: None)
    for name in HOME.values():
        edit(case / name / "party.toml", "epochs = 1", "epochs = 0")
        edit(case / name / "party.toml", "trees = 1", "trees = 0")
    parts = []
    for job in ("j", "k"):
        for name in HOME.values():
            edit(case / name / "party.toml", 'job = "j"', f'job = "{job}"\nstate = "state-{job}"')
        run(case, both)
        with open(case / "bank" / "output" / "scores.csv", newline="") as file:
            parts.append([(line["id"], line["part"]) for line in csv.DictReader(file)])
        for name in HOME.values():
            edit(case / name / "party.toml", f'job = "{job}"\nstate = "state-{job}"', 'job = "j"')
    assert parts[0] == parts[1]
    for name in HOME.values():
        shutil.rmtree(case / name / "splits")
        edit(case / name / "party.toml", 'job = "j"', 'job = "l"\nstate = "state-l"')
    run(case, both)
    with open(case / "bank" / "output" / "scores.csv", newline="") as file:
        assert [(line["id"], line["part"]) for line in csv.DictReader(file)] != parts[0]


@pytest.mark.parametrize("name", ["scores.csv", "result.json", "gradient_boosting.bt"])
def test_a_folder_in_the_place_of_a_result_is_found_before_the_first_message(case, name):
    edit(case / "bank" / "party.toml", "patience = 30", "patience = 0.1")
    (case / "bank" / "output" / name).mkdir(parents=True)
    with pytest.raises(bt.ProtocolAbort, match=rf"cannot write the results to .*output: {name} is a folder there"):
        _run.run_party(Config.load(str(case / "bank" / "party.toml")))
    assert not (case / "bank" / "state").exists() or not list((case / "bank" / "state").iterdir())


class Told:
    def __init__(self):
        self.reasons = []

    def abort(self, reason):
        self.reasons.append(reason)


def test_a_folder_that_comes_later_is_found_before_the_confirmation(tmp_path):
    link, confirmed = Told(), []
    (tmp_path / "scores.csv").mkdir()

    def whole():
        with _results.written(tmp_path, link, "j") as folder:
            (folder / "scores.csv").touch()
            confirmed.append(True)

    with pytest.raises(bt.ProtocolAbort, match=r"scores\.csv is a folder there"):
        whole()
    assert (link.reasons, confirmed) == (["its results could not be written"], [])
    (tmp_path / "scores.csv").rmdir()
    (tmp_path / "scores.csv").symlink_to(tmp_path)  # a link is replaced, whatever it leads to
    whole()
    assert (confirmed, (tmp_path / "scores.csv").is_file()) == ([True], True)


def test_each_job_has_a_folder_aside(tmp_path):
    """Names are no paths; what a killed run of the same job has left is gone."""
    link = Told()
    with _results.written(tmp_path, link, "a/../b") as one, _results.written(tmp_path, link, "ä" * 100) as other:
        assert one != other
        assert one.parent == other.parent == tmp_path
        (one / "binning.bt").write_text("one")
        left = one.name
    assert {path.name for path in tmp_path.iterdir()} == {"binning.bt"}
    (tmp_path / left).mkdir()
    (tmp_path / left / "logistic_regression.bt").write_text("of a killed run")
    with _results.written(tmp_path, link, "a/../b") as one:
        assert list(one.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"binning.bt"}


def test_an_output_serves_one_run_at_a_time(case):
    edit(case / "bank" / "party.toml", "patience = 30", "patience = 0.1")
    config = Config.load(str(case / "bank" / "party.toml"))
    output = case / "bank" / "output"
    output.mkdir()
    with _results.reserved(output):
        with pytest.raises(bt.ProtocolAbort, match=r"another run writes its results to output = .*: give each job"):
            _run.run_party(config)
        (output / ".lock").unlink()
    (output / ".lock").touch()  # of a killed run: it keeps nobody out
    with _results.reserved(output):
        pass
    assert outputs(case, "guest") == set()
