/* Powers: windows for any base, combs for a fixed one. Products of many elements are in bt_batch.c. */
#include "bt_modexp.h"

/* Elements that one window table serves: a multiple of every backend's lanes, and small enough that 2^w elements for each
 * stay in the second-level cache. */
enum { CHUNK = 8, MAX_WINDOW = 8 };

/* A masked read of one element costs about 1 / (SCAN * limbs) of a product: measured for mpn at 32 and 64 limbs. */
enum { SCAN = 10 };

/* Bit length of a public exponent; never above ebits, so that a caller's wrong ebits cannot outgrow the scratch. */
static size_t bit_length(const bt_limb *e, size_t ebits)
{
    for (size_t k = (ebits + 63) / 64; k-- > 0;)
        if (e[k])
            return bt_min(64 * k + 64 - (size_t)__builtin_clzll(e[k]), ebits);
    return 0;
}

/* Fixed windows: 2^w products for the table, then per window one product and a scan of 2^w elements.
 * Monotone: the cost of w is 2^w + ebits f(w), so a larger ebits never has a smaller best w. */
static size_t fixed_window(const bt_mont *ctx, size_t ebits)
{
    size_t best = 1;
    double least = 0;
    for (size_t w = 1; w <= 6; w++) {
        const double entries = (double)((size_t)1 << w), windows = (double)ebits / (double)w;
        const double cost = entries + windows * (1 + entries / (double)(SCAN * ctx->mod->limbs));
        if (w == 1 || cost < least) {
            least = cost;
            best = w;
        }
    }
    return best;
}

/* Words from one table entry of n elements to the next: a cache line more than they take, so that the entries of one
 * element do not all fall into the same set of the cache. */
static size_t entry_stride(const bt_mont *ctx, size_t n)
{
    return bt_mont_words(ctx, n) + 8;
}

static size_t pow_fixed_scratch(const bt_mont *ctx, size_t n, size_t ebits)
{
    const size_t entries = (size_t)1 << fixed_window(ctx, ebits);
    return (entries + 1) * entry_stride(ctx, bt_min(n, CHUNK)) + bt_mont_scratch(ctx);
}

/* Bits [low, high) of n <= CHUNK powers by fixed windows, after those above if `more`; the same operations whatever the
 * exponents. */
static void pow_fixed(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e, size_t estride,
                      size_t low, size_t high, int more, int secret, bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    if (high == low) {
        if (!more)
            ops->one(ctx, dst, n);
        return;
    }
    const size_t w = fixed_window(ctx, high - low), entries = (size_t)1 << w, stride = entry_stride(ctx, n);
    bt_word *table = scratch, *t = table + entries * stride, *work = t + stride;
    uint32_t digit[CHUNK];

    ops->one(ctx, table, n);
    ops->gather(ctx, table + stride, base, NULL, n);
    for (size_t j = 2; j < entries; j++) {
        if (j % 2 == 0)
            ops->sqr(ctx, table + j * stride, table + j / 2 * stride, n, secret, work);
        else
            ops->mul(ctx, table + j * stride, table + (j - 1) * stride, table + stride, n, secret, work);
    }
    for (size_t pos = high; pos > low;) {
        const size_t width = (pos - low - 1) % w + 1; /* w, but the top window may be narrower */
        pos -= width;
        for (size_t i = 0; i < n; i++)
            digit[i] = bt_bits_at(e + i * estride, pos, width);
        if (!more) {
            ops->select_own(ctx, dst, table, entries, stride, digit, n);
            more = 1;
            continue;
        }
        for (size_t i = 0; i < width; i++)
            ops->sqr(ctx, dst, dst, n, secret, work);
        ops->select_own(ctx, t, table, entries, stride, digit, n);
        ops->mul(ctx, dst, dst, t, n, secret, work);
    }
    bt_wipe(digit, sizeof digit);
}

size_t bt_pow_secret_scratch(const bt_mont *ctx, size_t n, size_t ebits)
{
    return pow_fixed_scratch(ctx, n, ebits);
}

void bt_pow_secret_part(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e,
                        size_t estride, size_t ebits, size_t low, size_t high, bt_word *scratch)
{
    for (size_t i = 0; i < n; i += CHUNK)
        pow_fixed(ctx, dst + bt_mont_offset(ctx, i), base + bt_mont_offset(ctx, i), bt_min(CHUNK, n - i),
                  e + i * estride, estride, low, high, high < ebits, 1, scratch);
}

void bt_pow_secret(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e, size_t estride,
                   size_t ebits, bt_word *scratch)
{
    bt_pow_secret_part(ctx, dst, base, n, e, estride, ebits, 0, ebits, scratch);
}

/* Sliding windows: 2^(w-1) odd powers (and one squaring for them), then one product in w + 1 bits on average.
 * Monotone in the same way. */
static size_t sliding_window(size_t bits)
{
    size_t best = 1;
    double least = 0;
    for (size_t w = 1; w <= MAX_WINDOW; w++) {
        const double cost = (w > 1 ? (double)((size_t)1 << (w - 1)) : 0) + (double)bits / (double)(w + 1);
        if (w == 1 || cost < least) {
            least = cost;
            best = w;
        }
    }
    return best;
}

/* Bits [low, high) of an exponent of `bits` bits that n <= CHUNK elements share: left to right, zeros skipped, each window
 * odd. dst is read only if there are bits above. */
static void pow_sliding(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e, size_t bits,
                        size_t low, size_t high, int secret_base, bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    size_t pos = bt_min(bits, high); /* bits at and above pos are done */
    if (pos <= low) {
        ops->one(ctx, dst, n);
        return;
    }
    const size_t w = sliding_window(pos - low), stride = bt_mont_words(ctx, n);
    bt_word *square = scratch, *table = square + stride, *work = table + ((size_t)1 << (w - 1)) * stride;
    ops->gather(ctx, table, base, NULL, n); /* table[k] = base^(2k+1) */
    if (w > 1)
        ops->sqr(ctx, square, base, n, secret_base, work);
    size_t filled = 1;

    int started = bits > high;
    while (pos > low) {
        if (!bt_bits_at(e, pos - 1, 1)) {
            if (started)
                ops->sqr(ctx, dst, dst, n, secret_base, work);
            pos--;
            continue;
        }
        size_t end = pos - low > w ? pos - w : low;
        while (end + 1 < pos && !bt_bits_at(e, end, 1)) /* bounded even if another thread clears bit pos - 1 */
            end++;
        const size_t k = bt_bits_at(e, end, pos - end) >> 1;
        for (; filled <= k; filled++) /* only as far as a window asks */
            ops->mul(ctx, table + filled * stride, table + (filled - 1) * stride, square, n, secret_base, work);
        if (started) {
            for (; pos > end; pos--)
                ops->sqr(ctx, dst, dst, n, secret_base, work);
            ops->mul(ctx, dst, dst, table + k * stride, n, secret_base, work);
        } else {
            ops->gather(ctx, dst, table + k * stride, NULL, n);
            started = 1;
            pos = end;
        }
    }
}

size_t bt_pow_public_scratch(const bt_mont *ctx, size_t n, size_t ebits)
{
    const size_t entries = (size_t)1 << (sliding_window(ebits) - 1);
    const size_t sliding = (entries + 1) * bt_mont_words(ctx, bt_min(n, CHUNK)) + bt_mont_scratch(ctx);
    const size_t fixed = pow_fixed_scratch(ctx, n, ebits);
    return sliding > fixed ? sliding : fixed;
}

void bt_pow_public_part(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e,
                        size_t estride, size_t ebits, size_t low, size_t high, int secret_base, bt_word *scratch)
{
    const size_t lanes = ctx->ops->lanes, chunk = lanes == 1 && estride ? 1 : CHUNK;
    for (size_t i = 0; i < n; i += chunk) {
        const size_t count = bt_min(chunk, n - i), at = bt_mont_offset(ctx, i);
        const bt_limb *mine = e + i * estride;
        size_t longest = 0;
        for (size_t k = 0; k < (estride ? count : 1); k++) {
            const size_t bits = bit_length(mine + k * estride, ebits);
            longest = bits > longest ? bits : longest;
        }
        if (chunk == 1 || estride == 0) {
            pow_sliding(ctx, dst + at, base + at, count, mine, longest, low, high, secret_base, scratch);
            continue;
        }
        /* lanes with exponents of their own go in step: fixed windows over the longest of them */
        size_t top = bt_min(longest, high);
        top = top > low ? top : low;
        pow_fixed(ctx, dst + at, base + at, count, mine, estride, low, top, longest > high, secret_base, scratch);
    }
}

void bt_pow_public(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e, size_t estride,
                   size_t ebits, int secret_base, bt_word *scratch)
{
    bt_pow_public_part(ctx, dst, base, n, e, estride, ebits, 0, ebits, secret_base, scratch);
}

/* --- fixed base ------------------------------------------------------------------------------------------------- */

/* BLOCKS: with so many there is a squaring for every 16 products, and at 6144 bits a table of 2 MB; twice as many save 2 % and
 * double the table. SCAN_LANES: SCAN for a backend of several lanes, measured for fma at 64 and 96 limbs. SQUARES: of one step
 * of the building. */
enum { BLOCKS = 16, SCAN_LANES = 6, SQUARES = 64 };

/* Columns of a block, then blocks: none is empty. */
static size_t comb_steps(size_t ebits, size_t window)
{
    return bt_div_up(bt_div_up(ebits, window), BLOCKS);
}

static size_t comb_rows(size_t ebits, size_t window)
{
    return ebits ? bt_div_up(bt_div_up(ebits, window), comb_steps(ebits, window)) : 0;
}

size_t bt_comb_table_words(const bt_mont *ctx, size_t ebits, size_t window)
{
    return comb_rows(ebits, window) * bt_mont_words(ctx, (size_t)1 << window);
}

size_t bt_comb_window(const bt_mont *ctx, size_t ebits, size_t table_bytes)
{
    const double scan = (double)((ctx->ops->lanes > 1 ? SCAN_LANES : SCAN) * ctx->mod->limbs);
    size_t best = 0;
    double least = 0;
    if (ebits >> 60) /* so that no position below wraps around */
        return 0;
    for (size_t w = 1; w <= MAX_WINDOW; w++) {
        /* not monotone, as a row of two elements is padded to whole groups */
        if (bt_comb_table_words(ctx, ebits, w) > table_bytes / sizeof(bt_word))
            continue;
        const double products = (double)bt_div_up(ebits, w), entries = (double)((size_t)1 << w);
        const double cost = products * (1 + entries / scan) + (double)comb_steps(ebits, w);
        if (!best || cost < least) {
            least = cost;
            best = w;
        }
    }
    return best;
}

/* Building: for each tooth but the first, and for each row but the first, squarings in units of at most SQUARES; and for each
 * row a last unit that fills it. */
static size_t first_row_units(const bt_comb *comb)
{
    return (comb->window - 1) * bt_div_up(comb->span, SQUARES) + 1;
}

static size_t row_units(const bt_comb *comb)
{
    return bt_div_up(comb->steps, SQUARES) + 1;
}

void bt_comb_init(bt_comb *comb, const bt_mont *ctx, size_t ebits, size_t window, bt_word *table)
{
    comb->ctx = ctx;
    comb->ebits = ebits;
    comb->window = window;
    comb->span = bt_div_up(ebits, window);
    comb->rows = comb_rows(ebits, window);
    comb->steps = comb_steps(ebits, window);
    comb->row_words = bt_mont_words(ctx, (size_t)1 << window);
    comb->build_steps = comb->rows ? first_row_units(comb) + (comb->rows - 1) * row_units(comb) : 0;
    comb->table = table;
}

/* two arrays of 2^(w-1) elements, as many indices, and the powers of all teeth */
size_t bt_comb_build_scratch(const bt_comb *comb)
{
    const size_t half = (size_t)1 << (comb->window - 1);
    return 2 * bt_mont_words(comb->ctx, half) + half + bt_mont_words(comb->ctx, MAX_WINDOW) +
           bt_mont_scratch(comb->ctx);
}

/* Entries 2^k are there; entries 2^k + j are entry 2^k times entries j, 0 < j < 2^k, as one batch. */
static void fill_row(const bt_comb *comb, bt_word *table, int secret, bt_word *top, bt_word *a, bt_word *b,
                     int64_t *idx, bt_word *work)
{
    const bt_mont *ctx = comb->ctx;
    const bt_mont_ops *ops = ctx->ops;
    for (size_t k = 1; k < comb->window; k++) {
        const size_t size = (size_t)1 << k;
        idx[0] = (int64_t)size;
        ops->gather(ctx, top, table, idx, 1);
        for (size_t j = 0; j < size - 1; j++)
            idx[j] = (int64_t)j + 1;
        ops->gather(ctx, a, table, idx, size - 1);
        for (size_t j = 0; j < size - 1; j++)
            idx[j] = 0;
        ops->gather(ctx, b, top, idx, size - 1);
        ops->mul(ctx, a, a, b, size - 1, secret, work);
        ops->scatter(ctx, table, size + 1, a, size - 1);
    }
}

void bt_comb_build(bt_comb *comb, const bt_word *base, size_t first, size_t count, int secret, bt_word *scratch)
{
    const bt_mont *ctx = comb->ctx;
    const bt_mont_ops *ops = ctx->ops;
    const size_t half = (size_t)1 << (comb->window - 1);
    bt_word *a = scratch, *b = a + bt_mont_words(ctx, half), *top = b + bt_mont_words(ctx, half);
    int64_t *idx = (int64_t *)(top + bt_mont_words(ctx, MAX_WINDOW));
    bt_word *work = (bt_word *)idx + half;
    int64_t from[MAX_WINDOW], to[MAX_WINDOW];

    for (size_t step = first; step < first + count; step++) {
        size_t row = 0, unit = step, last = first_row_units(comb) - 1;
        if (step > last) {
            row = 1 + (step - last - 1) / row_units(comb);
            unit = (step - last - 1) % row_units(comb);
            last = row_units(comb) - 1;
        }
        bt_word *table = comb->table + row * comb->row_words;
        const bt_word *source = table;
        if (unit == 0) {
            ops->one(ctx, table, 2 * half); /* the lanes of every group start as residues */
            if (row == 0)
                ops->scatter(ctx, table, 1, base, 1);
            else
                source = table - comb->row_words;
        }
        if (unit == last) {
            fill_row(comb, table, secret, top, a, b, idx, work);
            continue;
        }
        /* tooth k of row 0 is tooth k - 1 squared `span` times; a later row is the row before squared `steps` times */
        size_t teeth = comb->window, done = unit * SQUARES, all = comb->steps;
        for (size_t k = 0; k < teeth; k++)
            from[k] = to[k] = (int64_t)1 << k;
        if (row == 0) {
            const size_t units = bt_div_up(comb->span, SQUARES), tooth = 1 + unit / units;
            teeth = 1;
            done = unit % units * SQUARES;
            all = comb->span;
            to[0] = (int64_t)1 << tooth;
            from[0] = done ? to[0] : to[0] / 2;
        }
        ops->gather(ctx, top, source, from, teeth);
        for (size_t k = done; k < bt_min(done + SQUARES, all); k++)
            ops->sqr(ctx, top, top, teeth, secret, work);
        ops->put(ctx, table, to, top, teeth);
    }
}

size_t bt_comb_pow_scratch(const bt_comb *comb, size_t n)
{
    return bt_mont_words(comb->ctx, n) + (n + 1) / 2 + bt_mont_scratch(comb->ctx);
}

/* The bits of one column, those at or above ebits being 0: positions are public. */
static uint32_t column_of(const bt_comb *comb, const bt_limb *e, size_t column)
{
    uint32_t digit = 0;
    for (size_t i = 0, pos = column; i < comb->window && pos < comb->ebits; i++, pos += comb->span)
        digit |= (uint32_t)(e[pos / 64] >> (pos % 64) & 1) << i;
    return digit;
}

void bt_comb_pow_part(const bt_comb *comb, bt_word *dst, size_t n, const bt_limb *e, size_t el, size_t first,
                      size_t count, bt_word *scratch)
{
    const bt_mont *ctx = comb->ctx;
    const size_t entries = (size_t)1 << comb->window;
    bt_word *t = scratch;
    uint32_t *digit = (uint32_t *)(t + bt_mont_words(ctx, n));
    bt_word *work = (bt_word *)digit + (n + 1) / 2;
    for (size_t step = first; step < first + count; step++) {
        if (step)
            ctx->ops->sqr(ctx, dst, dst, n, 1, work);
        for (size_t row = 0; row < comb->rows; row++) {
            const size_t column = row * comb->steps + (comb->steps - 1 - step);
            if (column >= comb->span) /* only in the last block; the first one has every column */
                continue;
            for (size_t i = 0; i < n; i++)
                digit[i] = column_of(comb, e + i * el, column);
            const int begins = step == 0 && row == 0;
            ctx->ops->select_shared(ctx, begins ? dst : t, comb->table + row * comb->row_words, entries, digit, n);
            if (!begins)
                ctx->ops->mul(ctx, dst, dst, t, n, 1, work);
        }
    }
}

void bt_comb_pow(const bt_comb *comb, bt_word *dst, size_t n, const bt_limb *e, size_t el, bt_word *scratch)
{
    if (comb->steps == 0)
        comb->ctx->ops->one(comb->ctx, dst, n);
    bt_comb_pow_part(comb, dst, n, e, el, 0, comb->steps, scratch);
}
