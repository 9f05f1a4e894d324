// The addresses are chosen so that the text of a UDP datagram is aligned to 8
// and its IP header to 4: a buffer starts at 2 (mod 8), then come 12 bytes of
// virtio-net header, 14 of Ethernet, 20 of IP and 8 of UDP.
//
// Cost per request in device registers: claim, acknowledge and complete the
// interrupt, one bell for the reply; the bell for returned receive buffers
// rings once for eight of them. Send interrupts are off unless every send
// buffer is on its way.
#include "net.h"
#include "virtio.h"

#define SLOT VIRTIO_SLOT(0)
#define IRQ VIRTIO_IRQ(0)
#define VIRTIO_NET_F_MAC (1UL << 5)

enum { QUEUE_RX = 0, QUEUE_TX = 1 };

#define HEADER_SIZE 12
#define BUFFER_OFFSET 2
#define BUFFER_SIZE (HEADER_SIZE + FRAME_MAX)
#define BUFFER_STRIDE 1536
#define RETURN_BATCH 8

typedef uint8_t buffer[BUFFER_STRIDE];

_Alignas(8) uint8_t net_mac[6];

static struct virtq rx, tx;
static _Alignas(8) buffer rx_buffers[QUEUE_SIZE], tx_buffers[QUEUE_SIZE];

// Send buffers that the device does not hold: a stack of numbers.
static uint16_t tx_free[QUEUE_SIZE];
static uint32_t tx_free_count;

bool net_start(void) {
    if (virtio_device_id(SLOT) != VIRTIO_NET || !virtio_begin(SLOT, VIRTIO_NET_F_MAC))
        return false;
    for (int i = 0; i < 6; i++)
        net_mac[i] = read8(SLOT + VIRTIO_CONFIG + i);
    if (!virtq_setup(SLOT, QUEUE_RX, &rx) || !virtq_setup(SLOT, QUEUE_TX, &tx))
        return false;
    for (uint16_t i = 0; i < QUEUE_SIZE; i++) {
        rx.desc[i].addr = (uintptr_t)(rx_buffers[i] + BUFFER_OFFSET);
        rx.desc[i].len = BUFFER_SIZE;
        rx.desc[i].flags = DESC_WRITE;
        virtq_post(&rx, i);
        tx.desc[i].addr = (uintptr_t)(tx_buffers[i] + BUFFER_OFFSET);
        tx_free[i] = i;
    }
    tx_free_count = QUEUE_SIZE;
    tx.avail.flags = AVAIL_NO_INTERRUPT;
    plic_enable(IRQ);
    csr_set(mie, MIE_MEIE); // wakes wfi; mstatus.MIE stays off, nothing traps
    virtio_start(SLOT);
    virtq_publish(SLOT, QUEUE_RX, &rx);
    return true;
}

static void reclaim_sent(void) {
    uint16_t desc;
    uint32_t len;
    while (virtq_take(&tx, &desc, &len))
        tx_free[tx_free_count++] = desc;
}

const uint8_t *net_take(size_t *len) {
    if (tx_free_count == 0) {
        reclaim_sent();
        if (tx_free_count == 0)
            return NULL;
    }
    uint16_t desc;
    uint32_t used;
    if (!virtq_take(&rx, &desc, &used))
        return NULL;
    *len = used < HEADER_SIZE ? 0 : used - HEADER_SIZE;
    return rx_buffers[desc] + BUFFER_OFFSET + HEADER_SIZE;
}

void net_give_back(const uint8_t *frame) {
    virtq_post(&rx, (uint16_t)((size_t)(frame - rx_buffers[0]) / BUFFER_STRIDE));
}

uint8_t *net_frame(void) {
    return tx_buffers[tx_free[tx_free_count - 1]] + BUFFER_OFFSET + HEADER_SIZE;
}

void net_send(size_t len) {
    uint16_t desc = tx_free[--tx_free_count];
    tx.desc[desc].len = (uint32_t)(HEADER_SIZE + len);
    virtq_post(&tx, desc);
}

uint32_t net_room(void) {
    reclaim_sent();
    return tx_free_count;
}

void net_flush(void) {
    if (tx.posted != tx.avail.idx)
        virtq_publish(SLOT, QUEUE_TX, &tx);
    if ((uint16_t)(rx.posted - rx.avail.idx) >= RETURN_BATCH)
        virtq_publish(SLOT, QUEUE_RX, &rx);
}

static void sleep(void) {
    wfi();
    uint32_t irq = plic_claim();
    if (irq == IRQ)
        write32(SLOT + VIRTIO_INTERRUPT_ACK, 3);
    if (irq != 0)
        plic_complete(irq);
}

void net_wait(void) {
    if (tx_free_count == 0) {
        tx.avail.flags = 0;
        fence();
        reclaim_sent(); // what left before the device saw the flag
        while (tx_free_count == 0) {
            sleep();
            reclaim_sent();
        }
        tx.avail.flags = AVAIL_NO_INTERRUPT;
        return;
    }
    sleep();
}

void net_drain(void) {
    tx.avail.flags = 0;
    fence();
    reclaim_sent();
    while (tx_free_count != QUEUE_SIZE) {
        sleep();
        reclaim_sent();
    }
}
