/* Rows of the field product in AVX2: 2^31 - 1, 2^61 - 1 (small coefficients apart), GF(2^8). */
#include "bt_cpu.h"
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

/* --- 2^31 - 1: eight words, even and odd places in separate 64-bit lanes ------------------------------------------ */

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

/* below 2p to canonical: where the difference is negative its top bit is set, and blendv takes x by that bit */
INLINE __m256i p61_last(__m256i x)
{
    const __m256i less = _mm256_sub_epi64(x, _mm256_set1_epi64x((long long)P61));
    return _mm256_castpd_si256(
        _mm256_blendv_pd(_mm256_castsi256_pd(less), _mm256_castsi256_pd(x), _mm256_castsi256_pd(less)));
}

INLINE __m256i p61_join(__m256i low, __m256i high)
{
    const __m256i l = AND(high, _mm256_set1_epi64x((1 << 29) - 1)), h = _mm256_srli_epi64(high, 29);
    return p61_last(p61_fold(ADD(ADD(p61_fold(low), h), _mm256_slli_epi64(l, 32))));
}

INLINE void small_columns(uint64_t *out, const uint64_t *c, size_t k, const uint64_t *at, size_t stride)
{
    __m256i low0 = _mm256_setzero_si256(), low1 = low0, high0 = low0, high1 = low0;
    for (size_t j = 0; j < k; j++, at += stride) {
        const __m256i w = _mm256_set1_epi64x((long long)c[j]), x0 = load(at), x1 = load(at + 4);
        low0 = ADD(low0, MUL(x0, w));
        low1 = ADD(low1, MUL(x1, w));
        high0 = ADD(high0, MUL(_mm256_srli_epi64(x0, 32), w));
        high1 = ADD(high1, MUL(_mm256_srli_epi64(x1, 32), w));
    }
    _mm256_storeu_si256((__m256i *)out, p61_join(low0, high0));
    _mm256_storeu_si256((__m256i *)(out + 4), p61_join(low1, high1));
}

/* --- 2^61 - 1, any coefficients -------------------------------------------------------------------------------------------------
 *
 * s = s1 2^31 + s0 and c = c1 2^31 + c0 with s0, c0 < 2^31 and s1, c1 < 2^30. Three products are summed into
 *     low  += c0 s0             < 3 2^62           (and less than 2^31 that a fold left)
 *     mid  += c0 s1 + c1 s0     < 3 2 2^61         (and less than 2^31, and low >> 31 < 2^33)
 *     high += c1 s1             < 3 2^60           (and at most p + 7, and mid >> 31 < 2^33)
 * before a fold carries the upper bits on, low to mid to high, and reduces high by 2^61 = 1. So nothing reaches 2^64. In the end
 * low + 2^31 mid + 2^62 high, 2^62 = 2, is below 2^31 + 2^62 + 2 (2^61 + 7) < 2^63 + 2^32, and one fold leaves at most p + 4 < 2p. */
typedef struct wide {
    __m256i low, mid, high;
} wide;

INLINE void wide_add(wide *w, __m256i c0, __m256i c1, __m256i s)
{
    const __m256i s0 = AND(s, _mm256_set1_epi64x(0x7fffffff)), s1 = _mm256_srli_epi64(s, 31);
    w->low = ADD(w->low, MUL(c0, s0));
    w->mid = ADD(w->mid, ADD(MUL(c0, s1), MUL(c1, s0)));
    w->high = ADD(w->high, MUL(c1, s1));
}

INLINE void wide_fold(wide *w)
{
    const __m256i bits = _mm256_set1_epi64x(0x7fffffff);
    w->mid = ADD(w->mid, _mm256_srli_epi64(w->low, 31));
    w->low = AND(w->low, bits);
    w->high = p61_fold(ADD(w->high, _mm256_srli_epi64(w->mid, 31)));
    w->mid = AND(w->mid, bits);
}

INLINE __m256i wide_join(wide *w)
{
    wide_fold(w);
    return p61_last(p61_fold(ADD(ADD(w->low, _mm256_slli_epi64(w->mid, 31)), ADD(w->high, w->high))));
}

/* eight columns; halves: c0 and c1 of each coefficient */
INLINE void wide_columns(uint64_t *out, const uint64_t *halves, size_t k, const uint64_t *at, size_t stride)
{
    const __m256i zero = _mm256_setzero_si256();
    wide a = {zero, zero, zero}, b = a;
    for (size_t j = 0; j < k;) {
        const size_t end = k - j < 3 ? k : j + 3;
        for (; j < end; j++, at += stride) {
            const __m256i c0 = _mm256_set1_epi64x((long long)halves[2 * j]);
            const __m256i c1 = _mm256_set1_epi64x((long long)halves[2 * j + 1]);
            wide_add(&a, c0, c1, load(at));
            wide_add(&b, c0, c1, load(at + 4));
        }
        wide_fold(&a);
        wide_fold(&b);
    }
    _mm256_storeu_si256((__m256i *)out, wide_join(&a));
    _mm256_storeu_si256((__m256i *)(out + 4), wide_join(&b));
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
    uint64_t *o = out, *halves = scratch;
    const uint64_t *v = s, *c = m;
    size_t i = 0;
    if (all_small(c, k)) {
        for (; i + 8 <= n; i += 8)
            small_columns(o + i, c, k, v + i, stride);
    } else {
        for (size_t j = 0; j < k; j++) {
            halves[2 * j] = c[j] & 0x7fffffff;
            halves[2 * j + 1] = c[j] >> 31;
        }
        for (; i + 8 <= n; i += 8)
            wide_columns(o + i, halves, k, v + i, stride);
    }
    rest(&bt_field_p61, f, out, m, k, s, stride, i, n, scratch);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

bt_field_row bt_field_avx2_row(bt_field_kind kind)
{
    static const bt_field_row rows[] = {
        [BT_FIELD_P31] = p31_row, [BT_FIELD_P61] = p61_row, [BT_FIELD_GF256] = gf256_row};
    return (size_t)kind < sizeof rows / sizeof *rows && bt_cpu_has(BT_CPU_AVX2) ? rows[kind] : NULL;
}

#endif
