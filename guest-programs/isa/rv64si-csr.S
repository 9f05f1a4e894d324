# The registers of S-mode, from S-mode: windows of M-mode's, and what S-mode cannot change.
#include "suite.h"

    BEGIN
    li      a0, 0x222
    csrw    mideleg, a0
    csrw    mie, zero
    RUN     S, in_s
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    CHECKA  s8, in_s_end
    # sscratch and the others, written there.
    CHECK   a0, 0x1234
    CHECK   a1, 0x1234
    CHECK   a2, 0x222               # sie, all of it
    CHECK   a3, 2                   # sip: SSIP only
    # What sstatus can change: SIE, SPIE, SPP, FS, SUM, MXR. (VS and UXL are fixed here, not in QEMU 7.2.)
    li      a5, MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR
    li      a6, ~(3 << 9 | 3 << 32 | 1 << 63)
    and     a4, a4, a6
    CHECKR  a4, a5
    # mstatus of that time: nothing else was changed. (MPP and MIE are the trap's doing.)
    li      a5, MSTATUS_MPRV | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR | MSTATUS_MPP | MSTATUS_MIE
    and     a5, s9, a5
    CHECK   a5, MSTATUS_MPP_S
    csrr    a5, mie
    li      a6, 0xaaa
    and     a5, a5, a6
    CHECK   a5, 0x222
    csrr    a5, mip
    andi    a5, a5, 0x2a
    CHECK   a5, 2
    csrw    mip, zero
    csrw    mie, zero

    # UXL is 64 bits.
    csrr    a5, sstatus
    srli    a5, a5, 32
    andi    a5, a5, 3
    CHECK   a5, 2

    # senvcfg and menvcfg: FIOM is there (or reads 0); Svpbmt is not asked for.
    csrw    senvcfg, zero
    csrr    a5, senvcfg
    CHECK   a5, 0

    # stimecmp: for S-mode where menvcfg.STCE and mcounteren.TM are both set; its interrupt is STIP.
    csrwi   mcounteren, 2
    csrw    menvcfg, zero
    RUN     S, reads_stimecmp
    CHECK   s6, CAUSE_ILLEGAL
    li      a5, 1 << 63
    csrw    menvcfg, a5
    RUN     S, reads_stimecmp
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    csrwi   mcounteren, 0
    RUN     S, reads_stimecmp
    CHECK   s6, CAUSE_ILLEGAL
    csrwi   mcounteren, 2
    RUN     U, reads_stimecmp
    CHECK   s6, CAUSE_ILLEGAL
    li      a5, -1
    csrw    stimecmp, a5
    csrr    a6, mip
    andi    a6, a6, 0x20
    CHECK   a6, 0
    csrw    stimecmp, zero
1:  csrr    a6, mip
    andi    a6, a6, 0x20
    beqz    a6, 1b
    csrw    mip, zero               # cannot clear it
    csrr    a6, mip
    andi    a6, a6, 0x20
    CHECK   a6, 0x20
    # Delegated, enabled: taken in S-mode.
    li      a5, 0x20
    csrw    mie, a5
    la      a5, s_handler
    csrw    stvec, a5
    csrsi   mstatus, MSTATUS_SIE
    RUN     S, never
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    csrr    a5, scause
    CHECK   a5, INTERRUPT + 5
    csrr    a5, sepc
    CHECKA  a5, never
    li      a5, -1
    csrw    stimecmp, a5
    csrr    a6, mip
    andi    a6, a6, 0x20
    CHECK   a6, 0
    csrw    mie, zero
    END

    .text
    .balign 4
in_s:
    li      a0, 0x1234
    csrw    sscratch, a0
    csrr    a0, sscratch
    csrw    stval, a0
    csrr    a1, stval
    li      a2, -1
    csrw    sip, a2
    csrr    a3, sip
    li      a2, ~(3 << 9 | 3 << 32)
    csrr    a6, sstatus
    csrw    sie, zero
    csrw    sstatus, a2
    csrr    a4, sstatus
    csrci   sstatus, MSTATUS_SIE
    li      a2, -1
    csrw    sie, a2
    csrr    a2, sie
in_s_end:
    ecall

    .balign 4
reads_stimecmp:
    csrr    a0, stimecmp
    ecall
    .balign 4
s_handler:
    ecall
    .balign 4
never:
    tail    fail
