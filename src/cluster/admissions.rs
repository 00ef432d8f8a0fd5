//! Which nodes were admitted to a volume by this process and are not yet seen as attached.
//!
//! It bridges the moment between our answer and the attacher's `status.attached`, in which the
//! cluster itself does not show the admission. It may be lost at any time: an attacher that ends
//! before it wrote the status has attached nothing, because kubelet waits for that status.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::attachment::{Attachment, State};

/// Names of nodes.
pub(super) type Nodes = BTreeSet<String>;

/// The admitted nodes of each volume.
#[derive(Debug, Default)]
pub(super) struct Admissions(Mutex<HashMap<String, Arc<AsyncMutex<Nodes>>>>);

impl Admissions {
    /// The nodes admitted to a volume, for one call at a time.
    pub(super) async fn of(&self, volume_id: &str) -> OwnedMutexGuard<Nodes> {
        let nodes = {
            let mut volumes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody waits for and nobody was admitted to.
            volumes.retain(|_, nodes| Arc::strong_count(nodes) > 1 || !is_empty(nodes));
            Arc::clone(volumes.entry(volume_id.to_owned()).or_default())
        };
        nodes.lock_owned().await
    }

    /// Forgets a node, or all nodes, of a volume. Where a call is being decided the node stays: that
    /// call looks at the cluster itself.
    pub(super) fn dismiss(&self, volume_id: &str, node: Option<&str>) {
        let volumes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes = volumes.get(volume_id).map(|nodes| nodes.try_lock());
        if let Some(Ok(mut nodes)) = nodes {
            match node {
                Some(node) => drop(nodes.remove(node)),
                None => nodes.clear(),
            }
        }
    }
}

/// Forgets who is seen as attached or is gone: the cluster says so better.
pub(super) fn keep_pending(admitted: &mut Nodes, attachments: &[Attachment]) {
    let is_pending = |node: &String| {
        let mut of_node = attachments.iter().filter(|one| one.node == *node);
        of_node.any(|one| one.state == State::Pending)
    };
    admitted.retain(is_pending);
}

fn is_empty(nodes: &AsyncMutex<Nodes>) -> bool {
    nodes.try_lock().is_ok_and(|nodes| nodes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_call_waits_for_the_other_and_knows_whom_it_admitted() {
        let admissions = Admissions::default();
        let mut first = admissions.of("volume-1").await;
        let second = admissions.of("volume-1");
        let mut second = std::pin::pin!(second);
        let at_once = futures_at_once(second.as_mut()).await;
        assert!(at_once.is_none(), "two calls are decided at once");
        first.insert("worker-1".to_owned());
        drop(first);
        assert!(second.await.contains("worker-1"));
        assert!(admissions.of("volume-2").await.is_empty());
    }

    #[tokio::test]
    async fn who_is_dismissed_is_forgotten_and_so_is_a_volume_without_nodes() {
        let admissions = Admissions::default();
        admissions
            .of("volume-1")
            .await
            .insert("worker-1".to_owned());
        admissions
            .of("volume-1")
            .await
            .insert("worker-2".to_owned());
        admissions.dismiss("volume-1", Some("worker-1"));
        assert_eq!(admissions.of("volume-1").await.len(), 1);
        admissions.dismiss("volume-1", None);
        drop(admissions.of("volume-2").await);
        assert_eq!(admissions.0.lock().expect("a lock").len(), 1);
    }

    /// What a future gives without waiting.
    async fn futures_at_once<F: Future>(future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
