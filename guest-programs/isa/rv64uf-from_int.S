# From integers to single precision.
#include "suite.h"
#include "float.h"
    BEGIN

    .macro WORDS column
    ROW     \column, 0,                  0, 0,  0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0
    ROW     \column, 0x1,                0, 0,  0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0
    ROW     \column, 0xffffffffffffffff, 0, 0,  0xffffffffbf800000, 0,    0xffffffffbf800000, 0,    0xffffffffbf800000, 0,    0xffffffffbf800000, 0,    0xffffffffbf800000, 0
    ROW     \column, 0x7fffffff,         0, 0,  0xffffffff4f000000, 0x1,  0xffffffff4effffff, 0x1,  0xffffffff4effffff, 0x1,  0xffffffff4f000000, 0x1,  0xffffffff4f000000, 0x1
    ROW     \column, 0x80000000,         0, 0,  0xffffffffcf000000, 0,    0xffffffffcf000000, 0,    0xffffffffcf000000, 0,    0xffffffffcf000000, 0,    0xffffffffcf000000, 0
    ROW     \column, 0xffffffff80000000, 0, 0,  0xffffffffcf000000, 0,    0xffffffffcf000000, 0,    0xffffffffcf000000, 0,    0xffffffffcf000000, 0,    0xffffffffcf000000, 0
    ROW     \column, 0x7fffffffffffffff, 0, 0,  0xffffffffbf800000, 0,    0xffffffffbf800000, 0,    0xffffffffbf800000, 0,    0xffffffffbf800000, 0,    0xffffffffbf800000, 0
    ROW     \column, 0x8000000000000000, 0, 0,  0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0
    ROW     \column, 0x1000001,          0, 0,  0xffffffff4b800000, 0x1,  0xffffffff4b800000, 0x1,  0xffffffff4b800000, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800001, 0x1
    ROW     \column, 0x1000003,          0, 0,  0xffffffff4b800002, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800002, 0x1,  0xffffffff4b800002, 0x1
    ROW     \column, 0xfffffffffeffffff, 0, 0,  0xffffffffcb800000, 0x1,  0xffffffffcb800000, 0x1,  0xffffffffcb800001, 0x1,  0xffffffffcb800000, 0x1,  0xffffffffcb800001, 0x1
    ROW     \column, 0x20000000000001,   0, 0,  0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0
    ROW     \column, 0x20000000000003,   0, 0,  0xffffffff40400000, 0,    0xffffffff40400000, 0,    0xffffffff40400000, 0,    0xffffffff40400000, 0,    0xffffffff40400000, 0
    ROW     \column, 0x7ffffffffffffdff, 0, 0,  0xffffffffc4004000, 0,    0xffffffffc4004000, 0,    0xffffffffc4004000, 0,    0xffffffffc4004000, 0,    0xffffffffc4004000, 0
    ROW     \column, 0xfffffffffffffc00, 0, 0,  0xffffffffc4800000, 0,    0xffffffffc4800000, 0,    0xffffffffc4800000, 0,    0xffffffffc4800000, 0,    0xffffffffc4800000, 0
    ROW     \column, 0x123456789abcdef,  0, 0,  0xffffffffceeca864, 0x1,  0xffffffffceeca864, 0x1,  0xffffffffceeca865, 0x1,  0xffffffffceeca864, 0x1,  0xffffffffceeca864, 0x1
    .endm

    ROUNDED FTABLE, s, WORDS, fcvt.s.w fa3, a2

    .macro UNSIGNED_WORDS column
    ROW     \column, 0,                  0, 0,  0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0
    ROW     \column, 0x1,                0, 0,  0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0
    ROW     \column, 0xffffffffffffffff, 0, 0,  0xffffffff4f800000, 0x1,  0xffffffff4f7fffff, 0x1,  0xffffffff4f7fffff, 0x1,  0xffffffff4f800000, 0x1,  0xffffffff4f800000, 0x1
    ROW     \column, 0x7fffffff,         0, 0,  0xffffffff4f000000, 0x1,  0xffffffff4effffff, 0x1,  0xffffffff4effffff, 0x1,  0xffffffff4f000000, 0x1,  0xffffffff4f000000, 0x1
    ROW     \column, 0x80000000,         0, 0,  0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0
    ROW     \column, 0xffffffff80000000, 0, 0,  0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0
    ROW     \column, 0x7fffffffffffffff, 0, 0,  0xffffffff4f800000, 0x1,  0xffffffff4f7fffff, 0x1,  0xffffffff4f7fffff, 0x1,  0xffffffff4f800000, 0x1,  0xffffffff4f800000, 0x1
    ROW     \column, 0x8000000000000000, 0, 0,  0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0
    ROW     \column, 0x1000001,          0, 0,  0xffffffff4b800000, 0x1,  0xffffffff4b800000, 0x1,  0xffffffff4b800000, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800001, 0x1
    ROW     \column, 0x1000003,          0, 0,  0xffffffff4b800002, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800002, 0x1,  0xffffffff4b800002, 0x1
    ROW     \column, 0xfffffffffeffffff, 0, 0,  0xffffffff4f7f0000, 0x1,  0xffffffff4f7effff, 0x1,  0xffffffff4f7effff, 0x1,  0xffffffff4f7f0000, 0x1,  0xffffffff4f7f0000, 0x1
    ROW     \column, 0x20000000000001,   0, 0,  0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0
    ROW     \column, 0x20000000000003,   0, 0,  0xffffffff40400000, 0,    0xffffffff40400000, 0,    0xffffffff40400000, 0,    0xffffffff40400000, 0,    0xffffffff40400000, 0
    ROW     \column, 0x7ffffffffffffdff, 0, 0,  0xffffffff4f7ffffe, 0x1,  0xffffffff4f7ffffd, 0x1,  0xffffffff4f7ffffd, 0x1,  0xffffffff4f7ffffe, 0x1,  0xffffffff4f7ffffe, 0x1
    ROW     \column, 0xfffffffffffffc00, 0, 0,  0xffffffff4f7ffffc, 0,    0xffffffff4f7ffffc, 0,    0xffffffff4f7ffffc, 0,    0xffffffff4f7ffffc, 0,    0xffffffff4f7ffffc, 0
    ROW     \column, 0x123456789abcdef,  0, 0,  0xffffffff4f09abce, 0x1,  0xffffffff4f09abcd, 0x1,  0xffffffff4f09abcd, 0x1,  0xffffffff4f09abce, 0x1,  0xffffffff4f09abce, 0x1
    .endm

    ROUNDED FTABLE, s, UNSIGNED_WORDS, fcvt.s.wu fa3, a2

    .macro LONGS column
    ROW     \column, 0,                  0, 0,  0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0
    ROW     \column, 0x1,                0, 0,  0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0
    ROW     \column, 0xffffffffffffffff, 0, 0,  0xffffffffbf800000, 0,    0xffffffffbf800000, 0,    0xffffffffbf800000, 0,    0xffffffffbf800000, 0,    0xffffffffbf800000, 0
    ROW     \column, 0x7fffffff,         0, 0,  0xffffffff4f000000, 0x1,  0xffffffff4effffff, 0x1,  0xffffffff4effffff, 0x1,  0xffffffff4f000000, 0x1,  0xffffffff4f000000, 0x1
    ROW     \column, 0x80000000,         0, 0,  0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0
    ROW     \column, 0xffffffff80000000, 0, 0,  0xffffffffcf000000, 0,    0xffffffffcf000000, 0,    0xffffffffcf000000, 0,    0xffffffffcf000000, 0,    0xffffffffcf000000, 0
    ROW     \column, 0x7fffffffffffffff, 0, 0,  0xffffffff5f000000, 0x1,  0xffffffff5effffff, 0x1,  0xffffffff5effffff, 0x1,  0xffffffff5f000000, 0x1,  0xffffffff5f000000, 0x1
    ROW     \column, 0x8000000000000000, 0, 0,  0xffffffffdf000000, 0,    0xffffffffdf000000, 0,    0xffffffffdf000000, 0,    0xffffffffdf000000, 0,    0xffffffffdf000000, 0
    ROW     \column, 0x1000001,          0, 0,  0xffffffff4b800000, 0x1,  0xffffffff4b800000, 0x1,  0xffffffff4b800000, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800001, 0x1
    ROW     \column, 0x1000003,          0, 0,  0xffffffff4b800002, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800002, 0x1,  0xffffffff4b800002, 0x1
    ROW     \column, 0xfffffffffeffffff, 0, 0,  0xffffffffcb800000, 0x1,  0xffffffffcb800000, 0x1,  0xffffffffcb800001, 0x1,  0xffffffffcb800000, 0x1,  0xffffffffcb800001, 0x1
    ROW     \column, 0x20000000000001,   0, 0,  0xffffffff5a000000, 0x1,  0xffffffff5a000000, 0x1,  0xffffffff5a000000, 0x1,  0xffffffff5a000001, 0x1,  0xffffffff5a000000, 0x1
    ROW     \column, 0x20000000000003,   0, 0,  0xffffffff5a000000, 0x1,  0xffffffff5a000000, 0x1,  0xffffffff5a000000, 0x1,  0xffffffff5a000001, 0x1,  0xffffffff5a000000, 0x1
    ROW     \column, 0x7ffffffffffffdff, 0, 0,  0xffffffff5f000000, 0x1,  0xffffffff5effffff, 0x1,  0xffffffff5effffff, 0x1,  0xffffffff5f000000, 0x1,  0xffffffff5f000000, 0x1
    ROW     \column, 0xfffffffffffffc00, 0, 0,  0xffffffffc4800000, 0,    0xffffffffc4800000, 0,    0xffffffffc4800000, 0,    0xffffffffc4800000, 0,    0xffffffffc4800000, 0
    ROW     \column, 0x123456789abcdef,  0, 0,  0xffffffff5b91a2b4, 0x1,  0xffffffff5b91a2b3, 0x1,  0xffffffff5b91a2b3, 0x1,  0xffffffff5b91a2b4, 0x1,  0xffffffff5b91a2b4, 0x1
    .endm

    ROUNDED FTABLE, s, LONGS, fcvt.s.l fa3, a2

    .macro UNSIGNED_LONGS column
    ROW     \column, 0,                  0, 0,  0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0,    0xffffffff00000000, 0
    ROW     \column, 0x1,                0, 0,  0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0,    0xffffffff3f800000, 0
    ROW     \column, 0xffffffffffffffff, 0, 0,  0xffffffff5f800000, 0x1,  0xffffffff5f7fffff, 0x1,  0xffffffff5f7fffff, 0x1,  0xffffffff5f800000, 0x1,  0xffffffff5f800000, 0x1
    ROW     \column, 0x7fffffff,         0, 0,  0xffffffff4f000000, 0x1,  0xffffffff4effffff, 0x1,  0xffffffff4effffff, 0x1,  0xffffffff4f000000, 0x1,  0xffffffff4f000000, 0x1
    ROW     \column, 0x80000000,         0, 0,  0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0,    0xffffffff4f000000, 0
    ROW     \column, 0xffffffff80000000, 0, 0,  0xffffffff5f800000, 0x1,  0xffffffff5f7fffff, 0x1,  0xffffffff5f7fffff, 0x1,  0xffffffff5f800000, 0x1,  0xffffffff5f800000, 0x1
    ROW     \column, 0x7fffffffffffffff, 0, 0,  0xffffffff5f000000, 0x1,  0xffffffff5effffff, 0x1,  0xffffffff5effffff, 0x1,  0xffffffff5f000000, 0x1,  0xffffffff5f000000, 0x1
    ROW     \column, 0x8000000000000000, 0, 0,  0xffffffff5f000000, 0,    0xffffffff5f000000, 0,    0xffffffff5f000000, 0,    0xffffffff5f000000, 0,    0xffffffff5f000000, 0
    ROW     \column, 0x1000001,          0, 0,  0xffffffff4b800000, 0x1,  0xffffffff4b800000, 0x1,  0xffffffff4b800000, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800001, 0x1
    ROW     \column, 0x1000003,          0, 0,  0xffffffff4b800002, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800001, 0x1,  0xffffffff4b800002, 0x1,  0xffffffff4b800002, 0x1
    ROW     \column, 0xfffffffffeffffff, 0, 0,  0xffffffff5f800000, 0x1,  0xffffffff5f7fffff, 0x1,  0xffffffff5f7fffff, 0x1,  0xffffffff5f800000, 0x1,  0xffffffff5f800000, 0x1
    ROW     \column, 0x20000000000001,   0, 0,  0xffffffff5a000000, 0x1,  0xffffffff5a000000, 0x1,  0xffffffff5a000000, 0x1,  0xffffffff5a000001, 0x1,  0xffffffff5a000000, 0x1
    ROW     \column, 0x20000000000003,   0, 0,  0xffffffff5a000000, 0x1,  0xffffffff5a000000, 0x1,  0xffffffff5a000000, 0x1,  0xffffffff5a000001, 0x1,  0xffffffff5a000000, 0x1
    ROW     \column, 0x7ffffffffffffdff, 0, 0,  0xffffffff5f000000, 0x1,  0xffffffff5effffff, 0x1,  0xffffffff5effffff, 0x1,  0xffffffff5f000000, 0x1,  0xffffffff5f000000, 0x1
    ROW     \column, 0xfffffffffffffc00, 0, 0,  0xffffffff5f800000, 0x1,  0xffffffff5f7fffff, 0x1,  0xffffffff5f7fffff, 0x1,  0xffffffff5f800000, 0x1,  0xffffffff5f800000, 0x1
    ROW     \column, 0x123456789abcdef,  0, 0,  0xffffffff5b91a2b4, 0x1,  0xffffffff5b91a2b3, 0x1,  0xffffffff5b91a2b3, 0x1,  0xffffffff5b91a2b4, 0x1,  0xffffffff5b91a2b4, 0x1
    .endm

    ROUNDED FTABLE, s, UNSIGNED_LONGS, fcvt.s.lu fa3, a2

    END
