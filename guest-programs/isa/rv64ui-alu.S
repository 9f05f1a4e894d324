# Register-register arithmetic and logic of RV64I.
#include "suite.h"
    BEGIN

    BINARY  add
    .dword  0, 0, 0
    .dword  1, 1, 2
    .dword  3, 7, 10
    .dword  0, 0xffffffffffff8000, 0xffffffffffff8000
    .dword  0xffffffff80000000, 0, 0xffffffff80000000
    .dword  0xffffffff80000000, 0xffffffffffff8000, 0xffffffff7fff8000
    .dword  0x7fffffff, 0x7fff, 0x80007ffe
    .dword  0x7fffffffffffffff, 1, 0x8000000000000000
    .dword  0x8000000000000000, 0x8000000000000000, 0
    .dword  -1, 1, 0
    .dword  -1, -1, -2
    DONE

    BINARY  sub
    .dword  0, 0, 0
    .dword  3, 7, -4
    .dword  0, 0xffffffffffff8000, 0x8000
    .dword  0xffffffff80000000, 0xffffffffffff8000, 0xffffffff80008000
    .dword  0x7fffffff, 0xffffffffffff8000, 0x80007fff
    .dword  0x8000000000000000, 1, 0x7fffffffffffffff
    .dword  0, 0x8000000000000000, 0x8000000000000000
    .dword  0, 1, -1
    DONE

    BINARY  sll
    .dword  1, 0, 1
    .dword  1, 7, 128
    .dword  1, 63, 0x8000000000000000
    .dword  -1, 31, 0xffffffff80000000
    .dword  0x21212121, 14, 0x84848484000
    .dword  0x21212121, 0xffffffffffffffce, 0x84848484000       # six bits of the amount count
    .dword  1, 64, 1
    DONE

    BINARY  srl
    .dword  -1, 0, -1
    .dword  -1, 1, 0x7fffffffffffffff
    .dword  0xffffffff80000000, 31, 0x1ffffffff
    .dword  0x8000000000000000, 63, 1
    .dword  0x21212121, 0xffffffffffffffc7, 0x424242
    .dword  5, 64, 5
    DONE

    BINARY  sra
    .dword  -1, 63, -1
    .dword  0x8000000000000000, 63, -1
    .dword  0xffffffff80000000, 14, 0xfffffffffffe0000
    .dword  0x7fffffffffffffff, 62, 1
    .dword  0xffffffff81818181, 0xffffffffffffffc1, 0xffffffffc0c0c0c0
    DONE

    BINARY  slt
    .dword  0, 0, 0
    .dword  1, 2, 1
    .dword  2, 1, 0
    .dword  -1, 0, 1
    .dword  0, -1, 0
    .dword  0x8000000000000000, 0x7fffffffffffffff, 1
    .dword  0x7fffffffffffffff, 0x8000000000000000, 0
    .dword  0x80000000, 0xffffffff80000000, 0
    DONE

    BINARY  sltu
    .dword  0, 0, 0
    .dword  0, 1, 1
    .dword  -1, 0, 0
    .dword  0, -1, 1
    .dword  0x8000000000000000, 0x7fffffffffffffff, 0
    .dword  0x80000000, 0xffffffff80000000, 1
    DONE

    BINARY  xor
    .dword  0xff00ff00ff00ff00, 0x0f0f0f0f0f0f0f0f, 0xf00ff00ff00ff00f
    .dword  -1, -1, 0
    .dword  0, 0x123456789abcdef0, 0x123456789abcdef0
    DONE

    BINARY  or
    .dword  0xff00ff00ff00ff00, 0x0f0f0f0f0f0f0f0f, 0xff0fff0fff0fff0f
    .dword  0, 0, 0
    DONE

    BINARY  and
    .dword  0xff00ff00ff00ff00, 0x0f0f0f0f0f0f0f0f, 0x0f000f000f000f00
    .dword  -1, 0x8000000000000001, 0x8000000000000001
    DONE

    END
