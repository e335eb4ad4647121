/* Paillier with its key, plaintexts and randomness secret. What is planted: a look at each secret result, and at the secrets
 * that an operation reads. */
#include "leaks.h"

#include <stdlib.h>
#include <string.h>

#include "bt_paillier.h"

enum { L = 4, H = 2, N = 3 };

static const bt_limb P[H] = {0xb8a10e42c7472ecb, 0xd684828136b0c33b};
static const bt_limb Q[H] = {0x64711b1ea24be64b, 0xc05fa1037f3257e6};

typedef struct key {
    bt_limb n[L], nsquare[2 * L], hs[2 * L], p[H], q[H];
    fixture n2;
    bt_word *storage, *scratch;
    bt_paillier_pub pub;
    bt_paillier_priv *priv;
    bt_arena arena, tables;
} key;

static void open_public(key *k)
{
    bt_word *work = test_words(1 << 10);
    memset(k, 0, sizeof *k);
    memcpy(k->p, P, sizeof P);
    memcpy(k->q, Q, sizeof Q);
    bt_gmp.sec_mul(k->n, P, H, Q, H, (mp_ptr)work);
    bt_gmp.sec_mul(k->nsquare, k->n, L, k->n, L, (mp_ptr)work);
    fixture_open(&k->n2, &bt_mont_mpn, k->nsquare, 2 * L);
    memcpy(k->hs, k->nsquare, sizeof k->hs);
    k->hs[0] -= 9; /* any unit serves here */
    k->storage = test_words(bt_paillier_pub_storage(L));
    if (bt_paillier_pub_init(&k->pub, k->n, L, &k->n2.ctx, k->storage) != BT_OK)
        exit(2);
    free(work);
}

static void open_private(key *k)
{
    open_public(k);
    BT_SECRET(k->p, sizeof k->p);
    BT_SECRET(k->q, sizeof k->q);
    bt_word *work = test_words(bt_paillier_priv_scratch(&k->pub));
    if (bt_paillier_priv_init(&k->arena, &k->priv, &k->pub, k->p, k->q, work) != BT_OK)
        exit(2);
    free(work);
}

static void close_key(key *k)
{
    bt_arena_close(&k->tables);
    bt_arena_close(&k->arena);
    fixture_close(&k->n2);
    free(k->storage);
    free(k->scratch);
}

/* n values of `limbs` limbs below 2^(64 limbs - 2), so below n too */
static bt_limb *secret(size_t n, size_t limbs)
{
    bt_limb *x = test_words(n * limbs);
    for (size_t i = 0; i < n * limbs; i++)
        x[i] = i % limbs == limbs - 1 ? test_random() >> 2 : test_random();
    BT_SECRET(x, n * limbs * sizeof *x);
    return x;
}

static void mul_plain(int planted)
{
    key k;
    open_public(&k);
    bt_limb *m = secret(N, L), *src_values = secret(N, 2 * L);
    bt_word *src = fixture_load(&k.n2, src_values, N);
    k.scratch = test_words(bt_paillier_mul_plain_scratch(&k.pub));
    bt_paillier_mul_plain(&k.pub, src, src, m, N, !planted, k.scratch); /* planted: the path for public data */
    free(m);
    free(src_values);
    free(src);
    close_key(&k);
}

static void priv_init(int planted)
{
    key k;
    open_private(&k);
    if (planted)
        leak_branch(k.priv->side[0].inverse);
    close_key(&k);
}

/* The ciphertexts are public; the key, the results and every step between are not. */
static void decrypt(int planted)
{
    key k;
    open_private(&k);
    bt_limb *c = test_words(N * 2 * L), *random = test_words(N + 2), *m = test_words(N * L);
    bt_word *work = test_words(1 << 12), *a = fixture_array(&k.n2, N);
    for (size_t i = 0; i < N; i++) { /* g^m, m = 1, 2, 3: 1 + m n */
        memset(c + i * 2 * L, 0, 2 * L * sizeof *c);
        c[i * 2 * L + L] = bt_gmp.mul_1(c + i * 2 * L, k.n, L, i + 1);
        c[i * 2 * L] += 1;
    }
    for (size_t i = 0; i < N + 2; i++)
        random[i] = test_random();
    k.scratch = test_words(bt_paillier_decrypt_scratch(k.priv, N));
    if (bt_paillier_decrypt(k.priv, m, c, N, random, k.scratch) != BT_OK)
        exit(2);
    if (planted)
        leak_branch(m);
    free(c);
    free(random);
    free(m);
    free(work);
    free(a);
    close_key(&k);
}

static void owner_encrypt(int planted)
{
    key k;
    open_private(&k);
    bt_limb *m = secret(N, L), *a = secret(N, H), *c = test_words(N * 2 * L), random[N];
    if (bt_paillier_owner_open(&k.tables, k.priv, 1 << 14) != BT_OK)
        exit(2);
    size_t rows = bt_paillier_owner_rows(k.priv);
    k.scratch = test_words(bt_paillier_owner_scratch(k.priv, N));
    if (bt_paillier_owner_build(k.priv, k.hs, 0, rows, k.scratch) != BT_OK)
        exit(2);
    for (size_t i = 0; i < N; i++)
        random[i] = test_random();
    /* the check multiplies ciphertexts as public data, which they are once they leave; here they are still marked */
    if (bt_paillier_owner_encrypt(k.priv, c, m, a, N, k.hs, random, k.scratch) != BT_OK)
        exit(2);
    if (planted)
        leak_branch(k.priv->side[1].comb.table);
    free(m);
    free(a);
    free(c);
    close_key(&k);
}

const leak_case leaks_paillier[] = {
    {"mul_plain", mul_plain},
    {"priv_init", priv_init},
    {"decrypt", decrypt},
    {"owner_encrypt", owner_encrypt},
    {NULL, NULL},
};
