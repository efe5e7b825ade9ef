//! The topics of a sink: whether they are there, and making them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Turn, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use super::connection::{ANSWER, Failure, judge};
use super::context::{Context, Watch};
use super::{KafkaFault, Settings};

/// As many copies as the brokers hold usual.
const USUAL_REPLICATION: TopicReplication<'static> = TopicReplication::Fixed(-1);

/// How many partitions a topic has; `None` if it is not there.
pub(super) fn partitions_of(client: &Client<Context>, topic: &str) -> KafkaResult<Option<i32>> {
    let metadata = client.fetch_metadata(Some(topic), ANSWER)?;
    let Some(found) = metadata.topics().iter().find(|it| it.name() == topic) else {
        return Ok(None);
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(None),
        Some(code) => return Err(KafkaError::MetadataFetch(code)),
    }
    Ok(Some(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)))
}

/// The first topic of a sink that is not there.
pub(super) fn missing<'a>(
    settings: &'a Settings,
    client: &Client<Context>,
) -> Result<Option<&'a str>, Failure> {
    for topic in settings.topics() {
        match partitions_of(client, topic) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Some(topic)),
            Err(KafkaError::MetadataFetch(code @ RDKafkaErrorCode::InvalidTopic)) => {
                return Err(no_topic(settings, topic, &code.to_string()));
            }
            Err(error) => return Err(judge(settings, &error)),
        }
    }
    Ok(None)
}

fn no_topic(settings: &Settings, topic: &str, reason: &str) -> Failure {
    let (topic, brokers) = (topic.to_owned(), settings.brokers.clone());
    Failure::Fault(KafkaFault::NoTopic { topic, brokers, reason: settings.redact(reason) })
}

/// Makes a topic; it is no fault if someone else was faster.
pub(super) fn make(settings: &Settings, watch: &Arc<Watch>, topic: &str) -> Result<(), Failure> {
    let mut client = settings.consumer();
    client.remove("group.id");
    let admin: AdminClient<Context> = client
        .create_with_context(Context::new(watch))
        .map_err(|error| Failure::Fault(settings.refused(&error)))?;
    let mut new = NewTopic::new(topic, settings.partitions, USUAL_REPLICATION);
    if settings.users_topic.as_deref() == Some(topic) {
        new = new.set("cleanup.policy", "compact");
    }
    let options = AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER));
    let made = wait(admin.create_topics([&new], &options));
    match made.map(|made| made.into_iter().next()) {
        Err(error) => Err(Failure::Trouble(error.to_string())),
        Ok(Some(Err((_, code)))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
            Err(no_topic(settings, topic, &code.to_string()))
        }
        Ok(_) => Ok(()),
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
        match future.as_mut().poll(&mut Turn::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park_timeout(Duration::from_millis(50)),
        }
    }
}
