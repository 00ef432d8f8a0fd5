//! The life of a volume on a node, through the plugin's real socket.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use tonic::Code;

use crate::case::Case;
use crate::plugin::{Plugin, Use, Volume, is_mounted, mounts_at, write_and_read};
use crate::scene::{NQN, OTHER_UUID, Scene, UUID, controllers, eventually, net, subsystem, target};

pub(super) const CASES: &[Case] = &[
    Case::new("an_ext4_volume_lives_and_dies", ext4_life),
    Case::new("an_xfs_volume_lives_and_dies", xfs_life),
    Case::new("a_block_volume_lives_and_dies", block_life),
    Case::new("calls_out_of_order_do_no_harm", out_of_order),
    Case::new(
        "two_volumes_of_one_subsystem_do_not_disturb_each_other",
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

fn out_of_order() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Filesystem("ext4"));
    plugin.unpublish(&volume).expect("unpublish before publish");
    plugin.unstage(&volume).expect("unstage before stage");
    let refused = plugin.publish(&volume).expect_err("publish without stage");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(controllers(), Vec::<String>::new());
}

fn siblings() {
    for order in [[0, 1], [1, 0]] {
        let scene = Scene::new();
        let exported = subsystem(NQN, &[(1, UUID), (2, OTHER_UUID)]);
        scene.listen(1, target(0), 4420, &[&exported]);
        let plugin = Plugin::start();
        let volumes = [
            Volume::of("first", Use::Filesystem("ext4"), NQN, UUID),
            Volume::of("second", Use::Filesystem("ext4"), NQN, OTHER_UUID),
        ];
        for index in order {
            plugin.stage(&volumes[index]).expect("stage");
            plugin.publish(&volumes[index]).expect("publish");
        }
        let [gone, kept] = order.map(|index| &volumes[index]);
        plugin.unpublish(gone).expect("unpublish");
        plugin.unstage(gone).expect("unstage");
        write_and_read(&kept.target());
        assert_eq!(controllers().len(), 1, "the sibling still needs it");
        plugin.unpublish(kept).expect("unpublish");
        plugin.unstage(kept).expect("unstage");
        assert_eq!(controllers(), Vec::<String>::new());
        drop(plugin);
        crate::guest::clean_up().expect("a clean machine");
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
    plugin
        .publish(&volume)
        .expect_err("something else is mounted there");
    assert_eq!(mounts_at(&volume.target()), 1, "nothing is stacked");
    nix::mount::umount(&volume.target()).expect("an unmount");
    plugin.unstage(&volume).expect("unstage");
}

fn unreachable_at_stage() {
    let scene = Scene::new();
    scene.volume();
    net::set_down("v0").expect("the cable is pulled");
    let plugin = Plugin::start();
    let refused = plugin
        .stage(&Volume::new(Use::Filesystem("ext4")))
        .expect_err("no target");
    assert!(refused.message().contains("10.0.0.2"), "{refused}");
    assert_eq!(controllers(), Vec::<String>::new());
    net::set_up("v0").expect("the cable is back");
    plugin
        .stage(&Volume::new(Use::Filesystem("ext4")))
        .expect("the same call again");
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
        let plugin = Plugin::start();
        let volume = Volume::new(Use::Filesystem(fs_type));
        plugin.stage(&volume).expect("stage");
        plugin.publish(&volume).expect("publish");
        let before = total_bytes(&plugin, &volume);
        let doubled = 2 * crate::scene::BIG;
        exported
            .grow(1, Path::new(&format!("/tmp/{UUID}.img")), doubled)
            .expect("the namespace grows");
        let answered = plugin
            .expand(&volume, i64::try_from(doubled).expect("it fits"))
            .expect("expand");
        assert_eq!(u64::try_from(answered), Ok(doubled));
        let after = total_bytes(&plugin, &volume);
        assert!(
            after > before + before / 2,
            "{fs_type}: {before} became {after}"
        );
        plugin.unpublish(&volume).expect("unpublish");
        plugin.unstage(&volume).expect("unstage");
        drop(plugin);
        crate::guest::clean_up().expect("a clean machine");
    }
}

fn total_bytes(plugin: &Plugin, volume: &Volume) -> i64 {
    plugin.stats(volume).expect("stats").usage[0].total
}
