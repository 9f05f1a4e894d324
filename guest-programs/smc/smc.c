// Self-modifying code, with and without fence.i. On lockstep a store is seen
// by the very next fetch, so every case has one right answer with or without
// the fence, whatever was decoded, cached or translated before. The checksum
// covers all the answers.
//
// The architecture promises this only after fence.i. QEMU keeps it too, except
// for an instruction close behind the store: the last two cases pass there
// only with -singlestep.
#include "smc.h"
#include "memory.h"
#include "print.h"

#define PAGE 4096

static _Alignas(PAGE) uint8_t code[4 * PAGE];

static uint64_t checksum = 0xcbf29ce484222325;
static const char *case_name;
static uint64_t wrong;
static bool fenced; // the pass that says fence.i after each change

static void synchronize(void) {
    if (fenced)
        asm volatile("fence.i" ::: "memory");
}

static void expect(uint64_t found, uint64_t expected) {
    checksum = (checksum ^ found) * 0x100000001b3;
    if (found == expected)
        return;
    if (wrong++ < 20)
        print("smc: %s%s: expected %lu, found %lu\n", case_name, fenced ? " (fenced)" : "",
              expected, found);
}

static void put16(void *at, uint16_t half) { store_half(at, half); }

static void put32(void *at, uint32_t word) {
    put16(at, (uint16_t)word);
    put16((uint8_t *)at + 2, (uint16_t)(word >> 16));
}

static void rewritten_function(void) {
    put32(code + 4, RET);
    for (int n = 0; n < 200; n++) {
        put32(code, li(A0, n));
        synchronize();
        for (int calls = 0; calls <= n % 7; calls++)
            expect(run(code, 0), (uint64_t)n);
    }
}

static void hot_then_rewritten(void) {
    put32(code + 4, RET);
    for (int n = 1; n <= 4; n++) {
        put32(code, addi(A0, A0, n));
        synchronize();
        uint64_t sum = 0;
        for (int calls = 0; calls < 2000; calls++)
            sum = run(code, sum);
        expect(sum, 2000 * (uint64_t)n);
    }
}

static void next_instruction(void) {
    for (int n = 1; n < 50; n++)
        expect(fenced ? patch_next_fenced(li(A0, n)) : patch_next(li(A0, n)), (uint64_t)n);
}

static void own_loop(void) {
    for (uint64_t count = 1; count < 2000; count += 333)
        expect(fenced ? patch_own_loop_fenced(count) : patch_own_loop(count),
               count * (count + 1) / 2);
}

// A run of instructions that goes on into the next page, changed there while
// the first page stays.
static void next_page(void) {
    uint8_t *boundary = code + PAGE;
    put32(boundary - 4, addi(A0, A0, 1));
    put32(boundary + 4, RET);
    for (int n = 0; n < 50; n++) {
        put32(boundary, addi(A0, A0, n));
        synchronize();
        expect(run(boundary - 4, 100), 101 + (uint64_t)n);
    }
}

// One instruction in two pages: its halves change together in one
// misaligned store, and one at a time.
static void across_pages(void) {
    uint8_t *at = code + 2 * PAGE - 2;
    put32(at, li(A0, 1));
    put32(at + 4, RET);
    synchronize();
    expect(run(at, 0), 1);
    for (int n = 2; n < 40; n++) {
        store_word(at, addi(A0, A0, n));
        synchronize();
        expect(run(at, 5), 5 + (uint64_t)n);
        put16(at, (uint16_t)xori(A0, A0, n)); // the lower half says which operation
        synchronize();
        expect(run(at, 5), 5 ^ (uint64_t)n);
        put16(at + 2, (uint16_t)(xori(A0, A0, n + 1) >> 16)); // the upper one has the immediate
        synchronize();
        expect(run(at, 5), 5 ^ (uint64_t)(n + 1));
    }
    put16(at, (uint16_t)c_li(A0, 9)); // now 2 bytes; the next one begins in the next page
    put16(at + 2, C_RET);
    synchronize();
    expect(run(at, 0), 9);
    put16(at + 2, (uint16_t)c_addi(A0, 3));
    put32(at + 4, RET);
    synchronize();
    expect(run(at, 0), 12);
}

// Two short instructions become a long one and two again.
static void boundaries_move(void) {
    put16(code + 4, C_RET);
    for (int n = 0; n < 16; n++) {
        put16(code, c_li(A0, n));
        put16(code + 2, c_addi(A0, 2));
        synchronize();
        expect(run(code, 0), (uint64_t)n + 2);
        put32(code, li(A0, 1000 + n));
        synchronize();
        expect(run(code, 0), 1000 + (uint64_t)n);
        put16(code, C_NOP);
        put16(code + 2, c_li(A0, n));
        synchronize();
        expect(run(code, 0), (uint64_t)n);
    }
}

// The upper half of a long instruction is a short one, entered by a jump: the
// same bytes belong to both and change for both.
static void middle_of_instruction(void) {
    for (int n = 1; n < 31; n++) {
        // lui a0, with c_addi(A0, n) as the upper 16 bits of its immediate
        put16(code, 0x0537);
        put16(code + 2, c_addi(A0, n));
        put16(code + 4, C_RET);
        synchronize();
        expect(run(code, 0), (uint64_t)c_addi(A0, n) << 16);
        expect(run(code + 2, 50), 50 + (uint64_t)n);
    }
}

static void every_kind_of_store(void) {
    static void (*const word_stores[])(void *, uint64_t) = {
        store_word, store_word_compressed, store_float, store_conditional, store_swap,
    };
    static void (*const double_stores[])(void *, uint64_t) = {
        store_double,
        store_float_double,
        store_swap_double,
    };
    put32(code + 8, RET);
    for (int n = 0; n < 30; n++) {
        for (size_t s = 0; s < sizeof word_stores / sizeof word_stores[0]; s++) {
            int value = n * 8 + (int)s;
            put32(code + 4, addi(A0, A0, 0));
            word_stores[s](code, li(A0, value));
            synchronize();
            expect(run(code, 0), (uint64_t)value);
        }
        for (size_t s = 0; s < sizeof double_stores / sizeof double_stores[0]; s++) {
            int value = n * 8 + (int)s;
            double_stores[s](code, li(A0, value) | (uint64_t)addi(A0, A0, n) << 32);
            synchronize();
            expect(run(code, 0), (uint64_t)value + (uint64_t)n);
        }
        store_byte(code + 3, (uint64_t)n); // bits 11:4 of the immediate
        store_byte(code + 2, 0x30);        // bits 3:0, and rs1 = x0
        synchronize();
        expect(run(code, 0), (uint64_t)n * 16 + 3 + (uint64_t)n);
    }
}

// A page holds code, then data, then other code.
static void page_reused(void) {
    for (int n = 0; n < 20; n++) {
        uint8_t *at = code + 3 * PAGE + 8 * (n % 5);
        memset(code + 3 * PAGE, n, PAGE);
        put32(at, li(A0, 77 + n));
        put32(at + 4, RET);
        synchronize();
        expect(run(at, 0), 77 + (uint64_t)n);
        expect(code[3 * PAGE + 100], (uint64_t)n);
    }
}

// The same page at two addresses under Sv39: written at one, run at the other;
// then the address is given to another page.
enum { PTE_V = 1, PTE_R = 2, PTE_W = 4, PTE_X = 8, PTE_A = 64, PTE_D = 128 };
#define PTE_ALL (PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D)
#define SATP_SV39 (8UL << 60)
#define ALIAS ((uint8_t *)0x40000000UL) // second entry of the root table

static _Alignas(PAGE) uint64_t root[512], middle[512], leaf[512];

static uint64_t entry(const void *page, uint64_t flags) {
    return (uint64_t)page >> 12 << 10 | flags;
}

static void set_alias(const void *page) {
    leaf[0] = entry(page, PTE_ALL);
    asm volatile("sfence.vma" ::: "memory");
}

static void two_addresses(void) {
    root[1] = entry(middle, PTE_V);
    root[2] = entry((void *)0x80000000UL, PTE_ALL); // a gigapage, to itself
    middle[0] = entry(leaf, PTE_V);
    csr_write(pmpaddr0, ~0UL >> 10); // S-mode may use all of memory
    csr_write(pmpcfg0, 0x1f);
    csr_write(satp, SATP_SV39 | (uint64_t)root >> 12);
    uint8_t *here = code + PAGE;
    uint8_t *there = code + 2 * PAGE;
    put32(here + 4, RET);
    put32(there, li(A0, 5));
    put32(there + 4, RET);
    for (int n = 0; n < 30; n++) {
        set_alias(here);
        // Without a fence between store and call in either pass.
        expect(supervised(ALIAS, li(A0, n), here), (uint64_t)n);
        expect(supervised(here, li(A0, n + 100), ALIAS), (uint64_t)n + 100);
        set_alias(there);
        expect(supervised(here, li(A0, n), ALIAS), 5);
        expect(supervised(there + 8, RET, here), (uint64_t)n);
    }
    csr_write(satp, 0);
    asm volatile("sfence.vma" ::: "memory");
}

static const struct {
    const char *name;
    void (*check)(void);
} cases[] = {
    {"a function rewritten between calls", rewritten_function},
    {"a hot function rewritten", hot_then_rewritten},
    {"the next page rewritten", next_page},
    {"an instruction across two pages", across_pages},
    {"instruction boundaries that move", boundaries_move},
    {"the middle of an instruction", middle_of_instruction},
    {"every kind of store", every_kind_of_store},
    {"a page reused", page_reused},
    {"one page at two addresses", two_addresses},
    {"a loop that patches itself", own_loop},
    {"the very next instruction", next_instruction},
};

int main(void) {
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        case_name = cases[c].name;
        uint64_t before = wrong;
        fenced = true;
        cases[c].check();
        fenced = false;
        cases[c].check();
        print("smc: %s: %s\n", case_name, wrong == before ? "right" : "WRONG");
    }
    print("smc: checksum %016lx\n", checksum);
    return wrong == 0 ? 0 : 1;
}
