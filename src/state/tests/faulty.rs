//! An object store in memory that fails as disks, networks and processes do, from a seed.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::Random;
use crate::state::StateError;

/// How a store fails.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// After so many steps the process that uses it dies.
    pub(crate) crash_after: Option<u64>,
    /// Of a hundred steps, so many fail; of these, every other has done its work.
    pub(crate) transient_percent: u64,
    /// From this step on there is no room, for so many steps.
    pub(crate) full: Option<(u64, u64)>,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    memory: Arc<InMemory>,
    faults: Faults,
    now: Arc<Mutex<Now>>,
}

struct Now {
    random: Random,
    steps: u64,
    has_crashed: bool,
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}", self.steps)
    }
}

/// What happens at a step.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fate {
    Done,
    /// It fails, having done nothing, or all of it.
    Fails {
        after: bool,
    },
    /// The process dies before it, after it, or in the midst of it.
    Dies {
        after: bool,
    },
    Torn(u64),
    NoRoom,
}

fn error(kind: io::ErrorKind) -> Error {
    Error::Generic { store: "faulty", source: io::Error::from(kind).into() }
}

impl Fate {
    pub(crate) fn is_done(self) -> bool {
        matches!(self, Fate::Done | Fate::Fails { after: true } | Fate::Dies { after: true })
    }

    fn result<T>(self, done: Result<T>) -> Result<T> {
        match self {
            Fate::Done => done,
            Fate::Fails { .. } => Err(error(io::ErrorKind::TimedOut)),
            Fate::Dies { .. } | Fate::Torn(_) => Err(error(io::ErrorKind::Other)),
            Fate::NoRoom => Err(error(io::ErrorKind::StorageFull)),
        }
    }
}

fn fate(now: &Mutex<Now>, faults: Faults, writes: bool) -> Fate {
    let mut now = now.lock().unwrap();
    if now.has_crashed {
        return Fate::Dies { after: false };
    }
    now.steps += 1;
    if faults.crash_after.is_some_and(|after| now.steps > after) {
        now.has_crashed = true;
        return match now.random.below(3) {
            0 if writes => Fate::Torn(now.random.next()),
            1 => Fate::Dies { after: true },
            _ => Fate::Dies { after: false },
        };
    }
    let step = now.steps;
    if writes && faults.full.is_some_and(|(from, count)| (from..from + count).contains(&step)) {
        return Fate::NoRoom;
    }
    if now.random.below(100) < faults.transient_percent {
        return Fate::Fails { after: now.random.below(2) == 0 };
    }
    Fate::Done
}

impl Faulty {
    pub(crate) fn new(memory: Arc<InMemory>, seed: u64, faults: Faults) -> Self {
        let now = Now { random: Random(seed), steps: 0, has_crashed: false };
        Faulty { memory, faults, now: Arc::new(Mutex::new(now)) }
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.now.lock().unwrap().has_crashed
    }

    /// Does it again until it is done, or the process dies: what passes has passed by then, and where
    /// there is no room someone makes some. Nothing else may go wrong; the seed is told then.
    pub(crate) fn until_done<T>(
        &self,
        seed: u64,
        mut act: impl FnMut() -> std::result::Result<T, StateError>,
    ) -> Option<T> {
        loop {
            match act() {
                Ok(done) => return Some(done),
                Err(_) if self.has_crashed() => return None,
                Err(error) if error.is_transient() || error.is_full() => {}
                Err(error) => panic!("seed {seed}: {error}: {error:?}"),
            }
        }
    }

    pub(crate) fn fate(&self, writes: bool) -> Fate {
        fate(&self.now, self.faults, writes)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        to: &Path,
        what: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let fate = self.fate(true);
        if let Fate::Torn(at) = fate {
            let all = Bytes::from(what);
            let part = all.slice(..(at % all.len() as u64) as usize);
            let _ = self.memory.put_opts(to, part.into(), options).await;
            return fate.result(Err(error(io::ErrorKind::Other)));
        }
        if !fate.is_done() {
            return fate.result(Err(error(io::ErrorKind::Other)));
        }
        fate.result(self.memory.put_opts(to, what, options).await)
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.memory.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.fate(false).result(self.memory.get_opts(from, options).await)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (memory, now, faults) = (Arc::clone(&self.memory), Arc::clone(&self.now), self.faults);
        let each = paths.then(move |path| {
            let (memory, fate) = (Arc::clone(&memory), fate(&now, faults, false));
            async move {
                let path = path?;
                if fate.is_done() {
                    memory.delete(&path).await?;
                }
                fate.result(Ok(path))
            }
        });
        each.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fate(false).result(Ok(())) {
            Ok(()) => self.memory.list(prefix),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.memory.copy_opts(from, to, options).await
    }
}
