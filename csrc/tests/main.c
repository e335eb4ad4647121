#include <string.h>

#include "test.h"

#define TEST(name) void test_##name(void);
#include "tests.inc"
#undef TEST

/* tests [NAME...]: the modules named, or all. BT_TEST_EFFORT in the environment: see test.h. */
int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
#define TEST(name) {#name, test_##name},
#include "tests.inc"
#undef TEST
    };
    enum { COUNT = sizeof tests / sizeof *tests };
    int wanted[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        wanted[i] = argc < 2;
    for (int k = 1; k < argc; k++) {
        int found = 0;
        for (size_t i = 0; i < COUNT; i++)
            if (!strcmp(argv[k], tests[i].name))
                found = wanted[i] = 1;
        if (!found) {
            fprintf(stderr, "no test '%s'\n", argv[k]);
            return 2;
        }
    }
    if (!test_read_effort()) {
        fprintf(stderr, "BT_TEST_EFFORT: short, lean, normal or long\n");
        return 2;
    }
    if (!test_load_gmp()) {
        fprintf(stderr, "no usable GMP: set BT_GMP to a libgmp, or to an extension that depends on one\n");
        return 2;
    }
    printf("GMP %s\n", bt_gmp.version);
    for (size_t i = 0; i < COUNT; i++) {
        if (!wanted[i])
            continue;
        const long passed = test_passed, failed = test_failed;
        const double start = test_seconds();
        tests[i].run();
        printf("%-10s %ld passed, %ld failed, %.1f s\n", tests[i].name, test_passed - passed, test_failed - failed,
               test_seconds() - start);
        fflush(stdout);
    }
    printf("%ld passed, %ld failed\n", test_passed, test_failed);
    return test_failed != 0;
}
