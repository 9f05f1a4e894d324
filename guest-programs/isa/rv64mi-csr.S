# The registers of M-mode: who is who, what fields hold, how the six instructions change them.
#include "suite.h"

    .macro HOLDS csr, value, expected
    li      a0, \value
    csrw    \csr, a0
    csrr    a1, \csr
    CHECK   a1, \expected
    .endm

    BEGIN
    csrr    a0, mhartid
    CHECK   a0, 0
    csrr    a0, misa
    li      a1, 0x800000000014112d      # RV64ACDFIMSU, and perhaps more
    and     a0, a0, a1
    CHECK   a0, 0x800000000014112d
    csrr    a0, mconfigptr
    CHECK   a0, 0

    # Read and write, set, clear; with immediates.
    li      a0, 0x0123456789abcdef
    csrw    mscratch, a0
    li      a0, 0xff
    csrrs   a1, mscratch, a0
    CHECK   a1, 0x0123456789abcdef
    li      a0, 0x0f0
    csrrc   a1, mscratch, a0
    CHECK   a1, 0x0123456789abcdff
    csrrsi  a1, mscratch, 16
    CHECK   a1, 0x0123456789abcd0f
    csrrci  a1, mscratch, 15
    CHECK   a1, 0x0123456789abcd1f
    csrrwi  a1, mscratch, 31
    CHECK   a1, 0x0123456789abcd10
    csrrw   a1, mscratch, a0
    CHECK   a1, 31
    # The source is the destination.
    li      a0, 7
    csrrw   a0, mscratch, a0
    CHECK   a0, 0xf0
    csrr    a0, mscratch
    CHECK   a0, 7

    # Reads of what cannot be written, with x0 and 0; a write is illegal. (So is setting no bit with a
    # register that is not x0; QEMU 7.2 lets that pass.)
    csrrs   a0, mhartid, zero
    csrrci  a0, mhartid, 0
    CHECK   a0, 0
    TRAP    CAUSE_ILLEGAL, 0xf1401573, .word 0xf1401573     # csrrw a0, mhartid, zero
    TRAP    CAUSE_ILLEGAL, 0xc0059073, .word 0xc0059073     # csrw cycle, a1
    # What does not exist.
    TRAP    CAUSE_ILLEGAL, 0x80002573, .word 0x80002573
    TRAP    CAUSE_ILLEGAL, 0xc8002573, .word 0xc8002573     # cycleh: of 32 bits
    TRAP    CAUSE_ILLEGAL, 0xb8002573, .word 0xb8002573
    TRAP    CAUSE_ILLEGAL, 0x31002573, .word 0x31002573     # mstatush
    TRAP    CAUSE_ILLEGAL, 0x3a102573, .word 0x3a102573     # pmpcfg1
    TRAP    CAUSE_ILLEGAL, 0x5c002573, .word 0x5c002573     # custom, of vendors
    TRAP    CAUSE_ILLEGAL, 0x7c002573, .word 0x7c002573
    TRAP    CAUSE_ILLEGAL, 0xfc002573, .word 0xfc002573
    TRAP    CAUSE_ILLEGAL, 0x00802573, .word 0x00802573     # vstart
    TRAP    CAUSE_ILLEGAL, 0x60002573, .word 0x60002573     # hstatus

    # Widths are constant; MPP cannot be 2 (QEMU 7.2 can: not here); byte order is little.
    csrr    a2, mstatus
    srli    a1, a2, 32
    andi    a1, a1, 15
    CHECK   a1, 10                  # UXL and SXL: 64 bits
    li      a0, 3 << 36
    csrs    mstatus, a0
    csrr    a1, mstatus
    srli    a1, a1, 36
    andi    a1, a1, 3
    CHECK   a1, 0
    csrw    mstatus, a2

    HOLDS   mepc, 0x123456789abcdef2, 0x123456789abcdef2
    HOLDS   sepc, -2, -2
    HOLDS   mcause, 0x800000000000000b, 0x800000000000000b
    HOLDS   scause, 15, 15
    HOLDS   mtval, -1, -1
    HOLDS   stval, 0x8000000000000000, 0x8000000000000000
    HOLDS   sscratch, 0x5555, 0x5555
    csrr    a2, mtvec
    HOLDS   mtvec, 0x80001001, 0x80001001
    HOLDS   mtvec, 0x80001004, 0x80001004
    csrw    mtvec, a2
    HOLDS   stvec, 0x80002001, 0x80002001
    HOLDS   stvec, 0x80002000, 0x80002000

    # Delegation: everything of S-mode's. (Never the call from M-mode; QEMU 7.2 stores that too.)
    li      a0, 0xb3fe
    csrw    medeleg, a0
    csrr    a1, medeleg
    and     a1, a1, a0
    CHECK   a1, 0xb3fe
    csrw    medeleg, zero
    li      a0, -1
    csrw    mideleg, a0
    csrr    a1, mideleg
    li      a0, 0xaaa
    and     a1, a1, a0
    CHECK   a1, 0x222
    csrw    mideleg, zero
    csrw    mie, a0
    csrr    a1, mie
    and     a1, a1, a0
    CHECK   a1, 0xaaa
    # mie's view from below is what is delegated.
    csrr    a1, sie
    CHECK   a1, 0
    li      a0, 0x202
    csrw    mideleg, a0
    csrr    a1, sie
    CHECK   a1, 0x202
    csrw    sie, zero
    csrr    a1, mie
    li      a0, 0xaaa
    and     a1, a1, a0
    CHECK   a1, 0x8a8
    csrw    mie, zero
    # mip: SSIP, and through sip only what is delegated.
    csrwi   mip, 2
    csrr    a1, sip
    CHECK   a1, 2
    csrwi   sip, 0
    csrr    a1, mip
    andi    a1, a1, 2
    CHECK   a1, 0
    csrw    mideleg, zero
    csrwi   mip, 2
    csrr    a1, sip
    CHECK   a1, 0
    csrwi   sip, 0
    csrr    a1, mip
    andi    a1, a1, 2
    CHECK   a1, 2
    csrwi   mip, 0

    # satp: Bare and Sv39, and no mode that does not exist. (QEMU has Sv48 and Sv57 too.)
    li      a0, 8 << 60 | 0x80000
    csrw    satp, a0
    csrr    a1, satp
    CHECK   a1, 8 << 60 | 0x80000
    .irp    mode, 1, 2, 7, 11, 15
    li      a0, (\mode << 60) | 5
    csrw    satp, a0
    csrr    a1, satp
    CHECK   a1, 8 << 60 | 0x80000
    .endr
    csrw    satp, zero
    csrr    a1, satp
    CHECK   a1, 0
    END
