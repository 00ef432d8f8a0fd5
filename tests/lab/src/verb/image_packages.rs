//! The Debian packages that the product's image is made of, for the tests of it.

use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};

use kernel_lab::place;

/// Gets them, unless the same script has got them before. Users run the script itself, which always gets the newest.
pub(crate) fn get() -> Result<(), Box<dyn Error>> {
    let script = place::workspace().join("deploy/image/get-packages");
    let text = fs::read(&script)?;
    let image = place::workspace().join("target/image");
    if are_of(&image, &text)? {
        return Ok(());
    }
    eprintln!("lab: getting the packages of the image: 10 MB, less than a minute");
    let status = Command::new(&script).stdin(Stdio::null()).status()?;
    match status.success() {
        true => Ok(fs::write(image.join(MADE_BY), text)?),
        false => Err(format!(
            "{} failed: {status}: see to the network, and run the same command again",
            script.display()
        )
        .into()),
    }
}

/// Beside the packages: the script that has got them.
const MADE_BY: &str = "packages.made-by";

/// Whether a script with this text has got the packages; it renames their directory when all are there.
fn are_of(image: &Path, script: &[u8]) -> io::Result<bool> {
    match fs::read(image.join(MADE_BY)) {
        Ok(made_by) => Ok(made_by == script && image.join("packages").is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_kept_as_long_as_they_are_there_and_of_the_same_script() {
        let image = tempfile::TempDir::new().expect("a directory");
        let kept = |script: &str| are_of(image.path(), script.as_bytes()).expect("an answer");
        assert!(!kept("get a"), "nothing was got");
        fs::write(image.path().join(MADE_BY), "get a").expect("a file");
        assert!(!kept("get a"), "somebody removed them");
        fs::create_dir(image.path().join("packages")).expect("a directory");
        assert!(kept("get a"));
        assert!(!kept("get a b"), "another script gets others");
    }
}
