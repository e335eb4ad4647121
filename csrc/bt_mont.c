#include "bt_mont.h"

#include <string.h>

const bt_mont_ops *bt_mont_pick(const char *name)
{
    if (!name || !*name || !strcmp(name, "auto") || !strcmp(name, bt_mont_mpn.name))
        return &bt_mont_mpn;
    return NULL;
}

bt_status bt_mont_init(bt_mont *ctx, const bt_mont_ops *ops, const bt_modulus *mod, bt_word *consts, bt_word *scratch)
{
    ctx->ops = ops;
    ctx->mod = mod;
    ctx->elem_words = ops->elem_words(mod->limbs);
    ctx->consts = consts;
    return ops->init(ctx, consts, scratch);
}
