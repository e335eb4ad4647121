#include "bt_cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

#define KNOWN 0x80000000u /* in the cache: CPUID has run */

enum {
    /* CPUID leaf 1, ECX */
    FMA = 1 << 12,
    OSXSAVE = 1 << 27, /* XGETBV may be used */
    AVX = 1 << 28,
    /* CPUID leaf 7, subleaf 0, EBX */
    AVX2 = 1 << 5,
    AVX512F = 1 << 16,
    AVX512IFMA = 1 << 21,
    /* XCR0: the state that the operating system saves */
    YMM = 0x06, /* xmm, and the upper halves of ymm */
    ZMM = 0xe6  /* those, the masks, the upper halves of zmm 0 to 15, and zmm 16 to 31 */
};

static unsigned state_saved(void)
{
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static unsigned ask(void)
{
    unsigned a, b, c, d, found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE) || !(c & AVX))
        return 0;
    const unsigned features = c, saved = state_saved();
    if ((saved & YMM) != YMM)
        return 0;
    found |= BT_CPU_AVX;
    if (features & FMA)
        found |= BT_CPU_FMA;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return found;
    if (b & AVX2)
        found |= BT_CPU_AVX2;
    if ((saved & ZMM) == ZMM && b & AVX512F) {
        found |= BT_CPU_AVX512F;
        if (b & AVX512IFMA)
            found |= BT_CPU_IFMA;
    }
    return found;
}

unsigned bt_cpu(void)
{
    static unsigned cache; /* threads that meet here write the same word */
    unsigned known = __atomic_load_n(&cache, __ATOMIC_RELAXED);
    if (!known) {
        known = ask() | KNOWN;
        __atomic_store_n(&cache, known, __ATOMIC_RELAXED);
    }
    return known & ~KNOWN;
}
#else
unsigned bt_cpu(void)
{
    return 0;
}
#endif

#ifdef BT_ZIG /* setup.py: its clang does not tell */
#define FROM " (zig)"
#else
#define FROM ""
#endif
#define QUOTE(x) #x
#define TEXT(x) QUOTE(x)

const char *bt_compiler(void)
{
#if defined(__clang__)
    return "clang " TEXT(__clang_major__) "." TEXT(__clang_minor__) "." TEXT(__clang_patchlevel__) FROM;
#elif defined(__GNUC__)
    return "gcc " TEXT(__GNUC__) "." TEXT(__GNUC_MINOR__) "." TEXT(__GNUC_PATCHLEVEL__);
#else
    return "unknown";
#endif
}
