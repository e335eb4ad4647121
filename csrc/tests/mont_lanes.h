/* The tests that the vector backends share, with elements that `load` would never make: every digit at an end of the range that the
 * backend allows, and moduli of such digits. The reference reads digits as the integers they are. Build with -DBT_VERIFY to have
 * all bounds checked on the way. */
#ifndef BT_TEST_MONT_LANES_H
#define BT_TEST_MONT_LANES_H

#include "test.h"

typedef struct lanes_backend {
    const bt_mont_ops *ops;
    size_t radix;                          /* bits of a digit */
    int64_t (*digit)(bt_word word);        /* the integer that a word stands for */
    int (*regular)(bt_word word, int top); /* whether an operation may give this digit; top: of the highest one */
    /* one lane of an element: its n words lie ops->lanes apart */
    void (*extreme_element)(bt_word *element, size_t n, uint64_t kind);
    /* the top word of r (of s) of a pair: as it is, or the largest one if it is beyond that */
    bt_word (*pair_top)(bt_word top, int of_s);
    void (*digit_modulus)(bt_limb *m, size_t limbs, size_t run);
    const char *needs; /* what a CPU lacks that does not have it */
} lanes_backend;

/* sizes: limbs of the moduli that are tested at length; ends with 0 */
void lanes_test(const lanes_backend *backend, const size_t *sizes);

#endif
