//! Controllers that are live and do not show the volume.

use super::*;

fn is_unshown(finding: &Finding) -> bool {
    matches!(finding, Finding::Unshown(_))
}

#[test]
fn a_controller_that_shows_another_namespace_and_not_the_volumes_is_found() {
    for suite in SUITES {
        let capture = format!("{suite}-two-namespaces");
        let mut world = World::staged(&capture, &format!("{suite}-one-path"), Hold::None);
        assert!(!world.findings().iter().any(is_unshown), "{suite}");
        // None of the two, and by none of their numbers.
        world.identity().uuid = Some(
            "99999999-9999-4999-8999-999999999999"
                .parse()
                .expect("a uuid"),
        );
        world.identity().nsid = Some("7".parse().expect("a number"));
        let findings = world.findings();
        let unshown = Finding::Unshown(instance("nvme0"));
        assert!(findings.contains(&unshown), "{suite}: {findings:?}");
        assert!(!findings.iter().any(|it| matches!(it, Finding::Orphan(_))));
    }
}

#[test]
fn one_whose_volume_is_another_namespace_now_is_found_too() {
    for suite in SUITES {
        let mut world = World::bare(&format!("{suite}-one-path"));
        world.identity().uuid = Some(
            "99999999-9999-4999-8999-999999999999"
                .parse()
                .expect("a uuid"),
        );
        let findings = world.findings();
        assert!(findings.iter().any(is_unshown), "{suite}: {findings:?}");
    }
}

#[test]
fn without_multipath_each_controller_shows_it_by_a_disk_of_its_own() {
    for suite in SUITES {
        let capture = format!("{suite}-multipath-off");
        let mut world = World::bare(&capture);
        second_address(&mut world);
        let tree = world.tree.scan().expect("a tree");
        assert_eq!(tree.controllers().count(), 2, "{suite}");
        let findings = world.findings();
        assert!(!findings.iter().any(is_unshown), "{suite}: {findings:?}");
    }
}

#[test]
fn one_that_shows_it_changed_shows_it_all_the_same() {
    for suite in SUITES {
        let mut world = World::bare(&format!("{suite}-one-path"));
        world.identity().size_bytes *= 2;
        let findings = world.findings();
        assert!(!findings.iter().any(is_unshown), "{suite}: {findings:?}");
    }
}

#[test]
fn one_that_is_not_live_is_waited_for() {
    for suite in SUITES {
        let capture = format!("{suite}-connecting");
        let world = World::staged(&capture, &format!("{suite}-one-path"), Hold::None);
        assert!(!world.findings().iter().any(is_unshown), "{suite}");
    }
}
