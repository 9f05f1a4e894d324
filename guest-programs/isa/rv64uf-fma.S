# Fused multiply-add of single precision: one rounding, and an invalid product of infinity and zero
# whatever is added.
#include "suite.h"
#include "float.h"
    BEGIN

    .macro FMADD column
    ROW     \column, 0x3f800000, 0x40000000, 0x40400000,  0xffffffff40a00000, 0,     0xffffffff40a00000, 0,     0xffffffff40a00000, 0,     0xffffffff40a00000, 0,     0xffffffff40a00000, 0
    ROW     \column, 0x3f800001, 0x3f800001, 0xbf800000,  0xffffffff34800000, 0x1,   0xffffffff34800000, 0x1,   0xffffffff34800000, 0x1,   0xffffffff34800001, 0x1,   0xffffffff34800001, 0x1
    ROW     \column, 0x3eaaaaab, 0x40400000, 0xbf800000,  0xffffffff33000000, 0,     0xffffffff33000000, 0,     0xffffffff33000000, 0,     0xffffffff33000000, 0,     0xffffffff33000000, 0
    ROW     \column, 0x7f7fffff, 0x40000000, 0xff7fffff,  0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f7fffff, 0x7f7fffff, 0xff7fffff,  0xffffffff7f800000, 0x5,   0xffffffff7f7fffff, 0x5,   0xffffffff7f7fffff, 0x5,   0xffffffff7f800000, 0x5,   0xffffffff7f800000, 0x5
    ROW     \column, 0x1,        0x1,        0x3f800000,  0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800001, 0x1,   0xffffffff3f800000, 0x1
    ROW     \column, 0x1,        0x1,        0xbf800000,  0xffffffffbf800000, 0x1,   0xffffffffbf7fffff, 0x1,   0xffffffffbf800000, 0x1,   0xffffffffbf7fffff, 0x1,   0xffffffffbf800000, 0x1
    ROW     \column, 0x7f800000, 0,          0x7fc00005,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x7f800000, 0,          0x3f800000,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x7f800000, 0x3f800000, 0xff800000,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x3f800000, 0x7f800000, 0x7f800000,  0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0,          0x3f800000, 0x80000000,  0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x80000000, 0x3f800000, 0x80000000,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x3f800000, 0x3f800000, 0xbf800000,  0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x800000,   0x3eaaaaab, 0x1,         0xffffffff002aaaac, 0x3,   0xffffffff002aaaab, 0x3,   0xffffffff002aaaab, 0x3,   0xffffffff002aaaac, 0x3,   0xffffffff002aaaac, 0x3
    ROW     \column, 0x7f800001, 0x3f800000, 0x3f800000,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x3f800000, 0x40000000, 0x7fc00005,  0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0
    ROW     \column, 0x1,        0x3eaaaaab, 0,           0xffffffff00000000, 0x3,   0xffffffff00000000, 0x3,   0xffffffff00000000, 0x3,   0xffffffff00000001, 0x3,   0xffffffff00000000, 0x3
    ROW     \column, 0x3eaaaaab, 0x3eaaaaab, 0xff800000,  0xffffffffff800000, 0,     0xffffffffff800000, 0,     0xffffffffff800000, 0,     0xffffffffff800000, 0,     0xffffffffff800000, 0
    .endm

    ROUNDED FTABLE, s, FMADD, fmadd.s fa3, fa0, fa1, fa2

    .macro FMADD_KIN column
    ROW     \column, 0x3f800000, 0x40000000, 0x40400000, \
            0xffffffffbf800000, 0,     0xffffffffbf800000, 0,     0xffffffff3f800000, 0,     0xffffffff3f800000, 0,     0xffffffffc0a00000, 0,     0xffffffffc0a00000, 0
    ROW     \column, 0x3f800001, 0x3f800001, 0xbf800000, \
            0xffffffff40000001, 0x1,   0xffffffff40000002, 0x1,   0xffffffffc0000001, 0x1,   0xffffffffc0000001, 0x1,   0xffffffffb4800000, 0x1,   0xffffffffb4800000, 0x1
    ROW     \column, 0x3eaaaaab, 0x40400000, 0xbf800000, \
            0xffffffff40000000, 0x1,   0xffffffff40000001, 0x1,   0xffffffffc0000000, 0x1,   0xffffffffc0000000, 0x1,   0xffffffffb3000000, 0,     0xffffffffb3000000, 0
    ROW     \column, 0x7f7fffff, 0x40000000, 0xff7fffff, \
            0xffffffff7f800000, 0x5,   0xffffffff7f800000, 0x5,   0xffffffffff800000, 0x5,   0xffffffffff7fffff, 0x5,   0xffffffffff7fffff, 0,     0xffffffffff7fffff, 0
    ROW     \column, 0x7f7fffff, 0x7f7fffff, 0xff7fffff, \
            0xffffffff7f800000, 0x5,   0xffffffff7f800000, 0x5,   0xffffffffff800000, 0x5,   0xffffffffff7fffff, 0x5,   0xffffffffff800000, 0x5,   0xffffffffff7fffff, 0x5
    ROW     \column, 0x1,        0x1,        0x3f800000, \
            0xffffffffbf800000, 0x1,   0xffffffffbf7fffff, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffffbf800000, 0x1,   0xffffffffbf800000, 0x1
    ROW     \column, 0x1,        0x1,        0xbf800000, \
            0xffffffff3f800000, 0x1,   0xffffffff3f800001, 0x1,   0xffffffffbf800000, 0x1,   0xffffffffbf800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1
    ROW     \column, 0x7f800000, 0,          0x7fc00005, \
            0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x7f800000, 0,          0x3f800000, \
            0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x7f800000, 0x3f800000, 0xff800000, \
            0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffffff800000, 0,     0xffffffffff800000, 0,     0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x3f800000, 0x7f800000, 0x7f800000, \
            0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffffff800000, 0,     0xffffffffff800000, 0
    ROW     \column, 0,          0x3f800000, 0x80000000, \
            0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x80000000, 0x3f800000, 0x80000000, \
            0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x3f800000, 0x3f800000, 0xbf800000, \
            0xffffffff40000000, 0,     0xffffffff40000000, 0,     0xffffffffc0000000, 0,     0xffffffffc0000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x800000,   0x3eaaaaab, 0x1, \
            0xffffffff002aaaaa, 0x3,   0xffffffff002aaaaa, 0x3,   0xffffffff802aaaaa, 0x3,   0xffffffff802aaaa9, 0x3,   0xffffffff802aaaac, 0x3,   0xffffffff802aaaab, 0x3
    ROW     \column, 0x7f800001, 0x3f800000, 0x3f800000, \
            0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x3f800000, 0x40000000, 0x7fc00005, \
            0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0
    ROW     \column, 0x1,        0x3eaaaaab, 0, \
            0xffffffff00000000, 0x3,   0xffffffff00000001, 0x3,   0xffffffff80000000, 0x3,   0xffffffff80000000, 0x3,   0xffffffff80000000, 0x3,   0xffffffff80000000, 0x3
    ROW     \column, 0x3eaaaaab, 0x3eaaaaab, 0xff800000, \
            0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffffff800000, 0,     0xffffffffff800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    .endm

    COLUMN  FTABLE, s, FMADD_KIN, 0, fmsub.s fa3, fa0, fa1, fa2, rne
    COLUMN  FTABLE, s, FMADD_KIN, 1, fmsub.s fa3, fa0, fa1, fa2, rup
    COLUMN  FTABLE, s, FMADD_KIN, 2, fnmsub.s fa3, fa0, fa1, fa2, rne
    COLUMN  FTABLE, s, FMADD_KIN, 3, fnmsub.s fa3, fa0, fa1, fa2, rup
    COLUMN  FTABLE, s, FMADD_KIN, 4, fnmadd.s fa3, fa0, fa1, fa2, rne
    COLUMN  FTABLE, s, FMADD_KIN, 5, fnmadd.s fa3, fa0, fa1, fa2, rup

    END
