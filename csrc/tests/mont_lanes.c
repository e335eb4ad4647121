#include "mont_lanes.h"

#include <stdlib.h>
#include <string.h>

/* out = the value of n digits of one lane mod m: those above 0 and those below it are added up apart */
static void digits_value(bt_limb *out, const bt_word *element, size_t n, const lanes_backend *b, const fixture *f)
{
    const size_t limbs = f->limbs, needed = n * b->radix / 64 + 2, wide = needed > limbs ? needed : limbs;
    const size_t size = wide * sizeof(bt_limb);
    bt_limb *m = test_words(wide), *unit = test_words(wide), *parts[2] = {test_words(wide), test_words(wide)};
    memset(m, 0, size);
    memcpy(m, f->m, limbs * sizeof *m);
    memset(unit, 0, size);
    unit[0] = 1;
    for (int below = 0; below < 2; below++) {
        bt_limb *part = parts[below];
        memset(part, 0, size);
        for (size_t j = 0; j < n; j++) {
            const int64_t d = b->digit(element[b->ops->lanes * j]);
            const size_t k = j * b->radix / 64, shift = j * b->radix % 64;
            if (d == 0 || (d < 0) != below)
                continue;
            const bt_limb x = (bt_limb)(below ? -d : d);
            part[k] |= x << shift;
            if (shift > 64 - b->radix)
                part[k + 1] |= x >> (64 - shift);
        }
        ref_mul(part, part, unit, m, wide);
    }
    if (bt_gmp.sub_n((mp_ptr)out, (mp_srcptr)parts[0], (mp_srcptr)parts[1], (mp_size_t)limbs))
        bt_gmp.add_n((mp_ptr)out, (mp_srcptr)out, (mp_srcptr)f->m, (mp_size_t)limbs);
    free(m);
    free(unit);
    free(parts[0]);
    free(parts[1]);
}

/* of an element: its digits, or r + s M */
static void element_value(bt_limb *out, const bt_word *element, const lanes_backend *b, const fixture *f)
{
    const size_t n = f->ctx.elem_words, limbs = f->limbs;
    if (!f->root_storage) {
        digits_value(out, element, n, b, f);
        return;
    }
    bt_limb *s = test_words(limbs), *root = test_words(limbs), *sum = test_words(limbs);
    memset(root, 0, limbs * sizeof *root);
    memcpy(root, f->root.m, f->root.limbs * sizeof *root);
    digits_value(out, element, n / 2, b, f);
    digits_value(s, element + b->ops->lanes * (n / 2), n / 2, b, f);
    ref_mul(s, s, root, f->m, limbs);
    const bt_limb carry = bt_gmp.add_n((mp_ptr)sum, (mp_srcptr)out, (mp_srcptr)s, (mp_size_t)limbs);
    const bt_limb borrow = bt_gmp.sub_n((mp_ptr)out, (mp_srcptr)sum, (mp_srcptr)f->m, (mp_size_t)limbs);
    if (borrow && !carry)
        memcpy(out, sum, limbs * sizeof *out);
    free(s);
    free(root);
    free(sum);
}

static void extreme(bt_word *element, const lanes_backend *b, const fixture *f)
{
    const size_t n = f->ctx.elem_words, lanes = b->ops->lanes;
    if (!f->root_storage) {
        b->extreme_element(element, n, test_random());
        return;
    }
    for (int s = 0; s < 2; s++) {
        bt_word *half = element + lanes * (n / 2) * (size_t)s;
        b->extreme_element(half, n / 2, test_random());
        half[lanes * (n / 2 - 1)] = b->pair_top(half[lanes * (n / 2 - 1)], s);
    }
}

static int regular(const bt_word *element, const lanes_backend *b, const fixture *f)
{
    const size_t n = f->ctx.elem_words, half = f->root_storage ? n / 2 : n;
    for (size_t j = 0; j < n; j++) {
        const bt_word word = element[b->ops->lanes * j];
        const int top = j % half == half - 1;
        if (!b->regular(word, top) || (top && f->root_storage && b->pair_top(word, j == n - 1) != word))
            return 0;
    }
    return 1;
}

/* products and squares of extreme elements against GMP, and a store of each */
static void extremes_in(const lanes_backend *b, const fixture *opened, int rounds)
{
    const fixture f = *opened;
    const size_t lanes = b->ops->lanes, limbs = f.limbs;
    bt_word *x = fixture_array(&f, lanes), *y = fixture_array(&f, lanes), *r = fixture_array(&f, lanes);
    bt_limb *vx = test_words(limbs), *vy = test_words(limbs), *vr = test_words(limbs), *one = test_words(limbs);
    f.ctx.ops->one(&f.ctx, r, 1);
    element_value(one, r, b, &f); /* R mod m */
    int wrong = 0, range = 0, stored = 0;
    for (int round = 0; round < rounds; round++) {
        for (size_t l = 0; l < lanes; l++) {
            extreme(x + l, b, &f);
            extreme(y + l, b, &f);
        }
        for (int squared = 0; squared <= 1; squared++) {
            if (squared)
                f.ctx.ops->sqr(&f.ctx, r, x, lanes, 1, f.scratch);
            else
                f.ctx.ops->mul(&f.ctx, r, x, y, lanes, 1, f.scratch);
            bt_limb *canonical = fixture_store(&f, r, lanes);
            for (size_t l = 0; l < lanes; l++) {
                element_value(vx, x + l, b, &f);
                element_value(vy, (squared ? x : y) + l, b, &f);
                element_value(vr, r + l, b, &f);
                ref_mul(vx, vx, vy, f.m, limbs); /* x y = r R */
                ref_mul(vy, vr, one, f.m, limbs);
                wrong += memcmp(vx, vy, limbs * sizeof *vx) != 0;
                range += !regular(r + l, b, &f);
                ref_mul(vy, canonical + l * limbs, one, f.m, limbs); /* r = what is stored, times R */
                stored += memcmp(vr, vy, limbs * sizeof *vx) != 0;
            }
            free(canonical);
        }
    }
    CHECK(wrong == 0);
    CHECK(range == 0);
    CHECK(stored == 0);
    free(x);
    free(y);
    free(r);
    free(vx);
    free(vy);
    free(vr);
    free(one);
}

/* modulo m, and modulo its square if the backend has pairs of that size */
static void extremes(const lanes_backend *b, const bt_limb *m, size_t limbs, int rounds)
{
    fixture f;
    if (limbs >= b->ops->min_limbs) {
        fixture_open(&f, b->ops, m, limbs);
        extremes_in(b, &f, rounds);
        fixture_close(&f);
    }
    if (2 * limbs <= b->ops->pairs->max_limbs) {
        fixture_open_square(&f, b->ops->pairs, m, limbs);
        extremes_in(b, &f, rounds);
        fixture_close(&f);
    }
}

/* every number of limbs; the smallest and the largest modulus of each, and moduli whose own digits are extreme */
static void every_size(const lanes_backend *b)
{
    const size_t step = (size_t)test_rounds(7, 1, 1);
    const int rounds = test_rounds(1, 3, 30);
    for (size_t limbs = (b->ops->pairs->min_limbs + 1) / 2; limbs <= b->ops->max_limbs; limbs += step) {
        bt_limb *m = test_words(limbs);
        memset(m, 0xff, limbs * sizeof *m);
        extremes(b, m, limbs, rounds);
        memset(m, 0, limbs * sizeof *m);
        m[0] = 1;
        m[limbs - 1] |= 1;
        extremes(b, m, limbs, rounds);
        b->digit_modulus(m, limbs, 1);
        extremes(b, m, limbs, rounds);
        b->digit_modulus(m, limbs, 1 + test_random() % limbs);
        extremes(b, m, limbs, rounds);
        free(m);
    }
}

/* elements, constants and scratch that do not lie on whole vectors; in place, all operands one */
static void misaligned(const lanes_backend *b, size_t limbs)
{
    enum { N = BT_MAX_LANES + 3 };
    const size_t lanes = b->ops->lanes;
    bt_limb *m = test_words(limbs), *values = test_words(N * limbs), *want = test_words(limbs);
    test_random_modulus(m, 64 * limbs);
    test_random_limbs(values, N * limbs);
    fixture f;
    fixture_open(&f, b->ops, m, limbs);
    bt_word *area = test_words(bt_mont_words(&f.ctx, N) + lanes), *work = test_words(bt_mont_scratch(&f.ctx) + lanes);
    bt_word *consts = test_words(b->ops->const_words(limbs) + lanes);
    for (size_t shift = 0; shift < lanes; shift++) {
        bt_word *x = area + shift;
        CHECK(bt_mont_init(&f.ctx, b->ops, &f.mod, consts + shift, work + shift) == BT_OK);
        f.ctx.ops->load(&f.ctx, x, values, N, work + (shift + 1) % lanes);
        f.ctx.ops->mul(&f.ctx, x, x, x, N, 1, work + (shift + 2) % lanes);
        f.ctx.ops->sqr(&f.ctx, x, x, N, 1, work);
        bt_limb *got = test_words(N * limbs);
        f.ctx.ops->store(&f.ctx, got, x, N, work + (shift + 3) % lanes);
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
static void edges(const lanes_backend *b, size_t limbs)
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
    fixture_open(&f, b->ops, m, limbs);
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

void lanes_test(const lanes_backend *b, const size_t *sizes)
{
    const bt_mont_ops *ops = b->ops;
    CHECK(bt_mont_for(ops, ops->min_limbs - 1) == &bt_mont_mpn);
    CHECK(bt_mont_for(ops, ops->max_limbs + 1) == &bt_mont_mpn);
    CHECK(bt_mont_for(ops, 64) == ops);
    if (!ops->available()) {
        printf("mont_%s: no %s on this CPU, not run\n", ops->name, b->needs);
        return;
    }
    CHECK(bt_mont_pick(ops->name) == ops);
    every_size(b);
    for (; *sizes; sizes++) {
        const size_t limbs = *sizes;
        bt_limb *m = test_words(limbs);
        for (size_t run = 1; run <= 64; run *= 4) {
            b->digit_modulus(m, limbs, run);
            extremes(b, m, limbs, test_rounds(1, 6, 60));
        }
        for (int k = 0; k < 4; k++) {
            test_random_modulus(m, 64 * limbs - (size_t)k);
            extremes(b, m, limbs, test_rounds(1, 6, 60));
        }
        free(m);
        misaligned(b, limbs);
        edges(b, limbs);
    }
}
