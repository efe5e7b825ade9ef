//! A job that answers, and a plain client that asks it.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value as Json;
use ureq::Agent;
use ureq::http::{Request, Response};

use crate::common::{DEADLINE, Lines, Place, Running};
use crate::harness::eventually;

/// Records come through standard input, and take effect at once.
pub(crate) const JOB: &str = "segments = \"segments\"\n[clock]\nemit = \"on_event\"\nidle_timeout = \"1h\"\n\
    [[source]]\nkind = \"file\"\npath = \"-\"\n[[sink]]\nkind = \"file\"\npath = \"differences\"\n\
    [serve]\nlisten = \"127.0.0.1:0\"\n";

/// What they are about.
pub(crate) const SEGMENTS: &str = r#"[
{"id":"pro","name":"Professionals","rules":{"attribute":"plan","op":"eq","value":"pro"}},
{"id":"de","rules":{"attribute":"country","op":"eq","value":"DE"}},
{"id":"both","rules":{"operator":"AND","conditions":[{"segment":"pro"},{"segment":"de"}]}}]"#;

/// 2026-01-01, in epoch milliseconds: where the times of records begin.
pub(crate) const START: i64 = 1_767_225_600_000;

/// A job that runs and answers.
pub(crate) struct Served {
    running: Running,
    stdin: Mutex<Option<ChildStdin>>,
    pub(crate) url: String,
    agent: Agent,
    /// What it says.
    _said: Mutex<Lines>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) json: Json,
}

/// A folder with the definitions and this job.
pub(crate) fn place(job: &str) -> Place {
    let place = Place::new();
    place.write("segments/all.json", SEGMENTS);
    place.write("job.toml", job);
    place
}

impl Served {
    pub(crate) fn start(place: &Place) -> Self {
        Served::start_with(place, "")
    }

    pub(crate) fn start_with(place: &Place, flags: &str) -> Self {
        let mut command = place.command(&format!("run job.toml {flags}"));
        let mut running = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::null()));
        let said = Lines::of(running.child.stderr.take().unwrap());
        let url = loop {
            let line = said.next();
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.to_owned();
            }
        };
        let stdin = Mutex::new(running.child.stdin.take());
        Served { running, stdin, url, agent: agent(), _said: Mutex::new(said) }
    }

    /// Gives it records.
    pub(crate) fn send(&self, records: &[String]) {
        let mut stdin = self.stdin.lock().unwrap();
        let stdin = stdin.as_mut().unwrap();
        stdin.write_all(format!("{}\n", records.join("\n")).as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(self.agent.run(request.body(body.to_owned()).unwrap()).unwrap())
    }

    /// What is answered in bytes, and the headers.
    pub(crate) fn bytes(&self, path: &str) -> (ureq::http::HeaderMap, Vec<u8>) {
        let mut response = self.agent.get(format!("{}{path}", self.url)).call().unwrap();
        assert_eq!(response.status(), 200);
        let mut bytes = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut bytes).unwrap();
        (response.headers().clone(), bytes)
    }

    /// The segments of a user, by now.
    pub(crate) fn segments_of(&self, user: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/users/{user}/segments"));
        texts(&answer.fine()["segments"])
    }

    /// Waits until a user is in exactly these.
    pub(crate) fn await_segments(&self, user: &str, expected: &[&str]) {
        eventually(&format!("{user} is in {expected:?}"), || self.segments_of(user) == expected);
    }

    /// Waits until it can be asked.
    pub(crate) fn await_ready(&self) {
        eventually("it is ready", || self.get("/readyz").status == 200);
    }

    /// A connection of its own.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.url.split_once("//").unwrap().1).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Events of a stream as they come.
    pub(crate) fn stream(&self, path: &str, headers: &str) -> Events {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        assert!(status.contains(" 200 "), "{status}");
        Events { reader }
    }

    pub(crate) fn kill(mut self) {
        self.running.child.kill().unwrap();
        self.running.child.wait().unwrap();
    }

    /// Ends it as a person would; the code it ends with.
    pub(crate) fn end(mut self) -> Option<i32> {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.running.child.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.running.code()
    }
}

/// Server-sent events.
pub(crate) struct Events {
    reader: BufReader<TcpStream>,
}

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) data: Json,
}

impl Events {
    /// The next one; `None` once there are no more, or it was cut off.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => event.id = id.to_owned(),
                Some(("event", kind)) => event.kind = kind.to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                None if !event.data.is_null() && line.trim().is_empty() => return Some(event),
                // Headers, lengths of chunks, signs of life.
                _ => {}
            }
        }
    }
}

impl Answer {
    fn of(mut response: Response<ureq::Body>) -> Self {
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Json::String(text));
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), json }
    }

    /// What it says, where it is no error.
    #[track_caller]
    pub(crate) fn fine(self) -> Json {
        assert!(self.status < 300, "{}: {}", self.status, self.json);
        self.json
    }

    /// What it says is wrong.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Json {
        assert_eq!(self.status, status, "{}", self.json);
        let error = self.json["error"].clone();
        assert_eq!(error["code"], code, "{}", self.json);
        assert!(error["message"].is_string(), "{}", self.json);
        error
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false);
    config.timeout_global(Some(DEADLINE)).allow_non_standard_methods(true).build().into()
}

pub(crate) fn texts(json: &Json) -> Vec<String> {
    json.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// Where the programs of a package from PyPI are, which is installed where it is not there yet.
pub(crate) fn pypi(package: &str, version: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/pypi.sh");
    let done = Command::new("bash").arg(script).args([package, version]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().into()
}

/// A record that sets an attribute, so many milliseconds after the start.
pub(crate) fn sets(user: &str, after_ms: i64, key: &str, value: &str) -> String {
    let time = START + after_ms;
    format!(
        r#"{{"type":"identify","userId":"{user}","timestamp":{time},"traits":{{"{key}":"{value}"}}}}"#
    )
}

/// Waits a while that a test is about.
pub(crate) fn pause() {
    std::thread::park_timeout(Duration::from_millis(20));
}
