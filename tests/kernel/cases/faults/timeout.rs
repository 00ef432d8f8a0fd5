//! Targets that never return: what waits is let go, and the volume leaves.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Running;
use super::returns::withdraw_and_listen;
use crate::case::Case;
use crate::host::REPORT;
use crate::plugin::{Use, is_mounted};
use crate::scene::{NQN, cli, controllers, eventually, net};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_14_io_of_a_cut_link_fails_after_its_timeout_and_not_before",
        || let_go("link cut", &[], Running::cut),
    ),
    Case::new(
        "row_14_io_of_a_closed_port_fails_after_its_timeout_and_not_before",
        || let_go("connection refused", &[], Running::withdraw),
    ),
    Case::new(
        "row_14_io_of_a_removed_controller_fails_after_its_timeout_and_not_before",
        || let_go("controller removed", &[], withdraw_and_listen),
    ),
    Case::new(
        "row_14_io_of_an_inaccessible_namespace_fails_after_its_timeout_and_not_before",
        || let_go("ANA inaccessible", &[], make_inaccessible),
    ),
    Case::new(
        "row_15_a_volume_with_unsynced_data_leaves_though_its_target_never_returns",
        leaves,
    ),
    Case::new("row_15_a_held_write_fails_at_once_when_released", released),
    Case::new(
        "row_15_a_release_names_the_process_that_changes_a_map_and_succeeds_after_that",
        release_is_locked_out,
    ),
    Case::new(
        "row_15_a_held_flush_fails_when_released_and_is_no_success",
        flush_fails,
    ),
    Case::new(
        "row_15_a_raw_block_volume_gets_its_time_and_leaves_though_its_target_never_returns",
        leaves_raw,
    ),
];

const TIMEOUT: Duration = Duration::from_secs(10);
/// How much later than the plugin a question may find a loss.
const ASKING: Duration = Duration::from_secs(1);
/// Between the end of that time and the failure.
const FAILS_AT_LAST: Duration = Duration::from_secs(20);
/// Between the end of a release and that of what it frees.
const FAILS_WITHIN: Duration = Duration::from_secs(1);
/// What an unstage gives a lost path to come back.
const GIVEN: Duration = Duration::from_secs(30);
const LEAVES_WITHIN: Duration = Duration::from_secs(60);
/// How often the cable is pulled until no commit of the journal is under way.
const TRIES: u32 = 10;

/// The controller stays, and the kernel has nothing to send I/O through.
fn make_inaccessible(running: &Running) {
    let changed = running.port.set_ana_state(1, "inaccessible");
    changed.expect("the target changes its mind");
    eventually("the volume to have no path", || {
        (!running.is_whole()).then_some(())
    });
}

pub(super) fn let_go(what: &str, parameters: &[(&str, &str)], lose: fn(&Running)) {
    let parameters = [&[("pathLossTimeout", "10s")], parameters].concat();
    let running = Running::start(Use::Filesystem("ext4"), &parameters);
    let writer = running.writer();
    // The plugin sees no loss before it is there to be asked for.
    let lost = thread::scope(|scope| {
        scope.spawn(|| lose(&running));
        eventually("the loss to be detected", || {
            (!running.is_whole()).then(Instant::now)
        })
    });
    let failure = writer.wait_for_failure();
    let after = failure.at - lost;
    assert!(after + ASKING >= TIMEOUT, "{after:?}: {}", failure.error);
    let late = failure.at.saturating_duration_since(lost + TIMEOUT);
    assert!(late <= FAILS_AT_LAST, "{late:?}: {}", failure.error);
    let leaving = Instant::now();
    drop(writer);
    leave(&running);
    eprintln!(
        "{REPORT}row 14, {what}: failed after {:.1} s ({}), gone {:.1} s later",
        after.as_secs_f64(),
        failure.error,
        leaving.elapsed().as_secs_f64()
    );
}

/// What a process that has ended has written and not synced waits in the page cache.
fn leaves() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let path = running.volume.target().join("unsynced");
    let page = [1; 4096];
    fs::write(&path, page).expect("a file");
    let file = File::options().write(true).open(&path).expect("the file");
    file.sync_all().expect("it is on the disk");
    let written = (0..TRIES).any(|_| write_without_a_path(&running, &file));
    assert!(written, "each write has met a commit of the journal");
    drop(file);
    let leaving = Instant::now();
    leave(&running);
    let took = leaving.elapsed();
    assert!(took < LEAVES_WITHIN, "{took:?}");
    eprintln!(
        "{REPORT}row 15: gone {:.1} s after the call",
        took.as_secs_f64()
    );
}

/// Pulls the cable and overwrites a block in the cache: its place is known without a read. A commit of the journal that
/// was under way keeps the write waiting, and with it whoever has the file open; then the cable comes back.
fn write_without_a_path(running: &Running, file: &File) -> bool {
    running.cut();
    let file = file.try_clone().expect("the same file");
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(file.write_all_at(&[1; 4096], 0)));
    let written = ended.recv_timeout(ASKING);
    if let Ok(written) = &written {
        written.as_ref().expect("a write into the cache");
        return true;
    }
    net::set_up("v0").expect("the cable is back");
    let written = ended.recv_timeout(LEAVES_WITHIN).expect("it ends");
    written.expect("a write that was held");
    false
}

/// The last close of a raw block device writes back what it has, and waits as everything does. Through the
/// pod's own place it would keep the pod from going, so that nobody came to unstage.
fn leaves_raw() {
    let running = Running::start(Use::Block, &[]);
    let file = File::options().write(true).open("/dev/dm-0");
    let file = file.expect("the device");
    file.write_all_at(&[1; 4096], 0).expect("a write");
    file.sync_all().expect("it is on the disk");
    running.cut();
    file.write_all_at(&[2; 4096], 0)
        .expect("a write into the cache");
    let closing = thread::spawn(move || drop(file));
    let leaving = Instant::now();
    leave(&running);
    let took = leaving.elapsed();
    closing.join().expect("it closes");
    assert!(took >= GIVEN && took < LEAVES_WITHIN, "{took:?}");
    eprintln!(
        "{REPORT}row 15, raw: gone {:.1} s after the call",
        took.as_secs_f64()
    );
}

/// A process that waits hears of the release at once, and only then can its pod end.
fn released() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let writer = running.writer();
    running.cut();
    let waiting = writer.written();
    assert!(!running.is_whole());
    writer.still_waits(waiting);
    cli(&["release", "--nqn", "nqn.2026-01.org.example:other"]).expect(0);
    writer.still_waits(waiting);
    cli(&["release", "--nqn", NQN]).expect(0);
    let released = Instant::now();
    cli(&["release", "--nqn", NQN]).expect(0);
    let failure = writer.wait_for_failure();
    let after = failure.at.saturating_duration_since(released);
    assert!(after < FAILS_WITHIN, "{after:?}");
    drop(writer);
    leave(&running);
    let took = released.elapsed();
    assert!(took < LEAVES_WITHIN, "{took:?}");
    eprintln!(
        "{REPORT}row 15, released: the held write failed {:.1} s after the call ({}), gone after {:.1} s",
        after.as_secs_f64(),
        failure.error,
        took.as_secs_f64()
    );
}

/// Whoever changes a map has it locked; here it is this process.
fn release_is_locked_out() {
    let running = Running::start(Use::Block, &[]);
    let writer = running.writer();
    running.cut();
    suspended();
    let waiting = writer.written();
    let attribute = File::open("/sys/block/dm-0/dm/uuid").expect("an attribute");
    eventually("the lock of the map", || attribute.try_lock().ok());
    let release = ["release", "--nqn", NQN];
    let this = format!("process {} is changing the map", std::process::id());
    cli(&release).expect(1).says(&[&this]);
    writer.still_waits(waiting);
    drop(attribute);
    cli(&release).expect(0);
    writer.wait_for_failure();
    drop(writer);
    leave(&running);
}

fn suspended() {
    eventually("the map to be suspended", || {
        let state = fs::read_to_string("/sys/block/dm-0/dm/suspended");
        (state.expect("an attribute").trim() == "1").then_some(())
    });
}

/// What is not flushed may be in the cache of a target that never returns.
fn flush_fails() {
    let running = Running::start(Use::Block, &[]);
    let file = File::options().write(true).open(running.volume.target());
    let file = file.expect("the device");
    file.write_all_at(&[1; 4096], 0).expect("a write");
    file.sync_all().expect("a flush");
    running.cut();
    suspended();
    let waiting = file.try_clone().expect("the same file");
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(waiting.sync_all()));
    let early = ended.recv_timeout(ASKING);
    assert!(early.is_err(), "a flush that is held: {early:?}");
    cli(&["release", "--nqn", NQN]).expect(0);
    let flushed = ended.recv_timeout(LEAVES_WITHIN).expect("it ends");
    let error = flushed.expect_err("nobody has flushed anything");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
    file.sync_all().expect_err("nor now");
    drop(file);
    leave(&running);
}

/// As kubelet does: each call again until it succeeds.
pub(super) fn leave(running: &Running) {
    let (plugin, volume) = (&running.plugin, &running.volume);
    eventually("the volume to be unpublished", || {
        plugin.unpublish(volume).ok()
    });
    eventually("the volume to be unstaged", || plugin.unstage(volume).ok());
    assert!(!is_mounted(&volume.staging()));
    assert_eq!(controllers(), Vec::<String>::new());
}
