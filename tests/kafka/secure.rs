//! TLS and a password, as brokers ask for them.

use std::net::TcpListener;

use rcgen::CertifiedKey;

use crate::common::Place;
use crate::harness::Broker;
use crate::{Live, T0, catch_up, job, pro, view};

/// A broker that can also be reached by TLS, by who knows the password; where, and its certificate.
fn secure() -> (Broker, String, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    // A value of several lines, as properties have it.
    let lines = |pem: String| pem.trim().replace('\r', "").replace('\n', "\\n");
    let properties = format!(
        "listeners=PLAINTEXT://127.0.0.1:PORT,CONTROLLER://127.0.0.1:OTHER,SASL_SSL://{address}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:PORT,SASL_SSL://{address}\n\
         sasl.enabled.mechanisms=PLAIN\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL\n\
         listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.\
         PlainLoginModule required user_reader=\"open sesame\";\n\
         ssl.keystore.type=PEM\n\
         ssl.keystore.certificate.chain={}\n\
         ssl.keystore.key={}\n",
        lines(cert.pem()),
        lines(signing_key.serialize_pem())
    );
    (Broker::new_with(&properties), address, cert.pem())
}

#[test]
fn a_broker_is_read_by_tls_and_password() {
    let (broker, address, certificate) = secure();
    let place = Place::new();
    place.write("ca.pem", certificate);
    let topic = broker.topic(1);
    broker.send(&topic, 0, &[pro("u", T0), view("u", T0 + 9_000)]);
    let settings = "[source.kafka]\nsecurity.protocol = \"sasl_ssl\"\nsasl.mechanism = \"PLAIN\"\n\
                    sasl.username = \"reader\"\nsasl.password = \"open sesame\"\n\
                    ssl.ca.location = \"ca.pem\"\n";
    job(&place, &broker, &[&topic], settings);
    let text = place.text("job.toml").replace(&broker.address(), &address);
    place.write("job.toml", &text);
    catch_up(&place, "");
    assert!(place.text("differences").contains("\"u\""));
    // Whoever has a wrong word is told, and does not tell it.
    place.write("job.toml", text.replace("open sesame", "mellon"));
    let live = Live::start(&place, "");
    let said = live.says("uthentication");
    assert!(!said.contains("mellon"), "{said}");
    live.stop();
    place.write("job.toml", text.replace("ssl.ca.location = \"ca.pem\"\n", ""));
    let live = Live::start(&place, "");
    live.says("certificate");
    live.stop();
}
