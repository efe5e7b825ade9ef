//! Files by name, in a folder or an object store, for code that waits. What goes wrong is told
//! with the file's full name and what to do.

use std::collections::BTreeMap;
use std::error::Error as Cause;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig,
    WriteMultipart,
};
use tokio::runtime::Runtime;

use super::{Location, Reason, S3, StateError};

/// What is longer goes to an object store in parts of this length, so that each is sent well
/// within the 30 seconds a request may take.
const PART_BYTES: usize = 8 << 20;
/// How many parts are on their way at once.
const PARTS: usize = 4;
/// How many small reads are on their way at once.
const READS: usize = 16;
/// How often a request is tried again: with the pauses between, for some three seconds. Whoever
/// takes checkpoints tries again at the next interval anyway.
const RETRIES: usize = 5;

/// Files in one place.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    runtime: Runtime,
    /// The place, as people name it.
    place: String,
    /// The place, if it is a folder.
    folder: Option<PathBuf>,
}

impl Objects {
    /// Opens a place. A folder must exist.
    ///
    /// # Errors
    /// It does not exist, or no client can be made for it.
    pub fn open(location: &Location) -> Result<Self, StateError> {
        let place = location.to_string();
        let client = |cause| StateError::Client { place: place.clone(), cause };
        let (store, folder): (Arc<dyn ObjectStore>, _) = match location {
            Location::Folder(folder) => {
                if !folder.is_dir() {
                    return Err(StateError::Absent { place });
                }
                let local = LocalFileSystem::new_with_prefix(folder);
                let local = local.map_err(|error| client(error.into()))?.with_fsync(true);
                (Arc::new(local), Some(folder.clone()))
            }
            Location::S3(s3) => {
                let remote = builder(s3).build().map_err(|error| client(error.into()))?;
                (Arc::new(PrefixStore::new(remote, s3.prefix.as_str())), None)
            }
        };
        Ok(Objects { folder, ..Self::over(store, &place)? })
    }

    /// Files in any store.
    pub(super) fn over(store: Arc<dyn ObjectStore>, place: &str) -> Result<Self, StateError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let place = place.to_owned();
        match runtime {
            Ok(runtime) => Ok(Objects { store, runtime, place, folder: None }),
            Err(cause) => Err(StateError::Client { place, cause: cause.into() }),
        }
    }

    /// The place, if it is a folder.
    pub(super) fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_deref()
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The whole name of a file, for people.
    pub(super) fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.place)
    }

    /// Writes a file, whole or not at all, in place of any old one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, path: &str, pieces: &[Bytes]) -> Result<(), StateError> {
        let (to, length) = (Path::from(path), pieces.iter().map(Bytes::len).sum::<usize>());
        let written = self.runtime.block_on(async {
            if length <= PART_BYTES {
                let payload: PutPayload = pieces.iter().cloned().collect();
                return self.store.put(&to, payload).await.map(drop);
            }
            let upload = self.store.put_multipart(&to).await?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
            for piece in pieces {
                upload.wait_for_capacity(PARTS).await?;
                upload.put(piece.clone());
            }
            upload.finish().await.map(drop) // it clears away what a failure leaves
        });
        written.map_err(|error| self.explain("write", path, error))
    }

    /// Writes a file, whole or not at all, if there is none of its name; false if there is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(&self, path: &str, bytes: Vec<u8>) -> Result<bool, StateError> {
        let to = Path::from(path);
        let put = self.store.put_opts(&to, bytes.into(), PutMode::Create.into());
        match self.runtime.block_on(put) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.explain("write", path, error)),
        }
    }

    /// A whole file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, path: &str) -> Result<Bytes, StateError> {
        let from = Path::from(path);
        let read = async { self.store.get(&from).await?.bytes().await };
        self.runtime.block_on(read).map_err(|error| self.explain("read", path, error))
    }

    /// Part of a file: as many bytes from `start` on as there are, and at most `count`.
    pub(super) fn read_part(
        &self,
        path: &str,
        start: u64,
        count: u64,
    ) -> Result<Bytes, StateError> {
        let from = Path::from(path);
        let part = self.store.get_range(&from, start..start + count);
        self.runtime.block_on(part).map_err(|error| self.explain("read", path, error))
    }

    /// The ends of files, each by its path and where it starts and stops, in order.
    pub(super) fn read_ends(
        &self,
        ends: Vec<(String, std::ops::Range<u64>)>,
    ) -> Vec<Result<Bytes, StateError>> {
        let read = |(path, range): (String, std::ops::Range<u64>)| async move {
            let read = self.store.get_range(&Path::from(path.as_str()), range).await;
            read.map_err(|error| self.explain("read", &path, error))
        };
        let all = stream::iter(ends.into_iter().map(read)).buffered(READS).collect();
        self.runtime.block_on(all)
    }

    /// The paths of the files in a folder, and how long each is.
    pub(super) fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>, StateError> {
        let prefix = Path::from(folder);
        let found = self.store.list(Some(&prefix));
        let found = found.map_ok(|found| (String::from(found.location), found.size)).try_collect();
        match self.runtime.block_on(found) {
            Err(Error::NotFound { .. }) if self.folder.is_some() => Ok(BTreeMap::new()),
            listed => listed.map_err(|error| self.explain("list", folder, error)),
        }
    }

    /// Deletes a file. One that is gone already is as well.
    pub(super) fn delete(&self, path: &str) -> Result<(), StateError> {
        match self.runtime.block_on(self.store.delete(&Path::from(path))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.explain("delete", path, error)),
        }
    }

    /// The paths of the files in a folder that come after a path, bytewise.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, StateError> {
        let (prefix, offset) = (Path::from(folder), Path::from(after));
        let found = self.store.list_with_offset(Some(&prefix), &offset);
        let found = found.map_ok(|found| String::from(found.location)).try_collect();
        match self.runtime.block_on(found) {
            Err(Error::NotFound { .. }) if self.folder.is_some() => Ok(Vec::new()),
            listed => listed.map_err(|error| self.explain("list", folder, error)),
        }
    }

    /// Deletes files in no order.
    ///
    /// # Errors
    /// One of them cannot be deleted.
    pub fn delete_all(&self, paths: Vec<String>) -> Result<(), StateError> {
        let Some(first) = paths.first().cloned() else { return Ok(()) };
        let paths = stream::iter(paths).map(|path| Ok(Path::from(path))).boxed();
        let deleted = self.store.delete_stream(paths);
        let gone = |it: Result<Path, Error>| match it {
            Err(Error::NotFound { .. }) => ready(None),
            other => ready(Some(other)),
        };
        let deleted = self.runtime.block_on(deleted.filter_map(gone).try_collect::<Vec<_>>());
        deleted.map(drop).map_err(|error| self.explain("delete", &first, error))
    }

    /// Sees to it that what was deleted in this folder stays so when the power fails.
    pub(super) fn sync(&self, folder: &str) -> Result<(), StateError> {
        let Some(root) = &self.folder else { return Ok(()) };
        let synced = File::open(root.join(folder)).and_then(|folder| folder.sync_all());
        synced.map_err(|cause| {
            let cause = Error::Generic { store: "folder", source: cause.into() };
            self.explain("write", folder, cause)
        })
    }

    /// The files in this folder that a crash left half-written: `NAME#1` beside `NAME`.
    pub(super) fn leftovers(&self, folder: &str) -> Vec<(String, PathBuf)> {
        let root = self.folder.iter().map(|root| root.join(folder));
        let entries = root.filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
        let named = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.contains('#').then(|| (name, entry.path()))
        });
        named.collect()
    }

    pub(super) fn explain(&self, doing: &'static str, path: &str, error: Error) -> StateError {
        let (name, cause) = (self.name(path), reason(&error));
        match trouble(&error) {
            Kind::Gone if doing == "read" => StateError::Gone { name },
            Kind::Full => StateError::Full { name, cause },
            Kind::Denied => StateError::Denied { doing, name, cause },
            Kind::Transient => StateError::Trouble { doing, name, transient: true, cause },
            Kind::Gone | Kind::Lasting => {
                StateError::Trouble { doing, name, transient: false, cause }
            }
        }
    }
}

/// The words of the first cause, on one line.
fn reason(error: &Error) -> Reason {
    let mut first: &dyn Cause = error;
    while let Some(deeper) = first.source() {
        first = deeper;
    }
    Reason(first.to_string().replace('\n', " "))
}

fn builder(s3: &S3) -> AmazonS3Builder {
    let retry = RetryConfig {
        backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
        max_retries: RETRIES,
        retry_timeout: Duration::from_secs(60),
    };
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(&s3.bucket).with_retry(retry);
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &s3.region {
        builder = builder.with_region(region);
    }
    if let Some((name, key)) = &s3.keys {
        builder = builder.with_access_key_id(name.reveal()).with_secret_access_key(key.reveal());
    }
    if s3.allow_http { builder.with_allow_http(true) } else { builder }
}

/// What kind of trouble an error is.
enum Kind {
    Gone,
    Full,
    Denied,
    Transient,
    Lasting,
}

fn trouble(error: &Error) -> Kind {
    match error {
        Error::NotFound { .. } => return Kind::Gone,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => return Kind::Denied,
        _ => {}
    }
    let mut next: Option<&(dyn Cause + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(http) = cause.downcast_ref::<HttpError>() {
            return match http.kind() {
                HttpErrorKind::Decode | HttpErrorKind::Unknown => Kind::Lasting,
                _ => Kind::Transient,
            };
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return of_io(io.kind());
        }
        next = cause.source();
    }
    of_status(&error.to_string())
}

fn of_io(kind: io::ErrorKind) -> Kind {
    use io::ErrorKind as Io;
    match kind {
        Io::NotFound => Kind::Gone,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Kind::Full,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => Kind::Denied,
        Io::Interrupted | Io::TimedOut | Io::ResourceBusy | Io::StaleNetworkFileHandle => {
            Kind::Transient
        }
        _ => Kind::Lasting,
    }
}

/// The status a server answered with is told in the text of the error only.
fn of_status(text: &str) -> Kind {
    let after = text.split_once("status code: ").map_or("", |(_, after)| after);
    match after.get(..3).and_then(|digits| digits.parse::<u16>().ok()) {
        Some(401 | 403) => Kind::Denied,
        Some(507) => Kind::Full,
        Some(408 | 429 | 500..) => Kind::Transient,
        _ => Kind::Lasting,
    }
}
