# Division, by zero and with overflow too.
#include "suite.h"
    BEGIN
    BINARY  div
    .dword  20, 6, 3
    .dword  -20, 6, -3
    .dword  20, -6, -3
    .dword  -20, -6, 3
    .dword  0x8000000000000000, 1, 0x8000000000000000
    .dword  0x8000000000000000, -1, 0x8000000000000000
    .dword  0x8000000000000000, 0, -1
    .dword  1, 0, -1
    .dword  0, 0, -1
    .dword  0, 5, 0
    DONE
    BINARY  divu
    .dword  20, 6, 3
    .dword  -20, 6, 0x2aaaaaaaaaaaaaa7
    .dword  20, -6, 0
    .dword  0x8000000000000000, -1, 0
    .dword  0x8000000000000000, 0, -1
    .dword  -1, 1, -1
    DONE
    BINARY  rem
    .dword  20, 6, 2
    .dword  -20, 6, -2
    .dword  20, -6, 2
    .dword  -20, -6, -2
    .dword  0x8000000000000000, -1, 0
    .dword  0x8000000000000000, 0, 0x8000000000000000
    .dword  -7, 0, -7
    .dword  0, 0, 0
    DONE
    BINARY  remu
    .dword  20, 6, 2
    .dword  -20, 6, 2
    .dword  20, -6, 20
    .dword  0x8000000000000000, -1, 0x8000000000000000
    .dword  -7, 0, -7
    DONE
    BINARY  divw
    .dword  20, 6, 3
    .dword  0xffffffec, 6, -3
    .dword  0x80000000, -1, 0xffffffff80000000
    .dword  0xffffffff80000000, 0, -1
    .dword  5, 0x700000000, -1
    .dword  0x500000014, 0x900000006, 3
    DONE
    BINARY  divuw
    .dword  20, 6, 3
    .dword  0xffffffec, 6, 0x2aaaaaa7
    .dword  0xffffffff80000000, 1, 0xffffffff80000000
    .dword  0x80000000, 0, -1
    .dword  5, 0x700000000, -1
    .dword  0x80000000, -1, 0
    DONE
    BINARY  remw
    .dword  0xffffffec, 6, -2
    .dword  20, 0xfffffffa, 2
    .dword  0x80000000, -1, 0
    .dword  0x80000000, 0, 0xffffffff80000000
    .dword  0x1ffffffff, 0, -1
    DONE
    BINARY  remuw
    .dword  0xffffffec, 6, 2
    .dword  20, 0xfffffffa, 20
    .dword  0x80000000, -1, 0xffffffff80000000
    .dword  0xffffffff, 0, -1
    DONE
    END
