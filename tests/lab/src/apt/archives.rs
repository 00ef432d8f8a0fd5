//! The archives of packages as `apt-get --print-uris download` names them, and the directory they are downloaded into.
//!
//! apt goes on with half a file and keeps one of the right size as it is; whether that holds the right bytes is checked
//! here.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::Command;

use crate::command::{self, CommandError};

/// One package's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archive {
    /// The name of its file.
    pub(super) file: String,
    /// How large it is, in bytes.
    pub(super) size: u64,
    /// Its SHA-256 in hexadecimal, where the package lists have that one.
    sha256: Option<String>,
}

impl Archive {
    /// Reads `'uri' file size SHA256:hash` for each package; other lines are apt's talk.
    pub(super) fn parse(uris: &str) -> Vec<Self> {
        let lines = uris.lines().filter(|line| line.starts_with('\''));
        lines.filter_map(Self::parse_line).collect()
    }

    fn parse_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(1);
        Some(Self {
            file: words.next()?.to_owned(),
            size: words.next()?.parse().ok()?,
            sha256: words
                .find_map(|hash| hash.strip_prefix("SHA256:"))
                .map(str::to_owned),
        })
    }
}

/// Removes archives that are as long as they should be, and hold something else: an earlier run was cut off before they
/// were written out.
pub(super) fn remove_damaged(directory: &Path, archives: &[Archive]) -> Result<(), CommandError> {
    for archive in archives {
        let path = directory.join(&archive.file);
        if path.metadata().map_or(0, |file| file.len()) != archive.size {
            continue;
        }
        let sum = command::output(Command::new("sha256sum").arg("--binary").arg(&path))?;
        let sum = String::from_utf8_lossy(&sum);
        if sum.split_whitespace().next() != archive.sha256.as_deref() {
            eprintln!("lab: {} is damaged: downloading it again", archive.file);
            // What cannot be removed cannot be unpacked either, and is told then.
            let _refused = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// How many bytes of archives the directory holds.
///
/// # Errors
/// When it cannot be listed.
pub(super) fn bytes_in(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        bytes += match entry?.metadata() {
            Ok(file) => file.len(),
            // apt renames what it works on.
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the three bytes `abc`.
    const SUM: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn archive(file: &str) -> Archive {
        Archive {
            file: file.to_owned(),
            size: 3,
            sha256: Some(SUM.to_owned()),
        }
    }

    #[test]
    fn names_sizes_and_hashes_are_read_and_other_lines_ignored() {
        let uris = format!(
            "Reading package lists...\n'http://m/pool/a.deb' a.deb 3 SHA256:{SUM}\n'http://m/pool/b.deb' b.deb 20 SHA512:x\n"
        );
        let second = Archive {
            file: "b.deb".to_owned(),
            size: 20,
            sha256: None,
        };
        assert_eq!(Archive::parse(&uris), [archive("a.deb"), second]);
        for garbage in ["", "'", "' '", "'x' a.deb", "'x' a.deb many"] {
            assert_eq!(Archive::parse(garbage), [], "{garbage:?}");
        }
    }

    #[test]
    fn whole_and_half_archives_are_kept_and_damaged_ones_are_not() {
        let directory = tempfile::TempDir::new().expect("a directory");
        for (name, content) in [("whole", "abc"), ("half", "ab"), ("damaged", "abd")] {
            fs::write(directory.path().join(name), content).expect("a file");
        }
        let archives = ["whole", "half", "damaged", "absent"].map(archive);
        remove_damaged(directory.path(), &archives).expect("sums");
        let there = |name: &str| directory.path().join(name).exists();
        assert!(there("whole") && there("half") && !there("damaged"));
        assert_eq!(bytes_in(directory.path()).expect("a list"), 5);
    }
}
