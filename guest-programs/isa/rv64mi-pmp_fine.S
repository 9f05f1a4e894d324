# Physical memory protection of less than a page: each word around regions of 4, 8, 16 and 32 bytes,
# loaded, stored to and executed, read-back of every bit, and accesses across an edge.
#include "suite.h"

    # Entry 2 lets S- and U-mode at everything; entries 0 and 1 are \config.
    .macro FIRST config
    li      a5, 0x1f0000 | (\config)
    csrw    pmpcfg0, a5
    .endm
    .macro AT register, label, offset
    la      a5, \label + (\offset)
    srli    a5, a5, 2
    csrw    \register, a5
    .endm
    # From each of the 32 words of `words` on in mode S: which of them fault, as bits of s10.
    .macro SWEEP code
    li      s10, 0
    la      s4, words
    la      s5, words + 128
1:  mv      a2, s4
    RUN     S, \code
    li      a5, CAUSE_SUPERVISOR_ECALL
    slli    s10, s10, 1
    beq     s6, a5, 2f
    ori     s10, s10, 1
    CHECKR  s7, a2
2:  addi    s4, s4, 4
    bne     s4, s5, 1b
    .endm

    BEGIN
    li      a0, -1
    csrw    pmpaddr2, a0
    li      a4, 0x73

    # Every bit of an address comes back, whatever the mode.
    .irp    config, 0x00, 0x08, 0x10, 0x18
    FIRST   \config
    li      a0, 0x15555555555555
    csrw    pmpaddr0, a0
    csrr    a1, pmpaddr0
    CHECKR  a1, a0
    csrr    a1, pmpcfg0
    CHECK   a1, 0x1f0000 | \config
    .endr

    # NA4 in the middle of the words: bit 15 of 31..0 is the sixteenth word.
    AT      pmpaddr0, words, 64
    FIRST   0x10
    SWEEP   load
    CHECK   s10, 1 << 15
    SWEEP   store
    CHECK   s10, 1 << 15
    SWEEP   execute
    CHECK   s10, 1 << 15
    # What may be read and executed may not be written.
    FIRST   0x15
    SWEEP   load
    CHECK   s10, 0
    SWEEP   store
    CHECK   s10, 1 << 15
    SWEEP   execute
    CHECK   s10, 0
    # NAPOT of 8, 16 and 32 bytes.
    .irp    ones, 0, 1, 3
    la      a5, words + 64
    srli    a5, a5, 2
    ori     a5, a5, \ones
    csrw    pmpaddr0, a5
    FIRST   0x18
    SWEEP   load
    CHECK   s10, ((1 << (2 * \ones + 2)) - 1) << (16 - (2 * \ones + 2))
    SWEEP   execute
    CHECK   s10, ((1 << (2 * \ones + 2)) - 1) << (16 - (2 * \ones + 2))
    .endr
    # TOR from the second word to the fifth, and the empty one.
    AT      pmpaddr0, words, 4
    AT      pmpaddr1, words, 20
    FIRST   0x0800
    SWEEP   load
    CHECK   s10, 0x78000000
    AT      pmpaddr1, words, 4
    FIRST   0x0800
    SWEEP   load
    CHECK   s10, 0
    # The lowest entry counts: a word of TOR's that NA4 opens again.
    AT      pmpaddr0, words, 4
    AT      pmpaddr1, words, 20
    FIRST   0x0817
    SWEEP   store
    CHECK   s10, 0x38000000

    # Across an edge no access goes, though each side may be read: in S-mode and in M-mode.
    AT      pmpaddr0, words, 64
    FIRST   0x11
    la      a2, words + 64
    RUN     S, load_double
    CHECK   s6, CAUSE_LOAD_ACCESS
    CHECKR  s7, a2
    la      s11, 3f
    ld      a0, 0(a2)
    tail    fail
    .balign 4
3:  li      s11, 0
    CHECK   s6, CAUSE_LOAD_ACCESS
    CHECKR  s7, a2
    addi    a2, a2, -8
    RUN     S, load_double
    CHECK   s6, CAUSE_SUPERVISOR_ECALL

    # A locked word binds M-mode.
    AT      pmpaddr0, words, 8
    FIRST   0x91
    la      a2, words + 4
    sw      zero, 0(a2)
    sw      zero, 8(a2)
    la      s11, 3f
    sw      zero, 4(a2)
    tail    fail
    .balign 4
3:  li      s11, 0
    CHECK   s6, CAUSE_STORE_ACCESS
    CHECKA  s7, words + 8
    END

    .text
    .balign 4
load:
    lw      a0, 0(a2)
    ecall
store:
    sw      a4, 0(a2)
    ecall
load_double:
    ld      a0, 0(a2)
    ecall
execute:
    jr      a2

    # Words that are instructions, too; a4 holds the same one.
    .section .text.words, "ax"
    .balign 4096
words:
    .rept   64
    ecall
    .endr
    .balign 4096
