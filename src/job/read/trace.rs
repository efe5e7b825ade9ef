//! `[trace]`: where the job tells what becomes of a few records, and of how many.

use dataflows::rule::reader::{Node, Reader};

use super::JobReader;
use crate::job::TraceSettings;

const TRACE_KEYS: &[&str] = &["endpoint", "sample", "service_name", "headers"];
const ENDPOINT: &str = "the address of a collector, such as http://127.0.0.1:4318";
const SAMPLE: &str = "a share of records from 0 to 1, such as 0.001";
const SERVICE: &str = "rivulet";
/// What a share is counted in.
const BILLION: f64 = 1e9;
/// One record in a thousand, unless said: enough to see where time goes, and far below what it
/// costs to compute the others.
const BILLIONTHS: u64 = 1_000_000;

impl JobReader<'_> {
    pub(super) fn trace(&mut self, node: &Node<'_>) -> Option<Option<TraceSettings>> {
        if !node.is_present() {
            return Some(None);
        }
        self.reader.object(node, TRACE_KEYS)?;
        let endpoint = endpoint(&mut self.reader, &node.get("endpoint"));
        let billionths = self.reader.optional(&node.get("sample"), billionths);
        let service_name = self.reader.optional(&node.get("service_name"), |reader, node| {
            Some(reader.name(node, "what the service is called in traces")?.into_owned())
        });
        let headers = self.headers(&node.get("headers"));
        Some(Some(TraceSettings {
            endpoint: endpoint?,
            headers: headers?,
            billionths: billionths?.unwrap_or(BILLIONTHS),
            service_name: service_name?.unwrap_or_else(|| SERVICE.to_owned()),
        }))
    }
}

fn endpoint(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<String> {
    let text = reader.name(node, ENDPOINT)?.into_owned();
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        reader.fault(node, ENDPOINT, None);
        return None;
    }
    Some(text)
}

fn billionths(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<u64> {
    let share = node.json().and_then(serde_json::Value::as_f64);
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    if share.is_none() {
        reader.fault(node, SAMPLE, None);
    }
    // From 0 to a thousand million, so nothing is cut off.
    share.map(|share| (share * BILLION).round() as u64)
}
