//! `[cluster]`: by what the processes of a job know one another, and when one counts as lost.

use dataflows::model::Duration;
use dataflows::rule::reader::Node;

use super::JobReader;
use crate::job::ClusterSettings;
use crate::mesh::SECRET_BYTES_MIN;

const CLUSTER_KEYS: &[&str] = &["secret", "lost_after"];
/// The kernel asks in whole seconds, some times over, whether the other side is there.
const LOST_AFTER_MIN: Duration = Duration::from_ms(2_000);

impl JobReader<'_> {
    pub(super) fn cluster(&mut self, node: &Node<'_>) -> Option<ClusterSettings> {
        let default = ClusterSettings::default();
        if !node.is_present() {
            return Some(default);
        }
        self.reader.object(node, CLUSTER_KEYS)?;
        let allowed =
            format!("at least {SECRET_BYTES_MIN} characters, best as a variable: ${{NAME}}");
        let key = node.get("secret");
        let secret = self.secret(&key, &allowed);
        let lost_after = self.reader.optional(&node.get("lost_after"), |reader, node| {
            reader.duration(node, LOST_AFTER_MIN)
        });
        let secret = secret?;
        if secret.as_ref().is_some_and(|secret| secret.reveal().len() < SECRET_BYTES_MIN) {
            let hint = "make one with  openssl rand -hex 32".to_owned();
            self.reader.fault_with(&key, "fewer", allowed, Some(hint));
            return None;
        }
        Some(ClusterSettings { secret, lost_after: lost_after?.unwrap_or(default.lost_after) })
    }
}
