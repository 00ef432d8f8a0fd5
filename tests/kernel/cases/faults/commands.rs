//! Plugins that are killed at a command to a map, and are started again. Those that a call gives are killed in `killed.rs`.

use nix::sys::signal::{Signal, kill};
use nvmeof_csi::host::MapId;

use super::Running;
use super::bystanders::dmsetup;
use super::restarts::{assert_nothing_is_suspended, delete, process, restarted};
use super::timeout::leave;
use crate::case::Case;
use crate::plugin::Use;
use crate::scene::eventually;
use crate::strace::{attach, reached, threads};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_12_a_plugin_that_is_killed_at_any_command_to_a_map_costs_no_write",
        at_commands,
    ),
    Case::new(
        "row_12_a_plugin_that_is_killed_as_it_lets_go_lets_go_when_it_is_back",
        as_it_lets_go,
    ),
];

/// Each command to a map is held back for so long, which is when the plugin is killed.
const HELD_BACK: &str = "inject=ioctl:delay_enter=3s";

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
        running = killed_at(command, provoke, running);
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
    let running = killed_at("DM_TARGET_MSG", Running::withdraw, running);
    writer.wait_for_failure();
    drop(writer);
    leave(&running);
}

/// The same with another plugin, now that the one before was killed at this command.
fn killed_at(command: &str, provoke: fn(&Running), running: Running) -> Running {
    let keepers = threads(&running.plugin, "keep-");
    let mut strace = attach(&keepers, &["trace=ioctl", HELD_BACK]);
    provoke(&running);
    reached(command);
    kill(process(&running.plugin), Signal::SIGKILL).expect("it runs");
    strace.wait().expect("it ends with what it watches");
    restarted(running)
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
    MapId::of_volume(&running.volume.id).name()
}
