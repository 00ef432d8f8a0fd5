//! What happens to the data of a volume when its target fails: rows of the table in the README.

use crate::case::Case;
use crate::plugin::{Plugin, Use, Volume, is_mounted};
use crate::scene::{HOSTNQN, Scene, controllers, eventually, net};
use crate::writer::Writer;

pub(super) const CASES: &[Case] = &[
    Case::new("row_1_a_cut_link_costs_no_write", cut_link),
    Case::new(
        "row_2_a_target_that_exports_late_costs_no_write",
        exports_late,
    ),
    Case::new("row_5_a_deleted_controller_costs_no_write", deleted),
];

fn volume() -> Volume {
    let mut volume = Volume::new(Use::Filesystem("ext4"));
    for (key, value) in [("keepAliveTmo", "2"), ("reconnectDelay", "1")] {
        volume.context.insert(key.to_owned(), value.to_owned());
    }
    volume
}

fn end(plugin: &Plugin, volume: &Volume) {
    plugin.unpublish(volume).expect("unpublish");
    plugin.unstage(volume).expect("unstage");
    assert!(!is_mounted(&volume.staging()));
    assert_eq!(controllers(), Vec::<String>::new());
}

fn cut_link() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = volume();
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    let writer = Writer::start(&volume.target());
    writer.wait_for(20);
    net::set_down("v0").expect("the cable is pulled");
    eventually("the controller to be dropped", || {
        controllers().is_empty().then_some(())
    });
    net::set_up("v0").expect("the cable is back");
    writer.wait_for(20);
    writer.end("row 1, link cut");
    end(&plugin, &volume);
}

fn exports_late() {
    let scene = Scene::new();
    let (exported, port) = scene.volume();
    let plugin = Plugin::start();
    let volume = volume();
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    let writer = Writer::start(&volume.target());
    writer.wait_for(20);
    // Another subsystem keeps the port listening while ours is not exported.
    let other = crate::scene::subsystem("nqn.2026-01.org.example:other", &[]);
    scene.export(&port, &other);
    port.withdraw(&exported).expect("the subsystem goes");
    eventually("the controller to be dropped", || {
        controllers().is_empty().then_some(())
    });
    exported.allow_only(HOSTNQN).ok();
    scene.export(&port, &exported);
    writer.wait_for(20);
    writer.end("row 2, exports late");
    end(&plugin, &volume);
}

fn deleted() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = volume();
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    let writer = Writer::start(&volume.target());
    for _ in 0..3 {
        writer.wait_for(20);
        let controller = eventually("a controller", || controllers().pop());
        std::fs::write(
            format!("/sys/class/nvme/{controller}/delete_controller"),
            "1",
        )
        .expect("deleted");
    }
    writer.wait_for(20);
    writer.end("row 5, deleted");
    end(&plugin, &volume);
}
