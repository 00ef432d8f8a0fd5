//! Attributes of the kernel below the root that are no NVMe device's own: `/sys/block`, `/sys/class/bdi`, `/proc`.
//!
//! Invariant: what is not there, or not any more, is `None`; everything else that goes wrong is an error with call and
//! path.

use std::borrow::Cow;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nvme_sysfs::without_filling;
use rustix::io::Errno;
use thiserror::Error;

/// Why an attribute or a directory of them cannot be used.
#[derive(Debug, Error)]
#[error("cannot {call} {}", path.display())]
pub struct AttributeError {
    /// What was tried: `read`, `list`, `understand`, `write VALUE to`.
    pub call: Cow<'static, str>,
    /// The file or directory.
    pub path: PathBuf,
    /// What the kernel answered, or what the file says.
    pub source: io::Error,
}

impl AttributeError {
    /// What was tried of `path`, and how it failed.
    pub fn new(call: impl Into<Cow<'static, str>>, path: &Path, source: io::Error) -> Self {
        let (call, path) = (call.into(), path.to_owned());
        Self { call, path, source }
    }
}

/// The bytes of a file.
pub(crate) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, AttributeError> {
    there(fs::read(path)).map_err(|source| AttributeError::new("read", path, source))
}

/// The text of a file without the white space and the filling at its end. What is no UTF-8 in it is replaced: names are given by others.
pub(crate) fn read(path: &Path) -> Result<Option<String>, AttributeError> {
    let bytes = read_bytes(path)?;
    Ok(bytes.map(|bytes| {
        let text = without_filling(&bytes).trim_ascii_end();
        String::from_utf8_lossy(text).into_owned()
    }))
}

/// What the text of a file stands for.
pub(crate) fn parsed<T: FromStr>(path: &Path) -> Result<Option<T>, AttributeError> {
    let parse = |text: String| text.parse().map_err(|_| malformed(path, &text));
    read(path)?.map(parse).transpose()
}

/// The error for a file that says something else than it can.
pub(crate) fn malformed(path: &Path, text: &str) -> AttributeError {
    let says = io::Error::new(ErrorKind::InvalidData, format!("it says {text:?}"));
    AttributeError::new("understand", path, says)
}

/// The names in a directory, sorted; none if it is not there.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>, AttributeError> {
    let list = || {
        let mut names = Vec::new();
        for entry in there(fs::read_dir(directory))?.into_iter().flatten() {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    };
    list().map_err(|source| AttributeError::new("list", directory, source))
}

/// Writes a file that is there: a captured tree that has none gets none.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), AttributeError> {
    let file = fs::File::options().write(true).open(path);
    let written = file.and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|source| AttributeError::new(format!("write {value} to"), path, source))
}

/// What was read, unless it has gone.
pub(crate) fn there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the kernel says that what was asked for has gone: a removed device answers ENOENT before an open and ENODEV
/// after it.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NODEV | Errno::SRCH)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_nothing_and_what_cannot_be_read_is_named() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("size");
        assert_eq!(read(&path).expect("nothing"), None);
        assert_eq!(parsed::<u64>(&path).expect("nothing"), None);
        assert_eq!(names(&path).expect("nothing"), [""; 0]);
        fs::create_dir(&path).expect("a directory in its place");
        let error = read(&path).expect_err("no file");
        assert_eq!(error.to_string(), format!("cannot read {}", path.display()));
    }

    #[test]
    fn a_value_is_taken_without_the_end_of_its_line_and_garbage_is_quoted() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("size");
        fs::write(&path, "17\n").expect("a file");
        assert_eq!(parsed::<u64>(&path).expect("a number"), Some(17));
        fs::write(&path, "many\n").expect("a file");
        let error = parsed::<u64>(&path).expect_err("no number");
        let expected = format!("cannot understand {}", path.display());
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.source.to_string(), "it says \"many\"");
    }

    #[test]
    fn a_page_filled_up_with_nul_bytes_says_what_stands_before_them() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("size");
        fs::write(&path, format!("17\n{}", "\0".repeat(4000))).expect("a file");
        assert_eq!(parsed::<u64>(&path).expect("a number"), Some(17));
    }

    #[test]
    fn only_what_is_there_is_written() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("max_ratio");
        let error = write(&path, "5").expect_err("nothing there");
        let expected = format!("cannot write 5 to {}", path.display());
        assert_eq!(error.to_string(), expected);
        assert_eq!(names(root.path()).expect("nothing"), [""; 0]);
        fs::write(&path, "9").expect("a file");
        write(&path, "5").expect("written");
        assert_eq!(read(&path).expect("a value").as_deref(), Some("5"));
    }
}
