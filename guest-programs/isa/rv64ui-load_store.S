# Loads and stores of each width, with their extensions, at each alignment, across a page too.
#include "suite.h"

    .macro LOAD op, offset, expected
    \op     a1, \offset(a0)
    CHECK   a1, \expected
    .endm

    BEGIN
    la      a0, data + 8
    LOAD    lb,  0, 0xffffffffffffff88
    LOAD    lb,  -1, 0x07
    LOAD    lbu, 0, 0x88
    LOAD    lh,  0, 0xffffffffffff9988
    LOAD    lhu, 0, 0x9988
    LOAD    lh,  -2, 0x0706
    LOAD    lw,  0, 0xffffffffbbaa9988
    LOAD    lwu, 0, 0xbbaa9988
    LOAD    lw,  -4, 0x07060504
    LOAD    ld,  0, 0xffeeddccbbaa9988
    LOAD    ld,  -8, 0x0706050403020100
    # Misaligned: as if aligned.
    LOAD    lh,  1, 0xffffffffffffaa99
    LOAD    lhu, -1, 0x8807
    LOAD    lw,  -3, 0xffffffff88070605
    LOAD    lwu, -1, 0xaa998807
    LOAD    ld,  -1, 0xeeddccbbaa998807
    LOAD    ld,  -5, 0xaa99880706050403
    # The base is the destination; the destination is x0.
    mv      a2, a0
    ld      a2, 0(a2)
    CHECK   a2, 0xffeeddccbbaa9988
    ld      zero, 0(a0)
    CHECKR  zero, zero

    # Stores change their own bytes only.
    la      a0, room
    .macro STORE op, offset, expected_low, expected_high
    li      a1, -1
    sd      a1, 0(a0)
    sd      a1, 8(a0)
    li      a1, 0x0123456789abcdef
    \op     a1, \offset(a0)
    LOAD    ld, 0, \expected_low
    LOAD    ld, 8, \expected_high
    .endm
    STORE   sb, 0, 0xffffffffffffffef, -1
    STORE   sb, 7, 0xefffffffffffffff, -1
    STORE   sh, 2, 0xffffffffcdefffff, -1
    STORE   sh, 7, 0xefffffffffffffff, 0xffffffffffffffcd
    STORE   sw, 4, 0x89abcdefffffffff, -1
    STORE   sw, 3, 0xff89abcdefffffff, -1
    STORE   sw, 6, 0xcdefffffffffffff, 0xffffffffffff89ab
    STORE   sd, 0, 0x0123456789abcdef, -1
    STORE   sd, 1, 0x23456789abcdefff, 0xffffffffffffff01
    STORE   sd, 5, 0xabcdefffffffffff, 0xffffff0123456789

    # The same across two pages, at each distance.
    la      a0, page_end
    addi    a0, a0, -8
    STORE   sd, 7, 0xefffffffffffffff, 0xff0123456789abcd
    STORE   sd, 4, 0x89abcdefffffffff, 0xffffffff01234567
    STORE   sh, 7, 0xefffffffffffffff, 0xffffffffffffffcd
    STORE   sw, 5, 0xabcdefffffffffff, 0xffffffffffffff89
    LOAD    lw, 5, 0xffffffff89abcdef
    LOAD    lhu, 7, 0x89ab

    # Reserved widths.
    ILLEGAL 0x00057003
    ILLEGAL 0x00b54023
    ILLEGAL 0x00b57023
    END

    .section .rodata
    .balign 16
data:
    .dword  0x0706050403020100, 0xffeeddccbbaa9988, 0x1122334455667788
    .bss
    .balign 4096
room:
    .skip   4096
page_end:
    .skip   64
