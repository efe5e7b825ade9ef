//! Where state is: a folder, or a bucket of an S3-compatible object store and a prefix in it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::StateError;

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In this folder.
    Folder(PathBuf),
    /// In an object store.
    S3(S3),
}

/// A place in an S3-compatible object store. What is not said is taken from the environment, as
/// AWS's own tools do (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, …, or the role of the machine).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// What the names of all its objects begin with; may be empty.
    pub prefix: String,
    /// The server's address, if it is not AWS.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The name of the key, and the key.
    pub keys: Option<(Secret, Secret)>,
    /// Whether the server may be spoken to without encryption.
    pub allow_http: bool,
}

/// Text that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps this text from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for whoever must be told it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Location {
    /// Understands a path, or `s3://bucket/prefix`. A relative path starts from `folder`.
    ///
    /// ```
    /// use std::path::Path;
    /// use rivulet::state::Location;
    /// let local = Location::parse("state", Path::new("jobs"))?;
    /// assert_eq!(local, Location::Folder("jobs/state".into()));
    /// let remote = Location::parse("s3://shop/rivulet/prod", Path::new("jobs"))?;
    /// assert_eq!(remote.to_string(), "s3://shop/rivulet/prod");
    /// # Ok::<(), rivulet::state::StateError>(())
    /// ```
    ///
    /// # Errors
    /// It is empty, an address of another kind, or names no bucket.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, StateError> {
        let wrong =
            |reason: &str| StateError::Location { text: text.into(), reason: reason.into() };
        if text.is_empty() {
            return Err(wrong("name a folder, or s3://bucket/prefix"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Location::Folder(folder.join(text)));
        };
        if scheme != "s3" {
            return Err(wrong(
                "name a folder, or s3://bucket/prefix; other addresses are not known",
            ));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_sign = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.' | '_');
        if bucket.is_empty() || !bucket.chars().all(is_sign) {
            return Err(wrong("name the bucket: s3://bucket/prefix"));
        }
        let prefix = prefix.trim_end_matches('/');
        if object_store::path::Path::parse(prefix).is_err() {
            return Err(wrong(
                "the prefix has an empty or relative part: write s3://bucket/prefix",
            ));
        }
        Ok(Location::S3(S3 { bucket: bucket.into(), prefix: prefix.into(), ..S3::default() }))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Folder(path) => write!(f, "{}", path.display()),
            Location::S3(S3 { bucket, prefix, .. }) if prefix.is_empty() => {
                write!(f, "s3://{bucket}")
            }
            Location::S3(S3 { bucket, prefix, .. }) => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let keys = Some((Secret::new("AKIA1"), Secret::new("hunter2")));
        let place = Location::S3(S3 { bucket: "b".into(), keys, ..S3::default() });
        let said = format!("{place:?} {place}");
        assert!(!said.contains("AKIA1") && !said.contains("hunter2"), "{said}");
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in ["", "gs://b/x", "s3://", "s3:///x", "s3://b c", "s3://b/x//y", "s3://b/../y"] {
            let said = Location::parse(text, Path::new("")).unwrap_err().to_string();
            assert!(said.contains("s3://bucket/prefix"), "{said}");
        }
        let slash = Location::parse("s3://b/", Path::new("")).unwrap();
        assert_eq!(slash.to_string(), "s3://b");
    }
}
