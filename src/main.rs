//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use rivulet::args::Arguments;
use rivulet::say::{self, Chain};
use rivulet::verbs;

/// Users enter and leave windows all the time, and each has memory of its own: this one gives it
/// out at less cost than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Usage, configuration, input or output.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    say::speak_in(arguments.log);
    match verbs::carry_out(arguments) {
        Ok(code) => code,
        Err(error) => {
            say::error(format_args!("rivulet: {}", Chain(&*error)));
            ExitCode::from(TROUBLE)
        }
    }
}
