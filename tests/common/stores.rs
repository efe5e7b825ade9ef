//! PostgreSQL and Redis for tests, each a server of its own.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::path::PathBuf;
use std::process::Command;

use ::postgres::{Client, NoTls};
use ::redis::{Connection, cmd};

use crate::server::Server;

const PASSWORD: &str = "hunter2";

/// A cluster of PostgreSQL with one user that has a password.
pub(crate) struct Postgres {
    pub(crate) server: Server,
}

impl Postgres {
    pub(crate) fn new() -> Self {
        let server = Server::new();
        std::fs::write(server.folder().join("password"), PASSWORD).unwrap();
        if is_root() {
            assert!(run(&["chown", "-R", "postgres", server.folder().to_str().unwrap()]));
        }
        let postgres = Postgres { server };
        let mut initdb = postgres.words("initdb");
        initdb.extend(["-D", "data", "-U", "shop", "-A", "scram-sha-256", "-E", "UTF8"].map(own));
        initdb.extend(["--no-sync", "--locale=C", "--pwfile=password"].map(own));
        let done = Command::new(&initdb[0])
            .args(&initdb[1..])
            .current_dir(postgres.server.folder())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        postgres.start();
        postgres
    }

    /// A program of PostgreSQL, by a user that may run it.
    fn words(&self, program: &str) -> Vec<String> {
        let program = programs().join(program).to_str().unwrap().to_owned();
        // Root is whom PostgreSQL does not want.
        let other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
        let other = other.map(own).into_iter().filter(|_| is_root());
        other.chain([program]).collect()
    }

    pub(crate) fn start(&self) {
        let mut words = self.words("postgres");
        let port = self.server.port.to_string();
        words.extend(["-D", "data", "-p", &port, "-h", "127.0.0.1", "-k", "", "-F"].map(own));
        // One that was killed has processes that live on for a moment, and keep another from starting.
        let words = vec![
            own("bash"),
            own("-c"),
            format!(
                "until {}; do sleep 0.1; done",
                words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
            ),
        ];
        self.server.start(&words, || Client::connect(&self.url(), NoTls).is_ok());
    }

    pub(crate) fn kill(&self) {
        let lines = std::fs::read_to_string(self.server.folder().join("data/postmaster.pid"));
        let lines = lines.unwrap();
        let id = lines.lines().next().unwrap();
        self.server.kill();
        run(&["kill", "-KILL", id]);
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://shop:{PASSWORD}@127.0.0.1:{}/postgres", self.server.port)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.url(), NoTls).unwrap()
    }

    pub(crate) fn do_it(&self, statements: &str) {
        self.client().batch_execute(statements).unwrap();
    }
}

/// A Redis server that keeps what it has acknowledged.
pub(crate) struct Redis {
    pub(crate) server: Server,
    password: &'static str,
}

impl Redis {
    pub(crate) fn new(password: &'static str) -> Self {
        let redis = Redis { server: Server::new(), password };
        redis.start();
        redis
    }

    pub(crate) fn start(&self) {
        let port = self.server.port.to_string();
        let mut words = vec!["redis-server", "--port", &port, "--bind", "127.0.0.1", "--save", ""];
        words.extend(["--appendonly", "yes", "--appendfsync", "always"]);
        if !self.password.is_empty() {
            words.extend(["--requirepass", self.password]);
        }
        let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
        let client = ::redis::Client::open(self.url()).unwrap();
        self.server.start(&words, || {
            let connection = client.get_connection();
            connection.is_ok_and(|mut it| cmd("PING").query::<String>(&mut it).is_ok())
        });
    }

    pub(crate) fn url(&self) -> String {
        let user = match self.password {
            "" => String::new(),
            password => format!(":{password}@"),
        };
        format!("redis://{user}127.0.0.1:{}/3", self.server.port)
    }

    pub(crate) fn connection(&self) -> Connection {
        ::redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }
}

pub(crate) fn own(word: &str) -> String {
    word.to_owned()
}

pub(crate) fn run(words: &[&str]) -> bool {
    Command::new(words[0]).args(&words[1..]).status().unwrap().success()
}

pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// Where the newest programs are: in the path, or where Debian puts them.
fn programs() -> PathBuf {
    let all = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut all: Vec<_> = all.map(|it| it.unwrap().path().join("bin")).collect();
    all.sort();
    all.pop().unwrap_or_default()
}
