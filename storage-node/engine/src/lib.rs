//! The storage engine of one device: an append-only log, its index, and crash recovery.
