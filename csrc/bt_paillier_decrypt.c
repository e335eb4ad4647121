/* Decryption by CRT, and the check without which no result leaves. */
#include "bt_paillier_impl.h"

#define T_LIMBS 2 /* t of the check: 1 <= t < 2^128, below p and q at every real size, so a unit */

/* The context for k residues modulo p^2: one alone is a fifth cheaper by mpn than in a group of c2. */
static const bt_mont *side_context(const bt_paillier_side *side, size_t k)
{
    return k == 1 && side->c2.ops->lanes > 1 ? &side->c2_one : &side->c2;
}

/* y[i] = x[i]^(p-1) mod p^2, canonical, k <= CHUNK */
static void side_power(const bt_paillier_side *side, int which, bt_limb *y, const bt_limb *x, size_t k,
                       bt_word *scratch)
{
    size_t H = side->m1.limbs;
    const bt_mont *ctx = side_context(side, k);
    bt_word *base = take(&scratch, bt_mont_words(ctx, k));
    bt_word *power = take(&scratch, bt_mont_words(ctx, k));
    bt_limb *e = take(&scratch, H);

    bti_side_reduce(side, which, ctx, base, x, k, scratch);
    memcpy(e, side->exponent, H * sizeof *e);
    FAULT(which, "exponent", e, H * sizeof *e);
    bt_pow_secret(ctx, power, base, k, e, 0, 64 * H, scratch);
    FAULT(which, "power", power, bt_mont_words(ctx, k) * sizeof *power);
    ctx->ops->store(ctx, y, power, k, scratch);
}

static size_t side_power_scratch(const bt_paillier_side *side)
{
    size_t H = side->m1.limbs;
    size_t below = bt_max(bti_side_reduce_scratch(side), bt_pow_secret_scratch(&side->c2, CHUNK, 64 * H));
    below = bt_max(below, bt_pow_secret_scratch(&side->c2_one, 1, 64 * H));
    below = bt_max(below, bt_max(bt_mont_scratch(&side->c2), bt_mont_scratch(&side->c2_one)));
    return 2 * padded(bt_mont_words(&side->c2, CHUNK)) + padded(H) + below;
}

/* out[H] = L_p(y) h mod p = m mod p, where L_p(y) = (y - 1) / p: exact, so the low H limbs of (y - 1) p^-1 are the quotient */
static void side_log(const bt_paillier_side *side, int which, bt_limb *out, const bt_limb *y, bt_word *scratch)
{
    size_t H = side->m1.limbs;
    bt_limb *one_less = take(&scratch, H);
    bt_limb *product = take(&scratch, 2 * H);

    less_one(one_less, y, H); /* y >= 1, and only the low half of y - 1 is needed */
    mul_sec(product, one_less, side->inverse, H, scratch);
    FAULT(which, "L", product, H * sizeof *product);
    mul_one(&side->c1, out, product, side->h, scratch);
    FAULT(which, "residue", out, H * sizeof *out);
}

static size_t side_log_scratch(const bt_paillier_side *side)
{
    size_t H = side->m1.limbs;
    return padded(H) + padded(2 * H) + bt_max(mul_sec_scratch(H), mul_one_scratch(&side->c1));
}

/* all ones if D decrypts to t on this side: D^(p-1) = 1 - n t mod p^2 (as (1+n)^(p-1) = 1 - n there); n t has L + T_LIMBS limbs */
static uint64_t side_agrees(const bt_paillier_priv *priv, int which, const bt_limb *D, const bt_limb *nt,
                            bt_word *scratch)
{
    const bt_paillier_side *side = &priv->side[which];
    size_t L = priv->L;
    bt_limb *y = take(&scratch, L);
    bt_limb *x = take(&scratch, L);
    bt_limb *tmp = take(&scratch, L);
    const bt_mont *ctx = &side->c2_one;
    bt_word *elem = take(&scratch, ctx->elem_words);

    side_power(side, which, y, D, 1, scratch);
    bti_side_reduce(side, which, ctx, elem, nt, 1, scratch);
    ctx->ops->store(ctx, x, elem, 1, scratch);
    add_mod(y, x, side->m2.m, L, tmp);
    uint64_t difference = y[0] ^ 1;
    for (size_t i = 1; i < L; i++)
        difference |= y[i];
    return ~bt_ct_nonzero(difference);
}

static size_t side_agrees_scratch(const bt_paillier_priv *priv)
{
    const bt_paillier_side *side = &priv->side[0];
    return 3 * padded(priv->L) + padded(side->c2_one.elem_words) +
           bt_max(side_power_scratch(side), bt_max(bti_side_reduce_scratch(side), bt_mont_scratch(&side->c2_one)));
}

/* The check of bt_paillier_decrypt on its final values: all ones if they pass. */
static uint64_t decryption_agrees(const bt_paillier_priv *priv, const bt_limb *m, const bt_limb *c, size_t n,
                                  const bt_limb *rho, const bt_limb *t, bt_word *scratch)
{
    const bt_paillier_pub *pub = priv->pub;
    size_t L = priv->L;
    bt_limb *sum = take(&scratch, L + 2);
    bt_limb *residue = take(&scratch, L);
    bt_limb *wide_t = take(&scratch, L);
    bt_limb *D = take(&scratch, 2 * L);
    bt_limb *nt = take(&scratch, 2 * L);
    bt_word *elem = take(&scratch, bt_mont_words(pub->n2, 1));

    memset(wide_t, 0, L * sizeof *wide_t);
    memcpy(wide_t, t, T_LIMBS * sizeof *t);
    bti_weighted_sum(sum, m, L, rho, n);
    bti_reduce_n(pub, residue, sum, scratch);
    sub_mod(residue, wide_t, residue, pub->n.m, L); /* (1 + n t)(1 - n S) = 1 + n (t - S) mod n^2 */
    bti_weighted_product(pub, elem, c, rho, n, scratch);
    bt_paillier_mul_plain(pub, elem, elem, residue, 1, 1, scratch);
    pub->n2->ops->store(pub->n2, D, elem, 1, scratch);

    memset(nt, 0, 2 * L * sizeof *nt);
    for (size_t i = 0; i < T_LIMBS; i++)
        addmul_wide(nt + i, pub->n.m, L, t[i]);
    uint64_t good = side_agrees(priv, 0, D, nt, scratch) & side_agrees(priv, 1, D, nt, scratch);
    return good & all_below(m, pub->n.m, L, n); /* the check itself is blind to m_i + n */
}

static size_t decryption_agrees_scratch(const bt_paillier_priv *priv)
{
    const bt_paillier_pub *pub = priv->pub;
    size_t L = priv->L;
    size_t below = bt_max(bti_reduce_n_scratch(pub), bti_weighted_product_scratch(pub));
    below = bt_max(below, bt_paillier_mul_plain_scratch(pub));
    below = bt_max(below, bt_mont_scratch(pub->n2));
    return padded(L + 2) + 2 * padded(L) + 2 * padded(2 * L) + padded(bt_mont_words(pub->n2, 1)) +
           bt_max(below, side_agrees_scratch(priv));
}

size_t bt_paillier_decrypt_scratch(const bt_paillier_priv *priv, size_t n)
{
    size_t L = priv->L, H = priv->H;
    const bt_paillier_side *side = &priv->side[0];
    size_t below = bt_max(side_power_scratch(side), side_log_scratch(side));
    (void)n;
    return 2 * padded(CHUNK * L) + 2 * padded(H) +
           bt_max(bt_max(below, bti_recombine_scratch(priv)), decryption_agrees_scratch(priv));
}

bt_status bt_paillier_decrypt(const bt_paillier_priv *priv, bt_limb *m, const bt_limb *c, size_t n,
                              const bt_limb *random, bt_word *scratch)
{
    size_t L = priv->L, H = priv->H;
    bt_status status = bt_paillier_priv_check(priv);
    if (status != BT_OK)
        return status;
    if (n == 0)
        return BT_OK;
    if (n > MAX_BATCH)
        return BT_ERR_ARG;
    const bt_limb *t = random + n;
    if (any_zero(t, T_LIMBS, 1) || any_zero(random, 1, n))
        return BT_ERR_ARG; /* a broken generator: a zero would take a value out of the check */

    bt_limb *y[2] = {take(&scratch, CHUNK * L), take(&scratch, CHUNK * L)};
    bt_limb *r[2] = {take(&scratch, H), take(&scratch, H)};
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t k = n - first < CHUNK ? n - first : CHUNK;
        for (int s = 0; s < 2; s++)
            side_power(&priv->side[s], s, y[s], c + first * 2 * L, k, scratch);
        for (size_t i = 0; i < k; i++) {
            for (int s = 0; s < 2; s++)
                side_log(&priv->side[s], s, r[s], y[s] + i * L, scratch);
            bti_recombine(priv, m + (first + i) * L, r[0], r[1], scratch);
        }
    }
    FAULT(0, "result", m, n * L * sizeof *m);

    uint64_t good = decryption_agrees(priv, m, c, n, random, t, scratch);
    BT_PUBLIC(&good, sizeof good); /* whether a fault happened is what the caller learns */
    bt_wipe_registers();
    if (!good)
        bt_wipe(m, n * L * sizeof *m);
    return good ? BT_OK : BT_ERR_FAULT;
}
