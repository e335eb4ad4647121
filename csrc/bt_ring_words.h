/* The functions of bt_ring.h that are one loop over words; included once for each ring, with WORD, BITS and NAME defined. */

void NAME(bt_ring_share)(WORD *rows, size_t stride, const WORD *x, size_t parties, size_t n)
{
    WORD *last = rows + (parties - 1) * stride;
    if (parties == 1) {
        memcpy(last, x, n * sizeof(WORD));
        return;
    }
    for (size_t i = 0; i < n; i++)
        last[i] = x[i] - rows[i];
    for (size_t p = 1; p + 1 < parties; p++)
        for (size_t i = 0; i < n; i++)
            last[i] -= rows[p * stride + i];
}

void NAME(bt_ring_sum)(WORD *out, const WORD *rows, size_t stride, size_t parties, size_t n)
{
    if (parties == 0) {
        memset(out, 0, n * sizeof(WORD));
        return;
    }
    memmove(out, rows, n * sizeof(WORD));
    for (size_t p = 1; p < parties; p++)
        for (size_t i = 0; i < n; i++)
            out[i] += rows[p * stride + i];
}

void NAME(bt_ring_add)(WORD *out, const WORD *a, const WORD *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

void NAME(bt_ring_sub)(WORD *out, const WORD *a, const WORD *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] - b[i];
}

void NAME(bt_ring_mul)(WORD *out, const WORD *a, const WORD *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] * b[i];
}

void NAME(bt_ring_scale)(WORD *out, const WORD *a, WORD k, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = k * a[i];
}

WORD NAME(bt_ring_dot)(const WORD *a, const WORD *b, size_t n)
{
    WORD even = 0, odd = 0; /* two chains of additions */
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        even += a[i] * b[i];
        odd += a[i + 1] * b[i + 1];
    }
    if (i < n)
        even += a[i] * b[i];
    return even + odd;
}

void NAME(bt_ring_beaver)(WORD *out, const WORD *d, const WORD *e, const WORD *a, const WORD *b, const WORD *c,
                          int leader, size_t n)
{
    const WORD one = leader ? 1 : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = c[i] + d[i] * (b[i] + one * e[i]) + e[i] * a[i];
}

void NAME(bt_ring_truncate)(WORD *out, const WORD *x, unsigned k, int party, size_t n)
{
    if (party == 0)
        for (size_t i = 0; i < n; i++)
            out[i] = x[i] >> k;
    else
        for (size_t i = 0; i < n; i++)
            out[i] = (WORD)0 - (((WORD)0 - x[i]) >> k);
}

void NAME(bt_ring_mask)(WORD *out, const WORD *a, const WORD *b, unsigned l, size_t n)
{
    const WORD low = (WORD)-1 >> (BITS - l);
    for (size_t i = 0; i < n; i++)
        out[i] = (a[i] + b[i]) & low;
}

void NAME(bt_ring_unmask)(WORD *out, const WORD *a, const WORD *b, unsigned l, size_t n)
{
    const WORD low = (WORD)-1 >> (BITS - l);
    for (size_t i = 0; i < n; i++)
        out[i] = (a[i] - b[i]) & low;
}

bt_status NAME(bt_ring_pack)(uint8_t *out, const WORD *x, unsigned l, size_t n)
{
    if (l < 1 || l > BITS)
        return BT_ERR_ARG;
    uint64_t held = 0;    /* bits that wait, the rest 0 */
    unsigned waiting = 0; /* fewer than 64 of them: a function of i and l alone */
    WORD seen = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t w = x[i];
        seen |= x[i];
        held |= w << waiting;
        waiting += l;
        if (waiting >= 64) {
            store_le(out, held);
            out += 8;
            waiting -= 64;
            held = waiting ? w >> (l - waiting) : 0;
        }
    }
    for (; waiting > 0; waiting = waiting > 8 ? waiting - 8 : 0) {
        *out++ = (uint8_t)held;
        held >>= 8;
    }
    uint64_t over = l < BITS ? seen >> (l % BITS) : 0;
    over = bt_ct_nonzero(over);
    BT_PUBLIC(&over, sizeof over); /* public: whether the caller violated the contract, which is reported */
    return over ? BT_ERR_OVERFLOW : BT_OK;
}

bt_status NAME(bt_ring_unpack)(WORD *out, const uint8_t *packed, unsigned l, size_t n)
{
    if (l < 1 || l > BITS)
        return BT_ERR_ARG;
    const uint64_t low = ~(uint64_t)0 >> (64 - l);
    const size_t bytes = bt_ring_packed_bytes(n, l);
    /* a word begins in the byte bit / 8 and ends within the 9 from there: the first `safe` words may read all 9 */
    const size_t safe = bytes < 9 ? 0 : (bytes - 9) / l * 8 + (bytes - 9) % l * 8 / l;
    size_t i = 0, bit = 0;
    if (l <= 57)
        for (; i < safe && i < n; i++, bit += l)
            out[i] = (WORD)(load_le(packed + bit / 8) >> bit % 8 & low);
    else
        for (; i < safe && i < n; i++, bit += l) {
            const unsigned shift = bit % 8;
            const uint64_t above = (uint64_t)packed[bit / 8 + 8] << (63 - shift) << 1;
            out[i] = (WORD)((load_le(packed + bit / 8) >> shift | above) & low);
        }
    for (; i < n; i++, bit += l) {
        uint8_t end[9] = {0};
        const unsigned shift = bit % 8;
        const size_t there = bytes - bit / 8;
        memcpy(end, packed + bit / 8, there < 9 ? there : 9);
        out[i] = (WORD)((load_le(end) >> shift | (uint64_t)end[8] << (63 - shift) << 1) & low);
    }
    const unsigned used = (unsigned)(n % 8 * l % 8);
    uint64_t rest = used ? (uint64_t)packed[bytes - 1] >> used : 0;
    BT_PUBLIC(&rest, sizeof rest); /* public: not part of a word; whether the sender kept to the form */
    return rest ? BT_ERR_ARG : BT_OK;
}
