//! Definitions and their changes, from files.
//!
//! A file holds one definition or a list of them; a directory holds such files, `*.json`, read in
//! the order of their names. Everything wrong in any of them is told at once.

mod changes;
mod problem;
mod store;
mod watch;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use dataflows::catalog::{Catalog, Refusal};
use dataflows::rule::reader::{Node, Reader};
use dataflows::rule::{Definition, parse};
use serde_json::Value as Json;

pub use changes::{Changes, load_changes};
pub use problem::{Problem, Problems, Reason};
pub use store::{Saved, Store, StoreError, Version};
pub use watch::Watch;

/// The definitions of a file or directory.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// All of them, valid together.
    pub catalog: Catalog,
    /// The files they were read from, in order.
    pub files: Vec<PathBuf>,
}

/// Reads the definitions of a file, or of all `*.json` in a directory (none is fine).
///
/// # Errors
/// Everything wrong in any of the files, and whatever keeps them from standing together.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let files = files(path).map_err(|error| Problem::new(path, Reason::Read(error)))?;
    let mut loading = Loading::default();
    for file in &files {
        loading.read(&file.as_path().into());
    }
    loading.join().map(|catalog| Loaded { catalog, files })
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.into()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let is_hidden =
            file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn text(file: &Path) -> Result<String, Reason> {
    let bytes = fs::read(file).map_err(Reason::Read)?;
    String::from_utf8(bytes).map_err(|error| Reason::Encoding(error.utf8_error().valid_up_to()))
}

/// What has been read so far, and what was wrong with it.
#[derive(Default)]
struct Loading {
    definitions: Vec<Arc<Definition>>,
    /// Where each id was first seen.
    origins: HashMap<Arc<str>, Arc<Path>>,
    /// Ids of definitions that could not be read: references to them are not wrong besides.
    broken: HashSet<Arc<str>>,
    /// Whether ids may be missing altogether, because a file could not be read.
    is_partial: bool,
    problems: Vec<Problem>,
}

impl Loading {
    fn read(&mut self, file: &Arc<Path>) {
        let each = |place: &str, json: &Json| self.definition(file, &Node::root(json, place));
        let read =
            text(file).and_then(|text| parse::each_json(&text, each).map_err(Reason::Syntax));
        if let Err(reason) = read {
            self.is_partial = true;
            self.problems.push(Problem::new(file, reason));
        }
    }

    fn definition(&mut self, file: &Arc<Path>, node: &Node<'_>) {
        let mut reader = Reader::default();
        let read = parse::read_definition(&mut reader, node);
        match reader.finish(read) {
            Ok(definition) => self.keep(file, definition),
            Err(faults) => {
                let faults = faults.into_iter().map(|it| Problem::new(file, Reason::Fault(it)));
                self.problems.extend(faults);
                match parse::read_id(&mut Reader::default(), &node.get("id")) {
                    Some(id) => drop(self.broken.insert(id)),
                    None => self.is_partial = true,
                }
            }
        }
    }

    fn keep(&mut self, file: &Arc<Path>, definition: Definition) {
        if let Some(first) = self.origins.get(&definition.id) {
            let doubled = Reason::Doubled { id: definition.id, first: first.to_path_buf() };
            self.problems.push(Problem::new(file, doubled));
            return;
        }
        self.origins.insert(Arc::clone(&definition.id), Arc::clone(file));
        self.definitions.push(Arc::new(definition));
    }

    fn join(mut self) -> Result<Catalog, Problems> {
        let (catalog, refusals) = match Catalog::new(self.definitions) {
            Ok(catalog) => (Some(catalog), Vec::new()),
            Err(refusals) => (None, refusals),
        };
        for refusal in refusals {
            let is_known = match &refusal {
                Refusal::UnknownReference { reference, .. } => {
                    self.is_partial || self.broken.contains(reference)
                }
                _ => false,
            };
            if !is_known {
                let file = self.origins.get(refusal.segment()).map_or(Path::new(""), |file| file);
                self.problems.push(Problem::new(file, Reason::Refused(refusal)));
            }
        }
        match catalog {
            Some(catalog) if self.problems.is_empty() => Ok(catalog),
            _ => Err(Problems(self.problems)),
        }
    }
}

#[cfg(test)]
mod tests;
