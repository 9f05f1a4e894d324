// Page tables: RAM as far as the programs reach, and the two devices that they use, at their own addresses.
#include "paging.h"
#include "machine.h"

#define PAGE 4096UL
#define ENTRIES 512
#define RAM 0x80000000UL
#define RAM_BYTES (48UL << 20)
#define TABLES (RAM_BYTES / PAGE / ENTRIES + 8)

#define PTE_V 0x01UL
#define PTE_RW 0x06UL
#define PTE_X 0x08UL
#define PTE_AD 0xc0UL

static uint64_t tables[TABLES][ENTRIES] __attribute__((aligned(4096)));
static unsigned tables_used = 1; // the first is the root

void enter_supervisor(uint64_t satp);

static uint64_t *table_below(uint64_t *entry) {
    if (*entry == 0) {
        if (tables_used == TABLES)
            power_off(2);
        *entry = (uintptr_t)tables[tables_used++] >> 12 << 10 | PTE_V;
    }
    return (uint64_t *)(*entry >> 10 << 12);
}

static void map_page(uintptr_t at, uint64_t rights) {
    uint64_t *middle = table_below(&tables[0][at >> 30 & 511]);
    uint64_t *last = table_below(&middle[at >> 21 & 511]);
    last[at >> 12 & 511] = at >> 12 << 10 | PTE_AD | PTE_V | rights;
}

void enter_sv39(void) {
    map_page(UART, PTE_RW);
    map_page(FINISHER, PTE_RW);
    for (uintptr_t at = RAM; at < RAM + RAM_BYTES; at += PAGE)
        map_page(at, PTE_RW | PTE_X);
    csr_write(pmpaddr0, ~0UL);
    csr_write(pmpcfg0, 0x1f); // all of it, for every mode
    enter_supervisor(8UL << 60 | (uintptr_t)tables[0] >> 12);
}
