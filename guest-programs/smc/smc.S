    .text
    .macro function name
    .globl \name
    .type \name, @function
\name:
    .endm

    function run
    mv      t0, a0
    mv      a0, a1
    jr      t0
    .size run, . - run

# Code that is written must be writable where memory is protected.
    .section .patched, "awx", @progbits
    .option push
    .option norvc
    .balign 4

    .macro patching name, fence:vararg
    function patch_next\name
    la      t0, 1f
    sw      a0, 0(t0)
    \fence
1:  li      a0, 0
    ret
    .size patch_next\name, . - patch_next\name

    function patch_own_loop\name
    la      t0, 1f
    li      t1, 1 << 20             # the immediate's lowest bit
    lw      t2, template
    mv      t3, a0
    li      a0, 0
2:  add     t2, t2, t1
    sw      t2, 0(t0)
    \fence
1:  addi    a0, a0, 0
    addi    t3, t3, -1
    bnez    t3, 2b
    ret
    .size patch_own_loop\name, . - patch_own_loop\name
    .endm

    patching
    patching _fenced, fence.i
template:
    addi    a0, a0, 0
    .option pop

    .text
    function store_byte
    sb      a1, 0(a0)
    ret
    .size store_byte, . - store_byte
    function store_half
    sh      a1, 0(a0)
    ret
    .size store_half, . - store_half
    .option push
    .option norvc
    function store_word
    sw      a1, 0(a0)
    ret
    .size store_word, . - store_word
    function store_double
    sd      a1, 0(a0)
    ret
    .size store_double, . - store_double
    .option pop
    function store_word_compressed
    c.sw    a1, 0(a0)
    ret
    .size store_word_compressed, . - store_word_compressed
    function store_float
    fmv.w.x fa0, a1
    fsw     fa0, 0(a0)
    ret
    .size store_float, . - store_float
    function store_float_double
    fmv.d.x fa0, a1
    fsd     fa0, 0(a0)
    ret
    .size store_float_double, . - store_float_double
    function store_conditional
1:  lr.w    t0, (a0)
    sc.w    t0, a1, (a0)
    bnez    t0, 1b
    ret
    .size store_conditional, . - store_conditional
    function store_swap
    amoswap.w zero, a1, (a0)
    ret
    .size store_swap, . - store_swap
    function store_swap_double
    amoswap.d zero, a1, (a0)
    ret
    .size store_swap_double, . - store_swap_double

# The stack holds what M-mode wants back; S-mode leaves sp alone. Its ecall
# comes to 2.
    function supervised
    addi    sp, sp, -32
    sd      ra, 0(sp)
    csrr    t0, mtvec
    sd      t0, 8(sp)
    la      t0, 2f
    csrw    mtvec, t0
    la      t0, 1f
    csrw    mepc, t0
    li      t0, 3 << 11             # MPP = S
    csrc    mstatus, t0
    li      t0, 1 << 11
    csrs    mstatus, t0
    mret
1:  sw      a1, 0(a0)
    jalr    a2
    ecall
    .balign 4
2:  ld      t0, 8(sp)
    csrw    mtvec, t0
    ld      ra, 0(sp)
    addi    sp, sp, 32
    csrr    t0, mcause
    addi    t0, t0, -9              # ecall from S-mode, or return nonsense
    beqz    t0, 3f
    li      a0, -1
3:  ret
    .size supervised, . - supervised
