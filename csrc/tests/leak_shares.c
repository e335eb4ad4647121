#include "bt_field.h"
#include "bt_ring.h"
#include "leaks.h"

#include <stdlib.h>

enum { N = 75, PARTIES = 5, INNER = 6 };

static void check(bt_status status)
{
    if (status != BT_OK)
        exit(2);
}

/* the portable code beside mpn, the fastest beside the other backends */
static int portable(void)
{
    return leak_backend == &bt_mont_mpn;
}

static void secret_words(void *x, size_t bytes)
{
    uint8_t *b = x;
    for (size_t i = 0; i < bytes; i++)
        b[i] = (uint8_t)(test_random() >> 9);
    BT_SECRET(x, bytes);
}

/* the last of the words is a result: look at it where a leak is planted */
static void look(const void *x, size_t bytes, int planted)
{
    uint64_t word = 0;
    memcpy(&word, x, bytes < 8 ? bytes : 8);
    if (planted)
        leak_branch(&word);
}

#define RING_CASES(word, bits)                                                                                         \
    static void ring_share##bits(int planted)                                                                          \
    {                                                                                                                  \
        word x[N], rows[PARTIES * N];                                                                                  \
        secret_words(x, sizeof x);                                                                                     \
        secret_words(rows, sizeof rows);                                                                               \
        bt_ring_share##bits(rows, N, x, PARTIES, N);                                                                   \
        look(rows + (PARTIES - 1) * N, sizeof(word), planted);                                                         \
        bt_ring_sum##bits(x, rows, N, PARTIES, N);                                                                     \
    }                                                                                                                  \
                                                                                                                       \
    static void ring_linear##bits(int planted)                                                                         \
    {                                                                                                                  \
        word a[N], b[N], c[N], out[N], dot;                                                                            \
        secret_words(a, sizeof a);                                                                                     \
        secret_words(b, sizeof b);                                                                                     \
        secret_words(c, sizeof c);                                                                                     \
        bt_ring_add##bits(out, a, b, N);                                                                               \
        bt_ring_sub##bits(out, out, c, N);                                                                             \
        bt_ring_mul##bits(out, out, b, N);                                                                             \
        bt_ring_scale##bits(out, out, 12345, N);                                                                       \
        dot = bt_ring_dot##bits(out, a, N);                                                                            \
        bt_ring_beaver##bits(out, a, b, c, a, out, 1, N);                                                              \
        bt_ring_truncate##bits(out, out, 7, 0, N);                                                                     \
        bt_ring_truncate##bits(out, out, 7, 1, N);                                                                     \
        bt_ring_mask##bits(out, out, &dot, 21, 1);                                                                     \
        bt_ring_unmask##bits(out, out, a, 21, N);                                                                      \
        look(out, sizeof(word), planted);                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static void ring_packing##bits(int planted)                                                                        \
    {                                                                                                                  \
        word x[N], zero[N] = {0};                                                                                      \
        uint8_t packed[N * sizeof(word)];                                                                              \
        for (unsigned l = 13; l <= bits; l += 9) {                                                                     \
            secret_words(x, sizeof x);                                                                                 \
            bt_ring_mask##bits(x, x, zero, l, N);                                                                      \
            check(bt_ring_pack##bits(packed, x, l, N));                                                                \
            check(bt_ring_unpack##bits(x, packed, l, N));                                                              \
        }                                                                                                              \
        look(x, sizeof(word), planted);                                                                                \
    }                                                                                                                  \
                                                                                                                       \
    static void ring_matmul##bits(int planted)                                                                         \
    {                                                                                                                  \
        word *a = malloc(11 * 13 * sizeof *a), *b = malloc(13 * 21 * sizeof *b), *c = malloc(11 * 21 * sizeof *c);     \
        void *scratch = aligned_alloc(BT_RING_ALIGN, BT_RING_SCRATCH);                                                 \
        secret_words(a, 11 * 13 * sizeof *a);                                                                          \
        secret_words(b, 13 * 21 * sizeof *b);                                                                          \
        bt_ring_pick(portable())->matmul##bits(c, a, b, 11, 13, 21, scratch);                                          \
        look(c, sizeof(word), planted);                                                                                \
        free(a);                                                                                                       \
        free(b);                                                                                                       \
        free(c);                                                                                                       \
        free(scratch);                                                                                                 \
    }

RING_CASES(uint32_t, 32)
RING_CASES(uint64_t, 64)

/* random elements accepted, shared, added, multiplied, reconstructed, checked */
static void field(bt_field_kind kind, const bt_limb *p, size_t limbs, int planted)
{
    bt_field f;
    check(bt_field_init(&f, kind, p, limbs, portable()));
    const size_t bytes = f.bytes;
    uint8_t *s = calloc(INNER * N, bytes), *rows = calloc(PARTIES * N, bytes), *x = calloc(INNER, bytes);
    uint8_t *m = calloc(PARTIES * INNER, bytes), *w = calloc(PARTIES, bytes), *zero = calloc(1, bytes);
    uint8_t *work = calloc(3 * INNER, bytes), *scratch = calloc(1, bt_field_scratch(&f, INNER) + 1);
    secret_words(s, INNER * N * bytes);
    for (size_t kept = bt_field_accept(&f, s, INNER * N); kept < INNER * N; kept++)
        memset(s + kept * bytes, 0, bytes);
    for (size_t i = 0; i < PARTIES; i++)
        x[i * bytes] = (uint8_t)(i + 1);
    bt_field_powers(&f, m, x, PARTIES, INNER);
    bt_field_matmul(&f, rows, N, m, PARTIES, INNER, s, N, N, scratch);
    bt_field_add(&f, rows, rows, rows + N * bytes, N);
    bt_field_sub(&f, rows, rows, rows + N * bytes, N);
    bt_field_mul(&f, rows, rows, rows + N * bytes, N);
    if (!bt_field_canonical(&f, rows, PARTIES * N))
        exit(2);
    check(bt_field_lagrange(&f, w, zero, 1, x, PARTIES, work));
    bt_field_matmul(&f, s, N, w, 1, PARTIES, rows, N, N, scratch);
    look(s, bytes, planted);
    free(s), free(rows), free(x), free(m), free(w), free(zero), free(work), free(scratch);
}

static void field_p31(int planted)
{
    field(BT_FIELD_P31, NULL, 0, planted);
}

static void field_p61(int planted)
{
    field(BT_FIELD_P61, NULL, 0, planted);
}

static void field_p64(int planted)
{
    field(BT_FIELD_P64, NULL, 0, planted);
}

static void field_gf256(int planted)
{
    field(BT_FIELD_GF256, NULL, 0, planted);
}

static void field_odd(int planted)
{
    const bt_limb vdaf[2] = {1, 0xffffffffffffffe4}, google = 2147483659;
    const bt_limb p255[4] = {0xffffffffffffffed, ~(bt_limb)0, ~(bt_limb)0, ~(bt_limb)0 >> 1};
    field(BT_FIELD_ODD, &google, 1, 0);
    field(BT_FIELD_ODD, p255, 4, 0);
    field(BT_FIELD_ODD, vdaf, 2, planted);
}

const leak_case leaks_shares[] = {
    {"ring_share32", ring_share32},     {"ring_share64", ring_share64},
    {"ring_linear32", ring_linear32},   {"ring_linear64", ring_linear64},
    {"ring_packing32", ring_packing32}, {"ring_packing64", ring_packing64},
    {"ring_matmul32", ring_matmul32},   {"ring_matmul64", ring_matmul64},
    {"field_p31", field_p31},           {"field_p61", field_p61},
    {"field_p64", field_p64},           {"field_gf256", field_gf256},
    {"field_odd", field_odd},           {NULL, NULL},
};
