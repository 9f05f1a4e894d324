// The protocol: `<id> <VERB> [args]` in, `<id> <result>` out.
#pragma once
#include "machine.h"

// True once a HALT was answered: power off when the reply has left.
extern bool halt_requested;
