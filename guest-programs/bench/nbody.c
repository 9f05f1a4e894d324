// Bodies that attract each other: square roots and divisions among sums and products.
#include "bench.h"

#define BODIES 6
#define STEPS 1000
#define STEP 0.001

struct body {
    double place[3], speed[3], mass;
};

static struct body bodies[BODIES];

static void attract(struct body *one, struct body *other) {
    double away[3], square = 0.01;
    for (int d = 0; d < 3; d++) {
        away[d] = one->place[d] - other->place[d];
        square += away[d] * away[d];
    }
    double pull = STEP / (square * __builtin_sqrt(square));
    for (int d = 0; d < 3; d++) {
        one->speed[d] -= away[d] * other->mass * pull;
        other->speed[d] += away[d] * one->mass * pull;
    }
}

static double energy(void) {
    double total = 0.0;
    for (int i = 0; i < BODIES; i++)
        for (int d = 0; d < 3; d++)
            total += bodies[i].mass * bodies[i].speed[d] * bodies[i].speed[d] / 2.0;
    return total;
}

uint64_t nbody(uint64_t rounds) {
    uint64_t sum = 0, state = 5;
    for (int i = 0; i < BODIES; i++) {
        for (int d = 0; d < 3; d++) {
            bodies[i].place[d] = (double)(int64_t)(next_random(&state) >> 44) * 0x1p-17;
            bodies[i].speed[d] = (double)(int64_t)(next_random(&state) >> 44) * 0x1p-21;
        }
        bodies[i].mass = 1.0 + i;
    }
    for (uint64_t round = 0; round < rounds; round++) {
        for (int step = 0; step < STEPS; step++) {
            for (int i = 0; i < BODIES; i++)
                for (int j = i + 1; j < BODIES; j++)
                    attract(&bodies[i], &bodies[j]);
            for (int i = 0; i < BODIES; i++)
                for (int d = 0; d < 3; d++)
                    bodies[i].place[d] += STEP * bodies[i].speed[d];
        }
        sum = mix(sum, bits_of(energy()));
    }
    return sum;
}
