#include "test.h"

#include <stdlib.h>
#include <string.h>

/* The ifma backend with elements that `load` would never make: every digit at an end of the range that bt_mont_ifma.c allows, and
 * moduli of such digits. Build with -DBT_VERIFY to have all bounds checked on the way, with -DBT_IFMA_EMULATE where the CPU has
 * no AVX-512 IFMA. */
#if defined(__x86_64__) || defined(BT_IFMA_EMULATE)

enum { LANES = 8, RADIX = 52 };
static const uint64_t DIGIT_MAX = ((uint64_t)1 << RADIX) - 1;

/* out = the value of digits[0 .. n), 52 bits each, in limbs[wide] */
static void element_value(bt_limb *out, size_t wide, const bt_word *element, size_t n)
{
    memset(out, 0, wide * sizeof *out);
    for (size_t j = 0; j < n; j++) {
        const size_t k = j * RADIX / 64, shift = j * RADIX % 64;
        out[k] |= element[LANES * j] << shift;
        if (shift > 64 - RADIX)
            out[k + 1] |= element[LANES * j] >> (64 - shift);
    }
}

/* what an operation may give: digits of 52 bits, and less than half of 2^(52 n) */
static int regular(const bt_word *element, size_t n)
{
    for (size_t j = 0; j < n; j++)
        if (element[LANES * j] > (j == n - 1 ? DIGIT_MAX >> 1 : DIGIT_MAX))
            return 0;
    return 1;
}

/* Digits at the ends of their range in runs, from every digit its own to all alike: the differences of halves are of either
 * sign, and 0. */
static void extreme_element(bt_word *element, size_t n, uint64_t kind)
{
    const size_t run = kind % 6 == 0   ? 1
                       : kind % 6 == 1 ? n
                       : kind % 6 == 2 ? n / 2
                       : kind % 6 == 3 ? n / 4
                                       : 1 + test_random() % n;
    const size_t phase = kind & 64 ? 0 : test_random() % n;
    for (size_t j = 0; j < n; j++) {
        const int high = kind % 6 == 5 ? test_random() & 1 : !(((j + phase) / run) & 1);
        uint64_t d = high ? DIGIT_MAX - (kind & 128 ? test_random() % 3 : 0) : 0;
        if (j == n - 1)
            d >>= 1;
        element[LANES * j] = d;
    }
}

/* products and squares of extreme elements against GMP, and a store of each */
static void extremes(const bt_limb *m, size_t limbs, int rounds)
{
    fixture f;
    fixture_open(&f, &bt_mont_ifma, m, limbs);
    const size_t n = f.ctx.elem_words, wide = n * RADIX / 64 + 2;
    bt_word *a = fixture_array(&f, LANES), *b = fixture_array(&f, LANES), *r = fixture_array(&f, LANES);
    bt_limb *va = test_words(wide), *vb = test_words(wide), *vr = test_words(wide), *one = test_words(wide);
    bt_limb *modulus = test_words(wide), *padded = test_words(wide);
    memset(modulus, 0, wide * sizeof *modulus);
    memcpy(modulus, m, limbs * sizeof *m);
    memset(padded, 0, wide * sizeof *padded);
    f.ctx.ops->one(&f.ctx, r, 1);
    element_value(one, wide, r, n); /* R mod m */
    int wrong = 0, range = 0, stored = 0;
    for (int round = 0; round < rounds; round++) {
        for (size_t l = 0; l < LANES; l++) {
            extreme_element(a + l, n, test_random());
            extreme_element(b + l, n, test_random());
        }
        for (int squared = 0; squared <= 1; squared++) {
            if (squared)
                f.ctx.ops->sqr(&f.ctx, r, a, LANES, 1, f.scratch);
            else
                f.ctx.ops->mul(&f.ctx, r, a, b, LANES, 1, f.scratch);
            bt_limb *canonical = fixture_store(&f, r, LANES);
            for (size_t l = 0; l < LANES; l++) {
                element_value(va, wide, a + l, n);
                element_value(vb, wide, (squared ? a : b) + l, n);
                element_value(vr, wide, r + l, n);
                ref_mul(va, va, vb, modulus, wide); /* a b = r R */
                ref_mul(vb, vr, one, modulus, wide);
                wrong += memcmp(va, vb, wide * sizeof *va) != 0;
                range += !regular(r + l, n);
                memcpy(padded, canonical + l * limbs, limbs * sizeof *padded);
                ref_mul(va, padded, one, modulus, wide); /* r = what is stored, times R */
                memset(vb, 0, wide * sizeof *vb);
                vb[0] = 1;
                ref_mul(vb, vr, vb, modulus, wide);
                stored += memcmp(va, vb, wide * sizeof *va) != 0;
            }
            free(canonical);
        }
    }
    CHECK(wrong == 0);
    CHECK(range == 0);
    CHECK(stored == 0);
    free(a);
    free(b);
    free(r);
    free(va);
    free(vb);
    free(vr);
    free(one);
    free(modulus);
    free(padded);
    fixture_close(&f);
}

/* digits of 0 and 2^52 - 1 in runs: at their extremes in the modulus, and so in the differences of its halves */
static void digit_modulus(bt_limb *m, size_t limbs, size_t run)
{
    memset(m, 0, limbs * sizeof *m);
    for (size_t bit = 0; bit < 64 * limbs; bit++)
        if (!((bit / RADIX / run) & 1))
            m[bit / 64] |= (bt_limb)1 << bit % 64;
    m[limbs - 1] |= 1; /* as many limbs as it says */
}

/* every number of limbs; the smallest and the largest modulus of each */
static void every_size(void)
{
    for (size_t limbs = bt_mont_ifma.min_limbs; limbs <= bt_mont_ifma.max_limbs; limbs++) {
        bt_limb *m = test_words(limbs);
        memset(m, 0xff, limbs * sizeof *m);
        extremes(m, limbs, 1);
        memset(m, 0, limbs * sizeof *m);
        m[0] = 1;
        m[limbs - 1] |= 1;
        extremes(m, limbs, 1);
        free(m);
    }
}

/* elements, constants and scratch that do not lie on whole vectors; in place, all operands one */
static void misaligned(size_t limbs)
{
    enum { N = 11 };
    bt_limb *m = test_words(limbs), *values = test_words(N * limbs), *want = test_words(limbs);
    test_random_modulus(m, 64 * limbs);
    test_random_limbs(values, N * limbs);
    fixture f;
    fixture_open(&f, &bt_mont_ifma, m, limbs);
    const size_t words = bt_mont_words(&f.ctx, N);
    bt_word *area = test_words(words + LANES), *work = test_words(bt_mont_scratch(&f.ctx) + LANES);
    bt_word *consts = test_words(f.ctx.ops->const_words(limbs) + LANES);
    for (size_t shift = 0; shift < LANES; shift++) {
        bt_word *x = area + shift;
        CHECK(bt_mont_init(&f.ctx, &bt_mont_ifma, &f.mod, consts + shift, work + shift) == BT_OK);
        f.ctx.ops->load(&f.ctx, x, values, N, work + (shift + 1) % LANES);
        f.ctx.ops->mul(&f.ctx, x, x, x, N, 1, work + (shift + 2) % LANES);
        f.ctx.ops->sqr(&f.ctx, x, x, N, 1, work);
        bt_limb *got = test_words(N * limbs);
        f.ctx.ops->store(&f.ctx, got, x, N, work + (shift + 3) % LANES);
        for (size_t i = 0; i < N; i++) {
            ref_mul(want, values + i * limbs, values + i * limbs, f.m, limbs);
            ref_mul(want, want, want, f.m, limbs);
            CHECK(!memcmp(got + i * limbs, want, limbs * sizeof *want));
        }
        free(got);
    }
    free(m);
    free(values);
    free(want);
    free(area);
    free(work);
    free(consts);
    fixture_close(&f);
}

/* values whose store is 0, 1 and m - 1: those that the one subtraction decides */
static void edges(size_t limbs)
{
    enum { N = 5 };
    bt_limb *m = test_words(limbs), *values = test_words(N * limbs), *want = test_words(N * limbs);
    test_random_modulus(m, 64 * limbs);
    for (size_t i = 0; i < N * limbs; i++)
        want[i] = 0;
    memset(values, 0, N * limbs * sizeof *values);
    memcpy(values + limbs, m, limbs * sizeof *m); /* m is 0 */
    values[2 * limbs] = want[2 * limbs] = 1;
    memcpy(values + 3 * limbs, m, limbs * sizeof *m);
    values[3 * limbs] -= 1; /* m is odd */
    memcpy(want + 3 * limbs, values + 3 * limbs, limbs * sizeof *m);
    memset(values + 4 * limbs, 0xff, limbs * sizeof *m);
    bt_gmp.sub_n((mp_ptr)(want + 4 * limbs), (mp_srcptr)(values + 4 * limbs), (mp_srcptr)m, (mp_size_t)limbs);
    fixture f;
    fixture_open(&f, &bt_mont_ifma, m, limbs);
    bt_word *x = fixture_load(&f, values, N);
    bt_limb *got = fixture_store(&f, x, N);
    CHECK(!memcmp(got, want, N * limbs * sizeof *got));
    free(m);
    free(values);
    free(want);
    free(x);
    free(got);
    fixture_close(&f);
}

void test_mont_ifma(void)
{
    static const size_t sizes[] = {16, 17, 24, 32, 33, 40, 48, 64, 96, 112, 127, 128};
    CHECK(bt_mont_for(&bt_mont_ifma, bt_mont_ifma.min_limbs - 1) == &bt_mont_mpn);
    CHECK(bt_mont_for(&bt_mont_ifma, bt_mont_ifma.max_limbs + 1) == &bt_mont_mpn);
    CHECK(bt_mont_for(&bt_mont_ifma, 64) == &bt_mont_ifma);
    if (!bt_mont_ifma.available()) {
        printf("mont_ifma: no AVX-512 IFMA on this CPU, not run; make emulated runs it\n");
        return;
    }
    CHECK(bt_mont_pick("ifma") == &bt_mont_ifma && bt_mont_pick(NULL) == &bt_mont_ifma);
    every_size();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t limbs = sizes[i];
        bt_limb *m = test_words(limbs);
        for (size_t run = 1; run <= 64; run *= 4) {
            digit_modulus(m, limbs, run);
            extremes(m, limbs, 6);
        }
        for (int k = 0; k < 4; k++) {
            test_random_modulus(m, 64 * limbs - (size_t)k);
            extremes(m, limbs, 6);
        }
        free(m);
        misaligned(limbs);
        edges(limbs);
    }
}

#else
void test_mont_ifma(void)
{
}
#endif
