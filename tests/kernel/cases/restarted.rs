//! The plugin killed between calls, and what it remembers deleted.

use std::fs;

use crate::case::Case;
use crate::plugin::{
    Call, Plugin, STATE, Use, Volume, is_mounted, mounts_at, remembered, write_and_read,
};
use crate::remains::assert_nothing_remains;
use crate::scene::{Scene, controllers};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "the_plugin_may_be_killed_between_any_two_calls",
        killed_between_calls,
    ),
    Case::new(
        "a_deleted_state_directory_does_not_stop_unstage",
        filesystem_forgotten,
    ),
    Case::new(
        "a_deleted_state_directory_does_not_stop_a_block_volume_from_leaving",
        block_forgotten,
    ),
];

fn killed_between_calls() {
    let scene = Scene::new();
    scene.volume();
    // A raw block volume leaves nothing in the mount table between stage and publish.
    for usage in [Use::Block, Use::Filesystem("ext4")] {
        let volume = Volume::new(usage);
        let calls: [Call; 4] = [
            Plugin::stage,
            Plugin::publish,
            Plugin::unpublish,
            Plugin::unstage,
        ];
        for call in calls {
            let plugin = Plugin::start();
            call(&plugin, &volume).expect("the call");
            plugin.kill();
            let plugin = Plugin::start();
            call(&plugin, &volume).expect("the call again, after a restart");
            plugin.kill();
        }
        assert_nothing_remains();
    }
}

/// Stages and publishes, and comes back with a plugin that knows nothing of it.
fn forgotten(volume: &Volume) -> Plugin {
    let plugin = Plugin::start();
    plugin.stage(volume).expect("stage");
    plugin.publish(volume).expect("publish");
    plugin.kill();
    assert_eq!(remembered(), [volume.id.as_str()]);
    fs::remove_dir_all(STATE).expect("the directory goes");
    Plugin::start()
}

fn filesystem_forgotten() {
    let scene = Scene::new();
    scene.volume();
    let volume = Volume::new(Use::Filesystem("ext4"));
    let plugin = forgotten(&volume);
    write_and_read(&volume.target());
    plugin.unpublish(&volume).expect("unpublish");
    assert!(!volume.target().exists());
    plugin.unstage(&volume).expect("unstage");
    assert!(!is_mounted(&volume.staging()));
    assert_eq!(controllers(), Vec::<String>::new());
    plugin.stage(&volume).expect("stage again");
    let kept = fs::read(volume.staging().join("file"));
    assert_eq!(kept.expect("a read"), b"kept");
    plugin.unstage(&volume).expect("unstage");
}

fn block_forgotten() {
    let scene = Scene::new();
    scene.volume();
    let volume = Volume::new(Use::Block);
    let plugin = forgotten(&volume);
    plugin.unpublish(&volume).expect("unpublish");
    assert_eq!(mounts_at(&volume.target()), 0);
    assert!(!volume.target().exists());
    // Nothing on the machine tells any more which controller a raw block volume came by. It stays, known as ours, and
    // goes with the next life of the volume.
    plugin.unstage(&volume).expect("unstage");
    plugin.stage(&volume).expect("stage again");
    assert_eq!(controllers().len(), 1);
    plugin.unstage(&volume).expect("unstage");
    assert_eq!(controllers(), Vec::<String>::new());
    assert_eq!(remembered(), Vec::<String>::new());
}
