//! The work that requests make, away from the threads that answer: only so much of it at a time, and
//! only so much may wait for its turn. Where more comes than can be worked on, it is refused while
//! that is still cheap, and those who ask something else wait for none of it.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::{io, thread};

use tokio::sync::{Semaphore, oneshot};

use crate::threads;

/// How many bytes of bodies may wait for their turn, or have it.
const WAITING_BYTES: usize = 4 << 20;

/// Turns, one after another, on threads of their own: they give way to those that answer.
pub(super) struct Turns {
    free: Arc<Semaphore>,
    /// It has room for all who have a turn: no one waits here.
    works: mpsc::SyncSender<Work>,
    most: usize,
    waiting: Arc<AtomicUsize>,
}

type Work = Box<dyn FnOnce() + Send>;

/// More waits already than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowded;

/// Bytes that wait, until this is dropped.
struct Waiting(Arc<AtomicUsize>, usize);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::AcqRel);
    }
}

impl Turns {
    /// On half of the cores: the others are for those who ask, and for the job.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(super) fn new() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Turns::of((cores / 2).max(1), WAITING_BYTES)
    }

    pub(super) fn of(at_once: usize, most: usize) -> io::Result<Self> {
        let (works, next) = mpsc::sync_channel::<Work>(at_once);
        let next = Arc::new(Mutex::new(next));
        for _ in 0..at_once {
            let next = Arc::clone(&next);
            thread::Builder::new().name("collect".to_owned()).spawn(move || work_on(&next))?;
        }
        let free = Arc::new(Semaphore::new(at_once));
        Ok(Turns { free, works, most, waiting: Arc::default() })
    }

    /// Does work over so many bytes when it is its turn.
    ///
    /// # Errors
    /// Too much waits.
    pub(super) async fn take<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Crowded> {
        let before = self.waiting.fetch_add(bytes, Ordering::AcqRel);
        let waiting = Waiting(Arc::clone(&self.waiting), bytes);
        if before > 0 && before + bytes > self.most {
            return Err(Crowded);
        }
        // It is never closed; were it, no one could work.
        let turn = Arc::clone(&self.free).acquire_owned().await.map_err(|_| Crowded)?;
        let (tell, done) = oneshot::channel();
        let work = move || {
            let done = work();
            drop((turn, waiting));
            // Whoever asked may have gone away.
            let _ = tell.send(done);
        };
        // There are threads as long as there are turns.
        self.works.send(Box::new(work)).map_err(|_| Crowded)?;
        // Work that panics is told of already; its client may come again.
        done.await.map_err(|_| Crowded)
    }
}

/// Works until there are no more turns.
fn work_on(next: &Mutex<mpsc::Receiver<Work>>) {
    threads::give_way();
    loop {
        let work = next.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = work else { return };
        // A request that makes it panic harms no other.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use futures_util::future::join_all;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn so_much_waits_and_the_rest_is_refused_at_once() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let turns = Arc::new(Turns::of(1, 100).unwrap());
            let begin = |bytes| {
                let ((go, wait), own) = (sync_channel::<()>(1), Arc::clone(&turns));
                let begun = tokio::spawn(async move { own.take(bytes, move || wait.recv()).await });
                (go, begun)
            };
            // The first has its turn, however long it is.
            let (go, first) = begin(500);
            tokio::task::yield_now().await;
            assert_eq!(turns.take(1, || ()).await, Err(Crowded));
            go.send(()).unwrap();
            first.await.unwrap().unwrap().unwrap();
            let (go, first) = begin(10);
            tokio::task::yield_now().await;
            let others = (0..20).map(|number| turns.take(10, move || number));
            let (others, ()) = tokio::join!(join_all(others), async { go.send(()).unwrap() });
            let done: Vec<_> = others.iter().flatten().copied().collect();
            assert_eq!(done, (0..9).collect::<Vec<_>>(), "nine fit beside it, in their order");
            first.await.unwrap().unwrap().unwrap();
            // One whose client goes away gives its place back.
            let (go, first) = begin(10);
            tokio::task::yield_now().await;
            let gone = Arc::clone(&turns);
            let gone = tokio::spawn(async move { gone.take(90, || ()).await });
            tokio::task::yield_now().await;
            assert_eq!(turns.take(90, || ()).await, Err(Crowded));
            gone.abort();
            assert!(gone.await.unwrap_err().is_cancelled());
            let (last, ()) = tokio::join!(turns.take(90, || 7), async { go.send(()).unwrap() });
            assert_eq!(last, Ok(7));
            first.await.unwrap().unwrap().unwrap();
            assert_eq!(turns.waiting.load(Ordering::Acquire), 0);
        });
    }
}
