/* Samples from a table: against a search without guide and a refusal in 128 bits, over tables in buffers of their exact
 * size. That the law is right is tested in Python, where the exact probabilities are. */
#include <stdlib.h>
#include <string.h>

#include "bt_noise.h"
#include "test.h"

enum { GROUPS = 4096, LAST_BIT = 63, GUIDES = 1 << BT_NOISE_GUIDE_BITS };

static const uint64_t TOP = ((uint64_t)1 << LAST_BIT) - 1;

static void *exact_buffer(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p)
        exit(2);
    return p;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* thresholds that crowd at the top, as those of a law with a tail do, some of them equal */
static uint64_t *thresholds(size_t count)
{
    uint64_t *t = exact_buffer(count * sizeof *t);
    for (size_t j = 0; j < count; j++)
        t[j] = j % 4 ? TOP - (test_random() >> (1 + test_random() % 63)) : test_random() >> 1;
    t[count - 1] = TOP;
    if (count > 3)
        t[1] = t[2];
    qsort(t, count, sizeof *t, by_value);
    return t;
}

static uint16_t *guide(const uint64_t *t)
{
    uint16_t *g = exact_buffer(GUIDES * sizeof *g);
    for (size_t i = 0; i < GUIDES; i++) {
        uint16_t j = 0;
        while (t[j] < (uint64_t)i << (LAST_BIT - BT_NOISE_GUIDE_BITS))
            j++;
        g[i] = j;
    }
    return g;
}

/* 1 if the words decide, and then the sample */
static int expected(int64_t *sample, const uint64_t *w, const bt_noise *table)
{
    const uint64_t u = w[0] >> 1;
    size_t j = 0;
    while (table->threshold[j] < u)
        j++;
    if (table->threshold[j] == u)
        return 0;
    int64_t x = (int64_t)j;
    if (table->shift) {
        const uint64_t y = w[1] >> (64 - table->shift);
        x = (int64_t)j * ((int64_t)1 << table->shift) + (int64_t)y;
        /* any r of 64 bits and more that begins with w[2] must exceed the bound on what is refused */
        const unsigned __int128 bound = (unsigned __int128)table->slope * (2 * j + 1) * y;
        const unsigned __int128 r = (unsigned __int128)w[2] << table->shift;
        if (r < bound || (w[0] & 1 && x == 0))
            return 0;
        /* the kernel may leave open a little more: what differs by a unit of w[2] and the bits of w[1] below y */
        const unsigned __int128 above = (unsigned __int128)table->slope * (2 * j + 1) * (y + 1);
        if (((unsigned __int128)(w[2] - (w[2] > 0)) << table->shift) < above)
            return -1;
    }
    *sample = w[0] & 1 ? -x : x;
    return 1;
}

static void against_search(size_t count, unsigned shift, uint64_t slope)
{
    uint64_t *const t = thresholds(count);
    uint16_t *const g = guide(t);
    const bt_noise table = {t, g, count, shift, slope};
    const unsigned per = bt_noise_words(&table);
    CHECK(per == (shift ? 3 : 1));
    uint64_t *const words = exact_buffer(GROUPS * per * sizeof *words);
    int64_t *const out = exact_buffer(GROUPS * sizeof *out);
    uint32_t *const open = exact_buffer(GROUPS * sizeof *open);
    for (size_t i = 0; i < GROUPS * per; i++)
        words[i] = test_random();
    for (size_t i = 0; i < GROUPS; i++) {
        uint64_t *const w = words + i * per;
        if (i % 4 == 1) /* at, before and after a threshold */
            w[0] = (t[test_random() % count] + test_random() % 3 - 1) << 1 | (w[0] & 1);
        if (i % 64 == 2)
            w[0] = i & 64 ? UINT64_MAX : i & 128;
        if (shift && i % 8 == 3)
            w[2] >>= 10 + test_random() % 54;
        if (shift && i % 8 == 5) { /* at the bound of what is refused, and beside it */
            size_t j = 0;
            while (t[j] < w[0] >> 1)
                j++;
            w[1] = w[1] >> (64 - shift) << (64 - shift);
            w[2] = (uint64_t)((unsigned __int128)w[1] * (slope * (2 * j + 1)) >> 64) + test_random() % 3 - 1;
        }
        if (shift && i % 16 == 4)
            w[1] = i & 16 ? 0 : UINT64_MAX;
    }
    const size_t undecided = bt_noise_draw(out, open, words, GROUPS, &table);
    size_t next = 0;
    int right = 1, complete = 1;
    for (size_t i = 0; i < GROUPS; i++) {
        const int is_open = next < undecided && open[next] == i;
        int64_t sample = 0;
        const int want = expected(&sample, words + i * per, &table);
        next += is_open;
        complete &= want < 0 || is_open == !want;
        if (want < 0) {
            /* either is right, but a sample must be the one */
            const uint64_t *const w = words + i * per;
            size_t j = 0;
            while (t[j] < w[0] >> 1)
                j++;
            sample = (int64_t)((j << shift) + (w[1] >> (64 - shift)));
            sample = w[0] & 1 ? -sample : sample;
        }
        right &= out[i] == (is_open ? 0 : sample);
    }
    CHECK(right);
    CHECK(complete);
    CHECK(next == undecided);
    free(open);
    free(out);
    free(words);
    free(g);
    free(t);
}

void test_noise(void)
{
    static const size_t counts[] = {1, 2, 5, 100, 4641, BT_NOISE_MAX_COUNT};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const uint64_t largest = UINT64_MAX / (2 * counts[i] - 1);
        against_search(counts[i], 0, 0);
        against_search(counts[i], 1, largest);
        against_search(counts[i], 11, largest >> 3);
        against_search(counts[i], 31, largest >> 20);
        against_search(counts[i], BT_NOISE_MAX_SHIFT, largest >> 1);
    }
}
