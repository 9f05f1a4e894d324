# Addition and subtraction of single precision in every rounding mode, with their flags.
#include "suite.h"
#include "float.h"
    BEGIN

    .macro SUMS column
    ROW     \column, 0x3f800000, 0x40000000, 0,  0xffffffff40400000, 0,     0xffffffff40400000, 0,     0xffffffff40400000, 0,     0xffffffff40400000, 0,     0xffffffff40400000, 0
    ROW     \column, 0x3f800000, 0xbf800000, 0,  0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0,          0x80000000, 0,  0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x80000000, 0x80000000, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x3f800000, 0x33800000, 0,  0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800001, 0x1,   0xffffffff3f800001, 0x1
    ROW     \column, 0x3f800000, 0x34000000, 0,  0xffffffff3f800001, 0,     0xffffffff3f800001, 0,     0xffffffff3f800001, 0,     0xffffffff3f800001, 0,     0xffffffff3f800001, 0
    ROW     \column, 0x7f7fffff, 0x7f7fffff, 0,  0xffffffff7f800000, 0x5,   0xffffffff7f7fffff, 0x5,   0xffffffff7f7fffff, 0x5,   0xffffffff7f800000, 0x5,   0xffffffff7f800000, 0x5
    ROW     \column, 0xff7fffff, 0xff7fffff, 0,  0xffffffffff800000, 0x5,   0xffffffffff7fffff, 0x5,   0xffffffffff800000, 0x5,   0xffffffffff7fffff, 0x5,   0xffffffffff800000, 0x5
    ROW     \column, 0x800000,   0x1,        0,  0xffffffff00800001, 0,     0xffffffff00800001, 0,     0xffffffff00800001, 0,     0xffffffff00800001, 0,     0xffffffff00800001, 0
    ROW     \column, 0x1,        0x1,        0,  0xffffffff00000002, 0,     0xffffffff00000002, 0,     0xffffffff00000002, 0,     0xffffffff00000002, 0,     0xffffffff00000002, 0
    ROW     \column, 0x7f800000, 0xff800000, 0,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x7f800000, 0x3f800000, 0,  0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7fc00005, 0x3f800000, 0,  0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0
    ROW     \column, 0x3f800000, 0x7f800001, 0,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x3eaaaaab, 0x33800000, 0,  0xffffffff3eaaaaad, 0,     0xffffffff3eaaaaad, 0,     0xffffffff3eaaaaad, 0,     0xffffffff3eaaaaad, 0,     0xffffffff3eaaaaad, 0
    ROW     \column, 0xbf800000, 0x33800000, 0,  0xffffffffbf7fffff, 0,     0xffffffffbf7fffff, 0,     0xffffffffbf7fffff, 0,     0xffffffffbf7fffff, 0,     0xffffffffbf7fffff, 0
    .endm

    ROUNDED FTABLE, s, SUMS, fadd.s fa3, fa0, fa1

    .macro DIFFERENCES column
    ROW     \column, 0x3f800000, 0x40000000, 0,  0xffffffffbf800000, 0,     0xffffffffbf800000, 0,     0xffffffffbf800000, 0
    ROW     \column, 0x3f800000, 0xbf800000, 0,  0xffffffff40000000, 0,     0xffffffff40000000, 0,     0xffffffff40000000, 0
    ROW     \column, 0,          0x80000000, 0,  0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x80000000, 0x80000000, 0,  0xffffffff00000000, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x3f800000, 0x33800000, 0,  0xffffffff3f7fffff, 0,     0xffffffff3f7fffff, 0,     0xffffffff3f7fffff, 0
    ROW     \column, 0x3f800000, 0x34000000, 0,  0xffffffff3f7ffffe, 0,     0xffffffff3f7ffffe, 0,     0xffffffff3f7ffffe, 0
    ROW     \column, 0x7f7fffff, 0x7f7fffff, 0,  0xffffffff00000000, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0xff7fffff, 0xff7fffff, 0,  0xffffffff00000000, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x800000,   0x1,        0,  0xffffffff007fffff, 0,     0xffffffff007fffff, 0,     0xffffffff007fffff, 0
    ROW     \column, 0x1,        0x1,        0,  0xffffffff00000000, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x7f800000, 0xff800000, 0,  0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f800000, 0x3f800000, 0,  0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7fc00005, 0x3f800000, 0,  0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0
    ROW     \column, 0x3f800000, 0x7f800001, 0,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x3eaaaaab, 0x33800000, 0,  0xffffffff3eaaaaa9, 0,     0xffffffff3eaaaaa9, 0,     0xffffffff3eaaaaa9, 0
    ROW     \column, 0xbf800000, 0x33800000, 0,  0xffffffffbf800000, 0x1,   0xffffffffbf800001, 0x1,   0xffffffffbf800001, 0x1
    ROW     \column, 0x3f800000, 0x3f800000, 0,  0xffffffff00000000, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x7f800000, 0x7f800000, 0,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    .endm

    COLUMN  FTABLE, s, DIFFERENCES, 0, fsub.s fa3, fa0, fa1, rne
    COLUMN  FTABLE, s, DIFFERENCES, 1, fsub.s fa3, fa0, fa1, rdn
    COLUMN  FTABLE, s, DIFFERENCES, 2, fsub.s fa3, fa0, fa1, rmm

    END
