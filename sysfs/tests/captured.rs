//! Trees and uevents captured from real kernels (`fixtures/`): bookworm's 6.1, trixie's 6.12 and sid's.
//!
//! Each test names the kernels that it wants, so that a fixture which is missing is a failure and not one case less.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nvme_sysfs::{
    Action, AnaState, Controller, ControllerLoss, ControllerState, FastIoFail, FindNamespaceError,
    Instance, IoPolicy, NamespaceKind, NamespaceSelector, Nqn, Sysfs, Transport, Tree, Uevent,
};

const ALL: [&str; 3] = ["bookworm", "trixie", "sid"];
const NQN: &str = "nqn.2026-01.org.example:volume-1";
const FIRST: &str = "11111111-1111-4111-8111-111111111111";
const SECOND: &str = "22222222-2222-4222-8222-222222222222";

fn fixture(below: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(below)
}

/// Runs the check on the tree of each kernel.
fn on_each(suites: &[&str], recipe: &str, check: impl Fn(&Sysfs, Tree)) {
    for suite in suites {
        let file = fixture(&format!("sysfs/{suite}-{recipe}.tree"));
        let root = kernel_lab::tree::unpack(&file).expect("a captured tree");
        let sysfs = Sysfs::at(root.path());
        eprintln!("{suite}-{recipe}");
        check(&sysfs, sysfs.scan().expect("a scan without error"));
    }
}

fn find<'a>(tree: &'a Tree, which: &NamespaceSelector) -> Option<&'a str> {
    let nqn: Nqn = NQN.parse().expect("an nqn");
    let found = tree.find_namespace(&nqn, which).expect("not ambiguous");
    found.map(|namespace| namespace.name.as_str())
}

fn by_uuid(uuid: &str) -> NamespaceSelector {
    NamespaceSelector::Uuid(uuid.parse().expect("a uuid"))
}

#[test]
fn one_path_is_one_head_reached_by_one_live_controller() {
    on_each(&ALL, "one-path", |sysfs, tree| {
        assert_eq!(tree.multipath, Some(true));
        assert_eq!(find(&tree, &NamespaceSelector::Only), Some("nvme0n1"));
        assert_eq!(find(&tree, &by_uuid(FIRST)), Some("nvme0n1"));
        let subsystem = &tree.subsystems[0];
        let head = &subsystem.namespaces[0];
        assert!(head.is_head() && subsystem.is_reachable(head));
        assert_eq!(
            (head.size_bytes, head.identity.nguid),
            (64 << 20, None),
            "the uuid is no copy of the nguid"
        );
        let controller = &subsystem.controllers[0];
        assert_eq!(controller.address.to_string(), controller.address_text);
        assert_eq!(
            (controller.address.traddr.as_deref(), controller.is_live()),
            (Some("10.0.0.2"), true)
        );
        assert_eq!(
            controller.firmware_rev.as_deref().map(str::trim),
            controller.firmware_rev.as_deref()
        );
        let [(_, path)] = tree.paths_of(head).collect::<Vec<_>>()[..] else {
            panic!("one path: {tree:?}")
        };
        assert_eq!(
            (path.csi, path.metadata_bytes),
            (head.csi, head.metadata_bytes)
        );
        assert_eq!(path.read_only, Some(false));
        assert!(path.diskseq.is_some() && path.diskseq != head.diskseq);
        let core = sysfs.parameters().core;
        assert_eq!(core.multipath, tree.multipath);
        assert_eq!(core.iopolicy, Some(IoPolicy::Numa));
        assert_eq!(core.io_timeout, Some(Duration::from_secs(30)));
        assert_eq!(core.admin_timeout, Some(Duration::from_secs(60)));
        assert_eq!(core.max_retries, Some(5));
        assert_eq!(tree.orphans().count(), 0);
        assert_eq!(
            tree.find_namespace_by_dev(head.dev.expect("a number")),
            Some(head)
        );
        assert_eq!(tree.unknown().count(), 0);
        let listed = sysfs.list().expect("a listing").hosts;
        let path = &listed[0].subsystems[0].paths[0];
        assert_eq!(
            (
                path.name.as_str(),
                path.transport.as_str(),
                path.state.as_str()
            ),
            ("nvme0", "tcp", "live")
        );
        assert_eq!(path.address, controller.address_text);
    });
}

#[test]
fn two_paths_of_one_head_have_their_own_access_states_and_time_outs() {
    on_each(&ALL, "two-paths-ana", |_, tree| {
        let head = &tree.subsystems[0].namespaces[0];
        let states = tree
            .paths_of(head)
            .map(|(controller, path)| (controller.instance, path.ana_state.clone()));
        assert_eq!(
            states.collect::<Vec<_>>(),
            [
                (Instance(0), Some(AnaState::Optimized)),
                (Instance(1), Some(AnaState::Inaccessible))
            ]
        );
        let [first, second] = tree.subsystems[0].controllers.as_slice() else {
            panic!("two: {tree:?}")
        };
        assert_eq!(first.ctrl_loss_tmo, Some(ControllerLoss::Never));
        assert_eq!(
            second.fast_io_fail_tmo,
            Some(FastIoFail::After(Duration::from_secs(7)))
        );
        assert!(!first.address.same_endpoint(&second.address));
        assert_eq!(tree.orphans().count(), 0);
    });
}

#[test]
fn io_waits_behind_live_controllers_where_no_path_of_the_disk_is_served() {
    on_each(&ALL, "two-paths-ana", |_, mut tree| {
        let waits = |tree: &Tree| {
            let subsystem = &tree.subsystems[0];
            let disk = &subsystem.namespaces[0];
            let behind = |it: &Controller| subsystem.waits_behind(disk, it);
            subsystem.controllers.iter().map(behind).collect::<Vec<_>>()
        };
        assert_eq!(waits(&tree), [false, false], "one path is served");
        tree.subsystems[0].controllers[0].paths[0].ana_state = Some(AnaState::Inaccessible);
        assert_eq!(waits(&tree), [true, true]);
        tree.subsystems[0].controllers[1].state = ControllerState::Connecting;
        assert_eq!(waits(&tree), [true, false], "it is not live");
    });
}

#[test]
fn io_waits_behind_no_controller_that_serves_another_namespace() {
    on_each(&ALL, "two-namespaces", |_, mut tree| {
        let waits = |tree: &Tree| {
            let subsystem = &tree.subsystems[0];
            let disk = &subsystem.namespaces[0];
            subsystem.waits_behind(disk, &subsystem.controllers[0])
        };
        let first = tree.subsystems[0].namespaces[0].name.clone();
        for shut in [true, false] {
            let mut paths = tree.subsystems[0].controllers[0].paths.iter_mut();
            let path = paths.find(|path| (path.head == first) == shut);
            path.expect("a path").ana_state = Some(AnaState::Inaccessible);
            assert_eq!(waits(&tree), !shut, "the other one is served: {shut}");
        }
    });
}

#[test]
fn two_namespaces_are_told_apart_by_identity_whatever_their_running_numbers() {
    on_each(&ALL, "two-namespaces", |_, tree| {
        let by_nsid = |nsid: &str| NamespaceSelector::Nsid(nsid.parse().expect("an nsid"));
        let nqn: Nqn = NQN.parse().expect("an nqn");
        assert!(find(&tree, &by_nsid("1")).is_some());
        assert_eq!(find(&tree, &by_nsid("1")), find(&tree, &by_uuid(FIRST)));
        assert_eq!(find(&tree, &by_nsid("7")), find(&tree, &by_uuid(SECOND)));
        assert_ne!(find(&tree, &by_nsid("1")), find(&tree, &by_nsid("7")));
        let found = tree.find_namespace(&nqn, &NamespaceSelector::Only);
        let Err(FindNamespaceError::Ambiguous(error)) = found else {
            panic!("two namespaces: {found:?}")
        };
        assert_eq!(error.candidates.len(), 2);
        assert!(
            tree.namespaces()
                .all(|head| tree.paths_of(head).count() == 1)
        );
    });
}

#[test]
fn a_controller_that_lost_its_link_is_connecting_and_its_head_stays() {
    on_each(&ALL, "connecting", |_, tree| {
        let subsystem = &tree.subsystems[0];
        let controller = &subsystem.controllers[0];
        assert_eq!(controller.state, ControllerState::Connecting);
        assert_eq!(
            controller.address.src_addr, None,
            "told while the connection lasts"
        );
        assert!(!subsystem.is_reachable(&subsystem.namespaces[0]));
        assert_eq!(find(&tree, &NamespaceSelector::Only), Some("nvme0n1"));
    });
}

#[test]
fn a_live_controller_without_a_namespace_is_an_orphan() {
    on_each(&ALL, "orphan", |_, tree| {
        let orphans = tree.orphans().map(|controller| controller.instance);
        assert_eq!(orphans.collect::<Vec<_>>(), [Instance(0)]);
        assert_eq!(find(&tree, &NamespaceSelector::Only), None);
    });
}

#[test]
fn without_multipath_one_namespace_is_a_disk_of_each_controller() {
    on_each(&ALL, "multipath-off", |_, tree| {
        assert_eq!(tree.multipath, Some(false));
        let kinds = tree.namespaces().map(|namespace| namespace.kind);
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [
                NamespaceKind::Disk(Instance(0)),
                NamespaceKind::Disk(Instance(1))
            ]
        );
        assert_eq!(find(&tree, &NamespaceSelector::Only), Some("nvme0n1"));
        assert_eq!(tree.orphans().count(), 0);
    });
}

#[test]
fn a_local_drive_stands_beside_fabrics_and_has_no_host() {
    on_each(&ALL, "pcie", |sysfs, tree| {
        let drive = &tree.subsystems[0];
        assert_eq!(drive.controllers[0].transport, Transport::Pcie);
        assert_eq!(
            (
                &drive.controllers[0].hostnqn,
                drive.controllers[0].ctrl_loss_tmo
            ),
            (&None, None)
        );
        assert_eq!(drive.namespaces[0].kind, NamespaceKind::Disk(Instance(0)));
        assert!(!drive.namespaces[0].identity.is_unique());
        assert_eq!(find(&tree, &NamespaceSelector::Only), Some("nvme1n1"));
        assert_eq!(tree.unknown().count(), 0);
        let listed = sysfs.list().expect("a listing").hosts;
        assert_eq!(
            listed
                .iter()
                .map(|host| host.hostnqn.is_some())
                .collect::<Vec<_>>(),
            [false, true]
        );
    });
}

#[test]
fn a_loop_controller_has_no_address() {
    on_each(&["trixie", "sid"], "loop", |_, tree| {
        let controller = &tree.subsystems[0].controllers[0];
        assert_eq!(
            (&controller.transport, controller.address_text.as_str()),
            (&Transport::Loop, "")
        );
        assert_eq!(controller.address.traddr, None);
    });
}

#[test]
fn a_held_head_outlives_its_controllers() {
    on_each(&["sid"], "held", |sysfs, tree| {
        let subsystem = &tree.subsystems[0];
        assert!(subsystem.controllers.is_empty());
        let head = &subsystem.namespaces[0];
        assert_eq!(head.delayed_removal, Some(Duration::from_secs(5)));
        assert!(!subsystem.is_reachable(head));
        assert_eq!(sysfs.list().expect("a listing").hosts, []);
    });
}

/// The datagrams of a capture: each behind its length in 32 bits, least significant byte first.
fn events(suite: &str, name: &str) -> Vec<Uevent> {
    let capture = fs::read(fixture(&format!("uevent/{suite}-{name}.bin"))).expect("a capture");
    let mut rest = capture.as_slice();
    let mut events = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::try_from(u32::from_le_bytes(*length)).expect("a length");
        let (datagram, behind) = behind.split_at(length);
        events.push(Uevent::parse(datagram).expect("an event of the kernel"));
        rest = behind;
    }
    events
}

/// `action devname` of the events that tell about a device node.
fn nodes(events: &[Uevent]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| Some(format!("{} {}", event.action, event.devname()?)))
        .collect()
}

#[test]
fn a_connect_adds_the_controller_says_connected_and_adds_the_head() {
    for suite in ALL {
        let events = events(suite, "connect");
        let nodes = nodes(&events);
        let place = |node: &str| nodes.iter().position(|seen| seen == node);
        assert!(
            place("add nvme0").expect("added") < place("change nvme0").expect("connected"),
            "{suite}: {nodes:?}"
        );
        assert!(place("add nvme0n1").is_some(), "{suite}: {nodes:?}");
        let connected = events
            .iter()
            .find(|event| event.nvme_event().is_some())
            .expect("an NVME_EVENT");
        assert_eq!(
            (&connected.action, connected.nvme_event()),
            (&Action::Change, Some("connected"))
        );
        assert_eq!(connected.subsystem.as_deref(), Some("nvme"));
        assert!(connected.dev().is_some());
        assert!(events.is_sorted_by_key(|event| event.seqnum), "{suite}");
    }
}

#[test]
fn a_reconnect_says_connected_and_changes_the_head() {
    for suite in ALL {
        let events = events(suite, "reconnect");
        assert!(
            events
                .iter()
                .any(|event| event.nvme_event() == Some("connected")),
            "{suite}"
        );
        assert!(
            nodes(&events).iter().any(|node| node == "change nvme0n1"),
            "{suite}"
        );
        assert!(
            events.iter().all(|event| event.action == Action::Change),
            "{suite}"
        );
    }
}

#[test]
fn a_removal_removes_head_and_controller() {
    for suite in ALL {
        let nodes = nodes(&events(suite, "removal"));
        for node in ["remove nvme0n1", "remove nvme0"] {
            assert!(
                nodes.iter().any(|seen| seen == node),
                "{suite}: {node} is missing in {nodes:?}"
            );
        }
    }
}

#[test]
fn one_subsystem_is_read_as_it_stands_among_all() {
    for recipe in ["one-path", "two-paths-ana", "multipath-off", "pcie"] {
        on_each(&ALL, recipe, |sysfs, tree| {
            let names = tree.subsystems.iter().filter_map(|it| it.nqn.clone());
            let names: Vec<Nqn> = names.collect();
            assert!(!names.is_empty());
            for nqn in names {
                let alone = sysfs.scan_subsystem(&nqn).expect("a scan without error");
                let among: Vec<_> = tree.find_subsystems(&nqn).collect();
                assert_eq!(alone.subsystems.iter().collect::<Vec<_>>(), among);
                assert_eq!(alone.multipath, tree.multipath);
            }
            let other: Nqn = "nqn.2026-01.org.example:other".parse().expect("an nqn");
            let nothing = sysfs.scan_subsystem(&other).expect("a scan without error");
            assert_eq!(nothing.subsystems, []);
            let controllers = sysfs.scan_controllers().expect("a scan without error");
            let of_all = tree.controllers().cloned().map(|controller| Controller {
                paths: Vec::new(),
                ..controller
            });
            assert_eq!(controllers, of_all.collect::<Vec<_>>());
        });
    }
}
