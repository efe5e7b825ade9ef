//! The files in which definitions stand, changed one definition at a time: what else is in a file
//! stays as it was written.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use dataflows::rule::parse;
use dataflows::rule::reader::{Node, Reader};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::{StoreError, failed};

/// Where a definition stands.
pub(super) struct Found {
    file: PathBuf,
    /// All that stands in the file, as it is written.
    items: Vec<String>,
    /// Which of them it is.
    at: usize,
    /// Whether the file is a list of them.
    is_list: bool,
}

impl Found {
    pub(super) fn definition(&self) -> Json {
        let text = self.items.get(self.at).map_or("", String::as_str);
        parse::json(text).unwrap_or_default()
    }
}

/// Where the definition of this id stands, if there is one.
pub(super) fn find(path: &Path, id: &str) -> Result<Option<Found>, StoreError> {
    for file in super::super::files(path).map_err(failed(path))? {
        let Some((items, is_list)) = items(&file)? else { continue };
        if let Some(at) = items.iter().position(|item| id_of(item).as_deref() == Some(id)) {
            return Ok(Some(Found { file, items, at, is_list }));
        }
    }
    Ok(None)
}

/// What stands in a file, each by itself, and whether it is a list; nothing of what is not JSON.
fn items(file: &Path) -> Result<Option<(Vec<String>, bool)>, StoreError> {
    let bytes = fs::read(file).map_err(failed(file))?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim();
    if !text.starts_with('[') {
        return Ok(Some((vec![text.to_owned()], false)));
    }
    let items: Result<Vec<&RawValue>, _> = serde_json::from_str(text);
    Ok(items.ok().map(|items| (items.iter().map(|it| it.get().to_owned()).collect(), true)))
}

fn id_of(item: &str) -> Option<String> {
    let json = parse::json(item).ok()?;
    let id = parse::read_id(&mut Reader::default(), &Node::root(&json, "").get("id"))?;
    Some(id.to_string())
}

/// Writes a definition where it stands, or else into a file of its own, or at the end of the one
/// file there is.
pub(super) fn put(
    path: &Path,
    found: Option<Found>,
    id: &str,
    definition: &Json,
) -> Result<(), StoreError> {
    let text = format!("{definition:#}");
    if let Some(mut found) = found {
        found.items[found.at] = text;
        return write(&found.file, &joined(&found.items, found.is_list));
    }
    if !path.is_dir() {
        let (mut items, _) = items(path)?.unwrap_or_default();
        items.push(text);
        return write(path, &joined(&items, true));
    }
    let name = file_name(id);
    let mut names = (1..).map(|number| match number {
        1 => path.join(format!("{name}.json")),
        more => path.join(format!("{name}-{more}.json")),
    });
    match names.find(|file| !file.exists()) {
        Some(file) => write(&file, &joined(&[text], false)),
        None => Ok(()),
    }
}

/// Takes a definition out of where it stands; a file that held nothing else goes, too.
pub(super) fn delete(mut found: Found) -> Result<(), StoreError> {
    if !found.is_list {
        return fs::remove_file(&found.file).map_err(failed(&found.file));
    }
    found.items.remove(found.at);
    write(&found.file, &joined(&found.items, true))
}

fn joined(items: &[String], is_list: bool) -> String {
    let text = items.join(",\n");
    if is_list { format!("[\n{text}\n]\n") } else { format!("{text}\n") }
}

/// Writes a file whole or not at all; it is on the disk when this returns.
pub(super) fn write(file: &Path, text: &str) -> Result<(), StoreError> {
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.new"));
    let written = File::create(&new)
        .and_then(|mut it| it.write_all(text.as_bytes()).and_then(|()| it.sync_all()))
        .and_then(|()| fs::rename(&new, file))
        .and_then(|()| File::open(folder)?.sync_all());
    written.map_err(failed(file))
}

/// An id as a name of files: what may mean something there is written as `%XX`.
pub(super) fn file_name(id: &str) -> String {
    const LONGEST: usize = 150;
    let mut name = String::new();
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(byte.into()),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    if name.len() > LONGEST {
        let hash = xxhash_rust::xxh3::xxh3_64(id.as_bytes());
        name.truncate(LONGEST);
        name.push_str(&format!("%{hash:016x}"));
    }
    name
}
