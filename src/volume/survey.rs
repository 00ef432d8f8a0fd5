//! The volumes of this node and how they stand, for a program that does not serve them.
//!
//! Invariant: nothing is changed, and nothing of a volume is touched but as in [`Sight`]. Where no plugin ever kept
//! anything, nothing but that is read.

use std::io;
use std::path::{Path, PathBuf};

use nvme_sysfs::{Nqn, Sysfs};
use thiserror::Error;

use super::boot::read_boot_id;
use super::condition::{HealthEntry, judge};
use super::ground::OpenVolumesError;
use super::hold::{Company, Hold};
use super::record::{Complete, Records, StageRecord};
use super::sight::{LookError, Sight};
use super::standing::Standing;
use super::volume_id::VolumeId;
use crate::host::MapId;
use crate::host::question::Questions;
use crate::watch::Trees;

/// One volume, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// Which one.
    pub volume_id: VolumeId,
    /// Its subsystem.
    pub nqn: Nqn,
    /// How its I/O is kept waiting; absent until that is decided.
    pub hold: Option<Hold>,
    /// The disk of its map, where there is one.
    pub map_disk: Option<String>,
    /// The disk of its namespace, where it is there.
    pub disk: Option<String>,
    /// How many ways lead to the target now.
    pub usable_paths: usize,
    /// What is wrong with it.
    pub findings: Vec<HealthEntry>,
}

/// Why the volumes are not known.
#[derive(Debug, Error)]
pub enum SurveyError {
    /// It cannot be told whether there are any.
    #[error("cannot access {}", path.display())]
    Access {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is staged is not known.
    #[error("cannot tell which volumes are staged")]
    Records(#[from] OpenVolumesError),
    /// They cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
}

impl Surveyed {
    /// Whether no path leads to the volume.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.usable_paths == 0
    }

    /// The map that its record names.
    #[must_use]
    pub fn map(&self) -> Option<MapId> {
        self.hold.as_ref().and_then(Hold::map)
    }

    fn of(record: &StageRecord, sight: &Sight, not_held: Option<&str>) -> Surveyed {
        let standing = Standing::of(record, sight);
        let standing = standing.as_ref();
        let disk = standing.and_then(|standing| standing.namespace());
        let map = record.map().and_then(|map| sight.find_map(map));
        Surveyed {
            volume_id: record.volume_id.clone(),
            nqn: record.source.nqn.clone(),
            hold: record.hold.clone(),
            map_disk: map.map(|map| map.disk.clone()),
            disk: disk.map(|disk| disk.name.clone()),
            usable_paths: standing.map_or(0, |standing| standing.usable_paths),
            findings: judge(record, standing, sight.tree(), not_held),
        }
    }
}

/// Every volume of this boot that the plugin with this state directory keeps, and whether those are all: a volume whose
/// record or subsystem cannot be read is logged, and neither well nor ill.
///
/// # Errors
/// [`SurveyError`].
pub fn survey(root: &Path, state_dir: &Path) -> Result<(Vec<Surveyed>, Complete), SurveyError> {
    match state_dir.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok((Vec::new(), Complete::Yes)),
        Err(source) => {
            let path = state_dir.to_owned();
            return Err(SurveyError::Access { path, source });
        }
    }
    let (mut records, mut complete) = read_staged(root, state_dir)?;
    if records.is_empty() {
        return Ok((Vec::new(), complete));
    }
    let look = || -> Result<Sight, LookError> {
        let trees = Trees::of(Sysfs::at(root));
        // What cannot be read of one subsystem hides the volumes of no other.
        trees.concern_only([]);
        Sight::beside(root, trees.scan()?, &Questions::default())
    };
    let sight = look()?;
    for record in &mut records {
        record.forget_gone(&sight.mounts);
    }
    let company = Company {
        root,
        driver: driver_of(state_dir),
        records: &records,
        tree: sight.tree(),
    };
    let mut surveyed = Vec::new();
    for record in &records {
        match sight.tree().require(&record.source.nqn) {
            Ok(()) => {
                let not_held = company.find_reason(record);
                surveyed.push(Surveyed::of(record, &sight, not_held.as_deref()));
            }
            Err(error) => {
                let volume_id = &record.volume_id;
                tracing::warn!(%volume_id, %error, "it cannot be told how a volume stands");
                complete = Complete::No;
            }
        }
    }
    Ok((surveyed, complete))
}

/// The name of the driver that has its state in `plugins/DRIVER/state` of kubelet's directory, if this is such a path.
fn driver_of(state_dir: &Path) -> Option<&str> {
    let plugin = state_dir
        .parent()
        .filter(|_| state_dir.ends_with("state"))?;
    let is_kubelets = plugin.parent()?.ends_with("plugins");
    plugin.file_name().filter(|_| is_kubelets)?.to_str()
}

/// What is staged here, for a program that does not serve the volumes. A record that cannot be read is logged.
///
/// # Errors
/// [`OpenVolumesError`].
pub fn read_staged(
    root: &Path,
    state_dir: &Path,
) -> Result<(Vec<StageRecord>, Complete), OpenVolumesError> {
    let records = Records::at(root, state_dir, read_boot_id(root)?)?;
    let (all, complete) = &*records.read_readable()?;
    let active = all.iter().filter(|record| record.is_active());
    Ok((active.cloned().collect(), *complete))
}
