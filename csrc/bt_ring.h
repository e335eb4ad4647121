/* Arithmetic of secret shares over the rings Z_2^32 and Z_2^64, and vectors of l-bit words on the wire.
 *
 * Words are secrets: no branch and no address depends on them, only on counts, widths and strides. Sums and products wrap modulo
 * the ring. Functions end in 32 or 64 for the ring, and differ in nothing else; `out` may be one of the inputs, but must not
 * overlap it in part. Randomness comes from the caller. Only the matrix product gains from CPU-specific code, so it is selected
 * through a table like a Montgomery backend (bt_mont.h). */
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

/* The fastest that this CPU can run; the generic one if `portable` is nonzero. */
const bt_ring_ops *bt_ring_pick(int portable);

/* rows, `stride` words apart: all but the last of them hold n uniform words; the last becomes x - their sum */
void bt_ring_share32(uint32_t *rows, size_t stride, const uint32_t *x, size_t parties, size_t n);
void bt_ring_share64(uint64_t *rows, size_t stride, const uint64_t *x, size_t parties, size_t n);

/* out = the sum of the rows, `stride` words apart: reconstruction */
void bt_ring_sum32(uint32_t *out, const uint32_t *rows, size_t stride, size_t parties, size_t n);
void bt_ring_sum64(uint64_t *out, const uint64_t *rows, size_t stride, size_t parties, size_t n);

/* out = a + b, a - b, a b, k a */
void bt_ring_add32(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t n);
void bt_ring_add64(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n);
void bt_ring_sub32(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t n);
void bt_ring_sub64(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n);
void bt_ring_mul32(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t n);
void bt_ring_mul64(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n);
void bt_ring_scale32(uint32_t *out, const uint32_t *a, uint32_t k, size_t n);
void bt_ring_scale64(uint64_t *out, const uint64_t *a, uint64_t k, size_t n);

/* the sum of a_i b_i */
uint32_t bt_ring_dot32(const uint32_t *a, const uint32_t *b, size_t n);
uint64_t bt_ring_dot64(const uint64_t *a, const uint64_t *b, size_t n);

/* One party's end of a Beaver product of shared x and y, with a triple c = a b and the opened d = x - a, e = y - b:
 * out = c + d b + e a, and + d e for the one party with `leader` nonzero. */
void bt_ring_beaver32(uint32_t *out, const uint32_t *d, const uint32_t *e, const uint32_t *a, const uint32_t *b,
                      const uint32_t *c, int leader, size_t n);
void bt_ring_beaver64(uint64_t *out, const uint64_t *d, const uint64_t *e, const uint64_t *a, const uint64_t *b,
                      const uint64_t *c, int leader, size_t n);

/* The local truncation of a two-party sharing: party 0 takes x >> k, party 1 -((-x) >> k), k below the bits of the ring.
 * The value becomes floor(v / 2^k) or one more, unless the sharing wraps: probability |v| / 2^bits. */
void bt_ring_truncate32(uint32_t *out, const uint32_t *x, unsigned k, int party, size_t n);
void bt_ring_truncate64(uint64_t *out, const uint64_t *x, unsigned k, int party, size_t n);

/* out = (a + b) mod 2^l and (a - b) mod 2^l: masks on words of l bits, l from 1 to the bits of the ring */
void bt_ring_mask32(uint32_t *out, const uint32_t *a, const uint32_t *b, unsigned l, size_t n);
void bt_ring_mask64(uint64_t *out, const uint64_t *a, const uint64_t *b, unsigned l, size_t n);
void bt_ring_unmask32(uint32_t *out, const uint32_t *a, const uint32_t *b, unsigned l, size_t n);
void bt_ring_unmask64(uint64_t *out, const uint64_t *a, const uint64_t *b, unsigned l, size_t n);

/* Words of l bits end to end, the first in the lowest bits of the first byte; bt_ring_packed_bytes(n, l) bytes; the unused bits
 * of the last byte are 0. BT_ERR_OVERFLOW if a word has more than l bits, BT_ERR_ARG if l is not 1 to the ring's bits. */
bt_status bt_ring_pack32(uint8_t *out, const uint32_t *x, unsigned l, size_t n);
bt_status bt_ring_pack64(uint8_t *out, const uint64_t *x, unsigned l, size_t n);

/* The inverse. BT_ERR_ARG if l is out of range or an unused bit of the last byte is not 0. */
bt_status bt_ring_unpack32(uint32_t *out, const uint8_t *packed, unsigned l, size_t n);
bt_status bt_ring_unpack64(uint64_t *out, const uint8_t *packed, unsigned l, size_t n);

/* Bytes of n words of l bits, for l <= 64 and n <= SIZE_MAX / 64. */
static inline size_t bt_ring_packed_bytes(size_t n, unsigned l)
{
    return n / 8 * l + (n % 8 * l + 7) / 8;
}

#endif
