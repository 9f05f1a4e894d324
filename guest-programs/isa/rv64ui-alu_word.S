# The register-register operations on 32 bits.
#include "suite.h"
    BEGIN

    BINARY  addw
    .dword  0, 0, 0
    .dword  0x7fffffff, 1, 0xffffffff80000000
    .dword  0xffffffff, 1, 0
    .dword  0x123456780fffffff, 0xf, 0x1000000e
    .dword  0xffffffff80000000, 0xffffffff80000000, 0
    DONE
    BINARY  subw
    .dword  0, 1, -1
    .dword  0xffffffff80000000, 1, 0x7fffffff
    .dword  0x100000000, 1, -1
    .dword  5, 0xabcdef0000000005, 0
    DONE
    BINARY  sllw
    .dword  1, 31, 0xffffffff80000000
    .dword  1, 32, 1
    .dword  0x2121212121, 0xffffffffffffffee, 0x48484000
    .dword  -1, 0, -1
    DONE
    BINARY  srlw
    .dword  -1, 0, -1
    .dword  -1, 1, 0x7fffffff
    .dword  0xffffffff80000000, 31, 1
    .dword  0xfffffffff0000000, 36, 0x0f000000
    DONE
    BINARY  sraw
    .dword  0x80000000, 0, 0xffffffff80000000
    .dword  0x80000000, 31, -1
    .dword  0x7fffffff80000000, 33, 0xffffffffc0000000
    .dword  0xffffffff7fffffff, 30, 1
    DONE

    # What looks like the others with "w" is reserved.
    ILLEGAL 0x00b5253b          # slt
    ILLEGAL 0x00b5353b          # sltu
    ILLEGAL 0x00b5453b          # xor
    ILLEGAL 0x00b5653b          # or
    ILLEGAL 0x00b5753b          # and
    ILLEGAL 0x40b5153b          # sll with sub's bit

    END
