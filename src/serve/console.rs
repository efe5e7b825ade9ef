//! The console: a page for people at `/`, with all it needs, so that no other host is asked. The
//! page may be read by anyone; what it shows it asks of the API, by the token it is given.

use std::io::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Nothing but what this server sends, no script within the page, no frame around it. Attributes may
/// have styles: browsers themselves give them to text that is typed over other text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      style-src-attr 'unsafe-inline'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($($path:literal: $file:literal as $kind:ident),* $(,)?) => {
        &[$(Source { path: $path, kind: $kind, bytes: include_bytes!(concat!("console/", $file)) }),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const SCHEMA: &str = "application/schema+json";

/// All that the page is made of.
const SOURCES: &[Source] = files! {
    "/": "index.html" as HTML,
    "/console/style.css": "style.css" as STYLE,
    "/console/icon.svg": "icon.svg" as PICTURE,
    "/console/app.js": "app.js" as SCRIPT,
    "/console/api.js": "api.js" as SCRIPT,
    "/console/format.js": "format.js" as SCRIPT,
    "/console/list.js": "list.js" as SCRIPT,
    "/console/segments.js": "segments.js" as SCRIPT,
    "/console/segment.js": "segment.js" as SCRIPT,
    "/console/editor.js": "editor.js" as SCRIPT,
    "/console/words.js": "words.js" as SCRIPT,
    "/console/tail.js": "tail.js" as SCRIPT,
    "/console/user.js": "user.js" as SCRIPT,
    "/console/records.js": "records.js" as SCRIPT,
    "/console/vitals.js": "vitals.js" as SCRIPT,
    "/console/dialogs.js": "dialogs.js" as SCRIPT,
    "/console/overlap.js": "overlap.js" as SCRIPT,
    "/console/segment.schema.json": "../../schema/segment.json" as SCHEMA,
    "/console/preact.js": "vendor/preact.js" as SCRIPT,
    "/console/uplot.js": "vendor/uplot.js" as SCRIPT,
    "/console/uplot.css": "vendor/uplot.css" as STYLE,
    "/console/codemirror.js": "vendor/codemirror.js" as SCRIPT,
};

struct Source {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// A file as it is sent.
#[derive(Clone)]
struct File {
    source: &'static Source,
    zipped: Bytes,
    tag: HeaderValue,
}

/// Worked out when the first server starts: some milliseconds.
static FILES: LazyLock<Vec<File>> = LazyLock::new(|| SOURCES.iter().map(File::new).collect());

/// `/`, and what the page asks for.
pub fn routes() -> Router {
    FILES.iter().fold(Router::new(), |router, file| {
        router.route(file.source.path, get(answer).with_state(file.clone()))
    })
}

impl File {
    fn new(source: &'static Source) -> Self {
        let mut zip = GzEncoder::new(Vec::new(), Compression::best());
        // Writing into memory does not fail; what could not be zipped would be sent as it is.
        let zipped = zip.write_all(source.bytes).and_then(|()| zip.finish()).unwrap_or_default();
        let hash = digest(&SHA256, source.bytes);
        let digits: String = hash.as_ref().iter().take(8).map(|it| format!("{it:02x}")).collect();
        let tag = HeaderValue::from_str(&format!("\"{digits}\""));
        let tag = tag.unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        File { source, zipped: zipped.into(), tag }
    }
}

async fn answer(State(file): State<File>, asked: HeaderMap) -> Response {
    let common = [
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // Another version of the program has another page: it is asked each time, and told that
        // nothing has changed.
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (VARY, HeaderValue::from_static("accept-encoding")),
        (ETAG, file.tag.clone()),
    ];
    if says(&asked, &IF_NONE_MATCH, file.tag.to_str().unwrap_or_default()) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = (CONTENT_TYPE, HeaderValue::from_static(file.source.kind));
    if says(&asked, &ACCEPT_ENCODING, "gzip") && !file.zipped.is_empty() {
        let zipped = (CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return (common, [kind, zipped], file.zipped).into_response();
    }
    (common, [kind], file.source.bytes).into_response()
}

/// Whether a header lists a word.
fn says(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|it| it.to_str().ok());
    let mut words = values.flat_map(|it| it.split(','));
    words.any(|it| it.split(';').next().is_some_and(|it| it.trim() == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of all files as a browser that zips gets them, and the promise.
    const ALL_MAX: usize = 300_000;

    #[test]
    fn the_whole_page_is_light() {
        let bytes: usize = FILES.iter().map(|it| it.zipped.len()).sum();
        assert!((1..ALL_MAX).contains(&bytes), "{bytes}");
    }

    #[test]
    fn no_other_host_is_named() {
        for Source { path, bytes, .. } in SOURCES {
            let text = std::str::from_utf8(bytes).unwrap();
            // A name space is a name only; what is said in a schema or a message nobody asks for.
            let is_name = |after: &str| after.starts_with("www.w3.org/");
            let is_asked = !path.contains("codemirror") && !path.contains("schema");
            assert!(!is_asked || text.split("://").skip(1).all(is_name), "{path}");
        }
    }
}
