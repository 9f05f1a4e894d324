# Ends with exit status 42, by the test finisher.
    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    li      t0, 0x100000
    li      t1, 42 << 16 | 0x3333
    sw      t1, 0(t0)
1:  wfi
    j       1b
    .size _start, . - _start
