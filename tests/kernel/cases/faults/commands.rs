//! Plugins that are killed at a step of the keeper's, and are started again. Those of a call are killed in `killed.rs`.

use std::path::Path;

use nix::sys::signal::{Signal, kill};

use super::Running;
use super::bystanders::dmsetup;
use super::restarts::{assert_nothing_is_suspended, delete, process, restarted};
use super::timeout::leave;
use crate::case::Case;
use crate::plugin::{Plugin, Use};
use crate::scene::{controllers, eventually};
use crate::strace::{attach, hold_back, reached, threads};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_12_a_plugin_that_is_killed_at_any_command_to_a_map_costs_no_write",
        at_commands,
    ),
    Case::new(
        "row_12_a_plugin_that_is_killed_as_it_lets_go_lets_go_when_it_is_back",
        as_it_lets_go,
    ),
    Case::new(
        "row_12_a_plugin_that_is_killed_as_it_suspends_a_map_costs_no_write",
        as_it_suspends,
    ),
    Case::new(
        "row_12_a_map_whose_suspend_was_cut_off_holds_the_next_loss",
        suspend_cut_off,
    ),
    Case::new(
        "row_12_a_plugin_that_is_killed_before_it_owns_a_controller_takes_it_along_in_the_end",
        before_it_owns,
    ),
];

/// What puts an entry into the registry of owners, and nothing else that a keeper does.
const OWNS: &str = "renameat2";

/// A command, and what makes the plugin give it.
type Step = (&'static str, fn(&Running));

/// A question, what a recovery cannot do without, and what it does about the hand of another.
const STEPS: [Step; 5] = [
    ("DM_TABLE_STATUS", delete),
    ("DM_TABLE_LOAD", delete),
    ("DM_DEV_SUSPEND", delete),
    ("DM_TABLE_CLEAR", load_again),
    ("DM_TARGET_MSG", fail_path),
];

fn at_commands() {
    let mut running = Running::start(Use::Filesystem("ext4"), &[]);
    let writer = running.writer();
    for (command, provoke) in STEPS {
        running = restarted(killed_at("keep-", "ioctl", command, provoke, running));
        writer.wait_for(20);
        eventually("no table that waits", || {
            let state = dmsetup(&["info", &name(&running)]);
            (!state.contains("INACTIVE")).then_some(())
        });
        assert_nothing_is_suspended();
    }
    let commands = STEPS.map(|(command, _)| command);
    let written = writer.end(&format!("row 12, killed at each of {commands:?}"));
    running.end_and_verify(written);
}

fn as_it_lets_go() {
    let running = Running::start(Use::Filesystem("ext4"), &[("pathLossTimeout", "3s")]);
    let writer = running.writer();
    let running = restarted(killed_at(
        "leave-",
        "ioctl",
        "DM_TARGET_MSG",
        Running::withdraw,
        running,
    ));
    writer.wait_for_failure();
    drop(writer);
    leave(&running);
}

/// The suspend has a thread of its own, which is not there before.
fn as_it_suspends() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let writer = running.writer();
    let mut strace = hold_back(&running.plugin, "ioctl:delay_enter=1s", &[]);
    running.withdraw();
    reached("DM_SUSPEND_FLAG");
    kill(process(&running.plugin), Signal::SIGKILL).expect("it runs");
    strace.wait().expect("it ends with what it watches");
    let waiting = writer.written();
    let running = restarted(running);
    eventually("the map to be suspended", || {
        let state = dmsetup(&["info", &name(&running)]);
        state.contains("SUSPENDED").then_some(())
    });
    writer.still_waits(waiting);
    writer.target_returns();
    running.export();
    writer.wait_for(20);
    assert_nothing_is_suspended();
    let written = writer.end("row 12, killed as it suspends a map");
    running.end_and_verify(written);
}

/// A plugin that is killed while the kernel waits within its suspend leaves a map that is active and does not queue. So
/// does this message.
fn suspend_cut_off() {
    let mut running = Running::start(Use::Filesystem("ext4"), &[]);
    let writer = running.writer();
    let name = name(&running);
    running.plugin.kill();
    dmsetup(&["message", &name, "0", "fail_if_no_path"]);
    assert!(!queues(&name));
    running.plugin = Plugin::start();
    eventually("a map that queues", || queues(&name).then_some(()));
    writer.wait_for(20);
    running.withdraw();
    let waiting = writer.written();
    writer.target_returns();
    running.export();
    writer.wait_for(20);
    assert!(writer.written() > waiting);
    let written = writer.end("row 12, after a suspend that was cut off");
    running.end_and_verify(written);
}

/// Whether I/O that finds no path waits in a map.
fn queues(name: &str) -> bool {
    dmsetup(&["table", name]).contains("queue_if_no_path")
}

/// The kernel has made a controller, and nobody has written down whose it is.
fn before_it_owns() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let writer = running.writer();
    let mut strace = attach(
        &threads(&running.plugin, "connect-"),
        &[
            &format!("trace={OWNS}"),
            &format!("inject={OWNS}:signal=KILL"),
        ],
    );
    delete(&running);
    strace.wait().expect("it ends with what it watches");
    let controller = controllers().pop().expect("a controller");
    let owner = Path::new("/run/nvme/registry")
        .join(controller)
        .join("owner");
    assert!(!owner.exists(), "it was killed too late");
    let running = restarted(running);
    writer.wait_for(20);
    let written = writer.end("row 12, killed before it owns the controller");
    running.end_and_verify(written);
}

/// Kills the plugin at a system call of the keeper's threads of this name, which is held back meanwhile: one whose line has
/// these words.
pub(super) fn killed_at(
    name: &str,
    call: &str,
    words: &str,
    provoke: fn(&Running),
    running: Running,
) -> Running {
    let keepers = threads(&running.plugin, name);
    let held_back = format!("inject={call}:delay_enter=1s");
    let mut strace = attach(&keepers, &[&format!("trace={call}"), &held_back]);
    provoke(&running);
    reached(words);
    kill(process(&running.plugin), Signal::SIGKILL).expect("it runs");
    strace.wait().expect("it ends with what it watches");
    running
}

/// Somebody loads a table, and leaves it at that.
fn load_again(running: &Running) {
    let name = name(running);
    let table = dmsetup(&["table", &name]);
    dmsetup(&["load", "--table", table.trim(), &name]);
}

/// A path of the map fails, and its disk is well.
fn fail_path(running: &Running) {
    let name = name(running);
    let table = dmsetup(&["table", &name]);
    let disk = table.split_whitespace().find(|word| word.contains(':'));
    let message = format!("fail_path {}", disk.expect("a disk below the map"));
    dmsetup(&["message", &name, "0", &message]);
}

/// Of the map, as dmsetup lists it.
fn name(running: &Running) -> String {
    running.volume.map().name()
}
