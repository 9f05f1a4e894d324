# A kernel's part: page faults of U-mode, delegated to S-mode, which maps the page and goes back.
#include "suite.h"
#include "paging.h"

    BEGIN
    SV39
    li      a5, 1 << CAUSE_LOAD_PAGE | 1 << CAUSE_STORE_PAGE | 1 << CAUSE_FETCH_PAGE
    csrw    medeleg, a5
    la      a5, kernel
    csrw    stvec, a5
    la      a5, log
    csrw    sscratch, a5

    # U-mode adds up what it finds on 8 pages, and writes the sum to one that may only be read at first.
    li      a2, WINDOW
    li      a3, 8
    li      a0, 0
    RUN_U   user
    CHECK   s6, CAUSE_USER_ECALL
    la      a5, page
    ld      a1, 16(a5)
    CHECK   a1, 8 * 0x55
    # Eight faults of loads, one of a store, in order, at these addresses.
    la      a5, log
    li      a2, WINDOW
    .rept   8
    ld      a1, 0(a5)
    CHECK   a1, CAUSE_LOAD_PAGE
    ld      a1, 8(a5)
    CHECKR  a1, a2
    li      a1, 4096
    add     a2, a2, a1
    addi    a5, a5, 16
    .endr
    ld      a1, 0(a5)
    CHECK   a1, CAUSE_STORE_PAGE
    ld      a1, 8(a5)
    CHECK   a1, WINDOW + 16
    ld      a1, 16(a5)
    CHECK   a1, 0
    END

    .text
    .balign 4
user:
    ld      a1, 0(a2)
    add     a0, a0, a1
    li      a1, 4096
    add     a2, a2, a1
    addi    a3, a3, -1
    bnez    a3, user
    li      a2, WINDOW
    sd      a0, 16(a2)
    ecall

    # Maps `page` (which holds 0x55) at stval: to read, or to write too.
    .balign 4
kernel:
    csrrw   t0, sscratch, t0
    csrr    t1, scause
    sd      t1, 0(t0)
    csrr    t2, stval
    sd      t2, 8(t0)
    addi    t0, t0, 16
    csrrw   t0, sscratch, t0
    addi    t1, t1, -CAUSE_LOAD_PAGE
    li      t3, PTE_V | PTE_R | PTE_U | PTE_A
    beqz    t1, 1f
    li      t3, RWXAD | PTE_U
1:  la      t4, page
    li      t1, 0x55
    sd      t1, 0(t4)
    srli    t4, t4, 2
    or      t4, t4, t3
    slli    t2, t2, 64 - 21
    srli    t2, t2, 64 - 9
    slli    t2, t2, 3
    la      t3, leaves
    add     t3, t3, t2
    sd      t4, 0(t3)
    sfence.vma
    sret

    .bss
    .balign 16
log:
    .skip   512
    TABLES
