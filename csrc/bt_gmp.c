#include "bt_gmp.h"

#include "bt_modulus.h"

#include <dlfcn.h>
#include <string.h>

_Static_assert(GMP_LIMB_BITS == 64 && GMP_NAIL_BITS == 0, "bluetusk needs a GMP with full 64-bit limbs");
_Static_assert(sizeof(mp_limb_t) == sizeof(bt_limb), "a GMP limb must be one bt_limb");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are exchanged as little-endian bytes");

/* gmp.h renames its functions (mpn_add_n is __gmpn_add_n); the linker knows them by the expanded name. */
#define QUOTE(x) #x
#define SYMBOL(x) QUOTE(x)

bt_gmp_functions bt_gmp;

/* Copies the address of `symbol` into the function pointer (or object pointer) at `to`; 0 if there is none. */
static int bind(void *handle, const char *symbol, void *to)
{
    void *address = dlsym(handle, symbol);
    memcpy(to, &address, sizeof address); /* ISO C has no cast from void * to a function pointer */
    return address != NULL;
}

/* One reduction by redc_n against the same by rows of addmul_1. */
static int redc_n_works(const bt_gmp_functions *f)
{
    enum { N = 12 };
    bt_limb m[N], inverse[N], work[N], t[2 * N], rows[2 * N], got[N], x = 1;
    for (size_t i = 0; i < N; i++)
        m[i] = x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
    m[0] |= 1;
    m[N - 1] |= (bt_limb)1 << 63; /* 2^(64 N) < 2 m */
    for (size_t i = 0; i < 2 * N; i++)
        t[i] = rows[i] = x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
    t[2 * N - 1] = rows[2 * N - 1] = m[N - 1] >> 1; /* t < m 2^(64 N) */
    bt_inverse_2k(inverse, m, N, work);
    f->redc_n((mp_ptr)got, (mp_ptr)t, (mp_srcptr)m, N, (mp_srcptr)inverse);

    for (size_t i = 0; i < N; i++)
        rows[i] = f->addmul_1((mp_ptr)(rows + i), (mp_srcptr)m, N, 0 - rows[i] * inverse[0]);
    bt_limb carry = f->add_n((mp_ptr)rows, (mp_srcptr)(rows + N), (mp_srcptr)rows, N);
    bt_limb borrow = f->sub_n((mp_ptr)work, (mp_srcptr)rows, (mp_srcptr)m, N);
    const bt_limb keep = bt_ct_nonzero(borrow & ~carry);
    bt_limb wrong = 0;
    for (size_t i = 0; i < N; i++)
        wrong |= got[i] ^ bt_ct_select(keep, rows[i], work[i]);
    return wrong == 0;
}

/* Binds what is needed; returns the first symbol that is not there, NULL if all are. */
static const char *bind_all(void *handle, bt_gmp_functions *f, const int **limb_bits, const char *const **version)
{
    const struct {
        const char *symbol;
        void *to;
    } needed[] = {
        {SYMBOL(mpn_add_n), &f->add_n},     {SYMBOL(mpn_sub_n), &f->sub_n},
        {SYMBOL(mpn_mul_1), &f->mul_1},     {SYMBOL(mpn_addmul_1), &f->addmul_1},
        {SYMBOL(mpn_mul_n), &f->mul_n},     {SYMBOL(mpn_sqr), &f->sqr},
        {SYMBOL(mpn_sec_mul), &f->sec_mul}, {SYMBOL(mpn_sec_mul_itch), &f->sec_mul_itch},
        {SYMBOL(mpn_gcd), &f->gcd},         {SYMBOL(mp_bits_per_limb), limb_bits},
        {SYMBOL(gmp_version), version},
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!bind(handle, needed[i].symbol, needed[i].to))
            return needed[i].symbol;
    return NULL;
}

bt_status bt_gmp_load(const char *path, const char **lacks)
{
    const char *unused;
    if (!lacks)
        lacks = &unused;
    *lacks = NULL;
    if (bt_gmp.add_n)
        return BT_OK;
    if (!path)
        return BT_ERR_ARG;
    /* Never closed: the functions must outlive everything. dlsym on a handle searches the object, then its dependencies,
     * so it finds libgmp behind gmpy2 whatever the wheel's file name for it. */
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return BT_ERR_GMP;
    bt_gmp_functions f;
    const int *limb_bits;
    const char *const *version;
    *lacks = bind_all(handle, &f, &limb_bits, &version);
    if (!*lacks && *limb_bits != 64)
        *lacks = "64-bit limbs";
    if (*lacks)
        return BT_ERR_GMP;
    f.version = *version;
    if (bind(handle, "__gmpn_redc_n", &f.redc_n) && !redc_n_works(&f))
        f.redc_n = NULL;
    bt_gmp = f;
    return BT_OK;
}
