//! The data that is measured over: made once, kept beside a note of what it was made of, and used
//! again as long as that is the same. Where the peers have their own, both read that.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::BenchError;
use super::measurement::Size;
use super::shapes;
use crate::generate::clicks::START;
use crate::generate::random::Random;
use crate::generate::{catalogue, changes, clicks};

const SEED: u64 = 7;
/// So many clicks have ten million page views and purchases, which are what windows hold.
const LONG_CLICKS: u32 = 13_700_000;
/// Clicks a second of the long clickstream.
const LONG_RATE: f64 = 5_000.0;
/// How many stages users move through.
const STAGES: u64 = 20;
const BLANK_BYTES: usize = 1_000_000;

/// Where data is.
#[derive(Debug, Clone)]
pub(super) struct Data {
    folder: PathBuf,
    size: Size,
    /// The folder of the peers' own data.
    peers: Option<PathBuf>,
}

/// A clickstream: all of it, and the same dealt out to two files.
#[derive(Debug, Clone)]
pub(super) struct ClickFiles {
    pub(super) whole: PathBuf,
    pub(super) parts: [PathBuf; 2],
}

/// Users, changes, segments.
#[derive(Debug, Clone)]
pub(super) struct ChangeFiles {
    pub(super) folder: PathBuf,
    pub(super) segments: PathBuf,
    /// All users, one a millisecond before the first change, then all changes.
    pub(super) stream: PathBuf,
    pub(super) changes: u64,
}

impl Data {
    pub(super) fn new(out: &Path, size: Size, peers: Option<PathBuf>) -> Self {
        let name = if size.quick { "data-quick" } else { "data" };
        Data { folder: out.join(name), size, peers: peers.filter(|_| !size.quick) }
    }

    /// The clickstream of W1, at 5,000 events a second or (`slow`) at 1,000.
    pub(super) fn clicks(&self, slow: bool) -> Result<ClickFiles, BenchError> {
        let name = if slow { "w1s" } else { "w1" };
        let theirs = self.peers.as_ref().map(|data| click_files(&data.join(name)));
        if let Some(files) = theirs.filter(|files| files.parts.iter().all(|part| part.is_file())) {
            return Ok(files);
        }
        let rate = if slow { 1_000.0 } else { 5_000.0 };
        let folder = self.folder.join(name);
        let settings = clicks::Settings::mark(rate);
        let count = u64::from(self.size.clicks());
        self.make(&folder, &format!("{settings:?} {count}"), || {
            let files = click_files(&folder.join(name));
            let mut parts = [create(&files.parts[0])?, create(&files.parts[1])?];
            clicks::write(settings, count, &mut parts)?;
            let mut whole = [create(&files.whole)?];
            clicks::write(settings, count, &mut whole).map(drop)
        })?;
        Ok(click_files(&folder.join(name)))
    }

    /// Users, changes and segments of W2.
    pub(super) fn changes(
        &self,
        selective: bool,
        segments: u32,
    ) -> Result<ChangeFiles, BenchError> {
        let kind = if selective { "selective" } else { "dense" };
        if let Some(files) = self.theirs(selective, segments)? {
            return Ok(files);
        }
        // Where every user is in thousands of segments, fewer users do: loading is another row.
        let few = !selective && segments >= 10_000;
        let users = if few { self.size.of(20_000) } else { self.size.users() };
        let count = self.size.changes();
        let segments = self.size.of(segments);
        let folder = self.folder.join(format!("w2-{users}"));
        let name = format!("segments-{segments}.json");
        self.make(&folder, &format!("{users} {count} {SEED}"), || {
            let mut files =
                (create(&folder.join("users.jsonl"))?, create(&folder.join("changes.jsonl"))?);
            changes::write((users, count), false, SEED, &mut files.0, &mut files.1)
        })?;
        // Segments of each kind have a folder of their own, in which peers look for all three.
        let own = self.folder.join(format!("w2-{kind}-{segments}"));
        self.make(&own, &format!("{segments} {kind} {SEED}"), || {
            for shared in ["users.jsonl", "changes.jsonl"] {
                let _ = fs::remove_file(own.join(shared));
                std::os::unix::fs::symlink(
                    fs::canonicalize(folder.join(shared))?,
                    own.join(shared),
                )?;
            }
            fs::write(own.join(&name), catalogue::attributes(segments, selective, SEED))
        })?;
        self.change_files(&own, &own.join(name), &format!("w2-{users}"))
    }

    /// The peers' own, where they have it.
    fn theirs(&self, selective: bool, segments: u32) -> Result<Option<ChangeFiles>, BenchError> {
        let Some(data) = &self.peers else { return Ok(None) };
        let names = match (selective, segments) {
            (true, _) => ["w2s", "w2s"],
            (false, 10_000..) => ["w2b", "w2"],
            (false, _) => ["w2", "w2"],
        };
        for name in names {
            let folder = data.join(name);
            let list = folder.join(format!("segments-{segments}.json"));
            if list.is_file() && folder.join("changes.jsonl").is_file() {
                return self.change_files(&folder, &list, &format!("peers-{name}")).map(Some);
            }
        }
        Ok(None)
    }

    fn change_files(
        &self,
        folder: &Path,
        segments: &Path,
        name: &str,
    ) -> Result<ChangeFiles, BenchError> {
        let own = self.folder.join(format!("{name}-stream"));
        let parts = [folder.join("users.jsonl"), folder.join("changes.jsonl")];
        let made_of = format!(
            "{folder:?} {BLANK_BYTES} {:?}",
            parts.each_ref().map(|it| fs::metadata(it).map(|it| it.len()).ok())
        );
        let stream = own.join("stream.jsonl");
        self.make(&own, &made_of, || join(&parts, &stream))?;
        Ok(ChangeFiles {
            folder: folder.to_owned(),
            segments: segments.to_owned(),
            stream,
            changes: lines(&parts[1])?,
        })
    }

    /// Users with interval segments: their attributes first, then steps to a neighbouring interval.
    pub(super) fn intervals(&self, segments: u32) -> Result<ChangeFiles, BenchError> {
        let (users, count) = (self.size.of(10_000), self.size.of(200_000));
        let segments = self.size.of(segments).max(100);
        let folder = self.folder.join(format!("intervals-{segments}"));
        self.make(&folder, &format!("{users} {count} {segments} {SEED}"), || {
            fs::write(folder.join("segments.json"), catalogue::intervals(segments))?;
            let parts = [folder.join("users.jsonl"), folder.join("changes.jsonl")];
            let mut to = (create(&parts[0])?, create(&parts[1])?);
            changes::write_steps((users, count), segments / 20, SEED, &mut to.0, &mut to.1)?;
            join(&parts, &folder.join("stream.jsonl"))
        })?;
        Ok(ChangeFiles {
            segments: folder.join("segments.json"),
            stream: folder.join("stream.jsonl"),
            folder,
            changes: u64::from(count),
        })
    }

    /// Users with eight flags, which then flip, a thousand a millisecond; with segments that refer
    /// to segments, or without.
    pub(super) fn flags(&self, references: bool) -> Result<ChangeFiles, BenchError> {
        let (users, count) = (self.size.of(100_000), self.size.of(200_000));
        let folder = self.folder.join(if references { "references" } else { "no-references" });
        self.make(&folder, &format!("{users} {count} {SEED}"), || {
            fs::write(folder.join("segments.json"), catalogue::references(references))?;
            let parts = [folder.join("users.jsonl"), folder.join("changes.jsonl")];
            let mut to = (create(&parts[0])?, create(&parts[1])?);
            changes::write_flags((users, count), SEED, &mut to.0, &mut to.1)?;
            join(&parts, &folder.join("stream.jsonl"))
        })?;
        Ok(ChangeFiles {
            segments: folder.join("segments.json"),
            stream: folder.join("stream.jsonl"),
            folder,
            changes: u64::from(count),
        })
    }

    /// What memory is measured over: clicks of so many users, or so many users with attributes,
    /// each at a time of its own; and the segments.
    pub(super) fn memory(
        &self,
        attributes: bool,
        users: u32,
    ) -> Result<(PathBuf, PathBuf), BenchError> {
        let users = self.size.of(users);
        let folder = self.folder.join(format!("memory-{attributes}-{users}"));
        let (stream, segments) = (folder.join("stream.jsonl"), folder.join("segments"));
        let clicks = u64::from(self.size.clicks());
        self.make(&folder, &format!("{attributes} {users} {clicks} {SEED}"), || {
            let mut to = [create(&stream)?];
            if attributes {
                fs::create_dir_all(&segments)?;
                let list = catalogue::attributes(self.size.of(1_000), true, SEED);
                fs::write(segments.join("segments.json"), list)?;
                changes::write((users, 0), true, SEED, &mut to[0], &mut io::sink())
            } else {
                clicks::write(
                    clicks::Settings { users, ..clicks::Settings::mark(5_000.0) },
                    clicks,
                    &mut to,
                )
                .map(drop)
            }
        })?;
        if !attributes {
            shapes::mark(&segments, None)?;
        }
        Ok((stream, segments))
    }

    /// Clicks of a million users, and where event time ends with them.
    pub(super) fn long_clicks(&self) -> Result<([PathBuf; 2], i64), BenchError> {
        let folder = self.folder.join("long");
        // By Zipf's law about half of them are drawn.
        let settings = clicks::Settings {
            users: self.size.of(2_000_000),
            ..clicks::Settings::mark(LONG_RATE)
        };
        let count = u64::from(self.size.of(LONG_CLICKS));
        let files = click_files(&folder.join("long"));
        self.make(&folder, &format!("{settings:?} {count}"), || {
            let mut parts = [create(&files.parts[0])?, create(&files.parts[1])?];
            clicks::write(settings, count, &mut parts).map(drop)
        })?;
        Ok((files.parts, START + (count as f64 / LONG_RATE * 1_000.0) as i64))
    }

    /// The mark's segments over windows that hold all of these.
    pub(super) fn long_windows(&self) -> Result<PathBuf, BenchError> {
        let folder = self.folder.join("windows-long");
        shapes::mark(&folder, None)?;
        for file in fs::read_dir(&folder).map_err(BenchError::file("read", &folder))? {
            let path = file.map_err(BenchError::file("read", &folder))?.path();
            let text = fs::read_to_string(&path).map_err(BenchError::file("read", &path))?;
            let text = text.replace("\"10m\"", "\"2h\"");
            fs::write(&path, text).map_err(BenchError::file("write", &path))?;
        }
        Ok(folder)
    }

    /// Users who move from stage to stage, one a millisecond, and a segment for each stage.
    pub(super) fn moves(&self) -> Result<(PathBuf, PathBuf), BenchError> {
        let (users, moves) = (self.size.of(100_000), self.size.of(1_000_000));
        let folder = self.folder.join("moves");
        let (stream, segments) = (folder.join("moves.jsonl"), folder.join("segments.json"));
        self.make(&folder, &format!("{users} {moves} {STAGES} {SEED}"), || {
            let stage = |stage: u64| {
                let rules = json!({ "attribute": "stage", "op": "eq", "value": stage });
                json!({ "id": format!("stage_{stage}"), "rules": rules })
            };
            let all: Vec<_> = (0..STAGES).map(stage).collect();
            fs::write(&segments, json!(all).to_string())?;
            let (mut random, mut to) = (Random::new(SEED), create(&stream)?);
            let mut stages = vec![0; users as usize];
            for time in START..START + i64::from(moves) {
                let user = random.below(users.into()) as usize;
                // Always another one, of those that follow.
                stages[user] = (stages[user] + 1 + random.below(STAGES - 1)) % STAGES;
                let stage = stages[user];
                writeln!(
                    to,
                    r#"{{"type":"identify","userId":"u{user}","timestamp":{time},"traits":{{"stage":{stage}}}}}"#
                )?;
            }
            to.flush()
        })?;
        Ok((stream, segments))
    }

    /// A folder of segments for latency: the mark's and a thousand more.
    pub(super) fn windows(&self, more: u32) -> Result<PathBuf, BenchError> {
        let folder = self.folder.join(format!("windows-{more}"));
        let more = (more > 0).then(|| catalogue::windows(more, SEED));
        shapes::mark(&folder, more.as_deref())?;
        Ok(folder)
    }

    /// The folder itself, for what is written beside the data.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes data in a folder, unless it is there and made of the same.
    fn make(
        &self,
        folder: &Path,
        made_of: &str,
        make: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), BenchError> {
        let note = folder.join("made-of");
        if fs::read_to_string(&note).is_ok_and(|found| found == made_of) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(BenchError::file("make the folder", folder))?;
        let _ = fs::remove_file(&note);
        make().map_err(BenchError::file("make data in", folder))?;
        fs::write(&note, made_of).map_err(BenchError::file("write", &note))
    }
}

fn click_files(stem: &Path) -> ClickFiles {
    let part = |ending: &str| stem.with_extension(ending);
    ClickFiles { whole: part("jsonl"), parts: [part("p0.jsonl"), part("p1.jsonl")] }
}

/// Joins users and changes to one stream. Users have no time; they come one a millisecond before
/// the first change, lest all their differences be of one instant. A blank line longer than any
/// chunk that is read at once keeps the first change apart from the others: it says that all users
/// are in.
fn join([users, changes]: &[PathBuf; 2], stream: &Path) -> io::Result<()> {
    let mut stream = create(stream)?;
    let count = BufReader::new(File::open(users)?).lines().count();
    let times = START - i64::try_from(count).unwrap_or(0)..START;
    for (line, time) in BufReader::new(File::open(users)?).lines().zip(times) {
        match line?.strip_prefix('{') {
            Some(rest) if !rest.starts_with("\"ts\"") => {
                writeln!(stream, "{{\"ts\":{time},{rest}")?
            }
            Some(rest) => writeln!(stream, "{{{rest}")?,
            None => return Err(io::Error::other("a user is not an object")),
        }
    }
    let (mut changes, mut first) = (BufReader::new(File::open(changes)?), Vec::new());
    changes.read_until(b'\n', &mut first)?;
    stream.write_all(&first)?;
    stream.write_all(&vec![b' '; BLANK_BYTES])?;
    stream.write_all(b"\n")?;
    io::copy(&mut changes, &mut stream)?;
    stream.flush()
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    Ok(BufWriter::with_capacity(1 << 20, File::create(path)?))
}

/// How many lines a file has.
pub(super) fn lines(path: &Path) -> Result<u64, BenchError> {
    let count = || {
        let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
        let (mut buffer, mut count) = (vec![0; 1 << 20], 0);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(count),
                read => count += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64,
            }
        }
    };
    count().map_err(BenchError::file("read", path))
}
