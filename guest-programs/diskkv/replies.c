// As in kv.
#include "../kv/replies.c"
