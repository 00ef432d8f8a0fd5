//! Another namespace behind the same name: it is never written.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use kernel_lab::guest::{nvmet, program};

use super::{Running, volume};
use crate::case::{Case, Profile};
use crate::plugin::Use;
use crate::scene::{
    NQN, OTHER_UUID, Scene, UUID, attribute, cli, controllers, eventually, net, subsystem, target,
    wait_state,
};
use crate::writer::{Writer, verify};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_10_another_uuid_is_never_written_by_one_that_waits",
        || {
            idle(Foreign::uuid(), Loss::Cable);
        },
    ),
    Case::new(
        "row_10_another_uuid_is_never_written_by_a_busy_volume",
        || {
            busy(Foreign::uuid(), Loss::Cable);
        },
    ),
    Case::new("row_10_a_smaller_namespace_is_never_written", || {
        idle(Foreign::smaller(), Loss::Cable);
        crate::guest::clean_up().expect("a clean machine");
        busy(Foreign::smaller(), Loss::Controller);
    }),
    Case::new("row_10_a_namespace_without_ids_is_never_written", || {
        idle(Foreign::nameless(), Loss::Controller);
        crate::guest::clean_up().expect("a clean machine");
        busy(Foreign::nameless(), Loss::Cable);
    }),
    Case::new("row_10_another_block_size_is_never_written", || {
        idle(Foreign::other_blocks(), Loss::Cable);
        crate::guest::clean_up().expect("a clean machine");
        busy(Foreign::other_blocks(), Loss::Controller);
        crate::guest::clean_up().expect("a clean machine");
        idle(Foreign::larger_blocks(), Loss::Controller);
        crate::guest::clean_up().expect("a clean machine");
        busy(Foreign::larger_blocks(), Loss::Cable);
    }),
    Case::new(
        "row_10_after_a_lost_controller_another_uuid_is_never_written",
        || {
            idle(Foreign::uuid(), Loss::Controller);
            crate::guest::clean_up().expect("a clean machine");
            busy(Foreign::uuid(), Loss::Controller);
        },
    ),
    Case::new(
        "row_25_without_multipath_another_uuid_is_never_written",
        || {
            idle(Foreign::uuid(), Loss::Cable);
            crate::guest::clean_up().expect("a clean machine");
            busy(Foreign::uuid(), Loss::Cable);
        },
    )
    .on(Profile::MultipathOff),
    Case::new(
        "row_25_without_multipath_a_smaller_or_nameless_namespace_is_never_written",
        || {
            idle(Foreign::smaller(), Loss::Cable);
            crate::guest::clean_up().expect("a clean machine");
            busy(Foreign::nameless(), Loss::Cable);
        },
    )
    .on(Profile::MultipathOff),
    Case::new(
        "row_25_without_multipath_after_a_lost_controller_another_uuid_is_never_written",
        || {
            idle(Foreign::uuid(), Loss::Controller);
            crate::guest::clean_up().expect("a clean machine");
            busy(Foreign::uuid(), Loss::Controller);
        },
    )
    .on(Profile::MultipathOff),
];

/// The disk that stands on a file where another block size is wanted.
const LOOP: &str = "/dev/loop0";

/// The size of the volume.
const BYTES: u64 = 64 << 20;

/// How the volume is lost.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    /// For longer than its controller lives.
    Cable,
    /// The target takes it away.
    Controller,
}

/// One of two namespaces with one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Volume,
    Other,
}

/// What stands where the volume was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Foreign {
    what: &'static str,
    uuid: &'static str,
    bytes: u64,
    /// Which of the two is on a disk with blocks of 512 bytes; those of a file have 4096.
    on_disk: Option<Which>,
}

impl Foreign {
    pub(super) const fn uuid() -> Foreign {
        Foreign {
            what: "another UUID",
            uuid: OTHER_UUID,
            bytes: BYTES,
            on_disk: None,
        }
    }

    pub(super) const fn smaller() -> Foreign {
        Foreign {
            what: "the same UUID, smaller",
            uuid: UUID,
            bytes: BYTES / 2,
            on_disk: None,
        }
    }

    const fn other_blocks() -> Foreign {
        Foreign {
            what: "the same UUID, another block size",
            uuid: UUID,
            bytes: BYTES,
            on_disk: Some(Which::Other),
        }
    }

    const fn larger_blocks() -> Foreign {
        Foreign {
            what: "the same UUID, a larger block size",
            on_disk: Some(Which::Volume),
            ..Foreign::other_blocks()
        }
    }

    const fn nameless() -> Foreign {
        Foreign {
            what: "no ids",
            uuid: "00000000-0000-0000-0000-000000000000",
            bytes: BYTES,
            on_disk: None,
        }
    }
}

impl Foreign {
    /// What one of the two stands on, whose bytes are in the file.
    fn backing(self, which: Which, file: &Path) -> &Path {
        if self.on_disk != Some(which) {
            return file;
        }
        losetup(&[LOOP.as_ref(), file.as_os_str()]);
        Path::new(LOOP)
    }

    /// The block size that the host sees while it stands there, where the volume's is another one.
    fn block_size(self) -> Option<&'static str> {
        self.on_disk.map(|which| match which {
            Which::Volume => "4096",
            Which::Other => "512",
        })
    }

    /// The volume whose place it is to take.
    fn start_volume(self, usage: Use) -> Running {
        let scene = Scene::new();
        let exported = subsystem(NQN, &[]);
        let file = own_file();
        nvmet::backing_file(&file, BYTES).expect("a backing file");
        let backing = self.backing(Which::Volume, &file);
        let added = exported.add_namespace(1, backing, UUID);
        added.expect("a namespace");
        let port = scene.listen(1, target(0), 4420, &[&exported]);
        let asked = volume(usage, &[("pathLossHold", "dm")]);
        Running::on(scene, exported, port, asked)
    }
}

pub(super) fn own_file() -> PathBuf {
    Path::new("/tmp").join(format!("{UUID}.img"))
}

fn lose(running: &Running, loss: Loss) {
    match loss {
        Loss::Cable => running.cut(),
        Loss::Controller => running.withdraw(),
    }
}

fn idle(foreign: Foreign, loss: Loss) {
    let running = foreign.start_volume(Use::Block);
    lose(&running, loss);
    let writer = Writer::start_raw(&running.volume.target());
    stand_in(&running, foreign, loss, &writer);
    writer.wait_for(20);
    let written = writer.end(&format!("row 10, {}, {loss:?}, idle", foreign.what));
    running.end();
    verify(&own_file(), written);
}

fn busy(foreign: Foreign, loss: Loss) {
    let running = foreign.start_volume(Use::Filesystem("ext4"));
    let writer = running.writer();
    lose(&running, loss);
    stand_in(&running, foreign, loss, &writer);
    writer.wait_for(20);
    let written = writer.end(&format!("row 10, {}, {loss:?}, busy", foreign.what));
    running.end_and_verify(written);
}

/// The volume is lost; another namespace takes its place for a while. What waits goes on waiting, and
/// not a byte of the other one changes.
pub(super) fn stand_in(running: &Running, foreign: Foreign, loss: Loss, writer: &Writer) {
    let exported = &running.exported;
    let file = Path::new("/tmp/foreign.img");
    nvmet::backing_file(file, foreign.bytes).expect("a backing file");
    let waiting = writer.written();
    exported.remove_namespace(1).expect("the volume goes");
    if foreign.on_disk.is_some() {
        // There is one disk for both.
        crate::guest::detach_loops().expect("losetup");
    }
    let backing = foreign.backing(Which::Other, file);
    let added = exported.add_namespace(1, backing, foreign.uuid);
    added.expect("the other namespace comes");
    match loss {
        Loss::Cable => net::set_up("v0").expect("the cable is back"),
        Loss::Controller => running.export(),
    }
    mismatch(running);
    let controller = eventually("a controller", || controllers().pop());
    wait_state(&controller, "live");
    // Whatever may still be on its way is brought here by one more look of the kernel at everything.
    let rescan = format!("/sys/class/nvme/{controller}/rescan_controller");
    fs::write(rescan, "1").expect("told to look");
    assert_eq!(attribute(&controller, "state").as_deref(), Some("live"));
    mismatch(running);
    writer.still_waits(waiting);
    assert_untouched(file);
    if let Some(wanted) = foreign.block_size() {
        assert_eq!(block_size(), wanted, "of the other namespace");
    }
    exported.remove_namespace(1).expect("the other one goes");
    if foreign.on_disk.is_some() {
        crate::guest::detach_loops().expect("losetup");
    }
    writer.target_returns();
    let own = own_file();
    let backing = foreign.backing(Which::Volume, &own);
    let added = exported.add_namespace(1, backing, UUID);
    added.expect("the volume comes back");
    writer.wait_for(1);
    assert_untouched(file);
}

/// Of the namespace that the host sees behind the name.
fn block_size() -> String {
    let run = cli(&["resolve", "--nqn", NQN]).expect(0);
    let head = Path::new(run.out.trim()).file_name();
    let head = head.expect("a disk").display().to_string();
    let path = format!("/sys/block/{head}/queue/logical_block_size");
    let size = fs::read_to_string(path).expect("its block size");
    size.trim().to_owned()
}

pub(super) fn losetup(arguments: &[&OsStr]) {
    let output = program("losetup").args(arguments).output();
    let output = output.expect("losetup runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

/// A new backing file is all zeros, and nothing that a writer or a filesystem writes is.
pub(super) fn assert_untouched(path: &Path) {
    const CHUNK: usize = 1 << 20;
    let zeros = vec![0; CHUNK];
    let mut chunk = vec![1; CHUNK];
    let mut file = File::open(path).expect("the file");
    let length = file.metadata().expect("its length").len();
    for number in 0..length / CHUNK as u64 {
        file.read_exact(&mut chunk).expect("a read");
        assert!(
            chunk == zeros,
            "MiB {number} of the other namespace was written"
        );
    }
}

/// Waits until the plugin has seen that another namespace is there.
pub(super) fn mismatch(running: &Running) {
    eventually("the mismatch to be seen", || {
        let health = running.plugin.health(&running.volume);
        let health = health.expect("an answer");
        health
            .iter()
            .any(|reason| reason == "IdentityMismatch")
            .then_some(())
    });
}
