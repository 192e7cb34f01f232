//! The ringfort binary: everything in one process, and the operator commands.

fn main() {}
