/* Limbs, sizes, status codes, constant-time helpers, and the marks that the leak test reads.
 *
 * A number is an array of 64-bit limbs, least significant first. "Canonical" means fully reduced and exactly as many
 * limbs as its modulus. Nothing here allocates, prints or aborts. */
#ifndef BT_LIMB_H
#define BT_LIMB_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t bt_limb; /* one 64-bit digit of a number */
typedef uint64_t bt_word; /* one 64-bit cell of a backend's own element layout: opaque outside bt_mont_*.c */

#define BT_LIMB_BITS 64
#define BT_MAX_BITS 16384
#define BT_MAX_LIMBS (BT_MAX_BITS / BT_LIMB_BITS)

/* Every function that can fail returns one of these. */
typedef enum bt_status {
    BT_OK = 0,
    BT_ERR_ARG = -1,     /* an argument is outside its documented range */
    BT_ERR_EVEN = -2,    /* the modulus is even (or below 3) */
    BT_ERR_SIZE = -3,    /* the modulus is beyond BT_MAX_BITS */
    BT_ERR_NOINV = -4,   /* an element has no inverse */
    BT_ERR_FAULT = -5,   /* a result failed its check and was withheld */
    BT_ERR_WIPED = -6,   /* the key's arena was closed, or this is a forked child */
    BT_ERR_NOMEM = -7,   /* the system refused memory */
    BT_ERR_GMP = -8,     /* GMP could not be found or lacks a function */
    BT_ERR_OVERFLOW = -9 /* a value does not fit its destination */
} bt_status;

/* --- sizes and digits -------------------------------------------------------------------------------------------------- */

static inline size_t bt_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t bt_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* a / b, rounded up */
static inline size_t bt_div_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

/* Bits [pos, pos + width) of e, for 0 < width <= 32: the next limb is read only if some of its bits are needed. Addresses depend
 * on pos and width alone. */
static inline uint32_t bt_bits_at(const bt_limb *e, size_t pos, size_t width)
{
    const size_t k = pos / 64, shift = pos % 64;
    bt_limb v = e[k] >> shift;
    if (shift + width > 64)
        v |= e[k + 1] << (64 - shift);
    return (uint32_t)(v & (((bt_limb)1 << width) - 1));
}

/* --- constant-time helpers: all-ones / all-zeros masks, no branch on an operand ------------------------------------ */

/* Hides a mask from the optimiser, which may otherwise turn a select back into a branch. */
static inline uint64_t bt_ct_barrier(uint64_t x)
{
    __asm__("" : "+r"(x));
    return x;
}

/* all ones if x != 0 */
static inline uint64_t bt_ct_nonzero(uint64_t x)
{
    return bt_ct_barrier(0 - ((x | (0 - x)) >> 63));
}

/* all ones if a == b */
static inline uint64_t bt_ct_eq(uint64_t a, uint64_t b)
{
    return ~bt_ct_nonzero(a ^ b);
}

/* all ones if a == 0 */
static inline uint64_t bt_ct_is_zero(uint64_t a)
{
    return ~bt_ct_nonzero(a);
}

/* all ones if a < b: the borrow of a - b, spread over a limb */
static inline uint64_t bt_ct_less(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    return bt_ct_barrier((uint64_t)(((wide)a - b) >> 64));
}

/* mask ? a : b, for mask all ones or all zeros */
static inline uint64_t bt_ct_select(uint64_t mask, uint64_t a, uint64_t b)
{
    return b ^ (mask & (a ^ b));
}

/* Overwrites n bytes in a way the compiler may not remove: to it, the statement after reads the memory. */
static inline void bt_wipe(void *p, size_t n)
{
    memset(p, 0, n);
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* --- the leak test ------------------------------------------------------------------------------------------------
 * Under valgrind (build with -DBT_CTCHECK) BT_SECRET marks memory as undefined, so that any branch or address that depends on it
 * is reported; BT_PUBLIC removes the mark from a result that is meant to be public. A comment at every BT_PUBLIC gives its
 * reason. */
#ifdef BT_CTCHECK
#include <valgrind/memcheck.h>
#define BT_SECRET(p, n) ((void)VALGRIND_MAKE_MEM_UNDEFINED((p), (n)))
#define BT_PUBLIC(p, n) ((void)VALGRIND_MAKE_MEM_DEFINED((p), (n)))
#else
#define BT_SECRET(p, n) ((void)(p), (void)(n))
#define BT_PUBLIC(p, n) ((void)(p), (void)(n))
#endif

#endif
