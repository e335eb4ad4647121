#define _POSIX_C_SOURCE 200809L

#include "bt_paillier.h"

#include <string.h>
#include <unistd.h>

#include "bt_gmp.h"

#define CHUNK BT_PAILLIER_CHUNK
#define RHO_BLOCK 64       /* ciphertexts that one multi-exponentiation of the check takes */
#define T_LIMBS 2          /* t of the check: 1 <= t < 2^128 < p, so t is a unit mod p and mod q */
#define OWNER_TAIL_BITS 96 /* sum rho_i a_i < 2^(64 H + 64 + 20): n <= 2^20 terms of 64 H + 64 bits */
#define MAX_BATCH ((size_t)1 << 20)

/* The fault tests (csrc/tests) compile this file with a hook at every intermediate value. */
#ifdef BT_FAULT_TEST
void bt_fault_hook(int side, const char *site, void *p, size_t bytes);
#define FAULT(side, site, p, bytes) bt_fault_hook((side), (site), (p), (bytes))
#else
#define FAULT(side, site, p, bytes) ((void)0)
#endif

/* --- small arithmetic on limbs, constant time ---------------------------------------------------------------------- */

/* Scratch is handed out in multiples of 8 words, so that every array keeps the alignment of the first. */
static size_t padded(size_t words)
{
    return (words + 7) & ~(size_t)7;
}

static bt_word *take(bt_word **scratch, size_t words)
{
    bt_word *p = *scratch;
    *scratch += padded(words);
    return p;
}

/* a += b & mask; returns the carry */
static bt_limb add_masked(bt_limb *a, const bt_limb *b, bt_limb mask, size_t n)
{
    unsigned __int128 t = 0;
    for (size_t i = 0; i < n; i++) {
        t += (unsigned __int128)a[i] + (b[i] & mask);
        a[i] = (bt_limb)t;
        t >>= 64;
    }
    return (bt_limb)t;
}

/* out = a - b; returns the borrow */
static bt_limb sub(bt_limb *out, const bt_limb *a, const bt_limb *b, size_t n)
{
    bt_limb borrow = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned __int128 t = (unsigned __int128)a[i] - b[i] - borrow;
        out[i] = (bt_limb)t;
        borrow = (bt_limb)(t >> 64) & 1;
    }
    return borrow;
}

/* a - b mod m, for a, b < m; out may be a */
static void sub_mod(bt_limb *out, const bt_limb *a, const bt_limb *b, const bt_limb *m, size_t n)
{
    bt_limb borrow = sub(out, a, b, n);
    (void)add_masked(out, m, bt_ct_barrier(0 - borrow), n);
}

/* a += b mod m, for a, b < m; tmp[n] */
static void add_mod(bt_limb *a, const bt_limb *b, const bt_limb *m, size_t n, bt_limb *tmp)
{
    bt_limb carry = add_masked(a, b, ~(bt_limb)0, n);
    bt_limb borrow = sub(tmp, a, m, n);
    bt_limb take_tmp = bt_ct_barrier(0 - (carry | (borrow ^ 1)));
    for (size_t i = 0; i < n; i++)
        a[i] = bt_ct_select(take_tmp, tmp[i], a[i]);
}

/* acc[n + 2] += w * b[n] */
static void addmul_wide(bt_limb *acc, const bt_limb *b, size_t n, bt_limb w)
{
    bt_limb carry = bt_gmp.addmul_1(acc, b, (mp_size_t)n, w);
    acc[n] += carry;
    acc[n + 1] += acc[n] < carry;
}

/* a++ */
static void increment(bt_limb *a, size_t n)
{
    bt_limb carry = 1;
    for (size_t i = 0; i < n; i++) {
        a[i] += carry;
        carry &= (bt_limb)(a[i] == 0);
    }
}

/* out[2 n] = a[n] b[n]; scratch: sec_mul_itch(n, n) */
static void mul_sec(bt_limb *out, const bt_limb *a, const bt_limb *b, size_t n, bt_word *scratch)
{
    bt_gmp.sec_mul(out, a, (mp_size_t)n, b, (mp_size_t)n, (mp_ptr)scratch);
}

static size_t mul_sec_scratch(size_t n)
{
    return (size_t)bt_gmp.sec_mul_itch((mp_size_t)n, (mp_size_t)n);
}

/* out[L] = t[2 L] 2^(-64 L) mod m, canonical, for t < m 2^(64 L); t is destroyed. The result before the last subtraction is
 * below 2 m, as (t + k m) / 2^(64 L) with k < 2^(64 L). */
static void redc(bt_limb *out, bt_limb *t, const bt_modulus *m)
{
    size_t n = m->limbs;
    for (size_t i = 0; i < n; i++)
        t[i] = bt_gmp.addmul_1(t + i, m->m, (mp_size_t)n, t[i] * m->neg_inv);
    bt_limb carry = add_masked(t + n, t, ~(bt_limb)0, n);
    bt_limb borrow = sub(out, t + n, m->m, n);
    bt_limb keep = bt_ct_barrier(0 - (borrow & (carry ^ 1)));
    for (size_t i = 0; i < n; i++)
        out[i] = bt_ct_select(keep, t[n + i], out[i]);
}

/* out = a * b mod m by the mpn backend of one element: a any value below 2^(64 limbs), b an element */
static void mul_one(const bt_mont *ctx, bt_limb *out, const bt_limb *a, const bt_word *b, bt_word *scratch)
{
    bt_word *x = take(&scratch, ctx->elem_words);
    ctx->ops->load(ctx, x, a, 1, scratch);
    ctx->ops->mul(ctx, x, x, b, 1, 1, scratch);
    ctx->ops->store(ctx, out, x, 1, scratch);
}

static size_t mul_one_scratch(const bt_mont *ctx)
{
    return padded(ctx->elem_words) + bt_mont_scratch(ctx);
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* --- public key ---------------------------------------------------------------------------------------------------- */

size_t bt_paillier_pub_storage(size_t limbs)
{
    return padded(bt_modulus_storage(limbs)) + padded(bt_mont_mpn.const_words(limbs)) +
           padded(bt_mont_mpn.scratch_words(limbs));
}

bt_status bt_paillier_pub_init(bt_paillier_pub *pub, const bt_limb *n, size_t limbs, const bt_mont *n2,
                               bt_word *storage)
{
    if (n2->mod->limbs != 2 * limbs || limbs % 2 != 0)
        return BT_ERR_ARG;
    bt_limb *constants = take(&storage, bt_modulus_storage(limbs));
    bt_word *consts = take(&storage, bt_mont_mpn.const_words(limbs));
    bt_status status = bt_modulus_init(&pub->n, n, limbs, constants);
    pub->n2 = n2;
    if (status == BT_OK)
        status = bt_mont_init(&pub->n1, &bt_mont_mpn, &pub->n, consts, storage);
    return status;
}

/* nonzero if gcd(x, n) = 1, for x of `limbs` limbs, n odd; public. tmp: limbs + 2 n_limbs */
static int is_coprime(const bt_limb *x, size_t limbs, const bt_limb *n, size_t n_limbs, bt_limb *tmp)
{
    bt_limb *a = tmp, *b = a + limbs, *g = b + n_limbs;
    bt_limb any = 0;

    for (size_t i = 0; i < limbs; i++)
        any |= x[i];
    if (any == 0)
        return n_limbs == 1 && n[0] == 1;
    memcpy(a, x, limbs * sizeof *a); /* gcd destroys both */
    memcpy(b, n, n_limbs * sizeof *b);
    return bt_gmp.gcd(g, a, (mp_size_t)limbs, b, (mp_size_t)n_limbs) == 1 && g[0] == 1;
}

size_t bt_paillier_load_checked_scratch(const bt_mont *n2)
{
    size_t limbs = n2->mod->limbs;
    size_t most = bt_mont_scratch(n2);
    for (size_t k = 1; k <= CHUNK; k++)
        most = max_size(most, bt_prod_scratch(n2, 1, k));
    return padded(bt_mont_words(n2, CHUNK)) + 2 * padded(bt_mont_words(n2, 1)) + padded(limbs) + padded(3 * limbs) +
           most;
}

size_t bt_paillier_load_checked(const bt_mont *n2, const bt_limb *n, size_t n_limbs, bt_word *dst, const bt_limb *c,
                                size_t count, bt_word *scratch)
{
    const bt_mont_ops *ops = n2->ops;
    size_t limbs = n2->mod->limbs;
    bt_word *acc = take(&scratch, bt_mont_words(n2, CHUNK));
    bt_word *product = take(&scratch, bt_mont_words(n2, 1));
    bt_word *rest = take(&scratch, bt_mont_words(n2, 1));
    bt_limb *row = take(&scratch, limbs);
    bt_limb *tmp = take(&scratch, 3 * limbs);
    size_t valid = bt_modulus_first_invalid(n2->mod, c, count); /* rows in range before the first that is not */
    size_t whole = valid / CHUNK * CHUNK;

    ops->load(n2, dst, c, valid, scratch);
    ops->one(n2, acc, CHUNK);
    for (size_t first = 0; first < whole; first += CHUNK)
        ops->mul(n2, acc, acc, dst + bt_mont_offset(n2, first), CHUNK, 0, scratch);
    bt_prod(n2, product, acc, NULL, 1, CHUNK, scratch);
    if (valid > whole) {
        bt_prod(n2, rest, dst + bt_mont_offset(n2, whole), NULL, 1, valid - whole, scratch);
        ops->mul(n2, product, product, rest, 1, 0, scratch);
    }
    ops->store(n2, row, product, 1, scratch);
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
           max_size(mul_sec_scratch(L), bt_mont_scratch(pub->n2));
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
            increment(g + i * 2 * L, 2 * L);
        }
        n2->ops->load(n2, elems, g, k, scratch);
        n2->ops->mul(n2, dst + bt_mont_offset(n2, first), src + bt_mont_offset(n2, first), elems, k, secret, scratch);
    }
}

/* out[L] = wide[L + 2] mod n */
static void reduce_n(const bt_paillier_pub *pub, bt_limb *out, const bt_limb *wide, bt_word *scratch)
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

static size_t reduce_n_scratch(const bt_paillier_pub *pub)
{
    return padded(pub->n1.elem_words) + 2 * padded(pub->n.limbs) + mul_one_scratch(&pub->n1);
}

/* acc = prod c[i]^rho[i] mod n^2, one element; ciphertexts and rho are public */
static void weighted_product(const bt_paillier_pub *pub, bt_word *acc, const bt_limb *c, const bt_limb *rho, size_t n,
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

static size_t weighted_product_scratch(const bt_paillier_pub *pub)
{
    /* not monotone: a long product takes buckets, a short last block tables, which are larger */
    size_t most = bt_mont_scratch(pub->n2);
    for (size_t k = 1; k <= RHO_BLOCK; k++)
        most = max_size(most, bt_multiexp_scratch(pub->n2, k, 1, 64));
    return padded(bt_mont_words(pub->n2, RHO_BLOCK)) + padded(bt_mont_words(pub->n2, 1)) + most;
}

/* sum[L + 2] = sum rho[i] m[i]. Fits: n <= 2^20 terms below 2^(64 L + 64). */
static void weighted_sum(bt_limb *sum, const bt_limb *m, size_t limbs, const bt_limb *rho, size_t n)
{
    memset(sum, 0, (limbs + 2) * sizeof *sum);
    for (size_t i = 0; i < n; i++)
        addmul_wide(sum, m + i * limbs, limbs, rho[i]);
}

/* --- one side (mod p^2 or mod q^2) --------------------------------------------------------------------------------- */

/* dst (c2 layout, k <= CHUNK elements) = x[i] mod p^2 for x[i] < n^2 of 2 L limbs. n^2 < p^2 2^(64 L), as q < 2^(64 H), so redc
 * applies; `wide` restores the factor that it took away. */
static void side_reduce(const bt_paillier_side *side, int which, bt_word *dst, const bt_limb *x, size_t k,
                        bt_word *scratch)
{
    size_t L = side->m2.limbs;
    bt_limb *low = take(&scratch, CHUNK * L);
    bt_limb *t = take(&scratch, 2 * L);

    (void)which;
    for (size_t i = 0; i < k; i++) {
        memcpy(t, x + i * 2 * L, 2 * L * sizeof *t);
        redc(low + i * L, t, &side->m2);
    }
    FAULT(which, "reduction", low, k * L * sizeof *low);
    side->c2.ops->load(&side->c2, dst, low, k, scratch);
    side->c2.ops->mul(&side->c2, dst, dst, side->wide, k, 1, scratch);
    FAULT(which, "base", dst, bt_mont_words(&side->c2, k) * sizeof *dst);
}

static size_t side_reduce_scratch(const bt_paillier_side *side)
{
    size_t L = side->m2.limbs;
    return padded(CHUNK * L) + padded(2 * L) + bt_mont_scratch(&side->c2);
}

/* y[i] = x[i]^(p-1) mod p^2, canonical, k <= CHUNK */
static void side_power(const bt_paillier_side *side, int which, bt_limb *y, const bt_limb *x, size_t k,
                       bt_word *scratch)
{
    size_t H = side->m1.limbs;
    bt_word *base = take(&scratch, bt_mont_words(&side->c2, CHUNK));
    bt_word *power = take(&scratch, bt_mont_words(&side->c2, CHUNK));
    bt_limb *e = take(&scratch, H);

    (void)which;
    side_reduce(side, which, base, x, k, scratch);
    memcpy(e, side->exponent, H * sizeof *e);
    FAULT(which, "exponent", e, H * sizeof *e);
    bt_pow_secret(&side->c2, power, base, k, e, 0, 64 * H, scratch);
    FAULT(which, "power", power, bt_mont_words(&side->c2, k) * sizeof *power);
    side->c2.ops->store(&side->c2, y, power, k, scratch);
}

static size_t side_power_scratch(const bt_paillier_side *side)
{
    size_t H = side->m1.limbs;
    size_t below = max_size(side_reduce_scratch(side), bt_pow_secret_scratch(&side->c2, CHUNK, 64 * H));
    return 2 * padded(bt_mont_words(&side->c2, CHUNK)) + padded(H) + max_size(below, bt_mont_scratch(&side->c2));
}

/* out[H] = L_p(y) h mod p = m mod p, where L_p(y) = (y - 1) / p: exact, so the low H limbs of (y - 1) p^-1 are the quotient */
static void side_log(const bt_paillier_side *side, int which, bt_limb *out, const bt_limb *y, bt_word *scratch)
{
    size_t H = side->m1.limbs;
    bt_limb *one_less = take(&scratch, H);
    bt_limb *product = take(&scratch, 2 * H);
    bt_limb borrow = 1;

    (void)which;
    for (size_t i = 0; i < H; i++) { /* y >= 1, and only the low half of y - 1 is needed */
        one_less[i] = y[i] - borrow;
        borrow &= (bt_limb)(y[i] == 0);
    }
    mul_sec(product, one_less, side->inverse, H, scratch);
    FAULT(which, "L", product, H * sizeof *product);
    mul_one(&side->c1, out, product, side->h, scratch);
    FAULT(which, "residue", out, H * sizeof *out);
}

static size_t side_log_scratch(const bt_paillier_side *side)
{
    size_t H = side->m1.limbs;
    return padded(H) + padded(2 * H) + max_size(mul_sec_scratch(H), mul_one_scratch(&side->c1));
}

/* --- private key --------------------------------------------------------------------------------------------------- */

/* Words of the arena, in the order in which priv_init takes them. */
static size_t arena_words(const bt_paillier_pub *pub)
{
    size_t L = pub->n.limbs, H = L / 2;
    const bt_mont_ops *ops = pub->n2->ops;
    size_t elem1 = bt_mont_mpn.elem_words(H);
    size_t elem2 = ops->elem_words(L);
    size_t side = padded(bt_modulus_storage(H)) + padded(bt_modulus_storage(L)) + padded(bt_mont_mpn.const_words(H)) +
                  padded(ops->const_words(L)) + 2 * padded(H) + padded(elem1) + padded(CHUNK * elem2);
    return padded((sizeof(bt_paillier_priv) + 7) / 8) + 2 * side + padded(elem1) + padded(CHUNK * elem2);
}

size_t bt_paillier_priv_scratch(const bt_paillier_pub *pub)
{
    size_t L = pub->n.limbs, H = L / 2;
    const bt_mont_ops *ops = pub->n2->ops;
    /* contexts of the right shape, not yet of a key: sizes depend on limbs alone */
    bt_modulus m1 = {.limbs = H}, m2 = {.limbs = L};
    bt_mont c1 = {.ops = &bt_mont_mpn, .mod = &m1, .elem_words = bt_mont_mpn.elem_words(H)};
    bt_mont c2 = {.ops = ops, .mod = &m2, .elem_words = ops->elem_words(L)};
    size_t elem = padded(max_size(bt_mont_words(&c1, 1), bt_mont_words(&c2, 1)));
    size_t below = max_size(bt_pow_secret_scratch(&c1, 1, 64 * H), bt_pow_secret_scratch(&c2, 1, 64 * L));
    below = max_size(below, max_size(bt_mont_scratch(&c1), bt_mont_scratch(&c2)));
    below = max_size(below, 2 * padded(2 * H) + mul_sec_scratch(H));
    return 2 * padded(2 * L) + padded(L) + 3 * elem + below;
}

/* out[n] = a^-1 mod 2^(64 n), a odd: Newton's x <- x (2 - a x) doubles the correct bits; x = 3 a xor 2 starts with 5 */
static void inverse_2k(bt_limb *out, const bt_limb *a, size_t n, bt_word *scratch)
{
    bt_limb *t = take(&scratch, 2 * n);
    bt_limb *u = take(&scratch, 2 * n);

    memset(out, 0, n * sizeof *out);
    out[0] = (3 * a[0]) ^ 2;
    for (size_t bits = 5; bits < 64 * n; bits *= 2) {
        mul_sec(t, a, out, n, scratch);
        bt_limb carry = 1; /* t <- 2 - t = ~t + 3 */
        for (size_t i = 0; i < n; i++) {
            unsigned __int128 s = (unsigned __int128)(bt_limb)~t[i] + carry + (i == 0 ? 2 : 0);
            t[i] = (bt_limb)s;
            carry = (bt_limb)(s >> 64);
        }
        mul_sec(u, out, t, n, scratch);
        memcpy(out, u, n * sizeof *out);
    }
}

static bt_status side_init(bt_paillier_side *side, const bt_paillier_pub *pub, const bt_limb *p, bt_word **arena,
                           bt_word *scratch)
{
    size_t L = pub->n.limbs, H = L / 2;
    const bt_mont_ops *ops = pub->n2->ops;
    bt_limb *constants1 = take(arena, bt_modulus_storage(H));
    bt_limb *constants2 = take(arena, bt_modulus_storage(L));
    bt_word *consts1 = take(arena, bt_mont_mpn.const_words(H));
    bt_word *consts2 = take(arena, ops->const_words(L));
    side->exponent = take(arena, H);
    side->inverse = take(arena, H);
    side->h = take(arena, bt_mont_mpn.elem_words(H));
    side->wide = take(arena, CHUNK * ops->elem_words(L));

    bt_limb *square = take(&scratch, 2 * H);
    bt_limb *copies = take(&scratch, L);
    mul_sec(square, p, p, H, scratch);
    bt_status status = bt_modulus_init(&side->m1, p, H, constants1);
    if (status == BT_OK)
        status = bt_modulus_init(&side->m2, square, L, constants2);
    if (status == BT_OK)
        status = bt_mont_init(&side->c1, &bt_mont_mpn, &side->m1, consts1, scratch);
    if (status == BT_OK)
        status = bt_mont_init(&side->c2, ops, &side->m2, consts2, scratch);
    if (status != BT_OK)
        return status;

    memcpy(side->exponent, p, H * sizeof *p);
    side->exponent[0] -= 1; /* p is odd */
    inverse_2k(side->inverse, p, H, scratch);
    memcpy(copies, side->m2.r1, L * sizeof *copies);
    bt_word *one = take(&scratch, bt_mont_words(&side->c2, 1));
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
        bt_arena_close(arena);
        return status;
    }
    priv->p_inv = take(&words, bt_mont_mpn.elem_words(H));
    priv->p2_inv = take(&words, CHUNK * pub->n2->ops->elem_words(L));

    /* h_p = -(q^-1) mod p: (1 + n)^(p-1) = 1 + n (p-1) mod p^2, and its L_p is q (p-1) = -q mod p. Inverses by Fermat. */
    bt_limb *e = take(&scratch, L);
    bt_limb *x = take(&scratch, 2 * L);
    bt_word *inv = take(&scratch, pub->n2->ops->lanes * pub->n2->ops->elem_words(L));
    for (int s = 0; s < 2; s++) {
        bt_paillier_side *side = &priv->side[s];
        const bt_limb *other = s == 0 ? q : p;
        memcpy(e, side->exponent, H * sizeof *e);
        e[0] -= 1; /* p - 2; p - 1 is even and not 0, so a borrow may pass on: */
        for (size_t i = 1, borrow = (side->exponent[0] == 0); i < H; i++) {
            bt_limb before = e[i];
            e[i] -= borrow;
            borrow &= before == 0;
        }
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
    e[0] -= 1; /* q^2 - q is even: no borrow unless its low limb is 0 */
    for (size_t i = 1, borrow = (e[0] == ~(bt_limb)0); i < L; i++) {
        bt_limb before = e[i];
        e[i] -= borrow;
        borrow &= before == 0;
    }
    power_one(&side_q->c2, inv, priv->side[0].m2.m, e, scratch);
    for (size_t i = 0; i < CHUNK; i++)
        side_q->c2.ops->scatter(&side_q->c2, priv->p2_inv, i, inv, 1);

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

/* --- decryption ---------------------------------------------------------------------------------------------------- */

/* m = m_p + p ((m_q - m_p) p^-1 mod q); m_p may exceed q, which load allows */
static void recombine(const bt_paillier_priv *priv, bt_limb *m, const bt_limb *mp, const bt_limb *mq, bt_word *scratch)
{
    size_t H = priv->H;
    const bt_paillier_side *side_q = &priv->side[1];
    bt_limb *a = take(&scratch, H);
    bt_limb *b = take(&scratch, H);

    mul_one(&side_q->c1, a, mq, priv->p_inv, scratch);
    mul_one(&side_q->c1, b, mp, priv->p_inv, scratch);
    sub_mod(a, a, b, side_q->m1.m, H);
    FAULT(1, "recombination", a, H * sizeof *a);
    mul_sec(m, a, priv->side[0].m1.m, H, scratch);
    bt_limb carry = add_masked(m, mp, ~(bt_limb)0, H);
    for (size_t i = H; i < 2 * H; i++) {
        m[i] += carry;
        carry &= (bt_limb)(m[i] == 0);
    }
}

static size_t recombine_scratch(const bt_paillier_priv *priv)
{
    size_t H = priv->H;
    return 2 * padded(H) + max_size(mul_sec_scratch(H), mul_one_scratch(&priv->side[1].c1));
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
    bt_word *elem = take(&scratch, bt_mont_words(&side->c2, 1));

    side_power(side, which, y, D, 1, scratch);
    side_reduce(side, which, elem, nt, 1, scratch);
    side->c2.ops->store(&side->c2, x, elem, 1, scratch);
    add_mod(y, x, side->m2.m, L, tmp);
    uint64_t difference = y[0] ^ 1;
    for (size_t i = 1; i < L; i++)
        difference |= y[i];
    return ~bt_ct_nonzero(difference);
}

static size_t side_agrees_scratch(const bt_paillier_priv *priv)
{
    const bt_paillier_side *side = &priv->side[0];
    return 3 * padded(priv->L) + padded(bt_mont_words(&side->c2, 1)) +
           max_size(side_power_scratch(side), max_size(side_reduce_scratch(side), bt_mont_scratch(&side->c2)));
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
    weighted_sum(sum, m, L, rho, n);
    reduce_n(pub, residue, sum, scratch);
    sub_mod(residue, wide_t, residue, pub->n.m, L); /* (1 + n t)(1 - n S) = 1 + n (t - S) mod n^2 */
    weighted_product(pub, elem, c, rho, n, scratch);
    bt_paillier_mul_plain(pub, elem, elem, residue, 1, 1, scratch);
    pub->n2->ops->store(pub->n2, D, elem, 1, scratch);

    memset(nt, 0, 2 * L * sizeof *nt);
    for (size_t i = 0; i < T_LIMBS; i++)
        addmul_wide(nt + i, pub->n.m, L, t[i]);
    return side_agrees(priv, 0, D, nt, scratch) & side_agrees(priv, 1, D, nt, scratch);
}

static size_t decryption_agrees_scratch(const bt_paillier_priv *priv)
{
    const bt_paillier_pub *pub = priv->pub;
    size_t L = priv->L;
    size_t below = max_size(reduce_n_scratch(pub), weighted_product_scratch(pub));
    below = max_size(below, bt_paillier_mul_plain_scratch(pub));
    below = max_size(below, bt_mont_scratch(pub->n2));
    return padded(L + 2) + 2 * padded(L) + 2 * padded(2 * L) + padded(bt_mont_words(pub->n2, 1)) +
           max_size(below, side_agrees_scratch(priv));
}

size_t bt_paillier_decrypt_scratch(const bt_paillier_priv *priv, size_t n)
{
    size_t L = priv->L, H = priv->H;
    const bt_paillier_side *side = &priv->side[0];
    size_t below = max_size(side_power_scratch(side), side_log_scratch(side));
    (void)n;
    return 2 * padded(CHUNK * L) + 2 * padded(H) +
           max_size(max_size(below, recombine_scratch(priv)), decryption_agrees_scratch(priv));
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
    const bt_limb *t = random + n;
    if (n > MAX_BATCH || (t[0] | t[1]) == 0)
        return BT_ERR_ARG;

    bt_limb *y[2] = {take(&scratch, CHUNK * L), take(&scratch, CHUNK * L)};
    bt_limb *r[2] = {take(&scratch, H), take(&scratch, H)};
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t k = n - first < CHUNK ? n - first : CHUNK;
        for (int s = 0; s < 2; s++)
            side_power(&priv->side[s], s, y[s], c + first * 2 * L, k, scratch);
        for (size_t i = 0; i < k; i++) {
            for (int s = 0; s < 2; s++)
                side_log(&priv->side[s], s, r[s], y[s] + i * L, scratch);
            recombine(priv, m + (first + i) * L, r[0], r[1], scratch);
        }
    }
    FAULT(0, "result", m, n * L * sizeof *m);

    uint64_t good = decryption_agrees(priv, m, c, n, random, t, scratch);
    BT_PUBLIC(&good, sizeof good); /* whether a fault happened is what the caller learns */
    if (!good) {
        bt_wipe(m, n * L * sizeof *m);
        return BT_ERR_FAULT;
    }
    return BT_OK;
}

/* --- the owner's encryption ---------------------------------------------------------------------------------------- */

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
    return priv->side[0].comb.rows;
}

bt_status bt_paillier_owner_build(bt_paillier_priv *priv, const bt_limb *hs, size_t first, size_t count,
                                  bt_word *scratch)
{
    bt_status status = bt_paillier_priv_check(priv);
    if (status != BT_OK)
        return status;
    for (int s = 0; s < 2; s++) {
        bt_paillier_side *side = &priv->side[s];
        bt_word *rest = scratch;
        bt_word *base = take(&rest, bt_mont_words(&side->c2, 1));
        side_reduce(side, s, base, hs, 1, rest);
        bt_comb_build(&side->comb, base, first, count, 1, rest);
    }
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
        bt_limb carry = add_masked(out, cp + i * L, ~(bt_limb)0, L);
        for (size_t j = L; j < 2 * L; j++) {
            out[j] += carry;
            carry &= (bt_limb)(out[j] == 0);
        }
    }
}

static size_t recombine_squares_scratch(const bt_paillier_priv *priv)
{
    const bt_mont *c2 = &priv->side[1].c2;
    return padded(bt_mont_words(c2, CHUNK)) + 2 * padded(CHUNK * priv->L) +
           max_size(bt_mont_scratch(c2), mul_sec_scratch(priv->L));
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
    const bt_mont *n2 = pub->n2;
    size_t L = priv->L, H = priv->H;
    bt_limb *sum = take(&scratch, L + 2);
    bt_limb *residue = take(&scratch, L);
    bt_limb *zero = take(&scratch, L);
    bt_limb *left = take(&scratch, 2 * L);
    bt_limb *right = take(&scratch, 2 * L);
    bt_word *elem = take(&scratch, bt_mont_words(n2, 1));
    bt_word *power = take(&scratch, bt_mont_words(n2, 1));

    weighted_sum(sum, m, L, rho, n);
    reduce_n(pub, residue, sum, scratch);
    memset(zero, 0, L * sizeof *zero);
    sub_mod(residue, zero, residue, pub->n.m, L); /* canonical: S = 0 gives 0 */
    weighted_product(pub, elem, c, rho, n, scratch);
    bt_paillier_mul_plain(pub, elem, elem, residue, 1, 1, scratch);
    n2->ops->store(n2, left, elem, 1, scratch);

    weighted_sum(sum, a, H, rho, n); /* H + 2 limbs */
    n2->ops->load(n2, elem, hs, 1, scratch);
    bt_pow_secret(n2, power, elem, 1, sum, 0, 64 * H + OWNER_TAIL_BITS, scratch);
    n2->ops->store(n2, right, power, 1, scratch);
    uint64_t difference = 0;
    for (size_t i = 0; i < 2 * L; i++)
        difference |= left[i] ^ right[i];
    return ~bt_ct_nonzero(difference) & modulus_agrees(pub, scratch);
}

static size_t encryption_agrees_scratch(const bt_paillier_priv *priv)
{
    const bt_paillier_pub *pub = priv->pub;
    size_t L = priv->L;
    size_t below = max_size(reduce_n_scratch(pub), weighted_product_scratch(pub));
    below = max_size(below, bt_paillier_mul_plain_scratch(pub));
    below = max_size(below, bt_pow_secret_scratch(pub->n2, 1, 64 * priv->H + OWNER_TAIL_BITS));
    below = max_size(below, padded(2 * L) + mul_sec_scratch(L));
    return padded(L + 2) + 2 * padded(L) + 2 * padded(2 * L) + 2 * padded(bt_mont_words(pub->n2, 1)) +
           max_size(below, bt_mont_scratch(pub->n2));
}

size_t bt_paillier_owner_scratch(const bt_paillier_priv *priv, size_t n)
{
    const bt_paillier_side *side = &priv->side[0];
    size_t L = priv->L;
    size_t below = max_size(side_reduce_scratch(side), recombine_squares_scratch(priv));
    (void)n;
    below = max_size(below, mul_sec_scratch(L));
    if (side->comb.table != NULL) {
        below = max_size(below, bt_comb_pow_scratch(&side->comb, CHUNK));
        below = max_size(below, bt_comb_build_scratch(&side->comb) + padded(bt_mont_words(&side->c2, 1)));
    }
    return padded(CHUNK * 2 * L) + 2 * padded(CHUNK * L) + 2 * padded(bt_mont_words(&side->c2, CHUNK)) +
           max_size(max_size(below, bt_mont_scratch(&side->c2)), encryption_agrees_scratch(priv));
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
    uint64_t zero_exponent = 0;
    for (size_t i = 0; i < n; i++) {
        bt_limb any = 0;
        for (size_t j = 0; j < H; j++)
            any |= a[i * H + j];
        zero_exponent |= ~bt_ct_nonzero(any);
    }
    BT_PUBLIC(&zero_exponent, sizeof zero_exponent); /* true with probability n 2^(-64 H): a broken generator */
    if (zero_exponent)
        return BT_ERR_ARG;
    if (n == 0)
        return BT_OK;

    bt_limb *g = take(&scratch, CHUNK * 2 * L);
    bt_limb *half[2] = {take(&scratch, CHUNK * L), take(&scratch, CHUNK * L)};
    bt_word *elems = take(&scratch, bt_mont_words(&priv->side[0].c2, CHUNK));
    bt_word *power = take(&scratch, bt_mont_words(&priv->side[0].c2, CHUNK));
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t k = n - first < CHUNK ? n - first : CHUNK;
        for (size_t i = 0; i < k; i++) {
            mul_sec(g + i * 2 * L, m + (first + i) * L, pub->n.m, L, scratch);
            increment(g + i * 2 * L, 2 * L);
        }
        for (int s = 0; s < 2; s++) {
            const bt_paillier_side *side = &priv->side[s];
            bt_comb_pow(&side->comb, power, k, a + first * H, H, scratch);
            FAULT(s, "power", power, bt_mont_words(&side->c2, k) * sizeof *power);
            side_reduce(side, s, elems, g, k, scratch);
            side->c2.ops->mul(&side->c2, elems, elems, power, k, 1, scratch);
            side->c2.ops->store(&side->c2, half[s], elems, k, scratch);
            FAULT(s, "residue", half[s], k * L * sizeof *half[s]);
        }
        recombine_squares(priv, c + first * 2 * L, half[0], half[1], k, scratch);
    }
    FAULT(0, "result", c, n * 2 * L * sizeof *c);

    /* a ciphertext is public; one that fails the check meets the fast public products below, and nobody */
    BT_PUBLIC(c, n * 2 * L * sizeof *c);
    uint64_t good = encryption_agrees(priv, c, m, a, n, hs, random, scratch);
    BT_PUBLIC(&good, sizeof good); /* whether a fault happened is what the caller learns */
    if (!good) {
        bt_wipe(c, n * 2 * L * sizeof *c);
        return BT_ERR_FAULT;
    }
    return BT_OK;
}
