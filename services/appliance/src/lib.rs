//! The ringfort binary: everything in one process, and the operator commands.
//!
//! `ringfort up` opens a data folder, serves it and stops cleanly on SIGTERM or SIGINT. The other commands talk to a
//! running `up` through the unix socket in its data folder.

#[macro_use]
mod words;

mod admin;
mod args;
mod commands;
mod config;
mod data_dir;
mod exit;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hint;
mod openrc;
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
    // Times are counted from here.
    let _ = ringfort_runtime::boot_time();
    let done = match args.command {
        Command::Up(up) => exit::now(report(&up::run(&up))),
        Command::Status(status) => commands::block_on(commands::status::run(&status)),
        Command::Ring(ring) => commands::block_on(commands::ring::run(&ring)),
        Command::Device(device) => commands::block_on(commands::device::run(&device)),
        Command::Admin(admin) => commands::block_on(commands::identity::run(&admin)),
        Command::Scrub(scrub) => commands::block_on(commands::scrub::run(&scrub)),
    };
    report(&done).into()
}

/// Says what went wrong, and answers the exit code.
fn report(done: &anyhow::Result<()>) -> u8 {
    let Err(error) = done else { return 0 };
    // The whole chain: each cause says what its consequence leaves out.
    complain!("ringfort: {error:#}");
    if let Some(hint) = hint::of(error) {
        complain!("  {hint}");
    }
    1
}
