/* Arithmetic of secret shares over the rings Z_2^32 and Z_2^64, and vectors of l-bit words on the wire.
 *
 * Words are secrets: no branch and no address depends on them, only on counts, widths and strides. Sums and products wrap,
 * as the ring wants it. Functions end in 32 or 64 for the ring; `out` may be one of the inputs, but must not overlap it
 * in part. Randomness comes from the caller. The matrix product is the one operation that gains by knowing the CPU, so it
 * stands behind a table like a Montgomery backend (bt_mont.h). */
#ifndef BT_RING_H
#define BT_RING_H

#include "bt_limb.h"

/* Scratch of a matrix product, whatever its size; the caller aligns it to 32 bytes. */
#define BT_RING_SCRATCH ((size_t)(2 << 20))
#define BT_RING_ALIGN 32

typedef struct bt_ring_ops {
    const char *name;
    int (*available)(void); /* whether this CPU has what it needs */
    /* c[m][n] = a[m][k] b[k][n], all in row-major order; c overlaps neither; scratch: BT_RING_SCRATCH bytes */
    void (*matmul32)(uint32_t *c, const uint32_t *a, const uint32_t *b, size_t m, size_t k, size_t n, void *scratch);
    void (*matmul64)(uint64_t *c, const uint64_t *a, const uint64_t *b, size_t m, size_t k, size_t n, void *scratch);
} bt_ring_ops;

extern const bt_ring_ops bt_ring_generic;
#if defined(__x86_64__)
extern const bt_ring_ops bt_ring_avx2;
#endif

/* Every table of this build, the fastest first, generic last; ends with NULL. Some may not be available on this CPU. */
extern const bt_ring_ops *const bt_ring_all[];

/* The fastest that this CPU has; `portable` nonzero asks for the generic one. */
const bt_ring_ops *bt_ring_pick(int portable);

#define BT_RING_DECLARE(word, bits)                                                                                            \
    /* rows, `stride` words apart: all but the last of them hold n uniform words; the last becomes x - their sum */            \
    void bt_ring_share##bits(word *rows, size_t stride, const word *x, size_t parties, size_t n);                              \
    /* out = the sum of the rows, `stride` words apart: reconstruction */                                                      \
    void bt_ring_sum##bits(word *out, const word *rows, size_t stride, size_t parties, size_t n);                              \
    void bt_ring_add##bits(word *out, const word *a, const word *b, size_t n);                                                 \
    void bt_ring_sub##bits(word *out, const word *a, const word *b, size_t n);                                                 \
    void bt_ring_mul##bits(word *out, const word *a, const word *b, size_t n);                                                 \
    /* out = k a */                                                                                                            \
    void bt_ring_scale##bits(word *out, const word *a, word k, size_t n);                                                      \
    /* the sum of a_i b_i */                                                                                                   \
    word bt_ring_dot##bits(const word *a, const word *b, size_t n);                                                            \
    /* One party's end of a Beaver product of shared x and y, with a triple c = a b and the opened d = x - a, e = y - b:     \
     * out = c + d b + e a, and + d e for the one party with `leader` nonzero. */ \
    void bt_ring_beaver##bits(word *out, const word *d, const word *e, const word *a, const word *b, const word *c,            \
                              int leader, size_t n);                                                                           \
    /* The local truncation of a two-party sharing: party 0 takes x >> k, party 1 -((-x) >> k), 0 <= k < bits. The value   \
     * becomes floor(v / 2^k) or one more, unless the sharing wraps: probability |v| / 2^bits. */   \
    void bt_ring_truncate##bits(word *out, const word *x, unsigned k, int party, size_t n);                                    \
    /* out = (a + b) mod 2^l and (a - b) mod 2^l: masks on words of l bits, 1 <= l <= bits */                                  \
    void bt_ring_mask##bits(word *out, const word *a, const word *b, unsigned l, size_t n);                                    \
    void bt_ring_unmask##bits(word *out, const word *a, const word *b, unsigned l, size_t n);                                  \
    /* Words of l bits end to end, the first in the lowest bits of the first byte; bt_ring_packed_bytes(n, l) bytes, what is \
     * left of the last is 0. BT_ERR_OVERFLOW if a word has more than l bits, BT_ERR_ARG if l is not 1 .. bits. */ \
    bt_status bt_ring_pack##bits(uint8_t *out, const word *x, unsigned l, size_t n);                                           \
    /* The inverse. BT_ERR_ARG if l is out of range or what is left of the last byte is not 0. */                              \
    bt_status bt_ring_unpack##bits(word *out, const uint8_t *packed, unsigned l, size_t n);

BT_RING_DECLARE(uint32_t, 32)
BT_RING_DECLARE(uint64_t, 64)

/* Bytes of n words of l bits, for l <= 64 and n <= SIZE_MAX / 64. */
static inline size_t bt_ring_packed_bytes(size_t n, unsigned l)
{
    return n / 8 * l + (n % 8 * l + 7) / 8;
}

#endif
