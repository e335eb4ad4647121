#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#else
#define _GNU_SOURCE
#endif

#include "bt_secret.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

bt_status bt_arena_open(bt_arena *arena, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (bytes + page - 1) / page * page;

    arena->base = NULL;
    arena->size = 0;
    arena->locked = 0;
    if (size == 0)
        return BT_ERR_ARG;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return BT_ERR_NOMEM;
    arena->base = p;
    arena->size = size;
    arena->locked = mlock(p, size) == 0;
#ifdef MADV_DONTDUMP
    (void)madvise(p, size, MADV_DONTDUMP);
#endif
#ifdef MADV_WIPEONFORK
    (void)madvise(p, size, MADV_WIPEONFORK);
#endif
    return BT_OK;
}

void bt_arena_close(bt_arena *arena)
{
    if (arena->base == NULL)
        return;
    bt_wipe(arena->base, arena->size);
    (void)munmap(arena->base, arena->size); /* unlocks too */
    arena->base = NULL;
    arena->size = 0;
    arena->locked = 0;
}
