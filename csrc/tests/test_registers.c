#include "bt_secret.h"
#include "test.h"

#include <string.h>

/* Every vector register, as far as a function may change it, is full before bt_wipe_registers and zero after it; on aarch64 the
 * lower halves of 8 to 15 are the callers'. */
void test_registers(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
    enum { COUNT = 32 };
    uint64_t seen[COUNT][2];
    for (int wiped = 0; wiped < 2; wiped++) {
        memset(seen, 0x55, sizeof seen);
        const uint64_t full = ~UINT64_C(0);
#if defined(__x86_64__)
        const int last = 16;
#define ALL ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
        __asm__ volatile(ALL "movq %0, %%xmm\\n\n\tpunpcklqdq %%xmm\\n, %%xmm\\n\n\t.endr" ::"r"(full)
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                           "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
        if (wiped)
            bt_wipe_registers();
        __asm__ volatile(ALL "movups %%xmm\\n, 16*\\n(%0)\n\t.endr" ::"r"(seen) : "memory");
#else
        const int last = 32;
#define ALL                                                                                                            \
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, "   \
    "28, 29, 30, 31\n\t"
        __asm__ volatile(ALL "dup v\\n\\().2d, %0\n\t.endr" ::"r"(full)
                         : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",
                           "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26",
                           "v27", "v28", "v29", "v30", "v31");
        if (wiped)
            bt_wipe_registers();
        __asm__ volatile(ALL "str q\\n, [%0, #16*\\n]\n\t.endr" ::"r"(seen) : "memory");
#endif
        for (int i = 0; i < last; i++) {
            const uint64_t wanted = wiped ? 0 : full;
#if defined(__aarch64__)
            const uint64_t low = i >= 8 && i < 16 ? full : wanted;
#else
            const uint64_t low = wanted;
#endif
            CHECK(seen[i][0] == low && seen[i][1] == wanted);
        }
    }
#endif
}
