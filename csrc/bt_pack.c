#include "bt_pack.h"

#include <string.h>

__extension__ typedef unsigned __int128 u128;

/* --- constant-time pieces ---------------------------------------------------------------------------------------- */

/* all ones if v is negative */
static inline uint64_t sign_of(int64_t v)
{
    return 0 - ((uint64_t)v >> 63);
}

/* |v|; 2^63 for INT64_MIN */
static inline uint64_t magnitude(int64_t v)
{
    const uint64_t s = sign_of(v);
    return ((uint64_t)v ^ s) - s;
}

/* the signed integer with sign mask s and magnitude m <= 2^63 */
static inline int64_t with_sign(uint64_t m, uint64_t s)
{
    return (int64_t)((m ^ s) - s);
}

/* x << r and x >> r for r < 128: compilers branch on r >= 64 when they shift 128 bits by a variable */
static inline u128 shl(u128 x, uint64_t r)
{
    const uint64_t s = r & 63, far = bt_ct_barrier(0 - (r >> 6)), low = (uint64_t)x, high = (uint64_t)(x >> 64);
    const uint64_t l = low << s, h = high << s | low >> 1 >> (63 - s);
    return (u128)bt_ct_select(far, l, h) << 64 | (l & ~far);
}

static inline u128 shr(u128 x, uint64_t r)
{
    const uint64_t s = r & 63, far = bt_ct_barrier(0 - (r >> 6)), low = (uint64_t)x, high = (uint64_t)(x >> 64);
    const uint64_t h = high >> s, l = low >> s | high << 1 << (63 - s);
    return (u128)(h & ~far) << 64 | bt_ct_select(far, h, l);
}

/* a + b + *carry, *carry in and out in {0, 1} */
static inline uint64_t add_carry(uint64_t a, uint64_t b, uint64_t *carry)
{
    const u128 t = (u128)a + b + *carry;
    *carry = (uint64_t)(t >> 64);
    return (uint64_t)t;
}

/* a - b - *borrow, *borrow in and out in {0, 1} */
static inline uint64_t sub_borrow(uint64_t a, uint64_t b, uint64_t *borrow)
{
    const u128 t = (u128)a - b - *borrow;
    *borrow = (uint64_t)(t >> 64) & 1;
    return (uint64_t)t;
}

/* Keeps the index of a batch's first event (n: none yet) without a branch on whether there is one. */
static inline void note_first(size_t *first, size_t n, uint64_t event, size_t i)
{
    *first = (size_t)bt_ct_select(event & bt_ct_eq(*first, n), i, *first);
}

/* --- quantisation ------------------------------------------------------------------------------------------------ */

static int scale_ok(const bt_scale *scale)
{
    if (scale->base == 2 ? scale->frac > BT_PACK_MAX_FRAC2 : scale->base != 10 || scale->frac > BT_PACK_MAX_FRAC10)
        return 0;
    if (scale->limit < 1 || scale->limit > BT_PACK_MAX_LIMIT)
        return 0;
    uint64_t inner;
    memcpy(&inner, &scale->inner, sizeof inner);
    return (inner >> 52) < 0x7ff; /* no sign, no NaN, no infinity */
}

static uint64_t power_of_ten(unsigned p)
{
    uint64_t t = 1;
    while (p--)
        t *= 10;
    return t;
}

/* The two roundings below give m * mul * 2^s as an integer, UINT64_MAX where that is beyond 64 bits. m < 2^53, and
 * s = left - right with one of the two 0.
 *   left > 10:   m is a normal mantissa, >= 2^52 (a denormal has s <= -1074 + 900), so the product is >= 2^63: too large.
 *   half to even: adding (half - 1 + the quotient's low bit) before the shift carries into the quotient exactly when the
 *                remainder is above one half, or is one half and the quotient is odd.
 *   at random:   up if word < threshold, the fraction as a multiple of 2^-64 rounded down: exact for right <= 64. */

/* Splits s; *huge is all ones where left > 10 (left is then 0). */
static inline void split_shift(int64_t s, uint64_t *left, uint64_t *right, uint64_t *huge)
{
    const uint64_t negative = sign_of(s);
    *right = (0 - (uint64_t)s) & negative;
    *left = (uint64_t)s & ~negative;
    *huge = bt_ct_less(10, *left);
    *left &= ~*huge;
}

/* mul = 1. right > 63: m / 2^right < 2^-10 has the quotient 0, as m / 2^63 does. */
static inline uint64_t round_binary(uint64_t m, int64_t s, const uint64_t *word)
{
    uint64_t left, right, huge;
    split_shift(s, &left, &right, &huge);
    const uint64_t num = m << left, far = bt_ct_less(63, right), r = bt_ct_select(far, 63, right);
    uint64_t q = num >> r;
    if (word) {
        const uint64_t low = num & (((uint64_t)1 << r) - 1);
        uint64_t down = (right - 64) & far; /* <= 1010 */
        down = bt_ct_select(bt_ct_less(63, down), 63, down);
        /* low < 2^right; in two steps, since right = 0 asks for a shift by 64 (of 0) */
        q += bt_ct_less(*word, bt_ct_select(far, low >> down, (low << 1) << (63 - r))) & 1;
    } else {
        const uint64_t half = ((uint64_t)1 << r) >> 1;
        /* num + half <= 2^53 + 2^62 where r > 0; r = 0: nothing to round, and half - 1 would be -1 */
        q = (num + ((half - 1 + (q & 1)) & bt_ct_nonzero(r))) >> r;
    }
    return q | huge;
}

/* mul < 2^60, so m * mul < 2^113. right > 127: the product / 2^right < 2^-14 has the quotient 0, as / 2^127 does. */
static inline uint64_t round_decimal(uint64_t m, uint64_t mul, int64_t s, const uint64_t *word)
{
    uint64_t left, right, huge;
    split_shift(s, &left, &right, &huge);
    const u128 num = (u128)(m << left) * mul; /* < 2^63 2^60 */
    const uint64_t r = bt_ct_select(bt_ct_less(127, right), 127, right);
    u128 q = shr(num, r);
    if (word) {
        const u128 low = num & (shl(1, r) - 1);
        const uint64_t far = bt_ct_less(64, right);
        uint64_t down = (right - 64) & far; /* <= 1010 */
        down = bt_ct_select(bt_ct_less(127, down), 127, down);
        const uint64_t near_threshold = (uint64_t)shl(low, (64 - right) & ~far); /* low < 2^right */
        q += bt_ct_less(*word, bt_ct_select(far, (uint64_t)shr(low, down), near_threshold)) & 1;
    } else {
        const u128 half = shl(1, r) >> 1;
        const uint64_t some = bt_ct_nonzero(r); /* as above */
        const u128 add = (half - 1 + ((uint64_t)q & 1)) & (((u128)some << 64) | some);
        q = shr(num + add, r); /* num + add <= 2^113 + 2^126 where r > 0 */
    }
    return (uint64_t)q | huge | bt_ct_nonzero((uint64_t)(q >> 64));
}

/* One loop, which the compiler specialises for base and rounding (both are constants where it is called). */
static inline void quantise_loop(int64_t *out, const double *x, size_t n, const bt_scale *scale, const int decimal,
                                 const uint64_t *words, bt_quant_report *report)
{
    const uint64_t mul = decimal ? power_of_ten(scale->frac) : 1;
    const int64_t offset = (decimal ? 0 : (int64_t)scale->frac) - 1075;
    const uint64_t limit = scale->limit;
    uint64_t inner, clipped = 0, nonfinite = 0;
    memcpy(&inner, &scale->inner, sizeof inner);
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const uint64_t sign = 0 - (bits >> 63);
        const uint64_t abs_bits = bits & 0x7fffffffffffffff;
        const uint64_t exponent = abs_bits >> 52;
        const uint64_t denormal = bt_ct_eq(exponent, 0);
        const uint64_t m = (abs_bits & 0xfffffffffffff) | (~denormal & ((uint64_t)1 << 52));
        const int64_t s = (int64_t)(exponent + (denormal & 1)) + offset; /* |x| 2^frac (binary) or |x| = m 2^s */

        const uint64_t *word = words ? words + i : NULL;
        uint64_t q = decimal ? round_decimal(m, mul, s, word) : round_binary(m, s, word);
        const uint64_t bad = bt_ct_eq(exponent, 0x7ff);
        const uint64_t over = bt_ct_less(limit, q);
        q = bt_ct_select(over, limit, q) & ~bad;
        out[i] = with_sign(q, sign);
        nonfinite -= bad;
        clipped -= over & ~bad & bt_ct_less(inner, abs_bits);
    }
    report->clipped = clipped;
    report->nonfinite = nonfinite;
}

bt_status bt_quantise(int64_t *out, const double *x, size_t n, const bt_scale *scale, const uint64_t *words,
                      bt_quant_report *report)
{
    if (!scale_ok(scale))
        return BT_ERR_ARG;
    if (scale->base == 2 && words)
        quantise_loop(out, x, n, scale, 0, words, report);
    else if (scale->base == 2)
        quantise_loop(out, x, n, scale, 0, NULL, report);
    else if (words)
        quantise_loop(out, x, n, scale, 1, words, report);
    else
        quantise_loop(out, x, n, scale, 1, NULL, report);
    return BT_OK;
}

bt_status bt_quantise_int(int64_t *out, const int64_t *v, int is_unsigned, size_t n, const bt_scale *scale,
                          bt_quant_report *report)
{
    if (!scale_ok(scale))
        return BT_ERR_ARG;
    /* |v| <= most is the same as |v| * scale <= limit; from 2^63 on only 0 passes, and mul is not used */
    const unsigned f = scale->frac < 63 ? scale->frac : 63;
    const uint64_t mul = scale->base == 10 ? power_of_ten(scale->frac) : (uint64_t)1 << f;
    const uint64_t most = scale->limit / mul;
    const uint64_t is_signed = is_unsigned ? 0 : ~(uint64_t)0;
    uint64_t clipped = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t s = sign_of(v[i]) & is_signed;
        const uint64_t m = ((uint64_t)v[i] ^ s) - s;
        const uint64_t over = bt_ct_less(most, m);
        out[i] = with_sign(bt_ct_select(over, scale->limit, m * mul), s);
        clipped -= over;
    }
    report->clipped = clipped;
    report->nonfinite = 0;
    return BT_OK;
}

void bt_sum_squares(uint64_t sum[3], const int64_t *v, size_t n)
{
    uint64_t s0 = 0, s1 = 0, s2 = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t m = magnitude(v[i]);
        const u128 sq = (u128)m * m;
        uint64_t carry = 0;
        s0 = add_carry(s0, (uint64_t)sq, &carry);
        s1 = add_carry(s1, (uint64_t)(sq >> 64), &carry);
        s2 += carry;
    }
    sum[0] = s0;
    sum[1] = s1;
    sum[2] = s2;
}

bt_status bt_shrink(int64_t *v, size_t n, uint64_t factor, unsigned shift)
{
    if (shift < 64)
        return BT_ERR_ARG;
    if (shift > 127)
        shift = 127; /* |v| * factor < 2^63 * 2^64 = 2^127 */
    for (size_t i = 0; i < n; i++) {
        /* >> 64 leaves at most 2^63 - 1 for |v| <= 2^63, factor < 2^64 */
        v[i] = with_sign((uint64_t)(((u128)magnitude(v[i]) * factor) >> shift), sign_of(v[i]));
    }
    return BT_OK;
}

/* --- back to doubles --------------------------------------------------------------------------------------------- */

bt_status bt_to_double(double *out, const int64_t *v, size_t n, uint64_t divisor, unsigned shift)
{
    if (divisor == 0 || shift > BT_PACK_MAX_FRAC2)
        return BT_ERR_ARG;
    const int dz = __builtin_clzll(divisor);
    const uint64_t d = divisor << dz; /* >= 2^63 */
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = 0;
        const uint64_t m = magnitude(v[i]);
        if (m) {
            const int mz = __builtin_clzll(m);
            const uint64_t a = m << mz; /* in [2^63, 2^64) */
            uint64_t q = a, sticky = 0;
            const int e = dz - mz - (int)shift - 63; /* m / (divisor 2^shift) = (a / d) 2^(63 + e), a / d = q / 2^63 */
            if (d != (uint64_t)1 << 63) {
                /* 1/2 < a / d < 2, so q = floor(a 2^63 / d) lies in [2^62, 2^64) */
                const u128 num = (u128)a << 63;
                q = (uint64_t)(num / d);
                sticky = (uint64_t)(num - (u128)q * d) != 0;
            }
            /* q 2^e with q of 63 or 64 bits: drop all but 53, half to even; a remainder below q's last bit breaks a tie */
            const int drop = 11 - __builtin_clzll(q);
            const uint64_t low = q & (((uint64_t)1 << drop) - 1), half = (uint64_t)1 << (drop - 1);
            uint64_t top = q >> drop; /* in [2^52, 2^53) */
            top += low > half || (low == half && (sticky || (top & 1)));
            /* value = top 2^(e + drop): exponent field e + drop + 1075, normal because -1026 <= e <= 0. Adding top instead
             * of masking its leading bit out lets top = 2^53 carry into the exponent. */
            bits = ((uint64_t)(e + drop + 1074) << 52) + top;
        }
        bits |= (uint64_t)v[i] & ((uint64_t)1 << 63);
        memcpy(out + i, &bits, sizeof bits);
    }
    return BT_OK;
}

/* --- residues ---------------------------------------------------------------------------------------------------- */

static int modulus_ok(const uint64_t *n, size_t limbs)
{
    return limbs >= 1 && limbs <= BT_MAX_LIMBS && n[limbs - 1] != 0 && (limbs > 1 || n[0] >= 3);
}

static size_t modulus_bits(const uint64_t *n, size_t limbs)
{
    return limbs * 64 - (size_t)__builtin_clzll(n[limbs - 1]);
}

/* half = floor((n - 1) / 2): residues above it stand for negative numbers */
static void half_of(uint64_t *half, const uint64_t *n, size_t limbs)
{
    uint64_t borrow = 1, low = sub_borrow(n[0], 0, &borrow);
    for (size_t i = 0; i < limbs; i++) {
        const uint64_t next = i + 1 < limbs ? sub_borrow(n[i + 1], 0, &borrow) : 0;
        half[i] = (low >> 1) | (next << 63);
        low = next;
    }
}

/* Masks of a row: *negative if it stands for a negative number, the result all ones if it is not below n. */
static inline uint64_t classify(uint64_t *negative, const uint64_t *row, const uint64_t *n, const uint64_t *half,
                                size_t limbs)
{
    uint64_t above_half = 0, below_n = 0;
    for (size_t i = 0; i < limbs; i++) {
        (void)sub_borrow(half[i], row[i], &above_half);
        (void)sub_borrow(row[i], n[i], &below_n);
    }
    *negative = bt_ct_barrier(0 - above_half);
    return bt_ct_barrier(below_n - 1);
}

bt_status bt_residues_from_int64(uint64_t *out, const int64_t *v, size_t count, const uint64_t *n, size_t limbs)
{
    if (!modulus_ok(n, limbs))
        return BT_ERR_ARG;
    if (limbs == 1) { /* from two limbs on, (n - 1) / 2 >= 2^63 >= |v| */
        const uint64_t most = (n[0] - 1) / 2;
        uint64_t over = 0;
        for (size_t i = 0; i < count; i++)
            over |= bt_ct_less(most, magnitude(v[i]));
        BT_PUBLIC(&over, sizeof over); /* whether a batch was refused is the answer of this call */
        if (over)
            return BT_ERR_OVERFLOW;
    }
    for (size_t r = 0; r < count; r++, out += limbs) {
        /* v in two's complement on all limbs, plus n if it is negative: the sum is v mod n, and what it carries out of
         * the top limb is the borrow that v's sign stood for */
        const uint64_t s = bt_ct_barrier(sign_of(v[r]));
        uint64_t carry = 0;
        out[0] = add_carry(n[0] & s, (uint64_t)v[r], &carry);
        for (size_t i = 1; i < limbs; i++)
            out[i] = add_carry(n[i] & s, s, &carry);
    }
    return BT_OK;
}

bt_status bt_int64_from_residues(int64_t *out, size_t *first_bad, const uint64_t *res, size_t count, const uint64_t *n,
                                 size_t limbs)
{
    if (!modulus_ok(n, limbs))
        return BT_ERR_ARG;
    uint64_t half[BT_MAX_LIMBS];
    half_of(half, n, limbs);
    *first_bad = count;
    for (size_t r = 0; r < count; r++, res += limbs) {
        uint64_t s, borrow = 0;
        const uint64_t outside = classify(&s, res, n, half, limbs);
        const uint64_t low = sub_borrow(res[0], n[0] & s, &borrow);
        uint64_t odd = s ^ sign_of((int64_t)low); /* every bit from 63 up must be the sign */
        for (size_t i = 1; i < limbs; i++)
            odd |= sub_borrow(res[i], n[i] & s, &borrow) ^ s;
        const uint64_t bad = outside | bt_ct_nonzero(odd);
        out[r] = (int64_t)low;
        note_first(first_bad, count, bad, r);
    }
    return BT_OK;
}

/* --- slots ------------------------------------------------------------------------------------------------------- */

static int slots_ok(unsigned slot_bits, size_t slots, const uint64_t *n, size_t limbs)
{
    if (!modulus_ok(n, limbs) || slot_bits < BT_PACK_MIN_SLOT || slot_bits > BT_PACK_MAX_SLOT || slots == 0)
        return 0;
    const size_t bits = modulus_bits(n, limbs);
    return bits > 2 && slots <= (bits - 2) / slot_bits;
}

/* sum_j (v[j] + 2^(slot_bits-1)) 2^(slot_bits j): every term is a non-negative field of slot_bits bits, so they are laid side
 * by side without a carry. v == NULL stands for zeros. */
static void lay_fields(uint64_t *out, size_t limbs, const int64_t *v, size_t count, unsigned slot_bits)
{
    const uint64_t bias = (uint64_t)1 << (slot_bits - 1), mask = bias | (bias - 1);
    u128 acc = 0;
    unsigned have = 0; /* bits in acc, below 64 between slots */
    size_t at = 0;
    for (size_t j = 0; j < count; j++) {
        const uint64_t field = ((v ? (uint64_t)v[j] : 0) + bias) & mask;
        acc |= (u128)field << have;
        have += slot_bits;
        if (have >= 64) {
            out[at++] = (uint64_t)acc;
            acc >>= 64;
            have -= 64;
        }
    }
    if (have)
        out[at++] = (uint64_t)acc;
    while (at < limbs)
        out[at++] = 0;
}

bt_status bt_pack_slots(uint64_t *out, const int64_t *v, size_t rows, size_t m, unsigned slot_bits, size_t slots,
                        const uint64_t *n, size_t limbs)
{
    if (!slots_ok(slot_bits, slots, n, limbs))
        return BT_ERR_ARG;
    const uint64_t most = ((uint64_t)1 << (slot_bits - 1)) - 1;
    uint64_t over = 0;
    for (size_t i = 0; i < rows * m; i++)
        over |= bt_ct_less(most, magnitude(v[i]));
    BT_PUBLIC(&over, sizeof over); /* whether a batch was refused is the answer of this call */
    if (over)
        return BT_ERR_OVERFLOW;

    uint64_t bias[BT_MAX_LIMBS];
    size_t biased = 0; /* how many slots bias holds */
    for (size_t r = 0; r < rows; r++) {
        for (size_t at = 0; at < m; at += slots, out += limbs) {
            const size_t count = m - at < slots ? m - at : slots;
            if (count != biased)
                lay_fields(bias, limbs, NULL, biased = count, slot_bits);
            lay_fields(out, limbs, v + r * m + at, count, slot_bits);
            /* take the bias away: P in two's complement; a borrow out of the top limb means that it is negative */
            uint64_t borrow = 0, carry = 0;
            for (size_t i = 0; i < limbs; i++)
                out[i] = sub_borrow(out[i], bias[i], &borrow);
            const uint64_t s = bt_ct_barrier(0 - borrow);
            for (size_t i = 0; i < limbs; i++)
                out[i] = add_carry(out[i], n[i] & s, &carry);
        }
    }
    return BT_OK;
}

bt_status bt_unpack_slots(int64_t *out, size_t *first_bad, const uint64_t *res, size_t rows, size_t m,
                          unsigned slot_bits, size_t slots, const uint64_t *n, size_t limbs)
{
    if (!slots_ok(slot_bits, slots, n, limbs))
        return BT_ERR_ARG;
    const uint64_t top = (uint64_t)1 << (slot_bits - 1), mask = top | (top - 1);
    const size_t total = rows * bt_pack_blocks(m, slots);
    uint64_t half[BT_MAX_LIMBS], bias[BT_MAX_LIMBS];
    half_of(half, n, limbs);
    size_t block = 0, biased = 0;
    *first_bad = total;
    for (size_t r = 0; r < rows; r++) {
        for (size_t at = 0; at < m; at += slots, block++, res += limbs) {
            const size_t count = m - at < slots ? m - at : slots;
            if (count != biased)
                lay_fields(bias, limbs, NULL, biased = count, slot_bits);
            /* P - n (if negative) + bias, limb by limb. With every slot in range this is the row of fields that
             * lay_fields made, which equals taking centred remainders with their carries; else a bit above
             * the last field is set, because |P| < 2^(64 limbs - 1) and bias < 2^(bits(n) - 2) leave room for the sign. */
            uint64_t s, borrow = 0, carry = 0;
            uint64_t bad = classify(&s, res, n, half, limbs);
            int64_t *to = out + r * m + at;
            size_t j = 0;
            u128 acc = 0;
            unsigned have = 0; /* bits in acc */
            for (size_t i = 0; i < limbs; i++) {
                const uint64_t t = add_carry(sub_borrow(res[i], n[i] & s, &borrow), bias[i], &carry);
                acc |= (u128)t << have;
                have += 64;
                while (j < count && have >= slot_bits) {
                    to[j++] = (int64_t)(((uint64_t)acc & mask) - top);
                    acc >>= slot_bits;
                    have -= slot_bits;
                }
                if (j == count) { /* the rest must be 0 */
                    bad |= bt_ct_nonzero((uint64_t)acc | (uint64_t)(acc >> 64));
                    acc = 0;
                    have = 0;
                }
            }
            note_first(first_bad, total, bad, block);
        }
    }
    return BT_OK;
}
