/*
 * What every ISA test program begins with: a program is a list of cases, each checks a value, and
 * the first wrong one ends it. All of it is assembly for the C preprocessor.
 *
 *     #include "suite.h"
 *         BEGIN
 *         ...cases...
 *         END
 *
 * The end, on this machine and on QEMU's virt board alike: a line on the UART with the number of
 * cases and a signature over every value that was checked, then 1 in `tohost` and "pass" to the test
 * finisher. A failure says its case, and gives the number to both.
 *
 *   gp   the number of the case          tp   the signature
 *   s11  where the next trap goes on (0: a trap is a failure)
 *   s6 s7 s8 s9   its mcause, mtval, mepc, mstatus
 *   t5 t6  the macros' own
 *
 * A trap to M-mode goes on at s11, in M-mode. So code for S- and U-mode (RUN) ends in a trap.
 * S- and U-mode may touch all of memory (PMP entry 0) unless a test says otherwise.
 */
    .option norelax

#define CAUSE_FETCH_ACCESS      1
#define CAUSE_ILLEGAL           2
#define CAUSE_BREAKPOINT        3
#define CAUSE_LOAD_MISALIGNED   4
#define CAUSE_LOAD_ACCESS       5
#define CAUSE_STORE_MISALIGNED  6
#define CAUSE_STORE_ACCESS      7
#define CAUSE_USER_ECALL        8
#define CAUSE_SUPERVISOR_ECALL  9
#define CAUSE_MACHINE_ECALL     11
#define CAUSE_FETCH_PAGE        12
#define CAUSE_LOAD_PAGE         13
#define CAUSE_STORE_PAGE        15
#define INTERRUPT               (1 << 63)

#define MSTATUS_SIE   (1 << 1)
#define MSTATUS_MIE   (1 << 3)
#define MSTATUS_SPIE  (1 << 5)
#define MSTATUS_MPIE  (1 << 7)
#define MSTATUS_SPP   (1 << 8)
#define MSTATUS_MPP   (3 << 11)
#define MSTATUS_MPP_S (1 << 11)
#define MSTATUS_FS    (3 << 13)
#define MSTATUS_MPRV  (1 << 17)
#define MSTATUS_SUM   (1 << 18)
#define MSTATUS_MXR   (1 << 19)
#define MSTATUS_TVM   (1 << 20)
#define MSTATUS_TW    (1 << 21)
#define MSTATUS_TSR   (1 << 22)

/* Modes, for RUN. */
#define U 0
#define S 1
#define M 3

/* The word `csrr a0, n`, for MAY and MAY_NOT. */
#define CSRR(n) (0x00002573 | ((n) << 20))

/* Nothing is there on either machine. */
#define NOWHERE 0x900000000

    .macro BEGIN
    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    la      t0, trap
    csrw    mtvec, t0
    li      t0, -1
    csrw    pmpaddr0, t0
    li      t0, 0x1f
    csrw    pmpcfg0, t0
    li      t0, 1 << 13                 # FS = Initial
    csrs    mstatus, t0
    csrw    fcsr, zero
    la      sp, stack_top
    li      gp, 0
    li      tp, 0
    li      s11, 0
    .endm

/* \reg is what is in \expected. */
    .macro CHECKR reg, expected
    addi    gp, gp, 1
    slli    t5, tp, 5
    sub     tp, t5, tp
    add     tp, tp, \reg
    beq     \reg, \expected, .Lright\@
    tail    fail
.Lright\@:
    .endm

/* \reg is \value. */
    .macro CHECK reg, value
    li      t6, \value
    CHECKR  \reg, t6
    .endm

/* \reg is the address of \label. */
    .macro CHECKA reg, label
    la      t6, \label
    sub     t6, \reg, t6
    CHECKR  t6, zero
    .endm

/* Runs \label in \mode; goes on behind, in M-mode, after the trap that ends it. */
    .macro RUN mode, label
    la      s11, .Lback\@
    la      t6, \label
    csrw    mepc, t6
    li      t6, MSTATUS_MPP
    csrc    mstatus, t6
    li      t6, \mode << 11
    csrs    mstatus, t6
    mret
    .balign 4
.Lback\@:
    li      s11, 0
    .endm

/* Runs \label in \mode and expects this trap at \at. */
    .macro TRAPS mode, label, cause, value, at
    RUN     \mode, \label
    CHECK   s6, \cause
    CHECK   s7, \value
    CHECKA  s8, \at
    .endm

/* The instruction traps, in M-mode. */
    .macro TRAP cause, value, insn:vararg
    la      s11, .Ltrapped\@
.Ltraps\@:
    \insn
    tail    fail
    .balign 4
.Ltrapped\@:
    li      s11, 0
    CHECK   s6, \cause
    CHECK   s7, \value
    CHECKA  s8, .Ltraps\@
    .endm

/* The word is an illegal instruction in \mode. */
    .macro MAY_NOT mode, word
    .pushsection .text
    .balign 4
.Lbad\@:
    .word   \word
    .popsection
    TRAPS   \mode, .Lbad\@, CAUSE_ILLEGAL, \word, .Lbad\@
    .endm

/* The word is done in \mode, and the ecall behind it comes. */
    .macro MAY mode, word
    .pushsection .text
    .balign 4
.Lgood\@:
    .word   \word
.Lcall\@:
    ecall
    .popsection
    TRAPS   \mode, .Lgood\@, CAUSE_USER_ECALL + \mode, 0, .Lcall\@
    .endm

/* The instruction, compressed. */
    .macro RVC insn:vararg
    .option push
    .option rvc
    \insn
    .option pop
    .endm

/* The word is an illegal instruction, in M-mode. */
    .macro ILLEGAL word
    TRAP    CAUSE_ILLEGAL, \word, .word \word
    .endm

    .macro ILLEGAL16 half
    TRAP    CAUSE_ILLEGAL, \half, .half \half
    .endm

/*
 * The operation on each row of a table, with the result in a register of its own, in that of the
 * first and in that of the second operand:
 *     BINARY add
 *     .dword  first, second, result
 *     DONE
 */
    .macro BINARY op:vararg
    la      s2, 8f
    la      s3, 9f
1:  ld      a0, 0(s2)
    ld      a1, 8(s2)
    ld      s4, 16(s2)
    \op     a2, a0, a1
    CHECKR  a2, s4
    mv      a2, a0
    \op     a2, a2, a1
    CHECKR  a2, s4
    mv      a2, a1
    \op     a2, a0, a2
    CHECKR  a2, s4
    \op     zero, a0, a1
    CHECKR  zero, zero
    addi    s2, s2, 24
    bne     s2, s3, 1b
    .pushsection .rodata
    .balign 8
8:
    .endm

/* The operation with its immediate on each row: operand, result. */
    .macro UNARY op, tail:vararg
    la      s2, 8f
    la      s3, 9f
1:  ld      a0, 0(s2)
    ld      s4, 8(s2)
    .ifb \tail
    \op     a2, a0
    .else
    \op     a2, a0, \tail
    .endif
    CHECKR  a2, s4
    mv      a2, a0
    .ifb \tail
    \op     a2, a2
    .else
    \op     a2, a2, \tail
    .endif
    CHECKR  a2, s4
    addi    s2, s2, 16
    bne     s2, s3, 1b
    .pushsection .rodata
    .balign 8
8:
    .endm

    .macro DONE
9:
    .popsection
    .endm

    .macro END
    j       pass

# An unexpected trap is a failure of the case before it.
    .balign 4
trap:
    csrr    s6, mcause
    csrr    s7, mtval
    csrr    s8, mepc
    csrr    s9, mstatus
    beqz    s11, fail
    jr      s11

fail:
    li      t0, MSTATUS_MPRV
    csrc    mstatus, t0
    la      a0, text_fail
    call    print
    mv      a0, gp
    call    print_hex
    li      a0, '\n'
    call    put
    slli    t0, gp, 1
    ori     t0, t0, 1
    slli    t1, gp, 16
    li      t2, 0x3333
    or      t1, t1, t2
    j       power_off

pass:
    la      a0, text_pass
    call    print
    mv      a0, gp
    call    print_hex
    la      a0, text_signature
    call    print
    mv      a0, tp
    call    print_hex
    li      a0, '\n'
    call    put
    li      t0, 1
    li      t1, 0x5555
power_off:
    la      t2, tohost
    sd      t0, 0(t2)
    li      t2, 0x100000
    sw      t1, 0(t2)
1:  j       1b

print:
    mv      s10, ra
    mv      s9, a0
1:  lbu     a0, 0(s9)
    beqz    a0, 2f
    call    put
    addi    s9, s9, 1
    j       1b
2:  jr      s10

print_hex:
    mv      s10, ra
    mv      s9, a0
    li      s8, 60
1:  srl     a0, s9, s8
    andi    a0, a0, 15
    addi    a0, a0, '0'
    li      t0, '9'
    ble     a0, t0, 2f
    addi    a0, a0, 'a' - '0' - 10
2:  call    put
    addi    s8, s8, -4
    bgez    s8, 1b
    jr      s10

put:
    li      t0, 0x10000000
1:  lbu     t1, 5(t0)
    andi    t1, t1, 0x20
    beqz    t1, 1b
    sb      a0, 0(t0)
    ret

    .section .rodata
text_fail:      .string "FAIL in case "
text_pass:      .string "PASS cases "
text_signature: .string " signature "

    .section .tohost, "aw", @progbits
    .balign 64
    .globl tohost
    .type tohost, @object
tohost: .dword 0
    .size tohost, 8
    .endm
