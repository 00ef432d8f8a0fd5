//! Whether what a volume has not written yet can still reach its target. Nothing of the volume is
//! touched to find that.
//!
//! A filesystem is judged by what is mounted at its staging path. A raw disk is mounted nowhere, but
//! what programs wrote to it may wait all the same: it is judged by its map, or else by its namespace.

use std::time::Instant;

use nvme_sysfs::{Namespace, Tree};

use super::{LOOK, UnstageError, Volume};
use crate::host::dm::Map;
use crate::volume::flow::Flow;
use crate::volume::identity::Disk;
use crate::volume::mounts::{find_shown, is_shut_down, shows_map, shows_nvme};
use crate::volume::sight::{LookError, Sight};
use crate::volume::standing::carrier::find_current;
use crate::volume::volumes::Volumes;

impl Volume<'_> {
    /// The disk that pods had of a raw volume, if it is there.
    pub(super) fn raw_disk(&self, sight: &Sight) -> Option<Disk> {
        let staging = &self.request.staging_target_path;
        if !self.raw || sight.mounts.find_mount_at(staging).is_some() {
            return None;
        }
        match sight.find_map(self.map) {
            Some(map) => Some(Disk::of_map(map)),
            None => self.namespace(sight.tree()).and_then(Disk::of),
        }
    }

    fn namespace<'t>(&self, tree: &'t Tree) -> Option<&'t Namespace> {
        let (nqn, identity) = (self.nqn.as_ref()?, self.identity.as_ref()?);
        find_current(tree, nqn, identity).found()
    }
}

impl Volumes {
    /// Waits for a path to the disk of the volume, and looks when the tree of devices has changed or [`LOOK`] is over.
    pub(super) fn wait_for_path(&self, volume: &Volume<'_>) -> Result<Flow, UnstageError> {
        let deadline = Instant::now() + self.ground.config.timing.path;
        let mut seen = self.ground.scan()?;
        loop {
            let standing = self.look_at(volume)?;
            if standing != Flow::Waiting || Instant::now() >= deadline {
                return Ok(standing);
            }
            let until = deadline.min(Instant::now() + LOOK);
            // Every look, this one's included, gives a newer tree, and seldom another one.
            while let Some(newer) = self.ground.config.trees.wait_newer(&seen, until) {
                let is_another = *newer != *seen;
                seen = newer;
                if is_another {
                    break;
                }
            }
        }
    }

    pub(super) fn look_at(&self, volume: &Volume<'_>) -> Result<Flow, LookError> {
        let sight = self.look()?;
        let path = &volume.request.staging_target_path;
        let map = sight.find_map(volume.map);
        let mount = match sight.mounts.find_mount_at(path) {
            Some(mount) if !is_shut_down(mount) => mount,
            None if volume.raw => return Ok(look_at_raw(volume, map, sight.tree())),
            Some(_) | None => return Ok(Flow::Dead),
        };
        if let Some(map) = map.filter(|map| shows_map(mount, Some(map))) {
            return Ok(Flow::of_map(map, sight.tree()));
        }
        let disk = Some(mount)
            .filter(|mount| shows_nvme(mount))
            .and_then(|mount| find_shown(mount, sight.tree()));
        Ok(Flow::of_disk(disk, sight.tree()))
    }
}

fn look_at_raw(volume: &Volume<'_>, map: Option<&Map>, tree: &Tree) -> Flow {
    match map {
        Some(map) => Flow::of_map(map, tree),
        None => Flow::of_disk(volume.namespace(tree), tree),
    }
}
