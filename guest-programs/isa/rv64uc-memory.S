# Compressed loads and stores, by a register and by the stack pointer, to the ends of their offsets.
#include "suite.h"

    BEGIN
    la      a0, room
    la      sp, room
    li      a1, 0x8123456789abcdef
    RVC     c.sd a1, 248(a0)
    RVC     c.ld a2, 248(a0)
    CHECK   a2, 0x8123456789abcdef
    RVC     c.sw a1, 124(a0)
    RVC     c.lw a2, 124(a0)
    CHECK   a2, 0xffffffff89abcdef
    ld      a2, 120(a0)
    CHECK   a2, 0x89abcdef00000000
    RVC     c.sd a1, 0(a0)
    RVC     c.lw a2, 4(a0)
    CHECK   a2, 0xffffffff81234567
    RVC     c.ld a0, 0(a0)
    CHECK   a0, 0x8123456789abcdef
    la      a0, room

    RVC     c.sdsp a1, 504(sp)
    RVC     c.ldsp s5, 504(sp)
    CHECK   s5, 0x8123456789abcdef
    RVC     c.swsp a1, 252(sp)
    RVC     c.lwsp t3, 252(sp)
    CHECK   t3, 0xffffffff89abcdef
    RVC     c.lwsp t3, 508 - 256(sp)
    CHECK   t3, 0xffffffff89abcdef
    RVC     c.ldsp sp, 504(sp)
    mv      a2, sp
    CHECK   a2, 0x8123456789abcdef
    la      sp, room

    li      a1, 0x400921fb54442d18
    fmv.d.x fa0, a1
    RVC     c.fsd fa0, 240(a0)
    RVC     c.fld fa1, 240(a0)
    fmv.x.d a2, fa1
    CHECK   a2, 0x400921fb54442d18
    RVC     c.fsdsp fa0, 496(sp)
    RVC     c.fldsp ft11, 496(sp)
    fmv.x.d a2, ft11
    CHECK   a2, 0x400921fb54442d18
    RVC     c.sdsp zero, 0(sp)
    ld      a2, 0(sp)
    CHECK   a2, 0

    # An instruction of four bytes over the end of a page.
    call    straddling
    CHECK   a0, 0x77

    # Misaligned.
    la      a0, room + 3
    li      a1, 0x0123456789abcdef
    RVC     c.sd a1, 0(a0)
    RVC     c.ld a2, 0(a0)
    CHECK   a2, 0x0123456789abcdef
    END

    .section .text.straddling, "ax"
    .balign 4096
    .option norvc
    .skip   4092
    .option rvc
straddling:
    c.nop
    .option norvc
    li      a0, 0x77
    ret

    .bss
    .balign 64
room:
    .skip   1024
