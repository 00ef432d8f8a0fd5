//! What was told and is not posted yet, in the order in which it was told.
//!
//! A repeat of what still waits raises its count, so that a volume that flaps takes one place. Where
//! there are no more places, the oldest of what matters least goes: first what informs, then warnings,
//! and what is about the safety of data only where nothing else waits. Pure.

use std::collections::{BTreeSet, VecDeque};

use tokio::time::Instant;

use super::objects::Target;
use super::outcome::Outcome;

/// How many wait at most: two for each claim and pod of the volumes that a node may have. A message of
/// full length in each would be half a megabyte.
pub(super) const MOST: usize = 512;
/// Longest message in bytes: the limit of the newer API for events.
const MESSAGE: usize = 1024;

/// An outcome that waits.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// What was told last.
    pub(super) outcome: Outcome,
    /// How often.
    pub(super) count: i32,
    /// When it was told first.
    pub(super) first: Instant,
    /// When it was told last.
    pub(super) last: Instant,
    /// What was begun of it.
    pub(super) begun: Option<Begun>,
}

/// An outcome of which a part may be posted.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    /// What makes the names of its events its own, so that one that is posted again is known.
    pub(super) stamp: i128,
    /// On what it is still to be posted.
    pub(super) targets: VecDeque<Target>,
    /// Whether it was posted, or refused, on something.
    pub(super) touched: bool,
    /// How often it failed while others were posted.
    pub(super) strikes: u32,
    /// When it failed while how many had been posted, and that was counted.
    pub(super) failed: Option<(Instant, u64)>,
}

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Backlog(VecDeque<Told>);

impl Told {
    fn new(mut outcome: Outcome, now: Instant) -> Told {
        shorten(&mut outcome.message);
        Told {
            outcome,
            count: 1,
            first: now,
            last: now,
            begun: None,
        }
    }

    /// Whether this is the same thing that happened to the same volume of the same users, and nobody has
    /// seen anything of it.
    fn is_same(&self, other: &Outcome) -> bool {
        let ours = &self.outcome;
        let is_touched = self.begun.as_ref().is_some_and(|begun| begun.touched);
        !is_touched
            && ours.reason == other.reason
            && ours.volume_id == other.volume_id
            && ours.claim == other.claim
            && ours.pods == other.pods
    }

    /// It happened so often more.
    fn repeat(&mut self, message: String, count: i32, now: Instant) {
        self.outcome.message = message;
        self.count = self.count.saturating_add(count);
        self.last = now;
    }
}

impl Backlog {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more waits, or one that waits is told again; returns what has to go for it.
    pub(super) fn push(&mut self, mut outcome: Outcome, now: Instant) -> Option<Told> {
        let mut waiting = self.0.iter_mut();
        if let Some(same) = waiting.find(|told| told.is_same(&outcome)) {
            shorten(&mut outcome.message);
            same.repeat(outcome.message, 1, now);
            return None;
        }
        self.0.push_back(Told::new(outcome, now));
        if self.0.len() <= MOST {
            return None;
        }
        let weights = self.0.iter().map(|told| told.outcome.reason.weight());
        // Of several the first, which is the oldest.
        let (least, _) = weights.enumerate().min_by_key(|(_, weight)| *weight)?;
        self.0.remove(least)
    }

    /// Takes the oldest.
    pub(super) fn take(&mut self) -> Option<Told> {
        let told = self.0.pop_front();
        if self.0.is_empty() {
            // What a storm took is wanted elsewhere.
            self.0.shrink_to_fit();
        }
        told
    }

    /// Puts back what was taken, in the order in which it was. What was told again meanwhile is one.
    pub(super) fn put_back(&mut self, taken: Vec<Told>) {
        for mut told in taken.into_iter().rev() {
            let again = self.0.iter().position(|it| told.is_same(&it.outcome));
            if let Some(again) = again.and_then(|place| self.0.remove(place)) {
                told.repeat(again.outcome.message, again.count, again.last);
            }
            self.0.push_front(told);
        }
    }

    /// The volumes that anything waits about.
    pub(super) fn volumes(&self) -> BTreeSet<String> {
        let volumes = self.0.iter().map(|told| told.outcome.volume_id.clone());
        volumes.collect()
    }
}

fn shorten(message: &mut String) {
    message.truncate(message.floor_char_boundary(MESSAGE));
    message.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::outcome::Reason;

    fn outcome(volume: usize, reason: Reason) -> Outcome {
        Outcome {
            volume_id: volume.to_string(),
            claim: None,
            pods: Vec::new(),
            reason,
            message: "again".to_owned(),
        }
    }

    fn full_of(reason: Reason) -> Backlog {
        let mut backlog = Backlog::default();
        for volume in 0..MOST {
            let dropped = backlog.push(outcome(volume, reason), Instant::now());
            assert!(dropped.is_none());
        }
        backlog
    }

    /// What goes when one more comes.
    fn goes(backlog: &mut Backlog, reason: Reason) -> (String, Reason) {
        let dropped = backlog.push(outcome(MOST, reason), Instant::now());
        let dropped = dropped.expect("it is full").outcome;
        assert_eq!(backlog.len(), MOST);
        (dropped.volume_id, dropped.reason)
    }

    #[test]
    fn what_is_told_again_while_it_waits_keeps_its_place_and_its_first_time() {
        let mut backlog = Backlog::default();
        let began = Instant::now();
        for (volume, seconds) in [(1, 0), (2, 1), (1, 2)] {
            let now = began + std::time::Duration::from_secs(seconds);
            let mut told = outcome(volume, Reason::PathLost);
            told.message = format!("after {seconds} s");
            assert!(backlog.push(told, now).is_none());
        }
        let told = backlog.take().expect("it waits");
        assert_eq!((told.count, told.first), (2, began));
        assert_eq!(told.last.duration_since(began).as_secs(), 2);
        assert_eq!(told.outcome.message, "after 2 s");
        assert_eq!(backlog.take().expect("it waits").outcome.volume_id, "2");
        assert!(backlog.is_empty());
    }

    #[test]
    fn another_reason_volume_or_user_is_another_place() {
        let mut backlog = full_of(Reason::PathLost);
        assert!(
            backlog
                .push(outcome(3, Reason::PathLost), Instant::now())
                .is_none()
        );
        goes(&mut backlog, Reason::PathRestored);
    }

    #[test]
    fn what_informs_goes_before_what_needs_action_and_the_oldest_first() {
        let mut backlog = full_of(Reason::PathLost);
        let informs = (MOST.to_string(), Reason::PathRestored);
        assert_eq!(goes(&mut backlog, Reason::PathRestored), informs);
        let oldest = ("0".to_owned(), Reason::PathLost);
        assert_eq!(goes(&mut backlog, Reason::ConnectionFailure), oldest);
        let mut backlog = full_of(Reason::PathRestored);
        let oldest = ("0".to_owned(), Reason::PathRestored);
        assert_eq!(goes(&mut backlog, Reason::PathLost), oldest);
        let next = ("1".to_owned(), Reason::PathRestored);
        assert_eq!(goes(&mut backlog, Reason::OrphanCleaned), next);
    }

    #[test]
    fn what_is_about_the_safety_of_data_never_goes_for_anything_else() {
        for reason in [
            Reason::DataLost,
            Reason::IdentityMismatch,
            Reason::MediaError,
        ] {
            let mut backlog = full_of(reason);
            let late = (MOST.to_string(), Reason::PathLost);
            assert_eq!(goes(&mut backlog, Reason::PathLost), late);
            let mut backlog = full_of(Reason::PathLost);
            assert_eq!(goes(&mut backlog, reason).1, Reason::PathLost);
        }
    }

    #[test]
    fn what_is_put_back_comes_first_and_in_order() {
        let mut backlog = full_of(Reason::PathLost);
        let taken = vec![backlog.take().expect("one"), backlog.take().expect("two")];
        backlog.put_back(taken);
        let order = (0..3).map(|_| backlog.take().expect("one").outcome.volume_id);
        assert_eq!(order.collect::<Vec<_>>(), ["0", "1", "2"]);
    }

    #[test]
    fn what_is_told_while_it_is_in_hand_is_one_with_it_unless_somebody_saw_it() {
        for (touched, left) in [(false, 1), (true, 2)] {
            let mut backlog = Backlog::default();
            backlog.push(outcome(1, Reason::PathLost), Instant::now());
            let mut told = backlog.take().expect("it waits");
            told.begun = Some(Begun {
                stamp: 0,
                targets: VecDeque::new(),
                touched,
                strikes: 0,
                failed: None,
            });
            backlog.push(outcome(1, Reason::PathLost), Instant::now());
            backlog.put_back(vec![told]);
            assert_eq!(backlog.len(), left);
            backlog.push(outcome(1, Reason::PathLost), Instant::now());
            assert_eq!(backlog.len(), left);
            let count = backlog.take().expect("it waits").count;
            assert_eq!(count, if touched { 1 } else { 3 });
        }
    }

    #[test]
    fn a_message_is_cut_between_two_characters() {
        let mut long = outcome(1, Reason::PathLost);
        long.message = "ä".repeat(MESSAGE);
        let mut backlog = Backlog::default();
        backlog.push(long, Instant::now());
        let message = backlog.take().expect("it waits").outcome.message;
        assert_eq!(message.len(), MESSAGE);
    }
}
