//! What happens to the data of a volume when its target fails: rows of the table in the README.

mod bystanders;
mod calls;
mod commands;
mod company;
mod demo;
mod expanded;
mod fleet;
mod flood;
mod foreign;
mod ghost;
mod idle;
mod lost;
mod media;
mod memory;
mod native;
mod neighbours;
mod paths;
mod removed;
mod restarts;
mod returns;
mod shutdown;
mod stale;
mod stuck;
mod timeout;
mod unreadable;
mod xfs;

use std::fs;
use std::path::Path;

use kernel_lab::guest::nvmet::{Port, Subsystem};
use tonic::{Code, Status};

use crate::case::{Case, Need};
use crate::plugin::{Plugin, Use, Volume, is_mounted};
use crate::scene::{PATIENCE, Scene, controllers, eventually, net, within};
use crate::writer::{Writer, Writers, Written, verify};

/// The rows, in the order of what they are about.
pub(super) fn all() -> Vec<Case> {
    let rows = [
        lost::CASES,
        returns::CASES,
        native::CASES,
        foreign::CASES,
        timeout::CASES,
        shutdown::CASES,
        neighbours::CASES,
        stale::CASES,
        stuck::CASES,
        xfs::CASES,
        paths::CASES,
        fleet::CASES,
        idle::CASES,
        flood::CASES,
        memory::CASES,
        bystanders::CASES,
        company::CASES,
        ghost::CASES,
        media::CASES,
        unreadable::CASES,
        removed::CASES,
        expanded::CASES,
        restarts::CASES,
        commands::CASES,
        calls::CASES,
        demo::CASES,
    ];
    let gated = |row: Case| match ALWAYS.iter().any(|name| row.name.starts_with(name)) {
        false if row.need.is_none() => row.needs(Need::Faults),
        _ => row,
    };
    rows.concat().into_iter().map(gated).collect()
}

/// How the rows begin that run on each kernel with every run of the tests; the others want `LAB_FAULTS`.
const ALWAYS: [&str; 7] = [
    "row_1_a_cut_link_costs_no_write",
    "row_2_",
    "row_4_",
    "row_5_",
    "row_10_",
    "row_12_",
    "row_31_",
];

/// A volume that a pod has.
struct Running {
    scene: Scene,
    exported: Subsystem,
    port: Port,
    plugin: Plugin,
    volume: Volume,
}

impl Running {
    /// With a loss that is noticed soon, and these parameters.
    fn start(usage: Use, parameters: &[(&str, &str)]) -> Running {
        let scene = Scene::new();
        let (exported, port) = scene.volume();
        Running::on(scene, exported, port, volume(usage, parameters))
    }

    /// On a target of the case's own.
    fn on(scene: Scene, exported: Subsystem, port: Port, volume: Volume) -> Running {
        let plugin = Plugin::start();
        // On a busy machine the short keep-alive may end the first controller; kubelet asks again, too.
        eventually("the volume to be staged", || {
            let staged = plugin.stage(&volume);
            let again = |status: &Status| status.code() == Code::Unavailable;
            (!staged.as_ref().is_err_and(again)).then(|| staged.expect("stage"))
        });
        plugin.publish(&volume).expect("publish");
        Running {
            scene,
            exported,
            port,
            plugin,
            volume,
        }
    }

    /// With a plugin in the place of the first one whose log is kept.
    fn logged(mut self) -> Running {
        self.plugin.kill();
        self.plugin = Plugin::start_logged();
        self
    }

    /// A writer that is at work.
    fn writer(&self) -> Writer {
        let target = self.volume.target();
        let writer = match self.volume.usage {
            Use::Filesystem(_) => Writer::start(&target),
            Use::Block => Writer::start_raw(&target),
        };
        writer.wait_for(20);
        writer
    }

    /// A writer of each kind, all at work.
    fn writers(&self) -> Writers {
        let target = self.volume.target();
        let writers = match self.volume.usage {
            Use::Filesystem(_) => Writers::start(&target),
            Use::Block => Writers::start_raw(&target),
        };
        writers.wait_for(20);
        writers
    }

    /// Asserts that what the writers wait for was held, and then went to another disk.
    #[track_caller]
    fn assert_swapped(&self, before: &[String]) {
        let after = disks_below(&self.volume);
        let is_another = |disk: &String| !before.contains(disk);
        assert!(
            !after.is_empty() && after.iter().all(is_another),
            "a swap: {before:?} {after:?}"
        );
    }

    /// Off the node.
    fn end(self) {
        self.plugin.unpublish(&self.volume).expect("unpublish");
        self.plugin.unstage(&self.volume).expect("unstage");
        assert!(!is_mounted(&self.volume.staging()));
        assert_eq!(controllers(), Vec::<String>::new());
    }

    /// Off the node; what the writer wrote is on the target, and still there when the volume comes again.
    fn end_and_verify(self, written: u64) {
        self.end_and_verify_all(&Written::by_one(written));
    }

    /// The same for what several writers wrote.
    fn end_and_verify_all(self, written: &Written) {
        let Running {
            plugin,
            volume,
            scene,
            ..
        } = self;
        plugin.unpublish(&volume).expect("unpublish");
        plugin.unstage(&volume).expect("unstage");
        assert!(!is_mounted(&volume.staging()));
        assert_eq!(controllers(), Vec::<String>::new());
        match volume.usage {
            Use::Filesystem(_) => written.verify_image(&foreign::own_file()),
            Use::Block => written.verify(&foreign::own_file()),
        }
        plugin.stage(&volume).expect("stage again");
        plugin.publish(&volume).expect("publish again");
        let path = match volume.usage {
            Use::Filesystem(_) => volume.target().join("written"),
            Use::Block => volume.target(),
        };
        verify(&path, written.count());
        plugin.unpublish(&volume).expect("unpublish");
        plugin.unstage(&volume).expect("unstage");
        drop(scene);
    }

    /// Pulls the cable, and waits until the kernel has given up.
    fn cut(&self) {
        net::set_down("v0").expect("the cable is pulled");
        gone();
    }

    /// The target lets go of everybody.
    fn withdraw(&self) {
        let withdrawn = self.port.withdraw(&self.exported);
        withdrawn.expect("the subsystem goes");
        gone();
    }

    fn export(&self) {
        self.scene.export(&self.port, &self.exported);
    }

    /// Whether nothing is wrong with the volume.
    fn is_whole(&self) -> bool {
        let health = self.plugin.health(&self.volume);
        health.expect("an answer").is_empty()
    }
}

fn volume(usage: Use, parameters: &[(&str, &str)]) -> Volume {
    let mut volume = Volume::new(usage);
    let soon = [("keepAliveTmo", "2"), ("reconnectDelay", "1")];
    for (key, value) in soon.iter().chain(parameters) {
        volume
            .context
            .insert((*key).to_owned(), (*value).to_owned());
    }
    volume
}

/// Waits until no controller is left. A kernel that sent an admin command in the moment of the loss waits for it first, for
/// the whole minute of `admin_timeout` (seen on 6.1: the log of ANA states, and the keep-alive behind it).
fn gone() {
    within(2 * PATIENCE, "the controller to be dropped", || {
        controllers().is_empty().then_some(())
    });
}

/// The disks below the map of a volume, each by the number that no other disk of this boot has.
fn disks_below(volume: &Volume) -> Vec<String> {
    let uuid = volume.map().uuid();
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let directories = fs::read_dir("/sys/block").expect("the disks");
    let mut directories = directories.map(|entry| entry.expect("an entry").path());
    let map = directories.find(|directory| read(&directory.join("dm/uuid")).trim() == uuid);
    let slaves = fs::read_dir(map.expect("a map").join("slaves")).expect("its disks");
    let slaves = slaves.map(|entry| entry.expect("an entry").path());
    let mut below: Vec<String> = slaves
        .map(|slave| read(&slave.join("diskseq")).trim().to_owned())
        .collect();
    below.sort();
    below
}
