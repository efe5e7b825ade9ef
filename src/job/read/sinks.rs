//! `[[sink]]`: where outputs go, each with a place of its own.

use std::path::PathBuf;

use dataflows::rule::reader::Node;
use serde_json::Value as Json;

use super::{JobReader, Word};
use crate::job::{Format, Output, Sink, Target};

const KEYS: &[&str] = &["kind", "of", "path", "format"];

#[derive(Clone, Copy, PartialEq)]
enum SinkKind {
    File,
    Stdout,
    Kafka,
    Redis,
    Postgres,
    Webhook,
}

static KINDS: &[Word<SinkKind>] = &[
    Word("file", Some(SinkKind::File)),
    Word("stdout", Some(SinkKind::Stdout)),
    Word("kafka", Some(SinkKind::Kafka)),
    Word("http", None),
    Word("redis", Some(SinkKind::Redis)),
    Word("postgres", Some(SinkKind::Postgres)),
    Word("webhook", Some(SinkKind::Webhook)),
];

pub(super) static OUTPUTS: &[Word<Output>] = &[
    Word("differences", Some(Output::Differences)),
    Word("late", Some(Output::Late)),
    Word("rejected", Some(Output::Rejected)),
];

static FORMATS: &[Word<Format>] =
    &[Word("json", Some(Format::Json)), Word("text", Some(Format::Text))];

impl JobReader<'_> {
    pub(super) fn sink(&mut self, node: &Node<'_>) -> Option<Sink> {
        let kind = node.get("kind");
        if kind.json().and_then(Json::as_str) == Some("parquet") {
            let hint =
                "differences are written as Parquet by [[export]], with of = \"differences\"";
            self.reader.fault(&kind, "another kind", Some(hint.to_owned()));
            return None;
        }
        let kind = self.pick(&kind, KINDS, None)?;
        match kind {
            SinkKind::Kafka => return self.written_topic(node),
            SinkKind::Redis => return self.redis(node),
            SinkKind::Postgres => return self.postgres(node),
            SinkKind::Webhook => return self.webhook(node),
            SinkKind::File | SinkKind::Stdout => {}
        }
        self.reader.object(node, KEYS)?;
        let of = self.pick(&node.get("of"), OUTPUTS, Some(Output::Differences));
        let format = self.pick(&node.get("format"), FORMATS, Some(Format::Json));
        let target = match kind {
            SinkKind::File => self.path(&node.get("path"), "the file to write").map(Target::File),
            _ => self.stdout(node),
        };
        let name = if kind == SinkKind::File { "file" } else { "stdout" }.to_owned();
        let (of, format, target) = (of?, format?, target?);
        let sink = Sink { of, format, target, name, segments: Vec::new(), buffer: None };
        let place = match &sink.target {
            Target::File(path) => path.clone(),
            _ => PathBuf::from("-"),
        };
        if sink.format == Format::Text && sink.of != Output::Differences {
            let hint = "only differences are written as text".to_owned();
            self.reader.fault(&node.get("format"), "json", Some(hint));
            return None;
        }
        let is_read = kind == SinkKind::File && self.inputs.contains(&place);
        if is_read || !self.outputs.insert(place) {
            let other =
                if is_read { "a source reads it" } else { "another sink writes there already" };
            let hint = other.to_owned();
            let place = if kind == SinkKind::File { "path" } else { "kind" };
            self.reader.fault(&node.get(place), "a place of its own", Some(hint));
            return None;
        }
        Some(sink)
    }

    fn stdout(&mut self, node: &Node<'_>) -> Option<Target> {
        let path = node.get("path");
        if path.is_present() {
            let hint = "leave it out, or say kind = \"file\"".to_owned();
            self.reader.fault(&path, "nothing", Some(hint));
            return None;
        }
        Some(Target::Stdout)
    }
}
