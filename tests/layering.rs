//! What the architecture promises about who may see what, held against the files themselves.

#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What the computation may be built from: the engine, serialization, and small pure crates.
const PURE: &[&str] = &[
    "bincode",
    "chrono",
    "datasketches",
    "differential-dataflow",
    "hashbrown",
    "regex",
    "serde",
    "serde_json",
    "smallvec",
    "thin-vec",
    "thiserror",
    "timely",
    "xxhash-rust",
];

/// The modules of the shell that others of them may know. The rest (the worker loop, verbs and
/// arguments) puts the pieces together and may see all.
const SHELL: &[(&str, &[&str])] = &[
    ("format", &[]),
    ("source", &["format"]),
    ("sink", &["format"]),
    ("state", &["format"]),
    ("serve", &["format"]),
    ("definitions", &[]),
    ("generate", &[]),
    ("mesh", &[]),
    ("schema", &[]),
    ("trace", &["format"]),
    // How records are read, where state is, who is answered, and what a secret must be like are
    // parts of a job.
    ("job", &["format", "mesh", "serve", "source", "state"]),
];

/// Who of the computation may not see whom.
const CORE: &[(&str, &[&str])] = &[
    ("model", &["rule", "catalog", "operators", "segmentation", "oracle", "in_memory", "clock"]),
    ("rule", &["catalog", "operators", "segmentation", "oracle", "in_memory", "clock", "streams"]),
    ("clock", &["rule", "catalog", "operators", "segmentation", "oracle", "in_memory"]),
    ("catalog", &["operators", "segmentation", "oracle", "in_memory", "streams"]),
    (
        "sketch",
        &[
            "rule",
            "catalog",
            "operators",
            "segmentation",
            "oracle",
            "in_memory",
            "clock",
            "streams",
        ],
    ),
    ("streams", &["operators", "segmentation", "oracle", "in_memory"]),
    ("operators", &["segmentation", "oracle", "in_memory", "explain", "generate"]),
    ("segmentation", &["oracle", "in_memory", "explain", "generate"]),
    // The judge must not share a mistake with the accused.
    ("oracle", &["operators", "segmentation", "streams", "in_memory"]),
    ("explain", &["operators", "segmentation", "streams", "in_memory"]),
    ("explained", &["catalog", "operators", "segmentation", "oracle", "streams", "in_memory"]),
    ("generate", &["operators", "segmentation", "streams", "in_memory"]),
];

/// What stands at the top. `target` and `out` are what is built and written; tools' dotfiles, and
/// what anyone keeps beside them unseen by git, are not looked at.
const TOP: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "dataflows",
    "fixtures",
    "out",
    "run.sh",
    "src",
    "target",
    "tests",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below these folders, by their path from the top.
fn sources(folders: &[&str]) -> Vec<PathBuf> {
    let mut waiting: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The code of a file: without comments, and without what it is tested by.
fn code(path: &Path) -> String {
    let text = text(path);
    let own = text.split("#[cfg(test)]").next().unwrap();
    let lines = own.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules of the crate that some code names by `crate::`, alone or in braces.
fn names(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
    };
    let mut named = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            named.insert(word(after));
            continue;
        };
        let (mut depth, mut starts) = (0, vec![0]);
        for (at, sign) in group.char_indices() {
            match sign {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts.push(at + 1),
                _ => {}
            }
        }
        named.extend(starts.into_iter().map(|start| word(&group[start..])));
    }
    named
}

/// The module at the top of a crate to which a file belongs: `operators` for
/// `dataflows/operators/wheel.rs`.
fn module(path: &Path) -> String {
    let second = path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
    second.trim_end_matches(".rs").to_owned()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs" || name == "naive.rs")
}

#[test]
fn the_computation_depends_on_pure_crates_only() {
    let manifest: toml::Table = text(Path::new("dataflows/Cargo.toml")).parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    let foreign: Vec<_> = dependencies.keys().filter(|name| !PURE.contains(&&***name)).collect();
    assert!(foreign.is_empty(), "dataflows depends on {foreign:?}");
    assert!(!manifest.contains_key("build-dependencies") && !manifest.contains_key("target"));
}

#[test]
fn modules_of_the_shell_do_not_know_one_another() {
    for path in sources(&["src"]).iter().filter(|path| !is_test(path)) {
        let own = module(path);
        let Some((_, allowed)) = SHELL.iter().find(|(name, _)| *name == own) else { continue };
        for named in names(&code(path)) {
            let is_shell = SHELL.iter().any(|(name, _)| *name == named);
            let is_above = ["args", "bench", "run", "ingest", "verbs"].contains(&&*named);
            let is_fine = named == own || allowed.contains(&&*named);
            assert!(is_fine || !(is_shell || is_above), "{} names {named}", path.display());
        }
    }
}

#[test]
fn modules_of_the_computation_see_only_what_is_below_them() {
    for path in sources(&["dataflows"]).iter().filter(|path| !is_test(path)) {
        let own = module(path);
        let Some((_, hidden)) = CORE.iter().find(|(name, _)| *name == own) else { continue };
        for named in names(&code(path)) {
            assert!(!hidden.contains(&&*named), "{} names {named}", path.display());
        }
    }
}

#[test]
fn the_oracle_never_sees_the_operators() {
    for path in sources(&["dataflows"]) {
        if path.starts_with("dataflows/oracle") || path.ends_with("dataflows/oracle.rs") {
            let text = text(&path).to_lowercase();
            let names = text.contains("operators::") || text.contains("segmentation::");
            assert!(!names, "{}", path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for path in sources(&["src", "dataflows", "tests"]) {
        let text = text(&path);
        assert!(text.starts_with("//! "), "{} does not open with //!", path.display());
    }
}

#[test]
fn nothing_is_left_to_be_done() {
    let left = ["todo!", "unimplemented!", "dbg!", "FIXME", "TODO", "XXX"];
    for path in sources(&["src", "dataflows"]) {
        let text = text(&path);
        let found: Vec<_> = left.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty(), "{} has {found:?}", path.display());
    }
}

#[test]
fn the_top_holds_what_was_agreed() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with('.') || TOP.contains(&&*name), "{name} stands at the top");
    }
}

#[test]
fn names_are_found_however_they_are_imported() {
    let code = "use crate::{format::{Mapping, Reader}, job, source::file::X};\nuse crate::run::go;";
    let expected = ["format", "job", "run", "source"].map(String::from);
    assert_eq!(names(code), BTreeSet::from(expected));
}
