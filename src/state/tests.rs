//! What is promised of state, held against every byte that may flip and every step a crash may
//! come after.

mod batch;
pub(crate) mod faulty;
mod folder;
mod manifest;
mod simulation;

use super::*;

/// A batch of these entries.
fn batch(collection: &str, worker: u32, entries: &[Vec<u8>]) -> Batch {
    written(BatchWriter::new(collection, worker, -5, 60_000), entries)
}

fn written(mut writer: BatchWriter, entries: &[Vec<u8>]) -> Batch {
    for (index, entry) in entries.iter().enumerate() {
        let done = match index % 2 {
            0 => writer.write(entry),
            _ => writer.write_whole(entry.clone()),
        };
        done.unwrap();
    }
    writer.finish().unwrap()
}

/// What a reader gives: the entries, and how it ended.
fn read_all(mut reader: BatchReader) -> (Vec<Vec<u8>>, Result<(), StateError>) {
    let mut entries = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(entry)) => entries.push(entry.to_vec()),
            Ok(None) => return (entries, Ok(())),
            Err(error) => return (entries, Err(error)),
        }
    }
}

/// A sequence of numbers that look random, the same for every seed (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
