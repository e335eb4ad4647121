#include "test.h"

#include <stdlib.h>
#include <string.h>

static void refusals(void)
{
    bt_modulus mod;
    bt_limb storage[4 * 2];
    const bt_limb even[2] = {2, 1}, one[1] = {1}, zero[1] = {0}, high_zero[2] = {3, 0};
    CHECK(bt_modulus_init(&mod, even, 2, storage) == BT_ERR_EVEN);
    CHECK(bt_modulus_init(&mod, one, 1, storage) == BT_ERR_EVEN);
    CHECK(bt_modulus_init(&mod, zero, 1, storage) == BT_ERR_EVEN);
    CHECK(bt_modulus_init(&mod, high_zero, 2, storage) == BT_ERR_ARG);
    CHECK(bt_modulus_init(&mod, one, 0, storage) == BT_ERR_ARG);
    CHECK(bt_modulus_init(&mod, one, BT_MAX_LIMBS + 1, storage) == BT_ERR_SIZE);
}

/* constants against GMP, for one modulus */
static void constants(const bt_limb *m, size_t bits)
{
    const size_t limbs = (bits + 63) / 64;
    bt_limb *storage = test_words(bt_modulus_storage(limbs)), *want = test_words(limbs);
    const bt_limb two[1] = {2};
    bt_limb *base = test_words(limbs);
    memset(base, 0, limbs * sizeof *base);
    base[0] = two[0];
    bt_modulus mod;
    CHECK(bt_modulus_init(&mod, m, limbs, storage) == BT_OK);
    CHECK(mod.bits == bits && mod.limbs == limbs && !memcmp(mod.m, m, limbs * sizeof *m));
    CHECK(mod.neg_inv * m[0] == ~(bt_limb)0);
    for (bt_limb power = 1; power <= 2; power++) {
        const bt_limb e = power * 64 * limbs;
        ref_pow(want, base, &e, 1, m, limbs);
        CHECK(!memcmp(power == 1 ? mod.r1 : mod.r2, want, limbs * sizeof *want));
    }

    /* valid: 1 .. m - 1; invalid: 0, m, all ones (unless that is below m, which it never is) */
    bt_limb *rows = test_words(4 * limbs);
    memset(rows, 0, 4 * limbs * sizeof *rows);
    rows[0] = 1;
    memcpy(rows + limbs, m, limbs * sizeof *m);
    rows[limbs]--;
    CHECK(bt_modulus_first_invalid(&mod, rows, 2) == 2);
    CHECK(bt_modulus_first_invalid(&mod, rows, 3) == 2); /* the third is 0 */
    memcpy(rows + 2 * limbs, m, limbs * sizeof *m);
    CHECK(bt_modulus_first_invalid(&mod, rows, 4) == 2);
    memset(rows + 2 * limbs, 0xff, limbs * sizeof *m);
    CHECK(bt_modulus_first_invalid(&mod, rows, 4) == 2);
    CHECK(bt_modulus_first_invalid(&mod, rows, 0) == 0);
    free(storage);
    free(want);
    free(base);
    free(rows);
}

/* a a^-1 = 1 mod 2^(64 n), for extreme and random odd a */
static void test_inverse_2k(void)
{
    enum { MOST = 70 };
    bt_limb a[MOST], inverse[MOST], work[MOST], product[2 * MOST];
    for (size_t n = 1; n <= MOST; n++)
        for (int kind = 0; kind < 4; kind++) {
            for (size_t i = 0; i < n; i++)
                a[i] = kind == 0 ? 0 : kind == 1 ? ~(bt_limb)0 : test_random();
            a[0] |= 1;
            bt_inverse_2k(inverse, a, n, work);
            bt_gmp.mul_n(product, a, inverse, (mp_size_t)n);
            int one = product[0] == 1;
            for (size_t i = 1; i < n; i++)
                one &= product[i] == 0;
            CHECK(one);
        }
}

void test_modulus(void)
{
    test_inverse_2k();
    refusals();
    for (bt_limb m = 3; m < 1 << 12; m += 2)
        constants(&m, 64 - (size_t)__builtin_clzll(m));
    bt_limb m[BT_MAX_LIMBS];
    for (size_t limbs = 1; limbs <= 40; limbs++)
        for (int shift = -1; shift <= 1; shift++) {
            const size_t bits = 64 * limbs + (size_t)shift;
            test_random_modulus(m, bits);
            constants(m, bits);
        }
    test_random_modulus(m, BT_MAX_BITS);
    constants(m, BT_MAX_BITS);
}
