"""The reports of two real parties: their figures by hand, and nothing in the guest's that is the host's to keep."""

from __future__ import annotations

import itertools
import json
import re
import socket
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from bluetusk.demo import credit
from bluetusk.evidence import Guard, fingerprint, read_public_key
from bluetusk.vertical import evaluation
from bluetusk.vertical.evaluation.report import _rounded
from bluetusk.vertical.evaluation.words import TEXTS
from bluetusk.vertical.party import make_certificate, reporting
from bluetusk.vertical.party import run as _run
from bluetusk.vertical.party.config import Config

from .test_report import ENGLISH, Page

pytest.importorskip("grpc", reason="parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

pytestmark = pytest.mark.slow

HOME = {"guest": "bank", "host": "network"}
SECRET = "ab" * 16
OPEN = {
    "key_size": 2048,
    "min_intersection": 100,
    "min_total_events": 10,
    "min_rows": 20,
    "min_bucket_rows": 10,
    "max_bins": 4,
    "epochs": 2,
    "trees": 2,
    "depth": 2,
    "tree_bins": 6,
}


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Ran:
    """Both parties' results, and their reports in both languages, made from the same run."""

    def __init__(self, folder):
        self.folder, self.given, self.pages, self.html = folder, {}, {}, {}
        self.result, self.errors = dict.fromkeys(HOME), []
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setenv("BLUETUSK_PASSPHRASE", SECRET)
            patch.setattr(_run, "_report", self.keep)
            sides = [threading.Thread(target=self.side, args=(role,), daemon=True) for role in ("host", "guest")]
            for side in sides:
                side.start()
            for side in sides:
                side.join(120)
            assert all(self.result.values()), self.errors
            for role, given in self.given.items():
                for lang in ("en", "zh"):
                    path = folder / f"{role}.{lang}.html"
                    reporting.write_party_report(path, *given, lang)
                    self.html[role, lang] = path.read_text()
                    self.pages[role, lang] = Page(self.html[role, lang])

    def keep(self, config, outcome, result, own, folder):
        self.given[config.role] = (config, outcome, result, own)

    def side(self, role):
        try:
            self.result[role] = _run.run_party(Config.load(self.folder / HOME[role] / "party.toml"))
        except Exception as error:
            self.errors.append(error)

    def outcome(self, role):
        return self.given[role][1]


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """The demo's bank and network with policies and logs; nothing is revealed."""
    folder = tmp_path_factory.mktemp("closed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credit.secrets, "token_hex", lambda n: SECRET[: 2 * n])
        credit.prepare(credit.CreditPlan(rows=1200, epochs=1, trees=2, key_size=2048), folder)
    address = f"127.0.0.1:{port()}"
    for name, old in (("bank", "ADDRESS"), ("network", "127.0.0.1:0")):
        config = folder / name / "party.toml"
        config.write_text(config.read_text().replace(old, address))
    return Ran(folder)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Three columns each, the last with one value; coefficients and weights are revealed."""
    folder = tmp_path_factory.mktemp("opened")
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 6)).round(3)
    x[:, [2, 5]] = 7.0
    y = (x[:, [0, 1, 3, 4]].sum(axis=1) + rng.normal(size=400) > 1.2).astype(int)
    address = f"127.0.0.1:{port()}"
    for name in HOME.values():
        make_certificate(name, folder)
    for role, name in HOME.items():
        home, peer = folder / name, HOME["host" if role == "guest" else "guest"]
        home.mkdir()
        names, own = (
            (("age", "sum", "flat"), x[:, :3]) if role == "guest" else (("turnover", "arrears", "still"), x[:, 3:])
        )
        table = [["id", *names, *(["y"] if role == "guest" else [])]]
        table += [[f"M{k}", *row, *([y[k]] if role == "guest" else [])] for k, row in enumerate(own.tolist())]
        (home / "table.csv").write_text("".join(",".join(map(str, line)) + "\n" for line in table))
        way = f'listen = "{address}"' if role == "host" else f'connect = "{address}"'
        (home / "party.toml").write_text(
            f'role = "{role}"\njob = "j"\nevidence = "none"\nhalves = "open"\ncertificate = "../{name}.cert.pem"\n'
            f'key = "../{name}.key.pem"\npeer_certificate = "../{peer}.cert.pem"\n{way}\npatience = 60\n'
            f'state = "state"\nsplits = "splits"\noutput = "output"\n[data]\nfile = "table.csv"\n'
            + ('label = "y"\n' if role == "guest" else "")
            + '[model]\nreveal = ["coefficients", "woe"]\n'
            + "".join(f"{key} = {value}\n" for key, value in OPEN.items())
        )
    return Ran(folder)


@pytest.fixture(params=["closed", "opened"])
def ran(request):
    return request.getfixturevalue(request.param)


def both(low, high, sign=""):
    return f"({low:{sign}.3f}–{high:{sign}.3f})"


def test_the_guests_figures_are_those_of_its_result(ran):
    page, told = ran.pages["guest", "en"], json.loads(json.dumps(ran.result["guest"]))
    ((_, *rows),) = page.section("Models on the same test rows")
    for row, name in zip(rows, ("logistic_regression", "gradient_boosting"), strict=False):
        assert row[0] == TEXTS[f"model.{name}"][0]
        assert row[1] == f"{told[name]['auc']:.4f} {both(*told[name]['auc_interval'])}"
        assert row[3] == f"{told[name]['ks']:.4f} {both(*told[name]['ks_interval'])}"
    _, outcome, _, own = ran.given["guest"]
    held = outcome.labels[outcome.test]
    for row, name in zip(rows, ("logistic_regression", "gradient_boosting"), strict=False):
        gain, (low, high) = evaluation.auc_gain(held, outcome.ranks[name], own.test)
        assert row[2] == f"{gain:+.4f} ({low:+.3f} to {high:+.3f})"
        assert row[4] == f"{np.mean((outcome.scores[name] - held) ** 2):.4f}"
    ((head, *rows),) = page.section("Columns")
    at = {name: k for k, name in enumerate(head)}
    shown = {(row[at["party"]], row[0]): row for row in rows}
    for name, value in told["iv"].items():
        assert any(row[0] == name and row[at["IV"]] == f"{value:.3f}" for row in rows), name
    for name, value in told["importances"].items():
        assert shown["guest", name][at["share of the gain, trees"]] == f"{100 * value:.1f} %"
    facts = dict(page.section("The run")[0])
    assert facts["customers in common"] == f"{told['intersection']:,}"
    assert facts["for training; held back"] == f"{told['train']:,}; {told['test']:,}"
    assert facts["bytes sent; received"] == f"{told['bytes']['sent']:,}; {told['bytes']['received']:,}"
    assert facts["date of the run (UTC)"] == told["date"][:16].replace("T", " ")
    assert "bluetusk" in facts["versions"]
    assert "Python 3." in facts["versions"]
    settings = [cell for row in page.section("The run")[1] for cell in row]
    assert settings[settings.index("trees") + 1] == "2"
    if "scorecard" in told:
        rows = [row for table in page.section("Bins and scorecard") for row in table]
        for each in told["scorecard"]["rows"]:
            if each["column"] == "base":
                assert f"Base points of every customer, from this party: {each['points']:.1f}." in page.text()
            else:
                value = round(each["points"], 1) + 0.0
                assert any(row[0] == each["bin"] and row[-1] == f"{value:+.1f}" for row in rows), each


@pytest.mark.parametrize("role", HOME)
def test_sums_and_bits_of_each_side(closed, role):
    told, page = closed.result[role], closed.pages[role, "en"]
    ((_, *rows),) = page.section("What each side has seen")
    assert rows[-1][:3] == ["total", f"{told['learned']['sums']:,}", f"{told['learned']['bits']:,}"]
    peer = told["learned_by_peer"]
    assert f"at most {peer['sums']:,} sums and {peer['bits']:,} bits" in page.text()
    other = closed.result["host" if role == "guest" else "guest"]["learned"]
    assert peer["sums"] >= other["sums"]
    assert peer["bits"] >= other["bits"] > 0
    home = closed.folder / HOME[role]
    with Guard(
        home / "policy.signed", home / "evidence.log.uses", owner=read_public_key(home / "identity.pub")
    ) as guard:
        cert = closed.folder / HOME["host" if role == "guest" else "guest"]
        counted = guard.learned()[fingerprint((cert / f"{cert.name}.cert.pem").read_bytes())]
    assert peer == {what: counted[what] for what in ("sums", "bits")}
    assert told["evidence"]["head"] in page.shown


# ---------------------------------------------------------------------------------- what is the host's stays the host's
def test_the_guests_report_has_the_hosts_columns_as_one_reason(ran):
    """No name and no contribution of one of the host's columns; what else it shows of them are counts of their bins."""
    hosts = set(ran.outcome("host").rows.names)
    for lang, one in (("en", "host: all columns together"), ("zh", "被动参与方的全部列（合计）")):
        page = ran.pages["guest", lang]
        tables = page.section("Reason codes" if lang == "en" else "原因码")
        assert len(tables) == (2 if ran.result["guest"].get("scorecard") else 1)
        for _, *rows in tables:
            reasons = [row[0] for row in rows]
            assert one in reasons
            assert not hosts & set(reasons)
            assert set(reasons) <= {one, *ran.outcome("guest").rows.names}
        at = ran.html["guest", lang]
        section = at[at.index("</h2>", at.index("Reason codes" if lang == "en" else "原因码")) :].partition("<h2>")[0]
        assert not [name for name in hosts if name in section]
        ((head, *rows),) = page.section("Columns" if lang == "en" else "各列概览")
        kept = [k for k, name in enumerate(head) if "PSI" in name or "regression" in name or "逻辑" in name]
        kept += [k for k, name in enumerate(head) if "trees" in name or "树" in name]
        assert len(kept) >= 2
        assert [row for row in rows if row[0] in hosts and any(row[k] for k in kept)] == []
        assert any(row[k] for row in rows for k in kept)
    minis = ran.pages["guest", "en"].section("Bins")
    own = {text for bins in ran.outcome("guest").binning.table() if bins["party"] == "guest" for text in [bins["bin"]]}
    assert {row[0] for _, *rows in minis for row in rows} - own <= {f"bin {k}" for k in range(10)}  # no edge


def test_the_hosts_report_has_no_statistic_of_labels(closed):
    page, guest = closed.pages["host", "en"], closed.result["guest"]
    assert "no information value, bad rate or score" in page.text()
    assert not {"IV", "WoE", "bad rate", "points", "events"} & {cell for _, rows in page.tables for cell in rows[0]}
    for name in ("logistic_regression", "gradient_boosting"):
        assert f"{guest[name]['auc']:.4f}" not in page.text()
    labels = closed.outcome("guest").labels
    test = closed.outcome("guest").test
    assert f"{labels[~test].sum():,}" not in page.shown
    assert not set(closed.outcome("guest").rows.names) & set(page.shown)  # nor the guest's columns
    assert closed.html["host", "en"].count("<figure") == 0


def test_stability_of_a_partys_columns_by_hand(ran):
    for role in HOME:
        outcome = ran.outcome(role)
        ((head, *rows),) = ran.pages[role, "en"].section("Columns")
        shown = {row[0]: row[head.index("PSI")] for row in rows if role == "host" or "guest" in row[:2]}
        assert set(shown) == set(outcome.rows.names)
        values = dict(zip(outcome.rows.names, outcome.rows.values, strict=True))
        for bins in outcome.binning.bins_:
            codes = bins.codes(values[bins.name][outcome.order])
            counts = [[0.5 + sum(codes[part] == code) for code in set(codes)] for part in (~outcome.test, outcome.test)]
            old, new = (np.array(each) / sum(each) for each in counts)
            assert shown[bins.name] == f"{((new - old) * np.log(new / old)).sum():.4f}"


# -------------------------------------------------------------------------------------------------------------- reasons
def added(outcome):
    """Return coefficient times weight, less its mean, of each of a party's columns and each row held back, by loops."""
    model = outcome.models["logistic_regression"]
    coefficients = dict(zip(model.columns_, model.coef_, strict=True))
    values = dict(zip(outcome.rows.names, outcome.rows.values, strict=True))
    out = {}
    for bins in outcome.binning.bins_:
        codes = bins.codes(values[bins.name][outcome.order[outcome.test]])
        each = [coefficients[bins.name] * (float(bins.woe[code]) if code >= 0 else 0.0) for code in codes]
        out[bins.name] = np.array(each) - np.mean(each)
    return out


def test_reasons_of_the_regression_are_coefficients_times_weights(opened):
    guest, host = opened.outcome("guest"), opened.outcome("host")
    assert guest.ids[0] in set(host.ids)
    own, others = added(guest), added(host)
    place = {name: k for k, name in enumerate(np.asarray(host.ids)[host.test].tolist())}
    rows = [place[name] for name in np.asarray(guest.ids)[guest.test].tolist()]
    together = sum(others.values())[rows]
    rank = guest.ranks["logistic_regression"]
    assert rank - rank.mean() == pytest.approx(sum(own.values()) + together, abs=0.1)  # ln 2 / 20 a point
    held = guest.labels[guest.test]
    refused = rank > evaluation.cutoffs(held, rank, [0.8])[0]["cutoff"]
    parts = {**own, "host: all columns together": rank - rank.mean() - sum(own.values())}
    main = dict.fromkeys(parts, 0)
    for k in np.flatnonzero(refused):
        main[max(parts, key=lambda name: parts[name][k])] += 1
    (_, *shown), _ = opened.pages["guest", "en"].section("Reason codes")
    assert {row[0]: row[1] for row in shown} == {
        name: f"{100 * count / refused.sum():.1f} %" for name, count in main.items() if name != "flat"
    }
    for row in shown:
        assert float(row[3]) == pytest.approx(parts[row[0]][refused].mean(), abs=6e-4)
    assert "flat" not in [row[0] for row in shown]
    ((_, *shown),) = opened.pages["host", "en"].section("Reason codes")  # of all rows held back
    for row in shown:
        first = np.mean([max(others, key=lambda n: others[n][k]) == row[0] for k in range(len(rows))])
        assert row[1] == f"{100 * first:.1f} %"


def test_contributions_of_the_trees_add_up_to_the_score(ran):
    outcome = ran.outcome("guest")
    model, leaves = outcome.models["gradient_boosting"], outcome.leaves
    rank = outcome.ranks["gradient_boosting"]
    parts = model.contributions(leaves)
    assert parts.shape == (int(outcome.test.sum()), len(model.columns_) + 1)
    assert parts.sum(axis=1) == pytest.approx(rank - rank.mean())
    assert model.scores_of(leaves).tolist() == rank.tolist()
    half = model._half
    by_hand = np.zeros_like(parts)
    for tree in range(leaves.shape[1]):
        paths = []
        for leaf in leaves[:, tree].tolist():
            path = [leaf]
            while path[-1]:
                path.append((path[-1] - 1) // 2)
            paths.append(path[::-1])
        mean = {
            node: np.mean([half.value[tree][path[-1]] for path in paths if node in path])
            for node in {node for path in paths for node in path}
        }
        for row, path in enumerate(paths):
            for above, below in itertools.pairwise(path):
                at = half.feature[tree][above] if half.party[tree][above] == 0 else len(model.columns_)
                by_hand[row, at] += mean[below] - mean[above]
    assert parts == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="at least one row"):
        model.contributions(leaves[:0])
    for wrong in (leaves[:, :1], leaves.astype(float), leaves - 1000, leaves + 1000):
        with pytest.raises(ValueError, match="leaves must hold"):
            model.contributions(wrong)
    with pytest.raises(ValueError, match="role is 'host'"):
        ran.outcome("host").models["gradient_boosting"].scores_of(leaves)


# ------------------------------------------------------------------------------------------------------------ languages
@pytest.mark.parametrize("role", HOME)
def test_both_languages_have_the_same_figures_and_no_other_words(ran, role):
    def numbers(lang):
        return sorted(re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", ran.pages[role, lang].text()))

    assert numbers("en") == numbers("zh")
    findings = ran.result[role]["findings"]
    given = (*findings, "bluetusk evidence verify", "openmined-psi")
    left = [said for said in ran.pages[role, "zh"].shown if ENGLISH.search(said)]
    assert [said for said in left if not any(each in said for each in given)] == []


def test_one_bin_is_flagged_at_each_side(opened):
    for role, column in (("guest", "flat"), ("host", "still")):
        ((head, *rows),) = opened.pages[role, "en"].section("Columns")
        marked = [row[0] for row in rows if row[head.index("remark")] == "one bin"]
        assert column in marked
        assert column in opened.pages[role, "en"].text().partition("which say nothing in the regression:")[2]


def test_unseen_values_are_counted(closed):
    """The report counts them; which they are stands on the screen."""
    _, outcome, result, _ = closed.given["guest"]
    spoiled = [each.copy() for each in outcome.rows.values]
    place = outcome.rows.names.index("SEX")
    spoiled[place][outcome.order[outcome.test][:3]] = "of nobody"
    rows = SimpleNamespace(**{**vars(outcome.rows), "values": spoiled})
    changed = SimpleNamespace(**{**vars(outcome), "rows": rows})
    assert reporting._unseen(reporting.Words("en"), changed) != reporting._unseen(reporting.Words("en"), outcome)
    n = result["intersection"]
    assert f"SEX: 3 of {n:,} values are of categories, or gaps, that no training row has." in reporting._unseen(
        reporting.Words("en"), changed
    )


def test_a_run_that_has_ended_keeps_its_course(closed, monkeypatch):
    """Started again for a report in Chinese, it sends nothing; when it ran, how long and what it sent stay the same."""
    monkeypatch.setenv("BLUETUSK_PASSPHRASE", SECRET)
    before = dict(closed.result)
    outputs = {role: closed.folder / HOME[role] / "output" for role in HOME}
    scores = (outputs["guest"] / "scores.csv").read_bytes()
    written = {role: json.loads((outputs[role] / "result.json").read_text()) for role in HOME}
    for name in HOME.values():
        path = closed.folder / name / "party.toml"
        path.write_text('lang = "zh"\n' + path.read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sides = [threading.Thread(target=closed.side, args=(role,), daemon=True) for role in HOME]
        for side in sides:
            side.start()
        for side in sides:
            side.join(120)
    assert closed.errors == []
    assert (outputs["guest"] / "scores.csv").read_bytes() == scores
    for role in HOME:
        again = closed.result[role]
        for name in again:
            assert name == "evidence" or again[name] == before[role][name] == written[role][name]
        page = Page((outputs[role] / "report.html").read_text())
        assert f"{again['bytes']['sent']:,}; {again['bytes']['received']:,}" in page.text()
        assert again["bytes"]["sent"] > 0
        assert again["date"][:16].replace("T", " ") in page.text()
    closed.result.update(before)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"job": "j"}', '{"job": 1, "role": "guest", "date": 1, "stages": {"a": 1}, "bytes": 1}']
)
def test_a_result_that_is_damaged_or_anothers_is_not_used(tmp_path, text):
    path = tmp_path / "result.json"
    config = SimpleNamespace(job="j", role="guest")
    assert _run._course(path, config) == {}
    path.write_text(text)
    assert _run._course(path, config) == {}
    whole = {"date": "2026-12-01T05:00:00Z", "stages": {"a": {"seconds": 1.0, "bytes": 2}}}
    whole |= {"bytes": {"sent": 3, "received": 4}, "recovery": {}}
    path.write_text(json.dumps(whole | {"job": "j", "role": "guest"}))
    assert _run._course(path, config) == whole
    path.write_text(json.dumps(whole | {"job": "k", "role": "guest"}))
    assert _run._course(path, config) == {}


def test_points_of_both_parties_are_the_score(opened):
    """The host's part of the intercept was left out: the sum was off by some points, the same for every customer."""
    total = 0.0
    for role in HOME:
        outcome, card = opened.outcome(role), opened.result[role]["scorecard"]
        by = {}
        for row in card["rows"]:
            by.setdefault(row["column"], []).append(row["points"])
        total = total + by.pop("base")[0]
        for each, values in reporting._own(outcome, outcome.order[outcome.test]):
            total = total + np.append(by[each.name], 0.0)[each.codes(values)]
        base = f"Base points of every customer, from this party: {card['rows'][0]['points']:.1f}."
        assert base in opened.pages[role, "en"].text()
    guest = opened.outcome("guest")
    z = guest.ranks["logistic_regression"]
    assert abs((total - (600 - 20 / np.log(2) * (z + np.log(50)))).mean()) < 0.4  # the scores are rounded at random
    # the scale by the probabilities of the report: what 600 points mean there, and 20 more
    card, found = opened.result["guest"]["scorecard"], guest.models["logistic_regression"]
    at, more = (-np.log(50 * 2 ** (k / 20)) for k in (0, card["calibrated_points_to_double"]))
    odds = [(1 - p) / p for p in found.probability(np.array([at, more]))]
    assert odds == pytest.approx([card["calibrated_base_odds"], 2 * card["calibrated_base_odds"]])
    assert f"are odds of {_rounded(card['calibrated_base_odds'])} to 1" in opened.pages["guest", "en"].text()
    assert "calibrated_base_odds" not in opened.result["host"]["scorecard"]
