# Exceptions in M-mode: cause, value, address, and what becomes of mstatus; mret.
#include "suite.h"
    BEGIN
    TRAP    CAUSE_MACHINE_ECALL, 0, ecall
    la      s11, 1f
2:  .option push
    .option norvc
    ebreak
    .option pop
    j       fail
    .balign 4
1:  CHECK   s6, CAUSE_BREAKPOINT
    CHECKA  s8, 2b
    li      s11, 0

    # Nothing at an address.
    li      a0, NOWHERE
    TRAP    CAUSE_LOAD_ACCESS, NOWHERE, lb a1, 0(a0)
    TRAP    CAUSE_LOAD_ACCESS, NOWHERE + 8, ld a1, 8(a0)
    TRAP    CAUSE_LOAD_ACCESS, NOWHERE, fld fa0, 0(a0)
    TRAP    CAUSE_LOAD_ACCESS, NOWHERE, lr.w a1, (a0)
    TRAP    CAUSE_STORE_ACCESS, NOWHERE, sb a1, 0(a0)
    TRAP    CAUSE_STORE_ACCESS, NOWHERE + 16, sd a1, 16(a0)
    TRAP    CAUSE_STORE_ACCESS, NOWHERE, fsw fa0, 0(a0)
    la      s11, 3f
    jalr    a1, 4(a0)
4:  j       fail
    .balign 4
3:  CHECK   s6, CAUSE_FETCH_ACCESS
    CHECK   s7, NOWHERE + 4
    CHECK   s8, NOWHERE + 4
    CHECKA  a1, 4b                  # the jump itself has retired
    li      s11, 0
    # A load that traps leaves its destination.
    li      a1, 77
    TRAP    CAUSE_LOAD_ACCESS, NOWHERE, ld a1, 0(a0)
    CHECK   a1, 77

    # Words that are nothing; all zeros and all ones.
    ILLEGAL16 0x0000
    ILLEGAL 0xffffffff
    ILLEGAL 0x0000007f
    ILLEGAL 0x00000057              # vectors
    ILLEGAL 0x0000000b              # custom
    ILLEGAL 0x00200073              # uret
    ILLEGAL 0x10200173              # sret with a destination
    ILLEGAL 0x7b200073              # dret
    ILLEGAL 0x22000073              # hfence
    ILLEGAL 0x12000173              # sfence.vma with a destination

    # mstatus on the way in: MPP, MPIE, MIE. And back.
    csrsi   mstatus, MSTATUS_MIE
    la      s11, 5f
    ecall
    .balign 4
5:  li      s11, 0
    li      a0, MSTATUS_MPP | MSTATUS_MPIE | MSTATUS_MIE
    and     a1, s9, a0
    CHECK   a1, MSTATUS_MPP | MSTATUS_MPIE
    la      a1, 6f
    csrw    mepc, a1
    mret
    j       fail
    .balign 4
6:  csrr    a1, mstatus
    and     a1, a1, a0
    CHECK   a1, MSTATUS_MPIE | MSTATUS_MIE      # and MPP is U
    csrci   mstatus, MSTATUS_MIE
    li      a1, MSTATUS_MPP
    csrs    mstatus, a1

    # mret to M-mode keeps MPRV. (To another mode it clears it, as sret does; QEMU 7.2 does not.)
    li      a2, MSTATUS_MPRV
    csrs    mstatus, a2
    la      a1, 7f
    csrw    mepc, a1
    mret
    .balign 4
7:  csrr    a1, mstatus
    and     a1, a1, a2
    CHECK   a1, MSTATUS_MPRV
    csrc    mstatus, a2
    RUN     U, call_out
    CHECK   s6, CAUSE_USER_ECALL
    CHECKA  s8, call_out
    RUN     S, call_out
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    li      a0, MSTATUS_MPP
    and     a1, s9, a0
    CHECK   a1, MSTATUS_MPP_S
    # sret in M-mode, to U.
    li      a1, MSTATUS_SPP
    csrc    mstatus, a1
    la      a1, call_out
    csrw    sepc, a1
    la      s11, 8f
    sret
    .balign 4
8:  li      s11, 0
    CHECK   s6, CAUSE_USER_ECALL
    # mret to a wrong place traps there, in the new mode.
    la      s11, 9f
    li      a1, NOWHERE + 2
    csrw    mepc, a1
    li      a1, MSTATUS_MPP
    csrc    mstatus, a1
    mret
    .balign 4
9:  li      s11, 0
    CHECK   s6, CAUSE_FETCH_ACCESS
    CHECK   s8, NOWHERE + 2
    li      a0, MSTATUS_MPP
    and     a1, s9, a0
    CHECK   a1, 0
    END

    .text
    .balign 4
call_out:
    ecall
