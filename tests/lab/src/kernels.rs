//! Debian kernels: found in `target/lab/kernels` (or `LAB_KERNEL_DIR`), or downloaded into it.
//!
//! A ready kernel is a directory `<suite>` with Debian's files where the packages put them, and `modules.dep` of
//! depmod. What is there is used without asking the network; to get a newer kernel, delete it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{Apt, AptError};
use crate::command::{self, CommandError, find_program};
use crate::place::{self, Kernels};
use crate::store::{self, StoreError};
use crate::suite::Suite;

/// The package whose dependencies lead to the suite's current kernel.
const META_PACKAGE: &str = "linux-image-amd64";

/// A kernel that is ready to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its suite.
    pub suite: Suite,
    /// What `uname -r` will say, e.g. `6.12.107+deb13-amd64`.
    pub release: String,
    /// The compressed kernel.
    pub image: PathBuf,
    /// Its directory of modules, with `modules.dep`.
    pub modules: PathBuf,
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The suite's directory does not hold a ready kernel.
    #[error("{directory} holds no ready kernel: {missing} is missing")]
    Incomplete {
        /// The suite's directory.
        directory: PathBuf,
        /// What was looked for.
        missing: &'static str,
    },
    /// `LAB_KERNEL_DIR` is set and has no kernel of the suite: nothing is downloaded then.
    #[error("LAB_KERNEL_DIR has no kernel of {suite}: put it there, or unset LAB_KERNEL_DIR")]
    NotGiven {
        /// The suite.
        suite: Suite,
        /// Why the directory does not count.
        source: Box<KernelError>,
    },
    /// The packages could not be had.
    #[error("cannot get the kernel of {suite}")]
    Packages {
        /// The suite.
        suite: Suite,
        /// Why.
        source: AptError,
    },
    /// depmod failed.
    #[error("cannot list the modules' dependencies")]
    Depmod(#[source] CommandError),
    /// depmod is not installed.
    #[error("depmod is not installed (package kmod): run `cargo lab setup`")]
    NoDepmod,
    /// Files of the lab.
    #[error("cannot keep the kernel")]
    Store(#[from] StoreError),
}

/// The suite's kernel if it is ready; nothing is downloaded.
///
/// # Errors
/// [`KernelError::Incomplete`] or [`KernelError::NotGiven`] where it is not.
pub fn find(suite: Suite) -> Result<Kernel, KernelError> {
    match place::kernels() {
        Kernels::Own(directory) => read(suite, &directory.join(suite.as_str())),
        Kernels::Given(directory) => {
            read(suite, &directory.join(suite.as_str())).map_err(|source| KernelError::NotGiven {
                suite,
                source: Box::new(source),
            })
        }
    }
}

/// The suite's kernel, downloaded first where it is not there yet; progress goes to standard error.
///
/// Concurrent callers wait for one download.
///
/// # Errors
/// [`KernelError`], naming the step that failed.
pub fn get(suite: Suite) -> Result<Kernel, KernelError> {
    if let Kernels::Own(directory) = place::kernels() {
        let ready = directory.join(suite.as_str());
        store::build_once(&ready, |partial| download(suite, partial))?;
    }
    find(suite)
}

fn download(suite: Suite, into: &Path) -> Result<(), KernelError> {
    let depmod = find_program("depmod").ok_or(KernelError::NoDepmod)?;
    unpack(suite, into).map_err(|source| KernelError::Packages { suite, source })?;
    let (release, modules) = read_modules(into)?;
    let base = modules
        .ancestors()
        .nth(3)
        .expect("modules lie in BASE/lib/modules/RELEASE");
    command::output(Command::new(depmod).arg("-b").arg(base).arg(&release))
        .map_err(KernelError::Depmod)?;
    Ok(())
}

fn unpack(suite: Suite, into: &Path) -> Result<(), AptError> {
    let apt = Apt::update(suite)?;
    let mut packages = apt.closure(META_PACKAGE, is_part_of_kernel)?;
    packages.remove(META_PACKAGE);
    apt.unpack(&packages, into)
}

/// The packages that hold the kernel and its modules: one of them in bookworm and trixie, two behind an empty
/// `linux-image-…` in sid.
fn is_part_of_kernel(package: &str) -> bool {
    ["linux-image-", "linux-binary-", "linux-modules-"]
        .iter()
        .any(|start| package.starts_with(start))
}

fn read(suite: Suite, directory: &Path) -> Result<Kernel, KernelError> {
    let (release, modules) = read_modules(directory)?;
    let missing = |missing| KernelError::Incomplete {
        directory: directory.to_owned(),
        missing,
    };
    if !modules.join("modules.dep").is_file() {
        return Err(missing("modules.dep"));
    }
    let image = [directory.join("boot"), modules.clone()]
        .iter()
        .find_map(|place| entry_starting_with(place, "vmlinuz"))
        .ok_or_else(|| missing("vmlinuz"))?;
    Ok(Kernel {
        suite,
        release,
        image,
        modules,
    })
}

/// The release and the directory of modules: `lib/modules/<release>`, below `usr` since trixie.
fn read_modules(directory: &Path) -> Result<(String, PathBuf), KernelError> {
    ["lib/modules", "usr/lib/modules"]
        .iter()
        .find_map(|place| entry_starting_with(&directory.join(place), ""))
        .and_then(|modules| Some((modules.file_name()?.to_str()?.to_owned(), modules)))
        .ok_or_else(|| KernelError::Incomplete {
            directory: directory.to_owned(),
            missing: "lib/modules/RELEASE",
        })
}

/// The first entry by name; none where the directory is not there.
fn entry_starting_with(directory: &Path, start: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?;
    let named = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(start))
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(named)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::TempDir::new().expect("a directory");
        for file in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, "").expect("a file");
        }
        directory
    }

    #[test]
    fn both_layouts_of_debian_are_read() {
        let old = laid_out(&[
            "boot/vmlinuz-6.1.0-50-amd64",
            "lib/modules/6.1.0-50-amd64/modules.dep",
        ]);
        let new = laid_out(&[
            "usr/lib/modules/7.2-amd64/vmlinuz",
            "usr/lib/modules/7.2-amd64/modules.dep",
        ]);
        let old_kernel = read(Suite::Bookworm, old.path()).expect("ready");
        assert_eq!(old_kernel.release, "6.1.0-50-amd64");
        assert_eq!(
            old_kernel.image,
            old.path().join("boot/vmlinuz-6.1.0-50-amd64")
        );
        let new_kernel = read(Suite::Sid, new.path()).expect("ready");
        assert_eq!(
            new_kernel.image,
            new.path().join("usr/lib/modules/7.2-amd64/vmlinuz")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        for (files, expected) in [
            (&[][..], "lib/modules/RELEASE"),
            (
                &["lib/modules/6/kernel/x.ko", "boot/vmlinuz-6"],
                "modules.dep",
            ),
            (&["lib/modules/6/modules.dep", "boot/config-6"], "vmlinuz"),
        ] {
            let error = read(Suite::Trixie, laid_out(files).path()).expect_err(expected);
            assert!(
                matches!(&error, KernelError::Incomplete { missing, .. } if *missing == expected),
                "{error}"
            );
        }
    }

    #[test]
    fn only_the_kernels_own_packages_are_followed() {
        assert!(is_part_of_kernel("linux-binary-7.2.13+deb14-amd64"));
        assert!(!is_part_of_kernel("linux-base") && !is_part_of_kernel("kmod"));
    }
}
