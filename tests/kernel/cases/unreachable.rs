//! Targets that went away while the kernel still tries to reconnect: what waits for them is in the kernel, and the
//! volumes leave all the same.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::case::Case;
use crate::plugin::{Plugin, Use, Volume, write_and_read};
use crate::remains::assert_nothing_remains;
use crate::scene::{
    NQN, OTHER_UUID, Scene, UUID, attribute, controllers, eventually, net, subsystem, target,
};

pub(super) const CASES: &[Case] = &[Case::new(
    "volumes_leave_while_their_controllers_still_reconnect_and_others_come_and_go",
    reconnecting,
)];

const RAW_NQN: &str = "nqn.2026-01.org.example:raw";
const NEAR_NQN: &str = "nqn.2026-01.org.example:near";
const NEAR_UUID: &str = "33333333-3333-4333-8333-333333333333";
/// How often each call is made at once.
const TIMES: usize = 3;

/// Without a hold, so that the kernel's own reconnecting is all that there is.
fn unheld(id: &str, usage: Use, nqn: &str, uuid: &str) -> Volume {
    let mut volume = Volume::of(id, usage, nqn, uuid);
    for (key, value) in [
        ("pathLossHold", "none"),
        ("keepAliveTmo", "1"),
        ("reconnectDelay", "1"),
    ] {
        volume.context.insert(key.to_owned(), value.to_owned());
    }
    volume
}

fn come(plugin: &Plugin, volume: &Volume) {
    plugin.stage(volume).expect("stage");
    plugin.publish(volume).expect("publish");
}

fn go(plugin: &Plugin, volume: &Volume) {
    plugin.unpublish(volume).expect("unpublish");
    plugin.unstage(volume).expect("unstage");
}

/// Something that an unmount has to write back, which it cannot.
fn leave_dirty(directory: &Path) {
    let path = directory.join("dirty");
    let page = [1; 4096];
    let file = File::create(&path).expect("a file");
    file.write_all_at(&page, 0)
        .and_then(|()| file.sync_all())
        .expect("a write");
    net::set_down("v0").expect("the cable is pulled");
    // The place of a block that is there already is known without a read.
    file.write_all_at(&page, 0).expect("a write into the cache");
}

/// Two subsystems behind the first cable, and the volume of a third one behind the second.
fn export(scene: &Scene) -> Volume {
    let files = subsystem(NQN, &[(1, UUID)]);
    let raw = subsystem(RAW_NQN, &[(1, OTHER_UUID)]);
    let near = subsystem(NEAR_NQN, &[(1, NEAR_UUID)]);
    scene.listen(1, target(0), 4420, &[&files, &raw]);
    scene.listen(2, target(1), 4420, &[&near]);
    let mut near = Volume::of("near", Use::Block, NEAR_NQN, NEAR_UUID);
    let address = target(1).to_string();
    near.context.insert("addresses".to_owned(), address);
    near
}

/// Calls that were made at once.
type Calls = Vec<JoinHandle<Result<(), Status>>>;

fn begin_unpublish(plugin: &Plugin, volume: &Volume) -> Calls {
    volume.unmap_device();
    let requests = (0..TIMES).map(|_| volume.unpublish_request());
    let calls = requests.map(|request| {
        plugin.begin(|mut node| async move { node.node_unpublish_volume(request).await.map(drop) })
    });
    calls.collect()
}

fn begin_unstage(plugin: &Plugin, volume: &Volume) -> Calls {
    let requests = (0..TIMES).map(|_| volume.unstage_request());
    let calls = requests.map(|request| {
        plugin.begin(|mut node| async move { node.node_unstage_volume(request).await.map(drop) })
    });
    calls.collect()
}

/// One of them did it, and whoever came too early was told to come again.
#[track_caller]
fn assert_done(plugin: &Plugin, calls: Calls) {
    let answers: Vec<_> = calls.into_iter().map(|call| plugin.finish(call)).collect();
    assert!(answers.iter().any(Result::is_ok), "{answers:?}");
    for failure in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(failure.code(), Code::Aborted, "{failure}");
    }
}

fn reconnecting() {
    let scene = Scene::new();
    scene.add_cable(1);
    let near = export(&scene);
    let plugin = Plugin::start();
    let files = unheld("files", Use::Filesystem("ext4"), NQN, UUID);
    let raw = unheld("raw", Use::Block, RAW_NQN, OTHER_UUID);
    come(&plugin, &files);
    come(&plugin, &raw);
    write_and_read(&files.target());
    leave_dirty(&files.target());
    eventually("both controllers to reconnect", || {
        let state = |name: &String| attribute(name, "state");
        let states: Vec<_> = controllers().iter().map(state).collect();
        let wanted = Some("connecting".to_owned());
        (states == [wanted.clone(), wanted]).then_some(())
    });

    let unpublishing = [&files, &raw].map(|volume| begin_unpublish(&plugin, volume));
    // Whoever asks meanwhile is answered, and told.
    let reasons = plugin.health(&files).expect("an answer");
    assert!(reasons.iter().any(|it| it == "NoPath"), "{reasons:?}");
    for calls in unpublishing {
        assert_done(&plugin, calls);
    }
    assert!(!files.target().exists() && !raw.target().exists());

    let unstaging = [&files, &raw].map(|volume| begin_unstage(&plugin, volume));
    // What is to be written back is given a while before it is cut off: others do not wait for that.
    come(&plugin, &near);
    go(&plugin, &near);
    let waits = unstaging[0].iter().any(|call| !call.is_finished());
    assert!(waits, "the lost filesystem was still there");
    for calls in unstaging {
        assert_done(&plugin, calls);
    }
    assert_nothing_remains();

    net::set_up("v0").expect("the cable is back");
    plugin.stage(&files).expect("stage again");
    let kept = fs::read(files.staging().join("file"));
    assert_eq!(kept.expect("a read"), b"kept");
    plugin.unstage(&files).expect("unstage");
    assert_nothing_remains();
}
