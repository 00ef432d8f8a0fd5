//! What lies below a map that is not as it was: controllers that outlive a loss, and a disk that has shrunk.

use super::*;
use crate::host::dm::PathState;
use crate::host::io_counts::IoCounts;

#[test]
fn every_controller_of_the_disk_below_a_map_has_to_give_up_at_once() {
    for suite in SUITES {
        // Its record names the address of one of them.
        let mut world = World::held(suite, "two-paths-ana");
        let findings = world.findings();
        for controller in ["nvme0", "nvme1"] {
            let untuned = Finding::Untuned(instance(controller));
            assert!(findings.contains(&untuned), "{suite}: {findings:?}");
        }
        world.record.hold = Some(Hold::None);
        let findings = world.findings();
        let is_about = |f: &Finding| matches!(f, Finding::Untuned(_));
        assert!(!findings.iter().any(is_about), "{suite}: {findings:?}");
    }
}

#[test]
fn a_map_sends_nothing_to_a_lost_disk_that_a_controller_keeps() {
    for suite in SUITES {
        let before = format!("{suite}-map");
        let mut world = World::held(suite, "connecting");
        world.maps = captured_maps(unpacked(&before).path(), &before);
        let tree = world.tree.scan().expect("a tree");
        let head = tree.namespaces().next().and_then(|head| head.dev);
        world.maps[0].paths[0].dev = head.expect("a head");
        let is_exposed = |world: &World| world.findings().contains(&Finding::MapExposed);
        assert!(is_exposed(&world), "{suite}: {:?}", world.findings());
        world.maps[0].io = Some(IoCounts {
            under_way: 1,
            done: 7,
        });
        assert!(
            is_exposed(&world),
            "{suite}: what comes next is kept as well"
        );
        world.maps[0].paths[0].state = Some(PathState::Failed);
        assert!(!is_exposed(&world), "{suite}: it sends nothing");
    }
}

#[test]
fn a_map_over_a_disk_that_has_shrunk_becomes_as_short() {
    for suite in SUITES {
        let mut world = World::held(suite, "map");
        world.identity().size_bytes *= 2;
        let findings = world.findings();
        assert!(
            matches!(&findings[..], [Finding::IdentityMismatch(what)] if what.contains("size")),
            "{suite}: {findings:?}"
        );
        world.maps[0].size_bytes *= 2;
        assert!(world.findings().contains(&Finding::MapBehind), "{suite}");
        // A disk that was lost meanwhile, or that the map has not held open, may be any other.
        world.maps[0].suspended = true;
        assert!(!world.findings().contains(&Finding::MapBehind), "{suite}");
        world.maps[0].suspended = false;
        world.maps[0].paths.clear();
        let findings = world.findings();
        assert!(findings.contains(&Finding::NoPath), "{suite}: {findings:?}");
        assert!(
            !findings.contains(&Finding::MapBehind),
            "{suite}: {findings:?}"
        );
    }
}

#[test]
fn io_of_a_map_that_was_let_go_may_wait_in_a_controller_that_outlives_the_loss() {
    for suite in SUITES {
        let before = format!("{suite}-map");
        let mut world = World::held(suite, "connecting");
        world.maps = captured_maps(unpacked(&before).path(), &before);
        let io = IoCounts {
            under_way: 1,
            done: 7,
        };
        let keeper = |world: &World| {
            let sight = world.sight();
            Standing::of(&world.record, &sight)?.find_keeper_of_io()
        };
        world.maps[0].io = Some(io);
        assert_eq!(keeper(&world), None, "{suite}: its map holds it");
        world.maps[0].is_let_go = true;
        world.maps[0].on_path_loss = Some(OnPathLoss::Fail);
        assert_eq!(keeper(&world), Some(instance("nvme0")), "{suite}");
        world.maps[0].io = None;
        assert_eq!(keeper(&world), None, "{suite}: nothing waits");
    }
}
