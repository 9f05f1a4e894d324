# Compressed arithmetic, jumps and branches.
#include "suite.h"

    BEGIN
    li      a0, 0x1234
    RVC     c.addi a0, -32
    CHECK   a0, 0x1214
    RVC     c.addi a0, 31
    CHECK   a0, 0x1233
    li      a0, 0x7fffffff
    RVC     c.addiw a0, 1
    CHECK   a0, 0xffffffff80000000
    li      a0, 0x100000005
    RVC     c.addiw a0, 0
    CHECK   a0, 5
    RVC     c.li a0, -32
    CHECK   a0, -32
    RVC     c.lui a0, 0x1f
    CHECK   a0, 0x1f000
    RVC     c.lui a0, 0xfffe0
    CHECK   a0, 0xfffffffffffe0000
    la      sp, stack_top
    mv      a1, sp
    RVC     c.addi16sp sp, -512
    sub     a2, a1, sp
    CHECK   a2, 512
    RVC     c.addi16sp sp, 496
    sub     a2, a1, sp
    CHECK   a2, 16
    RVC     c.addi4spn a0, sp, 1020
    sub     a0, a0, sp
    CHECK   a0, 1020
    RVC     c.addi4spn a0, sp, 4
    sub     a0, a0, sp
    CHECK   a0, 4
    la      sp, stack_top

    li      a0, 1
    RVC     c.slli a0, 63
    CHECK   a0, 0x8000000000000000
    RVC     c.srai a0, 63
    CHECK   a0, -1
    RVC     c.srli a0, 33
    CHECK   a0, 0x7fffffff
    RVC     c.andi a0, -32
    CHECK   a0, 0x7fffffe0
    li      a1, 0x123456789abcdef0
    RVC     c.mv a0, a1
    CHECK   a0, 0x123456789abcdef0
    RVC     c.add a0, a1
    CHECK   a0, 0x2468acf13579bde0
    RVC     c.sub a0, a1
    CHECK   a0, 0x123456789abcdef0
    RVC     c.xor a0, a1
    CHECK   a0, 0
    RVC     c.or a0, a1
    li      a1, 0xff00ff00ff00ff00
    RVC     c.and a0, a1
    CHECK   a0, 0x120056009a00de00
    li      a0, 0x7fffffff
    li      a1, 1
    RVC     c.addw a0, a1
    CHECK   a0, 0xffffffff80000000
    RVC     c.subw a0, a1
    CHECK   a0, 0x7fffffff

    # Jumps and their links, which are two bytes on.
    RVC     c.j 1f
    j       fail
1:  la      a0, 2f
    RVC     c.jr a0
    j       fail
2:  la      a0, 3f
    .option push
    .option rvc
    c.jalr  a0
link:
    .option pop
    j       fail
3:  CHECKA  ra, link
    # c.jalr by ra itself.
    la      ra, 4f
    .option push
    .option rvc
    c.jalr  ra
link_ra:
    .option pop
    j       fail
4:  CHECKA  ra, link_ra
    li      a0, 0
    RVC     c.beqz a0, 5f
    j       fail
5:  RVC     c.bnez a0, 6f
    li      a0, 1
    RVC     c.bnez a0, 7f
6:  j       fail
7:  RVC     c.beqz a0, 6b

    # Hints change nothing.
    li      a0, 5
    .half   0x0005              # c.nop 1
    .half   0x4005              # c.li zero, 1
    .half   0x6005              # c.lui zero, 1
    .half   0x0006              # c.slli zero, 1
    .half   0x802e              # c.mv zero, a1
    .half   0x902e              # c.add zero, a1
    .half   0x0501              # c.addi a0, 0
    .half   0x8101              # c.srli a0, 0
    .half   0x8501              # c.srai a0, 0
    .half   0x0502              # c.slli a0, 0
    CHECK   a0, 5
    CHECKR  zero, zero

    # Reserved encodings; the value is their 16 bits.
    ILLEGAL16 0x0000
    ILLEGAL16 0x0010            # c.addi4spn a2, 0
    ILLEGAL16 0x2001            # c.addiw zero
    ILLEGAL16 0x6501            # c.lui a0, 0
    ILLEGAL16 0x6101            # c.addi16sp 0
    ILLEGAL16 0x4002            # c.lwsp zero
    ILLEGAL16 0x6002            # c.ldsp zero
    ILLEGAL16 0x8002            # c.jr zero
    ILLEGAL16 0x9d79            # reserved arithmetic, also with Zcb
    ILLEGAL16 0x9d7d

    TRAP    CAUSE_MACHINE_ECALL, 0, ecall
    la      s11, 8f
9:  RVC     c.ebreak
    j       fail
    .balign 4
8:  CHECK   s6, CAUSE_BREAKPOINT
    CHECKA  s8, 9b
    li      s11, 0
    END
