/* Fields: single products against GMP for every kind, all of GF(2^8) against a product bit by bit, extremes where the bounds on
 * accumulators lie, and sharing there and back. Both the rows for any CPU and those that this CPU prefers. */
#include <stdlib.h>
#include <string.h>

#include "bt_field.h"
#include "test.h"

typedef struct kind {
    bt_field f;
    bt_limb p[BT_FIELD_MAX_LIMBS]; /* the modulus, 0 for GF(2^8) */
} kind;

static void open_kind(kind *k, bt_field_kind which, const bt_limb *p, size_t limbs, int portable)
{
    memset(k, 0, sizeof *k);
    CHECK(bt_field_init(&k->f, which, p, limbs, portable) == BT_OK);
    if (which == BT_FIELD_P31)
        k->p[0] = 0x7fffffff;
    else if (which == BT_FIELD_P61)
        k->p[0] = 0x1fffffffffffffff;
    else if (which == BT_FIELD_P64)
        k->p[0] = 0xffffffff00000001;
    else if (which == BT_FIELD_ODD)
        memcpy(k->p, p, 8 * limbs);
}

/* elements as limbs, and back */
static void get(const kind *k, bt_limb *out, const uint8_t *a)
{
    memset(out, 0, 8 * k->f.limbs);
    memcpy(out, a, k->f.bytes); /* little-endian, as this test assumes */
}

static void draw(const kind *k, uint8_t *a, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint8_t *x = a + i * k->f.bytes;
        for (size_t j = 0; j < k->f.bytes; j++)
            x[j] = (uint8_t)(test_random() >> 11);
        i += bt_field_accept(&k->f, x, 1);
    }
}

/* the largest element */
static void largest(const kind *k, uint8_t *a)
{
    bt_limb top[BT_FIELD_MAX_LIMBS];
    memcpy(top, k->p, 8 * k->f.limbs);
    top[0] = k->f.kind == BT_FIELD_GF256 ? 255 : top[0] - 1;
    memcpy(a, top, k->f.bytes);
}

static unsigned gf256_times(unsigned a, unsigned b)
{
    unsigned t = 0;
    for (unsigned i = 0; i < 8; i++)
        t ^= b >> i & 1 ? a << i : 0;
    for (unsigned i = 14; i >= 8; i--)
        t ^= t >> i & 1 ? 0x11bu << (i - 8) : 0;
    return t;
}

/* out = a b of limbs */
static void times(const kind *k, bt_limb *out, const bt_limb *a, const bt_limb *b)
{
    if (k->f.kind == BT_FIELD_GF256)
        out[0] = gf256_times((unsigned)a[0], (unsigned)b[0]);
    else
        ref_mul(out, a, b, k->p, k->f.limbs);
}

/* out = a + b, by subtracting the modulus when the sum reaches it */
static void plus(const kind *k, bt_limb *out, const bt_limb *a, const bt_limb *b)
{
    const size_t limbs = k->f.limbs;
    if (k->f.kind == BT_FIELD_GF256) {
        out[0] = a[0] ^ b[0];
        return;
    }
    bt_limb carry = 0, borrow = 0, less[BT_FIELD_MAX_LIMBS];
    for (size_t j = 0; j < limbs; j++) {
        const unsigned __int128 t = (unsigned __int128)a[j] + b[j] + carry;
        out[j] = (bt_limb)t;
        carry = (bt_limb)(t >> 64);
    }
    for (size_t j = 0; j < limbs; j++) {
        const unsigned __int128 t = (unsigned __int128)out[j] - k->p[j] - borrow;
        less[j] = (bt_limb)t;
        borrow = (bt_limb)(t >> 64) & 1;
    }
    if (carry || !borrow)
        memcpy(out, less, 8 * limbs);
}

static void elementwise(const kind *k)
{
    enum { N = 60 };
    const size_t bytes = k->f.bytes;
    uint8_t *a = calloc(N, bytes), *b = calloc(N, bytes), *o = calloc(N, bytes), *back = calloc(N, bytes);
    bt_limb x[BT_FIELD_MAX_LIMBS], y[BT_FIELD_MAX_LIMBS], want[BT_FIELD_MAX_LIMBS], got[BT_FIELD_MAX_LIMBS];
    draw(k, a, N);
    draw(k, b, N);
    largest(k, a);
    largest(k, b);
    largest(k, a + bytes);
    memset(b + bytes, 0, bytes);
    memset(a + 2 * bytes, 0, bytes);
    largest(k, b + 2 * bytes);
    memset(a + 3 * bytes, 0, 2 * bytes);
    memset(b + 3 * bytes, 0, bytes);
    bt_field_mul(&k->f, o, a, b, N);
    for (size_t i = 0; i < N; i++) {
        get(k, x, a + i * bytes);
        get(k, y, b + i * bytes);
        get(k, got, o + i * bytes);
        times(k, want, x, y);
        CHECK(memcmp(want, got, 8 * k->f.limbs) == 0);
    }
    bt_field_add(&k->f, o, a, b, N);
    bt_field_sub(&k->f, back, o, b, N);
    for (size_t i = 0; i < N; i++) {
        get(k, x, a + i * bytes);
        get(k, y, b + i * bytes);
        get(k, got, o + i * bytes);
        plus(k, want, x, y);
        CHECK(memcmp(want, got, 8 * k->f.limbs) == 0);
    }
    CHECK(memcmp(back, a, N * bytes) == 0);
    bt_field_mul(&k->f, a, a, a, N); /* in place */
    bt_field_add(&k->f, b, b, b, N);
    CHECK(bt_field_canonical(&k->f, a, N) && bt_field_canonical(&k->f, b, N));
    if (k->f.kind != BT_FIELD_GF256) {
        memcpy(a + 7 * bytes, k->p, bytes); /* the modulus itself is the first value that is not canonical */
        CHECK(!bt_field_canonical(&k->f, a, N) && bt_field_canonical(&k->f, a, 7));
        largest(k, a + 7 * bytes);
        CHECK(bt_field_canonical(&k->f, a, N));
    }
    free(a);
    free(b);
    free(o);
    free(back);
}

/* matrix and vectors at their largest or random, against single products; strides wider than the rows */
static void product(const kind *k, size_t rows, size_t inner, size_t n, int extreme)
{
    const size_t bytes = k->f.bytes, stride = n + 3, out_stride = n + 1;
    uint8_t *m = calloc(rows * inner + 1, bytes), *s = calloc(inner * stride + 1, bytes);
    uint8_t *o = calloc(rows * out_stride + 1, bytes), *scratch = calloc(1, bt_field_scratch(&k->f, inner) + 1);
    bt_limb x[BT_FIELD_MAX_LIMBS], y[BT_FIELD_MAX_LIMBS], t[BT_FIELD_MAX_LIMBS], sum[BT_FIELD_MAX_LIMBS];
    draw(k, m, rows * inner);
    draw(k, s, inner * stride);
    for (size_t i = 0; extreme && i < rows * inner; i++) {
        largest(k, m + i * bytes);
        if (extreme == 2 && k->f.kind == BT_FIELD_P61) { /* small coefficients at their limit */
            const uint64_t limit = (1 << 24) - 1;
            memcpy(m + i * bytes, &limit, 8);
        }
    }
    for (size_t i = 0; extreme && i < inner * stride; i++)
        largest(k, s + i * bytes);
    bt_field_matmul(&k->f, o, out_stride, m, rows, inner, s, stride, n, scratch);
    int same = 1;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            memset(sum, 0, sizeof sum);
            for (size_t j = 0; j < inner; j++) {
                get(k, x, m + (r * inner + j) * bytes);
                get(k, y, s + (j * stride + i) * bytes);
                times(k, t, x, y);
                plus(k, sum, sum, t);
            }
            get(k, t, o + (r * out_stride + i) * bytes);
            same &= memcmp(t, sum, 8 * k->f.limbs) == 0;
        }
    CHECK(same);
    free(m);
    free(s);
    free(o);
    free(scratch);
}

/* parties 1 .. n, threshold t: any t shares give the secrets back, and so do all of them */
static void sharing(const kind *k, size_t t, size_t parties)
{
    enum { N = 37 };
    const size_t bytes = k->f.bytes;
    uint8_t *s = calloc(t * N, bytes), *shares = calloc(parties * N, bytes), *back = calloc(N, bytes);
    uint8_t *x = calloc(parties, bytes), *m = calloc(parties * t, bytes), *w = calloc(parties, bytes);
    uint8_t *work = calloc(3 * parties, bytes), *zero = calloc(1, bytes);
    uint8_t *scratch = calloc(1, bt_field_scratch(&k->f, parties) + 1);
    draw(k, s, t * N);
    for (size_t i = 0; i < parties; i++)
        x[i * bytes] = (uint8_t)(i + 1);
    bt_field_powers(&k->f, m, x, parties, t);
    bt_field_matmul(&k->f, shares, N, m, parties, t, s, N, N, scratch);
    for (size_t first = 0; first + t <= parties; first++) {
        CHECK(bt_field_lagrange(&k->f, w, zero, 1, x + first * bytes, t, work) == BT_OK);
        bt_field_matmul(&k->f, back, N, w, 1, t, shares + first * N * bytes, N, N, scratch);
        CHECK(memcmp(back, s, N * bytes) == 0);
    }
    CHECK(bt_field_lagrange(&k->f, w, zero, 1, x, parties, work) == BT_OK);
    bt_field_matmul(&k->f, back, N, w, 1, parties, shares, N, N, scratch);
    CHECK(memcmp(back, s, N * bytes) == 0);
    /* at the points themselves the weights are 0 and 1 */
    CHECK(bt_field_lagrange(&k->f, m, x, t, x, t, work) == BT_OK);
    for (size_t i = 0; i < t * t; i++) {
        bt_limb v[BT_FIELD_MAX_LIMBS];
        get(k, v, m + i * bytes);
        for (size_t j = 1; j < k->f.limbs; j++)
            CHECK(v[j] == 0);
        CHECK(v[0] == (i / t == i % t));
    }
    if (parties > 1) {
        memcpy(x, x + bytes, bytes);
        CHECK(bt_field_lagrange(&k->f, w, zero, 1, x, parties, work) == BT_ERR_NOINV);
    }
    free(s), free(shares), free(back), free(x), free(m), free(w), free(work), free(zero), free(scratch);
}

static void acceptance(void)
{
    bt_field f;
    uint64_t w[] = {0x1fffffffffffffff, 0x3ffffffffffffffe, 5, 0xffffffffffffffff, 0x2000000000000000};
    CHECK(bt_field_init(&f, BT_FIELD_P61, NULL, 0, 1) == BT_OK);
    CHECK(bt_field_accept(&f, w, 5) == 3 && w[0] == 0x1ffffffffffffffe && w[1] == 5 && w[2] == 0);
    uint32_t u[] = {0x7fffffff, 0x80000001, 0x7ffffffe};
    CHECK(bt_field_init(&f, BT_FIELD_P31, NULL, 0, 1) == BT_OK);
    CHECK(bt_field_accept(&f, u, 3) == 2 && u[0] == 1 && u[1] == 0x7ffffffe);
    uint64_t v[] = {0xffffffff00000001, 0xffffffff00000000, 7};
    CHECK(bt_field_init(&f, BT_FIELD_P64, NULL, 0, 1) == BT_OK);
    CHECK(bt_field_accept(&f, v, 3) == 2 && v[0] == 0xffffffff00000000 && v[1] == 7);
    const bt_limb p[2] = {5, 1}; /* 2^64 + 5: 65 bits */
    uint64_t z[] = {5, 3, 4, 7, 9, 6};
    CHECK(bt_field_init(&f, BT_FIELD_ODD, p, 2, 1) == BT_OK);
    CHECK(bt_field_accept(&f, z, 3) == 2 && z[0] == 4 && z[1] == 1 && z[2] == 9 && z[3] == 0);
}

static void refusals(void)
{
    bt_field f;
    const bt_limb even = 8, one = 1, zero_top[2] = {3, 0}, big[BT_FIELD_MAX_LIMBS + 1] = {1};
    CHECK(bt_field_init(&f, BT_FIELD_ODD, &even, 1, 0) == BT_ERR_EVEN);
    CHECK(bt_field_init(&f, BT_FIELD_ODD, &one, 1, 0) == BT_ERR_EVEN);
    CHECK(bt_field_init(&f, BT_FIELD_ODD, zero_top, 2, 0) == BT_ERR_ARG);
    CHECK(bt_field_init(&f, BT_FIELD_ODD, big, 0, 0) == BT_ERR_SIZE);
    CHECK(bt_field_init(&f, BT_FIELD_ODD, big, BT_FIELD_MAX_LIMBS + 1, 0) == BT_ERR_SIZE);
    CHECK(bt_field_init(&f, (bt_field_kind)9, NULL, 0, 0) == BT_ERR_ARG);
}

/* every product of GF(2^8), one by one and as rows of the matrix product */
static void gf256_exhaustive(int portable)
{
    kind k;
    uint8_t all[256], row[256], out[256], scratch[64];
    int same = 1;
    open_kind(&k, BT_FIELD_GF256, NULL, 0, portable);
    for (unsigned i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    for (unsigned c = 0; c < 256; c++) {
        const uint8_t m = (uint8_t)c;
        memset(row, (int)c, sizeof row);
        bt_field_mul(&k.f, out, all, row, 256);
        for (unsigned i = 0; i < 256; i++)
            same &= out[i] == gf256_times(i, c);
        bt_field_matmul(&k.f, out, 256, &m, 1, 1, all, 256, 256, scratch);
        for (unsigned i = 0; i < 256; i++)
            same &= out[i] == gf256_times(i, c);
    }
    CHECK(same);
}

static void all_of(bt_field_kind which, const bt_limb *p, size_t limbs, int portable)
{
    kind k;
    open_kind(&k, which, p, limbs, portable);
    elementwise(&k);
    static const size_t sizes[][3] = {{1, 1, 1}, {2, 3, 5}, {3, 7, 33}, {1, 65, 9}, {2, 4, 17},
                                      {4, 0, 3}, {2, 5, 0}, {0, 2, 3},  {1, 8, 133}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        product(&k, sizes[i][0], sizes[i][1], sizes[i][2], 0);
    for (size_t inner = 1; inner <= 5; inner++)
        product(&k, 1, inner, 19, 1);
    product(&k, 1, 64, 9, 1); /* the full accumulator of 2^61 - 1, and beyond it */
    product(&k, 1, 65, 9, 1);
    product(&k, 1, 129, 9, 1);
    if (which == BT_FIELD_P61) {
        product(&k, 1, 256, 9, 2);
        product(&k, 1, 257, 9, 2);
    }
    sharing(&k, 1, 1);
    sharing(&k, 2, 3);
    sharing(&k, 7, 10);
    if (limbs <= 4)
        sharing(&k, 51, 100);
}

void test_field(void)
{
    const bt_limb vdaf[2] = {1, 0xffffffffffffffe4}, google = 2147483659, seven = 7, full = 0xffffffffffffffc5;
    for (int portable = 0; portable < 2; portable++) {
        all_of(BT_FIELD_P31, NULL, 1, portable);
        all_of(BT_FIELD_P61, NULL, 1, portable);
        all_of(BT_FIELD_P64, NULL, 1, portable);
        all_of(BT_FIELD_GF256, NULL, 1, portable);
        all_of(BT_FIELD_ODD, vdaf, 2, portable);
        all_of(BT_FIELD_ODD, &google, 1, portable);
        all_of(BT_FIELD_ODD, &full, 1, portable); /* 2^64 - 59: not a bit to spare */
        gf256_exhaustive(portable);
    }
    bt_limb p[5] = {0xffffffffffffffed, ~(bt_limb)0, ~(bt_limb)0, ~(bt_limb)0 >> 1}; /* 2^255 - 19 */
    all_of(BT_FIELD_ODD, p, 4, 1);
    memset(p, 0xff, sizeof p);
    p[4] = 0x1ff, p[0] = ~(bt_limb)0; /* 2^265 - 1 is not prime, but products do not ask */
    kind k;
    open_kind(&k, BT_FIELD_ODD, p, 5, 1);
    elementwise(&k);
    product(&k, 2, 9, 5, 1);
    open_kind(&k, BT_FIELD_ODD, &seven, 1, 1);
    elementwise(&k);
    product(&k, 2, 9, 5, 1);
    acceptance();
    refusals();
}
