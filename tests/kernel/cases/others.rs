//! Volumes that other drivers have made, under the names of those drivers.

use std::fs;

use crate::case::Case;
use crate::plugin::{KUBELET, Plugin, Use, Volume, write_and_read};
use crate::remains::assert_nothing_remains;
use crate::scene::{NQN, Scene, UUID};

pub(super) const CASES: &[Case] = &[Case::new(
    "a_volume_of_each_other_driver_lives_under_the_name_of_that_driver",
    each,
)];

/// A driver, and what one of its volumes has beside the name of the subsystem.
type Row = (&'static str, &'static [(&'static str, &'static str)]);

const ROWS: [Row; 6] = [
    (
        "csi.nvmf.com",
        &[
            ("targetTrAddr", "10.0.0.2"),
            ("targetTrPort", "4420"),
            ("targetTrType", "tcp"),
            ("deviceUUID", UUID),
        ],
    ),
    (
        "rds.csi.srvlab.io",
        &[
            ("rdsAddress", "10.0.0.2"),
            ("nvmeAddress", "10.0.0.2"),
            ("nvmePort", "4420"),
            ("volumePath", "/storage-pool/metal-csi/volume-1.img"),
            ("keepAliveTmo", "0"),
            ("migrationTimeoutSeconds", "300"),
        ],
    ),
    (
        "csi.spdk.io",
        &[
            ("model", UUID),
            ("targetAddr", "10.0.0.2"),
            ("targetPort", "4420"),
            ("targetType", "TCP"),
        ],
    ),
    (
        "csi.simplyblock.io",
        &[
            ("connections", r#"[{"ip":"10.0.0.2","port":4420}]"#),
            ("uuid", UUID),
            ("model", UUID),
            ("targetType", "tcp"),
            ("nsId", "1"),
            ("hostIface", ""),
            ("ctrlLossTmo", "0"),
        ],
    ),
    (
        "tns.csi.io",
        &[
            ("protocol", "nvmeof"),
            ("server", "10.0.0.2"),
            ("port", "4420"),
            ("transport", "tcp"),
            ("nsid", "1"),
            ("datasetID", "tank/csi/volume-1"),
        ],
    ),
    (
        "org.democratic-csi.nvmeof",
        &[
            ("node_attach_driver", "nvmeof"),
            ("provisioner_driver", "node-manual"),
            ("transport", "tcp://10.0.0.2:4420,"),
            ("nsid", "1"),
        ],
    ),
];

fn each() {
    for (driver, context) in ROWS {
        one(driver, context);
        crate::guest::clean_up().expect("a clean machine");
    }
}

fn one(driver: &'static str, context: &[(&str, &str)]) {
    let scene = Scene::new();
    scene.volume();
    let mut volume = Volume::new(Use::Filesystem("ext4"));
    volume.driver = driver;
    let context = [&[("nqn", NQN)], context].concat();
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    volume.context = context.iter().map(own).collect();
    let plugin = Plugin::start_as(driver);
    let fails = |call: &str| format!("{call} for {driver}");
    plugin
        .stage(&volume)
        .unwrap_or_else(|status| panic!("{}: {status}", fails("stage")));
    plugin
        .publish(&volume)
        .unwrap_or_else(|status| panic!("{}: {status}", fails("publish")));
    write_and_read(&volume.target());
    plugin
        .unpublish(&volume)
        .unwrap_or_else(|status| panic!("{}: {status}", fails("unpublish")));
    plugin
        .unstage(&volume)
        .unwrap_or_else(|status| panic!("{}: {status}", fails("unstage")));
    assert_nothing_remains();
    let records = format!("{KUBELET}/plugins/{driver}/state/volumes");
    let records = fs::read_dir(records).expect("the records");
    assert_eq!(records.count(), 0, "records of {driver}");
}
