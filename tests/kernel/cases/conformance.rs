//! csi-sanity, the public conformance suite, against the plugin on a real kernel.

use std::fs;
use std::process::{Command, Stdio};

use crate::case::{Case, Need};
use crate::conformance;
use crate::host::REPORT;
use crate::plugin::Plugin;
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("csi_sanity_passes_for_filesystem_volumes", filesystem).needs(Need::CsiSanity),
    Case::new("csi_sanity_passes_for_block_volumes", block).needs(Need::CsiSanity),
];

/// Where the host packs the suite.
pub(crate) const PROGRAM: &str = "/peers/csi-sanity";
const DIRECTORY: &str = "/var/lib/kubelet/sanity";
const SOCKET: &str = "/run/csi-sanity.sock";
fn filesystem() {
    run("mount");
}

fn block() {
    run("block");
}

fn run(access_type: &str) {
    let scene = Scene::new();
    let _plugin = Plugin::start();
    // The suite makes the directories themselves, as kubelet does.
    fs::create_dir_all(DIRECTORY).expect("a directory");
    // A socket of an earlier round.
    let _absent = fs::remove_file(SOCKET);
    conformance::serve(scene, SOCKET);
    let output = Command::new(PROGRAM)
        .args(["--csi.endpoint", SOCKET])
        .args(["--csi.testvolumeaccesstype", access_type])
        .args([
            "--csi.testvolumesize",
            "67108864",
            "--csi.testvolumeexpandsize",
            "134217728",
        ])
        .args([
            "--csi.mountdir",
            "/var/lib/kubelet/sanity/target",
            "--csi.stagingdir",
            "/var/lib/kubelet/sanity/staging",
        ])
        .args([
            "--ginkgo.focus",
            "Identity Service|Node Service",
            "--ginkgo.no-color",
            "--ginkgo.v",
        ])
        .stdin(Stdio::null())
        .output()
        .expect("csi-sanity runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // A test that finds something missing skips itself: every test that was chosen must have run.
    let chosen = number_after(&text, "Will run ");
    assert!(chosen.is_some_and(|chosen| chosen >= 30), "{text}");
    assert_eq!(number_after(&text, "Ran "), chosen, "{text}");
    let summary = text.lines().find(|line| line.contains(" Passed "));
    eprintln!("{REPORT}{access_type}: {}", summary.expect("a summary"));
}

fn number_after(text: &str, words: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(words))?;
    line.split(' ').next()?.parse().ok()
}
