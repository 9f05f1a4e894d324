# Physical memory protection: modes of matching, rights, order, locks, and that M-mode is free of it.
# Regions are whole pages: smaller ones are not to be had on every machine.
#include "suite.h"

    # Entry 1 lets S- and U-mode at everything, entry 0 is \config.
    .macro FIRST config
    li      a5, 0x1f00 | (\config)
    csrw    pmpcfg0, a5
    .endm
    .macro NAPOT label, bytes
    la      a5, \label
    srli    a5, a5, 2
    ori     a5, a5, (\bytes) / 8 - 1
    csrw    pmpaddr0, a5
    .endm

    BEGIN
    li      a0, -1
    csrw    pmpaddr1, a0
    la      a2, page
    li      a0, 0x1234
    sd      a0, 0(a2)

    # NAPOT, no rights.
    NAPOT   page, 4096
    FIRST   0x18
    RUN     S, loads
    CHECK   s6, CAUSE_LOAD_ACCESS
    CHECKA  s7, page
    RUN     U, stores
    CHECK   s6, CAUSE_STORE_ACCESS
    CHECKA  s7, page
    RUN     S, jumps
    CHECK   s6, CAUSE_FETCH_ACCESS
    CHECKA  s7, page
    CHECKA  s8, page
    ld      a0, 0(a2)               # M-mode may
    CHECK   a0, 0x1234
    # Read only; read and write; execute only.
    FIRST   0x19
    RUN     U, loads
    CHECK   s6, CAUSE_USER_ECALL
    CHECK   a0, 0x1234
    RUN     U, stores
    CHECK   s6, CAUSE_STORE_ACCESS
    FIRST   0x1b
    RUN     S, stores
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    RUN     S, jumps
    CHECK   s6, CAUSE_FETCH_ACCESS
    FIRST   0x1c
    RUN     S, loads
    CHECK   s6, CAUSE_LOAD_ACCESS

    # The page before and the page behind are others.
    FIRST   0x18
    la      a2, page - 8
    RUN     S, loads
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    la      a2, page + 4096
    RUN     S, loads
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    la      a2, page + 4088
    RUN     S, loads
    CHECK   s6, CAUSE_LOAD_ACCESS
    # Twice the size.
    NAPOT   page, 8192
    la      a2, page + 4096
    RUN     S, loads
    CHECK   s6, CAUSE_LOAD_ACCESS
    CHECKA  s7, page + 4096
    la      a2, page + 8192
    RUN     S, loads
    CHECK   s6, CAUSE_SUPERVISOR_ECALL

    # TOR: entry 1 from pmpaddr0 up to pmpaddr1; entry 2 is the rest.
    la      a0, page
    srli    a0, a0, 2
    csrw    pmpaddr0, a0
    addi    a0, a0, 0x400
    csrw    pmpaddr1, a0
    li      a0, -1
    csrw    pmpaddr2, a0
    li      a0, 0x1f0900
    csrw    pmpcfg0, a0
    la      a2, page
    RUN     S, stores
    CHECK   s6, CAUSE_STORE_ACCESS
    RUN     S, loads
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    la      a2, page - 8
    RUN     S, stores
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    la      a2, page + 4096
    RUN     S, stores
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    # The first that matches decides.
    li      a0, 0x1f0f00
    csrw    pmpcfg0, a0
    la      a2, page
    RUN     S, stores
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    # TOR with its bottom at the top: nothing.
    csrr    a0, pmpaddr1
    csrw    pmpaddr0, a0
    li      a0, 0x1f0800
    csrw    pmpcfg0, a0
    RUN     S, stores
    CHECK   s6, CAUSE_SUPERVISOR_ECALL

    # Nothing matches: S-mode may not, M-mode may.
    csrw    pmpcfg0, zero
    csrw    pmpcfg2, zero
    NAPOT   page, 4096
    li      a0, 0x1f
    csrw    pmpcfg0, a0
    RUN     S, loads
    CHECK   s6, CAUSE_FETCH_ACCESS
    CHECKA  s8, loads
    ld      a0, 0(a2)

    # MPRV: M-mode's loads are S-mode's, its fetches are not.
    FIRST   0x18
    li      a0, -1
    csrw    pmpaddr1, a0
    li      a0, MSTATUS_MPP
    csrc    mstatus, a0
    li      a0, MSTATUS_MPP_S | MSTATUS_MPRV
    la      a2, page
    csrs    mstatus, a0
    la      s11, 1f
2:  ld      a1, 0(a2)
    tail    fail
    .balign 4
1:  li      s11, 0
    CHECK   s6, CAUSE_LOAD_ACCESS
    CHECKA  s7, page
    CHECKA  s8, 2b
    li      a0, MSTATUS_MPRV
    csrc    mstatus, a0

    # A locked entry binds M-mode too, and stays, with its address.
    FIRST   0x99
    ld      a1, 0(a2)
    la      s11, 3f
4:  sd      a1, 0(a2)
    tail    fail
    .balign 4
3:  li      s11, 0
    CHECK   s6, CAUSE_STORE_ACCESS
    CHECKA  s7, page
    csrr    a3, pmpaddr0
    FIRST   0
    csrr    a0, pmpcfg0
    andi    a0, a0, 0xff
    CHECK   a0, 0x99
    csrw    pmpaddr0, zero
    csrr    a0, pmpaddr0
    CHECKR  a0, a3
    END

    .text
    .balign 4
loads:
    ld      a0, 0(a2)
    ecall
stores:
    sd      a0, 0(a2)
    ecall
jumps:
    la      a0, page
    jr      a0

    .bss
    .balign 8192
    .skip   8192
page:
    .skip   16384
