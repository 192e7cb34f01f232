//! Sync points.
