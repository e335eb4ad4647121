/* Any odd modulus p of L limbs, by Montgomery's reduction with R = 2^(64 (L + 1)): one limb more than the modulus has, so that a
 * sum of many products is reduced once.
 *
 * A row of the product is sum m_j s_j with m_j' = m_j R mod p in place of m_j: T = sum m_j' s_j < k p^2, k < 2^64, fits
 * 2 L + 1 limbs. L + 1 steps add q p with q < R, q p = -T mod R, and divide by R:
 *     (T + q p) / R < k p^2 / R + p <= (k / 2^64) p + p < 2 p,   since p < 2^(64 L) = R / 2^64,
 * so one masked subtraction gives the canonical sum. The same holds for one product (k = 1) of any values below 2^(64 L)
 * of which one is below p. */
#include "bt_field_impl.h"

/* t[0 .. 2L] holds T on entry; out = T / R mod p, canonical */
INLINE void reduce(bt_limb *out, bt_limb *t, const bt_limb *p, bt_limb neg_inv, size_t limbs)
{
    bt_limb last = 0; /* limb 2L + 1, which only carries reach */
    for (size_t i = 0; i <= limbs; i++) {
        const bt_limb q = t[i] * neg_inv;
        bt_limb carry = 0;
        for (size_t j = 0; j < limbs; j++) {
            const bt_u128 x = (bt_u128)q * p[j] + t[i + j] + carry; /* <= (2^64 - 1)^2 + 2 (2^64 - 1) = 2^128 - 1 */
            t[i + j] = (bt_limb)x;
            carry = (bt_limb)(x >> 64);
        }
        for (size_t j = i + limbs; j <= 2 * limbs; j++) {
            const bt_u128 x = (bt_u128)t[j] + carry;
            t[j] = (bt_limb)x;
            carry = (bt_limb)(x >> 64);
        }
        last += carry;
    }
    /* the result: t[L + 1 .. 2L] and `last`, a bit, above it */
    const bt_limb *r = t + limbs + 1;
    bt_limb borrow = 0, less[BT_FIELD_MAX_LIMBS];
    for (size_t j = 0; j < limbs; j++) {
        const bt_u128 d = (bt_u128)r[j] - p[j] - borrow;
        less[j] = (bt_limb)d;
        borrow = (bt_limb)(d >> 64) & 1;
    }
    const uint64_t below = bt_ct_barrier(0 - (borrow & ~last)); /* 2p > r, so last = 1 implies a borrow that it pays */
    for (size_t j = 0; j < limbs; j++)
        out[j] = bt_ct_select(below, r[j], less[j]);
}

/* t[0 .. 2L] += a b */
INLINE void add_product(bt_limb *t, const bt_limb *a, const bt_limb *b, size_t limbs)
{
    for (size_t i = 0; i < limbs; i++) {
        bt_limb carry = 0;
        for (size_t j = 0; j < limbs; j++) {
            const bt_u128 x = (bt_u128)a[i] * b[j] + t[i + j] + carry;
            t[i + j] = (bt_limb)x;
            carry = (bt_limb)(x >> 64);
        }
        for (size_t j = i + limbs; j <= 2 * limbs; j++) {
            const bt_u128 x = (bt_u128)t[j] + carry;
            t[j] = (bt_limb)x;
            carry = (bt_limb)(x >> 64);
        }
    }
}

/* out = a b / R mod p */
INLINE void product(const bt_field *f, bt_limb *out, const bt_limb *a, const bt_limb *b, size_t limbs)
{
    bt_limb t[2 * BT_FIELD_MAX_LIMBS + 1];
    memset(t, 0, (2 * limbs + 1) * sizeof *t);
    add_product(t, a, b, limbs);
    reduce(out, t, f->p, f->neg_inv, limbs);
}

INLINE void mul_limbs(const bt_field *f, bt_limb *out, const bt_limb *a, const bt_limb *b, size_t n, size_t limbs)
{
    for (size_t i = 0; i < n * limbs; i += limbs) {
        bt_limb t[BT_FIELD_MAX_LIMBS];
        product(f, t, a + i, b + i, limbs);
        product(f, out + i, t, f->enter, limbs);
    }
}

INLINE void row_limbs(const bt_field *f, bt_limb *out, const bt_limb *m, size_t k, const bt_limb *s, size_t stride,
                      size_t n, bt_limb *scaled, size_t limbs)
{
    for (size_t j = 0; j < k; j++)
        product(f, scaled + j * limbs, m + j * limbs, f->enter, limbs);
    for (size_t i = 0; i < n; i++) {
        bt_limb t[2 * BT_FIELD_MAX_LIMBS + 1];
        memset(t, 0, (2 * limbs + 1) * sizeof *t);
        for (size_t j = 0; j < k; j++)
            add_product(t, scaled + j * limbs, s + (j * stride + i) * limbs, limbs);
        reduce(out + i * limbs, t, f->p, f->neg_inv, limbs);
    }
}

/* out = x - p if that is not negative (`over`: x has a bit above its limbs), else x */
INLINE void subtract_once(const bt_field *f, bt_limb *out, const bt_limb *x, bt_limb over)
{
    bt_limb less[BT_FIELD_MAX_LIMBS], borrow = 0;
    for (size_t j = 0; j < f->limbs; j++) {
        const bt_u128 d = (bt_u128)x[j] - f->p[j] - borrow;
        less[j] = (bt_limb)d;
        borrow = (bt_limb)(d >> 64) & 1;
    }
    const uint64_t below = bt_ct_barrier(0 - (borrow & ~over));
    for (size_t j = 0; j < f->limbs; j++)
        out[j] = bt_ct_select(below, x[j], less[j]);
}

/* c 2^128 + x += a b */
#define ADD_WIDE(c, x, a, b) ((c) += (bt_limb)__builtin_add_overflow(x, (bt_u128)(a) * (b), &(x)))

/* row_limbs for one limb: the sum has 128 bits and less than k <= 2^32 carries. */
static void row_one(const bt_field *f, bt_limb *out, const bt_limb *m, size_t k, const bt_limb *s, size_t stride,
                    size_t n, bt_limb *scaled)
{
    for (size_t j = 0; j < k; j++)
        product(f, scaled + j, m + j, f->enter, 1);
    for (size_t i = 0; i < n; i++) {
        bt_u128 sum = 0, x;
        bt_limb t2 = 0;
        for (size_t j = 0; j < k; j++)
            ADD_WIDE(t2, sum, scaled[j], s[j * stride + i]);
        bt_limb t0 = (bt_limb)sum, t1 = (bt_limb)(sum >> 64);
        for (int step = 0; step < 2; step++) { /* T <- (T + q p) / 2^64, as in reduce */
            x = (bt_u128)(t0 * f->neg_inv) * f->p[0] + t0;
            x = (x >> 64) + t1;
            t0 = (bt_limb)x;
            x = (x >> 64) + t2;
            t1 = (bt_limb)x;
            t2 = (bt_limb)(x >> 64);
        }
        subtract_once(f, out + i, &t0, t1); /* what is left: t0 and the bit t1 */
    }
}

/* row_limbs for two limbs: the three columns of the products are summed apart, with less than 2 k <= 2^33 carries each. */
static void row_two(const bt_field *f, bt_limb *out, const bt_limb *m, size_t k, const bt_limb *s, size_t stride,
                    size_t n, bt_limb *scaled)
{
    for (size_t j = 0; j < k; j++)
        product(f, scaled + 2 * j, m + 2 * j, f->enter, 2);
    for (size_t i = 0; i < n; i++) {
        bt_u128 low = 0, middle = 0, high = 0;
        bt_limb low_carry = 0, middle_carry = 0, high_carry = 0;
        for (size_t j = 0; j < k; j++) {
            const bt_limb *a = scaled + 2 * j, *b = s + 2 * (j * stride + i);
            ADD_WIDE(low_carry, low, a[0], b[0]);
            ADD_WIDE(middle_carry, middle, a[0], b[1]);
            ADD_WIDE(middle_carry, middle, a[1], b[0]);
            ADD_WIDE(high_carry, high, a[1], b[1]);
        }
        /* T = low + 2^64 middle + 2^128 high and each one's carry 2^128 above; every sum here is below 2^67 */
        bt_u128 x = (low >> 64) + (bt_limb)middle;
        bt_limb t0 = (bt_limb)low, t1 = (bt_limb)x, t2, t3, t4;
        x = (x >> 64) + low_carry + (bt_limb)(middle >> 64) + (bt_limb)high;
        t2 = (bt_limb)x;
        x = (x >> 64) + middle_carry + (bt_limb)(high >> 64);
        t3 = (bt_limb)x;
        t4 = (bt_limb)(x >> 64) + high_carry;
        for (int step = 0; step < 3; step++) { /* T <- (T + q p) / 2^64, as in reduce */
            const bt_limb q = t0 * f->neg_inv;
            x = (bt_u128)q * f->p[0] + t0;
            x = (bt_u128)q * f->p[1] + t1 + (bt_limb)(x >> 64);
            t0 = (bt_limb)x;
            x = (x >> 64) + t2;
            t1 = (bt_limb)x;
            x = (x >> 64) + t3;
            t2 = (bt_limb)x;
            x = (x >> 64) + t4;
            t3 = (bt_limb)x;
            t4 = (bt_limb)(x >> 64);
        }
        /* what is left: t0, t1 and the bit t2 */
        const bt_limb r[2] = {t0, t1};
        subtract_once(f, out + 2 * i, r, t2);
    }
}

/* The two sizes in everyday use are compiled for their own; `limbs` is public. */
#define BY_LIMBS(limbs, call)                                                                                          \
    do {                                                                                                               \
        if ((limbs) == 1)                                                                                              \
            call(1);                                                                                                   \
        else if ((limbs) == 2)                                                                                         \
            call(2);                                                                                                   \
        else                                                                                                           \
            call(limbs);                                                                                               \
    } while (0)

static void odd_mul(const bt_field *f, void *out, const void *a, const void *b, size_t n)
{
#define CALL(limbs) mul_limbs(f, out, a, b, n, limbs)
    BY_LIMBS(f->limbs, CALL);
#undef CALL
}

static void odd_row(const bt_field *f, void *out, const void *m, size_t k, const void *s, size_t stride, size_t n,
                    void *scratch)
{
    if (f->limbs == 1)
        row_one(f, out, m, k, s, stride, n, scratch);
    else if (f->limbs == 2)
        row_two(f, out, m, k, s, stride, n, scratch);
    else
        row_limbs(f, out, m, k, s, stride, n, scratch, f->limbs);
}

static void odd_add(const bt_field *f, void *out, const void *a, const void *b, size_t n)
{
    const size_t limbs = f->limbs;
    bt_limb *o = out;
    const bt_limb *x = a, *y = b;
    for (size_t i = 0; i < n * limbs; i += limbs) {
        bt_limb sum[BT_FIELD_MAX_LIMBS], carry = 0;
        for (size_t j = 0; j < limbs; j++) {
            const bt_u128 t = (bt_u128)x[i + j] + y[i + j] + carry;
            sum[j] = (bt_limb)t;
            carry = (bt_limb)(t >> 64);
        }
        subtract_once(f, o + i, sum, carry);
    }
}

static void odd_sub(const bt_field *f, void *out, const void *a, const void *b, size_t n)
{
    const size_t limbs = f->limbs;
    bt_limb *o = out;
    const bt_limb *x = a, *y = b;
    for (size_t i = 0; i < n * limbs; i += limbs) {
        bt_limb borrow = 0, carry = 0;
        for (size_t j = 0; j < limbs; j++) {
            const bt_u128 d = (bt_u128)x[i + j] - y[i + j] - borrow;
            o[i + j] = (bt_limb)d;
            borrow = (bt_limb)(d >> 64) & 1;
        }
        const uint64_t negative = bt_ct_barrier(0 - borrow);
        for (size_t j = 0; j < limbs; j++) {
            const bt_u128 t = (bt_u128)o[i + j] + (f->p[j] & negative) + carry;
            o[i + j] = (bt_limb)t;
            carry = (bt_limb)(t >> 64);
        }
    }
}

/* 1 if x < p, else 0 */
INLINE bt_limb is_below(const bt_field *f, const bt_limb *x)
{
    bt_limb borrow = 0;
    for (size_t j = 0; j < f->limbs; j++)
        borrow = (bt_limb)(((bt_u128)x[j] - f->p[j] - borrow) >> 64) & 1;
    return borrow;
}

static uint64_t odd_canonical(const bt_field *f, const void *a, size_t n)
{
    const bt_limb *x = a;
    bt_limb good = 1;
    for (size_t i = 0; i < n; i++)
        good &= is_below(f, x + i * f->limbs);
    return bt_ct_nonzero(good);
}

static size_t odd_accept(const bt_field *f, void *a, size_t n)
{
    const size_t limbs = f->limbs;
    bt_limb *x = a;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        x[i * limbs + limbs - 1] &= f->top_mask;
        bt_limb good = is_below(f, x + i * limbs);
        BT_PUBLIC(&good, sizeof good); /* refused words are thrown away, kept ones stay uniform */
        memmove(x + kept * limbs, x + i * limbs, limbs * sizeof *x);
        kept += good;
    }
    return kept;
}

static size_t odd_scratch(const bt_field *f, size_t k)
{
    return k * f->bytes;
}

const bt_field_ops bt_field_odd = {odd_add, odd_sub, odd_mul, odd_canonical, odd_accept, odd_row, odd_scratch};
