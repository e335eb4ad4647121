/* What the C tests share: a check that counts, random limbs, GMP's own integers as the reference, and a Montgomery context
 * whose every buffer has its exact size, so that AddressSanitizer sees one word too many.
 *
 * A module's test is a file test_NAME.c that defines void test_NAME(void); the Makefile finds it. */
#ifndef BT_TEST_H
#define BT_TEST_H

#include <stdio.h>

#include "bt_gmp.h"
#include "bt_modexp.h"

extern long test_passed, test_failed;

/* How much to do, as BT_TEST_EFFORT says. Short is for valgrind and coverage, which are slow: every branch, fewer
 * repetitions. Lean is for sanitizers and emulation, which find what one repetition of each size does wrong: every size, an
 * eighth of the repetitions. Long is for the nightly run: all the repetitions that the project promises. */
typedef enum test_effort { TEST_SHORT, TEST_LEAN, TEST_NORMAL, TEST_LONG } test_effort;
extern test_effort test_how_much;
int test_read_effort(void); /* 0 if the environment variable holds something else */
double test_seconds(void);  /* of processor time */

/* one of the three, by the effort; where short is more than normal it is a step between sizes, and lean leaves none out */
static inline int test_rounds(int for_short, int normal, int for_long)
{
    const int eighth = (normal + 7) / 8;
    if (test_how_much == TEST_LEAN)
        return for_short >= normal ? normal : for_short > eighth ? for_short : eighth;
    return test_how_much == TEST_SHORT ? for_short : test_how_much == TEST_LONG ? for_long : normal;
}

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (condition)                                                                                                 \
            test_passed++;                                                                                             \
        else if (test_failed++ < 20)                                                                                   \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                             \
    } while (0)

extern int test_no_memory; /* nonzero: the system refuses the core's arenas */

/* Loads the GMP that the environment variable BT_GMP names, else the system's; 0 if there is none. */
int test_load_gmp(void);

uint64_t test_random(void); /* the same sequence on every run */
void test_random_limbs(bt_limb *x, size_t limbs);
/* an odd modulus with its top bit at `bits` - 1 */
void test_random_modulus(bt_limb *m, size_t bits);
/* e[limbs] below 2^bits: random, or all ones, or a single bit */
void test_random_exponent(bt_limb *e, size_t limbs, size_t bits);
bt_word *test_words(size_t n); /* malloc, or exit */

/* GMP's mpz functions; out has `limbs` limbs, results are below m[limbs] */
void ref_mul(bt_limb *out, const bt_limb *a, const bt_limb *b, const bt_limb *m, size_t limbs);
void ref_pow(bt_limb *out, const bt_limb *a, const bt_limb *e, size_t el, const bt_limb *m, size_t limbs);
int ref_invert(bt_limb *out, const bt_limb *a, const bt_limb *m, size_t limbs); /* 0 if there is none */

typedef struct fixture {
    size_t limbs;
    bt_limb *m;
    bt_limb *storage;
    bt_word *consts, *scratch; /* scratch: that of one operation */
    bt_modulus mod;
    bt_mont ctx;
    bt_limb *root_storage; /* NULL if the modulus is not known to be a square */
    bt_modulus root;
} fixture;

/* over `wanted`, or over mpn if that does not take so many limbs */
void fixture_open(fixture *f, const bt_mont_ops *wanted, const bt_limb *m, size_t limbs);
/* over `ops`, modulo the square of root[limbs]; f->limbs are those of the square */
void fixture_open_square(fixture *f, const bt_mont_ops *ops, const bt_limb *root, size_t limbs);
void fixture_close(fixture *f);
bt_word *fixture_array(const fixture *f, size_t n);
/* canonical values in, elements out; and the other way; arrays are malloced */
bt_word *fixture_load(const fixture *f, const bt_limb *values, size_t n);
bt_limb *fixture_store(const fixture *f, const bt_word *a, size_t n);

/* bt_mont_mpn in groups of four interleaved elements; lanes that pad a group are set to 0 whenever the interface allows it,
 * so that code which trusts them fails. The backends that tests run over end with NULL. */
extern const bt_mont_ops mock_lanes;
const bt_mont_ops *const *test_backends(void);

#endif
