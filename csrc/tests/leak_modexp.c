#include "leaks.h"

#include <stdlib.h>
#include <string.h>

/* WIDE: limbs of n^2 for a key of 3072 bits, whose products and squares are cut in half before they are multiplied. */
enum { BITS = 1100, LIMBS = 18, WIDE = 96, N = 9, EBITS = 190, EL = 3 };

static void open_limbs(fixture *f, size_t limbs)
{
    bt_limb m[WIDE];
    test_random_modulus(m, limbs == LIMBS ? BITS : 64 * limbs);
    fixture_open(f, leak_backend, m, limbs);
}

static void open_random(fixture *f)
{
    open_limbs(f, LIMBS);
}

static bt_limb *secret_limbs(size_t n, size_t limbs)
{
    bt_limb *values = test_words(n * limbs);
    for (size_t i = 0; i < n * limbs; i++)
        values[i] = test_random();
    BT_SECRET(values, n * limbs * sizeof *values);
    return values;
}

static bt_limb *secret_values(size_t n)
{
    return secret_limbs(n, LIMBS);
}

static bt_limb *secret_exponents(size_t n)
{
    bt_limb *e = test_words(n * EL);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < EL; k++)
            e[i * EL + k] = test_random();
        e[i * EL + EL - 1] &= ((bt_limb)1 << EBITS % 64) - 1;
    }
    BT_SECRET(e, n * EL * sizeof *e);
    return e;
}

static void modulus_init(int planted)
{
    bt_limb m[LIMBS], *storage = test_words(bt_modulus_storage(LIMBS));
    bt_modulus mod;
    test_random_modulus(m, BITS);
    BT_SECRET(m, sizeof m);
    if (bt_modulus_init(&mod, m, LIMBS, storage) != BT_OK)
        exit(2);
    if (planted)
        leak_branch(mod.r2);
    free(storage);
}

/* a secret modulus under every operation; the loads and the store have no variable-time twin to plant */
static void load_store(int planted)
{
    bt_limb m[LIMBS], *storage = test_words(bt_modulus_storage(LIMBS));
    bt_modulus mod;
    bt_mont ctx;
    test_random_modulus(m, BITS);
    BT_SECRET(m, sizeof m);
    const bt_mont_ops *ops = bt_mont_for(leak_backend, LIMBS);
    bt_word *scratch = test_words(ops->scratch_words(LIMBS)), *consts = test_words(ops->const_words(LIMBS));
    if (bt_modulus_init(&mod, m, LIMBS, storage) != BT_OK || bt_mont_init(&ctx, ops, &mod, consts, scratch) != BT_OK)
        exit(2);
    bt_limb *values = secret_values(N), *out = test_words(N * LIMBS);
    bt_word *a = test_words(bt_mont_words(&ctx, N));
    ctx.ops->load(&ctx, a, values, N, scratch);
    ctx.ops->store(&ctx, out, a, N, scratch);
    if (planted)
        leak_branch(out);
    free(storage);
    free(scratch);
    free(consts);
    free(values);
    free(out);
    free(a);
}

static void mul_limbs(size_t limbs, int planted)
{
    fixture f;
    open_limbs(&f, limbs);
    bt_limb *values = secret_limbs(N, limbs);
    bt_limb *others = secret_limbs(N, limbs);
    bt_word *a = fixture_load(&f, values, N), *b = fixture_load(&f, others, N), *out = fixture_array(&f, N);
    f.ctx.ops->mul(&f.ctx, out, a, b, N, !planted, f.scratch);
    f.ctx.ops->mul(&f.ctx, out, a, a, N, !planted, f.scratch); /* a square by its pointers */
    leak_result(out, planted);
    free(values);
    free(others);
    free(a);
    free(b);
    free(out);
    fixture_close(&f);
}

static void mul(int planted)
{
    mul_limbs(LIMBS, planted);
}

static void mul_wide(int planted)
{
    mul_limbs(WIDE, planted);
}

static void sqr_limbs(size_t limbs, int planted)
{
    fixture f;
    open_limbs(&f, limbs);
    bt_limb *values = secret_limbs(N, limbs);
    bt_word *a = fixture_load(&f, values, N), *out = fixture_array(&f, N);
    f.ctx.ops->sqr(&f.ctx, out, a, N, !planted, f.scratch);
    leak_result(out, planted);
    free(values);
    free(a);
    free(out);
    fixture_close(&f);
}

static void sqr(int planted)
{
    sqr_limbs(LIMBS, planted);
}

static void sqr_wide(int planted)
{
    sqr_limbs(WIDE, planted);
}

static void secret_digits(uint32_t *digit, size_t below)
{
    for (size_t i = 0; i < N; i++)
        digit[i] = (uint32_t)(test_random() % below);
    BT_SECRET(digit, N * sizeof *digit);
}

static void select_shared(int planted)
{
    fixture f;
    open_random(&f);
    bt_limb *values = secret_values(N);
    bt_word *table = fixture_load(&f, values, N), *out = fixture_array(&f, N);
    uint32_t digit[N];
    secret_digits(digit, N);
    if (planted) {
        const int64_t idx = digit[0];
        f.ctx.ops->gather(&f.ctx, out, table, &idx, 1);
    } else {
        f.ctx.ops->select_shared(&f.ctx, out, table, N, digit, N);
    }
    free(values);
    free(table);
    free(out);
    fixture_close(&f);
}

static void select_own(int planted)
{
    fixture f;
    open_random(&f);
    enum { ROWS = 4, PADDED = (N + BT_MAX_LANES - 1) / BT_MAX_LANES * BT_MAX_LANES }; /* each row its own groups */
    bt_limb *values = secret_values(ROWS * PADDED);
    bt_word *tables = fixture_load(&f, values, ROWS * PADDED), *out = fixture_array(&f, N);
    uint32_t digit[N];
    secret_digits(digit, ROWS);
    if (planted)
        f.ctx.ops->gather(&f.ctx, out, tables + digit[0] * bt_mont_words(&f.ctx, N), NULL, 1);
    else
        f.ctx.ops->select_own(&f.ctx, out, tables, ROWS, bt_mont_words(&f.ctx, N), digit, N);
    free(values);
    free(tables);
    free(out);
    fixture_close(&f);
}

/* planted: the public path under a secret exponent */
static void pow_secret_limbs(size_t limbs, int planted)
{
    fixture f;
    open_limbs(&f, limbs);
    bt_limb *values = secret_limbs(N, limbs), *e = secret_exponents(N);
    bt_word *a = fixture_load(&f, values, N), *out = fixture_array(&f, N);
    bt_word *secret = test_words(bt_pow_secret_scratch(&f.ctx, N, EBITS));
    bt_word *public = test_words(bt_pow_public_scratch(&f.ctx, N, EBITS));
    if (planted) {
        bt_pow_public(&f.ctx, out, a, 1, e, EL, EBITS, 1, public);
    } else {
        bt_pow_secret(&f.ctx, out, a, N, e, EL, EBITS, secret);
        bt_pow_secret(&f.ctx, out, a, N, e, 0, EBITS, secret);
    }
    free(values);
    free(e);
    free(a);
    free(out);
    free(secret);
    free(public);
    fixture_close(&f);
}

static void pow_secret(int planted)
{
    pow_secret_limbs(LIMBS, planted);
}

static void pow_secret_wide(int planted)
{
    pow_secret_limbs(WIDE, planted);
}

/* public exponent, secret base; planted: the base declared public */
static void pow_secret_base(int planted)
{
    fixture f;
    open_random(&f);
    const bt_limb e[EL] = {test_random(), test_random(), test_random() >> 3};
    bt_limb *values = secret_values(N);
    bt_word *a = fixture_load(&f, values, N), *out = fixture_array(&f, N);
    bt_word *scratch = test_words(bt_pow_public_scratch(&f.ctx, N, EBITS));
    bt_pow_public(&f.ctx, out, a, N, e, 0, EBITS, !planted, scratch);
    leak_result(out, planted);
    free(values);
    free(a);
    free(out);
    free(scratch);
    fixture_close(&f);
}

/* a secret base, then secret exponents; planted: the table built as if the base were public */
static void comb_limbs(size_t limbs, int planted)
{
    fixture f;
    open_limbs(&f, limbs);
    bt_limb *values = secret_limbs(1, limbs), *e = secret_exponents(N);
    bt_word *base = fixture_load(&f, values, 1), *out = fixture_array(&f, N);
    bt_comb c;
    bt_word *table = test_words(bt_comb_table_words(&f.ctx, EBITS, 4));
    bt_comb_init(&c, &f.ctx, EBITS, 4, table);
    bt_word *build = test_words(bt_comb_build_scratch(&c)), *pow = test_words(bt_comb_pow_scratch(&c, N));
    bt_comb_build(&c, base, 0, c.build_steps, !planted, build);
    leak_result(c.table + bt_mont_words(&f.ctx, 4), planted);
    bt_comb_pow(&c, out, N, e, EL, pow);
    free(values);
    free(e);
    free(base);
    free(out);
    free(table);
    free(build);
    free(pow);
    fixture_close(&f);
}

static void comb(int planted)
{
    comb_limbs(LIMBS, planted);
}

static void comb_wide(int planted)
{
    comb_limbs(WIDE, planted);
}

/* planted: a table entry read by its secret digit */
static void comb_pow(int planted)
{
    fixture f;
    open_random(&f);
    bt_limb g[LIMBS], *e = secret_exponents(N);
    test_random_limbs(g, LIMBS);
    bt_word *base = fixture_load(&f, g, 1), *out = fixture_array(&f, N);
    bt_comb c;
    bt_word *table = test_words(bt_comb_table_words(&f.ctx, EBITS, 5));
    bt_comb_init(&c, &f.ctx, EBITS, 5, table);
    bt_word *build = test_words(bt_comb_build_scratch(&c)), *pow = test_words(bt_comb_pow_scratch(&c, N));
    bt_comb_build(&c, base, 0, c.build_steps, 0, build);
    if (planted) {
        const int64_t idx = (int64_t)(e[0] & 31);
        f.ctx.ops->gather(&f.ctx, out, table, &idx, 1);
    } else {
        bt_comb_pow(&c, out, N, e, EL, pow);
    }
    free(e);
    free(base);
    free(out);
    free(table);
    free(build);
    free(pow);
    fixture_close(&f);
}

const leak_case leaks_modexp[] = {
    {"modulus_init", modulus_init},
    {"load_store", load_store},
    {"mul", mul},
    {"mul_wide", mul_wide},
    {"sqr", sqr},
    {"sqr_wide", sqr_wide},
    {"select_shared", select_shared},
    {"select_own", select_own},
    {"pow_secret", pow_secret},
    {"pow_secret_wide", pow_secret_wide},
    {"pow_secret_base", pow_secret_base},
    {"comb", comb},
    {"comb_wide", comb_wide},
    {"comb_pow", comb_pow},
    {NULL, NULL},
};
