/* Paillier with its key, plaintexts and randomness secret. What is planted: a look at each secret result, and at the secrets
 * that an operation reads. */
#include "leaks.h"

#include <stdlib.h>
#include <string.h>

#include "bt_paillier.h"

/* keys of 256 bits, one of 1024 bits for backends that take no small moduli, and one of 3072 bits, whose products modulo p^2 are
 * cut in half before they are multiplied */
enum { SMALL = 4, MIDDLE = 16, LARGE = 48, N = 3 };

static const bt_limb P[SMALL / 2] = {0xb8a10e42c7472ecb, 0xd684828136b0c33b};
static const bt_limb Q[SMALL / 2] = {0x64711b1ea24be64b, 0xc05fa1037f3257e6};

static const bt_limb MIDDLE_P[MIDDLE / 2] = {
    0xfaa2828f47ad4c53, 0xd97f99f75e086d2e, 0x728507d32bb697d1, 0xacd2bd6edc575a14,
    0x6d65dcc57af3e2da, 0x8d8945e2851dd517, 0x43b3055295bb2b01, 0xf1ef2dbdbb62667e,
};
static const bt_limb MIDDLE_Q[MIDDLE / 2] = {
    0x83976a532081ae4d, 0x1c572ec6812ea394, 0x57aeb5e08b12bdb5, 0x30d7720f4b8dc9e8,
    0xc10e25bbf00034cd, 0xbbd21d1b5cf97928, 0xbe40de6208fb3e61, 0xf4cba06f6ecfcc6b,
};

static const bt_limb LARGE_P[LARGE / 2] = {
    0xf555616dc6ac7af1, 0xfc848c3c4edc05c0, 0xafecd8ea265bd915, 0xb0231804cf3427b6, 0xecc055ccccfeb3dc,
    0xe24e81fd50f51c47, 0xdc4f645fb5b5f1c3, 0x8e2b01ffb7f6f1da, 0xcb87095fc556acc2, 0xc8cad7c8610ce413,
    0x0fa2db2ff07c194c, 0x67a9fc03a7147261, 0x1696d7d2414ae56a, 0x6c67aa57caecb593, 0x0518c45c57e2e66d,
    0x35a6e433e6b53282, 0x562c170fcfae70ed, 0x350acc4109072f9f, 0xa328b66d9125049e, 0x6011888a674a2e78,
    0xc0c24928df2db394, 0x6b744edc3eb43cc6, 0x5d956a097b894ddb, 0xe0f27583db1940c6,
};
static const bt_limb LARGE_Q[LARGE / 2] = {
    0x63df5577ccb76cdd, 0xd118801cb15c4ab5, 0xf363b976a49d65f6, 0x98c14f62870cad56, 0x125a876b7dba3105,
    0x97b542b1d7712ef4, 0x5137b30e51cecf81, 0xf0c56cdc3ab25803, 0xac02755cc716222f, 0xd25995d053f56e28,
    0x694670ac0ac035a6, 0x797f928b6a1a9714, 0xdac7f64616a7bfc3, 0xa8502a7e74270539, 0x6433a61597aade46,
    0x952471da494ce86d, 0x324ceb98d5e9327b, 0xad9664d4843a3e75, 0x7b63c05661dab8e2, 0x13220463d9393321,
    0x3da4312a42d513f3, 0x224a56df597df753, 0xf15cf7540983601f, 0xc4cdb092444dd03d,
};

typedef struct key {
    size_t L, H;
    bt_limb n[LARGE], nsquare[2 * LARGE], hs[2 * LARGE], p[LARGE / 2], q[LARGE / 2];
    fixture n2;
    bt_word *storage, *scratch;
    bt_paillier_pub pub;
    bt_paillier_priv *priv;
    bt_arena arena, tables;
} key;

static void open_public(key *k, size_t L)
{
    const size_t H = L / 2;
    bt_word *work = test_words(1 << 10);
    memset(k, 0, sizeof *k);
    k->L = L;
    k->H = H;
    memcpy(k->p, L == SMALL ? P : L == MIDDLE ? MIDDLE_P : LARGE_P, H * sizeof *k->p);
    memcpy(k->q, L == SMALL ? Q : L == MIDDLE ? MIDDLE_Q : LARGE_Q, H * sizeof *k->q);
    bt_gmp.sec_mul(k->n, k->p, (mp_size_t)H, k->q, (mp_size_t)H, (mp_ptr)work);
    bt_gmp.sec_mul(k->nsquare, k->n, (mp_size_t)L, k->n, (mp_size_t)L, (mp_ptr)work);
    fixture_open(&k->n2, leak_backend, k->nsquare, 2 * L);
    memcpy(k->hs, k->nsquare, sizeof k->hs);
    k->hs[0] -= 9; /* any unit serves here */
    k->storage = test_words(bt_paillier_pub_storage(L));
    if (bt_paillier_pub_init(&k->pub, k->n, L, &k->n2.ctx, k->storage) != BT_OK)
        exit(2);
    free(work);
}

static void open_private(key *k, size_t L)
{
    open_public(k, L);
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

/* the small key, or the middle one for a backend that takes no small moduli */
static size_t key_limbs(void)
{
    return leak_backend->min_limbs <= SMALL ? SMALL : MIDDLE;
}

static void mul_plain(int planted)
{
    key k;
    const size_t L = key_limbs();
    open_public(&k, L);
    bt_limb *m = secret(N, L), *src_values = secret(N, 2 * L);
    bt_word *src = fixture_load(&k.n2, src_values, N);
    k.scratch = test_words(bt_paillier_mul_plain_scratch(&k.pub));
    bt_paillier_mul_plain(&k.pub, src, src, m, N, !planted, k.scratch); /* planted: the path for public data */
    leak_result(src, planted);
    free(m);
    free(src_values);
    free(src);
    close_key(&k);
}

static void priv_init(int planted)
{
    key k;
    open_private(&k, key_limbs());
    if (planted)
        leak_branch(k.priv->side[0].inverse);
    close_key(&k);
}

/* The ciphertexts are public; the key, the results and every step between are not. */
static void decrypt_limbs(size_t L, size_t n, int planted)
{
    key k;
    open_private(&k, L);
    bt_limb *c = test_words(n * 2 * L), *random = test_words(n + 2), *m = test_words(n * L);
    bt_word *work = test_words(1 << 12), *a = fixture_array(&k.n2, n);
    for (size_t i = 0; i < n; i++) { /* g^m, m = 1, 2, 3: 1 + m n */
        memset(c + i * 2 * L, 0, 2 * L * sizeof *c);
        c[i * 2 * L + L] = bt_gmp.mul_1(c + i * 2 * L, k.n, L, i + 1);
        c[i * 2 * L] += 1;
    }
    for (size_t i = 0; i < n + 2; i++)
        random[i] = test_random();
    k.scratch = test_words(bt_paillier_decrypt_scratch(k.priv, n));
    if (bt_paillier_decrypt(k.priv, m, c, n, random, k.scratch) != BT_OK)
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

static void decrypt(int planted)
{
    decrypt_limbs(key_limbs(), N, planted);
}

static void decrypt_large(int planted)
{
    decrypt_limbs(LARGE, 1, planted);
}

static void owner_encrypt_limbs(size_t L, size_t n, int planted)
{
    key k;
    open_private(&k, L);
    bt_limb *m = secret(n, L), *a = secret(n, L / 2), *c = test_words(n * 2 * L), random[N];
    if (bt_paillier_owner_open(&k.tables, k.priv, L == SMALL ? 1 << 14 : 5 << 20) != BT_OK)
        exit(2);
    size_t rows = bt_paillier_owner_rows(k.priv);
    k.scratch = test_words(bt_paillier_owner_scratch(k.priv, n));
    if (bt_paillier_owner_build(k.priv, k.hs, 0, rows, k.scratch) != BT_OK)
        exit(2);
    for (size_t i = 0; i < n; i++)
        random[i] = test_random();
    /* the check multiplies ciphertexts as public data, which they are once they leave; here they are still marked */
    if (bt_paillier_owner_encrypt(k.priv, c, m, a, n, k.hs, random, k.scratch) != BT_OK)
        exit(2);
    if (planted)
        leak_branch(k.priv->side[1].comb.table);
    free(m);
    free(a);
    free(c);
    close_key(&k);
}

static void owner_encrypt(int planted)
{
    owner_encrypt_limbs(key_limbs(), N, planted);
}

static void owner_encrypt_large(int planted)
{
    owner_encrypt_limbs(LARGE, 1, planted);
}

const leak_case leaks_paillier[] = {
    {"mul_plain", mul_plain},
    {"priv_init", priv_init},
    {"decrypt", decrypt},
    {"decrypt_large", decrypt_large},
    {"owner_encrypt", owner_encrypt},
    {"owner_encrypt_large", owner_encrypt_large},
    {NULL, NULL},
};
