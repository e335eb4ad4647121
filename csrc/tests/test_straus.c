#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "bt_straus.h"

/* left = right0 right1 mod m */
static int equal_product(const bt_limb *left, const bt_limb *a, const bt_limb *b, const bt_limb *m, size_t limbs)
{
    bt_limb *t = test_words(limbs);
    ref_mul(t, a, b, m, limbs);
    const int equal = !memcmp(t, left, limbs * sizeof *t);
    free(t);
    return equal;
}

/* Columns in blocks of `width`, rows in two calls; with P+ and P- what is joined, and Q+ and Q- the products over the positive and
 * the negative exponents: P+ Q- = P- Q+, whatever the bases. */
static void matrix(const bt_mont_ops *ops, size_t bits, size_t rows, size_t m, size_t ebits, size_t window,
                   size_t width)
{
    const size_t limbs = (bits + 63) / 64, el = (ebits + 63) / 64, row_cells = bt_straus_cells(ebits);
    bt_limb *modulus = test_words(limbs), *values = test_words((m + 1) * limbs), *e = test_words(rows * m * el);
    uint8_t *negative = (uint8_t *)test_words(rows * m);
    test_random_modulus(modulus, bits);
    test_random_limbs(values, (m + 1) * limbs);
    for (size_t i = 0; i < rows * m; i++) {
        test_random_exponent(e + i * el, el, test_random() % 5 ? ebits : ebits / 3);
        negative[i] = test_random() & 1;
    }
    fixture f;
    fixture_open(&f, ops, modulus, limbs);
    const size_t lanes = f.ctx.ops->lanes;
    bt_word *base = fixture_load(&f, values, m + 1), *out[2] = {fixture_array(&f, rows), fixture_array(&f, rows)};
    bt_word *cells = fixture_array(&f, rows * row_cells);
    uint8_t *used = calloc(rows * row_cells + 1, 1);
    f.ctx.ops->one(&f.ctx, cells, rows * row_cells);
    width = (width + lanes - 1) / lanes * lanes;
    bt_word *table = test_words(bt_straus_entries(window) * bt_mont_words(&f.ctx, width));
    bt_word *collect = test_words(bt_straus_collect_scratch(&f.ctx)),
            *join = test_words(bt_straus_join_scratch(&f.ctx));
    bt_limb *part = test_words(rows * width * el);
    uint8_t *signs = (uint8_t *)test_words(rows * width);
    int64_t *idx = (int64_t *)test_words(width);
    for (size_t first = 0; first < m; first += width) {
        const size_t count = m - first < width ? m - first : width;
        for (size_t begin = 0; begin < count; begin += lanes) { /* group by group, as threads might */
            const size_t some = count - begin < lanes ? count - begin : lanes;
            bt_word *scratch = test_words(bt_straus_table_scratch(&f.ctx, some));
            for (size_t c = 0; c < some; c++)
                idx[c] = (int64_t)(first + begin + c + 1); /* the first base is not used */
            bt_straus_table(&f.ctx, table, width, begin, base, idx, some, window, scratch);
            free(scratch);
        }
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < count; c++) {
                memcpy(part + (r * count + c) * el, e + (r * m + first + c) * el, el * sizeof *e);
                signs[r * count + c] = negative[r * m + first + c];
            }
        const size_t half = rows / 2;
        bt_straus_collect(&f.ctx, cells, used, table, width, part, el, signs, count, ebits, half, window, collect);
        bt_straus_collect(&f.ctx, cells + bt_mont_offset(&f.ctx, half * row_cells), used + half * row_cells, table,
                          width, part + half * count * el, el, signs + half * count, count, ebits, rows - half, window,
                          collect);
    }
    bt_limb *got[2], *want[2] = {test_words(limbs), test_words(limbs)}, *t = test_words(limbs);
    for (int sign = 0; sign < 2; sign++) {
        bt_straus_join(&f.ctx, out[sign], cells, used, ebits, rows, sign, join);
        got[sign] = fixture_store(&f, out[sign], rows);
    }
    for (size_t r = 0; r < rows; r++) {
        for (int sign = 0; sign < 2; sign++) {
            memset(want[sign], 0, limbs * sizeof *t);
            want[sign][0] = 1;
            for (size_t j = 0; j < m; j++)
                if (negative[r * m + j] == sign) {
                    ref_pow(t, values + (j + 1) * limbs, e + (r * m + j) * el, el, f.m, limbs);
                    ref_mul(want[sign], want[sign], t, f.m, limbs);
                }
        }
        ref_mul(t, got[0] + r * limbs, want[1], f.m, limbs);
        CHECK(equal_product(t, got[1] + r * limbs, want[0], f.m, limbs));
    }
    for (int sign = 0; sign < 2; sign++) {
        free(got[sign]);
        free(out[sign]);
        free(want[sign]);
    }
    fixture_close(&f);
    free(modulus), free(values), free(e), free(negative), free(base), free(cells), free(used), free(table);
    free(collect), free(join), free(part), free(signs), free(idx), free(t);
}

void test_straus(void)
{
    static const size_t lengths[] = {1, 2, 5, 40, 63, 64, 65, 130};
    for (const bt_mont_ops *const *ops = test_backends(); *ops; ops++)
        for (size_t window = BT_STRAUS_MIN_WINDOW; window <= BT_STRAUS_MAX_WINDOW; window++) {
            for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
                matrix(*ops, 64, 5, 11, lengths[i], window, 5);
            matrix(*ops, 1024, 6, 9, 40, window, 8);
            matrix(*ops, 1000, 1, 70, 65, window, 32);
            matrix(*ops, 130, 9, 1, 64, window, 1);
        }
}
