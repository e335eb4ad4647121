#include "bt_gmp.h"

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

bt_status bt_gmp_load(const char *path)
{
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
    int found = bind(handle, SYMBOL(mpn_add_n), &f.add_n) & bind(handle, SYMBOL(mpn_sub_n), &f.sub_n) &
                bind(handle, SYMBOL(mpn_mul_1), &f.mul_1) & bind(handle, SYMBOL(mpn_addmul_1), &f.addmul_1) &
                bind(handle, SYMBOL(mpn_mul_n), &f.mul_n) & bind(handle, SYMBOL(mpn_sqr), &f.sqr) &
                bind(handle, SYMBOL(mpn_sec_mul), &f.sec_mul) &
                bind(handle, SYMBOL(mpn_sec_mul_itch), &f.sec_mul_itch) & bind(handle, SYMBOL(mpn_gcd), &f.gcd) &
                bind(handle, SYMBOL(mp_bits_per_limb), &limb_bits) & bind(handle, SYMBOL(gmp_version), &version);
    if (!found || *limb_bits != 64)
        return BT_ERR_GMP;
    f.version = *version;
    bt_gmp = f;
    return BT_OK;
}
