//! Who is let in, and how much anyone may take.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::{JOB, Served, place};

/// `read-token`, `write-token`, by their hashes.
const TOKENS: &str = r#"
[[serve.token]]
name = "dashboard"
sha256 = "READ"
scopes = ["read"]
[[serve.token]]
name = "editor"
sha256 = "WRITE"
scopes = ["read", "definitions"]
"#;

fn tokens() -> String {
    let hash = |text: &str| {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    TOKENS.replace("READ", &hash("read-token")).replace("WRITE", &hash("write-token"))
}

#[test]
fn tokens_open_what_they_are_for() {
    let place = place(&format!("{JOB}{}", tokens()));
    let served = Served::start(&place);
    let ask = |method: &str, token: &str| {
        let value = format!("Bearer {token}");
        let headers = [("authorization", &*value)];
        let headers = if token.is_empty() { &[][..] } else { &headers[..] };
        let path = if method == "GET" { "/v1/segments" } else { "/v1/segments/a?wait_ms=0" };
        served.ask(method, path, headers, r#"{"rules":{"everyone":true}}"#)
    };
    let refused = ask("GET", "");
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    refused.refused(401, "unauthorized");
    ask("GET", "read-toke").refused(401, "unauthorized");
    ask("GET", "read-token").fine();
    ask("PUT", "read-token").refused(403, "forbidden");
    ask("PUT", "").refused(401, "unauthorized");
    assert_eq!(ask("PUT", "write-token").status, 202);
    let export = |token: &str| {
        let headers = [("authorization", &*format!("Bearer {token}"))];
        served.ask("POST", "/v1/exports", &headers, "{}")
    };
    export("read-token").refused(403, "forbidden");
    export("write-token").refused(409, "nowhere");
    served.get("/healthz").fine();
    assert_eq!(served.end(), Some(0));
}

#[test]
fn a_page_elsewhere_cannot_ask_under_a_name_of_its_own() {
    let place = place(JOB);
    let served = Served::start(&place);
    let from_elsewhere = [("host", "evil.example")];
    served.ask("GET", "/v1/segments", &from_elsewhere, "").refused(403, "strange_host");
    served.get("/v1/segments").fine();
}

#[test]
fn what_is_too_much_is_refused() {
    let place = place(&format!("{JOB}connections = 3\n"));
    let served = Served::start(&place);
    let long = "x".repeat(2_000_000);
    served.ask("PUT", "/v1/segments/a", &[], &long).refused(413, "too_large");
    served.ask("POST", "/v1/users/segments", &[], &long).refused(413, "too_large");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    served.ask("PUT", "/v1/segments/a", &[], &deep).refused(422, "wrong_definition");
    // Where the server closes while there is more to come, its answer may be lost on the way.
    let is_answered = |text: &str, expected: &str| {
        crate::harness::eventually(expected, || {
            let mut stream = served.connect();
            let mut answer = [0; 12];
            let is_sent = stream.write_all(text.as_bytes()).is_ok();
            is_sent && stream.read_exact(&mut answer).is_ok() && answer == *expected.as_bytes()
        });
    };
    let long = "y".repeat(200_000);
    is_answered(&format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n"), "HTTP/1.1 431");
    let many: String = (0..100).map(|it| format!("h{it}: x\r\n")).collect();
    is_answered(&format!("GET / HTTP/1.1\r\n{many}\r\n"), "HTTP/1.1 431");
    is_answered("nonsense\r\n\r\n", "HTTP/1.1 400");
    // Those that say nothing hold their places, and nobody else's.
    let idle: Vec<_> = (0..3).map(|_| served.connect()).collect();
    crate::harness::eventually("there is no more room", || {
        let mut stream = served.connect();
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).is_ok() && &answer == b"HTTP/1.1 503"
    });
    drop(idle);
    crate::harness::eventually("there is room again", || {
        let mut stream = served.connect();
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).is_ok() && &answer == b"HTTP/1.1 200"
    });
}

#[test]
fn one_address_cannot_take_the_places_of_others() {
    let place = place(&format!("{JOB}connections = 40\nconnections_per_address = 3\n"));
    let served = Served::start(&place);
    // A hostile client holds all it can get, and asks for more and more.
    let held: Vec<_> = (0..3).map(|_| served.connect()).collect();
    let mut answer = String::new();
    crate::harness::eventually("it gets no more", || {
        let mut stream = served.connect();
        answer.clear();
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 503")
    });
    assert!(
        answer.contains("retry-after: 1\r\n") && answer.contains("of this address"),
        "{answer}"
    );
    // Others, from elsewhere, are answered meanwhile.
    let other = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let here: std::net::SocketAddr = "127.0.0.2:0".parse().unwrap();
        socket.bind(&here.into()).unwrap();
        let there = held[0].peer_addr().unwrap();
        socket.connect(&there.into()).unwrap();
        let mut stream = std::net::TcpStream::from(socket);
        stream.set_read_timeout(Some(crate::common::DEADLINE)).unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let told = other();
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    let refused = |of: &str| {
        let name = format!("rivulet_http_connections_refused_total{{of=\"{of}\"}} ");
        let count = told.lines().find_map(|line| line.strip_prefix(&name));
        count.and_then(|count| count.parse::<u32>().ok()).unwrap()
    };
    assert!(refused("address") >= 1);
    assert_eq!(refused("all"), 0);
    drop(held);
    crate::harness::eventually("it has places again", || {
        let mut stream = served.connect();
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).is_ok() && &answer == b"HTTP/1.1 200"
    });
    assert_eq!(served.end(), Some(0));
}

#[test]
fn who_does_not_finish_is_cut_off() {
    let place = place(JOB);
    let served = Served::start(&place);
    let mut stream = served.connect();
    stream.write_all(b"GET /healthz HT").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
}

#[test]
fn connections_are_encrypted_by_the_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let place = place(&format!("{JOB}cert = \"cert.pem\"\nkey = \"key.pem\"\n"));
    place.write("cert.pem", made.cert.pem());
    place.write("key.pem", made.signing_key.serialize_pem());
    let served = Served::start(&place);
    assert!(served.url.starts_with("https://127.0.0.1:"), "{}", served.url);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, served.connect());
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // A plain request is no handshake.
    let mut plain = served.connect();
    plain.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
}

#[test]
fn what_cannot_be_served_is_told_before_anything_is_read() {
    let open = JOB.replace("127.0.0.1:0", "0.0.0.0:0");
    place(&open).run("run job.toml").refused_with(&["serve.listen", "[[serve.token]]"]);
    let place = place(&format!("{JOB}cert = \"none.pem\"\nkey = \"none.pem\"\n"));
    place.run("run job.toml").refused_with(&["cannot use", "none.pem"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    place.write("job.toml", JOB.replace("127.0.0.1:0", &address));
    place.run("run job.toml").refused_with(&["cannot listen on", &address]);
}
