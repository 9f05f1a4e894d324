# Between the precisions.
#include "suite.h"
#include "float.h"
    BEGIN

    .macro NARROWED column
    ROW     \column, 0,                  0, 0,  0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x8000000000000000, 0, 0,  0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x3ff0000000000000, 0, 0,  0xffffffff3f800000, 0,     0xffffffff3f800000, 0,     0xffffffff3f800000, 0,     0xffffffff3f800000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x3fd5555555555555, 0, 0,  0xffffffff3eaaaaab, 0x1,   0xffffffff3eaaaaaa, 0x1,   0xffffffff3eaaaaaa, 0x1,   0xffffffff3eaaaaab, 0x1,   0xffffffff3eaaaaab, 0x1
    ROW     \column, 0x7ff8000000000005, 0, 0,  0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0
    ROW     \column, 0x7ff0000000000001, 0, 0,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0xfff8000000000000, 0, 0,  0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0
    ROW     \column, 0x7ff0000000000000, 0, 0,  0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0xfff0000000000000, 0, 0,  0xffffffffff800000, 0,     0xffffffffff800000, 0,     0xffffffffff800000, 0,     0xffffffffff800000, 0,     0xffffffffff800000, 0
    ROW     \column, 0x7fefffffffffffff, 0, 0,  0xffffffff7f800000, 0x5,   0xffffffff7f7fffff, 0x5,   0xffffffff7f7fffff, 0x5,   0xffffffff7f800000, 0x5,   0xffffffff7f800000, 0x5
    ROW     \column, 0xffefffffffffffff, 0, 0,  0xffffffffff800000, 0x5,   0xffffffffff7fffff, 0x5,   0xffffffffff800000, 0x5,   0xffffffffff7fffff, 0x5,   0xffffffffff800000, 0x5
    ROW     \column, 0x1,                0, 0,  0xffffffff00000000, 0x3,   0xffffffff00000000, 0x3,   0xffffffff00000000, 0x3,   0xffffffff00000001, 0x3,   0xffffffff00000000, 0x3
    ROW     \column, 0x10000000000000,   0, 0,  0xffffffff00000000, 0x3,   0xffffffff00000000, 0x3,   0xffffffff00000000, 0x3,   0xffffffff00000001, 0x3,   0xffffffff00000000, 0x3
    ROW     \column, 0x3ff0000000000001, 0, 0,  0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800001, 0x1,   0xffffffff3f800000, 0x1
    ROW     \column, 0x3810000000000000, 0, 0,  0xffffffff00800000, 0,     0xffffffff00800000, 0,     0xffffffff00800000, 0,     0xffffffff00800000, 0,     0xffffffff00800000, 0
    ROW     \column, 0x3800000000000000, 0, 0,  0xffffffff00400000, 0,     0xffffffff00400000, 0,     0xffffffff00400000, 0,     0xffffffff00400000, 0,     0xffffffff00400000, 0
    ROW     \column, 0x380fffffffffffff, 0, 0,  0xffffffff00800000, 0x1,   0xffffffff007fffff, 0x3,   0xffffffff007fffff, 0x3,   0xffffffff00800000, 0x1,   0xffffffff00800000, 0x1
    ROW     \column, 0x36a0000000000000, 0, 0,  0xffffffff00000001, 0,     0xffffffff00000001, 0,     0xffffffff00000001, 0,     0xffffffff00000001, 0,     0xffffffff00000001, 0
    ROW     \column, 0x3690000000000000, 0, 0,  0xffffffff00000000, 0x3,   0xffffffff00000000, 0x3,   0xffffffff00000000, 0x3,   0xffffffff00000001, 0x3,   0xffffffff00000001, 0x3
    ROW     \column, 0x3690000000000001, 0, 0,  0xffffffff00000001, 0x3,   0xffffffff00000000, 0x3,   0xffffffff00000000, 0x3,   0xffffffff00000001, 0x3,   0xffffffff00000001, 0x3
    ROW     \column, 0x47effffff0000000, 0, 0,  0xffffffff7f800000, 0x5,   0xffffffff7f7fffff, 0x1,   0xffffffff7f7fffff, 0x1,   0xffffffff7f800000, 0x5,   0xffffffff7f800000, 0x5
    ROW     \column, 0x47efffffefffffff, 0, 0,  0xffffffff7f7fffff, 0x1,   0xffffffff7f7fffff, 0x1,   0xffffffff7f7fffff, 0x1,   0xffffffff7f800000, 0x5,   0xffffffff7f7fffff, 0x1
    ROW     \column, 0x47efffffe0000000, 0, 0,  0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x47f0000000000000, 0, 0,  0xffffffff7f800000, 0x5,   0xffffffff7f7fffff, 0x5,   0xffffffff7f7fffff, 0x5,   0xffffffff7f800000, 0x5,   0xffffffff7f800000, 0x5
    ROW     \column, 0x3ff0000010000000, 0, 0,  0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800001, 0x1,   0xffffffff3f800001, 0x1
    ROW     \column, 0x3ff0000010000001, 0, 0,  0xffffffff3f800001, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800000, 0x1,   0xffffffff3f800001, 0x1,   0xffffffff3f800001, 0x1
    ROW     \column, 0x3ff0000030000000, 0, 0,  0xffffffff3f800002, 0x1,   0xffffffff3f800001, 0x1,   0xffffffff3f800001, 0x1,   0xffffffff3f800002, 0x1,   0xffffffff3f800002, 0x1
    .endm

    ROUNDED FTABLE, d, NARROWED, fcvt.s.d fa3, fa0

    FTABLE  s, fcvt.d.s fa3, fa0
    .dword  0, 0, 0, 0, 0
    .dword  0x80000000, 0, 0, 0x8000000000000000, 0
    .dword  0x3f800000, 0, 0, 0x3ff0000000000000, 0
    .dword  0xbf800000, 0, 0, 0xbff0000000000000, 0
    .dword  0x40000000, 0, 0, 0x4000000000000000, 0
    .dword  0x40400000, 0, 0, 0x4008000000000000, 0
    .dword  0x3eaaaaab, 0, 0, 0x3fd5555560000000, 0
    .dword  0x34000000, 0, 0, 0x3e80000000000000, 0
    .dword  0x33800000, 0, 0, 0x3e70000000000000, 0
    .dword  0x7f7fffff, 0, 0, 0x47efffffe0000000, 0
    .dword  0xff7fffff, 0, 0, 0xc7efffffe0000000, 0
    .dword  0x800000, 0, 0, 0x3810000000000000, 0
    .dword  0x1, 0, 0, 0x36a0000000000000, 0
    .dword  0x7fffff, 0, 0, 0x380fffffc0000000, 0
    .dword  0x7f800000, 0, 0, 0x7ff0000000000000, 0
    .dword  0xff800000, 0, 0, 0xfff0000000000000, 0
    .dword  0x7fc00005, 0, 0, 0x7ff8000000000000, 0
    .dword  0x7f800001, 0, 0, 0x7ff8000000000000, 0x10
    .dword  0xffc00000, 0, 0, 0x7ff8000000000000, 0
    .dword  0x3f800001, 0, 0, 0x3ff0000020000000, 0
    DONE

    END
