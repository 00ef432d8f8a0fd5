//! Whether another node stands in the way: pure.
//!
//! An attachment of another node counts if either side wants the volume for one node alone. Among
//! those that only ask, the earlier one goes first, so that of two that ask at once one gets it;
//! whoever was admitted already goes before both.

use std::fmt;

use super::Wanted;
use super::admissions::Nodes;
use super::attachment::{Attachment, State};

/// Another node that has the volume, or goes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Its name in the cluster.
    pub node: String,
    /// In which way.
    pub why: Why,
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
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = &self.node;
        match self.why {
            Why::Attached => write!(f, "is attached to node {node}"),
            Why::Detaching => write!(f, "is not yet detached from node {node}"),
            Why::First => write!(f, "is being attached to node {node}, which asked first"),
        }
    }
}

/// The first node that stands in the way, in the order of their names.
pub(super) fn find(
    wanted: &Wanted,
    attachments: &[Attachment],
    admitted: &Nodes,
) -> Option<Obstacle> {
    let own = attachments.iter().filter(|one| one.is_of(wanted));
    let made = own.clone().map(|one| &one.made).min();
    let is_admitted = own.map(|one| &one.node).any(|node| admitted.contains(node));
    let others = attachments.iter().filter(|one| !one.is_of(wanted));
    let in_the_way = others.filter_map(|one| {
        if !one.is_exclusive && wanted.mode.is_multi_node() {
            return None;
        }
        let why = match one.state {
            State::Attached => Why::Attached,
            State::Detaching => Why::Detaching,
            State::Detached => return None,
            State::Pending if is_admitted => return None,
            State::Pending if admitted.contains(&one.node) => Why::First,
            // Without an attachment of its own the caller is the last to ask.
            State::Pending if made.is_none_or(|made| one.made < *made) => Why::First,
            State::Pending => return None,
        };
        let node = one.node.clone();
        Some(Obstacle { node, why })
    });
    in_the_way.min_by(|one, other| one.node.cmp(&other.node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::request::AccessMode;

    fn wanted(node: &str, mode: AccessMode) -> Wanted {
        Wanted {
            volume_id: "volume-1".parse().expect("an id"),
            node_id: format!("{node}/nqn.2026-01.org.example:{node}"),
            node: node.to_owned(),
            mode,
        }
    }

    /// An attachment made at this second.
    fn attachment(node: &str, state: State, second: i64) -> Attachment {
        let made = k8s_openapi::jiff::Timestamp::from_second(second).expect("a time");
        Attachment {
            node: node.to_owned(),
            node_id: None,
            state,
            is_exclusive: true,
            made: (Some(made), format!("uid-of-{node}")),
        }
    }

    fn why(node: &str, attachments: &[Attachment]) -> Option<Why> {
        let wanted = wanted(node, AccessMode::SingleNodeMultiWriter);
        find(&wanted, attachments, &Nodes::new()).map(|obstacle| obstacle.why)
    }

    #[test]
    fn who_has_the_volume_keeps_it_however_late_it_asked() {
        for (state, expected) in [
            (State::Attached, Some(Why::Attached)),
            (State::Detaching, Some(Why::Detaching)),
            (State::Detached, None),
            (State::Pending, None),
        ] {
            let both = [
                attachment("a", State::Pending, 1),
                attachment("b", state, 2),
            ];
            assert_eq!(why("a", &both), expected, "{state:?}");
        }
    }

    #[test]
    fn of_two_that_ask_the_earlier_goes_first_and_in_one_second_one_of_them() {
        let both = [
            attachment("a", State::Pending, 7),
            attachment("b", State::Pending, 6),
        ];
        assert_eq!((why("a", &both), why("b", &both)), (Some(Why::First), None));
        let both = [
            attachment("a", State::Pending, 7),
            attachment("b", State::Pending, 7),
        ];
        assert_eq!((why("a", &both), why("b", &both)), (None, Some(Why::First)));
    }

    #[test]
    fn whoever_was_admitted_goes_before_one_that_asked_earlier() {
        let both = [
            attachment("a", State::Pending, 6),
            attachment("b", State::Pending, 7),
        ];
        let wanted = wanted("a", AccessMode::SingleNodeWriter);
        let admitted = Nodes::from(["b".to_owned()]);
        let obstacle = find(&wanted, &both, &admitted).expect("b stands in the way");
        assert_eq!((obstacle.node.as_str(), obstacle.why), ("b", Why::First));
    }

    #[test]
    fn a_node_that_asks_without_an_attachment_is_the_last() {
        assert_eq!(
            why("a", &[attachment("b", State::Pending, 1)]),
            Some(Why::First)
        );
        assert_eq!(why("a", &[]), None);
    }

    #[test]
    fn the_own_attachment_is_known_by_name_or_id_in_every_state() {
        for state in [State::Pending, State::Attached, State::Detaching] {
            assert_eq!(why("a", &[attachment("a", state, 1)]), None);
        }
        let mut renamed = attachment("a.example", State::Attached, 1);
        renamed.node_id = Some("a/nqn.2026-01.org.example:a".to_owned());
        assert_eq!(why("a", &[renamed]), None);
    }

    #[test]
    fn several_nodes_share_only_what_both_sides_want_to_share() {
        let exclusive = attachment("b", State::Attached, 1);
        let mut shared = exclusive.clone();
        shared.is_exclusive = false;
        let one = wanted("a", AccessMode::SingleNodeWriter);
        let many = wanted("a", AccessMode::MultiNodeMultiWriter);
        let nobody = Nodes::new();
        for (wanted, other, is_free) in [
            (&one, &exclusive, false),
            (&one, &shared, false),
            (&many, &exclusive, false),
            (&many, &shared, true),
        ] {
            let found = find(wanted, std::slice::from_ref(other), &nobody);
            assert_eq!(found.is_none(), is_free, "{wanted:?} {other:?}");
        }
    }
}
