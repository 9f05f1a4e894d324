/*
 * Sv39 for a test: three tables, filled by SV39. What is mapped:
 *   0x80000000..    RAM where it is, for S-mode (a gigapage)
 *   0xc0000000..    RAM once more, for U-mode
 *   0x40000000 + n * 4096   page n of the last table: entry n of `leaves`, empty until LEAF fills it
 * The page that all leaves stand for is `page`, the one behind it `page + 4096`.
 */
#define PTE_V 1
#define PTE_R 2
#define PTE_W 4
#define PTE_X 8
#define PTE_U 16
#define PTE_G 32
#define PTE_A 64
#define PTE_D 128
#define RWXAD (PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D)

#define WINDOW 0x40000000
#define ALIAS  0x40000000

    /* \to is the entry for \label with \flags. Changes a5, a6. */
    .macro ENTRY to, label, flags
    la      a5, \label
    srli    a5, a5, 2
    li      a6, \flags
    or      a5, a5, a6
    la      a6, \to
    sd      a5, 0(a6)
    .endm

    .macro SV39
    ENTRY   root + 16, _start, RWXAD | PTE_G
    ENTRY   root + 24, _start, RWXAD | PTE_U
    ENTRY   root + 8, middle, PTE_V
    ENTRY   middle, leaves, PTE_V
    la      a5, root
    srli    a5, a5, 12
    li      a6, 8 << 60
    or      a5, a5, a6
    csrw    satp, a5
    sfence.vma
    .endm

    /* Page \n of the window is `page`, with \flags. */
    .macro LEAF n, flags
    ENTRY   leaves + 8 * (\n), page, \flags
    sfence.vma
    .endm

    /* Runs \label in U-mode, where RAM is behind RAM. */
    .macro RUN_U label
    la      s11, .Lback\@
    la      t6, \label
    li      t5, ALIAS
    add     t6, t6, t5
    csrw    mepc, t6
    li      t6, MSTATUS_MPP
    csrc    mstatus, t6
    mret
    .balign 4
.Lback\@:
    li      s11, 0
    .endm

    /* \insn, by a2, in S- or U-mode, works / raises \cause with a2 as its value. */
    .macro WORKS_S label
    RUN     S, \label
    CHECK   s6, CAUSE_SUPERVISOR_ECALL
    .endm
    .macro WORKS_U label
    RUN_U   \label
    CHECK   s6, CAUSE_USER_ECALL
    .endm
    .macro FAULTS_S label, cause
    RUN     S, \label
    CHECK   s6, \cause
    CHECKR  s7, a2
    .endm
    .macro FAULTS_U label, cause
    RUN_U   \label
    CHECK   s6, \cause
    CHECKR  s7, a2
    .endm

    .macro TABLES
    .text
    .balign 4
loads:
    ld      a0, 0(a2)
    ecall
    .balign 4
stores:
    sd      a0, 0(a2)
    ecall
    .balign 4
jumps:
    jalr    a2
    ecall
    .balign 4
swaps:
    amoswap.d a0, a0, (a2)
    ecall
    .bss
    .balign 4096
    .globl  root
root:   .skip 4096
middle: .skip 4096
leaves: .skip 4096
    .balign 8192
page:   .skip 8192
    .endm
