# The ways between the modes, and the user program.

    .text
# enter_kernel(entry, offset): to S-mode at `entry`, with the stack moved by
# `offset` to where S-mode sees it.
    .globl enter_kernel
    .type enter_kernel, @function
enter_kernel:
    add     sp, sp, a1
    add     gp, gp, a1
    li      t0, 3 << 11
    csrc    mstatus, t0
    li      t0, 1 << 11             # mstatus.MPP = S
    csrs    mstatus, t0
    csrw    mepc, a0
    mret
    .size enter_kernel, . - enter_kernel

# enter_user(entry): to U-mode at `entry`; traps come back on this stack.
    .globl enter_user
    .type enter_user, @function
enter_user:
    csrw    sscratch, sp
    li      t0, 1 << 8              # sstatus.SPP = U
    csrc    sstatus, t0
    csrw    sepc, a0
    sret
    .size enter_user, . - enter_user

# Every trap is a system call: number in a7, result in a0.
    .globl kernel_trap_entry
    .type kernel_trap_entry, @function
    .balign 4
kernel_trap_entry:
    csrrw   sp, sscratch, sp
    addi    sp, sp, -16
    sd      ra, 0(sp)
    csrr    a0, scause
    mv      a1, a7
    call    kernel_trap
    csrr    t0, sepc
    addi    t0, t0, 4
    csrw    sepc, t0
    ld      ra, 0(sp)
    addi    sp, sp, 16
    csrrw   sp, sscratch, sp
    sret
    .size kernel_trap_entry, . - kernel_trap_entry

# The user program: it asks for the time, once by itself and once through the
# kernel, a thousand times over. Only s0 outlives a call.
    .globl user_main
    .type user_main, @function
user_main:
    li      s0, 1000
1:  rdtime  t0
    li      a7, 1
    ecall
    addi    s0, s0, -1
    bnez    s0, 1b
    li      a7, 2
    ecall
    .size user_main, . - user_main
