//! Which nodes asked this process for a volume, and which of them it admitted.
//!
//! An admission bridges the moment between our answer and the attacher's `status.attached`, in which
//! the cluster itself does not show it. It may be lost at any time: an attacher that ends before it
//! wrote the status has attached nothing, because kubelet waits for that status.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::attachment::{Attachment, Made, State};
use super::node_id::NodeName;

/// Who does not ask for this long has given up, and begins anew where it does ask: the attacher asks
/// again after 30 s at most (--retry-interval-max in controller.yaml). For so long an admission counts
/// that nobody wrote.
pub(super) const SILENCE: Duration = Duration::from_secs(120);

/// That a node asked for a volume which the cluster lets it have, but for other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// For which attachment.
    pub(super) made: Made,
    /// Since when it asks again and again, with an attachment that other controllers see.
    pub(super) first: Instant,
    /// When it asked for the last time.
    pub(super) last: Instant,
    /// When it was last admitted, if it was.
    pub(super) admitted: Option<Instant>,
}

/// The requests for one volume, by the names of the nodes.
#[derive(Debug, Default)]
pub(super) struct Requests(BTreeMap<NodeName, Request>);

impl Requests {
    /// That of a node.
    pub(super) fn of(&self, node: &NodeName) -> Option<&Request> {
        self.0.get(node)
    }

    /// A node asks, for an attachment that is its own.
    pub(super) fn note(&mut self, own: &Attachment, now: Instant) {
        let request = self.0.entry(own.node.clone()).or_insert_with(|| Request {
            made: own.made.clone(),
            first: now,
            last: now,
            admitted: None,
        });
        let is_silent = now.saturating_duration_since(request.last) >= SILENCE;
        // Meanwhile another controller may have been asked, and before the attacher has begun none sees it.
        if is_silent || own.state == State::New {
            request.first = now;
        }
        request.last = now;
    }

    /// A node that asked is admitted.
    pub(super) fn admit(&mut self, node: &NodeName, now: Instant) {
        if let Some(request) = self.0.get_mut(node) {
            request.admitted = Some(now);
        }
    }

    /// Forgets whose attachment is seen as attached, goes away or is another one: the cluster says
    /// that better.
    pub(super) fn keep_open(&mut self, attachments: &[Attachment]) {
        self.0.retain(|node, request| {
            let mut of_node = attachments.iter().filter(|one| one.node == *node);
            of_node.any(|one| one.is_open() && one.made == request.made)
        });
    }

    /// Forgets a node, or all.
    pub(super) fn dismiss(&mut self, node: Option<&str>) {
        match node {
            Some(node) => self.0.retain(|name, _| name.as_str() != node),
            None => self.0.clear(),
        }
    }

    /// Whether they are of no use any more.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let mut requests = self.0.values();
        requests.all(|request| now.saturating_duration_since(request.last) >= SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(uid: &str, state: State) -> Attachment {
        Attachment {
            node: "a".parse().expect("a name"),
            node_id: None,
            state,
            made: (None, uid.to_owned()),
            alone: None,
        }
    }

    #[test]
    fn a_request_lasts_as_long_as_its_attachment_is_open() {
        let pending = attachment("1", State::Pending);
        for (seen, is_kept) in [
            (attachment("1", State::Pending), true),
            (attachment("1", State::New), true),
            (attachment("1", State::Attached), false),
            (attachment("1", State::Detaching), false),
            (attachment("1", State::Detached), false),
            (attachment("2", State::Pending), false),
        ] {
            let mut requests = Requests::default();
            requests.note(&pending, Instant::now());
            requests.keep_open(std::slice::from_ref(&seen));
            assert_eq!(requests.of(&pending.node).is_some(), is_kept, "{seen:?}");
        }
    }

    #[test]
    fn the_first_time_stays_and_the_last_one_and_the_admission_move() {
        let (own, now) = (attachment("1", State::Pending), Instant::now());
        let later = now + Duration::from_secs(5);
        let mut requests = Requests::default();
        requests.note(&own, now);
        requests.admit(&own.node, now);
        requests.note(&own, later);
        requests.admit(&own.node, later);
        let expected = Request {
            made: own.made.clone(),
            first: now,
            last: later,
            admitted: Some(later),
        };
        assert_eq!(requests.of(&own.node), Some(&expected));
    }

    #[test]
    fn the_first_time_is_not_before_other_controllers_see_the_request() {
        let (new, now) = (attachment("1", State::New), Instant::now());
        let mut requests = Requests::default();
        for seconds in [0, 5] {
            let now = now + Duration::from_secs(seconds);
            requests.note(&new, now);
            let first = requests.of(&new.node).map(|request| request.first);
            assert_eq!(first, Some(now));
        }
    }

    #[test]
    fn who_was_silent_for_two_minutes_asks_for_the_first_time() {
        for (seconds, is_first) in [(119, false), (120, true)] {
            let (own, now) = (attachment("1", State::Pending), Instant::now());
            let later = now + Duration::from_secs(seconds);
            let mut requests = Requests::default();
            requests.note(&own, now);
            requests.note(&own, later);
            let first = requests.of(&own.node).map(|request| request.first);
            assert_eq!(first == Some(later), is_first, "{seconds} s");
        }
    }

    #[test]
    fn requests_are_idle_when_the_attacher_would_have_asked_again() {
        let (own, now) = (attachment("1", State::Pending), Instant::now());
        let mut requests = Requests::default();
        assert!(requests.is_idle(now));
        requests.note(&own, now);
        assert!(!requests.is_idle(now + Duration::from_secs(119)));
        assert!(requests.is_idle(now + SILENCE));
    }
}
