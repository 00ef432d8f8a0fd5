//! The files of the host's own system: its programs and their configuration.
//!
//! A container has others at the same paths. Where it shares the host's processes, `/proc/1/root` is
//! the root directory of the host's first process (proc_pid_root(5)), for whoever may trace it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use super::mountinfo::MountTable;
use super::requirements::{self, Status};

/// As many links as the kernel follows in one path (`MAXSYMLINKS`).
const LINKS: usize = 40;

/// Where the files of the host are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFiles {
    root: PathBuf,
    is_container: bool,
}

/// Why the files of the host are not to be seen.
#[derive(Debug, Error)]
pub enum HiddenHost {
    /// The first process is not the host's.
    #[error("this is a container with processes of its own")]
    OwnProcesses,
    /// The root directory of the first process cannot be looked at.
    #[error("{} cannot be looked at", path.display())]
    Look {
        /// As what it was looked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl HostFiles {
    /// Looks where the files of the machine at `root` are: there, or in a container through the root
    /// directory of the first process.
    ///
    /// # Errors
    /// [`HiddenHost`].
    pub fn find(root: &Path) -> Result<HostFiles, HiddenHost> {
        if requirements::check_processes(root).status == Status::Fail {
            return Err(HiddenHost::OwnProcesses);
        }
        let path = root.join("proc/1/root");
        let identity = |path: &Path| {
            let metadata = fs::metadata(path);
            metadata.map(|metadata| (metadata.dev(), metadata.ino()))
        };
        // This program's own is not compared by the name of `root`: a rescue system has its processes
        // below the root of the system that it repairs, and what was named is what is meant.
        let own = identity(root).and_then(|own| Ok([own, identity(Path::new("/"))?]));
        match (identity(&path), own) {
            (Ok(first), Ok(own)) if !own.contains(&first) => Ok(HostFiles {
                root: path,
                is_container: true,
            }),
            (Ok(_), Ok(_)) => Ok(HostFiles::at(root)),
            // A tree that was captured has no such link.
            (Err(error), _) if error.kind() == ErrorKind::NotFound => Ok(HostFiles::at(root)),
            // Whoever may not trace the first process may still read what it has mounted.
            (Err(error), _) if is_denied(&error) && has_the_same_root(root) => {
                Ok(HostFiles::at(root))
            }
            (Err(source), _) | (_, Err(source)) => Err(HiddenHost::Look { path, source }),
        }
    }

    /// The files below this directory.
    #[must_use]
    pub fn at(root: &Path) -> HostFiles {
        HostFiles {
            root: root.to_owned(),
            is_container: false,
        }
    }

    /// The directory below which they are.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this program has other files at the same paths.
    #[must_use]
    pub fn is_container(&self) -> bool {
        self.is_container
    }

    /// A path of the host as one that can be opened here. Links are followed as on the host, where an
    /// absolute one begins at the host's root. What does not exist is returned as it is named.
    ///
    /// # Errors
    /// What the kernel says to a link, and ELOOP after too many.
    pub fn resolve(&self, path: &str) -> io::Result<PathBuf> {
        let mut rest: VecDeque<OsString> = components(Path::new(path)).collect();
        let mut resolved = PathBuf::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            resolved.push(&name);
            let target = match fs::read_link(self.root.join(&resolved)) {
                Ok(target) => target,
                // No link, or nothing at all.
                Err(error) if is_no_link(&error) => continue,
                Err(error) => return Err(error),
            };
            links += 1;
            if links > LINKS {
                return Err(Errno::LOOP.into());
            }
            resolved.pop();
            if target.is_absolute() {
                resolved.clear();
            }
            for name in components(&target).rev() {
                rest.push_front(name);
            }
        }
        Ok(self.root.join(resolved))
    }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == ErrorKind::PermissionDenied
}

/// Whether the root directories of the first process and of this one are the same part of the same
/// filesystem.
fn has_the_same_root(root: &Path) -> bool {
    let at_root = |process: &str| {
        let table = fs::read(root.join("proc").join(process).join("mountinfo")).ok()?;
        let table = MountTable::parse(&table).ok()?;
        let mount = table.find_mount_at(Path::new("/"))?;
        Some((mount.dev, mount.root.clone()))
    };
    at_root("1").is_some_and(|first| at_root("self") == Some(first))
}

fn is_no_link(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::NotADirectory
    )
}

/// The names in a path, `..` among them.
fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("proc/1")).expect("a directory");
        root
    }

    #[test]
    fn the_root_of_the_first_process_is_the_hosts_unless_it_is_our_own() {
        let root = machine();
        let found = || HostFiles::find(root.path()).expect("it is to be seen");
        assert_eq!(found(), HostFiles::at(root.path()), "no such link");
        let link = root.path().join("proc/1/root");
        symlink(root.path(), &link).expect("a link");
        assert_eq!(found(), HostFiles::at(root.path()), "our own");
        let host = tempfile::tempdir().expect("a directory");
        let relink = |to: &Path| {
            fs::remove_file(&link).expect("a link");
            symlink(to, &link).expect("a link");
        };
        relink(Path::new("/"));
        assert_eq!(found(), HostFiles::at(root.path()), "another root by hand");
        relink(host.path());
        assert!(found().is_container());
        assert_eq!(found().root(), link);
    }

    #[test]
    fn a_container_with_processes_of_its_own_does_not_see_the_host() {
        let root = machine();
        fs::create_dir_all(root.path().join("proc/1/ns")).expect("a directory");
        symlink("1", root.path().join("proc/self")).expect("a link");
        symlink("pid:[4026532000]", root.path().join("proc/1/ns/pid")).expect("a link");
        symlink(root.path(), root.path().join("proc/1/root")).expect("a link");
        let error = HostFiles::find(root.path()).expect_err("it is process 1");
        assert!(matches!(error, HiddenHost::OwnProcesses), "{error}");
    }

    #[test]
    fn two_processes_with_one_root_are_known_by_what_they_have_mounted() {
        let root = machine();
        fs::create_dir_all(root.path().join("proc/self")).expect("a directory");
        let put = |process: &str, line: &str| {
            let path = root.path().join("proc").join(process).join("mountinfo");
            fs::write(path, line).expect("a file");
        };
        let host = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n";
        assert!(!has_the_same_root(root.path()), "nothing is known");
        put("1", host);
        put("self", "900 800 254:0 / / rw,relatime - ext4 /dev/vda rw\n");
        assert!(has_the_same_root(root.path()));
        for other in [
            "900 800 0:50 / / rw,relatime - overlay overlay rw\n",
            "900 800 254:0 /var/lib/machines/a / rw - ext4 /dev/vda rw\n",
            "900 800 254:0 / /mnt rw - ext4 /dev/vda rw\n",
        ] {
            put("self", other);
            assert!(!has_the_same_root(root.path()), "{other}");
        }
    }

    #[test]
    fn links_are_followed_below_the_root_of_the_host() {
        let root = machine();
        let files = HostFiles::at(root.path());
        fs::create_dir_all(root.path().join("usr/sbin")).expect("a directory");
        fs::create_dir_all(root.path().join("etc")).expect("a directory");
        symlink("usr/sbin", root.path().join("sbin")).expect("a link");
        symlink("/etc/alternatives", root.path().join("usr/sbin/lvm")).expect("a link");
        symlink("../../../usr/./real", root.path().join("etc/alternatives")).expect("a link");
        let resolved = files.resolve("sbin/lvm").expect("resolved");
        assert_eq!(resolved, root.path().join("usr/real"));
        let resolved = files.resolve("run/udev/rules.d").expect("not there");
        assert_eq!(resolved, root.path().join("run/udev/rules.d"));
        symlink("/etc/a", root.path().join("etc/a")).expect("a link");
        let error = files.resolve("etc/a").expect_err("a circle");
        assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    }
}
