# Atomic memory operations of both widths.
#include "suite.h"

    # \op on a doubleword that holds \old, by \operand: it then holds \new, and \old is returned.
    .macro AMO op, old, operand, new
    li      a1, \old
    sd      a1, 0(a0)
    li      a1, \operand
    \op     a2, a1, (a0)
    CHECK   a2, \old
    ld      a3, 0(a0)
    CHECK   a3, \new
    .endm

    # On the word of a doubleword: the other half stays, the result is extended with its sign.
    .macro AMOW op, old, operand, new
    li      a1, 0x5a5a5a5a00000000 | ((\old) & 0xffffffff)
    sd      a1, 0(a0)
    li      a1, \operand
    \op     a2, a1, (a0)
    li      a3, \old
    sext.w  a3, a3
    CHECKR  a2, a3
    ld      a3, 0(a0)
    CHECK   a3, 0x5a5a5a5a00000000 | ((\new) & 0xffffffff)
    .endm

    BEGIN
    la      a0, place
    AMO     amoswap.d, 0x8000000000000000, 0x123456789abcdef0, 0x123456789abcdef0
    AMO     amoadd.d, 0x7fffffffffffffff, 1, 0x8000000000000000
    AMO     amoadd.d.aqrl, -1, 1, 0
    AMO     amoxor.d, 0xff00ff00ff00ff00, -1, 0x00ff00ff00ff00ff
    AMO     amoand.d, 0xff00ff00ff00ff00, 0x0ff00ff00ff00ff0, 0x0f000f000f000f00
    AMO     amoor.d.aq, 0xff00ff00ff00ff00, 0x0ff00ff00ff00ff0, 0xfff0fff0fff0fff0
    AMO     amomin.d, -5, 5, -5
    AMO     amomin.d, 5, -5, -5
    AMO     amomax.d.rl, -5, 5, 5
    AMO     amomax.d, 0x8000000000000000, 0x7fffffffffffffff, 0x7fffffffffffffff
    AMO     amominu.d, -5, 5, 5
    AMO     amominu.d, 0, -1, 0
    AMO     amomaxu.d, -5, 5, -5
    AMO     amomaxu.d, 0x7fffffffffffffff, 0x8000000000000000, 0x8000000000000000

    AMOW    amoswap.w, 0x80000000, 0x7abcdef123456789, 0x23456789
    AMOW    amoadd.w, 0x7fffffff, 1, 0x80000000
    AMOW    amoadd.w.aqrl, 0xffffffff, 1, 0
    AMOW    amoxor.w, 0xff00ff00, -1, 0x00ff00ff
    AMOW    amoand.w, 0xff00ff00, 0x0ff00ff0, 0x0f000f00
    AMOW    amoor.w, 0xff00ff00, 0x0ff00ff0, 0xfff0fff0
    AMOW    amomin.w, -5, 5, -5
    AMOW    amomin.w, 0x7fffffff, 0x80000000, 0x80000000    # only the low word of the operand counts
    AMOW    amomin.w, 5, 0x100000000, 0
    AMOW    amomax.w, -5, 5, 5
    AMOW    amomax.w, 0x80000000, 0x7fffffff, 0x7fffffff
    AMOW    amomaxu.w, 0x80000000, 0x7fffffff, 0x80000000
    AMOW    amomaxu.w, -1, 5, -1
    AMOW    amominu.w, -1, 0x700000005, 5
    AMOW    amominu.w, 0x80000000, 0x7fffffff, 0x7fffffff

    # The result over the operand, over the address, and nowhere.
    li      a1, 40
    sd      a1, 0(a0)
    li      a1, 2
    amoadd.d a1, a1, (a0)
    CHECK   a1, 40
    mv      a2, a0
    li      a1, 1
    amoadd.d a2, a1, (a2)
    CHECK   a2, 42
    amoadd.d zero, a1, (a0)
    CHECKR  zero, zero
    ld      a2, 0(a0)
    CHECK   a2, 44

    # Misaligned: an exception, and nothing stored. (QEMU 7.2 has it as one of a load; that it is one
    # of a store is shown elsewhere.)
    li      a1, -1
    la      s11, 1f
    addi    a2, a0, 4
2:  amoadd.d a3, a1, (a2)
    j       fail
    .balign 4
1:  li      s11, 0
    CHECKA  s7, place + 4
    CHECKA  s8, 2b
    ld      a2, 0(a0)
    CHECK   a2, 44

    # Reserved operations and widths.
    ILLEGAL 0x28b5362f
    ILLEGAL 0x00b5462f
    ILLEGAL 0x00b5062f
    ILLEGAL 0x10b5362f          # lr with a second source
    END

    .bss
    .balign 64
place:
    .skip   64
