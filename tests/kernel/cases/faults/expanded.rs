//! Volumes that grow while their target is away, or while the plugin is killed.

use std::path::PathBuf;
use std::time::Instant;

use super::Running;
use crate::case::Case;
use crate::disk::total_bytes;
use crate::host::REPORT;
use crate::plugin::{Plugin, Use};
use crate::scene::{UUID, eventually, net};
use crate::strace::{kill_at, trace};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_22_a_volume_that_is_expanded_during_an_outage_has_its_full_size",
        during_outage,
    ),
    Case::new(
        "row_22_a_volume_whose_plugin_is_killed_while_it_expands_has_its_full_size",
        killed,
    ),
];

const FIRST: u64 = 64 << 20;
const STEP: u64 = 32 << 20;

fn bytes(size: u64) -> i64 {
    i64::try_from(size).expect("it fits")
}

/// The target makes the volume longer.
fn grow(running: &Running, size: u64) {
    let file = PathBuf::from(format!("/tmp/{UUID}.img"));
    let grown = running.exported.grow(1, &file, size);
    grown.expect("the namespace grows");
}

/// Asserts that the filesystem has all of it, but for what it keeps about itself.
fn assert_full(running: &Running, size: u64) {
    let target = running.volume.target();
    let total = total_bytes(target.to_str().expect("UTF-8"));
    assert!(total > size / 100 * 85, "{total} bytes of {size}");
}

fn during_outage() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let writer = running.writer();
    running.cut();
    let waiting = writer.written();
    let size = 2 * FIRST;
    grow(&running, size);
    let refused = running.plugin.expand(&running.volume, bytes(size));
    refused.expect_err("there is no disk to see it by");
    writer.still_waits(waiting);
    net::set_up("v0").expect("the cable is back");
    let back = Instant::now();
    eventually("the volume to be expanded", || {
        running.plugin.expand(&running.volume, bytes(size)).ok()
    });
    let took = back.elapsed().as_secs_f64();
    assert_full(&running, size);
    writer.wait_for(20);
    let written = writer.end("row 22, expanded during an outage");
    eprintln!("{REPORT}row 22, full size {took:.1} s after the return");
    running.end_and_verify(written);
}

/// At every ioctl of the call that changes something: the longer table is loaded, made the live one,
/// and the filesystem is told.
fn killed() {
    let mut running = Running::start(Use::Filesystem("ext4"), &[]);
    running = restarted(running, Plugin::kill);
    let writer = running.writer();
    let mut size = FIRST + STEP;
    grow(&running, size);
    let effects = trace(&running.plugin, || expand(&running, size));
    let effects = effects
        .into_iter()
        .filter(|effect| effect.name == "ioctl")
        .collect::<Vec<_>>();
    let names = |word: &str| effects.iter().any(|effect| effect.line.contains(word));
    assert!(
        names("DM_TABLE_LOAD") && names("DM_DEV_SUSPEND"),
        "{effects:?}"
    );
    let last = effects.last().expect("the filesystem is told");
    assert!(!last.line.contains("DM_"), "{effects:?}");
    for effect in &effects {
        size += STEP;
        grow(&running, size);
        let killed = kill_at(&running.plugin, effect, || expand(&running, size));
        assert!(killed, "never reached: {}", effect.line);
        running = restarted(running, Plugin::wait_killed);
        expand(&running, size).unwrap_or_else(|error| panic!("killed at {}: {error}", effect.line));
        assert_full(&running, size);
        writer.wait_for(5);
    }
    let written = writer.end(&format!(
        "row 22, killed at each of {} steps",
        effects.len()
    ));
    running.end_and_verify(written);
}

fn expand(running: &Running, size: u64) -> Result<(), tonic::Status> {
    let expanded = running.plugin.expand(&running.volume, bytes(size));
    expanded.map(|answered| assert_eq!(answered, bytes(size)))
}

/// The same with another plugin, which has one thread for calls.
fn restarted(mut running: Running, end: fn(Plugin)) -> Running {
    end(running.plugin);
    running.plugin = Plugin::start_with(&["--blocking-threads", "1"]);
    running
}
