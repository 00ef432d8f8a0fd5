//! Text files of foreign making, read up to a limit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a whole text file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, is longer, or is not UTF-8. Nothing is read beyond the limit, so that a
/// pipe or a device in its place does no harm to memory.
pub(crate) fn read_text(path: &Path, limit: usize) -> io::Result<String> {
    let bytes = read_bytes(path, limit)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
}

/// The same of a file in whatever encoding.
pub(crate) fn read_bytes(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).map_err(io::Error::other)?;
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        let text = format!("longer than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_up_to_the_limit_is_read_and_a_longer_one_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        fs::write(&path, "1234").expect("a file");
        assert_eq!(read_text(&path, 4).expect("four bytes"), "1234");
        let error = read_text(&path, 3).expect_err("too long");
        assert_eq!(error.to_string(), "longer than 3 bytes");
        fs::write(&path, [0xff]).expect("a file");
        let error = read_text(&path, 3).expect_err("no text");
        assert_eq!(error.to_string(), "not UTF-8");
    }
}
