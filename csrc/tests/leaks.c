#include "leaks.h"

#include <string.h>

#define LEAKS(name) extern const leak_case leaks_##name[];
#include "leaks.inc"
#undef LEAKS

static volatile int sink;

void leak_branch(const uint64_t *p)
{
    if (p[0] & 1)
        sink++;
}

/* No argument: every case, honest. --list: the names. A name: that case with its planted leak. */
int main(int argc, char **argv)
{
    static const leak_case *const modules[] = {
#define LEAKS(name) leaks_##name,
#include "leaks.inc"
#undef LEAKS
    };
    const char *wanted = argc > 1 ? argv[1] : NULL;
    int found = 0;
    if (!test_load_gmp()) {
        fprintf(stderr, "no usable GMP: set BT_GMP to a libgmp, or to an extension that depends on one\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        for (const leak_case *c = modules[i]; c->name; c++) {
            if (wanted && !strcmp(wanted, "--list")) {
                printf("%s\n", c->name);
                found++;
            } else if (!wanted || !strcmp(wanted, c->name)) {
                c->run(wanted != NULL);
                found++;
            }
        }
    if (!wanted)
        printf("%d passed, 0 failed (functions with secret operands)\n", found);
    return found ? 0 : 2;
}
