// Prints without end: the reader of its output must bound it.
#include "print.h"

int main(void) {
    for (uint64_t line = 0;; line++)
        print("loop_print: line %lu of a text that never ends\n", line);
}
