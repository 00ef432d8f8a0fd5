//! Every call again and again, one after the other and all at once.

use std::path::PathBuf;

use kernel_lab::guest::nvmet::Subsystem;
use nvmeof_csi::csi::proto as csi;
use nvmeof_csi::csi::proto::node_client::NodeClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::case::Case;
use crate::plugin::{Plugin, Use, Volume, mounts_at};
use crate::remains::{assert_nothing_remains, maps};
use crate::scene::{BIG, Scene, UUID, controllers};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "every_call_for_an_ext4_volume_ten_times_in_turn_and_at_once_is_the_same_as_once",
        || repeated(Use::Filesystem("ext4")),
    )
    .in_real_time(),
    Case::new(
        "every_call_for_an_xfs_volume_ten_times_in_turn_and_at_once_is_the_same_as_once",
        || repeated(Use::Filesystem("xfs")),
    )
    .in_real_time(),
    Case::new(
        "every_call_for_a_block_volume_ten_times_in_turn_and_at_once_is_the_same_as_once",
        || repeated(Use::Block),
    )
    .in_real_time(),
];

const TIMES: usize = 10;
/// What a life adds to a namespace.
const GROWTH: u64 = 64 << 20;

/// A call of a volume's life.
#[derive(Debug, Clone, Copy)]
enum Step {
    Stage,
    Publish,
    Stats,
    Health,
    StorageHealth,
    /// To this size.
    Expand(u64),
    Unpublish,
    Unstage,
}

impl Step {
    async fn send(self, mut node: NodeClient<Channel>, volume: Volume) -> Result<(), Status> {
        match self {
            Step::Stage => node
                .node_stage_volume(volume.stage_request())
                .await
                .map(drop),
            Step::Publish => node
                .node_publish_volume(volume.publish_request())
                .await
                .map(drop),
            Step::Stats => node
                .node_get_volume_stats(volume.stats_request())
                .await
                .map(drop),
            Step::Health => node
                .node_get_volume_health(volume.health_request())
                .await
                .map(drop),
            Step::StorageHealth => node
                .node_get_storage_health(csi::NodeGetStorageHealthRequest::default())
                .await
                .map(drop),
            Step::Expand(bytes) => {
                let bytes = i64::try_from(bytes).expect("it fits");
                node.node_expand_volume(volume.expand_request(bytes))
                    .await
                    .map(drop)
            }
            Step::Unpublish => node
                .node_unpublish_volume(volume.unpublish_request())
                .await
                .map(drop),
            Step::Unstage => node
                .node_unstage_volume(volume.unstage_request())
                .await
                .map(drop),
        }
    }

    /// Whether it only asks, so that it need not wait for another call.
    fn asks(self) -> bool {
        matches!(self, Step::Stats | Step::Health | Step::StorageHealth)
    }
}

/// Makes a call so often.
type Repeat = fn(&Plugin, &Volume, Step);

fn in_turn(plugin: &Plugin, volume: &Volume, step: Step) {
    for time in 1..=TIMES {
        let call = plugin.begin(|node| step.send(node, volume.clone()));
        let answer = plugin.finish(call);
        assert!(answer.is_ok(), "{step:?}, time {time}: {answer:?}");
    }
}

/// At least one call did it, and whoever came too early was told to come again.
fn at_once(plugin: &Plugin, volume: &Volume, step: Step) {
    let answers = plugin.call_all(TIMES, |node, _| step.send(node, volume.clone()));
    assert_eq!(answers.len(), TIMES);
    assert!(answers.iter().any(Result::is_ok), "{step:?}: {answers:?}");
    for failure in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(!step.asks(), "{step:?}: {failure}");
        assert_eq!(failure.code(), Code::Aborted, "{step:?}: {failure}");
    }
}

fn repeated(usage: Use) {
    let scene = Scene::new();
    let ((exported, _), size) = match usage {
        Use::Filesystem("xfs") => (scene.big_volume(), BIG),
        Use::Filesystem(_) | Use::Block => (scene.volume(), GROWTH),
    };
    let plugin = Plugin::start();
    let volume = Volume::new(usage);
    for (repeat, size) in [
        (in_turn as Repeat, size + GROWTH),
        (at_once, size + 2 * GROWTH),
    ] {
        live(&plugin, &volume, &exported, size, repeat);
    }
}

fn live(plugin: &Plugin, volume: &Volume, exported: &Subsystem, size: u64, repeat: Repeat) {
    repeat(plugin, volume, Step::Stage);
    let is_mounted = usize::from(volume.usage != Use::Block);
    assert_eq!(mounts_at(&volume.staging()), is_mounted);
    assert_eq!((controllers().len(), maps().len()), (1, 1));
    repeat(plugin, volume, Step::Publish);
    assert_eq!(mounts_at(&volume.target()), 1);
    for question in [Step::Stats, Step::Health, Step::StorageHealth] {
        repeat(plugin, volume, question);
    }
    let total = || plugin.stats(volume).expect("stats").usage[0].total;
    let before = total();
    let image = PathBuf::from(format!("/tmp/{UUID}.img"));
    exported.grow(1, &image, size).expect("the namespace grows");
    repeat(plugin, volume, Step::Expand(size));
    let added = u64::try_from(total() - before).expect("it grows");
    assert!((GROWTH / 100 * 90..=GROWTH).contains(&added), "{added}");
    assert!(plugin.health(volume).expect("an answer").is_empty());
    repeat(plugin, volume, Step::Unpublish);
    assert_eq!(mounts_at(&volume.target()), 0);
    assert!(!volume.target().exists());
    repeat(plugin, volume, Step::Unstage);
    assert_nothing_remains();
}
