#include "crunch.h"

#define NUMBERS 8192

static uint64_t numbers[NUMBERS];

// Heapsort: branches that no predictor knows.
static void sift_down(size_t root, size_t end) {
    uint64_t value = numbers[root];
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= end)
            break;
        if (child + 1 < end && numbers[child + 1] > numbers[child])
            child++;
        if (numbers[child] <= value)
            break;
        numbers[root] = numbers[child];
        root = child;
    }
    numbers[root] = value;
}

uint64_t sorts(uint64_t round) {
    uint64_t seed = round + 13;
    for (size_t i = 0; i < NUMBERS; i++)
        numbers[i] = next_random(&seed);
    for (size_t root = NUMBERS / 2; root-- > 0;)
        sift_down(root, NUMBERS);
    for (size_t end = NUMBERS - 1; end > 0; end--) {
        uint64_t top = numbers[0];
        numbers[0] = numbers[end];
        numbers[end] = top;
        sift_down(0, end);
    }
    uint64_t result = 0;
    for (size_t i = 1; i < NUMBERS; i++)
        result = result * 31 + (numbers[i] >= numbers[i - 1] ? numbers[i] : i);
    return result;
}
