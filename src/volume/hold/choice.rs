//! Which hold a volume gets.

use std::path::Path;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use nvme_sysfs::Namespace;
use thiserror::Error;

use super::Hold;
use super::company::{CompanyError, Keeping, NOT_UNIQUE};
use super::holds::Holds;
use crate::host::MapId;
use crate::host::requirements::missing_for_maps;
use crate::volume::capability::AccessType;
use crate::volume::identity::VolumeIdentity;
use crate::volume::mounts::shows_nvme;
use crate::volume::record::{RecordError, StageRecord};
use crate::volume::sight::LookError;
use crate::volume::source::{PathLossHold, Source};
use crate::volume::volume_id::VolumeId;

/// How often it is looked at whether others still use what a map would take from them.
const AGAIN: Duration = Duration::from_millis(250);

/// What a volume can be held by here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice<'a> {
    /// What the user wants.
    wanted: PathLossHold,
    /// The map that it would have.
    map: MapId,
    /// Why there can be no map, if there cannot.
    no_map: Option<&'static str>,
    /// Whether heads of this kernel outlive their paths; unknown before there is a head.
    native: Option<bool>,
    /// Another volume of the same subsystem, and its hold.
    sibling: Option<(&'a VolumeId, &'a Hold)>,
}

/// Why a volume cannot be held as its user wants.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HoldError {
    /// There can be no map.
    #[error("pathLossHold is dm, but {reason}")]
    NoMap {
        /// Why.
        reason: &'static str,
    },
    /// Heads of this kernel go with their last path.
    #[error(
        "pathLossHold is native, but this kernel has no delayed_removal_secs: it is older than \
         6.16, or nvme_core.multipath is off"
    )]
    NoNative,
    /// Controllers are tuned for one hold.
    #[error(
        "volume {sibling} of the same subsystem is held by {theirs}, and the controllers are tuned \
         for that: {wanted} is not possible beside it"
    )]
    Sibling {
        /// The other volume.
        sibling: VolumeId,
        /// Its hold.
        theirs: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// What waits may wait where no map holds it.
    #[error("pathLossHold is dm, but {0}")]
    Company(Keeping),
    /// A raw disk for readers cannot get the map that it needs.
    #[error("a raw block volume for readers needs a map, but {0}")]
    ReadersBesideOthers(Keeping),
    /// Nothing but a map keeps those who may only read a raw block device from writing to it.
    #[error(
        "a raw block volume for readers needs a map, or anybody who opens its device could write: \
         use pathLossHold dm, load dm-multipath and dm-round-robin, and give the namespace a uuid, \
         or make it read-only at the target"
    )]
    ReadersNeedMap,
}

/// Why no hold was chosen.
#[derive(Debug, Error)]
pub enum ChooseHoldError {
    /// What is wanted is not to be had.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// It cannot be told whether controllers of others keep the I/O.
    #[error(transparent)]
    Company(#[from] CompanyError),
    /// The records of other volumes cannot be read.
    #[error("cannot tell how other volumes of the subsystem are held")]
    Records(#[from] RecordError),
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
}

/// Decides, as far as it can be decided: [`Hold::None`] may become [`Hold::Native`] once there is a
/// head.
fn choose(choice: Choice<'_>) -> Result<Hold, HoldError> {
    let Choice {
        wanted,
        map,
        no_map,
        native,
        sibling,
    } = choice;
    let by_map = |reason: Option<&'static str>| match reason {
        None => Ok(Hold::Dm(map)),
        Some(reason) => Err(HoldError::NoMap { reason }),
    };
    let without_map = match native {
        Some(true) => Hold::Native,
        Some(false) | None => Hold::None,
    };
    let hold = match (wanted, sibling) {
        (PathLossHold::Dm, _) => by_map(no_map)?,
        (PathLossHold::Native, _) if native == Some(false) => return Err(HoldError::NoNative),
        (PathLossHold::Native, _) => Hold::Native,
        (PathLossHold::None, _) => Hold::None,
        (PathLossHold::Auto, Some((_, Hold::Native | Hold::None))) => without_map,
        (PathLossHold::Auto, _) => by_map(no_map).unwrap_or(without_map),
    };
    beside(hold, sibling)
}

/// A hold, if it goes with that of another volume of the subsystem.
fn beside(hold: Hold, sibling: Option<(&VolumeId, &Hold)>) -> Result<Hold, HoldError> {
    match sibling {
        Some((sibling, theirs)) if theirs.map().is_some() != hold.map().is_some() => {
            Err(HoldError::Sibling {
                sibling: sibling.clone(),
                theirs: theirs.as_str(),
                wanted: hold.as_str(),
            })
        }
        _ => Ok(hold),
    }
}

/// Another volume of a subsystem whose hold is decided.
fn find_sibling<'a>(
    records: &'a [StageRecord],
    id: &VolumeId,
    source: &Source,
) -> Option<(&'a VolumeId, &'a Hold)> {
    let mut others = records.iter().filter(|record| {
        record.volume_id != *id && record.is_active() && record.wants(&source.nqn)
    });
    others.find_map(|other| Some((&other.volume_id, other.hold.as_ref()?)))
}

/// What becomes of a decision once the namespace is known.
fn refine(hold: Hold, wanted: PathLossHold, namespace: &Namespace) -> Result<Hold, HoldError> {
    let native = namespace.delayed_removal.is_some();
    let is_unique = namespace.identity.is_unique();
    match (hold, wanted) {
        (Hold::Dm(_), PathLossHold::Dm) if !is_unique => {
            Err(HoldError::NoMap { reason: NOT_UNIQUE })
        }
        (Hold::Dm(_), _) if !is_unique => Ok(Hold::None),
        (Hold::Native, _) if !native => Err(HoldError::NoNative),
        (Hold::None, PathLossHold::Auto) => Ok(without_map(namespace)),
        (hold, _) => Ok(hold),
    }
}

/// The best hold of a volume that gets no map.
fn without_map(namespace: &Namespace) -> Hold {
    match namespace.delayed_removal {
        Some(_) if namespace.identity.is_unique() => Hold::Native,
        _ => Hold::None,
    }
}

/// Refuses a raw disk for readers that nothing would protect: the kernel opens a device node for
/// writing through a mount that is read-only, too.
fn protect_readers(
    hold: Hold,
    record: &StageRecord,
    namespace: &Namespace,
) -> Result<Hold, HoldError> {
    let is_block = record.capability.access == AccessType::Block;
    let refuses_itself = namespace.read_only == Some(true);
    let is_for_readers = record.is_map_read_only(namespace.read_only);
    if is_block && is_for_readers && !refuses_itself && hold.map().is_none() {
        return Err(HoldError::ReadersNeedMap);
    }
    Ok(hold)
}

impl Holds {
    /// Which hold a volume gets, before anything of it is connected.
    pub(in crate::volume) fn choose_hold(
        &self,
        id: &VolumeId,
        source: &Source,
        staging: &Path,
    ) -> Result<Hold, ChooseHoldError> {
        let (records, _) = &*self.ground.records.read_readable()?;
        let sibling = find_sibling(records, id, source);
        let map = self.ground.map_of(id, None);
        let mounts = self.ground.read_mounts()?;
        let mounted = mounts
            .find_mount_at(staging)
            .filter(|mount| shows_nvme(mount));
        let no_map = match mounted {
            Some(_) => Some("the volume is mounted without a map"),
            None => missing_for_maps(&self.ground.config.root),
        };
        let hold = choose(Choice {
            wanted: source.hold,
            map,
            no_map,
            native: None,
            sibling,
        })?;
        if let (PathLossHold::Auto, None, Some(reason)) = (source.hold, hold.map(), no_map) {
            tracing::warn!(volume_id = %id, reason, "the volume gets no map that could hold its I/O");
        }
        Ok(hold)
    }

    fn has_map(&self, record: &StageRecord) -> Result<bool, LookError> {
        match record.map() {
            Some(map) => Ok(self.ground.read_map(map)?.is_some()),
            None => Ok(false),
        }
    }

    /// What becomes of the decision once the namespace is known, and why there is no map, if there was to be one.
    pub(in crate::volume) fn settle_hold(
        &self,
        record: &StageRecord,
        namespace: &Namespace,
    ) -> Result<(Hold, Option<String>), ChooseHoldError> {
        let (id, source) = (&record.volume_id, &record.source);
        let chosen = record.hold.clone().unwrap_or(Hold::None);
        let was_map = chosen.map().is_some();
        let hold = refine(chosen, source.hold, namespace)?;
        let (records, _) = &*self.ground.records.read_readable()?;
        let keeping = match hold.map() {
            // What has a map stays with it, and so do its siblings; the keeper tells.
            Some(_) if self.has_map(record)? => None,
            Some(_) => self.wait_for_others(source, namespace)?,
            None => None,
        };
        let Some(keeping) = keeping else {
            let is_nameless = was_map && hold.map().is_none();
            let why = is_nameless.then(|| format!("{NOT_UNIQUE}; give it one at the target"));
            let hold = beside(hold, find_sibling(records, id, source))?;
            return Ok((protect_readers(hold, record, namespace)?, why));
        };
        if source.hold == PathLossHold::Dm {
            return Err(HoldError::Company(keeping).into());
        }
        for sibling in records
            .iter()
            .filter(|it| it.volume_id != *id && it.wants(&source.nqn))
        {
            if self.has_map(sibling)? {
                return Ok((hold, None));
            }
        }
        // A sibling that has no map yet meets the same company.
        let hold = protect_readers(without_map(namespace), record, namespace);
        let hold = hold.map_err(|_| HoldError::ReadersBesideOthers(keeping.clone()))?;
        Ok((hold, Some(keeping.to_string())))
    }

    /// Whom a map of this volume would hurt. A use may be that of somebody who only looks at a new disk.
    fn wait_for_others(
        &self,
        source: &Source,
        namespace: &Namespace,
    ) -> Result<Option<Keeping>, ChooseHoldError> {
        let identity = VolumeIdentity::of(namespace);
        let until = Instant::now() + self.ground.config.timing.rescan;
        loop {
            let tree = self.ground.scan()?;
            let (records, _) = &*self.ground.records.read_readable()?;
            let company = self.company(records, &tree);
            let keeping = company.find_spared(&source.nqn, &identity)?;
            if keeping.is_none() || Instant::now() >= until {
                return Ok(keeping);
            }
            park_timeout(AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::fixture;

    fn choice(wanted: PathLossHold) -> Choice<'static> {
        Choice {
            wanted,
            map: MapId::of_volume("csi.example", "a"),
            no_map: None,
            native: Some(false),
            sibling: None,
        }
    }

    const MISSING: &str = "the module dm-multipath is not loaded";

    #[test]
    fn auto_takes_the_best_that_there_is() {
        let auto = choice(PathLossHold::Auto);
        assert_eq!(choose(auto), Ok(Hold::Dm(auto.map)));
        let no_map = Choice {
            no_map: Some(MISSING),
            ..auto
        };
        assert_eq!(choose(no_map), Ok(Hold::None));
        let native = Choice {
            native: Some(true),
            ..no_map
        };
        assert_eq!(choose(native), Ok(Hold::Native));
    }

    #[test]
    fn what_is_asked_for_is_had_or_refused() {
        let dm = Choice {
            no_map: Some(MISSING),
            ..choice(PathLossHold::Dm)
        };
        assert_eq!(choose(dm), Err(HoldError::NoMap { reason: MISSING }));
        let native = choice(PathLossHold::Native);
        assert_eq!(choose(native), Err(HoldError::NoNative));
        assert_eq!(choose(choice(PathLossHold::None)), Ok(Hold::None));
    }

    #[test]
    fn a_namespace_without_an_identifier_of_its_own_gets_no_map() {
        let mut namespace = fixture::namespace("sid-held");
        let dm = Hold::Dm(MapId::of_volume("csi.example", "a"));
        let refine = |hold: &Hold, wanted, namespace: &Namespace| {
            super::refine(hold.clone(), wanted, namespace)
        };
        assert_eq!(refine(&dm, PathLossHold::Auto, &namespace), Ok(dm.clone()));
        assert_eq!(
            refine(&Hold::None, PathLossHold::Auto, &namespace),
            Ok(Hold::Native)
        );
        assert_eq!(
            refine(&Hold::None, PathLossHold::None, &namespace),
            Ok(Hold::None)
        );
        namespace.identity.uuid = None;
        namespace.identity.nguid = None;
        namespace.identity.eui64 = None;
        assert_eq!(refine(&dm, PathLossHold::Auto, &namespace), Ok(Hold::None));
        assert!(refine(&dm, PathLossHold::Dm, &namespace).is_err());
        namespace.delayed_removal = None;
        let native = refine(&Hold::Native, PathLossHold::Native, &namespace);
        assert_eq!(native, Err(HoldError::NoNative));
    }

    #[test]
    fn volumes_of_one_subsystem_are_held_alike() {
        let other: VolumeId = "b".parse().expect("an id");
        let dm = Hold::Dm(MapId::of_volume("csi.example", "b"));
        let beside = |wanted, hold| {
            choose(Choice {
                sibling: Some((&other, hold)),
                ..choice(wanted)
            })
        };
        assert_eq!(beside(PathLossHold::Auto, &Hold::None), Ok(Hold::None));
        assert!(beside(PathLossHold::Auto, &dm).is_ok_and(|hold| hold.map().is_some()));
        for (wanted, hold) in [
            (PathLossHold::None, &dm),
            (PathLossHold::Dm, &Hold::None),
            (PathLossHold::Dm, &Hold::Native),
        ] {
            let refused = beside(wanted, hold);
            assert!(
                matches!(refused, Err(HoldError::Sibling { .. })),
                "{wanted:?} {refused:?}"
            );
        }
    }
}
