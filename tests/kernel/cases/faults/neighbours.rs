//! A raw block volume that holds what the host's own programs look for: LVM and md, on a host with udev, LVM, md and
//! multipathd running.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, mknod};
use serde_json::Value;

use super::{Running, disks_below};
use crate::case::{Case, Need, Profile};
use crate::debian::{Debian, ROOT, SHIPPED};
use crate::host::REPORT;
use crate::plugin::Use;
use crate::scene::cli;
use crate::writer::{Writer, verify_from};

pub(super) const CASES: &[Case] = &[
    Case::new("row_26_a_volume_that_holds_lvm_is_its_pods_alone", || {
        configured(make_lvm);
    })
    .on(Profile::DebianHost)
    .needs(Need::DebianHost),
    Case::new("row_26_a_volume_that_holds_md_is_its_pods_alone", || {
        configured(make_md);
    })
    .on(Profile::DebianHost)
    .needs(Need::DebianHost),
    Case::new(
        "row_26_a_volume_that_holds_lvm_in_a_partition_is_its_pods_alone",
        || configured(make_partition),
    )
    .on(Profile::DebianHost)
    .needs(Need::DebianHost),
    Case::new(
        "row_26_doctor_names_what_a_host_with_lvm_and_multipath_lacks",
        not_configured,
    )
    .on(Profile::DebianHost)
    .needs(Need::DebianHost),
];

/// Behind what LVM and md write at the beginning.
const DATA: u64 = 16 << 20;
/// Where a partition begins.
const PARTITION: u64 = 1 << 20;
/// The unit of a partition table: a logical block of the volume.
const SECTOR: u64 = 4096;
/// What the pod calls its volume.
const DEVICE: &str = "/pod/dev/data";
/// The machine's own.
const OTHER_DISK: &str = "/dev/nvme0n1";
const LVM: &str = "/usr/sbin/lvm";
const MDADM: &str = "/usr/sbin/mdadm";
/// The pod's own LVM: it has no udev, and looks at its own devices only.
const POD: &str = "devices{dir=\"/pod/dev\" scan=[\"/pod/dev\"] obtain_device_list_from_udev=0 hints=\"none\" \
                   global_filter=[\"a|.*|\"]} activation{udev_sync=0 udev_rules=0} backup{backup=0 archive=0}";

/// The volume's device in the pod's `/dev`, as a container runtime makes it.
fn give_to_pod(running: &Running) {
    let node = Path::new(ROOT).join("pod/dev/data");
    if node.exists() {
        fs::remove_file(&node).expect("the node of before");
    }
    let published = fs::metadata(running.volume.target()).expect("the volume");
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    mknod(&node, SFlag::S_IFBLK, mode, published.rdev()).expect("a node");
}

/// A volume group with a volume that is not active.
fn make_lvm(debian: &Debian) {
    let lvm = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        let config = ["--config", POD];
        debian.must(LVM, &[&words[..1], &config, &words[1..]].concat());
    };
    lvm(&format!("pvcreate -y {DEVICE}"));
    lvm(&format!("vgcreate pod {DEVICE}"));
    lvm("lvcreate -an -Zn -Wn -L 8m -n data pod");
}

/// The same in the partition of a disk for a virtual machine: all of it moves behind a partition table.
fn make_partition(debian: &Debian) {
    make_lvm(debian);
    let node = Path::new(ROOT).join(DEVICE.trim_start_matches('/'));
    let mut options = File::options();
    let mut disk = options.read(true).write(true).open(node).expect("the disk");
    let mut moved = vec![0; usize::try_from(DATA - PARTITION).expect("a size")];
    disk.read_exact(&mut moved).expect("what LVM wrote");
    let size = disk.seek(SeekFrom::End(0)).expect("its size");
    let mut start = vec![0; usize::try_from(PARTITION).expect("a size")];
    let sectors = u32::try_from((size - PARTITION) / SECTOR).expect("a small disk");
    let first = u32::try_from(PARTITION / SECTOR).expect("a small disk");
    // One entry of the boot record's table: type 8e, then its first sector and their number.
    start[446 + 4] = 0x8e;
    start[446 + 8..][..4].copy_from_slice(&first.to_le_bytes());
    start[446 + 12..][..4].copy_from_slice(&sectors.to_le_bytes());
    start[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.rewind().expect("the beginning");
    disk.write_all(&start).expect("a partition table");
    disk.write_all(&moved).expect("what LVM wrote");
    disk.sync_all().expect("all of it");
}

/// An array that is stopped.
fn make_md(debian: &Debian) {
    let create = "--create /dev/md/pod --run --level=1 --raid-devices=2 --metadata=1.2";
    let words: Vec<&str> = create.split(' ').chain([DEVICE, "missing"]).collect();
    debian.must(MDADM, &words);
    debian.settle();
    debian.must(MDADM, &["--stop", "/dev/md/pod"]);
    debian.settle();
}

/// What lies on a disk of NVMe beside the volume's map, maps and arrays of others, and what udev knows of the content of a
/// disk or partition of NVMe: that begins what claims it.
fn claims() -> Vec<String> {
    let names = |path: &Path| -> Vec<String> {
        let entries = fs::read_dir(path).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.into_string().expect("a name"))
            .collect()
    };
    let block = Path::new("/sys/block");
    let is_ours = |name: &String| {
        let uuid = fs::read_to_string(block.join(name).join("dm/uuid"));
        uuid.is_ok_and(|uuid| uuid.starts_with("NVMEOF-CSI-"))
    };
    let mut claims = Vec::new();
    for disk in names(block) {
        let holders = names(&block.join(&disk).join("holders"));
        let others = holders.iter().filter(|holder| !is_ours(holder));
        claims.extend(others.map(|holder| format!("{holder} on {disk}")));
        let is_map = disk.starts_with("dm-") && !is_ours(&disk);
        if is_map || disk.starts_with("md") {
            claims.push(disk);
        }
    }
    for name in names(Path::new("/sys/class/block")) {
        if name.starts_with("nvme") && content(&name).is_some() {
            claims.push(format!("udev on {name}"));
        }
    }
    claims
}

/// What udev's database says of the content of a disk or partition.
fn content(name: &str) -> Option<String> {
    let device = Path::new("/sys/class/block").join(name).join("dev");
    let number = fs::read_to_string(device).ok()?;
    let known = fs::read_to_string(format!("/run/udev/data/b{}", number.trim())).ok()?;
    let mut lines = known.lines();
    let found = lines.find_map(|line| line.strip_prefix("E:ID_FS_TYPE="));
    found.map(str::to_owned)
}

/// What an administrator, or a unit at boot, does by hand.
fn look_for_volumes(debian: &Debian) {
    debian.must(LVM, &["pvscan", "--cache"]);
    debian.must(LVM, &["vgchange", "-aay"]);
    debian.must("/usr/sbin/multipath", &["-v2"]);
    debian.must("/usr/sbin/multipathd", &["reconfigure"]);
    debian.settle();
}

/// What an administrator types, and what runs by itself, beside a volume that is held. Each ends in its time, which
/// [`Debian::run`] asserts.
fn look_around(debian: &Debian) {
    // It leaves out a map whose disk is gone: it looks for disks, and for what lies on them.
    let disks = debian.must("/usr/bin/lsblk", &["-o", "NAME,TYPE,SIZE,FSTYPE"]);
    assert!(disks.contains("nvme0n1"), "{disks}");
    for command in ["info", "table", "status", "deps"] {
        let said = debian.must("/usr/sbin/dmsetup", &[command]);
        assert!(said.contains("nvmeof-"), "{command}: {said}");
    }
    debian.must("/usr/sbin/dmsetup", &["udevcookies"]);
    debian.must("/usr/bin/udevadm", &["trigger", "--subsystem-match=block"]);
    debian.settle();
    debian.must("/usr/bin/sync", &[OTHER_DISK]);
    debian.must("/usr/bin/sync", &[]);
}

#[track_caller]
fn assert_unclaimed(debian: &Debian, when: &str) {
    debian.settle();
    assert_eq!(claims(), Vec::<String>::new(), "{when}");
    look_for_volumes(debian);
    assert_eq!(claims(), Vec::<String>::new(), "{when}, by hand");
}

/// The checks of `doctor` on this host that are about its other programs.
fn neighbours() -> Vec<(String, String)> {
    let checks = cli(&["doctor", "--root", ROOT, "-o", "json"]).json();
    let checks = checks.as_array().expect("a list").iter();
    let text = |check: &Value, key: &str| check[key].as_str().expect("a text").to_owned();
    let pairs = checks.map(|check| (text(check, "name"), text(check, "status")));
    pairs
        .filter(|(name, _)| ["udev", "lvm", "multipathd"].contains(&name.as_str()))
        .collect()
}

fn all(status: &str) -> Vec<(String, String)> {
    let names = ["udev", "lvm", "multipathd"].iter();
    names
        .map(|name| ((*name).to_owned(), status.to_owned()))
        .collect()
}

fn configured(make: fn(&Debian)) {
    let debian = Debian::start(&SHIPPED);
    assert_eq!(neighbours(), all("ok"));
    let running = Running::start(Use::Block, &[]);
    give_to_pod(&running);
    make(&debian);
    assert_unclaimed(&debian, "with the pod's volume made");

    let before = disks_below(&running.volume);
    let writer = Writer::start_raw_from(&running.volume.target(), DATA);
    writer.wait_for(20);
    running.withdraw();
    let waiting = writer.written();
    assert_unclaimed(&debian, "while the write is held");
    look_around(&debian);
    assert_eq!(claims(), Vec::<String>::new(), "after a look at all disks");
    writer.still_waits(waiting);
    writer.target_returns();
    running.export();
    writer.wait_for(20);
    running.assert_swapped(&before);
    assert_unclaimed(&debian, "after the swap");
    let written = writer.end("row 26, a host with udev, LVM, md and multipathd");

    running
        .plugin
        .unpublish(&running.volume)
        .expect("unpublish");
    running.plugin.unstage(&running.volume).expect("unstage");
    assert_unclaimed(&debian, "off the node");
    running.plugin.stage(&running.volume).expect("stage again");
    assert_unclaimed(&debian, "staged again");
    running
        .plugin
        .publish(&running.volume)
        .expect("publish again");
    verify_from(&running.volume.target(), DATA, written);
    running.end();
}

fn not_configured() {
    let debian = Debian::start(&[]);
    assert_eq!(neighbours(), all("warn"));
    let running = Running::start(Use::Block, &[]);
    give_to_pod(&running);
    make_lvm(&debian);
    debian.settle();
    running
        .plugin
        .unpublish(&running.volume)
        .expect("unpublish");
    running.plugin.unstage(&running.volume).expect("unstage");
    running.plugin.stage(&running.volume).expect("stage again");
    debian.settle();
    eprintln!(
        "{REPORT}row 26, not configured: udev had claimed {:?}",
        claims()
    );
    let looked = debian.run(LVM, &["vgchange", "-aay"]);
    let looked = String::from_utf8_lossy(&looked.stdout);
    eprintln!(
        "{REPORT}row 26, not configured: by hand {:?}, {looked:?}",
        claims()
    );
    debian.run(LVM, &["vgchange", "-an"]);
    debian.settle();
    running.plugin.unstage(&running.volume).expect("unstage");
}
