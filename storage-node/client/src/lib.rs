//! Chunks over a ring of devices: placement, quorum, fall-over, erasure coding, read repair.
