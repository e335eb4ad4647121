#include "test.h"

#include <string.h>

/* With the functions taken away for a moment, every way in which loading can fail; then everything as before. */
void test_gmp(void)
{
    const bt_gmp_functions loaded = bt_gmp;
    bt_limb m[1] = {7}, storage[4];
    bt_modulus mod;
    bt_mont ctx;
    CHECK(bt_modulus_init(&mod, m, 1, storage) == BT_OK);
    memset(&bt_gmp, 0, sizeof bt_gmp);
    CHECK(bt_mont_init(&ctx, &bt_mont_mpn, &mod, NULL, NULL) == BT_ERR_GMP);
    CHECK(bt_gmp_load(NULL) == BT_ERR_ARG);
    CHECK(bt_gmp_load("no/such/library.so") == BT_ERR_GMP);
    CHECK(bt_gmp_load("libc.so.6") == BT_ERR_GMP); /* a library, but not GMP (or, elsewhere, none) */
    CHECK(!bt_gmp.add_n);
    bt_gmp = loaded;
    CHECK(bt_gmp_load("no/such/library.so") == BT_OK); /* loaded already: the path is not looked at */
    CHECK(bt_gmp.version[0] >= '5' && bt_gmp.version[1] == '.');
    CHECK(bt_mont_init(&ctx, &bt_mont_mpn, &mod, NULL, NULL) == BT_OK);
}
