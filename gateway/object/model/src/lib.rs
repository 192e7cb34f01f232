//! The deterministic commands and records of containers and objects. Pure.
