//! Taking a namespace for one volume.
//!
//! Invariant: of two volumes on one namespace, the second is refused before anything of it is touched,
//! also where the record of the first is lost and only its map is left.

use nvme_sysfs::Namespace;

use super::{StageError, Staging};
use crate::host::MountAccess;
use crate::host::dm::{Map, MapPath};
use crate::volume::capability::{AccessType, Capability};
use crate::volume::identity::VolumeIdentity;
use crate::volume::record::{Phase, StageRecord};

impl Staging<'_> {
    /// Takes the namespace for this volume. Two filesystems on one namespace would each have a map of
    /// their own, and the second stage would replay the journal under the mount of the first.
    pub(super) fn claim(&mut self, namespace: &Namespace) -> Result<(), StageError> {
        let volumes = self.volumes;
        // Another stage may be at the same point.
        let _subsystem = volumes.ground.subsystems.lock(&self.request.source.nqn);
        let (records, _) = &*volumes.ground.records.read_readable()?;
        let other = records.iter().find(|other| {
            other.volume_id != self.record.volume_id
                && other.wants(&self.record.source.nqn)
                && other.identity().is_some_and(|it| it.names(namespace))
                && !may_share(&other.capability, &self.record.capability)
        });
        if let Some(other) = other {
            return Err(StageError::Shared {
                other: other.volume_id.clone(),
                disk: namespace.name.clone(),
            });
        }
        self.refuse_covered(namespace, records)?;
        if self.record.staged().is_none() && !self.is_unfinished(namespace) {
            self.write_phase(Phase::Attached(VolumeIdentity::of(namespace)))?;
        }
        Ok(())
    }

    /// Refuses the map that this volume would have where it may be another's: what waits in it would be written to this
    /// namespace. It is this volume's if this namespace was taken for it before, and no other disk is below the map; or,
    /// where the record of that is lost, if nothing but this namespace is.
    pub(super) fn refuse_foreign(
        &self,
        map: &Map,
        namespace: &Namespace,
    ) -> Result<(), StageError> {
        let was_taken = self.taken.as_ref().is_some_and(|it| it.names(namespace));
        let tree = self.volumes.ground.scan()?;
        let is_foreign = |path: &&MapPath| match tree.find_namespace_by_dev(path.dev) {
            Some(disk) => disk.identity != namespace.identity,
            None => !was_taken,
        };
        match map.paths.iter().find(is_foreign) {
            None => Ok(()),
            Some(path) => Err(StageError::ForeignMap {
                map: map.id,
                disk: path.dev,
            }),
        }
    }

    /// A map over the namespace that no record names: what it is used for is not known.
    fn refuse_covered(
        &self,
        namespace: &Namespace,
        records: &[StageRecord],
    ) -> Result<(), StageError> {
        let own = self
            .volumes
            .ground
            .map_of(&self.record.volume_id, Some(&self.record));
        let sight = self.volumes.look()?;
        let covers = |dev| {
            sight.maps.iter().find(|map| {
                map.id != own
                    && map.find_path(dev).is_some()
                    && !records.iter().any(|record| record.map() == Some(map.id))
            })
        };
        match namespace.dev.and_then(covers) {
            None => Ok(()),
            Some(map) => Err(StageError::Covered {
                map: map.disk.clone(),
                disk: namespace.name.clone(),
            }),
        }
    }
}

/// Whether two volumes may be on one namespace: raw disks are their users' care, and readers that
/// replay no journal change nothing.
fn may_share(one: &Capability, other: &Capability) -> bool {
    let all = |holds: fn(&Capability) -> bool| holds(one) && holds(other);
    all(|it| it.access == AccessType::Block)
        || all(|it| it.mount_access() == MountAccess::ReadOnlyShared)
}
