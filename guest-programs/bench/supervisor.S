# enter_supervisor(satp): returns to its caller in S-mode.
    .text
    .globl enter_supervisor
    .type enter_supervisor, @function
enter_supervisor:
    csrw    satp, a0
    sfence.vma
    li      t0, 3 << 11
    csrc    mstatus, t0
    li      t0, 1 << 11             # mstatus.MPP = S
    csrs    mstatus, t0
    csrw    mepc, ra
    mret
    .size enter_supervisor, . - enter_supervisor
