#include "test.h"

#include "bt_cpu.h"

/* What CPUID and XGETBV may answer; the bits are those of Intel's manual (volume 2, CPUID; volume 1, 13.3). */
enum { FMA = 1u << 12, OSXSAVE = 1u << 27, AVX = 1u << 28, AVX2 = 1u << 5, AVX512F = 1u << 16, IFMA = 1u << 21 };
enum { YMM_STATE = 0x7, ZMM_STATE = 0xe7 };

static void answers(void)
{
    const unsigned all1 = FMA | OSXSAVE | AVX, all7 = AVX2 | AVX512F | IFMA;
    const unsigned avx2 = BT_CPU_AVX | BT_CPU_AVX2 | BT_CPU_FMA, every = avx2 | BT_CPU_AVX512F | BT_CPU_IFMA;
    CHECK(bt_cpu_of(all1, ZMM_STATE, all7) == every);
    CHECK(bt_cpu_of(all1, YMM_STATE, all7) == avx2); /* an operating system that does not save zmm registers */
    CHECK(bt_cpu_of(all1, ZMM_STATE & ~0x20u, all7) == avx2);
    CHECK(bt_cpu_of(all1, 0x3, all7) == 0); /* nor ymm */
    CHECK(bt_cpu_of(all1, 0xe1, all7) == 0);
    CHECK(bt_cpu_of(all1 & ~OSXSAVE, ZMM_STATE, all7) == 0);
    CHECK(bt_cpu_of(all1 & ~AVX, ZMM_STATE, all7) == 0);
    CHECK(bt_cpu_of(all1 & ~FMA, ZMM_STATE, all7) == (every & ~(unsigned)BT_CPU_FMA));
    CHECK(bt_cpu_of(all1, ZMM_STATE, all7 & ~AVX2) == (every & ~(unsigned)BT_CPU_AVX2));
    CHECK(bt_cpu_of(all1, ZMM_STATE, all7 & ~IFMA) == (every & ~(unsigned)BT_CPU_IFMA));
    CHECK(bt_cpu_of(all1, ZMM_STATE, all7 & ~AVX512F) == avx2); /* IFMA alone is of no use */
    CHECK(bt_cpu_of(all1, ZMM_STATE, 0) == (BT_CPU_AVX | BT_CPU_FMA));
}

/* This machine, against the compiler's own table; zig leaves that empty, and so does not ask it here. */
static void this_machine(void)
{
    const unsigned found = bt_cpu();
    CHECK(found == bt_cpu());
    CHECK(bt_cpu_has(found));
    CHECK(!bt_cpu_has(~0u));
#if defined(__x86_64__) && !defined(BT_ZIG)
    __builtin_cpu_init();
    CHECK(!!(found & BT_CPU_AVX) == !!__builtin_cpu_supports("avx"));
    CHECK(!!(found & BT_CPU_AVX2) == !!__builtin_cpu_supports("avx2"));
    CHECK(!!(found & BT_CPU_FMA) == !!__builtin_cpu_supports("fma"));
    CHECK(!!(found & BT_CPU_AVX512F) == !!__builtin_cpu_supports("avx512f"));
    CHECK(!!(found & BT_CPU_IFMA) == !!__builtin_cpu_supports("avx512ifma"));
#elif !defined(__x86_64__)
    CHECK(found == 0);
#endif
    CHECK(bt_compiler()[0] != 0);
}

void test_cpu(void)
{
    answers();
    this_machine();
}
