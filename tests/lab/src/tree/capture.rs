//! Reading a live sysfs into a [`Tree`].
//!
//! Invariant: symbolic links are recorded and never followed, and the attributes in `NEVER_READ` are never opened.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Entry, Tree};

/// Attributes that must not be read: `nuse` sends a command to the target and can block for a minute; the others are
/// secrets (drivers/nvme/host/sysfs.c).
const NEVER_READ: [&str; 3] = ["nuse", "dhchap_secret", "dhchap_ctrl_secret"];

/// Runtime power management, the same for every device: its attributes mostly answer EIO (drivers/base/power/sysfs.c)
/// and say nothing of NVMe. The directory itself stays, since a reader of the parent meets it.
const NOT_ENTERED: &str = "power";

/// ENODEV: what a sysfs attribute answers when its device went away after the open.
const ENODEV: i32 = 19;

/// Why a tree could not be captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The entry is there and cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The entry.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A name below the root is no UTF-8.
    #[error("{path:?} is no UTF-8")]
    Name {
        /// The entry.
        path: PathBuf,
    },
}

/// Captures `paths` (relative to `root`): a file or link as it is, a directory with all that it holds, except that
/// `power` directories stay empty.
///
/// What vanishes meanwhile is left out. A file that exists and answers its read with an error is named in the header
/// (`unreadable PATH: why`) instead, since no file in a directory could stand for it.
///
/// # Errors
/// [`CaptureError`] for a directory or link that cannot be read and for names that are no UTF-8.
pub fn capture(root: &Path, paths: &[&str], header: &[String]) -> Result<Tree, CaptureError> {
    let mut tree = Tree {
        header: header.to_vec(),
        ..Tree::default()
    };
    for path in paths {
        add(&mut tree, root, path)?;
    }
    Ok(tree)
}

fn add(tree: &mut Tree, root: &Path, path: &str) -> Result<(), CaptureError> {
    let full = root.join(path);
    let Some(metadata) = present(&full, fs::symlink_metadata(&full))? else {
        return Ok(());
    };
    if metadata.is_symlink() {
        let Some(target) = present(&full, fs::read_link(&full))? else {
            return Ok(());
        };
        tree.entries
            .insert(path.to_owned(), Entry::Link(text(&target)?));
    } else if metadata.is_dir() {
        add_directory(tree, root, path)?;
    } else if !NEVER_READ.contains(&last_name(path)) {
        add_file(tree, path, &full, &metadata)?;
    }
    Ok(())
}

fn add_directory(tree: &mut Tree, root: &Path, path: &str) -> Result<(), CaptureError> {
    let full = root.join(path);
    let Some(entries) = present(&full, fs::read_dir(&full))? else {
        return Ok(());
    };
    tree.entries.insert(path.to_owned(), Entry::Directory);
    if last_name(path) == NOT_ENTERED {
        return Ok(());
    }
    for entry in entries {
        let Some(entry) = present(&full, entry)? else {
            return Ok(());
        };
        let name = text(Path::new(&entry.file_name()))?;
        add(tree, root, &format!("{path}/{name}"))?;
    }
    Ok(())
}

fn add_file(
    tree: &mut Tree,
    path: &str,
    full: &Path,
    metadata: &Metadata,
) -> Result<(), CaptureError> {
    let mode = metadata.permissions().mode() & 0o7777;
    let value = if mode & 0o444 == 0 {
        Ok(Vec::new())
    } else {
        fs::read(full)
    };
    match value {
        Ok(value) => {
            tree.entries
                .insert(path.to_owned(), Entry::File { value, mode });
        }
        Err(error) if is_gone(&error) => {}
        Err(error) => tree.header.push(format!("unreadable {path}: {error}")),
    }
    Ok(())
}

fn present<T>(path: &Path, result: io::Result<T>) -> Result<Option<T>, CaptureError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(CaptureError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(ENODEV)
}

fn last_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn text(path: &Path) -> Result<String, CaptureError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| CaptureError::Name {
            path: path.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::unpack;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn live() -> TempDir {
        let root = TempDir::new().expect("a directory");
        fs::create_dir_all(root.path().join("sys/d/power")).expect("a directory");
        fs::write(root.path().join("sys/d/state"), "live\n").expect("a file");
        fs::write(root.path().join("sys/d/power/control"), "auto\n").expect("a file");
        fs::write(root.path().join("sys/d/nuse"), "7\n").expect("a file");
        fs::write(root.path().join("sys/d/dhchap_secret"), "DHHC-1:00:x:\n").expect("a file");
        fs::write(root.path().join("sys/outside"), "x\n").expect("a file");
        symlink("../outside", root.path().join("sys/d/link")).expect("a link");
        symlink("nowhere", root.path().join("sys/d/dangling")).expect("a link");
        root
    }

    #[test]
    fn a_capture_unpacked_and_captured_again_is_the_same() {
        let live = live();
        let header = vec!["kernel test".to_owned()];
        let first = capture(live.path(), &["sys"], &header).expect("captures");
        let file = live.path().join("x.tree");
        fs::write(&file, first.to_text()).expect("a file");
        let unpacked = unpack(&file).expect("unpacks");
        let second = capture(unpacked.path(), &["sys"], &header).expect("captures");
        assert_eq!(first, second);
        assert_eq!(
            first.entries.get("sys/d/link"),
            Some(&Entry::Link("../outside".to_owned()))
        );
        assert_eq!(first.entries.get("sys/d/power"), Some(&Entry::Directory));
        assert!(!first.entries.contains_key("sys/d/power/control"));
    }

    #[test]
    fn secrets_and_nuse_are_never_captured() {
        let text = capture(live().path(), &["sys"], &[])
            .expect("captures")
            .to_text();
        assert!(
            !text.contains("DHHC-1") && !text.contains("nuse") && text.contains("state"),
            "{text}"
        );
    }

    #[test]
    fn a_path_that_is_not_there_is_left_out() {
        let tree = capture(live().path(), &["sys/gone", "sys/outside"], &[]).expect("captures");
        assert_eq!(tree.entries.keys().collect::<Vec<_>>(), ["sys/outside"]);
    }
}
