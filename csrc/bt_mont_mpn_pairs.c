/* The portable backend modulo squares m = M^2: one pair (r, s) = r + s M at a time, by GMP's mpn functions.
 *
 * Layout: the L limbs of r and then those of s, both below M, of x R mod m with R = 2^(64 L). With Q of the reduction of r1 r2, that
 * is r1 r2 + Q M = r R, and r below 2 M, of which M may be left for s:
 *
 *     (r1 + s1 M) (r2 + s2 M) / R = r + M (r1 s2 + s1 r2 - Q) / R   (mod M^2).
 *
 * The difference is above -R and at most 2 (M - 1)^2; where it is negative M R is added, which does not count modulo M, and makes it
 * less than M R. So s ends below 2 (M - 1) + M, and with the one that r may leave below 3 M: two subtractions.
 *
 * `secret`: as in bt_mont_mpn.c. */
#include "bt_mont_mpn.h"
#include "bt_mont_pairs.h"

enum { MIN_LIMBS = 1, MAX_LIMBS = BT_MAX_LIMBS };

static size_t mont_elem_words(size_t limbs)
{
    return 2 * root_limbs(limbs);
}

/* r1, r2, r3: R, R^2 and R^3 mod m */
static size_t mont_const_words(size_t limbs)
{
    return 3 * mont_elem_words(limbs);
}

/* two products of 2 L + 1 limbs, a quotient, two numbers of L + 1 limbs, a row for subtractions, what products need, three
 * numbers of load and store */
static size_t mont_scratch_words(size_t limbs)
{
    const size_t half = root_limbs(limbs);
    return 11 * half + 8 + bti_mpn_product_scratch(half);
}

typedef struct areas {
    bt_limb *t, *u; /* [2 L + 1] */
    bt_limb *q;     /* [L] */
    bt_limb *r, *s; /* [L + 1] */
    bt_limb *less;  /* [L] */
    bt_limb *work;
} areas;

static inline areas areas_of(bt_word *scratch, size_t limbs)
{
    areas w;
    w.t = scratch;
    w.u = w.t + 2 * limbs + 1;
    w.q = w.u + 2 * limbs + 1;
    w.r = w.q + limbs;
    w.s = w.r + limbs + 1;
    w.less = w.s + limbs + 1;
    w.work = w.less + limbs;
    return w;
}

/* out[L + 1] = (t + q M) / R for t of 2 L + 1 limbs, q[L] (unless NULL) = the quotient; t is destroyed. As mont_reduce of
 * bt_mont_mpn.c: the carry of each row is parked in the limb that it made 0. */
static void reduced(bt_limb *out, bt_limb *t, bt_limb *q, const bt_modulus *root)
{
    const size_t limbs = root->limbs;
    for (size_t i = 0; i < limbs; i++) {
        const bt_limb digit = t[i] * root->neg_inv;
        if (q)
            q[i] = digit;
        t[i] = bt_gmp.addmul_1((mp_ptr)(t + i), (mp_srcptr)root->m, (mp_size_t)limbs, digit);
    }
    out[limbs] = t[2 * limbs] + bt_gmp.add_n((mp_ptr)out, (mp_srcptr)(t + limbs), (mp_srcptr)t, (mp_size_t)limbs);
}

/* dst = (t + u M) / R mod M^2, t below M R, u at most 2 (M - 1)^2 or below M R, of 2 L + 1 limbs each; both are destroyed */
static void reduced_pair(bt_word *dst, const areas *w, const bt_modulus *root)
{
    const size_t limbs = root->limbs;
    bt_limb *t = w->t, *u = w->u;
    reduced(w->r, t, w->q, root);
    /* u - Q, plus M R if that is negative */
    bt_limb borrow = bt_gmp.sub_n((mp_ptr)u, (mp_srcptr)u, (mp_srcptr)w->q, (mp_size_t)limbs);
    for (size_t i = limbs; i <= 2 * limbs; i++) {
        const bt_limb x = u[i];
        u[i] = x - borrow;
        borrow &= bt_ct_is_zero(x);
    }
    const bt_limb negative = bt_ct_barrier(0 - borrow);
    unsigned __int128 sum = 0;
    for (size_t i = 0; i < limbs; i++) {
        sum += (unsigned __int128)u[limbs + i] + (root->m[i] & negative);
        u[limbs + i] = (bt_limb)sum;
        sum >>= 64;
    }
    u[2 * limbs] += (bt_limb)sum;
    reduced(w->s, u, NULL, root);
    brought_down(w->r, w->s, root, w->less);
    subtracted_if_above(w->s, root, w->less);
    memcpy(dst, w->r, limbs * sizeof *dst);
    memcpy(dst + limbs, w->s, limbs * sizeof *dst);
}

static void pair_product(const bt_mont *ctx, bt_word *dst, const bt_word *a, const bt_word *b, int secret,
                         bt_word *scratch)
{
    const bt_modulus *root = ctx->mod->root;
    const size_t limbs = root->limbs;
    const areas w = areas_of(scratch, limbs);
    bti_mpn_product(w.u, a, b + limbs, limbs, secret, w.work);
    if (a == b) {
        w.u[2 * limbs] = bt_gmp.add_n((mp_ptr)w.u, (mp_srcptr)w.u, (mp_srcptr)w.u, (mp_size_t)(2 * limbs));
    } else {
        bti_mpn_product(w.t, a + limbs, b, limbs, secret, w.work);
        w.u[2 * limbs] = bt_gmp.add_n((mp_ptr)w.u, (mp_srcptr)w.u, (mp_srcptr)w.t, (mp_size_t)(2 * limbs));
    }
    bti_mpn_product(w.t, a, b, limbs, secret, w.work);
    w.t[2 * limbs] = 0;
    reduced_pair(dst, &w, root);
}

static bt_status mont_init(bt_mont *ctx, bt_word *consts, bt_word *scratch)
{
    const bt_modulus *root = ctx->mod->root;
    if (!bt_gmp.add_n)
        return BT_ERR_GMP;
    if (!root || root->limbs != root_limbs(ctx->mod->limbs))
        return BT_ERR_ARG;
    ctx->consts = consts;
    const size_t limbs = root->limbs;
    const areas w = areas_of(scratch, limbs);
    bt_word *r1 = consts, *r2 = r1 + 2 * limbs, *r3 = r2 + 2 * limbs;
    power_of_two_pair(w.r, w.s, 64 * limbs, root, w.less);
    subtracted_if_above(w.s, root, w.less);
    memcpy(r1, w.r, limbs * sizeof *r1);
    memcpy(r1 + limbs, w.s, limbs * sizeof *r1);
    /* 2^(4 L) R, squared four times, is 2^(64 L) R */
    doubled_pair(w.r, w.s, 4 * limbs, root, w.less);
    subtracted_if_above(w.s, root, w.less);
    memcpy(r2, w.r, limbs * sizeof *r2);
    memcpy(r2 + limbs, w.s, limbs * sizeof *r2);
    for (int k = 0; k < 4; k++)
        pair_product(ctx, r2, r2, r2, 1, scratch);
    pair_product(ctx, r3, r2, r2, 1, scratch);
    return BT_OK;
}

/* dst = x (r + s M) / R mod M^2 for any x below R */
static void times_number(const bt_mont *ctx, bt_word *dst, const bt_limb *x, const bt_word *pair, const areas *w)
{
    const bt_modulus *root = ctx->mod->root;
    const size_t limbs = root->limbs;
    bti_mpn_product(w->t, x, pair, limbs, 1, w->work);
    bti_mpn_product(w->u, x, pair + limbs, limbs, 1, w->work);
    w->t[2 * limbs] = 0;
    w->u[2 * limbs] = 0;
    reduced_pair(dst, w, root);
}

static void mont_load(const bt_mont *ctx, bt_word *dst, const bt_limb *src, size_t n, bt_word *scratch)
{
    const bt_modulus *root = ctx->mod->root;
    const size_t limbs = ctx->mod->limbs, half = root->limbs;
    const bt_word *r2 = ctx->consts + 2 * half, *r3 = r2 + 2 * half;
    const areas w = areas_of(scratch, half);
    bt_limb *high = w.work + bti_mpn_product_scratch(half), *sum = high + half;
    for (size_t i = 0; i < n; i++, dst += 2 * half, src += limbs) { /* x0 + x1 R */
        memset(high, 0, half * sizeof *high);
        memcpy(high, src + half, (limbs - half) * sizeof *high);
        times_number(ctx, sum, high, r3, &w);
        times_number(ctx, dst, src, r2, &w);
        w.r[half] = bt_gmp.add_n((mp_ptr)w.r, (mp_srcptr)dst, (mp_srcptr)sum, (mp_size_t)half);
        w.s[half] = bt_gmp.add_n((mp_ptr)w.s, (mp_srcptr)(dst + half), (mp_srcptr)(sum + half), (mp_size_t)half);
        brought_down(w.r, w.s, root, w.less);
        subtracted_if_above(w.s, root, w.less);
        memcpy(dst, w.r, half * sizeof *dst);
        memcpy(dst + half, w.s, half * sizeof *dst);
    }
}

static void mont_store(const bt_mont *ctx, bt_limb *dst, const bt_word *src, size_t n, bt_word *scratch)
{
    const bt_modulus *root = ctx->mod->root;
    const size_t limbs = ctx->mod->limbs, half = root->limbs;
    const areas w = areas_of(scratch, half);
    bt_limb *pair = w.work + bti_mpn_product_scratch(half);
    for (size_t i = 0; i < n; i++, dst += limbs, src += 2 * half) {
        memset(w.t, 0, 2 * (2 * half + 1) * sizeof *w.t);
        memcpy(w.t, src, half * sizeof *w.t);
        memcpy(w.u, src + half, half * sizeof *w.u);
        reduced_pair(pair, &w, root);
        /* r + s M is below M^2 */
        bti_mpn_product(w.t, pair + half, root->m, half, 1, w.work);
        bt_limb carry = bt_gmp.add_n((mp_ptr)w.t, (mp_srcptr)w.t, (mp_srcptr)pair, (mp_size_t)half);
        for (size_t k = half; k < 2 * half; k++) {
            w.t[k] += carry;
            carry &= bt_ct_is_zero(w.t[k]);
        }
        memcpy(dst, w.t, limbs * sizeof *dst);
    }
}

static void mont_one(const bt_mont *ctx, bt_word *dst, size_t n)
{
    const size_t words = ctx->elem_words;
    for (size_t i = 0; i < n; i++)
        memcpy(dst + i * words, ctx->consts, words * sizeof *dst);
}

static void mont_mul(const bt_mont *ctx, bt_word *dst, const bt_word *a, const bt_word *b, size_t n, int secret,
                     bt_word *scratch)
{
    const size_t words = ctx->elem_words;
    for (size_t i = 0; i < n; i++)
        pair_product(ctx, dst + i * words, a + i * words, b + i * words, secret, scratch);
}

static void mont_sqr(const bt_mont *ctx, bt_word *dst, const bt_word *a, size_t n, int secret, bt_word *scratch)
{
    mont_mul(ctx, dst, a, a, n, secret, scratch);
}

const bt_mont_ops bt_mont_mpn_pairs = {
    .name = "mpn",
    .lanes = 1,
    .min_limbs = MIN_LIMBS,
    .max_limbs = MAX_LIMBS,
    .available = bti_mpn_available,
    .elem_words = mont_elem_words,
    .const_words = mont_const_words,
    .scratch_words = mont_scratch_words,
    .init = mont_init,
    .load = mont_load,
    .store = mont_store,
    .one = mont_one,
    .mul = mont_mul,
    .sqr = mont_sqr,
    .gather = bti_mpn_gather,
    .scatter = bti_mpn_scatter,
    .put = bti_mpn_put,
    .select_shared = bti_mpn_select_shared,
    .select_own = bti_mpn_select_own,
    .pairs = &bt_mont_mpn_pairs,
};
