// Talks and listens: a numbered line every few milliseconds, by timer
// interrupt, and every typed line comes back with a number of its own. What
// is missing, doubled or torn in either stream shows in the numbers.
//
//   quit    powers off
//   panic   a few last words, and status 3
//   quiet   no more numbered lines
//   flood   20,000 lines at once
//   size    the window's size, as the virtio console tells it
#include "print.h"
#include "trap.h"

enum { UART_RBR = 0, UART_IER = 1, UART_FCR = 2, UART_LSR = 5 };
enum { IER_RX = 1, FCR_ENABLE = 1, LSR_DATA_READY = 1 };

#define BEAT (5 * TICKS_PER_MS)
#define FLOOD 20000
#define CONSOLE_CONFIG (VIRTIO_SLOT(2) + 0x100)

static volatile bool beat;

void interrupt(uint64_t cause) {
    if (cause == CAUSE_MACHINE_EXTERNAL) {
        // Asleep or not: main looks at the UART itself.
        write8(UART + UART_IER, 0);
        plic_complete(plic_claim());
    } else {
        beat = true;
        csr_clear(mie, MIE_MTIE);
    }
}

static bool is(const char *line, const char *word) {
    while (*word != 0 && *line == *word)
        line++, word++;
    return *line == *word;
}

// 8 digits, so that a torn line shows.
static void print_number(const char *what, uint64_t number) {
    char digits[9] = "00000000";
    for (int i = 7; i >= 0; i--, number /= 10)
        digits[i] = (char)('0' + number % 10);
    print("%s %s", what, digits);
}

int main(void) {
    static char line[200];
    uint64_t lines = 0, heard = 0, length = 0;
    bool quiet = false;

    write8(UART + UART_FCR, FCR_ENABLE);
    plic_enable(UART_IRQ);
    csr_set(mie, MIE_MEIE);
    print("chatter: here\n");
    uint64_t next = read64(CLINT_MTIME) + BEAT;
    for (;;) {
        csr_clear(mstatus, MSTATUS_MIE);
        write8(UART + UART_IER, IER_RX);
        write64(CLINT_MTIMECMP, next);
        if (!quiet)
            csr_set(mie, MIE_MTIE);
        while (!beat && !(read8(UART + UART_LSR) & LSR_DATA_READY)) {
            wfi();
            csr_set(mstatus, MSTATUS_MIE);
            csr_clear(mstatus, MSTATUS_MIE);
        }
        csr_set(mstatus, MSTATUS_MIE);
        if (beat) {
            beat = false;
            next += BEAT;
            print_number("line", lines++);
            print("\n");
        }
        while (read8(UART + UART_LSR) & LSR_DATA_READY) {
            char byte = (char)read8(UART + UART_RBR);
            if (byte != '\n' && byte != '\r') {
                if (length < sizeof line - 1)
                    line[length++] = byte;
                continue;
            }
            line[length] = 0;
            length = 0;
            print_number("heard", heard++);
            print(" %s\n", line);
            if (is(line, "quit"))
                return 0;
            if (is(line, "panic")) {
                print("chatter: the worst has come to pass\nchatter: no way on\n");
                return 3;
            }
            if (is(line, "quiet")) {
                quiet = true;
                csr_clear(mie, MIE_MTIE);
            }
            if (is(line, "flood"))
                for (int i = 0; i < FLOOD; i++) {
                    print_number("line", lines++);
                    print("\n");
                }
            if (is(line, "size")) {
                uint32_t size = read32(CONSOLE_CONFIG);
                print("size %d by %d\n", (int)(size & 0xffff), (int)(size >> 16));
            }
        }
    }
}
