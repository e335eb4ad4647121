/* Memory for secrets: one arena a key, locked and kept out of core dumps and forked children where the system can. */
#ifndef BT_SECRET_H
#define BT_SECRET_H

#include "bt_limb.h"

typedef struct bt_arena {
    unsigned char *base; /* page-aligned, zeroed; NULL when closed */
    size_t size;
    int locked; /* mlock succeeded: the arena will not be swapped out (RLIMIT_MEMLOCK may refuse) */
} bt_arena;

/* Maps at least `bytes` zeroed bytes outside the heap. mlock, MADV_DONTDUMP and MADV_WIPEONFORK are asked for and may
 * be missing; only the mapping itself can fail (BT_ERR_NOMEM). */
bt_status bt_arena_open(bt_arena *arena, size_t bytes);

/* Overwrites and unmaps. Safe to call twice. */
void bt_arena_close(bt_arena *arena);

/* Zeroes the vector registers, where a copy or a selection leaves words of a key: the next function that is looked up by the
 * dynamic linker, or a signal, would write them to the stack. The last statement of whatever worked on an arena. Nothing on
 * other CPUs than x86-64 and aarch64. */
void bt_wipe_registers(void);

#endif
