//! The table of a map: one `multipath` target over the whole disk, or `linear` for a moment.
//!
//! Format of the parameters (drivers/md/dm-mpath.c, `multipath_ctr`): number of features and the
//! features, number of hardware handler words (0), number of path groups, first group to use, then
//! one group per path: path selector, number of its words (0), number of paths, number of words per
//! path, and each path by its device number with its words. Those of `linear` (dm-linear.c): a device number, and
//! the sector where the map begins there.

use nvme_sysfs::DevT;

use super::status::OnPathLoss;

/// Bytes of a sector, which device-mapper counts in whatever the disk's blocks are.
const SECTOR: u64 = 512;

/// The target whose I/O fails (drivers/md/dm-target.c). It is always there.
pub(super) const ERROR_TARGET: &str = "error";

/// What a map shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapTable {
    /// The disks, in the order in which they are used.
    pub devices: Vec<DevT>,
    /// Size in bytes; a part of a sector at the end is left out.
    pub size_bytes: u64,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// What becomes of I/O that finds no path.
    pub on_path_loss: OnPathLoss,
}

impl MapTable {
    /// Name of the target that knows paths.
    pub(super) const TARGET: &str = "multipath";
    /// Name of the target that hands each error up.
    pub(super) const PASSING: &str = "linear";

    /// Sectors of the target `error` behind the end of a table that passes errors: a multiple of any logical block.
    pub(super) const BEHIND_THE_END: u64 = 128;

    /// Name of the target of this table.
    pub(super) fn target(&self) -> &'static str {
        match self.on_path_loss {
            OnPathLoss::Queue | OnPathLoss::Fail => MapTable::TARGET,
            OnPathLoss::Pass => MapTable::PASSING,
        }
    }

    /// Length in sectors.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        self.size_bytes / SECTOR
    }

    /// The parameters of the target.
    #[must_use]
    pub fn encode(&self) -> String {
        // Requests are only merged by the queue of the disk below, and a bio may wait without one.
        let features = match self.on_path_loss {
            OnPathLoss::Queue => "3 queue_if_no_path queue_mode bio",
            OnPathLoss::Fail => "2 queue_mode bio",
            OnPathLoss::Pass => {
                // One disk: the first.
                let device = self.devices.first().map(ToString::to_string);
                return format!("{} 0", device.unwrap_or_default());
            }
        };
        let groups = self.devices.len();
        let first = usize::from(groups > 0);
        let mut text = format!("{features} 0 {groups} {first}");
        for device in &self.devices {
            text += &format!(" round-robin 0 1 1 {device} 1");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(devices: &[&str]) -> MapTable {
        let devices = devices.iter().map(|dev| dev.parse().expect("a number"));
        MapTable {
            devices: devices.collect(),
            size_bytes: 64 << 20,
            read_only: false,
            on_path_loss: OnPathLoss::Queue,
        }
    }

    #[test]
    fn a_table_names_its_disks_by_number() {
        assert_eq!(
            table(&["259:1"]).encode(),
            "3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 1 259:1 1"
        );
        assert_eq!(
            table(&["259:1", "259:4"]).encode(),
            "3 queue_if_no_path queue_mode bio 0 2 1 round-robin 0 1 1 259:1 1 \
             round-robin 0 1 1 259:4 1"
        );
    }

    #[test]
    fn a_table_that_passes_errors_lies_over_the_first_disk() {
        let passing = MapTable {
            on_path_loss: OnPathLoss::Pass,
            ..table(&["259:1", "259:4"])
        };
        assert_eq!(passing.encode(), "259:1 0");
        assert_eq!((passing.target(), passing.sectors()), ("linear", 131_072));
        assert_eq!(table(&["259:1"]).target(), "multipath");
    }

    #[test]
    fn a_length_is_in_sectors_of_512_bytes() {
        assert_eq!(table(&[]).sectors(), 131_072);
    }
}
