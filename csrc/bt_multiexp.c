/* Products of powers, dst[r] = prod_j base[idx[j]]^e[r][j]; bases and exponents public.
 *
 * Both ways share squarings among the bases of a row by collecting, for each bit position (Straus) or window (Pippenger),
 * the product of everything that belongs there; one Horner pass per row then joins the positions. In products:
 *
 *   Straus     m 2^(w-1) per block of rows for the odd powers of every base, rows m ebits / (w + 1) to collect them
 *   Pippenger  rows m windows (1 - 2^-w) into buckets, rows windows 2^w to weigh the buckets; no table
 *
 * and ebits squarings a row for either. (First factors are copied, not multiplied, which pays for joining the positions.) */
#include "bt_accumulate.h"

#include <string.h>

/* Words that accumulators and tables may take: 4 MB, and 256 KB, which second-level caches hold. */
enum { MAX_WINDOW = 8, ACCUMULATOR_WORDS = 1 << 19, TABLE_WORDS = 1 << 15 };

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

typedef struct plan {
    int pippenger;
    size_t w;
    size_t rows;  /* in step, so that they share tables: what fits ACCUMULATOR_WORDS, at least one group */
    size_t cols;  /* bases whose tables exist at a time */
    size_t cells; /* accumulators */
} plan;

static size_t cell_budget(const bt_mont *ctx)
{
    return max_size(1, ACCUMULATOR_WORDS / ctx->elem_words);
}

/* Straus with the best window, which does not depend on m; *products: its cost. */
static plan straus_plan(const bt_mont *ctx, size_t m, size_t rows, size_t ebits, double *products)
{
    const size_t lanes = ctx->ops->lanes;
    plan best = {.w = 1};
    best.rows = max_size(1, min_size(rows, max_size(1, cell_budget(ctx) / ebits / lanes) * lanes));
    const double drows = (double)rows, blocks = (double)div_up(rows, best.rows), bits = (double)ebits;
    double least = 0; /* for each base */
    for (size_t w = 1; w <= MAX_WINDOW; w++) {
        const double odd = w > 1 ? (double)((size_t)1 << (w - 1)) : 0;
        const double cost = blocks * odd + drows * bits / (double)(w + 1);
        if (w == 1 || cost < least) {
            least = cost;
            best.w = w;
        }
    }
    *products = least * (double)m;
    const size_t table = max_size(1, (TABLE_WORDS / ctx->elem_words) >> (best.w - 1));
    best.cols = div_up(min_size(m, table), lanes) * lanes;
    best.cells = best.rows * ebits;
    return best;
}

/* Pippenger with window w, 2 .. MAX_WINDOW; cells 0: they would not fit. */
static plan pippenger_plan(const bt_mont *ctx, size_t m, size_t rows, size_t ebits, size_t w, double *products)
{
    const size_t windows = div_up(ebits, w), buckets = (size_t)1 << w;
    plan p = {.pippenger = 1, .w = w, .rows = 1};
    if (windows <= cell_budget(ctx) / buckets)
        p.cells = windows * buckets;
    *products = (double)rows * (double)windows * ((double)m * (1 - 1 / (double)buckets) + (double)buckets);
    return p;
}

static plan multiexp_plan(const bt_mont *ctx, size_t m, size_t rows, size_t ebits)
{
    double least = 0, cost;
    plan best = straus_plan(ctx, m, rows, ebits, &least);
    for (size_t w = 2; w <= MAX_WINDOW; w++) {
        const plan p = pippenger_plan(ctx, m, rows, ebits, w, &cost);
        if (p.cells && cost < least) {
            least = cost;
            best = p;
        }
    }
    return best;
}

/* odd powers and squares of `cols` bases */
static size_t straus_table_words(const bt_mont *ctx, const plan *p)
{
    return (((size_t)1 << (p->w - 1)) + 1) * bt_mont_words(ctx, p->cols);
}

/* Scratch, in order: accumulators, their `used` bytes, what the method wants (Straus: tables and the indices of their bases;
 * Pippenger: three arrays of one element per window and as many indices), two groups for the joining, and accumulation. */
static size_t plan_scratch(const bt_mont *ctx, const plan *p, size_t ebits)
{
    const size_t windows = div_up(ebits, p->w);
    const size_t own = p->pippenger ? 3 * bt_mont_words(ctx, windows) + windows : straus_table_words(ctx, p) + p->cols;
    return bt_mont_words(ctx, p->cells) + div_up(p->cells, 8) + own + 2 * bt_mont_words(ctx, BT_MAX_LANES) +
           bt_accumulate_scratch(ctx);
}

/* The most that any number of bases up to m needs. Straus needs more with each base, up to a limit. Its cost is proportional
 * to m while that of buckets has a constant part besides, so buckets that are cheaper for fewer bases are so for m too:
 * only those, and Straus for m, can be the plan of a smaller number. (The factor covers rounding.) */
size_t bt_multiexp_scratch(const bt_mont *ctx, size_t m, size_t rows, size_t ebits)
{
    if (m == 0 || ebits == 0 || rows == 0)
        return 0;
    double straus = 0, cost;
    plan p = straus_plan(ctx, m, rows, ebits, &straus);
    size_t most = plan_scratch(ctx, &p, ebits);
    for (size_t w = 2; w <= MAX_WINDOW; w++) {
        p = pippenger_plan(ctx, m, rows, ebits, w, &cost);
        if (p.cells && cost <= straus * (1 + 1e-9))
            most = max_size(most, plan_scratch(ctx, &p, ebits));
    }
    return most;
}

static inline size_t bit_at(const bt_limb *e, size_t pos)
{
    return e[pos / 64] >> (pos % 64) & 1;
}

/* Bits [pos, pos + width) of e, those at or above ebits being 0; width <= 8. */
static inline size_t digit_at(const bt_limb *e, size_t ebits, size_t pos, size_t width)
{
    const size_t have = min_size(width, ebits - pos), k = pos / 64, shift = pos % 64;
    bt_limb v = e[k] >> shift;
    if (shift + have > 64)
        v |= e[k + 1] << (64 - shift);
    return (size_t)(v & (((bt_limb)1 << have) - 1));
}

/* table[k cols + c] = base[idx[first + c]]^(2k+1) for c < count; columns beyond count repeat the last one. */
static void straus_table(const bt_mont *ctx, const plan *p, bt_word *table, const bt_word *base, const int64_t *idx,
                         size_t first, size_t count, int64_t *pick, bt_word *work)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t entries = (size_t)1 << (p->w - 1), stride = bt_mont_words(ctx, p->cols);
    bt_word *square = table + entries * stride;
    const size_t padded = div_up(count, ops->lanes) * ops->lanes;
    for (size_t c = 0; c < padded; c++) {
        const size_t at = first + min_size(c, count - 1);
        pick[c] = idx ? idx[at] : (int64_t)at;
    }
    ops->gather(ctx, table, base, pick, padded);
    if (p->w > 1)
        ops->sqr(ctx, square, table, padded, 0, work);
    for (size_t k = 1; k < entries; k++)
        ops->mul(ctx, table + k * stride, table + (k - 1) * stride, square, padded, 0, work);
}

/* dst[r] = prod over pos of cell[r ebits + pos]^(2^pos), `lanes` rows at a time, cells that no row used left out; times
 * dst[r]^(2^ebits) if `more`. */
static void straus_join(const bt_mont *ctx, bt_word *dst, const bt_word *cells, const uint8_t *used, size_t rows,
                        size_t ebits, int more, bt_word *group, bt_word *work)
{
    const bt_mont_ops *ops = ctx->ops;
    int64_t pick[BT_MAX_LANES];
    for (size_t first = 0; first < rows; first += ops->lanes) {
        const size_t count = min_size(ops->lanes, rows - first);
        bt_word *out = dst + bt_mont_offset(ctx, first);
        int started = more;
        for (size_t pos = ebits; pos-- > 0;) {
            if (started)
                ops->sqr(ctx, out, out, count, 0, work);
            int any = 0;
            for (size_t r = 0; r < count; r++) {
                pick[r] = (int64_t)((first + r) * ebits + pos);
                any |= used[pick[r]];
            }
            if (!any)
                continue;
            ops->gather(ctx, started ? group : out, cells, pick, count);
            if (started)
                ops->mul(ctx, out, out, group, count, 0, work);
            started = 1;
        }
        if (!started)
            ops->one(ctx, out, count);
    }
}

/* Weighs the buckets of one row, all windows in step: with suffix = B_max ... B_d, the product of all suffixes is
 * prod B_d^d; then joins the windows into element 0 of `group`, onto what is there if `more`. The second of the two groups
 * is work space. */
static void pippenger_join(const bt_mont *ctx, const plan *p, bt_word *group, const bt_word *cells, size_t ebits,
                           int more, bt_word *own, bt_word *work)
{
    const size_t windows = div_up(ebits, p->w);
    const bt_mont_ops *ops = ctx->ops;
    const size_t stride = bt_mont_words(ctx, windows), buckets = (size_t)1 << p->w;
    bt_word *suffix = own, *weighed = suffix + stride, *bucket = weighed + stride;
    int64_t *pick = (int64_t *)(bucket + stride);
    for (size_t d = buckets - 1; d >= 1; d--) {
        for (size_t k = 0; k < windows; k++)
            pick[k] = (int64_t)(k * buckets + d);
        if (d == buckets - 1) {
            ops->gather(ctx, suffix, cells, pick, windows);
            ops->gather(ctx, weighed, suffix, NULL, windows);
        } else {
            ops->gather(ctx, bucket, cells, pick, windows);
            ops->mul(ctx, suffix, suffix, bucket, windows, 0, work);
            ops->mul(ctx, weighed, weighed, suffix, windows, 0, work);
        }
    }
    for (size_t k = windows; k-- > 0;) {
        pick[0] = (int64_t)k;
        ops->gather(ctx, group + bt_mont_words(ctx, BT_MAX_LANES), weighed, pick, 1);
        if (k + 1 == windows && !more) {
            ops->gather(ctx, group, group + bt_mont_words(ctx, BT_MAX_LANES), NULL, 1);
            continue;
        }
        for (size_t i = k * p->w; i < min_size(ebits, (k + 1) * p->w); i++)
            ops->sqr(ctx, group, group, 1, 0, work);
        ops->mul(ctx, group, group, group + bt_mont_words(ctx, BT_MAX_LANES), 1, 0, work);
    }
}

static void multiexp(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m,
                     const bt_limb *e, size_t el, size_t ebits, size_t rows, int more, bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    if (!more)
        ops->one(ctx, dst, rows);
    if (m == 0 || ebits == 0 || rows == 0)
        return;
    const plan p = multiexp_plan(ctx, m, rows, ebits);
    const size_t windows = div_up(ebits, p.w);
    bt_word *cells = scratch, *used_words = cells + bt_mont_words(ctx, p.cells);
    uint8_t *used = (uint8_t *)used_words;
    bt_word *own = used_words + div_up(p.cells, 8);
    int64_t *pick = (int64_t *)(own + (p.pippenger ? 3 * bt_mont_words(ctx, windows) : straus_table_words(ctx, &p)));
    bt_word *group = (bt_word *)pick + (p.pippenger ? windows : p.cols);
    bt_word *work = group + 2 * bt_mont_words(ctx, BT_MAX_LANES);
    bt_accumulator acc = {.ctx = ctx, .dst = cells, .used = used, .src = p.pippenger ? base : own, .scratch = work};

    for (size_t first = 0; first < rows; first += p.rows) {
        const size_t count = min_size(p.rows, rows - first);
        ops->one(ctx, cells, p.cells);
        memset(used, 0, p.cells);
        if (p.pippenger) {
            const bt_limb *mine = e + first * m * el;
            for (size_t j = 0; j < m; j++, mine += el)
                for (size_t k = 0; k < windows; k++) {
                    const size_t digit = digit_at(mine, ebits, k * p.w, p.w);
                    if (digit)
                        bt_accumulate(&acc, (k << p.w) + digit, idx ? (size_t)idx[j] : j);
                }
            bt_accumulate_flush(&acc);
            const int64_t row = (int64_t)first;
            if (more)
                ops->gather(ctx, group, dst, &row, 1);
            pippenger_join(ctx, &p, group, cells, ebits, more, own, work);
            ops->scatter(ctx, dst, first, group, 1);
            continue;
        }
        for (size_t col = 0; col < m; col += p.cols) {
            const size_t cols = min_size(p.cols, m - col);
            straus_table(ctx, &p, own, base, idx, col, cols, pick, work);
            for (size_t r = 0; r < count; r++) /* the accumulators of one row and the tables stay in cache */
                for (size_t c = 0; c < cols; c++) {
                    const bt_limb *mine = e + ((first + r) * m + col + c) * el;
                    for (size_t pos = 0; pos < ebits;) {
                        if (!bit_at(mine, pos)) {
                            pos++;
                            continue;
                        }
                        bt_accumulate(&acc, r * ebits + pos, (digit_at(mine, ebits, pos, p.w) >> 1) * p.cols + c);
                        pos += p.w;
                    }
                }
            bt_accumulate_flush(&acc);
        }
        straus_join(ctx, dst + bt_mont_offset(ctx, first), cells, used, count, ebits, more, group, work);
    }
}

void bt_multiexp(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m, const bt_limb *e,
                 size_t el, size_t ebits, size_t rows, bt_word *scratch)
{
    multiexp(ctx, dst, base, idx, m, e, el, ebits, rows, 0, scratch);
}

void bt_multiexp_more(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m,
                      const bt_limb *e, size_t el, size_t ebits, size_t rows, bt_word *scratch)
{
    multiexp(ctx, dst, base, idx, m, e, el, ebits, rows, 1, scratch);
}
