//! Plugins that are killed at random moments while they bring volumes back, and are started again.

use std::fs;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Running, gone, paths, returns};
use crate::case::{self, Case};
use crate::plugin::{Plugin, Use};
use crate::scene::{HOSTNQN, controllers, eventually, net, subsystem};

/// Fifty kills in all, or a third where rounds are few: no case may take too long.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_12_a_plugin_that_is_killed_while_a_link_is_cut_costs_no_write",
        || at_random(&LINK_CUT, 9),
    )
    .in_real_time(),
    Case::new(
        "row_12_a_plugin_that_is_killed_while_a_target_exports_late_costs_no_write",
        || at_random(&EXPORTS_LATE, 9),
    )
    .in_real_time(),
    Case::new(
        "row_12_a_plugin_that_is_killed_while_a_target_admits_the_host_late_costs_no_write",
        || at_random(&ADMITS_LATE, 8),
    )
    .in_real_time(),
    Case::new(
        "row_12_a_plugin_that_is_killed_while_a_controller_expires_costs_no_write",
        || at_random(&EXPIRES, 8),
    )
    .in_real_time(),
    Case::new(
        "row_12_a_plugin_that_is_killed_while_a_controller_is_deleted_costs_no_write",
        || at_random(&DELETED, 8),
    )
    .in_real_time(),
    Case::new(
        "row_12_a_plugin_that_is_killed_while_two_paths_die_and_return_costs_no_write",
        || at_random(&TWO_PATHS, 8),
    )
    .in_real_time(),
];

const OTHER_HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

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

/// How a volume is lost and comes back. Each step waits for the kernel and the target alone, or for a plugin that may
/// be dead.
struct Row {
    number: u32,
    /// About how long it takes from the loss to the end of the recovery, in milliseconds: when there is something to
    /// kill the plugin at.
    takes: u64,
    start: fn() -> Running,
    lose: fn(&Running),
}

const LINK_CUT: Row = Row {
    number: 1,
    takes: 6000,
    start: || Running::start(Use::Filesystem("ext4"), &[]),
    lose: |running| {
        running.cut();
        net::set_up("v0").expect("the cable is back");
    },
};

const EXPORTS_LATE: Row = Row {
    number: 2,
    takes: 3000,
    start: listening,
    lose: |running| {
        running.withdraw();
        running.export();
    },
};

const ADMITS_LATE: Row = Row {
    number: 3,
    takes: 4000,
    start: listening,
    lose: |running| {
        let before = returns::refusals();
        let withdrawn = running.port.withdraw(&running.exported);
        withdrawn.expect("the subsystem goes");
        let closed = running.exported.allow_only(OTHER_HOST);
        closed.expect("only another host is admitted");
        gone();
        running.export();
        eventually("a refused connect, or the end of the plugin", || {
            let is_over = returns::refusals() > before || is_dead(running.plugin.id());
            is_over.then_some(())
        });
        running.exported.allow(HOSTNQN).expect("admitted");
    },
};

const EXPIRES: Row = Row {
    number: 4,
    takes: 3000,
    start: || Running::start(Use::Filesystem("ext4"), &[("ctrlLossTmo", "2")]),
    lose: |running| {
        running.withdraw();
        running.export();
    },
};

const DELETED: Row = Row {
    number: 5,
    takes: 1500,
    start: || Running::start(Use::Filesystem("ext4"), &[]),
    lose: delete,
};

const TWO_PATHS: Row = Row {
    number: 6,
    takes: 7000,
    start: paths::start,
    lose: |running| {
        eventually("both paths, or the end of the plugin", || {
            let health = running.plugin.health(&running.volume);
            let is_whole = health.is_ok_and(|findings| findings.is_empty());
            (is_whole || is_dead(running.plugin.id())).then_some(())
        });
        for cable in ["v0", "v1"] {
            net::set_down(cable).expect("a cable is pulled");
        }
        gone();
        for cable in ["v0", "v1"] {
            net::set_up(cable).expect("a cable is back");
        }
    },
};

/// On a port that goes on listening while the volume is not exported.
fn listening() -> Running {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let other = subsystem("nqn.2026-01.org.example:other", &[]);
    running.scene.export(&running.port, &other);
    running
}

/// By somebody's hand.
pub(super) fn delete(_: &Running) {
    let controller = eventually("a controller", || controllers().pop());
    let delete = format!("/sys/class/nvme/{controller}/delete_controller");
    fs::write(delete, "1").expect("deleted");
}

fn at_random(row: &Row, kills: u32) {
    let kills = case::rounds(kills);
    let mut random = Random::seeded();
    let seed = random.0;
    let mut running = (row.start)();
    let writer = running.writer();
    for _ in 0..kills {
        let after = Duration::from_millis(random.below(row.takes));
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
    let row = row.number;
    let written = writer.end(&format!(
        "row 12, killed {kills} times in row {row}, seed {seed}"
    ));
    running.end_and_verify(written);
}

pub(super) fn process(plugin: &Plugin) -> Pid {
    Pid::from_raw(plugin.id().cast_signed())
}

/// Whether a process was ended, which nobody has asked about yet.
fn is_dead(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| stat.contains(") Z "))
}

/// The same with another plugin, now that this one was killed.
pub(super) fn restarted(mut running: Running) -> Running {
    running.plugin.wait_killed();
    running.plugin = Plugin::start();
    running
}

/// Of the maps of this machine.
pub(super) fn assert_nothing_is_suspended() {
    for entry in fs::read_dir("/sys/block").expect("the disks") {
        let disk = entry.expect("an entry").path();
        let suspended = disk.join("dm/suspended");
        if suspended.exists() {
            let suspended = fs::read_to_string(suspended).expect("an attribute");
            assert_eq!(suspended.trim(), "0", "{}", disk.display());
        }
    }
}
