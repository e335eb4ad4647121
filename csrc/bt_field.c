#include "bt_field_impl.h"

/* --- set up ----------------------------------------------------------------------------------------------------------------- */

/* x = 2 x mod p; p is public */
static void twice(bt_limb *x, const bt_limb *p, size_t limbs)
{
    bt_limb less[BT_FIELD_MAX_LIMBS], borrow = 0, carry = 0;
    for (size_t j = 0; j < limbs; j++) {
        const bt_limb up = x[j] << 1 | carry;
        carry = x[j] >> 63;
        x[j] = up;
    }
    for (size_t j = 0; j < limbs; j++) {
        const bt_u128 d = (bt_u128)x[j] - p[j] - borrow;
        less[j] = (bt_limb)d;
        borrow = (bt_limb)(d >> 64) & 1;
    }
    if (carry || !borrow)
        memcpy(x, less, limbs * sizeof *x);
}

static bt_status init_odd(bt_field *f, const bt_limb *p, size_t limbs)
{
    if (limbs < 1 || limbs > BT_FIELD_MAX_LIMBS)
        return BT_ERR_SIZE;
    if (p[limbs - 1] == 0)
        return BT_ERR_ARG;
    if (p[0] % 2 == 0 || (limbs == 1 && p[0] < 3))
        return BT_ERR_EVEN;
    f->limbs = limbs;
    f->bytes = 8 * limbs;
    memcpy(f->p, p, limbs * sizeof *p);
    f->top_mask = ~(bt_limb)0 >> __builtin_clzll(p[limbs - 1]);
    bt_limb inverse = p[0]; /* right modulo 2^3; each step doubles the bits that are */
    for (int i = 0; i < 5; i++)
        inverse *= 2 - p[0] * inverse;
    f->neg_inv = 0 - inverse;
    memset(f->enter, 0, sizeof f->enter);
    f->enter[0] = 1;
    for (size_t i = 0; i < 128 * (limbs + 1); i++) /* 2^(2 * 64 (L + 1)) */
        twice(f->enter, f->p, limbs);
    return BT_OK;
}

bt_status bt_field_init(bt_field *f, bt_field_kind kind, const bt_limb *p, size_t limbs, int portable)
{
    static const struct {
        const bt_field_ops *ops;
        size_t bytes;
    } kinds[] = {
        [BT_FIELD_P31] = {&bt_field_p31, 4},     [BT_FIELD_P61] = {&bt_field_p61, 8},
        [BT_FIELD_P64] = {&bt_field_p64, 8},     [BT_FIELD_ODD] = {&bt_field_odd, 0},
        [BT_FIELD_GF256] = {&bt_field_gf256, 1},
    };
    if ((size_t)kind >= sizeof kinds / sizeof *kinds)
        return BT_ERR_ARG;
    f->kind = kind;
    f->limbs = 1;
    f->bytes = kinds[kind].bytes;
    f->ops = kinds[kind].ops;
    f->row = f->ops->row;
#if defined(__x86_64__)
    bt_field_row fast = portable ? NULL : bt_field_avx2_row(kind);
    if (fast)
        f->row = fast;
#else
    (void)portable;
#endif
    return kind == BT_FIELD_ODD ? init_odd(f, p, limbs) : BT_OK;
}

/* --- vectors -------------------------------------------------------------------------------------------------------------- */

void bt_field_add(const bt_field *f, void *out, const void *a, const void *b, size_t n)
{
    f->ops->add(f, out, a, b, n);
}

void bt_field_sub(const bt_field *f, void *out, const void *a, const void *b, size_t n)
{
    f->ops->sub(f, out, a, b, n);
}

void bt_field_mul(const bt_field *f, void *out, const void *a, const void *b, size_t n)
{
    f->ops->mul(f, out, a, b, n);
}

int bt_field_canonical(const bt_field *f, const void *a, size_t n)
{
    uint64_t good = f->ops->canonical(f, a, n);
    BT_PUBLIC(&good, sizeof good); /* whether the sender kept to the field: it is refused as a whole */
    return good != 0;
}

size_t bt_field_accept(const bt_field *f, void *a, size_t n)
{
    return f->ops->accept(f, a, n);
}

size_t bt_field_scratch(const bt_field *f, size_t k)
{
    return f->ops->scratch(f, k);
}

/* The columns of s that are worked on at a time stay in the first two caches: 16 rows of them are 32 KiB. */
enum { BLOCK_BYTES = 2048 };

void bt_field_matmul(const bt_field *f, void *out, size_t out_stride, const void *m, size_t rows, size_t k,
                     const void *s, size_t stride, size_t n, void *scratch)
{
    const size_t block = BLOCK_BYTES / f->bytes > 8 ? BLOCK_BYTES / f->bytes : 8;
    for (size_t i = 0; i < n; i += block)
        for (size_t r = 0; r < rows; r++)
            f->row(f, (uint8_t *)out + (r * out_stride + i) * f->bytes, (const uint8_t *)m + r * k * f->bytes, k,
                   (const uint8_t *)s + i * f->bytes, stride, n - i < block ? n - i : block, scratch);
}

/* --- public points ---------------------------------------------------------------------------------------------------------- */

typedef uint8_t element[8 * BT_FIELD_MAX_LIMBS] __attribute__((aligned(8)));

static void set_one(const bt_field *f, void *x)
{
    const uint32_t one32 = 1;
    const uint64_t one64 = 1;
    memset(x, 0, f->bytes);
    if (f->bytes >= 8)
        memcpy(x, &one64, 8);
    else if (f->bytes == 4)
        memcpy(x, &one32, 4);
    else
        *(uint8_t *)x = 1;
}

static int is_zero(const bt_field *f, const void *x)
{
    const uint8_t *b = x;
    uint8_t seen = 0;
    for (size_t i = 0; i < f->bytes; i++)
        seen |= b[i];
    return seen == 0;
}

void bt_field_powers(const bt_field *f, void *out, const void *x, size_t rows, size_t k)
{
    uint8_t *o = out;
    const uint8_t *at = x;
    for (size_t r = 0; r < rows; r++, at += f->bytes)
        for (size_t j = 0; j < k; j++, o += f->bytes) {
            if (j == 0)
                set_one(f, o);
            else
                f->ops->mul(f, o, o - f->bytes, at, 1);
        }
}

/* out = x^-1 = x^(order - 2); 0 for 0. out is not x. */
static void invert(const bt_field *f, uint8_t *out, const uint8_t *x)
{
    bt_limb e[BT_FIELD_MAX_LIMBS] = {0};
    switch (f->kind) {
    case BT_FIELD_P31:
        e[0] = P31;
        break;
    case BT_FIELD_P61:
        e[0] = P61;
        break;
    case BT_FIELD_P64:
        e[0] = P64;
        break;
    case BT_FIELD_GF256:
        e[0] = 256;
        break;
    case BT_FIELD_ODD:
        memcpy(e, f->p, f->limbs * sizeof *e);
        break;
    }
    for (size_t j = 0, borrow = 2; borrow; j++) { /* e >= 3 */
        const bt_limb before = e[j];
        e[j] -= borrow;
        borrow = before < borrow;
    }
    set_one(f, out);
    for (size_t bit = 64 * f->limbs; bit-- > 0;) {
        f->ops->mul(f, out, out, out, 1);
        if (e[bit / 64] >> bit % 64 & 1)
            f->ops->mul(f, out, out, x, 1);
    }
}

bt_status bt_field_lagrange(const bt_field *f, void *w, const void *z, size_t rows, const void *x, size_t k, void *work)
{
    const size_t bytes = f->bytes;
    const uint8_t *at = x;
    uint8_t *scale = work;               /* 1 / prod (x_j - x_i) */
    uint8_t *prefix = scale + k * bytes; /* products of all factors before j */
    uint8_t *factor = prefix + k * bytes;
    element t, all;
    if (k == 0)
        return BT_OK;
    for (size_t j = 0; j < k; j++) {
        set_one(f, scale + j * bytes);
        for (size_t i = 0; i < k; i++)
            if (i != j) {
                f->ops->sub(f, t, at + j * bytes, at + i * bytes, 1);
                f->ops->mul(f, scale + j * bytes, scale + j * bytes, t, 1);
            }
    }
    /* all inverses for one: with P_j = d_0 .. d_(j-1), 1 / d_j = P_j / P_(j+1), from the last to the first */
    set_one(f, all);
    for (size_t j = 0; j < k; j++) {
        memcpy(prefix + j * bytes, all, bytes);
        f->ops->mul(f, all, all, scale + j * bytes, 1);
    }
    invert(f, t, all);
    f->ops->mul(f, all, all, t, 1);
    set_one(f, factor);
    if (is_zero(f, all) || memcmp(all, factor, bytes) != 0)
        return BT_ERR_NOINV;
    for (size_t j = k; j-- > 0;) {
        f->ops->mul(f, all, t, prefix + j * bytes, 1);
        f->ops->mul(f, t, t, scale + j * bytes, 1);
        memcpy(scale + j * bytes, all, bytes);
    }
    for (size_t r = 0; r < rows; r++) {
        uint8_t *row = (uint8_t *)w + r * k * bytes;
        for (size_t j = 0; j < k; j++)
            f->ops->sub(f, factor + j * bytes, (const uint8_t *)z + r * bytes, at + j * bytes, 1);
        set_one(f, all); /* row_j = product of the factors before j, then times those after it */
        for (size_t j = 0; j < k; j++) {
            memcpy(row + j * bytes, all, bytes);
            f->ops->mul(f, all, all, factor + j * bytes, 1);
        }
        set_one(f, all);
        for (size_t j = k; j-- > 0;) {
            f->ops->mul(f, row + j * bytes, row + j * bytes, all, 1);
            f->ops->mul(f, row + j * bytes, row + j * bytes, scale + j * bytes, 1);
            f->ops->mul(f, all, all, factor + j * bytes, 1);
        }
    }
    return BT_OK;
}
