//! Raw block volumes for readers. A bind mount that is read-only does not keep a device node from being opened for
//! writing: the device itself must refuse.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use nvmeof_csi::csi::proto as csi;
use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use rustix::io::Errno;
use tonic::{Code, Status};

use crate::case::Case;
use crate::disk::fingerprint;
use crate::plugin::{Plugin, Use, Volume};
use crate::remains::assert_nothing_remains;
use crate::scene::{Scene, UUID};

pub(super) const CASES: &[Case] = &[
    Case::new("a_raw_block_volume_for_readers_takes_no_write", held),
    Case::new(
        "a_raw_block_volume_for_readers_is_refused_where_nothing_protects_its_device",
        unheld,
    ),
];

/// What the target holds.
const DATA: [u8; 4096] = [7; 4096];

fn held() {
    for mode in [Mode::SingleNodeReaderOnly, Mode::MultiNodeReaderOnly] {
        takes_no_write(mode);
        crate::guest::clean_up().expect("a clean machine");
    }
}

/// The map is what refuses: without one, there must be no volume.
fn unheld() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let mut volume = Volume::new(Use::Block);
    let hold = "pathLossHold".to_owned();
    volume.context.insert(hold, "none".to_owned());
    let refused = stage(&plugin, &volume, Mode::MultiNodeReaderOnly);
    let refused = refused.expect_err("anybody could write");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_nothing_remains();
}

fn takes_no_write(mode: Mode) {
    let scene = Scene::new();
    scene.volume();
    let image = format!("/tmp/{UUID}.img");
    let mut file = File::options().write(true).open(&image).expect("the file");
    file.write_all(&DATA).expect("a write");
    drop(file);
    let before = fingerprint(Path::new(&image));
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Block);
    stage(&plugin, &volume, mode).expect("stage");
    publish(&plugin, &volume, mode).expect("publish");
    let target = volume.target();
    let kind = fs::metadata(&target).expect("the target").file_type();
    assert!(kind.is_block_device(), "{kind:?}");

    let mut start = [0; 4096];
    File::open(&target)
        .and_then(|mut disk| disk.read_exact(&mut start))
        .expect("a read");
    assert_eq!(start, DATA);
    for readable in [false, true] {
        let mut options = File::options();
        options.read(readable).write(true);
        let refused = write(&target, &options).expect_err("it is for readers");
        let errno = Errno::from_io_error(&refused);
        let refusals = [Errno::PERM, Errno::ROFS, Errno::ACCESS];
        assert!(
            errno.is_some_and(|errno| refusals.contains(&errno)),
            "{mode:?}: {refused}"
        );
    }

    plugin.unpublish(&volume).expect("unpublish");
    plugin.unstage(&volume).expect("unstage");
    assert_nothing_remains();
    assert_eq!(fingerprint(Path::new(&image)), before, "{mode:?}");
}

/// To the end of it: the page cache takes what the device then refuses.
fn write(device: &Path, options: &OpenOptions) -> io::Result<()> {
    let mut file = options.open(device)?;
    file.write_all(&[9; 4096])?;
    file.sync_all()
}

fn capability(volume: &Volume, mode: Mode) -> Option<csi::VolumeCapability> {
    Some(csi::VolumeCapability {
        access_mode: Some(csi::volume_capability::AccessMode { mode: mode.into() }),
        ..volume.capability()
    })
}

fn stage(plugin: &Plugin, volume: &Volume, mode: Mode) -> Result<(), Status> {
    let request = csi::NodeStageVolumeRequest {
        volume_capability: capability(volume, mode),
        ..volume.stage_request()
    };
    let answer = plugin.call(|mut node| async move { node.node_stage_volume(request).await });
    answer.map(drop)
}

fn publish(plugin: &Plugin, volume: &Volume, mode: Mode) -> Result<(), Status> {
    let request = csi::NodePublishVolumeRequest {
        volume_capability: capability(volume, mode),
        ..volume.publish_request()
    };
    let answer = plugin.call(|mut node| async move { node.node_publish_volume(request).await });
    answer.map(drop)
}
