//! What else on this machine has a say: udev, the administrator's exclusions.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nvme_fabrics::Fabrics;

use super::{Check, Status};
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

/// Whether udev lets controllers outlive a loss: nvme-cli's rules for some arrays set `ctrl_loss_tmo` at each of their events.
pub(super) fn check_loss_time(host: &HostFiles) -> Check {
    const NAME: &str = "ctrl-loss-time";
    match find_rules_that_set(host, "{ctrl_loss_tmo}") {
        Ok(rules) if rules.is_empty() => Check::ok(NAME, "no rule of udev sets ctrl_loss_tmo"),
        Ok(rules) => {
            let rules: Vec<_> = rules.iter().map(|it| it.display().to_string()).collect();
            Check::bad(
                NAME,
                Status::Warn,
                format!(
                    "udev sets ctrl_loss_tmo at the events of controllers by {}",
                    rules.join(", ")
                ),
                "the node plugin sets it back for volumes that a map holds, which takes up to a second; to leave no \
                 such time, link the rule's name in /etc/udev/rules.d to /dev/null",
            )
        }
        Err((path, error)) => Check::bad(
            NAME,
            Status::Unknown,
            format!("cannot look at {}: {error}", path.display()),
            "run as root",
        ),
    }
}

/// The files in force among udev's rules that assign to an attribute.
fn find_rules_that_set(
    host: &HostFiles,
    attribute: &str,
) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut names = BTreeSet::new();
    for directory in RULE_DIRECTORIES {
        let resolved = host.resolve(directory);
        let path = resolved.map_err(|error| (host.root().join(directory), error))?;
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err((path, error)),
        };
        let found = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        names.extend(found.filter(|name| name.ends_with(".rules")));
    }
    let mut setting = Vec::new();
    for name in names {
        let Some(path) = find_rule(host, &name)? else {
            continue;
        };
        match fs::read(&path) {
            Ok(text) if sets(&String::from_utf8_lossy(&text), attribute) => setting.push(path),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((path, error)),
        }
    }
    Ok(setting)
}

/// Whether a rule assigns to an attribute: `=` and `:=` do, `==` and `!=` compare (udev(7)).
fn sets(rules: &str, attribute: &str) -> bool {
    let lines = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let mut behind = lines.flat_map(|line| line.split(attribute).skip(1));
    behind.any(|rest| {
        let rest = rest.trim_start();
        rest.starts_with(":=") || rest.starts_with('=') && !rest.starts_with("==")
    })
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

/// Whether every entry that says what is not to be connected is understood.
pub(super) fn check_exclusions(root: &Path) -> Check {
    const NAME: &str = "exclusions";
    let exclusions = Fabrics::at(root).exclusions();
    let ignored = exclusions.ignored().iter().map(ToString::to_string);
    let ignored: Vec<_> = ignored.collect();
    if ignored.is_empty() {
        return Check::ok(NAME, "no entry is malformed");
    }
    Check::bad(
        NAME,
        Status::Warn,
        format!("excludes nothing: {}", ignored.join("; ")),
        "make the file readable, or correct the line: exclusion = key=value;key=value",
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

    #[test]
    fn a_rule_that_sets_ctrl_loss_tmo_is_named_unless_it_only_asks_or_is_masked() {
        let root = machine();
        let check = || check_loss_time(&HostFiles::at(root.path()));
        let rule = |name: &str, text: &str| {
            let path = root.path().join("lib/udev/rules.d").join(name);
            fs::write(path, text).expect("rule");
        };
        rule(
            "60-asks.rules",
            "ATTR{ctrl_loss_tmo}==\"600\", ENV{A}=\"1\"\n",
        );
        rule("61-comment.rules", "# ATTR{ctrl_loss_tmo}=\"-1\"\n");
        assert_eq!(check().status, Status::Ok);
        rule(
            "71-array.rules",
            "ACTION!=\"remove\", SUBSYSTEM==\"nvme\", ATTR{ctrl_loss_tmo}=\"-1\"\n",
        );
        let found = check();
        assert_eq!(found.status, Status::Warn);
        assert!(
            found.finding.ends_with("71-array.rules"),
            "{}",
            found.finding
        );
        symlink(
            "/dev/null",
            root.path().join("etc/udev/rules.d/71-array.rules"),
        )
        .expect("mask");
        assert_eq!(check().status, Status::Ok);
    }
}
