//! Where exports go, opened: the files of a folder or an object store, as an export wants them.

use std::fs;
use std::path::Path;

use bytes::Bytes;

use crate::say::Chain;
use crate::sink::SinkError;
use crate::sink::export::{ExportFault, Place, PlaceFault};
use crate::state::{Location, Objects, StateError};

/// A place, with files by name.
struct Opened {
    objects: Objects,
    name: String,
}

/// Opens a place; a folder is made, if it is not there.
///
/// # Errors
/// It cannot be made, or no client for it.
pub fn place(export: &str, location: &Location) -> Result<Box<dyn Place>, SinkError> {
    let named = |cause| ExportFault::Place { name: export.to_owned(), cause };
    if let Location::Folder(folder) = location {
        let made = fs::create_dir_all(folder).map_err(|cause| {
            let name = folder.display();
            let message =
                format!("cannot make the folder {name}: check that it may be written ({cause})");
            named(PlaceFault { message, passes: false })
        });
        made?;
        clear(folder);
    }
    let objects = Objects::open(location).map_err(|error| named(fault(error)))?;
    Ok(Box::new(Opened { objects, name: location.to_string() }))
}

/// Deletes what a crash has left half-written, `NAME#1` beside `NAME`, in a folder and those in it.
fn clear(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let is_ours = |end: &str| name.contains(&format!(".{end}#"));
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            clear(&path);
        } else if ["csv", "json", "jsonl", "parquet"].into_iter().any(is_ours) {
            // Left there, it takes room and does no harm.
            let _ = fs::remove_file(path);
        }
    }
}

impl Place for Opened {
    fn name(&self) -> &str {
        &self.name
    }

    fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), PlaceFault> {
        self.objects.put(path, &[Bytes::from(bytes)]).map_err(fault)
    }

    fn create(&self, path: &str, bytes: Vec<u8>) -> Result<bool, PlaceFault> {
        self.objects.create(path, bytes).map_err(fault)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, PlaceFault> {
        match self.objects.read(path) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(StateError::Gone { .. }) => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    fn list(&self, folder: &str, after: &str) -> Result<Vec<String>, PlaceFault> {
        self.objects.list_after(folder, after).map_err(fault)
    }

    fn delete(&self, paths: Vec<String>) -> Result<(), PlaceFault> {
        self.objects.delete_all(paths).map_err(fault)
    }
}

/// What is wrong, in words that fit an export.
fn fault(error: StateError) -> PlaceFault {
    let (message, passes) = match &error {
        StateError::Full { name, cause } => {
            (format!("no room to write {name}: make room there ({cause})"), true)
        }
        StateError::Denied { doing, name, cause } => (
            format!(
                "may not {doing} {name}: check who owns it, or the keys and what they allow ({cause})"
            ),
            false,
        ),
        StateError::Client { place, cause } => (
            format!("cannot use {place}: check endpoint, region and keys ({})", Chain(&**cause)),
            false,
        ),
        StateError::Trouble { transient, .. } => (Chain(&error).to_string(), *transient),
        _ => (Chain(&error).to_string(), false),
    };
    PlaceFault { message, passes }
}
