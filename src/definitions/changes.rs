//! Changes of the definitions in mid-stream: a file of JSON lines, `{"time":…,"put":{…}}` or
//! `{"time":…,"delete":"id"}`.

use std::path::Path;
use std::sync::Arc;

use dataflows::catalog::{Edit, TimedEdit};
use dataflows::rule::parse;
use dataflows::rule::reader::{Node, Reader};

use super::{Problem, Problems, Reason};

const KEYS: &[&str] = &["time", "put", "delete"];

/// The changes of a file.
#[derive(Debug, Default)]
pub struct Changes {
    /// Those that could be read, with the number of their line, from 1, in the order of the file.
    pub edits: Vec<(usize, TimedEdit)>,
    /// What is wrong with the other lines.
    pub problems: Vec<Problem>,
}

/// Reads a file of changes. Blank lines are passed over. Whether a change can be made when its
/// time has come is for [`Timeline::accept`](dataflows::catalog::Timeline::accept) to say.
///
/// # Errors
/// That the file cannot be read.
pub fn load_changes(path: &Path) -> Result<Changes, Problems> {
    let text = super::text(path).map_err(|reason| Problem::new(path, reason))?;
    let mut changes = Changes::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        match change(line, number) {
            Ok(edit) => changes.edits.push((number, edit)),
            Err(reasons) => changes.problems.extend(reasons.into_iter().map(|reason| {
                // The place of a syntax error has the line already.
                let line = (!matches!(reason, Reason::Syntax(_))).then_some(number);
                Problem { file: path.into(), line, reason }
            })),
        }
    }
    Ok(changes)
}

fn change(line: &str, number: usize) -> Result<TimedEdit, Vec<Reason>> {
    let json = parse::json(line).map_err(|mut syntax| {
        syntax.line = number;
        vec![Reason::Syntax(syntax)]
    })?;
    let mut reader = Reader::default();
    let read = timed_edit(&mut reader, &Node::root(&json, ""));
    reader.finish(read).map_err(|faults| faults.into_iter().map(Reason::Fault).collect())
}

fn timed_edit(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<TimedEdit> {
    reader.object(node, KEYS)?;
    let time = reader.instant(&node.get("time"));
    let (put, delete) = (node.get("put"), node.get("delete"));
    let edit = match (put.is_present(), delete.is_present()) {
        (true, false) => parse::read_definition(reader, &put).map(|it| Edit::Put(Arc::new(it))),
        (false, true) => parse::read_id(reader, &delete).map(Edit::Delete),
        _ => {
            reader.fault(node, "either \"put\" or \"delete\", beside \"time\"", None);
            None
        }
    };
    Some(TimedEdit { time: time?, from: None, saved: None, edit: edit? })
}
