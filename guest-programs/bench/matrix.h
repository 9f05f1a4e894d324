// A product of matrices of doubles, and of floats; the build decides whether a product and a sum become one
// operation (fused, with one rounding).
#include "bench.h"

#define ORDER 64

static double a[ORDER][ORDER], b[ORDER][ORDER], c[ORDER][ORDER];
static float single_a[ORDER][ORDER], single_b[ORDER][ORDER];

static uint64_t multiply(uint64_t rounds) {
    uint64_t sum = 0, state = 7;
    for (int i = 0; i < ORDER; i++)
        for (int j = 0; j < ORDER; j++) {
            a[i][j] = (double)(int64_t)(next_random(&state) >> 40) / 3.0;
            b[i][j] = (double)(int64_t)(next_random(&state) >> 40) * 0x1p-20;
            single_a[i][j] = (float)a[i][j];
            single_b[i][j] = (float)b[i][j];
        }
    for (uint64_t round = 0; round < rounds; round++) {
        for (int i = 0; i < ORDER; i++)
            for (int j = 0; j < ORDER; j++) {
                double total = 0.0;
                for (int k = 0; k < ORDER; k++)
                    total += a[i][k] * b[k][j];
                c[i][j] = total;
            }
        double trace = 0.0;
        for (int i = 0; i < ORDER; i++) {
            float total = 0.0f;
            for (int k = 0; k < ORDER; k++)
                total += single_a[i][k] * single_b[k][i];
            trace += __builtin_sqrt(c[i][ORDER - 1 - i]) / (c[i][i] + 1.0) + (double)total;
        }
        a[round % ORDER][round % 7] += 1.0 / 3.0;
        sum = mix(sum, bits_of(trace));
    }
    return sum;
}
