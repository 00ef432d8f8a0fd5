//! Which tests a change touches (pure): for people at work, who want a verdict before the whole suite has one.

use std::collections::BTreeSet;

/// The tests of the product that need no machine of their own, by the names of their targets.
const WITHOUT_A_MACHINE: [&str; 8] = [
    "cli",
    "cluster",
    "controller",
    "deploy",
    "events",
    "node",
    "protocol",
    "volume",
];

/// What to run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Packages whose own tests run; of the product, those of its library.
    pub packages: BTreeSet<&'static str>,
    /// Test targets of the product.
    pub targets: BTreeSet<String>,
    /// Whether the cases on a real kernel run, all of them.
    pub kernel: bool,
    /// The cases on a real kernel that run where not all do.
    pub cases: BTreeSet<String>,
    /// Changed files that no test reads.
    pub untested: Vec<String>,
}

impl Selection {
    /// The tests for these files, whose paths are relative to the workspace. `read` gives the text of one, which may be
    /// gone.
    pub fn of<'a>(
        paths: impl IntoIterator<Item = &'a str>,
        read: impl Fn(&str) -> Option<String>,
    ) -> Selection {
        let mut selection = Selection::default();
        for path in paths {
            selection.add(path, &read);
        }
        selection
    }

    /// Whether no test is to run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.targets.is_empty() && !self.kernel && self.cases.is_empty()
    }

    fn add(&mut self, path: &str, read: &impl Fn(&str) -> Option<String>) {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["Cargo.toml" | "Cargo.lock"] | [".cargo", ..] => {
                self.packages
                    .extend(["kernel-lab", "nvme-sysfs", "nvme-fabrics"]);
                self.product();
            }
            ["src", ..] => self.product(),
            ["fabrics", ..] => {
                self.packages.insert("nvme-fabrics");
                self.product();
            }
            ["sysfs", ..] | ["fixtures", ..] => {
                self.packages.insert("nvme-sysfs");
                self.product();
            }
            ["deploy", ..] => self.targets(&["cluster", "deploy", "image"]),
            ["README.md"] => self.targets(&["deploy"]),
            ["tests", "lab", ..] => {
                self.packages.insert("kernel-lab");
                self.kernel = true;
            }
            ["tests", "kernel", "cases", ..] => match read(path).map(|text| cases(&text)) {
                Some(cases) if !cases.is_empty() => self.cases.extend(cases),
                _ => self.kernel = true,
            },
            ["tests", "kernel", ..] => self.kernel = true,
            ["tests", "common", ..] => self.targets(&WITHOUT_A_MACHINE),
            ["tests", "bench", ..] => self.untested.push(path.to_owned()),
            ["tests", name, ..] => {
                let name = name.strip_suffix(".rs").unwrap_or(name);
                self.targets(&[name]);
            }
            _ => self.untested.push(path.to_owned()),
        }
    }

    /// The product itself: all of its tests but those on a cluster.
    fn product(&mut self) {
        self.packages.insert("nvmeof-csi");
        self.targets(&WITHOUT_A_MACHINE);
        self.kernel = true;
    }

    fn targets(&mut self, names: &[&str]) {
        self.targets
            .extend(names.iter().map(|name| (*name).to_owned()));
    }
}

/// The names of the cases that a file of cases declares: the first argument of each `Case::new(`. None of a file that
/// has something for other files: then theirs are meant too.
fn cases(text: &str) -> Vec<String> {
    let shared = [
        "pub(super) fn",
        "pub(crate) fn",
        "pub(in crate::cases) fn",
        "pub(super) struct",
    ];
    if shared.iter().any(|shared| text.contains(shared)) {
        return Vec::new();
    }
    let declared = text.split("Case::new(").skip(1);
    let names = declared.filter_map(|rest| {
        let (name, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
        Some(name.to_owned())
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "const CASES: &[Case] = &[\n    Case::new(\n        \"row_1_a\",\n        || cut(1),\n    ),\n    Case::new(\"b_c\", tuned).in_parallel(),\n];";

    fn of(paths: &[&str]) -> Selection {
        Selection::of(paths.iter().copied(), |path| {
            match path.rsplit('/').next() {
                Some("lost.rs") => Some(NAMES.to_owned()),
                Some("shared.rs") => Some(format!("{NAMES}\npub(super) fn cut() {{}}")),
                _ => None,
            }
        })
    }

    #[test]
    fn a_file_of_cases_runs_its_own_cases_alone() {
        let selection = of(&["tests/kernel/cases/faults/lost.rs"]);
        let cases = ["b_c", "row_1_a"].map(str::to_owned);
        assert_eq!(selection.cases, BTreeSet::from(cases));
        assert!(!selection.kernel && selection.targets.is_empty());
    }

    #[test]
    fn a_file_without_cases_that_cases_use_runs_all_of_them() {
        for path in [
            "tests/kernel/cases/faults/shared.rs",
            "tests/kernel/cases/mod.rs",
            "tests/kernel/writer.rs",
            "src/host/dm.rs",
            "tests/lab/src/qemu.rs",
        ] {
            assert!(of(&[path]).kernel, "{path}");
        }
    }

    #[test]
    fn the_product_is_tested_by_everything_but_a_cluster() {
        let selection = of(&["fabrics/src/lib.rs"]);
        assert_eq!(
            selection.packages,
            BTreeSet::from(["nvme-fabrics", "nvmeof-csi"])
        );
        assert!(selection.targets.contains("volume") && !selection.targets.contains("pods"));
    }

    #[test]
    fn a_test_target_runs_itself() {
        let selection = of(&["tests/node/calls.rs", "tests/cli.rs"]);
        let targets = ["cli", "node"].map(str::to_owned);
        assert_eq!(selection.targets, BTreeSet::from(targets));
        assert!(selection.packages.is_empty() && !selection.kernel);
    }

    #[test]
    fn what_no_test_reads_is_told() {
        let selection = of(&["findings/a.sh", "tests/bench/hold.rs"]);
        assert!(selection.is_empty());
        assert_eq!(selection.untested, ["findings/a.sh", "tests/bench/hold.rs"]);
    }
}
