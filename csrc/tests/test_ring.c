/* Rings: everything exhaustively on few words or against arithmetic of another make (128-bit integers, one bit at a time). The
 * product runs on every table of this build that the CPU has. */
#include <stdlib.h>
#include <string.h>

#include "bt_ring.h"
#include "test.h"

enum { N = 67 };

static uint64_t low_bits(unsigned l)
{
    return ~(uint64_t)0 >> (64 - l);
}

#define ELEMENTWISE(word, bits)                                                                                        \
    static void elementwise##bits(void)                                                                                \
    {                                                                                                                  \
        word x[N], rows[5 * N], out[N], a[N], b[N], c[N], d[N], e[N];                                                  \
        for (size_t parties = 1; parties <= 5; parties++) {                                                            \
            for (size_t i = 0; i < N; i++)                                                                             \
                x[i] = (word)test_random();                                                                            \
            for (size_t i = 0; i < parties * N; i++)                                                                   \
                rows[i] = (word)test_random();                                                                         \
            bt_ring_share##bits(rows, N, x, parties, N);                                                               \
            for (size_t i = 0; i < N; i++) {                                                                           \
                word sum = 0;                                                                                          \
                for (size_t p = 0; p < parties; p++)                                                                   \
                    sum = (word)(sum + rows[p * N + i]);                                                               \
                CHECK(sum == x[i]);                                                                                    \
            }                                                                                                          \
            bt_ring_sum##bits(out, rows, N, parties, N);                                                               \
            CHECK(memcmp(out, x, sizeof x) == 0);                                                                      \
        }                                                                                                              \
        bt_ring_sum##bits(out, rows, N, 0, N);                                                                         \
        for (size_t i = 0; i < N; i++)                                                                                 \
            CHECK(out[i] == 0);                                                                                        \
        for (size_t i = 0; i < N; i++) {                                                                               \
            a[i] = (word)test_random(), b[i] = (word)test_random(), c[i] = (word)test_random();                        \
            d[i] = (word)test_random(), e[i] = (word)test_random();                                                    \
        }                                                                                                              \
        typedef unsigned __int128 wide;                                                                                \
        const word k = (word)test_random();                                                                            \
        word dot = 0;                                                                                                  \
        bt_ring_add##bits(out, a, b, N);                                                                               \
        for (size_t i = 0; i < N; i++)                                                                                 \
            CHECK(out[i] == (word)((wide)a[i] + b[i]));                                                                \
        bt_ring_sub##bits(out, a, b, N);                                                                               \
        for (size_t i = 0; i < N; i++)                                                                                 \
            CHECK((word)(out[i] + b[i]) == a[i]);                                                                      \
        bt_ring_mul##bits(out, a, b, N);                                                                               \
        for (size_t i = 0; i < N; i++) {                                                                               \
            CHECK(out[i] == (word)((wide)a[i] * b[i]));                                                                \
            dot = (word)(dot + out[i]);                                                                                \
        }                                                                                                              \
        CHECK(bt_ring_dot##bits(a, b, N) == dot);                                                                      \
        CHECK(bt_ring_dot##bits(a, b, 0) == 0);                                                                        \
        bt_ring_scale##bits(out, a, k, N);                                                                             \
        for (size_t i = 0; i < N; i++)                                                                                 \
            CHECK(out[i] == (word)((wide)a[i] * k));                                                                   \
        for (int leader = 0; leader < 2; leader++) {                                                                   \
            bt_ring_beaver##bits(out, d, e, a, b, c, leader, N);                                                       \
            for (size_t i = 0; i < N; i++)                                                                             \
                CHECK(out[i] == (word)((wide)c[i] + (wide)d[i] * b[i] + (wide)e[i] * a[i] +                            \
                                       (wide)d[i] * e[i] * (unsigned)leader));                                         \
        }                                                                                                              \
        for (unsigned l = 1; l <= bits; l++) {                                                                         \
            bt_ring_mask##bits(out, a, b, l, N);                                                                       \
            for (size_t i = 0; i < N; i++)                                                                             \
                CHECK(out[i] == (word)(((wide)a[i] + b[i]) & low_bits(l)));                                            \
            bt_ring_unmask##bits(d, out, b, l, N);                                                                     \
            for (size_t i = 0; i < N; i++)                                                                             \
                CHECK(d[i] == (word)(a[i] & low_bits(l)));                                                             \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static void truncate##bits(void)                                                                                   \
    {                                                                                                                  \
        for (unsigned k = 0; k < bits; k++)                                                                            \
            for (int round = 0; round < 50; round++) {                                                                 \
                const int##bits##_t v = (int##bits##_t)((int64_t)test_random() >> (64 - bits + 10));                   \
                word x0 = (word)test_random();                                                                         \
                /* no wrap: the share of party 0 stays clear of both ends by |v| < 2^(bits - 11) */                    \
                x0 = (x0 >> 1) + ((word)1 << (bits - 2));                                                              \
                word x1 = (word)v - x0;                                                                                \
                bt_ring_truncate##bits(&x0, &x0, k, 0, 1);                                                             \
                bt_ring_truncate##bits(&x1, &x1, k, 1, 1);                                                             \
                const int##bits##_t got = (int##bits##_t)(word)(x0 + x1);                                              \
                CHECK(got == v >> k || got == (v >> k) + 1);                                                           \
            }                                                                                                          \
    }                                                                                                                  \
                                                                                                                       \
    static void packing##bits(void)                                                                                    \
    {                                                                                                                  \
        for (unsigned l = 1; l <= bits; l++)                                                                           \
            for (size_t n = 0; n <= N; n++) {                                                                          \
                const size_t bytes = bt_ring_packed_bytes(n, l);                                                       \
                uint8_t *packed = malloc(bytes ? bytes : 1); /* of its exact size, for AddressSanitizer */             \
                word x[N], back[N];                                                                                    \
                int same = bytes == (n * l + 7) / 8;                                                                   \
                for (size_t i = 0; i < n; i++)                                                                         \
                    x[i] = i % 5 == 0 ? (word)low_bits(l) : (word)(test_random() & low_bits(l));                       \
                same &= bt_ring_pack##bits(packed, x, l, n) == BT_OK;                                                  \
                for (size_t bit = 0; bit < 8 * bytes; bit++) {                                                         \
                    const unsigned want = bit < n * l ? x[bit / l] >> bit % l & 1 : 0;                                 \
                    same &= (packed[bit / 8] >> bit % 8 & 1) == want;                                                  \
                }                                                                                                      \
                same &= bt_ring_unpack##bits(back, packed, l, n) == BT_OK && memcmp(back, x, n * sizeof *x) == 0;      \
                CHECK(same);                                                                                           \
                if (n * l % 8) {                                                                                       \
                    packed[bytes - 1] |= 0x80;                                                                         \
                    CHECK(bt_ring_unpack##bits(back, packed, l, n) == BT_ERR_ARG);                                     \
                }                                                                                                      \
                if (n && l < bits) {                                                                                   \
                    x[n - 1] |= (word)1 << l;                                                                          \
                    CHECK(bt_ring_pack##bits(packed, x, l, n) == BT_ERR_OVERFLOW);                                     \
                }                                                                                                      \
                free(packed);                                                                                          \
            }                                                                                                          \
        word x = 0;                                                                                                    \
        uint8_t byte[16] = {0};                                                                                        \
        CHECK(bt_ring_pack##bits(byte, &x, 0, 1) == BT_ERR_ARG &&                                                      \
              bt_ring_pack##bits(byte, &x, bits + 1, 1) == BT_ERR_ARG);                                                \
        CHECK(bt_ring_unpack##bits(&x, byte, 0, 1) == BT_ERR_ARG);                                                     \
        CHECK(bt_ring_unpack##bits(&x, byte, bits + 1, 1) == BT_ERR_ARG);                                              \
    }                                                                                                                  \
                                                                                                                       \
    static void product##bits(const bt_ring_ops *ops, size_t m, size_t k, size_t n, void *scratch)                     \
    {                                                                                                                  \
        word *a = malloc((m * k + 1) * sizeof *a), *b = malloc((k * n + 1) * sizeof *b);                               \
        word *c = malloc((m * n + 1) * sizeof *c);                                                                     \
        for (size_t i = 0; i < m * k; i++)                                                                             \
            a[i] = i % 7 == 0 ? (word) - 1 : (word)test_random();                                                      \
        for (size_t i = 0; i < k * n; i++)                                                                             \
            b[i] = i % 5 == 0 ? (word) - 1 : (word)test_random();                                                      \
        memset(c, 0x5a, (m * n + 1) * sizeof *c);                                                                      \
        ops->matmul##bits(c, a, b, m, k, n, scratch);                                                                  \
        int same = 1;                                                                                                  \
        for (size_t i = 0; i < m; i++)                                                                                 \
            for (size_t j = 0; j < n; j++) {                                                                           \
                word sum = 0;                                                                                          \
                for (size_t l = 0; l < k; l++)                                                                         \
                    sum = (word)(sum + (unsigned __int128)a[i * k + l] * b[l * n + j]);                                \
                same &= sum == c[i * n + j];                                                                           \
            }                                                                                                          \
        CHECK(same);                                                                                                   \
        free(a);                                                                                                       \
        free(b);                                                                                                       \
        free(c);                                                                                                       \
    }

ELEMENTWISE(uint32_t, 32)
ELEMENTWISE(uint64_t, 64)

/* the whole of Z_2^8 in the top byte of a word: every value and every sharing of it */
static void truncate_exhaustive(void)
{
    unsigned failures = 0, wrapped = 0;
    for (unsigned v = 0; v < 256; v++)
        for (unsigned share = 0; share < 256; share++)
            for (unsigned k = 0; k < 8; k++) {
                uint64_t x0 = (uint64_t)share << 56, x1 = ((uint64_t)v << 56) - x0;
                bt_ring_truncate64(&x0, &x0, 56 + k, 0, 1);
                bt_ring_truncate64(&x1, &x1, 56 + k, 1, 1);
                const int value = (int8_t)v >> k, got = (int)(int64_t)(x0 + x1);
                /* it may only fail where v = share - (share - v) passes an end of the ring: |v| of 256 sharings do */
                const int passes = (int8_t)v >= 0 ? share < v : share + (256 - v) >= 256;
                failures += got != value && got != value + 1;
                wrapped += passes && got != value && got != value + 1;
            }
    CHECK(failures > 0 && failures == wrapped);
}

static void products(const bt_ring_ops *ops)
{
    static const size_t sizes[][3] = {{1, 1, 1},    {0, 3, 2},   {2, 0, 3},     {3, 5, 0},    {1, 300, 1},  {7, 9, 11},
                                      {50, 33, 70}, {3, 256, 8}, {49, 257, 65}, {4, 513, 17}, {5, 10, 513}, {97, 3, 7}};
    void *scratch = aligned_alloc(BT_RING_ALIGN, BT_RING_SCRATCH);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        product32(ops, sizes[i][0], sizes[i][1], sizes[i][2], scratch);
        product64(ops, sizes[i][0], sizes[i][1], sizes[i][2], scratch);
    }
    free(scratch);
}

void test_ring(void)
{
    elementwise32();
    elementwise64();
    truncate32();
    truncate64();
    truncate_exhaustive();
    packing32();
    packing64();
    for (const bt_ring_ops *const *ops = bt_ring_all; *ops; ops++)
        if ((*ops)->available())
            products(*ops);
    CHECK(bt_ring_pick(1) == &bt_ring_generic);
    CHECK(bt_ring_pick(0)->available());
}
