/* Instructions that this CPU has and whose registers its operating system saves, from CPUID and XGETBV.
 *
 * __builtin_cpu_supports reads a table that the compiler's run-time library fills in. Under zig that table stays empty: every
 * answer is 0, and without notice the slowest backend would run. */
#ifndef BT_CPU_H
#define BT_CPU_H

/* Each bit: the CPU has the instructions, and the operating system saves the registers that they use. */
enum {
    BT_CPU_AVX = 1,
    BT_CPU_AVX2 = 2,
    BT_CPU_FMA = 4,
    BT_CPU_AVX512F = 8,
    BT_CPU_IFMA = 16 /* AVX512_IFMA */
};

/* The bits of this CPU; 0 if it is not an x86-64. CPUID is slow in virtual machines, so it runs once. */
unsigned bt_cpu(void);

/* The same from results of CPUID and XGETBV: ECX of leaf 1, XCR0, EBX of leaf 7. */
unsigned bt_cpu_of(unsigned leaf1, unsigned state, unsigned leaf7);

/* Whether all of these bits are set. */
static inline int bt_cpu_has(unsigned bits)
{
    return (bt_cpu() & bits) == bits;
}

/* The compiler of this file and its version: "gcc 12.2.0", "clang 22.1.8 (zig)". */
const char *bt_compiler(void);

#endif
