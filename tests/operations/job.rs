//! A job with everything that can be measured: clients, state, a sink that is delivered to.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::common::{DEADLINE, Lines, Place, Running};

/// Whose differences are counted as of attributes, events and segments.
const SEGMENTS: &str = r#"[
{"id":"pro","rules":{"attribute":"plan","op":"eq","value":"pro"}},
{"id":"busy","rules":{"event":"click","aggregate":"count","window":"1h","op":"gte","value":1}},
{"id":"both","rules":{"operator":"AND","conditions":[{"segment":"pro"},{"segment":"busy"}]}}]"#;

/// A run of it.
pub(crate) struct Job {
    place: Place,
    _running: Running,
    _said: Mutex<Lines>,
    pub(crate) url: String,
    users: Mutex<u32>,
}

impl Job {
    /// One that posts what it finds there.
    pub(crate) fn start(receiver: &str) -> Self {
        let place = Place::new();
        place.write("segments.json", SEGMENTS);
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let text = format!(
            "segments = \"segments.json\"\n[clock]\nmax_out_of_orderness = \"100ms\"\n\
             [state]\npath = \"state\"\ninterval = \"100ms\"\n[serve]\nlisten = \"127.0.0.1:0\"\n\
             [[source]]\nkind = \"http\"\n\
             [[sink]]\nkind = \"webhook\"\nname = \"crm\"\nurl = \"http://{receiver}/\"\n\
             secret = \"{secret}\"\npath = \"hooks\"\nlinger = \"10ms\"\n"
        );
        place.write("job.toml", text);
        let mut running = Running::start(place.command("run job.toml").stdout(Stdio::null()));
        let said = Lines::of(running.child.stderr.take().unwrap());
        let url = loop {
            if let Some(url) = said.next().strip_prefix("listening on ") {
                break url.to_owned();
            }
        };
        Job { place, _running: running, _said: Mutex::new(said), url, users: Mutex::new(0) }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Sends what someone does that nobody has heard of before, now, and asks about them.
    pub(crate) fn someone_comes(&self) {
        let user = {
            let mut users = self.users.lock().unwrap();
            *users += 1;
            format!("u{users}")
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let batch = format!(
            r#"{{"batch":[{{"type":"identify","userId":"{user}","timestamp":{now},"traits":{{"plan":"pro"}}}},{{"type":"track","event":"click","userId":"{user}","timestamp":{now}}}]}}"#
        );
        assert_eq!(self.post("batch", &batch), 200);
        assert_eq!(agent().get(self.at("users/u1/segments")).call().unwrap().status(), 200);
    }

    /// What a body sent there is answered.
    pub(crate) fn post(&self, path: &str, body: &str) -> u16 {
        agent().post(self.at(path)).send(body).unwrap().status().as_u16()
    }

    fn at(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.url)
    }

    /// What it says of itself.
    pub(crate) fn metrics(&self) -> String {
        text(&format!("{}/metrics", self.url))
    }
}

/// What stands there.
pub(crate) fn text(url: &str) -> String {
    agent().get(url).call().unwrap().body_mut().read_to_string().unwrap()
}

pub(crate) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.timeout_global(Some(DEADLINE)).build().into()
}

/// Takes whatever is posted to it, as long as the test runs.
pub(crate) fn receive(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || take_all(stream));
        }
    });
}

/// Answers one request after the other. A body is as long as its head says.
fn take_all(mut stream: TcpStream) -> Option<()> {
    let mut got = Vec::new();
    loop {
        let head = got.windows(4).position(|it| it == b"\r\n\r\n");
        let whole = head.map(|head| {
            let text = String::from_utf8_lossy(&got[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            head + 4 + length.map_or(0, |length| length.trim().parse::<usize>().unwrap())
        });
        if let Some(whole) = whole.filter(|whole| *whole <= got.len()) {
            got.drain(..whole);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
            continue;
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).ok()? {
            0 => return None,
            read => got.extend_from_slice(&more[..read]),
        }
    }
}
