//! What apt prints about the dependencies of packages (pure).

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
}
