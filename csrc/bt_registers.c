/* The vector registers after work on secrets; see bt_secret.h. Nothing on other CPUs than x86-64 and aarch64. */
#include "bt_cpu.h"
#include "bt_secret.h"

#if defined(__x86_64__)
/* vzeroall does not clear registers 16 and above, which only AVX-512 has: C libraries copy with them. */
__attribute__((target("avx512f"))) static void wipe_zmm(void)
{
    __asm__ volatile(".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n\t"
                     "vpxorq %%zmm\\n, %%zmm\\n, %%zmm\\n\n\t"
                     ".endr" ::
                         : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",
                           "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
}

void bt_wipe_registers(void)
{
    if (bt_cpu_has(BT_CPU_AVX512F))
        wipe_zmm();
    if (bt_cpu_has(BT_CPU_AVX))
        __asm__ volatile("vzeroall");
    __asm__ volatile(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
                     "pxor %%xmm\\n, %%xmm\\n\n\t"
                     ".endr" ::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                           "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
#elif defined(__aarch64__)
/* The lower halves of 8 to 15 belong to the callers: to save them here would write them to the stack. */
void bt_wipe_registers(void)
{
    __asm__ volatile(
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n\t"
        "movi v\\n\\().2d, #0\n\t"
        ".endr\n\t"
        ".irp n, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
        "mov v\\n\\().d[1], xzr\n\t"
        ".endr" ::
            : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23",
              "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}
#else
void bt_wipe_registers(void)
{
}
#endif
