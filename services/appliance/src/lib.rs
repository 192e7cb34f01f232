//! The ringfort binary: everything in one process, and the operator commands.
//!
//! `ringfort up` opens a data folder, serves it and stops cleanly on SIGTERM or SIGINT. The other commands talk to a
//! running `up` through the unix socket in its data folder.

mod admin;
mod args;
mod commands;
mod config;
mod data_dir;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod ports;
mod secrets;
mod telemetry;
mod up;

use args::{Args, Command};
use clap::Parser;
use std::process::ExitCode;

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Command::Up(up) => up::run(&up),
        Command::Status(status) => commands::block_on(commands::status::run(&status)),
        Command::Ring(ring) => commands::block_on(commands::ring::run(&ring)),
        Command::Device(device) => commands::block_on(commands::device::run(&device)),
        Command::Scrub(scrub) => commands::block_on(commands::scrub::run(&scrub)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain: each cause says what its consequence leaves out.
            eprintln!("ringfort: {error:#}");
            ExitCode::FAILURE
        }
    }
}
