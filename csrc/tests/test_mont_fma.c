#include "test.h"

#include <stdlib.h>
#include <string.h>

/* The fma backend with elements that `load` would never make: every digit at an end of the range that bt_mont_fma.c allows.
 * The reference reads digits as the integers they are. Build with -DBT_VERIFY to have all bounds checked on the way. */
#if defined(__x86_64__)

enum { LANES = 4, RADIX = 50 };
static const double DIGIT_MAX = 0x1.0000000008p49; /* 2^49 + 2^12 */

/* value = value + x mod m, for value and |x| < 2^52 below m */
static void add_small(bt_limb *value, int64_t x, const bt_limb *m, size_t limbs, bt_limb *tmp)
{
    memset(tmp, 0, limbs * sizeof *tmp);
    tmp[0] = (bt_limb)(x < 0 ? -x : x);
    if (x < 0)
        bt_gmp.sub_n((mp_ptr)tmp, (mp_srcptr)m, (mp_srcptr)tmp, (mp_size_t)limbs);
    bt_limb carry = bt_gmp.add_n((mp_ptr)value, (mp_srcptr)value, (mp_srcptr)tmp, (mp_size_t)limbs);
    bt_limb borrow = bt_gmp.sub_n((mp_ptr)tmp, (mp_srcptr)value, (mp_srcptr)m, (mp_size_t)limbs);
    if (carry || !borrow)
        memcpy(value, tmp, limbs * sizeof *tmp);
}

/* out = sum of digits[j] 2^(50 j) of one lane, mod m, by Horner */
static void element_value(bt_limb *out, const bt_word *element, size_t digits, const fixture *f)
{
    bt_limb *radix = test_words(f->limbs), *tmp = test_words(f->limbs);
    memset(out, 0, f->limbs * sizeof *out);
    memset(radix, 0, f->limbs * sizeof *radix);
    radix[0] = (bt_limb)1 << RADIX;
    for (size_t j = digits; j-- > 0;) {
        double d;
        memcpy(&d, element + LANES * j, sizeof d);
        ref_mul(out, out, radix, f->m, f->limbs);
        add_small(out, (int64_t)d, f->m, f->limbs, tmp);
    }
    free(radix);
    free(tmp);
}

static int regular(const bt_word *element, size_t digits)
{
    for (size_t j = 0; j < digits; j++) {
        double d;
        memcpy(&d, element + LANES * j, sizeof d);
        if (!(d >= -DIGIT_MAX && d <= DIGIT_MAX && d == (double)(int64_t)d))
            return 0;
    }
    return 1;
}

/* Digits at the ends of their range in runs of one sign, from every digit its own to all alike; a top digit that keeps the
 * value below B^N / 8, the most that an operation gives. */
static void extreme_element(bt_word *element, size_t digits, uint64_t kind)
{
    const size_t run = kind % 5 == 0   ? 1
                       : kind % 5 == 1 ? digits
                       : kind % 5 == 2 ? digits / 2
                                       : 1 + test_random() % digits;
    const size_t phase = test_random() % digits;
    for (size_t j = 0; j < digits; j++) {
        double d = kind & 8 ? DIGIT_MAX : 0x1p49;
        if (j == digits - 1)
            d = kind & 16 ? 0x1p46 : 0x1p47 - 2;
        if (kind % 5 == 4 ? test_random() & 1 : ((j + phase) / run) & 1)
            d = -d;
        memcpy(element + LANES * j, &d, sizeof d);
    }
}

static void extremes(const bt_limb *m, size_t limbs, int rounds)
{
    fixture f;
    fixture_open(&f, &bt_mont_fma, m, limbs);
    const size_t digits = f.ctx.elem_words;
    bt_word *a = fixture_array(&f, LANES), *b = fixture_array(&f, LANES), *r = fixture_array(&f, LANES);
    bt_limb *va = test_words(limbs), *vb = test_words(limbs), *vr = test_words(limbs), *one = test_words(limbs);
    f.ctx.ops->one(&f.ctx, r, 1);
    element_value(one, r, digits, &f); /* R mod m */
    int wrong = 0, range = 0, stored = 0;
    for (int round = 0; round < rounds; round++) {
        for (size_t l = 0; l < LANES; l++) {
            extreme_element(a + l, digits, test_random());
            extreme_element(b + l, digits, test_random());
        }
        for (int squared = 0; squared <= 1; squared++) {
            if (squared)
                f.ctx.ops->sqr(&f.ctx, r, a, LANES, 1, f.scratch);
            else
                f.ctx.ops->mul(&f.ctx, r, a, b, LANES, 1, f.scratch);
            bt_limb *canonical = fixture_store(&f, r, LANES);
            for (size_t l = 0; l < LANES; l++) {
                element_value(va, a + l, digits, &f);
                element_value(vb, (squared ? a : b) + l, digits, &f);
                element_value(vr, r + l, digits, &f);
                ref_mul(va, va, vb, f.m, limbs);
                ref_mul(vb, vr, one, f.m, limbs);
                wrong += memcmp(va, vb, limbs * sizeof *va) != 0;
                range += !regular(r + l, digits);
                ref_mul(vb, canonical + l * limbs, one, f.m, limbs);
                stored += memcmp(vr, vb, limbs * sizeof *va) != 0;
            }
            free(canonical);
        }
    }
    CHECK(wrong == 0 && range == 0 && stored == 0);
    free(a);
    free(b);
    free(r);
    free(va);
    free(vb);
    free(vr);
    free(one);
    fixture_close(&f);
}

/* sum of sign_j 2^49 B^j, made positive and odd: digits at their extremes in the modulus and in the constants */
static void digit_modulus(bt_limb *m, size_t limbs, size_t run)
{
    memset(m, 0, limbs * sizeof *m);
    for (size_t j = 0; (j + 1) * RADIX < 64 * limbs; j++) {
        const size_t bit = j * RADIX + RADIX - 1;
        if ((j / run) & 1)
            m[bit / 64] |= (bt_limb)1 << (bit % 64);
        else if (j > 0)
            m[(bit - 1) / 64] |= (bt_limb)1 << ((bit - 1) % 64);
    }
    m[0] |= 1;
    m[limbs - 1] |= (bt_limb)1 << 63;
}

/* every number of limbs; the smallest and the largest modulus of each, and moduli whose own digits are extreme */
static void every_size(void)
{
    const size_t step = (size_t)test_rounds(7, 1, 1);
    const int rounds = test_rounds(1, 3, 30);
    for (size_t limbs = bt_mont_fma.min_limbs; limbs <= bt_mont_fma.max_limbs; limbs += step) {
        bt_limb *m = test_words(limbs);
        memset(m, 0xff, limbs * sizeof *m);
        extremes(m, limbs, rounds);
        memset(m, 0, limbs * sizeof *m);
        m[0] = 1;
        m[limbs - 1] |= 1;
        extremes(m, limbs, rounds);
        digit_modulus(m, limbs, 1);
        extremes(m, limbs, rounds);
        digit_modulus(m, limbs, 1 + test_random() % limbs);
        extremes(m, limbs, rounds);
        free(m);
    }
}

/* elements that do not lie on whole vectors, in place, all operands one */
static void misaligned(size_t limbs)
{
    enum { N = 6 };
    bt_limb *m = test_words(limbs), *values = test_words(N * limbs), *want = test_words(limbs);
    test_random_modulus(m, 64 * limbs);
    test_random_limbs(values, N * limbs);
    fixture f;
    fixture_open(&f, &bt_mont_fma, m, limbs);
    const size_t words = bt_mont_words(&f.ctx, N);
    bt_word *area = test_words(words + 4), *work = test_words(bt_mont_scratch(&f.ctx) + 1);
    for (size_t shift = 0; shift < 4; shift++) {
        bt_word *x = area + shift;
        f.ctx.ops->load(&f.ctx, x, values, N, work + 1);
        f.ctx.ops->mul(&f.ctx, x, x, x, N, 1, work + 1);
        f.ctx.ops->sqr(&f.ctx, x, x, N, 1, work);
        bt_limb *got = test_words(N * limbs);
        f.ctx.ops->store(&f.ctx, got, x, N, work + 1);
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
    fixture_close(&f);
}

void test_mont_fma(void)
{
    static const size_t sizes[] = {16, 17, 32, 33, 48, 64, 96, 127, 128};
    CHECK(bt_mont_for(&bt_mont_fma, bt_mont_fma.min_limbs - 1) != &bt_mont_fma);
    CHECK(bt_mont_for(&bt_mont_fma, bt_mont_fma.max_limbs + 1) != &bt_mont_fma);
    CHECK(bt_mont_for(&bt_mont_fma, 64) == &bt_mont_fma);
    if (!bt_mont_fma.available()) {
        printf("mont_fma: no AVX2 and FMA on this CPU, not run\n");
        return;
    }
    CHECK(bt_mont_pick("fma") == &bt_mont_fma);
    every_size();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t limbs = sizes[i];
        bt_limb *m = test_words(limbs);
        for (size_t run = 1; run <= 64; run *= 4) {
            digit_modulus(m, limbs, run);
            extremes(m, limbs, test_rounds(1, 6, 60));
        }
        for (int k = 0; k < 4; k++) {
            test_random_modulus(m, 64 * limbs - (size_t)k);
            extremes(m, limbs, test_rounds(1, 6, 60));
        }
        free(m);
        misaligned(limbs);
    }
}

#else
void test_mont_fma(void)
{
}
#endif
