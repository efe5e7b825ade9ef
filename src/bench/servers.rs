//! Differences into real servers: from a file of attribute changes to the last of them stored, by the
//! whole program. Against the servers that `REDIS_URL` and `POSTGRES_URL` name.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use postgres::NoTls;
use redis::cmd;

use super::child;
use super::data::Data;
use super::error::BenchError;
use super::figures::Figures;

/// How many keys are looked at in one go.
const KEYS: usize = 10_000;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Redis,
    Postgres,
}

fn wrong(what: impl std::fmt::Display) -> BenchError {
    BenchError::Measure(what.to_string())
}

impl Server {
    fn kind(self) -> &'static str {
        match self {
            Server::Redis => "redis",
            Server::Postgres => "postgres",
        }
    }

    /// Its address.
    fn url(self) -> Result<String, BenchError> {
        let variable = match self {
            Server::Redis => "REDIS_URL",
            Server::Postgres => "POSTGRES_URL",
        };
        std::env::var(variable).map_err(|_| {
            wrong(format!(
                "needs a server: ./run.sh bench starts one, or name yours with {variable}"
            ))
        })
    }
}

/// Moves users from stage to stage, each stage a segment; every move is a leave and an enter.
pub(super) fn measure(data: &Data, server: Server) -> Result<Figures, BenchError> {
    let (stream, segments) = data.moves()?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let own = format!("bench_{}", since.as_micros());
    let job = job(data, server, &own, [&segments, &stream])?;
    let stats = data.folder().join("stats.json");
    let program = child::own()?.display().to_string();
    let (job, to) = (job.display().to_string(), stats.display().to_string());
    let words = ["replay", "--job", &job, "--until", "last", "--workers", "1", "--stats", &to];
    let command: Vec<_> = [program].into_iter().chain(words.map(str::to_owned)).collect();
    let measured = child::watched(&command, &data.folder().join("usage.json"));
    clear(server, &own)?;
    let (mut figures, _) = measured?;
    let text = fs::read_to_string(&stats).map_err(BenchError::file("read", &stats))?;
    let stats: serde_json::Value = serde_json::from_str(&text).map_err(wrong)?;
    let differences = stats["differences"].as_f64().unwrap_or(f64::NAN);
    figures.set("differences", differences);
    figures.set("per_s", differences / figures.get("wall_s").unwrap_or(f64::NAN));
    figures.set("cpu_us", figures.get("cpu_s").unwrap_or(f64::NAN) * 1e6 / differences);
    Ok(figures)
}

/// Writes the job file: all that the sink makes has `own` in its name.
fn job(data: &Data, server: Server, own: &str, files: [&Path; 2]) -> Result<PathBuf, BenchError> {
    let text = |text: String| toml::Value::from(text).to_string();
    let mut paths = Vec::new();
    for path in files {
        let path = fs::canonicalize(path).map_err(BenchError::file("find", path))?;
        paths.push(text(path.display().to_string()));
    }
    let place = match server {
        Server::Redis => format!("prefix = \"{own}:\""),
        Server::Postgres => format!("schema = \"{own}\""),
    };
    let (kind, url) = (server.kind(), text(server.url()?));
    let job = format!(
        "name = \"bench\"\nsegments = {}\n[clock]\nmax_out_of_orderness = \"0s\"\n[[source]]\n\
         kind = \"file\"\npath = {}\n[[sink]]\nkind = \"{kind}\"\nurl = {url}\n{place}\n",
        paths[0], paths[1],
    );
    let path = data.folder().join("job.toml");
    fs::write(&path, job).map_err(BenchError::file("write", &path))?;
    Ok(path)
}

/// Clears away what has `own` in its name.
fn clear(server: Server, own: &str) -> Result<(), BenchError> {
    let url = server.url()?;
    match server {
        Server::Postgres => {
            let mut client = postgres::Client::connect(&url, NoTls).map_err(wrong)?;
            let drop = format!("DROP SCHEMA IF EXISTS {own} CASCADE");
            client.batch_execute(&drop).map_err(wrong)
        }
        Server::Redis => clear_keys(&url, &format!("{own}:*")).map_err(wrong),
    }
}

fn clear_keys(url: &str, pattern: &str) -> redis::RedisResult<()> {
    let mut connection = redis::Client::open(url)?.get_connection()?;
    let mut cursor = 0_u64;
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(KEYS);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query(&mut connection)?;
        if !keys.is_empty() {
            let () = cmd("UNLINK").arg(keys).query(&mut connection)?;
        }
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}
