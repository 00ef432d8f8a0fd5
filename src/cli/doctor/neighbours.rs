//! The host's own programs that look for disks: udev, LVM, multipathd. Unless they are told otherwise, they take what
//! lies on a raw block volume for the host's.
//!
//! What they shall be told is in `deploy/host`. Known by its words, wherever the administrator has put them.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::machine::find_rule;
use super::{Check, Status};
use crate::host::host_files::HostFiles;

/// Ours, below a directory of udev's rules.
const RULE: &str = "59-nvmeof-csi.rules";
/// Where udev keeps what it knows: it is there while udev runs.
const UDEV: &str = "run/udev";
/// Directories of programs, with and without a merged `/usr`.
const PROGRAMS: [&str; 2] = ["usr/sbin", "sbin"];
/// LVM reads the second one on top of the first (lvm.conf(5)).
const LVM: [&str; 2] = ["etc/lvm/lvm.conf", "etc/lvm/lvmlocal.conf"];
/// What our filter rejects: the links that our rule makes to disks, and maps, those that were let go as well.
const REJECTED: [&str; 3] = ["/dev/nvmeof-csi/", "/dev/mapper/nvmeof-", "let-go"];
/// How the names of volumes begin, or may: of their disks, their maps and the links to both.
const VOLUMES: [&str; 6] = [
    "/dev/nvme",
    "/dev/ng",
    "/dev/dm-",
    "/dev/mapper/nvmeof-",
    "/dev/disk/",
    "/dev/block/",
];
const MULTIPATH: &str = "etc/multipath.conf";
const MULTIPATH_DIRECTORY: &str = "etc/multipath/conf.d";
/// The protocol of a disk over TCP, as multipathd calls it.
const PROTOCOL: &str = "\"nvme:tcp\"";

/// Whether they leave volumes alone.
pub(super) fn check(host: &HostFiles) -> [Check; 3] {
    [check_udev(host), check_lvm(host), check_multipathd(host)]
}

fn check_udev(host: &HostFiles) -> Check {
    const NAME: &str = "udev";
    match exists(host, UDEV) {
        Ok(false) => return Check::ok(NAME, "does not run here"),
        Ok(true) => {}
        Err((path, error)) => return unknown(NAME, &path, &error),
    }
    match find_rule(host, RULE) {
        Ok(Some(path)) => Check::ok(NAME, format!("{} keeps it from volumes", path.display())),
        Ok(None) => Check::bad(
            NAME,
            Status::Warn,
            format!(
                "has no {RULE}: LVM and md take what lies on a raw block volume for the host's"
            ),
            format!(
                "copy deploy/host/udev/{RULE} to /etc/udev/rules.d/, and `udevadm control --reload`"
            ),
        ),
        Err((path, error)) => unknown(NAME, &path, &error),
    }
}

fn check_lvm(host: &HostFiles) -> Check {
    const NAME: &str = "lvm";
    match is_installed(host, "lvm") {
        Ok(true) => {}
        Ok(false) => return Check::ok(NAME, "is not installed"),
        Err((path, error)) => return unknown(NAME, &path, &error),
    }
    let mut filter = None;
    for name in LVM {
        match read(host, name) {
            Ok(text) => filter = find_filter(&text).or(filter),
            Err((path, error)) => return unknown(NAME, &path, &error),
        }
    }
    let patterns = filter.unwrap_or_default();
    let rejects = |path| {
        let is_its = |pattern: &String| pattern.starts_with('r') && pattern.contains(path);
        patterns.iter().any(is_its)
    };
    // A device with several names is accepted if an `a` is the first to match any of them (lvm.conf(5)).
    let accepting = patterns.iter().find(|pattern| may_accept_volumes(pattern));
    if !REJECTED.iter().all(rejects) {
        return Check::bad(
            NAME,
            Status::Warn,
            "its global_filter does not reject volumes: it looks into raw block volumes, and a look at a held one \
             never ends",
            "put the patterns of deploy/host/lvm/nvmeof-csi.conf into /etc/lvm/lvm.conf or /etc/lvm/lvmlocal.conf",
        );
    }
    match accepting {
        Some(pattern) => Check::bad(
            NAME,
            Status::Warn,
            format!(
                "its global_filter may accept volumes by {pattern:?}: a disk is accepted as soon as one of its names is"
            ),
            "leave that pattern out, for what no pattern matches is accepted; or let it begin with ^ and the path of \
             the host's own disks",
        ),
        None => Check::ok(NAME, "its global_filter rejects volumes"),
    }
}

/// Whether a pattern of LVM's filter accepts, and may match a name of a volume. Judged by what it begins with: one
/// that is anchored to another path matches none.
fn may_accept_volumes(pattern: &str) -> bool {
    let Some(pattern) = pattern.strip_prefix('a') else {
        return false;
    };
    let delimiters = |c: char| c.is_ascii_punctuation();
    let Some(body) = pattern.strip_prefix(delimiters) else {
        return true;
    };
    let Some(path) = body.strip_prefix('^') else {
        return true;
    };
    let is_literal = |c: char| c.is_ascii_alphanumeric() || "/-_:".contains(c);
    let end = path.find(|c| !is_literal(c)).unwrap_or(path.len());
    let (mut literal, rest) = path.split_at(end);
    if rest.starts_with(['*', '?', '{']) {
        // The last character need not be there.
        literal = &literal[..literal.len().saturating_sub(1)];
    }
    // What comes after an alternative is not anchored.
    rest.trim_end_matches(delimiters).contains('|')
        || VOLUMES
            .iter()
            .any(|name| name.starts_with(literal) || literal.starts_with(name))
}

fn check_multipathd(host: &HostFiles) -> Check {
    const NAME: &str = "multipathd";
    let found = is_installed(host, "multipathd").and_then(|installed| {
        let files = configuration(host)?;
        let texts: Result<Vec<String>, _> = files.iter().map(|path| read(host, path)).collect();
        Ok((installed, texts?))
    });
    match found {
        Err((path, error)) => unknown(NAME, &path, &error),
        Ok((false, _)) => Check::ok(NAME, "is not installed"),
        Ok((true, texts)) if texts.iter().any(|text| says(text, PROTOCOL)) => {
            Check::ok(NAME, "its configuration speaks of disks over TCP")
        }
        Ok((true, _)) => Check::bad(
            NAME,
            Status::Warn,
            "nothing keeps it from the disks of volumes where nvme_core.multipath is off",
            format!(
                "copy deploy/host/multipath/nvmeof-csi.conf to /{MULTIPATH_DIRECTORY}/, and `multipathd reconfigure`"
            ),
        ),
    }
}

fn unknown(name: &'static str, path: &Path, error: &io::Error) -> Check {
    let finding = format!("cannot look at {}: {error}", path.display());
    Check::bad(name, Status::Unknown, finding, "run as root")
}

/// What could not be looked at, and why.
type Unseen = (PathBuf, io::Error);

fn is_installed(host: &HostFiles, program: &str) -> Result<bool, Unseen> {
    for directory in PROGRAMS {
        if exists(host, &format!("{directory}/{program}"))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn exists(host: &HostFiles, name: &str) -> Result<bool, Unseen> {
    let path = resolve(host, name)?;
    let exists = path.try_exists();
    exists.map_err(|error| (path, error))
}

/// The text of a file, and none of one that is not there.
fn read(host: &HostFiles, name: &str) -> Result<String, Unseen> {
    let path = resolve(host, name)?;
    match fs::read(&path) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err((path, error)),
    }
}

fn resolve(host: &HostFiles, name: &str) -> Result<PathBuf, Unseen> {
    let resolved = host.resolve(name);
    resolved.map_err(|error| (host.root().join(name), error))
}

/// multipathd's main file and those of its directory that it reads.
fn configuration(host: &HostFiles) -> Result<Vec<String>, Unseen> {
    let mut files = vec![MULTIPATH.to_owned()];
    let directory = resolve(host, MULTIPATH_DIRECTORY)?;
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(files),
        entries => entries.map_err(|error| (directory.clone(), error))?,
    };
    for entry in entries {
        let name = entry.map_err(|error| (directory.clone(), error))?;
        let name = name.file_name().to_string_lossy().into_owned();
        if name.ends_with(".conf") {
            files.push(format!("{MULTIPATH_DIRECTORY}/{name}"));
        }
    }
    Ok(files)
}

/// Whether a line that is no comment has these words.
fn says(text: &str, words: &str) -> bool {
    lines(text).any(|line| line.contains(words))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or(line))
}

/// The patterns of `global_filter`, the last one that is given.
fn find_filter(text: &str) -> Option<Vec<String>> {
    let text: Vec<&str> = lines(text).collect();
    let text = text.join("\n");
    let (_, value) = text.rsplit_once("global_filter")?;
    let value = value.trim_start().strip_prefix('=')?;
    // A pattern may have brackets of its own.
    let mut pieces = value.split('"');
    let mut patterns = Vec::new();
    while let Some(between) = pieces.next()
        && !between.contains(']')
        && let Some(pattern) = pieces.next()
    {
        patterns.push(pattern.to_owned());
    }
    Some(patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = include_str!("../../../deploy/host/lvm/nvmeof-csi.conf");

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for path in ["usr/sbin/lvm", "usr/sbin/multipathd", "run/udev/control"] {
            put(root.path(), path, "");
        }
        root
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    fn statuses(root: &Path) -> [Status; 3] {
        check(&HostFiles::at(root)).map(|check| check.status)
    }

    #[test]
    fn a_comment_in_another_encoding_keeps_no_line_from_being_read() {
        let root = root();
        let path = root.path().join("etc/lvm/lvm.conf");
        put(root.path(), "etc/lvm/lvm.conf", "");
        let latin = [b"# f\xfcr uns\n", OURS.as_bytes()].concat();
        fs::write(path, latin).expect("a file");
        assert_eq!(check_lvm(&HostFiles::at(root.path())).status, Status::Ok);
    }

    #[test]
    fn a_host_without_them_needs_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(statuses(root.path()), [Status::Ok; 3]);
    }

    #[test]
    fn each_piece_is_asked_for_until_it_is_there() {
        let root = root();
        assert_eq!(statuses(root.path()), [Status::Warn; 3]);
        put(root.path(), "etc/udev/rules.d/59-nvmeof-csi.rules", "rule");
        assert_eq!(
            statuses(root.path()),
            [Status::Ok, Status::Warn, Status::Warn]
        );
        put(root.path(), "etc/lvm/lvmlocal.conf", OURS);
        assert_eq!(
            statuses(root.path()),
            [Status::Ok, Status::Ok, Status::Warn]
        );
        let ours = include_str!("../../../deploy/host/multipath/nvmeof-csi.conf");
        put(root.path(), "etc/multipath/conf.d/nvmeof-csi.conf", ours);
        assert_eq!(statuses(root.path()), [Status::Ok; 3]);
    }

    #[test]
    fn a_filter_that_accepts_everything_rejects_nothing() {
        let root = root();
        let text = OURS.replace(" ]", ", \"a|.*|\" ]");
        put(root.path(), "etc/lvm/lvm.conf", &text);
        let check = check_lvm(&HostFiles::at(root.path()));
        assert_eq!(check.status, Status::Warn);
        assert!(check.finding.contains("a|.*|"), "{check:?}");
    }

    #[test]
    fn patterns_for_the_hosts_own_disks_accept_no_volume() {
        for own in ["a|^/dev/sda|", "a/^/dev/vd[a-z]$/", "a|^/dev/mapper/root$|"] {
            assert!(!may_accept_volumes(own), "{own}");
            let root = root();
            let text = OURS.replace(" ]", &format!(", \"{own}\" ]"));
            put(root.path(), "etc/lvm/lvm.conf", &text);
            assert_eq!(
                check_lvm(&HostFiles::at(root.path())).status,
                Status::Ok,
                "{own}"
            );
        }
        for wide in [
            "a|.*|",
            "a|/dev/sda|",
            "a|^/dev/|",
            "a|^/dev/n*|",
            "a|^/dev/nvme0n1|",
            "a|^/dev/dm-[0-9]|",
            "a|^/dev/mapper/nvmeof-|",
            "a#^/dev/sda|/dev/nvme0n1#",
            "a",
            "a|",
        ] {
            assert!(may_accept_volumes(wide), "{wide}");
        }
        assert!(!may_accept_volumes("r|.*|"));
    }

    #[test]
    fn what_is_commented_out_does_not_count() {
        let root = root();
        let commented: Vec<String> = OURS.lines().map(|line| format!("# {line}")).collect();
        put(root.path(), "etc/lvm/lvm.conf", &commented.join("\n"));
        assert_eq!(check_lvm(&HostFiles::at(root.path())).status, Status::Warn);
        put(
            root.path(),
            "etc/multipath.conf",
            "# protocol \"nvme:tcp\"\n",
        );
        assert_eq!(
            check_multipathd(&HostFiles::at(root.path())).status,
            Status::Warn
        );
    }

    #[test]
    fn the_local_file_has_the_last_word() {
        let root = root();
        put(root.path(), "etc/lvm/lvm.conf", OURS);
        put(
            root.path(),
            "etc/lvm/lvmlocal.conf",
            "devices { global_filter = [ \"r|/dev/sdz|\" ] }",
        );
        assert_eq!(check_lvm(&HostFiles::at(root.path())).status, Status::Warn);
    }

    #[test]
    fn filters_that_are_not_well_formed_are_none() {
        for text in [
            "",
            "global_filter",
            "global_filter =",
            "filter = [ \"a|x|\" ]",
        ] {
            assert_eq!(
                find_filter(text).unwrap_or_default(),
                Vec::<String>::new(),
                "{text}"
            );
        }
    }
}
