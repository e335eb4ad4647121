#include "bt_cpu.h"

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

unsigned bt_cpu_of(unsigned leaf1, unsigned state, unsigned leaf7)
{
    unsigned found = 0;
    if (!(leaf1 & OSXSAVE) || !(leaf1 & AVX) || (state & YMM) != YMM)
        return 0;
    found |= BT_CPU_AVX;
    if (leaf1 & FMA)
        found |= BT_CPU_FMA;
    if (leaf7 & AVX2)
        found |= BT_CPU_AVX2;
    if ((state & ZMM) != ZMM || !(leaf7 & AVX512F))
        return found;
    found |= BT_CPU_AVX512F;
    if (leaf7 & AVX512IFMA)
        found |= BT_CPU_IFMA;
    return found;
}

#if defined(__x86_64__)
#include <cpuid.h>

#define KNOWN 0x80000000u /* in the cache: CPUID has run */

static unsigned state_saved(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0)); /* volatile: not before the test for OSXSAVE */
    return low;
}

static unsigned ask(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE))
        return 0;
    const unsigned leaf1 = c;
    return bt_cpu_of(leaf1, state_saved(), __get_cpuid_count(7, 0, &a, &b, &c, &d) ? b : 0);
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
