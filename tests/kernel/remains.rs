//! What a volume leaves on a node once it is off it: nothing.

use std::fs;
use std::path::Path;

use crate::plugin::{KUBELET, remembered};
use crate::scene::controllers;

/// Fails the case where a controller, a map, a mount or a record of any volume is left.
#[track_caller]
pub(crate) fn assert_nothing_remains() {
    let nothing = Vec::<String>::new();
    assert_eq!(controllers(), nothing, "controllers");
    assert_eq!(maps(), nothing, "maps");
    assert_eq!(mounts_below(Path::new(KUBELET)), nothing, "mounts");
    assert_eq!(remembered(), nothing, "records");
}

/// The kernel's names of all maps of this machine, straight from sysfs.
pub(crate) fn maps() -> Vec<String> {
    let disks = fs::read_dir("/sys/block").expect("the disks");
    let disks = disks.map(|disk| disk.expect("an entry"));
    let maps = disks.filter(|disk| disk.path().join("dm").exists());
    let mut names: Vec<String> = maps
        .map(|map| map.file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

/// The places below a directory where something is mounted, asked of the kernel's own table.
fn mounts_below(directory: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").expect("the mount table");
    let places = table.lines().filter_map(|line| line.split(' ').nth(1));
    places
        .filter(|place| Path::new(place).starts_with(directory))
        .map(str::to_owned)
        .collect()
}
