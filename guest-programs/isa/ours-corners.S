# Corners where this machine has decided, and QEMU 7.2 otherwise or against the spec: on this machine
# only. (docs/isa-corners.md has the table.)
#include "suite.h"
#include "paging.h"

    BEGIN
    # satp refuses what is not there: Linux asks by writing Sv57, then Sv48.
    li      a0, 8 << 60 | 0x80000
    csrw    satp, a0
    .irp    mode, 10, 9
    li      a0, (\mode << 60) | 0x81234
    csrw    satp, a0
    csrr    a1, satp
    CHECK   a1, 8 << 60 | 0x80000
    .endr
    csrw    satp, zero

    # The hardware sets neither A nor D (Svade): page faults.
    SV39
    li      a2, WINDOW
    LEAF    0, RWXAD & ~PTE_A
    FAULTS_S loads, CAUSE_LOAD_PAGE
    FAULTS_S stores, CAUSE_STORE_PAGE
    FAULTS_S swaps, CAUSE_STORE_PAGE
    FAULTS_S jumps, CAUSE_FETCH_PAGE
    LEAF    0, RWXAD & ~PTE_D
    WORKS_S loads
    FAULTS_S stores, CAUSE_STORE_PAGE
    FAULTS_S swaps, CAUSE_STORE_PAGE
    la      a5, leaves
    ld      a5, 0(a5)
    andi    a5, a5, PTE_A | PTE_D
    CHECK   a5, PTE_A
    LEAF    0, RWXAD
    WORKS_S swaps
    # An AMO's fault is one of a store, also where it may read.
    LEAF    0, PTE_V | PTE_R | PTE_A | PTE_D
    FAULTS_S swaps, CAUSE_STORE_PAGE
    # An sc that fails is translated all the same.
    RUN     S, fails_sc
    CHECK   s6, CAUSE_STORE_PAGE
    CHECKR  s7, a2

    # Misaligned loads and stores of S- and U-mode are done by the machine, and never trap: what Linux
    # asks at boot. Atomics are not.
    LEAF    0, RWXAD
    li      a2, WINDOW + 3
    WORKS_S stores
    WORKS_S loads
    FAULTS_S swaps, CAUSE_STORE_MISALIGNED
    RUN     S, reserves
    CHECK   s6, CAUSE_LOAD_MISALIGNED
    CHECKR  s7, a2
    LEAF    0, RWXAD | PTE_U
    WORKS_U stores
    WORKS_U loads
    csrw    satp, zero

    # mret to a lower mode clears MPRV; so does sret.
    li      a5, MSTATUS_MPRV
    csrs    mstatus, a5
    RUN     U, calls
    li      a5, MSTATUS_MPRV
    and     a5, s9, a5
    CHECK   a5, 0

    # MPP cannot be 2, the widths cannot be changed, VS is not there.
    csrr    s1, mstatus
    li      a5, MSTATUS_MPP
    csrc    mstatus, a5
    li      a5, 2 << 11 | 15 << 32 | 3 << 9
    csrs    mstatus, a5
    csrr    a5, mstatus
    li      a6, MSTATUS_MPP | 15 << 32 | 3 << 9
    and     a5, a5, a6
    CHECK   a5, 10 << 32
    csrw    mstatus, s1
    li      a5, -1
    csrw    mepc, a5
    csrr    a5, mepc
    CHECK   a5, -2
    # The call from M-mode cannot be delegated.
    li      a5, -1
    csrw    medeleg, a5
    csrr    a5, medeleg
    CHECK   a5, 0xb3ff
    csrw    medeleg, zero
    # Setting no bit is a write, where the source is not x0.
    li      a1, 0
    TRAP    CAUSE_ILLEGAL, 0xf145a573, .word 0xf145a573     # csrrs a0, mhartid, a1
    # xtvec's reserved modes become the ones below them.
    li      a5, 0x80001003
    csrw    stvec, a5
    csrr    a5, stvec
    CHECK   a5, 0x80001001
    # ebreak's value is its address.
    la      s11, 1f
2:  ebreak
    j       fail
    .balign 4
1:  li      s11, 0
    CHECK   s6, CAUSE_BREAKPOINT
    CHECKA  s7, 2b

    # Of several interrupts: MEI, MSI, MTI, SEI, SSI, STI. Those that software can raise:
    li      a5, 0x222
    csrw    mie, a5
    csrw    mip, a5
    .irp    code, 9, 1, 5
    la      s11, 3f
    csrsi   mstatus, MSTATUS_MIE
    j       fail
    .balign 4
3:  li      s11, 0
    CHECK   s6, INTERRUPT + \code
    li      a5, 1 << \code
    csrc    mip, a5
    .endr
    csrw    mie, zero

    # PMP has a granularity of four bytes; W without R is not stored.
    csrw    pmpaddr3, zero
    li      a5, -1
    csrw    pmpaddr3, a5
    csrr    a5, pmpaddr3
    CHECK   a5, (1 << 54) - 1
    li      a5, 0x1200001f
    csrw    pmpcfg0, a5
    csrr    a5, pmpcfg0
    CHECK   a5, 0x1000001f

    # There are trigger registers, and no trigger.
    .irp    register, 0x7a0, 0x7a1, 0x7a2, 0x7a3
    li      a5, -1
    csrw    \register, a5
    csrr    a5, \register
    CHECK   a5, 0
    .endr
    csrr    a5, 0x7a4
    CHECK   a5, 1

    # Cache-block operations of the 64 bytes that hold an address.
    la      a5, block
    .word   0x0017a00f              # cbo.clean (a5)
    .word   0x0027a00f              # cbo.flush (a5)
    .word   0x0007a00f              # cbo.inval (a5)
    ld      a0, 64(a5)
    CHECK   a0, 2
    addi    a5, a5, 64 + 63
    .word   0x0047a00f              # cbo.zero (a5)
    la      a5, block
    ld      a0, 56(a5)
    CHECK   a0, 1
    ld      a0, 64(a5)
    CHECK   a0, 0
    ld      a0, 120(a5)
    CHECK   a0, 0
    ld      a0, 128(a5)
    CHECK   a0, 3

    # Identity, and what the vendor and extensions have not: no Svadu unless asked for, no Svpbmt, no Smepmp.
    csrr    a5, mvendorid
    CHECK   a5, 0
    csrr    a5, marchid
    CHECK   a5, 0x6c6f636b
    csrr    a5, misa
    CHECK   a5, 0x800000000014112d
    li      a5, -1
    csrw    menvcfg, a5
    csrr    a5, menvcfg
    CHECK   a5, 1 << 63 | 0xf1
    csrw    menvcfg, zero
    li      a5, -1
    csrw    senvcfg, a5
    csrr    a5, senvcfg
    CHECK   a5, 0xf1
    li      a5, -1
    csrw    mseccfg, a5
    csrr    a5, mseccfg
    CHECK   a5, 0x300
    csrw    mcounteren, a5
    li      a5, -1
    csrw    mcounteren, a5
    csrr    a5, mcounteren
    CHECK   a5, 7
    # seed: only by an instruction that writes, ES16; for S-mode now that mseccfg says so.
    TRAP    CAUSE_ILLEGAL, 0x01502573, .word 0x01502573     # csrr a0, seed
    csrrw   a5, 0x015, zero
    srli    a5, a5, 16
    CHECK   a5, 2 << 14
    RUN     S, seeds
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    csrw    mseccfg, zero
    RUN     S, seeds
    CHECK   s6, CAUSE_ILLEGAL
    # What counts: an ecall does not retire, and is a step.
    csrw    minstret, zero
    csrr    a0, minstret
    nop
    csrr    a1, minstret
    CHECK   a0, 0
    CHECK   a1, 2
    END

    .text
    .balign 4
fails_sc:
    sc.d    a0, a0, (a2)
    ecall
    .balign 4
reserves:
    lr.d    a0, (a2)
    ecall
    .balign 4
calls:
    ecall
    .balign 4
seeds:
    csrrw   a5, 0x015, zero
    ecall
    TABLES

    .data
    .balign 64
block:
    .dword  0, 0, 0, 0, 0, 0, 0, 1
    .dword  2, 2, 2, 2, 2, 2, 2, 2
    .dword  3
