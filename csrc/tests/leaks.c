#include "leaks.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEAKS(name) extern const leak_case leaks_##name[];
#include "leaks.inc"
#undef LEAKS

static volatile int sink;

void leak_branch(const uint64_t *p)
{
    if (p[0] & 1)
        sink++;
}

void leak_element(const bt_mont *ctx, const bt_word *a, int64_t i)
{
    bt_word *element = test_words(bt_mont_words(ctx, 1));
    ctx->ops->gather(ctx, element, a, &i, 1);
    leak_branch(element);
    free(element);
}

const bt_mont_ops *leak_backend;

void leak_result(const bt_word *p, int planted)
{
    if (planted && leak_backend != &bt_mont_mpn)
        leak_branch(p);
}

/* Runs a case with its planted leak in a child, which valgrind ends with REPORTED at its first report; 1 if it did. A fork takes
 * along what valgrind has translated so far: a process of its own for each case would spend most of its time on starting. */
enum { REPORTED = 9 };
static int reported(const leak_case *c)
{
    int status = 0;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        c->run(1);
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == REPORTED;
}

/* Runs, lists or plants one case on leak_backend, if it is wanted and runs there; 1 if so. */
static int one_case(const leak_case *c, int pairs, const char *wanted, int *missed)
{
    char name[80];
    if (pairs ? c->over != PAIRS : c->over >= ONCE && leak_backend != &bt_mont_mpn)
        return 0;
    snprintf(name, sizeof name, "%s%s/%s", c->over == ONCE ? "any" : leak_backend->name, pairs ? "-pairs" : "",
             c->name);
    if (wanted && !strcmp(wanted, "--list")) {
        printf("%s\n", name);
    } else if (wanted && !strcmp(wanted, "--planted")) {
        if (!reported(c)) {
            printf("planted leak %s was not reported\n", name);
            ++*missed;
        }
    } else if (!wanted || !strcmp(wanted, name)) {
        c->run(wanted != NULL);
    } else {
        return 0;
    }
    return 1;
}

/* No argument: every case on every backend that this machine has, honest. --list: the names, BACKEND/CASE. A name: that case with
 * its planted leak. --planted: each case with its planted leak, all of which valgrind must report, run with
 * --error-exitcode=9 --exit-on-first-error=yes. */
int main(int argc, char **argv)
{
    static const leak_case *const modules[] = {
#define LEAKS(name) leaks_##name,
#include "leaks.inc"
#undef LEAKS
    };
    const char *wanted = argc > 1 ? argv[1] : NULL;
    const int planted = wanted && !strcmp(wanted, "--planted");
    int found = 0, missed = 0;
    if (!test_load_gmp()) {
        fprintf(stderr, "no usable GMP: set BT_GMP to a libgmp, or to an extension that depends on one\n");
        return 2;
    }
    for (const bt_mont_ops *const *ops = bt_mont_backends; *ops; ops++)
        for (int pairs = 0; pairs < 2; pairs++) {
            leak_backend = pairs ? (*ops)->pairs : *ops;
            if (!leak_backend->available())
                continue;
            for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
                for (const leak_case *c = modules[i]; c->name; c++)
                    found += one_case(c, pairs, wanted, &missed);
        }
    if (!wanted)
        printf("%d passed, 0 failed (functions with secret operands)\n", found);
    if (planted)
        printf("%d passed, %d failed (planted leaks, each reported)\n", found - missed, missed);
    return !found ? 2 : missed ? 1 : 0;
}
