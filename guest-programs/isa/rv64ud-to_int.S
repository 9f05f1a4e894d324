# From double precision to integers: rounding, saturation, flags.
#include "suite.h"
#include "float.h"
    BEGIN

    .macro WORDS column
    ROW     \column, 0,                  0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x8000000000000000, 0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x7ff8000000000005, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x7ff0000000000001, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0xfff8000000000000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x7ff0000000000000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0xfff0000000000000, 0, 0,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10
    ROW     \column, 0x1,                0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0,                  0x1
    ROW     \column, 0x7fefffffffffffff, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0xffefffffffffffff, 0, 0,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10
    ROW     \column, 0x3fe0000000000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0x3ff8000000000000, 0, 0,  0x2,                0x1,   0x1,                0x1,   0x1,                0x1,   0x2,                0x1,   0x2,                0x1
    ROW     \column, 0x4004000000000000, 0, 0,  0x2,                0x1,   0x2,                0x1,   0x2,                0x1,   0x3,                0x1,   0x3,                0x1
    ROW     \column, 0xbfe0000000000000, 0, 0,  0,                  0x1,   0,                  0x1,   0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1
    ROW     \column, 0xbff8000000000000, 0, 0,  0xfffffffffffffffe, 0x1,   0xffffffffffffffff, 0x1,   0xfffffffffffffffe, 0x1,   0xffffffffffffffff, 0x1,   0xfffffffffffffffe, 0x1
    ROW     \column, 0xc004000000000000, 0, 0,  0xfffffffffffffffe, 0x1,   0xfffffffffffffffe, 0x1,   0xfffffffffffffffd, 0x1,   0xfffffffffffffffe, 0x1,   0xfffffffffffffffd, 0x1
    ROW     \column, 0x3feccccccccccccd, 0, 0,  0x1,                0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0xbfeccccccccccccd, 0, 0,  0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1
    ROW     \column, 0xbff0000000000000, 0, 0,  0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0
    ROW     \column, 0x41e0000000000000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x41dfffffffc00000, 0, 0,  0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0
    ROW     \column, 0xc1e0000000000000, 0, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0xc1e0000000200000, 0, 0,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10
    ROW     \column, 0x41f0000000000000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x41efffffffe00000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x43e0000000000000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0xc3e0000000000000, 0, 0,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10
    ROW     \column, 0x43f0000000000000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    ROW     \column, 0x43d0000000000000, 0, 0,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10,  0x7fffffff,         0x10
    .endm

    ROUNDED ITABLE, d, WORDS, fcvt.w.d a0, fa0

    .macro UNSIGNED_WORDS column
    ROW     \column, 0,                  0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x8000000000000000, 0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x7ff8000000000005, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x7ff0000000000001, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xfff8000000000000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x7ff0000000000000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xfff0000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x1,                0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0,                  0x1
    ROW     \column, 0x7fefffffffffffff, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xffefffffffffffff, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x3fe0000000000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0x3ff8000000000000, 0, 0,  0x2,                0x1,   0x1,                0x1,   0x1,                0x1,   0x2,                0x1,   0x2,                0x1
    ROW     \column, 0x4004000000000000, 0, 0,  0x2,                0x1,   0x2,                0x1,   0x2,                0x1,   0x3,                0x1,   0x3,                0x1
    ROW     \column, 0xbfe0000000000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x10,  0,                  0x1,   0,                  0x10
    ROW     \column, 0xbff8000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0xc004000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x3feccccccccccccd, 0, 0,  0x1,                0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0xbfeccccccccccccd, 0, 0,  0,                  0x10,  0,                  0x1,   0,                  0x10,  0,                  0x1,   0,                  0x10
    ROW     \column, 0xbff0000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x41e0000000000000, 0, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x41dfffffffc00000, 0, 0,  0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0
    ROW     \column, 0xc1e0000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0xc1e0000000200000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x41f0000000000000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x41efffffffe00000, 0, 0,  0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0
    ROW     \column, 0x43e0000000000000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xc3e0000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x43f0000000000000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x43d0000000000000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    .endm

    ROUNDED ITABLE, d, UNSIGNED_WORDS, fcvt.wu.d a0, fa0

    .macro LONGS column
    ROW     \column, 0,                  0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x8000000000000000, 0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x7ff8000000000005, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0x7ff0000000000001, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0xfff8000000000000, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0x7ff0000000000000, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0xfff0000000000000, 0, 0,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10
    ROW     \column, 0x1,                0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0,                  0x1
    ROW     \column, 0x7fefffffffffffff, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0xffefffffffffffff, 0, 0,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10,  0x8000000000000000, 0x10
    ROW     \column, 0x3fe0000000000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0x3ff8000000000000, 0, 0,  0x2,                0x1,   0x1,                0x1,   0x1,                0x1,   0x2,                0x1,   0x2,                0x1
    ROW     \column, 0x4004000000000000, 0, 0,  0x2,                0x1,   0x2,                0x1,   0x2,                0x1,   0x3,                0x1,   0x3,                0x1
    ROW     \column, 0xbfe0000000000000, 0, 0,  0,                  0x1,   0,                  0x1,   0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1
    ROW     \column, 0xbff8000000000000, 0, 0,  0xfffffffffffffffe, 0x1,   0xffffffffffffffff, 0x1,   0xfffffffffffffffe, 0x1,   0xffffffffffffffff, 0x1,   0xfffffffffffffffe, 0x1
    ROW     \column, 0xc004000000000000, 0, 0,  0xfffffffffffffffe, 0x1,   0xfffffffffffffffe, 0x1,   0xfffffffffffffffd, 0x1,   0xfffffffffffffffe, 0x1,   0xfffffffffffffffd, 0x1
    ROW     \column, 0x3feccccccccccccd, 0, 0,  0x1,                0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0xbfeccccccccccccd, 0, 0,  0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1,   0,                  0x1,   0xffffffffffffffff, 0x1
    ROW     \column, 0xbff0000000000000, 0, 0,  0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0,     0xffffffffffffffff, 0
    ROW     \column, 0x41e0000000000000, 0, 0,  0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0
    ROW     \column, 0x41dfffffffc00000, 0, 0,  0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0
    ROW     \column, 0xc1e0000000000000, 0, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0xc1e0000000200000, 0, 0,  0xffffffff7fffffff, 0,     0xffffffff7fffffff, 0,     0xffffffff7fffffff, 0,     0xffffffff7fffffff, 0,     0xffffffff7fffffff, 0
    ROW     \column, 0x41f0000000000000, 0, 0,  0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0
    ROW     \column, 0x41efffffffe00000, 0, 0,  0xffffffff,         0,     0xffffffff,         0,     0xffffffff,         0,     0xffffffff,         0,     0xffffffff,         0
    ROW     \column, 0x43e0000000000000, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0xc3e0000000000000, 0, 0,  0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0
    ROW     \column, 0x43f0000000000000, 0, 0,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10,  0x7fffffffffffffff, 0x10
    ROW     \column, 0x43d0000000000000, 0, 0,  0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0
    .endm

    ROUNDED ITABLE, d, LONGS, fcvt.l.d a0, fa0

    .macro UNSIGNED_LONGS column
    ROW     \column, 0,                  0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x8000000000000000, 0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x7ff8000000000005, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x7ff0000000000001, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xfff8000000000000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x7ff0000000000000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xfff0000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x1,                0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0,                  0x1
    ROW     \column, 0x7fefffffffffffff, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0xffefffffffffffff, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x3fe0000000000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0x3ff8000000000000, 0, 0,  0x2,                0x1,   0x1,                0x1,   0x1,                0x1,   0x2,                0x1,   0x2,                0x1
    ROW     \column, 0x4004000000000000, 0, 0,  0x2,                0x1,   0x2,                0x1,   0x2,                0x1,   0x3,                0x1,   0x3,                0x1
    ROW     \column, 0xbfe0000000000000, 0, 0,  0,                  0x1,   0,                  0x1,   0,                  0x10,  0,                  0x1,   0,                  0x10
    ROW     \column, 0xbff8000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0xc004000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x3feccccccccccccd, 0, 0,  0x1,                0x1,   0,                  0x1,   0,                  0x1,   0x1,                0x1,   0x1,                0x1
    ROW     \column, 0xbfeccccccccccccd, 0, 0,  0,                  0x10,  0,                  0x1,   0,                  0x10,  0,                  0x1,   0,                  0x10
    ROW     \column, 0xbff0000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x41e0000000000000, 0, 0,  0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0,     0x80000000,         0
    ROW     \column, 0x41dfffffffc00000, 0, 0,  0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0,     0x7fffffff,         0
    ROW     \column, 0xc1e0000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0xc1e0000000200000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x41f0000000000000, 0, 0,  0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0,     0x100000000,        0
    ROW     \column, 0x41efffffffe00000, 0, 0,  0xffffffff,         0,     0xffffffff,         0,     0xffffffff,         0,     0xffffffff,         0,     0xffffffff,         0
    ROW     \column, 0x43e0000000000000, 0, 0,  0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0
    ROW     \column, 0xc3e0000000000000, 0, 0,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10,  0,                  0x10
    ROW     \column, 0x43f0000000000000, 0, 0,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10,  0xffffffffffffffff, 0x10
    ROW     \column, 0x43d0000000000000, 0, 0,  0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0,     0x4000000000000000, 0
    .endm

    ROUNDED ITABLE, d, UNSIGNED_LONGS, fcvt.lu.d a0, fa0

    END
