// As in kv; its answers pass through diskkv.c.
#define datagram_answer kv_answer
#include "../kv/requests.c"
