//! How a process meets the others: it listens for those after it, calls those before it, and looks
//! after the connections until it has one with each.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::reason;
use super::handshake::{Handshake, Nonce, Own, Refusal, Step, Verdict};
use super::link;
use super::statement::Difference;
use super::wire::Wire;
use super::{IsEdited, MeshError};
use crate::say::{Trouble, warn};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many that have called may be at it; of more, the one that came first is hung up on.
const CALLERS_MAX: usize = 32;
/// How long it may take until the other side has heard the call.
const CALL: Duration = Duration::from_secs(5);
/// How long to wait before calling again: at first, and at most.
const AGAIN: Duration = Duration::from_millis(50);
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// How often it is looked whether someone has come or gone.
const LOOK: Duration = Duration::from_millis(20);
/// For whom it waits is told after a while, soon after that has changed, and again and again.
const PATIENCE: Duration = Duration::from_secs(1);
const PATIENCE_LATER: Duration = Duration::from_secs(30);

/// What the threads of a meeting share.
struct Meeting {
    own: Own,
    hosts: Vec<String>,
    lost_after: Duration,
    is_edited: Option<IsEdited>,
    seats: Mutex<Seats>,
    /// Those that have called and are still at the handshake.
    callers: Mutex<VecDeque<Arc<TcpStream>>>,
    failed: Mutex<Option<MeshError>>,
    is_over: AtomicBool,
    strangers: Trouble,
    others: Trouble,
}

/// The connection with each other process.
struct Seats {
    streams: Vec<Option<TcpStream>>,
    /// Why there is none, as far as is known.
    missing: Vec<Option<String>>,
    /// Whether they are given away, and none can come any more.
    are_given: bool,
}

/// Why a call comes to nothing.
enum Failure {
    /// The other side, or this one, has refused.
    Refused(Refusal),
    /// Something is wrong with the connection.
    Link(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Link(error)
    }
}

/// Meets all others; see [`Mesh::connect`](super::Mesh::connect).
pub(super) fn meet(
    own: Own,
    hosts: Vec<String>,
    (lost_after, is_edited): (Duration, Option<IsEdited>),
    is_to_stop: &dyn Fn() -> bool,
) -> Result<Option<Vec<Option<TcpStream>>>, MeshError> {
    let (process, processes) = (own.process, own.processes);
    let listener = match process + 1 < processes {
        true => Some(listen(&hosts[process])?),
        false => None, // nobody comes after it
    };
    let streams = (0..processes).map(|_| None).collect();
    let missing = (0..processes).map(|_| None).collect();
    let meeting = Arc::new(Meeting {
        own,
        hosts,
        lost_after,
        is_edited,
        seats: Mutex::new(Seats { streams, missing, are_given: false }),
        callers: Mutex::default(),
        failed: Mutex::default(),
        is_over: AtomicBool::new(false),
        strangers: Trouble::default(),
        others: Trouble::default(),
    });
    for whom in 0..process {
        let meeting = Arc::clone(&meeting);
        thread::spawn(move || meeting.keep_calling(whom));
    }
    let met = meeting.preside(listener.as_ref(), is_to_stop);
    meeting.is_over.store(true, Ordering::Release);
    lock(&meeting.callers).drain(..).for_each(|stream| _ = stream.shutdown(Shutdown::Both));
    met
}

fn listen(host: &str) -> Result<TcpListener, MeshError> {
    let listen = || {
        let listener = TcpListener::bind(host)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|cause| MeshError::Listen { host: host.to_owned(), cause })
}

impl Meeting {
    /// Waits until there is a connection with everyone.
    fn preside(
        self: &Arc<Self>,
        listener: Option<&TcpListener>,
        is_to_stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Option<TcpStream>>>, MeshError> {
        let (mut told, mut told_of) = (Instant::now(), Vec::new());
        loop {
            while let Some((stream, address)) = listener.and_then(|it| it.accept().ok()) {
                self.hear(stream, address);
            }
            if let Some(error) = lock(&self.failed).take() {
                return Err(error);
            }
            if let Some(streams) = self.complete() {
                return Ok(Some(streams));
            }
            if is_to_stop() {
                return Ok(None);
            }
            let missing = self.missing();
            let patience = if missing == told_of { PATIENCE_LATER } else { PATIENCE };
            if told.elapsed() >= patience {
                warn(format_args!("waiting for {}", self.describe(&missing)));
                (told, told_of) = (Instant::now(), missing);
            }
            thread::park_timeout(LOOK);
        }
    }

    /// All connections, if there is one with everyone who still lives.
    fn complete(&self) -> Option<Vec<Option<TcpStream>>> {
        let mut seats = lock(&self.seats);
        for stream in &mut seats.streams {
            stream.take_if(|stream| !link::is_alive(stream));
        }
        let met = seats.streams.iter().filter(|stream| stream.is_some()).count();
        if met + 1 < self.own.processes {
            return None;
        }
        seats.are_given = true;
        Some(std::mem::take(&mut seats.streams))
    }

    /// For whom it waits.
    fn missing(&self) -> Vec<usize> {
        let seats = lock(&self.seats);
        let missing = seats.streams.iter().enumerate().filter(|(_, stream)| stream.is_none());
        missing.map(|(process, _)| process).filter(|it| *it != self.own.process).collect()
    }

    /// Where they should be, and what is known of them.
    fn describe(&self, processes: &[usize]) -> String {
        let seats = lock(&self.seats);
        let describe = |process: &usize| {
            let why = seats.missing[*process].as_ref();
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            format!("process {process} at {}{why}", self.hosts[*process])
        };
        processes.iter().map(describe).collect::<Vec<_>>().join(", ")
    }

    /// Someone has called.
    fn hear(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let stream = Arc::new(stream);
        let mut callers = lock(&self.callers);
        if callers.len() >= CALLERS_MAX
            && let Some(first) = callers.pop_front()
        {
            // It is heard by the thread that attends to it.
            let _ = first.shutdown(Shutdown::Both);
        }
        callers.push_back(Arc::clone(&stream));
        let meeting = Arc::clone(self);
        thread::spawn(move || {
            let heard = meeting.attend(&stream);
            meeting.forget_caller(&stream);
            if let Err((who, failure)) = heard
                && !meeting.is_over.load(Ordering::Acquire)
            {
                meeting.caller_failed(who, address, &failure);
            }
        });
    }

    /// The handshake with one who has called; on failure, who it was, if that was proved.
    fn attend(&self, stream: &TcpStream) -> Result<(), (Option<usize>, Failure)> {
        let unknown = |error: io::Error| (None, Failure::Link(error));
        stream.set_nonblocking(false).map_err(unknown)?;
        let mut wire = Wire::new(stream, HANDSHAKE);
        let mut handshake = Handshake::listen(&self.own, nonce().map_err(unknown)?);
        if let Err(failure) = converse(&mut handshake, &mut wire) {
            return Err((handshake.other(), failure));
        }
        let known = |error: io::Error| (handshake.other(), Failure::Link(error));
        let process = handshake.other().ok_or((None, Failure::Refused(Refusal::Nonsense)))?;
        // From here on it is no stranger that may be hung up on.
        self.forget_caller(stream);
        let own = stream.try_clone().map_err(known)?;
        let welcome = || wire.send(&handshake.verdict(Verdict::Welcome));
        if self.sit_down(process, own, welcome).map_err(known)? {
            return Ok(());
        }
        wire.send(&handshake.verdict(Verdict::Taken)).map_err(known)?;
        Err((Some(process), Failure::Refused(Refusal::Taken)))
    }

    fn forget_caller(&self, stream: &TcpStream) {
        lock(&self.callers).retain(|it| !std::ptr::eq(&**it, stream));
    }

    /// Takes a connection with a process, and whether it did: it does not where there is one that
    /// lives. The last word is said before anyone else can take the place.
    fn sit_down(
        &self,
        process: usize,
        stream: TcpStream,
        last_word: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut seats = lock(&self.seats);
        let is_taken = seats.streams.get(process).is_none_or(|seat| {
            seat.as_ref().is_some_and(link::is_alive) // none at all, once they are given away
        });
        if is_taken || seats.are_given {
            return Ok(false);
        }
        last_word()?;
        link::settle(&stream)?;
        link::watch(&stream, self.lost_after)?;
        seats.streams[process] = Some(stream);
        seats.missing[process] = None;
        Ok(true)
    }

    /// Tells of one who has called and does not join; the other one ends, or tries again.
    fn caller_failed(&self, who: Option<usize>, address: SocketAddr, failure: &Failure) {
        match (who, failure) {
            (
                Some(process),
                Failure::Refused(Refusal::Differs(Difference::Newer { own, other })),
            ) => {
                let difference = Difference::Newer { own: *own, other: *other }.to_string();
                self.fail(MeshError::Stale { process, host: address.to_string(), difference });
            }
            (Some(process), Failure::Refused(Refusal::Differs(difference)))
                if self.has_read_what_is_edited(difference) =>
            {
                let (host, difference) = (address.to_string(), difference.to_string());
                self.fail(MeshError::Edited { process, host, difference });
            }
            (Some(process), Failure::Refused(refusal)) => self
                .others
                .is(format_args!("process {process} at {address} is refused: {}", reason(refusal))),
            (None, Failure::Refused(refusal)) => self
                .strangers
                .is(format_args!("a connection from {address} is refused: {}", reason(refusal))),
            (_, Failure::Link(error)) => self
                .strangers
                .is(format_args!("a connection from {address} came to nothing: {error}")),
        }
    }

    /// Calls a process until there is a connection with it, and again where that is lost.
    fn keep_calling(&self, whom: usize) {
        let mut wait = AGAIN;
        while !self.is_over.load(Ordering::Acquire) {
            let has_seat = lock(&self.seats).streams.get(whom).is_none_or(Option::is_some);
            if has_seat {
                wait = AGAIN;
                thread::park_timeout(LOOK);
                continue;
            }
            if let Err(failure) = self.call(whom)
                && !self.is_over.load(Ordering::Acquire)
            {
                self.call_failed(whom, &failure);
                thread::park_timeout(wait);
                wait = (wait * 2).min(AGAIN_MAX);
            }
        }
    }

    fn call(&self, whom: usize) -> Result<(), Failure> {
        let stream = dial(&self.hosts[whom])?;
        stream.set_nodelay(true)?;
        let mut wire = Wire::new(&stream, HANDSHAKE);
        let (mut handshake, hello) = Handshake::call(&self.own, whom, nonce()?);
        wire.send(&hello)?;
        converse(&mut handshake, &mut wire)?;
        self.sit_down(whom, stream, || Ok(()))?;
        Ok(())
    }

    /// What can mend itself is tried again.
    fn call_failed(&self, whom: usize, failure: &Failure) {
        let host = self.hosts[whom].clone();
        let why = match failure {
            Failure::Link(error) => error.to_string(),
            Failure::Refused(Refusal::Differs(difference @ Difference::Newer { .. })) => {
                let (process, difference) = (whom, difference.to_string());
                return self.fail(MeshError::Stale { process, host, difference });
            }
            Failure::Refused(
                refusal @ (Refusal::Nonsense
                | Refusal::Taken
                | Refusal::Differs(Difference::Older { .. })),
            ) => reason(refusal),
            Failure::Refused(Refusal::Differs(difference))
                if self.has_read_what_is_edited(difference) =>
            {
                let (process, difference) = (whom, difference.to_string());
                return self.fail(MeshError::Edited { process, host, difference });
            }
            Failure::Refused(refusal @ Refusal::Differs(difference)) if difference.is_defined() => {
                let reason = reason(refusal);
                return self.fail(MeshError::Definitions { process: whom, host, reason });
            }
            Failure::Refused(refusal) => {
                let reason = reason(refusal);
                return self.fail(MeshError::Refused { process: whom, host, reason });
            }
        };
        lock(&self.seats).missing[whom] = Some(why);
    }

    /// Whether it is this process that has read other definitions than there are by now.
    fn has_read_what_is_edited(&self, difference: &Difference) -> bool {
        difference.is_defined() && self.is_edited.as_ref().is_some_and(|is_edited| is_edited())
    }

    fn fail(&self, error: MeshError) {
        lock(&self.failed).get_or_insert(error);
    }
}

/// Carries a handshake through, but for the listener's last word.
fn converse(handshake: &mut Handshake<'_>, wire: &mut Wire<'_>) -> Result<(), Failure> {
    loop {
        let message = wire.next(handshake.bytes_max())?;
        let message = message.ok_or(Failure::Refused(Refusal::Nonsense))?;
        match handshake.hear(&message) {
            Step::Send(message) => wire.send(&message)?,
            Step::Met => return Ok(()),
            Step::Fail(message, refusal) => {
                // Whether it is heard or not, it is over.
                let _ = message.map(|message| wire.send(&message));
                return Err(Failure::Refused(refusal));
            }
        }
    }
}

/// A connection with whoever listens there.
fn dial(host: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name stands for no address");
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CALL) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn nonce() -> io::Result<Nonce> {
    let mut nonce = Nonce::default();
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    Ok(nonce)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
