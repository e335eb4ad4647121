"""Randomness comes from the operating system alone: no source file may reach for another generator."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"
CSRC = SRC.parent / "csrc"
FORBIDDEN = {"random", "numpy.random", "scipy.stats", "sklearn.utils.random"}
IMPORTERS = {"__import__", "importlib.import_module", "import_module"}
GMP_GENERATOR = re.compile(r"gmpy2\.(mpz_random\w*|mpz_urandomb|mpz_rrandomb|random_state)")


def dotted(node: ast.AST) -> str:
    """The dotted name of an attribute chain, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and dotted(node.value):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def banned(name: str) -> bool:
    return any(name == bad or name.startswith(bad + ".") for bad in FORBIDDEN)


def offences(source: str) -> list[str]:
    """Lines of a Python source that use a generator which is not the system's."""
    tree = ast.parse(source)
    names: dict[str, str] = {}  # what a local name stands for
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                if banned(alias.name):
                    found.append(f"{node.lineno}: import {alias.name}")
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names[alias.asname or alias.name] = whole
                if banned(node.module or "") or banned(whole):
                    found.append(f"{node.lineno}: from {node.module} import {alias.name}")
        elif isinstance(node, ast.Call) and dotted(node.func) in IMPORTERS and node.args:
            first_arg = node.args[0]
            if isinstance(first_arg, ast.Constant) and banned(str(first_arg.value)):
                found.append(f"{node.lineno}: import of {first_arg.value}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = dotted(node).partition(".")
            whole = f"{names.get(first, '?' + first)}.{rest}"
            if rest and (banned(whole) or GMP_GENERATOR.fullmatch(whole)):
                found.append(f"{node.lineno}: {whole}")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import random",
        "import random as r",
        "from random import randrange",
        "import numpy.random",
        "from numpy import random",
        "from numpy.random import default_rng as g",
        "import numpy as np\nx = np.random.default_rng()",
        "import numpy\nnumpy.random.seed(1)",
        "def f():\n    import random\n    return random.random()",
        "__import__('random')",
        "import importlib\nimportlib.import_module('numpy.random')",
        "import gmpy2\ns = gmpy2.random_state(7)",
        "import gmpy2 as g\ns = g.mpz_urandomb(1, 2)",
    ],
)
def test_the_gate_sees(source):
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    [
        "import secrets\nsecrets.randbelow(3)",
        "import os\nos.urandom(3)",
        "random = 7\nrandom.bit_length()",
        "from .random import x",
        "def f(random):\n    return random.shape",
        "import numpy as np\nnp.zeros(3)",
    ],
)
def test_the_gate_lets_pass(source):
    assert offences(source) == []


def test_python_sources_use_the_system_alone():
    files = sorted(SRC.rglob("*.py"))
    assert len(files) > 10
    found = {str(file.relative_to(SRC)): offences(file.read_text("utf-8")) for file in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_cython_and_c_sources_use_the_system_alone():
    files = [*SRC.rglob("*.pyx"), *SRC.rglob("*.pxd"), *CSRC.glob("*.[ch]")]
    assert len(files) > 10
    generator = re.compile(
        r"^\s*(c?import|from)\s+(random|numpy\.random)\b|\bnp\.random\b|\bnumpy\.random\b"
        r"|\b(s?rand|rand_r|[dlm]rand48|s?random|gmp_rand\w+|mpn_random2?)\s*\(",
        re.MULTILINE,
    )
    assert generator.search("  x = rand();")
    assert generator.search("import numpy.random as r")
    assert {str(file): match[0] for file in files if (match := generator.search(file.read_text("utf-8")))} == {}
