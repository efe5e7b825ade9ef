//! Who is in a set, to be held far away: a Bloom filter.

use datasketches::bloom::BloomFilterBuilder;
use datasketches::hash::value::raw_bytes;

/// A filter that holds these names, and takes others for one of them this often. In the layout and
/// by the hashes of Apache DataSketches, as its Java and C++ libraries read it: a name is the bytes
/// of its UTF-8.
///
/// # Errors
/// The share is not between 0 and 1, or the filter would be larger than the layout allows.
pub fn membership<'a>(
    names: impl ExactSizeIterator<Item = &'a str>,
    false_positives: f64,
) -> Result<Vec<u8>, String> {
    let size = (names.len() as u64).max(1);
    let filter = BloomFilterBuilder::with_accuracy(size, false_positives).build();
    let mut filter = filter.map_err(|error| error.to_string())?;
    names.for_each(|name| filter.insert(raw_bytes::from_str(name)));
    Ok(filter.serialize())
}

/// How many bytes such a filter has, about.
pub fn bytes(names: usize, false_positives: f64) -> f64 {
    let ln2 = std::f64::consts::LN_2;
    32.0 + names as f64 * -false_positives.ln() / (ln2 * ln2) / 8.0
}
