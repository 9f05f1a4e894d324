#pragma once

// From M-mode to S-mode, where the caller goes on: the same addresses, through pages of 4 KiB.
void enter_sv39(void);
