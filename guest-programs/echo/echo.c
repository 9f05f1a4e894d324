// Console input by interrupt: every byte comes back as it was, a carriage
// return with a line feed after it. Asleep in wfi otherwise. A line that
// starts with "quit", or ^D, powers off.
#include "print.h"
#include "trap.h"

enum { UART_RBR = 0, UART_IER = 1, UART_FCR = 2, UART_LSR = 5 };
enum { IER_RX = 1, FCR_ENABLE = 1, LSR_DATA_READY = 1 };
enum { CTRL_D = 4 };

// Filled by the interrupt, emptied by main. When it is full the interrupt
// leaves the bytes to the UART and its own enable bit off.
#define RING 256
static volatile uint8_t ring[RING];
static volatile uint32_t ring_in, ring_out;

static void receive(void) {
    while (read8(UART + UART_LSR) & LSR_DATA_READY) {
        if (ring_in - ring_out == RING) {
            write8(UART + UART_IER, 0);
            return;
        }
        ring[ring_in % RING] = read8(UART + UART_RBR);
        ring_in++;
    }
}

void interrupt(uint64_t cause) {
    if (cause != CAUSE_MACHINE_EXTERNAL) {
        print("echo: unexpected interrupt %lu\n", cause & ~INTERRUPT);
        power_off(1);
    }
    uint32_t irq = plic_claim();
    if (irq == UART_IRQ)
        receive();
    if (irq != 0)
        plic_complete(irq);
}

// wfi wakes for a pending interrupt also while mstatus.MIE is off; so nothing
// can come between looking at the ring and falling asleep.
static uint8_t next_byte(void) {
    csr_clear(mstatus, MSTATUS_MIE);
    while (ring_in == ring_out) {
        wfi();
        csr_set(mstatus, MSTATUS_MIE);
        csr_clear(mstatus, MSTATUS_MIE);
    }
    uint8_t byte = ring[ring_out % RING];
    ring_out++;
    write8(UART + UART_IER, IER_RX);
    csr_set(mstatus, MSTATUS_MIE);
    return byte;
}

int main(void) {
    static const char quit[] = "quit";
    uint32_t matched = 0; // bytes of this line equal to those of `quit`
    uint32_t column = 0;
    uint64_t bytes = 0;

    write8(UART + UART_FCR, FCR_ENABLE);
    write8(UART + UART_IER, IER_RX);
    plic_enable(UART_IRQ);
    csr_set(mie, MIE_MEIE);
    print("echo: type; a line that starts with quit, or ^D, ends it\n");
    for (;;) {
        uint8_t byte = next_byte();
        bytes++;
        if (byte == CTRL_D)
            break;
        print_byte((char)byte);
        if (byte == '\r')
            print_byte('\n');
        if (byte == '\r' || byte == '\n') {
            if (matched == sizeof quit - 1)
                break;
            matched = column = 0;
            continue;
        }
        if (column == matched && matched < sizeof quit - 1 && byte == (uint8_t)quit[matched])
            matched++;
        column++;
    }
    print("echo: %lu bytes\n", bytes);
    return 0;
}
