/*
 * Tables of floating-point operations. A row is the operands, the result and the flags:
 *     FTABLE d, fadd.d fa3, fa0, fa1, rne
 *     .dword  first, second, third, result, flags
 *     DONE
 * The operands are in fa0, fa1, fa2 (as \fmt), the first in a2 too. FTABLE looks at all 64 bits of fa3,
 * ITABLE at a0. The expected values come from exact rational arithmetic, not from another machine.
 *
 * Where several tables have the same operands, one macro has their rows: the operands, then
 * result and flags of each table. COLUMN makes the table of one column; ROUNDED one for each rounding
 * mode, from five columns.
 *     .macro SUMS column
 *     ROW     \column, first, second, third,  rne, flags,  rtz, flags,  rdn, flags,  rup, flags,  rmm, flags
 *     .endm
 *     ROUNDED FTABLE, d, SUMS, fadd.d fa3, fa0, fa1
 */
    .macro ROW_LOAD fmt
    .ifc \fmt, s
    flw     fa0, 0(s2)
    flw     fa1, 8(s2)
    flw     fa2, 16(s2)
    .else
    fld     fa0, 0(s2)
    fld     fa1, 8(s2)
    fld     fa2, 16(s2)
    .endif
    ld      a2, 0(s2)
    ld      s4, 24(s2)
    ld      s5, 32(s2)
    csrw    fflags, zero
    .endm

    .macro FTABLE fmt, insn:vararg
    la      s2, 8f
    la      s3, 9f
1:  ROW_LOAD \fmt
    \insn
    fmv.x.d a0, fa3
    frflags a1
    CHECKR  a0, s4
    CHECKR  a1, s5
    addi    s2, s2, 40
    bne     s2, s3, 1b
    .pushsection .rodata
    .balign 8
8:
    .endm

    .macro ITABLE fmt, insn:vararg
    la      s2, 8f
    la      s3, 9f
1:  ROW_LOAD \fmt
    \insn
    frflags a1
    CHECKR  a0, s4
    CHECKR  a1, s5
    addi    s2, s2, 40
    bne     s2, s3, 1b
    .pushsection .rodata
    .balign 8
8:
    .endm

    .macro ROW column, first, second, third, r0, f0, r1, f1, r2, f2, r3, f3, r4, f4, r5, f5
    .dword  \first, \second, \third
    .if \column == 0
    .dword  \r0, \f0
    .elseif \column == 1
    .dword  \r1, \f1
    .elseif \column == 2
    .dword  \r2, \f2
    .elseif \column == 3
    .dword  \r3, \f3
    .elseif \column == 4
    .dword  \r4, \f4
    .else
    .dword  \r5, \f5
    .endif
    .endm

    .macro COLUMN table, fmt, rows, column, insn:vararg
    \table  \fmt, \insn
    \rows   \column
    DONE
    .endm

    .macro ROUNDED table, fmt, rows, insn:vararg
    COLUMN  \table, \fmt, \rows, 0, \insn, rne
    COLUMN  \table, \fmt, \rows, 1, \insn, rtz
    COLUMN  \table, \fmt, \rows, 2, \insn, rdn
    COLUMN  \table, \fmt, \rows, 3, \insn, rup
    COLUMN  \table, \fmt, \rows, 4, \insn, rmm
    .endm
