#include "bt_noise.h"

typedef unsigned __int128 uint128_t;

unsigned bt_noise_words(const bt_noise *table)
{
    return table->shift ? 3 : 1;
}

/* The first j with threshold[j] >= u: guide[] names the first that is not below u's top bits followed by zeros. */
static inline size_t block(uint64_t u, const bt_noise *table)
{
    size_t j = table->guide[u >> (63 - BT_NOISE_GUIDE_BITS)];
    while (table->threshold[j] < u) /* ends: the last threshold is the largest u */
        j++;
    return j;
}

size_t bt_noise_draw(int64_t *out, uint32_t *open, const uint64_t *words, size_t n, const bt_noise *table)
{
    const unsigned shift = table->shift;
    size_t undecided = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t u = *words >> 1, sign = *words & 1;
        const size_t j = block(u, table);
        /* The real number U lies in [u, u + 1) / 2^63 and threshold[j] / 2^63 <= F_j < (threshold[j] + 1) / 2^63. So
         * u < threshold[j] proves U < F_j, and threshold[j - 1] < u proves U >= F_(j-1); equality proves nothing. */
        int decided = u < table->threshold[j];
        uint64_t x = j;
        words++;
        if (shift) {
            const uint64_t y = words[0] >> (64 - shift);
            /* (2 j + 1) slope < 2^64. y / m <= words[0] / 2^64, hence
             * 1 - ratio <= (y / m) (2 j + 1) slope / 2^64 < (bound + 1) / 2^64 <= words[1] / 2^64 <= r: x is kept. */
            const uint64_t bound = (uint128_t)words[0] * (table->slope * (2 * (uint64_t)j + 1)) >> 64;
            x = ((uint64_t)j << shift) + y;
            decided &= words[1] > bound;
            decided &= !(sign && x == 0);
            words += 2;
        }
        /* x < 2^(13 + 40) */
        out[i] = decided ? (int64_t)((x ^ -sign) + sign) : 0;
        open[undecided] = (uint32_t)i;
        undecided += !decided;
    }
    return undecided;
}
