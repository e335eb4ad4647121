#include "bt_mont.h"

#include <string.h>

const bt_mont_ops *const bt_mont_backends[] = {
#if defined(__x86_64__) || defined(BT_IFMA_EMULATE)
    &bt_mont_ifma,
#endif
#if defined(__x86_64__)
    &bt_mont_fma,
#endif
    &bt_mont_mpn, NULL};

const bt_mont_ops *bt_mont_pick(const char *name)
{
    const int any = !name || !*name || !strcmp(name, "auto");
    for (const bt_mont_ops *const *ops = bt_mont_backends; *ops; ops++)
        if ((any || !strcmp(name, (*ops)->name)) && (*ops)->available())
            return *ops;
    return NULL;
}

const bt_mont_ops *bt_mont_for(const bt_mont_ops *ops, size_t limbs)
{
    return limbs >= ops->min_limbs && limbs <= ops->max_limbs ? ops : &bt_mont_mpn;
}

const bt_mont_ops *bt_mont_for_square(const bt_mont_ops *ops, size_t limbs)
{
    const bt_mont_ops *pairs = ops->pairs;
    if (pairs && limbs >= pairs->min_limbs && limbs <= pairs->max_limbs)
        return pairs;
    ops = bt_mont_for(ops, limbs);
    return ops == &bt_mont_mpn ? ops->pairs : ops;
}

bt_status bt_mont_init(bt_mont *ctx, const bt_mont_ops *ops, const bt_modulus *mod, bt_word *consts, bt_word *scratch)
{
    ctx->ops = ops;
    ctx->mod = mod;
    ctx->elem_words = ops->elem_words(mod->limbs);
    ctx->consts = consts;
    return ops->init(ctx, consts, scratch);
}
