//! What is mounted where a volume was.

use super::*;

#[test]
fn mounts_are_stale_when_they_lead_nowhere_or_elsewhere() {
    use Stale::{DeviceGone, FilesystemDead, NotMounted, OtherDevice, Publication};
    let gone: Change = |world| world.mounts.clear();
    let renumbered: Change = |world| world.staged_mut().disk.diskseq = Some(777);
    let dead: Change = |world| world.remount("/dev/nvme0n1 rw", "/dev/nvme0n1 rw,shutdown");
    let read_only: Change = |world| world.remount("/dev/nvme0n1 rw", "/dev/nvme0n1 ro");
    let foreign: Change =
        |world| world.mounts = "40 1 8:1 / /stage rw - ext4 /dev/sda1 rw\n".into();
    let vanished: Change = |world| {
        let seen = format!("{} / /stage", world.staged_mut().disk.dev);
        world.remount(&seen, "259:77 / /stage");
    };
    let published: Change = |world| {
        publish(world, "41 1 259:1 / /pod rw - ext4 /dev/nvme0n1 rw\n");
        world.record.publications[0].disk.diskseq = Some(777);
    };
    let rows: [(&str, Change, Stale); 7] = [
        ("not mounted", gone, NotMounted),
        ("re-numbered", renumbered, OtherDevice),
        ("shut down", dead, FilesystemDead),
        ("read-only", read_only, FilesystemDead),
        ("a number that no disk has", vanished, DeviceGone),
        ("published from an older disk", published, Publication),
        (
            "a block device that came back as another",
            block_renumbered,
            OtherDevice,
        ),
    ];
    let mut world = World::bare("trixie-one-path");
    for (name, change, stale) in rows {
        world.check(name, change, &[Finding::Stale(stale)]);
    }
    let lost = [
        Finding::NoPath,
        Finding::PathMissing(0),
        Finding::Stale(DeviceGone),
    ];
    for suite in SUITES {
        let (capture, before) = (format!("{suite}-map-lost"), format!("{suite}-one-path"));
        World::staged(&capture, &before, Hold::None).check(&capture, nothing, &lost);
    }
    let told = taken("/stage", "is a mount of 8:1, not of nvme0n1 (259:1)");
    world.check("somebody else's", foreign, &[told]);
}

fn block_renumbered(world: &mut World) {
    world.record.capability.access = AccessType::Block;
    world.mounts.clear();
    world.staged_mut().disk.diskseq = Some(777);
}

#[test]
fn the_mounts_of_a_volume_are_its_places_and_all_others_that_show_its_disk() {
    let mut world = World::bare("trixie-one-path");
    publish(&mut world, "41 1 0:44 / /pod rw - tmpfs tmpfs rw\n");
    world.mounts += "42 1 259:1 / /elsewhere rw - ext4 /dev/nvme0n1 rw\n";
    world.mounts += "43 1 259:9 / /others rw - ext4 /dev/nvme7n1 rw\n";
    let mounted = mounted_at(&world.record, &world.sight());
    assert_eq!(mounted, ["/stage", "/pod", "/elsewhere"].map(PathBuf::from));
}

#[test]
fn what_others_did_to_the_mount_of_a_pod_is_told_and_not_repaired() {
    let unmounted = taken("/pod", "is not mounted");
    let covered = taken("/pod", "is a mount of 0:44, not of nvme0n1 (259:1)");
    let node = taken(
        "/pod",
        "is a mount of nvme0n1//deleted, not of nvme0n1 (259:1)",
    );
    let withdrawn = Finding::Stale(Stale::Publication);
    let repaired: Change = |world| {
        publish(world, "");
        world.record.publications[0].withdrawn = true;
    };
    let rows: [(&str, Change, Finding); 4] = [
        ("unmounted", |world| publish(world, ""), unmounted),
        (
            "mounted over",
            |world| publish(world, "41 1 0:44 / /pod rw - tmpfs tmpfs rw\n"),
            covered,
        ),
        (
            "a node that is gone, of a disk that is there",
            |world| {
                let gone = "41 1 0:6 /nvme0n1//deleted /pod rw - devtmpfs udev rw\n";
                publish(world, gone);
            },
            node,
        ),
        ("taken away by a repair", repaired, withdrawn),
    ];
    let mut world = World::bare("trixie-one-path");
    for (name, change, finding) in rows {
        world.check(name, change, &[finding]);
    }
}
