# Multiplication.
#include "suite.h"
    BEGIN
    BINARY  mul
    .dword  0, 0, 0
    .dword  3, 7, 21
    .dword  0x7e00, 0x6db6db6db6db6db7, 0x1200
    .dword  0xffffffff80000000, 0xffffffffffff8000, 0x400000000000
    .dword  0xaaaaaaaaaaaaaaab, 0x2fe7d, 0xff7f
    .dword  -1, -1, 1
    .dword  0x8000000000000000, -1, 0x8000000000000000
    .dword  0x8000000000000000, 2, 0
    DONE
    BINARY  mulh
    .dword  0, 0, 0
    .dword  -1, -1, 0
    .dword  -1, 1, -1
    .dword  0x8000000000000000, 0x8000000000000000, 0x4000000000000000
    .dword  0x8000000000000000, 0x7fffffffffffffff, 0xc000000000000000
    .dword  0x7fffffffffffffff, 0x7fffffffffffffff, 0x3fffffffffffffff
    .dword  0xffffffff80000000, 0xffffffffffff8000, 0
    .dword  0x123456789abcdef0, 0xfedcba9876543210, 0xffeb49923cc09532
    DONE
    BINARY  mulhu
    .dword  -1, -1, -2
    .dword  0x8000000000000000, 2, 1
    .dword  0xffffffff80000000, 0xffffffffffff8000, 0xffffffff7fff8000
    .dword  0xaaaaaaaaaaaaaaab, 0x2fe7d, 0x1fefe
    .dword  0x123456789abcdef0, 0xfedcba9876543210, 0x121fa00ad77d7422
    DONE
    BINARY  mulhsu
    .dword  -1, -1, -1
    .dword  -1, 1, -1
    .dword  1, -1, 0
    .dword  0x8000000000000000, -1, 0x8000000000000000
    .dword  0x7fffffffffffffff, -1, 0x7ffffffffffffffe
    .dword  0xaaaaaaaaaaaaaaab, 0x2fe7d, 0xffffffffffff0081
    DONE
    BINARY  mulw
    .dword  3, 7, 21
    .dword  0x7fffffff, 2, -2
    .dword  0x80000000, -1, 0xffffffff80000000
    .dword  0x100000003, 0x500000007, 21
    .dword  0xffff, 0x10001, -1
    DONE
    ILLEGAL 0x02b5153b          # mulhw is nothing
    ILLEGAL 0x02b5253b
    ILLEGAL 0x02b5353b
    END
