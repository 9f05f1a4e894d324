// As in kv.
#include "../kv/ip.c"
