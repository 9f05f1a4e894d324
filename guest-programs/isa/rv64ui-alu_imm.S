# Arithmetic and logic of RV64I with immediates; lui and auipc.
#include "suite.h"
    BEGIN

    UNARY   addi, 2047
    .dword  0, 2047,  -2047, 0,  0x7fffffffffffffff, 0x80000000000007fe,  0xffffffff80000000, 0xffffffff800007ff
    DONE
    UNARY   addi, -2048
    .dword  0, -2048,  2048, 0,  0x8000000000000000, 0x7ffffffffffff800
    DONE
    UNARY   slti, -1
    .dword  0, 0,  -1, 0,  -2, 1,  0x8000000000000000, 1,  0x7fffffffffffffff, 0
    DONE
    UNARY   sltiu, -1           # the immediate is extended with its sign, then compared without
    .dword  0, 1,  -1, 0,  -2, 1,  0x8000000000000000, 1
    DONE
    UNARY   sltiu, 1
    .dword  0, 1,  1, 0,  -1, 0
    DONE
    UNARY   xori, -1
    .dword  0, -1,  0xff00ff00ff00ff00, 0x00ff00ff00ff00ff
    DONE
    UNARY   ori, -256
    .dword  0, -256,  0xff, -1,  0x1234, -204
    DONE
    UNARY   andi, 0x70f
    .dword  -1, 0x70f,  0xff00ff00ff00ff00, 0x700
    DONE
    UNARY   slli, 63
    .dword  1, 0x8000000000000000,  2, 0,  -1, 0x8000000000000000
    DONE
    UNARY   slli, 33
    .dword  0x21212121, 0x4242424200000000
    DONE
    UNARY   srli, 63
    .dword  0x8000000000000000, 1,  0x7fffffffffffffff, 0
    DONE
    UNARY   srli, 4
    .dword  -1, 0x0fffffffffffffff,  0xffffffff80000000, 0x0ffffffff8000000
    DONE
    UNARY   srai, 63
    .dword  0x8000000000000000, -1,  0x7fffffffffffffff, 0
    DONE
    UNARY   srai, 36
    .dword  0x8123456789abcdef, 0xfffffffff8123456
    DONE
    UNARY   addiw, 1
    .dword  0x7fffffff, 0xffffffff80000000,  -1, 0,  0x1ffffffff, 0,  0x123456780fffffff, 0x10000000
    DONE
    UNARY   addiw, 0
    .dword  0x80000000, 0xffffffff80000000,  0x100000000, 0,  0xffffffff7fffffff, 0x7fffffff
    DONE
    UNARY   slliw, 31
    .dword  1, 0xffffffff80000000,  2, 0,  -1, 0xffffffff80000000
    DONE
    UNARY   srliw, 4
    .dword  -1, 0x0fffffff,  0xffffffff00000000, 0,  0x80000000, 0x08000000
    DONE
    UNARY   srliw, 0
    .dword  0x80000000, 0xffffffff80000000
    DONE
    UNARY   sraiw, 31
    .dword  0x80000000, -1,  0xffffffff7fffffff, 0
    DONE
    UNARY   sraiw, 8
    .dword  0x1280000000, 0xffffffffff800000
    DONE

    lui     a0, 0
    CHECK   a0, 0
    lui     a0, 0x7ffff
    CHECK   a0, 0x7ffff000
    lui     a0, 0x80000
    CHECK   a0, 0xffffffff80000000
    lui     a0, 0xfffff
    CHECK   a0, 0xfffffffffffff000
1:  auipc   a0, 0
    CHECKA  a0, 1b
2:  auipc   a0, 0x80000
    la      a1, 2b
    sub     a0, a0, a1
    CHECK   a0, 0xffffffff80000000

    # Shift amounts with bit 5 in the forms of 32 bits, and bit 6, are reserved.
    ILLEGAL 0x0205151b          # slliw a0, a0, 32
    ILLEGAL 0x0205551b          # srliw
    ILLEGAL 0x4205551b          # sraiw
    ILLEGAL 0x04051513          # slli  a0, a0, 64
    ILLEGAL 0x04055513          # srli
    ILLEGAL 0x44055513          # srai

    END
