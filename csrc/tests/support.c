#include "test.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

long test_passed, test_failed;
test_effort test_how_much = TEST_NORMAL;

int test_read_effort(void)
{
    static const char *const names[] = {"short", "lean", "normal", "long"};
    const char *effort = getenv("BT_TEST_EFFORT");
    if (!effort || !*effort)
        return 1;
    for (int i = TEST_SHORT; i <= TEST_LONG; i++)
        if (!strcmp(effort, names[i])) {
            test_how_much = (test_effort)i;
            return 1;
        }
    return 0;
}

double test_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

#ifdef BT_VERIFY
void bt_verify_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: bound broken: %s\n", file, line, condition);
    abort();
}
#endif

int test_no_memory;

/* The linker sends the core's mmap here (--wrap). */
void *__real_mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset);

void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    return test_no_memory ? MAP_FAILED : __real_mmap(address, bytes, protection, flags, file, offset);
}

/* Those of this build that this CPU has, and the mock. */
const bt_mont_ops *const *test_backends(void)
{
    enum { MOST = 8 };
    static const bt_mont_ops *list[MOST + 2];
    size_t n = 0;
    for (size_t i = 0; bt_mont_backends[i] && n < MOST; i++)
        if (bt_mont_backends[i]->available())
            list[n++] = bt_mont_backends[i];
    list[n] = &mock_lanes;
    return list;
}

/* --- GMP's integers, bound by name like the kernels' own functions ---------------------------------------------------- */

#define QUOTE(x) #x
#define SYMBOL(x) QUOTE(x)

static struct {
    void (*init)(mpz_ptr);
    void (*clear)(mpz_ptr);
    void (*import)(mpz_ptr, size_t, int, size_t, int, size_t, const void *);
    void *(*export)(void *, size_t *, int, size_t, int, size_t, mpz_srcptr);
    void (*mul)(mpz_ptr, mpz_srcptr, mpz_srcptr);
    void (*mod)(mpz_ptr, mpz_srcptr, mpz_srcptr);
    void (*powm)(mpz_ptr, mpz_srcptr, mpz_srcptr, mpz_srcptr);
    int (*invert)(mpz_ptr, mpz_srcptr, mpz_srcptr);
} z;

static int bind(void *handle, const char *symbol, void *to)
{
    void *address = dlsym(handle, symbol);
    memcpy(to, &address, sizeof address);
    return address != NULL;
}

static int load(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return handle && bind(handle, SYMBOL(mpz_init), &z.init) && bind(handle, SYMBOL(mpz_clear), &z.clear) &&
           bind(handle, SYMBOL(mpz_import), &z.import) && bind(handle, SYMBOL(mpz_export), &z.export) &&
           bind(handle, SYMBOL(mpz_mul), &z.mul) && bind(handle, SYMBOL(mpz_mod), &z.mod) &&
           bind(handle, SYMBOL(mpz_powm), &z.powm) && bind(handle, SYMBOL(mpz_invert), &z.invert) &&
           bt_gmp_load(path, NULL) == BT_OK;
}

int test_load_gmp(void)
{
    const char *path = getenv("BT_GMP");
    if (path && *path)
        return load(path);
    return load("libgmp.so.10") || load("libgmp.10.dylib") || load("/opt/homebrew/lib/libgmp.dylib");
}

static void set(mpz_ptr x, const bt_limb *limbs, size_t n)
{
    z.init(x);
    z.import(x, n, -1, sizeof *limbs, 0, 0, limbs);
}

/* out = x, and all three integers are freed */
static void finish(bt_limb *out, size_t limbs, mpz_ptr x, mpz_ptr y, mpz_ptr m)
{
    memset(out, 0, limbs * sizeof *out);
    z.export(out, NULL, -1, sizeof *out, 0, 0, x);
    z.clear(x);
    z.clear(y);
    z.clear(m);
}

void ref_mul(bt_limb *out, const bt_limb *a, const bt_limb *b, const bt_limb *m, size_t limbs)
{
    mpz_t x, y, n;
    set(x, a, limbs);
    set(y, b, limbs);
    set(n, m, limbs);
    z.mul(x, x, y);
    z.mod(x, x, n);
    finish(out, limbs, x, y, n);
}

void ref_pow(bt_limb *out, const bt_limb *a, const bt_limb *e, size_t el, const bt_limb *m, size_t limbs)
{
    mpz_t x, y, n;
    set(x, a, limbs);
    set(y, e, el);
    set(n, m, limbs);
    z.powm(x, x, y, n);
    finish(out, limbs, x, y, n);
}

int ref_invert(bt_limb *out, const bt_limb *a, const bt_limb *m, size_t limbs)
{
    mpz_t x, y, n;
    set(x, a, limbs);
    set(n, m, limbs);
    z.init(y);
    const int found = z.invert(x, x, n);
    finish(out, limbs, x, y, n);
    return found;
}

/* --- random values ------------------------------------------------------------------------------------------------------ */

uint64_t test_random(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1du;
}

void test_random_limbs(bt_limb *x, size_t limbs)
{
    const uint64_t kind = test_random() % 8;
    for (size_t i = 0; i < limbs; i++)
        x[i] = kind == 0 ? ~(bt_limb)0 : kind == 1 ? 0 : test_random(); /* long carries are rare by chance */
}

void test_random_modulus(bt_limb *m, size_t bits)
{
    const size_t limbs = (bits + 63) / 64, top = bits - 64 * (limbs - 1);
    test_random_limbs(m, limbs);
    m[0] |= 1;
    if (top < 64)
        m[limbs - 1] &= ((bt_limb)1 << top) - 1;
    m[limbs - 1] |= (bt_limb)1 << (top - 1);
}

void test_random_exponent(bt_limb *e, size_t limbs, size_t bits)
{
    test_random_limbs(e, limbs);
    if (test_random() % 8 == 0 && bits) {
        memset(e, 0, limbs * sizeof *e);
        const size_t bit = test_random() % bits;
        e[bit / 64] |= (bt_limb)1 << (bit % 64);
    }
    for (size_t i = 0; i < limbs; i++) {
        if (64 * i >= bits)
            e[i] = 0;
        else if (bits - 64 * i < 64)
            e[i] &= ((bt_limb)1 << (bits - 64 * i)) - 1;
    }
}

bt_word *test_words(size_t n)
{
    bt_word *p = malloc(n ? n * sizeof *p : 1);
    if (!p)
        exit(2);
    return p;
}

/* --- contexts ----------------------------------------------------------------------------------------------------------- */

static void open_with(fixture *f, const bt_mont_ops *ops, const bt_limb *m, size_t limbs)
{
    f->limbs = limbs;
    f->m = test_words(limbs);
    memcpy(f->m, m, limbs * sizeof *m);
    f->storage = test_words(bt_modulus_storage(limbs));
    f->consts = test_words(ops->const_words(limbs));
    f->scratch = test_words(ops->scratch_words(limbs));
    if (bt_modulus_init(&f->mod, m, limbs, f->storage) != BT_OK)
        exit(2);
    f->mod.root = f->root_storage ? &f->root : NULL;
    if (bt_mont_init(&f->ctx, ops, &f->mod, f->consts, f->scratch) != BT_OK)
        exit(2);
}

void fixture_open(fixture *f, const bt_mont_ops *wanted, const bt_limb *m, size_t limbs)
{
    f->root_storage = NULL;
    open_with(f, bt_mont_for(wanted, limbs), m, limbs);
}

void fixture_open_square(fixture *f, const bt_mont_ops *ops, const bt_limb *root, size_t limbs)
{
    bt_limb *m = test_words(2 * limbs);
    bt_gmp.mul_n((mp_ptr)m, (mp_srcptr)root, (mp_srcptr)root, (mp_size_t)limbs);
    f->root_storage = test_words(bt_modulus_storage(limbs));
    if (bt_modulus_init(&f->root, root, limbs, f->root_storage) != BT_OK)
        exit(2);
    open_with(f, ops, m, m[2 * limbs - 1] ? 2 * limbs : 2 * limbs - 1);
    free(m);
}

void fixture_close(fixture *f)
{
    free(f->m);
    free(f->storage);
    free(f->consts);
    free(f->scratch);
    free(f->root_storage);
}

bt_word *fixture_array(const fixture *f, size_t n)
{
    return test_words(bt_mont_words(&f->ctx, n));
}

bt_word *fixture_load(const fixture *f, const bt_limb *values, size_t n)
{
    bt_word *a = fixture_array(f, n);
    f->ctx.ops->load(&f->ctx, a, values, n, f->scratch);
    return a;
}

bt_limb *fixture_store(const fixture *f, const bt_word *a, size_t n)
{
    bt_limb *values = test_words(n * f->limbs);
    f->ctx.ops->store(&f->ctx, values, a, n, f->scratch);
    return values;
}
