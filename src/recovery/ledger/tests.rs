//! What is planned, by findings and by the time that has passed.

use super::*;
use crate::volume::standing::Stale;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A volume that is staged with a map, by its record's own form.
fn record(id: &str) -> StageRecord {
    let map = crate::host::MapId::of_volume("csi.example", id);
    let json = format!(
        r#"{{
            "version": 1,
            "volume_id": "{id}",
            "boot_id": "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
            "phase": {{ "staged": {{
                "identity": {{
                    "nsid": "1", "uuid": "11111111-1111-4111-8111-111111111111", "nguid": null,
                    "eui64": null, "logical_block_size": 4096, "metadata_bytes": 0,
                    "read_only": false, "size_bytes": 67108864
                }},
                "disk": {{ "name": "dm-0", "dev": "253:0", "diskseq": 9 }}
            }} }},
            "staging_target_path": "/stage/{id}",
            "capability": {{ "access": "block", "mode": "single_node_writer" }},
            "source": {{
                "nqn": "nqn.2026-01.org.example:{id}", "transport": "tcp",
                "addresses": [{{ "traddr": "10.0.0.2", "trsvcid": 4420 }}],
                "which": "only",
                "tuning": {{
                    "ctrl_loss_tmo": null, "reconnect_delay": null, "keep_alive_tmo": null,
                    "fast_io_fail_tmo": null, "nr_io_queues": null, "queue_size": null,
                    "nr_poll_queues": null, "nr_write_queues": null, "tos": null,
                    "host_iface": null, "host_traddr": null, "hdr_digest": false,
                    "data_digest": false
                }},
                "hold": "dm", "path_loss_timeout": 60
            }},
            "hold": {{ "dm": "{map}" }},
            "publications": []
        }}"#
    );
    serde_json::from_str(&json).expect("the form of a record")
}

pub(super) fn seen(id: &str, findings: &[Finding]) -> Seen {
    Seen {
        record: record(id),
        findings: findings.to_vec(),
        mounts: Vec::new(),
        io: None,
    }
}

pub(super) fn id(text: &str) -> VolumeId {
    text.parse().expect("an id")
}

pub(super) fn reach(volume: &str) -> Action {
    Action::Reach {
        volume: id(volume),
        endpoint: 0,
    }
}

pub(super) fn reasons(plan: &Plan) -> Vec<Reason> {
    plan.notices.iter().map(|notice| notice.reason).collect()
}

/// I/O has failed on a disk that is there.
pub(super) const FAILED: [Finding; 2] = [Finding::NoPath, Finding::MapFailed];

/// As often as a disk may in a minute.
fn fail_five_times(ledger: &mut Ledger, now: Instant) {
    for _ in 0..5 {
        let action = Action::BringBack(id("a"));
        ledger.ended(now, &action, &Came::Reinstated, &mut Plan::default());
    }
}

pub(super) const LOST: [Finding; 2] = [Finding::NoPath, Finding::PathMissing(0)];

#[test]
fn a_healthy_volume_needs_nothing() {
    let plan = Ledger::default().plan(Instant::now(), &[seen("a", &[])], &[]);
    assert_eq!((plan.actions.len(), plan.notices.len()), (0, 0));
}

#[test]
fn a_loss_is_told_after_half_a_minute_and_its_end_too() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let lost = [seen("a", &[Finding::NoPath])];
    assert_eq!(reasons(&ledger.plan(now, &lost, &[])), []);
    assert_eq!(reasons(&ledger.plan(now + SECOND * 29, &lost, &[])), []);
    let told = ledger.plan(now + SECOND * 30, &lost, &[]);
    assert_eq!(reasons(&told), [Reason::PathLost]);
    assert_eq!(reasons(&ledger.plan(now + SECOND * 31, &lost, &[])), []);
    let back = ledger.plan(now + SECOND * 40, &[seen("a", &[])], &[]);
    assert_eq!(reasons(&back), [Reason::PathRestored]);
    assert_eq!(back.outages, [SECOND * 40]);
}

/// I/O is under way, of which so much has been completed.
fn busy(findings: &[Finding], completed: u64) -> [Seen; 1] {
    let io = Some(IoCounts {
        under_way: 1,
        done: completed,
    });
    [Seen {
        io,
        ..seen("a", findings)
    }]
}

#[test]
fn a_target_that_completes_nothing_is_told_and_let_go_though_it_answers() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    let mut at = |second: u32| ledger.plan(now + SECOND * second, &busy(&[], 7), &[]);
    for second in 0..30 {
        assert_eq!(reasons(&at(second)), [], "{second}");
    }
    assert_eq!(reasons(&at(30)), [Reason::PathLost]);
    for second in 31..60 {
        let plan = at(second);
        assert_eq!((reasons(&plan), plan.actions), (vec![], vec![]), "{second}");
    }
    let give_up = Action::GiveUpStuck {
        volume: id("a"),
        completed: 7,
    };
    assert_eq!(at(60).actions, [give_up]);
    let plan = ledger.plan(now + SECOND * 61, &busy(&[], 8), &[]);
    assert_eq!(reasons(&plan), [Reason::PathRestored], "it gets on");
}

#[test]
fn the_kernels_own_time_out_and_a_connect_after_it_do_not_set_the_clock_back() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    let mut at = |second: u32, seen: [Seen; 1]| ledger.plan(now + SECOND * second, &seen, &[]);
    for second in 0..29 {
        at(second, busy(&[], 7));
    }
    // The controller is dropped, and its requests are taken back, which the kernel counts.
    at(29, busy(&LOST, 8));
    assert_eq!(reasons(&at(30, busy(&LOST, 8))), [Reason::PathLost]);
    for second in 31..60 {
        assert_eq!(reasons(&at(second, busy(&[], 9))), [], "{second}");
    }
    let plan = at(61, busy(&LOST, 10));
    assert_eq!(plan.actions, [Action::GiveUp(id("a"))]);
}

#[test]
fn a_path_that_is_down_beside_others_is_told_after_half_a_minute_and_its_return_too() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let down = [seen(
        "a",
        &[Finding::PathsDown {
            usable: 1,
            wanted: 2,
        }],
    )];
    assert_eq!(reasons(&ledger.plan(now, &down, &[])), []);
    assert_eq!(reasons(&ledger.plan(now + SECOND * 29, &down, &[])), []);
    let told = ledger.plan(now + SECOND * 30, &down, &[]);
    assert_eq!(reasons(&told), [Reason::PathLost]);
    assert_eq!(told.actions, [], "the others carry the I/O");
    assert_eq!(reasons(&ledger.plan(now + SECOND * 31, &down, &[])), []);
    let back = ledger.plan(now + SECOND * 40, &[seen("a", &[])], &[]);
    assert_eq!(reasons(&back), [Reason::PathRestored]);
    assert!(back.outages.is_empty(), "there was none");
}

#[test]
fn a_disk_on_which_io_keeps_failing_is_lost_and_its_io_is_let_go_at_the_limit() {
    let mut ledger = Ledger::default();
    let mut now = Instant::now();
    let failed = [seen("a", &FAILED)];
    let well = [seen("a", &[])];
    let (bring_back, pass) = (Action::BringBack(id("a")), Action::PassErrors(id("a")));
    for round in 0..5 {
        let mut plan = ledger.plan(now, &failed, &[]);
        if round > 0 {
            // It serves no read, so it is no bad block.
            assert_eq!(plan.actions, std::slice::from_ref(&pass), "{round}");
            ledger.ended(now, &pass, &Came::Nothing, &mut Plan::default());
            now += SECOND;
            plan = ledger.plan(now, &failed, &[]);
        }
        assert_eq!(plan.actions, std::slice::from_ref(&bring_back), "{round}");
        ledger.ended(now, &bring_back, &Came::Reinstated, &mut Plan::default());
        let plan = ledger.plan(now, &well, &[]);
        assert_eq!(plan.outages.is_empty(), round == 4, "{round}");
        now += SECOND;
    }
    let told = ledger.plan(now + SECOND * 30, &well, &[]);
    assert_eq!(reasons(&told), [Reason::PathLost]);
    fail_five_times(&mut ledger, now + SECOND * 50);
    let plan = ledger.plan(now + SECOND * 60, &failed, &[]);
    assert_eq!(
        plan.actions,
        [Action::GiveUp(id("a"))],
        "nothing is brought back"
    );
}

#[test]
fn a_disk_that_goes_after_its_io_kept_failing_has_its_whole_time() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let failed = [seen("a", &FAILED)];
    ledger.plan(now, &failed, &[]);
    fail_five_times(&mut ledger, now + SECOND * 50);
    let well = [seen("a", &[])];
    ledger.plan(now + SECOND * 55, &well, &[]);
    let gone = [seen("a", &[Finding::NoPath])];
    let plan = ledger.plan(now + SECOND * 61, &gone, &[]);
    assert_eq!(plan.actions, []);
    let plan = ledger.plan(now + SECOND * 121, &gone, &[]);
    assert_eq!(plan.actions, [Action::GiveUp(id("a"))]);
}

#[test]
fn a_disk_on_which_io_no_longer_fails_is_back() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let failed = [seen("a", &FAILED)];
    ledger.plan(now, &failed, &[]);
    fail_five_times(&mut ledger, now);
    let well = [seen("a", &[])];
    let early = ledger.plan(now + SECOND * 59, &well, &[]);
    assert!(early.outages.is_empty());
    let back = ledger.plan(now + SECOND * 60, &well, &[]);
    assert_eq!(back.outages, [SECOND * 60]);
}

#[test]
fn io_is_let_go_at_its_limit_and_not_before() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let lost = [seen("a", &[Finding::NoPath])];
    ledger.plan(now, &lost, &[]);
    assert_eq!(ledger.plan(now + SECOND * 59, &lost, &[]).actions, []);
    let plan = ledger.plan(now + SECOND * 60, &lost, &[]);
    assert_eq!(plan.actions, [Action::GiveUp(id("a"))]);
}

#[test]
fn what_others_have_mounted_is_told_once_it_is_seen_twice_and_not_touched() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let foreign = Finding::Taken {
        path: "/stage/a".into(),
        what: "/stage/a is a mount of 254:7, not of dm-0".to_owned(),
    };
    let (there, busy) = ([seen("a", &[foreign])], [seen("a", &[])]);
    assert_eq!(reasons(&ledger.plan(now, &there, &[])), []);
    let second = ledger.plan(now, &there, &[]);
    assert_eq!(reasons(&second), [Reason::MountFailure]);
    assert_eq!(second.actions, []);
    let message = "/stage/a is a mount of 254:7, not of dm-0, and it stays so";
    assert_eq!(second.notices[0].message, message);
    for look in [&there, &busy, &there, &there] {
        assert_eq!(reasons(&ledger.plan(now, look, &[])), []);
    }
}

#[test]
fn a_target_that_is_not_mounted_is_told_without_whose_work_that_was() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let unmounted = Finding::Taken {
        path: "/pod".into(),
        what: "/pod is not mounted".to_owned(),
    };
    let seen = [seen("a", &[unmounted])];
    ledger.plan(now, &seen, &[]);
    let told = ledger.plan(now, &seen, &[]).notices;
    assert_eq!(told[0].message, "/pod is not mounted, and it stays so");
}

#[test]
fn another_namespace_is_told_once() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let other = [seen(
        "a",
        &[Finding::IdentityMismatch("another uuid".to_owned())],
    )];
    let first = ledger.plan(now, &other, &[]);
    assert_eq!(reasons(&first), [Reason::IdentityMismatch]);
    assert_eq!(first.actions, [], "it is never touched");
    assert_eq!(reasons(&ledger.plan(now, &other, &[])), []);
}

#[test]
fn a_stale_mount_is_believed_when_it_is_seen_twice_and_tried_three_times() {
    let mut ledger = Ledger::default();
    let mut now = Instant::now();
    let stale = [seen("a", &[Finding::Stale(Stale::DeviceGone)])];
    let repair = Action::Repair(id("a"));
    assert_eq!(ledger.plan(now, &stale, &[]).actions, []);
    let mut attempts = 0;
    for _ in 0..20 {
        let plan = ledger.plan(now, &stale, &[]);
        if plan.actions.contains(&repair) {
            attempts += 1;
            let failed = Came::Failed("no".to_owned());
            ledger.ended(now, &repair, &failed, &mut Plan::default());
        }
        now += SECOND * 5;
    }
    assert_eq!(attempts, 3, "until something else changes");
    let changed = [seen(
        "a",
        &[Finding::NoPath, Finding::Stale(Stale::DeviceGone)],
    )];
    assert!(ledger.plan(now, &changed, &[]).actions.contains(&repair));
}

#[test]
fn a_controller_that_nobody_wants_goes_after_its_grace() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let nqn: Nqn = "nqn.2026-01.org.example:x".parse().expect("a name");
    let unwanted = [(Instance(3), nqn)];
    assert_eq!(ledger.plan(now, &[], &unwanted).actions, []);
    assert_eq!(
        ledger.plan(now + GRACE - SECOND, &[], &unwanted).actions,
        []
    );
    assert_eq!(ledger.plan(now + GRACE, &[], &unwanted).actions.len(), 1);
}

#[test]
fn a_map_that_could_not_be_changed_is_tried_a_second_later_however_often_that_was() {
    let mut ledger = Ledger::default();
    let mut now = Instant::now();
    let behind = [seen("a", &[Finding::MapBehind])];
    let swap = Action::BringBack(id("a"));
    let failed = Came::Failed("the disk went again".to_owned());
    for _ in 0..5 {
        let actions = ledger.plan(now, &behind, &[]).actions;
        assert_eq!(actions, std::slice::from_ref(&swap));
        ledger.ended(now, &swap, &failed, &mut Plan::default());
        assert_eq!(ledger.plan(now + SECOND / 2, &behind, &[]).actions, []);
        now += SECOND;
    }
}

#[test]
fn each_finding_has_its_reaction() {
    use Finding::{
        MapBehind, MapFailed, MapLetGo, MapLettingGo, MapMissing, MapUnqueued, Orphan, PathMissing,
        PathsDown, Stale as Dead, Unkept, Untuned,
    };
    let controller = Instance(3);
    let repair = || vec![Action::Repair(id("a"))];
    let rows: [(Finding, Vec<Action>); 12] = [
        (
            PathsDown {
                usable: 1,
                wanted: 2,
            },
            vec![],
        ),
        (PathMissing(0), vec![reach("a")]),
        (MapBehind, vec![Action::BringBack(id("a"))]),
        (MapFailed, vec![Action::BringBack(id("a"))]),
        (MapMissing, repair()),
        (MapLetGo, repair()),
        (MapLettingGo, vec![Action::GiveUp(id("a"))]),
        (MapUnqueued, vec![Action::Queue(id("a"))]),
        (Dead(Stale::NotMounted), repair()),
        (Untuned(controller), vec![Action::Retune(id("a"))]),
        (Unkept("nvme0n1".to_owned()), vec![Action::Retune(id("a"))]),
        (
            Orphan(controller),
            vec![Action::LookAgain {
                volume: id("a"),
                controller,
            }],
        ),
    ];
    for (finding, wanted) in rows {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        let volumes = [seen("a", std::slice::from_ref(&finding))];
        // A stale mount is believed when it is seen twice.
        let mut actions = ledger.plan(now, &volumes, &[]).actions;
        actions.extend(ledger.plan(now, &volumes, &[]).actions);
        assert_eq!(actions, wanted, "{finding:?}");
    }
}

#[test]
fn a_controller_that_shows_nothing_is_told_to_look_and_goes_after_its_grace() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let controller = Instance(3);
    let orphan = [seen("a", &[Finding::Orphan(controller)])];
    let look = Action::LookAgain {
        volume: id("a"),
        controller,
    };
    let first = ledger.plan(now, &orphan, &[]);
    assert_eq!(first.actions, std::slice::from_ref(&look));
    assert_eq!(reasons(&first), []);
    ledger.ended(now, &look, &Came::Done, &mut Plan::default());
    assert_eq!(ledger.plan(now + SECOND, &orphan, &[]).actions, []);
    let later = ledger.plan(now + SECOND * 5, &orphan, &[]);
    assert_eq!(later.actions, [look]);
    let told = ledger.plan(now + SECOND * 10, &orphan, &[]);
    assert_eq!(reasons(&told), [Reason::OrphanDetected]);
    let again = ledger.plan(now + SECOND * 11, &orphan, &[]);
    assert_eq!(reasons(&again), []);
    let gone = ledger.plan(now + GRACE, &orphan, &[]).actions;
    assert!(matches!(gone[..], [Action::Drop { .. }]), "{gone:?}");
    let cleaned = ledger.plan(now + GRACE, &[seen("a", &[])], &[]);
    assert_eq!(reasons(&cleaned), [Reason::OrphanCleaned]);
}

#[test]
fn a_controller_whose_namespace_comes_within_seconds_is_told_neither_as_an_orphan_nor_as_none() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let orphan = [seen("a", &[Finding::Orphan(Instance(3))])];
    for second in 0..10 {
        let plan = ledger.plan(now + SECOND * second, &orphan, &[]);
        assert_eq!(reasons(&plan), [], "{second}");
    }
    let well = ledger.plan(now + SECOND * 10, &[seen("a", &[])], &[]);
    assert_eq!(reasons(&well), []);
    // Another time is another time.
    let plan = ledger.plan(now + SECOND * 11, &orphan, &[]);
    assert_eq!(reasons(&plan), []);
}
