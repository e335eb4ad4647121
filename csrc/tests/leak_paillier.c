/* Paillier with its key, plaintexts and randomness secret. What is planted: a look at a secret result, or a step within an
 * operation that looks at the value it works on. */
#include "leaks.h"

#include <stdlib.h>
#include <string.h>

#include "toy_key.h"

/* a toy key, and one of 3072 bits, whose products modulo p^2 the mpn backend cuts in half before it multiplies */
enum { LARGE = 48, N = 3 };

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

/* An operation that looks at what it works on: branches at every visit of this site (see bt_paillier_impl.h). */
static const char *planted_site;

void bt_fault_hook(int side, const char *site, void *p, size_t bytes)
{
    (void)side;
    (void)bytes;
    if (planted_site && !strcmp(site, planted_site))
        leak_branch(p);
}

static void open_public(key *k, size_t L)
{
    const size_t H = L / 2;
    bt_word *work = test_words(1 << 10);
    memset(k, 0, sizeof *k);
    k->L = L;
    k->H = H;
    memcpy(k->p, L == LARGE ? LARGE_P : toy_prime(L, 0), H * sizeof *k->p);
    memcpy(k->q, L == LARGE ? LARGE_Q : toy_prime(L, 1), H * sizeof *k->q);
    bt_gmp.sec_mul(k->n, k->p, (mp_size_t)H, k->q, (mp_size_t)H, (mp_ptr)work);
    bt_gmp.sec_mul(k->nsquare, k->n, (mp_size_t)L, k->n, (mp_size_t)L, (mp_ptr)work);
    fixture_open_square(&k->n2, bt_mont_for_square(leak_backend, 2 * L), k->n, L);
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

static void mul_plain(int planted)
{
    key k;
    const size_t L = toy_limbs(leak_backend);
    open_public(&k, L);
    bt_limb *m = secret(N, L), *src_values = secret(N, 2 * L);
    bt_word *src = fixture_load(&k.n2, src_values, N);
    k.scratch = test_words(bt_paillier_mul_plain_scratch(&k.pub));
    bt_paillier_mul_plain(&k.pub, src, src, m, N, 1, k.scratch);
    if (planted) /* the path for public data has no branch at this size */
        leak_branch(src);
    free(m);
    free(src_values);
    free(src);
    close_key(&k);
}

static void priv_init(int planted)
{
    key k;
    open_private(&k, toy_limbs(leak_backend));
    if (planted)
        leak_branch(k.priv->side[0].inverse);
    close_key(&k);
}

/* The ciphertexts are public; the key, the results and every step between are not. */
static void decrypt_limbs(size_t L, size_t n, const char *site)
{
    key k;
    open_private(&k, L);
    bt_limb *c = test_words(n * 2 * L), *random = test_words(n + 2), *m = test_words(n * L);
    for (size_t i = 0; i < n; i++) { /* g^m, m = 1, 2, 3: 1 + m n */
        memset(c + i * 2 * L, 0, 2 * L * sizeof *c);
        c[i * 2 * L + L] = bt_gmp.mul_1(c + i * 2 * L, k.n, (mp_size_t)L, i + 1);
        c[i * 2 * L] += 1;
    }
    for (size_t i = 0; i < n + 2; i++)
        random[i] = test_random();
    k.scratch = test_words(bt_paillier_decrypt_scratch(k.priv, n));
    planted_site = site;
    if (bt_paillier_decrypt(k.priv, m, c, n, random, k.scratch) != BT_OK)
        exit(2);
    planted_site = NULL;
    free(c);
    free(random);
    free(m);
    close_key(&k);
}

static void decrypt_reduction(int planted)
{
    decrypt_limbs(toy_limbs(leak_backend), N, planted ? "reduction" : NULL);
}

static void decrypt_exponent(int planted)
{
    decrypt_limbs(toy_limbs(leak_backend), 1, planted ? "exponent" : NULL);
}

static void decrypt_quotient(int planted)
{
    decrypt_limbs(toy_limbs(leak_backend), 1, planted ? "L" : NULL);
}

static void decrypt_result(int planted)
{
    decrypt_limbs(toy_limbs(leak_backend), 1, planted ? "result" : NULL);
}

static void decrypt_large(int planted)
{
    decrypt_limbs(LARGE, 1, planted ? "recombination" : NULL);
}

static void open_owner(key *k, size_t L, size_t n)
{
    open_private(k, L);
    if (bt_paillier_owner_open(&k->tables, k->priv, L == LARGE ? 5 << 20 : L == TOY_LARGE ? 1 << 20 : 1 << 14) != BT_OK)
        exit(2);
    k->scratch = test_words(bt_paillier_owner_scratch(k->priv, n));
    if (bt_paillier_owner_build(k->priv, k->hs, 0, bt_paillier_owner_rows(k->priv), k->scratch) != BT_OK)
        exit(2);
}

static void owner_build(int planted)
{
    key k;
    open_owner(&k, toy_limbs(leak_backend), 1);
    for (int side = 0; planted && side < 2; side++)
        leak_element(&k.priv->side[side].c2, k.priv->side[side].comb.table, 1);
    close_key(&k);
}

static void owner_encrypt_limbs(size_t L, size_t n, const char *site)
{
    key k;
    open_owner(&k, L, n);
    bt_limb *m = secret(n, L), *a = secret(n, L / 2), *c = test_words(n * 2 * L), random[N];
    for (size_t i = 0; i < n; i++)
        random[i] = test_random();
    planted_site = site;
    if (bt_paillier_owner_encrypt(k.priv, c, m, a, n, k.hs, random, k.scratch) != BT_OK)
        exit(2);
    planted_site = NULL;
    free(m);
    free(a);
    free(c);
    close_key(&k);
}

static void owner_encrypt_exponent(int planted)
{
    owner_encrypt_limbs(toy_limbs(leak_backend), N, planted ? "randomness" : NULL);
}

static void owner_encrypt_power(int planted)
{
    owner_encrypt_limbs(toy_limbs(leak_backend), 1, planted ? "power" : NULL);
}

static void owner_encrypt_residue(int planted)
{
    owner_encrypt_limbs(toy_limbs(leak_backend), 1, planted ? "residue" : NULL);
}

static void owner_encrypt_large(int planted)
{
    owner_encrypt_limbs(LARGE, 1, planted ? "recombination" : NULL);
}

/* What is rooted and the roots are public. */
static void roots_limbs(size_t L, size_t n, const char *site)
{
    key k;
    open_private(&k, L);
    bt_limb *x = test_words(n * L), *y = test_words(n * L), random[N];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < L; j++)
            x[i * L + j] = j == L - 1 ? test_random() >> 2 : test_random();
        random[i] = test_random();
    }
    k.scratch = test_words(bt_paillier_roots_scratch(k.priv));
    planted_site = site;
    if (bt_paillier_roots(k.priv, y, x, n, random, k.scratch) != BT_OK)
        exit(2);
    planted_site = NULL;
    free(x);
    free(y);
    close_key(&k);
}

static void roots_exponent(int planted)
{
    roots_limbs(toy_limbs(leak_backend), N, planted ? "exponent" : NULL);
}

static void roots_power(int planted)
{
    roots_limbs(toy_limbs(leak_backend), 1, planted ? "power" : NULL);
}

static void roots_large(int planted)
{
    roots_limbs(LARGE, 1, planted ? "recombination" : NULL);
}

const leak_case leaks_paillier[] = {
    {"mul_plain", mul_plain, EACH},
    {"priv_init", priv_init, EACH},
    {"decrypt_reduction", decrypt_reduction, EACH},
    {"decrypt_exponent", decrypt_exponent, EACH},
    {"decrypt_quotient", decrypt_quotient, EACH},
    {"decrypt_result", decrypt_result, EACH},
    {"decrypt_large", decrypt_large, MPN},
    {"owner_build", owner_build, EACH},
    {"owner_encrypt_exponent", owner_encrypt_exponent, EACH},
    {"owner_encrypt_power", owner_encrypt_power, EACH},
    {"owner_encrypt_residue", owner_encrypt_residue, EACH},
    {"owner_encrypt_large", owner_encrypt_large, MPN},
    {"roots_exponent", roots_exponent, EACH},
    {"roots_power", roots_power, EACH},
    {"roots_large", roots_large, MPN},
    {NULL, NULL, 0},
};
