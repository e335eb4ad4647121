/* Threads that share one key, its tables and its contexts, each with scratch of its own: everything shared is only read. The
 * answers are those of one thread; under ThreadSanitizer (make tsan) a single write to what is shared is a report. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "toy_key.h"

enum { THREADS = 4, N = 5, EBITS = 200, EL = 4 };

typedef struct shared {
    toy_key key;
    bt_comb comb;
    bt_limb m[N * TOY_LARGE], a[N * TOY_LARGE / 2], e[N * EL], c[N * 2 * TOY_LARGE], random[N + 2];
    bt_word *elements; /* hs^a[i], in n2's layout */
    bt_limb *powers, *combed, *products, *joint;
    int rounds;
} shared;

typedef struct worker {
    shared *s;
    pthread_t thread;
    long wrong;
} worker;

static size_t max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* one operation, its result stored into values[N][2 L] */
enum { POWER, COMB, PRODUCT, JOINT, OPERATIONS };

static void operate(const shared *s, int operation, bt_limb *values)
{
    const bt_mont *ctx = &s->key.n2.ctx;
    bt_word *out = fixture_array(&s->key.n2, N);
    const size_t sizes[] = {bt_pow_secret_scratch(ctx, N, EBITS), bt_comb_pow_scratch(&s->comb, N),
                            bt_paillier_mul_plain_scratch(&s->key.pub), bt_multiexp_scratch(ctx, N, 1, EBITS)};
    bt_word *work = test_words(max(sizes[operation], bt_mont_scratch(ctx)));
    size_t count = N;
    switch (operation) {
    case POWER:
        bt_pow_secret(ctx, out, s->elements, N, s->e, EL, EBITS, work);
        break;
    case COMB:
        bt_comb_pow(&s->comb, out, N, s->e, EL, work);
        break;
    case PRODUCT:
        bt_paillier_mul_plain(&s->key.pub, out, s->elements, s->m, N, 1, work);
        break;
    default:
        count = 1;
        bt_multiexp(ctx, out, s->elements, NULL, N, s->e, EL, EBITS, 1, work);
    }
    memset(values, 0, N * 2 * s->key.L * sizeof *values);
    ctx->ops->store(ctx, values, out, count, work);
    free(out);
    free(work);
}

static void *hammer(void *argument)
{
    worker *w = argument;
    const shared *s = w->s;
    const size_t L = s->key.L, size = N * 2 * L * sizeof(bt_limb);
    const bt_limb *const want[] = {s->powers, s->combed, s->products, s->joint};
    bt_limb *values = test_words(N * 2 * L);
    for (int round = 0; round < s->rounds; round++) {
        for (int operation = 0; operation < OPERATIONS; operation++) {
            operate(s, operation, values);
            w->wrong += memcmp(values, want[operation], size) != 0;
        }
        bt_word *work = test_words(bt_paillier_owner_scratch(s->key.priv, N));
        w->wrong += bt_paillier_owner_encrypt(s->key.priv, values, s->m, s->a, N, s->key.hs, s->random, work) != BT_OK;
        w->wrong += memcmp(values, s->c, size) != 0;
        free(work);
        work = test_words(bt_paillier_decrypt_scratch(s->key.priv, N));
        w->wrong += bt_paillier_decrypt(s->key.priv, values, s->c, N, s->random, work) != BT_OK;
        w->wrong += memcmp(values, s->m, N * L * sizeof *values) != 0;
        free(work);
        work = test_words(bt_paillier_load_checked_scratch(&s->key.n2.ctx));
        bt_word *loaded = fixture_array(&s->key.n2, N);
        w->wrong += bt_paillier_load_checked(&s->key.n2.ctx, s->key.n, L, loaded, s->c, N, work) != N;
        free(loaded);
        free(work);
    }
    free(values);
    return NULL;
}

static void one_key(const bt_mont_ops *ops)
{
    shared *s = malloc(sizeof *s);
    worker workers[THREADS];
    toy_key_open(&s->key, ops);
    const size_t L = s->key.L, H = s->key.H;
    const bt_mont *ctx = &s->key.n2.ctx;
    s->rounds = test_rounds(1, 8, 200);

    for (size_t i = 0; i < N * L; i++)
        s->m[i] = i % L == L - 1 ? test_random() % s->key.n[L - 1] : test_random(); /* below n */
    for (size_t i = 0; i < N * H; i++)
        s->a[i] = test_random();
    for (size_t i = 0; i < N * EL; i++)
        s->e[i] = i % EL == EL - 1 ? test_random() >> (64 * EL - EBITS) : test_random();
    for (size_t i = 0; i < N + 2; i++)
        s->random[i] = test_random();

    bt_word *table = test_words(bt_comb_table_words(ctx, EBITS, 5)), *base = fixture_load(&s->key.n2, s->key.hs, 1);
    bt_comb_init(&s->comb, ctx, EBITS, 5, table);
    bt_word *build = test_words(bt_comb_build_scratch(&s->comb));
    bt_comb_build(&s->comb, base, 0, s->comb.build_steps, 0, build);

    /* what one thread finds, by GMP: c = (1 + m n) hs^a, the elements are hs^a */
    bt_limb *t = test_words(2 * L), *factors = test_words(N * 2 * L);
    bt_limb *results[OPERATIONS];
    for (int k = 0; k < OPERATIONS; k++) {
        results[k] = test_words(N * 2 * L);
        memset(results[k], 0, N * 2 * L * sizeof *t);
    }
    results[JOINT][0] = 1;
    bt_word *itch = test_words((size_t)bt_gmp.sec_mul_itch((mp_size_t)L, (mp_size_t)L));
    for (size_t i = 0; i < N; i++) {
        bt_limb *factor = factors + i * 2 * L;
        const size_t row = i * 2 * L;
        ref_pow(factor, s->key.hs, s->a + i * H, H, s->key.nsquare, 2 * L);
        bt_gmp.sec_mul(t, s->m + i * L, (mp_size_t)L, s->key.n, (mp_size_t)L, (mp_ptr)itch);
        for (size_t k = 0; k < 2 * L && ++t[k] == 0; k++)
            ; /* + 1 */
        ref_mul(s->c + row, t, factor, s->key.nsquare, 2 * L);
        memcpy(results[PRODUCT] + row, s->c + row, 2 * L * sizeof *t);
        ref_pow(results[POWER] + row, factor, s->e + i * EL, EL, s->key.nsquare, 2 * L);
        ref_pow(results[COMB] + row, s->key.hs, s->e + i * EL, EL, s->key.nsquare, 2 * L);
        ref_mul(results[JOINT], results[JOINT], results[POWER] + row, s->key.nsquare, 2 * L);
    }
    s->elements = fixture_load(&s->key.n2, factors, N);
    s->powers = results[POWER];
    s->combed = results[COMB];
    s->products = results[PRODUCT];
    s->joint = results[JOINT];

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.s = s};
        if (pthread_create(&workers[i].thread, NULL, hammer, &workers[i]))
            exit(2);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        CHECK(workers[i].wrong == 0);
    }
    for (int k = 0; k < OPERATIONS; k++)
        free(results[k]);
    free(table);
    free(base);
    free(build);
    free(t);
    free(factors);
    free(itch);
    free(s->elements);
    toy_key_close(&s->key);
    free(s);
}

void test_threads(void)
{
    for (const bt_mont_ops *const *ops = test_backends(); *ops; ops++)
        one_key(*ops);
}
