/* Paillier on toy keys of 256 and 1024 bits (the arithmetic is the same at any size; real sizes are tested from Python), and promise M6:
 * no fault, in any stored constant or any step, on either side, releases a wrong result. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "toy_key.h"

enum { SMALL = TOY_SMALL, LARGE = TOY_LARGE, MAX_N = 1000 };

/* Limbs of n and of its primes. */
static size_t L, H;

static const bt_limb *P, *Q;
static bt_limb n[LARGE], nsquare[2 * LARGE], hs[2 * LARGE];
static bt_modulus n2_modulus;
static bt_mont n2;
static bt_paillier_pub pub;
static bt_word *n2_storage, *n2_consts, *pub_storage, *spare;
static bt_limb messages[MAX_N * LARGE], cipher[MAX_N * 2 * LARGE], out[MAX_N * 2 * LARGE], exponents[MAX_N * LARGE / 2],
    random_limbs[MAX_N + 2], powers[BT_PAILLIER_ROOTS * LARGE], roots[BT_PAILLIER_ROOTS * LARGE];

/* No all-zero numbers, which test_random_limbs likes: exponents and the check's t must not be 0. */
static void fill_random(bt_limb *x, size_t words)
{
    while (words--)
        *x++ = test_random();
}

/* Scratch of exactly this many words, so that AddressSanitizer sees one too many; freed by the next call. */
static bt_word *scratch(size_t words)
{
    free(spare);
    spare = test_words(words);
    return spare;
}

static bt_status decrypt(const bt_paillier_priv *priv, size_t count)
{
    return bt_paillier_decrypt(priv, out, cipher, count, random_limbs,
                               scratch(bt_paillier_decrypt_scratch(priv, count)));
}

static bt_status owner_encrypt(const bt_paillier_priv *priv, size_t count)
{
    return bt_paillier_owner_encrypt(priv, out, messages, exponents, count, hs, random_limbs,
                                     scratch(bt_paillier_owner_scratch(priv, count)));
}

static bt_status take_roots(const bt_paillier_priv *priv, size_t count)
{
    return bt_paillier_roots(priv, out, powers, count, random_limbs, scratch(bt_paillier_roots_scratch(priv)));
}

/* --- fault injection: the hook of bt_paillier.c under BT_FAULT_TEST ------------------------------------------------------- */

enum { ZERO, ONE, SWAP, FLIP, MODULUS, KINDS }; /* MODULUS: a final subtraction that did not take place */

static _Thread_local struct { /* the threads of test_threads.c run unharmed */
    int armed, kind, persistent;
    long countdown;   /* transient: sites that still pass unharmed */
    const char *site; /* persistent: every visit of this site and side */
    int side;
    long visits;
    int zero_randomness;
} fault;

static void spoil(void *p, size_t bytes, int kind)
{
    unsigned char *b = p;
    size_t words = bytes / 8;
    bt_limb *w = p;
    switch (kind) {
    case ZERO:
        memset(b, 0, bytes);
        break;
    case ONE:
        memset(b, 0, bytes);
        b[0] = 1;
        break;
    case SWAP: {
        size_t i = test_random() % words, j = test_random() % words;
        bt_limb t = w[i];
        w[i] = w[j];
        w[j] = t;
        break;
    }
    case MODULUS:
        if (bytes >= 2 * L * sizeof *nsquare)
            (void)bt_gmp.add_n(w, w, nsquare, 2 * L);
        else if (bytes >= L * sizeof *n)
            (void)bt_gmp.add_n(w, w, n, L);
        else if (bytes >= H * sizeof *Q)
            (void)bt_gmp.add_n(w, w, Q, H);
        break;
    default:
        b[test_random() % bytes] ^= (unsigned char)(1u << (test_random() % 8));
    }
}

void bt_fault_hook(int side, const char *site, void *p, size_t bytes)
{
    fault.visits++;
    if (strcmp(site, "randomness") == 0) {
        if (fault.zero_randomness)
            memset(p, 0, bytes);
        return;
    }
    if (!fault.armed)
        return;
    if (fault.persistent ? (side == fault.side && strcmp(site, fault.site) == 0) : fault.countdown-- == 0)
        spoil(p, bytes, fault.kind);
}

/* --- set-up --------------------------------------------------------------------------------------------------------------- */

static void setup(const bt_mont_ops *ops)
{
    L = toy_limbs(ops);
    H = L / 2;
    P = toy_prime(L, 0);
    Q = toy_prime(L, 1);
    CHECK(bt_mont_for(ops, L) == ops && bt_mont_for(ops, 2 * L) == ops);
    bt_word itch[256];
    bt_gmp.sec_mul(n, P, H, Q, H, (mp_ptr)itch);
    bt_gmp.sec_mul(nsquare, n, L, n, L, (mp_ptr)itch);
    n2_storage = test_words(bt_modulus_storage(2 * L));
    n2_consts = test_words(ops->const_words(2 * L));
    pub_storage = test_words(bt_paillier_pub_storage(L));
    CHECK(bt_modulus_init(&n2_modulus, nsquare, 2 * L, n2_storage) == BT_OK);
    CHECK(bt_mont_init(&n2, ops, &n2_modulus, n2_consts, scratch(ops->scratch_words(2 * L))) == BT_OK);
    CHECK(bt_paillier_pub_init(&pub, n, L, &n2, pub_storage) == BT_OK);

    /* hs = (-x^2)^n mod n^2 with x = 3: -9 = n^2 - 9 mod n^2 */
    bt_word *base = test_words(bt_mont_words(&n2, 1)), *power = test_words(bt_mont_words(&n2, 1));
    memcpy(hs, nsquare, 2 * L * sizeof *hs);
    hs[0] -= 9;
    n2.ops->load(&n2, base, hs, 1, scratch(bt_mont_scratch(&n2)));
    bt_pow_secret(&n2, power, base, 1, n, 0, 64 * L, scratch(bt_pow_secret_scratch(&n2, 1, 64 * L)));
    n2.ops->store(&n2, hs, power, 1, scratch(bt_mont_scratch(&n2)));
    free(base);
    free(power);
}

static void cleanup(void)
{
    free(n2_storage);
    free(n2_consts);
    free(pub_storage);
    free(spare);
    spare = NULL;
}

static void random_messages(size_t count)
{
    fill_random(messages, count * L);
    fill_random(exponents, count * H);
    fill_random(random_limbs, count + 2);
    for (size_t i = 0; i < count; i++)
        messages[i * L + L - 1] %= n[L - 1]; /* below n */
}

/* c = (1 + m n) hs^a mod n^2 on the public path */
static void encrypt_public(bt_limb *c, size_t count)
{
    bt_word *base = test_words(bt_mont_words(&n2, count)), *power = test_words(bt_mont_words(&n2, count));
    bt_limb *copies = test_words(count * 2 * L);
    for (size_t i = 0; i < count; i++)
        memcpy(copies + i * 2 * L, hs, 2 * L * sizeof *hs);
    n2.ops->load(&n2, base, copies, count, scratch(bt_mont_scratch(&n2)));
    bt_pow_secret(&n2, power, base, count, exponents, H, 64 * H, scratch(bt_pow_secret_scratch(&n2, count, 64 * H)));
    bt_paillier_mul_plain(&pub, power, power, messages, count, 1, scratch(bt_paillier_mul_plain_scratch(&pub)));
    n2.ops->store(&n2, c, power, count, scratch(bt_mont_scratch(&n2)));
    free(base);
    free(power);
    free(copies);
}

/* powers = roots^n mod n, of random roots, 1 and -1 */
static void random_roots(size_t count)
{
    bt_limb limbs[BT_PAILLIER_ROOTS * LARGE];
    const size_t at = bt_mont_words(&pub.n1, BT_PAILLIER_ROOTS);
    bt_word *base = test_words(at), *power = test_words(at);
    fill_random(roots, count * L);
    fill_random(random_limbs, count + 2);
    for (size_t i = 0; i < count; i++)
        roots[i * L + L - 1] %= n[L - 1];
    if (count > 2) {
        memset(roots, 0, 2 * L * sizeof *roots);
        roots[0] = 1;
        memcpy(roots + L, n, L * sizeof *n);
        roots[L] -= 1;
    }
    memcpy(limbs, roots, sizeof limbs);
    pub.n1.ops->load(&pub.n1, base, limbs, count, scratch(bt_mont_scratch(&pub.n1)));
    bt_pow_public(&pub.n1, power, base, count, n, 0, 64 * L, 0, scratch(bt_pow_public_scratch(&pub.n1, count, 64 * L)));
    pub.n1.ops->store(&pub.n1, powers, power, count, scratch(bt_mont_scratch(&pub.n1)));
    free(base);
    free(power);
}

static void open_key(bt_arena *arena, bt_arena *tables, bt_paillier_priv **priv)
{
    CHECK(bt_paillier_priv_init(arena, priv, &pub, P, Q, scratch(bt_paillier_priv_scratch(&pub))) == BT_OK);
    CHECK(bt_paillier_owner_open(tables, *priv, 1 << 20) == BT_OK);
    size_t rows = bt_paillier_owner_rows(*priv);
    for (size_t row = 0; row < rows; row += 8)
        CHECK(bt_paillier_owner_build(*priv, hs, row, rows - row < 8 ? rows - row : 8,
                                      scratch(bt_paillier_owner_scratch(*priv, 1))) == BT_OK);
}

/* --- right answers -------------------------------------------------------------------------------------------------------- */

/* lengths 0 to 3, then in steps */
static void test_round_trip(bt_paillier_priv *priv, int step)
{
    for (size_t count = 0; count <= 80; count += count < 3 ? 1 : (size_t)step) {
        random_messages(count);
        if (count > 2) { /* the ends of the range */
            memset(messages, 0, L * sizeof *messages);
            memcpy(messages + L, n, L * sizeof *n);
            messages[L] -= 1;
        }
        encrypt_public(cipher, count);
        CHECK(decrypt(priv, count) == BT_OK);
        CHECK(memcmp(out, messages, count * L * sizeof *out) == 0);
        CHECK(owner_encrypt(priv, count) == BT_OK);
        CHECK(memcmp(out, cipher, count * 2 * L * sizeof *out) == 0);
    }
}

static void test_roots(bt_paillier_priv *priv)
{
    for (size_t count = 0; count <= BT_PAILLIER_ROOTS; count++) {
        random_roots(count);
        CHECK(take_roots(priv, count) == BT_OK);
        CHECK(memcmp(out, roots, count * L * sizeof *out) == 0);
    }
    CHECK(bt_paillier_roots(priv, out, powers, BT_PAILLIER_ROOTS + 1, random_limbs, NULL) == BT_ERR_ARG);
}

static void test_refusals(bt_paillier_priv *priv)
{
    random_messages(3);
    encrypt_public(cipher, 3);
    random_limbs[1] = 0; /* a rho of 0 */
    CHECK(owner_encrypt(priv, 3) == BT_ERR_ARG);
    CHECK(decrypt(priv, 3) == BT_ERR_ARG);
    random_limbs[1] = 1;
    random_limbs[3] = random_limbs[4] = 0; /* t = 0 */
    CHECK(decrypt(priv, 3) == BT_ERR_ARG);
    memset(exponents + H, 0, H * sizeof *exponents);
    CHECK(owner_encrypt(priv, 3) == BT_ERR_ARG);
    random_messages(3);
    fault.zero_randomness = 1; /* exponents lost after they were looked at: c = 1 + m n would pass the product check */
    CHECK(owner_encrypt(priv, 3) == BT_ERR_FAULT);
    fault.zero_randomness = 0;
    bt_paillier_side *side = &priv->side[0];
    CHECK(bt_paillier_owner_build(priv, hs, side->comb.build_steps, 1, spare) == BT_ERR_ARG);
    bt_word *table = side->comb.table;
    side->comb.table = NULL;
    CHECK(bt_paillier_owner_build(priv, hs, 0, 1, spare) == BT_ERR_ARG);
    CHECK(owner_encrypt(priv, 3) == BT_ERR_ARG);
    side->comb.table = table;
}

/* --- M6 ------------------------------------------------------------------------------------------------------------------- */

#ifdef BT_VERIFY
static const int bounds_checked = 1; /* corrupted constants break bounds, as they must: no faults in this build */
#else
static const int bounds_checked = 0;
#endif
static long faults, released;

enum { DECRYPT, ENCRYPT, ROOTS, OPERATIONS };

/* One run of an operation; a wrong result with BT_OK is a release. */
static void run_faulty(const bt_paillier_priv *priv, size_t count, int operation)
{
    memset(out, 0xa5, sizeof out);
    if (operation == ROOTS) {
        count = count < BT_PAILLIER_ROOTS ? count : BT_PAILLIER_ROOTS;
        bt_status status = take_roots(priv, count);
        released += status == BT_OK && memcmp(out, roots, count * L * sizeof *out) != 0;
    } else if (operation == ENCRYPT) {
        bt_status status = owner_encrypt(priv, count);
        released += status == BT_OK && memcmp(out, cipher, count * 2 * L * sizeof *out) != 0;
    } else {
        bt_status status = decrypt(priv, count);
        released += status == BT_OK && memcmp(out, messages, count * L * sizeof *out) != 0;
    }
    faults++;
}

typedef struct region {
    void *p;
    size_t bytes;
} region;

/* Every constant that a private key stores, and those of the public modulus that its operations read. */
static size_t constants(const bt_paillier_priv *priv, region *r)
{
    size_t k = 0;
    for (int s = 0; s < 2; s++) {
        const bt_paillier_side *side = &priv->side[s];
        const bt_modulus *moduli[2] = {&side->m1, &side->m2};
        for (int j = 0; j < 2; j++) {
            size_t bytes = moduli[j]->limbs * sizeof(bt_limb);
            r[k++] = (region){(void *)moduli[j]->m, bytes};
            r[k++] = (region){(void *)moduli[j]->r1, bytes};
            r[k++] = (region){(void *)moduli[j]->r2, bytes};
            r[k++] = (region){(void *)&moduli[j]->neg_inv, sizeof(bt_limb)};
        }
        r[k++] = (region){(void *)side->c1.consts, side->c1.ops->const_words(H) * sizeof(bt_word)};
        r[k++] = (region){(void *)side->c2.consts, side->c2.ops->const_words(L) * sizeof(bt_word)};
        r[k++] = (region){side->exponent, H * sizeof(bt_limb)};
        r[k++] = (region){side->inverse, H * sizeof(bt_limb)};
        r[k++] = (region){side->h, side->c1.elem_words * sizeof(bt_word)};
        r[k++] = (region){side->wide, BT_PAILLIER_CHUNK * side->c2.elem_words * sizeof(bt_word)};
        r[k++] = (region){(void *)side->c2_one.consts, bt_mont_mpn.const_words(L) * sizeof(bt_word)};
        r[k++] = (region){side->wide_one, side->c2_one.elem_words * sizeof(bt_word)};
        r[k++] = (region){side->comb.table, side->comb.rows * side->comb.row_words * sizeof(bt_word)};
    }
    r[k++] = (region){priv->p_inv, priv->side[1].c1.elem_words * sizeof(bt_word)};
    r[k++] = (region){priv->p2_inv, BT_PAILLIER_CHUNK * priv->side[1].c2.elem_words * sizeof(bt_word)};
    r[k++] = (region){hs, 2 * L * sizeof *hs};
    r[k++] = (region){(void *)pub.n2_one.consts, bt_mont_mpn.const_words(2 * L) * sizeof(bt_word)};
    r[k++] = (region){(void *)pub.n1.consts, bt_mont_mpn.const_words(L) * sizeof(bt_word)};
    const bt_modulus *publics[2] = {&pub.n, n2.mod};
    for (int j = 0; j < 2; j++) {
        size_t bytes = publics[j]->limbs * sizeof(bt_limb);
        r[k++] = (region){(void *)publics[j]->m, bytes};
        r[k++] = (region){(void *)publics[j]->r1, bytes};
        r[k++] = (region){(void *)publics[j]->r2, bytes};
        r[k++] = (region){(void *)&publics[j]->neg_inv, sizeof(bt_limb)};
    }
    return k;
}

/* kinds: how many of the KINDS, at random, each constant gets in each round */
static void persistent_faults_in_constants(const bt_paillier_priv *priv, size_t count, int rounds, int kinds)
{
    region r[64];
    size_t regions = constants(priv, r);
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < regions; i++) {
            const int first = (int)(test_random() % KINDS);
            for (int kind = first; kind < first + kinds; kind++) {
                if (r[i].bytes == 0)
                    continue;
                int operation = (int)(test_random() % OPERATIONS);
                unsigned char *saved = malloc(r[i].bytes);
                memcpy(saved, r[i].p, r[i].bytes);
                spoil(r[i].p, r[i].bytes, kind % KINDS);
                run_faulty(priv, count, operation);
                memcpy(r[i].p, saved, r[i].bytes);
                free(saved);
            }
        }
}

static void faults_in_steps(const bt_paillier_priv *priv, size_t count, int rounds)
{
    static const char *const sites[] = {"reduction", "base",    "exponent",      "power",
                                        "L",         "residue", "recombination", "result"};
    for (int round = 0; round < rounds; round++)
        for (int operation = 0; operation < OPERATIONS; operation++)
            for (int kind = 0; kind < KINDS; kind++) {
                fault.armed = 0; /* how many sites does one run pass? */
                fault.visits = 0;
                run_faulty(priv, count, operation);
                faults--;
                long visits = fault.visits;
                fault.kind = kind;
                fault.armed = 1;
                fault.persistent = 0;
                fault.countdown = (long)(test_random() % (uint64_t)visits);
                run_faulty(priv, count, operation);
                fault.persistent = 1;
                fault.site = sites[test_random() % (sizeof sites / sizeof *sites)];
                fault.side = (int)(test_random() & 1);
                run_faulty(priv, count, operation);
                fault.armed = 0;
            }
}

/* The key of 1024 bits of a backend that takes no smaller one is eight times as slow as that of 256 bits: fewer rounds. */
static void test_faults(bt_paillier_priv *priv)
{
    const int small = L == SMALL, before = (int)faults;
    const size_t most = test_how_much <= TEST_LEAN ? 20 : MAX_N;
    random_roots(BT_PAILLIER_ROOTS);
    random_messages(most);
    encrypt_public(cipher, most);
    persistent_faults_in_constants(priv, 1, test_rounds(1, small ? 30 : 10, 60), test_rounds(1, KINDS, KINDS));
    faults_in_steps(priv, 1, test_rounds(2, small ? 250 : 80, 500));
    persistent_faults_in_constants(priv, 20, test_rounds(0, small ? 5 : 2, 10), KINDS);
    faults_in_steps(priv, 20, test_rounds(0, small ? 50 : 20, 100));
    persistent_faults_in_constants(priv, most, test_rounds(0, 1, 2), small ? KINDS : test_rounds(0, 1, KINDS));
    faults_in_steps(priv, most, test_rounds(0, small ? 4 : 1, 10));
    printf("paillier: %ld faults on %s, %ld released\n", faults - before, n2.ops->name, released);
    CHECK(faults - before >= test_rounds(50, 3500, 20000));
    CHECK(released == 0);
    test_round_trip(priv, 31); /* the key came through unharmed */
}

/* --- M5 ------------------------------------------------------------------------------------------------------------------- */

enum { N_CHECKED = 300 }; /* long enough for the wide running product, and no multiple of it */

/* Every value below 2^11 (2^13) against the toy key n = 35 (77), alone and hidden in a batch of units. */
static void test_load_checked(const bt_mont_ops *ops, bt_limb toy, size_t refused_expected)
{
    bt_limb square = toy * toy, batch[N_CHECKED];
    fixture f;
    size_t refused = 0;
    fixture_open(&f, ops, &square, 1);
    bt_word *work = test_words(bt_paillier_load_checked_scratch(&f.ctx)), *dst = fixture_array(&f, N_CHECKED);
    for (bt_limb c = 0; c < square; c++) {
        int unit = c % 5 != 0 && c % 7 != 0;
        if (toy == 77)
            unit = c % 7 != 0 && c % 11 != 0;
        size_t first = bt_paillier_load_checked(&f.ctx, &toy, 1, dst, &c, 1, work);
        CHECK(first == (size_t)unit);
        refused += first == 0;
        if (c % (bt_limb)test_rounds(13, 1, 1))
            continue;
        for (size_t i = 0; i < N_CHECKED; i++)
            batch[i] = 1 + toy * (test_random() % toy); /* 1 mod n: a unit */
        size_t count = c % 2 ? N_CHECKED : 100, where = test_random() % count;
        batch[where] = c;
        CHECK(bt_paillier_load_checked(&f.ctx, &toy, 1, dst, batch, count, work) == (unit ? count : where));
        if (unit) {
            bt_limb *loaded = fixture_store(&f, dst, count);
            CHECK(memcmp(loaded, batch, count * sizeof *batch) == 0);
            free(loaded);
        }
    }
    CHECK(refused == refused_expected);
    for (bt_limb c = square; c < 2 * square; c++)
        CHECK(bt_paillier_load_checked(&f.ctx, &toy, 1, dst, &c, 1, work) == 0);
    CHECK(bt_paillier_load_checked(&f.ctx, &toy, 1, dst, batch, 0, work) == 0);
    free(work);
    free(dst);
    fixture_close(&f);
}

/* --- the arena ------------------------------------------------------------------------------------------------------------ */

static void test_fork_and_close(bt_arena *arena, bt_arena *tables, bt_paillier_priv *priv)
{
    random_messages(1);
    encrypt_public(cipher, 1);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(bt_paillier_priv_check(priv) == BT_ERR_WIPED &&
                      bt_paillier_decrypt(priv, out, cipher, 1, random_limbs, spare) == BT_ERR_WIPED
                  ? 0
                  : 1);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(decrypt(priv, 1) == BT_OK);
    bt_arena_close(tables);
    bt_arena_close(arena);
    CHECK(arena->base == NULL && tables->base == NULL);
    bt_arena_close(arena); /* twice is harmless */
    CHECK(bt_arena_open(arena, 0) == BT_ERR_ARG);
}

static void test_backend(const bt_mont_ops *ops)
{
    bt_arena arena, tables;
    bt_paillier_priv *priv = NULL;
    test_load_checked(ops, 35, 385);
    test_load_checked(ops, 77, 1309);
    setup(ops);
    open_key(&arena, &tables, &priv);
    /* every length of a last block: scratch sizes are exact here, and not all grow with the count */
    test_round_trip(priv, test_rounds(31, 1, 1));
    test_roots(priv);
    test_refusals(priv);
    if (ops != &mock_lanes && !bounds_checked)
        test_faults(priv);
    test_fork_and_close(&arena, &tables, priv);
    cleanup();
}

void test_paillier(void)
{
    faults = released = 0;
    for (const bt_mont_ops *const *ops = test_backends(); *ops; ops++)
        test_backend(*ops);
    CHECK(faults >= (bounds_checked ? 0 : test_rounds(0, 10000, 10000)));
}
