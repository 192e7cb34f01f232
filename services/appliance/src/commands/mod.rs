//! The operator commands. Each asks the running `up` and prints what it says.

pub(crate) mod device;
pub(crate) mod identity;
pub(crate) mod ring;
pub(crate) mod scrub;
mod show;
pub(crate) mod status;

use anyhow::Context;
use std::future::Future;

/// Runs one command.
pub(crate) fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(command)
}
