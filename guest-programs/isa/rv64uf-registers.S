# Moves, loads and stores, NaN boxing, fcsr with its parts, rounding modes, mstatus.FS.
#include "suite.h"

    # FS is \value.
    .macro FS_IS value
    csrr    a5, mstatus
    srli    a5, a5, 13
    andi    a5, a5, 3
    CHECK   a5, \value
    .endm

    .macro SET_FS value
    li      a5, MSTATUS_FS
    csrc    mstatus, a5
    li      a5, \value << 13
    csrs    mstatus, a5
    .endm

    BEGIN
    # Moves are bit for bit; a single is boxed on the way in, its low word extended on the way out.
    li      a0, 0x7ff4dead80000001
    fmv.d.x fa0, a0
    fmv.x.d a1, fa0
    CHECK   a1, 0x7ff4dead80000001
    fmv.x.w a1, fa0
    CHECK   a1, 0xffffffff80000001
    fmv.w.x fa1, a0
    fmv.x.d a1, fa1
    CHECK   a1, 0xffffffff80000001

    # A single that is not boxed is the canonical NaN to arithmetic, signs, comparisons and classes;
    # moves and stores take its low word.
    li      a0, 0x3f800000
    fmv.d.x fa0, a0
    fmv.w.x fa1, a0
    fadd.s  fa2, fa0, fa1
    fmv.x.d a1, fa2
    CHECK   a1, 0xffffffff7fc00000
    fsgnj.s fa2, fa0, fa0
    fmv.x.d a1, fa2
    CHECK   a1, 0xffffffff7fc00000
    fsgnjn.s fa2, fa1, fa0
    fmv.x.d a1, fa2
    CHECK   a1, 0xffffffffbf800000
    feq.s   a1, fa0, fa0
    CHECK   a1, 0
    fclass.s a1, fa0
    CHECK   a1, 1 << 9
    fmin.s  fa2, fa0, fa1
    fmv.x.d a1, fa2
    CHECK   a1, 0xffffffff3f800000
    fcvt.d.s fa2, fa0
    fmv.x.d a1, fa2
    CHECK   a1, 0x7ff8000000000000
    la      a2, room
    fsw     fa0, 0(a2)
    lw      a1, 0(a2)
    CHECK   a1, 0x3f800000
    flw     fa3, 0(a2)
    fmv.x.d a1, fa3
    CHECK   a1, 0xffffffff3f800000
    fsd     fa3, 8(a2)
    fld     fa4, 8(a2)
    fmv.x.d a1, fa4
    CHECK   a1, 0xffffffff3f800000
    # Misaligned.
    li      a0, 0x0123456789abcdef
    fmv.d.x fa0, a0
    fsd     fa0, 3(a2)
    fld     fa1, 3(a2)
    fmv.x.d a1, fa1
    CHECK   a1, 0x0123456789abcdef
    fsw     fa0, 17(a2)
    flw     fa1, 17(a2)
    fmv.x.d a1, fa1
    CHECK   a1, 0xffffffff89abcdef

    # f31 is a register like any other.
    fmv.d.x f31, a0
    fmv.d   f0, f31
    fmv.x.d a1, f0
    CHECK   a1, 0x0123456789abcdef

    # fcsr and its windows; what is not there reads 0.
    li      a0, -1
    csrw    fcsr, a0
    csrr    a1, fcsr
    CHECK   a1, 0xff
    csrr    a1, fflags
    CHECK   a1, 0x1f
    csrr    a1, frm
    CHECK   a1, 7
    fsrmi   a1, 2
    CHECK   a1, 7
    csrr    a1, fcsr
    CHECK   a1, 0x5f
    fsflagsi a1, 5
    CHECK   a1, 0x1f
    csrr    a1, fcsr
    CHECK   a1, 0x45
    csrw    fcsr, zero

    # Flags stay until they are cleared.
    li      a0, 0x3f800000
    fmv.w.x fa0, a0
    fmv.w.x fa1, zero
    fdiv.s  fa2, fa0, fa1
    fadd.s  fa2, fa0, fa0
    frflags a1
    CHECK   a1, 8

    # Dynamic rounding follows frm; a reserved frm makes what uses it illegal, and nothing else.
    li      a0, 0x40200000          # 2.5
    fmv.w.x fa0, a0
    .macro ROUNDED frm, result
    fsrmi   \frm
    fcvt.w.s a1, fa0, dyn
    CHECK   a1, \result
    .endm
    ROUNDED 0, 2
    ROUNDED 1, 2
    ROUNDED 2, 2
    ROUNDED 3, 3
    ROUNDED 4, 3
    .irp    frm, 5, 6, 7
    fsrmi   \frm
    TRAP    CAUSE_ILLEGAL, 0xc00575d3, .word 0xc00575d3     # fcvt.w.s a1, fa0, dyn
    TRAP    CAUSE_ILLEGAL, 0x00a57653, .word 0x00a57653     # fadd.s fa2, fa0, fa0, dyn
    fcvt.w.s a1, fa0, rtz
    CHECK   a1, 2
    fsgnj.s fa2, fa0, fa0
    feq.s   a1, fa2, fa0
    CHECK   a1, 1
    .endr
    fsrmi   0
    # Static modes 5 and 6 are reserved; so are third formats and stray fields.
    ILLEGAL 0x00a55653
    ILLEGAL 0x00a56653
    ILLEGAL 0xc00555d3
    ILLEGAL 0x04a57653              # half precision
    ILLEGAL 0x06a57653              # quadruple
    ILLEGAL 0x58157653              # fsqrt.s with a second source
    ILLEGAL 0x40057653              # fcvt.s.s
    ILLEGAL 0xc04575d3              # fcvt to nothing
    ILLEGAL 0xe0a505d3              # fmv.x.w with a second source
    ILLEGAL 0xe00525d3

    # FS: off, everything is illegal; else dirty as soon as something changes.
    SET_FS  0
    FS_IS   0
    TRAP    CAUSE_ILLEGAL, 0x00a57653, .word 0x00a57653     # fadd.s
    TRAP    CAUSE_ILLEGAL, 0x00062507, .word 0x00062507     # flw fa0, 0(a2)
    TRAP    CAUSE_ILLEGAL, 0x00a62027, .word 0x00a62027     # fsw fa0, 0(a2)
    TRAP    CAUSE_ILLEGAL, 0x003025f3, .word 0x003025f3     # csrr a1, fcsr
    TRAP    CAUSE_ILLEGAL, 0xe00505d3, .word 0xe00505d3     # fmv.x.w a1, fa0
    ILLEGAL16 0x2208                # c.fld fa0, 0(a2)
    FS_IS   0
    csrr    a1, mstatus
    srli    a1, a1, 63
    CHECK   a1, 0
    SET_FS  1
    fmv.x.d a1, fa0
    csrr    a1, fcsr
    fsw     fa0, 0(a2)
    FS_IS   1
    fmv.d   fa1, fa0
    FS_IS   3
    csrr    a1, mstatus
    srli    a1, a1, 63
    CHECK   a1, 1
    SET_FS  2
    flw     fa0, 0(a2)
    FS_IS   3
    SET_FS  2
    csrwi   fflags, 0
    FS_IS   3
    SET_FS  1
    fld     fa0, 0(a2)
    FS_IS   3
    END

    .bss
    .balign 64
room:
    .skip   64
