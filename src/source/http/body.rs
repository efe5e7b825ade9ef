//! The body of a request: read, unpacked and bounded.

use std::io::Read as _;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;

use super::answer::Refused;

/// How much of a body that is too long is read after what is allowed.
const FORGOTTEN_BYTES: usize = 4 << 20;

/// A body as it came.
pub(super) struct Packet {
    bytes: Vec<u8>,
    is_packed: bool,
    most: usize,
}

/// Reads a body of at most so many bytes, packed or not.
pub(super) async fn read(headers: &HeaderMap, body: Body, most: usize) -> Result<Packet, Refused> {
    let is_packed = match headers.get(CONTENT_ENCODING).map(|it| it.as_bytes()) {
        None | Some(b"" | b"identity") => false,
        Some(b"gzip" | b"x-gzip") => true,
        Some(_) => return Err(Refused::encoding()),
    };
    Ok(Packet { bytes: bounded(body, most).await?, is_packed, most })
}

impl Packet {
    /// How long it is, in bytes, unless it is packed.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Its text, unpacked.
    pub(super) fn text(self) -> Result<String, Refused> {
        let bytes = if self.is_packed { unpack(&self.bytes, self.most)? } else { self.bytes };
        String::from_utf8(bytes).map_err(|_| Refused::bad("the body is no UTF-8 text".to_owned()))
    }
}

/// Reads a body of at most so many bytes. One that is longer is read on for a while, and forgotten:
/// clients that are still sending do not see what they are answered.
async fn bounded(mut body: Body, most: usize) -> Result<Vec<u8>, Refused> {
    let (mut bytes, mut read) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refused::bad("the body broke off".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();
        if read <= most {
            bytes.extend_from_slice(&data);
        } else if read > most + FORGOTTEN_BYTES {
            break;
        }
    }
    if read > most { Err(Refused::too_large(most)) } else { Ok(bytes) }
}

/// Unpacks gzip, but no more than so many bytes of it.
fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::with_capacity(packed.len().saturating_mul(4).min(most));
    let mut unpacked = MultiGzDecoder::new(packed).take(most as u64 + 1);
    match unpacked.read_to_end(&mut bytes) {
        Ok(_) if bytes.len() > most => Err(Refused::too_large(most)),
        Ok(_) => Ok(bytes),
        Err(error) => Err(Refused::bad(format!("the body is no gzip: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn no_more_is_unpacked_than_is_allowed() {
        assert_eq!(unpack(&packed(&[b'a'; 100]), 100).unwrap().len(), 100);
        assert!(unpack(&packed(&[b'a'; 101]), 100).is_err());
        assert!(unpack(&packed(&vec![0; 5 << 20]), 500_000).is_err());
        assert!(unpack(b"nonsense", 100).is_err());
        let whole = packed(&[b'a'; 100]);
        assert!(unpack(&whole[..whole.len() - 9], 100).is_err(), "cut short");
    }
}
