#include "mont_lanes.h"

#include <string.h>

/* The ifma backend at the ends of its digits' range (mont_lanes.h); with -DBT_IFMA_EMULATE where the CPU has no AVX-512 IFMA. */
#if defined(__x86_64__) || defined(BT_IFMA_EMULATE)

enum { LANES = 8, RADIX = 52 };
static const uint64_t DIGIT_MAX = ((uint64_t)1 << RADIX) - 1;

static int64_t digit(bt_word word)
{
    return (int64_t)word;
}

/* digits of 52 bits, and less than half of 2^(52 n) */
static int regular(bt_word word, int top)
{
    return word <= (top ? DIGIT_MAX >> 1 : DIGIT_MAX);
}

/* Digits at the ends of their range in runs, from every digit its own to all alike: the differences of halves are of either
 * sign, and 0. */
static void extreme_element(bt_word *element, size_t n, uint64_t kind)
{
    const size_t run = kind % 6 == 0   ? 1
                       : kind % 6 == 1 ? n
                       : kind % 6 == 2 ? n / 2
                       : kind % 6 == 3 ? n / 4
                                       : 1 + test_random() % n;
    const size_t phase = kind & 64 ? 0 : test_random() % n;
    for (size_t j = 0; j < n; j++) {
        const int high = kind % 6 == 5 ? test_random() & 1 : !(((j + phase) / run) & 1);
        uint64_t d = high ? DIGIT_MAX - (kind & 128 ? test_random() % 3 : 0) : 0;
        if (j == n - 1)
            d >>= 1;
        element[LANES * j] = d;
    }
}

/* r < .252 B^N, s < .38 B^N */
static bt_word pair_top(bt_word top, int of_s)
{
    const bt_word most = DIGIT_MAX / 1000 * (of_s ? 380 : 252);
    return top > most ? most : top;
}

/* digits of 0 and 2^52 - 1 in runs: at their extremes in the modulus, and so in the differences of its halves */
static void digit_modulus(bt_limb *m, size_t limbs, size_t run)
{
    memset(m, 0, limbs * sizeof *m);
    for (size_t bit = 0; bit < 64 * limbs; bit++)
        if (!((bit / RADIX / run) & 1))
            m[bit / 64] |= (bt_limb)1 << bit % 64;
    m[limbs - 1] |= 1; /* as many limbs as it says */
}

void test_mont_ifma(void)
{
    static const size_t sizes[] = {16, 17, 24, 32, 33, 40, 48, 64, 96, 112, 127, 128, 0};
    static const lanes_backend ifma = {.ops = &bt_mont_ifma,
                                       .radix = RADIX,
                                       .digit = digit,
                                       .regular = regular,
                                       .extreme_element = extreme_element,
                                       .pair_top = pair_top,
                                       .digit_modulus = digit_modulus,
                                       .needs = "AVX-512 IFMA (make emulated runs it)"};
    lanes_test(&ifma, sizes);
    CHECK(!bt_mont_ifma.available() || bt_mont_pick(NULL) == &bt_mont_ifma);
}

#else
void test_mont_ifma(void)
{
}
#endif
