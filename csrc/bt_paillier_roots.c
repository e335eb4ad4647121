/* n-th roots modulo n by CRT, and the check without which none leaves. */
#include "bt_paillier_impl.h"

#define ROOTS BT_PAILLIER_ROOTS

/* d[H] = n^-1 mod p - 1, for p of `side` and q of `other`. As n = q mod p - 1, d is (1 + k (p - 1)) / q with
 * k = -(p - 1)^-1 mod q, by Fermat. k < q gives d < p, so the low H limbs of the exact quotient are all of it. q does not divide
 * p - 1: the two have one length, and p - 1 = q is even. */
static void side_exponent(const bt_paillier_side *side, const bt_paillier_side *other, int which, bt_limb *d,
                          bt_word *scratch)
{
    size_t H = side->m1.limbs;
    const bt_mont *ctx = &other->c1;
    bt_word *base = take(&scratch, ctx->elem_words);
    bt_word *power = take(&scratch, ctx->elem_words);
    bt_limb *k = take(&scratch, H);
    bt_limb *product = take(&scratch, 2 * H);

    less_one(k, other->exponent, H); /* q - 2 */
    ctx->ops->load(ctx, base, side->exponent, 1, scratch);
    bt_pow_secret(ctx, power, base, 1, k, 0, 64 * H, scratch);
    ctx->ops->store(ctx, k, power, 1, scratch);
    (void)sub(k, other->m1.m, k, H);
    mul_sec(product, k, side->exponent, H, scratch);
    add_carry(product, H, 1);
    memcpy(k, product, H * sizeof *k);
    mul_sec(product, k, other->inverse, H, scratch);
    memcpy(d, product, H * sizeof *d);
    FAULT(which, "exponent", d, H * sizeof *d);
}

static size_t side_exponent_scratch(const bt_paillier_side *side)
{
    size_t H = side->m1.limbs;
    size_t below = bt_max(bt_pow_secret_scratch(&side->c1, 1, 64 * H), mul_sec_scratch(H));
    return 2 * padded(side->c1.elem_words) + padded(H) + padded(2 * H) + bt_max(below, bt_mont_scratch(&side->c1));
}

/* y[count] (H limbs each) = x[i]^(1/n) mod p, canonical. redc takes x < n, as n < p 2^(64 H); r1 restores the factor 2^(64 H). */
static void side_roots(const bt_paillier_priv *priv, int which, bt_limb *y, const bt_limb *x, size_t count,
                       bt_word *scratch)
{
    size_t L = priv->L, H = priv->H;
    const bt_paillier_side *side = &priv->side[which];
    const bt_mont *ctx = &side->c1;
    bt_limb *d = take(&scratch, H);
    bt_limb *t = take(&scratch, L);
    bt_word *factor = take(&scratch, ctx->elem_words);
    bt_word *base = take(&scratch, bt_mont_words(ctx, ROOTS));
    bt_word *power = take(&scratch, bt_mont_words(ctx, ROOTS));

    side_exponent(side, &priv->side[1 - which], which, d, scratch);
    ctx->ops->load(ctx, factor, side->m1.r1, 1, scratch);
    for (size_t i = 0; i < count; i++) {
        memcpy(t, x + i * L, L * sizeof *t);
        redc(y + i * H, t, &side->m1);
        mul_one(ctx, y + i * H, y + i * H, factor, scratch);
    }
    FAULT(which, "reduction", y, count * H * sizeof *y);
    ctx->ops->load(ctx, base, y, count, scratch);
    bt_pow_secret(ctx, power, base, count, d, 0, 64 * H, scratch);
    FAULT(which, "power", power, bt_mont_words(ctx, count) * sizeof *power);
    ctx->ops->store(ctx, y, power, count, scratch);
}

static size_t side_roots_scratch(const bt_paillier_priv *priv)
{
    size_t H = priv->H;
    const bt_paillier_side *side = &priv->side[0];
    size_t below = bt_max(side_exponent_scratch(side), bt_pow_secret_scratch(&side->c1, ROOTS, 64 * H));
    below = bt_max(below, bt_max(mul_one_scratch(&side->c1), bt_mont_scratch(&side->c1)));
    return padded(H) + padded(priv->L) + padded(side->c1.elem_words) + 2 * padded(bt_mont_words(&side->c1, ROOTS)) +
           below;
}

/* out[L] = (prod v_i^rho_i)^e mod n, e of `limbs` limbs; all public */
static void weighted_power(const bt_paillier_pub *pub, bt_limb *out, const bt_limb *v, const bt_limb *rho, size_t count,
                           const bt_limb *e, size_t limbs, bt_word *scratch)
{
    const bt_mont *n1 = &pub->n1;
    bt_word *elems = take(&scratch, bt_mont_words(n1, ROOTS));
    bt_word *product = take(&scratch, n1->elem_words);
    bt_word *power = take(&scratch, n1->elem_words);

    n1->ops->load(n1, elems, v, count, scratch);
    bt_multiexp(n1, product, elems, NULL, count, rho, 1, 64, 1, scratch);
    bt_pow_public(n1, power, product, 1, e, 0, 64 * limbs, 0, scratch);
    n1->ops->store(n1, out, power, 1, scratch);
}

static size_t weighted_power_scratch(const bt_paillier_pub *pub)
{
    const bt_mont *n1 = &pub->n1;
    size_t below = bt_max(bt_mont_scratch(n1), bt_pow_public_scratch(n1, 1, 64 * pub->n.limbs));
    for (size_t k = 1; k <= ROOTS; k++) /* not monotone, see bti_weighted_product_scratch */
        below = bt_max(below, bt_multiexp_scratch(n1, k, 1, 64));
    return padded(bt_mont_words(n1, ROOTS)) + 2 * padded(n1->elem_words) + below;
}

/* The check of bt_paillier_roots: all ones if it passes. Odd weights see a root that is off by -1 modulo one prime. */
static int roots_agree(const bt_paillier_pub *pub, const bt_limb *y, const bt_limb *x, size_t count,
                       const bt_limb *random, bt_word *scratch)
{
    const bt_limb one = 1;
    size_t L = pub->n.limbs;
    bt_limb *left = take(&scratch, L);
    bt_limb *right = take(&scratch, L);
    bt_limb rho[ROOTS];

    for (size_t i = 0; i < count; i++)
        rho[i] = random[i] | 1;
    weighted_power(pub, left, y, rho, count, pub->n.m, L, scratch);
    weighted_power(pub, right, x, rho, count, &one, 1, scratch);
    return memcmp(left, right, L * sizeof *left) == 0 && all_below(y, pub->n.m, L, count) != 0;
}

size_t bt_paillier_roots_scratch(const bt_paillier_priv *priv)
{
    size_t below = bt_max(side_roots_scratch(priv), bti_recombine_scratch(priv));
    return 2 * padded(ROOTS * priv->H) + bt_max(below, 2 * padded(priv->L) + weighted_power_scratch(priv->pub));
}

bt_status bt_paillier_roots(const bt_paillier_priv *priv, bt_limb *y, const bt_limb *x, size_t count,
                            const bt_limb *random, bt_word *scratch)
{
    size_t L = priv->L, H = priv->H;
    bt_status status = bt_paillier_priv_check(priv);
    if (status != BT_OK)
        return status;
    if (count > ROOTS)
        return BT_ERR_ARG;
    if (count == 0)
        return BT_OK;

    bt_limb *half[2] = {take(&scratch, ROOTS * H), take(&scratch, ROOTS * H)};
    for (int s = 0; s < 2; s++)
        side_roots(priv, s, half[s], x, count, scratch);
    for (size_t i = 0; i < count; i++)
        bti_recombine(priv, y + i * L, half[0] + i * H, half[1] + i * H, scratch);
    FAULT(0, "result", y, count * L * sizeof *y);

    /* roots are published; those that fail the check meet the fast public powers here, and nobody */
    BT_PUBLIC(y, count * L * sizeof *y);
    int good = roots_agree(priv->pub, y, x, count, random, scratch);
    bt_wipe_registers();
    if (!good)
        bt_wipe(y, count * L * sizeof *y);
    return good ? BT_OK : BT_ERR_FAULT;
}
