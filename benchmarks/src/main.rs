//! A closed-loop load generator for any S3 endpoint, and the table that compares us with others.
//!
//! A figure such as "10 000 puts per second" says little on a machine that the client shares with the server and that
//! others use meanwhile. So each cell also prints the CPU seconds the *server* used per thousand operations, which
//! hold on a noisy machine, and the client is kept cheap: URLs are signed before the clock starts, bodies are slices of
//! one buffer, a connection is driven by the task that uses it.

mod args;
mod cell;
mod client;
mod content;
mod disk;
mod histogram;
mod load;
mod machine;
mod process;
mod report;
mod rivals;
mod server;
mod sign;
mod single;
mod suite;
#[cfg(test)]
mod testing;
mod work;

use args::{Cli, Command};
use clap::Parser;

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Suite(args) => suite::run(&args),
        other => single::run(other),
    }
}
