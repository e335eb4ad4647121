/* Memory for secrets: one arena a key, locked and kept out of core dumps and forked children where the system can. */
#ifndef BT_SECRET_H
#define BT_SECRET_H

#include "bt_limb.h"

typedef struct bt_arena {
    unsigned char *base; /* page-aligned, zeroed; NULL when closed */
    size_t size;
    int locked; /* mlock succeeded: the arena will not be swapped out (RLIMIT_MEMLOCK may refuse) */
} bt_arena;

/* Maps at least `bytes` zeroed bytes outside the heap. It requests mlock, MADV_DONTDUMP and MADV_WIPEONFORK, which the system may
 * refuse; only a failed mapping is an error (BT_ERR_NOMEM). */
bt_status bt_arena_open(bt_arena *arena, size_t bytes);

/* Overwrites and unmaps. Safe to call twice. */
void bt_arena_close(bt_arena *arena);

/* Zeroes the vector registers, in which a copy or a selection leaves words of a key: the dynamic linker, when it next looks up a
 * function, or a signal would write them to the stack. Every function that works on an arena ends with this call. It does nothing
 * on CPUs other than x86-64 and aarch64. */
void bt_wipe_registers(void);

#endif
