//! What apt prints about packages: their dependencies and download sizes (pure).

/// The package names of the `Depends:` and `Pre-Depends:` fields in what `apt-cache show` prints, the first of each
/// group of alternatives.
pub(super) fn parse_depends(show: &str) -> Vec<String> {
    let fields = show.lines().filter_map(|line| {
        line.strip_prefix("Depends:")
            .or_else(|| line.strip_prefix("Pre-Depends:"))
    });
    fields
        .flat_map(|field| field.split(','))
        .filter_map(first_alternative)
        .map(str::to_owned)
        .collect()
}

/// The sum of the sizes in what `apt-get --print-uris download` prints: `'uri' file size hash` for each package.
pub(super) fn parse_download_size(uris: &str) -> u64 {
    uris.lines()
        .filter(|line| line.starts_with('\''))
        .filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok())
        .sum()
}

/// `name (= version) | other` → `name`; `name:any` → `name`.
fn first_alternative(group: &str) -> Option<&str> {
    let name = group.split_whitespace().next()?;
    Some(name.split(':').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_alternatives_and_architectures_are_left_out() {
        let show = "Package: linux-image-7.2-amd64\nPre-Depends: x\nDepends: linux-binary-7.2-amd64 (= 7.2.13-1), \
                    linux-base:any (>= 4.12~), kmod | module-init, initramfs-tools (>= 0.120+deb8u2)\nRecommends: y\n";
        let expected = [
            "x",
            "linux-binary-7.2-amd64",
            "linux-base",
            "kmod",
            "initramfs-tools",
        ];
        assert_eq!(parse_depends(show), expected);
    }

    #[test]
    fn a_package_without_dependencies_has_none() {
        assert!(parse_depends("Package: x\nDescription: Depends: no\n").is_empty());
        assert!(parse_depends("").is_empty());
    }

    #[test]
    fn sizes_are_added_and_other_lines_ignored() {
        let uris = "Reading package lists...\n'http://m/pool/a.deb' a.deb 100 SHA256:x\n'http://m/pool/b.deb' b.deb 20 SHA256:y\n";
        assert_eq!(parse_download_size(uris), 120);
    }
}
