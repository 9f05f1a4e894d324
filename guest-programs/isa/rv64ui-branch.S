# Branches: which are taken, how far they reach, and that they change nothing else.
#include "suite.h"

    .macro BRANCH op, a, b, taken
    li      a0, \a
    li      a1, \b
    li      a2, 0
    \op     a0, a1, 1f
    j       2f
3:  addi    a2, a2, 1           # backwards
    j       2f
1:  li      a2, 1
    \op     a0, a1, 3b
2:  CHECK   a2, 2 * \taken
    .endm

    BEGIN
    BRANCH  beq, 0, 0, 1
    BRANCH  beq, -1, -1, 1
    BRANCH  beq, 0, 1, 0
    BRANCH  beq, 0x100000000, 0, 0
    BRANCH  bne, 0, 0, 0
    BRANCH  bne, 0, 1, 1
    BRANCH  bne, 0x8000000000000000, 0, 1
    BRANCH  blt, 0, 1, 1
    BRANCH  blt, 1, 0, 0
    BRANCH  blt, 1, 1, 0
    BRANCH  blt, -1, 0, 1
    BRANCH  blt, 0x7fffffffffffffff, 0x8000000000000000, 0
    BRANCH  blt, 0x8000000000000000, 0x7fffffffffffffff, 1
    BRANCH  bge, 0, 1, 0
    BRANCH  bge, 1, 1, 1
    BRANCH  bge, -1, -2, 1
    BRANCH  bge, 0x7fffffffffffffff, 0x8000000000000000, 1
    BRANCH  bltu, 0, -1, 1
    BRANCH  bltu, -1, 0, 0
    BRANCH  bltu, 0x7fffffffffffffff, 0x8000000000000000, 1
    BRANCH  bltu, 5, 5, 0
    BRANCH  bgeu, 0, -1, 0
    BRANCH  bgeu, -1, 0, 1
    BRANCH  bgeu, 5, 5, 1

    # As far as an offset goes, forwards and backwards.
    li      a0, 0
    beq     zero, zero, far_forward
    j       fail
far_back:
    addi    a0, a0, 2
    j       2f
    .skip   4096 - (. - far_back) - 6, 0
    .balign 2
far_end:
    addi    a0, a0, 1
    bne     zero, gp, far_back
    j       fail
far_forward:
    j       far_end
2:  CHECK   a0, 3

    # Reserved comparisons.
    ILLEGAL 0x00052063
    ILLEGAL 0x00053063
    END
