//! The life of a volume on a node, through the plugin's real socket.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nvmeof_csi::host::signature::{Found, probe};
use tonic::{Code, Request};

use crate::case::Case;
use crate::plugin::{Plugin, Use, Volume, is_mounted, mounts_at, remembered, write_and_read};
use crate::remains::assert_nothing_remains;
use crate::scene::{
    BIG, NQN, OTHER_UUID, SILENT, Scene, UUID, cli, controllers, eventually, net, subsystem, target,
};

pub(super) const CASES: &[Case] = &[
    Case::new("an_ext4_volume_lives_and_dies", ext4_life),
    Case::new("an_xfs_volume_lives_and_dies", xfs_life),
    Case::new("a_block_volume_lives_and_dies", block_life),
    Case::new(
        "kubelet_is_told_of_a_block_volume_at_its_own_node_also_without_a_path",
        block_node,
    ),
    Case::new(
        "a_node_of_kubelet_that_outlived_its_disk_is_told_as_stale",
        stale_block_node,
    ),
    Case::new("calls_out_of_order_do_no_harm", out_of_order),
    Case::new(
        "two_volumes_of_one_subsystem_do_not_disturb_each_other_in_any_order",
        siblings,
    ),
    Case::new(
        "a_device_with_foreign_data_is_refused_and_unchanged",
        foreign_data,
    ),
    Case::new(
        "a_target_path_that_is_another_mount_is_refused",
        foreign_mount,
    ),
    Case::new(
        "an_unreachable_target_fails_stage_and_leaves_nothing",
        unreachable_at_stage,
    ),
    Case::new(
        "an_unreachable_target_does_not_stop_unpublish_and_unstage",
        unreachable_at_unstage,
    ),
    Case::new("ext4_and_xfs_grow_online_to_the_full_size", grow),
];

fn filesystem_life(fs_type: &'static str) {
    let scene = Scene::new();
    scene.big_volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Filesystem(fs_type));
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    write_and_read(&volume.target());
    let stats = plugin.stats(&volume).expect("stats");
    assert_eq!(stats.usage.len(), 2, "bytes and inodes");
    assert!(!stats.volume_condition.expect("a condition").abnormal);
    plugin.unpublish(&volume).expect("unpublish");
    assert!(!volume.target().exists());
    plugin.unstage(&volume).expect("unstage");
    assert!(!is_mounted(&volume.staging()));
    assert_eq!(controllers(), Vec::<String>::new());

    plugin.stage(&volume).expect("stage again");
    plugin.publish(&volume).expect("publish again");
    assert_eq!(
        fs::read(volume.target().join("file")).expect("a read"),
        b"kept"
    );
    plugin.unpublish(&volume).expect("unpublish");
    plugin.unstage(&volume).expect("unstage");
}

fn ext4_life() {
    filesystem_life("ext4");
}

fn xfs_life() {
    filesystem_life("xfs");
}

fn block_life() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Block);
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    let kind = fs::metadata(volume.target())
        .expect("the target")
        .file_type();
    assert!(kind.is_block_device(), "{kind:?}");
    let mut disk = File::options()
        .read(true)
        .write(true)
        .open(volume.target())
        .expect("the disk opens");
    disk.write_all(&[7; 4096])
        .and_then(|()| disk.sync_all())
        .expect("a write");
    drop(disk);
    assert!(!plugin.stats(&volume).expect("stats").usage.is_empty());
    plugin.unpublish(&volume).expect("unpublish");
    assert!(!volume.target().exists());
    plugin.unstage(&volume).expect("unstage");
    assert_eq!(controllers(), Vec::<String>::new());
    let mut start = [0; 4096];
    File::open(format!("/tmp/{UUID}.img"))
        .and_then(|mut file| file.read_exact(&mut start))
        .expect("the backing file");
    assert_eq!(start, [7; 4096], "the data is on the target");
}

fn block_node() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Block);
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    assert_ne!(volume.asked(), volume.target());
    // So does a loop device of kubelet's.
    let held = File::open(volume.asked()).expect("the disk");
    let told = || {
        let stats = plugin.stats(&volume).expect("an answer");
        let condition = stats.volume_condition.expect("a condition");
        assert_eq!(stats.usage[0].total, 64 << 20);
        (condition.abnormal, condition.message)
    };
    let healthy = (false, "the volume is healthy".to_owned());
    assert_eq!(told(), healthy);
    net::set_down("v0").expect("the cable is pulled");
    eventually("the loss to be told", || told().0.then_some(()));
    assert!(told().1.contains("no path"), "{:?}", told());
    assert_eq!(plugin.health(&volume).expect("an answer"), ["NoPath"]);
    net::set_up("v0").expect("the cable is back");
    eventually("the return to be told", || {
        (told() == healthy).then_some(())
    });
    plugin.expand(&volume, 64 << 20).expect("as large");
    drop(held);
    plugin.unpublish(&volume).expect("unpublish");
    plugin.unstage(&volume).expect("unstage");
    assert_nothing_remains();
}

fn stale_block_node() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let mut volume = Volume::new(Use::Block);
    let hold = ("pathLossHold".to_owned(), "none".to_owned());
    volume.context.extend([hold]);
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    cli(&["disconnect", "--nqn", NQN, "--force"]).expect(0);
    let node = volume.asked().display().to_string();
    let message = eventually("kubelet's node to be told as stale", || {
        let stats = plugin.stats(&volume).expect("an answer");
        let message = stats.volume_condition.expect("a condition").message;
        message.contains(&node).then_some(message)
    });
    assert!(message.contains("//deleted, not of nvme"), "{message}");
    plugin.unpublish(&volume).expect("unpublish");
    plugin.unstage(&volume).expect("unstage");
    assert_nothing_remains();
}

fn out_of_order() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Filesystem("ext4"));
    plugin.unpublish(&volume).expect("unpublish before publish");
    plugin.unstage(&volume).expect("unstage before stage");
    let refused = plugin.publish(&volume).expect_err("publish without stage");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_nothing_remains();

    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    let refused = plugin.unstage(&volume).expect_err("unpublish was skipped");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    write_and_read(&volume.target());
    plugin.unpublish(&volume).expect("unpublish");
    plugin.unstage(&volume).expect("unstage");
    plugin.publish(&volume).expect_err("publish after unstage");
    plugin.unpublish(&volume).expect("unpublish after unstage");
    assert_nothing_remains();
}

/// One namespace or the other first.
const ORDERS: [[usize; 2]; 2] = [[0, 1], [1, 0]];

fn siblings() {
    let scene = Scene::new();
    let exported = subsystem(NQN, &[(1, UUID), (2, OTHER_UUID)]);
    scene.listen(1, target(0), 4420, &[&exported]);
    let plugin = Plugin::start();
    let volumes = [
        Volume::of("first", Use::Filesystem("ext4"), NQN, UUID),
        Volume::of("second", Use::Filesystem("ext4"), NQN, OTHER_UUID),
    ];
    for (come, go) in ORDERS
        .into_iter()
        .flat_map(|come| ORDERS.map(|go| (come, go)))
    {
        for volume in come.map(|index| &volumes[index]) {
            plugin.stage(volume).expect("stage");
            plugin.publish(volume).expect("publish");
        }
        let connected = controllers();
        assert_eq!(connected.len(), 1, "come {come:?}, go {go:?}");
        let [gone, kept] = go.map(|index| &volumes[index]);
        plugin.unpublish(gone).expect("unpublish");
        plugin.unstage(gone).expect("unstage");
        write_and_read(&kept.target());
        assert_eq!(
            controllers(),
            connected,
            "the sibling still needs it: come {come:?}, go {go:?}"
        );
        plugin.unpublish(kept).expect("unpublish");
        plugin.unstage(kept).expect("unstage");
        assert_nothing_remains();
    }
}

fn foreign_data() {
    let scene = Scene::new();
    scene.volume();
    let image = format!("/tmp/{UUID}.img");
    // A LUKS2 header, as `cryptsetup luksFormat` begins it.
    let mut file = File::options()
        .write(true)
        .open(&image)
        .expect("the backing file");
    file.write_all(b"LUKS\xba\xbe\x00\x02and a secret that nobody has twice")
        .expect("a write");
    let before = fs::read(&image).expect("the backing file");
    let plugin = Plugin::start();
    let refused = plugin
        .stage(&Volume::new(Use::Filesystem("ext4")))
        .expect_err("not ours to format");
    assert!(refused.message().contains("LUKS"), "{refused}");
    assert_eq!(fs::read(&image).expect("the backing file"), before);
    assert_eq!(controllers(), Vec::<String>::new());
}

fn foreign_mount() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Filesystem("ext4"));
    plugin.stage(&volume).expect("stage");
    fs::create_dir_all(volume.target()).expect("a directory");
    let mounted = nix::mount::mount(
        Some("tmpfs"),
        &volume.target(),
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        None::<&str>,
    );
    mounted.expect("a mount");
    let refused = plugin
        .publish(&volume)
        .expect_err("something else is mounted there");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(mounts_at(&volume.target()), 1, "nothing is stacked");
    nix::mount::umount(&volume.target()).expect("an unmount");
    plugin.unstage(&volume).expect("unstage");
}

fn unreachable_at_stage() {
    let scene = Scene::new();
    scene.add_silent_address();
    scene.volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Filesystem("ext4"));
    let at = |address: &str| {
        let mut volume = volume.clone();
        let addresses = address.to_owned();
        volume.context.insert("addresses".to_owned(), addresses);
        volume
    };
    let refuses = |address: &str| {
        let refused = plugin.stage(&at(address)).expect_err("no target");
        assert_eq!(refused.code(), Code::Unavailable, "{address}: {refused}");
        assert!(refused.message().contains(address), "{refused}");
        assert_nothing_remains();
    };
    refuses("10.0.0.2:4421");
    refuses(SILENT);
    net::set_down("v0").expect("the cable is pulled");
    refuses("10.0.0.2");

    // A caller that waits for less than a dial may take hears of it, and the call ends without it.
    // On a busy machine it may give up a moment before it is told, and then it asks again.
    let late = eventually("an answer before the caller gives up", || {
        let mut hasty = Request::new(at(SILENT).stage_request());
        hasty.set_timeout(Duration::from_millis(2500));
        let late = plugin.call(|mut client| async move { client.node_stage_volume(hasty).await });
        let late = late.expect_err("no target");
        eventually("the call to end", || remembered().is_empty().then_some(()));
        (!matches!(late.code(), Code::Cancelled | Code::Aborted)).then_some(late)
    });
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    assert_nothing_remains();

    net::set_up("v0").expect("the cable is back");
    plugin.stage(&volume).expect("the same call again");
    plugin.unstage(&volume).expect("unstage");
    assert_nothing_remains();
}

fn unreachable_at_unstage() {
    let scene = Scene::new();
    let (exported, port) = scene.volume();
    let plugin = Plugin::start();
    let mut volume = Volume::new(Use::Filesystem("ext4"));
    volume
        .context
        .insert("ctrlLossTmo".to_owned(), "2".to_owned());
    volume
        .context
        .insert("reconnectDelay".to_owned(), "1".to_owned());
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    port.withdraw(&exported).expect("the target goes away");
    eventually("the controller to be given up", || {
        controllers().is_empty().then_some(())
    });
    plugin.unpublish(&volume).expect("unpublish");
    plugin.unstage(&volume).expect("unstage");
    assert!(!is_mounted(&volume.staging()));
}

fn grow() {
    for fs_type in ["ext4", "xfs"] {
        let scene = Scene::new();
        let (exported, _) = scene.big_volume();
        let backing = PathBuf::from(format!("/tmp/{UUID}.img"));
        let plugin = Plugin::start();
        let volume = Volume::new(Use::Filesystem(fs_type));
        plugin.stage(&volume).expect("stage");
        plugin.publish(&volume).expect("publish");
        let before = total_bytes(&plugin, &volume);
        let doubled = 2 * BIG;
        exported
            .grow(1, &backing, doubled)
            .expect("the namespace grows");
        let answered = plugin
            .expand(&volume, i64::try_from(doubled).expect("it fits"))
            .expect("expand");
        assert_eq!(u64::try_from(answered), Ok(doubled));
        let added = total_bytes(&plugin, &volume) - before;
        // Of what is added, a part is metadata: none for xfs, which makes it when it is needed, and
        // the tables of the new groups for ext4.
        assert!(
            added >= BIG / 100 * 90,
            "{fs_type}: {added} bytes more of {BIG}"
        );
        plugin.unpublish(&volume).expect("unpublish");
        plugin.unstage(&volume).expect("unstage");
        assert_eq!(
            filesystem_bytes(&backing),
            doubled,
            "{fs_type}: to the last block"
        );
        assert_nothing_remains();
        drop(plugin);
        crate::guest::clean_up().expect("a clean machine");
    }
}

fn total_bytes(plugin: &Plugin, volume: &Volume) -> u64 {
    let total = plugin.stats(volume).expect("stats").usage[0].total;
    u64::try_from(total).expect("a size")
}

/// How large the filesystem at the target says that it is.
fn filesystem_bytes(backing: &Path) -> u64 {
    let file = File::open(backing).expect("the backing file");
    match probe(&file).expect("readable") {
        Found::Ext(ext) => ext.size_bytes,
        Found::Xfs(xfs) => xfs.size_bytes,
        other => panic!("{other}"),
    }
}
