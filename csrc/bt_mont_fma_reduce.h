/* Private to bt_mont_fma.c and bt_mont_fma_pairs.c: the constants of a modulus, the reduction of columns by two folds and rows of Montgomery,
 * and what both layouts share. */
#ifndef BT_MONT_FMA_REDUCE_H
#define BT_MONT_FMA_REDUCE_H

#include "bt_cpu.h"
#include "bt_mont_fma_product.h"

typedef struct constants {
    shape s;
    vd *m, *c1, *c2, *d1;    /* [n]; d1: the differences that a folded c1 is multiplied by */
    vd *r1, *r2;             /* [n] B^kr and B^(2 kr) mod M */
    vd *minus_inverse;       /* [1] -M^-1 mod B, balanced */
    vi *bias_mul, *bias_sqr; /* [2 n]: minus all constants that a product (square) and its reduction add */
    vi *bias_rows;           /* [n + kr]: the same for the rows of Montgomery alone */
    /* of pairs (bt_mont_fma_pairs.c), whose r1 and r2 are [2 n] and mod M^2, without c1, c2 and d1: */
    vd *r3;                      /* [2 n] B^(3 kr) mod M^2 */
    vi *bias_cross, *bias_clean; /* [2 n]: minus what two products and a reduction, and what one product adds */
} constants;

/* The next n vectors of a work area. */
INLINE vi *take(vi **p, int n)
{
    vi *q = *p;
    *p += n;
    return q;
}

/* --- reduction -------------------------------------------------------------------------------------------------------------- */

/* acc[0 .. f + n) += t C. Large folds by one level of Karatsuba over chunks of 2 h digits of C = C0 + C1 Y, h = f / 2:
 * (t0 + t1 Y)(C0 + C1 Y) = V + V Y + (t1 - t0)(C0 - C1) Y with V = t0 C0 + t1 C1 Y; the last chunk takes what is left, so
 * its C1 has h .. 3 h - 2 digits. `d`: the differences C0 - C1 (fold_differences),
 * or NULL for plain rows. */
INLINE void fold(vi *restrict acc, const vd *t, int f, const vd *c, const vd *d, int n, vi *work)
{
    if (f < SPLIT_FOLD || !d) {
        rows_mul(acc, t, f, c, n);
        return;
    }
    const int h = f / 2;
    vi *v = take(&work, n + h);
    vd *dt = (vd *)work;
    for (int k = 0; k < n + h; k++)
        v[k] = _mm256_setzero_si256();
    int k = 0;
    for (; k + 4 * h <= n; k += 2 * h) {
        rows_mul(v + k, t, h, c + k, h);
        rows_mul(v + k + h, t + h, h, c + k + h, h);
    }
    const int rest = n - k - h;
    rows_mul(v + k, t, h, c + k, h);
    rows_mul(v + k + h, t + h, h, c + k + h, rest);
    for (int j = 0; j < h; j++)
        acc[j] = add(acc[j], v[j]);
    for (int j = h; j < n + h; j++)
        acc[j] = add(acc[j], add(v[j], v[j - h]));
    for (int j = n + h; j < n + f; j++)
        acc[j] = add(acc[j], v[j - h]);
    difference(dt, t + h, h, t, h);
    for (k = 0; k + 4 * h <= n; k += 2 * h)
        rows_mul(acc + k + h, dt, h, d + k, h);
    rows_mul(acc + k + h, dt, h, d + k, rest);
}

INLINE void fold_differences(vd *d, int f, const vd *c, int n)
{
    const int h = f / 2;
    int k = 0;
    for (; k + 4 * h <= n; k += 2 * h)
        difference(d + k, c + k, h, c + k + h, h);
    difference(d + k, c + k, h, c + k + h, n - k - h);
}

/* r[0 .. n): the digits of columns v[0 .. n), each carried once, the top one keeping what is left; `first` replaces v[0] */
INLINE void carried(vd *restrict r, const vi *v, int n, vi first)
{
    vi x = first, carry = _mm256_setzero_si256();
    UNROLL4 for (int j = 0; j < n - 1; j++)
    {
        VERIFY(small(x));
        const vi low = _mm256_and_si256(add(x, ints(HALF)), ints(MASK));
        const vd digit = _mm256_sub_pd(real(add(add(low, carry), ints(LOW0))), reals(K3 + (double)HALF));
        carry = carry_of(x);
        x = v[j + 1];
        r[j] = digit;
    }
    r[n - 1] = _mm256_sub_pd(real(add(add(x, carry), ints(LOW0))), reals(K3));
    VERIFY(regular(r, n, 0));
}

/* t[0 .. f): the digits of columns v[0 .. f), which the caller gives up; the column below keeps its balanced remainder */
OUTLINE void extract(vd *restrict t, vi *restrict v, int f)
{
    const vi x = v[-1], carry = carry_of(x);
    VERIFY(small(x));
    v[-1] = sub(x, _mm256_slli_epi64(carry, RADIX));
    carried(t, v, f, add(v[0], carry));
}

/* The next two quotients, in four stages that the caller spreads over the columns of the two rows before them: each is a chain
 * of 15 to 25 cycles, which would stall the core if it ran in one piece. x0, x1: the two columns that the rows make 0; both
 * hold their biases already taken away, those of the rows to come included (see init_biases). */
typedef struct chain {
    vd n0, n1; /* quotients */
    vd digit;  /* of column 1, before n1 */
    vd h1, l1; /* n0 m[1], biased */
    vi s0, x1; /* columns 0 and 1 with what is known of them */
    vi carry;  /* out of column 0, later of column 1 */
    vi high;   /* of column 1, biased: the first that goes into column 2 */
} chain;

/* u / -M mod B, balanced */
INLINE vd quotient(vd u, vd minus_inverse)
{
    const vd h = fmadd(u, minus_inverse, reals(K1));
    return _mm256_sub_pd(fmadd(u, minus_inverse, _mm256_sub_pd(reals(K1 + K3), h)), reals(K3));
}

/* x / B for a multiple of B, |x| < 2^62 */
INLINE vi shifted(vi x)
{
    const uint64_t offset = (uint64_t)1 << 62;
    return sub(_mm256_srli_epi64(add(x, ints(offset)), RADIX), ints(offset >> RADIX));
}

INLINE void chain_1(chain *q, vi x0, vi carry, vd minus_inverse)
{
    q->s0 = add(x0, carry);
    VERIFY(small(q->s0));
    q->n0 = quotient(digit_of(q->s0), minus_inverse);
}

INLINE void chain_2(chain *q, vi x1, const vd *m)
{
    const sums s = sum1(q->n0, m[0]);
    q->carry = shifted(add(q->s0, sub(s.low, ints(LOW0))));
    q->x1 = add(x1, s.high);
    q->h1 = fmadd(q->n0, m[1], reals(K1));
    q->l1 = fmadd(q->n0, m[1], _mm256_sub_pd(reals(K1 + K3), q->h1));
    q->digit = digit_of(add(add(q->x1, bits(q->l1)), q->carry));
}

INLINE void chain_3(chain *q, vd minus_inverse)
{
    q->n1 = quotient(q->digit, minus_inverse);
}

INLINE void chain_4(chain *q, const vd *m)
{
    const vd h = fmadd(q->n1, m[0], q->h1), l = fmadd(q->n1, m[0], _mm256_sub_pd(q->h1, h));
    q->high = bits(h);
    q->carry = shifted(add(add(q->x1, bits(_mm256_add_pd(q->l1, l))), q->carry));
}

/* Keeps the compiler from moving a stage to where its inputs are not ready. */
#define PIN(x) __asm__ volatile("" : "+x"(x))

/* columns from .. to - 1 of two rows: acc[j] += n0 m[j] + n1 m[j-1]; `before` is m[from-1], then m[to-1] */
INLINE void two_rows(vi *restrict acc, const vd *restrict m, int from, int to, vd n0, vd n1, vd *before, vi *high)
{
    vd last = *before;
    vi up = *high;
    UNROLL4 for (int j = from; j < to; j++)
    {
        vd next = m[j];
        __asm__("" : "+x"(next)); /* one load, not one in each product */
        put(acc + j, &up, sum2(n0, next, n1, last));
        last = next;
    }
    *before = last;
    *high = up;
}

INLINE void last_columns(vi *restrict acc, int n, vd n1, vd before, vi high)
{
    const sums s = sum1(n1, before);
    acc[n] = add(add(acc[n], high), s.low);
    acc[n + 1] = add(acc[n + 1], s.high);
}

/* r = (acc[0 .. n + kr) + Q M) / B^kr: kr rows in pairs, columns 0 and 1 of a pair being the business of its quotients;
 * unless quotients is NULL, quotients[0 .. kr) = Q */
INLINE void rows_of_montgomery(vd *restrict r, vi *restrict acc, const constants *c, vd *restrict quotients)
{
    const shape s = c->s;
    const vd *m = c->m, minus_inverse = c->minus_inverse[0];
    const int s1 = 4 + s.stage, s2 = s1 + s.stage, s3 = s2 + s.stage, s4 = s3 + s.stage;
    chain q, next;
    chain_1(&q, acc[0], _mm256_setzero_si256(), minus_inverse);
    chain_2(&q, acc[1], m);
    chain_3(&q, minus_inverse);
    chain_4(&q, m);
    for (int i = 0; i < s.kr - 2; i += 2, acc += 2) {
        if (quotients) {
            quotients[i] = q.n0;
            quotients[i + 1] = q.n1;
        }
        vd before = m[1];
        vi high = q.high;
        two_rows(acc, m, 2, 4, q.n0, q.n1, &before, &high);
        const vi e0 = acc[2], e1 = acc[3];
        two_rows(acc, m, 4, s1, q.n0, q.n1, &before, &high);
        chain_1(&next, e0, q.carry, minus_inverse);
        PIN(next.n0);
        two_rows(acc, m, s1, s2, q.n0, q.n1, &before, &high);
        chain_2(&next, e1, m);
        PIN(next.digit);
        PIN(next.carry);
        two_rows(acc, m, s2, s3, q.n0, q.n1, &before, &high);
        chain_3(&next, minus_inverse);
        PIN(next.n1);
        two_rows(acc, m, s3, s4, q.n0, q.n1, &before, &high);
        chain_4(&next, m);
        PIN(next.high);
        PIN(next.carry);
        two_rows(acc, m, s4, s.n, q.n0, q.n1, &before, &high);
        last_columns(acc, s.n, q.n1, before, high);
        q = next;
    }
    vd before = m[1];
    vi high = q.high;
    two_rows(acc, m, 2, s.n, q.n0, q.n1, &before, &high);
    last_columns(acc, s.n, q.n1, before, high);
    carried(r, acc + 2, s.n, add(acc[2], q.carry));
    if (quotients) {
        quotients[s.kr - 2] = q.n0;
        quotients[s.kr - 1] = q.n1;
    }
}

OUTLINE void montgomery(vd *restrict r, vi *restrict acc, const constants *c)
{
    rows_of_montgomery(r, acc, c, NULL);
}

/* r = acc[0 .. 2 n) / R mod M. The columns above those that the folds leave start anew with their biases; the one below them,
 * whose carry the last fold takes, gets those of the rows only then (with them it would be beyond 2^61). */
INLINE void reduce(vd *restrict r, vi *restrict acc, const constants *c, vi *work)
{
    const shape s = c->s;
    const int lim = 2 * s.n - s.f1 - s.f2;
    vd *t = (vd *)take(&work, s.f1);
    extract(t, acc + lim + s.f2, s.f1);
    fold(acc, t, s.f1, c->c1, c->d1, s.n, work);
    extract(t, acc + lim, s.f2);
    fold(acc, t, s.f2, c->c2, NULL, s.n, work);
    acc[lim - 1] = add(acc[lim - 1], c->bias_rows[lim - 1]);
    acc[lim] = c->bias_rows[lim];
    acc[lim + 1] = c->bias_rows[lim + 1];
    montgomery(r, acc, c);
}

/* --- set up ----------------------------------------------------------------------------------------------------------------- */

/* The MXCSR that the bounds assume (round to nearest, no trap, denormals as they are); returns the caller's. */
INLINE unsigned enter(void)
{
    const unsigned saved = _mm_getcsr();
    if ((saved & ~0x3fu) != 0x1f80)
        _mm_setcsr(0x1f80);
    return saved;
}

/* Restores the caller's mode, and its sticky flags, which rounding has set. */
INLINE void leave(unsigned saved)
{
    _mm_setcsr(saved);
}

static int mont_available(void)
{
    return bt_cpu_has(BT_CPU_AVX2 | BT_CPU_FMA);
}

/* Word j of the balanced digits of x, biased by 2^52 + HALF: digit j of x, plus the carry from below. */
INLINE uint64_t biased_digit(const bt_limb *x, size_t limbs, int j, uint64_t *carry)
{
    const uint64_t u = digit_at(x, limbs, j) + *carry + HALF;
    *carry = u >> RADIX;
    return (u & MASK) | TWO52;
}

INLINE vd unbiased(vi x)
{
    return _mm256_sub_pd(real(x), reals(0x1p52 + (double)HALF));
}

/* the balanced digits of x in all lanes */
static void digits_of(vd *r, int n, const bt_limb *x, size_t limbs)
{
    uint64_t carry = 0;
    for (int j = 0; j < n; j++)
        r[j] = unbiased(ints(biased_digit(x, limbs, j, &carry)));
}

/* The constants that the rows of Montgomery leave in the columns. */
static void init_bias_rows(const constants *c)
{
    const shape s = c->s;
    const vi low = ints(LOW0), high = ints(HIGH0), zero = _mm256_setzero_si256();
    vi *rows = c->bias_rows;
    for (int k = 0; k < s.n + s.kr; k++)
        rows[k] = zero;
    for (int i = 0; i < s.kr; i += 2) { /* see montgomery: column 0 adds none; column 1 has one high part of its own */
        rows[i + 1] = sub(rows[i + 1], high);
        for (int j = 1; j <= s.n; j++) {
            rows[i + j] = sub(rows[i + j], low);
            rows[i + j + 1] = sub(rows[i + j + 1], high);
        }
    }
}

/* --- operands --------------------------------------------------------------------------------------------------------------- */

/* One group where it lies, or its copy if it is not aligned to whole vectors. */
INLINE const vd *operand(const bt_word *x, vd *copy, int n)
{
    if ((uintptr_t)x % sizeof(vd) == 0)
        return (const vd *)(const void *)x;
    memcpy(copy, x, (size_t)n * sizeof *copy);
    return copy;
}

#endif
