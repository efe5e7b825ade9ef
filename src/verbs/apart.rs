//! Outputs are kept apart: from what is read, which they would overwrite, and from each other.

use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Two uses of one file.
#[derive(Debug, Error)]
pub(super) enum ApartError {
    /// What is read would be overwritten.
    #[error("{output} {} would overwrite what is read: choose another file", path.display())]
    Read {
        /// What is to be written.
        output: String,
        /// The file.
        path: PathBuf,
    },
    /// Two outputs would overwrite each other.
    #[error("{first} and {second} both go to {}: give each a file of its own", path.display())]
    Written {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// The file.
        path: PathBuf,
    },
}

/// Refuses outputs, each with its name, that are among what is read or go to one file.
pub(super) fn apart(read: &[PathBuf], outputs: &[(String, PathBuf)]) -> Result<(), ApartError> {
    let read: Vec<PathBuf> = read.iter().filter_map(|path| place(path)).collect();
    let mut written: Vec<(&String, PathBuf)> = Vec::new();
    for (name, path) in outputs {
        let Some(place) = place(path) else { continue };
        if read.contains(&place) {
            return Err(ApartError::Read { output: name.clone(), path: path.clone() });
        }
        if let Some((first, _)) = written.iter().find(|(_, other)| *other == place) {
            let (first, second) = ((*first).clone(), name.clone());
            return Err(ApartError::Written { first, second, path: path.clone() });
        }
        written.push((name, place));
    }
    Ok(())
}

/// Where a file is or would be, whatever way its path takes; `None` for what cannot be
/// overwritten, such as `/dev/null`.
fn place(path: &Path) -> Option<PathBuf> {
    if let Ok(there) = fs::metadata(path) {
        return fs::canonicalize(path).ok().filter(|_| there.is_file());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
    Some(folder.join(path.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_by_two_paths_is_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("in"), "").unwrap();
        let said = |outputs: &[(&str, PathBuf)]| {
            let outputs: Vec<_> =
                outputs.iter().map(|(name, path)| (name.to_string(), path.clone())).collect();
            apart(&[at("in"), "-".into()], &outputs).err().map(|error| error.to_string())
        };
        assert_eq!(said(&[("--out", at("a")), ("--late", at("b"))]), None);
        assert_eq!(said(&[("--out", "/dev/null".into()), ("--late", "/dev/null".into())]), None);
        let overwrites = said(&[("--out", at("./in"))]).unwrap();
        assert!(overwrites.contains("./in would overwrite what is read"), "{overwrites}");
        let twice = said(&[("--out", at("a")), ("--late", at("./a"))]).unwrap();
        assert!(twice.starts_with("--out and --late both go to "), "{twice}");
    }
}
