//! Records as lines of JSON, written by hand because there are millions of them.

use std::str::FromStr;

use dataflows::model::EventTime;
use dataflows::model::time::format_time;

use super::random::{Random, Weighted};

const MS_PER_DAY: i64 = 86_400_000;
/// How long before the start users have signed up.
pub(super) const SIGN_UP_DAYS: i64 = 400;

const COUNTRIES: [&str; 4] = ["US", "DE", "BR", "JP"];
const TIERS: [&str; 4] = ["\"free\"", "\"premium\"", "\"enterprise\"", "null"];
const REFERRALS: [&str; 4] = ["\"search\"", "\"partner\"", "\"ad\"", "null"];
const CURRENCIES: [&str; 4] = ["USD", "USD", "EUR", "GBP"];

/// Which events happen, and how often: `page_view=70,click=20`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix(Vec<(String, f64)>);

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entry = |entry: &str| {
            let error = || format!("{entry:?} is not an event and its weight, such as click=20");
            let (name, weight) = entry.split_once('=').ok_or_else(error)?;
            let weight: f64 = weight.trim().parse().map_err(|_| error())?;
            let name = name.trim();
            if name.is_empty() || !(0.0..=1e9).contains(&weight) {
                return Err(error());
            }
            Ok((name.to_owned(), weight))
        };
        let entries = text.split(',').map(entry).collect::<Result<Vec<_>, String>>()?;
        if entries.iter().all(|(_, weight)| *weight == 0.0) {
            return Err(format!("{text:?} has no event with a weight above 0"));
        }
        Ok(Mix(entries))
    }
}

/// Writes records.
pub(super) struct Writer {
    seed: u64,
    start: EventTime,
    events: Vec<Event>,
    weights: Weighted,
    day: i64,
    /// The start of every time of that day: `"2026-01-01T`.
    date: String,
    digits: itoa::Buffer,
}

/// An event as the mix names it.
struct Event {
    /// Its name, quoted as JSON.
    name: String,
    properties: Properties,
}

#[derive(Debug, Clone, Copy)]
enum Properties {
    Page,
    Product,
    Purchase,
    None,
}

impl Writer {
    pub(super) fn new(seed: u64, start: EventTime, mix: &Mix) -> Self {
        let event = |(name, _): &(String, f64)| Event {
            name: serde_json::Value::from(name.as_str()).to_string(),
            properties: match name.as_str() {
                "page_view" => Properties::Page,
                "click" | "add_to_cart" => Properties::Product,
                "purchase" => Properties::Purchase,
                _ => Properties::None,
            },
        };
        let weights: Vec<f64> = mix.0.iter().map(|(_, weight)| *weight).collect();
        Writer {
            seed,
            start,
            events: mix.0.iter().map(event).collect(),
            weights: Weighted::new(&weights),
            day: i64::MIN,
            date: String::new(),
            digits: itoa::Buffer::new(),
        }
    }

    /// An event of the mix.
    pub(super) fn track(
        &mut self,
        out: &mut Vec<u8>,
        (number, user, time): (u64, u64, EventTime),
        random: &mut Random,
    ) {
        self.head(out, "track", number, user, time);
        let event = &self.events[self.weights.draw(random)];
        let properties = event.properties;
        push(out, ",\"event\":");
        push(out, &event.name);
        push(out, ",\"properties\":{");
        match properties {
            Properties::Page => {
                push(out, "\"path\":\"/category/");
                self.number(out, random.below(500));
                push(out, "\",\"referrer\":\"search\"");
            }
            Properties::Product => {
                push(out, "\"product_id\":\"p");
                self.number(out, random.below(20_000));
                push(out, "\",\"position\":");
                self.number(out, random.below(40));
            }
            Properties::Purchase => {
                push(out, "\"amount\":");
                self.cents(out, random.cents(40.0, 0.8));
                push(out, ",\"currency\":\"");
                push(out, random.one_of(&CURRENCIES));
                push(out, "\"");
            }
            Properties::None => {}
        }
        push(out, "}}\n");
    }

    /// What is known of a user. Country and sign-up never change, the rest may.
    pub(super) fn identify(
        &mut self,
        out: &mut Vec<u8>,
        (number, user, time): (u64, u64, EventTime),
        random: &mut Random,
    ) {
        self.head(out, "identify", number, user, time);
        let mut fixed = Random::of(self.seed, user);
        push(out, ",\"traits\":{\"country\":\"");
        push(out, fixed.one_of(&COUNTRIES));
        push(out, "\",\"account_tier\":");
        push(out, random.one_of(&TIERS));
        push(out, ",\"lifetime_value\":");
        self.cents(out, random.cents(120.0, 1.0));
        push(out, ",\"referral_source\":");
        push(out, fixed.one_of(&REFERRALS));
        push(out, ",\"signed_up_at\":");
        let before = fixed.below((SIGN_UP_DAYS * MS_PER_DAY).unsigned_abs()).cast_signed();
        let signed_up_at = format_time((self.start - before).div_euclid(1_000) * 1_000);
        push(out, &format!("{signed_up_at:?}}}}}\n"));
    }

    fn head(&mut self, out: &mut Vec<u8>, kind: &str, number: u64, user: u64, time: EventTime) {
        push(out, "{\"type\":\"");
        push(out, kind);
        push(out, "\",\"messageId\":\"");
        hex(out, Random::of(self.seed, number).next());
        hex(out, number); // so that no two are equal
        push(out, "\",\"userId\":\"u");
        self.number(out, user);
        push(out, "\",\"timestamp\":");
        self.time(out, time);
    }

    fn number(&mut self, out: &mut Vec<u8>, number: u64) {
        push(out, self.digits.format(number));
    }

    fn cents(&mut self, out: &mut Vec<u8>, cents: u64) {
        self.number(out, cents / 100);
        out.push(b'.');
        two_digits(out, cents % 100);
    }

    fn time(&mut self, out: &mut Vec<u8>, time: EventTime) {
        let day = time.div_euclid(MS_PER_DAY);
        if day != self.day {
            self.day = day;
            let date = format_time(day * MS_PER_DAY);
            self.date = format!("\"{}T", date.split('T').next().unwrap_or_default());
        }
        let ms = time.rem_euclid(MS_PER_DAY).unsigned_abs();
        push(out, &self.date);
        two_digits(out, ms / 3_600_000);
        out.push(b':');
        two_digits(out, ms / 60_000 % 60);
        out.push(b':');
        two_digits(out, ms / 1_000 % 60);
        out.push(b'.');
        out.push(b'0' + (ms / 100 % 10) as u8);
        two_digits(out, ms % 100);
        push(out, "Z\"");
    }
}

pub(super) fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn two_digits(out: &mut Vec<u8>, number: u64) {
    out.push(b'0' + (number / 10) as u8);
    out.push(b'0' + (number % 10) as u8);
}

pub(super) fn hex(out: &mut Vec<u8>, bits: u64) {
    let digit = |place: u32| b"0123456789abcdef"[(bits >> (60 - 4 * place) & 15) as usize];
    out.extend((0..16).map(digit));
}
