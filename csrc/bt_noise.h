/* Exact samples of a symmetric distribution on the integers, by inversion of a table, and by rejection where the table is coarse.
 *
 * |x| is cut into blocks [j m, (j + 1) m) of m = 2^shift integers. A block is drawn with probability proportional to the mass at
 * its left end, which is the largest in it; within the block y = |x| - j m is uniform, and x is kept with probability
 * mass(j m + y) / mass(j m). With m = 1 there is no y and no rejection.
 *
 * A sample is a comparison of uniform *real* numbers, known to their first 63 or 64 bits, with numbers known to lie in an
 * interval. Comparisons that these bits decide are made here, exactly. The undecided samples, about one in a thousand if m > 1
 * and one in 2^50 if m = 1, are returned to the caller, which can draw as many bits as needed. So the distribution is exact.
 *
 * Nothing here is constant-time: the search and the list of open samples depend on the noise. */
#ifndef BT_NOISE_H
#define BT_NOISE_H

#include <stddef.h>
#include <stdint.h>

enum { BT_NOISE_GUIDE_BITS = 12, BT_NOISE_MAX_COUNT = 1 << 13, BT_NOISE_MAX_SHIFT = 40 };

typedef struct bt_noise {
    /* [count], not decreasing: floor(2^63 F_j), F_j the probability of the blocks 0 .. j; the last is 2^63 - 1, the largest u */
    const uint64_t *threshold;
    /* [2^BT_NOISE_GUIDE_BITS]: the first j with threshold[j] >= g 2^(63 - BT_NOISE_GUIDE_BITS), for each g */
    const uint16_t *guide;
    size_t count;   /* 1 .. BT_NOISE_MAX_COUNT */
    unsigned shift; /* 0 .. BT_NOISE_MAX_SHIFT */
    /* 1 - mass(j m + y) / mass(j m) <= (y / m) (2 j + 1) slope / 2^64 for all j < count; (2 count - 1) slope < 2^64 */
    uint64_t slope;
} bt_noise;

/* Words that a sample takes: 1 if shift is 0, else 3. The first is the sign (bit 0) and u (the rest), the second y (its top
 * `shift` bits), the third r: x is kept if r >= 1 - mass(j m + y) / mass(j m), as real numbers of which these are the first
 * bits. */
unsigned bt_noise_words(const bt_noise *table);

/* out[i] = the sample that the i-th group of words decides. The indices of undecided samples, and of -0 if shift > 0 (0 is in the
 * blocks of both signs, so one of the two must be rejected), go to open[n] in order; their out[i] is 0. Returns how many there
 * are. n < 2^32. */
size_t bt_noise_draw(int64_t *out, uint32_t *open, const uint64_t *words, size_t n, const bt_noise *table);

#endif
