/* dlopen and dlsym for a static binary, which has no dynamic linker: the one library, "static", is the libgmp.a linked in. */
#include <gmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define QUOTE(x) #x
#define NAMED(x) QUOTE(x), (const void *)
#define ENTRY(x) {NAMED(x) x}

void __gmpn_redc_n(void); /* in the library, in no header */

static const struct {
    const char *name;
    const void *address;
} symbols[] = {
    ENTRY(mpn_add_n),
    ENTRY(mpn_sub_n),
    ENTRY(mpn_mul_1),
    ENTRY(mpn_addmul_1),
    ENTRY(mpn_mul_n),
    ENTRY(mpn_sqr),
    ENTRY(mpn_sec_mul),
    ENTRY(mpn_sec_mul_itch),
    ENTRY(mpn_gcd),
    ENTRY(__gmpn_redc_n),
    ENTRY(mpz_init),
    ENTRY(mpz_clear),
    ENTRY(mpz_import),
    ENTRY(mpz_export),
    ENTRY(mpz_mul),
    ENTRY(mpz_mod),
    ENTRY(mpz_powm),
    ENTRY(mpz_invert),
    {NAMED(mp_bits_per_limb) & mp_bits_per_limb},
    {NAMED(gmp_version) & gmp_version},
};

void *dlopen(const char *path, int flags);
void *dlsym(void *handle, const char *name);
int __fprintf_chk(FILE *file, int level, const char *format, ...); /* what a libgmp.a for glibc reports errors with */

void *dlopen(const char *path, int flags)
{
    (void)flags;
    return strcmp(path, "static") ? NULL : (void *)symbols;
}

void *dlsym(void *handle, const char *name)
{
    (void)handle;
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (!strcmp(name, symbols[i].name))
            return (void *)symbols[i].address;
    return NULL;
}

int __fprintf_chk(FILE *file, int level, const char *format, ...)
{
    (void)level;
    va_list arguments;
    va_start(arguments, format);
    const int written = vfprintf(file, format, arguments);
    va_end(arguments);
    return written;
}
