# csrc/bt_limb.h: words, error numbers by name, and the wiping of memory. Declarations only, so there is no module of this name.
from libc.stdint cimport uint64_t


cdef extern from "bt_limb.h" nogil:
    ctypedef uint64_t bt_limb
    ctypedef uint64_t bt_word
    ctypedef enum bt_status:
        BT_OK
        BT_ERR_ARG
        BT_ERR_EVEN
        BT_ERR_SIZE
        BT_ERR_NOINV
        BT_ERR_FAULT
        BT_ERR_WIPED
        BT_ERR_NOMEM
        BT_ERR_GMP
        BT_ERR_OVERFLOW
    size_t BT_MAX_BITS
    void bt_wipe(void *p, size_t n)
