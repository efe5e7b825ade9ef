//! Room for connections: so many at a time, and so many of one address, so that no one takes it all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// As many are open as there may be.
    All,
    /// As many of this address.
    Address,
}

/// Places for connections.
#[derive(Debug, Clone)]
pub(super) struct Room {
    most: usize,
    most_of_address: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of those who have any.
    by_address: HashMap<IpAddr, usize>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    address: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Room {
    /// For so many, and so many of one address.
    pub(super) fn new(most: usize, most_of_address: usize) -> Self {
        Room { most, most_of_address, taken: Arc::default() }
    }

    /// A place for a connection from this address.
    pub(super) fn take(&self, address: IpAddr) -> Result<Place, Full> {
        let address = counted_as(address);
        let mut taken = lock(&self.taken);
        let own = taken.by_address.get(&address).copied().unwrap_or(0);
        if own >= self.most_of_address {
            return Err(Full::Address);
        }
        if taken.all >= self.most {
            return Err(Full::All);
        }
        taken.all += 1;
        taken.by_address.insert(address, own + 1);
        Ok(Place { address, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Entry::Occupied(mut own) = taken.by_address.entry(self.address) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

/// As whom an address is counted: of IPv6, each has a network of 64 bits to itself.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(it) => {
            let [a, b, c, d, ..] = it.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        it @ IpAddr::V4(_) => it,
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_does_not_take_the_room_of_others() {
        let room = Room::new(3, 2);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let mut places = vec![room.take(one).unwrap(), room.take(one).unwrap()];
        assert_eq!(room.take(one).unwrap_err(), Full::Address);
        places.push(room.take(other).unwrap());
        assert_eq!(room.take(other).unwrap_err(), Full::All);
        places.remove(0);
        places.push(room.take(one).unwrap());
        drop(places);
        assert_eq!(lock(&room.taken).all, 0);
        assert!(lock(&room.taken).by_address.is_empty(), "those who have gone are forgotten");
    }

    #[test]
    fn all_addresses_of_a_network_are_one() {
        let room = Room::new(9, 1);
        let _place = room.take(address("2001:db8::1")).unwrap();
        assert_eq!(room.take(address("2001:db8::ffff:1")).unwrap_err(), Full::Address);
        let _other = room.take(address("2001:db8:0:1::1")).unwrap();
        let _mapped = room.take(address("::ffff:192.0.2.1")).unwrap();
        assert_eq!(room.take(address("192.0.2.1")).unwrap_err(), Full::Address);
    }
}
