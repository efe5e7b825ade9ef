//! Processes on machines of their own, between which the network is cut and comes back.

use crate::common::Place;
use crate::harness::{Broker, eventually};
use crate::network::Network;
use crate::records::{clickstream, expected};
use crate::recovery::{keep, newest, same};
use crate::{Live, job};

/// A job that is done by supervised processes, one a machine.
struct Spread {
    // In this order they are ended.
    supervisors: Vec<Live>,
    broker: Broker,
    network: Network,
    place: Place,
    topic: String,
    parts: Vec<Vec<String>>,
    sent: usize,
    expected: String,
}

/// In how many parts records come.
const PARTS: usize = 4;

impl Spread {
    fn start(machines: usize) -> Self {
        let (network, place) = (Network::new(machines), Place::new());
        let broker = Broker::at(&network.address().to_string());
        let (_, least) = clickstream(&place, &broker);
        let expected = expected(&place, least);
        let topic = broker.topic(4);
        // However long it takes to come back, nobody counts as idle meanwhile.
        let clock = "[clock]\nmax_out_of_orderness = \"5s\"\nidle_timeout = \"1h\"\n\n";
        job(&place, &broker, &[&topic], clock);
        keep(&place, "10ms");
        let cluster = "[cluster]\nsecret = \"${MESH_SECRET}\"\nlost_after = \"3s\"\n";
        place.write("job.toml", format!("{}{cluster}", place.text("job.toml")));
        network.hosts(&place);
        let supervisors = (0..machines).map(|machine| {
            let words = format!("run job.toml --supervise --process {machine} --hosts hosts");
            let mut command = network.on(machine, &place.command(&words));
            command.env("MESH_SECRET", "known to all machines");
            Live::of(&mut command)
        });
        let supervisors = supervisors.collect();
        let parts = (0..4).map(|it| place.text(&format!("{it}.jsonl")));
        let parts = parts.map(|text| text.lines().map(str::to_owned).collect()).collect();
        Spread { supervisors, broker, network, place, topic, parts, sent: 0, expected }
    }

    /// Sends the next part of all records.
    fn send(&mut self) {
        for (partition, lines) in (0..).zip(&self.parts) {
            let at = |part: usize| lines.len() * part / PARTS;
            let some = &lines[at(self.sent)..at(self.sent + 1)];
            self.broker.send(&self.topic, partition, some);
        }
        self.sent += 1;
    }

    /// Sends the next part, and waits until it is worked on.
    fn goes_on(&mut self) {
        let before = newest(&self.place);
        self.send();
        eventually("there is a new checkpoint", || newest(&self.place) > before);
    }

    /// All comes out as if nothing had happened.
    fn ends_well(mut self) {
        while self.sent < PARTS {
            self.send();
        }
        let (place, expected) = (&self.place, &self.expected);
        eventually("all has been given out", || place.text("differences") == *expected);
        self.supervisors[0].signal("TERM");
        for supervisor in self.supervisors.drain(..) {
            assert_eq!(supervisor.code(), Some(0));
        }
        same(&self.place, &self.expected);
    }
}

#[test]
fn a_machine_that_is_cut_off_without_a_word_is_missed_and_comes_back() {
    let mut spread = Spread::start(2);
    spread.goes_on();
    spread.network.cut(1);
    spread.send();
    let said = spread.supervisors[0].says("is gone");
    assert!(said.starts_with("process 1 at 10."), "{said}");
    // Which of the two depends on whether its address is still remembered.
    assert!(said.contains("timed out") || said.contains("No route to host"), "{said}");
    spread.supervisors[0].says("starting it again");
    spread.supervisors[0].says("waiting for process 1 at 10.");
    let said = spread.supervisors[1].says("is gone");
    assert!(said.starts_with("process 0 at 10."), "{said}");
    spread.network.join(1);
    spread.goes_on();
    spread.ends_well();
}

#[test]
fn of_three_machines_two_are_parted_and_one_is_unplugged() {
    let mut spread = Spread::start(3);
    spread.goes_on();
    // All can still reach the broker and the first.
    spread.network.part(&[1, 2], true);
    spread.send();
    spread.supervisors[0].says("is gone");
    spread.supervisors[2].says("waiting for process 1 at 10.");
    spread.network.part(&[1, 2], false);
    spread.goes_on();
    spread.network.plug(0, false);
    spread.supervisors[1].says("is gone");
    spread.supervisors[2].says("is gone");
    spread.network.plug(0, true);
    spread.ends_well();
}
