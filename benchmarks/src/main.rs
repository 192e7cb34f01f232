//! A closed-loop load generator for any S3 endpoint.

fn main() {}
