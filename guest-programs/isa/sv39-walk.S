# Sv39: the walk. Levels, superpages, reserved bits, addresses that are not canonical, tables that are
# not there, and sfence.vma after each change.
#include "suite.h"
#include "paging.h"

    # Entry \to holds \label's page with \flags.
    .macro SET to, label, flags
    ENTRY   \to, \label, \flags
    sfence.vma
    .endm

    BEGIN
    SV39
    li      a0, 0x1111
    la      a2, page
    sd      a0, 8(a2)
    sd      a0, 0(a2)
    li      a0, 0x2222
    la      a3, page + 4096
    sd      a0, 0(a3)

    LEAF    3, RWXAD
    ENTRY   leaves + 8 * 4, page + 4096, RWXAD
    li      a2, WINDOW + 3 * 4096
    WORKS_S loads
    CHECK   a0, 0x1111
    li      a2, WINDOW + 4 * 4096
    WORKS_S loads
    CHECK   a0, 0x2222
    # Two addresses of one page are one place.
    LEAF    511, RWXAD
    li      a2, WINDOW + 511 * 4096
    li      a0, 0x3333
    WORKS_S stores
    li      a2, WINDOW + 3 * 4096
    WORKS_S loads
    CHECK   a0, 0x3333

    # A load over two pages that are not neighbours: 3 is page, 4 is page + 4096; 5 is nothing.
    li      a2, WINDOW + 4 * 4096 - 4
    WORKS_S loads
    CHECK   a0, 0x222200000000
    li      a2, WINDOW + 5 * 4096 - 4
    RUN     S, loads
    CHECK   s6, CAUSE_LOAD_PAGE
    CHECK   s7, WINDOW + 5 * 4096
    li      a0, -1
    RUN     S, stores
    CHECK   s6, CAUSE_STORE_PAGE
    CHECK   s7, WINDOW + 5 * 4096
    la      a4, page + 8184
    ld      a0, 0(a4)               # nothing of it was stored
    CHECK   a0, 0

    # Reserved bits of a leaf: N, PBMT, 60 to 54. The two of software are free.
    li      a2, WINDOW + 6 * 4096
    .irp    bit, 54, 57, 60, 61, 62, 63
    LEAF    6, RWXAD | 1 << \bit
    FAULTS_S loads, CAUSE_LOAD_PAGE
    .endr
    LEAF    6, RWXAD | 3 << 8
    WORKS_S loads

    # A pointer in the last level; D, A or U in a pointer.
    SET     leaves + 8 * 6, middle, PTE_V
    FAULTS_S loads, CAUSE_LOAD_PAGE
    LEAF    6, RWXAD
    .irp    bit, PTE_D, PTE_A, PTE_U
    SET     middle, leaves, PTE_V | \bit
    FAULTS_S loads, CAUSE_LOAD_PAGE
    .endr
    SET     middle, leaves, PTE_V
    WORKS_S loads

    # A superpage of 2 MiB, and one that is misaligned.
    SET     middle + 8, _start, RWXAD
    li      a2, WINDOW + 0x200000 - 0x80000000
    la      a5, page
    add     a2, a2, a5
    WORKS_S loads
    CHECK   a0, 0x3333
    SET     middle + 8, page, RWXAD
    FAULTS_S loads, CAUSE_LOAD_PAGE
    # A gigapage that is misaligned.
    SET     root + 32, _start, RWXAD
    li      a2, 0x80000000
    la      a5, page
    add     a2, a2, a5              # root entry 4
    WORKS_S loads
    CHECK   a0, 0x3333
    SET     root + 32, page, RWXAD
    FAULTS_S loads, CAUSE_LOAD_PAGE

    # Bits 63 to 39 are copies of bit 38.
    SET     root + 8 * 511, _start, RWXAD
    li      a2, 0xffffffffc0000000 - 0x80000000
    la      a5, page
    add     a2, a2, a5
    WORKS_S loads
    CHECK   a0, 0x3333
    .irp    flip, 39, 40, 62, 63
    li      a5, 1 << \flip
    xor     a2, a2, a5
    FAULTS_S loads, CAUSE_LOAD_PAGE
    FAULTS_S jumps, CAUSE_FETCH_PAGE
    li      a5, 1 << \flip
    xor     a2, a2, a5
    .endr

    # A leaf that stands for nothing is an access fault.
    li      a5, (NOWHERE >> 2) | RWXAD
    la      a6, leaves + 8 * 7
    sd      a5, 0(a6)
    sfence.vma
    li      a2, WINDOW + 7 * 4096
    FAULTS_S loads, CAUSE_LOAD_ACCESS
    FAULTS_S stores, CAUSE_STORE_ACCESS
    FAULTS_S jumps, CAUSE_FETCH_ACCESS

    # sfence.vma by address, by ASID, by both.
    li      a2, WINDOW + 8 * 4096
    ENTRY   leaves + 8 * 8, page, RWXAD
    sfence.vma a2
    WORKS_S loads
    CHECK   a0, 0x3333
    ENTRY   leaves + 8 * 8, page + 4096, RWXAD
    sfence.vma a2, zero
    WORKS_S loads
    CHECK   a0, 0x2222
    ENTRY   leaves + 8 * 8, page, RWXAD
    sfence.vma zero, zero
    WORKS_S loads
    CHECK   a0, 0x3333

    # Another root, without a fence of its own: satp is written.
    csrr    s1, satp
    ENTRY   other + 16, _start, RWXAD
    la      a5, other
    srli    a5, a5, 12
    li      a6, 8 << 60 | 1 << 44
    or      a5, a5, a6
    csrw    satp, a5
    FAULTS_S loads, CAUSE_LOAD_PAGE
    csrw    satp, s1
    WORKS_S loads
    # And none at all.
    csrw    satp, zero
    la      a2, page
    WORKS_S loads
    CHECK   a0, 0x3333
    li      a2, NOWHERE
    FAULTS_S loads, CAUSE_LOAD_ACCESS
    END
    TABLES
    .bss
    .balign 4096
other:  .skip 4096
