//! A real Kafka broker for tests: one a test process, on free ports, with fresh data.
//!
//! `broker.sh` beside this file serves it; it is killed when its standard input is closed, so it
//! does not outlive the test process however that ends.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::common::DEADLINE;
pub(crate) use crate::common::eventually;

const ANSWER: Duration = Duration::from_secs(10);

/// A broker, its ports and its data.
pub(crate) struct Broker {
    folder: TempDir,
    host: String,
    port: u16,
    other: u16,
    script: Mutex<Option<Child>>,
}

impl Broker {
    /// The one that all tests of this process share. Each makes topics of its own.
    pub(crate) fn shared() -> &'static Broker {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Broker::new)
    }

    /// One that a test may kill.
    pub(crate) fn new() -> Self {
        Broker::new_with("")
    }

    /// One with more settings.
    pub(crate) fn new_with(properties: &str) -> Self {
        Broker::make("127.0.0.1", properties)
    }

    /// One that is reached at this address of the machine.
    pub(crate) fn at(host: &str) -> Self {
        Broker::make(host, "")
    }

    fn make(host: &str, properties: &str) -> Self {
        let free: Vec<_> = (0..2).map(|_| TcpListener::bind((host, 0)).unwrap()).collect();
        let port = |it: &TcpListener| it.local_addr().unwrap().port();
        let (port, other) = (port(&free[0]), port(&free[1]));
        drop(free);
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let properties = properties.replace("PORT", &port.to_string());
        let properties = properties.replace("OTHER", &other.to_string());
        let listeners = format!(
            "listeners=PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{other}\n\
             advertised.listeners=PLAINTEXT://{host}:{port}\n{properties}"
        );
        std::fs::write(folder.path().join("more.properties"), listeners).unwrap();
        let host = host.to_owned();
        let broker = Broker { folder, host, port, other, script: Mutex::default() };
        broker.start();
        broker
    }

    /// Starts it, or starts it again over the same data, and waits until it answers.
    pub(crate) fn start(&self) {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/common/broker.sh");
        let said = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new("bash")
            .arg(script)
            .arg("serve")
            .arg(self.folder.path())
            .args([self.port.to_string(), self.other.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        *self.script.lock().unwrap() = Some(child);
        let consumer: BaseConsumer = self.client().create().unwrap();
        let began = Instant::now();
        // The first start of all fetches the jars.
        while consumer.fetch_metadata(None, Duration::from_secs(1)).is_err() {
            let ended = self.script.lock().unwrap().as_mut().unwrap().try_wait().unwrap();
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(ended.is_none(), "the broker ended: {}", log());
            assert!(began.elapsed() < 3 * DEADLINE, "the broker does not answer: {}", log());
        }
    }

    /// Kills it, as a machine that fails would.
    pub(crate) fn kill(&self) {
        if let Some(mut script) = self.script.lock().unwrap().take() {
            drop(script.stdin.take());
            script.wait().unwrap();
        }
    }

    /// Cuts it off for a while: it is there, and says nothing.
    pub(crate) fn pause(&self, how_long: Duration) {
        let script = self.script.lock().unwrap().as_ref().map(Child::id).unwrap();
        let children = format!("/proc/{script}/task/{script}/children");
        let children = std::fs::read_to_string(children).unwrap();
        let broker = children.split_whitespace().next().unwrap();
        let signal = |which: &str| {
            assert!(Command::new("kill").args([which, broker]).status().unwrap().success());
        };
        signal("-STOP");
        std::thread::park_timeout(how_long);
        signal("-CONT");
    }

    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.address());
        client.set("group.id", "tests");
        client
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    /// A new topic with a name of its own.
    pub(crate) fn topic(&self, partitions: i32) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("events-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let made = wait(self.admin().create_topics([&new], &AdminOptions::new())).unwrap();
        made.into_iter().for_each(|it| _ = it.unwrap());
        self.await_partitions(&name, partitions);
        name
    }

    /// Gives a topic more partitions.
    pub(crate) fn grow(&self, topic: &str, partitions: i32) {
        let new = NewPartitions::new(topic, usize::try_from(partitions).unwrap());
        let made = wait(self.admin().create_partitions([&new], &AdminOptions::new())).unwrap();
        made.into_iter().for_each(|it| _ = it.unwrap());
        self.await_partitions(topic, partitions);
    }

    pub(crate) fn delete(&self, topic: &str) {
        let gone = wait(self.admin().delete_topics(&[topic], &AdminOptions::new())).unwrap();
        gone.into_iter().for_each(|it| _ = it.unwrap());
    }

    /// Removes the records of a partition before an offset, as retention does.
    pub(crate) fn forget(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
        wait(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
    }

    /// What a group has committed of a partition.
    pub(crate) fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let found = consumer.committed_offsets(list, ANSWER).unwrap();
        found.elements()[0].offset().to_raw().filter(|offset| *offset >= 0)
    }

    /// Commits an offset for a group.
    pub(crate) fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        eventually("the offset is committed", || consumer.commit(&list, CommitMode::Sync).is_ok());
    }

    fn await_partitions(&self, topic: &str, partitions: i32) {
        let consumer: BaseConsumer = self.client().create().unwrap();
        eventually("the topic is made", || {
            (0..partitions).all(|it| consumer.fetch_watermarks(topic, it, ANSWER).is_ok())
        });
    }

    /// Puts records into a partition, and waits until they are there.
    pub(crate) fn send(&self, topic: &str, partition: i32, records: &[impl AsRef<[u8]>]) {
        let producer: BaseProducer =
            self.client().set("message.max.bytes", "8000000").create().unwrap();
        put(&producer, topic, partition, records);
        producer.flush(DEADLINE).unwrap();
    }

    /// Puts a record with headers there.
    pub(crate) fn send_with(&self, topic: &str, headers: &[(&str, &str)], record: &str) {
        let producer: BaseProducer = self.client().create().unwrap();
        let header = |own: OwnedHeaders, (key, value): &(&str, &str)| {
            own.insert(Header { key, value: Some(*value) })
        };
        let headers = headers.iter().fold(OwnedHeaders::new(), header);
        let record: BaseRecord<'_, (), str> =
            BaseRecord::to(topic).partition(0).payload(record).headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(DEADLINE).unwrap();
    }

    /// The same in one transaction, which is committed or aborted.
    pub(crate) fn transact(&self, topic: &str, partition: i32, records: &[&str], commit: bool) {
        let producer: BaseProducer =
            self.client().set("transactional.id", format!("of {topic}")).create().unwrap();
        producer.init_transactions(DEADLINE).unwrap();
        producer.begin_transaction().unwrap();
        put(&producer, topic, partition, records);
        producer.flush(DEADLINE).unwrap();
        if commit {
            producer.commit_transaction(DEADLINE).unwrap();
        } else {
            producer.abort_transaction(DEADLINE).unwrap();
        }
    }

    /// What a consumer sees that reads only what is committed: all of a topic, partition by
    /// partition. Nothing, where the topic is not there.
    pub(crate) fn read(&self, topic: &str) -> Vec<Seen> {
        let consumer: BaseConsumer = self
            .client()
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            .set("fetch.wait.max.ms", "10")
            .create()
            .unwrap();
        let mut seen = Vec::new();
        for partition in 0..self.partitions(topic) {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
            consumer.assign(&list).unwrap();
            let mut last = Instant::now();
            loop {
                assert!(last.elapsed() < DEADLINE, "topic {topic} has no end");
                match consumer.poll(Duration::from_millis(100)) {
                    Some(Err(KafkaError::PartitionEOF(at))) if at == partition => break,
                    Some(Ok(message)) => {
                        seen.push(Seen::of(&message));
                        last = Instant::now();
                    }
                    Some(Err(_)) | None => {}
                }
            }
        }
        seen
    }

    /// Lets nobody write a topic any more. The broker must have an authorizer.
    pub(crate) fn forbid_writing(&self, topic: &str) {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/common/broker.sh");
        let done = Command::new("bash")
            .arg(script)
            .args(["tool", "org.apache.kafka.tools.AclCommand", "--bootstrap-server"])
            .args([&*self.address(), "--add", "--deny-principal", "User:ANONYMOUS"])
            .args(["--operation", "Write", "--topic", topic])
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    /// How many partitions a topic has; 0, where it is not there.
    pub(crate) fn partitions(&self, topic: &str) -> i32 {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let found = consumer.fetch_metadata(Some(topic), ANSWER).unwrap();
        i32::try_from(found.topics()[0].partitions().len()).unwrap()
    }

    /// A setting of a topic.
    pub(crate) fn setting(&self, topic: &str, name: &str) -> String {
        let of = [ResourceSpecifier::Topic(topic)];
        let found = wait(self.admin().describe_configs(&of, &AdminOptions::new())).unwrap();
        let found = found.into_iter().next().unwrap().unwrap();
        found.get(name).unwrap().value.clone().unwrap()
    }

    /// Puts a record without a value into a partition.
    pub(crate) fn tombstone(&self, topic: &str, partition: i32) {
        let producer: BaseProducer = self.client().create().unwrap();
        let record = BaseRecord::<str, [u8]>::to(topic).partition(partition).key("k");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(DEADLINE).unwrap();
    }
}

/// A record as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Seen {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Seen {
            partition: message.partition(),
            key: text(message.key().unwrap()),
            value: message.payload().map(text),
            headers: headers.map(|it| (it.key.to_owned(), text(it.value.unwrap()))).collect(),
        }
    }

    pub(crate) fn header(&self, key: &str) -> &str {
        let found = self.headers.iter().find(|(name, _)| name == key);
        &found.unwrap_or_else(|| panic!("{key} in {self:?}")).1
    }

    pub(crate) fn value(&self) -> &str {
        self.value.as_deref().unwrap()
    }
}

fn put(producer: &BaseProducer, topic: &str, partition: i32, records: &[impl AsRef<[u8]>]) {
    for record in records {
        let record: BaseRecord<'_, (), [u8]> =
            BaseRecord::to(topic).partition(partition).payload(record.as_ref());
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for what librdkafka promises.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park_timeout(Duration::from_millis(50)),
        }
    }
}
