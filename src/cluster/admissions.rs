//! The requests of each volume, for one call at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::Instant;

use super::requests::Requests;

/// The requests of all volumes.
#[derive(Debug, Default)]
pub(super) struct Admissions(Mutex<HashMap<String, Arc<AsyncMutex<Requests>>>>);

impl Admissions {
    /// The requests for a volume, as soon as no other call works with them.
    pub(super) async fn of(&self, volume_id: &str) -> OwnedMutexGuard<Requests> {
        let requests = {
            let now = Instant::now();
            let mut volumes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody works with and nobody asks for any more.
            volumes.retain(|_, one| Arc::strong_count(one) > 1 || !is_idle(one, now));
            Arc::clone(volumes.entry(volume_id.to_owned()).or_default())
        };
        requests.lock_owned().await
    }

    /// Forgets a node, or all nodes, of a volume. Where a call is being decided the node stays: that
    /// call looks at the cluster itself.
    pub(super) fn dismiss(&self, volume_id: &str, node: Option<&str>) {
        let volumes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = volumes.get(volume_id).map(|requests| requests.try_lock());
        if let Some(Ok(mut requests)) = requests {
            requests.dismiss(node);
        }
    }
}

fn is_idle(requests: &AsyncMutex<Requests>, now: Instant) -> bool {
    requests.try_lock().is_ok_and(|one| one.is_idle(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::attachment::{Attachment, State};

    fn attachment(node: &str) -> Attachment {
        Attachment {
            node: node.parse().expect("a name"),
            node_id: None,
            state: State::Pending,
            made: (None, String::new()),
            alone: None,
        }
    }

    #[tokio::test]
    async fn one_call_waits_for_the_other_and_knows_who_asked() {
        let admissions = Admissions::default();
        let mut first = admissions.of("volume-1").await;
        let second = admissions.of("volume-1");
        let mut second = std::pin::pin!(second);
        let at_once = future_at_once(second.as_mut()).await;
        assert!(at_once.is_none(), "two calls are decided at once");
        let own = attachment("worker-1");
        first.note(&own, Instant::now());
        drop(first);
        assert!(second.await.of(&own.node).is_some());
        assert!(admissions.of("volume-2").await.of(&own.node).is_none());
    }

    #[tokio::test]
    async fn who_is_dismissed_is_forgotten_and_so_is_a_volume_without_requests() {
        let admissions = Admissions::default();
        let nodes = [attachment("worker-1"), attachment("worker-2")];
        for node in &nodes {
            admissions.of("volume-1").await.note(node, Instant::now());
        }
        admissions.dismiss("volume-1", Some("worker-1"));
        let requests = admissions.of("volume-1").await;
        let left = nodes.each_ref().map(|one| requests.of(&one.node).is_some());
        assert_eq!(left, [false, true]);
        drop(requests);
        admissions.dismiss("volume-1", None);
        drop(admissions.of("volume-2").await);
        assert_eq!(admissions.0.lock().expect("a lock").len(), 1);
    }

    /// What a future gives without waiting.
    async fn future_at_once<F: Future>(future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
