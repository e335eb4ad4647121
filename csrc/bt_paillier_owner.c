/* The key owner's encryption by CRT, and the check without which no ciphertext leaves. */
#include "bt_paillier_impl.h"

#define OWNER_TAIL_BITS 96 /* sum rho_i a_i < 2^(64 H + 64 + 20): n <= 2^20 terms of 64 H + 64 bits */

bt_status bt_paillier_owner_open(bt_arena *tables, bt_paillier_priv *priv, size_t table_bytes)
{
    const bt_mont *c2 = &priv->side[0].c2;
    size_t ebits = 64 * priv->H;
    bt_status status = bt_paillier_priv_check(priv);
    if (status != BT_OK)
        return status;
    size_t window = bt_comb_window(c2, ebits, table_bytes / 2);
    if (window == 0)
        return BT_ERR_ARG;
    size_t words = padded(bt_comb_table_words(c2, ebits, window));
    status = bt_arena_open(tables, 2 * words * sizeof(bt_word));
    if (status != BT_OK)
        return status;
    for (int s = 0; s < 2; s++)
        bt_comb_init(&priv->side[s].comb, &priv->side[s].c2, ebits, window,
                     (bt_word *)(void *)tables->base + (size_t)s * words);
    return BT_OK;
}

size_t bt_paillier_owner_rows(const bt_paillier_priv *priv)
{
    return priv->side[0].comb.build_steps;
}

bt_status bt_paillier_owner_build(bt_paillier_priv *priv, const bt_limb *hs, size_t first, size_t count,
                                  bt_word *scratch)
{
    bt_status status = bt_paillier_priv_check(priv);
    if (status != BT_OK)
        return status;
    size_t steps = priv->side[0].comb.build_steps;
    if (priv->side[0].comb.table == NULL || first > steps || count > steps - first)
        return BT_ERR_ARG;
    for (int s = 0; s < 2; s++) {
        bt_paillier_side *side = &priv->side[s];
        bt_word *rest = scratch;
        bt_word *base = take(&rest, bt_mont_words(&side->c2, 1));
        bti_side_reduce(side, s, &side->c2, base, hs, 1, rest);
        bt_comb_build(&side->comb, base, first, count, 1, rest);
    }
    bt_wipe_registers();
    return BT_OK;
}

/* c = c_p + p^2 ((c_q - c_p) p^-2 mod q^2) for k <= CHUNK elements; c_p, c_q canonical of L limbs */
static void recombine_squares(const bt_paillier_priv *priv, bt_limb *c, const bt_limb *cp, const bt_limb *cq, size_t k,
                              bt_word *scratch)
{
    size_t L = priv->L;
    const bt_mont *c2 = &priv->side[1].c2;
    const bt_limb *q2 = priv->side[1].m2.m, *p2 = priv->side[0].m2.m;
    bt_word *elems = take(&scratch, bt_mont_words(c2, CHUNK));
    bt_limb *a = take(&scratch, CHUNK * L);
    bt_limb *b = take(&scratch, CHUNK * L);

    c2->ops->load(c2, elems, cq, k, scratch);
    c2->ops->mul(c2, elems, elems, priv->p2_inv, k, 1, scratch);
    c2->ops->store(c2, a, elems, k, scratch);
    c2->ops->load(c2, elems, cp, k, scratch);
    c2->ops->mul(c2, elems, elems, priv->p2_inv, k, 1, scratch);
    c2->ops->store(c2, b, elems, k, scratch);
    for (size_t i = 0; i < k; i++) {
        bt_limb *out = c + i * 2 * L;
        sub_mod(a + i * L, a + i * L, b + i * L, q2, L);
        FAULT(1, "recombination", a + i * L, L * sizeof *a);
        mul_sec(out, a + i * L, p2, L, scratch);
        add_carry(out + L, L, add_masked(out, cp + i * L, ~(bt_limb)0, L));
    }
}

static size_t recombine_squares_scratch(const bt_paillier_priv *priv)
{
    const bt_mont *c2 = &priv->side[1].c2;
    return padded(bt_mont_words(c2, CHUNK)) + 2 * padded(CHUNK * priv->L) +
           bt_max(bt_mont_scratch(c2), mul_sec_scratch(priv->L));
}

/* all ones if n still squares to the modulus of n2: a zeroed n would make every embedding 1 + m n = 1 and pass the check below */
static uint64_t modulus_agrees(const bt_paillier_pub *pub, bt_word *scratch)
{
    size_t L = pub->n.limbs;
    bt_limb *square = take(&scratch, 2 * L);
    uint64_t difference = 0;

    mul_sec(square, pub->n.m, pub->n.m, L, scratch);
    for (size_t i = 0; i < 2 * L; i++)
        difference |= square[i] ^ pub->n2->mod->m[i];
    return ~bt_ct_nonzero(difference);
}

/* The check of bt_paillier_owner_encrypt: prod c_i^rho_i (1 - n sum rho_i m_i) = hs^(sum rho_i a_i) mod n^2, by arithmetic that
 * shares nothing with p and q. The exponent is a secret (with one element it is rho a). */
static uint64_t encryption_agrees(const bt_paillier_priv *priv, const bt_limb *c, const bt_limb *m, const bt_limb *a,
                                  size_t n, const bt_limb *hs, const bt_limb *rho, bt_word *scratch)
{
    const bt_paillier_pub *pub = priv->pub;
    const bt_mont *n2 = pub->n2, *one = &pub->n2_one;
    size_t L = priv->L, H = priv->H;
    bt_limb *sum = take(&scratch, L + 2);
    bt_limb *residue = take(&scratch, L);
    bt_limb *zero = take(&scratch, L);
    bt_limb *left = take(&scratch, 2 * L);
    bt_limb *right = take(&scratch, 2 * L);
    bt_word *elem = take(&scratch, bt_mont_words(n2, 1));
    bt_word *base = take(&scratch, one->elem_words);
    bt_word *power = take(&scratch, one->elem_words);

    bti_weighted_sum(sum, m, L, rho, n);
    bti_reduce_n(pub, residue, sum, scratch);
    memset(zero, 0, L * sizeof *zero);
    sub_mod(residue, zero, residue, pub->n.m, L); /* canonical: S = 0 gives 0 */
    bti_weighted_product(pub, elem, c, rho, n, scratch);
    bt_paillier_mul_plain(pub, elem, elem, residue, 1, 1, scratch);
    n2->ops->store(n2, left, elem, 1, scratch);

    bti_weighted_sum(sum, a, H, rho, n); /* H + 2 limbs */
    one->ops->load(one, base, hs, 1, scratch);
    bt_pow_secret(one, power, base, 1, sum, 0, 64 * H + OWNER_TAIL_BITS, scratch);
    one->ops->store(one, right, power, 1, scratch);
    uint64_t difference = 0;
    for (size_t i = 0; i < 2 * L; i++)
        difference |= left[i] ^ right[i];
    /* The product is blind to c_i + n^2, and to an exponent that became 0 on the way. */
    uint64_t good = all_below(c, n2->mod->m, 2 * L, n) & ~any_zero(a, H, n);
    return good & ~bt_ct_nonzero(difference) & modulus_agrees(pub, scratch);
}

static size_t encryption_agrees_scratch(const bt_paillier_priv *priv)
{
    const bt_paillier_pub *pub = priv->pub;
    size_t L = priv->L;
    size_t below = bt_max(bti_reduce_n_scratch(pub), bti_weighted_product_scratch(pub));
    below = bt_max(below, bt_paillier_mul_plain_scratch(pub));
    below = bt_max(below, bt_pow_secret_scratch(&pub->n2_one, 1, 64 * priv->H + OWNER_TAIL_BITS));
    below = bt_max(below, bt_mont_scratch(&pub->n2_one));
    below = bt_max(below, padded(2 * L) + mul_sec_scratch(L));
    return padded(L + 2) + 2 * padded(L) + 2 * padded(2 * L) + padded(bt_mont_words(pub->n2, 1)) +
           2 * padded(pub->n2_one.elem_words) + bt_max(below, bt_mont_scratch(pub->n2));
}

size_t bt_paillier_owner_scratch(const bt_paillier_priv *priv, size_t n)
{
    const bt_paillier_side *side = &priv->side[0];
    size_t L = priv->L;
    size_t below = bt_max(bti_side_reduce_scratch(side), recombine_squares_scratch(priv));
    (void)n;
    below = bt_max(below, mul_sec_scratch(L));
    if (side->comb.table != NULL) {
        below = bt_max(below, bt_comb_pow_scratch(&side->comb, CHUNK));
        below = bt_max(below, bt_comb_build_scratch(&side->comb) + padded(bt_mont_words(&side->c2, 1)));
    }
    return padded(CHUNK * 2 * L) + 2 * padded(CHUNK * L) + 2 * padded(bt_mont_words(&side->c2, CHUNK)) +
           bt_max(bt_max(below, bt_mont_scratch(&side->c2)), encryption_agrees_scratch(priv));
}

bt_status bt_paillier_owner_encrypt(const bt_paillier_priv *priv, bt_limb *c, const bt_limb *m, const bt_limb *a,
                                    size_t n, const bt_limb *hs, const bt_limb *random, bt_word *scratch)
{
    size_t L = priv->L, H = priv->H;
    const bt_paillier_pub *pub = priv->pub;
    bt_status status = bt_paillier_priv_check(priv);
    if (status != BT_OK)
        return status;
    if (n > MAX_BATCH || priv->side[0].comb.table == NULL)
        return BT_ERR_ARG;
    uint64_t zero = any_zero(a, H, n);
    BT_PUBLIC(&zero, sizeof zero); /* true with probability n 2^(-64 H): a broken generator */
    if (zero || any_zero(random, 1, n))
        return BT_ERR_ARG; /* a zero would take a value out of the check */
    if (n == 0)
        return BT_OK;

    bt_limb *g = take(&scratch, CHUNK * 2 * L);
    bt_limb *half[2] = {take(&scratch, CHUNK * L), take(&scratch, CHUNK * L)};
    bt_word *elems = take(&scratch, bt_mont_words(&priv->side[0].c2, CHUNK));
    bt_word *power = take(&scratch, bt_mont_words(&priv->side[0].c2, CHUNK));
    FAULT(0, "randomness", (void *)a, n * H * sizeof *a);
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t k = n - first < CHUNK ? n - first : CHUNK;
        for (size_t i = 0; i < k; i++) {
            mul_sec(g + i * 2 * L, m + (first + i) * L, pub->n.m, L, scratch);
            add_carry(g + i * 2 * L, 2 * L, 1);
        }
        for (int s = 0; s < 2; s++) {
            const bt_paillier_side *side = &priv->side[s];
            bt_comb_pow(&side->comb, power, k, a + first * H, H, scratch);
            FAULT(s, "power", power, bt_mont_words(&side->c2, k) * sizeof *power);
            bti_side_reduce(side, s, &side->c2, elems, g, k, scratch);
            side->c2.ops->mul(&side->c2, elems, elems, power, k, 1, scratch);
            side->c2.ops->store(&side->c2, half[s], elems, k, scratch);
            FAULT(s, "residue", half[s], k * L * sizeof *half[s]);
        }
        recombine_squares(priv, c + first * 2 * L, half[0], half[1], k, scratch);
    }
    FAULT(0, "result", c, n * 2 * L * sizeof *c);

    /* a ciphertext is public; one that fails the check reaches only the fast public products below, and is never released */
    BT_PUBLIC(c, n * 2 * L * sizeof *c);
    uint64_t good = encryption_agrees(priv, c, m, a, n, hs, random, scratch);
    BT_PUBLIC(&good, sizeof good); /* whether a fault happened is what the caller learns */
    bt_wipe_registers();
    if (!good)
        bt_wipe(c, n * 2 * L * sizeof *c);
    return good ? BT_OK : BT_ERR_FAULT;
}
