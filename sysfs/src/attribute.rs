//! Bounded reads below one directory: the only file that opens anything.
//!
//! Invariant: what does not exist, or not any more, is `None`; every other failure is an error with its path.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::entry::Entry;
use crate::error::ScanError;
use crate::filling::without_filling;

/// Longest attribute: sysfs hands each one out through one page (Documentation/filesystems/sysfs.rst), and the largest
/// pages that Linux has by default are of 64 KiB (arm64, powerpc).
const LIMIT: usize = 64 * 1024;

/// Room for the usual attribute, on the stack.
const USUAL: usize = 4096;

/// Room for the entries that one system call returns, about two hundred and fifty. On the stack: a larger block of
/// the heap, taken and given back for each of a thousand directories by many threads at once, makes the heap fall apart.
const LIST_BUFFER: usize = 8 * 1024;

/// An open directory. Its files stay those of this very device even if another one takes over the name.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory by its path.
    pub(crate) fn open(path: PathBuf) -> Result<Option<Self>, ScanError> {
        let fd = rustix::fs::openat(CWD, &path, directory_flags(), Mode::empty());
        Ok(opened(fd, &path)?.map(|fd| Self { fd, path }))
    }

    /// Opens a directory in this one, symbolic links followed.
    pub(crate) fn directory(&self, name: &str) -> Result<Option<Self>, ScanError> {
        let path = self.path.join(name);
        let fd = rustix::fs::openat(&self.fd, name, directory_flags(), Mode::empty());
        Ok(opened(fd, &path)?.map(|fd| Self { fd, path }))
    }

    /// The number of this directory, which the kernel never gives to another one of sysfs; `None` if it cannot be asked.
    pub(crate) fn inode(&self) -> Option<u64> {
        let stat = rustix::fs::fstat(&self.fd).ok()?;
        Some(stat.st_ino)
    }

    /// What `select` makes of the names in this directory, in the kernel's order. A directory that is gone has none.
    pub(crate) fn entries<T>(&self, select: fn(&str) -> Option<T>) -> Result<Vec<T>, ScanError> {
        let mut buffer = [MaybeUninit::uninit(); LIST_BUFFER];
        let mut listing = RawDir::new(&self.fd, &mut buffer);
        let mut found = Vec::new();
        while let Some(entry) = listing.next() {
            match entry {
                // A name that is not UTF-8 is none of the kernel's.
                Ok(entry) => match entry.file_name().to_str() {
                    Ok("." | "..") | Err(_) => {}
                    Ok(name) => found.extend(select(name)),
                },
                Err(error) if is_gone(error) => break,
                Err(error) => {
                    return Err(ScanError::List {
                        path: self.path.clone(),
                        source: error.into(),
                    });
                }
            }
        }
        Ok(found)
    }

    /// The driver's entries in this directory by number.
    pub(crate) fn nvme_entries(&self) -> Result<Vec<Entry>, ScanError> {
        let mut entries = self.entries(Entry::parse)?;
        entries.sort_unstable();
        Ok(entries)
    }

    /// The text of an attribute without the white space around it; `None` too if it is empty or one of the words that
    /// the kernel prints in place of a string it does not have.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, ScanError> {
        let bytes = self.bytes(name)?;
        let text = bytes.map(|bytes| self.utf8(name, bytes)).transpose()?;
        Ok(text.and_then(|text| known(&text).map(str::to_owned)))
    }

    /// An attribute that is one of the kernel's words.
    pub(crate) fn word<T: for<'a> From<&'a str>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, ScanError> {
        Ok(self.text(name)?.map(|text| T::from(&text)))
    }

    /// An attribute read by `parse`, which knows only values that keep to `rule`.
    pub(crate) fn value<T>(
        &self,
        name: &str,
        rule: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ScanError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let value = parse(&text);
        value
            .map(Some)
            .ok_or_else(|| self.invalid(name, text, rule))
    }

    /// An attribute that every entry of its kind has, with a value in it. It is read last, because it proves that the
    /// entry was still there when the others were read; `None` if it is gone.
    pub(crate) fn proof<T>(
        &self,
        name: &str,
        rule: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ScanError> {
        let Some(bytes) = self.bytes(name)? else {
            return Ok(None);
        };
        let text = self.utf8(name, bytes)?;
        let value = known(&text).and_then(parse);
        value
            .map(Some)
            .ok_or_else(|| self.invalid(name, text, rule))
    }

    /// A string that comes from a device's firmware or from whoever connected: what is not UTF-8 in it is replaced,
    /// because a careless drive must not hide all the others.
    pub(crate) fn foreign_text(&self, name: &str) -> Result<Option<String>, ScanError> {
        let line = self.line(name)?;
        Ok(line.and_then(|line| known(&line).map(str::to_owned)))
    }

    /// The same as the kernel prints it: only the line break is taken off.
    pub(crate) fn line(&self, name: &str) -> Result<Option<String>, ScanError> {
        let bytes = self.bytes(name)?;
        Ok(bytes.map(|bytes| {
            let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            String::from_utf8_lossy(line).into_owned()
        }))
    }

    /// [`Directory::line`] of an attribute that every entry of its kind has, as [`Directory::proof`].
    pub(crate) fn proof_line(
        &self,
        name: &str,
        rule: &'static str,
    ) -> Result<Option<String>, ScanError> {
        match self.line(name)? {
            Some(line) if line.is_empty() => Err(self.invalid(name, line, rule)),
            line => Ok(line),
        }
    }

    /// The error for an attribute that must be there.
    pub(crate) fn missing(&self, name: &str) -> ScanError {
        ScanError::Missing {
            path: self.path.join(name),
        }
    }

    fn invalid(&self, name: &str, value: String, rule: &'static str) -> ScanError {
        ScanError::Invalid {
            path: self.path.join(name),
            value,
            rule,
        }
    }

    fn utf8(&self, name: &str, bytes: Vec<u8>) -> Result<String, ScanError> {
        String::from_utf8(bytes).map_err(|_| ScanError::NotUtf8 {
            path: self.path.join(name),
        })
    }

    /// The bytes of a file.
    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, ScanError> {
        // Without NONBLOCK a pipe in place of an attribute would block for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let path = || self.path.join(name);
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(error) if is_gone(error) => return Ok(None),
            Err(error) => {
                return Err(ScanError::Open {
                    path: path(),
                    source: error.into(),
                });
            }
        };
        match read_to_end(&fd) {
            Ok(bytes) if bytes.len() > LIMIT => Err(ScanError::TooLong {
                path: path(),
                limit: LIMIT,
            }),
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_gone(error) => Ok(None),
            Err(error) => Err(ScanError::Read {
                path: path(),
                source: error.into(),
            }),
        }
    }
}

/// All bytes, or some more than allowed, [`without_filling`].
fn read_to_end(fd: &OwnedFd) -> Result<Vec<u8>, Errno> {
    // One call brings all of an attribute that is shorter than the buffer.
    let mut buffer = [0; USUAL];
    let mut length = rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut buffer))?;
    let mut bytes = buffer[..length].to_vec();
    while length == USUAL && bytes.len() <= LIMIT {
        length = rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut buffer))?;
        bytes.extend_from_slice(&buffer[..length]);
    }
    bytes.truncate(without_filling(&bytes).len());
    Ok(bytes)
}

/// What a text says, if it says anything: sysfs prints `(efault)` or `(null)` for the strings of a controller that is
/// not identified yet.
fn known(text: &str) -> Option<&str> {
    let text = text.trim();
    (!matches!(text, "" | "(efault)" | "(null)")).then_some(text)
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn opened(result: Result<OwnedFd, Errno>, path: &Path) -> Result<Option<OwnedFd>, ScanError> {
    match result {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if is_gone(error) => Ok(None),
        Err(error) => Err(ScanError::Open {
            path: path.to_owned(),
            source: io::Error::from(error),
        }),
    }
}

/// An open fails with `ENOENT`, a read of an open file with `ENODEV` once the device is gone (fs/kernfs/file.c).
fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NODEV)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::device::decimal;

    fn directory() -> (TempDir, Directory) {
        let temp = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(temp.path().to_owned())
            .expect("opened")
            .expect("there");
        (temp, directory)
    }

    #[test]
    fn a_text_is_trimmed_and_the_words_for_nothing_are_nothing() {
        let (temp, directory) = directory();
        for (content, expected) in [
            ("Linux                                   \n", Some("Linux")),
            ("", None),
            ("\n", None),
            ("(efault)\n", None),
            ("(null)\n", None),
        ] {
            fs::write(temp.path().join("model"), content).expect("written");
            assert_eq!(directory.text("model").expect("read").as_deref(), expected);
            assert_eq!(
                directory.foreign_text("model").expect("read").as_deref(),
                expected
            );
        }
        assert_eq!(
            directory.text("none").expect("a missing file is no error"),
            None
        );
    }

    #[test]
    fn the_largest_page_is_read_and_one_byte_more_is_an_error_that_names_path_and_limit() {
        let (temp, directory) = directory();
        for length in [4095, 4096, 4097, 65_536] {
            fs::write(temp.path().join("page"), "x".repeat(length)).expect("written");
            let text = directory.text("page").expect("read");
            assert_eq!(text.map(|text| text.len()), Some(length));
        }
        for length in [65_537, 1 << 20] {
            fs::write(temp.path().join("page"), "x".repeat(length)).expect("written");
            let error = directory.text("page").expect_err("too long");
            assert_eq!(
                error.to_string(),
                format!(
                    "{} is longer than 65536 bytes",
                    temp.path().join("page").display()
                )
            );
        }
    }

    #[test]
    fn a_page_filled_up_with_nul_bytes_says_what_stands_before_them() {
        let (temp, directory) = directory();
        for page in [4096, 16_384, 65_536] {
            let mut content = b"live\n".to_vec();
            content.resize(page, 0);
            fs::write(temp.path().join("state"), content).expect("written");
            for text in [directory.text("state"), directory.line("state")] {
                assert_eq!(text.expect("read").as_deref(), Some("live"));
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_or_replaced_where_a_device_wrote_them() {
        let (temp, directory) = directory();
        fs::write(temp.path().join("serial"), b"\xff1\n").expect("written");
        assert!(
            matches!(directory.text("serial"), Err(ScanError::NotUtf8 { path }) if path.ends_with("serial"))
        );
        assert!(matches!(
            directory.proof("serial", "a number", decimal::<u32>),
            Err(ScanError::NotUtf8 { .. })
        ));
        assert_eq!(
            directory.foreign_text("serial").expect("read").as_deref(),
            Some("\u{fffd}1")
        );
    }

    #[test]
    fn a_value_against_the_rule_is_an_error_that_quotes_it() {
        let (temp, directory) = directory();
        fs::write(temp.path().join("cntlid"), "seven\n").expect("written");
        let error = directory
            .value("cntlid", "a decimal number", decimal::<u16>)
            .expect_err("not a number");
        let path = temp.path().join("cntlid");
        assert_eq!(error.path(), path);
        assert_eq!(
            error.to_string(),
            format!("{} is \"seven\", expected a decimal number", path.display())
        );
    }

    #[test]
    fn a_proof_must_not_be_empty_and_is_none_when_it_is_gone() {
        let (temp, directory) = directory();
        assert!(matches!(
            directory.proof("size", "a number", decimal::<u64>),
            Ok(None)
        ));
        assert!(matches!(directory.proof_line("size", "a number"), Ok(None)));
        fs::write(temp.path().join("size"), "\n").expect("written");
        assert!(matches!(
            directory.proof("size", "a number", decimal::<u64>),
            Err(ScanError::Invalid { .. })
        ));
        assert!(matches!(
            directory.proof_line("size", "a number"),
            Err(ScanError::Invalid { .. })
        ));
    }

    #[test]
    fn a_directory_or_a_loop_of_links_in_place_of_a_file_is_an_error() {
        let (temp, directory) = directory();
        fs::create_dir(temp.path().join("state")).expect("made");
        assert!(
            matches!(directory.text("state"), Err(ScanError::Read { path, .. }) if path.ends_with("state"))
        );
        symlink("loop", temp.path().join("loop")).expect("linked");
        assert!(
            matches!(directory.text("loop"), Err(ScanError::Open { path, .. }) if path.ends_with("loop"))
        );
        assert!(
            matches!(directory.directory("loop"), Err(ScanError::Open { path, .. }) if path.ends_with("loop"))
        );
    }

    #[test]
    fn a_pipe_in_place_of_a_file_does_not_block() {
        let (temp, directory) = directory();
        rustix::fs::mkfifoat(CWD, temp.path().join("state"), Mode::RUSR).expect("made");
        let text = directory.text("state");
        assert_eq!(text.expect("a pipe without a writer is empty"), None);
    }

    #[test]
    fn a_file_in_place_of_a_directory_is_an_error_and_a_dangling_link_is_gone() {
        let (temp, directory) = directory();
        fs::write(temp.path().join("nvme0"), "").expect("written");
        assert!(matches!(
            directory.directory("nvme0"),
            Err(ScanError::Open { .. })
        ));
        symlink("../gone/nvme1", temp.path().join("nvme1")).expect("linked");
        assert!(matches!(directory.directory("nvme1"), Ok(None)));
    }

    #[test]
    fn entries_are_ordered_by_number_and_the_rest_is_passed_over() {
        let (temp, directory) = directory();
        for name in ["nvme10", "nvme2", "power", "ng0n1"] {
            fs::create_dir(temp.path().join(name)).expect("made");
        }
        let entries = directory.nvme_entries().expect("listed");
        assert_eq!(
            entries.iter().map(Entry::to_string).collect::<Vec<_>>(),
            ["nvme2", "nvme10"]
        );
    }

    #[test]
    fn an_open_directory_does_not_see_what_takes_over_its_name() {
        let (temp, directory) = directory();
        let path = temp.path().join("nvme0");
        fs::create_dir(&path).expect("made");
        let first = directory
            .directory("nvme0")
            .expect("opened")
            .expect("there");
        fs::remove_dir(&path).expect("removed");
        fs::create_dir(&path).expect("made again");
        fs::write(path.join("state"), "live\n").expect("written");
        assert_eq!(first.text("state").expect("gone"), None);
        assert!(first.nvme_entries().expect("gone").is_empty());
    }
}
