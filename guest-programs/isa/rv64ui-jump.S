# jal and jalr: links, the dropped bit 0, a link register that is the base too, far targets.
#include "suite.h"
    BEGIN
    jal     a0, 1f
back:
    j       fail
1:  CHECKA  a0, back

    la      a0, 2f
    jalr    a1, 0(a0)
link:
    j       fail
2:  CHECKA  a1, link

    # The target is computed before the link is written.
    la      a0, 3f
    jalr    a0, 0(a0)
link_same:
    j       fail
3:  CHECKA  a0, link_same

    # Bit 0 of the sum is dropped: both of an odd base and of an odd offset.
    la      a0, 4f + 1
    jalr    zero, 0(a0)
    j       fail
4:  la      a0, 5f
    jalr    zero, 1(a0)
    j       fail
5:  la      a0, 6f - 2047
    jalr    zero, 2047(a0)
    j       fail
6:  la      a0, 7f + 2048
    jalr    zero, -2048(a0)
    j       fail

    # A target at an odd halfword is no exception: there are compressed instructions.
    .balign 4
    .half   0x0001
7:  li      a0, 7
    CHECK   a0, 7

    # Two pages on, and back.
    jal     a0, far
far_back:
    j       fail
here_again:
    CHECKA  a0, far_back

    # x0 does not take a link.
    jal     zero, 8f
8:  CHECKR  zero, zero

    ILLEGAL 0x00051067          # jalr with another funct3
    END

    .section .text.far, "ax"
    .skip   0x2000
far:
    tail    here_again
