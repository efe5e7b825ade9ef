//! The clickstream of the speed mark ("W1"): flat records of about 160 bytes, as other programs'
//! benches make them, so that all can be run over the same bytes.
//!
//! Click i has the base time `start + i / rate` and a time up to `jitter_ms` before it. Users are
//! drawn by Zipf's law, the busiest ones strewn over all numbers. Half a per cent of the clicks is
//! sent again, byte by byte, up to a minute of clicks later: most of these are late, some are
//! second copies.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use dataflows::model::EventTime;

use super::line::{hex, push, two_digits};
use super::random::{Random, Weighted};

/// 2026-01-01.
pub const START: EventTime = 1_767_225_600_000;
/// The greatest delay of what is sent again, in seconds of the stream.
const AGAIN_WITHIN_S: f64 = 60.0;
const KINDS: [&str; 4] = ["page_view", "click", "add_to_cart", "purchase"];
const KIND_WEIGHTS: [f64; 4] = [70.0, 20.0, 7.0, 3.0];

/// What the stream is to be like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How many clicks a second of event time has.
    pub rate: f64,
    /// How many users there are to draw from; at least one.
    pub users: u32,
    /// How far before its base time a click may be, in milliseconds.
    pub jitter_ms: u64,
    /// The share of clicks that is sent again.
    pub again: f64,
    /// Equal seeds give equal bytes.
    pub seed: u64,
}

impl Settings {
    /// The mark's, at this rate.
    pub fn mark(rate: f64) -> Self {
        Settings { rate, users: 200_000, jitter_ms: 5_000, again: 0.005, seed: 42 }
    }
}

/// A click that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Click {
    /// The number of its user, which is `u` and this number.
    pub user: u32,
    /// When it happened.
    pub time: EventTime,
    /// The name of the event.
    pub kind: &'static str,
    /// What was spent, if it is a purchase.
    pub cents: Option<u64>,
    /// Whether it was written before.
    pub is_again: bool,
}

/// The clicks, one after another.
pub struct Clicks {
    settings: Settings,
    random: Random,
    ranks: Weighted,
    /// The user of each rank.
    users: Vec<u32>,
    kinds: Weighted,
    written: u64,
    waiting: BinaryHeap<Reverse<(u64, u64, Again)>>,
    digits: itoa::Buffer,
}

/// A click to be sent again, and its line.
type Again = (Click, Vec<u8>);

impl Clicks {
    /// None written yet.
    pub fn new(settings: Settings) -> Self {
        let mut random = Random::new(settings.seed);
        let mut users: Vec<u32> = (0..settings.users.max(1)).collect();
        random.shuffle(&mut users);
        Clicks {
            settings,
            random,
            ranks: Weighted::zipf(settings.users.max(1), 1.0),
            users,
            kinds: Weighted::new(&KIND_WEIGHTS),
            written: 0,
            waiting: BinaryHeap::new(),
            digits: itoa::Buffer::new(),
        }
    }

    /// How many different clicks have been written.
    pub fn count(&self) -> u64 {
        self.written
    }

    /// The base time of the next new click.
    pub fn base(&self) -> EventTime {
        START + (self.written as f64 * 1_000.0 / self.settings.rate) as i64
    }

    /// Writes the line of the next click, new or again.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Click {
        if let Some(again) = self.again(out) {
            return again;
        }
        let number = self.written;
        let (base, from) = (self.base(), out.len());
        let random = &mut self.random;
        let time = base - random.below(self.settings.jitter_ms).cast_signed();
        let user = self.users[self.ranks.draw(random)];
        let kind = self.kinds.draw(random);
        let cents = self.line(out, user, KINDS[kind], time);
        let click = Click { user, time, kind: KINDS[kind], cents, is_again: false };
        self.written += 1;
        if self.random.chance(self.settings.again) {
            let delay = self.random.fraction() * AGAIN_WITHIN_S * self.settings.rate;
            let due = number + (delay as u64).max(1);
            self.waiting.push(Reverse((due, number, (click, out[from..].to_vec()))));
        }
        click
    }

    /// Writes one that is due to be sent again.
    fn again(&mut self, out: &mut Vec<u8>) -> Option<Click> {
        let Reverse((due, ..)) = self.waiting.peek()?;
        if *due > self.written {
            return None;
        }
        let Reverse((_, _, (click, line))) = self.waiting.pop()?;
        out.extend_from_slice(&line);
        Some(Click { is_again: true, ..click })
    }

    /// Writes a line; gives back what is spent.
    fn line(&mut self, out: &mut Vec<u8>, user: u32, kind: &str, time: EventTime) -> Option<u64> {
        let mut spent = None;
        push(out, "{\"event_id\":\"");
        hex(out, self.random.next() >> 1);
        hex(out, self.random.next() >> 1);
        push(out, "\",\"user_id\":\"u");
        push(out, self.digits.format(user));
        push(out, "\",\"type\":\"");
        push(out, kind);
        push(out, "\",\"ts\":");
        push(out, self.digits.format(time));
        push(out, ",\"properties\":{");
        match kind {
            "purchase" => {
                let cents = self.random.cents(40.0, 0.8);
                spent = Some(cents);
                push(out, "\"amount\":");
                push(out, self.digits.format(cents / 100));
                out.push(b'.');
                two_digits(out, cents % 100);
                push(out, ",\"currency\":\"USD\"");
            }
            "page_view" => {
                push(out, "\"page\":\"/category/");
                push(out, self.digits.format(self.random.below(500)));
                push(out, "\",\"referrer\":\"search\"");
            }
            _ => {
                push(out, "\"product_id\":\"p");
                push(out, self.digits.format(self.random.below(20_000)));
                push(out, "\",\"position\":");
                push(out, self.digits.format(self.random.below(40)));
            }
        }
        push(out, "}}\n");
        spent
    }
}

/// Writes so many different clicks, and what of them is sent again meanwhile, dealing the lines
/// out to the outputs in turn; gives back how many lines there are.
///
/// # Errors
/// An output cannot be written.
pub fn write(settings: Settings, clicks: u64, outputs: &mut [impl Write]) -> io::Result<u64> {
    let mut stream = Clicks::new(settings);
    let (mut line, mut lines) = (Vec::new(), 0);
    let count = outputs.len().max(1) as u64;
    while stream.count() < clicks {
        line.clear();
        stream.next(&mut line);
        if let Some(output) = outputs.get_mut((lines % count) as usize) {
            output.write_all(&line)?;
        }
        lines += 1;
    }
    outputs.iter_mut().try_for_each(Write::flush)?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn text(settings: Settings, clicks: u64) -> String {
        let mut outputs = [Vec::new()];
        write(settings, clicks, &mut outputs).unwrap();
        let [bytes] = outputs;
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn equal_seeds_give_equal_bytes_and_others_do_not() {
        let mark = Settings::mark(5_000.0);
        assert_eq!(text(mark, 5_000), text(mark, 5_000));
        assert_ne!(text(mark, 5_000), text(Settings { seed: 43, ..mark }, 5_000));
    }

    #[test]
    fn kinds_times_and_copies_are_what_was_asked() {
        let mark = Settings::mark(1_000.0);
        let (mut kinds, mut lines) = (HashMap::new(), HashMap::<String, u32>::new());
        let text = text(mark, 100_000);
        for line in text.lines() {
            *lines.entry(line.to_owned()).or_default() += 1;
            let click: serde_json::Value = serde_json::from_str(line).unwrap();
            *kinds.entry(click["type"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            let time = click["ts"].as_i64().unwrap();
            assert!((START - 5_000..START + 100_000).contains(&time));
            assert!(click["event_id"].as_str().unwrap().len() == 32);
        }
        let copies = lines.values().filter(|count| **count == 2).count();
        assert_eq!(lines.len(), 100_000);
        assert!((300..600).contains(&copies), "{copies}: half a per cent, less those to come");
        assert!((68_000..72_500).contains(&kinds["page_view"]), "{kinds:?}");
        assert!((2_800..3_300).contains(&kinds["purchase"]), "{kinds:?}");
    }
}
