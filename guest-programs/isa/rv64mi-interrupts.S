# Interrupts: what is taken in which mode, by priority, direct and vectored; the CLINT's lines.
#include "suite.h"

#define MSIP      0x2000000
#define MTIMECMP  0x2004000
#define MTIME     0x200bff8

    BEGIN
    # No timer yet.
    li      a0, MTIMECMP
    li      a1, -1
    sd      a1, 0(a0)

    # Pending and enabled in mie, but MIE is clear: nothing. MIE set: at once, before the next
    # instruction; and MPIE remembers.
    csrwi   mie, 2
    csrwi   mip, 2
    nop
    la      s11, 1f
    csrsi   mstatus, MSTATUS_MIE
interrupted:
    j       fail
    .balign 4
1:  li      s11, 0
    CHECK   s6, INTERRUPT + 1
    CHECK   s7, 0
    CHECKA  s8, interrupted
    andi    a1, s9, MSTATUS_MPIE | MSTATUS_MIE
    CHECK   a1, MSTATUS_MPIE
    csrwi   mip, 0

    # By software of the CLINT: a line, which mip shows and cannot clear.
    li      a0, MSIP
    li      a1, 1
    sw      a1, 0(a0)
    csrr    a1, mip
    andi    a1, a1, 8
    CHECK   a1, 8
    csrw    mip, zero
    csrr    a1, mip
    andi    a1, a1, 8
    CHECK   a1, 8
    lw      a1, 0(a0)
    CHECK   a1, 1

    # Vectored: interrupts to 4 * cause, exceptions to the base.
    la      a1, vectors + 1
    csrrw   s1, mtvec, a1
    csrwi   mie, 8
    la      s11, 2f
    li      s5, 0
    csrsi   mstatus, MSTATUS_MIE
    j       fail
    .balign 4
2:  CHECK   s5, 3
    CHECK   s6, INTERRUPT + 3
    la      s11, 3f
    ecall
    .balign 4
3:  CHECK   s5, 0
    CHECK   s6, CAUSE_MACHINE_ECALL

    # Software's line and the timer at once: MSI, then MTI. (Of all six, QEMU 7.2 takes the lowest
    # first.)
    li      a0, MTIMECMP
    sd      zero, 0(a0)
4:  csrr    a1, mip
    andi    a1, a1, 0x80
    beqz    a1, 4b
    li      a1, 0x88
    csrw    mie, a1
    la      s11, 5f
    csrsi   mstatus, MSTATUS_MIE
    j       fail
    .balign 4
5:  CHECK   s5, 3
    li      a0, MSIP
    sw      zero, 0(a0)
    la      s11, 6f
    csrsi   mstatus, MSTATUS_MIE
    j       fail
    .balign 4
6:  CHECK   s5, 7
    CHECK   s6, INTERRUPT + 7
    li      a0, MTIMECMP
    li      a1, -1
    sd      a1, 0(a0)
7:  csrr    a1, mip
    andi    a1, a1, 0x80
    bnez    a1, 7b
    csrwi   mie, 2
    csrwi   mip, 2
    la      s11, 8f
    csrsi   mstatus, MSTATUS_MIE
    j       fail
    .balign 4
8:  CHECK   s5, 1

    # Below M-mode an interrupt of M-mode is taken whatever MIE says.
    csrw    mie, zero
    csrci   mstatus, MSTATUS_MIE
    csrwi   mie, 2
    RUN     S, fail
    CHECK   s6, INTERRUPT + 1
    CHECKA  s8, fail
    li      a1, MSTATUS_MPP
    and     a1, s9, a1
    CHECK   a1, MSTATUS_MPP_S

    # Delegated: never in M-mode; in S-mode with SIE; in U-mode always.
    csrwi   mideleg, 2
    csrsi   mstatus, MSTATUS_MIE
    nop
    csrci   mstatus, MSTATUS_MIE
    csrci   mstatus, MSTATUS_SIE
    la      a1, s_vectors + 1
    csrw    stvec, a1
    li      a3, 0
    RUN     S, s_waits
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    CHECK   a3, 1                   # it went on while SIE was clear
    CHECK   a4, 4                   # vectored: cause 1
    csrr    a1, scause
    CHECK   a1, INTERRUPT + 1
    csrr    a1, sepc
    CHECKA  a1, s_interrupted
    csrr    a1, sstatus
    andi    a1, a1, MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE
    CHECK   a1, MSTATUS_SPP | MSTATUS_SPIE
    csrci   mstatus, MSTATUS_SIE
    RUN     U, fail
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    csrr    a1, sepc
    CHECKA  a1, fail
    csrr    a1, sstatus
    andi    a1, a1, MSTATUS_SPP
    CHECK   a1, 0

    # The line of the timer wakes a wait, with MIE clear, and nothing is taken.
    csrw    mideleg, zero
    csrw    mip, zero
    li      a1, 0x80
    csrw    mie, a1
    li      a0, MTIME
    ld      a1, 0(a0)
    addi    a1, a1, 1000
    li      a0, MTIMECMP
    sd      a1, 0(a0)
    wfi
    csrr    a1, mip
    andi    a1, a1, 0x80
    CHECK   a1, 0x80
    li      a0, MTIME
    ld      a2, 0(a0)
    li      a0, MTIMECMP
    ld      a1, 0(a0)
    sltu    a1, a2, a1
    CHECK   a1, 0
    csrw    mie, zero
    csrw    mtvec, s1
    END

    .text
    .balign 64
    .option norvc
vectors:
    j       vector_0
    .irp    n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    j       vector_\n
    .endr
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
vector_\n:
    li      s5, \n
    tail    trap
    .endr

    .balign 4
s_waits:
    li      a3, 1
    csrsi   sstatus, MSTATUS_SIE
s_interrupted:
    tail    fail
    .balign 64
s_vectors:
    j       fail
    j       s_vector_1
s_vector_1:
    li      a4, 4
    ecall
