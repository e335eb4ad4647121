#include "leaks.h"

#include <stdlib.h>
#include <string.h>

/* WIDE: limbs of n^2 for a key of 3072 bits, whose products and squares are cut in half before they are multiplied. */
enum { BITS = 1100, LIMBS = 18, WIDE = 96, N = 9, EBITS = 190, EL = 3 };

static void open_limbs(fixture *f, size_t limbs)
{
    bt_limb m[WIDE];
    if (leak_backend->pairs == leak_backend) {
        test_random_modulus(m, limbs == LIMBS ? BITS / 2 : 32 * limbs);
        fixture_open_square(f, leak_backend, m, limbs / 2);
        return;
    }
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

static void inverse_2k(int planted)
{
    bt_limb a[LIMBS], inverse[LIMBS], work[LIMBS];
    test_random_modulus(a, BITS);
    BT_SECRET(a, sizeof a);
    bt_inverse_2k(inverse, a, LIMBS, work);
    if (planted)
        leak_branch(inverse + LIMBS - 1);
}

/* A secret modulus under the operations that have no variable-time twin; planted: a look at what one of them gives. */
enum { INIT, LOAD, STORE, ONE, GATHER, SCATTER };

static void secret_modulus(int operation, int planted)
{
    const int pairs = leak_backend->pairs == leak_backend;
    bt_limb m[WIDE], root[WIDE / 2], *storage = test_words(bt_modulus_storage(WIDE)),
                                     *root_storage = test_words(bt_modulus_storage(WIDE / 2));
    bt_modulus mod, mod_root;
    bt_mont ctx;
    test_random_modulus(root, 32 * WIDE);
    root[WIDE / 2 - 1] = ~(bt_limb)0; /* its square has all its limbs */
    bt_gmp.mul_n((mp_ptr)m, (mp_srcptr)root, (mp_srcptr)root, WIDE / 2);
    if (!pairs)
        test_random_modulus(m, 64 * WIDE);
    BT_SECRET(m, sizeof m);
    BT_SECRET(root, sizeof root);
    const bt_mont_ops *ops = pairs ? leak_backend : bt_mont_for(leak_backend, WIDE);
    bt_word *scratch = test_words(ops->scratch_words(WIDE)), *consts = test_words(ops->const_words(WIDE));
    if (bt_modulus_init(&mod, m, WIDE, storage) != BT_OK ||
        bt_modulus_init(&mod_root, root, WIDE / 2, root_storage) != BT_OK)
        exit(2);
    mod.root = pairs ? &mod_root : NULL;
    if (bt_mont_init(&ctx, ops, &mod, consts, scratch) != BT_OK)
        exit(2);
    bt_limb *values = secret_limbs(N, WIDE), *out = test_words(N * WIDE);
    bt_word *a = test_words(bt_mont_words(&ctx, N)), *b = test_words(bt_mont_words(&ctx, N));
    const int64_t idx[3] = {8, 0, 2};
    ops->load(&ctx, a, values, N, scratch);
    ops->one(&ctx, b, N);
    if (planted && operation == ONE)
        leak_branch(b);
    ops->gather(&ctx, b, a, idx, 3);
    if (planted && operation == GATHER)
        leak_element(&ctx, b, 1);
    ops->one(&ctx, b, N);
    ops->scatter(&ctx, b, 5, a, 3);
    if (planted && operation == SCATTER)
        leak_element(&ctx, b, 5);
    ops->store(&ctx, out, a, N, scratch);
    if (planted && operation == STORE)
        leak_branch(out);
    if (planted && operation == LOAD)
        leak_element(&ctx, a, 0);
    if (planted && operation == INIT)
        leak_branch(consts + 4); /* past what aligns the first */
    free(storage);
    free(root_storage);
    free(scratch);
    free(consts);
    free(values);
    free(out);
    free(a);
    free(b);
}

static void mont_init(int planted)
{
    secret_modulus(INIT, planted);
}

static void load(int planted)
{
    secret_modulus(LOAD, planted);
}

static void store(int planted)
{
    secret_modulus(STORE, planted);
}

static void one(int planted)
{
    secret_modulus(ONE, planted);
}

static void gather(int planted)
{
    secret_modulus(GATHER, planted);
}

static void scatter(int planted)
{
    secret_modulus(SCATTER, planted);
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

static void mul_indexed(int planted)
{
    fixture f;
    open_limbs(&f, LIMBS);
    bt_limb *values = secret_limbs(N, LIMBS);
    bt_word *a = fixture_load(&f, values, N), *out = fixture_array(&f, N);
    bt_word *scratch = test_words(bt_indexed_scratch(&f.ctx));
    const int64_t idx[N] = {N - 1};
    bt_mul_indexed(&f.ctx, out, a, idx, a, NULL, N, !planted, scratch);
    leak_result(out, planted);
    free(values);
    free(a);
    free(out);
    free(scratch);
    fixture_close(&f);
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

/* in parts; planted: the public path */
static void pow_secret_part(int planted)
{
    fixture f;
    open_random(&f);
    bt_limb *values = secret_values(N), *e = secret_exponents(N);
    bt_word *a = fixture_load(&f, values, N), *out = fixture_array(&f, N);
    bt_word *secret = test_words(bt_pow_secret_scratch(&f.ctx, N, EBITS));
    bt_word *public = test_words(bt_pow_public_scratch(&f.ctx, N, EBITS));
    for (size_t high = EBITS; high > 0; high = high > 70 ? high - 70 : 0) {
        const size_t low = high > 70 ? high - 70 : 0;
        if (planted)
            bt_pow_public_part(&f.ctx, out, a, 1, e, EL, EBITS, low, high, 1, public);
        else
            bt_pow_secret_part(&f.ctx, out, a, N, e, EL, EBITS, low, high, secret);
    }
    free(values);
    free(e);
    free(a);
    free(out);
    free(secret);
    free(public);
    fixture_close(&f);
}

/* public exponent, secret base; planted: the base declared public */
static void pow_public_part(int planted)
{
    fixture f;
    open_random(&f);
    const bt_limb e[EL] = {test_random(), test_random(), test_random() >> 3};
    bt_limb *values = secret_values(N);
    bt_word *a = fixture_load(&f, values, N), *out = fixture_array(&f, N);
    bt_word *scratch = test_words(bt_pow_public_scratch(&f.ctx, N, EBITS));
    bt_pow_public_part(&f.ctx, out, a, N, e, 0, EBITS, 100, EBITS, !planted, scratch);
    bt_pow_public_part(&f.ctx, out, a, N, e, 0, EBITS, 0, 100, !planted, scratch);
    leak_result(out, planted);
    free(values);
    free(a);
    free(out);
    free(scratch);
    fixture_close(&f);
}

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

static void comb_build(int planted)
{
    comb_limbs(LIMBS, planted);
}

static void comb_build_wide(int planted)
{
    comb_limbs(WIDE, planted);
}

/* all rows at once, or some; planted: a table entry read by its secret digit, or a branch on what the first rows gave */
static void comb_rows(int parts, int planted)
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
    if (planted && !parts) {
        const int64_t idx = (int64_t)(e[0] & 31);
        f.ctx.ops->gather(&f.ctx, out, table, &idx, 1);
    } else if (parts) {
        bt_comb_pow_part(&c, out, N, e, EL, 0, 1, pow);
        if (planted)
            leak_element(&f.ctx, out, 0);
        bt_comb_pow_part(&c, out, N, e, EL, 1, c.steps - 1, pow);
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

static void comb_pow(int planted)
{
    comb_rows(0, planted);
}

static void comb_pow_part(int planted)
{
    comb_rows(1, planted);
}

const leak_case leaks_modexp[] = {
    {"modulus_init", modulus_init, ONCE},
    {"inverse_2k", inverse_2k, ONCE},
    {"mont_init", mont_init, PAIRS},
    {"load", load, PAIRS},
    {"store", store, PAIRS},
    {"one", one, MPN}, /* R mod m; the fma backend's R is below m, and so public */
    {"gather", gather, PAIRS},
    {"scatter", scatter, EACH},
    {"mul", mul, PAIRS},
    {"mul_wide", mul_wide, PAIRS},
    {"mul_indexed", mul_indexed, EACH},
    {"sqr", sqr, PAIRS},
    {"sqr_wide", sqr_wide, PAIRS},
    {"select_shared", select_shared, PAIRS},
    {"select_own", select_own, EACH},
    {"pow_secret", pow_secret, PAIRS},
    {"pow_secret_wide", pow_secret_wide, EACH},
    {"pow_secret_part", pow_secret_part, EACH},
    {"pow_secret_base", pow_secret_base, EACH},
    {"pow_public_part", pow_public_part, EACH},
    {"comb_build", comb_build, EACH},
    {"comb_build_wide", comb_build_wide, EACH},
    {"comb_pow", comb_pow, PAIRS},
    {"comb_pow_part", comb_pow_part, EACH},
    {NULL, NULL, 0},
};
