# mcycle, minstret and their enables; what each mode sees of them; mcountinhibit.
#include "suite.h"

    .macro ENABLES m, s
    csrwi   mcounteren, \m
    csrwi   scounteren, \s
    .endm

    BEGIN
    # They only grow, by at least one for an instruction in between. (By how much, QEMU does not say.)
    csrr    a0, cycle
    nop
    csrr    a1, cycle
    sltu    a2, a0, a1
    CHECK   a2, 1
    csrr    a0, minstret
    nop
    csrr    a1, minstret
    sltu    a2, a0, a1
    CHECK   a2, 1
    csrr    a0, time
    csrr    a1, time
    sltu    a2, a1, a0
    CHECK   a2, 0

    # Enables: M-mode sees everything, S-mode by mcounteren, U-mode by both.
    ENABLES 0, 0
    csrr    a0, cycle
    csrr    a0, time
    csrr    a0, instret
    .irp    csr, 0xc00, 0xc01, 0xc02
    MAY_NOT S, CSRR(\csr)
    MAY_NOT U, CSRR(\csr)
    .endr
    ENABLES 7, 0
    .irp    csr, 0xc00, 0xc01, 0xc02
    MAY     S, CSRR(\csr)
    MAY_NOT U, CSRR(\csr)
    .endr
    ENABLES 0, 7
    MAY_NOT S, CSRR(0xc00)
    MAY_NOT U, CSRR(0xc01)
    ENABLES 7, 7
    .irp    csr, 0xc00, 0xc01, 0xc02
    MAY     S, CSRR(\csr)
    MAY     U, CSRR(\csr)
    .endr
    # Each by its own bit.
    ENABLES 2, 7
    MAY     U, CSRR(0xc01)
    MAY_NOT U, CSRR(0xc00)
    MAY_NOT U, CSRR(0xc02)
    ENABLES 7, 4
    MAY     U, CSRR(0xc02)
    MAY_NOT U, CSRR(0xc00)
    MAY_NOT U, CSRR(0xc01)
    MAY     S, CSRR(0xc00)
    ENABLES 7, 7
    # The other counters are closed to modes below M, and can stay at 0.
    csrr    a0, mhpmcounter3
    csrr    a0, mhpmevent3
    csrr    a0, mhpmcounter31
    csrr    a0, hpmcounter4
    MAY_NOT U, CSRR(0xc03)
    MAY_NOT S, CSRR(0xc04)

    # Inhibited, they stand still, and can be written.
    csrwi   mcountinhibit, 5
    csrr    a0, mcountinhibit
    andi    a0, a0, 7
    CHECK   a0, 5
    csrwi   mcountinhibit, 0
    csrr    a0, mcountinhibit
    andi    a0, a0, 7
    CHECK   a0, 0
    END
