//! NodeUnstageVolume: off this node.
//!
//! Works without a record too, by what is mounted at the staging path, and with a target that is
//! gone. Invariant: the record is removed last, so that a call that fails is repeated with all that
//! the first one knew; then it is a success, also where the record cannot be removed and is only marked as one of a
//! volume that has left.

mod look;
mod stuck;
mod sync;

use std::error::Error;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nvme_sysfs::{Instance, Nqn};
use thiserror::Error;

use super::capability::AccessType;
use super::flow::Flow;
use super::hold::{Hold, LetGo, LetGoError, Waits};
use super::identity::VolumeIdentity;
use super::mounts::{find_shown, shows_map, shows_nvme};
use super::paths::detach::{DetachError, Detached, Leaving, OwnUse, Reach};
use super::record::{RecordError, StageRecord};
use super::request::UnstageRequest;
use super::sight::LookError;
use super::standing::Standing;
use super::unmount::{Own, UnmountVolumeError};
use super::volumes::Volumes;
use crate::causes::chain;
use crate::host::{MapError, MapId};
use crate::report::outcome::{Outcome, Reason};
use stuck::Stuck;

/// Why a volume is still on this node.
#[derive(Debug, Error)]
pub enum UnstageError {
    /// Another call for this volume runs.
    #[error("another operation on this volume is still running")]
    Busy,
    /// Its record cannot be read or removed.
    #[error("cannot keep the record of the volume")]
    Record(#[from] RecordError),
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
    /// A pod still has it.
    #[error("the volume is still published at {}", path.display())]
    Published {
        /// Where.
        path: PathBuf,
    },
    /// Its target does not answer, and its controllers cannot be taken away.
    #[error(
        "the target does not answer, so that the volume cannot be unmounted, and its controllers \
         stay for others"
    )]
    Held,
    /// What waits in a controller of others cannot be let go.
    #[error(
        "I/O of the volume waits in {controller}, which somebody else has connected: disconnect that, or wait until its target returns"
    )]
    Kept {
        /// Which.
        controller: Instance,
    },
    /// What waits for a path waits on.
    #[error("cannot let go of what waits for a path")]
    LetGo(#[from] LetGoError),
    /// Its map is still there.
    #[error("cannot remove the map of the volume")]
    Map(#[source] MapError),
    /// Its filesystem is still mounted.
    #[error("cannot unmount the volume")]
    Unmount(#[from] UnmountVolumeError),
    /// Its controllers are still there.
    #[error("cannot detach the volume")]
    Detach(#[from] DetachError),
}

/// How often it is looked at whether something that runs can still come to its end.
const LOOK: Duration = Duration::from_secs(1);

/// What leaves this node: by its record, or by what is mounted.
#[derive(Debug)]
struct Volume<'a> {
    request: &'a UnstageRequest,
    /// The map that it has, where there is one.
    map: MapId,
    record: Option<StageRecord>,
    nqn: Option<Nqn>,
    identity: Option<VolumeIdentity>,
    /// Whether it is a raw disk. One without a record is, unless something is mounted for it.
    raw: bool,
}

impl Volumes {
    /// Takes a volume off this node. One that is not here is a success.
    ///
    /// # Errors
    /// [`UnstageError`].
    pub fn unstage(&self, request: &UnstageRequest) -> Result<(), UnstageError> {
        let id = &request.volume_id;
        let _volume = self.ground.locks.try_lock(id).ok_or(UnstageError::Busy)?;
        let record = self.ground.records.read(id)?;
        let record = record.filter(StageRecord::is_active);
        if let Some(record) = &record {
            self.refuse_published(record)?;
        }
        let volume = self.find_volume(request, record)?;
        // Without a record nothing else says so, and what cannot be detached must keep the map by which it was found.
        let nqn = volume.nqn.as_ref();
        let _concerned = nqn.map(|nqn| self.ground.config.trees.concern(nqn));
        if let Some(record) = &volume.record {
            let tree = self.ground.scan()?;
            self.paths.claim_left_behind_for(record, &tree);
        }
        self.write_back(&volume)?;
        self.unmount(&volume)?;
        // From here on the keeper brings nothing back.
        let _leaving = self.ground.leave(id);
        self.end_hold(&volume)?;
        if let Some(leaving) = volume.leaving() {
            self.paths.detach(leaving)?;
        }
        self.ground.records.close(id)?;
        self.forget_usage(id);
        self.holds.forget(id);
        self.ground.config.reporter.went(id.as_str());
        Ok(())
    }

    /// A publication holds a filesystem by itself, but a raw block device is held by nothing.
    fn refuse_published(&self, record: &StageRecord) -> Result<(), UnstageError> {
        let sight = self.look()?;
        let map = sight.find_map(self.ground.map_of(&record.volume_id, Some(record)));
        let published = record.publications.iter().find(|publication| {
            let mount = sight.mounts.find_mount_at(&publication.target_path);
            mount.is_some_and(|mount| shows_nvme(mount) || shows_map(mount, map))
        });
        match published {
            None => Ok(()),
            Some(publication) => Err(UnstageError::Published {
                path: publication.target_path.clone(),
            }),
        }
    }

    /// What the record does not tell, what is mounted at the staging path, or the map, does.
    fn find_volume<'a>(
        &self,
        request: &'a UnstageRequest,
        record: Option<StageRecord>,
    ) -> Result<Volume<'a>, UnstageError> {
        let nqn = record.as_ref().map(|record| record.source.nqn.clone());
        let identity = record.as_ref().and_then(StageRecord::identity).cloned();
        let raw = record
            .as_ref()
            .is_none_or(|record| record.capability.access == AccessType::Block);
        let map = self.ground.map_of(&request.volume_id, record.as_ref());
        let mut volume = Volume {
            request,
            map,
            record,
            nqn,
            identity,
            raw,
        };
        if volume.identity.is_some() {
            return Ok(volume);
        }
        let sight = self.look()?;
        let mount = sight.mounts.find_mount_at(&request.staging_target_path);
        volume.raw &= volume.record.is_some() || mount.is_none();
        let below = sight
            .find_map(volume.map)
            .and_then(|map| map.paths.first())
            .and_then(|path| sight.tree().find_namespace_by_dev(path.dev));
        let mounted = mount
            .filter(|mount| shows_nvme(mount))
            .and_then(|mount| find_shown(mount, sight.tree()));
        if let Some(disk) = below.or(mounted) {
            let mut subsystems = sight.tree().subsystems.iter();
            let subsystem = subsystems.find(|subsystem| subsystem.namespaces.contains(disk));
            volume.identity = Some(VolumeIdentity::of(disk));
            volume.nqn = volume
                .nqn
                .or_else(|| subsystem.and_then(|subsystem| subsystem.nqn.clone()));
        }
        Ok(volume)
    }

    /// Writes everything back while a failure can still be told: an unmount tells of none. Where a
    /// target does not answer, nothing can be written, and the unmount would wait for it without end:
    /// after a while the volume is cut off.
    fn write_back(&self, volume: &Volume<'_>) -> Result<(), UnstageError> {
        let mut standing = self.wait_for_path(volume)?;
        if standing == Flow::Waiting && self.cut_off(volume, Waits::ForPath)? == LetGo::Reached {
            standing = Flow::Reached;
        }
        match standing {
            Flow::Dead | Flow::Waiting => Ok(()),
            Flow::Reached => {
                let raw = volume.raw_disk(&*self.look()?);
                let written = self.unless_lost(volume, || self.sync(volume, raw.as_ref()));
                if let Err(error) = written {
                    let error = chain(&error);
                    self.tell_lost(volume, format!("data could not be written back: {error}"));
                }
                Ok(())
            }
        }
    }

    fn unmount(&self, volume: &Volume<'_>) -> Result<(), UnstageError> {
        let sight = self.look()?;
        let standing = volume
            .record
            .as_ref()
            .and_then(|it| Standing::of(it, &sight));
        // An unmount would wait for as long as that one lives.
        if let Some(controller) = standing.and_then(|it| it.find_keeper_of_io()) {
            return Err(UnstageError::Kept { controller });
        }
        let path = &volume.request.staging_target_path;
        let own = Own {
            map: volume.map,
            identity: volume.identity.as_ref(),
        };
        Ok(self.unless_lost(volume, || self.unmount_volume(path, own))?)
    }

    /// Does something that waits for the target. Where the last path goes meanwhile and does not
    /// come back in time, or nothing is completed for as long, the volume is cut off, so that it comes to an end.
    fn unless_lost<T>(&self, volume: &Volume<'_>, work: impl FnOnce() -> T) -> T {
        let (done, ended) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || self.cut_off_when_lost(volume, &ended));
            let value = work();
            drop(done);
            value
        })
    }

    /// Watches until the other side of `ended` is dropped.
    fn cut_off_when_lost(&self, volume: &Volume<'_>, ended: &mpsc::Receiver<()>) {
        let mut stuck = Stuck::new(self.ground.config.timing.path);
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let seen = self.look_at(volume).and_then(|standing| {
                let map = self.ground.read_map(volume.map)?;
                Ok((standing, map.and_then(|map| map.io)))
            });
            let waits = match seen {
                Ok((standing, io)) => stuck.look(Instant::now(), standing, io),
                Err(error) => {
                    tell(&error);
                    continue;
                }
            };
            if let Some(waits) = waits
                && let Err(error) = self.cut_off(volume, waits)
            {
                tell(&error);
            }
        }
    }

    /// Lets everything fail that waits for the target.
    fn cut_off(&self, volume: &Volume<'_>, waits: Waits) -> Result<LetGo, UnstageError> {
        let map = volume.map;
        let by_map = self.ground.read_map(map)?.is_some();
        if by_map {
            if self.holds.let_go(volume.record.as_ref(), map, waits)? == LetGo::Reached {
                return Ok(LetGo::Reached);
            }
        } else if let Some(leaving) = volume.leaving() {
            let cut = Leaving {
                own_use: OwnUse::Cut,
                ..leaving
            };
            // What waits in a controller that serves others would be sent when the target is back.
            if self.paths.detach(cut)? == Detached::Kept {
                return Err(UnstageError::Held);
            }
        }
        // No unmount of a raw disk waits, and its map sends nothing any more; but without a map a controller that is left
        // would send what waits in it.
        let is_held = !volume.raw || !by_map && self.may_send(volume)?;
        if is_held && self.look_at(volume)? == Flow::Waiting {
            return Err(UnstageError::Held);
        }
        let message = "cut off from its target: what was not written is lost";
        self.tell_lost(volume, message.to_owned());
        Ok(LetGo::Done)
    }

    /// Whether the disk of the volume still has a controller, whosever it is.
    fn may_send(&self, volume: &Volume<'_>) -> Result<bool, UnstageError> {
        let (Some(nqn), Some(identity)) = (&volume.nqn, &volume.identity) else {
            return Ok(false);
        };
        let tree = self.ground.scan()?;
        tree.require(nqn).map_err(LookError::Scan)?;
        let mut subsystems = tree.find_subsystems(nqn);
        Ok(subsystems.any(|subsystem| {
            let is_there = subsystem.namespaces.iter().any(|disk| identity.names(disk));
            is_there && !subsystem.controllers.is_empty()
        }))
    }

    fn tell_lost(&self, volume: &Volume<'_>, message: String) {
        let record = volume.record.as_ref();
        self.ground.config.reporter.tell(Outcome {
            volume_id: volume.request.volume_id.to_string(),
            claim: record.and_then(|record| record.claim.clone()),
            pods: record.map(StageRecord::pods).unwrap_or_default(),
            reason: Reason::DataLost,
            message,
        });
    }

    /// Removes the map, or lets the head go with its paths.
    fn end_hold(&self, volume: &Volume<'_>) -> Result<(), UnstageError> {
        let map = volume.map;
        if let Some(found) = self.ground.read_map(map)? {
            let tree = self.ground.scan()?;
            // What a process that was killed has left in it would keep the map from going.
            if Flow::of_map(&found, &tree) == Flow::Waiting {
                self.holds
                    .let_go(volume.record.as_ref(), map, Waits::ForPath)?;
            }
            let _map = self.holds.lock_map(map).map_err(UnstageError::Map)?;
            self.ground
                .host()
                .remove_map(map)
                .map_err(UnstageError::Map)?;
        }
        let record = volume.record.as_ref();
        if record.and_then(|record| record.hold.as_ref()) == Some(&Hold::Native) {
            self.end_native(volume);
        }
        Ok(())
    }

    fn end_native(&self, volume: &Volume<'_>) {
        let (Some(nqn), Some(identity)) = (&volume.nqn, &volume.identity) else {
            return;
        };
        let Ok(tree) = self.ground.scan() else {
            return;
        };
        let heads = tree.find_subsystems(nqn).flat_map(|s| &s.namespaces);
        for head in heads.filter(|head| identity.names(head)) {
            if let Err(error) = self.ground.host().keep_head(&head.name, Duration::ZERO) {
                let error: &(dyn Error + 'static) = &error;
                tracing::warn!(
                    disk = head.name,
                    error,
                    "a disk outlives its volume for a while"
                );
            }
        }
    }
}

impl Volume<'_> {
    fn leaving(&self) -> Option<Leaving<'_>> {
        self.nqn.as_ref().map(|nqn| Leaving {
            volume_id: &self.request.volume_id,
            nqn,
            identity: self.identity.as_ref(),
            reach: Reach::Ours,
            own_use: OwnUse::Refuse,
        })
    }
}

fn tell(error: &(dyn Error + 'static)) {
    tracing::warn!(error, "what waits for a lost volume waits on");
}
