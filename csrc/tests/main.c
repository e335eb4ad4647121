#include "test.h"

#define TEST(name) void test_##name(void);
#include "tests.inc"
#undef TEST

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
#define TEST(name) {#name, test_##name},
#include "tests.inc"
#undef TEST
    };
    if (!test_load_gmp()) {
        fprintf(stderr, "no usable GMP: set BT_GMP to a libgmp, or to an extension that depends on one\n");
        return 2;
    }
    printf("GMP %s\n", bt_gmp.version);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        const long passed = test_passed, failed = test_failed;
        tests[i].run();
        printf("%-10s %ld passed, %ld failed\n", tests[i].name, test_passed - passed, test_failed - failed);
        fflush(stdout);
    }
    printf("%ld passed, %ld failed\n", test_passed, test_failed);
    return test_failed != 0;
}
