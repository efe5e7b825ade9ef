//! Batches: what is written is read, and nothing else is taken for it.

use bytes::Bytes;
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;

/// A small file of several blocks: long entries that compress well, and short ones.
fn sample() -> (Vec<Vec<u8>>, Vec<u8>) {
    let long = vec![7; 300_000];
    let entries = vec![b"a".to_vec(), long.clone(), vec![], long, b"the last".to_vec()];
    let file = batch("users", 3, &entries).to_vec();
    assert!(file.len() < 500, "{}", file.len());
    (entries, file)
}

/// Reads a file that comes in pieces of this length.
fn in_pieces(file: &[u8], length: usize) -> Result<BatchReader, StateError> {
    let mut pieces: Vec<_> = file.chunks(length).map(Bytes::copy_from_slice).collect();
    pieces.reverse();
    BatchReader::new("batches/x.batch".into(), Box::new(move || Ok(pieces.pop())))
}

/// That a changed file is refused, after at most what was right, by its name and with a remedy.
#[track_caller]
fn is_refused(file: &[u8], entries: &[Vec<u8>], change: &str) -> String {
    let error = match BatchReader::of_bytes("batches/x.batch", file.to_vec()) {
        Err(error) => error,
        Ok(reader) => {
            let header = reader.header().clone();
            assert_eq!((&*header.collection, header.worker), ("users", 3), "{change}");
            let (read, end) = read_all(reader);
            assert!(entries.starts_with(&read), "{change}");
            end.expect_err(change)
        }
    };
    let said = error.to_string();
    assert!(said.contains("batches/x.batch"), "{said}");
    assert!(said.contains("another checkpoint") || said.contains("use that one"), "{said}");
    assert!(!error.is_transient());
    said
}

#[test]
fn every_flipped_bit_is_found() {
    let (entries, file) = sample();
    flip_each_bit(&entries, &file);
    let entries: Vec<_> = (0..9).map(|length| vec![7; length]).collect();
    let writer = BatchWriter::new("users", 3, -5, 60_000).unpacked();
    flip_each_bit(&entries, &written(writer, &entries).to_vec());
}

fn flip_each_bit(entries: &[Vec<u8>], file: &[u8]) {
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.to_vec();
            changed[at] ^= 1 << bit;
            is_refused(&changed, entries, &format!("bit {bit} of byte {at}"));
        }
    }
}

#[test]
fn every_truncation_is_found_and_every_byte_too_many() {
    let (entries, file) = sample();
    for length in 0..file.len() {
        is_refused(&file[..length], &entries, &format!("cut to {length} bytes"));
    }
    let said = is_refused(&[&file[..], b"\n"].concat(), &entries, "a byte more");
    assert!(said.contains("in its footer, at byte") && said.contains("more follows"), "{said}");
}

#[test]
fn blocks_that_change_places_are_found() {
    let block = |fill| vec![fill; 300_000];
    let entries = vec![block(1), block(2)];
    let file = batch("users", 3, &entries).to_vec();
    let tags: Vec<_> = (0..file.len()).filter(|at| file[*at] == b'B').collect();
    let ends = file.len() - 25;
    let middle = tags.into_iter().find(|at| *at > 44 && (at - 44) * 2 == ends - 44).unwrap();
    let moved = [&file[..44], &file[middle..ends], &file[44..middle], &file[ends..]].concat();
    let said = is_refused(&moved, &entries, "two blocks in the other order");
    assert!(said.contains("in block 0, from byte 44"), "{said}");
}

#[test]
fn a_foreign_file_and_another_version_are_told() {
    let said = is_refused(b"{\"type\":\"track\"}", &[], "not a batch");
    assert!(said.contains("does not start as a batch does"), "{said}");
    let (entries, mut file) = sample();
    file[8] = 3;
    let said = is_refused(&file, &entries, "version 3");
    assert!(said.contains("written by a newer Rivulet"), "{said}");
    file[8] = 0;
    let said = is_refused(&file, &entries, "version 0");
    assert!(said.contains("written by an older Rivulet"), "{said}");
}

#[test]
fn what_an_earlier_version_wrote_is_read() {
    let (entries, mut file) = sample();
    file[8] = 1;
    // Of the header, and of the whole.
    let sums = [file.len() - 8, 36];
    for at in sums.into_iter().rev() {
        let sum = xxh3_64(&file[..at]).to_le_bytes();
        file[at..at + 8].copy_from_slice(&sum);
    }
    let (read, end) = read_all(in_pieces(&file, 1_000).unwrap());
    end.unwrap();
    assert_eq!(read, entries);
}

#[test]
fn what_packing_makes_little_smaller_is_left_as_it_is() {
    let tag = |entries: &[Vec<u8>]| {
        let file = batch("users", 3, entries).to_vec();
        let (read, end) = read_all(in_pieces(&file, 1_000).unwrap());
        assert!(end.is_ok() && read == entries);
        (file[44], file.len())
    };
    // Hashes, as in the images of users of whom nothing else is known; and attributes by name.
    let mut random = Random(11);
    let hashes: Vec<_> = (0..90_000).map(|_| random.next().to_le_bytes().to_vec()).collect();
    let mut name = || format!("favourite_colour=red;{:x}", random.below(16)).into_bytes();
    let names: Vec<_> = (0..90_000).map(|_| name()).collect();
    let bytes = |entries: &[Vec<u8>]| entries.iter().map(Vec::len).sum::<usize>();
    let (plain, length) = tag(&hashes);
    assert!(plain == b'P' && length > bytes(&hashes), "{length}");
    let (packed, length) = tag(&names);
    assert!(packed == b'B' && length < bytes(&names) / 4, "{length}");
    assert_eq!(tag(&[b"little".to_vec()]).0, b'P');
}

#[test]
fn a_batch_says_what_it_is() {
    let (entries, file) = sample();
    let mut reader = BatchReader::of_bytes("x", file.clone()).unwrap();
    let header = BatchHeader { collection: "users".into(), worker: 3, lower: -5, upper: 60_000 };
    assert_eq!(reader.header(), &header);
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.next().unwrap(), None, "the end stays the end");
    let batch = batch("users", 3, &entries);
    assert_eq!((reader.entries(), reader.checksum()), (5, Some(batch.checksum)));
    assert_eq!((batch.entries, batch.bytes), (5, file.len() as u64));
    let (none, end) =
        read_all(BatchReader::of_bytes("x", super::batch("a", 0, &[]).to_vec()).unwrap());
    assert!(none.is_empty() && end.is_ok());
}

#[test]
fn an_entry_that_cannot_be_read_back_is_not_written() {
    let mut writer = BatchWriter::new("users", 0, 0, 0);
    let said = writer.write(&vec![0; ENTRY_BYTES_MAX + 1]).unwrap_err().to_string();
    assert!(said.contains("268435457 bytes") && said.contains("\"users\""), "{said}");
}

#[test]
#[should_panic(expected = "a name files can have")]
fn a_collection_is_not_a_path() {
    BatchWriter::new("../users", 0, 0, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read(
        seeds in prop::collection::vec((any::<u64>(), 0usize..200_000, any::<bool>()), 0..12),
        small in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..50),
        length in 1usize..400_000,
        packs: bool,
    ) {
        let noise = |(seed, length, is_plain): (u64, usize, bool)| -> Vec<u8> {
            let mut random = Random(seed);
            let mask = if is_plain { 0 } else { u64::MAX };
            (0..length).map(|_| (random.next() & mask) as u8).collect()
        };
        let mut entries = small;
        entries.extend(seeds.into_iter().map(noise));
        let writer = BatchWriter::new("some-thing_2", 7, -5, 60_000);
        let writer = if packs { writer } else { writer.unpacked() };
        let file = written(writer, &entries).to_vec();
        let (read, end) = read_all(in_pieces(&file, length).unwrap());
        prop_assert!(end.is_ok(), "{:?}", end);
        prop_assert!(read == entries);
    }

    #[test]
    fn no_bytes_whatever_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), keep in 0usize..400) {
        let (_, file) = sample();
        let mut changed = file[..keep.min(file.len())].to_vec();
        changed.append(&mut bytes);
        prop_assume!(changed != file);
        if let Ok(reader) = in_pieces(&changed, 7) {
            prop_assert!(read_all(reader).1.is_err());
        }
    }
}
