# medeleg: to S-mode from S- and U-mode, never from M-mode; what S-mode finds, and sret.
#include "suite.h"
    BEGIN
    la      a0, s_handler
    csrw    stvec, a0
    li      a0, 1 << CAUSE_BREAKPOINT | 1 << CAUSE_ILLEGAL | 1 << CAUSE_USER_ECALL | 1 << CAUSE_LOAD_ACCESS
    csrw    medeleg, a0

    # From U-mode: SPP is U, SPIE what SIE was, SIE off; M-mode's registers are left alone.
    csrw    mcause, zero
    csrsi   mstatus, MSTATUS_SIE
    RUN     U, u_illegal
    CHECK   s6, CAUSE_SUPERVISOR_ECALL      # the handler's own
    CHECK   a1, CAUSE_ILLEGAL
    CHECK   a2, 0xffffffff
    CHECKA  a3, u_illegal
    andi    a4, a4, MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE
    CHECK   a4, MSTATUS_SPIE

    # From S-mode itself, with SIE clear.
    csrci   mstatus, MSTATUS_SIE
    RUN     S, u_illegal
    CHECK   a1, CAUSE_ILLEGAL
    andi    a4, a4, MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE
    CHECK   a4, MSTATUS_SPP
    RUN     U, u_call
    CHECK   a1, CAUSE_USER_ECALL
    CHECK   a2, 0
    CHECKA  a3, u_call
    RUN     U, u_load
    CHECK   a1, CAUSE_LOAD_ACCESS
    CHECK   a2, NOWHERE + 4

    # A call from S-mode is not delegated here; nor is anything from M-mode.
    TRAPS   S, u_call, CAUSE_SUPERVISOR_ECALL, 0, u_call
    ILLEGAL 0xffffffff
    li      a0, NOWHERE
    TRAP    CAUSE_LOAD_ACCESS, NOWHERE, lb a1, 0(a0)

    # sret: to U with SPP clear, to S with it set; SIE from SPIE; SPIE set, SPP clear.
    la      a0, s_returns
    csrw    stvec, a0
    csrsi   mstatus, MSTATUS_SIE
    li      a5, 0
    RUN     U, u_skips
    CHECK   s6, CAUSE_STORE_ACCESS
    CHECKA  s8, u_skips_end
    li      a0, MSTATUS_MPP
    and     a0, s9, a0
    CHECK   a0, 0
    andi    a0, s9, MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE
    CHECK   a0, MSTATUS_SPIE | MSTATUS_SIE
    CHECK   a5, 1
    csrci   mstatus, MSTATUS_SIE
    RUN     S, u_skips
    CHECK   s6, CAUSE_STORE_ACCESS
    li      a0, MSTATUS_MPP
    and     a0, s9, a0
    CHECK   a0, MSTATUS_MPP_S
    andi    a0, s9, MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE
    CHECK   a0, MSTATUS_SPIE
    CHECK   a5, 2
    csrw    medeleg, zero
    END

    .text
    .balign 4
u_illegal:
    .word   0xffffffff
u_call:
    ecall
u_load:
    li      a0, NOWHERE
    lw      a0, 4(a0)
u_skips:
    .word   0xffffffff
    li      a0, NOWHERE
u_skips_end:
    sb      a0, 0(a0)

    .balign 4
s_handler:
    csrr    a1, scause
    csrr    a2, stval
    csrr    a3, sepc
    csrr    a4, sstatus
    ecall

    .balign 4
s_returns:
    addi    a5, a5, 1
    csrr    a1, sepc
    addi    a1, a1, 4
    csrw    sepc, a1
    sret
