#include "test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* a^e mod m, m below 2^8 */
static bt_limb small_pow(bt_limb a, bt_limb e, bt_limb m)
{
    bt_limb r = 1 % m;
    while (e--)
        r = r * a % m;
    return r;
}

/* every base and every exponent below 2^5, for every odd modulus below 2^8: secret, public, shared exponent, comb */
static void exhaustive(const bt_mont_ops *ops)
{
    enum { EBITS = 5, EXPONENTS = 1 << EBITS };
    bt_limb exponents[EXPONENTS];
    for (bt_limb e = 0; e < EXPONENTS; e++)
        exponents[e] = e;
    for (bt_limb m = 3; m < 256; m += (bt_limb)test_rounds(18, 2, 2)) {
        fixture f;
        fixture_open(&f, ops, &m, 1);
        bt_limb values[256], wrong = 0;
        for (bt_limb v = 0; v < m; v++)
            values[v] = v;
        bt_word *all = fixture_load(&f, values, m), *out = fixture_array(&f, m > EXPONENTS ? m : EXPONENTS);
        bt_word *secret = test_words(bt_pow_secret_scratch(&f.ctx, m, EBITS));
        bt_word *public = test_words(bt_pow_public_scratch(&f.ctx, m, EBITS));
        for (bt_limb e = 0; e < EXPONENTS; e++) {
            bt_limb own[256];
            for (bt_limb v = 0; v < m; v++)
                own[v] = (e + v) % EXPONENTS;
            for (int way = 0; way < 4; way++) {
                const size_t stride = way & 1;
                if (way < 2)
                    bt_pow_secret(&f.ctx, out, all, m, stride ? own : &e, stride, EBITS, secret);
                else
                    bt_pow_public(&f.ctx, out, all, m, stride ? own : &e, stride, EBITS, (int)(e & 1), public);
                bt_limb *got = fixture_store(&f, out, m);
                for (bt_limb v = 0; v < m; v++)
                    wrong += got[v] != small_pow(v, stride ? own[v] : e, m);
                free(got);
            }
        }
        for (bt_limb g = 0; g < m; g += 1 + m / 8) {
            bt_word *base = fixture_load(&f, &g, 1);
            for (size_t w = 1; w <= EBITS; w++) {
                bt_comb comb;
                bt_word *table = test_words(bt_comb_table_words(&f.ctx, EBITS, w));
                bt_comb_init(&comb, &f.ctx, EBITS, w, table);
                bt_word *build = test_words(bt_comb_build_scratch(&comb));
                bt_word *pow = test_words(bt_comb_pow_scratch(&comb, EXPONENTS));
                bt_comb_build(&comb, base, 0, comb.build_steps, (int)(w & 1), build);
                bt_comb_pow(&comb, out, EXPONENTS, exponents, 1, pow);
                bt_limb *got = fixture_store(&f, out, EXPONENTS);
                for (bt_limb e = 0; e < EXPONENTS; e++)
                    wrong += got[e] != small_pow(g, e, m);
                free(got);
                free(table);
                free(build);
                free(pow);
            }
            free(base);
        }
        CHECK(wrong == 0);
        free(all);
        free(out);
        free(secret);
        free(public);
        fixture_close(&f);
    }
}

static void check_powers(const fixture *f, const bt_word *out, const bt_limb *bases, size_t base_stride,
                         const bt_limb *e, size_t el, size_t estride, size_t n)
{
    bt_limb *got = fixture_store(f, out, n), *want = test_words(f->limbs);
    for (size_t i = 0; i < n; i++) {
        ref_pow(want, bases + i * base_stride, e + i * estride, el, f->m, f->limbs);
        CHECK(!memcmp(got + i * f->limbs, want, f->limbs * sizeof *want));
    }
    free(got);
    free(want);
}

static void against_gmp(const bt_mont_ops *ops, size_t bits, size_t ebits, size_t n)
{
    const size_t limbs = (bits + 63) / 64, el = (ebits + 63) / 64;
    bt_limb *m = test_words(limbs), *bases = test_words(n * limbs), *e = test_words(n * el);
    test_random_modulus(m, bits);
    fixture f;
    fixture_open(&f, ops, m, limbs);
    for (size_t i = 0; i < n; i++) {
        test_random_limbs(bases + i * limbs, limbs);
        test_random_exponent(e + i * el, el, i % 3 == 2 ? ebits / 2 : ebits);
    }
    bt_word *x = fixture_load(&f, bases, n), *out = fixture_array(&f, n);
    bt_word *secret = test_words(bt_pow_secret_scratch(&f.ctx, n, ebits));
    bt_word *public = test_words(bt_pow_public_scratch(&f.ctx, n, ebits));
    for (int shared = 0; shared <= 1; shared++) {
        const size_t stride = shared ? 0 : el;
        bt_pow_secret(&f.ctx, out, x, n, e, stride, ebits, secret);
        check_powers(&f, out, bases, limbs, e, el, stride, n);
        for (int secret_base = 0; secret_base <= 1; secret_base++) {
            bt_pow_public(&f.ctx, out, x, n, e, stride, ebits, secret_base, public);
            check_powers(&f, out, bases, limbs, e, el, stride, n);
        }
    }
    free(m);
    free(bases);
    free(e);
    free(x);
    free(out);
    free(secret);
    free(public);
    fixture_close(&f);
}

/* powers in parts of `step` bits, whose lowest may be narrower, with scratch for just that many */
static void parts_against_gmp(const bt_mont_ops *ops, size_t bits, size_t ebits, size_t step, size_t n)
{
    const size_t limbs = (bits + 63) / 64, el = (ebits + 63) / 64;
    bt_limb *m = test_words(limbs), *bases = test_words(n * limbs), *e = test_words(n * el);
    test_random_modulus(m, bits);
    fixture f;
    fixture_open(&f, ops, m, limbs);
    for (size_t i = 0; i < n; i++) {
        test_random_limbs(bases + i * limbs, limbs);
        test_random_exponent(e + i * el, el, ebits >> i % 5);
    }
    bt_word *x = fixture_load(&f, bases, n), *out = fixture_array(&f, n);
    bt_word *secret = test_words(bt_pow_secret_scratch(&f.ctx, n, step));
    bt_word *public = test_words(bt_pow_public_scratch(&f.ctx, n, step));
    for (int way = 0; way < 4; way++) {
        const size_t stride = way & 1 ? el : 0;
        for (size_t high = ebits; high > 0;) {
            const size_t low = high > step ? high - step : 0;
            if (way < 2)
                bt_pow_secret_part(&f.ctx, out, x, n, e, stride, ebits, low, high, secret);
            else
                bt_pow_public_part(&f.ctx, out, x, n, e, stride, ebits, low, high, 0, public);
            high = low;
        }
        check_powers(&f, out, bases, limbs, e, el, stride, n);
    }
    free(m);
    free(bases);
    free(e);
    free(x);
    free(out);
    free(secret);
    free(public);
    fixture_close(&f);
}

/* A part of no bits leaves what is there. Bits at ebits and above, which the contract forbids, are not looked at: what is
 * left of the exponent counts, also where its top bit is 0. */
static void empty_parts_and_bits_beyond(const bt_mont_ops *ops)
{
    enum { LIMBS = 17, N = 3, EBITS = 64 };
    bt_limb m[LIMBS], bases[N * LIMBS];
    const bt_limb e[2] = {5, 1}, low[1] = {5};
    fixture f;
    test_random_modulus(m, 64 * LIMBS);
    test_random_limbs(bases, N * LIMBS);
    fixture_open(&f, ops, m, LIMBS);
    bt_word *x = fixture_load(&f, bases, N), *out = fixture_array(&f, N);
    bt_word *secret = test_words(bt_pow_secret_scratch(&f.ctx, N, EBITS));
    bt_word *public = test_words(bt_pow_public_scratch(&f.ctx, N, EBITS));
    bt_pow_public(&f.ctx, out, x, N, e, 0, EBITS, 0, public);
    check_powers(&f, out, bases, LIMBS, low, 1, 0, N);
    bt_pow_secret(&f.ctx, out, x, N, e, 0, EBITS, secret);
    check_powers(&f, out, bases, LIMBS, low, 1, 0, N);
    bt_pow_secret_part(&f.ctx, out, x, N, e, 0, EBITS, 7, 7, secret);
    check_powers(&f, out, bases, LIMBS, low, 1, 0, N);
    free(x);
    free(out);
    free(secret);
    free(public);
    fixture_close(&f);
}

static void comb_against_gmp(const bt_mont_ops *ops, size_t bits, size_t ebits, size_t window, size_t n)
{
    const size_t limbs = (bits + 63) / 64, el = (ebits + 63) / 64;
    bt_limb *m = test_words(limbs), *g = test_words(limbs), *e = test_words(n * el);
    test_random_modulus(m, bits);
    test_random_limbs(g, limbs);
    for (size_t i = 0; i < n; i++)
        test_random_exponent(e + i * el, el, ebits);
    fixture f;
    fixture_open(&f, ops, m, limbs);
    bt_word *base = fixture_load(&f, g, 1), *out = fixture_array(&f, n);
    bt_comb comb;
    bt_word *table = test_words(bt_comb_table_words(&f.ctx, ebits, window));
    bt_comb_init(&comb, &f.ctx, ebits, window, table);
    bt_word *build = test_words(bt_comb_build_scratch(&comb)), *pow = test_words(bt_comb_pow_scratch(&comb, n));
    const size_t steps = comb.build_steps;
    for (size_t step = 0; step < steps; step += 2) /* in pieces, as a caller that shows progress does */
        bt_comb_build(&comb, base, step, steps - step < 2 ? steps - step : 2, 0, build);
    bt_comb_pow(&comb, out, n, e, el, pow);
    check_powers(&f, out, g, 0, e, el, el, n);
    for (size_t step = 0; step < comb.steps; step += 3)
        bt_comb_pow_part(&comb, out, n, e, el, step, comb.steps - step < 3 ? comb.steps - step : 3, pow);
    check_powers(&f, out, g, 0, e, el, el, n);
    free(m);
    free(g);
    free(e);
    free(base);
    free(out);
    free(table);
    free(build);
    free(pow);
    fixture_close(&f);
}

static void windows(void)
{
    bt_limb m[64];
    fixture f;
    test_random_modulus(m, 4096);
    fixture_open(&f, &bt_mont_mpn, m, 64);
    CHECK(bt_comb_window(&f.ctx, 1024, 0) == 0);
    for (size_t w = 3; w <= 6; w++) { /* a budget that just fits, and one byte less */
        const size_t bytes = 8 * bt_comb_table_words(&f.ctx, 1024, w);
        CHECK(bt_comb_window(&f.ctx, 1024, bytes) == w);
        CHECK(bt_comb_window(&f.ctx, 1024, bytes - 1) == w - 1);
    }
    const size_t best = bt_comb_window(&f.ctx, 1024, (size_t)1 << 40);
    CHECK(best >= 6 && best <= 8);
    for (size_t shift = 0; shift <= 8; shift++) { /* positions of bits that would wrap around */
        CHECK(bt_comb_window(&f.ctx, ((size_t)1 << 60) << shift / 3, 1 << 20) == 0);
        CHECK(bt_comb_window(&f.ctx, SIZE_MAX - shift, 1 << 20) == 0);
        CHECK(bt_comb_window(&f.ctx, ((size_t)1 << 60) - 1 - shift, 1 << 20) > 0);
    }
    fixture_close(&f);
    test_random_modulus(m, 127);
    fixture_open(&f, &bt_mont_mpn, m, 2);
    CHECK(bt_comb_window(&f.ctx, (size_t)1 << 62, 1 << 20) == 0);
    fixture_close(&f);
}

/* What an operation leaves on its stack: it runs as a thread whose stack is looked through afterwards. */
enum { LEFT_BITS = 1024, LEFT_LIMBS = 16, LEFT_N = 16, LEFT_WINDOW = 8, LEFT_STACK = 1 << 18 };

typedef struct residue {
    fixture f;
    bt_comb comb;
    bt_word *elements, *out, *scratch;
    bt_limb *e;
    uint32_t digit[LEFT_N];
    int operation;
} residue;

static void *leave_residue(void *argument)
{
    residue *r = argument;
    switch (r->operation) {
    case 0:
        r->f.ctx.ops->select_shared(&r->f.ctx, r->out, r->comb.table, 1 << LEFT_WINDOW, r->digit, LEFT_N);
        break;
    case 1:
        r->f.ctx.ops->select_own(&r->f.ctx, r->out, r->elements, 1, bt_mont_words(&r->f.ctx, LEFT_N), r->digit, LEFT_N);
        break;
    case 2:
        bt_comb_pow(&r->comb, r->out, LEFT_N, r->e, LEFT_LIMBS, r->scratch);
        break;
    case 3:
        bt_comb_build(&r->comb, r->elements, 0, r->comb.build_steps, 1, r->scratch);
        break;
    case 4:
        bt_pow_secret(&r->f.ctx, r->out, r->elements, LEFT_N, r->e, LEFT_LIMBS, LEFT_BITS, r->scratch);
        break;
    case 5:
        r->f.ctx.ops->mul(&r->f.ctx, r->out, r->elements, r->elements, LEFT_N, 1, r->scratch);
        break;
    case 6:
        r->f.ctx.ops->sqr(&r->f.ctx, r->out, r->elements, LEFT_N, 1, r->scratch);
        break;
    }
    return NULL;
}

static size_t count_found(const bt_word *hay, size_t hay_words, const bt_word *needles, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i < hay_words; i++)
        for (size_t k = 0; k < n; k++)
            if (hay[i] == needles[k] && hay[i] >> 32) {
                found++;
                break;
            }
    return found;
}

/* A register that was saved holds one word (a vector two); a table, an operand or an exponent copied to the stack and left
 * there is many. Code for a sanitizer, and emulated vectors, save whole vectors: what they leave says nothing of the real code. */
#if defined(__SANITIZE_ADDRESS__) || defined(BT_IFMA_EMULATE)
enum { LEFT_COUNTS = 0 };
#else
enum { LEFT_COUNTS = 1 };
#endif

static void residues(const bt_mont_ops *ops)
{
    const size_t words = LEFT_STACK / sizeof(bt_word), size = LEFT_N * LEFT_LIMBS;
    residue r;
    bt_limb m[LEFT_LIMBS], *values = test_words(size);
    for (size_t i = 0; i < LEFT_LIMBS; i++) /* no limb of ones, which masks are too */
        m[i] = test_random();
    m[0] |= 1;
    m[LEFT_LIMBS - 1] |= (bt_limb)1 << 63;
    fixture_open(&r.f, ops, m, LEFT_LIMBS);
    r.e = test_words(size);
    for (size_t i = 0; i < size; i++) {
        values[i] = test_random();
        r.e[i] = test_random();
    }
    for (size_t i = 0; i < LEFT_N; i++)
        r.digit[i] = 0;
    r.elements = fixture_load(&r.f, values, LEFT_N);
    r.out = fixture_array(&r.f, LEFT_N);
    bt_word *table = test_words(bt_comb_table_words(&r.f.ctx, LEFT_BITS, LEFT_WINDOW));
    bt_comb_init(&r.comb, &r.f.ctx, LEFT_BITS, LEFT_WINDOW, table);
    const size_t wanted[] = {bt_comb_build_scratch(&r.comb), bt_comb_pow_scratch(&r.comb, LEFT_N),
                             bt_pow_secret_scratch(&r.f.ctx, LEFT_N, LEFT_BITS)};
    r.scratch = test_words(wanted[0] + wanted[1] + wanted[2] + r.f.ctx.ops->scratch_words(LEFT_LIMBS));
    bt_comb_build(&r.comb, r.elements, 0, r.comb.build_steps, 1, r.scratch);
    bt_word *stack;
    if (posix_memalign((void **)&stack, 1 << 16, LEFT_STACK))
        exit(2);
    for (r.operation = 0; r.operation <= 6; r.operation++) {
        pthread_attr_t attributes;
        pthread_t thread;
        memset(stack, 0, LEFT_STACK);
        if (pthread_attr_init(&attributes) || pthread_attr_setstack(&attributes, stack, LEFT_STACK) ||
            pthread_create(&thread, &attributes, leave_residue, &r) || pthread_join(thread, NULL))
            exit(2);
        pthread_attr_destroy(&attributes);
        CHECK(count_found(stack, words, r.comb.table, 2 * r.comb.row_words) <= 4);
        CHECK(count_found(stack, words, r.elements, size) <= 4);
        CHECK(count_found(stack, words, r.e, size) <= 4);
        CHECK(count_found(stack, words, r.f.m, LEFT_LIMBS) <= 4);
    }
    free(stack);
    free(values);
    free(r.e);
    free(r.elements);
    free(r.out);
    free(r.scratch);
    free(table);
    fixture_close(&r.f);
}

void test_modexp(void)
{
    static const size_t sizes[] = {2, 3, 63, 64, 65, 127, 129, 512, 1024, 1025};
    static const size_t lengths[] = {0, 1, 2, 5, 16, 63, 64, 65, 127, 130, 257};
    const size_t skip = (size_t)test_rounds(3, 1, 1);
    windows();
    for (const bt_mont_ops *const *ops = test_backends(); *ops; ops++) {
        exhaustive(*ops);
        empty_parts_and_bits_beyond(*ops);
        if (test_how_much != TEST_SHORT &&
            !getenv("BT_TEST_MEMCHECK")) /* memcheck takes dead stack for undefined, -O0 keeps every value there */
            if (LEFT_COUNTS)
                residues(*ops);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (size_t k = i % skip; k < sizeof lengths / sizeof *lengths;
                 k += skip) /* short: every length of some sizes */
                against_gmp(*ops, sizes[i], lengths[k], 1 + (i + 3 * k) % 19);
        for (size_t ebits = 0; ebits <= 140; ebits += (size_t)test_rounds(35, 7, 7))
            for (size_t w = 1; w <= 8; w++)
                comb_against_gmp(*ops, ebits % 2 ? 190 : 129, ebits, w, 1 + ebits % 9);
        for (size_t step = 1; step <= 200; step += 1 + step / 3) {
            parts_against_gmp(*ops, 129, 190, step, 1 + step % 11);
            parts_against_gmp(*ops, 600, 64, step, 9);
        }
        against_gmp(*ops, 1000, 100, 0);
        comb_against_gmp(*ops, 1000, 100, 5, 0);
        comb_against_gmp(*ops, 1000, 2500, 1, 3); /* many squarings from row to row */
        comb_against_gmp(*ops, 1000, 2500, 2, 6);
    }
    against_gmp(&bt_mont_mpn, 2048, 2048, 3);
    comb_against_gmp(&bt_mont_mpn, 4096, 1024, 6, 3);
}
