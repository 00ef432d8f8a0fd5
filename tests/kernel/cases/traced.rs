//! The plugin watched by strace: the product carries no hook for tests.

use std::fs;
use std::process::Command;

use crate::case::Case;
use crate::plugin::{self, Plugin, Use, Volume};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("a_volumes_life_runs_no_program_but_mkfs_and_fsck", programs),
    Case::new(
        "a_program_that_the_plugin_runs_is_ended_before_the_plugin",
        scores,
    ),
];

const TRACE: &str = "/tmp/trace";
/// What the plugin may run.
const KNOWN: [&str; 3] = ["/mke2fs\"", "/mkfs.xfs\"", "/e2fsck\""];

/// strace before the plugin's command line.
fn traced(what: &str) -> Command {
    let inner = plugin::command();
    let mut command = Command::new("/usr/bin/strace");
    command.args(["-f", "-qq", "-o", TRACE, "-e", what, "--"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command
}

fn programs() {
    for fs_type in ["ext4", "xfs"] {
        let scene = Scene::new();
        scene.big_volume();
        let plugin = Plugin::spawn(&mut traced("trace=execve"));
        let volume = Volume::new(Use::Filesystem(fs_type));
        plugin.stage(&volume).expect("stage");
        plugin.publish(&volume).expect("publish");
        plugin.unpublish(&volume).expect("unpublish");
        plugin.unstage(&volume).expect("unstage");
        let trace = fs::read_to_string(TRACE).expect("the trace");
        let run = trace
            .lines()
            .filter(|line| line.contains("execve(") && line.ends_with(" = 0"));
        let run: Vec<&str> = run.skip(1).collect();
        assert!(!run.is_empty(), "a blank disk was formatted:\n{trace}");
        for line in run {
            assert!(KNOWN.iter().any(|known| line.contains(known)), "{line}");
        }
        drop(plugin);
        crate::guest::clean_up().expect("a clean machine");
    }
}

fn scores() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::spawn(&mut traced("trace=execve,openat"));
    let volume = Volume::new(Use::Filesystem("ext4"));
    plugin.stage(&volume).expect("stage");
    let trace = fs::read_to_string(TRACE).expect("the trace");
    let program = trace.lines().find(|line| line.contains(KNOWN[0]));
    let program = program.unwrap_or_else(|| panic!("a blank disk was formatted:\n{trace}"));
    let (process, _) = program.split_once(' ').expect("strace names the process");
    let score = format!("/proc/{process}/oom_score_adj\", O_WRONLY");
    let mut opened = trace.lines().filter(|line| line.contains(&score));
    assert!(
        opened.any(|line| !line.contains(" = -1 ")),
        "{score}:\n{trace}"
    );
    plugin.unstage(&volume).expect("unstage");
    drop(plugin);
    // The end of strace is not the end of what it traced.
    crate::guest::clean_up().expect("a clean machine");
}
