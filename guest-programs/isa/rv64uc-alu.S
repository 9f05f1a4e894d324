# Compressed arithmetic, jumps and branches.
#include "suite.h"

    .macro AFTER insn:vararg
    .option push
    .option rvc
    \insn
    .option pop
    .endm

    BEGIN
    li      a0, 0x1234
    AFTER   c.addi a0, -32
    CHECK   a0, 0x1214
    AFTER   c.addi a0, 31
    CHECK   a0, 0x1233
    li      a0, 0x7fffffff
    AFTER   c.addiw a0, 1
    CHECK   a0, 0xffffffff80000000
    li      a0, 0x100000005
    AFTER   c.addiw a0, 0
    CHECK   a0, 5
    AFTER   c.li a0, -32
    CHECK   a0, -32
    AFTER   c.lui a0, 0x1f
    CHECK   a0, 0x1f000
    AFTER   c.lui a0, 0xfffe0
    CHECK   a0, 0xfffffffffffe0000
    la      sp, stack_top
    mv      a1, sp
    AFTER   c.addi16sp sp, -512
    sub     a2, a1, sp
    CHECK   a2, 512
    AFTER   c.addi16sp sp, 496
    sub     a2, a1, sp
    CHECK   a2, 16
    AFTER   c.addi4spn a0, sp, 1020
    sub     a0, a0, sp
    CHECK   a0, 1020
    AFTER   c.addi4spn a0, sp, 4
    sub     a0, a0, sp
    CHECK   a0, 4
    la      sp, stack_top

    li      a0, 1
    AFTER   c.slli a0, 63
    CHECK   a0, 0x8000000000000000
    AFTER   c.srai a0, 63
    CHECK   a0, -1
    AFTER   c.srli a0, 33
    CHECK   a0, 0x7fffffff
    AFTER   c.andi a0, -32
    CHECK   a0, 0x7fffffe0
    li      a1, 0x123456789abcdef0
    AFTER   c.mv a0, a1
    CHECK   a0, 0x123456789abcdef0
    AFTER   c.add a0, a1
    CHECK   a0, 0x2468acf13579bde0
    AFTER   c.sub a0, a1
    CHECK   a0, 0x123456789abcdef0
    AFTER   c.xor a0, a1
    CHECK   a0, 0
    AFTER   c.or a0, a1
    li      a1, 0xff00ff00ff00ff00
    AFTER   c.and a0, a1
    CHECK   a0, 0x120056009a00de00
    li      a0, 0x7fffffff
    li      a1, 1
    AFTER   c.addw a0, a1
    CHECK   a0, 0xffffffff80000000
    AFTER   c.subw a0, a1
    CHECK   a0, 0x7fffffff

    # Jumps and their links, which are two bytes on.
    AFTER   c.j 1f
    j       fail
1:  la      a0, 2f
    AFTER   c.jr a0
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
    AFTER   c.beqz a0, 5f
    j       fail
5:  AFTER   c.bnez a0, 6f
    li      a0, 1
    AFTER   c.bnez a0, 7f
6:  j       fail
7:  AFTER   c.beqz a0, 6b

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
    ILLEGAL16 0x9d4d            # reserved arithmetic
    ILLEGAL16 0x9d6d

    TRAP    CAUSE_MACHINE_ECALL, 0, ecall
    la      s11, 8f
9:  AFTER   c.ebreak
    j       fail
    .balign 4
8:  CHECK   s6, CAUSE_BREAKPOINT
    CHECKA  s8, 9b
    li      s11, 0
    END
