//! The model against a small world of maps, and its bytes against golden ones.
