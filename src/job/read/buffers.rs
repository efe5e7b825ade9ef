//! `buffer` and `buffer_path` of a sink: room on disk for what waits for it.

use dataflows::rule::reader::{Node, Reader};

use super::JobReader;
use crate::job::Buffer;

const SIZE: &str = "a size such as 256MiB, 1GiB or 0";
/// What there is room for unless said.
const USUAL: u64 = 1 << 30;
const UNITS: &[(&str, u64)] =
    &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

impl JobReader<'_> {
    /// Beside the state, unless said; none, where there is no state in a folder and nothing is said.
    pub(super) fn buffer(&mut self, node: &Node<'_>) -> Option<Option<Buffer>> {
        let (size, path) = (node.get("buffer"), node.get("buffer_path"));
        let bytes = self.reader.optional(&size, bytes);
        let folder = match path.is_present() {
            true => Some(self.path(&path, "a folder")?),
            false => self.state_folder.as_ref().map(|folder| folder.join("sinks")),
        };
        let bytes = bytes?;
        if folder.is_none() && bytes.is_some_and(|bytes| bytes > 0) {
            let hint = "a job without state in a folder says where the buffer is".to_owned();
            self.reader.fault(&path, "a folder", Some(hint));
            return None;
        }
        let bytes = bytes.unwrap_or(USUAL);
        Some(folder.filter(|_| bytes > 0).map(|folder| Buffer { folder, bytes }))
    }
}

fn bytes(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<u64> {
    if node.json().and_then(|json| json.as_u64()) == Some(0) {
        return Some(0);
    }
    let text = reader.name(node, SIZE)?;
    let read = UNITS.iter().find_map(|(unit, bytes)| {
        let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(*bytes)
    });
    let read = read.or_else(|| (text == "0").then_some(0));
    if read.is_none() {
        reader.fault(node, SIZE, None);
    }
    read
}
