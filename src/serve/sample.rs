//! What a sample of users says about all of them.
//!
//! Every user is in it with the same chance, whoever else is (a Bernoulli sample, drawn by a hash of
//! the name that is the same in every run). The interval is Wilson's score interval (E. B. Wilson,
//! "Probable inference, the law of succession, and statistical inference", 1927), which keeps its
//! promise for few matches, too. That a sample of many of the users says more than one of few is
//! left out of account, so the interval is wide rather than narrow; a sample of all is exact.

/// How many standard deviations of a normal distribution hold 95 %.
const Z: f64 = 1.959_963_984_540_054;
/// Below so many matches a larger sample is recommended: the interval is about 20 % of the size to
/// either side of it then.
pub const MATCHES_ENOUGH: u64 = 100;

/// What was counted in a sample, made into what is likely of all users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The likeliest.
    pub size: u64,
    /// With 95 % confidence no less.
    pub low: u64,
    /// With 95 % confidence no more.
    pub high: u64,
    /// How many users to look at instead, where too few matches were seen.
    pub recommended: Option<u64>,
}

/// The share of all hashes that makes a sample of about so many users.
pub fn share(wanted: u64, users: u64) -> u64 {
    if wanted >= users {
        return u64::MAX;
    }
    let share = (u128::from(wanted) << 64) / u128::from(users.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// What so many matches among so many looked at say of all users.
pub fn size(matches: u64, sampled: u64, users: u64) -> Size {
    if sampled >= users {
        return Size { size: matches, low: matches, high: matches, recommended: None };
    }
    let (low, high) = wilson(matches, sampled);
    let of_all = |share: f64| share * users as f64;
    let share = matches as f64 / sampled.max(1) as f64;
    // Whom we have seen is there, and whom we have seen not to match is not.
    let (least, most) = (matches, users - (sampled - matches.min(sampled)));
    let recommended = (matches < MATCHES_ENOUGH).then(|| {
        // A quarter more, since what was seen may be more than there is.
        let times = MATCHES_ENOUGH as f64 * 1.25 / matches.max(1) as f64;
        (sampled.max(1) as f64 * times).ceil().min(users as f64) as u64
    });
    Size {
        size: of_all(share).round() as u64,
        low: (of_all(low).floor() as u64).max(least),
        high: (of_all(high).ceil() as u64).min(most),
        recommended,
    }
}

/// The share of all that match, with 95 % confidence, where so many of so many do.
fn wilson(matches: u64, sampled: u64) -> (f64, f64) {
    if sampled == 0 {
        return (0.0, 1.0);
    }
    let (n, z2) = (sampled as f64, Z * Z);
    let share = matches as f64 / n;
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use dataflows::model::UserKey;

    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I:
        // 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        let known = [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ];
        for (matches, sampled, low, high) in known {
            let (l, h) = wilson(matches, sampled);
            assert!((l - low).abs() < 5e-5 && (h - high).abs() < 5e-5, "{matches}: {l} {h}");
        }
    }

    #[test]
    fn a_sample_of_all_is_exact_and_few_matches_ask_for_more() {
        assert_eq!(size(7, 50, 50), Size { size: 7, low: 7, high: 7, recommended: None });
        let few = size(10, 1_000, 1_000_000);
        assert_eq!((few.size, few.recommended), (10_000, Some(12_500)));
        assert_eq!(size(0, 1_000, 1_000_000).recommended, Some(125_000));
        assert_eq!(size(0, 1_000, 2_000).recommended, Some(2_000));
        assert_eq!(size(200, 1_000, 1_000_000).recommended, None);
        assert_eq!(share(10, 10), u64::MAX);
        assert_eq!(share(1, 4), 1 << 62);
    }

    #[test]
    fn nineteen_of_twenty_intervals_hold_the_size() {
        let users = 20_000_u64;
        let (mut tried, mut held) = (0, 0);
        for world in 0..200_u64 {
            let name = |user: u64| UserKey::of(&format!("{world} {user}")).bucket();
            // So many match, whoever they are: the sample knows nothing of it.
            let matching = 50 + world * 37 % 4_000;
            let of = |wanted| (0..users).filter(move |user| name(*user) <= share(wanted, users));
            let sample: Vec<_> = of(2_000).collect();
            let matches = sample.iter().filter(|user| **user < matching).count() as u64;
            let found = size(matches, sample.len() as u64, users);
            tried += 1;
            held += u64::from((found.low..=found.high).contains(&matching));
        }
        assert!(held * 100 >= tried * 93, "{held} of {tried}");
    }
}
