//! Random choices that are the same on every machine: whole-number generators, and fractions only
//! through operations whose result IEEE 754 or `libm` fixes to the last bit.

/// SplitMix64 (Steele, Lea and Flood 2014): 64 bits of state, passes BigCrush.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence that belongs to a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The sequence that belongs to a seed and a thing, such as a user.
    pub(super) fn of(seed: u64, thing: u64) -> Self {
        Random(mix(seed ^ mix(thing)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A whole number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A fraction in `0 .. 1`.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True this share of the time.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.fraction() < share
    }

    /// One of these, each as often as another.
    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T; 4]) -> T {
        choices[self.below(4) as usize]
    }

    /// One of these, each as often as another.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// A normal deviate (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.fraction())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.fraction())
    }

    /// Puts these into an order in which every other is as likely (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// Whole cents, log-normal: half of them below `median` (in units), most within a factor of
    /// e^`spread`, never less than one cent.
    pub(super) fn cents(&mut self, median: f64, spread: f64) -> u64 {
        let cents = median * libm::exp(spread * self.normal()) * 100.0;
        (cents.round() as u64).max(1)
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// Draws indexes by weight, in constant time: Walker's alias method, as Vose builds it.
#[derive(Debug, Clone)]
pub(super) struct Weighted(Vec<Slot>);

/// An index keeps a draw iff its remainder is below `keep`; else the draw is `other`'s.
#[derive(Debug, Clone, Copy)]
struct Slot {
    keep: u64,
    other: u32,
}

impl Weighted {
    /// Index `i` as often as `weights[i]`, which are not all zero.
    pub(super) fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut rest: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut slots = vec![Slot { keep: u64::MAX, other: 0 }; weights.len()];
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..rest.len()).partition(|index| rest[*index] < 1.0);
        while let (Some(index), Some(donor)) = (small.pop(), large.pop()) {
            // 2^64 as a float; `as` keeps the result within u64.
            slots[index] = Slot {
                keep: (rest[index] * 18_446_744_073_709_551_616.0) as u64,
                other: donor as u32,
            };
            rest[donor] -= 1.0 - rest[index];
            if rest[donor] < 1.0 { small.push(donor) } else { large.push(donor) }
        }
        // What is left over weighs one, but for rounding: it keeps its draws.
        for index in small.into_iter().chain(large) {
            slots[index].other = index as u32;
        }
        Weighted(slots)
    }

    /// Index `i` as often as `1 / (i + 1)^exponent`.
    pub(super) fn zipf(count: u32, exponent: f64) -> Self {
        let weight = |rank: u32| libm::pow(f64::from(rank), -exponent);
        Self::new(&(1..=count).map(weight).collect::<Vec<_>>())
    }

    /// Draws an index.
    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let scaled = u128::from(random.next()) * self.0.len() as u128;
        let (index, remainder) = ((scaled >> 64) as usize, scaled as u64);
        let slot = self.0[index];
        if remainder <= slot.keep { index } else { slot.other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_their_weights() {
        let weights = [70.0, 20.0, 7.0, 3.0, 0.0];
        let weighted = Weighted::new(&weights);
        let mut random = Random::new(1);
        let mut counts = [0_i64; 5];
        (0..1_000_000).for_each(|_| counts[weighted.draw(&mut random)] += 1);
        for (count, weight) in counts.iter().zip(weights) {
            assert!((*count - weight as i64 * 10_000).abs() < 2_000, "{counts:?}");
        }
        assert_eq!(counts[4], 0);
    }

    #[test]
    fn the_first_user_is_drawn_as_zipf_says() {
        let mut random = Random::new(2);
        let zipf = Weighted::zipf(1_000, 1.0);
        let first = (0..100_000).filter(|_| zipf.draw(&mut random) == 0).count();
        assert!((12_800..13_900).contains(&first), "{first}: 1 / H(1000) is 13.36 %");
        let even = Weighted::zipf(10, 0.0);
        assert!((0..1_000).all(|_| even.draw(&mut random) < 10));
    }

    #[test]
    fn numbers_never_change() {
        let mut random = Random::new(0);
        assert_eq!(random.next(), 0xE220_A839_7B1D_CDAF, "the published first number of seed 0");
        let mut random = Random::new(42);
        let cents: Vec<_> = (0..5).map(|_| random.cents(40.0, 0.8)).collect();
        assert_eq!(cents, [8102, 2789, 4651, 4768, 2340]);
    }
}
