//! Events, attachments and the rights for both, against a real API server with etcd, both on this machine.
//!
//! Nothing is built here. Where the API server was not built, the tests are ignored by name with the
//! command that helps, or fail where the lab is required (`LAB_REQUIRED=1`).

#![expect(
    clippy::disallowed_methods,
    reason = "these tests run etcd and the API server"
)]

#[path = "cluster/attach.rs"]
mod attach;
#[path = "cluster/control_plane.rs"]
mod control_plane;
#[path = "deploy/files.rs"]
mod files;
#[path = "cluster/manifests.rs"]
mod manifests;
#[path = "cluster/outage.rs"]
mod outage;
#[path = "cluster/posted.rs"]
mod posted;
#[path = "controller/requests.rs"]
#[expect(dead_code, reason = "tests/controller.rs uses all of it")]
mod requests;
#[path = "cluster/rights.rs"]
mod rights;
#[path = "cluster/scene.rs"]
mod scene;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use kernel_lab::Kubernetes;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Builder;

use control_plane::ControlPlane;

const REMEDY: &str = "run `cargo lab setup --peers`";

/// The one that all tests use, one after the other; the first makes it.
type Shared = Arc<Mutex<Option<ControlPlane>>>;

fn main() -> ExitCode {
    let shared = Shared::default();
    let mut trials = vec![
        trial(
            &shared,
            "the_api_server_takes_every_manifest_and_example_as_it_stands",
            manifests::the_api_server_takes_every_manifest_and_example_as_it_stands,
        ),
        trial(
            &shared,
            "the_csidriver_of_a_version_without_attach_has_to_be_replaced",
            manifests::the_csidriver_of_a_version_without_attach_has_to_be_replaced,
        ),
        trial(
            &shared,
            "an_outcome_is_an_event_on_the_claim_and_one_on_the_pod",
            posted::an_outcome_is_an_event_on_the_claim_and_one_on_the_pod,
        ),
        trial(
            &shared,
            "what_informs_is_normal",
            posted::what_informs_is_normal,
        ),
        trial(
            &shared,
            "a_repeat_raises_the_count_of_the_event",
            posted::a_repeat_raises_the_count_of_the_event,
        ),
        trial(
            &shared,
            "an_event_that_was_deleted_is_made_anew",
            posted::an_event_that_was_deleted_is_made_anew,
        ),
        trial(
            &shared,
            "a_claim_that_nobody_named_is_found_among_more_volumes_than_one_answer_holds",
            posted::a_claim_that_nobody_named_is_found_among_more_volumes_than_one_answer_holds,
        ),
        trial(
            &shared,
            "the_role_grants_four_things_more_than_everybody_has",
            rights::the_role_grants_four_things_more_than_everybody_has,
        ),
        trial(
            &shared,
            "what_is_not_granted_is_refused",
            rights::what_is_not_granted_is_refused,
        ),
        trial(
            &shared,
            "posting_uses_all_that_is_granted_and_asks_for_nothing_else",
            rights::posting_uses_all_that_is_granted_and_asks_for_nothing_else,
        ),
    ];
    trials.extend(attaching(&shared));
    trials.extend(outages(&shared));
    // Not by `exit`: what runs ends with the last of those who share it.
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What the controller asks.
fn attaching(shared: &Shared) -> Vec<Trial> {
    vec![
        trial(
            shared,
            "a_second_node_is_refused_until_the_first_is_detached",
            attach::a_second_node_is_refused_until_the_first_is_detached,
        ),
        trial(
            shared,
            "what_the_controller_asks_for_is_granted",
            attach::what_the_controller_asks_for_is_granted,
        ),
    ]
}

/// What needs the API server to be gone for a while.
fn outages(shared: &Shared) -> Vec<Trial> {
    vec![
        trial(
            shared,
            "a_dead_api_server_admits_nobody_and_a_new_one_does",
            attach::a_dead_api_server_admits_nobody_and_a_new_one_does,
        ),
        trial(
            shared,
            "an_api_server_that_hangs_and_dies_delays_nobody_and_gets_the_count_later",
            outage::an_api_server_that_hangs_and_dies_delays_nobody_and_gets_the_count_later,
        ),
        trial(
            shared,
            "what_happened_without_an_api_server_is_posted_in_order_after_its_return",
            outage::what_happened_without_an_api_server_is_posted_in_order_after_its_return,
        ),
        trial(
            shared,
            "a_token_that_is_mended_is_used",
            outage::a_token_that_is_mended_is_used,
        ),
    ]
}

fn trial<F>(shared: &Shared, name: &str, test: F) -> Trial
where
    F: AsyncFnOnce(&mut ControlPlane) + Send + 'static,
{
    let required = std::env::var_os("LAB_REQUIRED").is_some_and(|value| value == "1");
    let shared = Arc::clone(shared);
    match Kubernetes::find() {
        Some(programs) => Trial::test(name, move || {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let plane = shared.get_or_insert_with(|| ControlPlane::new(programs));
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                plane.start().await;
                test(plane).await;
            });
            Ok(())
        }),
        None if required => Trial::test(name, || Err(Failed::from(REMEDY))),
        None => Trial::test(name, || Ok(()))
            .with_kind(REMEDY)
            .with_ignored_flag(true),
    }
}
