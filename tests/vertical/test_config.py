"""A party's configuration and table: every setting checked by name, files read as they are."""

from __future__ import annotations

import numpy as np
import pytest

from bluetusk.vertical.party.config import Config, Model
from bluetusk.vertical.party.rows import Rows
from bluetusk.vertical.tables.files import read_columns

GUEST = """
job = "j"
evidence = "none"
certificate = "a.cert.pem"
key = "a.key.pem"
peer_certificate = "b.cert.pem"
connect = "localhost:7443"
[data]
file = "bank.csv"
label = "DEFAULT"
"""


def load(tmp_path, text, role="guest"):
    path = tmp_path / "party.toml"
    path.write_text(text)
    return Config.load(path, role=role)


def test_paths_are_relative_to_the_file(tmp_path):
    config = load(tmp_path, GUEST)
    assert config.data.file == str(tmp_path / "bank.csv")
    assert config.state == str(tmp_path / "state")
    assert config.certificate == str(tmp_path / "a.cert.pem")
    assert config.model == Model()
    assert config.evidence is None
    assert (config.spool_quota, config.max_peer_ids) == (4 << 30, 1 << 24)
    least = [getattr(Model(), f"min_{name}") for name in ("rows", "events", "others", "intersection", "total_events")]
    assert least == [50, 5, 5, 500, 100]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('job = "j"\n', ""), "lacks .*job"),
        (('job = "j"', "job = 3"), "job must be a text"),
        (('job = "j"', 'job = ""'), "job must be"),
        (('job = "j"', 'job = "j"\nspeed = 3'), "speed is not known"),
        (('job = "j"', 'job = "j"\nspool_quota = "4 GiB"'), "spool_quota must be a whole number"),
        (('job = "j"', 'job = "j"\nspool_quota = -1'), "spool_quota must be between 0 and .* bytes, not -1"),
        (('job = "j"', 'job = "j"\nspool_quota = 9_000_000_000_000_000'), "spool_quota must be between"),
        (('job = "j"', 'job = "j"\nmax_peer_ids = 0'), "max_peer_ids must be between 1 and 4294967296, not 0"),
        (("[data]", "[model]\ntrees = 2.5\n[data]"), "model.trees must be a whole number"),
        (("[data]", "[model]\ntrees = true\n[data]"), "model.trees must be a whole number"),
        (("[data]", "[model]\ntrees = 2000\n[data]"), "model.trees must be .* not 2000"),
        (("[data]", "[model]\nmin_bucket_rows = 0\n[data]"), "model.min_bucket_rows must be .* not 0"),
        (("[data]", "[model]\ntest_share = 1.0\n[data]"), "model.test_share"),
        (("[data]", "[model]\nkey_size = 1024\n[data]"), "model.key_size"),
        (("[data]", '[model]\nsigmoid = "tanh"\n[data]'), "model.sigmoid"),
        (('evidence = "none"\n', ""), r"the section \[evidence\] is missing"),
        (('evidence = "none"', 'evidence = "some"'), "evidence must be a section"),
        (('evidence = "none"', 'evidence = { log = "l", policy = "p" }'), "evidence.* lacks"),
        (('evidence = "none"', 'evidence = { log = "l" }'), "evidence.policy is missing.*evidence policy example"),
        (("[data]", "[model]\nmin_total_events = -1\n[data]"), "model.min_total_events"),
        (('label = "DEFAULT"\n', ""), "data.label"),
        (('label = "DEFAULT"\n', 'label = "DEFAULT"\ncolumns = [1]\n'), "data.columns must be a list of texts"),
        (("connect =", 'listen = "0.0.0.0:1"\nconnect ='), "exactly one of listen and connect"),
        (("[data]", "data"), "is not a TOML file"),
    ],
)
def test_mistakes_are_named(tmp_path, change, complaint):
    assert change[0] in GUEST
    with pytest.raises(ValueError, match=complaint) as caught:
        load(tmp_path, GUEST.replace(*change, 1))
    assert "party.toml" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        ("", ""),
        ('job = "j"\n', ""),
        ('job = "j"', "job = 3"),
        ('job = "j"', 'job = ""'),
        ('job = "j"', 'job = "j"\nspeed = 3'),
        ('job = "j"', 'job = "j"\nspool_quota = -1'),
        ('job = "j"', 'job = "j"\nhalves = "shut"\npatience = 0'),
        ("[data]", "[model]\ntrees = 2.5\n[data]"),
        ("[data]", "[model]\ntrees = 2000\n[data]"),
        ("[data]", '[model]\nreveal = ["all"]\nsigmoid = "tanh"\n[data]'),
        ('evidence = "none"\n', ""),
        ('evidence = "none"', 'evidence = { log = "l", policy = "p" }'),
        ('label = "DEFAULT"\n', ""),
        ('label = "DEFAULT"\n', 'label = "DEFAULT"\ndecimal = "x"\n'),
        ('label = "DEFAULT"\n', 'label = "DEFAULT"\ndecimal = ","\nthousands = ","\n'),
        ("connect =", 'listen = "0.0.0.0:1"\nconnect ='),
        ('connect = "localhost:7443"', 'connect = "localhost"'),
        ('connect = "localhost:7443"', ""),
        ("[data]", "[date]"),
    ],
)
def test_an_examination_finds_what_loading_refuses(tmp_path, change):
    text = GUEST.replace(*change, 1)
    path = tmp_path / "party.toml"
    path.write_text(text)
    config, faults = Config.examine(path, role="guest")
    try:
        loaded = Config.load(path, role="guest")
    except ValueError as error:
        assert any(str(error).endswith(fault) for fault in faults.values()), (faults, error)  # noqa: PT017
    else:
        assert faults == {}
        assert config == loaded


def test_an_examination_finds_all(tmp_path):
    path = tmp_path / "party.toml"
    text = GUEST.replace('job = "j"', 'job = ""\nspeed = 1').replace('label = "DEFAULT"', 'id = 3\ndecimal = "xx"')
    path.write_text(text.replace("localhost:7443", "nowhere") + "[model]\ntrees = 2000\ndepth = 11\nmin_row = 3\n")
    found = set(Config.examine(path, role="guest")[1])
    assert found == {
        *("job", "speed", "connect", "data.id", "data.decimal", "data.label"),
        *("model.trees", "model.depth", "model.min_row"),
    }


def test_a_host_has_no_label(tmp_path):
    with pytest.raises(ValueError, match=r"data.label"):
        load(tmp_path, GUEST, role="host")


def test_settings_that_are_compared_hold_no_float():
    stated = Model().stated()
    assert not any(isinstance(value, float) for value in stated.values())
    assert float.fromhex(stated["test_share"]) == 0.3


# ----------------------------------------------------------------------------------------------------------- files


def test_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('\ufeffid,age,city\n007,41,"a,b"\n008,,\n', encoding="utf-8")
    table = read_columns(path, text=["id"])
    assert table["id"].tolist() == ["007", "008"]
    assert np.array_equal(table["age"], [41.0, np.nan], equal_nan=True)
    assert table["city"].tolist() == ["a,b", None]
    assert list(read_columns(path, ["city"])) == ["city"]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"id,id\n1,2\n", "each once"),
        (b"", "each once"),
        (b"id,age\n1\n", "line 2 .* has 1 fields, not 2"),
        (b"id,age\n1,\xff\n", "UTF-8"),
    ],
)
def test_broken_csv(tmp_path, data, complaint):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=complaint):
        read_columns(path)


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,age\n1,2\n")
    with pytest.raises(ValueError, match="no column 'income'"):
        read_columns(path, ["income"])


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet files need pyarrow, which Bluetusk does not depend on")
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"id": ["a", "b"], "age": [41, None], "city": ["x", None]}), path)
    table = read_columns(path, text=["id"])
    assert table["id"].tolist() == ["a", "b"]
    assert np.array_equal(table["age"], [41.0, np.nan], equal_nan=True)
    assert table["city"].tolist() == ["x", None]
    path.write_bytes(b"no parquet")
    with pytest.raises(ValueError, match="no Parquet file"):
        read_columns(path)


def test_rows(tmp_path):
    (tmp_path / "bank.csv").write_text("id,age,city,DEFAULT\nb,41,x,1\na,,y,0\n")
    rows = Rows.read(load(tmp_path, GUEST))
    assert rows.names == ["age", "city"]
    assert rows.labels.tolist() == [1, 0]
    assert rows.matrix(np.array([0])).tolist() == [[41.0, "x"]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("id,age\nb,41\n", "no column 'DEFAULT'"),
        ("ident,DEFAULT\nb,1\n", "no column 'id'"),
        ("id,DEFAULT\n,1\n", "without an id"),
        ("id,DEFAULT\na,2\n", "0 and 1 only"),
        ("id,DEFAULT\na,\n", "0 and 1 only"),
    ],
)
def test_rows_that_are_none(tmp_path, text, complaint):
    (tmp_path / "bank.csv").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        Rows.read(load(tmp_path, GUEST))
