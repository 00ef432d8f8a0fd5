//! The page for users lists what the program takes: parameters, secrets and mount flags.

use std::collections::BTreeSet;

use nvmeof_csi::csi::{MAX_FLAGS, SECRET_NAMES, parameter_bounds, parameter_names};
use nvmeof_csi::host::mount_flag;

use crate::files::text;

/// The rows of the table with this header.
fn rows<'a>(page: &'a str, header: &str) -> Vec<Vec<&'a str>> {
    let table = page.split_once(header).expect(header).1;
    let table = table.split_once("\n\n").expect("its end").0;
    let rows = table.lines().skip(2);
    rows.map(|row| row.split('|').map(str::trim).collect())
        .collect()
}

/// What stands in backquotes in a cell.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What stands in backquotes in the first cells, in any order and each once.
fn listed<'a>(page: &'a str, header: &str) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for row in rows(page, header) {
        for name in quoted(row[1]) {
            assert!(names.insert(name), "{name} is listed twice");
        }
    }
    names
}

#[test]
fn the_parameters_of_the_page_are_those_of_the_program() {
    let page = text("README.md");
    let listed = listed(&page, "| key | value | without it |");
    let names: Vec<String> = parameter_names().collect();
    assert_eq!(listed, names.iter().map(String::as_str).collect());
}

#[test]
fn the_bounds_of_the_page_are_those_of_the_program() {
    let page = text("README.md");
    let rows = rows(&page, "| key | value | without it |");
    for (name, bound) in parameter_bounds() {
        let said = match name {
            Some(name) => {
                let row = rows.iter().find(|row| quoted(row[1]).any(|it| it == name));
                (row.expect(name)[2], format!("up to {bound} "))
            }
            None => (page.as_str(), format!("a string of at most {bound} bytes")),
        };
        assert!(said.0.contains(&said.1), "{:?}: {}", name, said.1);
    }
    let flags = format!("`mountOptions` of a PersistentVolume, at most {MAX_FLAGS}.");
    assert!(page.contains(&flags), "{flags}");
}

#[test]
fn the_secrets_of_the_page_are_those_of_the_program() {
    let page = text("README.md");
    let listed = listed(&page, "| key of the Secret | value |");
    assert_eq!(listed, SECRET_NAMES.into_iter().collect());
}

#[test]
fn the_mount_flags_of_the_page_are_those_of_the_program() {
    let page = text("README.md");
    let passed = listed(&page, "| mount flag that is passed on | filesystem |");
    let allowed = mount_flag::allowed();
    assert_eq!(passed, allowed.iter().map(String::as_str).collect());
    let header = "| mount flag that is refused by name | reason |";
    let refused: Vec<(String, &str)> = mount_flag::refused().collect();
    let mut listed = BTreeSet::new();
    for row in rows(&page, header) {
        listed.extend(quoted(row[1]).map(|name| (name, row[2])));
    }
    let refused: BTreeSet<(&str, &str)> = refused
        .iter()
        .map(|(name, reason)| (name.as_str(), *reason))
        .collect();
    assert_eq!(listed, refused);
}

#[test]
fn the_page_has_a_title_and_asks_for_nothing_on_a_node_that_is_not_there() {
    let page = text("README.md");
    assert!(page.starts_with("# "), "{page:.80}");
    for name in ["README.md", "kubernetes/examples/block.yaml"] {
        let page = text(name);
        let asked = page.match_indices("nvmeof-csi list-subsys");
        for (place, _) in asked.chain(page.match_indices("nvmeof-csi discover")) {
            let line = page[..place].rsplit('\n').next().expect("a line");
            assert!(
                line.contains("kubectl -n nvmeof-csi exec "),
                "{name}: {line}"
            );
        }
    }
}
