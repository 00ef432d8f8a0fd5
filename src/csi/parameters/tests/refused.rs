//! What may not be skipped in a volume of another driver.

use super::*;

#[test]
fn an_empty_selector_name_or_address_never_stands_for_none() {
    let connections = r#"[{"ip":"10.0.0.2","port":4420}]"#;
    let marks = [
        ("targetTrAddr", "10.0.0.2"),
        ("nvmeAddress", "10.0.0.2"),
        ("targetAddr", "10.0.0.2"),
        ("connections", connections),
        ("server", "10.0.0.2"),
        ("node_attach_driver", "nvmeof"),
    ];
    let keys = [
        "namespaceUUID",
        "namespaceNGUID",
        "namespaceEUI64",
        "nsid",
        "nsId",
        "deviceUUID",
        "deviceEUI",
        "deviceID",
        "hostNqn",
        "hostId",
        "rdsAddress",
        "pathLossHold",
        "multiMountProtection",
    ];
    for mark in marks {
        for key in keys {
            refused(&[("nqn", NQN), mark, (key, "")], "is empty");
        }
    }
    refused(&[("nqn", ""), marks[0]], "is empty");
}

#[test]
fn zero_and_empty_options_are_defaults_only_where_the_driver_writes_them_so() {
    let options = |mark, option| {
        let source = source(&[("nqn", NQN), mark, option]);
        source.tuning.options
    };
    let address = |key| (key, "10.0.0.2");
    let connections = ("connections", r#"[{"ip":"10.0.0.2","port":4420}]"#);
    let at_once = Some(ControllerLoss::After(Duration::ZERO));
    for key in ["targetTrAddr", "targetAddr", "server"] {
        let read = options(address(key), ("ctrlLossTmo", "0"));
        assert_eq!(read.ctrl_loss_tmo, at_once, "{key}");
    }
    for mark in [address("nvmeAddress"), connections] {
        let read = options(mark, ("ctrlLossTmo", "0"));
        assert_eq!(read.ctrl_loss_tmo, None, "{mark:?}");
    }
    assert_eq!(
        options(connections, ("queueSize", "")),
        ConnectTuning::default()
    );
    for key in ["targetTrAddr", "nvmeAddress", "targetAddr", "server"] {
        refused(
            &[("nqn", NQN), address(key), ("ctrlLossTmo", "")],
            "is empty",
        );
        refused(&[("nqn", NQN), address(key), ("hostIface", "")], "is empty");
    }
}

#[test]
fn what_sounds_like_a_parameter_is_refused_in_a_volume_of_another_driver() {
    for name in [
        "namespace_uuid",
        "nguid",
        "uuid",
        "deviceNGUID",
        "device_uuid",
        "NSID1",
        "eui-64",
        "pathLossHolds",
        "path_loss_hold_time",
        "multiMountProtect",
        "multi-mount",
        "ctrl_loss_tmo",
        "hold",
    ] {
        refused(&nvmf(&[(name, "x")]), "is not a known parameter");
    }
    // They are known to mean something else there.
    let simplyblock = |name| {
        let connections = r#"[{"ip":"10.0.0.2","port":4420}]"#;
        [("connections", connections), ("nqn", NQN), (name, "1")]
    };
    for name in ["uuid", "max_namespace_per_subsys"] {
        source(&simplyblock(name));
    }
    refused(&simplyblock("namespaceID"), "is not a known parameter");
    let tns = [("server", "10.0.0.2"), ("nqn", NQN)];
    source(&[&tns[..], &[("nvmeofNamespaceID", "20")]].concat());
    refused(
        &[&tns[..], &[("uuid", UUID)]].concat(),
        "is not a known parameter",
    );
}

#[test]
fn two_transports_that_differ_are_refused() {
    let with = |word, urls| {
        [
            ("nqn", NQN),
            ("node_attach_driver", "nvmeof"),
            ("targetType", word),
            ("transports", urls),
        ]
    };
    refused(&with("tcp", "rdma://10.0.0.2"), "is not the transport of");
    let rdma = source(&with("RDMA", "rdma://10.0.0.2"));
    assert_eq!(rdma.transport, Transport::Rdma);
}
