/* A backend of four lanes for the tests: word k of lane l of group g is at (g limbs + k) 4 + l, in bt_mont_mpn's values.
 * It stands in for the vector backends wherever code has to mind groups and their padding. */
#include "test.h"

#include <string.h>

enum { LANES = 4 };

static bt_mont inner(const bt_mont *ctx)
{
    return (bt_mont){.ops = &bt_mont_mpn, .mod = ctx->mod, .elem_words = ctx->mod->limbs, .consts = ctx->consts};
}

static size_t at(const bt_mont *ctx, size_t i, size_t k)
{
    return (i / LANES * ctx->mod->limbs + k) * LANES + i % LANES;
}

static void get(const bt_mont *ctx, bt_limb *x, const bt_word *a, size_t i)
{
    for (size_t k = 0; k < ctx->mod->limbs; k++)
        x[k] = a[at(ctx, i, k)];
}

static void put(const bt_mont *ctx, bt_word *a, size_t i, const bt_limb *x)
{
    for (size_t k = 0; k < ctx->mod->limbs; k++)
        a[at(ctx, i, k)] = x ? x[k] : 0;
}

static void pad(const bt_mont *ctx, bt_word *a, size_t n)
{
    for (; n % LANES; n++)
        put(ctx, a, n, NULL);
}

static size_t elem_words(size_t limbs)
{
    return limbs;
}

static size_t const_words(size_t limbs)
{
    return bt_mont_mpn.const_words(limbs);
}

static size_t scratch_words(size_t limbs)
{
    return 2 * limbs + bt_mont_mpn.scratch_words(limbs);
}

static bt_status init(bt_mont *ctx, bt_word *consts, bt_word *scratch)
{
    bt_mont mpn = inner(ctx);
    return bt_mont_mpn.init(&mpn, consts, scratch);
}

static void load(const bt_mont *ctx, bt_word *dst, const bt_limb *src, size_t n, bt_word *scratch)
{
    const bt_mont mpn = inner(ctx);
    const size_t limbs = ctx->mod->limbs;
    for (size_t i = 0; i < n; i++) {
        bt_mont_mpn.load(&mpn, scratch, src + i * limbs, 1, scratch + 2 * limbs);
        put(ctx, dst, i, scratch);
    }
    pad(ctx, dst, n);
}

static void store(const bt_mont *ctx, bt_limb *dst, const bt_word *src, size_t n, bt_word *scratch)
{
    const bt_mont mpn = inner(ctx);
    const size_t limbs = ctx->mod->limbs;
    for (size_t i = 0; i < n; i++) {
        get(ctx, scratch, src, i);
        bt_mont_mpn.store(&mpn, dst + i * limbs, scratch, 1, scratch + 2 * limbs);
    }
}

static void one(const bt_mont *ctx, bt_word *dst, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(ctx, dst, i, ctx->mod->r1);
    pad(ctx, dst, n);
}

/* whole groups, padding included, as a vector instruction would */
static void mul(const bt_mont *ctx, bt_word *dst, const bt_word *a, const bt_word *b, size_t n, int secret,
                bt_word *scratch)
{
    const bt_mont mpn = inner(ctx);
    const size_t limbs = ctx->mod->limbs;
    for (size_t i = 0; i < (n + LANES - 1) / LANES * LANES; i++) {
        get(ctx, scratch, a, i);
        get(ctx, scratch + limbs, b, i);
        bt_mont_mpn.mul(&mpn, scratch, scratch, scratch + limbs, 1, secret, scratch + 2 * limbs);
        put(ctx, dst, i, scratch);
    }
}

static void sqr(const bt_mont *ctx, bt_word *dst, const bt_word *a, size_t n, int secret, bt_word *scratch)
{
    const bt_mont mpn = inner(ctx);
    const size_t limbs = ctx->mod->limbs;
    for (size_t i = 0; i < (n + LANES - 1) / LANES * LANES; i++) {
        get(ctx, scratch, a, i);
        bt_mont_mpn.sqr(&mpn, scratch, scratch, 1, secret, scratch + 2 * limbs);
        put(ctx, dst, i, scratch);
    }
}

static void move(const bt_mont *ctx, bt_word *dst, size_t to, const bt_word *src, size_t from)
{
    for (size_t k = 0; k < ctx->mod->limbs; k++)
        dst[at(ctx, to, k)] = src[at(ctx, from, k)];
}

static void gather(const bt_mont *ctx, bt_word *dst, const bt_word *src, const int64_t *idx, size_t n)
{
    for (size_t i = 0; i < n; i++)
        move(ctx, dst, i, src, idx ? (size_t)idx[i] : i);
    pad(ctx, dst, n);
}

static void scatter(const bt_mont *ctx, bt_word *dst, size_t first, const bt_word *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        move(ctx, dst, first + i, src, i);
}

static void put_each(const bt_mont *ctx, bt_word *dst, const int64_t *idx, const bt_word *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        move(ctx, dst, (size_t)idx[i], src, i);
}

static void select_shared(const bt_mont *ctx, bt_word *dst, const bt_word *table, size_t rows, const uint32_t *digit,
                          size_t n)
{
    pad(ctx, dst, n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ctx->mod->limbs; k++) {
            bt_word sum = 0;
            for (size_t j = 0; j < rows; j++)
                sum |= bt_ct_eq(j, digit[i]) & table[at(ctx, j, k)];
            dst[at(ctx, i, k)] = sum;
        }
}

static void select_own(const bt_mont *ctx, bt_word *dst, const bt_word *tables, size_t rows, size_t stride,
                       const uint32_t *digit, size_t n)
{
    pad(ctx, dst, n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ctx->mod->limbs; k++) {
            bt_word sum = 0;
            for (size_t j = 0; j < rows; j++)
                sum |= bt_ct_eq(j, digit[i]) & tables[j * stride + at(ctx, i, k)];
            dst[at(ctx, i, k)] = sum;
        }
}

static int always(void)
{
    return 1;
}

const bt_mont_ops mock_lanes = {
    .name = "mock",
    .lanes = LANES,
    .min_limbs = 1,
    .max_limbs = BT_MAX_LIMBS,
    .available = always,
    .elem_words = elem_words,
    .const_words = const_words,
    .scratch_words = scratch_words,
    .init = init,
    .load = load,
    .store = store,
    .one = one,
    .mul = mul,
    .sqr = sqr,
    .gather = gather,
    .scatter = scatter,
    .put = put_each,
    .select_shared = select_shared,
    .select_own = select_own, /* no pairs: squares go to those of mpn, or to the backend itself */
};
