/* The few GMP functions we use, bound at run time from the GMP that gmpy2 has already loaded.
 *
 * One GMP in the process, nothing to link, nothing to bundle: see docs/decisions/gmp-from-gmpy2.md. The header gmp.h is
 * used for types only. */
#ifndef BT_GMP_H
#define BT_GMP_H

#include <gmp.h>

#include "bt_limb.h"

typedef struct bt_gmp_functions {
    mp_limb_t (*add_n)(mp_ptr, mp_srcptr, mp_srcptr, mp_size_t);
    mp_limb_t (*sub_n)(mp_ptr, mp_srcptr, mp_srcptr, mp_size_t);
    mp_limb_t (*mul_1)(mp_ptr, mp_srcptr, mp_size_t, mp_limb_t);
    mp_limb_t (*addmul_1)(mp_ptr, mp_srcptr, mp_size_t, mp_limb_t);
    /* fast, may branch on the operands: public data only */
    void (*mul_n)(mp_ptr, mp_srcptr, mp_srcptr, mp_size_t);
    void (*sqr)(mp_ptr, mp_srcptr, mp_size_t);
    /* no branch, no address from the operands */
    void (*sec_mul)(mp_ptr, mp_srcptr, mp_size_t, mp_srcptr, mp_size_t, mp_ptr);
    mp_size_t (*sec_mul_itch)(mp_size_t, mp_size_t);
    /* up[2 n] / 2^(64 n) mod m, reduced, n > 8, given m^-1 mod 2^(64 n); up is destroyed; public data only. Exported by GMP 5 to
     * 6.3 but not in gmp.h: NULL unless it exists and a test at load gave the right result. */
    void (*redc_n)(mp_ptr, mp_ptr, mp_srcptr, mp_size_t, mp_srcptr);
    mp_size_t (*gcd)(mp_ptr, mp_ptr, mp_size_t, mp_ptr, mp_size_t); /* public data only */
    const char *version;                                            /* "6.3.0" */
} bt_gmp_functions;

extern bt_gmp_functions bt_gmp; /* all null until bt_gmp_load succeeds; never changes afterwards */

/* Opens `path` (a shared object that depends on libgmp - gmpy2's extension - or libgmp itself) and binds the functions.
 * Idempotent and cheap the second time. On BT_ERR_GMP, *lacks names what is missing: a symbol, or "64-bit limbs", or NULL if the
 * object itself could not be opened (then dlerror() has the reason); `lacks` may be NULL. */
bt_status bt_gmp_load(const char *path, const char **lacks);

#endif
