# The first instructions: a stack, a trap vector, floating point on, main.
#
# Nothing is cleared: the loader has done it (ELF: the bytes of a segment past
# its file size hold 0), so a program with large tables boots as fast as one
# without. main's result is the exit status: 0 passes.

    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    la      sp, stack_top
    la      t0, trap_entry
    csrw    mtvec, t0
    li      t0, 1 << 13             # mstatus.FS = Initial
    csrs    mstatus, t0
    csrw    fcsr, zero
    call    main
    tail    power_off
    .size _start, . - _start

# Saves the interrupted registers as struct trap_frame (trap.h), lets trap()
# look at and change them, and goes back to where the frame says.
    .text
    .globl trap_entry
    .type trap_entry, @function
    .balign 4
trap_entry:
    addi    sp, sp, -272
    .irp r, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    sd      x\r, \r * 8(sp)
    .endr
    addi    t0, sp, 272
    sd      t0, 2 * 8(sp)
    csrr    t0, mepc
    sd      t0, 32 * 8(sp)
    mv      a0, sp
    csrr    a1, mcause
    csrr    a2, mtval
    call    trap
    ld      t0, 32 * 8(sp)
    csrw    mepc, t0
    .irp r, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ld      x\r, \r * 8(sp)
    .endr
    ld      sp, 2 * 8(sp)
    mret
    .size trap_entry, . - trap_entry
