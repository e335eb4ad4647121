"""`bluetusk score` from files to scores: what it delivers, once; what it refuses, and when."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import bluetusk as bt
from bluetusk import cli
from bluetusk.evidence import Grant, Policy
from bluetusk.evidence import Identity as Signer
from bluetusk.storage import files, sealed
from bluetusk.vertical import GradientBoosting, LogisticRegression, WoEBinning, local_links
from bluetusk.vertical.book import Book
from bluetusk.vertical.party import make_certificate, opening, scoring
from bluetusk.vertical.party import run as _run
from bluetusk.vertical.party.config import Config
from bluetusk.vertical.party.scoring import ABSENT, Scoring, run_scoring
from bluetusk.vertical.protocol import job as _job

from .conftest import Both

pytest.importorskip("grpc", reason="parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

ROWS, NEW = 160, 40
HOME = {"guest": "bank", "host": "network"}
MODELS = ("logistic_regression", "gradient_boosting")
SETTINGS = {
    "key_size": 2048,
    "min_intersection": 5,
    "min_total_events": 10,
    "min_rows": 20,
    "min_bucket_rows": 10,
    "max_bins": 3,
    "epochs": 1,
    "batch_size": 64,
    "trees": 2,
    "depth": 2,
    "tree_bins": 6,
}
JOBS = ("clerk", "farmer", "judge")


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def write(path, table):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


def columns(role, x, ids, names=("a", "b")):
    """Of the guest two columns of numbers, one with gaps; of the host one of numbers and one of texts."""
    if role == "guest":
        return {"id": ids, "a": x[:, 0].tolist(), "b": ["" if v > 1.5 else v for v in x[:, 1].tolist()]}
    return {"id": ids, "c": x[:, 2].tolist(), "job": [JOBS[int(abs(v) * 2) % 3] for v in x[:, 3].tolist()]}


PASS = "a passphrase"


@pytest.fixture(scope="module", autouse=True)
def sealed_quickly():
    """A passphrase for all files, and a hash in place of scrypt."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "_derive", lambda secret, header: hashlib.sha256(secret + header["salt"]).digest())
        patch.setenv(opening.PASSPHRASE, PASS)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Both parties' folders after a training, and tables of new rows; ids have leading zeros."""
    home = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS + NEW, 4)).round(3)
    y = (x[:, 0] + x[:, 2] + rng.normal(size=len(x)) > 0.8).astype(int)
    ids = [f"{k:05d}" for k in range(len(x))]
    for name in HOME.values():
        (home / name).mkdir()
        make_certificate(name, home / name, passphrase=PASS)
    for role, name in HOME.items():
        peer = HOME["host" if role == "guest" else "guest"]
        shutil.copy(home / peer / f"{peer}.cert.pem", home / name)
        way = "listen" if role == "host" else "connect"
        label = 'label = "y"\n' if role == "guest" else ""
        (home / name / "party.toml").write_text(
            f'role = "{role}"\njob = "training"\nevidence = "none"\ncertificate = "{name}.cert.pem"\n'
            f'key = "{name}.key.pem"\npeer_certificate = "{peer}.cert.pem"\n{way} = "127.0.0.1:PORT"\npatience = 20\n'
            f'[data]\nfile = "table.csv"\n{label}[model]\n' + "".join(f"{k} = {v}\n" for k, v in SETTINGS.items())
        )
        old, new = (slice(0, ROWS), slice(ROWS, None)) if role == "guest" else (slice(5, ROWS), slice(ROWS + 3, None))
        more = {"y": y[old].tolist()} if role == "guest" else {}
        write(home / name / "table.csv", columns(role, x[old], ids[old]) | more)
        write(home / name / "new.csv", columns(role, x[new], ids[new]))
    both, number = Both(), port()

    def side(role):
        path = home / HOME[role] / "train.toml"
        path.write_text((home / HOME[role] / "party.toml").read_text().replace("PORT", str(number)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return _run.run_party(Config.load(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_run, "_report", lambda *given: None)
        both(lambda: side("host"), lambda: side("guest"), seconds=100)
    return home


@pytest.fixture
def case(trained, tmp_path):
    """The folders, moved as a whole, with a port of their own."""
    number = port()
    for role, name in HOME.items():
        shutil.copytree(trained / name, tmp_path / name)
        config = tmp_path / name / "party.toml"
        config.write_text(config.read_text().replace("PORT", str(number)))
        if role == "host":
            moved(tmp_path / name)
    return tmp_path


def moved(home):
    """Let the halves of a copied folder find their books there, and not those of the original."""
    output, books = home / "output", home / "splits"
    binning = WoEBinning.load(output / "binning.bt", PASS)
    for path in books.glob("*.scored"):
        for kind, more in ((LogisticRegression, {"binning": binning}), (GradientBoosting, {})):
            name = output / ("logistic_regression.bt" if more else "gradient_boosting.bt")
            try:
                half = kind.load(name, PASS, book=path, **more)
            except bt.FrameError:
                continue
            half.save(name, PASS)


def settings(case, role, job="scores-1", config="party.toml", **flags):
    home = case / HOME[role]
    flags = {"data": str(home / "new.csv")} | flags
    if role == "guest":
        flags = {"output": str(home / f"{job}.csv")} | flags
    return Scoring.load(home / config, job=job, **flags)


def score(case, both=None, job="scores-1", config="party.toml", each=None, **flags):
    """Run both sides; return their results, or raise what ended the host, else the guest."""
    both, each = both or Both(), each or {}

    def side(role):
        given = settings(case, role, job, config, **{**flags, **each.get(role, {})})
        return run_scoring(given)

    both(lambda: side("host"), lambda: side("guest"), seconds=60)


def read(case, job="scores-1"):
    with open(case / "bank" / f"{job}.csv", newline="") as file:
        return list(csv.DictReader(file))


def half(case, role, name):
    folder = case / HOME[role] / "output"
    if name == "gradient_boosting":
        return GradientBoosting.load(folder / f"{name}.bt", PASS)
    return LogisticRegression.load(folder / f"{name}.bt", PASS, binning=WoEBinning.load(folder / "binning.bt", PASS))


# ------------------------------------------------------------------------------------------------------------- results
def test_scores_of_both_models_with_ids_as_they_are(case, both):
    score(case, both)
    lines = read(case)
    assert list(lines[0]) == ["id", MODELS[0], f"{MODELS[0]}_points", MODELS[1], "reason"]
    assert [line["id"] for line in lines] == [f"{k:05d}" for k in range(ROWS, ROWS + NEW)]
    alone = [line for line in lines if line["reason"]]
    assert [(line["id"], line["reason"]) for line in alone] == [(f"{ROWS + k:05d}", ABSENT) for k in range(3)]
    assert all(line[name] == "" for line in alone for name in MODELS)
    scored = lines[3:]
    assert all(0 < float(line[name]) < 1 for line in scored for name in MODELS)
    path = case / "bank" / "scores-1.csv"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    # of trees the scores are exact: those of both halves in one process
    guest, host = half(case, "guest", MODELS[1]), half(case, "host", MODELS[1])
    tables = []
    for role, names in (("guest", guest.columns_), ("host", host.columns_)):
        table = bt.vertical.read_columns(case / HOME[role] / "new.csv", ["id", *names], ids=["id"])
        rows = slice(3, None) if role == "guest" else slice(None)
        tables.append({name: table[name][rows] for name in names})
    host.book_ = Book(host._half, bytes(32))  # forgets
    here, there = local_links(seconds=30)
    due, _ = both(
        lambda: guest.predict_proba(tables[0], link=here),
        lambda: host.predict_proba(tables[1], link=there, ids=range(NEW - 3)),
    )
    assert [line[MODELS[1]] for line in scored] == [f"{p:.9g}" for p in due[:, 1]]


def spread(case, job="scores-1"):
    """Return points and probabilities by trees, by id."""
    lines = {line["id"]: line for line in read(case, job) if not line["reason"]}
    points = {id: int(line[f"{MODELS[0]}_points"]) for id, line in lines.items()}
    return points, {id: line[MODELS[1]] for id, line in lines.items()}


@pytest.mark.filterwarnings("ignore:training has not seen")
def test_points_are_those_of_the_whole_model_in_the_clear(case, both, monkeypatch):
    """Weights added up from both halves, the host's rows in another order, with gaps and a new category, in pieces."""
    monkeypatch.setattr(_job, "PIECE", 8)
    monkeypatch.setattr(scoring, "PIECE", 8)
    table = read_table(case / "network" / "new.csv")
    table["c"][4], table["job"][5], table["job"][6] = "", "cook", ""
    write(case / "network" / "new.csv", {name: values[7:] + values[:7] for name, values in table.items()})
    score(case, both, model=MODELS[:1])
    points = {line["id"]: int(line[f"{MODELS[0]}_points"]) for line in read(case) if not line["reason"]}
    guest, host = half(case, "guest", MODELS[0]), half(case, "host", MODELS[0])
    rows = {}
    for role in HOME:
        found = bt.vertical.read_columns(case / HOME[role] / "new.csv", ids=["id"])
        place = {id: k for k, id in enumerate(found.pop("id"))}
        rows[role] = {name: values[[place[id] for id in points]] for name, values in found.items()}

    def whole(mine, theirs):  # shares modulo 2^96, of numbers with 20 binary digits
        sums = [(a + b) % (1 << 96) for a, b in zip(mine.tolist(), theirs.tolist(), strict=True)]
        return np.array([v - (v >> 95 << 96) for v in sums], float) / 2**20

    mine, theirs = guest.half_, host.half_
    due = mine.rows(guest.binning_.transform(rows["guest"])) / 2**12 @ whole(mine.own, theirs.theirs)
    codes = host.binning_.codes(rows["host"], host.columns_)
    assert (codes < 0).any()
    first = 0
    for j, weight in enumerate(whole(mine.theirs, theirs.own)):
        values = mine.worth[first : first + mine.bins.sizes[j]] / 2**12
        due += weight * np.append(values, 0.0)[codes[:, j]]
        first += mine.bins.sizes[j] + 1  # and one for what training has not seen
    assert np.abs(np.array(list(points.values())) - due * guest.scale_.unit - guest.scale_.offset).max() < 1.01


def test_pieces_give_what_one_piece_gives(case, both, monkeypatch, trained):
    score(case, both)
    for name in ("splits", "output"):  # as after the training: the host forgets
        shutil.rmtree(case / "network" / name)
        shutil.copytree(trained / "network" / name, case / "network" / name)
    moved(case / "network")
    most, inner = [], scoring._Codes.__getitem__
    monkeypatch.setattr(_job, "PIECE", 8)
    monkeypatch.setattr(scoring, "PIECE", 8)
    monkeypatch.setattr(
        scoring._Codes, "__getitem__", lambda self, piece: most.append(len(self.order[piece])) or inner(self, piece)
    )
    score(case, both, "scores-2")
    (points, trees), (again, same) = spread(case), spread(case, "scores-2")
    assert same == trees
    assert all(abs(points[id] - again[id]) <= 1 for id in points)
    assert max(most) == 8
    assert len(most) == 2 * 2 * (1 + 5)  # two parties, two models, of 37 rows, and a look at the first


@pytest.mark.parametrize("rows", [1, 0])
def test_one_row_and_none(case, both, rows):
    table = read_table(case / "bank" / "new.csv")
    write(case / "bank" / "new.csv", {name: values[3 * rows : 3 * rows + 1] for name, values in table.items()})
    score(case, both, min_intersection=rows)
    lines = read(case)
    assert len(lines) == 1
    assert (lines[0]["reason"] == "") == bool(rows)
    if not rows:
        with pytest.raises(bt.ProtocolAbort, match=r"0 ids, fewer than min_intersection = 1|gave up"):
            score(case, both, "scores-2", min_intersection=1)
        assert "check that the parties write ids alike" in str(both.errors[1])


def read_table(path):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    return dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True))


def test_trees_without_a_split_of_the_host(case, both):
    for role in HOME:
        model = half(case, role, MODELS[1])
        if role == "guest":
            model._half.party[model._half.party > 0] = -1
        else:
            model._half.party[:], model._half.feature[:] = -1, -1
        model._half.digests[:] = 0
        if role == "host":
            model.book_ = Book(model._half, model._half.name)
            model.book_.keep(case / "network" / "splits" / "bare.scored", create=True)
        model.save(case / HOME[role] / "output" / "gradient_boosting.bt", PASS)
    score(case, both, model=(MODELS[1],))
    assert list(read(case)[5]) == ["id", MODELS[1], "reason"]
    with pytest.raises(bt.PolicyRefused, match="37 of 37"):
        score(case, both, "scores-2", model=(MODELS[1],))


# ------------------------------------------------------------------------------------------------ once, and never again
def again_as_a_new_job(case):
    return {}


def again_without_state(case):
    """The same job, both states and the guest's scores deleted."""
    for name in HOME.values():
        shutil.rmtree(case / name / "state-scores-1")
    (case / "bank" / "scores-1.csv").unlink()
    return {"job": "scores-1"}


def again_in_another_file(case):
    """One of the rows, in another order among others, in files of other names."""
    for name in HOME.values():
        table = read_table(case / name / "new.csv")
        write(case / name / "others.csv", {key: values[:9][::-1] for key, values in table.items()})
    return {"each": {role: {"data": str(case / HOME[role] / "others.csv")} for role in HOME}}


def again_with_copied_halves(case):
    for name in HOME.values():
        shutil.copytree(case / name / "output", case / name / "copies")
        shutil.rmtree(case / name / "output")
    return {"each": {role: {"models": str(case / HOME[role] / "copies")} for role in HOME}}


AGAIN = [again_as_a_new_job, again_without_state, again_in_another_file, again_with_copied_halves]


@pytest.mark.parametrize("way", AGAIN)
def test_rows_are_scored_once(case, both, way):
    score(case, both)
    given = {"job": "scores-2"} | way(case)
    for model in MODELS:
        for name in HOME.values():
            shutil.rmtree(case / name / f"state-{given['job']}", ignore_errors=True)
        with pytest.raises(bt.PolicyRefused, match=r"ids have been scored by this model \(in 'scores-1'\)"):
            score(case, both, **given, model=(model,))
        assert "PolicyRefused" in str(both.errors[1]) or "gave up" in str(both.errors[1])
        assert not (case / "bank" / f"{given['job']}.csv").exists()


def test_a_host_that_forgets_scores_them_again(case, both, monkeypatch):
    """The attack wins on the planted weakness: the books refuse nothing."""
    score(case, both)
    number = itertools.count()
    monkeypatch.setattr(Book, "keep", lambda self, path, create: None)
    monkeypatch.setattr(Book, "_tag", lambda self, mark: next(number).to_bytes(16, "big"))
    score(case, both, "scores-2")
    assert len(spread(case, "scores-2")[0]) == NEW - 3


def test_rows_held_back_in_the_training_count_as_scored(case, both):
    with open(case / "bank" / "output" / "scores.csv", newline="") as file:
        held = [line["id"] for line in csv.DictReader(file) if line["part"] == "test"]
    for name in HOME.values():
        table = read_table(case / name / "table.csv")
        keep = [k for k, id in enumerate(table["id"]) if id in held]
        write(case / name / "new.csv", {key: [values[k] for k in keep] for key, values in table.items()})
    for model in MODELS:
        with pytest.raises(bt.PolicyRefused, match=rf"{len(held)} of {len(held)} ids .*\(in 'training'\)"):
            score(case, both, f"scores {model}", model=(model,))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("command_first", [True, False])
def test_the_command_and_the_library_share_the_book(case, both, model, command_first):
    def by_library(both=both):
        guest, host = (half(case, role, model) for role in ("guest", "host"))
        tables = {}
        for role, fitted in (("guest", guest), ("host", host)):
            table = bt.vertical.read_columns(case / HOME[role] / "new.csv", ["id", *fitted.columns_], ids=["id"])
            rows = slice(3, None) if role == "guest" else slice(None)
            tables[role] = {name: table[name][rows] for name in table}
        if model == MODELS[0]:
            woe = guest.binning_.transform({k: v for k, v in tables["guest"].items() if k != "id"})
        else:
            woe = {k: v for k, v in tables["guest"].items() if k != "id"}
        x = {k: v for k, v in tables["host"].items() if k != "id"}
        here, there = local_links(seconds=30)
        both(
            lambda: host.predict_proba(x, link=there, ids=tables["host"]["id"].tolist()),
            lambda: guest.predict_proba(woe, link=here),
        )

    def by_command():
        score(case, both, model=(model,))

    calls = (by_command, by_library) if command_first else (by_library, by_command)
    calls[0]()
    with pytest.raises(bt.PolicyRefused, match="37 of 37"):
        calls[1]()


# ------------------------------------------------------------------------------------------------- crashes and resuming
class Crash(Exception):
    """A process dies, as far as a thread can."""


def dying(monkeypatch, place, name, at, role):
    """Let one call of a function end the party, once; it comes after what the function did."""
    inner, calls = getattr(place, name), [0]

    def call(self, *given, **more):
        result = inner(self, *given, **more)
        calls[0] += 1
        if calls[0] == at:
            raise Crash
        return result

    monkeypatch.setattr(place, name, call)


@pytest.mark.parametrize("at", [*(pytest.param(at, marks=pytest.mark.slow) for at in (1, 2)), 3])
def test_a_host_that_dies_when_it_has_noted_rows_goes_on(case, both, monkeypatch, at):
    """Points and walks: the same job delivers, another one is refused by the name of this one."""
    dying(monkeypatch, Book, "take", at, "host")
    with pytest.raises(Crash):
        score(case, both)
    monkeypatch.undo()
    names = MODELS if at > 1 else MODELS[:1]
    for model in names:
        with pytest.raises(bt.PolicyRefused, match=r"in 'scores-1'\).*start it again with its state directory"):
            score(case, both, f"other {model}", model=(model,))
    score(case, both)
    assert len(spread(case)[0]) == NEW - 3


def test_a_guest_that_dies_at_any_kept_step_gets_each_score_once(case, both, monkeypatch):
    """Each start comes a step further; what was opened before is the same in the end."""
    from bluetusk.vertical.party.session import Session

    opened, inner = {}, scoring._table

    def table(parts, ids, order, scores):
        for name, found in scores.items():
            opened.setdefault(name, []).append(found.tolist())
        return inner(parts, ids, order, scores)

    monkeypatch.setattr(scoring, "_table", table)
    commit = Session.commit
    for at in (6, 22, 25, 27, 31):
        kept = [0]

        def dies(self, *given, kept=kept, at=at):
            commit(self, *given)
            kept[0] += self.peer == "host"
            if kept[0] and self.peer == "host" and self.position == at:
                raise Crash

        monkeypatch.setattr(Session, "commit", dies)
        with contextlib.suppress(Crash, bt.BluetuskError):
            score(case, both)
        monkeypatch.setattr(Session, "commit", commit)
        if (case / "bank" / "scores-1.csv").exists():
            break
    score(case, both)
    assert all(found == each[0] for each in opened.values() for found in each)
    assert len(spread(case)[0]) == NEW - 3


def test_a_full_disk_at_the_guest_loses_no_score(case, both, monkeypatch):
    def full(*given, **more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "files", SimpleNamespace(write=full, is_full=files.is_full))
        with pytest.raises(bt.ProtocolAbort):
            score(case, both)
        assert "the disk is full: free space and start both parties again" in str(both.errors[1])
    assert not (case / "bank" / "scores-1.csv").exists()
    score(case, both)
    first = (case / "bank" / "scores-1.csv").read_bytes()
    score(case, both)  # started once more, and the file is there
    (case / "bank" / "scores-1.csv").unlink()
    score(case, both)  # deleted: the kept steps have the scores
    assert (case / "bank" / "scores-1.csv").read_bytes() == first


def test_a_full_disk_at_the_host_loses_no_score(case, both, monkeypatch):
    def full(*given, **more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LogisticRegression, "save", full)
        with pytest.raises(bt.ProtocolAbort, match=r"cannot write the half .*regression.bt: the disk is full: free"):
            score(case, both)
    assert "the disk is full" in str(both.errors[1])
    (case / "bank" / "scores-1.csv").unlink()
    score(case, both)
    assert len(spread(case)[0]) == NEW - 3


def test_a_job_goes_on_with_its_own_models_only(case, both):
    score(case, both, model=MODELS[:1])
    with pytest.raises(bt.ProtocolAbort, match=r"taken with other models than .*boosting of .*give --model and"):
        score(case, both)
    assert "has changed since" not in "".join(map(str, both.errors))


def test_a_file_that_was_changed_before_a_job_goes_on(case, both, monkeypatch):
    with monkeypatch.context() as patch:
        dying(patch, Book, "take", 2, "host")
        with pytest.raises(Crash):
            score(case, both)
    path = case / "network" / "new.csv"
    before = path.read_bytes()
    write(path, with_cell("c", 10, "9.9")(read_table(path)))
    with pytest.raises(bt.ProtocolAbort, match=r"new.csv has changed since .*restore it as it was then; a new job is"):
        score(case, both)
    with pytest.raises(bt.PolicyRefused, match="37 of 37"):  # as the error says
        score(case, both, "scores-2")
    path.write_bytes(before)
    score(case, both)
    assert len(spread(case)[0]) == NEW - 3


def test_two_scorings_at_once(case, both):
    host = half(case, "host", MODELS[0])
    with host.book_.held("scores-0"), pytest.raises(bt.ProtocolAbort, match="is in use by the job 'scores-0'"):
        run_scoring(settings(case, "host"))
    score(case, both)


@pytest.mark.parametrize("model", MODELS)
def test_a_lost_or_older_book_is_refused(case, both, model):
    host = half(case, "host", model)
    book = Path(host.book_.path)
    before = book.read_bytes()
    score(case, both, model=(model,))
    book.write_bytes(before)
    with pytest.raises(bt.FrameError, match="older than the half"):
        run_scoring(settings(case, "host", "scores-2"))
    book.unlink()
    with pytest.raises(bt.FrameError, match="is missing, without which rows would be scored again"):
        run_scoring(settings(case, "host", "scores-2"))


# --------------------------------------------------------------------------------------------- before anything is sent
def unconnected(monkeypatch):
    def connected(*given, **more):
        raise AssertionError("a connection was made before all checks had passed")

    monkeypatch.setattr(opening, "Party", connected)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def changed(role, change):
    def prepare(case):
        table = read_table(case / HOME[role] / "new.csv")
        write(case / HOME[role] / "new.csv", change(table))

    prepare.role = role
    return prepare


def with_cell(name, k, text):
    return lambda table: table | {name: [*table[name][:k], text, *table[name][k + 1 :]]}


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (changed("host", lambda t: {k: v for k, v in t.items() if k != "job"}), r"new.csv has no column 'job'"),
        (
            changed("host", lambda t: t | {"c": ["many"] * len(t["c"])}),
            r"column 'c' in .* holds texts such as 'm",
        ),
        (changed("host", with_cell("c", 30, "many")), r"column 'c' in .*mixes.*'many' in line 32"),
        (changed("guest", with_cell("a", 2, "inf")), r"line 4 of column 'a' in .*new.csv is infinite"),
        (changed("guest", with_cell("id", 2, "")), r"1 rows have no 'id', the first is line 4"),
        (
            changed("guest", lambda t: t | {"id": [t["id"][1], *t["id"][1:]]}),
            r"line 2 and line 3 have the same 'id', '00161': keep",
        ),
        (changed("guest", lambda t: {k: v[:0] for k, v in t.items()}), "has no rows"),
    ],
)
def test_a_file_that_does_not_fit_the_model(case, monkeypatch, prepare, complaint):
    unconnected(monkeypatch)
    prepare(case)
    with pytest.raises(ValueError, match=complaint):
        run_scoring(settings(case, prepare.role))


def test_columns_beyond_the_models_are_ignored_and_lines_are_those_of_the_file(case, monkeypatch):
    unconnected(monkeypatch)
    monkeypatch.setattr(scoring, "PIECE", 8)
    table = read_table(case / "network" / "new.csv")
    write(case / "network" / "new.csv", table | {"remark": ["?"] * (NEW - 3)})
    with pytest.raises(AssertionError, match="a connection"):
        run_scoring(settings(case, "host"))
    write(case / "network" / "new.csv", with_cell("c", 30, "inf")(table))
    with pytest.raises(ValueError, match="line 32 of column 'c'"):
        run_scoring(settings(case, "host"))


def test_categories_that_training_has_not_seen_are_counted_over_the_file(case, both, monkeypatch):
    monkeypatch.setattr(scoring, "PIECE", 8)
    table = read_table(case / "network" / "new.csv")
    write(case / "network" / "new.csv", table | {"job": ["cook"] * 20 + table["job"][20:]})
    with pytest.warns(bt.DataWarning) as caught:
        score(case, both)
    said = [str(each.message) for each in caught if "training has not seen" in str(each.message)]
    assert len(said) == 2  # one for each model
    assert all(r"X['job']: 20 of 37 values in 1 categories ('cook')" in text for text in said)


def test_another_peer_is_refused_by_its_certificate(case, monkeypatch, tmp_path):
    unconnected(monkeypatch)
    make_certificate("stranger", tmp_path)
    for role, name in HOME.items():
        peer = HOME["host" if role == "guest" else "guest"]
        shutil.copy(tmp_path / "stranger.cert.pem", case / name / f"{peer}.cert.pem")
        with pytest.raises(ValueError, match=rf"was trained with the peer of certificate [0-9a-f]+, but .*{peer}.cert"):
            run_scoring(settings(case, role))


def test_halves_of_two_trainings_are_refused_before_a_row_is_named(case, both, monkeypatch):
    def asked(*given, **more):
        raise AssertionError("rows were compared")

    monkeypatch.setattr(scoring, "intersect", asked)
    for model in MODELS:
        other = half(case, "guest", model)
        if model == MODELS[0]:
            other.model_ = bytes(32)
        else:
            other._half.digests[:] = 1
        other.save(case / "bank" / "output" / f"{model}.bt", PASS)
        with pytest.raises(bt.ProtocolAbort, match=rf"the two halves of {model} are of different trainings|gave up"):
            score(case, both, f"scores {model}", model=(model,))
        assert "different trainings" in "".join(map(str, both.errors))
    with pytest.raises(bt.ProtocolAbort, match=r"give both the same --model|gave up"):
        score(case, both, "scores-3", each={"guest": {"model": MODELS[:1]}, "host": {"model": MODELS[1:]}})


@pytest.mark.parametrize(
    ("role", "flags", "complaint"),
    [
        ("guest", {"job": "training"}, "the job 'training' is that of the training"),
        ("guest", {"job": None}, "the scoring needs a name"),
        ("host", {"data": None}, "name the file of rows to score"),
        ("guest", {"output": None}, "name a new file for the scores"),
        ("guest", {"output": ""}, "output: the name is empty"),
        ("guest", {"job": "\udcff"}, "job must be a text of 1 to 100 characters of Unicode"),
        ("host", {"output": "x.csv"}, "output is for the guest"),
        ("host", {"models": "nowhere"}, "has no half logistic_regression.bt"),
        ("host", {"model": ("a",)}, "model names 'a'"),
        ("host", {"data": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_flags_in_fault(case, monkeypatch, role, flags, complaint):
    unconnected(monkeypatch)
    with pytest.raises((ValueError, OSError), match=complaint):
        run_scoring(settings(case, role, **flags))


def test_a_file_of_scores_is_never_written_over(case, monkeypatch):
    unconnected(monkeypatch)
    (case / "bank" / "scores-1.csv").write_text("precious")
    with pytest.raises(ValueError, match="exists already, and is not written over, since a row is scored once"):
        run_scoring(settings(case, "guest"))
    with pytest.raises(ValueError, match="is a folder"):
        run_scoring(settings(case, "guest", output=str(case)))
    with pytest.raises(ValueError, match="in a folder that does not exist"):
        run_scoring(settings(case, "guest", output=str(case / "no" / "x.csv")))
    assert (case / "bank" / "scores-1.csv").read_text() == "precious"


def test_the_section_of_the_file_and_the_flags(case):
    config = case / "network" / "party.toml"
    config.write_text(
        config.read_text() + '[score]\njob = "monthly"\ndata = "new.csv"\nmodel = ["gradient_boosting"]\n'
    )
    given = Scoring.load(config)
    assert (given.config.job, given.data, given.model) == ("monthly", str(case / "network" / "new.csv"), MODELS[1:])
    assert given.config.state == str(case / "network" / "state-monthly")
    assert given.models == str(case / "network" / "output")
    given = Scoring.load(config, job="a/b", data="here.csv", model=list(MODELS[:1]))
    assert (given.data, given.model) == ("here.csv", MODELS[:1])
    assert Path(given.config.state).parent == case / "network"
    config.write_text(config.read_text() + 'colour = "red"\n')
    with pytest.raises(ValueError, match=r"score\.colour is not known here"):
        Scoring.load(config)
    Config.load(config)  # a training does not mind


# ----------------------------------------------------------------------------------------------- policies, logs, counts
def with_evidence(case, **clauses):
    """Give both sides identities, policies and logs."""
    signers = {role: Signer.generate() for role in HOME}
    for role, name in HOME.items():
        peer, home = "host" if role == "guest" else "guest", case / name
        signers[role].save(home / "identity", PASS)
        (case / HOME[peer] / "peer.pub").write_text(signers[role].public_key.hex())
    for role, name in HOME.items():
        peer, home = "host" if role == "guest" else "guest", case / name
        finger = bt.evidence.fingerprint((home / f"{HOME[peer]}.cert.pem").read_bytes())
        more = {"min_intersection": 5, "uses": 3, "max_ids_per_request": 99, "max_ids_total": 999}
        more |= clauses.get(role, {})
        grant = Grant("g", finger, ("intersect", "predict"), ("*",), until=1 << 33, **more)
        files.write(home / "policy.signed", Policy(name, 1, (grant,)).sign(signers[role]).to_bytes())
        edit(home / "party.toml", 'evidence = "none"\n', "")
        section = {"identity": "identity", "peer_key": "peer.pub", "policy": "policy.signed", "log": "evidence.log"}
        with open(home / "party.toml", "a") as file:
            file.write("[evidence]\n" + "".join(f'{key} = "{value}"\n' for key, value in section.items()))
    return signers


def logged(case, role, signers, what):
    with bt.evidence.Log.open(case / HOME[role] / "evidence.log", signers[role]) as log:
        return [record for record in log.records if record.what == what]


def test_each_model_is_one_use_however_many_pieces_and_starts(case, both, monkeypatch):
    monkeypatch.setattr(_job, "PIECE", 8)
    signers = with_evidence(case, guest={"uses": 9})
    dying(monkeypatch, Book, "take", 4, "host")
    with pytest.raises(Crash):
        score(case, both)
    monkeypatch.undo()
    monkeypatch.setattr(_job, "PIECE", 8)
    score(case, both)
    for role, uses in (("guest", 9), ("host", 3)):
        used = logged(case, role, signers, "authorised")
        assert [(each.details["purpose"], each.details["uses_left"]) for each in used] == [
            ("intersect", uses - 1),
            ("predict", uses - 2),
            ("predict", uses - 3),
        ]
        assert [each.details["rows"] for each in used[1:]] == [NEW - 3] * 2
        assert all(len(each.hashes["intersection"]) == 32 for each in used[1:])
    finished = logged(case, "host", signers, "finished")
    counts = [each.details["meter"] for each in finished if each.task.endswith("regression_scores")]
    assert counts[0]["guest/logistic_regression.predict"]["values_revealed"] == NEW - 3
    with pytest.raises(bt.PolicyRefused, match="all 3 uses of grant 'g' are spent"):
        score(case, both, "scores-2")


@pytest.mark.parametrize(
    ("clauses", "complaint"),
    [
        ({"max_rows_scored": 36}, "max_rows_scored"),
        ({"max_models": 1}, "max_models"),
        ({"max_bits": 100}, "max_bits"),
        ({"min_intersection": 38}, "min_intersection"),
    ],
)
def test_the_caps_of_the_policy_hold(case, both, clauses, complaint):
    signers = with_evidence(case, host=clauses)
    with pytest.raises(bt.PolicyRefused, match=f"clause {complaint}"):
        score(case, both)
    assert not (case / "bank" / "scores-1.csv").exists()
    assert [each.details["clause"] for each in logged(case, "host", signers, "refused")] == [complaint]


# --------------------------------------------------------------------------------------------------------- the command
def command(case, role, job, *more):
    name = HOME[role]
    given = ["score", "--config", str(case / name / "party.toml"), "--job", job, "--progress", "none"]
    given += ["--data", str(case / name / "new.csv")]
    return given + (["--output", str(case / name / f"{job}.csv")] if role == "guest" else []) + list(more)


def test_the_command_prints_what_was_done(case, both, capsys):
    assert both(*(lambda role=role: cli.main(command(case, role, "s")) for role in HOME)) == [0, 0]
    said = capsys.readouterr().out
    assert f"{NEW - 3} of {NEW} rows scored by logistic_regression and gradient_boosting" in said
    assert f"3 rows without a score: {ABSENT}" in said
    assert f"scores: {case / 'bank' / 's.csv'}" in said
    codes = both(*(lambda role=role: cli.main(command(case, role, "t")) for role in HOME))
    assert codes[1] == 3  # refused by the host's book
    assert codes[0] != 0
    error = capsys.readouterr().err
    assert "37 of 37 ids have been scored by this model (in 's')" in error
    assert cli.main(command(case, "guest", "s", "--model", "gradient_boosting", "--output", str(case))) == 1
    with pytest.raises(SystemExit):
        cli.main(command(case, "guest", "s", "--model", "trees"))


@pytest.mark.slow
def test_processes_that_are_killed_go_on(case, tmp_path):
    """Real processes: the host is killed once rows are noted, the guest when it computes; the scores come once."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "BLUETUSK_PASSPHRASE": PASS}

    def plain(role):  # without the hash that stands for scrypt: files are sealed anew by the command's own
        return subprocess.Popen(
            [sys.executable, "-m", "bluetusk", *command(case, role, "killed"), "--json"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    resealed(case)
    books = list((case / "network" / "splits").glob("*.scored"))
    sizes = {path: path.stat().st_size for path in books}
    running = {role: plain(role) for role in HOME}
    try:
        end = time.monotonic() + 60
        while all(path.stat().st_size == sizes[path] for path in books):
            assert time.monotonic() < end
            assert running["host"].poll() is None, running["host"].stderr.read()
            time.sleep(0.002)
        running["host"].send_signal(signal.SIGKILL)
        running["host"].communicate()
        running["host"] = plain("host")
        said = {role: running[role].communicate(timeout=90) for role in HOME}
        assert all(running[role].returncode == 0 for role in HOME), said
    finally:
        for process in running.values():
            if process.poll() is None:
                process.kill()
                process.communicate()
    assert json.loads(said["guest"][0])["scored"] == NEW - 3
    assert len(spread(case, "killed")[0]) == NEW - 3


def resealed(case):
    """Write the halves and keys without a passphrase for processes of their own, which have the real scrypt."""
    for role, name in HOME.items():
        folder = case / name / "output"
        loaded = {model: half(case, role, model) for model in MODELS}
        binning = WoEBinning.load(folder / "binning.bt", PASS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sealed, "_derive", REAL)
            binning.save(folder / "binning.bt", PASS)
            for model, each in loaded.items():
                each.save(folder / f"{model}.bt", PASS)


REAL = sealed._derive
