//! Users with twenty attributes, and changes of one attribute at a time ("W2"): eight categories,
//! eight numbers that walk in small steps, four short texts. A twelfth of all values is null.

use std::io::{self, Write};

use super::clicks::START;
use super::line::push;
use super::random::Random;

/// How many values each category has, by the number of its attribute.
pub(super) const CATEGORIES: [u64; 8] = [3, 4, 6, 8, 12, 20, 40, 100];
/// The greatest value of each number, by the number of its attribute.
pub(super) const SCALES: [f64; 8] = [1.0, 10.0, 100.0, 365.0, 1_000.0, 5_000.0, 1e5, 1e6];
/// What texts are made of.
pub(super) const WORDS: [&str; 16] = [
    "alpha", "bravo", "carbon", "delta", "ember", "falcon", "garnet", "harbor", "indigo", "jasper",
    "krypton", "lumen", "marble", "nectar", "onyx", "prism",
];
/// Attributes of a user.
pub(super) const ATTRIBUTES: u64 = 20;
const NULLS: f64 = 0.08;
/// The spread of a step, as a share of the scale.
const STEP: f64 = 0.05;

/// What an attribute holds, by its number among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Category(usize),
    Number(usize),
    Text(usize),
}

impl Kind {
    pub(super) fn of(attribute: u64) -> Self {
        match attribute as usize {
            number @ 0..8 => Kind::Category(number),
            number @ 8..16 => Kind::Number(number - 8),
            number => Kind::Text(number - 16),
        }
    }

    /// Its name: `c0` to `c7`, `n0` to `n7`, `s0` to `s3`.
    pub(super) fn name(self) -> String {
        match self {
            Kind::Category(number) => format!("c{number}"),
            Kind::Number(number) => format!("n{number}"),
            Kind::Text(number) => format!("s{number}"),
        }
    }
}

/// To two places.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Three words.
pub(super) fn phrase(random: &mut Random) -> String {
    let words: [&str; 3] = std::array::from_fn(|_| *random.pick(&WORDS));
    words.join("-")
}

/// All users, and what their numbers are now.
pub struct Population {
    random: Random,
    numbers: Vec<[Option<f64>; 8]>,
    changes: i64,
}

impl Population {
    /// No users yet.
    pub fn new(seed: u64) -> Self {
        Population { random: Random::new(seed), numbers: Vec::new(), changes: 0 }
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.numbers.len()
    }

    /// Writes the line of one more user: all attributes, and a time if one is given.
    pub fn user(&mut self, time: Option<i64>, out: &mut Vec<u8>) {
        let user = self.numbers.len();
        self.numbers.push([None; 8]);
        push(out, &format!("{{\"user_id\":\"u{user}\",\"attributes\":{{"));
        for attribute in 0..ATTRIBUTES {
            let kind = Kind::of(attribute);
            let value = self.value(user, kind);
            let comma = if attribute == 0 { "" } else { "," };
            push(out, &format!("{comma}\"{}\":{value}", kind.name()));
        }
        match time {
            Some(time) => push(out, &format!("}},\"ts\":{time}}}\n")),
            None => push(out, "}}\n"),
        }
    }

    /// Writes the line of the next change, a millisecond after the one before.
    pub fn change(&mut self, out: &mut Vec<u8>) {
        let user = self.random.below(self.numbers.len() as u64) as usize;
        let kind = Kind::of(self.random.below(ATTRIBUTES));
        let value = self.value(user, kind);
        let (name, time) = (kind.name(), START + self.changes);
        let line = format!(
            "{{\"user_id\":\"u{user}\",\"attribute\":\"{name}\",\"value\":{value},\"ts\":{time}}}\n"
        );
        push(out, &line);
        self.changes += 1;
    }

    /// The next value of an attribute, as JSON.
    fn value(&mut self, user: usize, kind: Kind) -> String {
        let random = &mut self.random;
        let is_null = random.chance(NULLS);
        match kind {
            Kind::Number(number) => {
                let now = &mut self.numbers[user][number];
                let scale = SCALES[number];
                let next = match *now {
                    None => random.fraction() * scale,
                    Some(now) => (now + random.normal() * STEP * scale).clamp(0.0, scale),
                };
                *now = (!is_null).then(|| rounded(next));
                now.map_or("null".to_owned(), |now| now.to_string())
            }
            _ if is_null => "null".to_owned(),
            // The first categories are the most frequent.
            Kind::Category(number) => {
                let share = random.fraction();
                let place = (share * share * CATEGORIES[number] as f64) as u64;
                format!("\"v{number}_{place}\"")
            }
            Kind::Text(_) => format!("\"{}\"", phrase(random)),
        }
    }
}

/// Writes these many users to one output and these many changes to another. With `timed`, each user
/// comes at a millisecond of its own, before the first change.
///
/// # Errors
/// An output cannot be written.
pub fn write(
    (users, changes): (u32, u32),
    timed: bool,
    seed: u64,
    to_users: &mut impl Write,
    to_changes: &mut impl Write,
) -> io::Result<()> {
    let mut population = Population::new(seed);
    let mut line = Vec::new();
    for user in 0..users {
        line.clear();
        let time = timed.then(|| START - i64::from(users) + i64::from(user));
        population.user(time, &mut line);
        to_users.write_all(&line)?;
    }
    for _ in 0..changes {
        line.clear();
        population.change(&mut line);
        to_changes.write_all(&line)?;
    }
    to_users.flush()?;
    to_changes.flush()
}

/// Users with twenty numbers from 0 up to `cells`, then steps of about one, a millisecond apart.
///
/// # Errors
/// The output cannot be written.
pub fn write_steps(
    (users, steps): (u32, u32),
    cells: u32,
    seed: u64,
    to_users: &mut impl Write,
    to_changes: &mut impl Write,
) -> io::Result<()> {
    let mut random = Random::new(seed);
    // In hundredths: the end of each cell is left free, so that a value is in one cell or in none.
    let top = u64::from(cells) * 100;
    let mut values = Vec::new();
    for user in 0..users {
        let own: [u64; 20] = std::array::from_fn(|_| random.below(top));
        let attributes: Vec<String> = own
            .iter()
            .enumerate()
            .map(|(number, value)| format!("\"i{number}\":{}", hundredths(*value)))
            .collect();
        writeln!(
            to_users,
            "{{\"user_id\":\"u{user}\",\"attributes\":{{{}}}}}",
            attributes.join(",")
        )?;
        values.push(own);
    }
    for step in 0..steps {
        let user = random.below(u64::from(users)) as usize;
        let number = random.below(20) as usize;
        let (value, by) = (&mut values[user][number], 50 + random.below(100));
        let up = random.chance(0.5);
        *value = if (up && *value + by < top) || *value < by {
            (*value + by) % top
        } else {
            *value - by
        };
        let (value, time) = (hundredths(*value), START + i64::from(step));
        writeln!(
            to_changes,
            "{{\"user_id\":\"u{user}\",\"attribute\":\"i{number}\",\"value\":{value},\"ts\":{time}}}"
        )?;
    }
    to_users.flush()?;
    to_changes.flush()
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

/// Users with eight flags, then flips of one flag each, a thousand a millisecond.
///
/// # Errors
/// The output cannot be written.
pub fn write_flags(
    (users, flips): (u32, u32),
    seed: u64,
    to_users: &mut impl Write,
    to_changes: &mut impl Write,
) -> io::Result<()> {
    let mut random = Random::new(seed);
    let mut values = Vec::new();
    for user in 0..users {
        let own: [u64; 8] = std::array::from_fn(|_| random.below(2));
        let flags: Vec<String> =
            own.iter().enumerate().map(|(flag, value)| format!("\"f{flag}\":{value}")).collect();
        writeln!(to_users, "{{\"user_id\":\"u{user}\",\"attributes\":{{{}}}}}", flags.join(","))?;
        values.push(own);
    }
    for flip in 0..flips {
        let (user, flag) = (random.below(u64::from(users)) as usize, random.below(8) as usize);
        let value = &mut values[user][flag];
        *value = 1 - *value;
        let time = START + i64::from(flip / 1_000);
        writeln!(
            to_changes,
            "{{\"user_id\":\"u{user}\",\"attribute\":\"f{flag}\",\"value\":{value},\"ts\":{time}}}"
        )?;
    }
    to_users.flush()?;
    to_changes.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seed: u64) -> (String, String) {
        let (mut users, mut changes) = (Vec::new(), Vec::new());
        write((500, 20_000), false, seed, &mut users, &mut changes).unwrap();
        (String::from_utf8(users).unwrap(), String::from_utf8(changes).unwrap())
    }

    #[test]
    fn equal_seeds_give_equal_bytes_and_others_do_not() {
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn attributes_are_spread_and_stay_within_their_scales() {
        let (users, changes) = text(7);
        for line in users.lines() {
            let user: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(user["attributes"].as_object().unwrap().len(), 20);
        }
        let (mut nulls, mut first) = (0, 0);
        for line in changes.lines() {
            let change: serde_json::Value = serde_json::from_str(line).unwrap();
            nulls += u32::from(change["value"].is_null());
            first += u32::from(change["value"] == "v7_0");
            if change["attribute"] == "n2" && !change["value"].is_null() {
                assert!((0.0..=100.0).contains(&change["value"].as_f64().unwrap()));
            }
        }
        assert!((1_400..1_800).contains(&nulls), "{nulls} of 20,000 are null: 8 %");
        assert!((60..130).contains(&first), "{first}: a tenth of those of its attribute");
    }
}
