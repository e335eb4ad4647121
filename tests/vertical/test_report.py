"""The report is whole, self-contained and escaped, and its figures are those of the data."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from bluetusk.vertical import WoEBinning, evaluation, write_report


class Page(HTMLParser):
    """Checks that tags nest, and collects what a browser would load and show."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.shown, self.tags = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and data.strip():
            self.shown.append(data.strip())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    rng = np.random.default_rng(1)
    p = rng.beta(1, 3, size=500)
    y = (rng.random(500) < p).astype(int)
    x = np.stack([p + 0.1 * rng.normal(size=500), rng.normal(size=500)], axis=1)
    bins = WoEBinning("guest", min_rows=40).fit(x, y, columns=["good", "<script>alert(1)</script>"])
    card = evaluation.scorecard(bins, [1.0, 0.5], -1.0)
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(
        path,
        y,
        {"joint": p, "alone & weak": 0.5 * p + 0.25},
        title="A <b>model</b>",
        reference=rng.beta(1, 3, size=700),
        bins=bins.table(),
        coefficients=[{"party": "guest", "column": f"c{k}", "value": (-1) ** k * k} for k in range(40)],
        importances=[{"party": "host", "column": "x0", "value": 1.0}],
        points=card.table(),
        facts={"parties": ["bank", "network"], "rows": 1234567, "seconds": 12.345678},
        evidence={"records": 214, "verified": True},
    )
    return path, Page(path.read_text()), y, p


def test_bins_without_weights_are_listed_with_their_rows(made, tmp_path):
    """A host knows its bins and no statistic of the labels."""
    _, _, y, p = made
    row = {"party": "host", "column": "AGE", "events": None, "woe": None, "iv": None}
    write_report(
        tmp_path / "report.html", y, {"joint": p}, bins=[{**row, "bin": f"bin {k}", "rows": 1200 + k} for k in (0, 1)]
    )
    page = Page((tmp_path / "report.html").read_text())
    assert "1,201" in page.shown
    assert "Information values" not in page.shown
    at = page.shown.index("bin 0")
    assert page.shown[at : at + 4] == ["bin 0", "1,200", "bin 1", "1,201"]
    assert "None" not in " ".join(page.shown)


def test_nothing_is_loaded_and_nothing_runs(made):
    path, page, _, _ = made
    assert "script" not in page.tags
    text = path.read_text()
    assert page.loads  # a chart's parts refer to each other
    assert all(load.startswith("#") for load in page.loads)
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert drawings
    for each in drawings:
        assert ElementTree.fromstring(each).tag.endswith("svg")
    named = re.findall(r'\bid="([^"]*)"', text)
    assert len(set(named)) == len(named), "two elements of the page have one name: a chart would show another's part"
    assert {load[1:] for load in page.loads} <= set(named)
    assert set(re.findall(r"url\((.*?)\)", text)) <= {f"#{name}" for name in named}
    assert not re.search(r"@import|https?:", re.sub(r"http://www\.w3\.org/[a-z0-9/]*", "", text))
    assert path.stat().st_mode & 0o777 == 0o600


def test_names_are_escaped(made):
    _, page, _, _ = made
    assert "A <b>model</b>" in page.shown
    assert "<script>alert(1)</script>" in page.shown
    assert "b" in page.tags  # our own


def test_figures_are_those_of_the_data(made):
    _, page, y, p = made
    area = f"{roc_auc_score(y, p):.4f}"
    assert area in page.shown
    (low, high), (least, most) = evaluation.auc_interval(y, p), evaluation.ks_interval(y, p)
    distance = ks_2samp(p[y == 1], p[y == 0]).statistic
    at = page.shown.index(area)
    assert page.shown[at - 1 : at + 2] == ["joint", area, f"({low:.3f}–{high:.3f})"]
    assert [f"{distance:.4f}", f"({least:.3f}–{most:.3f})"] in [page.shown[k : k + 2] for k in range(at, at + 8)]
    assert f"{np.mean((p - y) ** 2):.4f}" in page.shown[at : at + 12]
    bad = y[np.argsort(p)[:400]]
    assert page.shown[page.shown.index("80.0 %") + 2] == f"{100 * bad.mean():.1f} %"
    for text in ("7. Bins and scorecard", "alone & weak", "1,234,567", "36 of 43 columns are listed, those with the"):
        assert any(each.startswith(text) for each in page.shown), text
    assert {"bank, network", "12.35", "214", "yes"} <= set(page.shown)


def test_equal_input_gives_equal_bytes_and_a_short_report_works(tmp_path):
    y, p = np.array([0, 1, 0, 1]), np.full(4, 0.5)
    for name in ("a", "b"):
        write_report(tmp_path / name, y, {"joint": p})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "0.5000" in Page((tmp_path / "a").read_text()).shown


@pytest.mark.parametrize(
    ("models", "message"),
    [({}, "empty"), ({"a": [0.1, 1.2]}, "probabilities"), ({"a": [0.1, 0.2], "b": [0.1]}, "'b'")],
)
def test_wrong_calls(tmp_path, models, message):
    with pytest.raises(ValueError, match=message):
        write_report(tmp_path / "r", [0, 1], models)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        (np.ma.array([0.1, 0.2], mask=[0, 1]), TypeError, " is masked"),
        ([0.1, np.ma.masked], TypeError, r"\[1\] is masked"),
        (["0.1", "0.2"], TypeError, " must hold integers or floats"),
        ([0.1, float("nan")], ValueError, r"\[1\] is NaN or infinite"),
    ],
)
def test_scores_of_a_report_are_finite_real_numbers(tmp_path, scores, error, message):
    with pytest.raises(error, match=rf"^models\['a'\]{message}"):
        write_report(tmp_path / "r", [0, 1], {"a": scores})
    with pytest.raises(error, match=f"^reference{message}"):
        write_report(tmp_path / "r", [0, 1], {"a": [0.1, 0.2]}, reference=scores)
    assert not (tmp_path / "r").exists()
