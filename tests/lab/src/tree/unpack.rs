//! Writing a [`Tree`] into a directory, links as real links.
//!
//! Invariant: nothing is written outside of the directory; [`Tree::parse`] refuses paths that would.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Entry, ParseTreeError, Tree};

/// Why a tree could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Reading the tree file or writing an entry failed.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tree file breaks a rule of its format.
    #[error("{path} is no tree file")]
    Parse {
        /// The tree file.
        path: PathBuf,
        /// Which rule.
        source: ParseTreeError,
    },
}

/// Unpacks a tree file into a new temporary directory, which goes away with the returned value.
///
/// # Errors
/// [`UnpackError`] with the file that could not be read, parsed or written.
pub fn unpack(tree_file: &Path) -> Result<TempDir, UnpackError> {
    let text = fs::read_to_string(tree_file).map_err(at(tree_file))?;
    let tree = Tree::parse(&text).map_err(|source| UnpackError::Parse {
        path: tree_file.to_owned(),
        source,
    })?;
    tree.unpack()
}

impl Tree {
    /// Writes the entries into a new temporary directory.
    ///
    /// Every file may be written by its owner, whatever its recorded mode, so that a test can break it.
    ///
    /// # Errors
    /// [`UnpackError::Io`] with the entry that could not be written.
    pub fn unpack(&self) -> Result<TempDir, UnpackError> {
        let root = TempDir::new().map_err(at(Path::new("a temporary directory")))?;
        for (path, entry) in &self.entries {
            let full = root.path().join(path);
            let parent = full.parent().expect("a path joined to a root has a parent");
            fs::create_dir_all(parent).map_err(at(parent))?;
            write(&full, entry).map_err(at(&full))?;
        }
        Ok(root)
    }
}

fn write(path: &Path, entry: &Entry) -> io::Result<()> {
    match entry {
        Entry::Directory => fs::create_dir_all(path),
        Entry::Link(target) => symlink(target, path),
        Entry::File { value, mode } => {
            fs::write(path, value)?;
            fs::set_permissions(path, Permissions::from_mode(mode | 0o200))
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_file_becomes_files_links_and_directories() {
        let text = "sys/a/state\tlive\\n\nsys/a/delete\t\t0200\nsys/class/a -> ../a\nsys/power/\n";
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("a file");
        let root = unpack(file.path()).expect("unpacks");
        let at = |path: &str| root.path().join(path);
        assert_eq!(
            fs::read(at("sys/class/a/state")).expect("a file"),
            b"live\n"
        );
        assert_eq!(
            fs::read_link(at("sys/class/a")).expect("a link"),
            Path::new("../a")
        );
        assert!(at("sys/power").is_dir());
        assert_eq!(
            fs::metadata(at("sys/a/delete"))
                .expect("a file")
                .permissions()
                .mode()
                & 0o777,
            0o200
        );
    }

    #[test]
    fn a_broken_tree_file_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "no tree\n").expect("a file");
        let error = unpack(file.path()).expect_err("no tree");
        assert!(
            matches!(&error, UnpackError::Parse { path, .. } if path == file.path()),
            "{error}"
        );
    }
}
