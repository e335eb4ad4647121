/* What the Paillier core refuses, and what it does when the system or the machine lets it down. */
#include <stdlib.h>
#include <string.h>

#include "toy_key.h"

enum { N = 3, TOO_MANY = (1 << 20) + 1 };

static void public_keys(const bt_mont_ops *ops)
{
    toy_key key;
    toy_key_open(&key, ops);
    const size_t L = key.L;
    bt_paillier_pub pub;
    bt_word *storage = test_words(bt_paillier_pub_storage(L));
    bt_limb even[TOY_LARGE];
    CHECK(bt_paillier_pub_init(&pub, key.n, L - 2, &key.n2.ctx, storage) == BT_ERR_ARG);
    memcpy(even, key.n, sizeof even);
    even[0] ^= 1;
    CHECK(bt_paillier_pub_init(&pub, even, L, &key.n2.ctx, storage) == BT_ERR_EVEN);
    CHECK(bt_paillier_pub_init(&pub, key.n, L, &key.n2.ctx, storage) == BT_OK);
    free(storage);
    toy_key_close(&key);

    const bt_limb n[1] = {35}, wide[2] = {1, 1};
    fixture f;
    fixture_open(&f, &bt_mont_mpn, wide, 2);
    storage = test_words(bt_paillier_pub_storage(1));
    CHECK(bt_paillier_pub_init(&pub, n, 1, &f.ctx, storage) == BT_ERR_ARG); /* p and q would have half a limb */
    free(storage);
    fixture_close(&f);
}

static long gcds;
static mp_size_t (*true_gcd)(mp_ptr, mp_ptr, mp_size_t, mp_ptr, mp_size_t);

/* wrong the first time */
static mp_size_t faulty_gcd(mp_ptr g, mp_ptr a, mp_size_t na, mp_ptr b, mp_size_t nb)
{
    const mp_size_t size = true_gcd(g, a, na, b, nb);
    g[0] += gcds++ == 0;
    return size;
}

/* Factors of n among ciphertexts: alone, two whose product is 0 mod n^2, and none but for a faulty gcd. */
static void factors(const bt_mont_ops *ops)
{
    toy_key key;
    toy_key_open(&key, ops);
    const size_t L = key.L, H = key.H, row = 2 * L;
    bt_word *work = test_words(bt_paillier_load_checked_scratch(&key.n2.ctx)), *dst = fixture_array(&key.n2, N);
    bt_limb *c = test_words(N * row), *good = test_words(N * row), *itch = test_words(256);
    memset(good, 0, N * row * sizeof *good);
    for (size_t i = 0; i < N; i++)
        good[i * row] = i + 1;
    CHECK(bt_paillier_load_checked(&key.n2.ctx, key.n, L, dst, good, N, work) == N);

    for (size_t where = 0; where < N; where++) /* p, 2^64 p (a gcd of several limbs) */
        for (size_t shift = 0; shift <= 1; shift++) {
            memcpy(c, good, N * row * sizeof *c);
            memset(c + where * row, 0, row * sizeof *c);
            memcpy(c + where * row + shift, key.p, H * sizeof *c);
            CHECK(bt_paillier_load_checked(&key.n2.ctx, key.n, L, dst, c, N, work) == where);
        }

    memcpy(c, good, N * row * sizeof *c); /* p^2 and q^2 */
    memset(c + row, 0, 2 * row * sizeof *c);
    bt_gmp.sec_mul(c + row, key.p, (mp_size_t)H, key.p, (mp_size_t)H, (mp_ptr)itch);
    bt_gmp.sec_mul(c + 2 * row, key.q, (mp_size_t)H, key.q, (mp_size_t)H, (mp_ptr)itch);
    CHECK(bt_paillier_load_checked(&key.n2.ctx, key.n, L, dst, c, N, work) == 1);

    true_gcd = bt_gmp.gcd;
    bt_gmp.gcd = faulty_gcd;
    gcds = 0;
    CHECK(bt_paillier_load_checked(&key.n2.ctx, key.n, L, dst, good, N, work) == 0); /* refused all the same */
    bt_gmp.gcd = true_gcd;
    CHECK(gcds == 1 + N);
    free(work);
    free(dst);
    free(c);
    free(good);
    free(itch);
    toy_key_close(&key);
}

/* p or q that cannot be, and a system without memory: the arena is closed again */
static void private_keys(const bt_mont_ops *ops)
{
    toy_key key;
    toy_key_open(&key, ops);
    const size_t H = key.H;
    bt_paillier_priv *priv = NULL;
    bt_arena arena;
    bt_word *work = test_words(bt_paillier_priv_scratch(&key.pub));
    bt_limb even[TOY_LARGE / 2], low[TOY_LARGE / 2];
    memcpy(even, key.p, H * sizeof *even);
    even[0] ^= 1;
    memcpy(low, key.p, H * sizeof *low);
    low[H - 1] = 1; /* the square has a limb less */
    CHECK(bt_paillier_priv_init(&arena, &priv, &key.pub, even, key.q, work) == BT_ERR_EVEN && !arena.base);
    CHECK(bt_paillier_priv_init(&arena, &priv, &key.pub, key.p, even, work) == BT_ERR_EVEN && !arena.base);
    CHECK(bt_paillier_priv_init(&arena, &priv, &key.pub, low, key.q, work) == BT_ERR_ARG && !arena.base);
    test_no_memory = 1;
    CHECK(bt_paillier_priv_init(&arena, &priv, &key.pub, key.p, key.q, work) == BT_ERR_NOMEM && !arena.base);
    CHECK(bt_paillier_owner_open(&arena, key.priv, 1 << 20) == BT_ERR_NOMEM && !arena.base);
    test_no_memory = 0;
    const bt_gmp_functions loaded = bt_gmp;
    bt_gmp.add_n = NULL;
    CHECK(bt_paillier_priv_init(&arena, &priv, &key.pub, key.p, key.q, work) == BT_ERR_GMP && !arena.base);
    bt_gmp = loaded;
    CHECK(priv == NULL);
    CHECK(bt_paillier_priv_init(&arena, &priv, &key.pub, key.p, key.q, work) == BT_OK && arena.base);
    CHECK(bt_paillier_priv_check(priv) == BT_OK);
    bt_arena_close(&arena);
    free(work);
    toy_key_close(&key);
}

/* every operation of a key that was wiped, or that another process made */
static void wiped(toy_key *key)
{
    bt_limb c[N * 2 * TOY_LARGE], m[N * TOY_LARGE], a[N * TOY_LARGE / 2], random[N + 2];
    bt_arena tables;
    memset(c, 1, sizeof c);
    memset(m, 1, sizeof m);
    memset(a, 1, sizeof a);
    memset(random, 1, sizeof random);
    CHECK(bt_paillier_priv_check(key->priv) == BT_ERR_WIPED);
    CHECK(bt_paillier_decrypt(key->priv, m, c, N, random, NULL) == BT_ERR_WIPED);
    CHECK(bt_paillier_owner_open(&tables, key->priv, 1 << 20) == BT_ERR_WIPED);
    CHECK(bt_paillier_owner_build(key->priv, key->hs, 0, 1, NULL) == BT_ERR_WIPED);
    CHECK(bt_paillier_owner_encrypt(key->priv, c, m, a, N, key->hs, random, NULL) == BT_ERR_WIPED);
    CHECK(bt_paillier_roots(key->priv, c, m, N, random, NULL) == BT_ERR_WIPED);
}

static void private_operations(const bt_mont_ops *ops)
{
    toy_key key;
    toy_key_open(&key, ops);
    bt_arena tables;
    key.priv->alive ^= 1;
    wiped(&key);
    key.priv->alive ^= 1;
    key.priv->pid++;
    wiped(&key);
    key.priv->pid--;
    CHECK(bt_paillier_decrypt(key.priv, NULL, NULL, TOO_MANY, NULL, NULL) == BT_ERR_ARG);
    CHECK(bt_paillier_owner_encrypt(key.priv, NULL, NULL, NULL, TOO_MANY, key.hs, NULL, NULL) == BT_ERR_ARG);
    CHECK(bt_paillier_owner_open(&tables, key.priv, 0) == BT_ERR_ARG);
    const size_t rows = bt_paillier_owner_rows(key.priv);
    CHECK(bt_paillier_owner_build(key.priv, key.hs, rows + 1, 0, NULL) == BT_ERR_ARG);
    CHECK(bt_paillier_owner_build(key.priv, key.hs, 1, rows, NULL) == BT_ERR_ARG);
    toy_key_close(&key);
}

static void arenas(void)
{
    bt_arena arena;
    test_no_memory = 1;
    CHECK(bt_arena_open(&arena, 1) == BT_ERR_NOMEM && !arena.base && !arena.size);
    test_no_memory = 0;
    bt_arena_close(&arena);                               /* of nothing */
    CHECK(bt_arena_open(&arena, SIZE_MAX) == BT_ERR_ARG); /* more than a multiple of the page size can be */
    CHECK(bt_arena_open(&arena, 1) == BT_OK && arena.base[arena.size - 1] == 0);
    bt_arena_close(&arena);
}

void test_refusals(void)
{
    arenas();
    for (const bt_mont_ops *const *ops = test_backends(); *ops; ops++) {
        public_keys(*ops);
        factors(*ops);
        private_keys(*ops);
        private_operations(*ops);
    }
}
