//! Which records are looked at: so many a second, spread over those of a chunk.

use std::time::Instant;

/// How many records are looked at a second, and how many at once when none have been for a while.
const A_SECOND: usize = 200;
const AT_ONCE: usize = 1_000;
/// How many of a chunk are, at most.
const OF_A_CHUNK: usize = 256;
/// The golden ratio of all 64-bit numbers: its multiples are spread evenly.
const SPREAD: usize = 0x9e37_79b9_7f4a_7c15;

/// How many more may be looked at.
pub(super) struct Budget {
    left: usize,
    /// Up to when what has come to it is in `left`.
    at: Option<Instant>,
    turn: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { left: AT_ONCE, at: None, turn: 0 }
    }
}

impl Budget {
    /// The places to be looked at among so many.
    pub(super) fn places(
        &mut self,
        count: usize,
        now: Instant,
    ) -> impl Iterator<Item = usize> + use<> {
        let since = now.saturating_duration_since(*self.at.get_or_insert(now));
        let come = usize::try_from(since.as_millis()).unwrap_or(usize::MAX);
        let come = come.saturating_mul(A_SECOND) / 1_000;
        if come > 0 {
            self.left = self.left.saturating_add(come).min(AT_ONCE);
            self.at = Some(now);
        }
        let wanted = count.min(OF_A_CHUNK).min(self.left);
        self.left -= wanted;
        self.turn = self.turn.wrapping_add(SPREAD);
        // Evenly over all of them, and not always at the same places.
        let shift = self.turn.checked_rem(count).unwrap_or(0);
        (0..wanted).map(move |nth| (nth * count + shift) / wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn so_many_a_second_spread_over_a_chunk() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        let places: Vec<_> = budget.places(1_000, now).collect();
        assert_eq!(places.len(), OF_A_CHUNK);
        assert!(
            places.iter().all(|it| *it < 1_000) && places.windows(2).all(|it| it[1] > it[0] + 2)
        );
        assert!(places[0] < 4 && places[OF_A_CHUNK - 1] > 995, "{places:?}");
        assert_eq!(budget.places(3, now).collect::<Vec<_>>(), [0, 1, 2], "all of few");
        let rest: usize = (0..100).map(|_| budget.places(1_000, now).count()).sum();
        assert_eq!(rest, AT_ONCE - OF_A_CHUNK - 3);
        assert_eq!(budget.places(1_000, now + Duration::from_millis(4)).count(), 0);
        assert_eq!(budget.places(1_000, now + Duration::from_millis(100)).count(), 20);
        assert_eq!(budget.places(0, now + Duration::from_secs(1)).count(), 0);
    }
}
