//! Plugins that are killed while they bring volumes back, and are started again.

use std::fs;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Running;
use crate::case::Case;
use crate::host::REPORT;
use crate::plugin::{Plugin, Use};
use crate::scene::{controllers, eventually, net, subsystem};
use crate::strace::{attach, reached, threads};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_12_a_plugin_that_is_killed_at_random_moments_costs_no_write",
        at_random,
    ),
    Case::new(
        "row_12_a_plugin_that_is_killed_at_any_command_to_a_map_costs_no_write",
        at_commands,
    ),
];

/// How often the plugin is killed in each row.
const KILLS: u32 = 6;
/// From the loss on; a recovery takes no longer on the slowest machine.
const WITHIN: u64 = 6000;
/// Each command to a map is held back for so long, which is when the plugin is killed.
const HELD_BACK: &str = "inject=ioctl:delay_enter=3s";
/// A question, and what a recovery cannot do without.
const COMMANDS: [&str; 3] = ["DM_TABLE_STATUS", "DM_TABLE_LOAD", "DM_DEV_SUSPEND"];

/// Numbers that look random and are the same for the same seed (xorshift64).
struct Random(u64);

impl Random {
    fn seeded() -> Random {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = since.expect("after 1970").subsec_nanos();
        Random(u64::from(seed) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// How a volume is lost and comes back.
#[derive(Clone, Copy)]
struct Row {
    number: u32,
    parameters: &'static [(&'static str, &'static str)],
    lose: fn(&Running),
}

const ROWS: [Row; 4] = [
    Row {
        number: 1,
        parameters: &[],
        lose: |running| {
            running.cut();
            net::set_up("v0").expect("the cable is back");
        },
    },
    Row {
        number: 2,
        parameters: &[],
        lose: |running| {
            running.withdraw();
            running.export();
        },
    },
    Row {
        number: 4,
        parameters: &[("ctrlLossTmo", "2")],
        lose: |running| {
            running.withdraw();
            running.export();
        },
    },
    Row {
        number: 5,
        parameters: &[],
        lose: delete,
    },
];

fn delete(_: &Running) {
    let controller = eventually("a controller", || controllers().pop());
    let delete = format!("/sys/class/nvme/{controller}/delete_controller");
    fs::write(delete, "1").expect("deleted");
}

fn at_random() {
    let mut random = Random::seeded();
    eprintln!("{REPORT}row 12: seed {}", random.0);
    for row in ROWS {
        let mut running = Running::start(Use::Filesystem("ext4"), row.parameters);
        // It keeps the port listening while ours is not exported.
        let other = subsystem("nqn.2026-01.org.example:other", &[]);
        if row.number == 2 {
            running.scene.export(&running.port, &other);
        }
        let writer = running.writer();
        for _ in 0..KILLS {
            let after = Duration::from_millis(random.below(WITHIN));
            let process = process(&running.plugin);
            thread::scope(|scope| {
                scope.spawn(move || {
                    thread::sleep(after);
                    kill(process, Signal::SIGKILL).expect("it runs");
                });
                (row.lose)(&running);
            });
            running = restarted(running);
            writer.wait_for(20);
            assert_nothing_is_suspended();
        }
        let what = format!("row 12, killed {KILLS} times in row {}", row.number);
        let written = writer.end(&what);
        running.end_and_verify(written);
        crate::guest::clean_up().expect("a clean machine");
    }
}

fn at_commands() {
    let mut running = Running::start(Use::Filesystem("ext4"), &[]);
    let writer = running.writer();
    for command in COMMANDS {
        let keepers = threads(&running.plugin, "keep-");
        let mut strace = attach(&keepers, &["trace=ioctl", HELD_BACK]);
        delete(&running);
        reached(command);
        kill(process(&running.plugin), Signal::SIGKILL).expect("it runs");
        strace.wait().expect("it ends with what it watches");
        running = restarted(running);
        writer.wait_for(20);
        assert_nothing_is_suspended();
    }
    let written = writer.end(&format!("row 12, killed at each of {COMMANDS:?}"));
    running.end_and_verify(written);
}

fn process(plugin: &Plugin) -> Pid {
    Pid::from_raw(plugin.id().cast_signed())
}

/// The same with another plugin, now that this one was killed.
fn restarted(mut running: Running) -> Running {
    running.plugin.wait_killed();
    running.plugin = Plugin::start();
    running
}

/// Of the maps of this machine.
fn assert_nothing_is_suspended() {
    for entry in fs::read_dir("/sys/block").expect("the disks") {
        let disk = entry.expect("an entry").path();
        let suspended = disk.join("dm/suspended");
        if suspended.exists() {
            let suspended = fs::read_to_string(suspended).expect("an attribute");
            assert_eq!(suspended.trim(), "0", "{}", disk.display());
        }
    }
}
