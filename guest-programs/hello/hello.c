// Prints a line and powers off: the smallest whole run.
#include "print.h"

int main(void) {
    print("hello from a machine that may outlive its host\n");
    return 0;
}
