//! The service under load: a job with a collector in a process of its own, and this process, which
//! sends and asks over loopback. First a million users tell who they are; then, while clicks keep
//! coming at a steady rate, each promise is measured by itself; last, ten times as many come as are
//! promised to be taken.

mod events;
mod load;
mod pacer;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::data::Data;
use super::engine::Engine;
use super::error::BenchError;
use super::figures::Figures;
use super::measurement::Size;
use crate::threads;
use events::{BATCH, Batches};
use load::{Connection, Outcome, Plan, Tally};

/// How many users there are.
const USERS: u32 = 1_000_000;
/// Events a second, in the background of all else.
const EVENTS_PER_S: f64 = 50_000.0;
/// Segments besides the two of the mark and the one of those who pay.
const SEGMENTS: u32 = 100;
const WORKERS: usize = 1;
/// How many users are asked about at once.
const MANY: u64 = 20;
/// Connections of those who send, and of those who ask.
const SENDERS: usize = 32;
const ASKERS: usize = 16;
/// Connections when too much is sent.
const CROWD: usize = 512;
/// How long one who waits for a membership pauses between two looks.
const LOOK_AGAIN: Duration = Duration::from_micros(500);
/// How long anything may be waited for.
const PATIENCE: Duration = Duration::from_secs(120);

const PAYING: &str = r#"{"id":"paying","rules":{"attribute":"plan","op":"eq","value":"pro"}}"#;
/// What is estimated: it looks at attributes and at a window.
const WANTED: &str = r#"{"rules":{"operator":"AND","conditions":[{"attribute":"plan","op":"in","value":["pro","team"]},{"attribute":"age","op":"gte","value":40},{"operator":"NOT","conditions":[{"event":"purchase","aggregate":"count","window":"10m","op":"gte","value":1}]}]}}"#;

fn wrong(what: impl std::fmt::Display) -> BenchError {
    BenchError::Measure(what.to_string())
}

/// The job, and what is sent to it.
struct Bench {
    engine: Engine,
    address: SocketAddr,
    batches: Batches,
    size: Size,
    users: u32,
    figures: Figures,
}

/// Measures the service. Figures: latencies in `…_ms`, rates in `…_per_s`.
pub(super) fn measure(data: &Data, size: Size) -> Result<Figures, BenchError> {
    let users = size.of(USERS);
    let folder = data.folder().join("service");
    let job = job(data, &folder)?;
    let engine = Engine::start(&job, WORKERS)?;
    let mut bench = Bench {
        address: engine.listening()?,
        engine,
        batches: Batches::of(users),
        size,
        users,
        figures: Figures::default(),
    };
    let measured = bench.all();
    let Bench { engine, figures, .. } = bench;
    measured.map_err(|error| match engine.said() {
        said if said.is_empty() => error,
        said => wrong(format!("{error}; the job said: {said}")),
    })?;
    engine.end()?;
    fs::remove_dir_all(&folder).map_err(BenchError::file("remove", &folder))?;
    Ok(figures)
}

/// Writes the job, whose log is empty.
fn job(data: &Data, folder: &Path) -> Result<PathBuf, BenchError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(BenchError::file("remove", folder))?;
    }
    fs::create_dir_all(folder).map_err(BenchError::file("make the folder", folder))?;
    let segments = data.windows(SEGMENTS)?;
    let file = segments.join("paying.json");
    fs::write(&file, PAYING).map_err(BenchError::file("write", &file))?;
    let text = |path: &Path| {
        let path = std::path::absolute(path).map_err(BenchError::file("find", path))?;
        Ok::<_, BenchError>(toml::Value::from(path.display().to_string()).to_string())
    };
    let job = format!(
        "name = \"bench\"\nsegments = {}\n[clock]\nemit = \"on_event\"\n[serve]\n\
         listen = \"127.0.0.1:0\"\nconnections_per_address = 1024\n[[source]]\nkind = \"http\"\nlog = {}\n[[sink]]\nkind = \"file\"\n\
         path = {}\n",
        text(&segments)?,
        text(&folder.join("log"))?,
        text(&folder.join("differences.jsonl"))?,
    );
    let path = folder.join("job.toml");
    fs::write(&path, job).map_err(BenchError::file("write", &path))?;
    Ok(path)
}

impl Bench {
    fn all(&mut self) -> Result<(), BenchError> {
        self.identify()?;
        self.busy("open", Self::nothing)?;
        self.busy("lookup", Self::lookups)?;
        self.busy("many", Self::many)?;
        self.busy("visible", Self::visible)?;
        self.busy("estimate", Self::estimates)?;
        self.overload()
    }

    fn rate(&self, full: f64) -> f64 {
        if self.size.quick { (full / 50.0).max(20.0) } else { full }
    }

    fn seconds(&self, full: f64) -> Duration {
        Duration::from_secs_f64(if self.size.quick { full / 20.0 } else { full })
    }

    /// A plan of so many requests a second, the first seconds of which are not counted.
    fn plan(&self, connections: usize, per_s: f64) -> Plan {
        let (warm_up, measured) = (self.seconds(2.0), self.seconds(8.0));
        let address = self.address;
        Plan { address, connections, per_s: self.rate(per_s), warm_up, measured }
    }

    fn set(&mut self, name: &str, tally: &Tally) {
        for (figure, quantile) in [("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0)] {
            self.figures.set(&format!("{name}_{figure}"), tally.ms(quantile));
        }
        self.figures.set(&format!("{name}_per_s"), tally.per_s());
        self.figures.set(&format!("{name}_refused"), tally.refused as f64);
        self.figures.set(&format!("{name}_unsent"), tally.unsent as f64);
    }

    /// All users tell who they are, as fast as that is taken; done when the last one is in.
    fn identify(&mut self) -> Result<(), BenchError> {
        let (address, count) = (self.address, u64::from(self.users).div_ceil(BATCH));
        let tally = load::closed_loop(address, SENDERS, count, async |to, number| {
            loop {
                let answer = to.post("/v1/batch", events::identified(number)).await?;
                match answer.outcome()? {
                    Outcome::Done => return Ok(Outcome::Done),
                    Outcome::Refused => to.pause(Duration::from_millis(100)).await,
                }
            }
        })?;
        self.set("closed", &tally);
        self.figures.set("closed_events_per_s", tally.per_s() * BATCH as f64);
        // The last one is of those who pay.
        let last = format!("/v1/users/u{}/segments", (count * BATCH - 1) / 3 * 3 - 1);
        let began = Instant::now();
        load::closed_loop(address, 1, 1, async |to, _| {
            while !is_in(to, &last, "paying").await? {
                if began.elapsed() > PATIENCE {
                    return Err(wrong("the users do not come into their segments"));
                }
                to.pause(Duration::from_millis(20)).await;
            }
            Ok(Outcome::Done)
        })?;
        self.figures.set("caught_up_s", began.elapsed().as_secs_f64());
        self.figures.set("memory_bytes", self.engine.memory()?.0);
        Ok(())
    }

    /// Does something while clicks come; tells how they fared.
    fn busy(
        &mut self,
        name: &str,
        what: fn(&Self) -> Result<Option<Tally>, BenchError>,
    ) -> Result<(), BenchError> {
        let is_over = AtomicBool::new(false);
        let (began, cpu_s) = (Instant::now(), self.engine.cpu_s()?);
        let (batches, is_over) = (&self.batches, &is_over);
        let (done, sent) = thread::scope(|scope| {
            let plan = self.plan(SENDERS, EVENTS_PER_S / BATCH as f64);
            let sender = scope.spawn(move || {
                // Those who ask are other machines in the field: making clicks must not delay them.
                threads::give_way();
                send(plan, batches, is_over)
            });
            let done = what(self);
            is_over.store(true, Ordering::Relaxed);
            (done, sender.join())
        });
        let sent = sent.map_err(|_| wrong("the sender of clicks failed"))??;
        let cpu_s = (self.engine.cpu_s()? - cpu_s) / began.elapsed().as_secs_f64();
        if let Some(tally) = done? {
            self.set(name, &tally);
            self.set(&format!("{name}_clicks"), &sent);
        } else {
            self.set(name, &sent);
        }
        self.figures.set(&format!("{name}_events_per_s"), sent.per_s() * BATCH as f64);
        self.figures.set(&format!("{name}_cpu_s_per_s"), cpu_s);
        Ok(())
    }

    /// Nothing but the clicks, to their end.
    fn nothing(&self) -> Result<Option<Tally>, BenchError> {
        thread::sleep(self.seconds(10.0));
        Ok(None)
    }

    fn lookups(&self) -> Result<Option<Tally>, BenchError> {
        ask(self.plan(ASKERS, 20_000.0), self.users).map(Some)
    }

    fn many(&self) -> Result<Option<Tally>, BenchError> {
        let tally = load::open_loop(
            self.plan(ASKERS, 1_000.0),
            &AtomicBool::new(false),
            async |to, number| {
                let mut users = Vec::new();
                for user in number * MANY..(number + 1) * MANY {
                    users.push(format!("\"u{}\"", events::someone(user, self.users)?));
                }
                let body = Bytes::from(format!("{{\"users\":[{}]}}", users.join(",")));
                to.post("/v1/users/segments", body).await?.outcome()
            },
        );
        tally.map(Some)
    }

    /// From the moment a purchase is to be sent to the answer of a look-up that shows what it did.
    fn visible(&self) -> Result<Option<Tally>, BenchError> {
        let tally = load::open_loop(
            self.plan(ASKERS, 100.0),
            &AtomicBool::new(false),
            async |to, number| {
                let user = format!("new-{number}");
                let answer = to.post("/v1/track", events::purchase(&user)).await?;
                if answer.outcome()? == Outcome::Refused {
                    return Ok(Outcome::Refused);
                }
                let (path, began) = (format!("/v1/users/{user}/segments"), Instant::now());
                while !is_in(to, &path, "high_value").await? {
                    if began.elapsed() > PATIENCE {
                        return Err(wrong("what was accepted does not show"));
                    }
                    to.pause(LOOK_AGAIN).await;
                }
                Ok(Outcome::Done)
            },
        );
        tally.map(Some)
    }

    fn estimates(&self) -> Result<Option<Tally>, BenchError> {
        let plan = self.plan(1, 3.0);
        let users = u64::from(self.users) / 2;
        let estimate = async |to: &mut Connection<'_>, _| {
            let answer = to.post("/v1/estimate", WANTED.into()).await?;
            let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            match told["users"].as_u64().is_some_and(|it| it > users) {
                true => answer.outcome(),
                false => Err(wrong(format!("it was estimated over too few: {told}"))),
            }
        };
        load::open_loop(plan, &AtomicBool::new(false), estimate).map(Some)
    }

    /// Ten times as much comes as is promised to be taken.
    fn overload(&mut self) -> Result<(), BenchError> {
        self.engine.forget()?;
        let (before, _) = self.engine.memory()?;
        let is_over = AtomicBool::new(false);
        let (batches, is_over) = (&self.batches, &is_over);
        let (asked, sent) = thread::scope(|scope| {
            let plan = self.plan(CROWD, 10.0 * EVENTS_PER_S / BATCH as f64);
            let sender = scope.spawn(move || send(plan, batches, is_over));
            let asked = ask(self.plan(ASKERS, 2_000.0), self.users);
            is_over.store(true, Ordering::Relaxed);
            (asked, sender.join())
        });
        let sent = sent.map_err(|_| wrong("the sender of too much failed"))??;
        self.set("overload_lookup", &asked?);
        self.set("overload", &sent);
        let (_, most) = self.engine.memory()?;
        self.figures.set("overload_memory", most / before);
        self.figures.set("overload_memory_bytes", most);
        let answered = (sent.done + sent.refused) as f64;
        self.figures.set("overload_refused_share", sent.refused as f64 / answered.max(1.0));
        let offered =
            answered * BATCH as f64 / sent.lasted.max(Duration::from_micros(1)).as_secs_f64();
        self.figures.set("overload_answered_events_per_s", offered);
        self.figures.set("overload_events_per_s", sent.per_s() * BATCH as f64);
        Ok(())
    }
}

/// Sends clicks.
fn send(plan: Plan, batches: &Batches, is_over: &AtomicBool) -> Result<Tally, BenchError> {
    load::open_loop(plan, is_over, async |to, _| {
        to.post("/v1/batch", batches.next()).await?.outcome()
    })
}

/// Asks about one user after another.
fn ask(plan: Plan, users: u32) -> Result<Tally, BenchError> {
    load::open_loop(plan, &AtomicBool::new(false), async |to, number| {
        let path = format!("/v1/users/u{}/segments", events::someone(number, users)?);
        to.get(&path).await?.outcome()
    })
}

/// Whether a user is in a segment, asked by this path.
async fn is_in(to: &mut Connection<'_>, path: &str, segment: &str) -> Result<bool, BenchError> {
    let answer = to.get(path).await?;
    answer.outcome()?;
    let told: serde_json::Value = serde_json::from_slice(&answer.body).map_err(wrong)?;
    Ok(told["segments"].as_array().is_some_and(|all| all.iter().any(|it| it == segment)))
}
