#include "bt_field_impl.h"

#define VECTOR 16
#include "bt_field_gf256.h"

static void gf256_add(const bt_field *f, void *out, const void *a, const void *b, size_t n)
{
    uint8_t *o = out;
    const uint8_t *x = a, *y = b;
    (void)f;
    for (size_t i = 0; i < n; i++)
        o[i] = x[i] ^ y[i];
}

/* Eight steps of shift and add; the product modulo 0x11b as it grows. */
static void gf256_mul(const bt_field *f, void *out, const void *a, const void *b, size_t n)
{
    uint8_t *o = out;
    const uint8_t *x = a, *y = b;
    (void)f;
    for (size_t i = 0; i < n; i++) {
        unsigned t = 0;
        for (int bit = 7; bit >= 0; bit--) {
            t = t << 1 ^ (0x11b & (0 - (t >> 7)));
            t ^= x[i] & (0 - (y[i] >> bit & 1u));
        }
        o[i] = (uint8_t)t;
    }
}

static uint64_t gf256_canonical(const bt_field *f, const void *a, size_t n)
{
    (void)f;
    (void)a;
    (void)n;
    return ~(uint64_t)0;
}

static size_t gf256_accept(const bt_field *f, void *a, size_t n)
{
    (void)f;
    (void)a;
    return n;
}

static size_t gf256_scratch(const bt_field *f, size_t k)
{
    (void)f;
    return 8 * k * sizeof(uint16_t);
}

const bt_field_ops bt_field_gf256 = {gf256_add,    gf256_add, gf256_mul,    gf256_canonical,
                                     gf256_accept, gf256_row, gf256_scratch};
