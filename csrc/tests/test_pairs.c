/* Arithmetic modulo squares M^2 on pairs: every operation against GMP, for all roots of few bits and for the sizes of keys. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* the pairs of this CPU's backends */
static const bt_mont_ops *const *pairs(void)
{
    static const bt_mont_ops *found[8];
    size_t n = 0;
    for (const bt_mont_ops *const *ops = bt_mont_backends; *ops; ops++)
        if ((*ops)->available() && (*ops)->pairs)
            found[n++] = (*ops)->pairs;
    found[n] = NULL;
    return found;
}

/* load, store, products, squares, in place and not, secret and not, against GMP, for M = root[limbs] */
static void against_gmp(const bt_mont_ops *ops, const bt_limb *root, size_t root_limbs, size_t n)
{
    fixture f;
    fixture_open_square(&f, ops, root, root_limbs);
    const size_t limbs = f.limbs, size = limbs * sizeof(bt_limb);
    bt_limb *a = test_words(n * limbs), *b = test_words(n * limbs), *want = test_words(n * limbs),
            *one = test_words(limbs);
    memset(one, 0, size);
    one[0] = 1;
    for (size_t i = 0; i < n; i++) { /* any value below 2^(64 limbs), the extremes among them */
        test_random_limbs(a + i * limbs, limbs);
        test_random_limbs(b + i * limbs, limbs);
        if (i % 4 == 1) { /* a multiple of M */
            memset(a + i * limbs, 0, size);
            memcpy(a + i * limbs, root, root_limbs * sizeof *root);
        }
        if (i % 4 == 2) { /* m - 1 */
            memcpy(a + i * limbs, f.m, size);
            a[i * limbs] -= 1;
        }
        if (i % 8 == 3)
            memcpy(a + i * limbs, f.m, size);
    }
    bt_word *x = fixture_load(&f, a, n), *y = fixture_load(&f, b, n), *z = fixture_array(&f, n);
    for (size_t i = 0; i < n; i++)
        ref_mul(want + i * limbs, a + i * limbs, one, f.m, limbs);
    bt_limb *got = fixture_store(&f, x, n);
    CHECK(!memcmp(got, want, n * size));
    free(got);
    for (int secret = 0; secret <= 1; secret++) {
        for (int step = 0; step < 4; step++) { /* a b, a^2 b, and their squares, as elements that products gave */
            for (size_t i = 0; i < n; i++)
                ref_mul(want + i * limbs, step ? want + i * limbs : a + i * limbs,
                        step % 2 ? want + i * limbs : b + i * limbs, f.m, limbs);
            if (step == 0)
                f.ctx.ops->mul(&f.ctx, z, x, y, n, secret, f.scratch);
            else if (step == 2)
                f.ctx.ops->mul(&f.ctx, z, z, y, n, secret, f.scratch);
            else if (step == 1)
                f.ctx.ops->sqr(&f.ctx, z, z, n, secret, f.scratch);
            else
                f.ctx.ops->mul(&f.ctx, z, z, z, n, secret, f.scratch);
            got = fixture_store(&f, z, n);
            CHECK(!memcmp(got, want, n * size));
            free(got);
        }
    }
    f.ctx.ops->one(&f.ctx, z, n);
    f.ctx.ops->mul(&f.ctx, z, z, x, n, 1, f.scratch);
    f.ctx.ops->one(&f.ctx, y, n);
    bt_limb *both[2] = {fixture_store(&f, z, n), fixture_store(&f, y, n)};
    for (size_t i = 0; i < n; i++) {
        ref_mul(want + i * limbs, a + i * limbs, one, f.m, limbs);
        CHECK(!memcmp(both[0] + i * limbs, want + i * limbs, size));
        CHECK(!memcmp(both[1] + i * limbs, one, size));
    }
    free(both[0]);
    free(both[1]);
    free(a);
    free(b);
    free(want);
    free(one);
    free(x);
    free(y);
    free(z);
    fixture_close(&f);
}

/* every product, square, load and store for every odd root below 24, and for 35 = 5 7, 77 = 7 11, 45 = 3^2 5 and 175 = 5^2 7 */
static void exhaustive(const bt_mont_ops *ops)
{
    static const bt_limb more[] = {35, 45, 77, 175};
    for (bt_limb k = 1; k < 12 + sizeof more / sizeof *more; k++) {
        const bt_limb root = k < 12 ? 2 * k + 1 : more[k - 12], m = root * root;
        fixture f;
        fixture_open_square(&f, ops, &root, 1);
        bt_limb *values = test_words(m), wrong = 0;
        int64_t *idx = (int64_t *)test_words(m);
        for (bt_limb v = 0; v < m; v++)
            values[v] = v;
        bt_word *all = fixture_load(&f, values, m), *copies = fixture_array(&f, m), *out = fixture_array(&f, m);
        /* roots below 24: all factors; others: multiples of M, those and one more, and a few between */
        for (bt_limb a = 0; a < m; a++) {
            if (k >= 12 && (a % root > 1 || a / root % 5 != 0) && a % 397 != 0 && a != m - 1)
                continue;
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
        free(values);
        free(idx);
        free(all);
        free(copies);
        free(out);
        fixture_close(&f);
    }
}

void test_pairs(void)
{
    for (const bt_mont_ops *const *ops = pairs(); *ops; ops++) {
        if ((*ops)->min_limbs == 1)
            exhaustive(*ops);
        const size_t least = ((*ops)->min_limbs + 1) / 2, most = (*ops)->max_limbs / 2;
        for (size_t limbs = least; limbs <= most; limbs += (size_t)test_rounds(5, 1, 1)) {
            bt_limb *root = test_words(limbs);
            for (int kind = 0; kind < 6; kind++) {
                memset(root, kind == 0 ? 0xff : 0, limbs * sizeof *root);
                root[0] |= 1;
                root[limbs - 1] |= kind == 1 ? (bt_limb)1 << 63 : 1;
                if (limbs == 1)
                    root[0] |= 2;
                if (kind >= 3)
                    test_random_modulus(root, 64 * limbs - (size_t)(kind == 5 ? test_random() % 62 : 0));
                against_gmp(*ops, root, limbs, 1 + test_random() % 19);
            }
            free(root);
        }
    }
}
