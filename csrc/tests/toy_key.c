#include "toy_key.h"

#include <stdlib.h>
#include <string.h>

/* made for these tests */
static const bt_limb SMALL_P[TOY_SMALL / 2] = {0xb8a10e42c7472ecb, 0xd684828136b0c33b};
static const bt_limb SMALL_Q[TOY_SMALL / 2] = {0x64711b1ea24be64b, 0xc05fa1037f3257e6};
static const bt_limb LARGE_P[TOY_LARGE / 2] = {0x7817e5b59af44863, 0xe82864d496fa1804, 0xd8cd7c6afe4b3410,
                                               0x548ca7374d63fc8b, 0x1200119894e9e3dd, 0xbb456ebbde797774,
                                               0x200d6b29f110cbad, 0xe6a1549ae9e358dd};
static const bt_limb LARGE_Q[TOY_LARGE / 2] = {0xe5dbd805ee739587, 0x4846800aa2042877, 0x0abde5f20643c7b9,
                                               0xe6abbe61683b08ab, 0x9743036d5f0598be, 0xf3daa6f1c328051b,
                                               0x2b9a45c03bfde9ea, 0xeb242114595afecd};

const bt_limb *toy_prime(size_t limbs, int which)
{
    if (limbs == TOY_SMALL)
        return which ? SMALL_Q : SMALL_P;
    return which ? LARGE_Q : LARGE_P;
}

size_t toy_limbs(const bt_mont_ops *ops)
{
    return ops->min_limbs <= TOY_SMALL ? TOY_SMALL : TOY_LARGE;
}

static void must(bt_status status)
{
    if (status != BT_OK)
        exit(2);
}

void toy_key_open(toy_key *key, const bt_mont_ops *ops)
{
    const size_t L = toy_limbs(ops), H = L / 2;
    bt_word *work = test_words(256);
    memset(key, 0, sizeof *key);
    key->L = L;
    key->H = H;
    key->p = toy_prime(L, 0);
    key->q = toy_prime(L, 1);
    bt_gmp.sec_mul(key->n, key->p, (mp_size_t)H, key->q, (mp_size_t)H, (mp_ptr)work);
    bt_gmp.sec_mul(key->nsquare, key->n, (mp_size_t)L, key->n, (mp_size_t)L, (mp_ptr)work);
    free(work);
    memcpy(key->hs, key->nsquare, sizeof key->hs);
    key->hs[0] -= 9;
    ref_pow(key->hs, key->hs, key->n, L, key->nsquare, 2 * L);
    fixture_open_square(&key->n2, bt_mont_for_square(ops, 2 * L), key->n, L);
    key->storage = test_words(bt_paillier_pub_storage(L));
    must(bt_paillier_pub_init(&key->pub, key->n, L, &key->n2.ctx, key->storage));

    work = test_words(bt_paillier_priv_scratch(&key->pub));
    must(bt_paillier_priv_init(&key->arena, &key->priv, &key->pub, key->p, key->q, work));
    free(work);
    must(bt_paillier_owner_open(&key->tables, key->priv, 1 << 20));
    work = test_words(bt_paillier_owner_scratch(key->priv, 1));
    must(bt_paillier_owner_build(key->priv, key->hs, 0, bt_paillier_owner_rows(key->priv), work));
    free(work);
}

void toy_key_close(toy_key *key)
{
    bt_arena_close(&key->tables);
    bt_arena_close(&key->arena);
    fixture_close(&key->n2);
    free(key->storage);
}
