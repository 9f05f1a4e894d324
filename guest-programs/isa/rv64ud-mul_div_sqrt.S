# Multiplication, division and square root of double precision, with their flags.
#include "suite.h"
#include "float.h"
    BEGIN

    .macro PRODUCTS column
    ROW     \column, 0x4000000000000000, 0x4008000000000000, 0,  0x4018000000000000, 0,     0x4018000000000000, 0,     0x4018000000000000, 0,     0x4018000000000000, 0,     0x4018000000000000, 0
    ROW     \column, 0x7fefffffffffffff, 0x4000000000000000, 0,  0x7ff0000000000000, 0x5,   0x7fefffffffffffff, 0x5,   0x7fefffffffffffff, 0x5,   0x7ff0000000000000, 0x5,   0x7ff0000000000000, 0x5
    ROW     \column, 0xffefffffffffffff, 0x4000000000000000, 0,  0xfff0000000000000, 0x5,   0xffefffffffffffff, 0x5,   0xfff0000000000000, 0x5,   0xffefffffffffffff, 0x5,   0xfff0000000000000, 0x5
    ROW     \column, 0x10000000000000,   0x3fd5555555555555, 0,  0x5555555555555,    0x3,   0x5555555555555,    0x3,   0x5555555555555,    0x3,   0x5555555555556,    0x3,   0x5555555555555,    0x3
    ROW     \column, 0x1,                0x3fd5555555555555, 0,  0,                  0x3,   0,                  0x3,   0,                  0x3,   0x1,                0x3,   0,                  0x3
    ROW     \column, 0x1,                0x1,                0,  0,                  0x3,   0,                  0x3,   0,                  0x3,   0x1,                0x3,   0,                  0x3
    ROW     \column, 0xbff0000000000000, 0x1,                0,  0x8000000000000001, 0,     0x8000000000000001, 0,     0x8000000000000001, 0,     0x8000000000000001, 0,     0x8000000000000001, 0
    ROW     \column, 0x3fd5555555555555, 0x3fd5555555555555, 0,  0x3fbc71c71c71c71c, 0x1,   0x3fbc71c71c71c71b, 0x1,   0x3fbc71c71c71c71b, 0x1,   0x3fbc71c71c71c71c, 0x1,   0x3fbc71c71c71c71c, 0x1
    ROW     \column, 0x7ff0000000000000, 0,                  0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0x7ff0000000000000, 0xbff0000000000000, 0,  0xfff0000000000000, 0,     0xfff0000000000000, 0,     0xfff0000000000000, 0,     0xfff0000000000000, 0,     0xfff0000000000000, 0
    ROW     \column, 0x8000000000000000, 0x3ff0000000000000, 0,  0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0
    ROW     \column, 0x7ff8000000000005, 0x7ff0000000000001, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0xfff8000000000000, 0,                  0,  0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0
    ROW     \column, 0x3ff0000000000001, 0x3ff0000000000001, 0,  0x3ff0000000000002, 0x1,   0x3ff0000000000002, 0x1,   0x3ff0000000000002, 0x1,   0x3ff0000000000003, 0x1,   0x3ff0000000000002, 0x1
    ROW     \column, 0xfffffffffffff,    0x4000000000000000, 0,  0x1ffffffffffffe,   0,     0x1ffffffffffffe,   0,     0x1ffffffffffffe,   0,     0x1ffffffffffffe,   0,     0x1ffffffffffffe,   0
    ROW     \column, 0xfffffffffffff,    0x3ff0000000000001, 0,  0x10000000000000,   0x1,   0xfffffffffffff,    0x3,   0xfffffffffffff,    0x3,   0x10000000000000,   0x1,   0x10000000000000,   0x1
    .endm

    ROUNDED FTABLE, d, PRODUCTS, fmul.d fa3, fa0, fa1

    .macro QUOTIENTS column
    ROW     \column, 0x3ff0000000000000, 0x4008000000000000, 0,  0x3fd5555555555555, 0x1,   0x3fd5555555555555, 0x1,   0x3fd5555555555555, 0x1,   0x3fd5555555555556, 0x1,   0x3fd5555555555555, 0x1
    ROW     \column, 0xbff0000000000000, 0x4008000000000000, 0,  0xbfd5555555555555, 0x1,   0xbfd5555555555555, 0x1,   0xbfd5555555555556, 0x1,   0xbfd5555555555555, 0x1,   0xbfd5555555555555, 0x1
    ROW     \column, 0x3ff0000000000000, 0,                  0,  0x7ff0000000000000, 0x8,   0x7ff0000000000000, 0x8,   0x7ff0000000000000, 0x8,   0x7ff0000000000000, 0x8,   0x7ff0000000000000, 0x8
    ROW     \column, 0xbff0000000000000, 0,                  0,  0xfff0000000000000, 0x8,   0xfff0000000000000, 0x8,   0xfff0000000000000, 0x8,   0xfff0000000000000, 0x8,   0xfff0000000000000, 0x8
    ROW     \column, 0,                  0x8000000000000000, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0x7ff0000000000000, 0x7ff0000000000000, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0x7ff0000000000000, 0x1,                0,  0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0
    ROW     \column, 0x4008000000000000, 0x7ff0000000000000, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x1,                0x4000000000000000, 0,  0,                  0x3,   0,                  0x3,   0,                  0x3,   0x1,                0x3,   0x1,                0x3
    ROW     \column, 0x10000000000000,   0x7fefffffffffffff, 0,  0,                  0x3,   0,                  0x3,   0,                  0x3,   0x1,                0x3,   0,                  0x3
    ROW     \column, 0x7fefffffffffffff, 0x1,                0,  0x7ff0000000000000, 0x5,   0x7fefffffffffffff, 0x5,   0x7fefffffffffffff, 0x5,   0x7ff0000000000000, 0x5,   0x7ff0000000000000, 0x5
    ROW     \column, 0x7ff8000000000005, 0,                  0,  0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0
    ROW     \column, 0x7ff0000000000001, 0x3ff0000000000000, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0xfffffffffffff,    0x3ff0000000000000, 0,  0xfffffffffffff,    0,     0xfffffffffffff,    0,     0xfffffffffffff,    0,     0xfffffffffffff,    0,     0xfffffffffffff,    0
    ROW     \column, 0,                  0xbff0000000000000, 0,  0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0
    ROW     \column, 0x4000000000000000, 0x3fd5555555555555, 0,  0x4018000000000000, 0x1,   0x4018000000000000, 0x1,   0x4018000000000000, 0x1,   0x4018000000000001, 0x1,   0x4018000000000000, 0x1
    .endm

    ROUNDED FTABLE, d, QUOTIENTS, fdiv.d fa3, fa0, fa1

    .macro ROOTS column
    ROW     \column, 0,                  0, 0,  0,                  0,     0,                  0,     0,                  0,     0,                  0,     0,                  0
    ROW     \column, 0x8000000000000000, 0, 0,  0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0,     0x8000000000000000, 0
    ROW     \column, 0x3ff0000000000000, 0, 0,  0x3ff0000000000000, 0,     0x3ff0000000000000, 0,     0x3ff0000000000000, 0,     0x3ff0000000000000, 0,     0x3ff0000000000000, 0
    ROW     \column, 0x4000000000000000, 0, 0,  0x3ff6a09e667f3bcd, 0x1,   0x3ff6a09e667f3bcc, 0x1,   0x3ff6a09e667f3bcc, 0x1,   0x3ff6a09e667f3bcd, 0x1,   0x3ff6a09e667f3bcd, 0x1
    ROW     \column, 0x4008000000000000, 0, 0,  0x3ffbb67ae8584caa, 0x1,   0x3ffbb67ae8584caa, 0x1,   0x3ffbb67ae8584caa, 0x1,   0x3ffbb67ae8584cab, 0x1,   0x3ffbb67ae8584caa, 0x1
    ROW     \column, 0xbff0000000000000, 0, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0x3fd5555555555555, 0, 0,  0x3fe279a74590331c, 0x1,   0x3fe279a74590331c, 0x1,   0x3fe279a74590331c, 0x1,   0x3fe279a74590331d, 0x1,   0x3fe279a74590331c, 0x1
    ROW     \column, 0x7fefffffffffffff, 0, 0,  0x5fefffffffffffff, 0x1,   0x5fefffffffffffff, 0x1,   0x5fefffffffffffff, 0x1,   0x5ff0000000000000, 0x1,   0x5fefffffffffffff, 0x1
    ROW     \column, 0x10000000000000,   0, 0,  0x2000000000000000, 0,     0x2000000000000000, 0,     0x2000000000000000, 0,     0x2000000000000000, 0,     0x2000000000000000, 0
    ROW     \column, 0x1,                0, 0,  0x1e60000000000000, 0,     0x1e60000000000000, 0,     0x1e60000000000000, 0,     0x1e60000000000000, 0,     0x1e60000000000000, 0
    ROW     \column, 0xfffffffffffff,    0, 0,  0x1fffffffffffffff, 0x1,   0x1ffffffffffffffe, 0x1,   0x1ffffffffffffffe, 0x1,   0x1fffffffffffffff, 0x1,   0x1fffffffffffffff, 0x1
    ROW     \column, 0x7ff0000000000000, 0, 0,  0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0,     0x7ff0000000000000, 0
    ROW     \column, 0xfff0000000000000, 0, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0x7ff8000000000005, 0, 0,  0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0,     0x7ff8000000000000, 0
    ROW     \column, 0x7ff0000000000001, 0, 0,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10,  0x7ff8000000000000, 0x10
    ROW     \column, 0x3ff0000000000001, 0, 0,  0x3ff0000000000000, 0x1,   0x3ff0000000000000, 0x1,   0x3ff0000000000000, 0x1,   0x3ff0000000000001, 0x1,   0x3ff0000000000000, 0x1
    .endm

    ROUNDED FTABLE, d, ROOTS, fsqrt.d fa3, fa0

    END
