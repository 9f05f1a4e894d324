# From single precision to integers: rounding, saturation, flags.
#include "suite.h"
#include "float.h"
    BEGIN

    .macro WORDS column
    ROW     \column, 0,          0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x80000000, 0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x7fc00005, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x7f800001, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0xffc00000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x7f800000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0xff800000, 0, 0,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10
    ROW     \column, 0x1,        0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0,                  0x1
    ROW     \column, 0x7f7fffff, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0xff7fffff, 0, 0,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10
    ROW     \column, 0x3f000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0x3fc00000, 0, 0,  0x2,                0x1,   0x1,                0x1,   0x1,                0x1,   0x2,                0x1,   0x2,                0x1
    ROW     \column, 0x40200000, 0, 0,  0x2,                0x1,   0x2,                0x1,   0x2,                0x1,   0x3,                0x1,   0x3,                0x1
    ROW     \column, 0xbf000000, 0, 0,  0,                  0x1,   0,                  0x1,   0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1
    ROW     \column, 0xbfc00000, 0, 0,  0xfffffffffffffffe, 0x1,   0xffffffffffffffff, 0x1,   0xfffffffffffffffe, 0x1,   0xffffffffffffffff, 0x1,   0xfffffffffffffffe, 0x1
    ROW     \column, 0xc0200000, 0, 0,  0xfffffffffffffffe, 0x1,   0xfffffffffffffffe, 0x1,   0xfffffffffffffffd, 0x1,   0xfffffffffffffffe, 0x1,   0xfffffffffffffffd, 0x1
    ROW     \column, 0x3f666666, 0, 0,  0x1,                0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0xbf666666, 0, 0,  0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1
    ROW     \column, 0xbf800000, 0, 0,  0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0
    ROW     \column, 0x4f000000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x4f000000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0xcf000000, 0, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0xcf000000, 0, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x4f800000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x4f800000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x5f000000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0xdf000000, 0, 0,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10
    ROW     \column, 0x5f800000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x5e800000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    .endm

    ROUNDED ITABLE, s, WORDS, fcvt.w.s a0, fa0

    .macro UNSIGNED_WORDS column
    ROW     \column, 0,          0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x80000000, 0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x7fc00005, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x7f800001, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xffc00000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x7f800000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xff800000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x1,        0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0,                  0x1
    ROW     \column, 0x7f7fffff, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xff7fffff, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x3f000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0x3fc00000, 0, 0,  0x2,                0x1,   0x1,                0x1,   0x1,                0x1,   0x2,                0x1,   0x2,                0x1
    ROW     \column, 0x40200000, 0, 0,  0x2,                0x1,   0x2,                0x1,   0x2,                0x1,   0x3,                0x1,   0x3,                0x1
    ROW     \column, 0xbf000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x10,  0,                  0x1,   0,                  0x10
    ROW     \column, 0xbfc00000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0xc0200000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x3f666666, 0, 0,  0x1,                0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0xbf666666, 0, 0,  0,                  0x10,  0,                  0x1,   0,                  0x10,  0,                  0x1,   0,                  0x10
    ROW     \column, 0xbf800000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x4f000000, 0, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x4f000000, 0, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0xcf000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0xcf000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x4f800000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x4f800000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x5f000000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xdf000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x5f800000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x5e800000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    .endm

    ROUNDED ITABLE, s, UNSIGNED_WORDS, fcvt.wu.s a0, fa0

    .macro LONGS column
    ROW     \column, 0,          0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x80000000, 0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x7fc00005, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0x7f800001, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0xffc00000, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0x7f800000, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0xff800000, 0, 0,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10
    ROW     \column, 0x1,        0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0,                  0x1
    ROW     \column, 0x7f7fffff, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0xff7fffff, 0, 0,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10
    ROW     \column, 0x3f000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0x3fc00000, 0, 0,  0x2,                0x1,   0x1,                0x1,   0x1,                0x1,   0x2,                0x1,   0x2,                0x1
    ROW     \column, 0x40200000, 0, 0,  0x2,                0x1,   0x2,                0x1,   0x2,                0x1,   0x3,                0x1,   0x3,                0x1
    ROW     \column, 0xbf000000, 0, 0,  0,                  0x1,   0,                  0x1,   0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1
    ROW     \column, 0xbfc00000, 0, 0,  0xfffffffffffffffe, 0x1,   0xffffffffffffffff, 0x1,   0xfffffffffffffffe, 0x1,   0xffffffffffffffff, 0x1,   0xfffffffffffffffe, 0x1
    ROW     \column, 0xc0200000, 0, 0,  0xfffffffffffffffe, 0x1,   0xfffffffffffffffe, 0x1,   0xfffffffffffffffd, 0x1,   0xfffffffffffffffe, 0x1,   0xfffffffffffffffd, 0x1
    ROW     \column, 0x3f666666, 0, 0,  0x1,                0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0xbf666666, 0, 0,  0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1
    ROW     \column, 0xbf800000, 0, 0,  0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0
    ROW     \column, 0x4f000000, 0, 0,  0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0
    ROW     \column, 0x4f000000, 0, 0,  0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0
    ROW     \column, 0xcf000000, 0, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0xcf000000, 0, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x4f800000, 0, 0,  0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0
    ROW     \column, 0x4f800000, 0, 0,  0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0
    ROW     \column, 0x5f000000, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0xdf000000, 0, 0,  0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0
    ROW     \column, 0x5f800000, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0x5e800000, 0, 0,  0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0
    .endm

    ROUNDED ITABLE, s, LONGS, fcvt.l.s a0, fa0

    .macro UNSIGNED_LONGS column
    ROW     \column, 0,          0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x80000000, 0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x7fc00005, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x7f800001, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xffc00000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x7f800000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xff800000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x1,        0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0,                  0x1
    ROW     \column, 0x7f7fffff, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xff7fffff, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x3f000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0x3fc00000, 0, 0,  0x2,                0x1,   0x1,                0x1,   0x1,                0x1,   0x2,                0x1,   0x2,                0x1
    ROW     \column, 0x40200000, 0, 0,  0x2,                0x1,   0x2,                0x1,   0x2,                0x1,   0x3,                0x1,   0x3,                0x1
    ROW     \column, 0xbf000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x10,  0,                  0x1,   0,                  0x10
    ROW     \column, 0xbfc00000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0xc0200000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x3f666666, 0, 0,  0x1,                0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0xbf666666, 0, 0,  0,                  0x10,  0,                  0x1,   0,                  0x10,  0,                  0x1,   0,                  0x10
    ROW     \column, 0xbf800000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x4f000000, 0, 0,  0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0
    ROW     \column, 0x4f000000, 0, 0,  0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0
    ROW     \column, 0xcf000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0xcf000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x4f800000, 0, 0,  0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0
    ROW     \column, 0x4f800000, 0, 0,  0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0
    ROW     \column, 0x5f000000, 0, 0,  0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0
    ROW     \column, 0xdf000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x5f800000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x5e800000, 0, 0,  0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0
    .endm

    ROUNDED ITABLE, s, UNSIGNED_LONGS, fcvt.lu.s a0, fa0

    END
