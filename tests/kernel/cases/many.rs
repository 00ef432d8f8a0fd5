//! Many volumes at once, one of which has a target that answers nothing.

use std::time::Duration;

use nvmeof_csi::csi::proto::{NodeStageVolumeRequest, NodeUnstageVolumeRequest};
use tonic::Request;

use crate::case::Case;
use crate::guest::CASE_DEADLINE;
use crate::plugin::{Plugin, Use, Volume, is_mounted, remembered};
use crate::scene::{Scene, controllers, subsystem, target};

pub(super) const CASES: &[Case] = &[Case::new(
    "sixty_three_volumes_are_staged_while_a_dead_target_is_dialled",
    one_dead,
)
.in_real_time()];

const REACHED: usize = 63;
/// Of those that are reached, so many hold filesystems; the others are raw block devices.
const FILESYSTEMS: usize = 4;
/// The caller's patience: its deadline must not decide, so it is that of the whole case.
const LONG: Duration = CASE_DEADLINE;

/// As many as a volume may have: its stage dials for several seconds, and is repeated as long as the case lasts.
const DEAD_ADDRESSES: u16 = 32;

fn reached(scene: &Scene) -> Vec<Volume> {
    let volumes: Vec<_> = (0..REACHED)
        .map(|number| {
            let usage = if number < FILESYSTEMS {
                Use::Filesystem("ext4")
            } else {
                Use::Block
            };
            let nqn = format!("nqn.2026-01.org.example:many-{number}");
            let uuid = format!("{number:08x}-1111-4111-8111-111111111111");
            let volume = Volume::of(&format!("volume-{number}"), usage, &nqn, &uuid);
            (volume, subsystem(&nqn, &[(1, &uuid)]))
        })
        .collect();
    let exported: Vec<_> = volumes.iter().map(|(_, subsystem)| subsystem).collect();
    scene.listen(1, target(0), 4420, &exported);
    volumes.into_iter().map(|(volume, _)| volume).collect()
}

fn dead(scene: &Scene) -> Volume {
    scene.add_silent_address();
    let nqn = "nqn.2026-01.org.example:dead";
    let uuid = "dddddddd-1111-4111-8111-111111111111";
    let mut volume = Volume::of("dead", Use::Block, nqn, uuid);
    let ports = 4420..4420 + DEAD_ADDRESSES;
    let addresses: Vec<_> = ports
        .map(|port| format!("{}:{port}", crate::scene::SILENT))
        .collect();
    volume
        .context
        .insert("addresses".to_owned(), addresses.join(","));
    volume
}

/// A call that may take as long as it likes.
pub(super) fn patiently<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(LONG);
    request
}

fn one_dead() {
    let scene = Scene::new();
    let volumes = reached(&scene);
    let dead = dead(&scene);
    let plugin = Plugin::start();

    let stage = |request: NodeStageVolumeRequest| {
        plugin.begin(|mut client| async move {
            client.node_stage_volume(patiently(request)).await.map(drop)
        })
    };
    let request = dead.stage_request();
    let unanswered = plugin.begin(|mut client| async move {
        while client
            .node_stage_volume(patiently(request.clone()))
            .await
            .is_err()
        {}
    });
    let calls: Vec<_> = volumes
        .iter()
        .map(|volume| stage(volume.stage_request()))
        .collect();
    for (volume, call) in volumes.iter().zip(calls) {
        let answer = plugin.finish(call);
        assert!(answer.is_ok(), "{}: {answer:?}", volume.id);
    }
    assert!(!unanswered.is_finished(), "the dead target answers nothing");
    assert_eq!(controllers().len(), REACHED);
    let others = |names: Vec<String>| names.into_iter().filter(|name| name != "dead").count();
    assert_eq!(others(remembered()), REACHED);
    for volume in &volumes[..FILESYSTEMS] {
        assert!(is_mounted(&volume.staging()), "{}", volume.id);
    }

    let unstage = |request: NodeUnstageVolumeRequest| {
        plugin.begin(|mut client| async move {
            client
                .node_unstage_volume(patiently(request))
                .await
                .map(drop)
        })
    };
    let calls: Vec<_> = volumes
        .iter()
        .map(|volume| unstage(volume.unstage_request()))
        .collect();
    for (volume, call) in volumes.iter().zip(calls) {
        let answer = plugin.finish(call);
        assert!(answer.is_ok(), "{}: {answer:?}", volume.id);
    }
    assert!(
        !unanswered.is_finished(),
        "nor did it when they had all gone"
    );
    assert_eq!(controllers(), Vec::<String>::new());
    assert_eq!(others(remembered()), 0);
}
