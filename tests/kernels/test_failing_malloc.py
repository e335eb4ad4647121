"""Promise M14, out of memory: each allocation of the kernels fails once, the first, the second, and so on. The call
raises MemoryError, and the next one gives the right answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig

import pytest

# malloc and mmap that fail when they are called from the kernels for the k-th time after fail_at(k)
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static volatile long left;
long fail_at(long k) { const long before = left; left = k; return before; }

static int fails(void *caller)
{
    Dl_info info;
    if (left <= 0 || !dladdr(caller, &info) || !info.dli_fname || !strstr(info.dli_fname, "bluetusk/_kernels/"))
        return 0;
    return --left == 0;
}

void *malloc(size_t n)
{
    static void *(*real)(size_t);
    if (!real)
        real = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return real(n);
}

void *mmap(void *at, size_t n, int protection, int flags, int file, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (!real)
        real = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return real(at, n, protection, flags, file, offset);
}
"""

# P and Q: those of the toy key of csrc/tests.
PROGRAM = """
import ctypes, json, sys
import numpy as np
from bluetusk import modexp
from bluetusk._kernels.paillier import PaillierPrivate, PaillierPublic

shim, m, big = ctypes.CDLL(None), 2**127 - 1, (1 << 2048) - 1942289
p, q = 0xd684828136b0c33bb8a10e42c7472ecb, 0xc05fa1037f3257e664711b1ea24be64b
n = p * q
hs = pow(n * n - 9, n, n * n)


def rows(values, limbs):
    data = b"".join(int(value).to_bytes(8 * limbs, "little") for value in values)
    return np.frombuffer(data, dtype=np.uint64).reshape(len(values), limbs)


def key():
    public = PaillierPublic(n)
    limbs = public.n_limbs
    private = PaillierPrivate(public, p, q, hs)
    canon, out = np.zeros((2, 2 * limbs), np.uint64), np.zeros((2, limbs), np.uint64)
    private.owner_open(1 << 16)
    while not private.owner_build():
        pass
    private.encrypt(canon, rows([5, n - 1], limbs), 0, 2)
    private.decrypt(out, canon, 0, 2)
    elements = public.mont.empty(2)
    public.load_checked(elements, canon, 0, 2)
    public.table_open(1 << 16)
    while not public.table_build(hs):
        pass
    public.blind_table(elements, 0, 2, rows([3, 4], limbs // 2))
    private.close()
    return [int.from_bytes(row.tobytes(), "little") for row in out] == [5, n - 1]


operations = {
    "powers": lambda: modexp.powmod([3, 5, 7], [70, 2**80, 9], big) == [pow(3, 70, big), pow(5, 2**80, big), 7**9],
    "public powers": lambda: modexp.powmod([3, 5], 70, m, secret_exponents=False) == [pow(3, 70, m), pow(5, 70, m)],
    "fixed base": lambda: modexp.FixedBase(3, m, 64).powmod([70, 1 << 63]) == [pow(3, 70, m), pow(3, 1 << 63, m)],
    "joint powers": lambda: modexp.multiexp([3, 5], [[7, 2], [0, -1]], m) == [3**7 * 25, pow(5, -1, m)],
    "key": key,
}
operation, raised = operations[sys.argv[1]], []
assert operation()
for k in range(1, 501):
    shim.fail_at(k)
    try:
        assert operation()
    except MemoryError:
        raised.append(k)
    reached = shim.fail_at(0) == 0
    assert operation()
    if not reached:
        break
print(json.dumps({"raised": raised, "allocations": k - 1}))
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", folder / "shim.so", folder / "shim.c", "-ldl"]
    subprocess.run(command, check=True)
    return folder / "shim.so"


@pytest.mark.parametrize("operation", ["powers", "public powers", "fixed base", "joint powers", "key"])
def test_each_allocation_fails_once(shim, operation):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, operation],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert 1 < found["allocations"] < 500  # all of them failed, one by one
    assert found["raised"] == list(range(1, found["allocations"] + 1))
