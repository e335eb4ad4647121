#include "test.h"

#include <stdlib.h>
#include <string.h>

/* every product, square, load and store for every odd modulus below 2^8; short: for one in nine */
static void exhaustive(const bt_mont_ops *ops)
{
    for (bt_limb m = 3; m < 256; m += (bt_limb)test_rounds(18, 2, 2)) {
        fixture f;
        fixture_open(&f, ops, &m, 1);
        bt_limb values[256], wrong = 0;
        for (bt_limb v = 0; v < m; v++)
            values[v] = v;
        bt_word *all = fixture_load(&f, values, m), *copies = fixture_array(&f, m), *out = fixture_array(&f, m);
        for (bt_limb a = 0; a < m; a++) {
            int64_t idx[256];
            for (bt_limb v = 0; v < m; v++)
                idx[v] = (int64_t)a;
            f.ctx.ops->gather(&f.ctx, copies, all, idx, m);
            for (int secret = 0; secret <= 1; secret++) {
                f.ctx.ops->mul(&f.ctx, out, copies, all, m, secret, f.scratch);
                bt_limb *got = fixture_store(&f, out, m);
                for (bt_limb v = 0; v < m; v++)
                    wrong += got[v] != a * v % m;
                free(got);
            }
        }
        for (int secret = 0; secret <= 1; secret++) {
            f.ctx.ops->sqr(&f.ctx, out, all, m, secret, f.scratch);
            bt_limb *got = fixture_store(&f, out, m);
            for (bt_limb v = 0; v < m; v++)
                wrong += got[v] != v * v % m;
            free(got);
        }
        CHECK(wrong == 0);
        free(all);
        free(copies);
        free(out);
        fixture_close(&f);
    }
}

static void against_gmp(const bt_mont_ops *ops, size_t bits, size_t n)
{
    const size_t limbs = (bits + 63) / 64, size = limbs * sizeof(bt_limb);
    bt_limb *m = test_words(limbs), *a = test_words(n * limbs), *b = test_words(n * limbs), *want = test_words(limbs);
    test_random_modulus(m, bits);
    fixture f;
    fixture_open(&f, ops, m, limbs);
    for (size_t i = 0; i < n; i++) { /* any value below 2^(64 limbs), the extremes among them */
        test_random_limbs(a + i * limbs, limbs);
        test_random_limbs(b + i * limbs, limbs);
    }
    bt_limb *unit = test_words(limbs);
    memset(unit, 0, size);
    unit[0] = 1;
    bt_word *x = fixture_load(&f, a, n), *y = fixture_load(&f, b, n), *out = fixture_array(&f, n);
    bt_limb *got = fixture_store(&f, x, n);
    for (size_t i = 0; i < n; i++) {
        ref_mul(want, a + i * limbs, unit, m, limbs);
        CHECK(!memcmp(got + i * limbs, want, size));
    }
    free(got);
    for (int secret = 0; secret <= 1; secret++) {
        f.ctx.ops->mul(&f.ctx, out, x, y, n, secret, f.scratch);
        got = fixture_store(&f, out, n);
        for (size_t i = 0; i < n; i++) {
            ref_mul(want, a + i * limbs, b + i * limbs, m, limbs);
            CHECK(!memcmp(got + i * limbs, want, size));
        }
        free(got);
        f.ctx.ops->gather(&f.ctx, out, x, NULL, n);
        f.ctx.ops->sqr(&f.ctx, out, out, n, secret, f.scratch); /* in place */
        got = fixture_store(&f, out, n);
        for (size_t i = 0; i < n; i++) {
            ref_mul(want, a + i * limbs, a + i * limbs, m, limbs);
            CHECK(!memcmp(got + i * limbs, want, size));
        }
        free(got);
    }
    free(m);
    free(a);
    free(b);
    free(want);
    free(unit);
    free(x);
    free(y);
    free(out);
    fixture_close(&f);
}

/* gather, scatter, put, both selects and one, by the values they move */
static void moving(const bt_mont_ops *ops, size_t limbs)
{
    enum { N = 13, ROWS = 9 };
    bt_limb *m = test_words(limbs), *values = test_words(N * limbs);
    const size_t size = limbs * sizeof *m;
    memset(m, 0xff, size);
    m[limbs - 1] = ~(bt_limb)0 >> 1; /* every value below is a residue */
    for (size_t i = 0; i < N * limbs; i++)
        values[i] = test_random() >> 2;
    fixture f;
    fixture_open(&f, ops, m, limbs);
    bt_word *src = fixture_load(&f, values, N), *dst = fixture_array(&f, N);
    int64_t idx[N];
    uint32_t digit[N];
    for (size_t i = 0; i < N; i++) {
        idx[i] = (int64_t)(test_random() % N);
        digit[i] = (uint32_t)(i < ROWS ? i : test_random() % ROWS);
    }

    f.ctx.ops->gather(&f.ctx, dst, src, idx, N);
    bt_limb *got = fixture_store(&f, dst, N);
    for (size_t i = 0; i < N; i++)
        CHECK(!memcmp(got + i * limbs, values + (size_t)idx[i] * limbs, size));
    free(got);

    for (size_t first = 0; first < N; first++) {
        f.ctx.ops->one(&f.ctx, dst, N);
        f.ctx.ops->scatter(&f.ctx, dst, first, src, N - first);
        got = fixture_store(&f, dst, N);
        for (size_t i = 0; i < first; i++)
            CHECK(got[i * limbs] == 1);
        CHECK(!memcmp(got + first * limbs, values, (N - first) * size));
        free(got);
    }

    const int64_t places[] = {9, 0, 4, 7, 5, 12};
    enum { PUT = sizeof places / sizeof *places };
    for (size_t n = 0; n <= PUT; n++) {
        f.ctx.ops->one(&f.ctx, dst, N);
        f.ctx.ops->put(&f.ctx, dst, places, src, n);
        got = fixture_store(&f, dst, N);
        size_t ones = 0;
        for (size_t i = 0; i < N; i++)
            ones += got[i * limbs] == 1;
        CHECK(ones == N - n);
        for (size_t i = 0; i < n; i++)
            CHECK(!memcmp(got + (size_t)places[i] * limbs, values + i * limbs, size));
        free(got);
    }

    f.ctx.ops->select_shared(&f.ctx, dst, src, ROWS, digit, N);
    got = fixture_store(&f, dst, N);
    for (size_t i = 0; i < N; i++)
        CHECK(!memcmp(got + i * limbs, values + digit[i] * limbs, size));
    free(got);

    /* tables[j][i] = values[(i + j) mod N] */
    const size_t stride = bt_mont_words(&f.ctx, N);
    bt_word *tables = test_words(ROWS * stride);
    for (size_t j = 0; j < ROWS; j++) {
        for (size_t i = 0; i < N; i++)
            idx[i] = (int64_t)((i + j) % N);
        f.ctx.ops->gather(&f.ctx, tables + j * stride, src, idx, N);
    }
    f.ctx.ops->select_own(&f.ctx, dst, tables, ROWS, stride, digit, N);
    got = fixture_store(&f, dst, N);
    for (size_t i = 0; i < N; i++)
        CHECK(!memcmp(got + i * limbs, values + (i + digit[i]) % N * limbs, size));
    free(got);
    free(m);
    free(values);
    free(src);
    free(dst);
    free(tables);
    fixture_close(&f);
}

/* one table of more rows than any window has */
static void tall_table(const bt_mont_ops *ops)
{
    enum { ROWS = 300, LIMBS = 9 };
    bt_limb m[LIMBS], *values = test_words(ROWS * LIMBS);
    memset(m, 0xff, sizeof m);
    for (size_t i = 0; i < ROWS * LIMBS; i++)
        values[i] = test_random() >> 1;
    fixture f;
    fixture_open(&f, ops, m, LIMBS);
    bt_word *table = fixture_load(&f, values, ROWS), *dst = fixture_array(&f, 3);
    const uint32_t digit[3] = {0, 299, 256};
    f.ctx.ops->select_shared(&f.ctx, dst, table, ROWS, digit, 3);
    bt_limb *got = fixture_store(&f, dst, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK(!memcmp(got + i * LIMBS, values + digit[i] * LIMBS, LIMBS * sizeof *got));
    free(values);
    free(table);
    free(dst);
    free(got);
    fixture_close(&f);
}

/* Public products of sizes that mpn_redc_n reduces, with it and without. */
static void test_long_products(void)
{
    static const size_t sizes[] = {55, 56, 57, 64, 96, 128, 256};
    void (*const redc_n)(mp_ptr, mp_ptr, mp_srcptr, mp_size_t, mp_srcptr) = bt_gmp.redc_n;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const size_t limbs = sizes[k];
        bt_limb *m = test_words(limbs), *values = test_words(4 * limbs), *expected = test_words(limbs);
        test_random_modulus(m, 64 * limbs - k % 3);
        for (size_t i = 0; i < 4; i++)
            test_random_limbs(values + i * limbs, limbs);
        memcpy(values, m, limbs * sizeof *m); /* m - 1, the largest */
        values[0] -= 1;
        for (int without = 0; without < 2; without++) {
            bt_gmp.redc_n = without ? NULL : redc_n;
            fixture f;
            fixture_open(&f, &bt_mont_mpn, m, limbs);
            bt_word *a = fixture_load(&f, values, 4), *b = fixture_array(&f, 4);
            f.ctx.ops->mul(&f.ctx, b, a, a, 4, 0, f.scratch);
            f.ctx.ops->mul(&f.ctx, b, b, a, 4, 0, f.scratch);
            bt_limb *got = fixture_store(&f, b, 4);
            for (size_t i = 0; i < 4; i++) {
                ref_mul(expected, values + i * limbs, values + i * limbs, m, limbs);
                ref_mul(expected, expected, values + i * limbs, m, limbs);
                CHECK(memcmp(got + i * limbs, expected, limbs * sizeof *got) == 0);
            }
            free(a);
            free(b);
            free(got);
            fixture_close(&f);
        }
        free(m);
        free(values);
        free(expected);
    }
    bt_gmp.redc_n = redc_n;
}

void test_mont(void)
{
    test_long_products();
    static const size_t sizes[] = {2,    3,    63,   64,   65,   127,  128,  129, 1023,
                                   1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097};
    CHECK(bt_mont_pick(NULL) && bt_mont_pick("") && bt_mont_pick("auto"));
    CHECK(bt_mont_pick("mpn") == &bt_mont_mpn && !bt_mont_pick("none"));
    for (const bt_mont_ops *const *ops = test_backends(); *ops; ops++) {
        exhaustive(*ops);
        tall_table(*ops);
        for (size_t limbs = 1; limbs <= 34; limbs++)
            moving(*ops, limbs);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (size_t n = 0; n <= 9; n++)
                against_gmp(*ops, sizes[i], n);
        for (size_t bits = 66; bits <= 2500; bits += 37)
            against_gmp(*ops, bits, 3);
        for (size_t limbs = 40; limbs <= 100;
             limbs += 3) /* around where secret products are cut in half, and odd halves */
            against_gmp(*ops, 64 * limbs, 4);
        against_gmp(*ops, 6144, 3);
        against_gmp(*ops, BT_MAX_BITS - 1, 2);
        against_gmp(*ops, BT_MAX_BITS, 2);
    }
}
