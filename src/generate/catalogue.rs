//! Made-up catalogues of segments, as the text of a definitions file.

use std::fmt::Write;

use super::random::Random;

const EVENTS: [&str; 4] = ["page_view", "click", "add_to_cart", "purchase"];
const WINDOWS: [&str; 4] = ["1m", "5m", "10m", "1h"];

/// Segments over windows of the clickstream of [`clicks`](super::clicks): enough events of a kind,
/// and enough spent, each within a window of its own.
pub fn windows(count: u32, seed: u64) -> String {
    let mut random = Random::new(seed);
    list(count, |text, number| {
        let (event, window) = (random.pick(&EVENTS), random.pick(&WINDOWS));
        let least = 5.0 * libm::pow(100.0, random.fraction());
        let (spent, over) = (50.0 * libm::pow(100.0, random.fraction()), random.pick(&WINDOWS));
        let _ = write!(
            text,
            r#"{{"id":"windows-{number}","rules":{{"operator":"AND","conditions":[{{"event":"{event}","aggregate":"count","window":"{window}","op":"gte","value":{least:.0}}},{{"event":"purchase","aggregate":"sum","property":"amount","window":"{over}","op":"gt","value":{spent:.2}}}]}}}}"#
        );
    })
}

fn list(count: u32, mut segment: impl FnMut(&mut String, u32)) -> String {
    let mut text = String::from("[");
    for number in 0..count {
        text.push_str(if number == 0 { "\n" } else { ",\n" });
        segment(&mut text, number);
    }
    text.push_str("\n]\n");
    text
}
