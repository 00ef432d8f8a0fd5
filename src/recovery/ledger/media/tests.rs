//! One bad block: when errors are let through, and what counts as a loss beside it.

use super::*;
use crate::recovery::ledger::Ledger;
use crate::recovery::ledger::tests::{FAILED, SECOND, id, reasons, seen};

/// A ledger of a volume whose I/O failed, was sent again, and has come to this.
fn reinstated(now: Instant) -> Ledger {
    let mut ledger = Ledger::default();
    let plan = ledger.plan(now, &[seen("a", &FAILED)], &[]);
    assert_eq!(plan.actions, [Action::BringBack(id("a"))]);
    bring_back(&mut ledger, now);
    ledger
}

fn bring_back(ledger: &mut Ledger, now: Instant) {
    let action = Action::BringBack(id("a"));
    ledger.ended(now, &action, &Came::Reinstated, &mut Plan::default());
}

fn pass(ledger: &mut Ledger, now: Instant, came: &Came) {
    let action = Action::PassErrors(id("a"));
    ledger.ended(now, &action, came, &mut Plan::default());
}

fn actions(ledger: &mut Ledger, now: Instant, findings: &[Finding]) -> Vec<Action> {
    ledger.plan(now, &[seen("a", findings)], &[]).actions
}

#[test]
fn errors_are_let_through_where_io_fails_again_at_once_and_not_where_it_fails_later() {
    let now = Instant::now();
    let mut soon = reinstated(now);
    let pass = [Action::PassErrors(id("a"))];
    assert_eq!(actions(&mut soon, now, &FAILED), pass);
    assert_eq!(actions(&mut soon, now, &FAILED), [], "it is under way");
    let mut later = reinstated(now);
    assert_eq!(actions(&mut later, now + SECOND, &[]), []);
    let late = actions(&mut later, now + SECOND * 10, &FAILED);
    assert_eq!(late, [Action::BringBack(id("a"))]);
}

#[test]
fn a_disk_that_goes_after_its_io_was_sent_again_is_lost_and_nothing_is_let_through() {
    let now = Instant::now();
    let mut ledger = reinstated(now);
    assert_eq!(actions(&mut ledger, now, &[Finding::NoPath]), []);
    let behind = [Finding::NoPath, Finding::MapBehind];
    let back = actions(&mut ledger, now + SECOND, &behind);
    assert_eq!(back, [Action::BringBack(id("a"))], "another disk");
}

#[test]
fn a_map_that_is_being_changed_is_not_brought_back_beside_that() {
    let now = Instant::now();
    let mut ledger = reinstated(now);
    actions(&mut ledger, now, &FAILED);
    assert_eq!(actions(&mut ledger, now, &[Finding::MapBehind]), []);
    pass(&mut ledger, now, &Came::Done);
    let left = actions(&mut ledger, now, &[Finding::MapBehind]);
    assert_eq!(left, [Action::BringBack(id("a"))]);
}

#[test]
fn further_errors_are_let_through_once_a_second_and_nothing_is_sent_again_before() {
    let mut now = Instant::now();
    let mut ledger = reinstated(now);
    for _ in 0..10 {
        let pass_errors = [Action::PassErrors(id("a"))];
        assert_eq!(actions(&mut ledger, now, &FAILED), pass_errors);
        pass(&mut ledger, now, &Came::Done);
        assert_eq!(actions(&mut ledger, now, &[]), []);
        let early = now + SECOND - Duration::from_millis(1);
        assert_eq!(actions(&mut ledger, early, &FAILED), []);
        now += SECOND;
    }
}

#[test]
fn bad_blocks_are_no_loss_and_end_no_hold() {
    let mut now = Instant::now();
    let mut ledger = reinstated(now);
    // Longer than the limit of the volume, a minute, and than what is told as a loss.
    for _ in 0..120 {
        let plan = ledger.plan(now, &[seen("a", &FAILED)], &[]);
        assert!(!plan.actions.contains(&Action::GiveUp(id("a"))));
        assert!(!reasons(&plan).contains(&Reason::PathLost));
        pass(&mut ledger, now, &Came::Done);
        now += SECOND;
    }
    let well = ledger.plan(now, &[seen("a", &[])], &[]);
    assert_eq!((well.actions, well.outages.len()), (Vec::new(), 1));
}

#[test]
fn a_media_error_is_told_once_until_it_was_quiet_for_a_minute() {
    let mut now = Instant::now();
    let mut ledger = reinstated(now);
    let well = [seen("a", &[])];
    for told in [true, false, false] {
        actions(&mut ledger, now, &FAILED);
        pass(&mut ledger, now, &Came::Done);
        let plan = ledger.plan(now, &well, &[]);
        let wanted: &[Reason] = if told { &[Reason::MediaError] } else { &[] };
        assert_eq!(reasons(&plan), wanted);
        let message = plan.notices.first().map(|notice| notice.message.as_str());
        assert!(message.is_none_or(|message| message.contains("dm-0")));
        now += SECOND * 30;
    }
    now += MEDIA_ERRORS_LAST;
    assert_eq!(reasons(&ledger.plan(now, &well, &[])), []);
    let again = actions(&mut ledger, now, &FAILED);
    assert_eq!(again, [Action::BringBack(id("a"))], "as at first");
    bring_back(&mut ledger, now);
    actions(&mut ledger, now, &FAILED);
    pass(&mut ledger, now, &Came::Done);
    let plan = ledger.plan(now, &well, &[]);
    assert_eq!(reasons(&plan), [Reason::MediaError]);
}

#[test]
fn where_letting_errors_through_does_not_help_io_is_sent_again() {
    let now = Instant::now();
    for came in [Came::Nothing, Came::Failed("no".to_owned())] {
        let mut ledger = reinstated(now);
        actions(&mut ledger, now, &FAILED);
        pass(&mut ledger, now, &came);
        let next = ledger.plan(now + SECOND, &[seen("a", &FAILED)], &[]);
        assert_eq!(next.actions, [Action::BringBack(id("a"))], "{came:?}");
        assert!(!reasons(&next).contains(&Reason::MediaError));
    }
}
