//! Controllers of others on the head of a volume: what waits must wait in the map, not in the head that they keep.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use kernel_lab::guest::nvmet::{Port, Subsystem};
use tonic::Code;

use super::bystanders::dmsetup;
use super::foreign::{Foreign, Loss, own_file, stand_in};
use super::{Running, disks_below, volume};
use crate::case::{Case, Profile};
use crate::plugin::{OTHER_DRIVER, Plugin, Use, said};
use crate::scene::{
    NQN, OTHER_UUID, Scene, UUID, attribute, cli, controllers, eventually, net, subsystem, target,
    wait_state,
};
use crate::writer::{Writer, verify};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_31_beside_a_controller_at_another_portal_another_namespace_is_never_written",
        || idle(PORTAL),
    ),
    Case::new(
        "row_31_beside_a_controller_by_an_interface_another_namespace_is_never_written",
        || idle(INTERFACE),
    ),
    Case::new(
        "row_31_beside_a_controller_of_another_host_another_namespace_is_never_written",
        || idle(HOST),
    ),
    Case::new(
        "row_31_a_busy_volume_beside_a_controller_of_others_writes_no_other_namespace",
        || busy(PORTAL),
    ),
    Case::new(
        "row_31_without_multipath_a_controller_of_others_writes_no_other_namespace",
        || {
            idle(PORTAL);
            crate::guest::clean_up().expect("a clean machine");
            busy(HOST);
        },
    )
    .on(Profile::MultipathOff),
    Case::new(
        "row_31_a_disk_of_others_survives_a_cut_as_before_and_the_volume_is_not_held",
        spares,
    ),
    Case::new(
        "row_31_a_controller_that_others_need_and_that_comes_later_is_told_and_gets_no_write",
        || {
            comes_later(Foreign::uuid());
            crate::guest::clean_up().expect("a clean machine");
            comes_later(Foreign::smaller());
        },
    ),
    Case::new(
        "row_31_two_drivers_with_the_same_handles_keep_their_hands_off_each_other",
        two_drivers,
    ),
    Case::new(
        "row_31_what_an_administrator_connects_stays_connected",
        administrator,
    ),
];

/// For how long a link is cut: less than what any controller of others lives.
const CUT: Duration = Duration::from_secs(6);

pub(super) const OTHER_HOST: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/// Of a namespace that others have.
const THEIR_UUID: &str = "33333333-3333-4333-8333-333333333333";

/// How somebody else reaches the subsystem of the volume.
#[derive(Debug, Clone, Copy)]
struct Company {
    what: &'static str,
    service: u16,
    more: &'static str,
}

const PORTAL: Company = Company {
    what: "another portal",
    service: 4421,
    more: "",
};

const INTERFACE: Company = Company {
    what: "an interface",
    service: 4420,
    more: ",host_iface=v0",
};

const HOST: Company = Company {
    what: "another host",
    service: 4421,
    more: ",hostnqn=nqn.2014-08.org.nvmexpress:uuid:bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb,\
           hostid=bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
};

/// Connects as somebody who has never heard of the program, and stays for ten minutes; returns the controller.
pub(super) fn connect_by_hand(nqn: &str, service: u16, more: &str) -> String {
    let options = format!(
        "transport=tcp,traddr={},trsvcid={service},nqn={nqn},ctrl_loss_tmo=555{more}",
        target(0)
    );
    let mut how = File::options();
    let device = how.read(true).write(true).open("/dev/nvme-fabrics");
    let mut device = device.expect("the device opens");
    device.write_all(options.as_bytes()).expect("a connect");
    let mut reply = String::new();
    device.read_to_string(&mut reply).expect("a reply");
    let instance = reply.trim().strip_prefix("instance=");
    let instance = instance.and_then(|rest| rest.split(',').next());
    let controller = format!("nvme{}", instance.expect("its number"));
    wait_state(&controller, "live");
    controller
}

/// A volume whose head has a controller of somebody else, who reconnects sooner than the plugin.
fn beside(company: Company, usage: Use) -> (Running, String) {
    let running = Running::start(usage, &[("pathLossHold", "dm")]);
    let elsewhere = [&running.exported];
    running.scene.listen(2, target(0), 4421, &elsewhere);
    let soon = format!("{},reconnect_delay=1,keep_alive_tmo=2", company.more);
    let theirs = connect_by_hand(NQN, company.service, &soon);
    eventually("theirs to give up at once", || {
        (attribute(&theirs, "ctrl_loss_tmo").as_deref() == Some("0")).then_some(())
    });
    (running, theirs)
}

/// Pulls the cable, and waits until nothing of the plugin's own is left.
fn cut(theirs: &str) {
    net::set_down("v0").expect("the cable is pulled");
    eventually("its own controller to be dropped", || {
        let left = controllers();
        left.iter().all(|name| name == theirs).then_some(())
    });
    eventually("the loss to be seen by theirs", || {
        (attribute(theirs, "state").as_deref() != Some("live")).then_some(())
    });
}

fn idle(company: Company) {
    let (running, theirs) = beside(company, Use::Block);
    cut(&theirs);
    let writer = Writer::start_raw(&running.volume.target());
    stand_in(&running, Foreign::uuid(), Loss::Cable, &writer);
    writer.wait_for(20);
    let written = writer.end(&format!("row 31, {}, idle", company.what));
    leave(&theirs);
    running.end();
    verify(&own_file(), written);
}

fn busy(company: Company) {
    let (running, theirs) = beside(company, Use::Filesystem("ext4"));
    let writer = running.writer();
    cut(&theirs);
    stand_in(&running, Foreign::uuid(), Loss::Cable, &writer);
    writer.wait_for(20);
    let written = writer.end(&format!("row 31, {}, busy", company.what));
    leave(&theirs);
    running.end_and_verify(written);
}

/// What others have connected is theirs to take away.
fn leave(theirs: &str) {
    if controllers().iter().any(|name| name == theirs) {
        let delete = format!("/sys/class/nvme/{theirs}/delete_controller");
        std::fs::write(delete, "1").expect("deleted");
    }
}

/// A subsystem with the namespace of the volume and one of others, which somebody writes to behind a controller of theirs.
struct Shared {
    scene: Scene,
    exported: Subsystem,
    port: Port,
}

impl Shared {
    fn make() -> Shared {
        let scene = Scene::new();
        let exported = subsystem(NQN, &[(1, UUID), (2, THEIR_UUID)]);
        let port = scene.listen(1, target(0), 4420, &[&exported]);
        Shared {
            scene,
            exported,
            port,
        }
    }

    /// Theirs, with what they write.
    fn occupy() -> (String, Writer) {
        let theirs = connect_by_hand(NQN, 4420, ",reconnect_delay=1,keep_alive_tmo=2");
        let disk = eventually("the disk of others", || {
            let run = cli(&["resolve", "--nqn", NQN, "--uuid", THEIR_UUID]);
            (run.code == Some(0)).then(|| run.out.trim().to_owned())
        });
        let writer = Writer::start_raw(Path::new(&disk));
        writer.wait_for(20);
        (theirs, writer)
    }
}

fn spares() {
    let Shared {
        scene,
        exported,
        port,
    } = Shared::make();
    let (theirs, bystander) = Shared::occupy();
    let before = attribute(&theirs, "ctrl_loss_tmo");
    let plugin = Plugin::start_logged();
    let asked = volume(Use::Block, &[("pathLossHold", "dm")]);
    let refused = plugin.stage(&asked).expect_err("nobody else is to fail");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains(&theirs), "{refused}");
    plugin.kill();
    let running = Running::on(scene, exported, port, volume(Use::Block, &[])).logged();
    assert_eq!(dmsetup(&["ls"]).trim(), "No devices found", "no map");
    assert_eq!(attribute(&theirs, "ctrl_loss_tmo"), before);
    let writer = running.writer();
    net::set_down("v0").expect("the cable is pulled");
    thread::sleep(CUT);
    net::set_up("v0").expect("the cable is back");
    writer.target_returns();
    bystander.target_returns();
    writer.wait_for(20);
    bystander.wait_for(20);
    assert_eq!(attribute(&theirs, "ctrl_loss_tmo"), before);
    bystander.end("row 31, a disk of others");
    let written = writer.end("row 31, a volume beside it");
    leave(&theirs);
    running.end();
    verify(&own_file(), written);
}

fn comes_later(foreign: Foreign) {
    let Shared {
        scene,
        exported,
        port,
    } = Shared::make();
    let asked = volume(Use::Block, &[("pathLossHold", "dm")]);
    let running = Running::on(scene, exported, port, asked).logged();
    let map = running.volume.map().name();
    let (theirs, bystander) = Shared::occupy();
    let before = attribute(&theirs, "ctrl_loss_tmo");
    eventually("it is told", || {
        let health = running.plugin.health(&running.volume);
        let is_told = health.expect("an answer") == ["NotHeld"];
        (is_told && said().contains("NotHeld")).then_some(())
    });
    cut(&theirs);
    eventually("a map that waits suspended", || {
        dmsetup(&["info", &map]).contains("SUSPENDED").then_some(())
    });
    let writer = Writer::start_raw(&running.volume.target());
    stand_in(&running, foreign, Loss::Cable, &writer);
    writer.wait_for(20);
    assert_eq!(attribute(&theirs, "ctrl_loss_tmo"), before);
    bystander.target_returns();
    bystander.wait_for(20);
    bystander.end("row 31, a disk of others whose controller came later");
    let written = writer.end("row 31, a volume beside what came later");
    leave(&theirs);
    running.end();
    verify(&own_file(), written);
}

/// Another driver of this program on the node, with a handle that the first one has too.
fn two_drivers() {
    const OTHER_NQN: &str = "nqn.2026-01.org.example:other";
    let scene = Scene::new();
    let exported = subsystem(NQN, &[(1, UUID)]);
    let elsewhere = subsystem(OTHER_NQN, &[(1, OTHER_UUID)]);
    let port = scene.listen(1, target(0), 4420, &[&exported, &elsewhere]);
    let running = Running::on(scene, exported, port, volume(Use::Filesystem("ext4"), &[]));
    let writer = running.writer();
    let before = (disks_below(&running.volume), controllers());
    let plugin = Plugin::start_as(OTHER_DRIVER);
    let mut other = volume(
        Use::Block,
        &[("nqn", OTHER_NQN), ("namespaceUUID", OTHER_UUID)],
    );
    other.driver = OTHER_DRIVER;
    // Of a handle that only the other one knows.
    plugin.unstage(&other).expect("nothing to do");
    plugin.stage(&other).expect("stage");
    plugin.publish(&other).expect("publish");
    let theirs = Writer::start_raw(&other.target());
    theirs.wait_for(20);
    writer.wait_for(20);
    assert_eq!(disks_below(&running.volume), before.0, "no swap");
    assert_ne!(disks_below(&other), before.0);
    running.cut();
    net::set_up("v0").expect("the cable is back");
    for writer in [&writer, &theirs] {
        writer.target_returns();
        writer.wait_for(20);
    }
    theirs.end("row 31, of the other driver");
    plugin.unpublish(&other).expect("unpublish");
    plugin.unstage(&other).expect("unstage");
    plugin.unstage(&other).expect("nothing to do");
    writer.wait_for(20);
    assert_eq!(controllers().len(), before.1.len());
    let written = writer.end("row 31, of the first driver");
    running.end_and_verify(written);
}

/// For longer than the plugin leaves a controller of its own that nobody needs.
fn administrator() {
    const OTHER_NQN: &str = "nqn.2026-01.org.example:other";
    const LONG: Duration = Duration::from_secs(310);
    let scene = Scene::new();
    let exported = subsystem(NQN, &[(1, UUID)]);
    let elsewhere = subsystem(OTHER_NQN, &[(1, OTHER_UUID)]);
    let port = scene.listen(1, target(0), 4420, &[&exported, &elsewhere]);
    let running = Running::on(scene, exported, port, volume(Use::Block, &[]));
    let ours = controllers();
    let address = target(0).to_string();
    let connect = [
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        &address,
        "--nqn",
        OTHER_NQN,
    ];
    cli(&connect).expect(0);
    thread::sleep(LONG);
    assert_eq!(controllers().len(), ours.len() + 1);
    running
        .plugin
        .unpublish(&running.volume)
        .expect("unpublish");
    running.plugin.unstage(&running.volume).expect("unstage");
    assert_eq!(controllers().len(), 1, "what the administrator has");
    cli(&["disconnect", "--nqn", OTHER_NQN]).expect(0);
}
