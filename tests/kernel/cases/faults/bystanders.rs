//! What is not of the volumes: controllers of others, their maps, and namespaces that are well.

use std::fs;

use kernel_lab::guest::program;

use super::company::{OTHER_HOST, connect_by_hand};
use super::{Running, disks_below, volume};
use crate::case::Case;
use crate::plugin::{Plugin, Use, Volume};
use crate::scene::{
    NQN, OTHER_UUID, Scene, UUID, attribute, cli, controllers, eventually, subsystem, target,
};
use crate::writer::Writer;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_19_controllers_and_maps_of_others_are_never_touched",
        others,
    ),
    Case::new(
        "row_19_a_namespace_that_is_well_is_not_touched_for_its_sibling",
        sibling,
    ),
];

const OTHER_NQN: &str = "nqn.2026-01.org.example:other";
const THIRD_UUID: &str = "33333333-3333-4333-8333-333333333333";

/// dmsetup, as an administrator runs it.
pub(super) fn dmsetup(arguments: &[&str]) -> String {
    let output = program("dmsetup").args(arguments).output();
    let output = output.expect("dmsetup runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All that would tell that somebody had laid hands on it.
fn look_at(controller: &str) -> Vec<Option<String>> {
    let names = [
        "state",
        "cntlid",
        "hostnqn",
        "address",
        "ctrl_loss_tmo",
        "reconnect_delay",
        "dev",
    ];
    let names = names.iter().map(|name| attribute(controller, name));
    names.collect()
}

pub(super) fn pcie() -> String {
    let entries = fs::read_dir("/sys/class/nvme").expect("the class directory");
    let mut names = entries.map(|entry| {
        let name = entry.expect("an entry").file_name();
        name.into_string().expect("a name")
    });
    let found = names.find(|name| attribute(name, "transport").as_deref() == Some("pcie"));
    found.expect("a PCIe controller")
}

/// What others have on this machine beside the volume.
struct Others {
    controllers: Vec<(String, Vec<Option<String>>)>,
    map: String,
}

impl Others {
    /// Of another subsystem, and of the machine itself; a suspended map lies over the former.
    fn make() -> Others {
        let stranger = connect_by_hand(OTHER_NQN, 4420, "");
        let head = eventually("the other namespace", || {
            let run = cli(&["resolve", "--nqn", OTHER_NQN]);
            (run.code == Some(0)).then(|| run.out.trim().to_owned())
        });
        let table = format!("0 2048 linear {head} 0");
        let create = ["create", "--noudevsync", "--uuid", "LVM-others", "--table"];
        dmsetup(&[&create[..], &[&table, "others"]].concat());
        dmsetup(&["suspend", "--noudevsync", "others"]);
        let mut others = Others {
            controllers: Vec::new(),
            map: dmsetup(&["info", "others"]),
        };
        others.watch(stranger);
        others.watch(pcie());
        others
    }

    fn watch(&mut self, controller: String) {
        let seen = look_at(&controller);
        self.controllers.push((controller, seen));
    }

    fn assert_untouched(&self) {
        for (controller, seen) in &self.controllers {
            assert_eq!(look_at(controller), *seen, "{controller}");
        }
        assert!(self.map.contains("SUSPENDED"), "{}", self.map);
        assert_eq!(dmsetup(&["info", "others"]), self.map);
    }
}

/// Waits until the volume has its own controller again, beside those of others.
fn whole(running: &Running) {
    eventually("the volume to be whole", || {
        running.is_whole().then_some(())
    });
}

fn others() {
    let mut running = Running::start(Use::Filesystem("ext4"), &[]);
    let ours = controllers();
    let exported = subsystem(OTHER_NQN, &[(1, THIRD_UUID)]);
    running.scene.export(&running.port, &exported);
    let elsewhere = [&running.exported];
    running.scene.listen(2, target(0), 4421, &elsewhere);
    let mut others = Others::make();
    let before = disks_below(&running.volume);
    let writer = running.writer();
    for controller in &ours {
        let delete = format!("/sys/class/nvme/{controller}/delete_controller");
        fs::write(delete, "1").expect("deleted");
    }
    writer.wait_for(20);
    whole(&running);
    assert_ne!(disks_below(&running.volume), before, "a swap");
    others.assert_untouched();

    // Another host on this machine reaches the same namespace, and the head of it outlives ours. Nothing of its
    // controller is changed, but that it gives up at once: what waits must wait in the map.
    let host = format!(",hostnqn=nqn.2014-08.org.nvmexpress:uuid:{OTHER_HOST},hostid={OTHER_HOST}");
    let sharing = connect_by_hand(NQN, 4421, &host);
    eventually("theirs to give up at once", || {
        (attribute(&sharing, "ctrl_loss_tmo").as_deref() == Some("0")).then_some(())
    });
    others.watch(sharing);
    let theirs: Vec<String> = others
        .controllers
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    let ours = || {
        controllers()
            .into_iter()
            .filter(|name| !theirs.contains(name))
    };
    for controller in ours() {
        let delete = format!("/sys/class/nvme/{controller}/delete_controller");
        fs::write(delete, "1").expect("deleted");
    }
    writer.wait_for(20);
    whole(&running);
    assert_eq!(ours().count(), 1);
    others.assert_untouched();
    running.plugin.kill();
    running.plugin = Plugin::start();
    writer.wait_for(20);
    others.assert_untouched();
    writer.end("row 19, beside others");
    running
        .plugin
        .unpublish(&running.volume)
        .expect("unpublish");
    running.plugin.unstage(&running.volume).expect("unstage");
    others.assert_untouched();
    assert_eq!(ours().count(), 0);
    dmsetup(&["resume", "--noudevsync", "others"]);
    dmsetup(&["remove", "--noudevsync", "others"]);
}

fn sibling() {
    let scene = Scene::new();
    let exported = subsystem(NQN, &[(1, UUID), (2, OTHER_UUID)]);
    let port = scene.listen(1, target(0), 4420, &[&exported]);
    let running = Running::on(scene, exported, port, volume(Use::Filesystem("ext4"), &[]));
    let well = Volume {
        id: "volume-2".to_owned(),
        ..volume(Use::Block, &[("namespaceUUID", OTHER_UUID)])
    };
    running.plugin.stage(&well).expect("stage");
    running.plugin.publish(&well).expect("publish");
    let connected = controllers();
    let (lost_before, well_before) = (disks_below(&running.volume), disks_below(&well));
    let (lost_writer, well_writer) = (running.writer(), Writer::start_raw(&well.target()));
    running.exported.disable(1).expect("hidden");
    eventually("the loss to be seen", || {
        (!running.is_whole()).then_some(())
    });
    let waiting = lost_writer.written();
    well_writer.wait_for(20);
    lost_writer.still_waits(waiting);
    running.exported.enable(1).expect("shown");
    lost_writer.wait_for(20);
    assert_ne!(disks_below(&running.volume), lost_before, "a swap");
    assert_eq!(disks_below(&well), well_before, "no swap");
    assert_eq!(controllers(), connected);
    let written = lost_writer.end("row 19, the namespace that went");
    well_writer.end("row 19, its sibling that was well");
    running.plugin.unpublish(&well).expect("unpublish");
    running.plugin.unstage(&well).expect("unstage");
    running.end_and_verify(written);
}
