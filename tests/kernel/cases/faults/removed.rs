//! Pods that go during an outage, with data that was never synced.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use super::foreign::own_file;
use super::{Running, gone};
use crate::case::Case;
use crate::host::REPORT;
use crate::plugin::{Use, is_mounted};
use crate::scene::{controllers, net};
use crate::writer::{BLOCK, count_in_image, pattern};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_21_data_of_a_pod_that_is_deleted_during_an_outage_gets_to_the_target",
        || deleted(Use::Filesystem("ext4")),
    ),
    Case::new(
        "row_21_data_of_a_raw_block_volume_that_is_deleted_during_an_outage_gets_to_the_target",
        || deleted(Use::Block),
    ),
];

/// How many blocks are written: less than the kernel writes back by itself.
const BLOCKS: u64 = 256;
const CUT: Duration = Duration::from_secs(10);

fn deleted(usage: Use) {
    let running = Running::start(usage, &[]);
    let file = dirty(&running);
    net::set_down("v0").expect("the cable is pulled");
    let cut = Instant::now();
    gone();
    let missing = BLOCKS - on_the_target();
    assert!(missing > 0, "the outage came after the write-back");
    let (plugin, volume) = (&running.plugin, &running.volume);
    let took = thread::scope(|scope| {
        let back = scope.spawn(move || {
            thread::sleep(CUT.saturating_sub(cut.elapsed()));
            net::set_up("v0").expect("the cable is back");
            Instant::now()
        });
        // The last close of a raw block device writes back what it has.
        drop(file);
        plugin.unpublish(volume).expect("unpublish");
        plugin.unstage(volume).expect("unstage");
        let ended = Instant::now();
        let back = back.join().expect("no panic");
        assert!(ended > back, "something went before the target was back");
        ended - cut
    });
    assert!(!is_mounted(&volume.staging()));
    assert_eq!(controllers(), Vec::<String>::new());
    assert_eq!(on_the_target(), BLOCKS);
    eprintln!(
        "{REPORT}row 21, {usage:?}: {BLOCKS} writes, 0 failed, {missing} of them waited, gone after {:.1} s",
        took.as_secs_f64()
    );
}

/// Writes into the page cache, and no further.
fn dirty(running: &Running) -> File {
    let target = running.volume.target();
    let file = match running.volume.usage {
        Use::Filesystem(_) => File::create(target.join("dirty")),
        Use::Block => File::options().write(true).open(&target),
    };
    let file = file.expect("it opens");
    for number in 0..BLOCKS {
        let block = pattern(number);
        let written = file.write_all_at(&block.0, number * BLOCK as u64);
        written.expect("the page cache takes a write");
    }
    file
}

/// How many of the blocks are in the backing file.
fn on_the_target() -> u64 {
    count_in_image(&own_file(), 0..BLOCKS)
}
