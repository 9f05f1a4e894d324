// Calls: Fibonacci numbers by definition, Ackermann's function, and queens on a board, through a pointer.
#include "bench.h"

__attribute__((noinline, optimize("no-optimize-sibling-calls", "no-inline"))) static uint64_t fibonacci(uint64_t n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__attribute__((noinline, optimize("no-optimize-sibling-calls", "no-inline"))) static uint64_t ackermann(uint64_t m, uint64_t n) {
    if (m == 0)
        return n + 1;
    return ackermann(m - 1, n == 0 ? 1 : ackermann(m, n - 1));
}

struct board {
    uint64_t all, found;
    void (*place)(struct board *, uint64_t, uint64_t, uint64_t);
};

__attribute__((noinline)) static void place(struct board *board, uint64_t columns, uint64_t left, uint64_t right) {
    if (columns == board->all) {
        board->found++;
        return;
    }
    for (uint64_t free = board->all & ~(columns | left | right); free != 0; free &= free - 1) {
        uint64_t queen = free & -free;
        board->place(board, columns | queen, (left | queen) << 1, (right | queen) >> 1);
    }
}

uint64_t recursion(uint64_t rounds) {
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        struct board board = {.all = (1 << 8) - 1, .place = place};
        board.place(&board, 0, 0, 0);
        sum = mix(sum, fibonacci(18 + round % 3) + ackermann(2, 40 + round % 8) + board.found);
    }
    return sum;
}
