"""Files as people have them: each is read as it is meant, or refused with its cause and a line that repairs it."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bluetusk import _toml, cli
from bluetusk.cli.evidence import _words
from bluetusk.cli.party_init import PLACEHOLDER
from bluetusk.vertical import read_columns
from bluetusk.vertical.party.config import Config
from bluetusk.vertical.party.rows import Rows
from bluetusk.vertical.party.scoring import Scoring, _refuse_twice, _same_dates
from bluetusk.vertical.tables.advice import setting_lines
from bluetusk.vertical.tables.files import File
from bluetusk.vertical.tables.profile import ColumnProfile, describe

NAN = float("nan")
HEAD = """job = "j"
evidence = "none"
halves = "open"
certificate = "a.cert.pem"
key = "a.key.pem"
peer_certificate = "b.cert.pem"
connect = "localhost:1"
"""


def table(head: str = "id,y,a", rows: tuple[str, ...] = ("A1,0,1", "A2,1,2", "A3,0,3"), end: str = "\n") -> str:
    return end.join([head, *rows]) + end


def col(*cells: str) -> str:
    return table(rows=tuple(f'A{i},{i % 2},"{cell}"' for i, cell in enumerate(cells)))


def rows_of(folder: Path, content: str | bytes, name: str = "f.csv", role: str = "guest", lines: str = "") -> Rows:
    """Read a file by a configuration on disk, as a run does."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    label = 'label = "y"\n' if role == "guest" and "label = " not in lines else ""
    toml = f'role = "{role}"\n{HEAD}[data]\nfile = "{name}"\n{label}{lines}\n'
    (folder / "party.toml").write_text(toml, encoding="utf-8")
    return Rows.read(Config.load(folder / "party.toml"))


def plain(rows: Rows) -> list[list[Any]]:
    return [[None if v is None or v != v else v for v in values.tolist()] for values in rows.values]


_xlsx = io.BytesIO()
with zipfile.ZipFile(_xlsx, "w") as _zip:
    _zip.writestr("[Content_Types].xml", "<x/>")
CHINESE = table("id,y,职业", ("A1,0,教师", "A2,1,医生"))

# name, content, what is read of the first column, further arguments of rows_of
READ = [
    ("byte order mark", "\ufeff" + table(), [1, 2, 3], {}),
    ("blank line", "id,y,a\nA1,0,1\n\nA2,1,2\n", [1, 2], {}),
    ("UTF-8 Chinese", CHINESE, ["教师", "医生"], {}),
    ("labels 0.0 and 1.0", table(rows=("A1,0.0,1", "A2,1.0,2")), [1, 2], {}),
    ("CRLF", table(end="\r\n"), [1, 2, 3], {}),
    ("mixed line ends", b"id,y,a\r\nA1,0,1\nA2,1,2\r\n", [1, 2], {}),
    ("CR only", table(end="\r"), [1, 2, 3], {}),
    ("long cell", col("x" * 10**5, "y"), ["x" * 10**5, "y"], {}),
    ("a dot is a decimal mark", col("1.169", "2.000"), [1.169, 2], {}),
    ("scientific", col("1e3", "1.5E-2"), [1000, 0.015], {}),
    ("nan", col("nan", "2"), [None, 2], {}),
    ("long integer declared", col("9007199254740993", "2"), [2**53, 2], {"lines": 'numeric = ["a"]'}),
    ("negative zero", col("-0", "0"), [0, 0], {}),
    ("blanks at numbers", col("1 ", " 2"), [1, 2], {}),
    ("blanks at texts", col("x ", "x", "\u3000x"), ["x", "x", "x"], {}),
    ("no-break blanks at texts", col("x\u00a0", "x"), ["x", "x"], {}),
    ("leading zeros declared", col("007", "012"), ["007", "012"], {"lines": 'text = ["a"]'}),
    ("dates declared text", col("2026-11-01", "x"), ["2026-11-01", "x"], {"lines": 'text = ["a"]'}),
    ("all missing", col("", "NA"), [None, None], {}),
    ("texts with digits", col("1-2 years", "Unit 3", "A-12"), ["1-2 years", "Unit 3", "A-12"], {}),
    ("bands", col("0-5%", "5-10%", ">10%"), ["0-5%", "5-10%", ">10%"], {}),
    ("a few amounts among words", col("none", "other", "1,200"), ["none", "other", "1,200"], {}),
    ("eight digits, no dates", col("20261399", "20261101"), [20261399, 20261101], {}),
    ("a name of blanks, unused", "id,y,a,\nA1,0,1,5\nA2,1,2,6\n", [1, 2], {"lines": 'columns = ["a"]'}),
    ("UTF-16 declared", table().encode("utf-16"), [1, 2, 3], {"lines": 'encoding = "utf-16"'}),
    ("GBK declared", CHINESE.encode("gbk"), ["教师", "医生"], {"lines": 'encoding = "GBK"'}),
    ("one column", "id\nA1\nA2\n", None, {"role": "host"}),
    ("no column for the models", "id,y\nA1,0\nA2,1\n", None, {}),
    ("columns = []", table(), None, {"lines": "columns = []"}),
]


@pytest.mark.parametrize(("content", "first", "more"), [case[1:] for case in READ], ids=[case[0] for case in READ])
def test_is_read(tmp_path: Path, content: str | bytes, first: list[Any] | None, more: dict[str, Any]) -> None:
    rows = rows_of(tmp_path, content, **more)
    assert plain(rows)[:1] == ([] if first is None else [first])
    assert rows.labels is None if more.get("role") == "host" else rows.labels.tolist()[:2] == [0, 1]


def test_ids_keep_their_digits(tmp_path: Path) -> None:
    for ids in (["007", "008"], ["1e5", "100000"]):
        text = table(rows=tuple(f"{each},{k},{k}" for k, each in enumerate(ids)))
        assert rows_of(tmp_path, text).ids.tolist() == ids


# name, content, cause, remedy, further arguments of rows_of
REFUSED = [
    ("empty", b"", "is empty", "must name the columns", {}),
    ("header only", "id,y,a\n", "no rows", "give a file with rows", {}),
    ("name twice", table("id,y,a,a", ("A1,0,1,1",)), "'a' is the name of the columns 3 and 4", "its own name", {}),
    ("no name", table("id,y,", ("A1,0,1",)), "column 3 has no name", "Name it, .*index=False.*or name", {}),
    ("index of pandas", table(",id,y", ("0,A1,0",)), "column 1 has no name", "index=False", {}),
    ("blanks at a name", table("id, y ,a"), "no column 'y', which data.label names, but ' y '", "take them away", {}),
    ("short row", table(rows=("A1,0,1", "A2,1")), "line 3 .* has 2 fields, not 3", "add the fields", {}),
    ("long row", table(rows=("A1,0,12,5",)), "line 2 .* has 4 fields, not 3", "between quotes", {}),
    ("break in quotes", 'id,y,a\nA1,0,"x\ny"\n', "line 2 .* opens a quote that ends in line 3", "close each", {}),
    ("stray quote", 'id,y,a\nA1,0,"x"y\n', "line 2 .* not a valid CSV line", "double the quotes", {}),
    ("zero byte", b"id,y,a\nA1,0,1\x00\n", "line 2 .* zero byte", "write it again", {}),
    ("xlsx", _xlsx.getvalue(), "Excel workbook", "CSV UTF-8", {}),
    ("xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "Excel workbook", "CSV UTF-8", {}),
    ("HTML", "\n<html><table></table></html>", "HTML", "CSV UTF-8", {"name": "f.xls"}),
    ("parquet as CSV", b"PAR1\x15\x04\x15\xff\xfe\x00PAR1", "a Parquet file", "name it with the ending .parquet", {}),
    ("CSV as parquet", table(), "begins with 'id,y,a'", "ending .csv", {"name": "f.parquet"}),
    ("gzip", bytes([31, 139, 8, 0, 0, 0, 0, 0, 200, 201]), "gzip", "gunzip", {}),
    ("for Excel only", "sep=;\nid;y;a\nA1;0;1\n", "only Excel knows", "take the line away.*delimiter", {}),
    ("full-width commas", table().replace(",", "，"), "full-width mark", "replace it by a comma", {}),
    ("no id", table("ID,y,a"), "no column 'id', which data.id names", "did you mean ID", {}),
    ("no label", table("id,Y,a"), "no column 'y', which data.label names", "did you mean Y", {}),
    ("label is id", table(), "data.label and data.id both name", "name that of the labels", {"lines": 'label = "id"'}),
    ("label is no label", table(), "'a' must hold 0 and 1", "line 3 .id 'A2'.*correct", {"lines": 'label = "a"'}),
    ("no labels", table(rows=("A1,0,1", "A2,,2")), "line 3 .id 'A2'", "leave such rows out", {}),
    (
        "a word of three",
        table(rows=("A1,good,1", "A2,bad,2", "A3,?,3")),
        "'\\?' in line 4|line 4 .id 'A3'",
        "leave these",
        {"lines": "label_words = {good = 0, bad = 1}"},
    ),
    ("id twice", table(rows=("A1,0,1", "A2,0,1", "A1,1,2")), "'A1' in line 2 and line 4", "keep one row", {}),
    ("no id in a row", table(rows=("A1,0,1", ",1,2")), "the first is line 3", "give each an id", {}),
    ("id NA", table(rows=("A1,0,1", "NA,1,2")), "the first is line 3", "give each an id", {}),
    ("blank at an id", table(rows=("A1 ,0,1", "A1,1,2")), "'A1 ' in line 2", "take the blanks away", {}),
    ("no-break blank at an id", table(rows=("A1\u00a0,0,1",)), "in line 2", "take the blanks away", {}),
    ("huge cell", col("x" * 200_000), "line 2 .* more than 131,072 characters", "shorten it", {}),
    ("full-width digits", col("１２３", "４５６"), "full-width characters", "half-width", {}),
    ("full-width comma", col("１２３，４５６", "１，０００"), "full-width characters", "half-width", {}),
    ("percent", col("12%", "3 %"), "a percentage", "take the % sign away", {}),
    ("yen", col("¥1,200", "¥900"), "an amount of money", "take the currency away", {}),
    ("full-width yen", col("￥1,200", "￥900"), "an amount of money", "take the currency away", {}),
    ("yuan", col("1200元", "900元", "暂无"), "an amount of money", "take the currency away", {}),
    ("ten thousands", col("3万", "1.5万"), "a number with a unit", "write the number out", {}),
    ("parentheses", col("(1,200)", "(300)"), "in parentheses", "write -1200", {}),
    ("trailing minus", col("1200-", "300-"), "the minus behind it", "write -1200", {}),
    ("Unicode minus", col("−5", "−6"), "another sign than -", "hyphen-minus", {}),
    ("infinite", col("inf", "2"), "line 2 .* is infinite", "clip it", {}),
    ("overflow", col("1e999", "2"), "line 2 .* is infinite", "clip it", {}),
    ("long integer", col("9007199254740993", "2"), "float64 does not hold", "categorical", {}),
    ("a typo in columns", table(), "'aa', which data.columns names", "did you mean a", {"lines": 'columns = ["aa"]'}),
    ("a typo in numeric", table(), "data.numeric names 'aa'", "did you mean a", {"lines": 'numeric = ["aa"]'}),
    ("equal marks", table(), "decimal is ','", "two different marks", {"lines": 'decimal = ","\nthousands = ","'}),
    ("a long mark", table(), "not ',,'", "must be one character", {"lines": 'decimal = ",,"'}),
    ("a long delimiter", table(), "data.delimiter", "must be one character", {"lines": 'delimiter = ", "'}),
    ("unknown encoding", table(), "data.encoding", "such as 'utf-8', 'gb18030'", {"lines": 'encoding = "gb"'}),
    ("no text encoding", table(), "data.encoding", "such as 'utf-8'", {"lines": 'encoding = "base64"'}),
    ("labels all 1", table(), "must say which words", "good = 0, bad = 1", {"lines": "label_words = {a = 1, b = 1}"}),
    ("label words", table(), "label_words must be", "word = 0", {"lines": 'label_words = ["good"]'}),
    ("unknown unit", table(), "data.date_unit", "'days' or 'months'", {"lines": 'date_unit = "years"'}),
    ("unknown day", table(), "data.date_since", "such as '2000-01-01'", {"lines": 'date_since = "today"'}),
    ("unknown order", table(), "data.date_format", "'DMY'", {"lines": 'date_format = "%d/%m/%Y"'}),
    ("no such day", col("2026-02-30"), "not a day of the calendar", "missing", {"lines": 'dates = ["a"]'}),
    (
        "two declarations",
        col("1"),
        "both numeric and dates",
        "name it once",
        {"lines": 'dates = ["a"]\nnumeric = ["a"]'},
    ),
    (
        "encoding is another",
        CHINESE,
        "is in UTF-8, not in gb18030",
        'encoding = "utf-8"',
        {"lines": 'encoding = "gb18030"'},
    ),
]


@pytest.mark.parametrize(
    ("content", "cause", "remedy", "more"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_is_refused(tmp_path: Path, content: str | bytes, cause: str, remedy: str, more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=cause) as caught:
        rows_of(tmp_path, content, **more)
    said = str(caught.value)
    assert re.search(remedy, said), said
    assert not re.search(r"codec|can't decode|Errno|\\u[0-9a-f]{4}|\\x(?!a0)", said), said


# name, content, cause, the lines that the error proposes, what is read with them, lines that are there before
PASTED = [
    ("GBK", CHINESE.encode("gbk"), "not in UTF-8", ['encoding = "gb18030"'], ["教师", "医生"], ""),
    ("GBK cells", col("教师", "医生").encode("gbk"), "line 2 is", ['encoding = "gb18030"'], ["教师", "医生"], ""),
    ("UTF-16", CHINESE.encode("utf-16"), "not in UTF-8", ['encoding = "utf-16"'], ["教师", "医生"], ""),
    ("UTF-16 LE", table().encode("utf-16-le"), "not in UTF-8", ['encoding = "utf-16-le"'], [1, 2, 3], ""),
    ("UTF-16 BE", table().encode("utf-16-be"), "not in UTF-8", ['encoding = "utf-16-be"'], [1, 2, 3], ""),
    (
        "Windows",
        col("Müller", "Größe", "café").encode("cp1252"),
        "UTF-8",
        ['encoding = "cp1252"'],
        ["Müller", "Größe", "café"],
        "",
    ),
    ("semicolons", table().replace(",", ";"), "id;y;a", ['delimiter = ";"'], [1, 2, 3], ""),
    ("tabs", table().replace(",", "\t"), "id", ['delimiter = "\\t"'], [1, 2, 3], ""),
    ("bars", table().replace(",", "|"), "id", ['delimiter = "|"'], [1, 2, 3], ""),
    ("commas after all", table(), "id,y,a", ['delimiter = ","'], [1, 2, 3], 'delimiter = ";"'),
    (
        "good and bad",
        table(rows=("A1,good,1", "A2,bad,2")),
        r"line 2 \(id 'A1'\)",
        ["label_words = {good = 0, bad = 1}"],
        [1, 2],
        "",
    ),
    (
        "True and False",
        table(rows=("A1,False,1", "A2,True,2")),
        "'False'",
        ["label_words = {False = 0, True = 1}"],
        [1, 2],
        "",
    ),
    ("yes and no", table(rows=("A1,no ,1", "A2,yes,2")), "'no'", ["label_words = {no = 0, yes = 1}"], [1, 2], ""),
    ("1 and 2", table(rows=("A1,1,1", "A2,2,2")), "'2'", ["label_words = {1 = 0, 2 = 1}"], [1, 2], ""),
    (
        "Chinese labels",
        table(rows=("A1,正常,1", "A2,逾期,2")),
        "'正常'",
        ['label_words = {"正常" = 0, "逾期" = 1}'],
        [1, 2],
        "",
    ),
    ("thousands", col("1,169.50", "2,000.00", "3"), "thousands separators", ['thousands = ","'], [1169.5, 2000, 3], ""),
    ("decimal comma", col("12,5", "3,25"), "decimal comma", ['decimal = ","'], [12.5, 3.25], ""),
    ("both marks", col("1.169,50", "2.000,00"), "thousands", ['decimal = ","', 'thousands = "."'], [1169.5, 2000], ""),
    ("decimal points", col("1.5", "2.25"), "decimal point", ['decimal = "."'], [1.5, 2.25], 'decimal = ","'),
    ("no-break thousands", col("1\u00a0169", "20"), "thousands", ['thousands = "\\u00a0"'], [1169, 20], ""),
    ("underscores", col("1_000", "2"), "thousands", ['thousands = "_"'], [1000, 2], ""),
    (
        "signs for missing",
        col("NA", "2", "-", "缺失", "5"),
        "'-' in line 4",
        ['missing = ["-", "缺失"]'],
        [None, 2, None, None, 5],
        "",
    ),
    (
        "more missing",
        col("1", "2", "-", "?"),
        "'-' in line 4",
        ['missing = ["?", "-"]'],
        [1, 2, None, None],
        'missing = ["?"]',
    ),
    ("leading zeros", col("007", "012", "7"), "'007' in line 2", ['categorical = ["a"]'], ["007", "012", "7"], ""),
    ("dates", col("2026-11-01", "1999-12-31"), "a date", ['dates = ["a"]'], [9801, -1], ""),
    ("slashes", col("2026/11/1", "2000/1/2", ""), "a date", ['dates = ["a"]'], [9801, 1, None], ""),
    (
        "day first",
        col("01.11.2026", "31.01.2025"),
        "a date",
        ['dates = ["a"]', 'date_format = "DMY"'],
        [9801, 9162],
        "",
    ),
    (
        "month first",
        col("11/01/2026", "01/31/2025"),
        "a date",
        ['dates = ["a"]', 'date_format = "MDY"'],
        [9801, 9162],
        "",
    ),
    (
        "day or month first",
        col("01/11/2026", "02/03/2025"),
        "if the month stands",
        ['dates = ["a"]', 'date_format = "DMY"'],
        [9801, 9192],
        "",
    ),
    ("order not said", col("01/11/2026"), "no date_format says", ['date_format = "DMY"'], [9801], 'dates = ["a"]'),
    ("eight digits", col("20261101", "20250131"), "all dates", ['dates = ["a"]'], [9801, 9162], ""),
    ("times", col("2026-11-01T12:00:00", "2025-01-31 00:00:00+08:00"), "a date", ['dates = ["a"]'], [9801, 9162], ""),
    ("Chinese dates", col("2026年11月1日", "2025年01月31日"), "a date", ['dates = ["a"]'], [9801, 9162], ""),
    ("months", col("2026-11", "2025年1月"), "a date", ['dates = ["a"]', 'date_unit = "months"'], [322, 300], ""),
    ("months as days", col("2026-11"), "without a day", ['date_unit = "months"'], [322], 'dates = ["a"]'),
    ("names of months", col("1 Nov 2026", "31-JAN-2025"), "a date", ['dates = ["a"]'], [9801, 9162], ""),
    (
        "no date",
        col("2026-11-01", "0000-00-00"),
        "'0000-00-00' in line 3",
        ['missing = ["0000-00-00"]'],
        [9801, None],
        'dates = ["a"]',
    ),
    (
        "end of time",
        col("2026-11-01", "9999-12-31"),
        "not between 1800",
        ['missing = ["9999-12-31"]'],
        [9801, None],
        'dates = ["a"]',
    ),
]


@pytest.mark.parametrize(
    ("content", "cause", "lines", "first", "before"), [case[1:] for case in PASTED], ids=[case[0] for case in PASTED]
)
def test_the_line_of_the_error_repairs_it(
    tmp_path: Path, content: str | bytes, cause: str, lines: list[str], first: list[Any], before: str
) -> None:
    """A line of the error replaces one of the same name; with it the file is read as it is meant."""
    with pytest.raises(ValueError, match=cause) as caught:
        rows_of(tmp_path, content, lines=before)
    assert setting_lines(str(caught.value)) == lines
    name = lines[0].split(" = ")[0]
    kept = [line for line in before.splitlines() if not line.startswith(f"{name} =")]
    rows = rows_of(tmp_path, content, lines="\n".join([*kept, *lines]))
    assert plain(rows)[0] == first
    assert rows.labels.tolist()[:2] == [0, 1][: len(rows.labels)]


def test_dates_count_from_the_stated_day_and_never_from_today(tmp_path: Path) -> None:
    content = col("2026-11-01", "2025-12-31")
    assert plain(rows_of(tmp_path, content, lines='dates = ["a"]\ndate_since = 2026-01-01'))[0] == [304, -1]
    lines = 'dates = ["a"]\ndate_since = "2026-01-01"\ndate_unit = "months"'
    rows = rows_of(tmp_path, content, lines=lines)
    assert plain(rows)[0] == [10, -1]
    assert rows.profile[0].kind == "numeric"
    table = read_columns(tmp_path / "f.csv", ["a"], dates=["a"], date_since="2026-11-02")
    assert table["a"].tolist() == [-1, -306]


def test_a_model_is_not_scored_with_other_dates(tmp_path: Path) -> None:
    """The halves stand beside the result of the training, which says how dates became numbers."""
    rows_of(tmp_path, col("2026-11-01"), lines='dates = ["a"]')
    config = Config.load(tmp_path / "party.toml")
    (tmp_path / "result.json").write_text(json.dumps({"counted": config.data.counting()}))
    _same_dates(tmp_path, config)
    for line, said in (
        ('dates = ["a"]\ndate_since = "2026-01-01"', "data.date_since is '2026-01-01', but it was '2000-01-01'"),
        ('dates = ["a"]\ndate_unit = "months"', "data.date_unit is 'months', but it was 'days'"),
        ('text = ["a"]', "data.dates is"),
    ):
        rows_of(tmp_path, col("2026-11-01"), lines=line)
        with pytest.raises(ValueError, match=said):
            _same_dates(tmp_path, Config.load(tmp_path / "party.toml"))


def test_pieces_of_a_file_are_not_judged_alone(tmp_path: Path) -> None:
    """A piece of a column of numbers may hold only dates or leading zeros; the training has seen all of it."""
    path = tmp_path / "f.csv"
    path.write_text("id,a\n1,20261101\n2,007\n3,5\n")
    pieces = File.pieces(path, ["id", "a"], size=1)
    found = [piece.columns(["a"], strict=False)[0][0].tolist() for piece in pieces]
    assert found == [[20261101], [7], [5]]
    for k in (0, 1):
        with pytest.raises(ValueError, match="column 'a'"):
            [*File.pieces(path, ["id", "a"], size=1)][k].columns(["a"])


def test_an_id_that_comes_twice_is_named_in_the_form_of_the_file(tmp_path: Path) -> None:
    """Rows to score are read again to find their lines, as [data] says."""
    content = table("编号;y", ("甲1;0", "乙2;1", "甲1;1")).encode("gbk")
    with pytest.raises(ValueError, match="'甲1' in line 2 and line 4"):
        rows_of(tmp_path, content, lines='id = "编号"\nencoding = "gbk"\ndelimiter = ";"')
    config = Config.load(tmp_path / "party.toml")
    scoring = Scoring(config, config.data.file, None, "", (), 0)
    with pytest.raises(ValueError, match="line 2 and line 4 have the same '编号', '甲1'"):
        _refuse_twice(scoring)


def test_words_of_labels_at_an_audit() -> None:
    assert _words(None) is None
    assert _words("good=0, bad = 1,a=b=1") == {"good": 0, "bad": 1, "a=b": 1}
    for wrong in ("good=0", "good,bad", "good=0,bad=2", "=0,bad=1", ""):
        with pytest.raises(ValueError, match="--label-words must be WORD=0,WORD=1"):
            _words(wrong)


def test_dates_of_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    from bluetusk.vertical.tables import files

    raw = {"day": [datetime.date(2026, 11, 1), None], "time": [datetime.datetime(2000, 1, 2, 23), NAN]}
    raw["code"] = [20261101, 20250131]
    read = lambda path, columns, size: iter([({name: raw[name] for name in columns}, [])])  # noqa: E731
    monkeypatch.setattr(files, "_parquet", read)
    table = read_columns("t.parquet", [*raw], dates=[*raw])
    assert np.array_equal(table["day"], [9801, NAN], equal_nan=True)
    assert np.array_equal(table["time"], [1, NAN], equal_nan=True)
    assert table["code"].tolist() == [9801, 9162]
    with pytest.raises(ValueError, match=r'of type date.*write `dates = \["day"\]` in \[data\]'):
        read_columns("t.parquet", ["day"])
    with pytest.raises(ValueError, match=r'numbers that are all dates.*`dates = \["code"\]`'):
        read_columns("t.parquet", ["code"])


def test_a_profile_of_chinese_columns_is_aligned() -> None:
    lines = describe([ColumnProfile.of(name, np.array([1.0, 2.0])) for name in ("月收入", "age")]).splitlines()
    ends = [sum(2 if ord(c) > 0x2E80 else 1 for c in line[: line.index("numeric") + 7]) for line in lines[1:]]
    assert ends[0] == ends[1]


def test_the_check_proposes_all_lines_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several columns in another form: what --check proposes, pasted once, makes the whole file readable."""
    names = ["编号", "违约", "开户日", "月收入", "邮编", "职业", "余额", "近似"]
    lines = [names]
    for k in range(40):
        bad = "坏" if k % 4 == 0 else "好"
        cells = [f"20{10 + k % 9}-0{1 + k % 9}-1{k % 10}", f"{1000 + k},5", f"0{k % 7}1", ["教师", "医生"][k % 2]]
        lines.append([f"M{k:03d}", bad, *cells, "-" if k % 5 == 0 else str(k), "甲" if bad == "坏" else "乙"])
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";").writerows(lines)
    (tmp_path / "f.csv").write_bytes(text.getvalue().encode("gbk"))
    toml = tmp_path / "party.toml"
    settings: dict[str, str] = {"missing": 'missing = ["?"]'}
    for _ in range(4):
        body = "\n".join(settings.values())
        toml.write_text(f'role = "guest"\n{HEAD}[data]\nfile = "f.csv"\nid = "编号"\nlabel = "违约"\n{body}\n')
        cli.main(["party", "--config", str(toml), "--check", "--json"])
        found = json.loads(capsys.readouterr().out)
        if not found["proposed"]:
            break
        settings |= {line.split(" = ")[0]: line for line in found["proposed"]}
    assert settings == {
        "missing": 'missing = ["?", "-"]',
        "encoding": 'encoding = "gb18030"',
        "delimiter": 'delimiter = ";"',
        "label_words": 'label_words = {"好" = 0, "坏" = 1}',
        "dates": 'dates = ["开户日"]',
        "decimal": 'decimal = ","',
        "categorical": 'categorical = ["邮编"]',
    }
    rows = Rows.read(Config.load(toml))
    assert [each.kind for each in rows.profile] == ["numeric", "numeric", "categorical", "text", "numeric", "text"]
    assert rows.labels.sum() == 10
    assert [each["name"] for each in found["profile"]] == names[2:]
    assert any("'近似' alone separates the labels" in text for text in found["warnings"])


def test_init_says_how_to_read_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f.csv").write_bytes(table("编号;违约;a", ("甲1;0;1,5", "乙2;1;2,5")).encode("gbk"))
    words = ["party", "init", "--role", "guest", "--name", "bank", "--peer", "net", "--data", str(tmp_path / "f.csv")]
    words += ["--id", "编号", "--label", "违约", "--connect", "localhost:1", "--yes", "--folder", str(tmp_path)]
    assert cli.main(words) == 1
    assert "Here: --encoding gb18030" in capsys.readouterr().err
    words += ["--encoding", "gb18030"]
    assert cli.main(words) == 1
    assert "Here: --delimiter ';'" in capsys.readouterr().err
    words += ["--delimiter", ";", "--decimal", ","]
    assert cli.main(words) == 0
    data = _toml.load(tmp_path / "party.toml")["data"]
    assert (data["encoding"], data["delimiter"], data["decimal"]) == ("gb18030", ";", ",")
    assert Rows.read(Config.load(tmp_path / "party.toml")).values[0].tolist() == [1.5, 2.5]


# --------------------------------------------------------------------------------------------- from nothing to a report


def _files(home: Path) -> None:
    """Write what two sides export: Chinese names in GBK at the bank, semicolons and decimal commas at the network."""
    draw = random.Random(3)
    risk = [draw.gauss(0, 1) for _ in range(1500)]
    for name in ("bank", "network"):
        (home / name).mkdir()
    with open(home / "bank" / "客户.csv", "w", newline="", encoding="gbk") as file:
        out = csv.writer(file)
        out.writerow(["客户编号", "职业", "开户日期", "月收入", "分行", "内部分", "是否违约"])
        for k in draw.sample(range(1500), 1400):
            income = "NA" if k % 10 == 0 else f"{9000 - 1500 * risk[k] + draw.gauss(0, 3000):,.2f}"
            job = draw.choice(["教师", "医生", "工人", ""])
            day = f"{2000 + k % 24}/{1 + k % 12}/{1 + k % 28}"
            bad = "坏" if risk[k] + draw.gauss(0, 1) > 1 else "好"
            out.writerow([f"{k:06d}", job, day, income, f"{1 + k % 3:03d}", "-" if k % 9 == 0 else k % 100, bad])
    with open(home / "network" / "payments.csv", "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, delimiter=";")
        out.writerow(["merchant", "turnover", "since", "city"])
        for k in draw.sample(range(1500), 1450):
            turnover = f"{5e4 - 1e4 * risk[k] + draw.gauss(0, 2e4):.1f}".replace(".", ",")
            day = f"{1 + k % 28:02d}.{1 + k % 12:02d}.{2005 + k % 18}"
            out.writerow([f"{k:06d}", turnover, day, draw.choice(["北京", "上海", "Zürich", "NULL"])])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a 2048-bit key")
def test_from_two_files_as_they_are_to_a_report_by_what_the_commands_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody here knows a setting of [data]: each comes from an error of `party init` or of `party --check`."""
    pytest.importorskip("grpc", reason="the two parties talk over grpcio, which is not installed")
    pytest.importorskip("private_set_intersection", reason="there is no wheel of openmined-psi for this Python")
    monkeypatch.setenv("BLUETUSK_PASSPHRASE", "the passphrase of the tests")
    _files(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        "bank": f"guest network 客户.csv 客户编号 --label 是否违约 --connect localhost:{port}".split(),
        "network": f"host bank payments.csv merchant --listen 127.0.0.1:{port}".split(),
    }

    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(list(words))
        said = capsys.readouterr()
        return status, said.out, said.err

    for name, (role, peer, file, id, *more) in given.items():
        monkeypatch.chdir(tmp_path / name)
        words = ["party", "init", "--role", role, "--name", name, "--peer", peer, "--data", file, "--id", id, *more]
        status, _, said = command(*words, "--yes")
        assert status == 1
        status, _, said = command(*words, "--yes", *shlex.split(said.partition("Here: ")[2]))
        assert status == 0, said
        assert command("certs", name, "--address", "localhost")[0] == 0
        assert command("evidence", "keygen", "identity")[0] == 0
    for name, peer in (("bank", "network"), ("network", "bank")):
        monkeypatch.chdir(tmp_path / name)
        for theirs, here in ((f"{peer}.cert.pem", f"{peer}.cert.pem"), ("identity.pub", f"{peer}.pub")):
            shutil.copy(tmp_path / peer / theirs, here)
        print_of = command("evidence", "fingerprint", f"{peer}.cert.pem")[1].split()[0]
        policy, toml = Path("policy.toml"), Path("party.toml")
        policy.write_text(policy.read_text("utf-8").replace(PLACEHOLDER, print_of), "utf-8")
        assert command("evidence", "policy", "sign", "policy.toml", "--key", "identity")[0] == 0
        status, said, _ = command("party", "--check", "--config", "party.toml")
        assert status == 1
        lines = re.findall(r"^             (\S.*)$", said, re.MULTILINE)
        text = toml.read_text("utf-8").replace("\n[model]", "\n" + "\n".join(lines) + "\n\n[model]")
        toml.write_text(text.replace("key_size = 3072", "key_size = 2048").replace("trees = 10", "trees = 1"), "utf-8")
        status, said, _ = command("party", "--check", "--config", "party.toml")
        assert (status, said.splitlines()[-1][:4]) == (0, "GOOD"), said
        assert ("开户日期      numeric" in said) == (name == "bank")
    run = [sys.executable, "-m", "bluetusk", "party", "--config", "party.toml", "--progress", "none"]
    with open(tmp_path / "said", "w") as out:
        sides = [subprocess.Popen(run, cwd=tmp_path / name, stdout=out, stderr=out) for name in given]
        try:
            ends = [side.wait(120) for side in sides]
        finally:
            for side in sides:
                side.kill()
    assert ends == [0, 0], (tmp_path / "said").read_text()
    report = (tmp_path / "bank" / "output" / "report.html").read_text("utf-8")
    for name in ("开户日期", "月收入", "分行"):
        assert name in report
    result = json.loads((tmp_path / "bank" / "output" / "result.json").read_text("utf-8"))
    assert result["counted"] == {"dates": ["开户日期"], "date_since": "2000-01-01", "date_unit": "days"}
    kinds = {each["name"]: each["kind"] for each in result["profile"]}
    assert kinds == {
        "职业": "text",
        "开户日期": "numeric",
        "月收入": "numeric",
        "分行": "categorical",
        "内部分": "numeric",
    }
