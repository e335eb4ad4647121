/* Real numbers <-> integers <-> residues modulo n: quantise, clip, pack into slots, unpack with carry.
 *
 * Values are secrets: unless a function says otherwise, no branch and no address depends on them, only on counts, widths,
 * scales and the (public) modulus. Every rounding is done on the integer parts of a double, never by the floating-point
 * unit, so results do not depend on the host's rounding mode, flush-to-zero flags or compiler. Nothing here needs GMP.
 *
 * A modulus n is `limbs` limbs with a non-zero top limb. A signed integer v stands for the residue v mod n; the centred
 * remainder of a residue lies in [-(n-1)/2, (n-1)/2] for odd n. Arrays of residues are rows of `limbs` limbs. */
#ifndef BT_PACK_H
#define BT_PACK_H

#include "bt_limb.h"

#define BT_PACK_MAX_FRAC2 900 /* largest binary scale 2^900: keeps every shift inside its proof */
#define BT_PACK_MAX_FRAC10 18 /* largest decimal scale: 10^18 < 2^60 */
#define BT_PACK_MIN_SLOT 2    /* narrowest slot: a sign and one bit */
#define BT_PACK_MAX_SLOT 64   /* widest slot: values are int64 */
#define BT_PACK_MAX_LIMIT ((uint64_t)INT64_MAX)

/* How numbers become integers: q = round(x * base^frac), |q| <= limit. */
typedef struct bt_scale {
    unsigned base;  /* 2 or 10 */
    unsigned frac;  /* at most BT_PACK_MAX_FRAC2 or BT_PACK_MAX_FRAC10 */
    uint64_t limit; /* 1 .. BT_PACK_MAX_LIMIT */
    double inner;   /* >= 0, finite: |x| <= inner is never counted as clipped, only kept at the limit; 0 for none */
} bt_scale;

/* Counts of special elements of a batch. */
typedef struct bt_quant_report {
    size_t clipped;   /* elements beyond the limit, put at the limit */
    size_t nonfinite; /* NaN and infinities, put at 0 */
} bt_quant_report;

/* out[i] = x[i] * base^frac rounded half to even (words == NULL), or down or up at random without bias, where words[i] is
 * uniform on 64 bits: up with the probability of the fraction, exact to 2^-64. Then brought to [-limit, limit].
 * Every double is accepted; -0.0 gives 0. BT_ERR_ARG if *scale is out of range. */
bt_status bt_quantise(int64_t *out, const double *x, size_t n, const bt_scale *scale, const uint64_t *words,
                      bt_quant_report *report);

/* The same for integers, which never pass through a double. is_unsigned: v holds uint64. inner and words play no role. */
bt_status bt_quantise_int(int64_t *out, const int64_t *v, int is_unsigned, size_t n, const bt_scale *scale,
                          bt_quant_report *report);

/* sum[0..2] = sum of v[i]^2, exact: n * 2^126 < 2^192. */
void bt_sum_squares(uint64_t sum[3], const int64_t *v, size_t n);

/* v[i] = sign(v[i]) * floor(|v[i]| * factor / 2^shift): brings a vector to an L2 norm. shift >= 64 (so |v| shrinks). */
bt_status bt_shrink(int64_t *v, size_t n, uint64_t factor, unsigned shift);

/* out[i] = v[i] / (divisor * 2^shift), rounded half to even once. divisor >= 1, shift <= BT_PACK_MAX_FRAC2. Time
 * depends on the values: the results go to a reader who may see them. */
bt_status bt_to_double(double *out, const int64_t *v, size_t n, uint64_t divisor, unsigned shift);

/* out[i] = v[i] mod n, as rows of `limbs`. BT_ERR_OVERFLOW, nothing written, if some |v[i]| > (n-1)/2. */
bt_status bt_residues_from_int64(uint64_t *out, const int64_t *v, size_t count, const uint64_t *n, size_t limbs);

/* out[i] = the centred remainder of row i, and *first_bad = the first row that is not below n or whose remainder does not
 * fit int64 (its out[i] is meaningless), else count. */
bt_status bt_int64_from_residues(int64_t *out, size_t *first_bad, const uint64_t *res, size_t count, const uint64_t *n,
                                 size_t limbs);

/* Slots of a row of m values: blocks of `slots` each, the last one maybe shorter. */
static inline size_t bt_pack_blocks(size_t m, size_t slots)
{
    return m / slots + (m % slots != 0);
}

/* Balanced packing: block b of row r is P = sum_j v[r][b * slots + j] * 2^(slot_bits * j) mod n, a row of `limbs` limbs at
 * out[r * blocks + b]. Needs slot_bits * slots <= bits(n) - 2, which makes |P| < 2^(bits(n)-3) <= n/4.
 * BT_ERR_OVERFLOW, nothing written, if some |v| > 2^(slot_bits-1) - 1. */
bt_status bt_pack_slots(uint64_t *out, const int64_t *v, size_t rows, size_t m, unsigned slot_bits, size_t slots,
                        const uint64_t *n, size_t limbs);

/* The inverse: slot by slot the centred remainder mod 2^slot_bits, the rest divided by 2^slot_bits with the carry, and the rest
 * after the slots in use must be 0. *first_bad = the first block that violates this or is not below n (its values are
 * meaningless), else rows * blocks. */
bt_status bt_unpack_slots(int64_t *out, size_t *first_bad, const uint64_t *res, size_t rows, size_t m,
                          unsigned slot_bits, size_t slots, const uint64_t *n, size_t limbs);

#endif
