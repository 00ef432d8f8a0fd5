//! What was said of the API server's trouble: each once, until it is over.

use std::collections::HashSet;

use super::ask::Meaning;

/// What was said and still holds.
#[derive(Debug, Default)]
pub(super) struct Complaints(HashSet<Complaint>);

/// Something that is said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Complaint {
    /// What is to be told waits.
    Waits(Meaning),
    /// An event was refused for this.
    Event(Meaning),
    /// A question about a volume was refused for this.
    Look(Meaning),
}

impl Complaints {
    /// Whether this was not said since it began.
    pub(super) fn is_new(&mut self, complaint: Complaint) -> bool {
        self.0.insert(complaint)
    }

    /// Nothing waits any more; returns whether that was said.
    pub(super) fn nothing_waits(&mut self) -> bool {
        let before = self.0.len();
        let waits = |complaint: &Complaint| matches!(complaint, Complaint::Waits(_));
        self.0.retain(|complaint| !waits(complaint));
        self.0.len() < before
    }

    /// An event was taken.
    pub(super) fn event_taken(&mut self) {
        let refused = |complaint: &Complaint| matches!(complaint, Complaint::Event(_));
        self.0.retain(|complaint| !refused(complaint));
    }

    /// A question about a volume was answered.
    pub(super) fn look_answered(&mut self) {
        let refused = |complaint: &Complaint| matches!(complaint, Complaint::Look(_));
        self.0.retain(|complaint| !refused(complaint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_is_said_once_until_it_is_over() {
        let mut complaints = Complaints::default();
        let late = Complaint::Waits(Meaning::Late);
        assert!(!complaints.nothing_waits());
        assert!(complaints.is_new(late) && !complaints.is_new(late));
        assert!(complaints.is_new(Complaint::Waits(Meaning::Unknown)));
        assert!(complaints.is_new(Complaint::Event(Meaning::Forbidden)));
        assert!(complaints.nothing_waits() && !complaints.nothing_waits());
        assert!(complaints.is_new(late));
        assert!(!complaints.is_new(Complaint::Event(Meaning::Forbidden)));
        complaints.event_taken();
        assert!(complaints.is_new(Complaint::Event(Meaning::Forbidden)));
    }
}
