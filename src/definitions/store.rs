//! Definitions that are saved and deleted while others watch their files: written whole or not at
//! all, after a check of how all would stand together. What they were before is kept beside them.
//!
//! The files stay the one truth: what is saved here is what an editor would have saved.

mod files;
mod versions;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dataflows::catalog::{Edit, Refusal};
use dataflows::rule::Definition;
use dataflows::rule::parse::{self, Fault};
use dataflows::rule::reader::Node;
use serde_json::Value as Json;
use thiserror::Error;

use super::{Problems, load};
pub use versions::Version;

/// Why a definition is not saved or deleted.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It is wrong in itself.
    #[error("the definition is wrong")]
    Faults(Vec<Fault>),
    /// It cannot stand beside the others.
    #[error("{0}")]
    Refused(Refusal),
    /// What stands in the files is wrong already: it has to be mended there first.
    #[error("{0}")]
    Standing(Problems),
    /// A file cannot be read or written.
    #[error("cannot write {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

/// What a definition is called that is only asked about, and has no id.
const UNNAMED: &str = "the rules that are asked about";

/// A file or folder of definitions.
pub struct Store {
    path: PathBuf,
    /// One change at a time.
    turn: Mutex<()>,
}

/// What has been saved.
#[derive(Debug, Clone)]
pub struct Saved {
    /// What it is now.
    pub definition: Arc<Definition>,
    /// The number of its version, from 1.
    pub version: u64,
    /// Whether there was none of its id before.
    pub is_new: bool,
}

impl Store {
    /// The definitions at this path.
    pub fn new(path: &Path) -> Self {
        Store { path: path.to_owned(), turn: Mutex::default() }
    }

    /// The definition of this id as it stands in the files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<Json>, StoreError> {
        Ok(files::find(&self.path, id)?.map(|found| found.definition()))
    }

    /// The versions of a definition, the oldest first, and the number of the present one.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn versions(&self, id: &str) -> Result<Vec<Version>, StoreError> {
        let mut all = versions::of(&self.path, id)?;
        let now = self.get(id)?;
        if now.is_some() && now != all.last().and_then(|it| it.definition.clone()) {
            let version = all.last().map_or(1, |it| it.version + 1);
            all.push(Version { version, saved_at: None, definition: now });
        }
        Ok(all)
    }

    /// What a definition says, which may have no id, and whether it would stand beside the others:
    /// in place of the one of its id, if it has one.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(&self, text: &str) -> Result<Definition, StoreError> {
        let mut json =
            parse::json(text).map_err(|syntax| StoreError::Faults(vec![syntax.into()]))?;
        if let Some(members) = json.as_object_mut() {
            members.entry("id").or_insert_with(|| UNNAMED.into());
        }
        let definition = parse::definition(&json).map_err(StoreError::Faults)?;
        let mut catalog = load(&self.path).map_err(StoreError::Standing)?.catalog;
        let edit = Edit::Put(Arc::new(definition.clone()));
        catalog.apply(&edit).map_err(StoreError::Refused)?;
        Ok(definition)
    }

    /// Saves a definition under this id, which it may leave out.
    ///
    /// # Errors
    /// Everything that is wrong with it, or why it cannot be written.
    pub fn put(&self, id: &str, text: &str) -> Result<Saved, StoreError> {
        let json = parse::json(text).map_err(|syntax| StoreError::Faults(vec![syntax.into()]))?;
        let json = with_id(json, id)?;
        let definition = Arc::new(parse::definition(&json).map_err(StoreError::Faults)?);
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut catalog = load(&self.path).map_err(StoreError::Standing)?.catalog;
        let edit = Edit::Put(Arc::clone(&definition));
        catalog.apply(&edit).map_err(StoreError::Refused)?;
        let found = files::find(&self.path, id)?;
        let before = found.as_ref().map(files::Found::definition);
        let is_new = before.is_none();
        let version = versions::add(&self.path, id, before, Some(&json))?;
        files::put(&self.path, found, id, &json)?;
        Ok(Saved { definition, version, is_new })
    }

    /// Deletes the definition of this id.
    ///
    /// # Errors
    /// There is none, others refer to it, or a file cannot be written.
    pub fn delete(&self, id: &str) -> Result<(), StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut catalog = load(&self.path).map_err(StoreError::Standing)?.catalog;
        catalog.apply(&Edit::Delete(id.into())).map_err(StoreError::Refused)?;
        if let Some(found) = files::find(&self.path, id)? {
            versions::add(&self.path, id, Some(found.definition()), None)?;
            files::delete(found)?;
        }
        Ok(())
    }
}

/// A definition with the id it is saved under; one of another id is a fault.
fn with_id(mut json: Json, id: &str) -> Result<Json, StoreError> {
    let Some(members) = json.as_object_mut() else { return Ok(json) };
    if !members.contains_key("id") {
        members.insert("id".to_owned(), id.into());
    }
    let node = Node::root(&json, "");
    let own = node.get("id");
    let is_same = parse::read_id(&mut Default::default(), &own).is_none_or(|own| *own == *id);
    if is_same {
        return Ok(json);
    }
    let (found, hint) = (own.found(), Some("or leave it out".to_owned()));
    let allowed = format!("{id:?}, under which it is saved");
    Err(StoreError::Faults(vec![Fault { node: "id".to_owned(), found, allowed, hint }]))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |cause| StoreError::File { path, cause }
}

#[cfg(test)]
mod tests;
