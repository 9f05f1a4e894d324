# What S- and U-mode may not: each is an illegal instruction, with its bits. TVM, TW, TSR.
#include "suite.h"

#define MRET        0x30200073
#define SRET        0x10200073
#define WFI         0x10500073
#define SFENCE      0x12000073
#define CSRW(n)     (0x00051073 | ((n) << 20))      // csrw n, a0

    BEGIN
    .irp    mode, U, S
    MAY_NOT \mode, MRET
    MAY_NOT \mode, CSRR(0x300)
    MAY_NOT \mode, CSRR(0x301)
    MAY_NOT \mode, CSRR(0x304)
    MAY_NOT \mode, CSRR(0x3a0)
    MAY_NOT \mode, CSRR(0xb00)
    MAY_NOT \mode, CSRR(0xf11)
    MAY_NOT \mode, CSRW(0x340)
    .endr
    MAY_NOT U, SRET
    MAY_NOT U, WFI
    MAY_NOT U, SFENCE
    MAY_NOT U, CSRR(0x100)
    MAY_NOT U, CSRR(0x180)
    MAY_NOT U, CSRW(0x140)
    MAY     S, CSRR(0x100)
    MAY     S, CSRR(0x180)
    MAY     S, SFENCE
    MAY     U, CSRR(0x003)

    # TVM: satp and sfence.vma; M-mode may all the same.
    li      a1, MSTATUS_TVM
    csrs    mstatus, a1
    MAY_NOT S, CSRR(0x180)
    MAY_NOT S, CSRW(0x180)
    MAY_NOT S, SFENCE
    MAY     S, CSRR(0x100)
    csrr    a0, satp
    sfence.vma
    CHECK   a0, 0
    li      a1, MSTATUS_TVM
    csrc    mstatus, a1

    # TW: wfi in S-mode. (At once: the time that it may wait is none.)
    li      a1, MSTATUS_TW
    csrs    mstatus, a1
    MAY_NOT S, WFI
    MAY_NOT U, WFI
    li      a1, MSTATUS_TW
    csrc    mstatus, a1

    # TSR: sret in S-mode.
    li      a1, MSTATUS_TSR
    csrs    mstatus, a1
    MAY_NOT S, SRET
    li      a1, MSTATUS_TSR
    csrc    mstatus, a1

    # wfi with something pending that is enabled goes on, in M- and S-mode, also when it is not taken.
    csrwi   mie, 2
    csrwi   mip, 2
    wfi
    li      a1, 2
    csrw    mideleg, a1
    MAY     S, WFI
    csrw    mie, zero
    csrw    mip, zero
    csrw    mideleg, zero
    END
