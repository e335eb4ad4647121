#include "test.h"

#include <string.h>

/* GMPs that are not as expected (fake_gmp.c): redc_n, which no header promises, is taken only if it is there and gives the right
 * answer; limbs must have 64 bits; what is missing is named. */
static void fakes(void)
{
    static const struct {
        const char *path;
        bt_status status;
        int redc_n;
        const char *lacks;
    } cases[] = {
        {BT_FAKES "/fake-right.so", BT_OK, 1, NULL},
        {BT_FAKES "/fake-wrong.so", BT_OK, 0, NULL},
        {BT_FAKES "/fake-none.so", BT_OK, 0, NULL},
        {BT_FAKES "/fake-32.so", BT_ERR_GMP, 0, "64-bit limbs"},
        {BT_FAKES "/fake-lacking.so", BT_ERR_GMP, 0, "__gmpn_sec_mul_itch"},
        {"libc.so.6", BT_ERR_GMP, 0, "__gmpn_add_n"}, /* a library, but not GMP */
        {"no/such/library.so", BT_ERR_GMP, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(&bt_gmp, 0, sizeof bt_gmp);
        const char *lacks = "not written";
        CHECK(bt_gmp_load(cases[i].path, &lacks) == cases[i].status);
        CHECK(lacks == cases[i].lacks || (lacks && cases[i].lacks && strcmp(lacks, cases[i].lacks) == 0));
        CHECK((bt_gmp.redc_n != NULL) == cases[i].redc_n);
        CHECK((bt_gmp.add_n != NULL) == (cases[i].status == BT_OK));
    }
}

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
    for (const bt_mont_ops *const *ops = test_backends(); *ops; ops++) {
        bt_mont none = {.mod = &mod};
        CHECK((*ops)->init(&none, NULL, NULL) == BT_ERR_GMP);
    }
    CHECK(bt_gmp_load(NULL, NULL) == BT_ERR_ARG);
    CHECK(!bt_gmp.add_n);
    fakes();
    bt_gmp = loaded;
    CHECK(bt_gmp_load("no/such/library.so", NULL) == BT_OK); /* loaded already: the path is not looked at */
    CHECK(bt_gmp.version[0] >= '5' && bt_gmp.version[1] == '.');
    CHECK(bt_mont_init(&ctx, &bt_mont_mpn, &mod, NULL, NULL) == BT_OK);
}
