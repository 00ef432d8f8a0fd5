//! Which mounted xfs have shut down. The mount table does not say so: they have to be asked.
//!
//! Invariant: only a filesystem whose I/O flows is asked: its disk is reached, and its map, where it has one, is not
//! suspended and was not let go. Any other is judged by its disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nvme_sysfs::{DevT, Transport, Tree};

use super::flow::Flow;
use crate::host::dm::Map;
use crate::host::mountinfo::MountTable;

/// Notes at each mount of an xfs that has shut down that it has, where `find_shut_down` finds its place among
/// those that it is handed.
pub(super) fn note_shutdowns(
    root: &Path,
    (tree, maps): (&Tree, &[Map]),
    mounts: &mut MountTable,
    find_shut_down: impl FnOnce(Vec<PathBuf>) -> Vec<PathBuf>,
) {
    let asked = find_flowing(root, (tree, maps), mounts);
    if asked.is_empty() {
        return;
    }
    let shut_down = find_shut_down(asked.keys().cloned().collect());
    for mount in mounts.iter_mut().filter(|mount| mount.filesystem == "xfs") {
        mount.shut_down = shut_down
            .iter()
            .any(|path| asked.get(path) == Some(&mount.dev));
    }
}

/// A place of each xfs whose I/O flows. What is mounted there is its root, and nothing covers it.
pub(super) fn find_flowing(
    root: &Path,
    (tree, maps): (&Tree, &[Map]),
    mounts: &MountTable,
) -> BTreeMap<PathBuf, DevT> {
    let mut places: BTreeMap<DevT, PathBuf> = BTreeMap::new();
    for mount in mounts.iter().filter(|mount| mount.filesystem == "xfs") {
        let is_on_top = mounts.find_mount_at(&mount.mount_point) == Some(mount);
        if is_on_top && mount.root == Path::new("/") && flows(mount.dev, tree, maps) {
            let place = mount.mount_point.strip_prefix("/");
            let place = root.join(place.unwrap_or(&mount.mount_point));
            places.entry(mount.dev).or_insert(place);
        }
    }
    places
        .into_iter()
        .map(|(dev, place)| (place, dev))
        .collect()
}

/// Whether I/O of a map, or of a disk that is not the machine's own, gets to its target now.
fn flows(dev: DevT, tree: &Tree, maps: &[Map]) -> bool {
    if let Some(map) = maps.iter().find(|map| map.dev == dev) {
        return !map.was_let_go() && Flow::of_map(map, tree) == Flow::Reached;
    }
    tree.subsystems.iter().any(|subsystem| {
        let is_fabrics = |transport: &Transport| *transport != Transport::Pcie;
        let mut controllers = subsystem.controllers.iter();
        let mut disks = subsystem.namespaces.iter();
        controllers.any(|controller| is_fabrics(&controller.transport))
            && disks.any(|disk| disk.dev == Some(dev) && subsystem.is_reachable(disk))
    })
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::Sysfs;

    use super::*;
    use crate::host::MountAccess;
    use crate::host::dm::OnPathLoss;
    use crate::host::dm::fixture::captured_maps;
    use crate::volume::fixture::unpack;
    use crate::volume::mounts::is_dead;

    const ROOT: &str = "/";

    /// The places that are asked, and for each mount whether it is dead where all of them have shut down.
    fn noted(capture: &str, table: &str, change: fn(&mut Map)) -> (Vec<PathBuf>, Vec<bool>) {
        let captured = unpack(capture);
        let tree = Sysfs::at(captured.path()).scan().expect("a tree");
        let mut maps = match capture.contains("-map") {
            true => captured_maps(captured.path(), capture),
            false => Vec::new(),
        };
        maps.iter_mut().for_each(change);
        let mut mounts = MountTable::parse(table.as_bytes()).expect("a table");
        let mut asked = Vec::new();
        note_shutdowns(Path::new(ROOT), (&tree, &maps), &mut mounts, |places| {
            asked.clone_from(&places);
            places
        });
        let dead = mounts.iter().map(|it| is_dead(it, MountAccess::ReadOnly));
        (asked, dead.collect())
    }

    fn map_dev(capture: &str) -> DevT {
        captured_maps(unpack(capture).path(), capture)[0].dev
    }

    #[test]
    fn every_mount_of_a_filesystem_that_answers_so_has_shut_down() {
        let dev = map_dev("trixie-map");
        let table = format!(
            "40 1 {dev} / /stage rw - xfs /dev/dm-0 rw\n\
             41 1 {dev} / /pod rw - xfs /dev/dm-0 rw\n\
             42 1 {dev} /sub /part rw - xfs /dev/dm-0 rw\n\
             43 1 8:1 / /other rw - xfs /dev/sda1 rw\n"
        );
        let (asked, dead) = noted("trixie-map", &table, |_| ());
        assert_eq!(asked, [PathBuf::from("/stage")], "once for each disk");
        assert_eq!(dead, [true, true, true, false]);
    }

    #[test]
    fn a_disk_without_a_map_is_asked_where_it_is_reached() {
        let table = "40 1 259:1 / /stage rw - xfs /dev/nvme0n1 rw\n";
        let (asked, dead) = noted("trixie-one-path", table, |_| ());
        assert_eq!((asked.len(), dead), (1, vec![true]));
        let gone = "40 1 259:77 / /stage rw - xfs /dev/nvme0n1 rw\n";
        let (asked, dead) = noted("trixie-one-path", gone, |_| ());
        assert_eq!((asked.len(), dead), (0, vec![false]));
    }

    #[test]
    fn nothing_is_asked_that_might_wait_or_has_other_signs() {
        let dev = map_dev("trixie-map");
        let changes: [fn(&mut Map); 3] = [
            |map| map.suspended = true,
            |map| (map.is_let_go, map.on_path_loss) = (true, Some(OnPathLoss::Fail)),
            |map| map.paths.clear(),
        ];
        let table = format!("40 1 {dev} / /stage rw - xfs /dev/dm-0 rw\n");
        for change in changes {
            let (asked, dead) = noted("trixie-map", &table, change);
            assert_eq!((asked.len(), dead), (0, vec![false]));
        }
        let (asked, _) = noted("trixie-map-lost", &table, |_| ());
        assert_eq!(asked.len(), 0, "no path");
        let ext4 = table.replace("xfs", "ext4");
        assert_eq!(noted("trixie-map", &ext4, |_| ()).0.len(), 0, "ext4");
    }

    #[test]
    fn a_place_that_is_covered_is_not_asked() {
        let dev = map_dev("trixie-map");
        let table = format!(
            "40 1 {dev} / /stage rw - xfs /dev/dm-0 rw\n\
             41 1 8:1 / /stage rw - xfs /dev/sda1 rw\n"
        );
        assert_eq!(noted("trixie-map", &table, |_| ()).0.len(), 0);
    }
}
