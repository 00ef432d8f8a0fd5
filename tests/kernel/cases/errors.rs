//! Each way that a connect can fail has an error of its own that names the cause.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use nvme_fabrics::{Cause, ConnectOptions, ConnectTuning, RetryClass, TokenSet};
use nvme_sysfs::Transport;

use crate::case::{Case, Need};
use crate::responder;
use crate::scene::{
    HOSTNQN, NQN, SILENT, Scene, cli, connect, connect_to, controllers, finish, start, target,
};

pub(super) const CASES: &[Case] = &[
    Case::new("a_wrong_nqn_is_named_as_unknown_to_the_target", wrong_nqn),
    Case::new("a_closed_port_is_named_as_refused", refused_port),
    Case::new(
        "a_silent_address_times_out_while_another_connect_proceeds",
        silent_address,
    ),
    Case::new(
        "a_mute_peer_is_named_after_the_kernels_own_deadline",
        mute_peer,
    ),
    Case::new(
        "an_option_that_the_kernel_does_not_know_is_named",
        unknown_option,
    ),
    Case::new(
        "an_option_that_the_kernel_lacks_is_refused_before_the_write",
        unsupported_option,
    ),
    Case::new("a_host_that_is_not_admitted_is_named", host_not_allowed),
    Case::new("a_digest_mismatch_is_named", digest_mismatch),
    Case::new(
        "a_wrong_secret_is_named_and_no_secret_is_ever_told",
        wrong_secret,
    )
    .needs(Need::Module("nvme-auth")),
    Case::new(
        "a_host_id_that_belongs_to_another_host_nqn_is_refused",
        hostid_conflict,
    ),
];

fn wrong_nqn() {
    let scene = Scene::new();
    scene.volume();
    let wrong = "nqn.2026-01.org.example:nobody";
    let address = target(0).to_string();
    cli(&[
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        &address,
        "--nqn",
        wrong,
    ])
    .expect(1)
    .says(&[wrong, "no such subsystem"]);
    assert_eq!(controllers(), Vec::<String>::new());
}

fn refused_port() {
    let _scene = Scene::new();
    connect_to(target(0), 4999, &[])
        .expect(1)
        .says(&["refused", "4999"]);
}

fn silent_address() {
    let scene = Scene::new();
    scene.volume();
    scene.add_silent_address();
    let begun = std::time::Instant::now();
    let mut silent = start(&[
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        SILENT,
        "--nqn",
        NQN,
        "--dial-timeout",
        "40",
    ]);
    connect(&["--wait"]).expect(0);
    assert!(
        silent.try_wait().expect("a child").is_none(),
        "the other connect proceeded while the silent one was dialled"
    );
    silent.kill().expect("a child");
    finish(silent, begun);

    let run = cli(&[
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        SILENT,
        "--nqn",
        NQN,
        "--dial-timeout",
        "2",
    ])
    .expect(4)
    .says(&[SILENT, "2"]);
    assert!(run.took >= Duration::from_secs(2), "{:?}", run.took);
    assert!(run.took < Duration::from_secs(20), "{:?}", run.took);
    assert_eq!(controllers().len(), 1, "only the volume");
}

fn mute_peer() {
    let scene = Scene::new();
    responder::mute(&scene, target(0), 4420);
    connect(&[]).expect(4).says(&["never answered", NQN]);
    assert_eq!(controllers(), Vec::<String>::new());
}

/// The fabrics device, with a value behind the last option, which is a flag: no kernel knows it so.
struct WithUnknownOption(File);

impl Write for WithUnknownOption {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let written = self.0.write(&[text, b"=1"].concat())?;
        Ok(written.min(text.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Read for WithUnknownOption {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

fn unknown_option() {
    let scene = Scene::new();
    scene.volume();
    let nqn = NQN.parse().expect("a name");
    let mut builder = ConnectOptions::builder(Transport::Tcp, nqn);
    let options = builder
        .traddr(target(0).to_string())
        .tuning(ConnectTuning {
            hdr_digest: true,
            ..ConnectTuning::default()
        })
        .build()
        .expect("options");
    assert!(
        options.encode().as_str().ends_with(",hdr_digest"),
        "the flag stands last"
    );
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/nvme-fabrics")
        .expect("the device");
    let error = nvme_fabrics::connect(&mut WithUnknownOption(device), &options)
        .expect_err("the kernel knows no such option");
    assert_eq!(error.class(), RetryClass::Permanent, "{error}");
    let log = crate::scene::kernel_log().expect("the kernel's log");
    let cause = nvme_fabrics::cause(log.iter().rev().map(String::as_str), &options);
    assert_eq!(cause, Some(Cause::UnknownOption(TokenSet::HDR_DIGEST)));
    assert_eq!(controllers(), Vec::<String>::new());
}

fn unsupported_option() {
    let scene = Scene::new();
    scene.volume();
    let listed = {
        let mut text = String::new();
        File::open("/dev/nvme-fabrics")
            .and_then(|mut device| device.read_to_string(&mut text))
            .expect("the list");
        text
    };
    let lacks = |token: &str| !listed.trim().split(',').any(|word| word == token);
    let run = connect(&["--tls"]);
    if lacks("tls") {
        run.expect(1).says(&["tls", "kernel"]);
    } else {
        // This kernel has TLS, and no key was given to it.
        run.expect(1).says(&["key"]);
    }
    assert_eq!(controllers(), Vec::<String>::new());
}

fn host_not_allowed() {
    let scene = Scene::new();
    let (volume, _) = scene.volume();
    volume
        .allow_only("nqn.2026-01.org.example:somebody-else")
        .expect("a list of hosts");
    connect(&[])
        .expect(1)
        .says(&[HOSTNQN, NQN, "not among the allowed hosts"]);
    volume.allow(HOSTNQN).expect("one more host");
    connect(&["--wait"]).expect(0);
}

fn digest_mismatch() {
    let scene = Scene::new();
    responder::with_digests(&scene, target(0), 4420, 0);
    responder::with_digests(&scene, target(0), 4421, 1);
    connect(&["--hdr-digest"])
        .expect(1)
        .says(&["header digest"]);
    connect_to(target(0), 4421, &[])
        .expect(1)
        .says(&["header digest"]);
    assert_eq!(controllers(), Vec::<String>::new());
}

fn wrong_secret() {
    const RIGHT: &str = "DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:";
    const WRONG: &str = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
    let scene = Scene::new();
    let (volume, _) = scene.volume();
    volume.allow_only(HOSTNQN).expect("a list of hosts");
    volume
        .demand_secret(HOSTNQN, RIGHT)
        .expect("a secret for the host");
    connect(&[]).expect(1).says(&["authentication"]);
    let file = "/tmp/secret";
    let with_secret = ["-v", "-v", "-v", "--dhchap-secret-file", file];
    std::fs::write(file, format!("{WRONG}\n")).expect("a file");
    let refused = connect(&with_secret).expect(1);
    // nvmet may say so in its answer, or end the connection before the host has read that.
    let told = ["rejected", "authentication failed"];
    assert!(
        told.iter().any(|words| refused.err.contains(words)),
        "{}",
        refused.err
    );
    std::fs::write(file, format!("{RIGHT}\n")).expect("a file");
    let accepted = connect(&[&with_secret[..], &["--wait"]].concat()).expect(0);
    let log = crate::scene::kernel_log()
        .expect("the kernel's log")
        .concat();
    for told in [
        &refused.out,
        &refused.err,
        &accepted.out,
        &accepted.err,
        &log,
    ] {
        assert!(
            !told.contains("AAECAwQF") && !told.contains("ia6zGodO"),
            "{told}"
        );
    }
}

fn hostid_conflict() {
    let scene = Scene::new();
    scene.volume();
    connect(&["--wait"]).expect(0);
    let other = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
    let before = controllers();
    let address: SocketAddr = SocketAddr::new(target(0), 4420);
    let run = connect_to(
        address.ip(),
        address.port(),
        &["--hostnqn", HOSTNQN, "--hostid", other],
    )
    .expect(1);
    run.says(&[HOSTNQN, other, &before[0]]);
    assert_eq!(controllers(), before);
}
