//! The ringfort binary; all of it is in the library beside it.

mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    ringfort_appliance::main()
}
