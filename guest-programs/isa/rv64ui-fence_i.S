# Stores to code, and fence.i: what runs behind it is what was stored.
#include "suite.h"
    BEGIN
    # addi a0, a0, 1 becomes addi a0, a0, 100, again and again.
    li      a2, 16
    li      a0, 0
    la      a1, patched
    li      a3, 0x00150513
    li      a4, 0x06450513
1:  sw      a3, 0(a1)
    fence.i
    call    patched
    sw      a4, 0(a1)
    fence.i
    call    patched
    addi    a2, a2, -1
    bnez    a2, 1b
    CHECK   a0, 16 * 101

    # Half of a word, and a compressed instruction in its place.
    li      a3, 0x0505              # c.addi a0, 1
    li      a4, 0x0509              # c.addi a0, 2
    li      a0, 0
    sh      a3, 0(a1)
    sh      a4, 2(a1)
    fence.i
    call    patched
    CHECK   a0, 3

    # Reserved fields of the fences are ignored.
    .word   0x0000000f              # fence with nothing
    .word   0x8330000f              # fence.tso
    .word   0x0100000f              # pause
    .word   0xfff5158f | 0x1000     # fence.i with all of them
    .word   0x2ff5058f              # fence with a reserved mode, and registers
    CHECK   a0, 3
    END

    .section .text.patched, "ax"
    .balign 4
    .option norvc
patched:
    .word   0
    .half   0x8082                  # ret
