//! `cargo lab capture`: fixtures from the real kernels.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use kernel_lab::protocol::{AGAIN, Line};
use kernel_lab::{Boot, Kernel, available, place, programs};

use super::{Outcome, setup};

/// All recipes of one boot together, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(600);

/// Capture the fixtures anew from the kernels, below fixtures/
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// bookworm, trixie, sid, with commas between them, or all
    #[arg(long, default_value = "all")]
    kernels: String,
}

/// One boot: the recipes that share a machine.
struct Profile {
    name: &'static str,
    append: &'static [&'static str],
    pcie_namespaces_mib: &'static [u32],
}

const PROFILES: [Profile; 4] = [
    Profile {
        name: "fabrics",
        append: &[],
        pcie_namespaces_mib: &[],
    },
    Profile {
        name: "multipath-off",
        append: &["nvme_core.multipath=N"],
        pcie_namespaces_mib: &[],
    },
    Profile {
        name: "pcie",
        append: &[],
        pcie_namespaces_mib: &[16],
    },
    Profile {
        name: "maps",
        append: &[],
        pcie_namespaces_mib: &[],
    },
];

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let suites = setup::suites(Some(&arguments.kernels))?;
    setup::prepare(&suites)?;
    for suite in suites {
        let kernel = available(suite)?;
        for profile in &PROFILES {
            capture(&kernel, profile)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn capture(kernel: &Kernel, profile: &Profile) -> Result<(), Box<dyn Error>> {
    let name = profile.name;
    eprintln!("lab: {}: capturing {name}", kernel.suite);
    let mut boot = Boot::new(kernel, env::current_exe()?);
    boot.append = vec![
        format!("lab.capture={name}"),
        format!("lab.suite={}", kernel.suite),
    ];
    boot.append
        .extend(profile.append.iter().map(|word| (*word).to_owned()));
    boot.pcie_namespaces_mib = profile.pcie_namespaces_mib.to_vec();
    boot.files = programs::program("mke2fs", "/sbin/mke2fs")?;
    boot.files
        .extend(programs::program("dmsetup", "/sbin/dmsetup")?);
    boot.deadline = DEADLINE;
    let mut received = Received::default();
    let exit = boot.run(&mut |line| received.hear(line))?;
    if exit.status != 0 {
        return Err(format!(
            "{name} on {} ended with {}; its console is in {}",
            kernel.suite,
            exit.status,
            exit.log.display()
        )
        .into());
    }
    received.write_below(&place::workspace().join("fixtures"))?;
    Ok(())
}

/// The files that a guest has sent, kept until it has ended well.
#[derive(Debug, Default)]
struct Received {
    files: Vec<(PathBuf, Vec<u8>)>,
    open: Option<(PathBuf, Vec<u8>)>,
}

impl Received {
    fn hear(&mut self, line: &str) {
        match Line::parse(line) {
            Line::FileBegin(path) => self.open = Some((path.into(), Vec::new())),
            Line::FileData(piece) => {
                if let Some((_, content)) = &mut self.open {
                    content.extend(piece);
                }
            }
            Line::FileEnd => self.files.extend(self.open.take()),
            Line::Text(AGAIN) => *self = Self::default(),
            Line::Text(text) => eprintln!("lab: guest: {text}"),
            Line::Exit(_) => {}
        }
    }

    fn write_below(&self, directory: &Path) -> io::Result<()> {
        for (path, content) in &self.files {
            if !path
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
            {
                return Err(io::Error::other(format!(
                    "the guest sent {path:?}, which is not relative and plain"
                )));
            }
            let full = directory.join(path);
            let parent = full
                .parent()
                .expect("a path joined to a directory has a parent");
            fs::create_dir_all(parent)?;
            fs::write(&full, content)?;
            eprintln!("lab: {} ({} bytes)", full.display(), content.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(lines: &[&str]) -> Received {
        let mut received = Received::default();
        for line in lines {
            received.hear(line);
        }
        received
    }

    #[test]
    fn complete_files_are_written_and_an_incomplete_one_is_not() {
        let received = received(&[
            "lab:file a/b.tree",
            "lab:data 6869",
            "lab:data 0a",
            "lab:end",
            "lab:file c",
            "lab:data 00",
        ]);
        let directory = tempfile::TempDir::new().expect("a directory");
        received.write_below(directory.path()).expect("writes");
        assert_eq!(
            fs::read(directory.path().join("a/b.tree")).expect("a file"),
            b"hi\n"
        );
        assert!(!directory.path().join("c").exists());
    }

    #[test]
    fn a_repeated_boot_starts_from_nothing() {
        assert!(received(&["lab:file a", "lab:end", AGAIN]).files.is_empty());
    }

    #[test]
    fn a_path_that_leaves_the_fixtures_is_refused() {
        let directory = tempfile::TempDir::new().expect("a directory");
        for path in ["lab:file ../x", "lab:file /x"] {
            assert!(
                received(&[path, "lab:end"])
                    .write_below(directory.path())
                    .is_err(),
                "{path}"
            );
        }
    }
}
