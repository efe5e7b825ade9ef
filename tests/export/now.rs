//! The verb: from a running job, and from the files of one.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value as Json, json};

use crate::common::{Lines, Place, Running, eventually};
use crate::live::clickstream;
use crate::{by_picture, difference, differences, job, manifests, members, read};

#[test]
fn the_files_of_a_job_are_exported_as_of_a_time() {
    let place = Place::new();
    let replayed = differences(&clickstream(&place, 2_000));
    job(&place, None, &[]);
    let as_of = replayed[replayed.len() / 2].0;
    for format in ["csv", "parquet"] {
        let words = format!("export job.toml --format {format} --at {as_of} --to {format}");
        let said = place.run(&words).fine().stderr;
        assert!(said.contains("users as of 2026-01-01T00:"), "{said}");
        let pictures = by_picture(&read(&place.path(format), "users", format));
        let found: Vec<_> = pictures.into_values().collect();
        assert_eq!(found, [members(&replayed, as_of)]);
        let again = place.run(&words).fine().stderr;
        assert!(again.contains("were exported there already"), "{again}");
    }
    place.run("export job.toml --segment buyer --format jsonl --to some").fine();
    let last = manifests(&place.path("some")).remove(0);
    assert_eq!(last.0["segments"].as_array().unwrap().len(), 1);
    let as_of = last.0["as_of"].as_i64().unwrap();
    let expected = members(&replayed, as_of).into_iter().filter(|it| it.0 == "buyer");
    assert_eq!(last.1.len(), expected.count());
    place.run("export job.toml --segment looking --format jsonl --to some").refused_with(&[
        "of buyer",
        "of looking",
        "give this export a place of its own",
    ]);
    place.run(&format!("export job.toml --of differences --at {as_of} --to log")).fine();
    let rows = read(&place.path("log"), "differences", "parquet");
    let mut expected: Vec<_> = replayed.into_iter().filter(|it| it.0 <= as_of).collect();
    expected.sort();
    assert_eq!(rows.iter().map(difference).collect::<Vec<_>>(), expected);
}

#[test]
fn a_running_job_is_asked_as_of_one_time() {
    let place = Place::new();
    let id = "a/b, \"c\"";
    let rule = json!({"attribute": "plan", "op": "eq", "value": "pro"});
    place.write(
        "segments/all.json",
        json!([{"id": id, "rules": rule}, {"id": "none",
        "rules": {"attribute": "plan", "op": "eq", "value": "none"}}])
        .to_string(),
    );
    place.write(
        "job.toml",
        "segments = \"segments\"\n[clock]\nemit = \"on_event\"\n[[source]]\nkind = \"file\"\n\
         path = \"-\"\n[[sink]]\nkind = \"file\"\npath = \"diffs\"\n[serve]\nlisten = \"127.0.0.1:0\"\n\
         [[serve.token]]\nname = \"t\"\nscopes = [\"read\"]\n\
         sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"\n",
    );
    place.write("token", "secret\n");
    place.write("wrong", "guess\n");
    let mut running = Running::start(place.command("run job.toml").stdin(Stdio::piped()));
    let said = Lines::of(running.child.stderr.take().unwrap());
    let url = loop {
        if let Some(url) = said.next().strip_prefix("listening on ") {
            break url.to_owned();
        }
    };
    // More than fit on a page.
    let users: Vec<_> = (0..10_500).map(|user| format!("u {user:05},")).collect();
    let mut lines = String::new();
    for (at, user) in (1_767_225_600_000_i64..).zip(&users) {
        let line =
            json!({"type": "identify", "userId": user, "timestamp": at, "traits": {"plan": "pro"}});
        lines.push_str(&format!("{line}\n"));
    }
    running.child.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    let export = |words: &str| place.run(&format!("export --server {url} {words}"));
    let mut tries = 0;
    eventually("all are in", || {
        tries += 1;
        let to = format!("try-{tries}");
        let done = export(&format!("--token-file token --to {to} --format parquet"));
        done.code == Some(0) && manifests(&place.path(&to))[0].0["rows"] == users.len()
    });
    let folder = place.path(&format!("try-{tries}"));
    let segments = manifests(&folder).remove(0).0["segments"].clone();
    assert_eq!(segments[0], json!({"id": id, "version": 1, "rows": users.len()}));
    assert_eq!(segments[1]["rows"], 0);
    let rows: Vec<Json> = read(&folder, "users", "parquet");
    let found: Vec<_> = rows.iter().map(|row| row["user"].as_str().unwrap()).collect();
    assert_eq!(found, users);

    export("--token-file wrong --to out").refused_with(&["no token that is known", "scope"]);
    export("--token-file token --segment no --to out")
        .refused_with(&["there is no segment \"no\""]);
    export("--of differences --to out").refused_with(&["[[export]]"]);
    export("--token-file token --at 1 --format csv --to past").fine();
    place
        .run("export --server http://127.0.0.1:1 --to out")
        .refused_with(&["cannot ask", "[serve]"]);
    place.run("export --server nonsense --to out").refused_with(&["is not an address"]);
    place.run("export --to out").refused_with(&["--server"]);
}
