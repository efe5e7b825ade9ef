//! When it is time: a clock finer than the runtime's, whose timers go by whole milliseconds.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How late it tells, and what the system adds to a sleep.
const TICK: Duration = Duration::from_micros(100);

/// Tells those who wait when their time has come, from a thread that ends with it.
#[derive(Default)]
pub(super) struct Pacer {
    waiting: Arc<Mutex<Waiting>>,
}

/// Who waits until when, and how many have waited so far.
#[derive(Default)]
struct Waiting {
    due: BTreeMap<(Instant, u64), oneshot::Sender<()>>,
    count: u64,
}

impl Pacer {
    pub(super) fn start() -> io::Result<Self> {
        let pacer = Pacer::default();
        let waiting = Arc::downgrade(&pacer.waiting);
        thread::Builder::new().name("pacer".to_owned()).spawn(move || {
            while let Some(waiting) = waiting.upgrade() {
                thread::sleep(TICK);
                tell(&waiting, Instant::now());
            }
        })?;
        Ok(pacer)
    }

    /// Waits until then.
    pub(super) async fn until(&self, due: Instant) {
        if due <= Instant::now() {
            return;
        }
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.count += 1;
            let number = waiting.count;
            waiting.due.insert((due, number), tell);
        }
        // It is told, unless its thread has panicked, and then at once.
        let _ = told.await;
    }
}

fn tell(waiting: &Mutex<Waiting>, now: Instant) {
    let due = {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let later = waiting.due.split_off(&(now, u64::MAX));
        std::mem::replace(&mut waiting.due, later)
    };
    for tell in due.into_values() {
        // One that has gone away need not know.
        let _ = tell.send(());
    }
}
