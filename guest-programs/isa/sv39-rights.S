# Sv39: what the bits of a leaf allow, to S- and U-mode, with SUM and MXR.
# (Every leaf here has A and D: what happens without them, QEMU's hardware hides.)
#include "suite.h"
#include "paging.h"
#define AD (PTE_V | PTE_A | PTE_D)

    BEGIN
    SV39
    li      a0, 0x8082              # c.jr ra
    la      a2, page
    sd      a0, 0(a2)
    li      a2, WINDOW

    # Nothing is mapped.
    FAULTS_S loads, CAUSE_LOAD_PAGE
    FAULTS_S stores, CAUSE_STORE_PAGE
    FAULTS_S jumps, CAUSE_FETCH_PAGE
    FAULTS_U loads, CAUSE_LOAD_PAGE
    FAULTS_U jumps, CAUSE_FETCH_PAGE

    # Pages of S-mode.
    LEAF    0, AD | PTE_R
    WORKS_S loads
    CHECK   a0, 0x8082
    FAULTS_S stores, CAUSE_STORE_PAGE
    FAULTS_S jumps, CAUSE_FETCH_PAGE
    FAULTS_U loads, CAUSE_LOAD_PAGE
    LEAF    0, AD | PTE_R | PTE_W
    WORKS_S stores
    WORKS_S swaps
    FAULTS_S jumps, CAUSE_FETCH_PAGE
    FAULTS_U stores, CAUSE_STORE_PAGE
    LEAF    0, AD | PTE_X
    WORKS_S jumps
    FAULTS_S loads, CAUSE_LOAD_PAGE
    FAULTS_S stores, CAUSE_STORE_PAGE
    FAULTS_U jumps, CAUSE_FETCH_PAGE
    LEAF    0, AD | PTE_R | PTE_X
    WORKS_S loads
    WORKS_S jumps
    FAULTS_S stores, CAUSE_STORE_PAGE
    # Writable but not readable is reserved.
    LEAF    0, AD | PTE_W
    FAULTS_S loads, CAUSE_LOAD_PAGE
    FAULTS_S stores, CAUSE_STORE_PAGE
    LEAF    0, AD | PTE_W | PTE_X
    FAULTS_S stores, CAUSE_STORE_PAGE
    FAULTS_S jumps, CAUSE_FETCH_PAGE
    # Not valid, whatever else.
    LEAF    0, RWXAD & ~PTE_V
    FAULTS_S loads, CAUSE_LOAD_PAGE

    # MXR: what can be executed can be read.
    li      a5, MSTATUS_MXR
    csrs    mstatus, a5
    LEAF    0, AD | PTE_X
    WORKS_S loads
    CHECK   a0, 0x8082
    FAULTS_S stores, CAUSE_STORE_PAGE
    LEAF    0, AD | PTE_X | PTE_U
    WORKS_U loads
    FAULTS_S loads, CAUSE_LOAD_PAGE
    li      a5, MSTATUS_MXR
    csrc    mstatus, a5
    FAULTS_U loads, CAUSE_LOAD_PAGE

    # Pages of U-mode: not S-mode's to touch without SUM, never to execute.
    LEAF    0, RWXAD | PTE_U
    WORKS_U loads
    CHECK   a0, 0x8082
    WORKS_U stores
    WORKS_U swaps
    WORKS_U jumps
    FAULTS_S loads, CAUSE_LOAD_PAGE
    FAULTS_S stores, CAUSE_STORE_PAGE
    FAULTS_S jumps, CAUSE_FETCH_PAGE
    li      a5, MSTATUS_SUM
    csrs    mstatus, a5
    WORKS_S loads
    WORKS_S stores
    WORKS_S swaps
    FAULTS_S jumps, CAUSE_FETCH_PAGE
    li      a5, MSTATUS_SUM
    csrc    mstatus, a5
    FAULTS_S loads, CAUSE_LOAD_PAGE

    # MPRV: M-mode's loads and stores have the rights of MPP; its fetches have not.
    .macro AS mpp
    li      a5, MSTATUS_MPP
    csrc    mstatus, a5
    li      a5, (\mpp << 11) | MSTATUS_MPRV
    csrs    mstatus, a5
    .endm
    AS      U
    li      a0, 0
    ld      a0, 0(a2)
    CHECK   a0, 0x8082
    sd      a0, 8(a2)
    AS      S
    la      s11, 1f
    ld      a0, 0(a2)
    tail    fail
    .balign 4
1:  li      s11, 0
    CHECK   s6, CAUSE_LOAD_PAGE
    CHECKR  s7, a2
    csrr    a5, mstatus             # still M-mode, now with MPP = M: MPRV does nothing
    la      a3, page
    ld      a0, 8(a3)
    CHECK   a0, 0x8082
    AS      S
    li      a5, MSTATUS_SUM
    csrs    mstatus, a5
    ld      a0, 0(a2)
    CHECK   a0, 0x8082
    li      a5, MSTATUS_SUM | MSTATUS_MPRV
    csrc    mstatus, a5

    # Without MPRV, M-mode is not translated: RAM's other name is nothing to it.
    la      a2, page
    li      a5, ALIAS
    add     a2, a2, a5
    la      s11, 2f
    ld      a0, 0(a2)
    tail    fail
    .balign 4
2:  li      s11, 0
    CHECK   s6, CAUSE_LOAD_ACCESS
    CHECKR  s7, a2
    END
    TABLES
