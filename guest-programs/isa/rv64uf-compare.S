# Comparisons, minimum and maximum, signs, classes of single precision.
#include "suite.h"
#include "float.h"
    BEGIN

    .macro PAIRS column
    ROW     \column, 0,          0,          0,  0x1, 0,     0,   0,     0x1, 0,     0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0,          0x80000000, 0,  0x1, 0,     0,   0,     0x1, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0,          0x3f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff00000000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0,          0xbf800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffbf800000, 0,     0xffffffff00000000, 0
    ROW     \column, 0,          0x1,        0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff00000000, 0,     0xffffffff00000001, 0
    ROW     \column, 0,          0x7f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff00000000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0,          0xff800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffff800000, 0,     0xffffffff00000000, 0
    ROW     \column, 0,          0x7fc00005, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0,          0xffc00000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0,          0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff00000000, 0x10,  0xffffffff00000000, 0x10
    ROW     \column, 0,          0x7f7fffff, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff00000000, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x80000000, 0,          0,  0x1, 0,     0,   0,     0x1, 0,     0xffffffff80000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x80000000, 0x80000000, 0,  0x1, 0,     0,   0,     0x1, 0,     0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x80000000, 0x3f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff80000000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x80000000, 0xbf800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffbf800000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x80000000, 0x1,        0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff80000000, 0,     0xffffffff00000001, 0
    ROW     \column, 0x80000000, 0x7f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff80000000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x80000000, 0xff800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffff800000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x80000000, 0x7fc00005, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x80000000, 0xffc00000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x80000000, 0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10
    ROW     \column, 0x80000000, 0x7f7fffff, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff80000000, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x3f800000, 0,          0,  0,   0,     0,   0,     0,   0,     0xffffffff00000000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x3f800000, 0x80000000, 0,  0,   0,     0,   0,     0,   0,     0xffffffff80000000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x3f800000, 0x3f800000, 0,  0x1, 0,     0,   0,     0x1, 0,     0xffffffff3f800000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x3f800000, 0xbf800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffbf800000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x3f800000, 0x1,        0,  0,   0,     0,   0,     0,   0,     0xffffffff00000001, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x3f800000, 0x7f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff3f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x3f800000, 0xff800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffff800000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x3f800000, 0x7fc00005, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff3f800000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x3f800000, 0xffc00000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff3f800000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x3f800000, 0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff3f800000, 0x10,  0xffffffff3f800000, 0x10
    ROW     \column, 0x3f800000, 0x7f7fffff, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff3f800000, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0xbf800000, 0,          0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffbf800000, 0,     0xffffffff00000000, 0
    ROW     \column, 0xbf800000, 0x80000000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffbf800000, 0,     0xffffffff80000000, 0
    ROW     \column, 0xbf800000, 0x3f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffbf800000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0xbf800000, 0xbf800000, 0,  0x1, 0,     0,   0,     0x1, 0,     0xffffffffbf800000, 0,     0xffffffffbf800000, 0
    ROW     \column, 0xbf800000, 0x1,        0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffbf800000, 0,     0xffffffff00000001, 0
    ROW     \column, 0xbf800000, 0x7f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffbf800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0xbf800000, 0xff800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffff800000, 0,     0xffffffffbf800000, 0
    ROW     \column, 0xbf800000, 0x7fc00005, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffffbf800000, 0,     0xffffffffbf800000, 0
    ROW     \column, 0xbf800000, 0xffc00000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffffbf800000, 0,     0xffffffffbf800000, 0
    ROW     \column, 0xbf800000, 0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffffbf800000, 0x10,  0xffffffffbf800000, 0x10
    ROW     \column, 0xbf800000, 0x7f7fffff, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffbf800000, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x1,        0,          0,  0,   0,     0,   0,     0,   0,     0xffffffff00000000, 0,     0xffffffff00000001, 0
    ROW     \column, 0x1,        0x80000000, 0,  0,   0,     0,   0,     0,   0,     0xffffffff80000000, 0,     0xffffffff00000001, 0
    ROW     \column, 0x1,        0x3f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff00000001, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x1,        0xbf800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffbf800000, 0,     0xffffffff00000001, 0
    ROW     \column, 0x1,        0x1,        0,  0x1, 0,     0,   0,     0x1, 0,     0xffffffff00000001, 0,     0xffffffff00000001, 0
    ROW     \column, 0x1,        0x7f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff00000001, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x1,        0xff800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffff800000, 0,     0xffffffff00000001, 0
    ROW     \column, 0x1,        0x7fc00005, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff00000001, 0,     0xffffffff00000001, 0
    ROW     \column, 0x1,        0xffc00000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff00000001, 0,     0xffffffff00000001, 0
    ROW     \column, 0x1,        0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff00000001, 0x10,  0xffffffff00000001, 0x10
    ROW     \column, 0x1,        0x7f7fffff, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff00000001, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f800000, 0,          0,  0,   0,     0,   0,     0,   0,     0xffffffff00000000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f800000, 0x80000000, 0,  0,   0,     0,   0,     0,   0,     0xffffffff80000000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f800000, 0x3f800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffff3f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f800000, 0xbf800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffbf800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f800000, 0x1,        0,  0,   0,     0,   0,     0,   0,     0xffffffff00000001, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f800000, 0x7f800000, 0,  0x1, 0,     0,   0,     0x1, 0,     0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f800000, 0xff800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffff800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f800000, 0x7fc00005, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f800000, 0xffc00000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f800000, 0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff7f800000, 0x10,  0xffffffff7f800000, 0x10
    ROW     \column, 0x7f800000, 0x7f7fffff, 0,  0,   0,     0,   0,     0,   0,     0xffffffff7f7fffff, 0,     0xffffffff7f800000, 0
    ROW     \column, 0xff800000, 0,          0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffff800000, 0,     0xffffffff00000000, 0
    ROW     \column, 0xff800000, 0x80000000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffff800000, 0,     0xffffffff80000000, 0
    ROW     \column, 0xff800000, 0x3f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffff800000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0xff800000, 0xbf800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffff800000, 0,     0xffffffffbf800000, 0
    ROW     \column, 0xff800000, 0x1,        0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffff800000, 0,     0xffffffff00000001, 0
    ROW     \column, 0xff800000, 0x7f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffff800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0xff800000, 0xff800000, 0,  0x1, 0,     0,   0,     0x1, 0,     0xffffffffff800000, 0,     0xffffffffff800000, 0
    ROW     \column, 0xff800000, 0x7fc00005, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffffff800000, 0,     0xffffffffff800000, 0
    ROW     \column, 0xff800000, 0xffc00000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffffff800000, 0,     0xffffffffff800000, 0
    ROW     \column, 0xff800000, 0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffffff800000, 0x10,  0xffffffffff800000, 0x10
    ROW     \column, 0xff800000, 0x7f7fffff, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffffff800000, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7fc00005, 0,          0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0x7fc00005, 0x80000000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0x7fc00005, 0x3f800000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff3f800000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0x7fc00005, 0xbf800000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffffbf800000, 0,     0xffffffffbf800000, 0
    ROW     \column, 0x7fc00005, 0x1,        0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff00000001, 0,     0xffffffff00000001, 0
    ROW     \column, 0x7fc00005, 0x7f800000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7fc00005, 0xff800000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffffff800000, 0,     0xffffffffff800000, 0
    ROW     \column, 0x7fc00005, 0x7fc00005, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0
    ROW     \column, 0x7fc00005, 0xffc00000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0
    ROW     \column, 0x7fc00005, 0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x7fc00005, 0x7f7fffff, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0xffc00000, 0,          0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff00000000, 0,     0xffffffff00000000, 0
    ROW     \column, 0xffc00000, 0x80000000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff80000000, 0,     0xffffffff80000000, 0
    ROW     \column, 0xffc00000, 0x3f800000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff3f800000, 0,     0xffffffff3f800000, 0
    ROW     \column, 0xffc00000, 0xbf800000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffffbf800000, 0,     0xffffffffbf800000, 0
    ROW     \column, 0xffc00000, 0x1,        0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff00000001, 0,     0xffffffff00000001, 0
    ROW     \column, 0xffc00000, 0x7f800000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7f800000, 0,     0xffffffff7f800000, 0
    ROW     \column, 0xffc00000, 0xff800000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffffff800000, 0,     0xffffffffff800000, 0
    ROW     \column, 0xffc00000, 0x7fc00005, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0
    ROW     \column, 0xffc00000, 0xffc00000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7fc00000, 0,     0xffffffff7fc00000, 0
    ROW     \column, 0xffc00000, 0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0xffc00000, 0x7f7fffff, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f800001, 0,          0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff00000000, 0x10,  0xffffffff00000000, 0x10
    ROW     \column, 0x7f800001, 0x80000000, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff80000000, 0x10,  0xffffffff80000000, 0x10
    ROW     \column, 0x7f800001, 0x3f800000, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff3f800000, 0x10,  0xffffffff3f800000, 0x10
    ROW     \column, 0x7f800001, 0xbf800000, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffffbf800000, 0x10,  0xffffffffbf800000, 0x10
    ROW     \column, 0x7f800001, 0x1,        0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff00000001, 0x10,  0xffffffff00000001, 0x10
    ROW     \column, 0x7f800001, 0x7f800000, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff7f800000, 0x10,  0xffffffff7f800000, 0x10
    ROW     \column, 0x7f800001, 0xff800000, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffffff800000, 0x10,  0xffffffffff800000, 0x10
    ROW     \column, 0x7f800001, 0x7fc00005, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x7f800001, 0xffc00000, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x7f800001, 0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff7fc00000, 0x10,  0xffffffff7fc00000, 0x10
    ROW     \column, 0x7f800001, 0x7f7fffff, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff7f7fffff, 0x10,  0xffffffff7f7fffff, 0x10
    ROW     \column, 0x7f7fffff, 0,          0,  0,   0,     0,   0,     0,   0,     0xffffffff00000000, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f7fffff, 0x80000000, 0,  0,   0,     0,   0,     0,   0,     0xffffffff80000000, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f7fffff, 0x3f800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffff3f800000, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f7fffff, 0xbf800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffbf800000, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f7fffff, 0x1,        0,  0,   0,     0,   0,     0,   0,     0xffffffff00000001, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f7fffff, 0x7f800000, 0,  0,   0,     0x1, 0,     0x1, 0,     0xffffffff7f7fffff, 0,     0xffffffff7f800000, 0
    ROW     \column, 0x7f7fffff, 0xff800000, 0,  0,   0,     0,   0,     0,   0,     0xffffffffff800000, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f7fffff, 0x7fc00005, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f7fffff, 0xffc00000, 0,  0,   0,     0,   0x10,  0,   0x10,  0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0
    ROW     \column, 0x7f7fffff, 0x7f800001, 0,  0,   0x10,  0,   0x10,  0,   0x10,  0xffffffff7f7fffff, 0x10,  0xffffffff7f7fffff, 0x10
    ROW     \column, 0x7f7fffff, 0x7f7fffff, 0,  0x1, 0,     0,   0,     0x1, 0,     0xffffffff7f7fffff, 0,     0xffffffff7f7fffff, 0
    .endm

    COLUMN  ITABLE, s, PAIRS, 0, feq.s a0, fa0, fa1
    COLUMN  ITABLE, s, PAIRS, 1, flt.s a0, fa0, fa1
    COLUMN  ITABLE, s, PAIRS, 2, fle.s a0, fa0, fa1
    COLUMN  FTABLE, s, PAIRS, 3, fmin.s fa3, fa0, fa1
    COLUMN  FTABLE, s, PAIRS, 4, fmax.s fa3, fa0, fa1

    .macro SIGNS column
    ROW     \column, 0x3f800000, 0xbf800000, 0,  0xffffffffbf800000, 0,  0xffffffff3f800000, 0,  0xffffffffbf800000, 0
    ROW     \column, 0xbf800000, 0x3f800000, 0,  0xffffffff3f800000, 0,  0xffffffffbf800000, 0,  0xffffffffbf800000, 0
    ROW     \column, 0x7fc00005, 0xbf800000, 0,  0xffffffffffc00005, 0,  0xffffffff7fc00005, 0,  0xffffffffffc00005, 0
    ROW     \column, 0xffc00000, 0x3f800000, 0,  0xffffffff7fc00000, 0,  0xffffffffffc00000, 0,  0xffffffffffc00000, 0
    ROW     \column, 0x7f800001, 0x80000000, 0,  0xffffffffff800001, 0,  0xffffffff7f800001, 0,  0xffffffffff800001, 0
    ROW     \column, 0x7f800000, 0xff800000, 0,  0xffffffffff800000, 0,  0xffffffff7f800000, 0,  0xffffffffff800000, 0
    ROW     \column, 0,          0x80000000, 0,  0xffffffff80000000, 0,  0xffffffff00000000, 0,  0xffffffff80000000, 0
    ROW     \column, 0x80000000, 0,          0,  0xffffffff00000000, 0,  0xffffffff80000000, 0,  0xffffffff80000000, 0
    .endm

    COLUMN  FTABLE, s, SIGNS, 0, fsgnj.s fa3, fa0, fa1
    COLUMN  FTABLE, s, SIGNS, 1, fsgnjn.s fa3, fa0, fa1
    COLUMN  FTABLE, s, SIGNS, 2, fsgnjx.s fa3, fa0, fa1

    ITABLE  s, fclass.s a0, fa0
    .dword  0xff800000, 0, 0, 0x1, 0
    .dword  0xbf800000, 0, 0, 0x2, 0
    .dword  0x80000001, 0, 0, 0x4, 0
    .dword  0x80000000, 0, 0, 0x8, 0
    .dword  0, 0, 0, 0x10, 0
    .dword  0x1, 0, 0, 0x20, 0
    .dword  0x3f800000, 0, 0, 0x40, 0
    .dword  0x7f800000, 0, 0, 0x80, 0
    .dword  0x7f800001, 0, 0, 0x100, 0
    .dword  0x7fc00005, 0, 0, 0x200, 0
    .dword  0xffc00000, 0, 0, 0x200, 0
    .dword  0x7fffff, 0, 0, 0x20, 0
    .dword  0x800000, 0, 0, 0x40, 0
    .dword  0x7f7fffff, 0, 0, 0x40, 0
    DONE

    END
