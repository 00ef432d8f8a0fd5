//! Two volumes that name one namespace.

use std::fs;
use std::path::Path;

use tonic::Code;

use crate::case::Case;
use crate::disk::{fingerprint, mountinfo_line};
use crate::plugin::{Plugin, Use, Volume, remembered, write_and_read};
use crate::remains::{assert_nothing_remains, maps};
use crate::scene::{NQN, Scene, UUID, controllers};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "a_second_volume_on_a_mounted_namespace_is_refused_and_the_first_is_untouched",
        mounted,
    ),
    Case::new(
        "a_raw_block_volume_is_not_formatted_for_a_second_volume",
        raw,
    ),
];

/// Both name the same namespace.
fn first_and_second(first: Use, second: Use) -> [Volume; 2] {
    [("first", first), ("second", second)].map(|(id, usage)| Volume::of(id, usage, NQN, UUID))
}

#[track_caller]
fn assert_refused(plugin: &Plugin, second: &Volume) {
    let (connected, held) = (controllers(), maps());
    let refused = plugin.stage(second).expect_err("the namespace is taken");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(
        refused.message().contains("is volume first already"),
        "{refused}"
    );
    assert_eq!(controllers(), connected);
    assert_eq!(maps(), held);
    assert_eq!(remembered(), ["first"]);
}

fn mounted() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let [first, second] = first_and_second(Use::Filesystem("ext4"), Use::Filesystem("ext4"));
    plugin.stage(&first).expect("stage");
    plugin.publish(&first).expect("publish");
    write_and_read(&first.target());
    let places = [first.staging(), first.target()];
    let places = places.map(|place| place.to_str().expect("UTF-8").to_owned());
    let mounts = || places.each_ref().map(|place| mountinfo_line(place));
    let before = mounts();
    assert!(before.iter().all(Option::is_some), "{before:?}");

    assert_refused(&plugin, &second);
    let [_, raw] = first_and_second(Use::Block, Use::Block);
    assert_refused(&plugin, &raw);

    assert_eq!(mounts(), before);
    let kept = fs::read(first.target().join("file"));
    assert_eq!(kept.expect("a read"), b"kept");
    write_and_read(&first.target());
    assert!(plugin.health(&first).expect("an answer").is_empty());
    plugin.unpublish(&first).expect("unpublish");
    plugin.unstage(&first).expect("unstage");
    assert_nothing_remains();
}

/// To a second stage a raw block volume may look as if it could be formatted: nobody has written to it yet.
fn raw() {
    let scene = Scene::new();
    scene.volume();
    let image = format!("/tmp/{UUID}.img");
    let before = fingerprint(Path::new(&image));
    let plugin = Plugin::start();
    let [first, second] = first_and_second(Use::Block, Use::Filesystem("ext4"));
    plugin.stage(&first).expect("stage");
    assert_refused(&plugin, &second);
    plugin.publish(&first).expect("publish");
    assert_refused(&plugin, &second);
    plugin.unpublish(&first).expect("unpublish");
    plugin.unstage(&first).expect("unstage");
    assert_nothing_remains();
    assert_eq!(fingerprint(Path::new(&image)), before);
}
