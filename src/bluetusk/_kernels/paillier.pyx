# cython: language_level=3
"""Binding of csrc/bt_paillier.h: types, buffers, lifetimes and errors. The algorithms are in C."""

import os
import threading

import gmpy2
import numpy as np

from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from bluetusk._kernels.limb cimport (
    BT_ERR_FAULT, BT_ERR_NOMEM, BT_ERR_WIPED, BT_OK, bt_limb, bt_status, bt_wipe, bt_word,
)
from bluetusk._kernels.modexp cimport (
    Montgomery, bt_comb, bt_comb_build, bt_comb_build_scratch, bt_comb_init, bt_comb_pow, bt_comb_pow_scratch,
    bt_comb_table_words, bt_comb_window, bt_gmp_load, bt_indexed_scratch, bt_modulus, bt_mont, bt_mont_offset,
    bt_pow_public, bt_pow_public_scratch, bt_pow_secret, bt_pow_secret_scratch, bt_store_indexed, new_words,
)

from bluetusk._fork import process
from bluetusk._kernels import gmp_path
from bluetusk._kernels.modexp import aligned_zeros
from bluetusk.errors import DecryptionError, InvalidKey


cdef extern from "bt_paillier.h" nogil:
    ctypedef struct bt_arena:
        unsigned char *base
        size_t size
        int locked
    ctypedef struct bt_paillier_pub:
        pass
    ctypedef struct bt_paillier_side:
        bt_modulus m1
        bt_modulus m2
    ctypedef struct bt_paillier_priv:
        size_t L
        size_t H
        bt_paillier_side side[2]
    void bt_arena_close(bt_arena *arena)
    size_t bt_paillier_pub_storage(size_t limbs)
    bt_status bt_paillier_pub_init(bt_paillier_pub *pub, const bt_limb *n, size_t limbs, const bt_mont *n2,
                                   bt_word *storage)
    size_t bt_paillier_load_checked_scratch(const bt_mont *n2)
    size_t bt_paillier_load_checked(const bt_mont *n2, const bt_limb *n, size_t n_limbs, bt_word *dst,
                                    const bt_limb *c, size_t count, bt_word *scratch)
    size_t bt_paillier_mul_plain_scratch(const bt_paillier_pub *pub)
    void bt_paillier_mul_plain(const bt_paillier_pub *pub, bt_word *dst, const bt_word *src, const bt_limb *m,
                               size_t n, int secret, bt_word *scratch)
    size_t bt_paillier_priv_scratch(const bt_paillier_pub *pub)
    bt_status bt_paillier_priv_init(bt_arena *arena, bt_paillier_priv **priv, const bt_paillier_pub *pub,
                                    const bt_limb *p, const bt_limb *q, bt_word *scratch)
    bt_status bt_paillier_priv_check(const bt_paillier_priv *priv)
    bt_status bt_paillier_owner_open(bt_arena *tables, bt_paillier_priv *priv, size_t table_bytes)
    size_t bt_paillier_owner_rows(const bt_paillier_priv *priv)
    bt_status bt_paillier_owner_build(bt_paillier_priv *priv, const bt_limb *hs, size_t first, size_t count,
                                      bt_word *scratch)
    size_t bt_paillier_decrypt_scratch(const bt_paillier_priv *priv, size_t n)
    bt_status bt_paillier_decrypt(const bt_paillier_priv *priv, bt_limb *m, const bt_limb *c, size_t n,
                                  const bt_limb *random, bt_word *scratch)
    size_t bt_paillier_owner_scratch(const bt_paillier_priv *priv, size_t n)
    bt_status bt_paillier_owner_encrypt(const bt_paillier_priv *priv, bt_limb *c, const bt_limb *m, const bt_limb *a,
                                        size_t n, const bt_limb *hs, const bt_limb *random, bt_word *scratch)
    size_t BT_PAILLIER_ROOTS
    size_t bt_paillier_roots_scratch(const bt_paillier_priv *priv)
    bt_status bt_paillier_roots(const bt_paillier_priv *priv, bt_limb *y, const bt_limb *x, size_t count,
                                const bt_limb *random, bt_word *scratch)


if bt_gmp_load(os.fsencode(gmp_path()), NULL) != BT_OK:  # modexp, imported above, has reported the cause by now
    raise ImportError("bluetusk could not bind GMP through gmpy2; reinstall gmpy2 >= 2.2")

# Table rows that one call builds: a few milliseconds, so that Ctrl-C is seen.
cdef size_t BUILD_STEPS = 8


cdef class _Scratch:
    """Scratch memory that may have held secrets: wiped when freed."""

    cdef bt_word *p
    cdef size_t bytes

    def __cinit__(self, size_t words):
        self.bytes = (words + 8) * sizeof(bt_word)
        self.p = new_words(words + 8)

    def __dealloc__(self):
        if self.p is not NULL:
            bt_wipe(self.p, self.bytes)
            free(self.p)


cdef object _limbs(object value, size_t limbs):
    """An integer 0 <= value < 2^(64 limbs) as a uint64 array."""
    return np.frombuffer(int(value).to_bytes(8 * limbs, "little"), dtype="<u8").astype(np.uint64)


cdef int _check_range(Py_ssize_t lo, Py_ssize_t hi, Py_ssize_t n, Py_ssize_t lanes) except -1:
    if not 0 <= lo <= hi <= n:
        raise IndexError(f"slice [{lo}, {hi}) is outside an array of {n} elements")
    if lo % lanes:
        raise ValueError(f"a slice must begin at a multiple of {lanes}, not at {lo}")
    return 0


cdef str _cause(bt_status status):
    """Return why an operation with the private key failed."""
    if status == BT_ERR_FAULT:
        return "a result does not match its inputs"
    if status == BT_ERR_WIPED:
        return "the key was closed, or belongs to the process that loaded it"
    return "a batch is too long, or a random word is 0"  # BT_ERR_ARG


cdef class PaillierPublic:
    """The arithmetic of one public modulus n (already validated) over arrays modulo n^2."""

    cdef readonly object n
    cdef readonly Py_ssize_t n_limbs
    cdef readonly Montgomery mont
    cdef bt_paillier_pub pub
    cdef object _storage, _n_limbs_array, _table
    cdef object _builder  # process of the thread that is building a step of the table, or None
    cdef bt_comb comb
    cdef size_t _steps_built

    def __cinit__(self, n):
        cdef uint64_t[::1] limbs, storage
        self.n = gmpy2.mpz(n)
        bits = self.n.bit_length()
        if bits % 128 or bits < 256 or bits > 8192:
            raise ValueError(f"n must have a multiple of 128 bits from 256 to 8192, not {bits}")
        self.n_limbs = bits // 64
        self.mont = Montgomery(self.n * self.n, self.n)
        self._n_limbs_array = _limbs(self.n, self.n_limbs)
        limbs = self._n_limbs_array
        self._storage = np.zeros(bt_paillier_pub_storage(self.n_limbs), dtype=np.uint64)
        storage = self._storage
        if bt_paillier_pub_init(&self.pub, &limbs[0], self.n_limbs, &self.mont.mont, <bt_word *>&storage[0]) != BT_OK:
            raise ValueError("n must be odd")

    def load_checked(self, bt_word[::1] dst not None, const uint64_t[:, ::1] canon not None, Py_ssize_t lo,
                     Py_ssize_t hi):
        """dst[i] = canon[i], lo <= i < hi; return the first i whose row is not a ciphertext (0 < c < n^2, prime to n), or -1."""
        cdef _Scratch scratch
        cdef Py_ssize_t found, offset
        cdef const uint64_t[::1] n = self._n_limbs_array
        if canon.shape[1] != 2 * self.n_limbs:
            raise ValueError(f"canon must have {2 * self.n_limbs} limbs a row, not {canon.shape[1]}")
        _check_range(lo, hi, canon.shape[0], self.mont.lanes)
        offset = self._offset(dst, lo, hi)
        if lo == hi:
            return -1
        scratch = _Scratch(bt_paillier_load_checked_scratch(&self.mont.mont))
        with nogil:
            found = bt_paillier_load_checked(&self.mont.mont, &n[0], self.n_limbs, &dst[offset], &canon[lo, 0], hi - lo,
                                             scratch.p)
        return -1 if found == hi - lo else int(lo + found)

    def mul_plain(self, bt_word[::1] dst not None, const bt_word[::1] src not None, idx,
                  const uint64_t[:, ::1] msgs not None, Py_ssize_t lo, Py_ssize_t hi, bint secret):
        """dst[i] = src[idx[i]] * (1 + msgs[i] n) for lo <= i < hi; msgs are canonical residues mod n."""
        cdef _Scratch scratch
        cdef Py_ssize_t offset
        if msgs.shape[1] != self.n_limbs:
            raise ValueError(f"msgs must have {self.n_limbs} limbs a row, not {msgs.shape[1]}")
        _check_range(lo, hi, msgs.shape[0], self.mont.lanes)
        self.mont.gather(dst, src, idx, lo, hi)
        if lo == hi:
            return
        scratch = _Scratch(bt_paillier_mul_plain_scratch(&self.pub))
        offset = bt_mont_offset(&self.mont.mont, lo)
        with nogil:
            bt_paillier_mul_plain(&self.pub, &dst[offset], &dst[offset], &msgs[lo, 0], hi - lo, secret, scratch.p)

    # --- blinding: used by paillier.blinding alone, which lets one thread at a time build the table ---

    def table_open(self, size_t table_bytes):
        """Allocate the comb table, once; return the number of steps that fill it (see table_build)."""
        cdef bt_word[::1] memory
        cdef size_t ebits = 32 * <size_t>self.n_limbs
        cdef size_t window
        if self._table is None:
            window = bt_comb_window(&self.mont.mont, ebits, table_bytes)
            if window == 0:
                raise ValueError(f"table_bytes = {table_bytes} is too small")
            table = aligned_zeros(bt_comb_table_words(&self.mont.mont, ebits, window))
            memory = table
            # What allocates may have run a finaliser, or another thread, which has opened the table meanwhile. Below no
            # Python object is made, so that the table and what points to it appear in one step.
            if self._table is None:
                bt_comb_init(&self.comb, &self.mont.mont, ebits, window, &memory[0])
                self._table = table
        return int(self.comb.build_steps)

    @property
    def table_bytes(self):
        """Bytes of the comb table, 0 before table_open."""
        return 0 if self._table is None else self._table.nbytes

    def table_build(self, hs):
        """Take the next few steps; return True when the table is complete."""
        cdef _Scratch scratch
        cdef bt_word[::1] base = self._element(hs)
        cdef size_t first, count
        cdef object token
        if self._table is None:
            raise ValueError("the table is not open")
        scratch = _Scratch(bt_comb_build_scratch(&self.comb))
        token = process()
        if self._builder is token:  # another one is of a process that forked, whose child goes on where it began
            raise RuntimeError("another thread is building the table")
        # No Python object is made between this check and the end of the step: neither a finaliser nor another thread sees
        # the step half taken, and this thread never finds itself at work.
        self._builder = token
        first = self._steps_built
        count = min(BUILD_STEPS, self.comb.build_steps - first)
        if count:
            with nogil:
                bt_comb_build(&self.comb, &base[0], first, count, 0, scratch.p)
            self._steps_built = first + count
        self._builder = None
        return self._steps_built == self.comb.build_steps

    cdef object _element(self, value):
        element = self.mont.empty(1)
        self.mont.load(element, _limbs(value, 2 * self.n_limbs).reshape(1, -1), 0, 1)
        return element

    def blind_table(self, bt_word[::1] dst not None, Py_ssize_t lo, Py_ssize_t hi, const uint64_t[:, ::1] a not None):
        """dst[lo + i] = hs^a[i] by the table; a has n_limbs / 2 limbs a row, hi - lo rows."""
        cdef _Scratch scratch, canon
        cdef Py_ssize_t offset = self._blind_check(dst, lo, hi, a.shape[0])
        cdef size_t limbs = 2 * self.n_limbs, rows = hi - lo, i, at
        cdef bt_word some
        cdef bint bad = False
        if a.shape[1] != self.n_limbs // 2:
            raise ValueError(f"exponents must have {self.n_limbs // 2} limbs a row, not {a.shape[1]}")
        if self._table is None or self._steps_built != self.comb.build_steps:
            raise ValueError("the table is not complete")
        if lo == hi:
            return
        scratch = _Scratch(bt_comb_pow_scratch(&self.comb, hi - lo) + bt_indexed_scratch(&self.mont.mont))
        canon = _Scratch(limbs * rows)
        with nogil:
            bt_comb_pow(&self.comb, &dst[offset], hi - lo, &a[0, 0], a.shape[1], scratch.p)
            # No power of a unit is 0, but a table of zeros would hide every message, and nobody could decrypt.
            bt_store_indexed(&self.mont.mont, <bt_limb *>canon.p, &dst[offset], NULL, hi - lo, scratch.p)
            for i in range(rows):
                some = 0
                for at in range(limbs):
                    some |= canon.p[i * limbs + at]
                bad = bad or some == 0
        if bad:
            raise InvalidKey(
                "the encryption check failed (an obfuscator is 0): nothing was released; load the key in a new process, "
                "and suspect this machine's memory if it happens twice"
            )

    def blind_power(self, bt_word[::1] dst not None, Py_ssize_t lo, Py_ssize_t hi, base,
                    const uint64_t[:, ::1] a not None):
        """dst[lo + i] = base^a[i], a secret, without a table."""
        cdef _Scratch scratch
        cdef bt_word[::1] bases
        cdef Py_ssize_t offset = self._blind_check(dst, lo, hi, a.shape[0])
        cdef size_t ebits = 64 * <size_t>a.shape[1]
        if a.shape[1] == 0:
            raise ValueError("exponents must have at least one limb")
        if lo == hi:
            return
        limbs = np.ascontiguousarray(np.broadcast_to(_limbs(base, 2 * self.n_limbs), (hi - lo, 2 * self.n_limbs)))
        bases_array = self.mont.empty(hi - lo)
        self.mont.load(bases_array, limbs, 0, hi - lo)
        bases = bases_array
        scratch = _Scratch(bt_pow_secret_scratch(&self.mont.mont, hi - lo, ebits))
        with nogil:
            bt_pow_secret(&self.mont.mont, &dst[offset], &bases[0], hi - lo, &a[0, 0], a.shape[1], ebits, scratch.p)

    def blind_standard(self, bt_word[::1] dst not None, Py_ssize_t lo, Py_ssize_t hi, r):
        """dst[lo + i] = r[i]^n mod n^2; r is secret, one canonical residue mod n (n_limbs) a row."""
        cdef _Scratch scratch
        cdef bt_word[::1] bases
        cdef const uint64_t[::1] e
        cdef Py_ssize_t offset = self._blind_check(dst, lo, hi, r.shape[0])
        cdef size_t ebits = 64 * <size_t>self.n_limbs
        if r.shape[1] != self.n_limbs:
            raise ValueError(f"r must have {self.n_limbs} limbs a row, not {r.shape[1]}")
        if lo == hi:
            return
        wide = np.zeros((hi - lo, 2 * self.n_limbs), dtype=np.uint64)
        wide[:, : self.n_limbs] = r
        bases_array = self.mont.empty(hi - lo)
        self.mont.load(bases_array, wide, 0, hi - lo)
        wide[:] = 0
        bases = bases_array
        e = _limbs(self.n, self.n_limbs)
        scratch = _Scratch(bt_pow_public_scratch(&self.mont.mont, hi - lo, ebits))
        with nogil:
            bt_pow_public(&self.mont.mont, &dst[offset], &bases[0], hi - lo, &e[0], 0, ebits, 1, scratch.p)

    cdef Py_ssize_t _offset(self, bt_word[::1] dst, Py_ssize_t lo, Py_ssize_t hi) except -1:
        self.mont.check_range(lo, hi, dst.shape[0])
        return <Py_ssize_t>bt_mont_offset(&self.mont.mont, lo)

    cdef Py_ssize_t _blind_check(self, bt_word[::1] dst, Py_ssize_t lo, Py_ssize_t hi, Py_ssize_t rows) except -1:
        cdef Py_ssize_t offset = self._offset(dst, lo, hi)
        if rows != hi - lo:
            raise ValueError(f"{rows} exponents were given for the slice [{lo}, {hi})")
        return offset


cdef class PaillierPrivate:
    """The private key's constants, in a locked arena that close() wipes; a forked child cannot use them."""

    cdef readonly PaillierPublic public
    cdef readonly object hs
    cdef bt_arena arena, tables
    cdef bt_paillier_priv *priv
    cdef object _lock, _hs_limbs
    cdef Py_ssize_t _users
    cdef bint _closing, _ready
    cdef size_t _steps_built

    def __cinit__(self, PaillierPublic public not None, p, q, hs=None):
        cdef uint64_t[::1] pl, ql
        cdef _Scratch scratch
        cdef bt_status status
        cdef Py_ssize_t H = public.n_limbs // 2
        memset(&self.arena, 0, sizeof(self.arena))
        memset(&self.tables, 0, sizeof(self.tables))
        self.priv = NULL
        p = gmpy2.mpz(p)
        q = gmpy2.mpz(q)
        if p * q != public.n or p.bit_length() != 64 * H or q.bit_length() != 64 * H or p == q:
            raise ValueError("p and q must be distinct, of half the bits of n each, and multiply to n")
        if hs is not None and not 0 < hs < public.n * public.n:
            raise ValueError("hs must be in 1 .. n^2 - 1")
        self.public = public
        self.hs = None if hs is None else gmpy2.mpz(hs)
        self._hs_limbs = None if hs is None else _limbs(hs, 2 * public.n_limbs)
        self._lock = threading.Lock()
        p_array, q_array = _limbs(p, H), _limbs(q, H)
        pl, ql = p_array, q_array
        scratch = _Scratch(bt_paillier_priv_scratch(&public.pub))
        with nogil:
            status = bt_paillier_priv_init(&self.arena, &self.priv, &public.pub, &pl[0], &ql[0], scratch.p)
        p_array[:] = 0
        q_array[:] = 0
        if status == BT_ERR_NOMEM:
            raise MemoryError("no memory for the private key")
        if status != BT_OK:
            raise ValueError("p and q must be odd")

    def __dealloc__(self):
        bt_arena_close(&self.tables)
        bt_arena_close(&self.arena)

    def __reduce__(self):
        raise TypeError("a private key cannot be pickled or copied; save it with PrivateKey.save")

    @property
    def closed(self):
        """True after close(), and in a forked child."""
        return self.priv is NULL or self._closing or bt_paillier_priv_check(self.priv) != BT_OK

    @property
    def locked(self):
        """True if the system agreed to keep the key out of swap."""
        return bool(self.arena.locked)

    def close(self):
        """Wipe the key. Calls in flight on other threads finish first; new ones raise InvalidKey."""
        self._closing = True
        if self._users == 0:
            self._wipe()

    cdef void _wipe(self):
        self.priv = NULL
        bt_arena_close(&self.tables)
        bt_arena_close(&self.arena)

    cdef int _enter(self) except -1:
        # under the GIL: a close() either comes before (and is seen here) or waits for _leave
        if self.priv is NULL or self._closing:
            raise InvalidKey("this private key is closed; load it again")
        if bt_paillier_priv_check(self.priv) != BT_OK:
            raise InvalidKey("this private key belongs to the process that loaded it; load it again after a fork")
        self._users += 1
        return 0

    cdef void _leave(self):
        self._users -= 1
        if self._closing and self._users == 0:
            self._wipe()

    def export_primes(self):
        """The primes p and q as little-endian bytes, for a key file."""
        cdef size_t n
        self._enter()
        try:
            n = 8 * self.priv.H
            return (<const unsigned char *>self.priv.side[0].m1.m)[:n], (<const unsigned char *>self.priv.side[1].m1.m)[:n]
        finally:
            self._leave()

    def _arena_spans(self):
        # address and size of the arenas, for the test that scans memory after close()
        return (<size_t>self.arena.base, self.arena.size), (<size_t>self.tables.base, self.tables.size)

    def decrypt(self, uint64_t[:, ::1] out not None, const uint64_t[:, ::1] canon not None, Py_ssize_t lo,
                Py_ssize_t hi):
        """out[i] = Dec(canon[i]), lo <= i < hi: residues mod n, checked together before release."""
        cdef _Scratch scratch
        cdef const uint64_t[::1] random
        cdef bt_status status
        cdef Py_ssize_t L = self.public.n_limbs
        if out.shape[1] != L or canon.shape[1] != 2 * L:
            raise ValueError(f"out and canon must have {L} and {2 * L} limbs a row")
        _check_range(lo, hi, min(out.shape[0], canon.shape[0]), 1)
        if lo == hi:
            return
        self._enter()
        try:
            scratch = _Scratch(bt_paillier_decrypt_scratch(self.priv, hi - lo))
            # rho_i and t; a t of 0 is refused, and comes once in 2^128 draws
            random = np.frombuffer(os.urandom(8 * (hi - lo + 2)), dtype=np.uint64)
            with nogil:
                status = bt_paillier_decrypt(self.priv, &out[lo, 0], &canon[lo, 0], hi - lo, &random[0], scratch.p)
        finally:
            self._leave()
        if status != BT_OK:
            raise DecryptionError(_cause(status))

    def owner_open(self, size_t table_bytes):
        """Allocate the tables for encrypt; return True if they were already complete."""
        cdef bt_status status = BT_OK
        if self._hs_limbs is None:
            raise ValueError("the owner's encryption needs the djn suite")
        self._enter()  # before the lock, which a forked child may find locked for ever
        try:
            with self._lock:
                # no Python object is made in here: a finaliser that encrypts would wait for this thread
                if not self._ready and self.tables.base is NULL:
                    status = bt_paillier_owner_open(&self.tables, self.priv, table_bytes)
        finally:
            self._leave()
        if status == BT_ERR_NOMEM:
            raise MemoryError("no memory for the encryption tables")
        if status != BT_OK:
            raise ValueError(f"table_bytes = {table_bytes} is too small")
        return bool(self._ready)

    def owner_build(self):
        """Fill the next few table rows; return True when complete."""
        cdef _Scratch scratch
        cdef const uint64_t[::1] hs = self._hs_limbs
        cdef size_t rows, count
        cdef bt_status status = BT_OK
        cdef bint is_open
        self._enter()
        try:
            scratch = _Scratch(bt_paillier_owner_scratch(self.priv, 1))
            with self._lock:
                # no Python object is made in here: a finaliser that encrypts would wait for this thread
                is_open = self.tables.base is not NULL
                if is_open and not self._ready:
                    rows = bt_paillier_owner_rows(self.priv)
                    count = min(BUILD_STEPS, rows - self._steps_built)
                    with nogil:
                        status = bt_paillier_owner_build(self.priv, &hs[0], self._steps_built, count, scratch.p)
                    if status == BT_OK:
                        self._steps_built += count
                        self._ready = self._steps_built == rows
        finally:
            self._leave()
        if not is_open:
            raise ValueError("the tables are not open")
        if status != BT_OK:
            raise InvalidKey(f"the encryption tables could not be built: {_cause(status)}; load the key again")
        return bool(self._ready)

    def encrypt(self, uint64_t[:, ::1] canon_out not None, const uint64_t[:, ::1] msgs not None, Py_ssize_t lo,
                Py_ssize_t hi):
        """canon_out[i] = a fresh encryption of msgs[i] (canonical residues mod n), through p^2 and q^2, checked."""
        cdef _Scratch scratch
        cdef const uint64_t[::1] a, random, hs
        cdef bt_status status
        cdef Py_ssize_t L = self.public.n_limbs
        if canon_out.shape[1] != 2 * L or msgs.shape[1] != L:
            raise ValueError(f"canon_out and msgs must have {2 * L} and {L} limbs a row")
        _check_range(lo, hi, min(canon_out.shape[0], msgs.shape[0]), 1)
        if not self._ready:
            self.owner_open(8 << 20)
            while not self.owner_build():
                pass
        if lo == hi:
            return
        hs = self._hs_limbs
        self._enter()
        try:
            scratch = _Scratch(bt_paillier_owner_scratch(self.priv, hi - lo))
            a = np.frombuffer(os.urandom(4 * L * (hi - lo)), dtype=np.uint64)
            random = np.frombuffer(os.urandom(8 * (hi - lo)), dtype=np.uint64)
            with nogil:
                status = bt_paillier_owner_encrypt(self.priv, &canon_out[lo, 0], &msgs[lo, 0], &a[0], hi - lo, &hs[0],
                                                   &random[0], scratch.p)
        finally:
            self._leave()
        if status != BT_OK:
            raise InvalidKey(f"the encryption check failed ({_cause(status)}): nothing was released; "
                             "load the key again, and suspect this machine's memory if it happens twice")

    def roots(self, uint64_t[:, ::1] out not None, const uint64_t[:, ::1] x not None):
        """out[i] = x[i]^(1/n) mod n for canonical units x[i] mod n, public like their roots; checked before release."""
        cdef _Scratch scratch
        cdef const uint64_t[::1] random
        cdef bt_status status
        cdef Py_ssize_t L = self.public.n_limbs, count = x.shape[0]
        if out.shape[1] != L or x.shape[1] != L or out.shape[0] != count:
            raise ValueError(f"out and x must have the same rows, of {L} limbs each")
        if count > <Py_ssize_t>BT_PAILLIER_ROOTS:
            raise ValueError(f"at most {BT_PAILLIER_ROOTS} roots are taken at a time, not {count}")
        if count == 0:
            return
        self._enter()
        try:
            scratch = _Scratch(bt_paillier_roots_scratch(self.priv))
            random = np.frombuffer(os.urandom(8 * count), dtype=np.uint64)
            with nogil:
                status = bt_paillier_roots(self.priv, &out[0, 0], &x[0, 0], count, &random[0], scratch.p)
        finally:
            self._leave()
        if status != BT_OK:
            raise InvalidKey(f"the check of the roots failed ({_cause(status)}): nothing was released; "
                             "load the key again, and suspect this machine's memory if it happens twice")
