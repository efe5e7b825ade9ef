//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use rivulet::args::Arguments;
use rivulet::say::{self, Chain};
use rivulet::verbs;

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
