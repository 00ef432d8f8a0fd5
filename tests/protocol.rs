//! Our protocol files against the published ones, every name, number and type, and against the code that
//! is made of them; our sockets against clients that dial as kubelet does.
//!
//! Nothing is downloaded here. Where the published files were not fetched, or the clients not built,
//! the tests are ignored by name with the command that helps, or fail where the lab is required
//! (`LAB_REQUIRED=1`).

#![expect(
    clippy::disallowed_methods,
    reason = "these tests run the program and its clients"
)]

#[path = "protocol/dialled.rs"]
mod dialled;
#[path = "protocol/facts.rs"]
mod facts;
#[path = "protocol/wire.rs"]
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kernel_lab::kubelet;
use kernel_lab::published::{CSI, Published, REGISTRATION};
use libtest_mimic::{Arguments, Failed, Trial};

use facts::Facts;

const REMEDY: &str = "run `cargo lab setup --peers`";

/// What 1.12 had where 1.13 only reserves a number.
const WITHDRAWN: [&str; 8] = [
    "csi.v1.ControllerGetVolumeResponse.VolumeStatus 2 volume_condition: .csi.v1.VolumeCondition",
    "csi.v1.ControllerServiceCapability.RPC.Type 11 VOLUME_CONDITION",
    "csi.v1.ListVolumesResponse.VolumeStatus 2 volume_condition: .csi.v1.VolumeCondition",
    "csi.v1.NodeGetVolumeStatsResponse 2 volume_condition: .csi.v1.VolumeCondition",
    "csi.v1.NodeServiceCapability.RPC.Type 4 VOLUME_CONDITION",
    "csi.v1.VolumeCondition",
    "csi.v1.VolumeCondition 1 abnormal: bool",
    "csi.v1.VolumeCondition 2 message: string",
];

/// How the names begin of the two services that nothing here serves, and of what only they use.
const LEFT_OUT: [&str; 9] = [
    "csi.v1.GroupController",
    "csi.v1.CreateVolumeGroupSnapshot",
    "csi.v1.DeleteVolumeGroupSnapshot",
    "csi.v1.GetVolumeGroupSnapshot",
    "csi.v1.VolumeGroupSnapshot",
    "csi.v1.SnapshotMetadata",
    "csi.v1.GetMetadataAllocated",
    "csi.v1.GetMetadataDelta",
    "csi.v1.BlockMetadata",
];

fn main() -> ExitCode {
    let trials = vec![
        Trial::test(wire::NAME, wire::wire_code_is_what_the_protocol_files_give),
        compared("csi_is_that_of_1_13_with_the_condition_of_1_12", CSI, csi),
        compared("registration_is_kubelets", REGISTRATION, registration),
        dialled(
            "kubelets_plugin_manager_finds_the_plugin_and_its_csi_client_reaches_the_node",
            dialled::kubelets_plugin_manager_finds_the_plugin_and_its_csi_client_reaches_the_node,
        ),
        dialled(
            "a_refusal_by_kubelet_stands_in_ready",
            dialled::a_refusal_by_kubelet_stands_in_ready,
        ),
        dialled(
            "hundreds_of_calls_with_headers_of_many_sizes_are_answered_on_one_connection",
            dialled::hundreds_of_calls_with_headers_of_many_sizes_are_answered_on_one_connection,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn compared(name: &str, published: Published, test: fn(Facts)) -> Trial {
    trial(name, published.find(), move |file| test(Facts::read(&file)))
}

fn dialled(name: &str, test: fn(&Path)) -> Trial {
    trial(name, kubelet::find(), move |program| test(&program))
}

/// A test of what `cargo lab setup --peers` makes.
fn trial(name: &str, made: Option<PathBuf>, test: impl FnOnce(PathBuf) + Send + 'static) -> Trial {
    let required = std::env::var_os("LAB_REQUIRED").is_some_and(|value| value == "1");
    match made {
        Some(made) => Trial::test(name, move || {
            test(made);
            Ok(())
        }),
        None if required => Trial::test(name, || Err(Failed::from(REMEDY))),
        None => Trial::test(name, || Ok(()))
            .with_kind(REMEDY)
            .with_ignored_flag(true),
    }
}

fn csi(theirs: Facts) {
    let ours = Facts::read(&source("csi.proto"));
    assert_eq!(ours.without(&theirs), WITHDRAWN);
    let missing = theirs.without(&ours);
    for begin in LEFT_OUT {
        let found = missing.iter().any(|fact| fact.starts_with(begin));
        assert!(found, "{begin} is not in the published file any more");
    }
    let is_left_out = |fact: &&&str| LEFT_OUT.iter().any(|begin| fact.starts_with(begin));
    let missing: Vec<_> = missing.iter().filter(|fact| !is_left_out(fact)).collect();
    assert!(missing.is_empty(), "missing in ours: {missing:#?}");
}

fn registration(theirs: Facts) {
    let ours = Facts::read(&source("pluginregistration.proto"));
    assert_eq!(ours, theirs);
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/csi")
        .join(name)
}
