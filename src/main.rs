//! Arguments in, exit code out.

use std::error::Error;
use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use rivulet::args::Arguments;
use rivulet::verbs;

/// Usage, configuration, input or output.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    match verbs::carry_out(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause: Option<&dyn Error> = error.source();
            while let Some(deeper) = cause {
                text.push_str(&format!(": {deeper}"));
                cause = deeper.source();
            }
            let _ = writeln!(stderr(), "rivulet: {text}");
            ExitCode::from(TROUBLE)
        }
    }
}
