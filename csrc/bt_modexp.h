/* Over a Montgomery backend: batches of powers, fixed-base combs, multi-exponentiation, products.
 *
 * All elements are arrays in the backend's layout (bt_mont.h). Exponents are unsigned, `el` limbs each, least significant limb
 * first, row-major. `ebits` (<= 64 el) bounds the bit length of every exponent of the call and is public: cost and memory depend
 * on it; bits at or above ebits must be 0. The caller provides `scratch` of the size (in words) that the matching _scratch
 * function returns for the same arguments, or for a larger n or m (every _scratch function grows with them). n is the batch;
 * choose it so that a call takes less than 100 ms. dst must not overlap a source. */
#ifndef BT_MODEXP_H
#define BT_MODEXP_H

#include "bt_mont.h"

/* dst[i] = base[i]^e[i], exponents secret: fixed windows, every table read whole, same operations for every exponent of
 * ebits bits. `estride` is el, or 0 if all share one exponent. The bases may be secret too. */
size_t bt_pow_secret_scratch(const bt_mont *ctx, size_t n, size_t ebits);
void bt_pow_secret(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e, size_t estride,
                   size_t ebits, bt_word *scratch);

/* The same with public exponents: time and addresses follow their bits. Short exponents get short windows, so the cost of
 * a 16-bit exponent is that of 16 bits. secret_base: nonzero if the bases are secret (r^n mod n^2). */
size_t bt_pow_public_scratch(const bt_mont *ctx, size_t n, size_t ebits);
void bt_pow_public(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e, size_t estride,
                   size_t ebits, int secret_base, bt_word *scratch);

/* Long powers in parts, so that no call is long: dst[i] = dst[i]^(2^(high - low)) base[i]^(bits [low, high) of e[i]), from
 * high = ebits, where dst is only written, down to low = 0. Each part makes its tables anew. Scratch: that of high - low
 * bits. */
void bt_pow_secret_part(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e,
                        size_t estride, size_t ebits, size_t low, size_t high, bt_word *scratch);
void bt_pow_public_part(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e,
                        size_t estride, size_t ebits, size_t low, size_t high, int secret_base, bt_word *scratch);

/* Fixed base: a comb of `window` teeth, `span` bits apart, over an exponent of ebits <= window * span bits (Lim and Lee, CRYPTO
 * '94). Its columns are dealt to `rows` blocks of `steps` columns, and for each block there is a table row
 *
 *   table[j][u] = prod over the teeth i in u of g^(2^(i span + j steps)),  u < 2^window,
 *
 * so step k, from steps - 1 down to 0, is one squaring, and one product for each block, with column j steps + k. Exponents are
 * secret: a table row is read in full for every element, and one pass over it serves the whole batch. */
typedef struct bt_comb {
    const bt_mont *ctx;
    size_t ebits, window, span, rows, steps;
    size_t row_words;   /* words of one row: an array of 2^window elements */
    size_t build_steps; /* of bt_comb_build */
    bt_word *table;     /* rows * row_words */
} bt_comb;

/* The window (1..8) that minimises products plus the measured cost of scanning among those whose table takes at most table_bytes,
 * or 0 if none does, or ebits is 2^60 or more. The other functions for sizes of a comb require an ebits for which this found a
 * window. */
size_t bt_comb_window(const bt_mont *ctx, size_t ebits, size_t table_bytes);
size_t bt_comb_table_words(const bt_mont *ctx, size_t ebits, size_t window);
void bt_comb_init(bt_comb *comb, const bt_mont *ctx, size_t ebits, size_t window, bt_word *table);
/* Steps [first, first + count) of the build_steps that fill the table, in order; each takes at most as long as 64 squarings of a
 * few elements, and continues from the present contents of the table. base: one element, for step 0. secret: the base or the
 * modulus is secret. */
size_t bt_comb_build_scratch(const bt_comb *comb);
void bt_comb_build(bt_comb *comb, const bt_word *base, size_t first, size_t count, int secret, bt_word *scratch);
size_t bt_comb_pow_scratch(const bt_comb *comb, size_t n);
void bt_comb_pow(const bt_comb *comb, bt_word *dst, size_t n, const bt_limb *e, size_t el, bt_word *scratch);
/* Steps [first, first + count) of the comb, in order; step 0 only writes dst. */
void bt_comb_pow_part(const bt_comb *comb, bt_word *dst, size_t n, const bt_limb *e, size_t el, size_t first,
                      size_t count, bt_word *scratch);

/* dst[r] = prod_j base[idx[j]]^e[r][j], r < rows, j < m; public exponents (zero exponents cost nothing). idx may be NULL. Straus
 * with tables shared by all rows, or Pippenger buckets, by a cost model. Empty products are 1. Scratch for m bases suffices for
 * fewer; scratch for more rows or longer exponents may be too small for fewer or shorter ones. */
size_t bt_multiexp_scratch(const bt_mont *ctx, size_t m, size_t rows, size_t ebits);
void bt_multiexp(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m, const bt_limb *e,
                 size_t el, size_t ebits, size_t rows, bt_word *scratch);
/* The same, continuing from the present dst, for long exponents in parts from the top: dst[r] = dst[r]^(2^ebits) prod_j ...,
 * m > 0. */
void bt_multiexp_more(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m,
                      const bt_limb *e, size_t el, size_t ebits, size_t rows, bt_word *scratch);

/* The same for a sparse matrix, column by column: entry k of column j, start[j] <= k < start[j + 1], is the exponent e[k] in
 * row[k], 0 <= row[k] < rows; start[0] = 0, and several entries of the same row and column add up. dst[r] is the product of
 * base[idx[j]]^e[k] over the entries of row r, so the cost depends on the number of entries; memory is one cell for each row and
 * bit. */
size_t bt_multiexp_sparse_scratch(const bt_mont *ctx, size_t m, size_t rows, size_t ebits);
void bt_multiexp_sparse(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m,
                        const int64_t *start, const int64_t *row, const bt_limb *e, size_t el, size_t ebits,
                        size_t rows, bt_word *scratch);

/* dst[r] = prod_j src[idx[r * m + j]], r < rows, j < m. Public operands. Empty products are 1. */
size_t bt_prod_scratch(const bt_mont *ctx, size_t rows, size_t m);
void bt_prod(const bt_mont *ctx, bt_word *dst, const bt_word *src, const int64_t *idx, size_t rows, size_t m,
             bt_word *scratch);

/* A histogram for each feature: rows of `width` elements are multiplied into the bins given by the features' codes,
 * dst[(f bins + code[i features + f]) width + t] *= src[idx[i width + t]], i < n, f < features, t < width; the caller starts
 * dst at one. 0 <= code < bins, checked by the caller. Each row is read once for all features: pass only as many
 * features at a time as have bins that fit the second-level cache. */
size_t bt_bincount_scratch(const bt_mont *ctx);
void bt_bincount(const bt_mont *ctx, bt_word *dst, size_t bins, size_t features, size_t width, const bt_word *src,
                 const int64_t *idx, const int64_t *code, size_t n, bt_word *scratch);

/* Running products of `rows` sequences in step, dst[s stride + r] = dst[(s - 1) stride + r] * src[idx[s rows + r]], s < steps,
 * r < rows; stride is a multiple of lanes. Step 0 is src alone or, with `more`, continues from the step stored before dst. Public
 * operands. */
size_t bt_scan_scratch(const bt_mont *ctx);
void bt_scan(const bt_mont *ctx, bt_word *dst, size_t stride, const bt_word *src, const int64_t *idx, size_t rows,
             size_t steps, int more, bt_word *scratch);

/* Montgomery's trick in two halves; between them the caller does the one inversion (gmpy2). It fills prefix (an array of n,
 * opaque) and total = a[0] ... a[n-1] (one element; 1 for n = 0); then, given inv = total^-1, a[i] <- a[i]^-1. Public
 * operands. */
size_t bt_batch_scratch(const bt_mont *ctx);
void bt_batch_prefix(const bt_mont *ctx, bt_word *prefix, bt_word *total, const bt_word *a, size_t n, bt_word *scratch);
void bt_batch_unwind(const bt_mont *ctx, bt_word *a, const bt_word *prefix, const bt_word *inv, size_t n,
                     bt_word *scratch);

/* dst[i] = a[ia[i]] * b[ib[i]] (secret: nonzero if an operand is) and dst[i] = canonical a[ia[i]], for i < n; an index that is
 * NULL means 0, 1, 2, ... dst may be a or b only where that one's index is NULL. */
size_t bt_indexed_scratch(const bt_mont *ctx);
void bt_mul_indexed(const bt_mont *ctx, bt_word *dst, const bt_word *a, const int64_t *ia, const bt_word *b,
                    const int64_t *ib, size_t n, int secret, bt_word *scratch);
void bt_store_indexed(const bt_mont *ctx, bt_limb *dst, const bt_word *a, const int64_t *ia, size_t n,
                      bt_word *scratch);

#endif
