// Quicksort: branches that no predictor knows, and recursion.
#include "bench.h"

#define NUMBERS 50000
#define FEW 12

static uint64_t numbers[NUMBERS];

static void insert_few(uint64_t *from, size_t count) {
    for (size_t i = 1; i < count; i++) {
        uint64_t value = from[i];
        size_t at = i;
        for (; at > 0 && from[at - 1] > value; at--)
            from[at] = from[at - 1];
        from[at] = value;
    }
}

static void sort(uint64_t *from, size_t count) {
    while (count > FEW) {
        uint64_t pivot = from[count / 2];
        size_t low = 0, high = count - 1;
        for (;;) {
            while (from[low] < pivot)
                low++;
            while (from[high] > pivot)
                high--;
            if (low >= high)
                break;
            uint64_t value = from[low];
            from[low++] = from[high];
            from[high--] = value;
        }
        // The shorter part by recursion: its depth is logarithmic.
        if (low < count - low) {
            sort(from, low);
            from += low;
            count -= low;
        } else {
            sort(from + low, count - low);
            count = low;
        }
    }
    insert_few(from, count);
}

uint64_t quicksort(uint64_t rounds) {
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t state = round + 13;
        for (size_t i = 0; i < NUMBERS; i++)
            numbers[i] = next_random(&state);
        sort(numbers, NUMBERS);
        for (size_t i = 1; i < NUMBERS; i++)
            sum = sum * 31 + (numbers[i] >= numbers[i - 1] ? numbers[i] : i);
    }
    return sum;
}
