//! Whether another node stands in the way: pure.
//!
//! An attachment of another node counts if either side wants the volume for one node alone. Who has
//! the volume, or was admitted, keeps it; among those that only ask, the earlier one goes first.
//!
//! What a controller before this one admitted is not known here, and shows when its attacher has
//! written it. So a node passes others that may have been admitted only after it has asked this
//! process for [`SETTLE`]: from its first request on, whoever decides sees it. An earlier one goes
//! first for as long as it asks, and for [`SILENCE`] after that: its node may be gone for ever.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::Wanted;
use super::attachment::{Alone, Attachment, Made, State};
use super::node_id::NodeName;
use super::requests::{Requests, SILENCE};

/// Within which time an attacher writes what it was answered, or is not the one that works any more:
/// twice its lease of 15 s.
const SETTLE: Duration = Duration::from_secs(30);

/// Another node that has the volume, or goes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Its name in the cluster.
    pub node: NodeName,
    /// In which way.
    pub why: Why,
    /// Why not both can have the volume.
    pub alone: Alone,
}

/// In which way another node stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It has the volume.
    Attached,
    /// It is about to lose the volume, and may still use it.
    Detaching,
    /// It was admitted, or asked earlier.
    First,
    /// Another controller may have admitted it.
    Unsettled,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Obstacle { node, alone, .. } = self;
        match self.why {
            Why::Attached => write!(f, "is attached to node {node}")?,
            Why::Detaching => write!(f, "is not yet detached from node {node}")?,
            Why::First => write!(f, "is being attached to node {node}, which asked first")?,
            Why::Unsettled => write!(
                f,
                "may just have been given to node {node}, which shows within {} s",
                SETTLE.as_secs()
            )?,
        }
        write!(f, ", and {alone}")
    }
}

/// What is known of the node that asks.
struct Own<'a> {
    made: Option<&'a Made>,
    first: Option<Instant>,
    /// Whether it has the volume or was admitted.
    has: bool,
}

/// The first node that stands in the way, in the order of their names. The attachments are as they
/// were at `now` or later.
pub(super) fn find(
    wanted: &Wanted,
    attachments: &[Attachment],
    requests: &Requests,
    now: Instant,
) -> Option<Obstacle> {
    let own = Own::of(wanted, attachments, requests, now);
    let others = attachments.iter().filter(|one| !one.is_of(wanted));
    let in_the_way = others.filter_map(|one| {
        let alone = match wanted.mode.is_multi_node() {
            true => one.alone.clone()?,
            false => Alone::Mode(wanted.mode.as_str()),
        };
        let why = own.stopped_by(one, requests, now)?;
        let node = one.node.clone();
        Some(Obstacle { node, why, alone })
    });
    in_the_way.min_by(|one, other| one.node.cmp(&other.node))
}

impl<'a> Own<'a> {
    fn of(
        wanted: &Wanted,
        attachments: &'a [Attachment],
        requests: &Requests,
        now: Instant,
    ) -> Own<'a> {
        let own = || attachments.iter().filter(|one| one.is_of(wanted));
        let of_own = || own().filter_map(|one| requests.of(&one.node));
        let is_admitted = of_own().any(|one| is_recent(one.admitted, now));
        Own {
            made: own().map(|one| &one.made).min(),
            first: of_own().map(|one| one.first).min(),
            has: is_admitted || own().any(|one| one.state == State::Attached),
        }
    }

    /// In which way the attachment of another node stands in the way, if it does.
    fn stopped_by(&self, other: &Attachment, requests: &Requests, now: Instant) -> Option<Why> {
        let request = requests.of(&other.node);
        match other.state {
            State::Attached => return Some(Why::Attached),
            State::Detaching => return Some(Why::Detaching),
            State::Detached => return None,
            State::New | State::Pending if self.has => return None,
            State::New | State::Pending => {}
        }
        if request.is_some_and(|one| is_recent(one.admitted, now)) {
            return Some(Why::First);
        }
        // No other controller can have admitted it, and this one did not.
        if other.state == State::New {
            return None;
        }
        // Without an attachment of its own the caller is the last to ask.
        let is_earlier = self.made.is_none_or(|made| other.made < *made);
        let heard = request.map(|one| one.last).max(self.first);
        if is_earlier && (heard.is_none() || is_recent_within(SILENCE, heard, now)) {
            return Some(Why::First);
        }
        let is_settled = self.first.is_some() && !is_recent_within(SETTLE, self.first, now);
        (!is_settled).then_some(Why::Unsettled)
    }
}

fn is_recent(time: Option<Instant>, now: Instant) -> bool {
    is_recent_within(SILENCE, time, now)
}

fn is_recent_within(limit: Duration, time: Option<Instant>, now: Instant) -> bool {
    time.is_some_and(|time| now.saturating_duration_since(time) < limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::request::AccessMode;

    fn wanted(node: &str, mode: AccessMode) -> Wanted {
        let node_id = format!("{node}/nqn.2026-01.org.example:{node}");
        Wanted {
            volume_id: "volume-1".parse().expect("an id"),
            node_id: node_id.parse().expect("an id"),
            mode,
        }
    }

    /// An attachment made at this second.
    fn attachment(node: &str, state: State, second: i64) -> Attachment {
        let made = k8s_openapi::jiff::Timestamp::from_second(second).expect("a time");
        Attachment {
            node: node.parse().expect("a name"),
            node_id: None,
            state,
            made: (Some(made), format!("uid-of-{node}")),
            alone: Some(Alone::Volume("data".to_owned())),
        }
    }

    /// A moment, and those that asked so many seconds before it.
    fn asked(before: &[(&Attachment, u64)]) -> (Requests, Instant) {
        let begin = Instant::now();
        let now = begin + Duration::from_secs(1000);
        let mut requests = Requests::default();
        for (attachment, seconds) in before {
            requests.note(attachment, now - Duration::from_secs(*seconds));
        }
        (requests, now)
    }

    /// What stands in the way of node `a`.
    fn why(attachments: &[Attachment], requests: &Requests, now: Instant) -> Option<Why> {
        let wanted = wanted("a", AccessMode::SingleNodeMultiWriter);
        find(&wanted, attachments, requests, now).map(|obstacle| obstacle.why)
    }

    #[test]
    fn who_has_the_volume_keeps_it_however_late_it_asked() {
        for (state, expected) in [
            (State::Attached, Some(Why::Attached)),
            (State::Detaching, Some(Why::Detaching)),
            (State::Detached, None),
            (State::New, None),
            (State::Pending, None),
        ] {
            let both = [
                attachment("a", State::Pending, 1),
                attachment("b", state, 2),
            ];
            let (requests, now) = asked(&[(&both[0], 60)]);
            assert_eq!(why(&both, &requests, now), expected, "{state:?}");
        }
    }

    #[test]
    fn a_later_one_that_asks_is_passed_when_its_admission_would_show() {
        let both = [
            attachment("a", State::Pending, 6),
            attachment("b", State::Pending, 7),
        ];
        for (seconds, expected) in [
            (0, Some(Why::Unsettled)),
            (29, Some(Why::Unsettled)),
            (30, None),
        ] {
            // Whether that one was heard of here or not.
            for others in [&[(&both[1], 1)][..], &[]] {
                let mut all = others.to_vec();
                all.push((&both[0], seconds));
                let (requests, now) = asked(&all);
                assert_eq!(why(&both, &requests, now), expected, "{seconds} s");
            }
        }
    }

    #[test]
    fn an_earlier_one_goes_first_while_it_asks_and_two_minutes_longer() {
        for (own, other, expected) in [
            (0, None, Some(Why::First)),
            (119, None, Some(Why::First)),
            (120, None, None),
            (600, Some(0), Some(Why::First)),
            (600, Some(119), Some(Why::First)),
            (600, Some(120), None),
        ] {
            let both = [
                attachment("a", State::Pending, 7),
                attachment("b", State::Pending, 6),
            ];
            let other = other.map(|seconds| (&both[1], seconds));
            let all: Vec<_> = other.into_iter().chain([(&both[0], own)]).collect();
            let (requests, now) = asked(&all);
            assert_eq!(why(&both, &requests, now), expected, "{own} s, {other:?}");
        }
    }

    #[test]
    fn in_one_second_one_of_two_goes_first() {
        let both = [
            attachment("b", State::Pending, 7),
            attachment("a", State::Pending, 7),
        ];
        let (requests, now) = asked(&[(&both[0], 60), (&both[1], 60)]);
        assert_eq!(why(&both, &requests, now), None);
        let found = find(
            &wanted("b", AccessMode::SingleNodeWriter),
            &both,
            &requests,
            now,
        );
        assert_eq!(found.expect("a goes first").why, Why::First);
    }

    #[test]
    fn an_earlier_one_that_no_controller_was_asked_for_does_not_count() {
        let both = [
            attachment("a", State::Pending, 7),
            attachment("b", State::New, 6),
        ];
        let (mut requests, now) = asked(&[(&both[0], 0), (&both[1], 0)]);
        assert_eq!(why(&both, &requests, now), None);
        requests.admit(&both[1].node, now);
        assert_eq!(why(&both, &requests, now), Some(Why::First));
    }

    #[test]
    fn whoever_was_admitted_goes_before_one_that_asked_earlier_for_two_minutes() {
        let both = [
            attachment("a", State::Pending, 6),
            attachment("b", State::Pending, 7),
        ];
        let second = Duration::from_secs(1);
        for (ago, expected) in [(0, Some(Why::First)), (119, Some(Why::First)), (120, None)] {
            let (mut requests, now) = asked(&[(&both[0], 600), (&both[1], 600)]);
            requests.admit(&both[1].node, now - ago * second);
            assert_eq!(why(&both, &requests, now), expected, "{ago} s");
        }
        let (mut requests, now) = asked(&[(&both[0], 0), (&both[1], 0)]);
        requests.admit(&both[0].node, now);
        assert_eq!(why(&both, &requests, now), None, "it is the one");
    }

    #[test]
    fn a_node_that_asks_without_an_attachment_is_the_last() {
        let (requests, now) = asked(&[]);
        let other = |state| [attachment("b", state, 1)];
        let first = Some(Why::First);
        assert_eq!(why(&other(State::Pending), &requests, now), first);
        assert_eq!(why(&other(State::New), &requests, now), None);
        assert_eq!(why(&[], &requests, now), None);
    }

    #[test]
    fn the_own_attachment_is_known_by_name_or_id_in_every_state() {
        let (requests, now) = asked(&[]);
        for state in [State::Pending, State::Attached, State::Detaching] {
            assert_eq!(why(&[attachment("a", state, 1)], &requests, now), None);
        }
        let mut renamed = attachment("a.example", State::Attached, 1);
        renamed.node_id = Some(wanted("a", AccessMode::SingleNodeWriter).node_id);
        let earlier = attachment("b", State::Pending, 0);
        assert_eq!(why(&[renamed, earlier], &requests, now), None);
    }

    #[test]
    fn several_nodes_share_only_what_both_sides_want_to_share() {
        let exclusive = attachment("b", State::Attached, 1);
        let mut shared = exclusive.clone();
        shared.alone = None;
        let by_mode = "access mode SINGLE_NODE_WRITER allows one node at a time";
        let by_volume = "PersistentVolume data allows one node at a time";
        let (one, many) = (
            AccessMode::SingleNodeWriter,
            AccessMode::MultiNodeMultiWriter,
        );
        let (requests, now) = asked(&[]);
        for (mode, other, words) in [
            (one, &exclusive, Some(by_mode)),
            (one, &shared, Some(by_mode)),
            (many, &exclusive, Some(by_volume)),
            (many, &shared, None),
        ] {
            let found = find(
                &wanted("a", mode),
                std::slice::from_ref(other),
                &requests,
                now,
            );
            let expected = words.map(|words| format!("is attached to node b, and {words}"));
            assert_eq!(found.map(|found| found.to_string()), expected);
        }
    }
}
