#include "matrix.h"

uint64_t matrix(uint64_t rounds) { return multiply(rounds); }
