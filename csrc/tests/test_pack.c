/* Quantisation, slots and residues. References are of another make: the processor's own exact operations where they are
 * exact, doubling bit by bit modulo n where ours lays fields and carries. The big differential test against Python's
 * integers and fractions is in tests/kernels/test_pack.py. */
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "bt_pack.h"
#include "test.h"

enum { MAX_VALUES = 4096, LIMBS = 8 };

static double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int64_t one(double x, unsigned base, unsigned frac, uint64_t limit, double inner, bt_quant_report *report)
{
    const bt_scale scale = {base, frac, limit, inner};
    int64_t q = -77;
    CHECK(bt_quantise(&q, &x, 1, &scale, NULL, report) == BT_OK);
    return q;
}

static void known_roundings(void)
{
    static const struct {
        double x;
        unsigned base, frac;
        int64_t q;
    } cases[] = {
        {0.0, 2, 20, 0},
        {-0.0, 2, 20, 0},
        {0.5, 2, 0, 0},
        {1.5, 2, 0, 2},
        {2.5, 2, 0, 2},
        {-0.5, 2, 0, 0},
        {-1.5, 2, 0, -2},
        {0x1.fffffffffffffp-2, 2, 0, 0},
        {0x1.0000000000001p-1, 2, 0, 1},
        {0x1p-54, 2, 53, 0},
        {0x1.8p-53, 2, 53, 2},
        {0x1p-900, 2, 900, 1},
        {0x1.8p-901, 2, 900, 1},
        {0x1p-901, 2, 900, 0},
        {DBL_MIN, 2, 900, 0},
        {0x1p-1074, 2, 900, 0},
        {0x1p-1074, 10, 18, 0},
        {0x1.fffffffffffffp62, 2, 0, 9223372036854774784},
        {-0x1.fffffffffffffp52, 2, 10, -9223372036854774784},
        {0.1, 10, 1, 1},
        {0.25, 10, 1, 2},
        {0.75, 10, 1, 8},
        {0.35, 10, 1, 3}, /* 0.34999999999999997... */
        {1.005, 10, 2, 100},
        {2.675, 10, 2, 267},
        {0.125, 10, 2, 12},
        {-0.375, 10, 2, -38},
        {9.2, 10, 18, 9199999999999999289},
        {5e-19, 10, 18, 1}, /* the double is above one half of the unit */
        {4.9e-19, 10, 18, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bt_quant_report r;
        CHECK(one(cases[i].x, cases[i].base, cases[i].frac, BT_PACK_MAX_LIMIT, 0, &r) == cases[i].q);
        CHECK(r.clipped == 0 && r.nonfinite == 0);
    }
}

static void clipping(void)
{
    bt_quant_report r;
    CHECK(one(4.0, 2, 20, 1 << 22, 0, &r) == 1 << 22 && r.clipped == 0);
    CHECK(one(-4.0, 2, 20, 1 << 22, 0, &r) == -(1 << 22) && r.clipped == 0);
    CHECK(one(4.0 + 0x1p-21, 2, 20, 1 << 22, 0, &r) == 1 << 22 && r.clipped == 0); /* a tie, to even */
    CHECK(one(4.0 + 0x1.8p-21, 2, 20, 1 << 22, 0, &r) == 1 << 22 && r.clipped == 1);
    CHECK(one(-1e300, 2, 20, 5, 0, &r) == -5 && r.clipped == 1);
    CHECK(one(1e300, 10, 18, 5, 0, &r) == 5 && r.clipped == 1);
    CHECK(one(0x1p63, 2, 0, BT_PACK_MAX_LIMIT, 0, &r) == INT64_MAX && r.clipped == 1);
    CHECK(one(DBL_MAX, 2, 900, BT_PACK_MAX_LIMIT, 0, &r) == INT64_MAX && r.clipped == 1);
    /* 0.3 * 2^20 = 314572.8: the clip itself is not clipped, the next double is */
    CHECK(one(0.3, 2, 20, 314572, 0.3, &r) == 314572 && r.clipped == 0);
    CHECK(one(nextafter(0.3, 1), 2, 20, 314572, 0.3, &r) == 314572 && r.clipped == 1);
    CHECK(one(NAN, 2, 20, 9, 0, &r) == 0 && r.nonfinite == 1 && r.clipped == 0);
    CHECK(one(-INFINITY, 10, 2, 9, 0, &r) == 0 && r.nonfinite == 1 && r.clipped == 0);

    const double x[5] = {1, NAN, 100, INFINITY, -100};
    const int64_t want[5] = {1, 0, 50, 0, -50};
    int64_t q[5];
    bt_scale scale = {2, 0, 50, 0};
    CHECK(bt_quantise(q, x, 5, &scale, NULL, &r) == BT_OK && r.clipped == 2 && r.nonfinite == 2);
    CHECK(memcmp(q, want, sizeof q) == 0);

    const bt_scale bad[] = {{3, 0, 1, 0},
                            {2, BT_PACK_MAX_FRAC2 + 1, 1, 0},
                            {10, BT_PACK_MAX_FRAC10 + 1, 1, 0},
                            {2, 0, 0, 0},
                            {2, 0, (uint64_t)1 << 63, 0},
                            {2, 0, 1, -1.0},
                            {2, 0, 1, -0.0},
                            {2, 0, 1, INFINITY},
                            {2, 0, 1, NAN},
                            {0, 0, 1, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(bt_quantise(q, x, 5, bad + i, NULL, &r) == BT_ERR_ARG);
        CHECK(bt_quantise_int(q, want, 0, 5, bad + i, &r) == BT_ERR_ARG);
    }
}

/* x * 2^f is exact in a double and nearbyint rounds half to even; x of every exponent and of the range that matters. In
 * every rounding mode that the host may have set, ours must say what nearbyint says in the default one. */
static void quantise_against_the_processor(void)
{
    static double x[MAX_VALUES];
    static int64_t want[MAX_VALUES], got[MAX_VALUES];
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    for (unsigned f = 0; f <= 60; f += 5) {
        const bt_scale scale = {2, f, (uint64_t)1 << 62, 0};
        bt_quant_report report;
        size_t clipped = 0;
        for (size_t i = 0; i < MAX_VALUES; i++) {
            uint64_t bits = test_random();
            const uint64_t exponent = i % 2 ? (bits >> 52) & 0x7ff : 1023 - f + test_random() % 70;
            bits = (bits & 0x800fffffffffffff) | (exponent % 0x7ff) << 52;
            if (i % 3 == 0)
                bits &= ~(uint64_t)0 << (test_random() % 52); /* ties and whole numbers */
            x[i] = from_bits(bits);
            const double r = nearbyint(ldexp(x[i], (int)f));
            const int over = fabs(r) > 0x1p62;
            clipped += (size_t)over;
            want[i] = over ? (r > 0 ? 1 : -1) * ((int64_t)1 << 62) : (int64_t)r;
        }
        for (size_t k = 0; k < 4; k++) {
            CHECK(fesetround(modes[k]) == 0);
            CHECK(bt_quantise(got, x, MAX_VALUES, &scale, NULL, &report) == BT_OK);
            CHECK(fesetround(FE_TONEAREST) == 0);
            CHECK(memcmp(got, want, sizeof got) == 0 && report.clipped == clipped && report.nonfinite == 0);
        }
    }
}

/* Up exactly when the word is below the fraction of 2^64, on both sides of that edge. */
static void stochastic(void)
{
    static const struct {
        double x;
        unsigned base, frac;
        int64_t down;
        uint64_t threshold; /* first word that rounds down */
    } cases[] = {
        {0.5, 2, 0, 0, (uint64_t)1 << 63},
        {2.75, 2, 0, 2, (uint64_t)3 << 62},
        {0x1p-64, 2, 0, 0, 1},
        {0x1p-65, 2, 0, 0, 0},
        {0x1.8p-64, 2, 0, 0, 1},
        {0x1p-1074, 2, 900, 0, 0},
        {0.375, 10, 1, 3, (uint64_t)3 << 62},
        {0x1p-64, 10, 1, 0, 10},
        {0x1p-140, 10, 18, 0, 0},
        {0x1p-120, 10, 18, 0, 13}, /* 10^18 2^-56 = 13.9 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bt_scale scale = {cases[i].base, cases[i].frac, 1000, 0};
        const double x[4] = {cases[i].x, cases[i].x, -cases[i].x, cases[i].x};
        const uint64_t t = cases[i].threshold, words[4] = {t, t ? t - 1 : 0, t ? t - 1 : 0, ~(uint64_t)0};
        const int64_t down = cases[i].down, up = down + (t != 0);
        int64_t q[4];
        bt_quant_report report;
        CHECK(bt_quantise(q, x, 4, &scale, words, &report) == BT_OK && report.clipped == 0);
        CHECK(q[0] == down && q[1] == up && q[2] == -up && q[3] == down);
    }
    const double whole[2] = {7.0, -1e15};
    const uint64_t words[2] = {0, 0};
    const bt_scale scale = {2, 3, BT_PACK_MAX_LIMIT, 0};
    int64_t q[2];
    bt_quant_report report;
    CHECK(bt_quantise(q, whole, 2, &scale, words, &report) == BT_OK && q[0] == 56 && q[1] == -8000000000000000);
}

static void integers(void)
{
    const int64_t v[6] = {0, 3, -3, 4, INT64_MAX, INT64_MIN};
    const int64_t want[6] = {0, 12, -12, 15, 15, -15}, want_u[6] = {0, 12, 15, 15, 15, 15};
    const bt_scale scale = {2, 2, 15, 0};
    int64_t q[6];
    bt_quant_report r;
    CHECK(bt_quantise_int(q, v, 0, 6, &scale, &r) == BT_OK && r.clipped == 3 && memcmp(q, want, sizeof q) == 0);
    CHECK(bt_quantise_int(q, v, 1, 6, &scale, &r) == BT_OK && r.clipped == 4 && memcmp(q, want_u, sizeof q) == 0);
    const bt_scale plain = {10, 0, BT_PACK_MAX_LIMIT, 0}, deep = {2, 900, BT_PACK_MAX_LIMIT, 0},
                   cents = {10, 2, 299, 0};
    CHECK(bt_quantise_int(q, v, 0, 6, &plain, &r) == BT_OK && r.clipped == 1 && q[4] == INT64_MAX &&
          q[5] == -INT64_MAX);
    CHECK(bt_quantise_int(q, v, 0, 6, &deep, &r) == BT_OK && r.clipped == 5 && q[0] == 0 && q[1] == INT64_MAX);
    CHECK(bt_quantise_int(q, v, 0, 2, &cents, &r) == BT_OK && r.clipped == 1 && q[1] == 299);

    uint64_t sum[3];
    bt_sum_squares(sum, v + 1, 5); /* 9 + 9 + 16 + (2^63 - 1)^2 + 2^126 = 2^127 - 2^64 + 35 */
    CHECK(sum[0] == 35 && sum[1] == 0x7fffffffffffffff && sum[2] == 0);
    int64_t many[5] = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    bt_sum_squares(sum, many, 5);
    CHECK(sum[0] == 0 && sum[1] == (uint64_t)1 << 62 && sum[2] == 1);
    CHECK(bt_shrink(many, 1, (uint64_t)1 << 63, 64) == BT_OK && many[0] == -((int64_t)1 << 62));
    CHECK(bt_shrink(many + 1, 1, ~(uint64_t)0, 64) == BT_OK && many[1] == -INT64_MAX);
    CHECK(bt_shrink(many + 2, 1, ~(uint64_t)0, 5000) == BT_OK && many[2] == 0);
    CHECK(bt_shrink(many, 1, 1, 63) == BT_ERR_ARG);
}

static void decoding(void)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    static int64_t v[MAX_VALUES];
    static double got[MAX_VALUES], want[MAX_VALUES];
    for (unsigned shift = 0; shift <= 900; shift += 100) {
        const uint64_t divisor = shift % 200 ? 1 + test_random() % ((uint64_t)1 << 53) : 1;
        for (size_t i = 0; i < MAX_VALUES; i++) {
            v[i] = (int64_t)test_random() >> (test_random() % 64);
            if (divisor != 1)
                v[i] %= (int64_t)1 << 53; /* exact operands, so the processor's division rounds once */
            want[i] = ldexp((double)v[i] / (double)divisor, -(int)shift);
        }
        for (size_t k = 0; k < 4; k++) {
            CHECK(fesetround(modes[k]) == 0);
            CHECK(bt_to_double(got, v, MAX_VALUES, divisor, shift) == BT_OK);
            CHECK(fesetround(FE_TONEAREST) == 0);
            CHECK(memcmp(got, want, sizeof got) == 0);
        }
    }
    v[0] = INT64_MIN;
    CHECK(bt_to_double(got, v, 1, ~(uint64_t)0, 900) == BT_OK && got[0] == -0x1p-901);
    v[0] = 1;
    CHECK(bt_to_double(got, v, 1, ~(uint64_t)0, 900) == BT_OK && got[0] == 0x1p-964);
    CHECK(bt_to_double(got, v, 1, 0, 0) == BT_ERR_ARG && bt_to_double(got, v, 1, 1, 901) == BT_ERR_ARG);
}

/* --- references modulo n: one bit at a time -------------------------------------------------------------------------- */

static int geq(const uint64_t *a, const uint64_t *b, size_t limbs)
{
    while (limbs--)
        if (a[limbs] != b[limbs])
            return a[limbs] > b[limbs];
    return 1;
}

static void sub(uint64_t *a, const uint64_t *b, size_t limbs)
{
    uint64_t borrow = 0;
    for (size_t i = 0; i < limbs; i++) {
        const uint64_t t = a[i] - b[i], u = t - borrow;
        borrow = (a[i] < b[i]) | (t < borrow);
        a[i] = u;
    }
}

static void add_mod(uint64_t *a, const uint64_t *b, const uint64_t *n, size_t limbs)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < limbs; i++) {
        const uint64_t t = a[i] + b[i], u = t + carry;
        carry = (t < a[i]) | (u < t);
        a[i] = u;
    }
    if (carry || geq(a, n, limbs))
        sub(a, n, limbs);
}

static void signed_mod(uint64_t *r, int64_t v, const uint64_t *n, size_t limbs)
{
    memset(r, 0, limbs * sizeof *r);
    r[0] = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    if (v < 0) {
        uint64_t t[LIMBS];
        memcpy(t, n, limbs * sizeof *t);
        sub(t, r, limbs);
        memcpy(r, t, limbs * sizeof *r);
    }
}

static void random_modulus(uint64_t *n, size_t limbs)
{
    for (size_t i = 0; i < limbs; i++)
        n[i] = test_random();
    n[0] |= 1;
    n[limbs - 1] = (n[limbs - 1] >> (test_random() % 60)) | 4;
}

static size_t bits_of(const uint64_t *n, size_t limbs)
{
    size_t bits = 64 * limbs;
    while (!(n[(bits - 1) / 64] >> (bits - 1) % 64 & 1))
        bits--;
    return bits;
}

static void residues(void)
{
    static const int64_t edges[8] = {0, 1, -1, INT64_MAX, INT64_MIN, INT64_MIN + 1, 12345, -12345};
    for (size_t limbs = 2; limbs <= LIMBS; limbs++) {
        uint64_t n[LIMBS], out[8 * LIMBS], want[LIMBS];
        int64_t back[8];
        size_t bad;
        random_modulus(n, limbs);
        CHECK(bt_residues_from_int64(out, edges, 8, n, limbs) == BT_OK);
        for (size_t i = 0; i < 8; i++) {
            signed_mod(want, edges[i], n, limbs);
            CHECK(memcmp(want, out + i * limbs, limbs * sizeof *want) == 0);
        }
        CHECK(bt_int64_from_residues(back, &bad, out, 8, n, limbs) == BT_OK && bad == 8);
        CHECK(memcmp(back, edges, sizeof back) == 0);

        /* one past each end, and n itself */
        if (limbs > 2) {
            memset(out + 5 * limbs, 0, limbs * sizeof *out);
            out[5 * limbs] = (uint64_t)1 << 63;
            CHECK(bt_int64_from_residues(back, &bad, out, 8, n, limbs) == BT_OK && bad == 5);
            memcpy(out + 5 * limbs, n, limbs * sizeof *out);
            const uint64_t beyond[LIMBS] = {((uint64_t)1 << 63) + 1};
            sub(out + 5 * limbs, beyond, limbs);
            CHECK(bt_int64_from_residues(back, &bad, out, 8, n, limbs) == BT_OK && bad == 5);
        }
        memcpy(out + 2 * limbs, n, limbs * sizeof *out);
        CHECK(bt_int64_from_residues(back, &bad, out, 8, n, limbs) == BT_OK && bad == 2);
        memset(out + 2 * limbs, 0xff, limbs * sizeof *out);
        CHECK(bt_int64_from_residues(back, &bad, out, 8, n, limbs) == BT_OK && bad == 2);
    }
    /* every residue of small moduli, and one past the ends */
    for (uint64_t n = 3; n < 200; n += 2) {
        const int64_t half = (int64_t)(n - 1) / 2, past[2] = {half + 1, -half - 1};
        for (int64_t v = -half; v <= half; v++) {
            uint64_t r;
            int64_t back;
            size_t bad;
            CHECK(bt_residues_from_int64(&r, &v, 1, &n, 1) == BT_OK && r == (uint64_t)((v + (int64_t)n) % (int64_t)n));
            CHECK(bt_int64_from_residues(&back, &bad, &r, 1, &n, 1) == BT_OK && bad == 1 && back == v);
        }
        uint64_t r;
        CHECK(bt_residues_from_int64(&r, past, 1, &n, 1) == BT_ERR_OVERFLOW);
        CHECK(bt_residues_from_int64(&r, past + 1, 1, &n, 1) == BT_ERR_OVERFLOW);
    }
    uint64_t n = 1, r = 0, top_zero[2] = {5, 0};
    int64_t v = 0;
    size_t bad;
    CHECK(bt_residues_from_int64(&r, &v, 1, &n, 1) == BT_ERR_ARG &&
          bt_residues_from_int64(&r, &v, 1, &n, 0) == BT_ERR_ARG);
    CHECK(bt_int64_from_residues(&v, &bad, top_zero, 1, top_zero, 2) == BT_ERR_ARG);
    CHECK(bt_int64_from_residues(&v, &bad, top_zero, 1, top_zero, BT_MAX_LIMBS + 1) == BT_ERR_ARG);
}

/* P = sum v_j 2^(l j) mod n by Horner with single doublings */
static void pack_reference(uint64_t *p, const int64_t *v, size_t count, unsigned l, const uint64_t *n, size_t limbs)
{
    uint64_t t[LIMBS];
    memset(p, 0, limbs * sizeof *p);
    while (count--) {
        for (unsigned b = 0; b < l; b++) {
            memcpy(t, p, limbs * sizeof *t);
            add_mod(p, t, n, limbs);
        }
        signed_mod(t, v[count], n, limbs);
        add_mod(p, t, n, limbs);
    }
}

static int64_t random_slot(unsigned l)
{
    const int64_t most = (int64_t)(((uint64_t)1 << (l - 1)) - 1);
    switch (test_random() % 6) {
    case 0:
        return most;
    case 1:
        return -most;
    case 2:
        return -(int64_t)(test_random() % 2);
    default: {
        const int64_t v = (int64_t)test_random() >> (64 - l);
        return v < -most ? 0 : v;
    }
    }
}

static void slots(void)
{
    for (unsigned l = BT_PACK_MIN_SLOT; l <= BT_PACK_MAX_SLOT; l++) {
        for (size_t limbs = 2; limbs <= LIMBS; limbs++) {
            uint64_t n[LIMBS], out[12 * LIMBS], want[LIMBS];
            static int64_t v[3 * 4 * 64 * LIMBS], back[3 * 4 * 64 * LIMBS];
            random_modulus(n, limbs);
            const size_t full = (bits_of(n, limbs) - 2) / l;
            if (full == 0)
                continue;
            for (size_t m = 1; m <= 3 * full; m += full > 3 ? full / 3 : 1) {
                const size_t rows = 3, blocks = bt_pack_blocks(m, full);
                size_t bad;
                for (size_t i = 0; i < rows * m; i++)
                    v[i] = random_slot(l);
                memset(out, 0xee, sizeof out);
                CHECK(bt_pack_slots(out, v, rows, m, l, full, n, limbs) == BT_OK);
                memset(back, 0xee, sizeof back);
                CHECK(bt_unpack_slots(back, &bad, out, rows, m, l, full, n, limbs) == BT_OK);
                CHECK(bad == rows * blocks && memcmp(back, v, rows * m * sizeof *v) == 0);
                for (size_t b = 0; b < rows * blocks; b++) {
                    const size_t at = b % blocks * full, count = m - at < full ? m - at : full;
                    pack_reference(want, v + b / blocks * m + at, count, l, n, limbs);
                    CHECK(memcmp(want, out + b * limbs, limbs * sizeof *want) == 0);
                }
            }
            /* the limit and one past it; what exceeds the slots in use is seen */
            const int64_t most = (int64_t)(((uint64_t)1 << (l - 1)) - 1);
            const int64_t edge[2] = {most, -most};
            const size_t two = full < 2 ? full : 2;
            size_t bad;
            CHECK(bt_pack_slots(out, edge, 1, two, l, full, n, limbs) == BT_OK);
            if (l < 64) {
                const int64_t above = most + 1, below = -most - 1;
                CHECK(bt_pack_slots(out, &above, 1, 1, l, full, n, limbs) == BT_ERR_OVERFLOW);
                CHECK(bt_pack_slots(out, &below, 1, 1, l, full, n, limbs) == BT_ERR_OVERFLOW);
            } else {
                const int64_t below = INT64_MIN;
                CHECK(bt_pack_slots(out, &below, 1, 1, l, full, n, limbs) == BT_ERR_OVERFLOW);
            }
            for (int sign = 0; sign < 2; sign++) { /* +-2^(l - 1) 2: one slot too few for it */
                memset(want, 0, sizeof want);
                want[l / 64] = (uint64_t)1 << l % 64;
                if (l / 64 >= limbs || bits_of(n, limbs) < l + 3)
                    break;
                if (sign) {
                    uint64_t t[LIMBS];
                    memcpy(t, n, sizeof t);
                    sub(t, want, limbs);
                    memcpy(want, t, sizeof want);
                }
                CHECK(bt_unpack_slots(back, &bad, want, 1, 1, l, full, n, limbs) == BT_OK && bad == 0);
                if (full > 1) { /* with the slot above in use it is the carry */
                    CHECK(bt_unpack_slots(back, &bad, want, 1, 2, l, full, n, limbs) == BT_OK && bad == 1);
                    CHECK(back[0] == 0 && back[1] == (sign ? -1 : 1));
                }
            }
            CHECK(bt_unpack_slots(back, &bad, n, 1, 1, l, full, n, limbs) == BT_OK && bad == 0);
            CHECK(bt_pack_slots(out, edge, 1, 1, l, full + 1, n, limbs) == BT_ERR_ARG);
            CHECK(bt_unpack_slots(back, &bad, out, 1, 1, l, full + 1, n, limbs) == BT_ERR_ARG);
        }
    }
    const uint64_t n[1] = {1001};
    int64_t v = 0;
    uint64_t out;
    CHECK(bt_pack_slots(&out, &v, 1, 1, 1, 1, n, 1) == BT_ERR_ARG &&
          bt_pack_slots(&out, &v, 1, 1, 65, 1, n, 1) == BT_ERR_ARG);
    CHECK(bt_pack_slots(&out, &v, 1, 1, 2, 0, n, 1) == BT_ERR_ARG);
    const uint64_t three = 3; /* 2 bits: no room for a slot */
    CHECK(bt_pack_slots(&out, &v, 1, 1, 2, 1, n, 0) == BT_ERR_ARG &&
          bt_pack_slots(&out, &v, 1, 1, 2, 1, &three, 1) == BT_ERR_ARG);
}

/* every vector of 2-bit slots under every odd modulus of 10 bits, and every residue back */
static void slots_exhaustive(void)
{
    for (uint64_t n = 513; n < 1024; n += 2) {
        size_t accepted = 0;
        for (uint64_t r = 0; r < n; r++) {
            int64_t v[4];
            uint64_t again;
            size_t bad;
            CHECK(bt_unpack_slots(v, &bad, &r, 1, 4, 2, 4, &n, 1) == BT_OK);
            if (bad == 0)
                continue;
            accepted++;
            const int64_t p = v[0] + 4 * v[1] + 16 * v[2] + 64 * v[3];
            CHECK((uint64_t)((p + (int64_t)n) % (int64_t)n) == r);
            const bt_status rc = bt_pack_slots(&again, v, 1, 4, 2, 4, &n, 1);
            const int has_least = v[0] == -2 || v[1] == -2 || v[2] == -2 || v[3] == -2;
            CHECK(has_least ? rc == BT_ERR_OVERFLOW : rc == BT_OK && again == r);
        }
        CHECK(accepted == 256); /* 4 slots of 4 values */
    }
}

void test_pack(void)
{
    known_roundings();
    clipping();
    quantise_against_the_processor();
    stochastic();
    integers();
    decoding();
    residues();
    slots();
    slots_exhaustive();
}
