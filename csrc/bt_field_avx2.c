/* Rows of the field product in AVX2: 2^31 - 1, small coefficients over 2^61 - 1, GF(2^8). */
#include "bt_field_impl.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define VECTOR 32
#include "bt_field_gf256.h"

#define ADD _mm256_add_epi64
#define MUL _mm256_mul_epu32 /* the low halves of four 64-bit lanes */
#define AND _mm256_and_si256

INLINE __m256i load(const void *p)
{
    return _mm256_loadu_si256(p);
}

/* the rest of a row, by the code for any CPU */
INLINE void rest(const bt_field_ops *ops, const bt_field *f, uint8_t *out, const void *m, size_t k, const uint8_t *s,
                 size_t stride, size_t done, size_t n, void *scratch)
{
    if (done < n)
        ops->row(f, out + done * f->bytes, m, k, s + done * f->bytes, stride, n - done, scratch);
}

/* --- 2^31 - 1: eight words, those in even and in odd places in 64-bit lanes apart ------------------------------------------ */

/* x & p + x >> 31 */
INLINE __m256i p31_fold(__m256i x)
{
    return ADD(AND(x, _mm256_set1_epi64x((long long)P31)), _mm256_srli_epi64(x, 31));
}

/* below 2p to canonical: the smaller of x and x - p as unsigned 32-bit words */
INLINE __m256i p31_last(__m256i x)
{
    return _mm256_min_epu32(x, _mm256_sub_epi32(x, _mm256_set1_epi32((int)P31)));
}

/* The bound is that of p31_columns in bt_field_small.c: three products on a folded sum, 3 2^62 + 2^34 < 2^64. */
static void p31_row(const bt_field *f, void *out, const void *m, size_t k, const void *s, size_t stride, size_t n,
                    void *scratch)
{
    uint32_t *o = out;
    const uint32_t *v = s, *c = m;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i even = _mm256_setzero_si256(), odd = even;
        const uint32_t *at = v + i;
        size_t j = 0;
        for (; j + 3 <= k; j += 3, at += 3 * stride) {
            const __m256i x0 = load(at), x1 = load(at + stride), x2 = load(at + 2 * stride);
            const __m256i c0 = _mm256_set1_epi32((int)c[j]), c1 = _mm256_set1_epi32((int)c[j + 1]);
            const __m256i c2 = _mm256_set1_epi32((int)c[j + 2]);
            even = ADD(ADD(even, MUL(x0, c0)), ADD(MUL(x1, c1), MUL(x2, c2)));
            odd = ADD(ADD(odd, MUL(_mm256_srli_epi64(x0, 32), c0)),
                      ADD(MUL(_mm256_srli_epi64(x1, 32), c1), MUL(_mm256_srli_epi64(x2, 32), c2)));
            even = p31_fold(even);
            odd = p31_fold(odd);
        }
        for (; j < k; j++, at += stride) {
            const __m256i x = load(at), w = _mm256_set1_epi32((int)c[j]);
            even = ADD(even, MUL(x, w));
            odd = ADD(odd, MUL(_mm256_srli_epi64(x, 32), w));
        }
        even = p31_fold(p31_fold(even));
        odd = p31_fold(p31_fold(odd));
        _mm256_storeu_si256((__m256i *)(o + i), p31_last(_mm256_or_si256(even, _mm256_slli_epi64(odd, 32))));
    }
    rest(&bt_field_p31, f, out, m, k, s, stride, i, n, scratch);
}

/* --- 2^61 - 1 with coefficients below 2^24 ------------------------------------------------------------------------------------
 *
 * Powers of the parties' numbers are that small in everyday sharing: 4-of-255, 7-of-15.
 * s = s1 2^32 + s0 with s1 < 2^29. Over at most 256 = 2^8 columns
 *     low  = sum c s0 < 2^8 2^24 2^32 = 2^64,
 *     high = sum c s1 < 2^8 2^24 2^29 = 2^61,
 * and low + 2^32 high is brought below 2p by 2^61 = 1: high = h 2^29 + l gives 2^32 high = h + l 2^32. The parts low & p, low >> 61,
 * h < 2^32 and l 2^32 < 2^61 sum to less than 2^62 + 2^32 + 8, which one more fold brings to at most p + 2 < 2p. */
enum { SMALL_BITS = 24, SMALL_COLUMNS = 256 };

INLINE __m256i p61_fold(__m256i x)
{
    return ADD(AND(x, _mm256_set1_epi64x((long long)P61)), _mm256_srli_epi64(x, 61));
}

INLINE __m256i p61_join(__m256i low, __m256i high)
{
    const __m256i l = AND(high, _mm256_set1_epi64x((1 << 29) - 1)), h = _mm256_srli_epi64(high, 29);
    const __m256i x = p61_fold(ADD(ADD(p61_fold(low), h), _mm256_slli_epi64(l, 32)));
    const __m256i less = _mm256_sub_epi64(x, _mm256_set1_epi64x((long long)P61));
    /* a negative difference has its top bit set: take x there (blendv looks at the top bit of each lane) */
    return _mm256_castpd_si256(
        _mm256_blendv_pd(_mm256_castsi256_pd(less), _mm256_castsi256_pd(x), _mm256_castsi256_pd(less)));
}

static int all_small(const uint64_t *c, size_t k)
{
    uint64_t seen = 0;
    for (size_t j = 0; j < k; j++)
        seen |= c[j];
    return k <= SMALL_COLUMNS && seen >> SMALL_BITS == 0;
}

static void p61_row(const bt_field *f, void *out, const void *m, size_t k, const void *s, size_t stride, size_t n,
                    void *scratch)
{
    uint64_t *o = out;
    const uint64_t *v = s, *c = m;
    size_t i = 0;
    if (all_small(c, k))
        for (; i + 8 <= n; i += 8) {
            const uint64_t *at = v + i;
            __m256i low0 = _mm256_setzero_si256(), low1 = low0, high0 = low0, high1 = low0;
            for (size_t j = 0; j < k; j++, at += stride) {
                const __m256i w = _mm256_set1_epi64x((long long)c[j]), x0 = load(at), x1 = load(at + 4);
                low0 = ADD(low0, MUL(x0, w));
                low1 = ADD(low1, MUL(x1, w));
                high0 = ADD(high0, MUL(_mm256_srli_epi64(x0, 32), w));
                high1 = ADD(high1, MUL(_mm256_srli_epi64(x1, 32), w));
            }
            _mm256_storeu_si256((__m256i *)(o + i), p61_join(low0, high0));
            _mm256_storeu_si256((__m256i *)(o + i + 4), p61_join(low1, high1));
        }
    rest(&bt_field_p61, f, out, m, k, s, stride, i, n, scratch);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

bt_field_row *bt_field_avx2_row(bt_field_kind kind)
{
    static bt_field_row *const rows[] = {
        [BT_FIELD_P31] = p31_row, [BT_FIELD_P61] = p61_row, [BT_FIELD_GF256] = gf256_row};
    __builtin_cpu_init();
    return (size_t)kind < sizeof rows / sizeof *rows && __builtin_cpu_supports("avx2") ? rows[kind] : NULL;
}

#endif
