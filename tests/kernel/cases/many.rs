//! Many volumes at once, one of which has a target that answers nothing.

use std::time::Duration;

use nvmeof_csi::csi::proto::{NodeStageVolumeRequest, NodeUnstageVolumeRequest};
use nvmeof_csi::host::Timeouts;
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

/// The plugin dials the addresses of a volume one after the other, and each of them until it gives it up. With so many
/// the stage of the dead volume cannot end before the case does, on the slowest machine: that it is still being dialled
/// when the others are done is then a matter of order alone.
fn dead_addresses() -> u16 {
    let dial = Timeouts::default().dial;
    let dials = CASE_DEADLINE.as_secs().div_ceil(dial.as_secs()) + 1;
    u16::try_from(dials).expect("fewer than there are ports")
}

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
    let ports = 4420..4420 + dead_addresses();
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
    let unanswered = stage(dead.stage_request());
    let calls: Vec<_> = volumes
        .iter()
        .map(|volume| stage(volume.stage_request()))
        .collect();
    for (volume, call) in volumes.iter().zip(calls) {
        let answer = plugin.finish(call);
        assert!(answer.is_ok(), "{}: {answer:?}", volume.id);
    }
    assert!(
        !unanswered.is_finished(),
        "the dead target was still dialled when the last of the others was staged"
    );
    assert_eq!(controllers().len(), REACHED);
    assert_eq!(remembered().len(), REACHED + 1);
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
    assert!(!unanswered.is_finished(), "and when they had all gone");
    assert_eq!(controllers(), Vec::<String>::new());
    assert_eq!(remembered(), ["dead"]);
}
