//! Exports that are asked of a running job.

use std::fs;

use serde_json::{Value as Json, json};

use crate::client::{JOB, Served, place, sets};
use crate::harness::eventually;

/// What becomes of an export in the end.
fn over(served: &Served, id: &str) -> Json {
    let mut found = Json::Null;
    eventually("the export is over", || {
        found = served.get(&format!("/v1/exports/{id}")).fine();
        found["state"] != "running"
    });
    found
}

fn ask(served: &Served, body: &str) -> crate::client::Answer {
    served.ask("POST", "/v1/exports", &[], body)
}

#[test]
fn who_is_in_what_is_written_below_the_folder_of_the_job() {
    let place = place(&format!("{JOB}exports = \"asked\"\n"));
    let served = Served::start(&place);
    ask(&served, "{}").refused(409, "not_yet");
    served.send(&[sets("u1", 0, "plan", "pro"), sets("u2", 5, "plan", "pro")]);
    served.send(&[sets("u3", 10, "country", "DE")]);
    served.await_segments("u3", &["de"]);

    let asked = ask(&served, r#"{"segments":["pro","de","pro"],"format":"csv"}"#);
    assert_eq!(asked.status, 202);
    let id = asked.json["id"].as_str().unwrap().to_owned();
    assert_eq!(asked.headers["location"], format!("/v1/exports/{id}"));
    let done = over(&served, &id);
    assert_eq!((&done["state"], &done["error"]), (&"done".into(), &Json::Null), "{done}");
    assert_eq!(done["segments"], json!(["de", "pro"]));
    let file = &done["files"][0];
    let path = file["path"].as_str().unwrap();
    assert!(path.starts_with(&format!("{id}/snapshot=")), "{path}");
    assert_eq!(
        place.text(&format!("asked/{path}")),
        "segment,user\r\nde,u3\r\npro,u1\r\npro,u2\r\n"
    );
    assert_eq!(file["rows"], 3);
    let manifest = path.replace("0.csv", "manifest.json");
    let manifest: Json = serde_json::from_str(&place.text(&format!("asked/{manifest}"))).unwrap();
    assert_eq!(manifest["as_of"], done["as_of"]);
    assert_eq!(manifest["segments"][0], json!({"id": "de", "version": 1, "rows": 1}));

    // Without a word, all segments, as Parquet.
    let id = ask(&served, "{}").fine()["id"].as_str().unwrap().to_owned();
    let done = over(&served, &id);
    assert_eq!((&done["state"], &done["format"]), (&"done".into(), &"parquet".into()), "{done}");
    assert_eq!(done["segments"], json!(["both", "de", "pro"]));
    let path = done["files"][0]["path"].as_str().unwrap();
    assert!(fs::read(place.path("asked").join(path)).unwrap().starts_with(b"PAR1"));

    // A folder that cannot be written to.
    fs::remove_dir_all(place.path("asked")).unwrap();
    place.write("asked", "no folder");
    let id = ask(&served, "{}").fine()["id"].as_str().unwrap().to_owned();
    let failed = over(&served, &id);
    assert_eq!((&failed["state"], &failed["files"]), (&"failed".into(), &Json::Null));
    assert!(failed["error"].as_str().unwrap().contains("asked"), "{failed}");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn what_is_no_export_is_refused() {
    let place = place(&format!("{JOB}exports = \"asked\"\n"));
    let served = Served::start(&place);
    for wrong in ["", "[]", "5", r#"{"segments":null}"#, r#"{"format":"xml"}"#, r#"{"to":"/etc"}"#]
    {
        ask(&served, wrong).refused(400, "bad_request");
    }
    ask(&served, r#"{"segments":[]}"#).refused(400, "bad_request");
    ask(&served, r#"{"segments":["pro","no"]}"#).refused(404, "unknown_segment");
    served.get("/v1/exports/..%2Fx").refused(404, "unknown_export");
    assert!(!place.path("asked").exists(), "nothing was written");
    drop(served);
    place.write("job.toml", JOB);
    let served = Served::start(&place);
    let refused = ask(&served, "{}").refused(409, "nowhere");
    assert!(refused["hint"].as_str().unwrap().contains("exports = "), "{refused}");
}
