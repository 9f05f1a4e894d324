// Kernels to measure engines with, in M-mode and in S-mode under Sv39 with pages of 4 KiB.
//
// As built, all of them run in both modes. `lockstep bench --engines` writes into `bench_choice`, in a copy of
// the ELF file, which one is to run, in which mode and how much of it; the text before it is how it is found.
#include "bench.h"
#include "paging.h"
#include "print.h"

#define ALL 0xffffffff

enum { BARE, SV39, BOTH };

__attribute__((used, section(".patched"))) volatile struct {
    char marker[16];
    uint32_t kernel;  // its place in the table; ALL
    uint32_t mode;    // BARE, SV39, BOTH
    uint32_t shorten; // divides the rounds: 1 for all of them
} bench_choice = {"lockstep bench:", ALL, BOTH, 1};

static const struct kernel {
    const char *name;
    uint64_t (*run)(uint64_t rounds);
    uint64_t rounds;
    uint64_t checksum; // after all rounds
} kernels[] = {
#include "table.h"
};

enum { KERNELS = sizeof kernels / sizeof kernels[0] };

static bool run(const struct kernel *kernel, const char *mode) {
    uint64_t shorten = bench_choice.shorten > 0 ? bench_choice.shorten : 1;
    uint64_t rounds = kernel->rounds / shorten > 0 ? kernel->rounds / shorten : 1;
    uint64_t checksum = kernel->run(rounds);
    print("bench: %s %s %016lx\n", kernel->name, mode, checksum);
    if (rounds == kernel->rounds && checksum != kernel->checksum) {
        print("bench: wrong, expected %016lx\n", kernel->checksum);
        return false;
    }
    return true;
}

static bool run_chosen(const char *mode) {
    uint32_t chosen = bench_choice.kernel;
    bool right = true;
    for (uint32_t k = 0; k < KERNELS; k++)
        if (chosen == ALL || chosen == k)
            right &= run(&kernels[k], mode);
    return right;
}

int main(void) {
    bool right = true;
    if (bench_choice.mode != SV39)
        right &= run_chosen("bare");
    if (bench_choice.mode != BARE) {
        enter_sv39();
        right &= run_chosen("sv39");
    }
    power_off(right ? 0 : 1);
}
