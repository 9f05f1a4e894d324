# Ends by HTIF, as bare-metal test suites do: 1 in `tohost` is a pass.
    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    la      t0, tohost
    li      t1, 1
    sd      t1, 0(t0)
1:  j       1b
    .size _start, . - _start

    .section .tohost, "aw", @progbits
    .balign 64
    .globl tohost
    .type tohost, @object
tohost:
    .dword  0
    .size tohost, 8
    .balign 64
    .globl fromhost
    .type fromhost, @object
fromhost:
    .dword  0
    .size fromhost, 8
