//! The chronicle: what each process of each run appends as it goes, durable before it goes on.
//!
//! In a folder it is appended to a file, for one flush to disk each time; an object store has no
//! such thing, so there each time makes a file. Files are numbered, so that what is not needed any
//! more can be deleted.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use object_store::Error;

use super::{Store, make};
use crate::state::frame::{self, End};
use crate::state::objects::Objects;
use crate::state::{Place, StateError};

const CHRONICLE: &str = "chronicle";
const SUFFIX: &str = ".frames";

/// A file of it.
#[derive(Debug)]
pub struct Chronicled {
    /// Its path.
    pub path: String,
    /// What was appended to it, each time.
    pub contents: Vec<Vec<u8>>,
    /// From which byte on it is torn: whoever wrote it was killed in the midst of it.
    pub torn: Option<u64>,
}

/// What a check of it found.
#[derive(Debug, Default)]
pub struct CheckedChronicle {
    /// How many bytes its files have.
    pub bytes: u64,
    /// Those that are right, in order.
    pub files: Vec<Chronicled>,
    /// All that is wrong with others.
    pub wrong: Vec<StateError>,
}

/// What this process appends to.
pub struct Chronicle {
    objects: Arc<Objects>,
    /// What the names of its files begin with.
    name: String,
    number: u64,
    /// In a folder, the file, and how much of it is durable.
    file: Option<(File, u64)>,
}

impl Store {
    /// All that runs have appended: each run after those before it, and each process's in its order.
    /// What was torn while it was being written, which nobody has relied on, is left out.
    ///
    /// # Errors
    /// The place cannot be read, or something is damaged or of another version.
    pub fn chronicled(&self) -> Result<Vec<Chronicled>, StateError> {
        let mut all = Vec::new();
        self.each_chronicled(|_, found| found.map(|file| all.push(file)))?;
        Ok(all)
    }

    /// Reads all of it, and goes on where a file is damaged.
    ///
    /// # Errors
    /// The place cannot be read. What is wrong with the chronicle is in the answer.
    pub fn check_chronicle(&self) -> Result<CheckedChronicle, StateError> {
        let mut checked = CheckedChronicle::default();
        self.each_chronicled(|bytes, found| {
            checked.bytes += bytes;
            match found {
                Ok(file) => checked.files.push(file),
                Err(error) if error.is_damage() || matches!(error, StateError::Version { .. }) => {
                    checked.wrong.push(error);
                }
                Err(error) => return Err(error),
            }
            Ok(())
        })?;
        Ok(checked)
    }

    /// Does something with each of its files, in order, of so many bytes.
    fn each_chronicled(
        &self,
        mut each: impl FnMut(u64, Result<Chronicled, StateError>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let mut files = self.objects.list(CHRONICLE)?;
        files.retain(|path, _| path.ends_with(SUFFIX));
        let mut files = files.iter().peekable();
        while let Some((path, bytes)) = files.next() {
            let is_last = files.peek().is_none_or(|(next, _)| whose(next) != whose(path));
            match self.read_chronicle(path, is_last) {
                Err(StateError::Gone { .. }) => {} // it was forgotten since it was listed
                found => each(*bytes, found)?,
            }
        }
        Ok(())
    }

    fn read_chronicle(&self, path: &str, may_be_torn: bool) -> Result<Chronicled, StateError> {
        let (name, bytes) = (self.objects.name(path), self.objects.read(path)?);
        let (contents, end) = frame::read(&bytes);
        let damaged = |frame, byte: usize| StateError::Damaged {
            name: name.clone(),
            place: Place::Block(frame, byte as u64),
            what: "its checksum is not that of its bytes, and sinks were given what it tells of"
                .to_owned(),
        };
        let mut torn = None;
        match end {
            End::Whole => {}
            End::Torn(byte) if may_be_torn => torn = Some(byte as u64),
            End::Torn(byte) => return Err(damaged(contents.len() as u64, byte)),
            End::Damaged(frame, byte) => return Err(damaged(frame, byte)),
            End::Version(found) => {
                let (found, known) = (found.into(), frame::VERSION.into());
                return Err(StateError::Version { name, found, known });
            }
        }
        let contents = contents.into_iter().map(<[u8]>::to_vec).collect();
        Ok(Chronicled { path: path.to_owned(), contents, torn })
    }

    /// Begins what a process of this run appends, after all that `earlier` ones have.
    pub fn chronicle(&self, process: usize, earlier: &[Chronicled]) -> Chronicle {
        // The clock tells runs apart that know nothing of each other, and is not believed.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = u64::try_from(now).unwrap_or(0);
        let last = earlier.iter().filter_map(|it| run(&it.path)).max();
        let run = last.map_or(now, |last| now.max(last + 1));
        let name = format!("{run:013}-{}-{process}", self.writer);
        Chronicle { objects: Arc::clone(&self.objects), name, number: 0, file: None }
    }

    /// Forgets files of it.
    ///
    /// # Errors
    /// One of them cannot be deleted.
    pub fn forget_chronicle(&self, paths: Vec<String>) -> Result<(), StateError> {
        self.objects.delete_all(paths)
    }
}

/// What the name of a file has in common with those of the same process and run.
fn whose(path: &str) -> Option<&str> {
    path.rsplit_once('-').map(|(whose, _)| whose)
}

fn run(path: &str) -> Option<u64> {
    let name = path.rsplit('/').next()?;
    name.split('-').next()?.parse().ok()
}

impl Chronicle {
    /// Appends something; gives back the path of the file it is in. It is durable when this returns.
    /// Where it failed, the same may be appended again.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append(&mut self, content: &[u8]) -> Result<String, StateError> {
        let path = format!("{CHRONICLE}/{}-{:010}{SUFFIX}", self.name, self.number);
        let frame = frame::seal(content);
        let Some(folder) = self.objects.folder() else {
            self.objects.put(&path, &[Bytes::from(frame)])?;
            self.number += 1;
            return Ok(path);
        };
        let written = match &mut self.file {
            Some(file) => append(file, &frame),
            none => {
                create(&folder.join(&path)).and_then(|file| append(none.insert((file, 0)), &frame))
            }
        };
        written.map_err(|cause| {
            let cause = Error::Generic { store: "folder", source: cause.into() };
            self.objects.explain("write", &path, cause)
        })?;
        Ok(path)
    }

    /// Goes on in another file. What failed to be appended must have been appended again.
    pub fn turn(&mut self) {
        if self.file.take().is_some() {
            self.number += 1;
        }
    }
}

/// Makes a file, which is there after a power failure too.
fn create(path: &Path) -> io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make(folder)?;
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Appends to what is durable of a file: what a failure has left after it is written over.
fn append((file, durable): &mut (File, u64), frame: &[u8]) -> io::Result<()> {
    file.set_len(*durable)?;
    file.seek(SeekFrom::Start(*durable))?;
    file.write_all(frame)?;
    file.sync_data()?;
    *durable += frame.len() as u64;
    Ok(())
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::state::Location;

    fn contents(store: &Store) -> Result<Vec<String>, StateError> {
        let all = store.chronicled()?.into_iter().flat_map(|it| it.contents);
        Ok(all.map(|content| String::from_utf8(content).unwrap()).collect())
    }

    /// Two runs, the second of two processes, of which one goes on in another file.
    fn two_runs(open: impl Fn() -> Store) -> Vec<String> {
        let mut first = open().chronicle(0, &[]);
        let paths = ["a", "b"].map(|text| first.append(text.as_bytes()).unwrap());
        let store = open();
        let earlier = store.chronicled().unwrap();
        let (mut second, mut other) = (store.chronicle(0, &earlier), store.chronicle(1, &earlier));
        other.append(b"e").unwrap();
        second.append(b"c").unwrap();
        second.turn();
        second.append(b"d").unwrap();
        assert_eq!(contents(&store).unwrap(), ["a", "b", "c", "d", "e"]);
        paths.to_vec()
    }

    #[test]
    fn each_run_comes_after_those_before_it() {
        let memory: Arc<InMemory> = Arc::default();
        let paths = two_runs(|| Store::over(Arc::clone(&memory) as Arc<_>).unwrap());
        let store = Store::over(memory).unwrap();
        store.forget_chronicle(paths).unwrap();
        assert_eq!(contents(&store).unwrap(), ["c", "d", "e"]);
    }

    #[test]
    fn in_a_folder_it_is_appended_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().into());
        let paths = two_runs(|| Store::create(&location).unwrap());
        assert_eq!(paths[0], paths[1]);
        let store = Store::open(&location).unwrap();
        assert_eq!(store.chronicled().unwrap().len(), 4);
        // Whoever was killed in the midst of it has told nobody.
        let file = folder.path().join(&paths[0]);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(contents(&store).unwrap(), ["a", "c", "d", "e"]);
        let checked = store.check_chronicle().unwrap();
        assert!(checked.wrong.is_empty());
        let torn: Vec<_> = checked.files.iter().map(|it| it.torn).collect();
        assert_eq!(torn, [Some(25), None, None, None]);
        let mut damaged = bytes.clone();
        damaged[24] ^= 1;
        std::fs::write(&file, damaged).unwrap();
        let said = contents(&store).unwrap_err().to_string();
        assert!(said.contains(&paths[0]) && said.contains("in block 0, from byte 0"), "{said}");
        std::fs::write(&file, bytes).unwrap();
        // The same of one that was followed by another.
        let followed = &store.chronicled().unwrap()[1].path;
        let file = folder.path().join(followed);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        let said = contents(&store).unwrap_err().to_string();
        assert!(said.contains(followed), "{said}");
        let checked = store.check_chronicle().unwrap();
        assert_eq!((checked.files.len(), checked.wrong.len(), checked.bytes), (3, 1, 5 * 25 - 1));
    }

    #[test]
    fn what_failed_in_the_midst_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&Location::Folder(folder.path().into())).unwrap();
        let mut chronicle = store.chronicle(0, &[]);
        chronicle.append(b"a").unwrap();
        let (file, durable) = chronicle.file.as_mut().unwrap();
        file.seek(SeekFrom::Start(*durable)).unwrap();
        file.write_all(b"half of what was to be written").unwrap();
        chronicle.append(b"b").unwrap();
        assert_eq!(contents(&store).unwrap(), ["a", "b"]);
    }
}
