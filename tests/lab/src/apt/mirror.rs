//! The Debian mirror that this machine uses, from its own apt sources (sources.list(5)): one-line and deb822 files.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Suites that only Debian's main archive has, so that their entry's address serves every suite.
const MAIN_ARCHIVE_SUITES: [&str; 10] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "oldoldstable",
];

/// Why no mirror was found.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The sources cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No entry is Debian's main archive.
    #[error(
        "no entry of {directory} is Debian's main archive: the lab takes its kernels from there; elsewhere give ready ones by LAB_KERNEL_DIR"
    )]
    None {
        /// apt's configuration directory.
        directory: PathBuf,
    },
}

/// The address of Debian's main archive in the sources below `directory` (`/etc/apt`).
pub(super) fn find(directory: &Path) -> Result<String, MirrorError> {
    for file in source_files(directory)? {
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(source) => return Err(MirrorError::Read { path: file, source }),
        };
        let deb822 = file
            .extension()
            .is_some_and(|extension| extension == "sources");
        if let Some(uri) = if deb822 {
            in_deb822(&text)
        } else {
            in_one_line(&text)
        } {
            return Ok(uri);
        }
    }
    Err(MirrorError::None {
        directory: directory.to_owned(),
    })
}

fn source_files(directory: &Path) -> Result<Vec<PathBuf>, MirrorError> {
    let parts = directory.join("sources.list.d");
    let mut files = Vec::new();
    match fs::read_dir(&parts) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(|source| MirrorError::Read {
                    path: parts.clone(),
                    source,
                })?;
                files.push(entry.path());
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => {
            return Err(MirrorError::Read {
                path: parts,
                source,
            });
        }
    }
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "sources" || extension == "list")
    });
    files.sort();
    files.insert(0, directory.join("sources.list"));
    Ok(files)
}

/// `deb [options] uri suite component…`
fn in_one_line(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let entry = line
            .trim()
            .strip_prefix("deb")?
            .strip_prefix(char::is_whitespace)?
            .trim_start();
        let entry = match entry.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => entry,
        };
        let mut words = entry.split_whitespace();
        let uri = words.next()?;
        is_main_archive(words.next()?, words).then(|| uri.to_owned())
    })
}

/// Stanzas of fields, separated by empty lines.
fn in_deb822(text: &str) -> Option<String> {
    let plain = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>();
    plain
        .split(|line| line.trim().is_empty())
        .find_map(|stanza| {
            let is_binary = field(stanza, "Types").any(|kind| kind == "deb");
            let is_on = !field(stanza, "Enabled").any(|word| word.eq_ignore_ascii_case("no"));
            let is_main = field(stanza, "Suites")
                .any(|suite| is_main_archive(suite, field(stanza, "Components")));
            let uri = field(stanza, "URIs").next()?;
            (is_binary && is_on && is_main).then(|| uri.to_owned())
        })
}

/// The words of a field, continuation lines included.
fn field<'a>(stanza: &'a [&'a str], name: &'a str) -> impl Iterator<Item = &'a str> {
    let mut inside = false;
    stanza.iter().flat_map(move |line| {
        let value = match line.split_once(':') {
            _ if line.starts_with([' ', '\t']) => *line,
            Some((key, value)) => {
                inside = key.eq_ignore_ascii_case(name);
                value
            }
            None => "",
        };
        if inside { value } else { "" }.split_whitespace()
    })
}

fn is_main_archive<'a>(suite: &str, mut components: impl Iterator<Item = &'a str>) -> bool {
    MAIN_ARCHIVE_SUITES.contains(&suite) && components.any(|component| component == "main")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_entries_with_options_comments_and_other_archives() {
        let text = "# deb http://old.example/debian trixie main\ndeb-src http://s.example/debian trixie main\n\
                    deb https://other.example/apt tool-trixie main\ndeb http://sec.example/debian trixie-security main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian trixie main contrib\n";
        assert_eq!(
            in_one_line(text).as_deref(),
            Some("http://m.example/debian")
        );
    }

    #[test]
    fn deb822_stanzas_with_several_suites_and_continuations() {
        let text = "Types: deb\nURIs: https://other.example/x\nSuites: nodistro\nComponents: main\n\n\
                    Types: deb deb-src\n# a comment\nURIs:\n http://m.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n";
        assert_eq!(in_deb822(text).as_deref(), Some("http://m.example/debian"));
    }

    #[test]
    fn disabled_stanzas_and_archives_without_main_do_not_count() {
        let off = "Types: deb\nURIs: http://m.example/debian\nSuites: sid\nComponents: main\nEnabled: no\n";
        let contrib =
            "Types: deb\nURIs: http://m.example/debian\nSuites: sid\nComponents: contrib\n";
        assert_eq!((in_deb822(off), in_deb822(contrib)), (None, None));
        assert_eq!(
            in_one_line("deb http://m.example/debian sid contrib\ndebian\ndeb\n"),
            None
        );
    }

    #[test]
    fn files_are_read_from_both_places_and_nothing_is_an_error_that_says_so() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let error = find(directory.path()).expect_err("no sources");
        assert!(matches!(error, MirrorError::None { .. }), "{error}");
        let parts = directory.path().join("sources.list.d");
        fs::create_dir(&parts).expect("a directory");
        fs::write(
            parts.join("a.list"),
            "deb http://m.example/debian stable main\n",
        )
        .expect("a file");
        fs::write(
            parts.join("a.list.save"),
            "deb http://old.example/debian stable main\n",
        )
        .expect("a file");
        assert_eq!(
            find(directory.path()).expect("found"),
            "http://m.example/debian"
        );
    }
}
