//! NodeStageVolume: from a source to a mounted filesystem, or to a disk that can be published.
//!
//! The steps, each of which may find its work done by an earlier call: record, attach, prove the
//! identity, make the map that holds its I/O, prepare the filesystem, mount, record again. Invariants: the record is on the disk
//! before the first effect; a failed call takes back what it did itself, in reverse order, and leaves
//! what was there before.

mod claim;
mod error;
mod hold;
mod mounted;
mod undo;

use std::error::Error;
use std::time::Duration;

use nvme_sysfs::{ControllerLoss, Instance, Namespace};

use super::capability::AccessType;
use super::filesystem::{Memory, Step, check_multi_mount, next_step};
use super::hold::Hold;
use super::identity::{Disk, VolumeIdentity};
use super::mounts::{ForeignMountError, serves};
use super::paths::attach::Attached;
use super::record::{Phase, StageRecord, Staged, Unfinished};
use super::request::StageRequest;
use super::standing::{MountState, Standing};
use super::volumes::Volumes;
use crate::host::blocking::Caller;
use crate::host::signature::Found;
use crate::host::{FilesystemType, FormatOver, FormatRequest, MapId, MountFlag, MountRequest};

pub use error::StageError;

/// One call, and what it has done so far.
#[derive(Debug)]
struct Staging<'a> {
    volumes: &'a Volumes,
    request: &'a StageRequest,
    caller: &'a Caller,
    /// As it is on the disk, once it was written.
    record: StageRecord,
    /// The namespace that this volume had taken before this call, if any.
    taken: Option<VolumeIdentity>,
    /// What there is to take back.
    done: Done,
}

/// The effects of one call.
#[derive(Debug, Default)]
struct Done {
    record: bool,
    created: Vec<Instance>,
    map: Option<MapId>,
    /// The controllers that give up at once now, and what they did before.
    tuned: Vec<(Instance, ControllerLoss)>,
    /// The disk that outlives its paths now, and the time that it had before.
    head: Option<(String, Duration)>,
    mounted: bool,
}

impl Volumes {
    /// Stages a volume for a caller that waits for as long as it takes. One that is staged the same way already is a
    /// success.
    ///
    /// # Errors
    /// [`StageError`]; what this call did is undone.
    pub fn stage(&self, request: &StageRequest) -> Result<(), StageError> {
        self.stage_for(request, &Caller::patient())
    }

    /// The same for one that may go: then no further address is dialled.
    ///
    /// # Errors
    /// [`StageError`]; what this call did is undone.
    pub fn stage_for(&self, request: &StageRequest, caller: &Caller) -> Result<(), StageError> {
        let id = &request.volume_id;
        self.tell_coming(id, &request.staging_target_path);
        let _concerned = self.ground.config.trees.concern(&request.source.nqn);
        let _volume = self.ground.locks.try_lock(id).ok_or(StageError::Busy)?;
        let known = self.ground.records.read(id)?;
        if let Some(known) = known.as_ref().filter(|known| known.is_active()) {
            check_compatible(known, request)?;
            if self.is_staged(known)? {
                return self.renew(known, (request, caller));
            }
        }
        let mut staging = Staging::new((self, caller), request, known);
        let result = staging.carry_out();
        if result.is_err() {
            staging.undo();
        }
        result
    }

    /// Whether everything that staging brings about is there.
    fn is_staged(&self, record: &StageRecord) -> Result<bool, StageError> {
        let Some(staged) = record.staged() else {
            return Ok(false);
        };
        let sight = self.look()?;
        let standing = Standing::of(record, &sight);
        let standing = standing.filter(|it| it.disk.as_ref() == Some(&staged.disk));
        Ok(standing.is_some_and(|standing| {
            let stands = match standing.map {
                // What it carries now is the keeper's care, and waits meanwhile.
                Some(map) => !map.is_let_go,
                None => standing.namespace().is_some(),
            };
            let mut staging = standing.staging.iter();
            stands && staging.all(|staging| staging.state == MountState::Right)
        }))
    }

    /// A repeated call: new secrets are kept, and addresses that could not be connected before are
    /// tried again. The volume is staged whatever comes of that.
    fn renew(
        &self,
        known: &StageRecord,
        (request, caller): (&StageRequest, &Caller),
    ) -> Result<(), StageError> {
        let record = StageRecord {
            source: request.source.clone(),
            claim: request.claim.clone().or_else(|| known.claim.clone()),
            ..known.clone()
        };
        if record != *known {
            self.ground.records.write(&record)?;
        }
        self.ground
            .records
            .write_secrets(&request.volume_id, &request.secrets)?;
        let mut created = Vec::new();
        let hold = record.hold.as_ref().unwrap_or(&Hold::None);
        let on = (hold, caller);
        if let Err(error) = self
            .paths
            .connect(&request.source, on, &request.secrets, &mut created)
        {
            let error: &(dyn Error + 'static) = &error;
            tracing::warn!(volume_id = %request.volume_id, error, "a staged volume is not reached");
        }
        Ok(())
    }
}

/// A volume can be staged in one way at a time.
fn check_compatible(known: &StageRecord, request: &StageRequest) -> Result<(), StageError> {
    let what = if known.capability != request.capability {
        "another capability"
    } else if known.staging_target_path != request.staging_target_path {
        "another staging_target_path"
    } else if known.source.nqn != request.source.nqn {
        "another subsystem"
    } else if known.staged().is_some() && known.source.which != request.source.which {
        "another namespace"
    } else if known.staged().is_some() && known.source.transport != request.source.transport {
        "another transport"
    } else {
        return Ok(());
    };
    Err(StageError::Incompatible {
        volume_id: request.volume_id.clone(),
        what,
    })
}

impl<'a> Staging<'a> {
    fn new(
        (volumes, caller): (&'a Volumes, &'a Caller),
        request: &'a StageRequest,
        known: Option<StageRecord>,
    ) -> Self {
        let claim = request.claim.clone();
        let fresh = StageRecord::new(
            request.volume_id.clone(),
            volumes.ground.records.boot_id(),
            &request.staging_target_path,
            request.capability.clone(),
            request.source.clone(),
        );
        let fresh = StageRecord { claim, ..fresh };
        let (record, existed) = match known {
            Some(known) if known.is_active() => {
                let source = request.source.clone();
                (StageRecord { source, ..known }, true)
            }
            // Half a filesystem that an earlier attempt left.
            Some(StageRecord {
                phase: Phase::Interrupted(unfinished),
                ..
            }) => {
                let phase = Phase::Formatting(unfinished);
                (StageRecord { phase, ..fresh }, false)
            }
            _ => (fresh, false),
        };
        Staging {
            volumes,
            request,
            taken: record.identity().filter(|_| existed).cloned(),
            caller,
            record,
            done: Done {
                record: !existed,
                ..Done::default()
            },
        }
    }

    fn carry_out(&mut self) -> Result<(), StageError> {
        let Staging {
            volumes, request, ..
        } = *self;
        if self.record.hold.is_none() {
            let (id, source) = (&request.volume_id, &request.source);
            let hold = volumes
                .holds
                .choose_hold(id, source, &request.staging_target_path)?;
            self.record.hold = Some(hold);
        }
        volumes.ground.records.write(&self.record)?;
        volumes
            .ground
            .records
            .write_secrets(&request.volume_id, &request.secrets)?;
        let mut attached = self.attach()?;
        self.prove(&attached.namespace)?;
        self.claim(&attached.namespace)?;
        self.hold(&mut attached)?;
        if let AccessType::Filesystem { fs, flags } = &self.request.capability.access {
            self.mount(&attached, *fs, flags)?;
        }
        self.write_phase(Phase::Staged(Staged {
            identity: VolumeIdentity::of(&attached.namespace),
            disk: attached.disk,
        }))
    }

    fn attach(&mut self) -> Result<Attached, StageError> {
        let Staging {
            volumes,
            request,
            caller,
            done,
            ..
        } = self;
        let on = (self.record.hold.as_ref().unwrap_or(&Hold::None), *caller);
        Ok(volumes
            .paths
            .attach(&request.source, on, &request.secrets, &mut done.created)?)
    }

    /// Whether our own format of this very namespace was interrupted.
    fn is_unfinished(&self, namespace: &Namespace) -> bool {
        let unfinished = self.record.unfinished();
        unfinished.is_some_and(|unfinished| {
            unfinished.identity.size_bytes == namespace.size_bytes
                && unfinished.identity.check(namespace).is_ok()
        })
    }

    /// The namespace must be the one that was staged here before.
    fn prove(&self, namespace: &Namespace) -> Result<(), StageError> {
        if let Some(staged) = self.record.staged() {
            staged.identity.check(namespace)?;
        }
        Ok(())
    }

    fn mount(
        &mut self,
        attached: &Attached,
        fs: FilesystemType,
        flags: &[MountFlag],
    ) -> Result<(), StageError> {
        if self.is_mounted(&attached.disk)? {
            return Ok(());
        }
        let found = self.prepare(attached, fs)?;
        // From here on there may be data: the permission to format ends.
        if self.record.unfinished().is_some() {
            let identity = VolumeIdentity::of(&attached.namespace);
            self.write_phase(Phase::Attached(identity))?;
        }
        let mounted = self.volumes.ground.host().mount(&MountRequest {
            device: self.volumes.ground.node(&attached.disk),
            target: self.request.staging_target_path.clone(),
            fs,
            flags: flags.to_vec(),
            access: self.request.capability.mount_access(),
        });
        mounted.map_err(|error| self.explain(error, &found))?;
        self.done.mounted = true;
        if !self.is_mounted(&attached.disk)? {
            return Err(StageError::NotMounted {
                path: self.request.staging_target_path.clone(),
            });
        }
        self.grow(attached, fs, &found);
        Ok(())
    }

    /// Whether the volume is mounted; something else in its place is an error.
    fn is_mounted(&self, disk: &Disk) -> Result<bool, StageError> {
        let path = &self.request.staging_target_path;
        let access = self.request.capability.mount_access();
        let mounts = self.volumes.ground.read_mounts()?;
        match mounts.find_mount_at(path) {
            None => Ok(false),
            Some(mount) if serves(mount, disk, access) => Ok(true),
            Some(mount) => Err(ForeignMountError::at(path, mount).into()),
        }
    }

    /// Makes or checks the filesystem where the rule says so. Returns what was there before.
    fn prepare(&mut self, attached: &Attached, fs: FilesystemType) -> Result<Found, StageError> {
        let device = self.volumes.ground.node(&attached.disk);
        let found = self.volumes.inspect(&device)?;
        let memory = self.memory(&attached.namespace, fs);
        let access = self.request.capability.mount_access();
        check_multi_mount(&found, self.request.multi_mount, access)?;
        match next_step(&found, fs, memory, access)? {
            Step::Mount => {}
            Step::Check => self.volumes.ground.host().check(&device, fs)?,
            Step::Format(over) => self.format(attached, fs, over)?,
        }
        Ok(found)
    }

    fn format(
        &mut self,
        attached: &Attached,
        fs: FilesystemType,
        over: FormatOver,
    ) -> Result<(), StageError> {
        let identity = VolumeIdentity::of(&attached.namespace);
        self.write_phase(Phase::Formatting(Unfinished { identity, fs }))?;
        self.volumes.ground.host().format(&FormatRequest {
            device: self.volumes.ground.node(&attached.disk),
            size_bytes: attached.namespace.size_bytes,
            fs,
            over,
            multi_mount: self.request.multi_mount,
        })?;
        Ok(())
    }

    /// What the record says about the filesystem of this very namespace.
    fn memory(&self, namespace: &Namespace, fs: FilesystemType) -> Memory {
        if self.record.staged().is_some() {
            return Memory::Mounted;
        }
        match self.record.unfinished() {
            Some(unfinished) if unfinished.fs == fs && self.is_unfinished(namespace) => {
                Memory::Unfinished
            }
            _ => Memory::Nothing,
        }
    }

    fn write_phase(&mut self, phase: Phase) -> Result<(), StageError> {
        self.record.phase = phase;
        self.volumes.ground.records.write(&self.record)?;
        Ok(())
    }
}
