# Addition and subtraction of double precision in every rounding mode, with their flags.
#include "suite.h"
#include "float.h"
    BEGIN

    .macro SUMS column
    ROW     \column, 0x3ff0000000000000, 0x4000000000000000, 0,  0x4008000000000000, 0,     0x4008000000000000, 0,     0x4008000000000000, 0,     0x4008000000000000, 0,     0x4008000000000000, 0
    ROW     \column, 0x3ff0000000000000, 0xbff0000000000000, 0,  0,                  0,     0,                  0,     0x8000000000000000, 0,     0,                  0,     0,                  0
    ROW     \column, 0,                  0x8000000000000000, 0,  0,                  0,     0,                  0,     0x8000000000000000, 0,     0,                  0,     0,                  0
    ROW     \column, 0x8000000000000000, 0x8000000000000000, 0,  0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0
    ROW     \column, 0x3ff0000000000000, 0x3ca0000000000000, 0,  0x3ff0000000000000, 0x1,   0x3ff0000000000000, 0x1,   0x3ff0000000000000, 0x1,   0x3ff0000000000001, 0x1,   0x3ff0000000000001, 0x1
    ROW     \column, 0x3ff0000000000000, 0x3cb0000000000000, 0,  0x3ff0000000000001, 0,     0x3ff0000000000001, 0,     0x3ff0000000000001, 0,     0x3ff0000000000001, 0,     0x3ff0000000000001, 0
    ROW     \column, 0x7fefffffffffffff, 0x7fefffffffffffff, 0,  0x7ff0000000000000, 0x5,   0x7fefffffffffffff, 0x5,   0x7fefffffffffffff, 0x5,   0x7ff0000000000000, 0x5,   0x7ff0000000000000, 0x5
    ROW     \column, 0xffefffffffffffff, 0xffefffffffffffff, 0,  0xfff0000000000000, 0x5,   0xffefffffffffffff, 0x5,   0xfff0000000000000, 0x5,   0xffefffffffffffff, 0x5,   0xfff0000000000000, 0x5
    ROW     \column, 0x10000000000000,   0x1,                0,  0x10000000000001,   0,     0x10000000000001,   0,     0x10000000000001,   0,     0x10000000000001,   0,     0x10000000000001,   0
    ROW     \column, 0x1,                0x1,                0,  0x2,                0,     0x2,                0,     0x2,                0,     0x2,                0,     0x2,                0
    ROW     \column, 0x7ff0000000000000, 0xfff0000000000000, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0x7ff0000000000000, 0x3ff0000000000000, 0,  0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0
    ROW     \column, 0x7ff8000000000005, 0x3ff0000000000000, 0,  0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0
    ROW     \column, 0x3ff0000000000000, 0x7ff0000000000001, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0x3fd5555555555555, 0x3ca0000000000000, 0,  0x3fd5555555555557, 0,     0x3fd5555555555557, 0,     0x3fd5555555555557, 0,     0x3fd5555555555557, 0,     0x3fd5555555555557, 0
    ROW     \column, 0xbff0000000000000, 0x3ca0000000000000, 0,  0xbfefffffffffffff, 0,     0xbfefffffffffffff, 0,     0xbfefffffffffffff, 0,     0xbfefffffffffffff, 0,     0xbfefffffffffffff, 0
    .endm

    ROUNDED FTABLE, d, SUMS, fadd.d fa3, fa0, fa1

    .macro DIFFERENCES column
    ROW     \column, 0x3ff0000000000000, 0x4000000000000000, 0,  0xbff0000000000000, 0,     0xbff0000000000000, 0,     0xbff0000000000000, 0
    ROW     \column, 0x3ff0000000000000, 0xbff0000000000000, 0,  0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0
    ROW     \column, 0,                  0x8000000000000000, 0,  0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x8000000000000000, 0x8000000000000000, 0,  0,                  0,     0x8000000000000000, 0,     0,                  0
    ROW     \column, 0x3ff0000000000000, 0x3ca0000000000000, 0,  0x3fefffffffffffff, 0,     0x3fefffffffffffff, 0,     0x3fefffffffffffff, 0
    ROW     \column, 0x3ff0000000000000, 0x3cb0000000000000, 0,  0x3feffffffffffffe, 0,     0x3feffffffffffffe, 0,     0x3feffffffffffffe, 0
    ROW     \column, 0x7fefffffffffffff, 0x7fefffffffffffff, 0,  0,                  0,     0x8000000000000000, 0,     0,                  0
    ROW     \column, 0xffefffffffffffff, 0xffefffffffffffff, 0,  0,                  0,     0x8000000000000000, 0,     0,                  0
    ROW     \column, 0x10000000000000,   0x1,                0,  0xfffffffffffff,    0,     0xfffffffffffff,    0,     0xfffffffffffff,    0
    ROW     \column, 0x1,                0x1,                0,  0,                  0,     0x8000000000000000, 0,     0,                  0
    ROW     \column, 0x7ff0000000000000, 0xfff0000000000000, 0,  0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0
    ROW     \column, 0x7ff0000000000000, 0x3ff0000000000000, 0,  0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0
    ROW     \column, 0x7ff8000000000005, 0x3ff0000000000000, 0,  0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0
    ROW     \column, 0x3ff0000000000000, 0x7ff0000000000001, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0x3fd5555555555555, 0x3ca0000000000000, 0,  0x3fd5555555555553, 0,     0x3fd5555555555553, 0,     0x3fd5555555555553, 0
    ROW     \column, 0xbff0000000000000, 0x3ca0000000000000, 0,  0xbff0000000000000, 0x1,   0xbff0000000000001, 0x1,   0xbff0000000000001, 0x1
    ROW     \column, 0x3ff0000000000000, 0x3ff0000000000000, 0,  0,                  0,     0x8000000000000000, 0,     0,                  0
    ROW     \column, 0x7ff0000000000000, 0x7ff0000000000000, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    .endm

    COLUMN  FTABLE, d, DIFFERENCES, 0, fsub.d fa3, fa0, fa1, rne
    COLUMN  FTABLE, d, DIFFERENCES, 1, fsub.d fa3, fa0, fa1, rdn
    COLUMN  FTABLE, d, DIFFERENCES, 2, fsub.d fa3, fa0, fa1, rmm

    END
