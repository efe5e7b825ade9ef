//! Messages of the handshake on a socket: a length of four bytes, and the message. Reading and
//! writing end at a fixed instant, however slowly bytes come.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How much memory is taken before bytes have come that need it.
const STEP_BYTES: usize = 64 << 10;

/// A socket on which a handshake takes place.
pub(super) struct Wire<'s> {
    stream: &'s TcpStream,
    until: Instant,
}

impl<'s> Wire<'s> {
    pub(super) fn new(stream: &'s TcpStream, at_most: Duration) -> Self {
        Wire { stream, until: Instant::now() + at_most }
    }

    fn remaining(&self) -> io::Result<Duration> {
        let remaining = self.until.saturating_duration_since(Instant::now());
        match remaining.is_zero() {
            true => Err(ErrorKind::TimedOut.into()),
            false => Ok(remaining),
        }
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        self.stream.set_write_timeout(Some(self.remaining()?))?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(message);
        self.stream.write_all(&framed)
    }

    /// The next message; `None` if it would be longer than `bytes_max`.
    pub(super) fn next(&mut self, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > bytes_max {
            return Ok(None);
        }
        let mut message = Vec::new();
        while message.len() < length {
            let come = message.len();
            message.resize(length.min(come + STEP_BYTES), 0);
            self.fill(&mut message[come..])?;
        }
        Ok(Some(message))
    }

    fn fill(&mut self, mut to: &mut [u8]) -> io::Result<()> {
        while !to.is_empty() {
            self.stream.set_read_timeout(Some(self.remaining()?))?;
            match self.stream.read(to) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => to = &mut to[read..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_sent_is_read() {
        let (one, other) = pair();
        let long = vec![7; 3 * STEP_BYTES + 1];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut wire = Wire::new(&one, LONG);
                for message in [&b"hello"[..], b"", &long] {
                    wire.send(message).unwrap();
                }
            });
            let mut wire = Wire::new(&other, LONG);
            assert_eq!(wire.next(5).unwrap().unwrap(), b"hello");
            assert_eq!(wire.next(5).unwrap().unwrap(), b"");
            assert_eq!(wire.next(usize::MAX).unwrap().unwrap(), long);
        });
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let (mut one, other) = pair();
        one.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(Wire::new(&other, LONG).next(128).unwrap(), None);
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let (mut one, other) = pair();
        one.write_all(&[0, 0, 0, 9, 1, 2]).unwrap();
        drop(one);
        let cut = Wire::new(&other, LONG).next(128).unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn silence_has_an_end() {
        let (_one, other) = pair();
        assert!(Wire::new(&other, Duration::from_millis(1)).next(128).is_err());
    }
}
