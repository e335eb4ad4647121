#include "bt_ring.h"

#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t load_le(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

INLINE void store_le(uint8_t *p, uint64_t w)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    memcpy(p, &w, 8);
}

#define WORD uint32_t
#define BITS 32
#define NAME(name) name##32
#include "bt_ring_words.h"
#undef WORD
#undef BITS
#undef NAME

#define WORD uint64_t
#define BITS 64
#define NAME(name) name##64
#include "bt_ring_words.h"
#undef WORD
#undef BITS
#undef NAME

/* --- the matrix product for any CPU: a tile of 2 x 4 fits sixteen registers ------------------------------------------------- */

#define ROWS 2
#define COLUMNS 4
#define PACK_A(w) (w)

#define TILE                                                                                                           \
    WORD t00 = 0, t01 = 0, t02 = 0, t03 = 0, t10 = 0, t11 = 0, t12 = 0, t13 = 0;                                       \
    for (size_t i = 0; i < k; i++, a += ROWS, b += COLUMNS) {                                                          \
        const WORD a0 = a[0], a1 = a[1];                                                                               \
        t00 += a0 * b[0];                                                                                              \
        t01 += a0 * b[1];                                                                                              \
        t02 += a0 * b[2];                                                                                              \
        t03 += a0 * b[3];                                                                                              \
        t10 += a1 * b[0];                                                                                              \
        t11 += a1 * b[1];                                                                                              \
        t12 += a1 * b[2];                                                                                              \
        t13 += a1 * b[3];                                                                                              \
    }                                                                                                                  \
    t[0] = t00, t[1] = t01, t[2] = t02, t[3] = t03;                                                                    \
    t[4] = t10, t[5] = t11, t[6] = t12, t[7] = t13

#define WORD uint32_t
#define AWORD uint32_t
#define NAME(name) name##32
static void tile32(uint32_t *t, const uint32_t *a, const uint32_t *b, size_t k)
{
    TILE;
}
#include "bt_ring_product.h"
#undef WORD
#undef AWORD
#undef NAME

#define WORD uint64_t
#define AWORD uint64_t
#define NAME(name) name##64
static void tile64(uint64_t *t, const uint64_t *a, const uint64_t *b, size_t k)
{
    TILE;
}
#include "bt_ring_product.h"
#undef WORD
#undef AWORD
#undef NAME

static int always(void)
{
    return 1;
}

const bt_ring_ops bt_ring_generic = {"generic", always, product32, product64};

const bt_ring_ops *const bt_ring_all[] = {
#if defined(__x86_64__)
    &bt_ring_avx2,
#endif
    &bt_ring_generic,
    NULL,
};

const bt_ring_ops *bt_ring_pick(int portable)
{
    const bt_ring_ops *const *ops = bt_ring_all;
    while (portable ? *ops != &bt_ring_generic : !(*ops)->available())
        ops++;
    return *ops;
}
