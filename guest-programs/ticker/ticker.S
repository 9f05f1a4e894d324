# The loop and its interrupt handler. They share the registers: the loop keeps
# to s-registers, the handler owns t0 to t2 and what is listed as its own, so
# nothing is saved and the handler is a dozen instructions.
#
#   s0  iterations             s2  checksum (handler)
#   s1  the loop's value       s3  interrupts still to come (handler)
#   s6  multiplier             s4  next mtimecmp (handler)
#   s7  scratch                s5  its address   s8  interval   s9  FNV prime

    .equ MTIMECMP, 0x2004000
    .equ MIE_MTIE, 1 << 7

    .text
    .globl ticker_run
    .type ticker_run, @function
ticker_run:
    addi    sp, sp, -112
    .irp r, 0,1,2,3,4,5,6,7,8,9
    sd      s\r, \r * 8(sp)
    .endr
    csrr    t0, mtvec
    sd      t0, 80(sp)
    sd      a0, 88(sp)
    li      s0, 0
    li      s1, 1
    li      s2, 0xcbf29ce484222325
    mv      s3, a1
    mv      s4, a2
    li      s5, MTIMECMP
    li      s6, 6364136223846793005
    mv      s8, a3
    li      s9, 0x100000001b3
    la      t0, on_tick
    csrw    mtvec, t0
    sd      s4, 0(s5)
    li      t0, MIE_MTIE
    csrs    mie, t0
    csrsi   mstatus, 8              # MIE

# Compressed and full-size instructions, a branch that goes both ways: many
# different places for an interrupt to fall.
ticker_loop:
    addi    s0, s0, 1
    mul     s1, s1, s6
    addi    s1, s1, 1013
    srli    s7, s1, 43
    xor     s1, s1, s7
    andi    s7, s1, 1
    beqz    s7, ticker_loop
    slli    s7, s1, 7
    add     s1, s1, s7
    j       ticker_loop

ticker_done:
    li      t0, MIE_MTIE
    csrc    mie, t0
    ld      t0, 80(sp)
    csrw    mtvec, t0
    ld      a0, 88(sp)
    sd      s2, 0(a0)
    sd      s0, 8(a0)
    sd      s1, 16(a0)
    .irp r, 0,1,2,3,4,5,6,7,8,9
    ld      s\r, \r * 8(sp)
    .endr
    addi    sp, sp, 112
    ret
    .size ticker_run, . - ticker_run

    .balign 4
    .type on_tick, @function
on_tick:
    .macro mix r
    xor     s2, s2, \r
    mul     s2, s2, s9
    srli    t1, s2, 29
    xor     s2, s2, t1
    .endm
    csrr    t0, mepc
    mix     t0
    mix     s0
    mix     s1
    mix     s7
    addi    s3, s3, -1
    beqz    s3, 1f
    add     s4, s4, s8
    sd      s4, 0(s5)
    mret
1:  li      t0, -1                  # never again
    sd      t0, 0(s5)
    la      t0, ticker_done
    csrw    mepc, t0
    li      t0, 1 << 7              # MPIE: mret leaves interrupts off
    csrc    mstatus, t0
    mret
    .size on_tick, . - on_tick
