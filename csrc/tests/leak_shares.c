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

static void secret_bytes(void *x, size_t bytes)
{
    uint8_t *b = x;
    for (size_t i = 0; i < bytes; i++)
        b[i] = (uint8_t)(test_random() >> 9);
    BT_SECRET(x, bytes);
}

/* looks at a result where a leak is planted */
static void look(const void *x, size_t bytes, int planted)
{
    uint64_t word = 0;
    memcpy(&word, x, bytes < 8 ? bytes : 8);
    if (planted)
        leak_branch(&word);
}

/* --- rings: a case for each function and width, on three secret vectors ------------------------------------------------------ */

#define RING_CASE(name, word, call)                                                                                    \
    static void name(int planted)                                                                                      \
    {                                                                                                                  \
        word a[N], b[N], c[N], out[N];                                                                                 \
        secret_bytes(a, sizeof a);                                                                                     \
        secret_bytes(b, sizeof b);                                                                                     \
        secret_bytes(c, sizeof c);                                                                                     \
        call;                                                                                                          \
        look(out, sizeof(word), planted);                                                                              \
    }

#define RING_CASES(word, bits)                                                                                         \
    RING_CASE(ring_sum##bits, word, bt_ring_sum##bits(out, b, N / PARTIES, PARTIES, N / PARTIES))                      \
    RING_CASE(ring_add##bits, word, bt_ring_add##bits(out, a, b, N))                                                   \
    RING_CASE(ring_sub##bits, word, bt_ring_sub##bits(out, a, b, N))                                                   \
    RING_CASE(ring_mul##bits, word, bt_ring_mul##bits(out, a, b, N))                                                   \
    RING_CASE(ring_scale##bits, word, bt_ring_scale##bits(out, a, b[0], N))                                            \
    RING_CASE(ring_dot##bits, word, out[0] = bt_ring_dot##bits(a, b, N))                                               \
    RING_CASE(ring_beaver##bits, word, bt_ring_beaver##bits(out, a, b, c, a, b, 1, N))                                 \
    RING_CASE(ring_mask##bits, word, bt_ring_mask##bits(out, a, b, 21, N))                                             \
    RING_CASE(ring_unmask##bits, word, bt_ring_unmask##bits(out, a, b, 21, N))                                         \
    RING_CASE(ring_truncate##bits, word, bt_ring_truncate##bits(out, a, 7, 0, N);                                      \
              bt_ring_truncate##bits(out, out, 7, 1, N))                                                               \
                                                                                                                       \
    static void ring_share##bits(int planted)                                                                          \
    {                                                                                                                  \
        word x[N], rows[PARTIES * N];                                                                                  \
        secret_bytes(x, sizeof x);                                                                                     \
        secret_bytes(rows, sizeof rows);                                                                               \
        bt_ring_share##bits(rows, N, x, PARTIES, N);                                                                   \
        look(rows + (PARTIES - 1) * N, sizeof(word), planted);                                                         \
    }                                                                                                                  \
                                                                                                                       \
    static void ring_pack##bits(int planted)                                                                           \
    {                                                                                                                  \
        word x[N], zero[N] = {0};                                                                                      \
        uint8_t packed[N * sizeof(word)];                                                                              \
        for (unsigned l = 13; l <= bits; l += 9) {                                                                     \
            secret_bytes(x, sizeof x);                                                                                 \
            bt_ring_mask##bits(x, x, zero, l, N);                                                                      \
            check(bt_ring_pack##bits(packed, x, l, N));                                                                \
        }                                                                                                              \
        look(packed, 8, planted);                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    static void ring_unpack##bits(int planted)                                                                         \
    {                                                                                                                  \
        enum { WHOLE = 72 }; /* a multiple of 8 words ends with a byte */                                              \
        word x[WHOLE];                                                                                                 \
        uint8_t packed[WHOLE * sizeof(word)];                                                                          \
        secret_bytes(packed, sizeof packed);                                                                           \
        for (unsigned l = 13; l <= bits; l += 9)                                                                       \
            check(bt_ring_unpack##bits(x, packed, l, WHOLE));                                                          \
        look(x, sizeof(word), planted);                                                                                \
    }                                                                                                                  \
                                                                                                                       \
    static void ring_matmul##bits(int planted)                                                                         \
    {                                                                                                                  \
        word *a = malloc(11 * 13 * sizeof *a), *b = malloc(13 * 21 * sizeof *b), *c = malloc(11 * 21 * sizeof *c);     \
        void *scratch = aligned_alloc(BT_RING_ALIGN, BT_RING_SCRATCH);                                                 \
        secret_bytes(a, 11 * 13 * sizeof *a);                                                                          \
        secret_bytes(b, 13 * 21 * sizeof *b);                                                                          \
        for (int portable = 0; portable < 2; portable++) {                                                             \
            bt_ring_pick(portable)->matmul##bits(c, a, b, 11, 13, 21, scratch);                                        \
            look(c, sizeof(word), planted);                                                                            \
        }                                                                                                              \
        free(a), free(b), free(c), free(scratch);                                                                      \
    }

RING_CASES(uint32_t, 32)
RING_CASES(uint64_t, 64)

/* --- fields: a case for each function, over every kind of field, by the code for any CPU and by the fastest ------------------ */

typedef struct field_case {
    bt_field f;
    uint8_t *s, *rows; /* INNER * N secret canonical elements, and room for as many */
} field_case;

static void field_cases(void (*run)(field_case *c, int planted), int planted)
{
    static const bt_limb vdaf[2] = {1, 0xffffffffffffffe4}, google = 2147483659;
    static const bt_limb p255[4] = {0xffffffffffffffed, ~(bt_limb)0, ~(bt_limb)0, ~(bt_limb)0 >> 1};
    static const struct {
        bt_field_kind kind;
        const bt_limb *p;
        size_t limbs;
    } kinds[] = {
        {BT_FIELD_P31, NULL, 0}, {BT_FIELD_P61, NULL, 0},    {BT_FIELD_P64, NULL, 0}, {BT_FIELD_GF256, NULL, 0},
        {BT_FIELD_ODD, vdaf, 2}, {BT_FIELD_ODD, &google, 1}, {BT_FIELD_ODD, p255, 4},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int portable = 0; portable < 2; portable++) {
            field_case c;
            check(bt_field_init(&c.f, kinds[i].kind, kinds[i].p, kinds[i].limbs, portable));
            c.s = calloc(INNER * N, c.f.bytes), c.rows = calloc(INNER * N, c.f.bytes);
            secret_bytes(c.s, INNER * N * c.f.bytes);
            for (size_t kept = bt_field_accept(&c.f, c.s, INNER * N); kept < INNER * N; kept++)
                memset(c.s + kept * c.f.bytes, 0, c.f.bytes);
            run(&c, planted);
            free(c.s), free(c.rows);
        }
}

#define FIELD_CASE(name, compute)                                                                                      \
    static void name##_of(field_case *c, int planted)                                                                  \
    {                                                                                                                  \
        compute(c);                                                                                                    \
        look(c->rows, c->f.bytes, planted);                                                                            \
    }                                                                                                                  \
                                                                                                                       \
    static void name(int planted)                                                                                      \
    {                                                                                                                  \
        field_cases(name##_of, planted);                                                                               \
    }

static void add(const field_case *c)
{
    bt_field_add(&c->f, c->rows, c->s, c->s + N * c->f.bytes, N);
}

static void sub(const field_case *c)
{
    bt_field_sub(&c->f, c->rows, c->s, c->s + N * c->f.bytes, N);
}

static void mul(const field_case *c)
{
    bt_field_mul(&c->f, c->rows, c->s, c->s + N * c->f.bytes, N);
}

/* whether all are canonical is told; to look at one of them is the fault */
static void canonical(const field_case *c)
{
    if (!bt_field_canonical(&c->f, c->s, N))
        exit(2);
    memcpy(c->rows, c->s, c->f.bytes);
}

/* which words were refused is told; those that are kept stay secret */
static void accept(const field_case *c)
{
    secret_bytes(c->rows, N * c->f.bytes);
    if (!bt_field_accept(&c->f, c->rows, N))
        exit(2);
}

static void matmul(const field_case *c)
{
    const size_t bytes = c->f.bytes;
    uint8_t *m = calloc(PARTIES * INNER, bytes), *x = calloc(PARTIES, bytes), *zero = calloc(1, bytes);
    uint8_t *work = calloc(3 * PARTIES, bytes), *scratch = calloc(1, bt_field_scratch(&c->f, INNER) + 1);
    for (size_t i = 0; i < PARTIES; i++)
        x[i * bytes] = (uint8_t)(i + 1);
    bt_field_powers(&c->f, m, x, PARTIES, INNER);
    bt_field_matmul(&c->f, c->rows, N, m, PARTIES, INNER, c->s, N, N, scratch);
    check(bt_field_lagrange(&c->f, m, zero, 1, x, PARTIES, work));
    bt_field_matmul(&c->f, c->rows, N, m, 1, PARTIES, c->s, N, N, scratch);
    free(m), free(x), free(zero), free(work), free(scratch);
}

FIELD_CASE(field_add, add)
FIELD_CASE(field_sub, sub)
FIELD_CASE(field_mul, mul)
FIELD_CASE(field_canonical, canonical)
FIELD_CASE(field_accept, accept)
FIELD_CASE(field_matmul, matmul)

/* clang-format off: one case to a line, as the test of the house's rules reads them */
const leak_case leaks_shares[] = {
    {"ring_share32", ring_share32, ONCE},
    {"ring_share64", ring_share64, ONCE},
    {"ring_sum32", ring_sum32, ONCE},
    {"ring_sum64", ring_sum64, ONCE},
    {"ring_add32", ring_add32, ONCE},
    {"ring_add64", ring_add64, ONCE},
    {"ring_sub32", ring_sub32, ONCE},
    {"ring_sub64", ring_sub64, ONCE},
    {"ring_mul32", ring_mul32, ONCE},
    {"ring_mul64", ring_mul64, ONCE},
    {"ring_scale32", ring_scale32, ONCE},
    {"ring_scale64", ring_scale64, ONCE},
    {"ring_dot32", ring_dot32, ONCE},
    {"ring_dot64", ring_dot64, ONCE},
    {"ring_beaver32", ring_beaver32, ONCE},
    {"ring_beaver64", ring_beaver64, ONCE},
    {"ring_truncate32", ring_truncate32, ONCE},
    {"ring_truncate64", ring_truncate64, ONCE},
    {"ring_mask32", ring_mask32, ONCE},
    {"ring_mask64", ring_mask64, ONCE},
    {"ring_unmask32", ring_unmask32, ONCE},
    {"ring_unmask64", ring_unmask64, ONCE},
    {"ring_pack32", ring_pack32, ONCE},
    {"ring_pack64", ring_pack64, ONCE},
    {"ring_unpack32", ring_unpack32, ONCE},
    {"ring_unpack64", ring_unpack64, ONCE},
    {"ring_matmul32", ring_matmul32, ONCE},
    {"ring_matmul64", ring_matmul64, ONCE},
    {"field_add", field_add, ONCE},
    {"field_sub", field_sub, ONCE},
    {"field_mul", field_mul, ONCE},
    {"field_canonical", field_canonical, ONCE},
    {"field_accept", field_accept, ONCE},
    {"field_matmul", field_matmul, ONCE},
    {NULL, NULL, 0},
};
