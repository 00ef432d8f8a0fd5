//! Protocol files as others publish them, to compare ours with: Go modules carry them.

use std::path::{Path, PathBuf};

use crate::golang::{Go, GoError};
use crate::place;
use crate::store::{self, StoreError};

/// A published protocol file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The Go module that carries it. Pinned: a later release is another protocol.
    module: &'static str,
    /// Where it lies in the module.
    file: &'static str,
    /// The name of our copy.
    name: &'static str,
}

/// The Container Storage Interface 1.13.
pub const CSI: Published = Published {
    module: "github.com/container-storage-interface/spec@v1.13.0",
    file: "csi.proto",
    name: "csi-v1.13.0",
};

/// kubelet's registration of plugins, version 1, as Kubernetes 1.37.2 has it.
pub const REGISTRATION: Published = Published {
    module: "k8s.io/kubelet@v0.37.2",
    file: "pkg/apis/pluginregistration/v1/api.proto",
    name: "pluginregistration-v0.37.2",
};

impl Published {
    /// Our copy, if it was fetched.
    #[must_use]
    pub fn find(&self) -> Option<PathBuf> {
        let file = self.copy();
        file.is_file().then_some(file)
    }

    /// Our copy, fetched first where it is not there yet.
    ///
    /// # Errors
    /// [`GoError`], naming the step that failed.
    pub fn get(&self) -> Result<PathBuf, GoError> {
        store::build_once(&self.directory(), |partial| {
            let module = Go::get()?.download(self.module)?;
            let copy = partial.join(self.file_name());
            let copied = std::fs::copy(module.join(self.file), &copy);
            copied.map_err(|source| StoreError { path: copy, source })?;
            Ok::<_, GoError>(())
        })?;
        Ok(self.copy())
    }

    fn copy(&self) -> PathBuf {
        self.directory().join(self.file_name())
    }

    fn directory(&self) -> PathBuf {
        place::of("peers").join(self.name)
    }

    fn file_name(&self) -> &'static Path {
        let name = Path::new(self.file).file_name();
        Path::new(name.expect("a published file has a name"))
    }
}
