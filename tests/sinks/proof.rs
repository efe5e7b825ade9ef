//! TLS to servers: who is believed to be the one it should be, and what is said of others.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::common::{Place, eventually};
use crate::stores::{Postgres, Redis, is_root, run};
use crate::{job, refused};

/// An authority, and a certificate for `localhost` that it has signed, as PEM: the authority's own,
/// the server's, its key.
fn signed() -> [String; 3] {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "an authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap().pem();
    [own, server, key.serialize_pem()]
}

/// Puts a certificate and its key where a server may read them, and nobody else the key.
fn put(folder: &Path, [_, certificate, key]: &[String; 3]) {
    for (name, text) in [("server.crt", certificate), ("server.key", key)] {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn fine(place: &Place, sink: &str) {
    job(place, None, &[sink.to_owned()]);
    place.run("replay --job job.toml").fine();
}

/// A place with the certificates of the right authority and of another.
fn place(right: &[String; 3]) -> Place {
    let place = Place::new();
    place.write("whole.jsonl", place.text("events.jsonl"));
    place.write("ca.pem", &right[0]);
    place.write("other.pem", &signed()[0]);
    place
}

#[test]
fn postgres_is_written_by_tls_if_it_proves_who_it_is() {
    let (postgres, certificates) = (Postgres::new(), signed());
    let place = place(&certificates);
    let sink = |mode: &str, more: &str| {
        let url = postgres.url().replace("127.0.0.1", "localhost");
        format!("[[sink]]\nkind = \"postgres\"\nurl = \"{url}{mode}\"\n{more}\n")
    };
    let (right, other) = ("ca = \"ca.pem\"", "ca = \"other.pem\"");
    refused(&place, &sink("?sslmode=verify-full", right), &["localhost", "it has no TLS", "ca = "]);
    let data = postgres.server.folder().join("data");
    put(&data, &certificates);
    if is_root() {
        assert!(run(&["chown", "-R", "postgres", data.to_str().unwrap()]));
    }
    postgres.do_it("ALTER SYSTEM SET ssl = on");
    postgres.do_it("SELECT pg_reload_conf()");
    eventually("TLS is on", || {
        let row = postgres.client().query_one("SHOW ssl", &[]).unwrap();
        row.get::<_, &str>(0) == "on"
    });
    // Nothing else is taken from here on.
    let lines =
        "hostssl all all 127.0.0.1/32 scram-sha-256\nhostssl all all ::1/128 scram-sha-256\n";
    fs::write(data.join("pg_hba.conf"), lines).unwrap();
    postgres.do_it("SELECT pg_reload_conf()");
    eventually("plain text is refused", || {
        ::postgres::Client::connect(&postgres.url(), ::postgres::NoTls).is_err()
    });
    fine(&place, &sink("?sslmode=verify-full", right));
    fine(&place, &sink("?sslmode=require&connect_timeout=9", right));
    fine(&place, &sink("", right));
    // As libpq has it: what is not asked to prove anything is believed.
    fine(&place, &sink("?sslmode=prefer", ""));
    for mode in ["?sslmode=verify-full", "?sslmode=require", ""] {
        let parts = ["sink postgres (PostgreSQL at localhost:", "prove who it is", "ca = \"FILE\""];
        refused(&place, &sink(mode, other), &parts);
    }
    refused(&place, &sink("?sslmode=require", ""), &["prove who it is", "certificate"]);
    let elsewhere = sink("?sslmode=verify-full", right).replace("localhost", "127.0.0.1");
    refused(
        &place,
        &elsewhere,
        &["PostgreSQL at 127.0.0.1", "prove who it is", "a host for which"],
    );
    refused(&place, &sink("?sslmode=disable", right), &["sslmode=disable", "not an address"]);
    refused(&place, &sink("", "ca = \"none.pem\""), &["none.pem", "PEM file"]);
    refused(&place, &sink("", "ca = \"whole.jsonl\""), &["whole.jsonl", "PEM file"]);
}

#[test]
fn redis_is_written_by_tls_if_it_proves_who_it_is() {
    let (redis, certificates) = (Redis::new("hunter2"), signed());
    let place = place(&certificates);
    put(redis.server.folder(), &certificates);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    redis.do_it(&format!(
        "CONFIG SET tls-cert-file server.crt tls-key-file server.key tls-auth-clients no \
         tls-ca-cert-file server.crt tls-port {port}"
    ));
    let sink = |host: &str, more: &str| {
        let url = format!("rediss://:hunter2@{host}:{port}/3");
        format!("[[sink]]\nkind = \"redis\"\nurl = \"{url}\"\n{more}\n")
    };
    let (right, other) = ("ca = \"ca.pem\"", "ca = \"other.pem\"");
    fine(&place, &sink("localhost", right));
    let position = ::redis::cmd("HEXISTS").arg("rivulet:job:redis").arg("position").to_owned();
    assert!(position.query::<bool>(&mut redis.connection()).unwrap());
    let place_of = format!("sink redis (Redis at localhost:{port})");
    let parts = [place_of.as_str(), "prove who it is", "ca = \"FILE\""];
    refused(&place, &sink("localhost", other), &parts);
    refused(&place, &sink("localhost", ""), &parts);
    refused(
        &place,
        &sink("127.0.0.1", right),
        &["127.0.0.1", "prove who it is", "a host for which"],
    );
    let plain = sink("localhost", right).replace("rediss:", "redis:");
    refused(&place, &plain, &["not an address of Redis", "rediss://"]);
    refused(&place, &sink("localhost", "ca = \"none.pem\""), &["none.pem", "PEM file"]);
}
