/* The fields of one word: 2^31 - 1, 2^61 - 1 and 2^64 - 2^32 + 1. Sums of products are reduced once, at the end or when the
 * accumulator is full; the bound stands beside each. */
#include "bt_field_impl.h"

/* Columns that are computed together: their accumulators stay in registers while the matrix row is walked. */
#define LANES 4

static size_t no_scratch(const bt_field *f, size_t k)
{
    (void)f;
    (void)k;
    return 0;
}

/* The functions that are one loop, from ADD, SUB, MUL of canonical words and BEYOND, which has its top bit set if a word is not
 * canonical. Accepting branches on whether a word is canonical. That reveals nothing about the words that are kept, since each is
 * drawn independently. */
#define FIELD_LOOPS(name, word, modulus, low_mask, BEYOND, ADD, SUB, MUL)                                              \
    static void name##_add(const bt_field *f, void *out, const void *a, const void *b, size_t n)                       \
    {                                                                                                                  \
        word *o = out;                                                                                                 \
        const word *x = a, *y = b;                                                                                     \
        (void)f;                                                                                                       \
        for (size_t i = 0; i < n; i++)                                                                                 \
            o[i] = (word)ADD((uint64_t)x[i], (uint64_t)y[i]);                                                          \
    }                                                                                                                  \
                                                                                                                       \
    static void name##_sub(const bt_field *f, void *out, const void *a, const void *b, size_t n)                       \
    {                                                                                                                  \
        word *o = out;                                                                                                 \
        const word *x = a, *y = b;                                                                                     \
        (void)f;                                                                                                       \
        for (size_t i = 0; i < n; i++)                                                                                 \
            o[i] = (word)SUB((uint64_t)x[i], (uint64_t)y[i]);                                                          \
    }                                                                                                                  \
                                                                                                                       \
    static void name##_mul(const bt_field *f, void *out, const void *a, const void *b, size_t n)                       \
    {                                                                                                                  \
        word *o = out;                                                                                                 \
        const word *x = a, *y = b;                                                                                     \
        (void)f;                                                                                                       \
        for (size_t i = 0; i < n; i++)                                                                                 \
            o[i] = (word)MUL((uint64_t)x[i], (uint64_t)y[i]);                                                          \
    }                                                                                                                  \
                                                                                                                       \
    static uint64_t name##_canonical(const bt_field *f, const void *a, size_t n)                                       \
    {                                                                                                                  \
        const word *x = a;                                                                                             \
        uint64_t beyond[4] = {0};                                                                                      \
        size_t i = 0;                                                                                                  \
        (void)f;                                                                                                       \
        for (; i + 4 <= n; i += 4) {                                                                                   \
            beyond[0] |= BEYOND(x[i]);                                                                                 \
            beyond[1] |= BEYOND(x[i + 1]);                                                                             \
            beyond[2] |= BEYOND(x[i + 2]);                                                                             \
            beyond[3] |= BEYOND(x[i + 3]);                                                                             \
        }                                                                                                              \
        for (; i < n; i++)                                                                                             \
            beyond[0] |= BEYOND(x[i]);                                                                                 \
        return bt_ct_eq((beyond[0] | beyond[1] | beyond[2] | beyond[3]) >> 63, 0);                                     \
    }                                                                                                                  \
                                                                                                                       \
    static size_t name##_accept(const bt_field *f, void *a, size_t n)                                                  \
    {                                                                                                                  \
        word *x = a;                                                                                                   \
        size_t kept = 0;                                                                                               \
        (void)f;                                                                                                       \
        for (size_t i = 0; i < n; i++) {                                                                               \
            const word w = x[i] & (word)(low_mask);                                                                    \
            uint64_t good = w < modulus;                                                                               \
            BT_PUBLIC(&good, sizeof good); /* refused words are thrown away, kept ones stay uniform */                 \
            x[kept] = w;                                                                                               \
            kept += good;                                                                                              \
        }                                                                                                              \
        return kept;                                                                                                   \
    }

/* --- 2^31 - 1 ------------------------------------------------------------------------------------------------------------- */

#define P31_ADD(a, b) once((a) + (b), P31)
#define P31_SUB(a, b) once((a) + (P31 - (b)), P31)
#define P31_MUL(a, b) p31_reduce((a) * (b))
#define P31_BEYOND(x) (P31 - 1 - (uint64_t)(x))
FIELD_LOOPS(p31, uint32_t, P31, P31, P31_BEYOND, P31_ADD, P31_SUB, P31_MUL)

/* Three products of 31 bits and what a fold leaves fit 64 bits: 3 (2^31 - 1)^2 + 2^34 < 3 * 2^62 + 2^34 < 2^64. */
INLINE void p31_columns(uint32_t *out, const uint32_t *m, size_t k, const uint32_t *s, size_t stride, size_t lanes)
{
    uint64_t acc[LANES] = {0};
    size_t j = 0;
    for (; j + 3 <= k; j += 3)
        for (size_t l = 0; l < lanes; l++) {
            const uint32_t *v = s + j * stride + l;
            acc[l] += (uint64_t)m[j] * v[0] + (uint64_t)m[j + 1] * v[stride] + (uint64_t)m[j + 2] * v[2 * stride];
            acc[l] = (acc[l] & P31) + (acc[l] >> 31); /* < 2^31 + 2^33 */
        }
    for (; j < k; j++) /* two at most */
        for (size_t l = 0; l < lanes; l++)
            acc[l] += (uint64_t)m[j] * s[j * stride + l];
    for (size_t l = 0; l < lanes; l++)
        out[l] = (uint32_t)p31_reduce(acc[l]);
}

static void p31_row(const bt_field *f, void *out, const void *m, size_t k, const void *s, size_t stride, size_t n,
                    void *scratch)
{
    uint32_t *o = out;
    const uint32_t *v = s;
    size_t i = 0;
    (void)f;
    (void)scratch;
    for (; i + LANES <= n; i += LANES)
        p31_columns(o + i, m, k, v + i, stride, LANES);
    for (; i < n; i++)
        p31_columns(o + i, m, k, v + i, stride, 1);
}

const bt_field_ops bt_field_p31 = {p31_add, p31_sub, p31_mul, p31_canonical, p31_accept, p31_row, no_scratch};

/* --- 2^61 - 1 ------------------------------------------------------------------------------------------------------------- */

INLINE uint64_t p61_times(uint64_t a, uint64_t b)
{
    const bt_u128 t = (bt_u128)a * b;
    return p61_reduce((uint64_t)(t >> 64), (uint64_t)t);
}

#define P61_ADD(a, b) once((a) + (b), P61)
#define P61_SUB(a, b) once((a) + (P61 - (b)), P61)
#define P61_BEYOND(x) ((x) | (P61 - 1 - (x)))
FIELD_LOOPS(p61, uint64_t, P61, P61, P61_BEYOND, P61_ADD, P61_SUB, p61_times)

/* 64 products of 61 bits stay below 64 (2^61 - 1)^2 < 2^128 - 2^67; what was reduced before them adds less than 2^61. */
enum { P61_RUN = 64 };

INLINE void p61_columns(uint64_t *out, const uint64_t *m, size_t k, const uint64_t *s, size_t stride, size_t lanes)
{
    bt_u128 acc[LANES] = {0};
    for (size_t j = 0; j < k;) {
        const size_t end = k - j < P61_RUN ? k : j + P61_RUN;
        for (; j < end; j++) {
            const uint64_t *v = s + j * stride;
            const uint64_t w = m[j];
#pragma GCC unroll 4
            for (size_t l = 0; l < lanes; l++)
                acc[l] += (bt_u128)w * v[l];
        }
#pragma GCC unroll 4
        for (size_t l = 0; l < lanes; l++)
            acc[l] = p61_reduce((uint64_t)(acc[l] >> 64), (uint64_t)acc[l]);
    }
#pragma GCC unroll 4
    for (size_t l = 0; l < lanes; l++)
        out[l] = (uint64_t)acc[l];
}

static void p61_row(const bt_field *f, void *out, const void *m, size_t k, const void *s, size_t stride, size_t n,
                    void *scratch)
{
    uint64_t *o = out;
    const uint64_t *v = s;
    size_t i = 0;
    (void)f;
    (void)scratch;
    for (; i + LANES <= n; i += LANES)
        p61_columns(o + i, m, k, v + i, stride, LANES);
    for (; i < n; i++)
        p61_columns(o + i, m, k, v + i, stride, 1);
}

/* the halves of a row's coefficients, for AVX2 */
static size_t p61_scratch(const bt_field *f, size_t k)
{
    (void)f;
    return 2 * k * sizeof(uint64_t);
}

const bt_field_ops bt_field_p61 = {p61_add, p61_sub, p61_mul, p61_canonical, p61_accept, p61_row, p61_scratch};

/* --- 2^64 - 2^32 + 1 ------------------------------------------------------------------------------------------------------- */

INLINE uint64_t p64_times(uint64_t a, uint64_t b)
{
    const bt_u128 t = (bt_u128)a * b;
    return p64_reduce((uint64_t)(t >> 64), (uint64_t)t);
}

/* x >= P64: its upper half is all ones, its lower half not 0; a comparison would become a branch with clang */
#define P64_BEYOND(x) (((((x) >> 32) + 1) & (((x) & 0xffffffff) + 0xffffffff)) >> 32 << 63)
FIELD_LOOPS(p64, uint64_t, P64, ~(uint64_t)0, P64_BEYOND, p64_plus, p64_minus, p64_times)

/* k products below 2^128 carry less than k <= 2^32 out of 128 bits. */
INLINE void p64_columns(uint64_t *out, const uint64_t *m, size_t k, const uint64_t *s, size_t stride, size_t lanes)
{
    bt_u128 acc[LANES] = {0};
    uint64_t carry[LANES] = {0};
    for (size_t j = 0; j < k; j++) {
        const uint64_t *v = s + j * stride;
        const uint64_t w = m[j];
#pragma GCC unroll 4
        for (size_t l = 0; l < lanes; l++)
            carry[l] += (uint64_t)__builtin_add_overflow(acc[l], (bt_u128)w * v[l], &acc[l]);
    }
#pragma GCC unroll 4
    for (size_t l = 0; l < lanes; l++)
        out[l] = p64_reduce3(carry[l], (uint64_t)(acc[l] >> 64), (uint64_t)acc[l]);
}

static void p64_row(const bt_field *f, void *out, const void *m, size_t k, const void *s, size_t stride, size_t n,
                    void *scratch)
{
    uint64_t *o = out;
    const uint64_t *v = s;
    size_t i = 0;
    (void)f;
    (void)scratch;
    for (; i + LANES <= n; i += LANES)
        p64_columns(o + i, m, k, v + i, stride, LANES);
    for (; i < n; i++)
        p64_columns(o + i, m, k, v + i, stride, 1);
}

const bt_field_ops bt_field_p64 = {p64_add, p64_sub, p64_mul, p64_canonical, p64_accept, p64_row, no_scratch};
