"""The report is whole, self-contained and escaped, and its figures are those of the data, in both languages."""

from __future__ import annotations

import re
import string
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from bluetusk import _inspect
from bluetusk.vertical import WoEBinning, evaluation, write_report
from bluetusk.vertical.evaluation import decisions
from bluetusk.vertical.evaluation.report import write_host_report
from bluetusk.vertical.evaluation.words import LANGUAGES, TEXTS, Words, language


class Page(HTMLParser):
    """Checks that tags nest, and collects what a browser would load and show, and the tables of each section."""

    VOID = ("meta", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.shown, self.tags, self.ids = [], [], [], [], []
        self.tables, self._title = [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.loads += [
            value for name, value in attrs if name in ("src", "srcset", "action", "data", "href", "xlink:href")
        ]
        self.ids += [given["id"]] if "id" in given else []
        if tag in ("h2", "h3"):
            self._title = (self._title.split("/")[0] if tag == "h3" else "", "")[0]
        if tag == "table":
            self.tables.append((self._title, []))
        if tag == "tr":
            self.tables[-1][1].append([])
        if tag in ("td", "th"):
            self.tables[-1][1][-1].append("")
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        if data.strip():
            self.shown.append(data.strip())
        if self.open[-1:] and self.open[-1] in ("h2", "h3"):
            self._title += data if self.open[-1] == "h2" else f"/{data}"
        if {"td", "th"} & set(self.open) and "svg" not in self.open:
            self.tables[-1][1][-1][-1] += data

    def text(self):
        return " ".join(self.shown)

    def section(self, title):
        """Return the tables under a title, each as a list of rows."""
        return [rows for named, rows in self.tables if title in named.split("/")[0]]


HOSTILE = ("<script>alert(1)</script>", "a\u202eb\u2066", "=cmd|' /C calc'!A0", '"><img src=x onerror=alert(1)>', "`x`")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    p = rng.beta(1, 3, size=500)
    y = (rng.random(500) < p).astype(int)
    x = np.stack([p + 0.1 * rng.normal(size=500), *rng.normal(size=(4, 500)), np.ones(500)], axis=1)
    bins = WoEBinning("guest", min_rows=40).fit(x, y, columns=[*HOSTILE, "one"])
    given = {
        "y": y,
        "models": {"joint": p, "alone & weak": np.clip(0.5 * p + 0.25 + 0.2 * rng.normal(size=500), 0, 1)},
        "reference": rng.beta(1, 3, size=700),
        "bins": bins.table(),
        "coefficients": [{"party": "guest", "column": f"c{k}", "value": (-1) ** k * k} for k in range(40)],
        "importances": [{"party": "host", "column": None, "value": 0.75}],
        "stability": [{"party": "guest", "column": HOSTILE[0], "value": 0.123}],
        "points": evaluation.scorecard(bins, [1.0, 0.5, 0.1, 0.1, 0.1, 0.0], -1.0).table(),
        "scale": {"points_to_double": 20.0, "base_score": 600.0, "base_odds": 50.0},
        "reasons": {"joint": decisions.reasons([[0.2, -0.1], [0.1, 0.3]], HOSTILE[:2])},
        "facts": {"parties": ["bank", "network"], "rows": 1234567, "seconds": 12.345678},
        "settings": {"trees": 10, HOSTILE[0]: HOSTILE[1]},
        "shown": [
            {"task": "woe-binning", "sums": 280, "bits": 0, "values": 7},
            {"task": "<b>", "sums": 1, "bits": 2, "values": 3},
        ],
        "learned_by_peer": {"sums": 4321, "bits": 98765},
        "warnings": [f"a finding about {each}" for each in HOSTILE],
        "evidence": {"records": 214, "verified": True},
    }
    return given, p


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    given, p = data
    folder = tmp_path_factory.mktemp("report")
    for lang in LANGUAGES:
        write_report(folder / lang, title="A <b>model</b>", lang=lang, **given)
    path = folder / "en"
    return path, Page(path.read_text()), given["y"], p


def test_bins_without_weights_are_listed_with_their_rows(made, tmp_path):
    """A host knows its bins and no statistic of the labels."""
    _, _, y, p = made
    row = {"party": "host", "column": "AGE", "events": None, "woe": None, "iv": None}
    bins = [{**row, "bin": f"bin {k}", "rows": 1200 + k} for k in (0, 1)]
    write_report(tmp_path / "guest", y, {"joint": p}, bins=bins)
    write_host_report(tmp_path / "host", bins=bins, shown=[])
    for name in ("guest", "host"):
        page = Page((tmp_path / name).read_text())
        (mini,) = page.section("Bins")
        assert mini == [["bin", "rows"], ["bin 0", "1,200"], ["bin 1", "1,201"]]
        ((head, row_of),) = page.section("Columns")
        assert (head, row_of) == (["column", "bins"], ["AGE", "2"])
        assert "None" not in page.text()


def test_nothing_is_loaded_and_nothing_runs(made):
    path, page, _, _ = made
    assert not {"script", "img", "iframe", "link", "details", "object", "form", "base"} & set(page.tags)
    assert all(load.startswith("#") for load in page.loads)  # parts of the same drawing
    assert {load[1:] for load in page.loads} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)  # drawings on one page share no names
    whole = path.read_text()
    assert page.loads
    for drawing in re.findall(r"<svg.*?</svg>", whole, re.DOTALL):
        assert ElementTree.fromstring(drawing).tag.endswith("svg")
    assert set(re.findall(r"url\((.*?)\)", whole)) <= {f"#{name}" for name in page.ids}
    assert "default-src 'none'" in whole
    assert not re.search(r"@import|https?://(?!www\.w3\.org)", whole)
    assert path.stat().st_mode & 0o777 == 0o600


def test_text_stays_text_and_fonts_of_chinese_are_named(made):
    """All words stand in the page, in the reader's fonts; the drawings hold numbers, as text."""
    path, page, _, _ = made
    whole = path.with_name("zh").read_text()
    assert '<html lang="zh-CN">' in whole
    for font in ("PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", "WenQuanYi Micro Hei", "SimHei"):
        assert f'"{font}"' in whole or f"{font}," in whole
    for drawing in re.findall(r"<figure>.*?<svg xmlns.*?</svg>", whole, re.DOTALL):
        inner = drawing.partition("<svg")[2]
        numbers = re.findall(r"<text[^>]*>([^<]*)</text>", inner)
        assert len(numbers) > 5
        assert all(re.fullmatch(r"[\d.\u2212]+", each) for each in numbers)
    assert whole.count("<svg xmlns") == path.read_text().count("<svg xmlns") == page.tags.count("figure")


def test_every_chart_says_which_model_it_shows(made):
    path, _, _, _ = made
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", path.read_text())
    assert len(captions) == 6
    for caption in captions:
        assert caption.startswith(("<bdi>joint</bdi>: ", "All models: "))
    keys = re.findall(r'<div class="keys">(.*?)</div>', path.read_text())
    for caption, key in zip(captions, keys, strict=True):
        if caption.startswith("All models"):
            assert re.findall(r"<bdi>(.*?)</bdi>", key) == ["joint", "alone &amp; weak"]
        if "calibration" in caption:
            assert "alone &amp; weak" in key  # that of both


@pytest.mark.parametrize("lang", LANGUAGES)
def test_names_are_escaped(made, lang):
    path, _, _, _ = made
    whole = path.with_name(lang).read_text()
    page = Page(whole)
    for name in HOSTILE:
        shown = name.translate({0x202E: "[U+202E]", 0x2066: "[U+2066]"})
        assert shown in page.shown, name
    assert not {"\u202e", "\u2066"} & set(whole)
    assert "A <b>model</b>" in page.shown
    assert "<img" not in whole
    assert f"a finding about {HOSTILE[0]}" in page.shown


def test_figures_are_those_of_the_data(made, data):
    _, page, y, p = made
    given, _ = data
    alone = given["models"]["alone & weak"]
    area = f"{roc_auc_score(y, p):.4f}"
    gain, (least, most) = evaluation.auc_gain(y, p, alone)
    (tile,) = [k for k, said in enumerate(page.shown) if said == "Gain in AUC:"]
    assert page.shown[tile + 1 : tile + 4] == ["joint", f"{gain:+.4f}", f"95 %: {least:+.3f} to {most:+.3f}"]
    assert f"AUC {area} instead of {roc_auc_score(y, alone):.4f}. The gain of {gain:+.4f} has" in page.text()
    ((_, first, second),) = page.section("Models on the same test rows")
    (low, high), (below, above) = evaluation.auc_interval(y, p), evaluation.ks_interval(y, p)
    assert first[:3] == ["joint", f"{area} ({low:.3f}–{high:.3f})", f"{gain:+.4f} ({least:+.3f} to {most:+.3f})"]
    assert first[3] == f"{ks_2samp(p[y == 1], p[y == 0]).statistic:.4f} ({below:.3f}–{above:.3f})"
    assert first[4] == f"{np.mean((p - y) ** 2):.4f}"
    assert first[5].startswith(f"{evaluation.stability_index(given['reference'], p):.4f} (by chance ")
    assert second[0] == "alone & weak"
    ((_, *rows),) = page.section("Cut-offs")
    found = evaluation.cutoffs(y, p)
    assert len(rows) == len(found) == 7
    for row, each in zip(rows, found, strict=True):
        (other,) = evaluation.cutoffs(y, alone, [each["approved"]])
        assert row[0] == f"{100 * each['approved']:.1f} %"
        assert ((p <= float(row[1])) == (p <= each["cutoff"])).all()  # also as it is printed
        assert float(row[1]) == pytest.approx(each["cutoff"], abs=1e-4)
        assert row[2:4] == [f"{100 * each['rate']:.1f} %", f"{100 * other['rate']:.1f} %"]
        assert row[4:] == [f"{each[f'bad_{k}']} + {each[f'good_{k}']}" for k in ("approved", "refused")]
    ((_, *rows),) = page.section("Swap set")
    swapped = evaluation.swap_set(y, p, alone)
    assert [row[1:3] for row in rows] == [[str(g["rows"]), str(g["events"])] for g in swapped.values()]
    ((_, *rows),) = page.section("Tenths")
    assert [row[5] for row in rows] == [f"{value:.2f}" for value in evaluation.lift(y, p)[1]]
    ((_, *rows),) = page.section("Reason codes")
    assert [row[1] for row in rows] == ["50.0 %", "50.0 %"]
    ((_, *rows), *_) = page.section("The run")
    assert rows == [["rows", "1,234,567"], ["seconds", "12.35"]]
    for text in ("bank, network", "214", "yes", "+0.7500"):
        assert (text in page.shown) == (text != "+0.7500")


def test_columns_points_and_what_was_seen(made):
    _, page, _, _ = made
    ((head, *rows),) = page.section("Columns")
    at = {name: k for k, name in enumerate(head)}
    by = {row[0]: row for row in rows}
    assert by[HOSTILE[0]][at["PSI"]] == "0.1230"
    assert by["one"][at["remark"]] == "one bin"
    assert "Columns with one bin, which say nothing in the regression: one ." in page.text()
    assert len(rows) == 36
    assert "36 of 47 columns are listed" in page.text()
    assert "600 points at odds of 50 to 1 against the event; 20 points double the odds (PDO)" in page.text()
    assert "Base points of every customer" in page.text()
    ((_, *rows),) = page.section("What each side has seen")
    assert rows == [["bin columns", "280", "0", "7"], ["<b>", "1", "2", "3"], ["total", "281", "2", "10"]]
    assert "at most 4,321 sums and 98,765 bits" in page.text()
    assert "Reject inference: all rows are customers whose outcome is known" in page.text()


def test_both_languages_have_the_same_figures(made):
    """Only words differ: every number of one page is in the other, as often."""
    path, _, _, _ = made

    def numbers(lang):
        found = Page(path.with_name(lang).read_text()).text().replace("×", " ")
        return sorted(re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", found))

    assert len(numbers("en")) > 400
    assert numbers("en") == numbers("zh")


ENGLISH = re.compile(r"(?:\b[A-Za-z][a-z']+[ ,.;:]+){2,}[a-z]+")  # three words in a row


def test_no_english_sentence_is_left_in_chinese(made):
    path, _, _, _ = made
    page = Page(path.with_name("zh").read_text())
    as_given = {"bluetusk evidence verify", *(each for each in page.shown if each.startswith("a finding about "))}
    left = [said for said in page.shown if ENGLISH.search(said) and said not in as_given]
    assert left == []
    assert any(ENGLISH.search(said) for said in Page(path.read_text()).shown)  # the search finds some


def test_each_text_is_there_in_both_languages():
    for key, (english, chinese) in TEXTS.items():
        assert english.strip(), key
        assert chinese.strip(), key
        fields = [
            sorted(name for _, name, _, _ in string.Formatter().parse(each) if name) for each in (english, chinese)
        ]
        assert fields[0] == fields[1], key
        if len(english.split()) > 3:
            assert re.search("[\u4e00-\u9fff]", chinese), key
            assert not ENGLISH.search(re.sub("`.*?`", "", chinese)), key
        assert not re.search("[\u4e00-\u9fff]", english), key


def test_each_text_is_used():
    source = "".join(
        path.read_text()
        for folder in ("evaluation", "party")
        for path in (Path(evaluation.__file__).parents[1] / folder).glob("*.py")
        if path.name != "words.py"
    )
    source += "'percent'"  # by Words itself
    families = ("task.", "model.", "not.", "evidence.", "chart.", "gain.", "swap.", "party.")  # keys put together
    assert [
        key for key in TEXTS if not re.search(rf"""["']{re.escape(key)}["']""", source) and not key.startswith(families)
    ] == []


def test_languages():
    with pytest.raises(ValueError, match="lang must be 'en' or 'zh', not 'de'"):
        Words("de")
    for given, environ, want in (
        ("en", {"LANG": "zh_CN.UTF-8"}, "en"),
        (None, {"LANG": "zh_TW"}, "zh"),
        (None, {"LC_MESSAGES": "zh-CN", "LANG": "en_US"}, "zh"),
        (None, {"LC_ALL": "zha_CN"}, "en"),
        (None, {}, "en"),
    ):
        assert language(given, environ) == want


@pytest.mark.parametrize("lang", LANGUAGES)
def test_inspect_recognises_it(made, tmp_path, lang):
    path, _, _, _ = made
    write_host_report(tmp_path / "host", lang=lang)
    for each in (path.with_name(lang), tmp_path / "host"):
        assert dict(_inspect.describe(each))["kind"] == "REPORT"


@pytest.mark.parametrize(
    ("score", "lang"),
    [("constant", "zh"), ("tied", "en"), ("inverted", "en"), ("certain", "zh"), ("joint only", "en")],
)
def test_scores_at_the_edge(tmp_path, score, lang):
    """One score for all, three for all, the wrong way round, 0 and 1, no model to compare with; tenths of one label."""
    y = np.repeat([0, 1], [60, 20])
    p = {
        "constant": np.full(80, 0.25),
        "tied": np.arange(80) % 3 / 4,
        "inverted": np.linspace(0.9, 0.1, 80),
        "certain": y.astype(float),
        "joint only": np.linspace(0.1, 0.9, 80),
    }[score]
    models = {"joint": p} if score == "joint only" else {"joint": p, "alone": np.linspace(0.2, 0.8, 80)}
    write_report(tmp_path / "r", y, models, lang=lang, reference=p, reasons={"joint": "no reasons"})
    page = Page(_read(tmp_path))
    assert "nan" not in page.text()
    assert "inf" not in page.text().replace("inference", "")
    assert f"{roc_auc_score(y, p):.4f}" in page.text()
    if score == "inverted" and lang == "en":
        assert "separates worse than" in page.text()
        assert "below 0." in page.text()
    assert ("Swap set" in page.text()) == (lang == "en" and score != "joint only")


def test_one_column_with_one_bin(tmp_path):
    y = np.arange(40) % 2
    bins = WoEBinning("guest", min_rows=10).fit(np.ones((40, 1)), y, columns=["only"]).table()
    write_report(tmp_path / "r", y, {"joint": np.linspace(0.1, 0.9, 40)}, bins=bins)
    ((head, row),) = Page(_read(tmp_path)).section("Columns")
    assert dict(zip(head, row, strict=True)) == {
        "column": "only",
        "bins": "1",
        "IV": "0.000",
        "": "",
        "remark": "one bin",
    }


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


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"lang": "fr"}, "lang must be"),
        ({"baseline": "b"}, "baseline is 'b'"),
        ({"baseline": "a"}, "baseline is 'a'"),
        ({"ranks": {"b": [1, 2]}}, "ranks names 'b'"),
        ({"ranks": {"a": [1, 2, 3]}}, r"ranks\['a'\] must hold 2 values"),
        ({"reference": {"b": [0.1]}}, "reference names 'b'"),
        ({"reasons": {"b": "none"}}, "reasons names 'b'"),
    ],
)
def test_wrong_options(tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        write_report(tmp_path / "r", [0, 1], {"a": [0.1, 0.2]}, **more)
    assert not (tmp_path / "r").exists()


# -------------------------------------------------------------------------------------------------- misleading figures
def test_edges_of_dates_and_amounts_are_whole(tmp_path):
    """Dates as numbers and amounts of millions: shortened to four digits both edges of a bin were "2.024e+07"."""
    n = 600
    months = 202401 + np.arange(n) % 12 + 0.5
    days = 20240101.0 + np.arange(n) % 28 + 100 * (np.arange(n) % 12)
    small = 1234.01 + np.arange(n) / 1e4
    x, y = np.stack([months, days, days + 1.7e9, small], axis=1), np.arange(n) % 3 == 0
    bins = WoEBinning("guest", max_bins=5).fit(x, y, columns=["month", "day", "epoch", "small"])
    write_report(tmp_path / "r", y, {"joint": np.linspace(0.1, 0.9, n)}, bins=bins.table())
    shown = [[row[0].strip("[()").split(", ") for row in rows] for _, *rows in Page(_read(tmp_path)).section("Bins")]
    for each in bins.bins_:
        edges = each.edges.tolist()
        found = [[float(high) for _, high in ends[:-1]] for ends in shown]
        assert pytest.approx(edges, rel=1e-5 if each.name == "small" else 1e-12) in found
    for ends in shown:
        assert not any("e" in text for pair in ends for text in pair)
        assert all(float(low) < float(high) for low, high in ends)


def _read(folder):
    return (folder / "r").read_text()


def test_a_category_called_others_keeps_its_points(tmp_path):
    many = [90, 90, 30, 30, 60, 50]
    x = np.array([["others"], ["a"], ["rare"], ["rarer"], ["missing"], [None]], object)[np.repeat(np.arange(6), many)]
    y = np.arange(len(x)) % 5 < np.repeat([1, 2, 3, 3, 2, 1], many)
    bins = WoEBinning("guest", min_rows=50, categorical=["c"]).fit(x, y, columns=["c"])
    table = evaluation.scorecard(bins, [1.0]).table()
    assert len({row["bin"] for row in table}) == len(table) == bins.bins_[0].n_bins
    for lang in LANGUAGES:
        p = np.linspace(0.1, 0.9, len(y))
        write_report(tmp_path / lang, y, {"joint": p}, bins=bins.table(), points=table, lang=lang)
        ((_, *rows),) = Page((tmp_path / lang).read_text()).section({"en": "Bins", "zh": "分箱"}[lang])
        assert [row[-1] for row in rows] == [f"{row['points'] + 0.0:+.1f}" for row in table]
        assert {'"others"', '"missing"'} <= {row[0] for row in rows}


@pytest.mark.parametrize("alone", ["two scores", "one score"])
def test_shares_that_equal_scores_move_are_told(tmp_path, alone):
    """The bank alone approves 63 %, or all, where 80 % are asked for: its bad rate is not one at 80 %."""
    rng = np.random.default_rng(5)
    z = rng.normal(size=1000)
    y = rng.random(1000) < 1 / (1 + np.exp(2 - z))
    p = 1 / (1 + np.exp(2 - z))
    other = np.where(z > 0.3, 0.1, 0.02) if alone == "two scores" else np.full(1000, 0.05)
    share = 100.0 if alone == "one score" else 100 * float((z <= 0.3).mean())
    for lang, told in (("en", f"at {share:.0f} % approved"), ("zh", f"通过率为 {share:.0f}%")):
        write_report(tmp_path / lang, y, {"joint": p, "alone": other}, lang=lang)
        page = Page((tmp_path / lang).read_text())
        assert told in page.text()
        told = Words(lang)("swap.uneven", ours=Words(lang).percent(0.8), theirs=Words(lang).percent(share / 100))
        assert told in page.text()
    ((_, *rows),) = Page((tmp_path / "en").read_text()).section("Cut-offs")
    assert all("% approved)" in row[3] for row in rows[:1])


def test_rare_events_are_not_rounded_to_0(tmp_path):
    n = 40_000
    p = np.linspace(1e-5, 1e-3, n)
    y = np.zeros(n, int)
    y[:: n // 20] = 1
    write_report(tmp_path / "r", y, {"joint": p})
    page = Page(_read(tmp_path))
    assert "bad rate 0.050 %" in page.text()
    ((_, *rows),) = page.section("Cut-offs")
    for row, each in zip(rows, evaluation.cutoffs(y, p), strict=True):
        assert int((p <= float(row[1])).sum()) == each["good_approved"] + each["bad_approved"]
        assert float(row[2].split()[0]) > 0
    ((_, *rows),) = page.section("Tenths")
    assert all(float(row[6]) > 0 for row in rows)


def test_no_name_makes_the_report_longer(tmp_path):
    """Names of 5000 letters in warnings, bins and the list of columns of one bin are cut."""
    names = [f"{k}" + "x" * 5000 for k in range(12)]
    x = np.ones((200, 12))
    y = np.arange(200) % 4 == 0
    bins = WoEBinning("guest", min_rows=40).fit(x, y, columns=names)
    warned = [f"the column {name} is odd" for name in names]
    write_report(tmp_path / "r", y, {"joint": np.linspace(0.1, 0.9, 200)}, bins=bins.table(), warnings=warned)
    assert max(map(len, Page(_read(tmp_path)).shown)) <= 400


def test_wide_names_of_categories_may_break(tmp_path):
    """Sixteen Chinese characters, or a bidi control told by its number, on one line ran out of the table in print."""
    wide, hidden = "个体工商户及小微企业主客户群体", "a\u202eb\u2066cd"
    x = np.array([[wide], [hidden], ["rent"]], object)[np.arange(300) % 3]
    y = np.arange(300) % 4 == 0
    bins = WoEBinning("guest", min_rows=40, categorical=["c"]).fit(x, y, columns=["c"])
    write_report(tmp_path / "r", y, {"joint": np.linspace(0.1, 0.9, 300)}, bins=bins.table())
    kept = re.findall(r'<span class="line"><bdi>(.*?)</bdi>', _read(tmp_path))
    assert kept == ["rent"]
