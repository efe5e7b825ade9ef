//! What README.md tells people to type is typed, and what it says that prints is what is printed.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Place, Running};

/// What is told on standard error beside the data, and is another each time.
const COUNTS: &str = "read ";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of a section, without its heading.
fn section(title: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let heading = format!("## {title}");
    let own = text.lines().skip_while(|line| *line != heading).skip(1);
    let own: Vec<_> = own.take_while(|line| !line.starts_with("## ")).map(str::to_owned).collect();
    assert!(!own.is_empty(), "README.md has no section {title:?}");
    own
}

/// Fenced blocks, each with the line before it, its language and its lines.
fn blocks(lines: &[String]) -> Vec<(String, String, Vec<String>)> {
    let (mut blocks, mut before, mut lines) = (Vec::new(), String::new(), lines.iter());
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let own = lines.by_ref().take_while(|line| *line != "```").cloned().collect();
            blocks.push((before.clone(), language.to_owned(), own));
        }
        before.clone_from(line);
    }
    blocks
}

/// Commands, each with the lines that are to come of it.
fn commands(lines: &[String]) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in lines {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, Some((_, printed))) => printed.push(line.clone()),
            (None, None) => panic!("{line:?} stands before any command"),
        }
    }
    commands
}

/// What a command prints in a folder, data first, where `rivulet` is the program.
fn printed(place: &Place, command: &str) -> Vec<String> {
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-c", command]).current_dir(place.path("")).env("PATH", path);
    let shell = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = Running::start(shell).end();
    let lines = done.stdout.lines().chain(done.stderr.lines());
    lines.filter(|line| !line.starts_with(COUNTS)).map(str::to_owned).collect()
}

#[test]
fn the_first_ten_minutes_go_as_told() {
    let place = Place::new();
    for name in ["segments.json", "events.jsonl"] {
        fs::remove_file(place.path(name)).unwrap();
    }
    fs::create_dir(place.path("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_rivulet"), place.path("bin/rivulet")).unwrap();
    let (mut written, mut typed) = (0, 0);
    for (before, language, lines) in blocks(&section("The first ten minutes")) {
        if language == "console" {
            for (command, expected) in commands(&lines) {
                assert_eq!(printed(&place, &command), expected, "of {command:?}");
                typed += 1;
            }
        } else {
            // The line before ends by saying which file it is.
            let name = before.rsplit('`').nth(1).unwrap_or_else(|| panic!("no file: {before:?}"));
            place.write(name, lines.join("\n") + "\n");
            written += 1;
        }
    }
    assert!(written > 3 && typed > 6, "{written} files, {typed} commands");
}

#[test]
fn the_example_of_embedding_is_the_one_that_runs() {
    let example = fs::read_to_string(root().join("dataflows/examples/embed.rs")).unwrap();
    let shown = blocks(&section("In a program of your own"));
    let (_, _, code) = shown.iter().find(|(_, language, _)| language == "rust").unwrap();
    // Its middle: what comes before is made known by `use`, what comes after is `main`.
    let code = code.join("\n");
    assert!(code.lines().count() > 20 && example.contains(&code), "it is not in {example}");
}
