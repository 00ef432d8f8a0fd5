//! Seeing to it that the I/O of a volume waits while no path exists.

use super::{StageError, Staging};
use crate::report::outcome::{Outcome, Reason};
use crate::volume::hold::{Below, ChooseHoldError, CompanyError, Hold, HoldError, native_time};
use crate::volume::identity::VolumeIdentity;
use crate::volume::paths::attach::Attached;
use crate::volume::record::{Phase, Staged};
use crate::volume::source::PathLossHold;

impl Staging<'_> {
    /// Sees to it that I/O waits while no path exists. Where a map does that, the map's disk is what
    /// is mounted and published from here on.
    pub(super) fn hold(&mut self, attached: &mut Attached) -> Result<(), StageError> {
        let chosen = self.record.hold.clone();
        let (hold, why) = self
            .volumes
            .holds
            .settle_hold(&self.record, &attached.namespace)?;
        let identity = VolumeIdentity::of(&attached.namespace);
        if hold.map().is_none() {
            self.keep_controllers(&hold)?;
        }
        if Some(&hold) != chosen.as_ref() {
            self.record.hold = Some(hold.clone());
            self.volumes.ground.records.write(&self.record)?;
        }
        if hold.map().is_none() {
            // Once more, for what the keeper connected before it knew.
            self.keep_controllers(&hold)?;
        }
        if let Some(why) = why {
            self.tell_not_held(&why);
        }
        self.warn_of_loss_time(&hold);
        match hold {
            Hold::None => {}
            Hold::Native => {
                let time = native_time(self.request.source.path_loss_timeout);
                let (name, before) = (&attached.namespace.name, attached.namespace.delayed_removal);
                if before != Some(time) {
                    self.done.head = Some((name.clone(), before.unwrap_or_default()));
                }
                let kept = self.volumes.ground.host().keep_head(name, time);
                kept.map_err(StageError::Head)?;
            }
            Hold::Dm(map) => {
                match self
                    .volumes
                    .ground
                    .read_map(map)
                    .map_err(StageError::Look)?
                {
                    Some(known) => self.refuse_foreign(&known, &attached.namespace)?,
                    None => self.done.map = Some(map),
                }
                self.have_controllers_give_up(&identity)?;
                self.remember_growth(&identity)?;
                let made = self.volumes.holds.make_map(Below {
                    map,
                    nqn: &self.request.source.nqn,
                    identity: self.record.identity().unwrap_or(&identity),
                    read_only: self.record.is_map_read_only(attached.namespace.read_only),
                })?;
                attached.disk = made.ok_or(StageError::LostAgain)?;
            }
        }
        Ok(())
    }

    /// The namespace of a volume that was staged may have grown. It is recorded first, so that nobody ever makes the map
    /// shorter than it was: from now on a smaller namespace is another volume, and the map is as long as this one.
    fn remember_growth(&mut self, identity: &VolumeIdentity) -> Result<(), StageError> {
        let staged = self.record.staged();
        match staged.filter(|it| it.identity.size_bytes < identity.size_bytes) {
            None => Ok(()),
            Some(staged) => self.write_phase(Phase::Staged(Staged {
                identity: identity.clone(),
                disk: staged.disk.clone(),
            })),
        }
    }

    /// Before there is a map, nothing may be left that would keep what the map is to hold. Where there is one, the keeper
    /// goes on trying, and tells.
    fn have_controllers_give_up(&mut self, identity: &VolumeIdentity) -> Result<(), StageError> {
        let volumes = self.volumes;
        let tree = volumes.ground.scan()?;
        let is_asked_for = self.request.source.hold == PathLossHold::Dm;
        let nqn = &self.request.source.nqn;
        match volumes
            .holds
            .give_up_at_once(&tree, nqn, identity, &mut self.done.tuned)
        {
            Err(CompanyError::Keeping(keeping)) if is_asked_for && self.done.map.is_some() => {
                Err(ChooseHoldError::from(HoldError::Company(keeping)).into())
            }
            Ok(()) | Err(CompanyError::Keeping(_)) => Ok(()),
            Err(error) => Err(ChooseHoldError::from(error).into()),
        }
    }

    fn keep_controllers(&self, hold: &Hold) -> Result<(), StageError> {
        let volumes = self.volumes;
        let tree = volumes.ground.scan()?;
        volumes
            .paths
            .keep_controllers(&self.request.source, hold, &tree);
        Ok(())
    }

    /// A volume that was to be held by a map, and is not.
    fn tell_not_held(&self, why: &str) {
        let id = &self.request.volume_id;
        self.volumes.ground.config.reporter.tell(Outcome {
            volume_id: id.to_string(),
            claim: self.record.claim.clone(),
            pods: self.record.pods(),
            reason: Reason::NotHeld,
            message: format!("its I/O is not held during a loss: {why}"),
        });
    }

    /// Volumes that come from other drivers say how long the kernel shall reconnect.
    fn warn_of_loss_time(&self, hold: &Hold) {
        let source = &self.request.source;
        let wanted = source.tuning.options.ctrl_loss_tmo;
        if let Some(wanted) = wanted.filter(|wanted| *wanted != source.controller_loss(hold)) {
            let volume_id = &self.request.volume_id;
            tracing::warn!(%volume_id, ?wanted, "ctrlLossTmo has no effect: a map holds the I/O of the volume");
        }
    }
}
