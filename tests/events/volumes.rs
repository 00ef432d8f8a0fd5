//! What volumes tell: as which PersistentVolume they are here, by kubelet's own paths.

use std::time::Duration;

use nvmeof_csi::report::reporter::Reporter;
use nvmeof_csi::volume::request::Capability;
use nvmeof_csi::volume::{Volumes, VolumesConfig};

use crate::api_server::{Behaviour, Scene, unnamed};
use crate::machine::{Machine, PV};
use crate::requests::{block, ext4, publish, stage, target_of, unpublish, unstage};

fn volumes(machine: &Machine, reporter: &Reporter) -> Volumes {
    let config = VolumesConfig {
        reporter: reporter.clone(),
        ..machine.config()
    };
    Volumes::new(config).expect("readable records")
}

async fn is_looked_at(scene: &mut Scene) {
    let look = scene.asked().await;
    assert_eq!(look.path, format!("/api/v1/persistentvolumes/{PV}"));
}

async fn live(capability: Capability, is_staged_by_name: bool) {
    let machine = Machine::new("trixie-one-path");
    let mut scene = Scene::new(Behaviour::Works);
    let held = volumes(&machine, &scene.reporter);
    let staged = stage(&machine, capability);
    held.stage(&staged).expect("staged");
    if is_staged_by_name {
        is_looked_at(&mut scene).await;
    }
    let published = publish(&staged, &target_of(&machine, &staged, "pod"));
    held.publish(&published).expect("published");
    is_looked_at(&mut scene).await;

    // A plugin that comes later has to learn it anew.
    let mut scene = Scene::new(Behaviour::Works);
    let held = volumes(&machine, &scene.reporter);
    held.tell_present().expect("readable records");
    is_looked_at(&mut scene).await;
    scene.reporter.tell(unnamed("volume-1"));
    assert_eq!(scene.asked().await.object(), "found");

    held.unpublish(&unpublish(&published)).expect("unpublished");
    held.unstage(&unstage(&staged)).expect("unstaged");
    scene.pass(Duration::from_secs(1)).await;
    scene.reporter.tell(unnamed("volume-1"));
    assert!(scene.asked().await.is_look(), "it is not known any more");
}

#[tokio::test(start_paused = true)]
async fn a_filesystem_is_known_from_its_publication_to_its_unstage() {
    live(ext4(), false).await;
}

#[tokio::test(start_paused = true)]
async fn a_raw_disk_is_known_from_its_stage_to_its_unstage() {
    live(block(), true).await;
}
