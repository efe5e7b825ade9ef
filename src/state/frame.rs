//! Frames: what is appended to a file at once, with a checksum of its own.
//!
//! A frame is only begun when the one before it is durable. So what is torn at the end of a file was
//! never relied on by anyone, and what is wrong before a frame that is whole is damage.
//! ```text
//! frame   magic 8 · version u32 · bytes u32 · sum u64 · bytes
//! ```
//! All numbers are little-endian. The sum is the XXH3-64 of all else in the frame.

use xxhash_rust::xxh3::Xxh3;

/// The version of the format that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;
const MAGIC: [u8; 8] = [0xff, b'r', b'v', b'l', b'f', b'r', 0xfe, 0x0a];
/// What comes before the sum, and before the content.
const SUMMED: usize = 16;
const HEADER: usize = 24;

/// How a file of frames ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With its last frame.
    Whole,
    /// From this byte on it is not whole, and nothing that comes after is.
    Torn(usize),
    /// This frame, which begins at this byte, is not whole, and one after it is.
    Damaged(u64, usize),
    /// A frame that is whole has this version.
    Version(u32),
}

/// The frame of this content.
///
/// # Panics
/// If that is 4 GiB or more.
pub(super) fn seal(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("what is written at once is far shorter");
    let mut frame = Vec::with_capacity(HEADER + content.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&VERSION.to_le_bytes());
    frame.extend_from_slice(&length.to_le_bytes());
    let sum = sum(&frame, content);
    frame.extend_from_slice(&sum.to_le_bytes());
    frame.extend_from_slice(content);
    frame
}

/// What the frames of a file hold, up to where it ends.
pub(super) fn read(bytes: &[u8]) -> (Vec<&[u8]>, End) {
    let (mut contents, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Some((version, content)) = whole(&bytes[at..]) else {
            let more = memchr::memmem::find_iter(&bytes[at + 1..], &MAGIC);
            let is_followed = more.into_iter().any(|to| whole(&bytes[at + 1 + to..]).is_some());
            let number = contents.len() as u64;
            return (contents, if is_followed { End::Damaged(number, at) } else { End::Torn(at) });
        };
        if version != VERSION {
            return (contents, End::Version(version));
        }
        contents.push(content);
        at += HEADER + content.len();
    }
    (contents, End::Whole)
}

/// The version and the content of the frame that begins here, if all of it is as it was written.
fn whole(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let header = bytes.get(..HEADER).filter(|header| header[..MAGIC.len()] == MAGIC)?;
    let number = |at: usize| header[at..].first_chunk().map(|four| u32::from_le_bytes(*four));
    let length = usize::try_from(number(12)?).ok()?;
    let content = bytes.get(HEADER..HEADER.checked_add(length)?)?;
    let stated = header[SUMMED..].first_chunk().map(|eight| u64::from_le_bytes(*eight))?;
    (stated == sum(&header[..SUMMED], content)).then_some((number(8)?, content))
}

fn sum(header: &[u8], content: &[u8]) -> u64 {
    let mut sum = Xxh3::new();
    sum.update(header);
    sum.update(content);
    sum.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: [&[u8]; 4] = [b"first", b"", b"the third", b"last"];

    fn file() -> Vec<u8> {
        CONTENTS.map(seal).concat()
    }

    /// Where each frame begins, and where the last one ends.
    fn begins() -> Vec<usize> {
        let ends = CONTENTS.iter().scan(0, |end, content| {
            *end += HEADER + content.len();
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect()
    }

    #[test]
    fn a_file_that_is_cut_short_is_torn_where_its_last_frame_begins() {
        let (file, begins) = (file(), begins());
        assert_eq!(read(&file), (CONTENTS.to_vec(), End::Whole));
        for length in 0..file.len() {
            let frames = begins.iter().filter(|begin| **begin <= length).count() - 1;
            let end = match begins[frames] {
                begin if begin == length => End::Whole,
                begin => End::Torn(begin),
            };
            assert_eq!(read(&file[..length]), (CONTENTS[..frames].to_vec(), end), "{length}");
        }
    }

    #[test]
    fn what_is_changed_in_the_middle_is_named_and_at_the_end_was_never_there() {
        let (file, begins) = (file(), begins());
        for bit in 0..file.len() * 8 {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let frame = begins.iter().filter(|begin| **begin <= bit / 8).count() - 1;
            let end = match frame {
                3 => End::Torn(begins[3]),
                _ => End::Damaged(frame as u64, begins[frame]),
            };
            assert_eq!(read(&changed), (CONTENTS[..frame].to_vec(), end), "bit {bit}");
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_told_from_damage() {
        let mut file = seal(b"content");
        file[8] = 2;
        assert_eq!(read(&file), (vec![], End::Torn(0)), "its sum is not that of its bytes");
        let sum = sum(&file[..SUMMED], b"content").to_le_bytes();
        file[SUMMED..HEADER].copy_from_slice(&sum);
        assert_eq!(read(&file), (vec![], End::Version(2)));
    }
}
