"""Rules of the house that a program can check: where randomness and arrays come from, what the C core may know."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
KERNELS = sorted((ROOT / "src").rglob("*.pyx")) + sorted((ROOT / "src").rglob("*.pxd"))
CORE = sorted(path for path in (ROOT / "csrc").glob("*.[ch]"))

FORBIDDEN = {"random", "numpy.random", "dill", "cloudpickle", "marshal", "shelve"}
FORBIDDEN |= {f"pickle.{name}" for name in ("load", "loads", "Unpickler", "_Unpickler")}  # PickleBuffer may be used
FORBIDDEN_CALLS = re.compile(
    r"\b(malloc|calloc|realloc|free|printf|fprintf|puts|abort|exit|assert|rand|srand|mp_set_memory_functions)\s*\("
)


def offences(text: str, name: str) -> list[str]:
    """Imports and attribute reads that bring in a foreign source of randomness, or unpickling."""
    found = []
    for node in ast.walk(ast.parse(text, name)):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            modules = [f"{'numpy' if owner == 'np' else owner}.{node.attr}"]
        found += [f"{name}:{node.lineno}: {module}" for module in modules if module in FORBIDDEN]
    return found


def code_only(text: str) -> str:
    """C without comments and string literals."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    text = re.sub(r"//[^\n]*", " ", text)
    return re.sub(r'"(\\.|[^"\\])*"', '""', text)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_randomness_and_pickle(path: Path) -> None:
    assert offences(path.read_text(), path.name) == []


@pytest.mark.parametrize(
    "line",
    [
        "import random",
        "from random import randint",
        "import numpy.random",
        "from numpy import random",
        "import numpy as np\nnp.random.default_rng()",
        "import pickle\npickle.loads(data)",
        "from pickle import loads",
    ],
)
def test_the_gate_sees(line: str) -> None:
    assert offences(line, "planted")


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_kernels_draw_no_randomness(path: Path) -> None:
    assert not re.search(
        r"^\s*(c?import|from)\s+(random|numpy\.random)\b|np\.random|pickle\.load", path.read_text(), re.MULTILINE
    )


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_core_knows_no_python_and_owns_nothing(path: Path) -> None:
    code = code_only(path.read_text())
    assert "Python.h" not in path.read_text()
    assert FORBIDDEN_CALLS.findall(code) == []


def test_only_files_named_for_it_know_a_cpu() -> None:
    knows = re.compile(r"immintrin|__builtin_cpu|__AVX|arm_neon")
    named = re.compile(r"bt_mont|bt_registers|.*_avx2\.")
    assert [p.name for p in CORE if not named.match(p.name) and knows.search(code_only(p.read_text()))] == []


# Every place where the leak test stops following a value; SECURITY.md says why. A new one belongs in both lists.
REVIEWED = [
    ("bt_field.c", "&good"),
    ("bt_field_odd.c", "&good"),
    ("bt_field_small.c", "&good"),
    ("bt_modulus.c", "&top_bits"),
    ("bt_modulus.c", "&odd"),
    ("bt_pack.c", "&over"),
    ("bt_pack.c", "&over"),
    ("bt_paillier_decrypt.c", "&good"),
    ("bt_paillier_owner.c", "&zero"),
    ("bt_paillier_owner.c", "c"),
    ("bt_paillier_owner.c", "&good"),
    ("bt_paillier_roots.c", "y"),
    ("bt_ring_words.h", "&over"),
    ("bt_ring_words.h", "&rest"),
]


def test_places_where_secrets_become_public_are_reviewed() -> None:
    sites = [
        (path.name, what) for path in CORE for what in re.findall(r"^\s+BT_PUBLIC\(([^,]+),", path.read_text(), re.M)
    ]
    assert sorted(sites) == sorted(REVIEWED)


STATUS_NUMBER = re.compile(r"\{(status|rc)\b|\b(status|rc) *[!=]= *-?\d|<bt_status>")


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_kernels_compare_errors_by_name_and_report_them_in_words(path: Path) -> None:
    assert STATUS_NUMBER.findall(path.read_text()) == []


@pytest.mark.parametrize(
    "line", ["if status != 0:", "if rc == -7:", 'raise InvalidKey(f"kernel status {status}")', "status = <bt_status>0"]
)
def test_status_numbers_are_found(line: str) -> None:
    assert STATUS_NUMBER.search(line)


# What the leak test owes: each function of the headers computes on nothing secret, or has cases of its own.
NOTHING_SECRET = [
    "bt_cpu",
    "bt_cpu_of",
    "bt_compiler",
    "bt_gmp_load",
    "bt_modulus_storage",
    "bt_modulus_first_invalid",
    "bt_mont_pick",
    "bt_mont_for",
    "bt_mont_for_square",
    "bt_pow_secret_scratch",
    "bt_pow_public_scratch",
    "bt_comb_window",
    "bt_comb_table_words",
    "bt_comb_init",
    "bt_comb_build_scratch",
    "bt_comb_pow_scratch",
    "bt_multiexp_scratch",
    "bt_multiexp",
    "bt_multiexp_more",
    "bt_prod_scratch",
    "bt_prod",
    "bt_bincount_scratch",
    "bt_bincount",
    "bt_batch_scratch",
    "bt_batch_prefix",
    "bt_batch_unwind",
    "bt_indexed_scratch",
    "bt_store_indexed",
    "bt_multiexp_sparse_scratch",
    "bt_multiexp_sparse",
    "bt_scan_scratch",
    "bt_scan",
    "bt_straus_table_scratch",
    "bt_straus_table",
    "bt_straus_collect_scratch",
    "bt_straus_collect",
    "bt_straus_join_scratch",
    "bt_straus_join",
    "bt_accumulate_scratch",
    "bt_accumulate_flush",
    "bt_odd_columns",
    "bt_odd_powers_scratch",
    "bt_odd_powers",
    "bt_join_scratch",
    "bt_join",
    "bt_paillier_pub_storage",
    "bt_paillier_pub_init",
    "bt_paillier_load_checked_scratch",
    "bt_paillier_load_checked",
    "bt_paillier_mul_plain_scratch",
    "bt_paillier_priv_scratch",
    "bt_paillier_priv_check",
    "bt_paillier_owner_open",
    "bt_paillier_owner_rows",
    "bt_paillier_decrypt_scratch",
    "bt_paillier_owner_scratch",
    "bt_paillier_roots_scratch",
    "bt_arena_open",
    "bt_wipe_registers",
    "bt_arena_close",
    "bt_to_double",
    "bt_ring_pick",
    "bt_field_init",
    "bt_field_scratch",
    "bt_field_powers",
    "bt_field_lagrange",
    "bt_noise_words",
    "bt_noise_draw",  # its samples are secret, but its time follows them, as bt.federated.noise says
]
RING = ["share", "sum", "add", "sub", "mul", "scale", "dot", "beaver", "truncate", "mask", "unmask", "pack", "unpack"]
LEAK_CASES = {
    "bt_modulus_init": ["modulus_init"],
    "bt_inverse_2k": ["inverse_2k"],
    "bt_mont_init": ["mont_init"],
    "bt_pow_secret": ["pow_secret", "pow_secret_wide"],
    "bt_pow_secret_part": ["pow_secret_part"],
    "bt_pow_public": ["pow_secret_base"],
    "bt_pow_public_part": ["pow_public_part"],
    "bt_comb_build": ["comb_build", "comb_build_wide"],
    "bt_comb_pow": ["comb_pow"],
    "bt_comb_pow_part": ["comb_pow_part"],
    "bt_mul_indexed": ["mul_indexed"],
    "bt_paillier_mul_plain": ["mul_plain"],
    "bt_paillier_priv_init": ["priv_init"],
    "bt_paillier_owner_build": ["owner_build"],
    "bt_paillier_decrypt": ["decrypt_exponent", "decrypt_result", "decrypt_large"],
    "bt_paillier_roots": ["roots_exponent", "roots_power", "roots_large"],
    "bt_paillier_owner_encrypt": ["owner_encrypt_exponent", "owner_encrypt_power", "owner_encrypt_large"],
    "bt_quantise": ["quantise_binary", "quantise_decimal", "quantise_random"],
    "bt_quantise_int": ["quantise_int"],
    "bt_sum_squares": ["sum_squares"],
    "bt_shrink": ["shrink"],
    "bt_residues_from_int64": ["residues_from_int64", "residues_of_one_limb"],
    "bt_int64_from_residues": ["int64_from_residues"],
    "bt_pack_slots": ["pack_slots"],
    "bt_unpack_slots": ["unpack_slots"],
    **{f"bt_field_{name}": [f"field_{name}"] for name in ("add", "sub", "mul", "canonical", "accept", "matmul")},
    **{f"bt_ring_{name}{bits}": [f"ring_{name}{bits}"] for name in RING for bits in (32, 64)},
}
# the operations of a backend (bt_mont_ops), which have no prototype
BACKEND_CASES = ["load", "store", "one", "gather", "scatter", "mul", "sqr", "select_shared", "select_own"]
BACKEND_CASES += ["ring_matmul32", "ring_matmul64"]  # and those of bt_ring_ops


def test_every_function_with_a_secret_has_its_planted_leak() -> None:
    declared = set()
    for path in CORE:
        if path.suffix == ".h" and "_impl" not in path.name and not path.name.startswith("bt_mont_"):
            prototypes = re.findall(
                r"^(?!static)\w[^;{}#()]*?\b(bt_\w+)\([^;{}]*\);", code_only(path.read_text()), re.M
            )
            declared |= set(prototypes)
    assert declared == set(NOTHING_SECRET) | set(LEAK_CASES)
    cases, over_pairs = set(), set()
    for path in (ROOT / "csrc" / "tests").glob("leak_*.c"):
        cases |= set(re.findall(r'^    \{"(\w+)", \1, (?:EACH|PAIRS|ONCE|MPN)\},', path.read_text(), re.M))
        over_pairs |= set(re.findall(r'^    \{"(\w+)", \1, PAIRS\},', path.read_text(), re.M))
    assert over_pairs >= {"mont_init", "load", "store", "gather", "mul", "mul_wide", "sqr", "sqr_wide", "pow_secret"}
    assert {case for wanted in LEAK_CASES.values() for case in wanted} | set(BACKEND_CASES) <= cases


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], ids=lambda path: path.name)
def test_documents_hold_no_tags_by_accident(path: Path) -> None:
    """Markdown takes <w_p> outside of code for a tag of HTML, and shows nothing."""
    prose = re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"`[^`]*`", "", prose)
    assert re.findall(r"<(?!img |/?details|/?summary|https?:)[A-Za-z/][^<>]*>", prose) == []


# Calls of numpy.asarray and its kin on a bare name, attribute or subscript, by file: all of them are on arrays
# that the package made itself. What a caller gave goes through bluetusk._numeric.as_array(), since numpy.asarray drops
# the mask of a numpy.ma array without a word. A new one here means: somebody has looked where its argument comes from.
OWN_ARRAYS = {
    "_numeric.py": 5,
    "_rounding.py": 2,
    "_selftest_shares.py": 4,
    "demo/credit.py": 2,
    "demo/data.py": 2,
    "demo/roles.py": 1,
    "federated/paillier_sum/holder.py": 1,
    "federated/noise/sampler.py": 1,
    "federated/secagg/_ids.py": 1,
    "federated/secagg/server/shares.py": 2,
    "paillier/_share_request.py": 1,
    "paillier/_bounds.py": 2,
    "paillier/encrypting.py": 2,
    "paillier/_ufunc.py": 1,
    "paillier/_words.py": 8,
    "paillier/_store.py": 1,
    "paillier/_straus.py": 2,
    "paillier/_shape.py": 3,
    "paillier/to_shares.py": 1,
    "sharing/_field.py": 2,
    "sharing/_polynomial.py": 2,
    "sharing/_protocols.py": 1,
    "sharing/_words.py": 3,
    "sharing/array.py": 1,
    "sharing/beaver.py": 2,
    "sharing/bytestrings.py": 1,
    "sharing/dealer.py": 1,
    "sharing/share.py": 2,
    "vertical/boosting/arrays.py": 1,
    "vertical/binning/bins.py": 3,
    "vertical/boosting/guest.py": 1,
    "vertical/boosting/score.py": 1,
    "vertical/boosting/buckets.py": 1,
    "vertical/intervals.py": 1,
    "vertical/protocol/link.py": 2,
    "vertical/logistic/columns.py": 4,
    "vertical/logistic/half.py": 1,
    "vertical/logistic/job.py": 4,
    "vertical/protocol/state.py": 2,
    "vertical/align/guest.py": 1,
    "vertical/boosting/estimator.py": 2,
    "vertical/party/reporting.py": 1,
    "vertical/party/run.py": 1,
}
ASARRAY = {"array", "asanyarray", "asarray", "ascontiguousarray", "asfortranarray"}


def bare_conversions(text: str, name: str) -> list[str]:
    """Calls that make an array of something that may be a caller's, by line."""
    return [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(text, name))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ASARRAY
        and ast.unparse(node.func.value) in ("np", "numpy")
        and node.args
        and isinstance(node.args[0], ast.Name | ast.Attribute | ast.Subscript | ast.Starred)
    ]


def subscripted_bases(text: str, name: str) -> list[str]:
    """Classes of a module that are subscripted as a base: the standard ones refuse it, most of them in CPython 3.10."""
    return [
        f"{name}:{node.lineno}: {ast.unparse(base)}"
        for node in ast.walk(ast.parse(text, name))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Subscript) and isinstance(base.value, ast.Attribute)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_bases_are_ones_of_the_oldest_python(path: Path) -> None:
    assert not subscripted_bases(path.read_text(), path.name)


def test_the_gate_for_bases_sees() -> None:
    assert subscripted_bases("class A(logging.StreamHandler[TextIO]): ...", "planted")
    assert not subscripted_bases("class A(dict[str, int], Phase['B'], logging.Handler): ...", "planted")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_arrays_of_callers_pass_the_gate(path: Path) -> None:
    name = path.relative_to(ROOT / "src" / "bluetusk").as_posix()
    found = bare_conversions(path.read_text(), name)
    assert len(found) == OWN_ARRAYS.get(name, 0), "\n".join(
        [f"use as_array(), or set OWN_ARRAYS[{name!r}] to {len(found)} once each is seen to be the package's:", *found]
    )


def test_the_list_of_own_arrays_names_files_that_exist() -> None:
    assert set(OWN_ARRAYS) <= {path.relative_to(ROOT / "src" / "bluetusk").as_posix() for path in SOURCES}


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("np.asarray(x)", 1),
        ("np.array(x.codes, dtype=int)", 1),
        ("np.ascontiguousarray(codes[:, 0])", 1),
        ("numpy.asanyarray(y)", 1),
        ("np.array([*x])", 0),
        ("np.asarray(a + b)", 0),
        ("np.ascontiguousarray(as_array(x, 'x'))", 0),
    ],
)
def test_the_gate_for_arrays_sees(line: str, count: int) -> None:
    assert len(bare_conversions(f"def f(x, y, a, b, codes):\n    return {line}", "planted")) == count
