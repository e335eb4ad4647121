/* Paillier with the public key: loading ciphertexts at the boundary, embedding plaintexts, and the sums and products of the
 * checks on what the private key computes. */
#include "bt_paillier_impl.h"

#define RHO_BLOCK 64 /* ciphertexts that one multi-exponentiation of the check takes */

size_t bt_paillier_pub_storage(size_t limbs)
{
    const bt_mont_ops *pairs = &bt_mont_mpn_pairs;
    return padded(bt_modulus_storage(limbs)) + padded(bt_mont_mpn.const_words(limbs)) +
           padded(bt_max(bt_mont_mpn.const_words(2 * limbs), pairs->const_words(2 * limbs))) +
           padded(bt_max(bt_mont_mpn.scratch_words(2 * limbs), pairs->scratch_words(2 * limbs)));
}

bt_status bt_paillier_pub_init(bt_paillier_pub *pub, const bt_limb *n, size_t limbs, const bt_mont *n2,
                               bt_word *storage)
{
    if (n2->mod->limbs != 2 * limbs || limbs % 2 != 0)
        return BT_ERR_ARG;
    bt_limb *constants = take(&storage, bt_modulus_storage(limbs));
    bt_word *consts = take(&storage, bt_mont_mpn.const_words(limbs));
    const bt_mont_ops *one = n2->mod->root ? &bt_mont_mpn_pairs : &bt_mont_mpn;
    bt_word *consts_one = take(&storage, one->const_words(2 * limbs));
    bt_status status = bt_modulus_init(&pub->n, n, limbs, constants);
    pub->n2 = n2;
    if (status == BT_OK)
        status = bt_mont_init(&pub->n1, &bt_mont_mpn, &pub->n, consts, storage);
    if (status == BT_OK)
        status = bt_mont_init(&pub->n2_one, one, n2->mod, consts_one, storage);
    return status;
}

/* nonzero if gcd(x, n) = 1, for x of `limbs` limbs, n odd and above 1, as its square is a modulus; public. tmp: limbs + 2 n_limbs */
static int is_coprime(const bt_limb *x, size_t limbs, const bt_limb *n, size_t n_limbs, bt_limb *tmp)
{
    bt_limb *a = tmp, *b = a + limbs, *g = b + n_limbs;
    bt_limb any = 0;

    for (size_t i = 0; i < limbs; i++)
        any |= x[i];
    if (any == 0)
        return 0;
    memcpy(a, x, limbs * sizeof *a); /* gcd destroys both */
    memcpy(b, n, n_limbs * sizeof *b);
    return bt_gmp.gcd(g, a, (mp_size_t)limbs, b, (mp_size_t)n_limbs) == 1 && g[0] == 1;
}

/* Elements of the running product of a check, a power of two: long batches take more at once, as a call costs a fifth of a group
 * of eight products. */
enum { FEW = CHUNK, MANY = 4 * CHUNK, MANY_FROM = 8 * MANY };

size_t bt_paillier_load_checked_scratch(const bt_mont *n2)
{
    size_t limbs = n2->mod->limbs;
    return padded(bt_mont_words(n2, MANY)) + padded(bt_mont_words(n2, MANY)) + padded(limbs) + padded(3 * limbs) +
           bt_mont_scratch(n2);
}

size_t bt_paillier_load_checked(const bt_mont *n2, const bt_limb *n, size_t n_limbs, bt_word *dst, const bt_limb *c,
                                size_t count, bt_word *scratch)
{
    const bt_mont_ops *ops = n2->ops;
    size_t limbs = n2->mod->limbs;
    bt_word *acc = take(&scratch, bt_mont_words(n2, MANY));
    bt_word *t = take(&scratch, bt_mont_words(n2, MANY));
    bt_limb *row = take(&scratch, limbs);
    bt_limb *tmp = take(&scratch, 3 * limbs);
    size_t valid = bt_modulus_first_invalid(n2->mod, c, count); /* rows in range before the first that is not */
    const size_t width = valid >= MANY_FROM ? MANY : FEW;
    size_t first = 0;

    ops->one(n2, acc, width);
    for (; valid - first >= width; first += width) { /* what was loaded is still in the first cache */
        bt_word *here = dst + bt_mont_offset(n2, first);
        ops->load(n2, here, c + first * limbs, width, scratch);
        ops->mul(n2, acc, acc, here, width, 0, scratch);
    }
    if (first < valid) { /* the rest, filled up with ones */
        bt_word *here = dst + bt_mont_offset(n2, first);
        ops->load(n2, here, c + first * limbs, valid - first, scratch);
        ops->one(n2, t, width);
        ops->scatter(n2, t, 0, here, valid - first);
        ops->mul(n2, acc, acc, t, width, 0, scratch);
    }
    for (size_t half = width / 2; half > 0; half /= 2) { /* the upper half onto the lower one */
        int64_t upper[MANY / 2];
        for (size_t k = 0; k < half; k++)
            upper[k] = (int64_t)(half + k);
        ops->gather(n2, t, acc, upper, half);
        ops->mul(n2, acc, acc, t, half, 0, scratch);
    }
    ops->store(n2, row, acc, 1, scratch);
    if (is_coprime(row, limbs, n, n_limbs, tmp))
        return valid;
    for (size_t i = 0; i < valid; i++)
        if (!is_coprime(c + i * limbs, limbs, n, n_limbs, tmp))
            return i;
    return 0; /* a product of units is a unit: only a fault leads here */
}

size_t bt_paillier_mul_plain_scratch(const bt_paillier_pub *pub)
{
    size_t L = pub->n.limbs;
    return padded(CHUNK * 2 * L) + padded(bt_mont_words(pub->n2, CHUNK)) +
           bt_max(mul_sec_scratch(L), bt_mont_scratch(pub->n2));
}

void bt_paillier_mul_plain(const bt_paillier_pub *pub, bt_word *dst, const bt_word *src, const bt_limb *m, size_t n,
                           int secret, bt_word *scratch)
{
    const bt_mont *n2 = pub->n2;
    size_t L = pub->n.limbs;
    bt_limb *g = take(&scratch, CHUNK * 2 * L);
    bt_word *elems = take(&scratch, bt_mont_words(n2, CHUNK));

    for (size_t first = 0; first < n; first += CHUNK) {
        size_t k = n - first < CHUNK ? n - first : CHUNK;
        for (size_t i = 0; i < k; i++) { /* 1 + m n <= 1 + (n - 1) n < n^2: no reduction */
            mul_sec(g + i * 2 * L, m + (first + i) * L, pub->n.m, L, scratch);
            add_carry(g + i * 2 * L, 2 * L, 1);
        }
        n2->ops->load(n2, elems, g, k, scratch);
        n2->ops->mul(n2, dst + bt_mont_offset(n2, first), src + bt_mont_offset(n2, first), elems, k, secret, scratch);
    }
}

void bti_reduce_n(const bt_paillier_pub *pub, bt_limb *out, const bt_limb *wide, bt_word *scratch)
{
    size_t L = pub->n.limbs;
    const bt_mont *n1 = &pub->n1;
    bt_word *r = take(&scratch, n1->elem_words);
    bt_limb *high = take(&scratch, L);
    bt_limb *tmp = take(&scratch, L);

    /* high 2^(64 L) + low, and 2^(64 L) = r1 mod n */
    n1->ops->load(n1, r, pub->n.r1, 1, scratch);
    memset(high, 0, L * sizeof *high);
    memcpy(high, wide + L, 2 * sizeof *high);
    mul_one(n1, high, high, r, scratch);
    n1->ops->one(n1, r, 1);
    mul_one(n1, out, wide, r, scratch);
    add_mod(out, high, pub->n.m, L, tmp);
}

size_t bti_reduce_n_scratch(const bt_paillier_pub *pub)
{
    return padded(pub->n1.elem_words) + 2 * padded(pub->n.limbs) + mul_one_scratch(&pub->n1);
}

void bti_weighted_product(const bt_paillier_pub *pub, bt_word *acc, const bt_limb *c, const bt_limb *rho, size_t n,
                          bt_word *scratch)
{
    const bt_mont *n2 = pub->n2;
    size_t L2 = 2 * pub->n.limbs;
    bt_word *elems = take(&scratch, bt_mont_words(n2, RHO_BLOCK));
    bt_word *part = take(&scratch, bt_mont_words(n2, 1));

    n2->ops->one(n2, acc, 1);
    for (size_t first = 0; first < n; first += RHO_BLOCK) {
        size_t k = n - first < RHO_BLOCK ? n - first : RHO_BLOCK;
        n2->ops->load(n2, elems, c + first * L2, k, scratch);
        bt_multiexp(n2, part, elems, NULL, k, rho + first, 1, 64, 1, scratch);
        n2->ops->mul(n2, acc, acc, part, 1, 0, scratch);
    }
}

size_t bti_weighted_product_scratch(const bt_paillier_pub *pub)
{
    /* not monotone: a long product takes buckets, a short last block tables, which are larger */
    size_t most = bt_mont_scratch(pub->n2);
    for (size_t k = 1; k <= RHO_BLOCK; k++)
        most = bt_max(most, bt_multiexp_scratch(pub->n2, k, 1, 64));
    return padded(bt_mont_words(pub->n2, RHO_BLOCK)) + padded(bt_mont_words(pub->n2, 1)) + most;
}

void bti_weighted_sum(bt_limb *sum, const bt_limb *m, size_t limbs, const bt_limb *rho, size_t n)
{
    memset(sum, 0, (limbs + 2) * sizeof *sum);
    for (size_t i = 0; i < n; i++)
        addmul_wide(sum, m + i * limbs, limbs, rho[i]);
}
