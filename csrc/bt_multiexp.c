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

/* ACCUMULATOR_WORDS: that accumulators may take, 4 MB. */
enum { MAX_WINDOW = 8, ACCUMULATOR_WORDS = 1 << 19 };

typedef struct plan {
    int pippenger;
    size_t w;
    size_t rows;  /* in step, so that they share tables: what fits ACCUMULATOR_WORDS, at least one group */
    size_t cols;  /* bases whose tables exist at a time */
    size_t cells; /* accumulators */
} plan;

static size_t cell_budget(const bt_mont *ctx)
{
    return bt_max(1, ACCUMULATOR_WORDS / ctx->elem_words);
}

/* Straus with the best window, which does not depend on m; *products: its cost. */
static plan straus_plan(const bt_mont *ctx, size_t m, size_t rows, size_t ebits, double *products)
{
    const size_t lanes = ctx->ops->lanes;
    plan best = {.w = 1};
    best.rows = bt_max(1, bt_min(rows, bt_max(1, cell_budget(ctx) / ebits / lanes) * lanes));
    const double drows = (double)rows, blocks = (double)bt_div_up(rows, best.rows), bits = (double)ebits;
    double least = 0; /* for each base */
    for (size_t w = 1; w <= MAX_WINDOW; w++) {
        const double cost = blocks * bt_odd_products(w) + drows * bits / (double)(w + 1);
        if (w == 1 || cost < least) {
            least = cost;
            best.w = w;
        }
    }
    *products = least * (double)m;
    best.cols = bt_odd_columns(ctx, m, best.w);
    best.cells = best.rows * ebits;
    return best;
}

/* Pippenger with window w, 2 .. MAX_WINDOW; cells 0: they would not fit. */
static plan pippenger_plan(const bt_mont *ctx, size_t m, size_t rows, size_t ebits, size_t w, double *products)
{
    const size_t windows = bt_div_up(ebits, w), buckets = (size_t)1 << w;
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

/* What the method keeps beside accumulators. Straus: tables. Pippenger: three arrays of one element per window and as many indices,
 * which take less than elements, and two groups for the joining. */
static size_t own_words(const bt_mont *ctx, const plan *p, size_t ebits)
{
    if (p->pippenger)
        return 4 * bt_mont_words(ctx, bt_div_up(ebits, p->w)) + 2 * bt_mont_words(ctx, 1);
    return bt_odd_entries(p->w) * bt_mont_words(ctx, p->cols);
}

/* work space of one step */
static size_t step_scratch(const bt_mont *ctx, const plan *p)
{
    const size_t straus = p->pippenger ? 0 : bt_max(bt_odd_powers_scratch(ctx, p->cols), bt_join_scratch(ctx));
    return bt_max(bt_accumulate_scratch(ctx), straus);
}

/* Scratch, in order: accumulators, what the method keeps, work space, and the accumulators' `used` bytes. */
static size_t plan_scratch(const bt_mont *ctx, const plan *p, size_t ebits)
{
    return bt_mont_words(ctx, p->cells) + own_words(ctx, p, ebits) + step_scratch(ctx, p) + bt_div_up(p->cells, 8);
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
            most = bt_max(most, plan_scratch(ctx, &p, ebits));
    }
    return most;
}

/* Weighs the buckets of one row, all windows in step: with suffix = B_max ... B_d, the product of all suffixes is
 * prod B_d^d; then joins the windows into the first element of `own` (own_words), onto what is there if `more`. */
static void pippenger_join(const bt_mont *ctx, const plan *p, bt_word *own, const bt_word *cells, size_t ebits,
                           int more, bt_word *work)
{
    const size_t windows = bt_div_up(ebits, p->w);
    const bt_mont_ops *ops = ctx->ops;
    const size_t stride = bt_mont_words(ctx, windows), buckets = (size_t)1 << p->w;
    bt_word *group = own, *factor = group + bt_mont_words(ctx, 1), *suffix = factor + bt_mont_words(ctx, 1);
    bt_word *weighed = suffix + stride, *bucket = weighed + stride;
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
        ops->gather(ctx, factor, weighed, pick, 1);
        if (k + 1 == windows && !more) {
            ops->gather(ctx, group, factor, NULL, 1);
            continue;
        }
        for (size_t i = k * p->w; i < bt_min(ebits, (k + 1) * p->w); i++)
            ops->sqr(ctx, group, group, 1, 0, work);
        ops->mul(ctx, group, group, factor, 1, 0, work);
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
    const size_t windows = bt_div_up(ebits, p.w);
    bt_word *cells = scratch, *own = cells + bt_mont_words(ctx, p.cells), *work = own + own_words(ctx, &p, ebits);
    uint8_t *used = (uint8_t *)(work + step_scratch(ctx, &p));
    bt_accumulator acc = {.ctx = ctx, .dst = cells, .used = used, .src = p.pippenger ? base : own, .scratch = work};

    for (size_t first = 0; first < rows; first += p.rows) {
        const size_t count = bt_min(p.rows, rows - first);
        ops->one(ctx, cells, p.cells);
        memset(used, 0, p.cells);
        if (p.pippenger) {
            const bt_limb *mine = e + first * m * el;
            for (size_t j = 0; j < m; j++, mine += el)
                for (size_t k = 0; k < windows; k++) {
                    const size_t digit = bt_bits_at(mine, k * p.w, bt_min(p.w, ebits - k * p.w));
                    if (digit)
                        bt_accumulate(&acc, (k << p.w) + digit, idx ? (size_t)idx[j] : j);
                }
            bt_accumulate_flush(&acc);
            const int64_t row = (int64_t)first;
            if (more)
                ops->gather(ctx, own, dst, &row, 1);
            pippenger_join(ctx, &p, own, cells, ebits, more, work);
            ops->scatter(ctx, dst, first, own, 1);
            continue;
        }
        for (size_t col = 0; col < m; col += p.cols) {
            const size_t cols = bt_min(p.cols, m - col);
            bt_odd_powers(ctx, own, bt_mont_words(ctx, p.cols), bt_odd_entries(p.w),
                          idx ? base : base + bt_mont_offset(ctx, col), idx ? idx + col : NULL, cols, work);
            for (size_t r = 0; r < count; r++) /* the accumulators of one row and the tables stay in cache */
                for (size_t c = 0; c < cols; c++)
                    bt_accumulate_power(&acc, r * ebits, c, p.cols, e + ((first + r) * m + col + c) * el, ebits, p.w);
            bt_accumulate_flush(&acc);
        }
        bt_join(ctx, dst + bt_mont_offset(ctx, first), cells, used, count, ebits, ebits, more, work);
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
