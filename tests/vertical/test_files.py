"""What a file holds is what the models get: cells as pandas reads them, or refused by file, line, column, value."""

from __future__ import annotations

import csv
import datetime
import io
from decimal import Decimal

import numpy as np
import pytest

import bluetusk as bt
from bluetusk import cli
from bluetusk.vertical import GradientBoosting, WoEBinning, local_links, read_columns
from bluetusk.vertical.party import config as _config
from bluetusk.vertical.party import pipeline as _pipeline
from bluetusk.vertical.party.rows import Rows
from bluetusk.vertical.tables import files as _files
from bluetusk.vertical.tables.cells import MISSING_TEXTS
from bluetusk.vertical.tables.profile import ColumnProfile, describe, show

from .conftest import new_ids

NAN = float("nan")
TOML = """
role = "guest"
job = "j"
evidence = "none"
halves = "open"
certificate = "a.cert.pem"
key = "a.key.pem"
peer_certificate = "b.cert.pem"
connect = "localhost:1"
[data]
file = "bank.csv"
label = "bad"
"""


def written(tmp_path, text, name="bank.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def rows_of(tmp_path, text, more=""):
    """The table of a party as a run reads it."""
    written(tmp_path, text)
    return Rows.read(_config.Config.load(written(tmp_path, TOML + more, "party.toml")))


# ---------------------------------------------------------------------------------------------------- missing, numbers


def test_missing_cells_are_those_of_pandas(tmp_path):
    pd = pytest.importorskip("pandas", reason="files are compared with pandas, which is no dependency")
    lines = ["id,age,job"]
    for k, text in enumerate(sorted(MISSING_TEXTS)):
        lines += [f"a{k},{text},{text}", f"b{k},{k}.5,job {k}"]
    path = written(tmp_path, "\n".join(lines) + "\n")
    theirs, ours = pd.read_csv(path), read_columns(path)
    assert np.array_equal(ours["age"], theirs["age"].to_numpy(), equal_nan=True)
    assert [v is None for v in ours["job"]] == theirs["job"].isna().tolist()


def test_one_missing_cell_keeps_the_information_of_a_column(tmp_path):
    rng = np.random.default_rng(4)
    y = (rng.random(400) < 0.3).astype(int)
    age = np.round(rng.normal(40 + 8 * y, 8), 1)
    for cell in ("NA", " ", "None", "<NA>", "?"):
        text = "".join(f"{k},{v},{b}\n" for k, (v, b) in enumerate(zip(age, y, strict=True)))
        rows = rows_of(tmp_path, f"id,age,bad\n{text}x,{cell},1\n", 'missing = ["?"]')
        labels = np.append(y, 1)
        fitted = WoEBinning("guest", max_bins=4, min_rows=20).fit(rows.matrix(np.arange(401)), labels, columns=["age"])
        bins = fitted.bins_[0]
        codes = np.digitize(np.append(age, NAN), bins.edges)
        codes[-1] = bins.missing
        events, every = np.bincount(codes, labels, 4) + 0.5, np.bincount(codes, minlength=4) + 1.0
        share, rest = events / events.sum(), (every - events) / (every - events).sum()
        assert fitted.iv_["age"] == pytest.approx(float(((share - rest) * np.log(share / rest)).sum()))
        assert fitted.iv_["age"] > 0.3


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("?", r"'\?' in line 4; correct"),
        ('"1,169"', r"'1,169' in line 4 \(a number with a thousands separator or a decimal comma\); correct"),
        ("29.11.2026", r"'29.11.2026' in line 4 \(a date\)"),
        ("unknown", "'unknown' in line 4"),
    ],
)
def test_a_mixed_column_is_refused_by_file_line_column_and_value(tmp_path, cell, said):
    text = f'id,note,age,bad\n1,"a, b",23,0\n\n2,x,{cell},1\n3,x,41,0\n'
    with pytest.raises(
        ValueError, match=rf"column 'age' in .*bank\.csv mixes numbers and texts: of 3 cells 1 .*{said}"
    ):
        rows_of(tmp_path, text)
    plain = next(csv.reader(io.StringIO(cell)))[0]
    assert rows_of(tmp_path, text, 'categorical = ["age"]').values[1].tolist() == ["23", plain, "41"]
    assert rows_of(tmp_path, text, 'text = ["age"]').profile[1].kind == "text"
    rows = rows_of(tmp_path, text, f"missing = ['{plain}']")
    assert np.array_equal(rows.values[1], [23, NAN, 41], equal_nan=True)
    if plain in ("?", "unknown"):
        with pytest.warns(bt.DataWarning, match="1 cells of column 'age' .* count as missing"):
            rows = rows_of(tmp_path, text, 'numeric = ["age"]')
        assert np.array_equal(rows.values[1], [23, NAN, 41], equal_nan=True)
        assert rows.profile[1].numeric == pytest.approx(2 / 3)
    else:  # a number or a date is not thrown away
        with pytest.raises(ValueError, match=r"1 are not numbers"):
            rows_of(tmp_path, text, 'numeric = ["age"]')


def test_marks_are_declared(tmp_path):
    text = 'id,sum,bad\n1,"1.169,50",0\n2,"-12",1\n3,"1.000.000",1\n'
    rows = rows_of(tmp_path, text, 'decimal = ","\nthousands = "."')
    assert rows.values[0].tolist() == [1169.5, -12.0, 1e6]
    with pytest.raises(ValueError, match=r"party.toml: data.decimal is ',' and thousands ','"):
        rows_of(tmp_path, text, 'decimal = ","\nthousands = ","')


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('categorical = ["job"]', "categorical names 'job', which is not among the columns"),
        ('categorical = ["age"]\ntext = ["age"]', "'age' is declared both categorical and text"),
        ('missing = "?"', "data.missing must be a list of texts"),
    ],
)
def test_wrong_declarations_are_named(tmp_path, more, said):
    with pytest.raises(ValueError, match=said):
        rows_of(tmp_path, "id,age,bad\n1,2,0\n", more)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,age,bad\n1,2,0\n2,inf,1\n", r"line 3 of column 'age' in .*bank.csv is infinite"),
        ("id,age,bad\n1,2,0\n2,-Infinity,1\n", r"line 3 of column 'age' in .*bank.csv is infinite"),
        ("id,age,bad\n1,2,0\n2,1e999,1\n", r"line 3 of column 'age' in .*bank.csv is infinite"),
        (
            "id,age,bad\n1,2,0\n2,9007199254740993,1\n",
            r"line 3 of column 'age' .* is 9007199254740993, an integer that",
        ),
        ("id,age,bad\n1,2,0\nNA,3,1\n", r"bank.csv: 1 rows have no 'id', the first is line 3: rows without an id"),
        ("id,age,bad\n1,2,0\n2,3,NA\n", r"'bad' must hold 0 and 1 only, but line 3 holds nothing"),
        ("id,age,bad\n1,2,0\n2,3,yes\n", r"'bad' must hold 0 and 1 only, but line 3 holds 'yes'"),
    ],
)
def test_cells_that_no_model_takes_are_named_by_line(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        rows_of(tmp_path, text)


def test_rows_of_later_pieces_are_named_by_their_place_in_the_file(monkeypatch):
    parts = [({"id": [1, 2], "a": [0.5, 1.5]}, []), ({"id": [3, None], "a": [NAN, float("inf")]}, [])]
    monkeypatch.setattr(_files, "_parquet", lambda path, columns, size: iter(parts))
    first, second = _files.File.pieces("t.parquet", ["id", "a"], size=2)
    assert first.ids("id").tolist() == ["1", "2"]
    with pytest.raises(ValueError, match=r"row 3 of column 'a' in t.parquet is infinite"):
        second.columns(["a"])
    with pytest.raises(ValueError, match="1 rows have no 'id', the first is row 3"):
        second.ids("id")


def test_cells_that_come_with_types_as_in_parquet(tmp_path, monkeypatch):
    raw = {
        "id": [7, "007", 2**53 + 1],
        "sum": [Decimal("1.5"), None, 2],
        "code": [2**53, 2**53 + 1, None],
        "flag": [True, None, False],
        "float": [7.0, 8.0, NAN],
        "day": [datetime.date(2026, 1, 1), None, None],
        "mixed": [1, "x", 2],
    }
    read = lambda path, columns, size: iter([({name: raw[name] for name in columns}, [])])  # noqa: E731
    monkeypatch.setattr(_files, "_parquet", read)
    found = read_columns("t.parquet", ["id", "sum", "code", "flag"], ids=["id"], categorical=["code"])
    assert found["id"].tolist() == ["7", "007", "9007199254740993"]
    assert np.array_equal(found["sum"], [1.5, NAN, 2], equal_nan=True)
    assert found["code"].tolist() == ["9007199254740992", "9007199254740993", None]
    assert np.array_equal(found["flag"], [1, NAN, 0], equal_nan=True)
    for name, said in (
        ("code", "row 1 of column 'code' in t.parquet is 9007199254740993, an integer that float64 does not hold"),
        ("day", "row 0 of column 'day' in t.parquet is of type date: .*dates to days or months"),
        ("mixed", "column 'mixed' in t.parquet mixes numbers and texts: of 3 cells 1 are not numbers: 'x' in row 1"),
    ):
        with pytest.raises(ValueError, match=said):
            read_columns("t.parquet", [name])
    with pytest.raises(ValueError, match=r"t.parquet: 7.0 in row 0 of 'float' is of type float: write ids as texts"):
        read_columns("t.parquet", ["float"], ids=["float"])


def test_ids_and_codes_keep_their_digits(tmp_path):
    text = "id,code,bad\n007,007,0\n07,07,1\n7,7,1\n9007199254740993,9007199254740993,0\n9007199254740992,NULL,1\n"
    rows = rows_of(tmp_path, text, 'categorical = ["code"]')
    assert rows.ids.tolist() == ["007", "07", "7", "9007199254740993", "9007199254740992"]
    assert rows.values[0].tolist() == ["007", "07", "7", "9007199254740993", None]
    assert rows.categorical() == ["code"]
    assert rows_of(tmp_path, text, 'numeric = ["code"]').values[0].tolist()[:4] == [7.0, 7.0, 7.0, 2.0**53]
    table = read_columns(tmp_path / "bank.csv", ["bad", "id"], ids=["id"])
    assert list(table) == ["bad", "id"]
    assert table["id"].tolist() == rows.ids.tolist()


# ------------------------------------------------------------------------------------------- a model and other files


def halves(both, tmp_path, columns, **given):
    """Train boosted trees on two files; return both halves, loaded from disk, and the scores of all rows."""
    links = local_links(seconds=30)
    small = {"min_samples_leaf": 20, "min_bucket_rows": 10, "first_tree_local": False, "key_size": 2048}
    models = [GradientBoosting(role, n_estimators=2, max_depth=2, **small, **given) for role in ("guest", "host")]
    tables = [read_columns(tmp_path / f"{role}.csv", columns[role]) for role in ("guest", "host")]
    y = read_columns(tmp_path / "guest.csv", ["bad"])["bad"]
    both(
        lambda: models[0].fit(tables[0], y, link=links[0]),
        lambda: models[1].fit(tables[1], link=links[1]),
    )
    for model in models:
        model.save(tmp_path / f"{model.role}.bt")
    loaded = [GradientBoosting.load(tmp_path / f"{role}.bt") for role in ("guest", "host")]
    return loaded, scored(both, models, tables)


def scored(both, models, tables):
    links = local_links(seconds=30)
    calls = [
        lambda model=model, table=table, link=link: model.decision_function(
            table, link=link, ids=new_ids(len(next(iter(table.values())))) if model.role == "host" else None
        )
        for model, table, link in zip(models, tables, links, strict=True)
    ]
    return both(*calls)[0]


def test_saved_trees_score_a_file_with_other_categories(both, tmp_path):
    """The codes of a text column are those of training, whichever of the texts another file holds."""
    rng = np.random.default_rng(8)
    jobs = rng.choice(["clerk", "farmer", "judge", "pilot"], 160)
    risk = {"clerk": 0.9, "farmer": 0.05, "judge": 0.9, "pilot": 0.05}
    y = (rng.random(160) < np.vectorize(risk.get)(jobs)).astype(int)
    age = np.round(rng.normal(size=160), 2)
    lines = list(zip(age, y, jobs, strict=True))

    def deal(chosen, jobs=()):
        for role, head, of in (
            ("guest", "age,bad", lambda a, b, j: f"{a},{b}"),
            ("host", "job,x", lambda a, b, j: f"{j},0"),
        ):
            body = [of(*lines[k]) for k in chosen] + [of(0.0, 0, job) for job in jobs]
            written(tmp_path, "\n".join([head, *body]) + "\n", f"{role}.csv")

    names = {"guest": ["age"], "host": ["job", "x"]}
    deal(range(160))
    models, everybody = halves(both, tmp_path, names)
    assert models[1].categories_ == {"job": ["clerk", "farmer", "judge", "pilot"]}
    assert [each.kind for each in models[1].profile_] == ["text", "numeric"]
    assert models[1].split_counts_.sum() > 0
    some = [k for k in range(160) if jobs[k] in ("farmer", "pilot")]
    deal(some)
    tables = [read_columns(tmp_path / f"{role}.csv", names[role]) for role in names]
    assert scored(both, models, tables).tolist() == everybody[some].tolist()
    deal(some[:3], ["cook", "cook", "NA"])
    tables = [read_columns(tmp_path / f"{role}.csv", names[role]) for role in names]
    with pytest.warns(
        bt.DataWarning, match=r"X\['job'\]: 2 of 6 values in 1 categories \('cook'\), counted as missing"
    ):
        new = scored(both, models, tables)
    assert new[3] == new[4] == new[5]
    with pytest.raises(ValueError, match=r"'x'.* holds strings, but the model has no categories"):
        models[1].decision_function({"job": ["clerk"], "x": ["a"]}, link=local_links(seconds=5)[1])


def test_codes_of_numbers_keep_their_order_in_trees():
    link, _ = local_links(seconds=5)
    model = GradientBoosting("host", categorical=["code"])
    with pytest.raises(ValueError, match="link is missing"):
        model.fit({"code": [1]})
    from bluetusk.vertical.tables.codes import categories_of, coded
    from bluetusk.vertical.tables.columns import as_table

    codes = [10, 9, 100, -1, 9]
    table = as_table({"code": codes}, categorical=["code"])
    assert categories_of(table) == {"code": ["-1", "9", "10", "100"]}
    assert (
        coded(table, categories_of(table))[:, 0].argsort(kind="stable").tolist()
        == np.argsort(codes, kind="stable").tolist()
    )
    assert link.bytes_sent == 0


# ----------------------------------------------------------------------------------------------------------- profiles


def test_profiles_are_what_pandas_counts(tmp_path):
    pd = pytest.importorskip("pandas", reason="counts are compared with pandas, which is no dependency")
    rng = np.random.default_rng(2)
    n = 60
    frame = pd.DataFrame(
        {
            "amount": np.where(rng.random(n) < 0.2, NAN, np.round(rng.normal(size=n), 1)),
            "job": rng.choice(["a", "b", None], n),
            "branch": rng.integers(1, 5, n),
            "account": rng.permutation(10**6 + np.arange(n)),
            "same": 7,
            "nothing": None,
        }
    )
    frame.insert(0, "id", [f"c{k}" for k in range(n)])
    frame["bad"] = np.arange(n) % 2
    frame.to_csv(tmp_path / "bank.csv", index=False)
    rows = rows_of(tmp_path, (tmp_path / "bank.csv").read_text(), 'categorical = ["branch"]')
    for each in rows.profile:
        column = frame[each.name]
        assert (each.rows, each.missing, each.distinct) == (n, column.isna().sum(), column.nunique()), each.name
        if each.kind == "numeric" and each.missing < n:
            assert (each.least, each.largest) == (column.min(), column.max())
    about = {each.name: each for each in rows.profile}
    assert [about[name].kind for name in ("amount", "job", "branch")] == ["numeric", "text", "categorical"]
    assert [about[name].numeric for name in ("amount", "job", "branch", "nothing")] == [1.0, 0.0, 1.0, 0.0]
    assert [name for name, each in about.items() if each.constant] == ["same", "nothing"]
    assert [name for name, each in about.items() if each.id_like] == ["account"]
    text = describe(rows.profile)
    assert len(text.splitlines()) == 1 + len(about)
    assert text.endswith("all missing")
    for each in rows.profile:
        assert ColumnProfile.from_plain(each.to_plain()) == each
    for change in ({"kind": "x"}, {"missing": n + 1}, {"distinct": -1}, {"rows": True}, {"numeric": 2}, {"least": NAN}):
        with pytest.raises(ValueError, match="do not match"):
            ColumnProfile.from_plain({**about["amount"].to_plain(), **change})


def test_a_terminal_gets_a_table_of_rich():
    pytest.importorskip("rich", reason="the plain table is tried without it")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for file in (Terminal(), io.StringIO()):
        show([ColumnProfile.of("[red]age", np.array([1.0, 2.0]))], file)
        assert "[red]age" in file.getvalue()


def test_models_keep_the_profile_of_their_own_columns(tmp_path):
    x = {"age": [1.0, 2.0, 3.0, NAN], "job": ["a", "b", "a", None]}
    fitted = WoEBinning("guest", min_rows=1).fit(x, [0, 1, 0, 1])
    want = [
        ColumnProfile("age", "numeric", 4, 1, 3, 1.0, 1.0, 3.0, True),
        ColumnProfile("job", "text", 4, 1, 2, 0.0),
    ]
    assert fitted.profile_ == want
    fitted.save(tmp_path / "half")
    loaded = WoEBinning.load(tmp_path / "half")
    assert (loaded.profile_, loaded.categorical_) == (want, ["job"])
    assert loaded.transform(x).tolist() == fitted.transform(x).tolist()


@pytest.mark.parametrize("progress", ["bar", "json"])
def test_a_party_shows_its_columns_before_the_peer_hears_of_it(tmp_path, capsys, progress):
    written(tmp_path, "id,age,job,bad\n1,41,clerk,0\n2,NA,pilot,1\n")
    config = written(tmp_path, TOML, "party.toml")
    assert cli.main(["party", "--config", str(config), "--progress", progress]) != 0  # too few rows for a run
    said = capsys.readouterr().err
    assert said.index("job") < said.index("fewer than model.min_intersection")
    if progress == "bar":
        assert "age     numeric     2        1         1    100 %     41       41  constant" in said
    else:
        assert '{"profile": [{"name": "age", "kind": "numeric", "rows": 2, "missing": 1' in said


def test_a_bad_cell_ends_a_party_before_it_connects(tmp_path, capsys):
    written(tmp_path, "id,age,bad\n1,41,0\n2,?,1\n")
    config = written(tmp_path, TOML, "party.toml")
    assert cli.main(["party", "--config", str(config)]) != 0
    assert "'?' in line 3; correct the cells" in capsys.readouterr().err


class Fresh:
    """A keeper that keeps nothing."""

    def resume(self, task):
        return 0, None

    def commit(self, task, index, state):
        pass


@pytest.mark.filterwarnings("ignore:a 2048-bit key")
def test_a_whole_run_on_texts_and_codes(both, tmp_path):
    """The halves of a run score files with fewer rows, and with codes in another type, as the run did."""
    pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")
    rng = np.random.default_rng(3)
    n = 400
    job, branch = rng.choice(["clerk", "farmer", "judge"], n), rng.choice(["007", "7", "12"], n)
    y = (rng.random(n) < np.where(job == "clerk", 0.7, 0.1) + 0.2 * (branch == "7")).astype(int)
    amount = [v if k % 9 else "n/a" for k, v in enumerate(np.round(rng.normal(size=n), 2).tolist())]
    write = {
        "guest": lambda k: f"c{k},{y[k]},{job[k]},{amount[k]}",
        "host": lambda k: f"c{k},{branch[k]},{k % 5}",
    }
    heads = {"guest": "id,bad,job,amount", "host": "id,branch,day"}
    model = _config.Model(
        key_size=2048,
        min_intersection=50,
        min_total_events=50,
        min_rows=20,
        epochs=0,
        trees=2,
        depth=2,
        min_bucket_rows=10,
    )
    configs = {}
    for role, line in write.items():
        path = written(tmp_path, "\n".join([heads[role], *map(line, range(n))]) + "\n", f"{role}.csv")
        declared = {"label": "bad"} if role == "guest" else {"categorical": ("branch",)}
        configs[role] = _config.Config(
            role, "j", "-", "-", "-", _config.Data(str(path), **declared), connect="-", model=model
        )
    rows = {role: Rows.read(config) for role, config in configs.items()}
    assert {role: [each.kind for each in of.profile] for role, of in rows.items()} == {
        "guest": ["text", "numeric"],
        "host": ["categorical", "numeric"],
    }
    links = dict(zip(write, local_links(seconds=60), strict=True))
    outcomes = dict(
        zip(
            write,
            both(*(lambda r=r: _pipeline.run(configs[r], rows[r], links[r], Fresh()) for r in write)),
            strict=True,
        )
    )
    for role, outcome in outcomes.items():
        outcome.binning.save(tmp_path / f"{role}.binning")
        outcome.models["gradient_boosting"].save(tmp_path / f"{role}.trees")
    trees = [GradientBoosting.load(tmp_path / f"{role}.trees") for role in write]
    assert trees[0].categories_ == {"job": ["clerk", "farmer", "judge"]}
    assert trees[1].categories_ == {"branch": ["007", "7", "12"]}
    assert sum(model.split_counts_.sum() for model in trees) > 0
    test = outcomes["guest"].test
    want = dict(zip(outcomes["guest"].ids[test], outcomes["guest"].scores["gradient_boosting"], strict=True))
    some = [k for k in range(n) if f"c{k}" in want and job[k] != "clerk" and branch[k] != "12"]
    assert len(some) > 20
    for role, line in write.items():
        written(tmp_path, "\n".join([heads[role], *map(line, some)]) + "\n", f"{role}.csv")
    tables = [
        read_columns(tmp_path / "guest.csv", ["job", "amount"]),
        read_columns(tmp_path / "host.csv", ["branch", "day"], categorical=["branch"]),
    ]
    found = scored(both, trees, tables)
    assert (1 / (1 + np.exp(-found))).tolist() == [want[f"c{k}"] for k in some]
    binning = WoEBinning.load(tmp_path / "host.binning")
    assert binning.categorical_ == ["branch"]
    texts = {label: k for k, label in enumerate(binning.bins_[0].labels())}
    assert binning.codes(tables[1], ["branch"])[:, 0].tolist() == [texts[branch[k]] for k in some]
    assert binning.codes({"branch": [7, 7.0, "7", "007"], "day": [0] * 4}, ["branch"])[:, 0].tolist() == [
        *[texts["7"]] * 3,
        texts["007"],
    ]


# --------------------------------------------------------------------------------------------------- one row, one line


@pytest.mark.parametrize(
    ("lines", "number", "message"),
    [
        (["id,job", "1,cook", '2,"clerk', "3,pilot", "4,cook"], 3, "close each quote"),  # swallows the rest
        (["id,job", "1,cook", '2,"clerk', '3,"pilot"', "4,cook"], 3, "close each quote"),
        (["id,job", "1,cook", '2,"clerk', '3,pilot"', "4,cook"], 3, "ends in line 4"),  # swallows a row
        (["id,job", "1,cook", '2,"clerk, gra'], 3, "close each quote"),  # a file that was cut
        (["id,job", "1,cook", '2,"clerk"x', "3,pilot"], 3, "close each quote"),
        (["id,job", "1,cook", "2,clerk,x", "3,pilot"], 3, "has 3 fields, not 2"),
        (["id,job", "1,cook", "2", "3,pilot"], 3, "has 1 fields, not 2"),
        (["id,job", "1,cook", "", "2,clerk,x"], 4, "has 3 fields, not 2"),
        (['id,"job', '"', "1,cook"], 1, "ends in line 2"),
        (['id,"job', "1,cook"], 1, "close each quote"),
    ],
)
def test_no_row_is_lost_in_a_quote(tmp_path, lines, number, message):
    path = written(tmp_path, "\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=rf"^line {number} of .*bank\.csv .*{message}"):
        read_columns(path)


def test_quotes_that_end_in_their_line_are_read(tmp_path):
    path = written(tmp_path, 'id,"a, b"\r\n1,"clerk, grade 2"\r\n\r\n2,"5"" pipe"\r\n3,5" pipe\r\n')
    assert read_columns(path)["a, b"].tolist() == ["clerk, grade 2", '5" pipe', '5" pipe']
