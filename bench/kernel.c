/* Times the Montgomery backends without Python: kernel.py compiles this with csrc/ and reads what it prints.
 *
 *   kernel LIBGMP ELEMENTS SECONDS EXPONENT_BITS BITS...
 *
 * One line per backend and size, moduli being squares, and one of its pairs: name, bits, then microseconds per element of a product, a square, a power, a conversion in and
 * one out, each the best of many short windows; the backends take turns. Processor time, so that neighbours disturb little. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bt_gmp.h"
#include "bt_modexp.h"

enum { MUL, SQR, POW, LOAD, STORE, KINDS };

typedef struct bench {
    const bt_mont_ops *ops;
    bt_mont ctx;
    bt_modulus mod, root;
    size_t limbs, n, ebits;
    bt_word *consts, *scratch, *a, *b, *out;
    bt_limb *m, *storage, *root_storage, *values, *e;
    double best[KINDS];
} bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *words(size_t n)
{
    void *p = aligned_alloc(64, (8 * n + 63) / 64 * 64);
    if (!p)
        exit(2);
    return p;
}

static uint64_t next(void) /* SplitMix64: numbers to time, no secrets */
{
    static uint64_t state = 20251;
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int open_bench(bench *w, const bt_mont_ops *ops, size_t bits, size_t n, size_t ebits)
{
    const size_t limbs = bits / 64;
    if (!ops || limbs < ops->min_limbs || limbs > ops->max_limbs || !ops->available())
        return 0;
    const size_t el = (ebits + 63) / 64;
    w->ops = ops;
    w->limbs = limbs;
    w->n = n;
    w->ebits = ebits;
    w->m = words(limbs);
    w->storage = words(bt_modulus_storage(limbs));
    w->consts = words(ops->const_words(limbs));
    w->values = words(n * limbs);
    w->e = words(n * el);
    bt_limb *root = words(limbs / 2);
    for (size_t i = 0; i < limbs / 2; i++)
        root[i] = next();
    root[0] |= 1;
    root[limbs / 2 - 1] |= (bt_limb)3 << 62;
    bt_gmp.mul_n((mp_ptr)w->m, (mp_srcptr)root, (mp_srcptr)root, (mp_size_t)(limbs / 2));
    w->root_storage = words(bt_modulus_storage(limbs / 2));
    for (size_t i = 0; i < n * limbs; i++)
        w->values[i] = next();
    for (size_t i = 0; i < n * el; i++)
        w->e[i] = next();
    bt_word *first = words(ops->scratch_words(limbs));
    if (bt_modulus_init(&w->root, root, limbs / 2, w->root_storage) != BT_OK ||
        bt_modulus_init(&w->mod, w->m, limbs, w->storage) != BT_OK)
        exit(2);
    w->mod.root = &w->root;
    free(root);
    if (bt_mont_init(&w->ctx, ops, &w->mod, w->consts, first) != BT_OK)
        exit(2);
    free(first);
    const size_t one = bt_mont_scratch(&w->ctx), power = bt_pow_secret_scratch(&w->ctx, n, ebits);
    w->scratch = words(one > power ? one : power);
    w->a = words(bt_mont_words(&w->ctx, n));
    w->b = words(bt_mont_words(&w->ctx, n));
    w->out = words(bt_mont_words(&w->ctx, n));
    ops->load(&w->ctx, w->a, w->values, n, w->scratch);
    ops->sqr(&w->ctx, w->b, w->a, n, 1, w->scratch);
    for (int kind = 0; kind < KINDS; kind++)
        w->best[kind] = 1e9;
    return 1;
}

static void run(bench *w, int kind)
{
    const bt_mont *ctx = &w->ctx;
    switch (kind) {
    case MUL:
        w->ops->mul(ctx, w->out, w->a, w->b, w->n, 1, w->scratch);
        break;
    case SQR:
        w->ops->sqr(ctx, w->out, w->a, w->n, 1, w->scratch);
        break;
    case POW:
        bt_pow_secret(ctx, w->out, w->a, w->n, w->e, (w->ebits + 63) / 64, w->ebits, w->scratch);
        break;
    case LOAD:
        w->ops->load(ctx, w->out, w->values, w->n, w->scratch);
        break;
    default:
        w->ops->store(ctx, w->values, w->a, w->n, w->scratch);
    }
}

static void window(bench *w, int kind)
{
    const int times = kind == POW ? 1 : 10;
    const double start = now();
    for (int i = 0; i < times; i++)
        run(w, kind);
    const double each = (now() - start) / times / (double)w->n;
    if (each < w->best[kind])
        w->best[kind] = each;
}

static void close_bench(bench *w)
{
    void *all[] = {w->m, w->storage, w->root_storage, w->consts, w->values, w->e, w->scratch, w->a, w->b, w->out};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

int main(int argc, char **argv)
{
    if (argc < 6 || bt_gmp_load(argv[1], NULL) != BT_OK) {
        fprintf(stderr, "usage: kernel LIBGMP ELEMENTS SECONDS EXPONENT_BITS BITS...\n");
        return 2;
    }
    const size_t n = strtoul(argv[2], NULL, 10), ebits = strtoul(argv[4], NULL, 10);
    const double seconds = strtod(argv[3], NULL);
    for (int i = 5; i < argc; i++) {
        const size_t bits = strtoul(argv[i], NULL, 10);
        bench all[8];
        size_t count = 0;
        for (const bt_mont_ops *const *ops = bt_mont_backends; *ops && count < 8; ops++)
            for (int pairs = 0; pairs < 2; pairs++)
                count += (size_t)open_bench(&all[count], pairs ? (*ops)->pairs : *ops, bits, n, ebits);
        for (double start = now(); now() - start < seconds;)
            for (int kind = 0; kind < KINDS; kind++)
                for (size_t k = 0; k < count; k++)
                    window(&all[k], kind);
        for (size_t k = 0; k < count; k++) {
            printf("%s%s %zu", all[k].ops->name, all[k].ops->pairs == all[k].ops ? "-pairs" : "", bits);
            for (int kind = 0; kind < KINDS; kind++)
                printf(" %.4f", 1e6 * all[k].best[kind]);
            printf("\n");
            close_bench(&all[k]);
        }
        fflush(stdout);
    }
    return 0;
}
