/* GF(2^8) by vectors of VECTOR bytes: 16 in the file for any CPU, 32 in the one for AVX2.
 *
 * A row of the product takes the bits of its public coefficients from the top (Horner): t <- x t, then t += every s_j whose m_j
 * has the bit. So there is no product of bytes, no table and no address from a secret: only the shift by one bit, a comparison of
 * every byte with 0 and exclusive or. */

typedef uint8_t vec __attribute__((vector_size(VECTOR), aligned(1), may_alias));
typedef int8_t svec __attribute__((vector_size(VECTOR), aligned(1), may_alias));

/* a macro, since vectors as arguments have no stable ABI without AVX */
#define TIMES_X(t) (((t) + (t)) ^ ((vec)((svec)(t) < 0) & 0x1b))

/* lists[b]: the j with bit b of m[j], counts[b] of them */
static void bits_of(uint16_t *lists, size_t counts[8], const uint8_t *m, size_t k)
{
    for (unsigned b = 0; b < 8; b++) {
        uint16_t *list = lists + b * k;
        size_t n = 0;
        for (size_t j = 0; j < k; j++) {
            list[n] = (uint16_t)j;
            n += m[j] >> b & 1;
        }
        counts[b] = n;
    }
}

/* `width` vectors at a time */
INLINE void columns(uint8_t *out, const uint16_t *lists, const size_t counts[8], size_t k, const uint8_t *s,
                    size_t stride, int width)
{
    vec t[4] = {0};
    for (int b = 7; b >= 0; b--) {
        const uint16_t *list = lists + (size_t)b * k;
#pragma GCC unroll 4
        for (int l = 0; l < width; l++)
            t[l] = TIMES_X(t[l]);
        for (size_t i = 0; i < counts[b]; i++) {
            const vec *v = (const vec *)(s + list[i] * stride);
#pragma GCC unroll 4
            for (int l = 0; l < width; l++)
                t[l] ^= v[l];
        }
    }
#pragma GCC unroll 4
    for (int l = 0; l < width; l++)
        ((vec *)out)[l] = t[l];
}

static void gf256_row(const bt_field *f, void *out, const void *m, size_t k, const void *s, size_t stride, size_t n,
                      void *scratch)
{
    uint8_t *o = out;
    const uint8_t *v = s, *c = m;
    uint16_t *lists = scratch;
    size_t counts[8], i = 0;
    (void)f;
    bits_of(lists, counts, c, k);
    for (; i + 4 * VECTOR <= n; i += 4 * VECTOR)
        columns(o + i, lists, counts, k, v + i, stride, 4);
    for (; i + VECTOR <= n; i += VECTOR)
        columns(o + i, lists, counts, k, v + i, stride, 1);
    for (; i < n; i++) {
        unsigned t = 0;
        for (int b = 7; b >= 0; b--) {
            t = t << 1 ^ (0x11b & (0 - (t >> 7)));
            for (size_t l = 0; l < counts[b]; l++)
                t ^= v[lists[(size_t)b * k + l] * stride + i];
        }
        o[i] = (uint8_t)t;
    }
}
