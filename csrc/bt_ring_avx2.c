/* The matrix products of bt_ring.h in AVX2.
 *
 * A product of 64-bit words modulo 2^64 is al bl + 2^32 (al bh + ah bl), of which the second sum counts modulo 2^32 only. So
 * two instructions do for four words: vpmuludq gives al bl, and vpmulld of b with a whose halves are swapped gives al bh and
 * ah bl side by side, each modulo 2^32. Both are summed separately, and the sums are joined once at the end: all of this is
 * exact modulo 2^64, so no bound is needed. */
#include "bt_ring.h"

#include "bt_cpu.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

typedef struct pair {
    uint64_t plain, swapped;
} pair;

/* 2^32 (each half of `cross` added to the other) + low */
#define JOIN(low, cross)                                                                                               \
    _mm256_add_epi64(                                                                                                  \
        low, _mm256_add_epi64(_mm256_slli_epi64(cross, 32), _mm256_slli_epi64(_mm256_srli_epi64(cross, 32), 32)))

#define WORD uint64_t
#define AWORD pair
#define ROWS 3
#define COLUMNS 8
#define NAME(name) name##64
#define PACK_A(w) swap(w)

static pair swap(uint64_t w)
{
    return (pair){w, w << 32 | w >> 32};
}

/* one row of the tile; its four sums are variables of their own, so that they stay in registers */
#define ROW(r)                                                                                                         \
    do {                                                                                                               \
        const __m256i plain = _mm256_set1_epi64x((long long)a[r].plain);                                               \
        const __m256i swapped = _mm256_set1_epi64x((long long)a[r].swapped);                                           \
        low##r##0 = _mm256_add_epi64(low##r##0, _mm256_mul_epu32(plain, b0));                                          \
        low##r##1 = _mm256_add_epi64(low##r##1, _mm256_mul_epu32(plain, b1));                                          \
        cross##r##0 = _mm256_add_epi32(cross##r##0, _mm256_mullo_epi32(swapped, b0));                                  \
        cross##r##1 = _mm256_add_epi32(cross##r##1, _mm256_mullo_epi32(swapped, b1));                                  \
    } while (0)

static void tile64(uint64_t *t, const pair *a, const uint64_t *b, size_t k)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i low00 = zero, low01 = zero, low10 = zero, low11 = zero, low20 = zero, low21 = zero;
    __m256i cross00 = zero, cross01 = zero, cross10 = zero, cross11 = zero, cross20 = zero, cross21 = zero;
    __m256i *to = (__m256i *)t;
    for (size_t i = 0; i < k; i++, a += ROWS, b += COLUMNS) {
        const __m256i b0 = _mm256_load_si256((const __m256i *)b), b1 = _mm256_load_si256((const __m256i *)b + 1);
        ROW(0);
        ROW(1);
        ROW(2);
    }
    _mm256_store_si256(to, JOIN(low00, cross00));
    _mm256_store_si256(to + 1, JOIN(low01, cross01));
    _mm256_store_si256(to + 2, JOIN(low10, cross10));
    _mm256_store_si256(to + 3, JOIN(low11, cross11));
    _mm256_store_si256(to + 4, JOIN(low20, cross20));
    _mm256_store_si256(to + 5, JOIN(low21, cross21));
}
#include "bt_ring_product.h"
#undef WORD
#undef AWORD
#undef ROWS
#undef COLUMNS
#undef NAME
#undef PACK_A

#define WORD uint32_t
#define AWORD uint32_t
#define ROWS 6
#define COLUMNS 16
#define NAME(name) name##32
#define PACK_A(w) (w)

static void tile32(uint32_t *t, const uint32_t *a, const uint32_t *b, size_t k)
{
    __m256i sum[ROWS][2];
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    for (size_t i = 0; i < k; i++, a += ROWS, b += COLUMNS) {
        const __m256i b0 = _mm256_load_si256((const __m256i *)b), b1 = _mm256_load_si256((const __m256i *)b + 1);
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++) {
            const __m256i w = _mm256_set1_epi32((int)a[r]);
            sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_mullo_epi32(w, b0));
            sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_mullo_epi32(w, b1));
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
        for (int q = 0; q < 2; q++)
            _mm256_store_si256((__m256i *)t + 2 * r + q, sum[r][q]);
}
#include "bt_ring_product.h"

static int available(void)
{
    return bt_cpu_has(BT_CPU_AVX2);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const bt_ring_ops bt_ring_avx2 = {"avx2", available, product32, product64};

#endif
