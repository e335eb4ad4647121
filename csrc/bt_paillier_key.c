/* The private key: its arena, reduction modulo p^2 and q^2, and the way back from p and q to n. */
#define _POSIX_C_SOURCE 200809L

#include "bt_paillier_impl.h"

#include <unistd.h>

/* n^2 < p^2 2^(64 L), as q < 2^(64 H), so redc applies; `wide` restores the factor that it took away. */
void bti_side_reduce(const bt_paillier_side *side, int which, const bt_mont *ctx, bt_word *dst, const bt_limb *x,
                     size_t k, bt_word *scratch)
{
    size_t L = side->m2.limbs;
    bt_limb *low = take(&scratch, CHUNK * L);
    bt_limb *t = take(&scratch, 2 * L);

    for (size_t i = 0; i < k; i++) {
        memcpy(t, x + i * 2 * L, 2 * L * sizeof *t);
        redc(low + i * L, t, &side->m2);
    }
    FAULT(which, "reduction", low, k * L * sizeof *low);
    ctx->ops->load(ctx, dst, low, k, scratch);
    ctx->ops->mul(ctx, dst, dst, ctx == &side->c2 ? side->wide : side->wide_one, k, 1, scratch);
    FAULT(which, "base", dst, bt_mont_words(ctx, k) * sizeof *dst);
}

size_t bti_side_reduce_scratch(const bt_paillier_side *side)
{
    size_t L = side->m2.limbs;
    return padded(CHUNK * L) + padded(2 * L) + bt_max(bt_mont_scratch(&side->c2), bt_mont_scratch(&side->c2_one));
}

/* out = x_p + p ((x_q - x_p) p^-1 mod q); x_p may exceed q, which load allows */
void bti_recombine(const bt_paillier_priv *priv, bt_limb *out, const bt_limb *xp, const bt_limb *xq, bt_word *scratch)
{
    size_t H = priv->H;
    const bt_paillier_side *side_q = &priv->side[1];
    bt_limb *a = take(&scratch, H);
    bt_limb *b = take(&scratch, H);

    mul_one(&side_q->c1, a, xq, priv->p_inv, scratch);
    mul_one(&side_q->c1, b, xp, priv->p_inv, scratch);
    sub_mod(a, a, b, side_q->m1.m, H);
    FAULT(1, "recombination", a, H * sizeof *a);
    mul_sec(out, a, priv->side[0].m1.m, H, scratch);
    add_carry(out + H, H, add_masked(out, xp, ~(bt_limb)0, H));
}

size_t bti_recombine_scratch(const bt_paillier_priv *priv)
{
    size_t H = priv->H;
    return 2 * padded(H) + bt_max(mul_sec_scratch(H), mul_one_scratch(&priv->side[1].c1));
}

/* The backend of p^2 and q^2, which have half the limbs of n^2: perhaps too few for the backend of n^2, or for its pairs. */
static const bt_mont_ops *side_ops(const bt_paillier_pub *pub)
{
    return bt_mont_for_square(pub->n2->ops, pub->n.limbs);
}

/* Words of the arena, in the order in which priv_init takes them. */
static size_t arena_words(const bt_paillier_pub *pub)
{
    size_t L = pub->n.limbs, H = L / 2;
    const bt_mont_ops *ops = side_ops(pub);
    size_t elem1 = bt_mont_mpn.elem_words(H);
    size_t elem2 = ops->elem_words(L);
    size_t side = padded(bt_modulus_storage(H)) + padded(bt_modulus_storage(L)) + padded(bt_mont_mpn.const_words(H)) +
                  padded(ops->const_words(L)) + padded(bt_mont_mpn_pairs.const_words(L)) + 2 * padded(H) +
                  padded(elem1) + padded(CHUNK * elem2) + padded(bt_mont_mpn_pairs.elem_words(L));
    return padded((sizeof(bt_paillier_priv) + 7) / 8) + 2 * side + padded(elem1) + padded(CHUNK * elem2);
}

size_t bt_paillier_priv_scratch(const bt_paillier_pub *pub)
{
    size_t L = pub->n.limbs, H = L / 2;
    const bt_mont_ops *ops = side_ops(pub);
    /* contexts of the right shape, not yet of a key: sizes depend on limbs alone */
    bt_modulus m1 = {.limbs = H}, m2 = {.limbs = L};
    bt_mont c1 = {.ops = &bt_mont_mpn, .mod = &m1, .elem_words = bt_mont_mpn.elem_words(H)};
    bt_mont c2 = {.ops = ops, .mod = &m2, .elem_words = ops->elem_words(L)};
    bt_mont c2_one = {.ops = &bt_mont_mpn_pairs, .mod = &m2, .elem_words = bt_mont_mpn_pairs.elem_words(L)};
    size_t elem = padded(bt_max(bt_mont_words(&c1, 1), bt_mont_words(&c2, 1)));
    size_t below = bt_max(bt_pow_secret_scratch(&c1, 1, 64 * H), bt_pow_secret_scratch(&c2, 1, 64 * L));
    below = bt_max(below, bt_max(bt_mont_scratch(&c1), bt_mont_scratch(&c2)));
    below = bt_max(below, bt_mont_scratch(&c2_one));
    below = bt_max(below, bt_max(mul_sec_scratch(H), H));
    return 2 * padded(2 * L) + padded(L) + 3 * elem + below;
}

static bt_status side_init(bt_paillier_side *side, const bt_paillier_pub *pub, const bt_limb *p, bt_word **arena,
                           bt_word *scratch)
{
    size_t L = pub->n.limbs, H = L / 2;
    const bt_mont_ops *ops = side_ops(pub);
    bt_limb *constants1 = take(arena, bt_modulus_storage(H));
    bt_limb *constants2 = take(arena, bt_modulus_storage(L));
    bt_word *consts1 = take(arena, bt_mont_mpn.const_words(H));
    bt_word *consts2 = take(arena, ops->const_words(L));
    bt_word *consts2_one = take(arena, bt_mont_mpn_pairs.const_words(L));
    side->exponent = take(arena, H);
    side->inverse = take(arena, H);
    side->h = take(arena, bt_mont_mpn.elem_words(H));
    side->wide = take(arena, CHUNK * ops->elem_words(L));
    side->wide_one = take(arena, bt_mont_mpn_pairs.elem_words(L));

    bt_limb *square = take(&scratch, 2 * H);
    bt_limb *copies = take(&scratch, L);
    mul_sec(square, p, p, H, scratch);
    bt_status status = bt_modulus_init(&side->m1, p, H, constants1);
    if (status == BT_OK)
        status = bt_modulus_init(&side->m2, square, L, constants2);
    side->m2.root = &side->m1;
    if (status == BT_OK)
        status = bt_mont_init(&side->c1, &bt_mont_mpn, &side->m1, consts1, scratch);
    if (status == BT_OK)
        status = bt_mont_init(&side->c2, ops, &side->m2, consts2, scratch);
    if (status == BT_OK)
        status = bt_mont_init(&side->c2_one, &bt_mont_mpn_pairs, &side->m2, consts2_one, scratch);
    if (status != BT_OK)
        return status;

    memcpy(side->exponent, p, H * sizeof *p);
    side->exponent[0] -= 1; /* p is odd */
    bt_inverse_2k(side->inverse, p, H, scratch);
    memcpy(copies, side->m2.r1, L * sizeof *copies);
    bt_word *one = take(&scratch, bt_mont_words(&side->c2, 1));
    side->c2_one.ops->load(&side->c2_one, side->wide_one, copies, 1, scratch);
    side->c2.ops->load(&side->c2, one, copies, 1, scratch);
    for (size_t i = 0; i < CHUNK; i++)
        side->c2.ops->scatter(&side->c2, side->wide, i, one, 1);
    side->comb.table = NULL;
    return BT_OK;
}

/* dst = b^e, one element: inverses by Fermat and Euler */
static void power_one(const bt_mont *ctx, bt_word *dst, const bt_limb *b, const bt_limb *e, bt_word *scratch)
{
    size_t limbs = ctx->mod->limbs;
    bt_word *base = take(&scratch, bt_mont_words(ctx, 1));
    ctx->ops->load(ctx, base, b, 1, scratch);
    bt_pow_secret(ctx, dst, base, 1, e, 0, 64 * limbs, scratch);
}

bt_status bt_paillier_priv_init(bt_arena *arena, bt_paillier_priv **out, const bt_paillier_pub *pub, const bt_limb *p,
                                const bt_limb *q, bt_word *scratch)
{
    size_t L = pub->n.limbs, H = L / 2;
    bt_status status = bt_arena_open(arena, arena_words(pub) * sizeof(bt_word));
    if (status != BT_OK)
        return status;

    bt_word *words = (bt_word *)(void *)arena->base;
    bt_paillier_priv *priv = (void *)take(&words, (sizeof *priv + 7) / 8);
    priv->L = L;
    priv->H = H;
    priv->pub = pub;
    status = side_init(&priv->side[0], pub, p, &words, scratch);
    if (status == BT_OK)
        status = side_init(&priv->side[1], pub, q, &words, scratch);
    if (status != BT_OK) {
        bt_wipe_registers();
        bt_arena_close(arena);
        return status;
    }
    priv->p_inv = take(&words, bt_mont_mpn.elem_words(H));
    priv->p2_inv = take(&words, CHUNK * side_ops(pub)->elem_words(L));

    /* h_p = -(q^-1) mod p: (1 + n)^(p-1) = 1 + n (p-1) mod p^2, and its L_p is q (p-1) = -q mod p. Inverses by Fermat. */
    bt_limb *e = take(&scratch, L);
    bt_limb *x = take(&scratch, 2 * L);
    bt_word *inv = take(&scratch, side_ops(pub)->lanes * side_ops(pub)->elem_words(L));
    for (int s = 0; s < 2; s++) {
        bt_paillier_side *side = &priv->side[s];
        const bt_limb *other = s == 0 ? q : p;
        less_one(e, side->exponent, H);               /* p - 2 */
        power_one(&side->c1, inv, other, e, scratch); /* other may exceed p: load takes any value of H limbs */
        if (s == 1)
            memcpy(priv->p_inv, inv, side->c1.elem_words * sizeof *inv);
        side->c1.ops->store(&side->c1, x, inv, 1, scratch);
        (void)sub(x, side->m1.m, x, H);
        side->c1.ops->load(&side->c1, side->h, x, 1, scratch);
    }

    /* (p^2)^-1 mod q^2 by Euler: the exponent is phi(q^2) - 1 = q^2 - q - 1 */
    bt_paillier_side *side_q = &priv->side[1];
    memset(e, 0, L * sizeof *e);
    memcpy(e, q, H * sizeof *e);
    (void)sub(e, side_q->m2.m, e, L);
    less_one(e, e, L);
    power_one(&side_q->c2, inv, priv->side[0].m2.m, e, scratch);
    for (size_t i = 0; i < CHUNK; i++)
        side_q->c2.ops->scatter(&side_q->c2, priv->p2_inv, i, inv, 1);

    bt_wipe_registers();
    priv->pid = (int64_t)getpid();
    priv->alive = BT_PAILLIER_ALIVE;
    *out = priv;
    return BT_OK;
}

bt_status bt_paillier_priv_check(const bt_paillier_priv *priv)
{
    /* a forked child sees zeros where WIPEONFORK works, and a foreign pid elsewhere */
    return priv->alive == BT_PAILLIER_ALIVE && priv->pid == (int64_t)getpid() ? BT_OK : BT_ERR_WIPED;
}
