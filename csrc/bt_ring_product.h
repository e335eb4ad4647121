/* A blocked matrix product (Goto, van de Geijn 2008); included once for each ring by a file that defines WORD, NAME, ROWS x
 * COLUMNS (a tile that fits the registers), PACK_A (how a word of a is stored: AWORD) and the innermost loop
 *
 *     static void NAME(tile)(WORD *t, const AWORD *a, const WORD *b, size_t k)
 *         t[ROWS][COLUMNS] = sum over k of a[k][ROWS] times b[k][COLUMNS].
 *
 * DEPTH rows of b, WIDTH columns of it at most, are copied tile by tile to where they lie side by side, and so are HEIGHT rows
 * of a. Both copies fit the scratch:
 *     b: DEPTH * WIDTH words of at most 8 bytes = 1 MiB; a: DEPTH * HEIGHT words of at most 16 bytes <= 1/2 MiB. */

enum { NAME(DEPTH) = 256, NAME(WIDTH) = 512, NAME(HEIGHT) = 48 };

_Static_assert((NAME(WIDTH) % COLUMNS) == 0 && (NAME(HEIGHT) % ROWS) == 0, "blocks are whole tiles");
_Static_assert(NAME(DEPTH) * NAME(WIDTH) * sizeof(WORD) + NAME(DEPTH) * NAME(HEIGHT) * sizeof(AWORD) <= BT_RING_SCRATCH,
               "both copies fit");

static void NAME(pack_a)(AWORD *to, const WORD *a, size_t stride, size_t m, size_t k)
{
    for (size_t i = 0; i < m; i += ROWS)
        for (size_t j = 0; j < k; j++)
            for (size_t r = 0; r < ROWS; r++)
                *to++ = PACK_A(i + r < m ? a[(i + r) * stride + j] : 0);
}

static void NAME(pack_b)(WORD *to, const WORD *b, size_t stride, size_t k, size_t n)
{
    for (size_t j = 0; j < n; j += COLUMNS) {
        const size_t there = n - j < COLUMNS ? n - j : COLUMNS;
        for (size_t i = 0; i < k; i++, to += COLUMNS) {
            memcpy(to, b + i * stride + j, there * sizeof(WORD));
            memset(to + there, 0, (COLUMNS - there) * sizeof(WORD));
        }
    }
}

static void NAME(product)(WORD *c, const WORD *a, const WORD *b, size_t m, size_t k, size_t n, void *scratch)
{
    WORD *const held_b = scratch;
    AWORD *const held_a = (AWORD *)(held_b + NAME(DEPTH) * NAME(WIDTH));
    if (k == 0)
        memset(c, 0, m * n * sizeof(WORD));
    for (size_t j = 0; j < n; j += NAME(WIDTH)) {
        const size_t width = n - j < NAME(WIDTH) ? n - j : NAME(WIDTH);
        for (size_t l = 0; l < k; l += NAME(DEPTH)) {
            const size_t depth = k - l < NAME(DEPTH) ? k - l : NAME(DEPTH);
            NAME(pack_b)(held_b, b + l * n + j, n, depth, width);
            for (size_t i = 0; i < m; i += NAME(HEIGHT)) {
                const size_t height = m - i < NAME(HEIGHT) ? m - i : NAME(HEIGHT);
                NAME(pack_a)(held_a, a + i * k + l, k, height, depth);
                for (size_t jj = 0; jj < width; jj += COLUMNS)
                    for (size_t ii = 0; ii < height; ii += ROWS) {
                        WORD t[ROWS * COLUMNS] __attribute__((aligned(32)));
                        WORD *to = c + (i + ii) * n + j + jj;
                        const size_t rows = height - ii < ROWS ? height - ii : ROWS;
                        const size_t columns = width - jj < COLUMNS ? width - jj : COLUMNS;
                        NAME(tile)(t, held_a + ii * depth, held_b + jj * depth, depth);
                        for (size_t r = 0; r < rows; r++)
                            for (size_t q = 0; q < columns; q++)
                                to[r * n + q] = t[r * COLUMNS + q] + (l ? to[r * n + q] : 0);
                    }
            }
        }
    }
}
