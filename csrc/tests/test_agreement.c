/* Every backend gives the bits that GMP gives, and so do all of them among themselves: random products and powers at the sizes
 * that keys have. BT_TEST_EFFORT=long makes it 10^6 products, 10^4 short powers and 200 full ones at each size. And the
 * floating-point mode of the caller changes no result, nor does any operation change that mode. */
#include <stdlib.h>
#include <string.h>

#include "test.h"

static const size_t SIZES[] = {1024, 1536, 2048, 3072, 4096, 6144, 8192};

enum { BATCH = 64, MAX_BACKENDS = 9 };

typedef struct setting {
    size_t limbs;
    bt_limb *m, *a, *b, *want;
    fixture f[MAX_BACKENDS];
    size_t backends;
} setting;

static void open_setting(setting *s, size_t bits)
{
    s->limbs = bits / 64;
    s->m = test_words(s->limbs);
    test_random_modulus(s->m, bits);
    s->a = test_words(BATCH * s->limbs);
    s->b = test_words(BATCH * s->limbs);
    s->want = test_words(BATCH * s->limbs);
    s->backends = 0;
    for (const bt_mont_ops *const *ops = test_backends(); *ops && s->backends < MAX_BACKENDS; ops++) {
        CHECK(bt_mont_for(*ops, s->limbs) == *ops);
        fixture_open(&s->f[s->backends++], *ops, s->m, s->limbs);
    }
}

static void close_setting(setting *s)
{
    for (size_t k = 0; k < s->backends; k++)
        fixture_close(&s->f[k]);
    free(s->m);
    free(s->a);
    free(s->b);
    free(s->want);
}

static void draw(bt_limb *x, size_t n, size_t limbs)
{
    for (size_t i = 0; i < n; i++)
        test_random_limbs(x + i * limbs, limbs);
}

static void products(setting *s, long count)
{
    const size_t size = s->limbs * sizeof(bt_limb);
    for (long done = 0; done < count; done += BATCH) {
        draw(s->a, BATCH, s->limbs);
        draw(s->b, BATCH, s->limbs);
        const int squares = test_random() % 4 == 0, secret = test_random() % 2 == 0;
        for (size_t i = 0; i < BATCH; i++)
            ref_mul(s->want + i * s->limbs, s->a + i * s->limbs, (squares ? s->a : s->b) + i * s->limbs, s->m,
                    s->limbs);
        for (size_t k = 0; k < s->backends; k++) {
            const fixture *f = &s->f[k];
            bt_word *x = fixture_load(f, s->a, BATCH), *y = fixture_load(f, s->b, BATCH);
            if (squares)
                f->ctx.ops->sqr(&f->ctx, x, x, BATCH, secret, f->scratch);
            else
                f->ctx.ops->mul(&f->ctx, x, x, y, BATCH, secret, f->scratch);
            bt_limb *got = fixture_store(f, x, BATCH);
            CHECK(!memcmp(got, s->want, BATCH * size));
            free(x);
            free(y);
            free(got);
        }
    }
}

/* exponents of up to ebits bits */
static void powers(setting *s, long count, size_t ebits)
{
    const size_t el = (ebits + 63) / 64, size = s->limbs * sizeof(bt_limb);
    bt_limb *e = test_words(BATCH * el);
    for (long done = 0; done < count; done += BATCH) {
        const size_t n = count - done < BATCH ? (size_t)(count - done) : BATCH;
        draw(s->a, n, s->limbs);
        for (size_t i = 0; i < n; i++) {
            test_random_exponent(e + i * el, el, ebits);
            ref_pow(s->want + i * s->limbs, s->a + i * s->limbs, e + i * el, el, s->m, s->limbs);
        }
        for (size_t k = 0; k < s->backends; k++) {
            const fixture *f = &s->f[k];
            bt_word *x = fixture_load(f, s->a, n), *out = fixture_array(f, n);
            bt_word *secret = test_words(bt_pow_secret_scratch(&f->ctx, n, ebits));
            bt_word *public = test_words(bt_pow_public_scratch(&f->ctx, n, ebits));
            for (int way = 0; way < 2; way++) {
                if (way)
                    bt_pow_public(&f->ctx, out, x, n, e, el, ebits, 0, public);
                else
                    bt_pow_secret(&f->ctx, out, x, n, e, el, ebits, secret);
                bt_limb *got = fixture_store(f, out, n);
                CHECK(!memcmp(got, s->want, n * size));
                free(got);
            }
            free(x);
            free(out);
            free(secret);
            free(public);
        }
    }
    free(e);
}

/* --- the caller's floating-point mode ------------------------------------------------------------------------------------- */

#if defined(__x86_64__)

#include <xmmintrin.h>

enum {
    MODES = 7,
    STEPS = 11,
    ROWS = 6,
    N = 6,
};

/* Everything that a backend does, in a fixed order, from given numbers; results into out[MODE_STEPS][N limbs], each step under
 * `mode`; returns how many steps did not hand the mode back as it was. */
static int run_all(const bt_mont_ops *ops, const bt_modulus *mod, const bt_limb *a, const bt_limb *b, bt_limb *out,
                   unsigned mode)
{
    const size_t limbs = mod->limbs, size = N * limbs;
    const uint32_t digit[N] = {3, 0, 5, 1, 4, 2};
    const int64_t idx[N] = {5, 1, 0, 3, 3, 2};
    const unsigned before = _mm_getcsr();
    bt_mont ctx;
    bt_word *consts = test_words(ops->const_words(limbs)), *scratch = test_words(ops->scratch_words(limbs));
    unsigned flags = 0; /* those that may change */
    int changed = 0;
#define STEP(call)                                                                                                     \
    do {                                                                                                               \
        _mm_setcsr(mode);                                                                                              \
        call;                                                                                                          \
        changed += ((_mm_getcsr() ^ mode) & ~flags) != 0;                                                              \
        _mm_setcsr(before);                                                                                            \
    } while (0)
    bt_status status;
    STEP(status = bt_mont_init(&ctx, ops, mod, consts, scratch));
    CHECK(status == BT_OK);
    const size_t stride = bt_mont_words(&ctx, N);
    bt_word *x = test_words(stride), *y = test_words(stride), *r = test_words(stride),
            *tables = test_words(ROWS * stride);
    memset(tables, 0, ROWS * stride * sizeof *tables);
    STEP(ops->load(&ctx, x, a, N, scratch));
    STEP(ops->load(&ctx, y, b, N, scratch));
    int step = 0;
#define STORE(from) STEP(ops->store(&ctx, out + (size_t)(step++) * size, from, N, scratch))
    STORE(x);
    STEP(ops->one(&ctx, r, N));
    STORE(r);
    STEP(ops->mul(&ctx, r, x, y, N, 1, scratch));
    STORE(r);
    STEP(ops->mul(&ctx, r, x, y, N, 0, scratch));
    STORE(r);
    STEP(ops->sqr(&ctx, r, x, N, 1, scratch));
    STORE(r);
    STEP(ops->gather(&ctx, r, x, idx, N));
    STORE(r);
    STEP(ops->scatter(&ctx, r, 3, y, 2));
    STORE(r);
    STEP(ops->select_shared(&ctx, r, x, ROWS, digit, N));
    STORE(r);
    for (size_t j = 0; j < ROWS; j++)
        STEP(ops->mul(&ctx, tables + j * stride, j % 2 ? x : y, x, N, 1, scratch));
    STEP(ops->select_own(&ctx, r, tables, ROWS, stride, digit, N));
    STORE(r);
    /* the choice of a window, above the backend, is ordinary arithmetic of the caller's mode: it may round, and raise flags */
    mode = (mode | 0x1f80) & ~0x3fu;
    flags = 0x3f;
    bt_word *work = test_words(bt_pow_secret_scratch(&ctx, N, 64));
    STEP(bt_pow_secret(&ctx, r, x, N, b, limbs, 64, work));
    STORE(r);
    free(work);
    work = test_words(bt_pow_public_scratch(&ctx, N, 64));
    STEP(bt_pow_public(&ctx, r, x, N, b, 0, 64, 0, work));
    STORE(r);
    CHECK(step == STEPS);
    free(work);
    free(consts);
    free(scratch);
    free(x);
    free(y);
    free(r);
    free(tables);
    return changed;
}

static void modes(const bt_mont_ops *ops, size_t bits)
{
    /* as it should be; the other roundings; denormals flushed, read as zero; every exception trapped; flags that are set */
    static const unsigned mxcsr[MODES] = {0x1f80, 0x3f80, 0x5f80, 0x7f80, 0x9fc0, 0x6000, 0xffff};
    const size_t limbs = bits / 64;
    bt_limb *m = test_words(limbs), *storage = test_words(bt_modulus_storage(limbs));
    bt_limb *a = test_words(N * limbs), *b = test_words(N * limbs), *want = test_words(STEPS * N * limbs),
            *got = test_words(STEPS * N * limbs);
    bt_modulus mod;
    test_random_modulus(m, bits);
    CHECK(bt_modulus_init(&mod, m, limbs, storage) == BT_OK);
    draw(a, N, limbs);
    draw(b, N, limbs);
    for (size_t i = 0; i < N; i++)
        b[i * limbs] = test_random();                          /* 64 bits of it are an exponent */
    const size_t count = (size_t)test_rounds(4, MODES, MODES); /* memcheck knows the roundings alone */
    for (size_t k = 0; k < count; k++) {
        CHECK(run_all(ops, &mod, a, b, k ? got : want, mxcsr[k]) == 0);
        CHECK(k == 0 || !memcmp(got, want, STEPS * N * limbs * sizeof *got));
    }
    for (size_t i = 0; i < N; i++) { /* and what the first mode gives is right */
        bt_limb *x = test_words(limbs);
        ref_mul(x, a + i * limbs, b + i * limbs, m, limbs);
        CHECK(!memcmp(want + (2 * N + i) * limbs, x, limbs * sizeof *x));
        CHECK(!memcmp(want + (3 * N + i) * limbs, x, limbs * sizeof *x));
        ref_mul(x, a + i * limbs, a + i * limbs, m, limbs);
        CHECK(!memcmp(want + (4 * N + i) * limbs, x, limbs * sizeof *x));
        ref_pow(x, a + i * limbs, b + i * limbs, 1, m, limbs);
        CHECK(!memcmp(want + (9 * N + i) * limbs, x, limbs * sizeof *x));
        ref_pow(x, a + i * limbs, b, 1, m, limbs);
        CHECK(!memcmp(want + (10 * N + i) * limbs, x, limbs * sizeof *x));
        free(x);
    }
    free(m);
    free(storage);
    free(a);
    free(b);
    free(want);
    free(got);
}

#else
static void modes(const bt_mont_ops *ops, size_t bits)
{
    (void)ops;
    (void)bits;
}
#endif

void test_agreement(void)
{
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i += (size_t)test_rounds(3, 1, 1)) {
        setting s;
        open_setting(&s, SIZES[i]);
        products(&s, test_rounds(BATCH, 1000, 1000000));
        powers(&s, test_rounds(4, 64, 10000), 65);
        powers(&s, test_rounds(0, SIZES[i] > 4096 ? 1 : 4, 200), SIZES[i]);
        close_setting(&s);
        for (const bt_mont_ops *const *ops = test_backends(); *ops; ops++)
            modes(*ops, SIZES[i]);
    }
}
