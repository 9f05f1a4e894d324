// As in kv.
#include "../kv/net.c"
