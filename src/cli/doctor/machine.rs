//! What else on this machine has a say: udev, the administrator's exclusions.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nvme_fabrics::Fabrics;

use super::{Check, Status};
use crate::cli::exit::chain;
use crate::host::host_files::HostFiles;

/// nvme-cli's udev rule; each directory hides files of the same name in the later ones (udev(7)).
const RULE: &str = "70-nvmf-autoconnect.rules";
const RULE_DIRECTORIES: [&str; 5] = [
    "etc/udev/rules.d",
    "run/udev/rules.d",
    "usr/local/lib/udev/rules.d",
    "usr/lib/udev/rules.d",
    "lib/udev/rules.d",
];

/// Whether nvme-cli connects by itself when a discovery log changes.
pub(super) fn check_autoconnect(host: &HostFiles) -> Check {
    const NAME: &str = "autoconnect";
    match find_rule(host, RULE) {
        Ok(None) => Check::ok(NAME, "no other program connects on its own by udev"),
        Ok(Some(path)) => Check::bad(
            NAME,
            Status::Warn,
            format!("nvme-cli connects on its own by {}", path.display()),
            format!(
                "nothing, if you want that: both find what the other has connected; otherwise \
                    `ln -s /dev/null /etc/udev/rules.d/{RULE}`"
            ),
        ),
        Err((path, error)) => Check::bad(
            NAME,
            Status::Unknown,
            format!("cannot look at {}: {error}", path.display()),
            "run as root",
        ),
    }
}

/// The file of this name that is in force among udev's rules, unless it is empty or a link to `/dev/null`, which both switch
/// it off.
pub(super) fn find_rule(
    host: &HostFiles,
    name: &str,
) -> Result<Option<PathBuf>, (PathBuf, io::Error)> {
    for directory in RULE_DIRECTORIES {
        let resolved = host.resolve(directory);
        let path = resolved.map_err(|error| (host.root().join(directory), error))?;
        let path = path.join(name);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((path, error)),
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => return Ok(None),
            Ok(metadata) if metadata.is_symlink() && is_null(&path) => return Ok(None),
            Ok(_) => return Ok(Some(path)),
        }
    }
    Ok(None)
}

fn is_null(link: &Path) -> bool {
    fs::read_link(link).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// Whether every entry that tells this program to leave a controller alone is understood.
pub(super) fn check_exclusions(root: &Path) -> Check {
    const NAME: &str = "exclusions";
    let exclusions = match Fabrics::at(root).exclusions() {
        Ok(exclusions) => exclusions,
        Err(error) => {
            return Check::bad(NAME, Status::Fail, chain(&error), "make the file readable");
        }
    };
    let ignored = exclusions.ignored().iter().map(|line| {
        let path = line.path.display();
        format!("{path} line {}: {}", line.line, line.reason)
    });
    let ignored: Vec<_> = ignored.collect();
    if ignored.is_empty() {
        return Check::ok(NAME, "no entry is malformed");
    }
    Check::bad(
        NAME,
        Status::Warn,
        format!("excludes nothing: {}", ignored.join("; ")),
        "correct the line: exclusion = key=value;key=value",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::create_dir_all(root.path().join("etc/udev/rules.d")).expect("directory");
        fs::create_dir_all(root.path().join("lib/udev/rules.d")).expect("directory");
        root
    }

    #[test]
    fn an_exclusion_that_is_not_understood_is_named_with_its_line() {
        let root = machine();
        assert_eq!(check_exclusions(root.path()).status, Status::Ok);
        fs::create_dir(root.path().join("etc/nvme")).expect("directory");
        let list = "[exclusions]\nexclusion = colour=red\n";
        fs::write(root.path().join("etc/nvme/exclusions.conf"), list).expect("list");
        let check = check_exclusions(root.path());
        assert_eq!(check.status, Status::Warn);
        assert!(
            check.finding.contains("exclusions.conf line 2"),
            "{}",
            check.finding
        );
    }

    #[test]
    fn a_rule_counts_until_it_is_masked() {
        let root = machine();
        assert_eq!(
            check_autoconnect(&HostFiles::at(root.path())).status,
            Status::Ok
        );
        fs::write(
            root.path().join("lib/udev/rules.d").join(RULE),
            "ACTION==\"change\"\n",
        )
        .expect("rule");
        assert_eq!(
            check_autoconnect(&HostFiles::at(root.path())).status,
            Status::Warn
        );
        symlink("/dev/null", root.path().join("etc/udev/rules.d").join(RULE)).expect("mask");
        assert_eq!(
            check_autoconnect(&HostFiles::at(root.path())).status,
            Status::Ok
        );
    }
}
