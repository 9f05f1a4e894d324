# Ends by HTIF: an odd number other than 1 in `tohost` is a failure, here 7. An
# even one before it means nothing.
    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    la      t0, tohost
    li      t1, 6
    sd      t1, 0(t0)
    li      t1, 7 << 1 | 1
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
