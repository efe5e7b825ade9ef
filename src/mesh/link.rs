//! A connection between two processes: how its loss is noticed.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Into how many parts the time is divided after which a process counts as lost: one of silence,
/// then one between any two questions whether it is still there.
const PARTS: u32 = 4;
/// What keepalive counts in, and how long the kernel lets it wait at most.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(32_767);
/// The longest it takes any notice of, some 24 days.
const LOST_MOST: Duration = Duration::from_millis(0x7fff_ffff);

/// Has the kernel give the connection up once the other side has acknowledged nothing for so long,
/// be it data or the question whether it is there. So a link that is cut without a word is noticed,
/// and one that is only silent is not.
pub(super) fn watch(stream: &TcpStream, lost_after: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let part = (lost_after / PARTS).clamp(LEAST, MOST);
    let keepalive = TcpKeepalive::new().with_time(part).with_interval(part).with_retries(PARTS);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(lost_after.min(LOST_MOST)))
}

/// Makes of a socket on which a handshake took place one that waits as long as it takes.
pub(super) fn settle(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)
}

/// Whether the other side is still there, as far as is known.
pub(super) fn is_alive(stream: &TcpStream) -> bool {
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let is_alive = match peeked {
        Ok(read) => read > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    is_alive && stream.set_nonblocking(false).is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn one_that_has_gone_is_not_alive() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        watch(&one, Duration::from_secs(10)).unwrap();
        settle(&one).unwrap();
        assert!(is_alive(&one));
        drop(other);
        while is_alive(&one) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_kernel_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        watch(&one, Duration::from_secs(86_400 * 30)).unwrap();
        watch(&one, Duration::from_secs(8)).unwrap();
        let socket = SockRef::from(&one);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(8)));
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(2));
        assert!(socket.keepalive().unwrap() && one.nodelay().unwrap());
    }
}
