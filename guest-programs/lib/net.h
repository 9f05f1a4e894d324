// Ethernet frames through virtio-net in slot 0. Received frames are borrowed
// and given back; frames to send are written where net_frame says and leave
// together at net_flush. Nothing here waits except net_wait and net_drain,
// and both sleep.
#pragma once
#include "machine.h"

#define FRAME_MAX 1514

extern uint8_t net_mac[6];

// False when slot 0 holds no usable virtio-net.
bool net_start(void);

// The next received frame, or NULL when there is none, or when no frame could
// be sent in reply to it: then it waits for net_wait.
const uint8_t *net_take(size_t *len);
void net_give_back(const uint8_t *frame);

// Where the next frame to send is to be written. After a frame was taken there
// is always room for one; net_send commits it.
uint8_t *net_frame(void);
void net_send(size_t len);

// How many frames could be written and sent now.
uint32_t net_room(void);

// Lets the device see what was sent and given back.
void net_flush(void);

// Sleeps until the device, or another interrupt that is enabled in mie, has
// something to say.
void net_wait(void);

// Sleeps until all that was sent has left the guest.
void net_drain(void);
