//! Machines of one's own, for tests: network namespaces with an address each, on one bridge, whose
//! links can be cut. It takes root; what is made is removed in the end, also after a panic, and what
//! a test process has left behind that was killed, by the next one.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::Place;

/// What the names of all namespaces begin with; then come the test process and a number.
const PREFIX: &str = "rivulet-";
/// The port at which processes meet. Every machine has it to itself.
const PORT: u16 = 2101;

pub(crate) struct Network {
    /// What is part of every name.
    tag: String,
    /// The first three bytes of all addresses.
    net: [u8; 3],
    machines: usize,
}

impl Network {
    pub(crate) fn new(machines: usize) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        sweep();
        let (own, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let [.., second, third] = (own * 4 + number % 4).to_be_bytes();
        let network = Network {
            tag: format!("{own}-{number}"),
            net: [10, 64 + second % 128, third],
            machines,
        };
        let (bridge, address) = (network.bridge(), network.address());
        ip(&format!("link add {bridge} type bridge"));
        ip(&format!("addr add {address}/24 dev {bridge}"));
        ip(&format!("link set {bridge} up"));
        for machine in 0..machines {
            let (namespace, link) = (network.namespace(machine), network.link(machine));
            let own = network.address_of(machine);
            ip(&format!("netns add {namespace}"));
            ip(&format!("link add {link} type veth peer name eth0 netns {namespace}"));
            ip(&format!("link set {link} master {bridge} up"));
            ip(&format!("-n {namespace} addr add {own}/24 dev eth0"));
            ip(&format!("-n {namespace} link set eth0 up"));
            ip(&format!("-n {namespace} link set lo up"));
        }
        network
    }

    fn namespace(&self, machine: usize) -> String {
        format!("{PREFIX}{}-{machine}", self.tag)
    }

    // Names of links have at most 15 letters.
    fn bridge(&self) -> String {
        format!("rv{}", self.tag)
    }

    fn link(&self, machine: usize) -> String {
        format!("rv{}-{machine}", self.tag)
    }

    /// The address of the test itself, which machines can reach.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.at(254)
    }

    fn address_of(&self, machine: usize) -> Ipv4Addr {
        self.at(u8::try_from(machine + 1).unwrap())
    }

    fn at(&self, last: u8) -> Ipv4Addr {
        let [first, second, third] = self.net;
        Ipv4Addr::new(first, second, third, last)
    }

    /// Writes the file `hosts`, one process a machine.
    pub(crate) fn hosts(&self, place: &Place) {
        let host = |machine| format!("{}:{PORT}\n", self.address_of(machine));
        place.write("hosts", (0..self.machines).map(host).collect::<String>());
    }

    /// A command that runs on a machine as it would here.
    pub(crate) fn on(&self, machine: usize, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there.args(["netns", "exec", &self.namespace(machine)]);
        there.arg(command.get_program()).args(command.get_args());
        command.get_current_dir().into_iter().for_each(|folder| _ = there.current_dir(folder));
        there
    }

    /// Cuts a machine off without a word: what it sends goes nowhere, and nothing says so.
    pub(crate) fn cut(&self, machine: usize) {
        ip(&format!("link set {} nomaster", self.link(machine)));
    }

    /// Undoes [`Network::cut`].
    pub(crate) fn join(&self, machine: usize) {
        ip(&format!("link set {} master {}", self.link(machine), self.bridge()));
    }

    /// Pulls a machine's plug out, or puts it in again.
    pub(crate) fn plug(&self, machine: usize, is_in: bool) {
        let state = if is_in { "up" } else { "down" };
        ip(&format!("link set {} {state}", self.link(machine)));
    }

    /// Keeps these machines from reaching one another, and nobody else, or lets them again.
    pub(crate) fn part(&self, machines: &[usize], are_parted: bool) {
        let state = if are_parted { "on" } else { "off" };
        for machine in machines {
            let link = self.link(*machine);
            ip(&format!("link set {link} type bridge_slave isolated {state}"));
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for machine in 0..self.machines {
            // With its end the other one is gone; a namespace that is still used goes later.
            let _ = try_ip(&format!("link del {}", self.link(machine)));
            let _ = try_ip(&format!("netns del {}", self.namespace(machine)));
        }
        let _ = try_ip(&format!("link del {}", self.bridge()));
    }
}

/// Removes what test processes have left behind that are no more.
fn sweep() {
    let is_gone = |name: &str| {
        let own = name.split('-').next().and_then(|id| id.parse::<u32>().ok());
        own.is_some_and(|own| !std::path::Path::new(&format!("/proc/{own}")).exists())
    };
    let names = |words: &str| try_ip(words).unwrap_or_default();
    for line in names("netns list").lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if name.strip_prefix(PREFIX).is_some_and(is_gone) {
            let _ = try_ip(&format!("netns del {name}"));
        }
    }
    for line in names("-o link show type bridge").lines() {
        let name = line.split(": ").nth(1).unwrap_or_default();
        if name.strip_prefix("rv").is_some_and(is_gone) {
            let _ = try_ip(&format!("link del {name}"));
        }
    }
}

fn ip(words: &str) {
    try_ip(words).unwrap_or_else(|said| {
        panic!("ip {words}: {said}: this test needs root, and iproute2 (./run.sh test installs it)")
    });
}

fn try_ip(words: &str) -> Result<String, String> {
    let done = Command::new("ip").args(words.split(' ')).output().map_err(|it| it.to_string())?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
    }
}
