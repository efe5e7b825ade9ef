//! Exports that clients of a running job ask for, below the folder that the job names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dataflows::model::time::format_time;
use serde_json::{Value as Json, json};

use crate::definitions::Store;
use crate::run::places::place;
use crate::say::Chain;
use crate::serve::api::{Asking, ExportFormat, Exporter, Exports};
use crate::serve::view::View;
use crate::serve::view::past::NoPast;
use crate::sink::SinkError;
use crate::sink::export::{Format, Settings, Snapshot};
use crate::state::Location;

/// Writes pictures of who is in what by now.
struct Pictures {
    folder: PathBuf,
    job: String,
    view: Arc<View>,
    definitions: Store,
}

/// Those of a run that begins now.
pub(super) fn exports(folder: PathBuf, job: &str, view: &Arc<View>, definitions: Store) -> Exports {
    let pictures = Pictures { folder, job: job.to_owned(), view: Arc::clone(view), definitions };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Exports::new(Arc::new(pictures), u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Exporter for Pictures {
    fn write(&self, asking: &Asking) -> Result<Vec<Json>, String> {
        let name = format!("asked for, {}", asking.id);
        let settings = Settings {
            job: self.job.clone(),
            name: name.clone(),
            format: match asking.format {
                ExportFormat::Csv => Format::Csv,
                ExportFormat::Jsonl => Format::Jsonl,
                ExportFormat::Parquet => Format::Parquet,
            },
        };
        let wrong = |error: SinkError| Chain(&error).to_string();
        let place = place(&name, &Location::Folder(self.folder.join(&asking.id))).map_err(wrong)?;
        let begun = Snapshot::begin(&*place, &settings, asking.as_of);
        // No other has its id.
        let Some(mut snapshot) = begun.map_err(|fault| wrong(fault.into()))? else {
            return Err("its files were there already".to_owned());
        };
        for segment in &asking.segments {
            let version = self.definitions.versions(&segment.id).ok().and_then(|mut it| it.pop());
            snapshot.segment(&segment.id, version.map(|it| it.version));
            let users = self.view.all_users_at(segment, asking.as_of);
            let users = users.map_err(|no_past| gone(no_past, asking))?;
            snapshot.users(&users).map_err(|fault| wrong(fault.into()))?;
        }
        let files = snapshot.finish().map_err(|fault| wrong(fault.into()))?;
        let own = |path: &str| format!("{}/{path}", asking.id);
        Ok(files.into_iter().map(|file| json!({
            "path": own(&file.path), "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256,
        })).collect())
    }
}

/// Why there are not all users as of a time that was the newest when it was asked.
fn gone(no_past: NoPast, asking: &Asking) -> String {
    let time = format_time(asking.as_of);
    match no_past {
        NoPast::Gone(_) => format!(
            "more has changed since {time} than is retained: raise differences in [serve], or \
             export fewer segments at a time"
        ),
        NoPast::NotYet(_) => format!("not all is known up to {time}: ask again"),
    }
}
