//! Many volumes on one target that restarts.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kernel_lab::guest::nvmet::Subsystem;

use super::idle::suspended;
use super::{disks_below, gone};
use crate::case::Case;
use crate::cases::many::patiently;
use crate::host::REPORT;
use crate::plugin::{Plugin, Use, Volume};
use crate::scene::{Scene, controllers, eventually, kernel_records, subsystem, target};
use crate::writer::Writer;

pub(super) const CASES: &[Case] = &[Case::new(
    "row_16_sixty_four_volumes_of_a_target_that_restarts_all_recover",
    restarts,
)
.in_real_time()];

const VOLUMES: usize = 64;
/// So many are written all the time; each of the others has one write, which waits out the outage.
const BUSY: usize = 4;
/// Dials of a port that does not answer, which all volumes share.
const DIALS: u64 = 5;
/// Time between two of them, less what the clock of an attempt may lag.
const BETWEEN_DIALS: Duration = Duration::from_millis(900);

pub(super) fn member(number: usize) -> (Volume, Subsystem) {
    let nqn = format!("nqn.2026-01.org.example:fleet-{number}");
    let uuid = format!("{number:08x}-1111-4111-8111-111111111111");
    let exported = subsystem(&nqn, &[(1, &uuid)]);
    // The kernel's own keep-alive: a machine with 64 volumes in the works may be late by seconds.
    let member = Volume::of(&format!("volume-{number}"), Use::Block, &nqn, &uuid);
    (member, exported)
}

/// Brings every volume to its pod.
pub(super) fn bring(plugin: &Plugin, fleet: &[(Volume, Subsystem)]) {
    let staged = plugin.call_all(fleet.len(), |mut client, number| {
        let request = patiently(fleet[number].0.stage_request());
        async move { client.node_stage_volume(request).await.map(drop) }
    });
    let published = plugin.call_all(fleet.len(), |mut client, number| {
        let request = patiently(fleet[number].0.publish_request());
        async move { client.node_publish_volume(request).await.map(drop) }
    });
    for answer in staged.iter().chain(&published) {
        assert!(answer.is_ok(), "{answer:?}");
    }
}

pub(super) fn take_away(plugin: &Plugin, fleet: &[(Volume, Subsystem)]) {
    let unpublished = plugin.call_all(fleet.len(), |mut client, number| {
        let request = patiently(fleet[number].0.unpublish_request());
        async move { client.node_unpublish_volume(request).await.map(drop) }
    });
    let unstaged = plugin.call_all(fleet.len(), |mut client, number| {
        let request = patiently(fleet[number].0.unstage_request());
        async move { client.node_unstage_volume(request).await.map(drop) }
    });
    for answer in unpublished.iter().chain(&unstaged) {
        assert!(answer.is_ok(), "{answer:?}");
    }
    assert_eq!(controllers(), Vec::<String>::new());
}

/// Connections that this machine has begun.
fn dials() -> u64 {
    let text = fs::read_to_string("/proc/net/snmp").expect("the counters");
    let mut tcp = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (tcp.next().expect("names"), tcp.next().expect("values"));
    let mut pairs = names.split(' ').zip(values.split(' '));
    let found = pairs.find(|(name, _)| *name == "ActiveOpens");
    found.expect("the counter").1.parse().expect("a number")
}

/// Waits until all volumes together dial no more often than one would.
fn dial_as_one() {
    eventually("one dial a second", || {
        let (first, since) = (dials(), Instant::now());
        eventually("dials", || (dials() >= first + DIALS).then_some(()));
        let fewest = u32::try_from(DIALS - 1).expect("a few");
        (since.elapsed() >= BETWEEN_DIALS * fewest).then_some(())
    });
}

/// When the target let somebody in, since the machine started.
fn admissions() -> Vec<Duration> {
    let records = kernel_records().expect("the kernel's log");
    let admitted = records
        .into_iter()
        .filter(|(_, line)| line.contains("nvm controller") && line.contains("for subsystem"));
    admitted.map(|(at, _)| at).collect()
}

/// How many of them came within one second, at most.
fn most_in_a_second(times: &[Duration]) -> usize {
    let within = |from: Duration| {
        let until = from + Duration::from_secs(1);
        times
            .iter()
            .filter(|at| (from..until).contains(*at))
            .count()
    };
    times.iter().map(|from| within(*from)).max().unwrap_or(0)
}

/// Waits until each map is suspended, and says how long that took since the last of these disks went: some kernels remove
/// the disk of a multipath head well after its last controller.
fn all_suspended(below: &[Vec<String>]) -> Duration {
    eventually("the disks to go", || {
        let left = |disk: PathBuf| {
            let number = fs::read_to_string(disk.join("diskseq")).unwrap_or_default();
            below.iter().flatten().any(|below| below == number.trim())
        };
        let mut disks = fs::read_dir("/sys/block").expect("the disks");
        let is_left = disks.any(|entry| left(entry.expect("an entry").path()));
        (!is_left).then_some(())
    });
    let gone = Instant::now();
    eventually("all maps to be suspended", || {
        (suspended() == VOLUMES).then(|| gone.elapsed())
    })
}

fn report(suspended: Duration, flowing: Duration, admitted: &[Duration]) {
    let first = admitted.first().copied().unwrap_or_default();
    let last = admitted.last().copied().unwrap_or_default();
    eprintln!(
        "{REPORT}row 16, {VOLUMES} volumes: 0 failed, all suspended {} ms after the last disk, I/O of all after {:.1} s, \
         {} connects over {:.1} s, at most {} in a second",
        suspended.as_millis(),
        flowing.as_secs_f64(),
        admitted.len(),
        (last - first).as_secs_f64(),
        most_in_a_second(admitted)
    );
}

fn restarts() {
    let scene = Scene::new();
    let fleet: Vec<_> = (0..VOLUMES).map(member).collect();
    let exported: Vec<_> = fleet.iter().map(|(_, exported)| exported).collect();
    let port = scene.listen(1, target(0), 4420, &exported);
    let plugin = Plugin::start();
    bring(&plugin, &fleet);
    let before: Vec<_> = fleet
        .iter()
        .map(|(volume, _)| disks_below(volume))
        .collect();
    let start = |(volume, _): &(Volume, Subsystem)| Writer::start_raw(&volume.target());
    let busy: Vec<Writer> = fleet[..BUSY].iter().map(start).collect();
    busy.iter().for_each(|writer| writer.wait_for(20));

    for exported in &exported {
        port.withdraw(exported).expect("the subsystem goes");
    }
    gone();
    let suspended = all_suspended(&before);
    let parked: Vec<Writer> = fleet[BUSY..].iter().map(start).collect();
    for writer in &parked {
        writer.stop();
        writer.still_waits(0);
    }
    // All have one write that waits, and nobody fills his disk while the others come back.
    busy.iter().for_each(Writer::stop);
    dial_as_one();
    let known = admissions().len();
    let returned = Instant::now();
    for exported in &exported {
        scene.export(&port, exported);
    }
    let parked: u64 = parked
        .into_iter()
        .map(|writer| writer.end("row 16, one of 60 that waited"))
        .sum();
    assert_eq!(parked, u64::try_from(VOLUMES - BUSY).expect("a few"));
    for writer in busy {
        writer.end("row 16, one of 4 that were busy");
    }
    let flowing = returned.elapsed();
    for ((volume, _), before) in fleet.iter().zip(&before) {
        eventually("every volume to be whole", || {
            plugin
                .health(volume)
                .expect("an answer")
                .is_empty()
                .then_some(())
        });
        assert_ne!(disks_below(volume), *before, "{}: a swap", volume.id);
    }
    report(suspended, flowing, &admissions().split_off(known));
    take_away(&plugin, &fleet);
}
