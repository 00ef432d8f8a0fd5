//! What is found on the captured trees: every row of what can be wrong, one table for each kind.

mod blind;
mod company;
mod mounts;

use std::path::PathBuf;

use kernel_lab::tree::unpack;
use nvme_sysfs::{Namespace, Sysfs};
use tempfile::TempDir;

use super::*;
use crate::host::dm::fixture::captured_maps;
use crate::host::dm::{Map, OnPathLoss};
use crate::host::mountinfo::MountTable;
use crate::volume::identity::{Disk, VolumeIdentity};
use crate::volume::record::{Phase, Staged};
use crate::volume::request::AccessType;
use crate::volume::standing::mounted_at;
use crate::watch::Trees;

const HOSTNQN: &str = "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

/// Whose trees are captured.
const SUITES: [&str; 3] = ["bookworm", "trixie", "sid"];

/// The volume of the captured trees, staged as a filesystem, and what is seen of it.
struct World {
    record: StageRecord,
    maps: Vec<Map>,
    mounts: String,
    tree: Trees,
    _root: TempDir,
}

/// How a volume is changed, or what is seen of it, before it is looked at.
type Change = fn(&mut World);

impl World {
    /// Without a map.
    fn bare(capture: &str) -> World {
        World::staged(capture, "trixie-one-path", Hold::None)
    }

    /// With the map of the captures of one kernel.
    fn held(suite: &str, capture: &str) -> World {
        let (capture, before) = (format!("{suite}-{capture}"), format!("{suite}-map"));
        World::staged(&capture, &before, map_hold())
    }

    /// A volume that was staged when the machine looked like `before`, and looks like `capture` now.
    fn staged(capture: &str, before: &str, hold: Hold) -> World {
        let earlier = unpacked(before);
        let earlier_tree = Sysfs::at(earlier.path()).scan().expect("a tree");
        let namespace = earlier_tree.namespaces().next().expect("a namespace");
        let disk = match hold.map() {
            Some(_) => Disk::of_map(&captured_maps(earlier.path(), before)[0]),
            None => Disk::of(namespace).expect("a disk"),
        };
        let root = unpacked(capture);
        let mounts = format!(
            "40 1 {} / /stage rw - ext4 /dev/{} rw\n",
            disk.dev, disk.name
        );
        World {
            record: record(namespace, disk, hold),
            maps: match capture.contains("-map") {
                true => captured_maps(root.path(), capture),
                false => Vec::new(),
            },
            mounts,
            tree: Trees::of(Sysfs::at(root.path())),
            _root: root,
        }
    }

    fn sight(&self) -> Sight {
        Sight {
            tree: self.tree.scan().expect("a tree"),
            maps: self.maps.clone(),
            mounts: MountTable::parse(self.mounts.as_bytes()).expect("a table"),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        detect(&self.record, &self.sight(), &hostnqn())
    }

    /// What is found after a change, which is taken back.
    fn check(&mut self, name: &str, change: Change, wanted: &[Finding]) {
        let before = (self.record.clone(), self.maps.clone(), self.mounts.clone());
        change(self);
        assert_eq!(self.findings(), wanted, "{name}");
        (self.record, self.maps, self.mounts) = before;
    }

    fn identity(&mut self) -> &mut VolumeIdentity {
        &mut self.staged_mut().identity
    }

    fn staged_mut(&mut self) -> &mut Staged {
        match &mut self.record.phase {
            Phase::Staged(staged) => staged,
            other => panic!("{other:?}"),
        }
    }

    fn remount(&mut self, from: &str, to: &str) {
        assert!(self.mounts.contains(from), "{}", self.mounts);
        self.mounts = self.mounts.replace(from, to);
    }
}

fn unpacked(capture: &str) -> TempDir {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/sysfs")
        .join(format!("{capture}.tree"));
    unpack(&file).expect("a captured tree")
}

fn hostnqn() -> Nqn {
    HOSTNQN.parse().expect("a name")
}

/// The map of the captures, which an earlier version made.
fn map_hold() -> Hold {
    Hold::Dm("NVMEOF-CSI-d7bcad7efe1f4d75".parse().expect("a map"))
}

/// By its own form.
fn record(namespace: &Namespace, disk: Disk, hold: Hold) -> StageRecord {
    let json = r#"{
        "version": 1,
        "volume_id": "volume-1",
        "boot_id": "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
        "phase": "attaching",
        "staging_target_path": "/stage",
        "capability": {
            "access": { "filesystem": { "fs": "ext4", "flags": [] } }, "mode": "single_node_writer"
        },
        "source": {
            "nqn": "nqn.2026-01.org.example:volume-1", "transport": "tcp",
            "addresses": [{ "traddr": "10.0.0.2", "trsvcid": 4420 }],
            "which": "only",
            "tuning": {
                "ctrl_loss_tmo": null, "reconnect_delay": null, "keep_alive_tmo": null,
                "fast_io_fail_tmo": null, "nr_io_queues": null, "queue_size": null,
                "nr_poll_queues": null, "nr_write_queues": null, "tos": null,
                "host_iface": null, "host_traddr": null, "hdr_digest": false,
                "data_digest": false
            },
            "hold": "auto", "path_loss_timeout": null
        },
        "hold": null,
        "publications": []
    }"#;
    let mut record: StageRecord = serde_json::from_str(json).expect("the form of a record");
    record.phase = Phase::Staged(Staged {
        identity: VolumeIdentity::of(namespace),
        disk,
    });
    record.hold = Some(hold);
    record
}

fn publish(world: &mut World, line: &str) {
    let disk = world.staged_mut().disk.clone();
    let disk = serde_json::to_string(&disk).expect("a disk");
    let json = format!(
        r#"{{ "target_path": "/pod", "readonly": "no", "flags": [], "disk": {disk}, "pod": null }}"#
    );
    let publication = serde_json::from_str(&json).expect("the form of a publication");
    world.record.publications.push(publication);
    world.mounts += line;
}

fn second_address(world: &mut World) {
    let mut second = world.record.source.addresses[0].clone();
    second.trsvcid = 4421;
    world.record.source.addresses.push(second);
}

/// What others have done at a place, in words.
fn taken(path: &str, what: &str) -> Finding {
    Finding::Taken {
        path: path.into(),
        what: format!("{path} {what}"),
    }
}

fn nothing(_: &mut World) {}

fn instance(name: &str) -> Instance {
    name.parse().expect("a controller")
}

#[test]
fn paths_that_are_down_or_missing_are_found_on_every_kernel() {
    use Finding::{NoPath, Orphan, PathMissing, PathsDown};
    let down = PathsDown {
        usable: 1,
        wanted: 2,
    };
    let rows: [(&str, Change, &[Finding]); 6] = [
        ("one-path", nothing, &[]),
        ("connecting", nothing, &[NoPath]),
        ("orphan", nothing, &[NoPath, Orphan(instance("nvme0"))]),
        ("two-paths-ana", second_address, std::slice::from_ref(&down)),
        ("one-path", second_address, &[down.clone(), PathMissing(1)]),
        ("two-namespaces", nothing, &[]),
    ];
    for suite in SUITES {
        for (capture, change, wanted) in &rows {
            let capture = format!("{suite}-{capture}");
            let before = format!("{suite}-one-path");
            let mut world = World::staged(&capture, &before, Hold::None);
            let tree = world.tree.scan().expect("a tree");
            let identity = world.identity().clone();
            let disk = tree.namespaces().find(|disk| identity.names(disk));
            if let Some(disk) = disk.and_then(Disk::of) {
                let seen = format!("{} / /stage", world.staged_mut().disk.dev);
                world.remount(&seen, &format!("{} / /stage", disk.dev));
                world.staged_mut().disk = disk;
            } else {
                // What is gone has its own row.
                world.record.capability.access = AccessType::Block;
            }
            world.check(&capture, *change, wanted);
        }
    }
}

#[test]
fn maps_are_judged_by_what_is_below_them() {
    use Finding::{
        MapBehind, MapFailed, MapLetGo, MapLettingGo, MapMissing, MapSpinning, MapUnqueued, NoPath,
        PathMissing, Untuned,
    };
    let other = taken("/stage", "is a mount of 254:7, not of dm-0 (254:0)");
    let forget: Change = |world| world.maps.clear();
    let suspend: Change = |world| world.maps[0].suspended = true;
    let let_go: Change = |world| world.maps[0].is_let_go = true;
    let let_go_halfway: Change = |world| {
        world.maps[0].is_let_go = true;
        world.maps[0].suspended = true;
    };
    let passing: Change = |world| world.maps[0].on_path_loss = Some(OnPathLoss::Pass);
    let let_go_passing: Change = |world| {
        world.maps[0].is_let_go = true;
        world.maps[0].on_path_loss = Some(OnPathLoss::Pass);
    };
    let half_changed: Change = |world| world.maps[0].has_inactive_table = true;
    let other_map: Change = |world| world.remount("254:0", "254:7");
    let outlives: Change = |world| {
        world.record.source.tuning.options.ctrl_loss_tmo = None;
        world.maps = Vec::new();
    };
    let rows: [(&str, Change, &[Finding]); 17] = [
        ("map", nothing, &[]),
        ("map-lost", nothing, &[NoPath, PathMissing(0), MapSpinning]),
        ("map-behind", nothing, &[NoPath, MapBehind]),
        ("map-failed", nothing, &[NoPath, MapFailed]),
        ("map-suspended", nothing, &[NoPath, MapBehind]),
        ("map-lost", suspend, &[NoPath, PathMissing(0)]),
        ("map-let-go", let_go, &[NoPath, MapLetGo]),
        // Of a suspend that was cut off.
        ("map-let-go", nothing, &[NoPath, MapUnqueued]),
        ("map-failed", let_go, &[NoPath, MapLettingGo]),
        (
            "map-lost",
            let_go_halfway,
            &[NoPath, PathMissing(0), MapLettingGo],
        ),
        // Its I/O fails by itself, and it takes no message.
        ("map", let_go_passing, &[NoPath, MapLetGo]),
        ("map", forget, &[NoPath, MapMissing]),
        ("map-failed", half_changed, &[NoPath, MapBehind]),
        ("map", half_changed, &[MapBehind]),
        ("map", passing, &[MapBehind]),
        ("map-lost", passing, &[NoPath, PathMissing(0), MapBehind]),
        // Another map is mounted there: it is somebody else's.
        ("map", other_map, &[other]),
    ];
    let untuned = [NoPath, MapMissing, Untuned(instance("nvme0"))];
    for suite in SUITES {
        for (capture, change, wanted) in &rows {
            let name = format!("{suite}-{capture}");
            World::held(suite, capture).check(&name, *change, wanted);
        }
        let mut outliving = World::held(suite, "one-path");
        let name = format!("{suite}: a controller that outlives its loss");
        outliving.check(&name, outlives, &untuned);
    }
}

#[test]
fn a_head_must_outlive_its_paths_where_it_holds_the_io() {
    use Finding::{NoPath, PathMissing, Unkept};
    let native = |capture| World::staged(capture, "sid-one-path", Hold::Native);
    let unkept = [Unkept("nvme0n1".to_owned())];
    native("sid-one-path").check("sid-one-path", nothing, &unkept);
    let mut held = native("sid-held");
    let tree = held.tree.scan().expect("a tree");
    let head = tree.namespaces().next().and_then(Disk::of).expect("a head");
    let seen = format!("{} / /stage", held.staged_mut().disk.dev);
    held.remount(&seen, &format!("{} / /stage", head.dev));
    held.staged_mut().disk = head;
    held.record.source.path_loss_timeout = Some(std::time::Duration::from_secs(5));
    held.check("sid-held", nothing, &[NoPath, PathMissing(0)]);
}

#[test]
fn another_namespace_behind_the_name_is_never_the_volume() {
    let rows: [(&str, Change); 7] = [
        ("uuid", |world| {
            let other = "33333333-3333-4333-8333-333333333333";
            world.identity().uuid = other.parse().ok();
        }),
        ("nguid", |world| {
            world.identity().nguid = "3".repeat(32).parse().ok()
        }),
        ("eui64", |world| {
            world.identity().eui64 = "3".repeat(16).parse().ok()
        }),
        ("block size", |world| {
            world.identity().logical_block_size = Some(123)
        }),
        ("metadata", |world| {
            world.identity().metadata_bytes = Some(8)
        }),
        ("smaller", |world| world.identity().size_bytes += 1),
        ("without ids", |world| world.identity().uuid = None),
    ];
    for mut world in [
        World::bare("trixie-one-path"),
        World::held("trixie", "map-behind"),
        World::held("sid", "map-behind"),
    ] {
        let before = world.record.clone();
        for (name, change) in rows {
            change(&mut world);
            let findings = world.findings();
            let is_told = |finding: &Finding| matches!(finding, Finding::IdentityMismatch(_));
            assert!(findings.iter().any(is_told), "{name}: {findings:?}");
            assert!(findings.contains(&Finding::NoPath), "{name}: {findings:?}");
            assert!(
                !findings.contains(&Finding::MapBehind),
                "{name}: {findings:?}"
            );
            world.record = before.clone();
        }
    }
}

#[test]
fn a_controller_that_no_record_wants_is_found_only_if_it_is_ours() {
    let world = World::bare("trixie-one-path");
    let tree = world.tree.scan().expect("a tree");
    let nqn = world.record.source.nqn.clone();
    let wanted = [(instance("nvme0"), nqn)];
    assert_eq!(find_unwanted(&[], &tree, |_| true), wanted);
    assert_eq!(find_unwanted(&[], &tree, |_| false), []);
    assert_eq!(find_unwanted(&[world.record], &tree, |_| true), []);
}

#[test]
fn a_volume_that_is_not_staged_is_not_judged() {
    let mut world = World::bare("trixie-connecting");
    world.record.phase = Phase::Attaching;
    assert_eq!(world.findings(), []);
}
