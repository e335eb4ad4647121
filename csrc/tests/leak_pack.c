#include "bt_pack.h"
#include "leaks.h"

#include <stdlib.h>

enum { N = 64, LIMBS = 9, SLOT = 37, SLOTS = 15 };

static void check(bt_status status)
{
    if (status != BT_OK)
        exit(2);
}

/* numbers that take every path through the rounding: zero, denormal, tiny, ordinary, beyond the limit, infinite */
static void quantise(unsigned base, const uint64_t *words, int planted)
{
    const bt_scale scale = {base, 9, 1000000, 0.5};
    double x[N];
    int64_t q[N];
    bt_quant_report report;
    for (size_t i = 0; i < N; i++)
        x[i] = ((double)(test_random() % 20001) - 10000) / 7;
    x[0] = 0;
    x[1] = -0x1p-1060;
    x[2] = 1e-40;
    x[3] = 1e300;
    x[4] = (double)(1e300 * x[3]);
    BT_SECRET(x, sizeof x);
    check(bt_quantise(q, x, N, &scale, words, &report));
    if (planted)
        leak_branch((const uint64_t *)q + 5);
}

static void quantise_binary(int planted)
{
    quantise(2, NULL, planted);
}

static void quantise_decimal(int planted)
{
    quantise(10, NULL, planted);
}

static void quantise_random(int planted)
{
    uint64_t words[N];
    for (size_t i = 0; i < N; i++)
        words[i] = test_random();
    BT_SECRET(words, sizeof words);
    quantise(2, words, 0);
    quantise(10, words, planted);
}

static void secret_values(int64_t *v, unsigned bits)
{
    for (size_t i = 0; i < N; i++)
        v[i] = (int64_t)test_random() >> (64 - bits);
    BT_SECRET(v, N * sizeof *v);
}

static void quantise_int(int planted)
{
    const bt_scale scale = {10, 2, 1000000, 0};
    int64_t v[N], q[N];
    bt_quant_report report;
    secret_values(v, 20);
    check(bt_quantise_int(q, v, 0, N, &scale, &report));
    if (planted)
        leak_branch((const uint64_t *)q);
}

static void sum_squares(int planted)
{
    int64_t v[N];
    uint64_t sum[3];
    secret_values(v, 64);
    bt_sum_squares(sum, v, N);
    if (planted)
        leak_branch(sum);
}

static void shrink(int planted)
{
    int64_t v[N];
    secret_values(v, 64);
    uint64_t factor = test_random();
    BT_SECRET(&factor, sizeof factor);
    check(bt_shrink(v, N, factor, 70));
    if (planted)
        leak_branch((const uint64_t *)v);
}

static void residues_from_int64(int planted)
{
    uint64_t n[LIMBS], out[N * LIMBS];
    int64_t v[N];
    test_random_modulus(n, 64 * LIMBS - 5);
    secret_values(v, 64);
    check(bt_residues_from_int64(out, v, N, n, LIMBS));
    if (planted)
        leak_branch(out);
}

/* a modulus of one limb, for which numbers may be too large */
static void residues_of_one_limb(int planted)
{
    const uint64_t n = 1000003;
    uint64_t out[N];
    int64_t v[N];
    secret_values(v, 18);
    check(bt_residues_from_int64(out, v, N, &n, 1));
    if (planted)
        leak_branch(out);
}

static void int64_from_residues(int planted)
{
    uint64_t n[LIMBS], res[N * LIMBS] = {0};
    int64_t v[N];
    size_t first_bad;
    test_random_modulus(n, 64 * LIMBS - 5);
    for (size_t i = 0; i < N; i++)
        res[i * LIMBS] = test_random() >> 1;
    BT_SECRET(res, sizeof res);
    check(bt_int64_from_residues(v, &first_bad, res, N, n, LIMBS));
    if (planted)
        leak_branch((const uint64_t *)v);
}

static void pack_slots(int planted)
{
    uint64_t n[LIMBS], out[8 * LIMBS];
    int64_t v[N];
    test_random_modulus(n, 64 * LIMBS - 5);
    secret_values(v, SLOT - 1);
    check(bt_pack_slots(out, v, 2, N / 2, SLOT, SLOTS, n, LIMBS));
    if (planted)
        leak_branch(out);
}

static void unpack_slots(int planted)
{
    uint64_t n[LIMBS], res[8 * LIMBS];
    int64_t v[N];
    size_t first_bad;
    test_random_modulus(n, 64 * LIMBS - 5);
    for (size_t i = 0; i < N; i++)
        v[i] = (int64_t)test_random() >> (64 - SLOT + 1);
    check(bt_pack_slots(res, v, 2, N / 2, SLOT, SLOTS, n, LIMBS));
    BT_SECRET(res, sizeof res);
    check(bt_unpack_slots(v, &first_bad, res, 2, N / 2, SLOT, SLOTS, n, LIMBS));
    if (planted)
        leak_branch((const uint64_t *)v);
}

const leak_case leaks_pack[] = {
    {"quantise_binary", quantise_binary, ONCE},
    {"quantise_decimal", quantise_decimal, ONCE},
    {"quantise_random", quantise_random, ONCE},
    {"quantise_int", quantise_int, ONCE},
    {"sum_squares", sum_squares, ONCE},
    {"shrink", shrink, ONCE},
    {"residues_from_int64", residues_from_int64, ONCE},
    {"residues_of_one_limb", residues_of_one_limb, ONCE},
    {"int64_from_residues", int64_from_residues, ONCE},
    {"pack_slots", pack_slots, ONCE},
    {"unpack_slots", unpack_slots, ONCE},
    {NULL, NULL, 0},
};
