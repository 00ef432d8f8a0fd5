//! What the crate `nvme-fabrics` promises, where only a kernel can keep it.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use nvme_fabrics::{Fabrics, Tuning};
use nvme_sysfs::{ControllerLoss, FastIoFail};

use crate::case::{Case, Need};
use crate::responder;
use crate::scene::{
    NQN, Scene, attribute, connect, controllers, eventually, finish, start, target,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "two_connects_at_once_make_one_controller_and_succeed_twice",
        at_once,
    )
    .in_real_time(),
    Case::new("what_is_tuned_is_what_the_kernel_shows", tuned),
    Case::new(
        "a_secret_given_to_a_connect_is_for_root_alone",
        closed_secrets,
    )
    .needs(Need::Module("nvme-auth")),
];

/// `connect` to the volume through this port, left running.
fn start_connect(service: &str) -> Child {
    let address = target(0).to_string();
    start(&[
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        &address,
        "--trsvcid",
        service,
        "--nqn",
        NQN,
        "-o",
        "json",
    ])
}

/// Whether a program has the device of the kernel's conversation open.
fn has_device(child: &Child) -> bool {
    let opened = fs::read_dir(format!("/proc/{}/fd", child.id()));
    opened.is_ok_and(|opened| {
        opened
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|path| path == Path::new("/dev/nvme-fabrics"))
    })
}

/// A third connect is in the kernel, which makes one at a time, until both have looked for what
/// exists and stand in line: the one that comes second is told EALREADY.
fn at_once() {
    let scene = Scene::new();
    scene.volume();
    let begun = Instant::now();
    let volume = SocketAddr::new(target(0), 4420);
    let door = responder::pausing(&scene, target(0), 4430, volume, 0);
    let third = start_connect("4430");
    door.wait_for_a_visitor();
    let both = [start_connect("4420"), start_connect("4420")];
    for child in &both {
        eventually("a connect to stand in line", || {
            has_device(child).then_some(())
        });
    }
    door.open();
    finish(third, begun).expect(0);
    let [first, second] = both.map(|child| finish(child, begun).expect(0).json());
    assert_eq!(first["controller"], second["controller"]);
    let mut results = [&first["result"], &second["result"]].map(|result| result.to_string());
    results.sort();
    assert_eq!(results, ["\"adopted\"", "\"created\""]);
    assert_eq!(controllers().len(), 2, "theirs and the third one's");
}

fn tuned() {
    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }
    let scene = Scene::new();
    scene.volume();
    connect(&["--wait"]).expect(0);
    let controller = controllers().remove(0);
    let instance = controller.parse().expect("a number");
    let nqn = NQN.parse().expect("a name");
    let rounded_up = ControllerLoss::After(seconds(31));
    for (loss, delay, fail, shown) in [
        (
            rounded_up,
            4,
            FastIoFail::After(seconds(15)),
            ["32", "4", "15"],
        ),
        (
            ControllerLoss::Never,
            5,
            FastIoFail::Off,
            ["off", "5", "off"],
        ),
        (
            ControllerLoss::After(seconds(0)),
            6,
            FastIoFail::After(seconds(0)),
            ["0", "6", "0"],
        ),
    ] {
        let tuning = Tuning {
            ctrl_loss_tmo: Some(loss),
            reconnect_delay: Some(seconds(delay)),
            fast_io_fail_tmo: Some(fail),
        };
        let done = Fabrics::at("/").tune(instance, &nqn, &tuning);
        done.expect("tuned");
        let names = ["ctrl_loss_tmo", "reconnect_delay", "fast_io_fail_tmo"];
        let values = names.map(|name| attribute(&controller, name).expect("the attribute"));
        assert_eq!(values, shown);
    }
}

fn closed_secrets() {
    const SECRET: &str = "DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:";
    let scene = Scene::new();
    scene.volume();
    let file = "/tmp/secret";
    fs::write(file, format!("{SECRET}\n")).expect("a file");
    connect(&["--dhchap-secret-file", file]).expect(0);
    let controller = controllers().remove(0);
    assert_eq!(
        attribute(&controller, "dhchap_secret").as_deref(),
        Some(SECRET)
    );
    let path = format!("/sys/class/nvme/{controller}/dhchap_secret");
    let mode = || {
        let metadata = fs::metadata(&path).expect("the attribute");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(), 0o600);
    // What a kernel or a killed connect left open is closed by the next one.
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("a mode");
    connect(&["--dhchap-secret-file", file]).expect(0);
    assert_eq!(mode(), 0o600);
}
