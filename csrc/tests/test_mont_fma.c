#include "mont_lanes.h"

#include <string.h>

/* The fma backend at the ends of its digits' range (mont_lanes.h). */
#if defined(__x86_64__)

enum { LANES = 4, RADIX = 50 };
static const double DIGIT_MAX = 0x1.0000000008p49; /* 2^49 + 2^12 */

static double real(bt_word word)
{
    double d;
    memcpy(&d, &word, sizeof d);
    return d;
}

static int64_t digit(bt_word word)
{
    return (int64_t)real(word);
}

static int regular(bt_word word, int top)
{
    const double d = real(word);
    (void)top;
    return d >= -DIGIT_MAX && d <= DIGIT_MAX && d == (double)digit(word);
}

/* Digits at the ends of their range in runs of one sign, from every digit its own to all alike; a top digit that keeps the
 * value below B^N / 8, the most that an operation gives. */
static void extreme_element(bt_word *element, size_t digits, uint64_t kind)
{
    const size_t run = kind % 5 == 0   ? 1
                       : kind % 5 == 1 ? digits
                       : kind % 5 == 2 ? digits / 2
                                       : 1 + test_random() % digits;
    const size_t phase = test_random() % digits;
    for (size_t j = 0; j < digits; j++) {
        double d = kind & 8 ? DIGIT_MAX : 0x1p49;
        if (j == digits - 1)
            d = kind & 16 ? 0x1p46 : 0x1p47 - 2;
        if (kind % 5 == 4 ? test_random() & 1 : ((j + phase) / run) & 1)
            d = -d;
        memcpy(element + LANES * j, &d, sizeof d);
    }
}

/* |r|, |s| <= .16 B^N; up to there where the digit is at the end of the plain range */
static bt_word pair_top(bt_word top, int of_s)
{
    const double d = real(top), most = 0x1.48p47;
    double x = d > most ? most : d < -most ? -most : d;
    (void)of_s;
    if (d == 0x1p47 - 2 || d == 2 - 0x1p47)
        x = d > 0 ? most : -most;
    memcpy(&top, &x, sizeof top);
    return top;
}

/* sum of sign_j 2^49 B^j, made positive and odd: digits at their extremes in the modulus and in the constants */
static void digit_modulus(bt_limb *m, size_t limbs, size_t run)
{
    memset(m, 0, limbs * sizeof *m);
    for (size_t j = 0; (j + 1) * RADIX < 64 * limbs; j++) {
        const size_t bit = j * RADIX + RADIX - 1;
        if ((j / run) & 1)
            m[bit / 64] |= (bt_limb)1 << (bit % 64);
        else if (j > 0)
            m[(bit - 1) / 64] |= (bt_limb)1 << ((bit - 1) % 64);
    }
    m[0] |= 1;
    m[limbs - 1] |= (bt_limb)1 << 63;
}

void test_mont_fma(void)
{
    static const size_t sizes[] = {16, 17, 32, 33, 48, 64, 96, 127, 128, 0};
    static const lanes_backend fma = {.ops = &bt_mont_fma,
                                      .radix = RADIX,
                                      .digit = digit,
                                      .regular = regular,
                                      .extreme_element = extreme_element,
                                      .pair_top = pair_top,
                                      .digit_modulus = digit_modulus,
                                      .needs = "AVX2 and FMA"};
    lanes_test(&fma, sizes);
}

#else
void test_mont_fma(void)
{
}
#endif
