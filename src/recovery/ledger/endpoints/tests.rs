//! When an endpoint is connected again, by what came of the attempts before.

use super::*;
use crate::recovery::ledger::Ledger;
use crate::recovery::ledger::tests::{LOST, SECOND, reach, seen};

#[test]
fn what_is_missing_is_connected_at_once_and_not_twice_at_a_time() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let volumes = [seen("a", &LOST)];
    assert_eq!(ledger.plan(now, &volumes, &[]).actions, [reach("a")]);
    assert_eq!(ledger.plan(now + SECOND, &volumes, &[]).actions, []);
}

#[test]
fn one_volume_dials_a_silent_port_for_all_and_all_try_when_it_answers() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let volumes = [seen("a", &LOST), seen("b", &LOST)];
    assert_eq!(ledger.plan(now, &volumes, &[]).actions.len(), 2);
    let silent = Came::Unanswered("no answer".to_owned());
    for volume in ["a", "b"] {
        ledger.ended(now, &reach(volume), &silent, &mut Plan::default());
    }
    assert_eq!(
        ledger.plan(now, &volumes, &[]).actions,
        [],
        "not before a second"
    );
    let later = now + SECOND;
    assert_eq!(
        ledger.plan(later, &volumes, &[]).actions,
        [reach("a")],
        "the scout"
    );
    ledger.ended(later, &reach("a"), &silent, &mut Plan::default());
    let soon = later + SECOND / 100;
    assert_eq!(
        ledger.plan(soon, &volumes, &[]).actions,
        [],
        "a dial a second for all, however soon it is looked again"
    );
    let later = later + SECOND;
    assert_eq!(ledger.plan(later, &volumes, &[]).actions, [reach("a")]);
    let refused = Came::Refused("not exported".to_owned());
    ledger.ended(later, &reach("a"), &refused, &mut Plan::default());
    let plan = ledger.plan(later, &volumes, &[]);
    assert!(plan.actions.contains(&reach("b")), "{:?}", plan.actions);
}

#[test]
fn a_refusal_is_followed_by_longer_and_longer_waits_and_never_by_giving_up() {
    let mut ledger = Ledger::default();
    let mut now = Instant::now();
    let volumes = [seen("a", &LOST)];
    let refused = Came::Refused("not exported".to_owned());
    for least in [1, 2, 4, 4, 4] {
        assert_eq!(ledger.plan(now, &volumes, &[]).actions, [reach("a")]);
        ledger.ended(now, &reach("a"), &refused, &mut Plan::default());
        let early = now + SECOND * least - Duration::from_millis(1);
        assert!(
            !ledger
                .plan(early, &volumes, &[])
                .actions
                .contains(&reach("a"))
        );
        now += SECOND * least + SECOND;
    }
}
