//! All volumes of this node.
//!
//! What kubelet asks is a verb in a file of its own. The verbs stand on the owners: [`Holds`] and [`Paths`], which the
//! keeper asks as well.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nvme_fabrics::HostIdentity;

use super::capacity::Usage;
use super::ground::{Ground, OpenVolumesError, VolumesConfig};
use super::hold::Holds;
use super::paths::Paths;
use super::place::pv_of;
use super::record::{Complete, RecordError, StageRecord};
use super::sight::{LookError, Sight};
use super::volume_id::VolumeId;
use crate::host::question::Questions;
use crate::shared::{Reading, Shared};
use crate::watch::Snapshot;

/// The volumes of this node.
#[derive(Debug)]
pub struct Volumes {
    pub(super) ground: Arc<Ground>,
    pub(super) holds: Holds,
    pub(super) paths: Paths,
    /// What is seen of this node.
    sights: Shared<Sight>,
    /// What filesystems are asked that show nowhere that they have shut down.
    pub(super) questions: Questions,
    /// What each volume answered when it was last healthy.
    pub(super) last_usage: Mutex<HashMap<VolumeId, Vec<Usage>>>,
}

impl Volumes {
    /// Opens the volumes of this node. Records of another boot are dropped, but for what still
    /// counts of them.
    ///
    /// # Errors
    /// [`OpenVolumesError`].
    pub fn new(config: VolumesConfig) -> Result<Volumes, OpenVolumesError> {
        let ground = Arc::new(Ground::new(config)?);
        Ok(Volumes {
            holds: Holds::on(Arc::clone(&ground)),
            paths: Paths::on(Arc::clone(&ground)),
            ground,
            sights: Shared::default(),
            questions: Questions::default(),
            last_usage: Mutex::default(),
        })
    }

    /// What holds the I/O of the volumes.
    #[must_use]
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// What leads to them.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// What is staged here, as far as it can be read.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn staged(&self) -> Result<(Vec<StageRecord>, Complete), RecordError> {
        self.ground.staged()
    }

    /// Whether an operation on the volume runs, which may have taken away what is not there.
    #[must_use]
    pub fn is_busy(&self, id: &VolumeId) -> bool {
        self.ground.is_busy(id)
    }

    /// Tells as which PersistentVolume each volume is here, for the events that may have to be posted.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn tell_present(&self) -> Result<(), RecordError> {
        for record in self
            .ground
            .records
            .read_all()?
            .iter()
            .filter(|r| r.is_active())
        {
            let targets = record.publications.iter().map(|it| &it.target_path);
            for path in [&record.staging_target_path].into_iter().chain(targets) {
                self.tell_coming(&record.volume_id, path);
            }
        }
        Ok(())
    }

    /// Tells as which PersistentVolume a volume comes, where kubelet's path holds its name.
    pub(super) fn tell_coming(&self, id: &VolumeId, path: &Path) {
        if let Some(pv) = pv_of(path) {
            self.ground.config.reporter.came(id.as_str(), &pv);
        }
    }

    /// Who this host is to a target.
    #[must_use]
    pub fn identity(&self) -> &HostIdentity {
        self.ground.identity()
    }

    /// Looks at everything, together with all who ask at the same time.
    ///
    /// # Errors
    /// [`LookError`].
    pub fn look(&self) -> Result<Reading<Sight>, LookError> {
        self.sights
            .read(|| self.look_beside(self.ground.config.trees.scan()?))
    }

    /// Looks at everything but the devices, which somebody has just read.
    ///
    /// # Errors
    /// [`LookError`].
    pub fn look_beside(&self, tree: Snapshot) -> Result<Sight, LookError> {
        Sight::beside(&self.ground.config.root, tree, &self.questions)
    }
}
