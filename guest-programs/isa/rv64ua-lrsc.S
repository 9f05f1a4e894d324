# Load-reserved and store-conditional. (Misaligned ones are not here: QEMU 7.2 lets them pass.)
#include "suite.h"
    BEGIN
    la      a0, place
    la      a1, other

    # sc without a reservation fails and stores nothing.
    li      a2, 7
    sc.d    a3, a2, (a0)
    CHECK   a3, 1
    ld      a4, 0(a0)
    CHECK   a4, 0

    # A pair succeeds, in both widths; the word is extended with its sign.
    li      a2, 0x80000001
    sw      a2, 0(a0)
    lr.w    a3, (a0)
    CHECK   a3, 0xffffffff80000001
    lr.w    a3, (a0)
    sc.w    a4, a2, (a0)
    CHECK   a4, 0
    li      a2, 0x0123456789abcdef
    lr.d.aq a3, (a0)
    sc.d.rl a4, a2, (a0)
    CHECK   a4, 0
    ld      a3, 0(a0)
    CHECK   a3, 0x0123456789abcdef

    # One reservation, one sc: the second fails.
    lr.d    a3, (a0)
    sc.d    a4, a2, (a0)
    CHECK   a4, 0
    sc.d    a4, zero, (a0)
    CHECK   a4, 1
    ld      a3, 0(a0)
    CHECK   a3, 0x0123456789abcdef

    # Elsewhere it fails, and the reservation is gone.
    lr.d    a3, (a0)
    sc.d    a4, a2, (a1)
    CHECK   a4, 1
    ld      a3, 0(a1)
    CHECK   a3, 0
    sc.d    a4, zero, (a0)
    CHECK   a4, 1

    # A later lr moves the reservation.
    lr.d    a3, (a0)
    lr.d    a3, (a1)
    sc.d    a4, a2, (a0)
    CHECK   a4, 1
    ld      a3, 0(a1)
    CHECK   a3, 0

    # A counter, as everybody writes it.
    li      a5, 1000
1:  lr.w    a3, (a1)
    addi    a3, a3, 1
    sc.w    a4, a3, (a1)
    bnez    a4, 1b
    addi    a5, a5, -1
    bnez    a5, 1b
    lw      a3, 0(a1)
    CHECK   a3, 1000

    # The result over the address and over the operand.
    mv      a2, a1
    lr.w    a2, (a2)
    CHECK   a2, 1000
    sc.w    a2, a2, (a1)
    CHECK   a2, 0

    END

    .bss
    .balign 256
place:
    .skip   256
other:
    .skip   256
