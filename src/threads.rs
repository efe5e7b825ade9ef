//! Threads that give way: on a machine where all are busy, those who answer go before those who
//! compute.
//!
//! What is computed in bulk, by the workers and by those who unpack what was sent, may wait a few
//! milliseconds more and be none the worse; one who asks for a user's segments may not. The system's
//! scheduler lets a thread of lower priority finish less of its slice when one of higher priority
//! wakes up, and gives it the smaller share while both want to run.

/// How far those who give way stand below others, as `nice` counts: about a third of the share of
/// one who does not, where both want all there is.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// From now on this thread gives way to all of the process that do not. Other systems than Linux
/// know priorities of whole processes only; there, nothing changes.
pub fn give_way() {
    // A system that does not let it is one on which all are equal. Nothing depends on it.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);
}

/// Lets those go first who wait for a processor, if there are any: between two pieces of work, so that
/// none of them waits until the slice of this thread is over.
pub fn let_pass() {
    std::thread::yield_now();
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    #[test]
    fn one_thread_gives_way_and_its_process_does_not() {
        let here = getpriority_process(None).unwrap();
        let there = std::thread::spawn(|| {
            super::give_way();
            getpriority_process(None).unwrap()
        });
        assert_eq!(there.join().unwrap(), (here + super::NICENESS).min(19));
        assert_eq!(getpriority_process(None).unwrap(), here);
    }
}
