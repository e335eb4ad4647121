/* The leak test (promise M7). A case computes on inputs marked secret; under valgrind it must run without a report. With
 * `planted` nonzero it commits one fault of the kind that the function is there to avoid, which must be reported.
 *
 * A module's cases are a file leak_NAME.c that defines const leak_case leaks_NAME[], ended by {NULL, NULL, 0}; the
 * Makefile finds it. */
#ifndef BT_LEAKS_H
#define BT_LEAKS_H

#include "test.h"

/* Whether a case runs over each backend, over their pairs too, or once because it uses none, or because only mpn has the path that
 * it takes. */
typedef enum leak_over { EACH, PAIRS, ONCE, MPN } leak_over;

typedef struct leak_case {
    const char *name;
    void (*run)(int planted);
    leak_over over;
} leak_case;

/* The backend of this run, or its pairs; as everywhere, moduli that a backend does not take go to mpn. */
extern const bt_mont_ops *leak_backend;

/* Branches on p[0] (or on element i of an array): the fault of a caller that looks at a secret result. */
void leak_branch(const uint64_t *p);
void leak_element(const bt_mont *ctx, const bt_word *a, int64_t i);

/* For cases that plant the path for public operands, on backends where that is the path for secrets too: branches on the
 * result. */
void leak_result(const bt_word *p, int planted);

#endif
