#include "crunch.h"
#include "memory.h"

#define ORDER 56

static double a[ORDER][ORDER], b[ORDER][ORDER], c[ORDER][ORDER];

// A product of two matrices of doubles, scaled by a square root and a
// division, so that every rounding shows in the bits of the trace.
uint64_t matrices(uint64_t round) {
    uint64_t seed = round + 7;
    for (int i = 0; i < ORDER; i++)
        for (int j = 0; j < ORDER; j++) {
            a[i][j] = (double)(int64_t)(next_random(&seed) >> 40) / 3.0;
            b[i][j] = (double)(int64_t)(next_random(&seed) >> 40) * 0x1p-20;
        }
    for (int i = 0; i < ORDER; i++)
        for (int j = 0; j < ORDER; j++) {
            double sum = 0.0;
            for (int k = 0; k < ORDER; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
    double trace = 0.0;
    for (int i = 0; i < ORDER; i++)
        trace += __builtin_sqrt(c[i][ORDER - 1 - i]) / (c[i][i] + 1.0);
    uint64_t bits;
    memcpy(&bits, &trace, sizeof bits);
    return bits;
}
