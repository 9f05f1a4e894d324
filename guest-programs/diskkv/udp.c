// As in kv.
#include "../kv/udp.c"
