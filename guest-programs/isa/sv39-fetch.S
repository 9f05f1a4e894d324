# Sv39: instructions. Over two pages, where either is not there; code under two names; S- and U-mode.
#include "suite.h"
#include "paging.h"

    BEGIN
    SV39
    # The last halfword of `page` and the first of the next: li a0, 0x77; then c.jr ra.
    la      a2, page + 4094
    li      a0, 0x0513
    sh      a0, 0(a2)
    la      a2, page + 4096
    li      a0, 0x0770
    sh      a0, 0(a2)
    li      a0, 0x8082
    sh      a0, 2(a2)
    fence.i

    LEAF    0, RWXAD
    ENTRY   leaves + 8, page + 4096, RWXAD
    sfence.vma
    li      a2, WINDOW + 4094
    li      a0, 0
    WORKS_S jumps
    CHECK   a0, 0x77

    # The second half is missing: its address is the value, the instruction's the place.
    la      a6, leaves + 8
    sd      zero, 0(a6)
    sfence.vma
    RUN     S, jumps
    CHECK   s6, CAUSE_FETCH_PAGE
    CHECK   s7, WINDOW + 4096
    CHECK   s8, WINDOW + 4094
    # Not executable.
    ENTRY   leaves + 8, page + 4096, RWXAD & ~PTE_X
    sfence.vma
    RUN     S, jumps
    CHECK   s6, CAUSE_FETCH_PAGE
    CHECK   s7, WINDOW + 4096
    # The first half is missing, the second not.
    ENTRY   leaves + 8, page + 4096, RWXAD
    la      a6, leaves
    sd      zero, 0(a6)
    sfence.vma
    RUN     S, jumps
    CHECK   s6, CAUSE_FETCH_PAGE
    CHECK   s7, WINDOW + 4094
    CHECK   s8, WINDOW + 4094

    # The halves on pages that are not neighbours, the other way round.
    ENTRY   leaves + 8 * 8, page, RWXAD | PTE_U
    ENTRY   leaves + 8 * 9, page + 4096, RWXAD | PTE_U
    sfence.vma
    li      a2, WINDOW + 8 * 4096 + 4094
    li      a0, 0
    WORKS_U jumps
    CHECK   a0, 0x77

    # S-mode's return by sret to a page of U-mode that is not there: the fault is U-mode's.
    li      a5, 1 << CAUSE_FETCH_PAGE
    csrw    medeleg, a5
    la      a5, s_handler
    csrw    stvec, a5
    li      a2, WINDOW + 20 * 4096
    RUN     S, returns
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    csrr    a5, scause
    CHECK   a5, CAUSE_FETCH_PAGE
    csrr    a5, sepc
    CHECKR  a5, a2
    csrr    a5, stval
    CHECKR  a5, a2
    csrr    a5, sstatus
    andi    a5, a5, MSTATUS_SPP
    CHECK   a5, 0
    END

    .text
    .balign 4
returns:
    csrw    sepc, a2
    li      a5, MSTATUS_SPP
    csrc    sstatus, a5
    sret
    .balign 4
s_handler:
    ecall
    TABLES
