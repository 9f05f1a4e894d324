// As in kv.
#include "../kv/store.c"
