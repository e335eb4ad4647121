#include "test.h"

#include <stdlib.h>
#include <string.h>

static void random_indices(int64_t *idx, size_t n, size_t below)
{
    for (size_t i = 0; i < n; i++)
        idx[i] = (int64_t)(test_random() % below);
}

typedef struct operands {
    fixture f;
    size_t n;
    bt_limb *values;
    bt_word *elements;
} operands;

static void operands_open(operands *o, const bt_mont_ops *ops, size_t bits, size_t n)
{
    const size_t limbs = (bits + 63) / 64;
    bt_limb *m = test_words(limbs);
    test_random_modulus(m, bits);
    fixture_open(&o->f, ops, m, limbs);
    free(m);
    o->n = n;
    o->values = test_words(n * limbs);
    for (size_t i = 0; i < n * limbs; i++)
        o->values[i] = test_random();
    o->elements = fixture_load(&o->f, o->values, n);
}

static void operands_close(operands *o)
{
    free(o->values);
    free(o->elements);
    fixture_close(&o->f);
}

/* 1 mod m: the start of a product */
static void unit(const operands *o, bt_limb *x)
{
    memset(x, 0, o->f.limbs * sizeof *x);
    x[0] = 1;
}

static void check_rows(const operands *o, const bt_word *out, const bt_limb *want, size_t rows)
{
    bt_limb *got = fixture_store(&o->f, out, rows);
    for (size_t r = 0; r < rows; r++)
        CHECK(!memcmp(got + r * o->f.limbs, want + r * o->f.limbs, o->f.limbs * sizeof *got));
    free(got);
}

static void products(const bt_mont_ops *ops, size_t bits, size_t rows, size_t m)
{
    operands o;
    operands_open(&o, ops, bits, rows * m + 1);
    const size_t limbs = o.f.limbs;
    bt_word *out = fixture_array(&o.f, rows), *scratch = test_words(bt_prod_scratch(&o.f.ctx, rows, m));
    bt_limb *want = test_words(rows * limbs);
    int64_t *idx = (int64_t *)test_words(rows * m);
    random_indices(idx, rows * m, o.n);
    for (int indexed = 0; indexed <= 1; indexed++) {
        for (size_t r = 0; r < rows; r++) {
            unit(&o, want + r * limbs);
            for (size_t j = 0; j < m; j++) {
                const size_t at = indexed ? (size_t)idx[r * m + j] : r * m + j;
                ref_mul(want + r * limbs, want + r * limbs, o.values + at * limbs, o.f.m, limbs);
            }
        }
        bt_prod(&o.f.ctx, out, o.elements, indexed ? idx : NULL, rows, m, scratch);
        check_rows(&o, out, want, rows);
    }
    free(out);
    free(scratch);
    free(want);
    free(idx);
    operands_close(&o);
}

static void histogram(const bt_mont_ops *ops, size_t bits, size_t bins, size_t features, size_t width, size_t n)
{
    operands o;
    operands_open(&o, ops, bits, n * width + 1);
    const size_t limbs = o.f.limbs, cells = features * bins * width;
    int64_t *code = (int64_t *)test_words(n * features), *idx = (int64_t *)test_words(n * width);
    random_indices(code, n * features, bins);
    random_indices(idx, n * width, o.n);
    bt_limb *want = test_words(cells * limbs);
    bt_word *out = fixture_array(&o.f, cells), *scratch = test_words(bt_bincount_scratch(&o.f.ctx));
    for (int indexed = 0; indexed <= 1; indexed++) {
        for (size_t b = 0; b < cells; b++)
            unit(&o, want + b * limbs);
        for (size_t i = 0; i < n; i++)
            for (size_t f = 0; f < features; f++)
                for (size_t t = 0; t < width; t++) {
                    const size_t from = i * width + t, bin = f * bins + (size_t)code[i * features + f];
                    bt_limb *w = want + (bin * width + t) * limbs;
                    ref_mul(w, w, o.values + (indexed ? (size_t)idx[from] : from) * limbs, o.f.m, limbs);
                }
        o.f.ctx.ops->one(&o.f.ctx, out, cells);
        bt_bincount(&o.f.ctx, out, bins, features, width, o.elements, indexed ? idx : NULL, code, n, scratch);
        check_rows(&o, out, want, cells);
    }
    free(code);
    free(idx);
    free(want);
    free(out);
    free(scratch);
    operands_close(&o);
}

/* the second half of the steps by a call of its own */
static void running(const bt_mont_ops *ops, size_t bits, size_t rows, size_t steps)
{
    operands o;
    operands_open(&o, ops, bits, rows * steps + 1);
    const size_t limbs = o.f.limbs, stride = (rows + BT_MAX_LANES) / BT_MAX_LANES * BT_MAX_LANES, half = steps / 2;
    int64_t *idx = (int64_t *)test_words(rows * steps);
    random_indices(idx, rows * steps, o.n);
    bt_word *out = fixture_array(&o.f, steps * stride), *scratch = test_words(bt_scan_scratch(&o.f.ctx));
    bt_limb *want = test_words(rows * limbs);
    bt_scan(&o.f.ctx, out, stride, o.elements, idx, rows, half, 0, scratch);
    bt_scan(&o.f.ctx, out + bt_mont_offset(&o.f.ctx, half * stride), stride, o.elements, idx + half * rows, rows,
            steps - half, half > 0, scratch);
    for (size_t r = 0; r < rows; r++)
        unit(&o, want + r * limbs);
    for (size_t s = 0; s < steps; s++) {
        for (size_t r = 0; r < rows; r++) {
            bt_limb *w = want + r * limbs;
            ref_mul(w, w, o.values + (size_t)idx[s * rows + r] * limbs, o.f.m, limbs);
        }
        check_rows(&o, out + bt_mont_offset(&o.f.ctx, s * stride), want, rows);
    }
    free(idx);
    free(out);
    free(scratch);
    free(want);
    operands_close(&o);
}

/* sparse: most exponents are 0 or short */
static void multiexp(const bt_mont_ops *ops, size_t bits, size_t rows, size_t m, size_t ebits, int sparse)
{
    operands o;
    operands_open(&o, ops, bits, m + 3);
    const size_t limbs = o.f.limbs, el = (ebits + 63) / 64;
    bt_limb *e = test_words(rows * m * el), *want = test_words(rows * limbs), *t = test_words(limbs);
    int64_t *idx = (int64_t *)test_words(m);
    random_indices(idx, m, o.n);
    for (size_t i = 0; i < rows * m; i++)
        test_random_exponent(e + i * el, el, sparse ? (test_random() % 4 ? 0 : ebits / 3) : ebits);
    bt_word *out = fixture_array(&o.f, rows), *scratch = test_words(bt_multiexp_scratch(&o.f.ctx, m, rows, ebits));
    for (int indexed = 0; indexed <= 1; indexed++) {
        for (size_t r = 0; r < rows; r++) {
            unit(&o, want + r * limbs);
            for (size_t j = 0; j < m; j++) {
                const size_t at = indexed ? (size_t)idx[j] : j;
                ref_pow(t, o.values + at * limbs, e + (r * m + j) * el, el, o.f.m, limbs);
                ref_mul(want + r * limbs, want + r * limbs, t, o.f.m, limbs);
            }
        }
        bt_multiexp(&o.f.ctx, out, o.elements, indexed ? idx : NULL, m, e, el, ebits, rows, scratch);
        check_rows(&o, out, want, rows);
        if (m == 0)
            continue;
        for (size_t r = 0; r < rows; r++) { /* once more, onto what is there: want^(2^ebits + 1) */
            bt_limb *w = want + r * limbs;
            memcpy(t, w, limbs * sizeof *t);
            for (size_t i = 0; i < ebits; i++)
                ref_mul(t, t, t, o.f.m, limbs);
            ref_mul(w, w, t, o.f.m, limbs);
        }
        bt_multiexp_more(&o.f.ctx, out, o.elements, indexed ? idx : NULL, m, e, el, ebits, rows, scratch);
        check_rows(&o, out, want, rows);
    }
    free(e);
    free(want);
    free(t);
    free(idx);
    free(out);
    free(scratch);
    operands_close(&o);
}

/* columns of 0 to 3 entries, some of them in one place, each of any length up to ebits; rows may be empty */
static void sparse_multiexp(const bt_mont_ops *ops, size_t bits, size_t rows, size_t m, size_t ebits)
{
    operands o;
    operands_open(&o, ops, bits, m + 3);
    const size_t limbs = o.f.limbs, el = (ebits + 63) / 64;
    int64_t *idx = (int64_t *)test_words(m), *start = (int64_t *)test_words(m + 1);
    random_indices(idx, m, o.n);
    start[0] = 0;
    for (size_t j = 0; j < m; j++)
        start[j + 1] = start[j] + (int64_t)(test_random() % 4);
    const size_t entries = (size_t)start[m];
    int64_t *row = (int64_t *)test_words(entries);
    random_indices(row, entries, rows);
    bt_limb *e = test_words(entries * el), *want = test_words(rows * limbs), *t = test_words(limbs);
    for (size_t r = 0; r < rows; r++)
        unit(&o, want + r * limbs);
    for (size_t j = 0; j < m; j++)
        for (size_t k = (size_t)start[j]; k < (size_t)start[j + 1]; k++) {
            test_random_exponent(e + k * el, el, test_random() % (ebits + 1));
            ref_pow(t, o.values + (size_t)idx[j] * limbs, e + k * el, el, o.f.m, limbs);
            ref_mul(want + (size_t)row[k] * limbs, want + (size_t)row[k] * limbs, t, o.f.m, limbs);
        }
    bt_word *out = fixture_array(&o.f, rows);
    bt_word *scratch = test_words(bt_multiexp_sparse_scratch(&o.f.ctx, m, rows, ebits));
    bt_multiexp_sparse(&o.f.ctx, out, o.elements, idx, m, start, row, e, el, ebits, rows, scratch);
    check_rows(&o, out, want, rows);
    free(idx);
    free(start);
    free(row);
    free(e);
    free(want);
    free(t);
    free(out);
    free(scratch);
    operands_close(&o);
}

/* the scratch of m bases serves any smaller number of them: sizes first, then a run in exactly that much */
static void scratch_grows(const bt_mont_ops *ops)
{
    static const size_t sizes[] = {64, 1024, 4096}, lengths[] = {1, 24, 64, 65, 128, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        operands o;
        operands_open(&o, ops, sizes[i], 1);
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
            for (size_t rows = 1; rows <= 65; rows *= 4) {
                size_t shrinks = 0, before = 0;
                for (size_t m = 0; m <= 3000; m += m < 600 ? 1 : 37) {
                    const size_t words = bt_multiexp_scratch(&o.f.ctx, m, rows, lengths[k]);
                    shrinks += words < before;
                    before = words;
                }
                CHECK(shrinks == 0);
            }
        operands_close(&o);
    }
    operands o;
    operands_open(&o, ops, 512, 300);
    bt_word *out = fixture_array(&o.f, 1);
    bt_limb *e = test_words(300);
    for (size_t i = 0; i < 300; i++)
        e[i] = test_random();
    for (size_t most = 10; most <= 300; most += 58) {
        bt_word *scratch = test_words(bt_multiexp_scratch(&o.f.ctx, most, 1, 64));
        for (size_t m = 1; m <= most; m += 1 + m / 4)
            bt_multiexp(&o.f.ctx, out, o.elements, NULL, m, e, 1, 64, 1, scratch); /* for AddressSanitizer */
        free(scratch);
    }
    free(out);
    free(e);
    operands_close(&o);
}

static void inversion(const bt_mont_ops *ops, size_t bits, size_t n)
{
    operands o;
    operands_open(&o, ops, bits, n);
    const size_t limbs = o.f.limbs;
    bt_limb *want = test_words(n * limbs), *inverse = test_words(limbs);
    for (size_t i = 0; i < n; i++)
        while (!ref_invert(want + i * limbs, o.values + i * limbs, o.f.m, limbs))
            o.values[i * limbs]++; /* the next unit */
    bt_word *a = fixture_load(&o.f, o.values, n);
    bt_word *prefix = fixture_array(&o.f, n), *total = fixture_array(&o.f, 1);
    bt_word *scratch = test_words(bt_batch_scratch(&o.f.ctx));
    bt_batch_prefix(&o.f.ctx, prefix, total, a, n, scratch);
    bt_limb *product = fixture_store(&o.f, total, 1);
    CHECK(ref_invert(inverse, product, o.f.m, limbs));
    o.f.ctx.ops->load(&o.f.ctx, total, inverse, 1, o.f.scratch);
    bt_batch_unwind(&o.f.ctx, a, prefix, total, n, scratch);
    check_rows(&o, a, want, n);
    free(want);
    free(inverse);
    free(a);
    free(prefix);
    free(total);
    free(scratch);
    free(product);
    operands_close(&o);
}

static void indexed(const bt_mont_ops *ops, size_t bits, size_t n)
{
    operands o;
    operands_open(&o, ops, bits, n);
    const size_t limbs = o.f.limbs;
    int64_t *ia = (int64_t *)test_words(n), *ib = (int64_t *)test_words(n);
    random_indices(ia, n, n);
    random_indices(ib, n, n);
    bt_limb *want = test_words(n * limbs), *stored = test_words(n * limbs);
    bt_word *out = fixture_array(&o.f, n), *scratch = test_words(bt_indexed_scratch(&o.f.ctx));
    for (int use_a = 0; use_a <= 1; use_a++)
        for (int use_b = 0; use_b <= 1; use_b++) {
            for (size_t i = 0; i < n; i++)
                ref_mul(want + i * limbs, o.values + (use_a ? (size_t)ia[i] : i) * limbs,
                        o.values + (use_b ? (size_t)ib[i] : i) * limbs, o.f.m, limbs);
            bt_mul_indexed(&o.f.ctx, out, o.elements, use_a ? ia : NULL, o.elements, use_b ? ib : NULL, n, use_a,
                           scratch);
            check_rows(&o, out, want, n);
        }
    bt_store_indexed(&o.f.ctx, stored, out, ia, n, scratch);
    for (size_t i = 0; i < n; i++)
        CHECK(!memcmp(stored + i * limbs, want + (size_t)ia[i] * limbs, limbs * sizeof *want));
    free(ia);
    free(ib);
    free(want);
    free(stored);
    free(out);
    free(scratch);
    operands_close(&o);
}

void test_batch(void)
{
    static const size_t sizes[] = {5, 64, 65, 200, 1024};
    static const size_t shapes[][2] = {{1, 1},  {1, 2},  {1, 300}, {3, 1},  {5, 7},
                                       {64, 3}, {65, 2}, {130, 4}, {2, 65}, {4, 0}};
    const size_t growth = (size_t)test_rounds(9, 3, 3);
    for (const bt_mont_ops *const *ops = test_backends(); *ops; ops++) {
        scratch_grows(*ops);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i += (size_t)test_rounds(2, 1, 1)) {
            const size_t bits = sizes[i];
            for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
                products(*ops, bits, shapes[k][0], shapes[k][1]);
            for (size_t bins = 1; bins <= 300; bins = growth * bins + 1) {
                histogram(*ops, bits, bins, 1, 1, 0);
                histogram(*ops, bits, bins, 1, 1, 63);
                histogram(*ops, bits, bins, 1, 1, 64);
                histogram(*ops, bits, bins, 1, 1, 200);
            }
            running(*ops, bits, 1, 30);
            running(*ops, bits, 5, 1);
            running(*ops, bits, 131, 4);
            running(*ops, bits, 3, 0);
            histogram(*ops, bits, 3, 0, 1, 5);
            histogram(*ops, bits, 3, 7, 0, 5);
            histogram(*ops, bits, 1, 3, 2, 70);
            histogram(*ops, bits, 5, 11, 1, 40);
            histogram(*ops, bits, 2, 100, 3, 9);
            for (size_t rows = 1; rows <= 40; rows = growth * rows + 1) {
                multiexp(*ops, bits, rows, 1, 64, 0);
                multiexp(*ops, bits, rows, 9, 40, 0);
                multiexp(*ops, bits, rows, 33, 17, 1);
                multiexp(*ops, bits, rows, 5, 130, 0);
                multiexp(*ops, bits, rows, 0, 30, 0);
                multiexp(*ops, bits, rows, 4, 0, 0);
                multiexp(*ops, bits, rows, 70, 1, 0);
            }
            for (size_t rows = 1; rows <= 40; rows = growth * rows + 1) {
                sparse_multiexp(*ops, bits, rows, 0, 20);
                sparse_multiexp(*ops, bits, rows, 30, 0);
                sparse_multiexp(*ops, bits, rows, 30, 1);
                sparse_multiexp(*ops, bits, rows, 30, 64);
                sparse_multiexp(*ops, bits, rows, 9, 150);
            }
            multiexp(*ops, bits, 0, 3, 24, 0);
            multiexp(*ops, bits, 1, 1500, 24, 0); /* buckets */
            multiexp(*ops, bits, 2, 700, 65, 1);
            for (size_t n = 0; n <= 10; n++)
                inversion(*ops, bits, n);
            for (size_t n = 1; n <= 140; n += 23)
                indexed(*ops, bits, n);
        }
    }
    multiexp(&bt_mont_mpn, 4096, 3, 2, 3000, 0);     /* rows in several blocks */
    sparse_multiexp(&bt_mont_mpn, 4096, 5, 700, 24); /* columns in several blocks */
}
