//! kill -9 between any two side effects of a call. strace attaches to the one thread that works on
//! calls: a clean run lists what the thread does to the machine, and each of it is replayed with a
//! kill in its place. The product carries no hook for it.
//!
//! The kill comes before the call is carried out, so it shows what all earlier ones left. Opening a
//! file is no step of its own: what it creates is there when the next step is killed.

use crate::case::{Case, Need};
use crate::plugin::{Plugin, Use, Volume, is_mounted, remembered};
use crate::scene::{Scene, controllers};
use crate::strace::{Effect, kill_at, trace};

pub(super) const CASES: &[Case] = &[
    Case::new("a_stage_may_be_killed_at_any_step", || {
        survives(Use::Filesystem("ext4"), STAGE);
    }),
    Case::new("a_publish_may_be_killed_at_any_step", || {
        survives(Use::Filesystem("ext4"), PUBLISH);
    }),
    Case::new("an_unpublish_may_be_killed_at_any_step", || {
        survives(Use::Filesystem("ext4"), UNPUBLISH);
    }),
    // These take long.
    Case::new("an_unstage_may_be_killed_at_any_step", || {
        survives(Use::Filesystem("ext4"), UNSTAGE);
    })
    .needs(Need::Faults),
    Case::new(
        "a_stage_of_a_block_volume_may_be_killed_at_any_step",
        || {
            survives(Use::Block, STAGE);
        },
    )
    .needs(Need::Faults),
    Case::new(
        "publications_of_a_block_volume_may_be_killed_at_any_step",
        || {
            survives(Use::Block, PUBLISH);
            crate::guest::clean_up().expect("a clean machine");
            survives(Use::Block, UNPUBLISH);
        },
    ),
    Case::new(
        "an_unstage_of_a_block_volume_may_be_killed_at_any_step",
        || {
            survives(Use::Block, UNSTAGE);
        },
    )
    .needs(Need::Faults),
];

/// How often a step is looked for.
const REACHES: usize = 4;

type Call = fn(&Plugin, &Volume) -> Result<(), tonic::Status>;

/// A call of the life of a volume, and those that lead to the state before it and away from that
/// behind it.
#[derive(Clone, Copy)]
struct Step {
    before: &'static [Call],
    call: Call,
    /// Back to the state before the call.
    back: &'static [Call],
    after: &'static [Call],
    /// Commands to a map that are among its steps.
    commands: &'static [&'static str],
}

const STAGE: Step = Step {
    before: &[],
    call: Plugin::stage,
    back: &[Plugin::unstage],
    after: &[],
    commands: &["DM_DEV_CREATE", "DM_TABLE_LOAD", "DM_DEV_SUSPEND"],
};
const PUBLISH: Step = Step {
    before: &[Plugin::stage],
    call: Plugin::publish,
    back: &[Plugin::unpublish],
    after: &[Plugin::unstage],
    commands: &[],
};
const UNPUBLISH: Step = Step {
    before: &[Plugin::stage, Plugin::publish],
    call: Plugin::unpublish,
    back: &[Plugin::publish],
    after: &[Plugin::unpublish, Plugin::unstage],
    commands: &[],
};
const UNSTAGE: Step = Step {
    before: &[Plugin::stage],
    call: Plugin::unstage,
    back: &[Plugin::stage],
    after: &[Plugin::unstage],
    commands: &["DM_DEV_REMOVE"],
};

fn start() -> Plugin {
    Plugin::start_with(&["--blocking-threads", "1"])
}

fn survives(usage: Use, step: Step) {
    let scene = Scene::new();
    scene.volume();
    let volume = Volume::new(usage);
    let mut plugin = start();
    all(&plugin, &volume, step.before);
    // Directories that are made once and stay are no part of what is repeated.
    (step.call)(&plugin, &volume).expect("the first run");
    all(&plugin, &volume, step.back);
    let effects = trace(&plugin, || (step.call)(&plugin, &volume));
    assert!(effects.len() >= 3, "{effects:?}");
    for command in step.commands {
        let is_it = |effect: &Effect| effect.line.contains(command);
        assert!(effects.iter().any(is_it), "no {command} in {effects:?}");
    }
    all(&plugin, &volume, step.back);
    for effect in &effects {
        // The kernel may have done a step of the clean run by itself this time (an entry of a dead
        // controller that needs no removal): then the call ends, and is tried again.
        let killed = (0..REACHES).any(|_| {
            let killed = kill_at(&plugin, effect, || (step.call)(&plugin, &volume));
            if !killed {
                all(&plugin, &volume, step.back);
            }
            killed
        });
        assert!(killed, "never reached: {}", effect.line);
        plugin.wait_killed();
        plugin = start();
        if let Err(error) = (step.call)(&plugin, &volume) {
            panic!("killed at {}: {error}", effect.line);
        }
        all(&plugin, &volume, step.back);
    }
    all(&plugin, &volume, step.after);
    assert!(!is_mounted(&volume.staging()));
    assert_eq!(controllers(), Vec::<String>::new());
    assert_eq!(remembered(), Vec::<String>::new());
    eprintln!("killed at each of {} steps", effects.len());
}

fn all(plugin: &Plugin, volume: &Volume, calls: &[Call]) {
    for call in calls {
        call(plugin, volume).expect("a call that is not disturbed");
    }
}
