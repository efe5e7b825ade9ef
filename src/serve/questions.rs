//! Questions that only the workers can answer: asked here, taken by the run, answered once by every
//! worker.
//!
//! Few may wait at a time, and each is passed on when the one before has been answered: whoever asks
//! much makes others wait who ask, not the records.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use dataflows::segmentation::{Ask, Reply};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Refusal;

/// How many questions may wait for their turn.
const WAITING_MAX: usize = 16;
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Questions on their way.
#[derive(Default)]
pub struct Questions {
    state: Mutex<State>,
    /// Tells the workers that there is something to be taken.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// How many users there were when that was asked last.
    users: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Ask, oneshot::Sender<Vec<Reply>>)>,
    /// How many have been taken: the number of the last of them.
    taken: u64,
    asked: Option<Asked>,
}

/// A question that has been taken.
struct Asked {
    workers: usize,
    replies: Vec<Reply>,
    to: oneshot::Sender<Vec<Reply>>,
    /// How long its answers are waited for, even if whoever asked has gone away.
    until: Instant,
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions").field("waiting", &self.state().waiting.len()).finish()
    }
}

impl Questions {
    /// Asks, and waits for what every worker says.
    ///
    /// # Errors
    /// Too much is being asked, or there is no answer in time.
    pub async fn ask(&self, ask: Ask) -> Result<Vec<Reply>, Refusal> {
        let (to, answer) = oneshot::channel();
        {
            let mut state = self.state();
            // Who has gone away is not answered.
            state.waiting.retain(|(_, to)| !to.is_closed());
            if state.waiting.len() >= WAITING_MAX {
                let message = "too many questions wait to be answered by the workers";
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return Err(Refusal::new(status, "busy", message).with_hint("ask again later"));
            }
            state.waiting.push_back((ask, to));
        }
        self.wake.get().into_iter().for_each(|wake| wake());
        let silent = || {
            let message =
                "the workers have not answered: they are behind, or have read nothing yet";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not_answered", message)
                .with_hint("ask again once /readyz says ready")
        };
        match timeout(ANSWER_TIME, answer).await {
            Ok(Ok(replies)) => Ok(replies),
            Ok(Err(_)) | Err(_) => Err(silent()),
        }
    }

    /// What tells the workers that there is something to be taken.
    pub fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        // The first run that is told keeps its view.
        let _ = self.wake.set(Box::new(wake));
    }

    /// The next question, with its number, for so many workers to answer; none while one is being
    /// answered. One is given up that nobody waits for any more: who was to answer may be lost.
    pub fn take(&self, workers: usize) -> Option<(u64, Ask)> {
        self.take_at(workers, Instant::now())
    }

    fn take_at(&self, workers: usize, now: Instant) -> Option<(u64, Ask)> {
        let mut state = self.state();
        if state.asked.as_ref().is_some_and(|it| !it.to.is_closed() || now < it.until) {
            return None;
        }
        let (ask, to) = state.waiting.pop_front()?;
        state.taken += 1;
        state.asked = Some(Asked { workers, replies: Vec::new(), to, until: now + ANSWER_TIME });
        Some((state.taken, ask))
    }

    /// A worker has said something.
    pub fn reply(&self, reply: Reply) {
        let mut state = self.state();
        let is_last = reply.number == state.taken;
        let Some(asked) = state.asked.as_mut().filter(|_| is_last) else { return };
        asked.replies.push(reply);
        if asked.replies.len() >= asked.workers
            && let Some(Asked { replies, to, .. }) = state.asked.take()
        {
            // Who has gone away is not answered.
            let _ = to.send(replies);
            drop(state);
            self.wake.get().into_iter().for_each(|wake| wake());
        }
    }

    /// How many users there were when that was asked last, if it ever was.
    pub fn users(&self) -> Option<u64> {
        Some(self.users.load(Ordering::Relaxed)).filter(|users| *users > 0)
    }

    /// There are so many users.
    pub fn know_users(&self, users: u64) {
        self.users.store(users, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use dataflows::rule::Rule;
    use dataflows::segmentation::Told;
    use tokio::runtime::Builder;
    use tokio::task::yield_now;

    use super::*;

    fn ask() -> Ask {
        Ask::Estimate { rule: Rule::Everyone, share: 0 }
    }

    fn reply(number: u64) -> Reply {
        Reply { number, at: 5, told: Told::Unknown }
    }

    #[test]
    fn one_is_asked_at_a_time_and_answered_when_all_have_spoken() {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let questions = std::sync::Arc::new(Questions::default());
            let asking = |_| {
                let questions = std::sync::Arc::clone(&questions);
                tokio::spawn(async move { questions.ask(ask()).await })
            };
            let mut all: Vec<_> = (0..=WAITING_MAX).map(asking).collect();
            yield_now().await;
            assert!(all.remove(WAITING_MAX).await.unwrap().is_err(), "there are too many");
            let first = all.remove(0);
            assert_eq!(questions.take(2).map(|(number, _)| number), Some(1));
            assert!(questions.take(2).is_none());
            questions.reply(reply(7));
            questions.reply(reply(1));
            assert!(questions.take(2).is_none());
            questions.reply(reply(1));
            assert_eq!(first.await.unwrap().unwrap(), [reply(1), reply(1)]);
            // One that has gone away is not in the way of the next.
            all.remove(0).abort();
            yield_now().await;
            assert_eq!(questions.take(1).map(|(number, _)| number), Some(2));
            questions.reply(reply(2));
            assert_eq!(questions.take(1).map(|(number, _)| number), Some(3));
            questions.reply(reply(3));
            assert_eq!(all.remove(0).await.unwrap().unwrap(), [reply(3)]);
            // One that is never answered is given up some time after nobody waits for it.
            assert_eq!(questions.take(1).map(|(number, _)| number), Some(4));
            let later = Instant::now() + ANSWER_TIME;
            assert!(questions.take_at(1, later).is_none());
            all.remove(0).abort();
            yield_now().await;
            assert!(questions.take(1).is_none());
            assert_eq!(questions.take_at(1, later).map(|(number, _)| number), Some(5));
        });
    }
}
