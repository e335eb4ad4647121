"""Rules of the house that a program can check: where randomness comes from, what the C core may know."""

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
    named = re.compile(r"bt_mont|.*_avx2\.")
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
    ("bt_ring_words.h", "&over"),
    ("bt_ring_words.h", "&rest"),
]


def test_places_where_secrets_become_public_are_reviewed() -> None:
    sites = [
        (path.name, what) for path in CORE for what in re.findall(r"^\s+BT_PUBLIC\(([^,]+),", path.read_text(), re.M)
    ]
    assert sorted(sites) == sorted(REVIEWED)
