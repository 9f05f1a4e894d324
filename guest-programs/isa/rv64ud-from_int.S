# From integers to double precision.
#include "suite.h"
#include "float.h"
    BEGIN

    FTABLE  d, fcvt.d.w fa3, a2
    .dword  0, 0, 0, 0, 0
    .dword  0x1, 0, 0, 0x3ff0000000000000, 0
    .dword  0xffffffffffffffff, 0, 0, 0xbff0000000000000, 0
    .dword  0x7fffffff, 0, 0, 0x41dfffffffc00000, 0
    .dword  0x80000000, 0, 0, 0xc1e0000000000000, 0
    .dword  0xffffffff80000000, 0, 0, 0xc1e0000000000000, 0
    .dword  0x7fffffffffffffff, 0, 0, 0xbff0000000000000, 0
    .dword  0x8000000000000000, 0, 0, 0, 0
    .dword  0x1000001, 0, 0, 0x4170000010000000, 0
    .dword  0x1000003, 0, 0, 0x4170000030000000, 0
    .dword  0xfffffffffeffffff, 0, 0, 0xc170000010000000, 0
    .dword  0x20000000000001, 0, 0, 0x3ff0000000000000, 0
    .dword  0x20000000000003, 0, 0, 0x4008000000000000, 0
    .dword  0x7ffffffffffffdff, 0, 0, 0xc080080000000000, 0
    .dword  0xfffffffffffffc00, 0, 0, 0xc090000000000000, 0
    .dword  0x123456789abcdef, 0, 0, 0xc1dd950c84400000, 0
    DONE

    FTABLE  d, fcvt.d.wu fa3, a2
    .dword  0, 0, 0, 0, 0
    .dword  0x1, 0, 0, 0x3ff0000000000000, 0
    .dword  0xffffffffffffffff, 0, 0, 0x41efffffffe00000, 0
    .dword  0x7fffffff, 0, 0, 0x41dfffffffc00000, 0
    .dword  0x80000000, 0, 0, 0x41e0000000000000, 0
    .dword  0xffffffff80000000, 0, 0, 0x41e0000000000000, 0
    .dword  0x7fffffffffffffff, 0, 0, 0x41efffffffe00000, 0
    .dword  0x8000000000000000, 0, 0, 0, 0
    .dword  0x1000001, 0, 0, 0x4170000010000000, 0
    .dword  0x1000003, 0, 0, 0x4170000030000000, 0
    .dword  0xfffffffffeffffff, 0, 0, 0x41efdfffffe00000, 0
    .dword  0x20000000000001, 0, 0, 0x3ff0000000000000, 0
    .dword  0x20000000000003, 0, 0, 0x4008000000000000, 0
    .dword  0x7ffffffffffffdff, 0, 0, 0x41efffffbfe00000, 0
    .dword  0xfffffffffffffc00, 0, 0, 0x41efffff80000000, 0
    .dword  0x123456789abcdef, 0, 0, 0x41e13579bde00000, 0
    DONE

    .macro LONGS column
    ROW     \column, 0,                  0, 0,  0,                  0,    0,                  0,    0,                  0,    0,                  0,    0,                  0
    ROW     \column, 0x1,                0, 0,  0x3ff0000000000000, 0,    0x3ff0000000000000, 0,    0x3ff0000000000000, 0,    0x3ff0000000000000, 0,    0x3ff0000000000000, 0
    ROW     \column, 0xffffffffffffffff, 0, 0,  0xbff0000000000000, 0,    0xbff0000000000000, 0,    0xbff0000000000000, 0,    0xbff0000000000000, 0,    0xbff0000000000000, 0
    ROW     \column, 0x7fffffff,         0, 0,  0x41dfffffffc00000, 0,    0x41dfffffffc00000, 0,    0x41dfffffffc00000, 0,    0x41dfffffffc00000, 0,    0x41dfffffffc00000, 0
    ROW     \column, 0x80000000,         0, 0,  0x41e0000000000000, 0,    0x41e0000000000000, 0,    0x41e0000000000000, 0,    0x41e0000000000000, 0,    0x41e0000000000000, 0
    ROW     \column, 0xffffffff80000000, 0, 0,  0xc1e0000000000000, 0,    0xc1e0000000000000, 0,    0xc1e0000000000000, 0,    0xc1e0000000000000, 0,    0xc1e0000000000000, 0
    ROW     \column, 0x7fffffffffffffff, 0, 0,  0x43e0000000000000, 0x1,  0x43dfffffffffffff, 0x1,  0x43dfffffffffffff, 0x1,  0x43e0000000000000, 0x1,  0x43e0000000000000, 0x1
    ROW     \column, 0x8000000000000000, 0, 0,  0xc3e0000000000000, 0,    0xc3e0000000000000, 0,    0xc3e0000000000000, 0,    0xc3e0000000000000, 0,    0xc3e0000000000000, 0
    ROW     \column, 0x1000001,          0, 0,  0x4170000010000000, 0,    0x4170000010000000, 0,    0x4170000010000000, 0,    0x4170000010000000, 0,    0x4170000010000000, 0
    ROW     \column, 0x1000003,          0, 0,  0x4170000030000000, 0,    0x4170000030000000, 0,    0x4170000030000000, 0,    0x4170000030000000, 0,    0x4170000030000000, 0
    ROW     \column, 0xfffffffffeffffff, 0, 0,  0xc170000010000000, 0,    0xc170000010000000, 0,    0xc170000010000000, 0,    0xc170000010000000, 0,    0xc170000010000000, 0
    ROW     \column, 0x20000000000001,   0, 0,  0x4340000000000000, 0x1,  0x4340000000000000, 0x1,  0x4340000000000000, 0x1,  0x4340000000000001, 0x1,  0x4340000000000001, 0x1
    ROW     \column, 0x20000000000003,   0, 0,  0x4340000000000002, 0x1,  0x4340000000000001, 0x1,  0x4340000000000001, 0x1,  0x4340000000000002, 0x1,  0x4340000000000002, 0x1
    ROW     \column, 0x7ffffffffffffdff, 0, 0,  0x43dfffffffffffff, 0x1,  0x43dfffffffffffff, 0x1,  0x43dfffffffffffff, 0x1,  0x43e0000000000000, 0x1,  0x43dfffffffffffff, 0x1
    ROW     \column, 0xfffffffffffffc00, 0, 0,  0xc090000000000000, 0,    0xc090000000000000, 0,    0xc090000000000000, 0,    0xc090000000000000, 0,    0xc090000000000000, 0
    ROW     \column, 0x123456789abcdef,  0, 0,  0x43723456789abcdf, 0x1,  0x43723456789abcde, 0x1,  0x43723456789abcde, 0x1,  0x43723456789abcdf, 0x1,  0x43723456789abcdf, 0x1
    .endm

    ROUNDED FTABLE, d, LONGS, fcvt.d.l fa3, a2

    .macro UNSIGNED_LONGS column
    ROW     \column, 0,                  0, 0,  0,                  0,    0,                  0,    0,                  0,    0,                  0,    0,                  0
    ROW     \column, 0x1,                0, 0,  0x3ff0000000000000, 0,    0x3ff0000000000000, 0,    0x3ff0000000000000, 0,    0x3ff0000000000000, 0,    0x3ff0000000000000, 0
    ROW     \column, 0xffffffffffffffff, 0, 0,  0x43f0000000000000, 0x1,  0x43efffffffffffff, 0x1,  0x43efffffffffffff, 0x1,  0x43f0000000000000, 0x1,  0x43f0000000000000, 0x1
    ROW     \column, 0x7fffffff,         0, 0,  0x41dfffffffc00000, 0,    0x41dfffffffc00000, 0,    0x41dfffffffc00000, 0,    0x41dfffffffc00000, 0,    0x41dfffffffc00000, 0
    ROW     \column, 0x80000000,         0, 0,  0x41e0000000000000, 0,    0x41e0000000000000, 0,    0x41e0000000000000, 0,    0x41e0000000000000, 0,    0x41e0000000000000, 0
    ROW     \column, 0xffffffff80000000, 0, 0,  0x43effffffff00000, 0,    0x43effffffff00000, 0,    0x43effffffff00000, 0,    0x43effffffff00000, 0,    0x43effffffff00000, 0
    ROW     \column, 0x7fffffffffffffff, 0, 0,  0x43e0000000000000, 0x1,  0x43dfffffffffffff, 0x1,  0x43dfffffffffffff, 0x1,  0x43e0000000000000, 0x1,  0x43e0000000000000, 0x1
    ROW     \column, 0x8000000000000000, 0, 0,  0x43e0000000000000, 0,    0x43e0000000000000, 0,    0x43e0000000000000, 0,    0x43e0000000000000, 0,    0x43e0000000000000, 0
    ROW     \column, 0x1000001,          0, 0,  0x4170000010000000, 0,    0x4170000010000000, 0,    0x4170000010000000, 0,    0x4170000010000000, 0,    0x4170000010000000, 0
    ROW     \column, 0x1000003,          0, 0,  0x4170000030000000, 0,    0x4170000030000000, 0,    0x4170000030000000, 0,    0x4170000030000000, 0,    0x4170000030000000, 0
    ROW     \column, 0xfffffffffeffffff, 0, 0,  0x43efffffffffe000, 0x1,  0x43efffffffffdfff, 0x1,  0x43efffffffffdfff, 0x1,  0x43efffffffffe000, 0x1,  0x43efffffffffe000, 0x1
    ROW     \column, 0x20000000000001,   0, 0,  0x4340000000000000, 0x1,  0x4340000000000000, 0x1,  0x4340000000000000, 0x1,  0x4340000000000001, 0x1,  0x4340000000000001, 0x1
    ROW     \column, 0x20000000000003,   0, 0,  0x4340000000000002, 0x1,  0x4340000000000001, 0x1,  0x4340000000000001, 0x1,  0x4340000000000002, 0x1,  0x4340000000000002, 0x1
    ROW     \column, 0x7ffffffffffffdff, 0, 0,  0x43dfffffffffffff, 0x1,  0x43dfffffffffffff, 0x1,  0x43dfffffffffffff, 0x1,  0x43e0000000000000, 0x1,  0x43dfffffffffffff, 0x1
    ROW     \column, 0xfffffffffffffc00, 0, 0,  0x43f0000000000000, 0x1,  0x43efffffffffffff, 0x1,  0x43efffffffffffff, 0x1,  0x43f0000000000000, 0x1,  0x43f0000000000000, 0x1
    ROW     \column, 0x123456789abcdef,  0, 0,  0x43723456789abcdf, 0x1,  0x43723456789abcde, 0x1,  0x43723456789abcde, 0x1,  0x43723456789abcdf, 0x1,  0x43723456789abcdf, 0x1
    .endm

    ROUNDED FTABLE, d, UNSIGNED_LONGS, fcvt.d.lu fa3, a2

    END
