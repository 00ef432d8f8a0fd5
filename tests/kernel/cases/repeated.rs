//! Every call again and again, one after the other and all at once.

use tonic::{Code, Status};

use crate::case::Case;
use crate::plugin::{Plugin, Use, Volume, mounts_at, remembered};
use crate::scene::{Scene, controllers};

pub(super) const CASES: &[Case] = &[
    Case::new("every_call_ten_times_is_the_same_as_once", ten_times),
    Case::new(
        "concurrent_calls_for_a_filesystem_end_well_or_as_aborted",
        concurrent_filesystem,
    ),
    Case::new(
        "concurrent_calls_for_a_block_volume_end_well_or_as_aborted",
        concurrent_block,
    ),
];

const TIMES: usize = 10;

fn ten_times() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Filesystem("ext4"));
    for _ in 0..TIMES {
        plugin.stage(&volume).expect("stage");
    }
    assert_eq!(mounts_at(&volume.staging()), 1);
    for _ in 0..TIMES {
        plugin.publish(&volume).expect("publish");
    }
    assert_eq!(mounts_at(&volume.target()), 1);
    for _ in 0..TIMES {
        plugin.unpublish(&volume).expect("unpublish");
    }
    for _ in 0..TIMES {
        plugin.unstage(&volume).expect("unstage");
    }
    assert_eq!(controllers(), Vec::<String>::new());
}

/// At least one call did it, and whoever came too early was told to come again.
#[track_caller]
fn assert_well_or_aborted(answers: &[Result<(), Status>]) {
    assert_eq!(answers.len(), TIMES);
    assert!(answers.iter().any(Result::is_ok), "{answers:?}");
    for failure in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(failure.code(), Code::Aborted, "{failure}");
    }
}

fn concurrent(usage: Use, staging_mounts: usize) {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = Volume::new(usage);

    let request = volume.stage_request();
    let answers = plugin.call_all(TIMES, |mut client, _| {
        let request = request.clone();
        async move { client.node_stage_volume(request).await.map(drop) }
    });
    assert_well_or_aborted(&answers);
    assert_eq!(mounts_at(&volume.staging()), staging_mounts);
    assert_eq!(controllers().len(), 1);

    let request = volume.publish_request();
    let answers = plugin.call_all(TIMES, |mut client, _| {
        let request = request.clone();
        async move { client.node_publish_volume(request).await.map(drop) }
    });
    assert_well_or_aborted(&answers);
    assert_eq!(mounts_at(&volume.target()), 1);

    let request = volume.unpublish_request();
    let answers = plugin.call_all(TIMES, |mut client, _| {
        let request = request.clone();
        async move { client.node_unpublish_volume(request).await.map(drop) }
    });
    assert_well_or_aborted(&answers);
    assert_eq!(mounts_at(&volume.target()), 0);
    assert!(!volume.target().exists());

    let request = volume.unstage_request();
    let answers = plugin.call_all(TIMES, |mut client, _| {
        let request = request.clone();
        async move { client.node_unstage_volume(request).await.map(drop) }
    });
    assert_well_or_aborted(&answers);
    assert_eq!(mounts_at(&volume.staging()), 0);
    assert_eq!(controllers(), Vec::<String>::new());
    assert_eq!(remembered(), Vec::<String>::new());
}

fn concurrent_filesystem() {
    concurrent(Use::Filesystem("ext4"), 1);
}

fn concurrent_block() {
    concurrent(Use::Block, 0);
}
