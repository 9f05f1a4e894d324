# Jumps into nowhere with no trap vector set: the fetch faults, the vector at
# address 0 faults, and so on for ever. A machine must stay bounded and stop
# when told to.
    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    csrw    mtvec, zero
    li      t0, 0x123456789abc
    jr      t0
    .size _start, . - _start
